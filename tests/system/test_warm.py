# SPDX-License-Identifier: MIT
"""Warm-up: what is missing of a list is fetched, little by little, and what is there is left alone."""
import os
import socket
import urllib.parse

import pytest

from support.origin import Origin, Reply, Reset, Wait
from support.proxy import eventually
from support.rawclient import build

pytestmark = pytest.mark.tiers


@pytest.fixture
def proxy(start_proxy, origin):
    return start_proxy({"cache": {"warm_rate": 1000}, "route off": {"match": "/off*", "cache": "off"},
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
    proxy = start_proxy({"cache": {"warm_rate": 1}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
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
    proxy = start_proxy({"cache": {"warm_rate": 1000}, "upstream": {"quota_guard": "on"}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    pause = origin.on(origin.fresh(), [Reply(429, {"Retry-After": "2", "Cache-Control": "no-store"})], [Reply(body=b"x")])
    proxy.fetch(pause)
    paths = pages(origin, 5)
    asked = len(origin.requests)
    number = warm(proxy, *paths)
    assert told(proxy, number)["state"] in ("waits", "runs") and len(origin.requests) == asked
    assert counts(through(proxy, number)) == {"urls": 5, "fetched": 5, "there": 0, "not_stored": 0, "failed": 0}


def test_too_many_lists_wait(start_proxy, origin):
    proxy = start_proxy({"cache": {"warm_rate": 1}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
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
    proxy = start_proxy({"cache": {"warm_rate": 1000, "warm_file": tmp_path / "urls"}, "disk": {"path": tmp_path / "d", "size": "64M"},
                         "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    assert counts(through(proxy, 1))["fetched"] == 10
    proxy.wait_written()
    proxy.restart_from_disk()
    assert counts(through(proxy, 1))["there"] == 10, "the disk has them"
    assert all(origin.count(p) == 1 for p in paths)


def test_an_api_that_starts_later_is_waited_for(start_proxy, tmp_path):
    """Nothing of the list is lost: it answers nobody at first, then all."""
    (tmp_path / "urls").write_text("/a\n/b\n/c\n")
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))  # nobody else's meanwhile, and nobody listens
        port = kept.getsockname()[1]
        proxy = start_proxy({"cache": {"warm_rate": 1000, "warm_file": tmp_path / "urls", "failure_memory": "0"}, "upstream": {"retries": 0},
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
    proxy = start_proxy({"cache": {"warm_file": tmp_path / "urls"}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    eventually(lambda: f"warm_file: {tmp_path}/urls: it is not a file" in proxy.stderr, "the log says so")
    assert proxy.fetch(pages(origin, 1)[0]).status == 200


def test_a_file_that_is_missing_is_told_and_no_more(start_proxy, origin):
    proxy = start_proxy({"cache": {"warm_file": "/nowhere/urls"}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    eventually(lambda: "warm_file: /nowhere/urls: No such file" in proxy.stderr, "the log says so")
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
    proxy = start_proxy({"cache": {"warm_rate": 1}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    warm(proxy, *pages(origin, 50))
    proxy.stop()
