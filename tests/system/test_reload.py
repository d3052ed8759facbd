# SPDX-License-Identifier: MIT
"""Another configuration while requests run: on HUP and by POST /reload, without losing a connection or the cache."""
import os
import signal
import threading

import pytest

from support.origin import Origin, Pause, Reply, Reset, Send, Wait, head, pattern
from support.proxy import eventually

pytestmark = [pytest.mark.tiers, pytest.mark.threads]

ALL = {"route all": {"match": "*", "ttl": "60s"}}


def with_route(**keys):
    return {"route all": {"match": "*", **keys}}


def reload(proxy, sections):
    proxy.write_config(sections)
    return proxy.admin_json("POST", "/reload")


def test_new_lifetimes_count_from_the_response_on(start_proxy, origin):
    proxy = start_proxy(with_route(ttl="60s"))
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    before = proxy.fetch(path + "?1")
    assert reload(proxy, with_route(ttl="7000s"))["reloaded"] is True
    after = proxy.fetch(path + "?2")
    assert before.cache_status["stored"] and after.cache_status["stored"]
    ttls = [proxy.fetch(path + q).cache_status["ttl"] for q in ("?1", "?2")]
    assert ttls[0] <= 60 and 6900 < ttls[1] <= 7000, "what is stored keeps its lifetime"


def test_what_is_stored_stays(start_proxy, origin):
    proxy = start_proxy(ALL)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path)
    for i in range(5):
        reload(proxy, with_route(ttl=f"{i + 1}m"))
        assert proxy.fetch(path).is_hit
    assert origin.count(path) == 1


def test_HUP_loads_it_too(start_proxy, origin):
    proxy = start_proxy(with_route(cache="off"))
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path)
    assert not proxy.fetch(path).is_hit
    proxy.write_config(ALL)
    proxy.process.signal(signal.SIGHUP)
    eventually(lambda: "new configuration is in force" in proxy.stderr, "the log says so")
    eventually(lambda: proxy.fetch(path).is_hit, "the route is cached now")


def test_connections_stay_open(start_proxy, origin):
    proxy = start_proxy(ALL)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    with proxy.client() as c, proxy.client() as silent:
        for i in range(10):
            assert c.get(path).body == b"x"
            reload(proxy, with_route(ttl=f"{i + 1}m"))
        assert silent.get(path).body == b"x"


def test_a_request_in_progress_ends_on_the_old_configuration(start_proxy, origin):
    proxy = start_proxy(with_route(ttl="111s"))
    gate, middle = origin.gate(), origin.gate()
    waiting = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"late")])
    body = pattern(200000)
    streaming = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": len(body)}) + body[:1000]), Wait(middle),
                                           Send(body[1000:])])
    with proxy.client() as a, proxy.client() as b:
        a.start(target=waiting)
        b.start(target=streaming)
        origin.wait_for(waiting)
        half = b.response_head()
        reload(proxy, with_route(ttl="999s"))
        gate.open(), middle.open()
        assert a.response().body == b"late"
        assert b.read_body(half).body == body
    assert proxy.fetch(waiting).cache_status["ttl"] <= 111


@pytest.mark.parametrize("text, what", [
    ("[proxy]\nnonsense = 1\n", "nonsense"),
    ("[route a]\nmatch = *\nttl = sometimes\n", "ttl"),
    ("[cache]\nmemory = 1\n[route a]\nttll = 5s\n[upstream]\nurl = http://x\n", "ttll"),
    ("[proxy\n", ":1"),
], ids=["unknown key", "bad value", "two mistakes", "no section"])
def test_a_bad_file_changes_nothing_and_is_named_line_by_line(start_proxy, origin, text, what):
    proxy = start_proxy(ALL)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path)
    with open(proxy.config_path, "w", encoding="ascii") as f:
        f.write(text)
    r = proxy.admin("POST", "/reload")
    assert r.status == 422
    assert r.get("Content-Type") == "application/problem+json"
    problem = r.json()
    assert problem["status"] == 422 and any(what in line for line in problem["errors"]), problem
    assert all(line.startswith(proxy.config_path + ":") for line in problem["errors"]), problem
    if what == "ttll":
        assert len(problem["errors"]) == 2, "all of them"
    proxy.process.signal(signal.SIGHUP)
    eventually(lambda: "old configuration stays" in proxy.stderr, "the log says so")
    assert what in proxy.stderr
    assert proxy.fetch(path).is_hit and proxy.ready()
    reload(proxy, ALL)


