# SPDX-License-Identifier: MIT
"""Warm-up: what is missing of a list is fetched, little by little, and what is there is left alone."""
import os
import re
import signal
import socket
import time
import urllib.parse

import pytest

from support.origin import Endless, Origin, Pause, Reply, Reset, Send, Wait, head
from support.proxy import eventually, is_alive
from support.rawclient import build

pytestmark = pytest.mark.tiers


@pytest.fixture
def proxy(start_proxy, origin):
    return start_proxy({"warm": {"rate": 1000}, "route off": {"match": "/off*", "cache": "off"},
                        "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)


def pages(origin, n):
    return [origin.on(origin.fresh(), lambda r: [Reply(body=b"x")]) for _ in range(n)]


def warm(proxy, *urls):
    return proxy.admin_json("POST", "/warm", body=urllib.parse.urlencode({"url": urls}, doseq=True).encode())["id"]


def told(proxy, number):
    return next(e for e in proxy.admin_json("GET", "/warmups")["lists"] if e["id"] == number)


def through(proxy, number):
    eventually(lambda: told(proxy, number)["state"] in ("through", "cancelled"), "the list is through")
    return told(proxy, number)


def counts(entry):
    return {name: entry[name] for name in ("urls", "fetched", "there", "not_stored", "failed")}


def test_what_is_missing_is_fetched_and_what_is_there_is_not(proxy, origin):
    paths = pages(origin, 20)
    proxy.fetch(paths[0])
    first = through(proxy, warm(proxy, *paths))
    assert counts(first) == {"urls": 20, "fetched": 19, "there": 1, "not_stored": 0, "failed": 0} and first["from"] == "127.0.0.1"
    assert all(proxy.fetch(p).is_hit for p in paths) and all(origin.count(p) == 1 for p in paths)
    assert counts(through(proxy, warm(proxy, *paths)))["there"] == 20


def test_urls_stand_one_a_line(proxy, origin):
    paths = pages(origin, 3)
    lines = f"# a list\n{paths[0]}\n\n  {origin.url}{paths[1]}  \r\n{paths[2]}"
    number = proxy.admin_json("POST", "/warm", body=urllib.parse.urlencode({"urls": lines}, quote_via=urllib.parse.quote).encode())["id"]
    assert counts(through(proxy, number)) == {"urls": 3, "fetched": 3, "there": 0, "not_stored": 0, "failed": 0}
    assert all(proxy.fetch(p).is_hit for p in paths)


def test_a_url_that_is_being_fetched_is_not_asked_for_again(proxy, origin):
    """By a client or by the list itself, which has it thirty times; 16 of a list are under way at once."""
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"x")])
    with proxy.client() as client:
        client.send(build("GET", path))
        origin.wait_for(path)
        number = warm(proxy, *[path] * 30)
        eventually(lambda: proxy.stats()["cache"]["waiters"] == 17, "they wait for the client's fetch")
        gate.open()
        assert client.response().body == b"x"
    assert counts(through(proxy, number)) == {"urls": 30, "fetched": 16, "there": 14, "not_stored": 0, "failed": 0}
    assert origin.count(path) == 1


def test_what_cannot_be_is_counted_and_named(proxy, origin):
    good, bad = pages(origin, 1)[0], origin.on(origin.fresh(), lambda r: [Reply(500)])
    added = proxy.admin_json("POST", "/warm", body=urllib.parse.urlencode({"url": ["no-url", bad, good, "/off/x"]}, doseq=True).encode())
    assert added["no_urls"] == 1 and added["first"].startswith("no-url: ")
    entry = through(proxy, added["id"])
    assert counts(entry) == {"urls": 4, "fetched": 1, "there": 0, "not_stored": 1, "failed": 2}
    assert entry["first_failed"] == "no-url"