def test_a_missing_file_changes_nothing(start_proxy, origin):
    proxy = start_proxy(ALL)
    with open(proxy.config_path, encoding="ascii") as f:
        text = f.read()
    os.unlink(proxy.config_path)
    assert proxy.admin("POST", "/reload").status == 422
    with open(proxy.config_path, "w", encoding="ascii") as f:
        f.write(text)
    assert proxy.admin("POST", "/reload").status == 200


def test_an_access_log_that_can_not_be_opened_changes_nothing(start_proxy, origin, tmp_path):
    proxy = start_proxy(with_route(ttl="60s"))
    warned = {"route all": {"match": "*", "ttl": "5h"}, "route never": {"match": "/never"}}
    proxy.write_config({"proxy": {"access_log": tmp_path / "no" / "such"}, **warned})
    r = proxy.admin("POST", "/reload")
    assert r.status == 422 and len(r.json()["errors"]) == 1 and "access_log" in r.json()["errors"][0], "and no warning"
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path)
    assert proxy.fetch(path).cache_status["ttl"] <= 60


def test_what_needs_a_restart_is_named(start_proxy):
    proxy = start_proxy(ALL)
    answer = reload(proxy, {"cache": {"memory": "99M", "coalesce": "off"}, "proxy": {"workers": 1}, **ALL})
    assert answer["needs_restart"] == ["[proxy] workers", "[cache] memory", "[cache] coalesce"]
    assert proxy.stats()["workers"] == 2
    proxy.process.signal(signal.SIGHUP)
    eventually(lambda: "next start on only: [cache] memory" in proxy.stderr, "the log names it")
    assert reload(proxy, {"proxy": {"workers": 2}, **ALL})["needs_restart"] == []


def test_nothing_of_the_disk_tier_changes_before_a_restart(start_proxy, tmp_path):
    disk = {"path": tmp_path / "disk", "size": "10M"}
    proxy = start_proxy({"disk": disk, **ALL})
    for key, value in (("size", "20M"), ("threads", 3), ("max_object", "1M"), ("admit", "second_hit"), ("path", tmp_path / "other")):
        assert reload(proxy, {"disk": {**disk, key: value}, **ALL})["needs_restart"] == [f"[disk] {key}"]
    assert reload(proxy, {"disk": {**disk, "path": ""}, **ALL})["needs_restart"] == ["[disk] path"]
    assert reload(proxy, {"disk": disk, **ALL})["needs_restart"] == []


def test_another_upstream_key_keeps_counters_and_breaker(start_proxy):
    guard = {"breaker_errors": "50%", "breaker_requests": 2, "breaker_window": "1h", "breaker_open": "1h", "retries": 0}
    with Origin() as dead:
        dead.on("/x", [Reset()])
        proxy = start_proxy({"upstream": guard, **with_route(cache="off")}, upstream=dead.url)
        for _ in range(4):
            proxy.fetch("/x")
        before = proxy.stats()["upstreams"]["default"]
        assert (before["breaker"], before["started"], before["broken"]) == ("open", 4, 2)
        reload(proxy, {"upstream": {**guard, "first_byte_timeout": "7s"}, **with_route(cache="off")})
        after = proxy.stats()["upstreams"]["default"]
        names = ("breaker", "started", "broken", "withheld", "breaker_opened", "active", "queued")
        assert [after[n] for n in names] == [before[n] for n in names]


def test_limits_of_clients_change_for_open_connections(start_proxy, origin):
    proxy = start_proxy({"proxy": {"max_body": "10"}, **ALL})
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    with proxy.client() as c:
        assert c.get(path).status == 200
        reload(proxy, {"proxy": {"max_body": "1000"}, **ALL})
        assert c.request("POST", path, body=b"x" * 500).status == 200
    with proxy.client() as c:
        reload(proxy, {"proxy": {"max_body": "10"}, **ALL})
        assert c.request("POST", path, body=b"x" * 500).status == 413


def test_idle_timeout_changes(start_proxy, origin):
    proxy = start_proxy(ALL)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    reload(proxy, {"proxy": {"client_idle_timeout": "1s"}, **ALL})
    with proxy.client() as c:
        assert c.get(path).status == 200
        assert c.wait_closed() == b""


def test_fast_path_changes(start_proxy, origin):
    proxy = start_proxy(ALL)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    for road in ("off", "on", "off"):
        reload(proxy, {"cache": {"fast_path": road}, **ALL})
        proxy.fetch(path)
        assert proxy.fetch(path).is_hit


def test_grace_and_log_level_change(start_proxy, origin):
    proxy = start_proxy(ALL, grace="60s")
    reload(proxy, {"proxy": {"shutdown_grace": "300ms", "log_level": "error"}, **ALL})
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply()])
    said = proxy.stderr
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        proxy.process.signal(signal.SIGTERM)
        assert proxy.process.wait(20) == 0
    gate.open()
    assert proxy.stderr == said, "errors only"