def test_a_list_is_cancelled(start_proxy, origin):
    proxy = start_proxy({"warm": {"rate": 1}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    paths = pages(origin, 200)
    first, second = warm(proxy, *paths), warm(proxy, *paths)
    eventually(lambda: told(proxy, first)["state"] == "runs", "it has begun")
    assert told(proxy, second)["state"] == "waits"
    assert proxy.admin_json("POST", f"/warm?cancel={second}") == {"id": second, "cancelled": True}
    assert proxy.admin("POST", f"/warm?cancel={first}").status == 200
    assert through(proxy, first)["state"] == told(proxy, second)["state"] == "cancelled"
    assert proxy.admin("POST", f"/warm?cancel={first}").status == 404
    assert told(proxy, first)["fetched"] < 200 and told(proxy, second)["fetched"] == 0


def test_an_origin_that_asks_for_a_pause_gets_it(start_proxy, origin):
    """What it was asked meanwhile is not lost: it is asked again."""
    proxy = start_proxy({"warm": {"rate": 1000}, "upstream": {"quota_guard": "on"}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    pause = origin.on(origin.fresh(), [Reply(429, {"Retry-After": "2", "Cache-Control": "no-store"})], [Reply(body=b"x")])
    proxy.fetch(pause)
    paths = pages(origin, 5)
    asked = len(origin.requests)
    number = warm(proxy, *paths)
    assert told(proxy, number)["state"] in ("waits", "runs") and len(origin.requests) == asked
    assert counts(through(proxy, number)) == {"urls": 5, "fetched": 5, "there": 0, "not_stored": 0, "failed": 0}


def test_too_many_lists_wait(start_proxy, origin):
    proxy = start_proxy({"warm": {"rate": 1}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    paths = pages(origin, 100)
    for _ in range(8):
        warm(proxy, *paths)
    r = proxy.admin("POST", "/warm?url=/a")
    assert r.status == 503 and "too many lists" in r.json()["detail"]


@pytest.mark.parametrize("target", ["/warm", "/warm?url=", "/warm?urls=%0a%23x", "/warm?cancel=x", "/warm?cancel=1&url=/a", "/warm?prefix=/a"])
def test_bad_parameters_are_problems(proxy, target):
    assert proxy.admin("POST", target).status == 400


def test_a_file_is_fetched_at_the_start(start_proxy, origin, tmp_path):
    paths = pages(origin, 10)
    (tmp_path / "urls").write_text("\n".join(paths) + "\n")
    proxy = start_proxy({"warm": {"rate": 1000, "file": tmp_path / "urls"}, "disk": {"path": tmp_path / "d", "size": "64M"},
                         "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    assert counts(through(proxy, 1))["fetched"] == 10
    proxy.wait_written()
    proxy.restart_from_disk()
    assert counts(through(proxy, 1))["there"] == 10, "the disk has them"
    assert all(origin.count(p) == 1 for p in paths)


def test_what_is_stale_on_disk_is_asked_about_and_what_is_fresh_comes_into_memory(start_proxy, origin, tmp_path):
    stale, fresh = (origin.on(origin.fresh(), [Reply(fields={"ETag": '"1"'}, body=b"x" * 50000)]) for _ in range(2))
    proxy = start_proxy({"warm": {"rate": 1000}, "disk": {"path": tmp_path / "d", "size": "64M"},
                         "route stale": {"match": stale, "ttl": "1ms", "stale_if_error": "1h"},
                         "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    for path in (stale, fresh):
        proxy.fetch(path)
    proxy.wait_written()
    proxy.restart_from_disk()
    assert counts(through(proxy, warm(proxy, stale, fresh))) == {"urls": 2, "fetched": 1, "there": 1, "not_stored": 0, "failed": 0}
    assert origin.count(fresh) == 1 and origin.count(stale) == 2
    assert origin.last(stale).get("If-None-Match") == '"1"', "it was read, and asked about"
    assert "detail" not in proxy.fetch(fresh).cache_status, "from memory"


@pytest.mark.parametrize("how", ["warm", "refresh"])
def test_a_url_of_an_origin_is_asked_of_that_origin(start_proxy, origin, how):
    """Routes tell the upstreams apart by the client's Host, which such a URL does not have."""
    path = origin.on(origin.fresh(), Reply(body=b"default's"))
    with Origin() as theirs:
        theirs.on(path, [Reply(body=b"theirs")])
        proxy = start_proxy({"upstream theirs": {"url": theirs.url}, "route theirs": {"host": "theirs.example", "upstream": "theirs", "ttl": "600s"},
                             "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
        if how == "warm":
            assert counts(through(proxy, warm(proxy, theirs.url + path)))["fetched"] == 1
        else:
            assert proxy.fetch(path, {}, host="theirs.example").body == b"theirs"
            theirs.on(path, [Reply(body=b"theirs anew")])
            assert proxy.refresh(theirs.url + path)["stored"]
        assert origin.count(path) == 0
        r = proxy.fetch(path, {}, host="theirs.example")
        assert r.is_hit and r.body == (b"theirs" if how == "warm" else b"theirs anew")


def test_a_url_with_the_upstreams_own_path_is_asked_for_as_it_is_stored(start_proxy, origin):
    path = origin.on("/base" + origin.fresh(), Reply(body=b"x"))
    proxy = start_proxy({"upstream": {"url": origin.url + "/base", "host_header": "client"}, "route all": {"match": "*", "ttl": "600s"}})
    assert counts(through(proxy, warm(proxy, f"http://api.example{path}")))["fetched"] == 1
    assert origin.count(path) == 1 and origin.count("/base" + path) == 0
    assert proxy.fetch(path.removeprefix("/base"), {}, host="api.example").is_hit
    assert path in str(proxy.admin_json("GET", "/entries"))


@pytest.mark.parametrize("how", ["warm", "refresh"])
def test_a_response_without_end_is_not_waited_for(start_proxy, origin, how):
    """Once it is too large to be stored; nobody reads it."""
    proxy = start_proxy({"cache": {"max_object": "64K"}, "disk": {"max_object": "128K"}, "route all": {"match": "*", "ttl": "600s"}},
                        upstream=origin.url)
    path = origin.on(origin.fresh(), [Send(head(200, {"Transfer-Encoding": "chunked"})), Endless(b"1000\r\n" + b"x" * 4096 + b"\r\n")])
    if how == "warm":
        assert counts(through(proxy, warm(proxy, path)))["not_stored"] == 1
    else:
        told = proxy.refresh(path)
        assert (told["stored"], told["reason"]) == (False, "too-large")
    eventually(lambda: proxy.stats()["cache"]["flights"] == 0, "the fetch has ended")


def test_what_is_stored_from_a_credential_is_not_taken_away_by_a_warm_up_without_one(start_proxy, origin):
    def answer(request):
        if not request.has("authorization"):
            return [Reply(401, {"WWW-Authenticate": "Bearer"}, b"who?")]
        return [Reply(200, {"Cache-Control": "public, max-age=0", "ETag": '"1"'}, b"for all who may")]
    path = origin.on(origin.fresh(), answer)
    proxy = start_proxy({"warm": {"rate": 1000}}, upstream=origin.url)
    proxy.fetch(path, {"Authorization": "Bearer a"})
    assert counts(through(proxy, warm(proxy, path)))["not_stored"] == 1
    proxy.fetch(path, {"Authorization": "Bearer a"})
    assert [r.get("if-none-match") for r in origin.seen(path)] == [None, '"1"', '"1"'], "it was still there to be asked about"


@pytest.fixture
def half_dead(start_proxy, origin):
    """Nobody listens where /dead* leads; all else is the origin's."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield start_proxy({"warm": {"rate": 1000}, "upstream": {"retries": 0}, "cache": {"failure_memory": "0"},
                           "upstream dead": {"url": f"http://127.0.0.1:{kept.getsockname()[1]}", "retries": 0},
                           "route dead": {"match": "/dead*", "upstream": "dead", "ttl": "60s"},
                           "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)


def test_an_upstream_that_is_silent_holds_up_no_other(half_dead, origin):
    """Its URLs stand first, and are tried again for ten minutes."""
    paths = pages(origin, 30)
    first = warm(half_dead, *[f"/dead/{i}" for i in range(40)], *paths[:10])
    second = warm(half_dead, *paths[10:])
    eventually(lambda: all(origin.count(path) == 1 for path in paths), "the others are fetched", 5)
    eventually(lambda: told(half_dead, second)["state"] == "through", "the second list is through")
    assert told(half_dead, first)["fetched"] == 10


def test_an_api_that_fell_silent_is_waited_for_by_the_next_list_too(proxy, origin):
    """It answered the list before."""
    up, = pages(origin, 1)
    assert counts(through(proxy, warm(proxy, up)))["fetched"] == 1
    down = origin.on(origin.fresh(), lambda r: [Reset()])
    number = warm(proxy, down)
    eventually(lambda: origin.count(down) >= 2 * 5, "a fifth try: a call each, and another as its connection was reset", 60)
    assert told(proxy, number)["state"] == "runs"
    assert proxy.admin("POST", f"/warm?cancel={number}").status == 200


def test_what_a_reload_took_away_is_not_tried_again(start_proxy, origin):
    sections = {"warm": {"rate": 1000}, "cache": {"failure_memory": "0"}, "route all": {"match": "*", "ttl": "600s"}}
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))  # nobody listens
        url = f"http://127.0.0.1:{kept.getsockname()[1]}"
        proxy = start_proxy({"upstream dead": {"url": url, "retries": 0}, "route dead": {"match": "/dead*", "upstream": "dead"}, **sections},
                            upstream=origin.url)
        number = warm(proxy, url + "/dead")
        eventually(lambda: told(proxy, number)["state"] == "runs", "it is tried once")
        proxy.write_config(sections)
        assert proxy.admin_json("POST", "/reload")["reloaded"] is True
        assert counts(through(proxy, number))["failed"] == 1


def test_a_list_that_takes_long_takes_the_place_of_no_other(half_dead, origin):
    """More lists follow it than are remembered."""
    paths = pages(origin, 40)
    first = warm(half_dead, *[f"/dead/{i}" for i in range(40)])
    for path in paths:
        assert counts(through(half_dead, warm(half_dead, path)))["fetched"] == 1
    assert told(half_dead, first)["state"] == "runs"
    assert len({e["id"] for e in half_dead.admin_json("GET", "/warmups")["lists"]}) == 16
    assert half_dead.admin("POST", f"/warm?cancel={first}").status == 200
    assert told(half_dead, first)["state"] == "cancelled"


@pytest.mark.parametrize("how", ["warm", "refresh", "explain"])
def test_a_url_that_no_route_leads_to_is_refused(start_proxy, origin, how):
    """No client's request has it, and the upstream of some other route is not asked in its place."""
    path = origin.on(origin.fresh(), Reply(body=b"other's"))
    with Origin() as theirs:
        proxy = start_proxy({"upstream theirs": {"url": theirs.url}, "route theirs": {"match": "/theirs*", "upstream": "theirs"},
                             "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
        url = theirs.url + path
        if how == "warm":
            assert counts(through(proxy, warm(proxy, url)))["failed"] == 1
        else:
            r = proxy.admin("POST" if how == "refresh" else "GET", f"/{how}?url={urllib.parse.quote(url, safe='')}")
            assert r.status == 400 and b"no route leads to this URL" in r.body
        assert proxy.admin("POST", f"/purge?url={urllib.parse.quote(url, safe='')}").status == 200
        assert origin.count(path) == theirs.count(path) == 0


def test_no_more_fetches_begin_in_a_second_than_the_rate_says(start_proxy, origin):
    times = []

    def answer(_):
        times.append(time.monotonic())
        return [Reply(body=b"x")]
    paths = [origin.on(origin.fresh(), answer) for _ in range(30)]
    proxy = start_proxy({"warm": {"rate": 10}, "proxy": {"trusted_proxies": "127.0.0.1"}, "route all": {"match": "*", "ttl": "600s"}},
                        upstream=origin.url)
    number = warm(proxy, *paths)
    eventually(lambda: len(times) >= 25, "two calls a URL: http and https", 20)
    assert proxy.admin("POST", f"/warm?cancel={number}").status == 200
    # A machine that stood still may have let some come together.
    assert times[-1] - times[0] > 1.5, "25 calls at 10 a second"


def test_what_is_there_costs_no_fetch(start_proxy, origin):
    paths = pages(origin, 200)
    proxy = start_proxy({"warm": {"rate": 1}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    with proxy.client() as c:
        for path in paths:
            c.get(path)
    assert counts(through(proxy, warm(proxy, *paths)))["there"] == 200


# ---- The run before ----

@pytest.fixture
def last_run(start_proxy, origin, tmp_path):
    """Starts a proxy that keeps the list. What is not for all never comes into it."""
    def start(**options):
        return start_proxy({"warm": {"rate": 1000, **options}, "disk": {"path": tmp_path / "d", "size": "64M"},
                            "route mine": {"match": "/mine", "scope": "user", "user_from": "header:X-User", "ttl": "600s"},
                            "route tenant": {"match": "/tenant", "key_headers": "X-Tenant", "ttl": "600s"},
                            "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    return start


def used(proxy, origin):
    """A slow page that is asked for 3 times, a fast one 30 times, one once; and others' own. [the first two]"""
    slow = origin.on(origin.fresh(), [Pause(0.5), Reply(body=b"slow")])
    fast, once = pages(origin, 2)
    for path, times, headers in ((slow, 3, {}), (fast, 30, {}), (once, 1, {}), (origin.on("/mine", Reply(body=b"x")), 50, {"X-User": "a"}),
                                 (origin.on("/tenant", Reply(body=b"x")), 50, {"X-Tenant": "a"})):
        for _ in range(times):
            assert proxy.fetch(path, headers).status == 200
    return [slow, fast]


def listed(tmp_path):
    return [line for line in (tmp_path / "d" / "warm").read_text().splitlines() if not line.startswith("#")]


def end(proxy):
    proxy.process.signal(signal.SIGTERM)
    assert proxy.process.wait(20) == 0


def without_segments(tmp_path):
    for segment in (tmp_path / "d").glob("seg-*"):
        segment.unlink()


def test_what_the_run_before_had_most_use_of_is_fetched_at_the_start(last_run, origin, tmp_path):
    proxy = last_run(top=2)
    best = used(proxy, origin)
    end(proxy)
    assert listed(tmp_path) == [f"{origin.url}{path}" for path in best], "by hits times the time that a fetch takes"
    assert (tmp_path / "d" / "warm").stat().st_mode & 0o777 == 0o600
    without_segments(tmp_path)
    proxy.relaunch()
    told = through(proxy, 1)
    assert counts(told) == {"urls": 2, "fetched": 2, "there": 0, "not_stored": 0, "failed": 0} and told["from"] == "last-run"
    assert all(proxy.fetch(path).is_hit and origin.count(path) == 2 for path in best)


def test_what_the_disk_has_of_it_is_brought_into_memory(last_run, origin, tmp_path):
    proxy = last_run(top=2)
    best = used(proxy, origin)
    proxy.wait_written()
    proxy.restart_from_disk()
    assert counts(through(proxy, 1))["there"] == 2
    assert all("detail" not in proxy.fetch(path).cache_status and origin.count(path) == 1 for path in best)


def test_a_short_run_does_not_end_the_list(last_run, origin, tmp_path):
    proxy = last_run(top=3)
    best = used(proxy, origin)
    proxy.restart_from_disk()
    through(proxy, 1)
    new = origin.on(origin.fresh(), Reply(body=b"x"))
    for _ in range(2):
        proxy.fetch(new)
    end(proxy)
    assert listed(tmp_path) == [f"{origin.url}{path}" for path in (new, *best)]


def test_an_upgrade_takes_the_list_along(last_run, origin, tmp_path):
    proxy = last_run(top=2)
    best = used(proxy, origin)
    first = proxy.process.pid
    os.kill(first, signal.SIGUSR2)
    eventually(lambda: " has taken over" in proxy.stderr, "the new process takes over", 20)
    second = int(re.findall(r"process (\d+) has taken over", proxy.stderr)[-1])
    try:
        assert proxy.process.wait(20) == 0
        number = proxy.admin_json("GET", "/warmups")["lists"][-1]["id"]
        assert number > 1, "not taken for a list of the process before"
        assert counts(through(proxy, number))["there"] == 2
        assert listed(tmp_path) == [f"{origin.url}{path}" for path in best]
    finally:
        os.kill(second, signal.SIGTERM)
        eventually(lambda: not is_alive(second), "the new process ends")


@pytest.mark.parametrize("how", ["off", "a line too many", "garbage", "a pipe", "unwritable"])
def test_whatever_lies_where_the_list_should_be_the_proxy_serves(last_run, origin, tmp_path, how):
    (tmp_path / "d").mkdir(mode=0o700)
    path = tmp_path / "d" / "warm"
    wanted = pages(origin, 2)
    if how == "garbage":
        path.write_bytes(b"\0\xff" * 5000 + b"\n" + f"{wanted[0]}\n".encode())
    elif how == "a pipe":
        os.mkfifo(path)
    elif how == "unwritable":
        (tmp_path / "d" / "warm.new").mkdir()
    else:
        path.write_text("\n".join(wanted) + "\n")
    proxy = last_run(top=0 if how == "off" else 1 if how == "a line too many" else 10)
    if how in ("a line too many", "garbage"):
        told = counts(through(proxy, 1))
        assert told["urls"] == (1 if how == "a line too many" else 2) and told["fetched"] == 1
        assert origin.count(wanted[0]) == 1 and origin.count(wanted[1]) == 0
    for _ in range(2):
        assert proxy.fetch(wanted[1]).status == 200
    end(proxy)
    if how == "off":
        assert listed(tmp_path) == wanted, "left as it was"
    elif how == "unwritable":
        assert "warm: the list of what to warm up at the next start can't be kept" in proxy.stderr
    else:
        assert f"{origin.url}{wanted[1]}" in listed(tmp_path)


def test_an_api_that_starts_later_is_waited_for(start_proxy, tmp_path):
    """Nothing of the list is lost: it answers nobody at first, then all."""
    (tmp_path / "urls").write_text("/a\n/b\n/c\n")
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))  # nobody else's meanwhile, and nobody listens
        port = kept.getsockname()[1]
        proxy = start_proxy({"warm": {"rate": 1000, "file": tmp_path / "urls"}, "cache": {"failure_memory": "0"}, "upstream": {"retries": 0},
                             "route all": {"match": "*", "ttl": "600s"}}, upstream=f"http://127.0.0.1:{port}")
        eventually(lambda: proxy.stats()["upstreams"]["default"]["refused"] >= 3, "they were asked for in vain")
        assert counts(told(proxy, 1)) == {"urls": 3, "fetched": 0, "there": 0, "not_stored": 0, "failed": 0}
        with Origin(port=port) as origin:
            for path in ("/a", "/b", "/c"):
                origin.on(path, [Reply(body=b"x")])
            assert counts(through(proxy, 1)) == {"urls": 3, "fetched": 3, "there": 0, "not_stored": 0, "failed": 0}


@pytest.mark.parametrize("url, shown", [
    ("http://u:s3cret@evil/x", "http://...@evil/x"), ("x" + "\u00e9" * 200, "x" + "\u00e9" * 77),
])
def test_what_is_no_url_is_shown_in_part(proxy, url, shown):
    """Not a password, and not half a character."""
    added = proxy.admin_json("POST", "/warm", body=urllib.parse.urlencode({"url": url}).encode())
    assert added["first"].startswith(shown + ": ")
    assert through(proxy, added["id"])["first_failed"] == shown


def test_a_pipe_is_no_file(start_proxy, origin, tmp_path):
    """It would be waited for without end."""
    os.mkfifo(tmp_path / "urls")
    proxy = start_proxy({"warm": {"file": tmp_path / "urls"}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    eventually(lambda: f"warm: {tmp_path}/urls: it is not a file" in proxy.stderr, "the log says so")
    assert proxy.fetch(pages(origin, 1)[0]).status == 200


def test_a_file_that_is_missing_is_told_and_no_more(start_proxy, origin):
    proxy = start_proxy({"warm": {"file": "/nowhere/urls"}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    eventually(lambda: "warm: /nowhere/urls: No such file" in proxy.stderr, "the log says so")
    assert proxy.fetch(pages(origin, 1)[0]).status == 200


@pytest.mark.parametrize("at", [1, 2], ids=["among others", "last"])
def test_a_url_that_brings_nothing_is_given_up_where_the_api_answers_others(proxy, origin, at):
    paths = pages(origin, 2)
    bad = origin.on(origin.fresh(), [Reset()])
    paths.insert(at, bad)
    entry = through(proxy, warm(proxy, *paths))
    assert counts(entry) == {"urls": 3, "fetched": 2, "there": 0, "not_stored": 0, "failed": 1} and entry["first_failed"] == bad
    assert origin.count(bad) >= 4


def test_a_stop_does_not_wait_for_a_list(start_proxy, origin):
    proxy = start_proxy({"warm": {"rate": 1}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    warm(proxy, *pages(origin, 50))
    proxy.stop()