def test_token_changes(start_proxy):
    proxy = start_proxy(ALL)
    reload(proxy, {"admin": {"token": "sesame"}, **ALL})
    assert proxy.admin("GET", "/stats").status == 401
    assert proxy.admin("GET", "/stats", fields={"Authorization": "Bearer sesame"}).status == 200
    proxy.write_config(ALL)
    assert proxy.admin("POST", "/reload", fields={"Authorization": "Bearer sesame"}).status == 200
    assert proxy.ready()


# ---- upstreams ----

def test_another_upstream_without_a_restart(start_proxy, origin):
    proxy = start_proxy(ALL)
    with Origin() as other:
        for o, body in ((origin, b"old"), (other, b"new")):
            o.on("/reloaded", [Reply(body=body)])
        assert proxy.fetch("/reloaded").body == b"old"
        assert reload(proxy, {"upstream": {"url": other.url}, **ALL})["needs_restart"] == []
        assert proxy.fetch("/reloaded").body == b"new", "another origin is another key"
        reload(proxy, {"upstream": {"url": origin.url}, **ALL})
        assert proxy.fetch("/reloaded").is_hit


def test_requests_under_way_end_at_the_upstream_where_they_began(start_proxy, origin):
    proxy = start_proxy(with_route(cache="off"))
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"old")])
    with Origin() as other:
        other.on(path, [Reply(body=b"new")])
        clients = [proxy.client() for _ in range(8)]
        for c in clients:
            c.start(target=path)
        origin.wait_for(path, 8)
        for i in range(6):
            reload(proxy, {"upstream": {"url": other.url, "retries": i}, **with_route(cache="off")})
        assert proxy.fetch(path).body == b"new"
        gate.open()
        for c in clients:
            assert c.response().body == b"old"
            c.close()
        reload(proxy, with_route(cache="off"))


def test_waiters_that_are_released_after_a_reload_ask_where_they_began(start_proxy, origin):
    proxy = start_proxy(ALL)
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, {"Cache-Control": "no-store"}, b"old")])
    with Origin() as other:
        other.on(path, [Reply(body=b"new")])
        clients = [proxy.client() for _ in range(20)]
        for c in clients:
            c.start(target=path)
        origin.wait_for(path)
        eventually(lambda: proxy.stats()["cache"]["waiters"] >= 20, "all wait")
        reload(proxy, {"upstream": {"url": other.url}, **ALL})
        gate.open()
        for c in clients:
            assert c.response().body == b"old"
            c.close()
        reload(proxy, ALL)


def test_upstreams_come_and_go(start_proxy, origin):
    proxy = start_proxy(ALL)
    with Origin() as other:
        other.on("/b/x", [Reply(body=b"b")])
        origin.on("/b/x", [Reply(body=b"a")])
        routes = {"route b": {"match": "/b/*", "upstream": "b", "ttl": "60s"}, **ALL}
        files = proxy.open_files()
        for _ in range(10):
            reload(proxy, {"upstream b": {"url": other.url}, **routes})
            assert proxy.fetch("/b/x").body == b"b"
            assert set(proxy.stats()["upstreams"]) == {"default", "b"}
            reload(proxy, ALL)
            assert proxy.fetch("/b/x").body == b"a"
            assert set(proxy.stats()["upstreams"]) == {"default"}
        eventually(lambda: proxy.open_files() <= files + 8, "old connections are closed")


# ---- under load ----

def test_no_request_fails_while_it_is_reloaded_all_the_time(start_proxy, origin):
    proxy = start_proxy(ALL)
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.target.encode())])
    stop, problems, answered = threading.Event(), [], [0] * 4

    def load(n):
        try:
            with proxy.client() as c:
                i = 0
                while not stop.is_set():
                    target = f"{path}?{n}-{i % 50}"
                    r = c.get(target)
                    if r.status != 200 or r.body != target.encode():
                        problems.append((r.status, r.body))
                    i += 1
                    answered[n] = i
        except (OSError, AssertionError) as e:
            problems.append(e)
    threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    with Origin() as other:
        other.on(path, lambda r: [Reply(body=r.target.encode())])
        for i in range(40):
            url = (origin if i % 2 else other).url
            reload(proxy, {"upstream": {"url": url}, **with_route(ttl=f"{i + 1}s", query="keep" if i % 3 else "sort")})
        stop.set()
        for t in threads:
            t.join()
        reload(proxy, ALL)
    assert not problems, problems[:3]
    assert min(answered) > 0


def test_many_HUPs_at_once(start_proxy, origin):
    proxy = start_proxy(ALL)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    for _ in range(200):
        proxy.process.signal(signal.SIGHUP)
    assert proxy.fetch(path).body == b"x"
    proxy.process.signal(signal.SIGHUP)
    proxy.process.signal(signal.SIGTERM)
    assert proxy.process.wait(30) == 0


def test_reload_wants_POST(start_proxy):
    proxy = start_proxy(ALL)
    r = proxy.admin("GET", "/reload")
    assert r.status == 405 and r.get("Allow") == "POST"
    assert proxy.admin("POST", "/reload?x=1").status == 400


@pytest.mark.parametrize("where", ["", "/off"])
@pytest.mark.parametrize("signals", [1, 2], ids=["drain", "at once"])
def test_stop_while_requests_of_before_a_reload_run(start_proxy, origin, where, signals):
    routes = {"route off": {"match": "/off/*", "cache": "off"}, **ALL}
    proxy = start_proxy(routes, grace="300ms")
    gate = origin.gate()
    path = origin.on(where + origin.fresh(), [Wait(gate), Reply(body=b"x")])
    slow = origin.on(where + origin.fresh(), [Reply(body=pattern(4 << 20))])
    with Origin() as other:
        clients = [proxy.client(receive_buffer=4096) for _ in range(12)]
        for i, c in enumerate(clients):
            c.start(target=f"{path}?{i}" if i % 2 else slow)
            if i % 3 == 0:
                reload(proxy, {"upstream": {"url": other.url, "retries": i % 4}, **routes})
        for _ in range(signals):
            proxy.process.signal(signal.SIGTERM)
            eventually(lambda: "stopping" in proxy.stderr, "it stops")
        assert proxy.process.wait(30) == 0
        gate.open()
        for c in clients:
            c.close()


def test_upstreams_that_are_asked_for_one_Host_share_nothing(start_proxy, origin):
    client_host = {"upstream": {"host_header": "client"}, **ALL}
    proxy = start_proxy(client_host)
    with Origin() as other:
        path = origin.on(origin.fresh(), [Reply(body=b"one")])
        other.on(path, [Reply(body=b"two")])
        assert proxy.fetch(path, host="site.example").body == b"one"
        reload(proxy, {"upstream": {"host_header": "client", "url": other.url}, **ALL})
        assert proxy.fetch(path, host="site.example").body == b"two"
        reload(proxy, client_host)
        r = proxy.fetch(path, host="site.example")
        assert r.is_hit and r.body == b"one"


def test_how_long_fetches_take_is_known_after_a_reload(start_proxy, origin):
    """Else the first hits after it count as having saved nothing."""
    proxy = start_proxy(ALL)
    path = origin.on(origin.fresh(), [Pause(0.1), Reply(body=b"x")])
    proxy.fetch(path)
    reload(proxy, {"route new": {"match": "/new/*", "ttl": "5s"}, **ALL})
    assert proxy.stats()["routes"]["all"]["mean_fetch_s"] >= 0.1, "its place among the routes is another now"
    assert proxy.stats()["routes"]["new"]["mean_fetch_s"] == 0
    before = proxy.stats()["routes"]["all"]["upstream_saved_s"]
    assert proxy.fetch(path).is_hit
    assert proxy.stats()["routes"]["all"]["upstream_saved_s"] >= before + 0.1
    mean = proxy.stats()["routes"]["all"]["mean_fetch_s"]
    origin.on(path, [Pause(0.5), Reply()], method="POST")
    proxy.fetch(path, method="POST", body=b"x")
    assert proxy.stats()["routes"]["all"]["mean_fetch_s"] == mean, "a hit saves nobody a write"


def test_a_failed_reload_announces_nothing_for_the_next_start(start_proxy, tmp_path):
    proxy = start_proxy(ALL)
    proxy.write_config({"cache": {"memory": "99M"}, "proxy": {"access_log": tmp_path / "no" / "such"}, **ALL})
    proxy.process.signal(signal.SIGHUP)
    eventually(lambda: "old configuration stays" in proxy.stderr, "the log says so")
    proxy.write_config(ALL)
    reload(proxy, ALL)
    assert "next start" not in proxy.stderr


def test_mistakes_that_are_no_utf8_are_told_all_the_same(start_proxy, origin, tmp_path):
    proxy = start_proxy(ALL, upstream=origin.url)
    proxy.write_config({"proxy": {"access_log": tmp_path / "no" / os.fsdecode(b"caf\xe9")}, **ALL})
    r = proxy.admin("POST", "/reload")
    assert r.status == 422 and any("/caf\ufffd: No such" in line for line in r.json()["errors"]), r.body
    r = proxy.admin("POST", "/purge?m%e9=x")
    assert r.status == 400 and r.json()["detail"], r.body
