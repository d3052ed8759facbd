# SPDX-License-Identifier: MIT
"""Origins that fail: left out and tried again, checked actively; the circuit breaker; a herd at a dead origin."""

from support.herd import Herd
from support.origin import Hang, Origin, Pause, Reply, Reset
from support.proxy import Port, eventually
from support.rawclient import build

UNCACHED = {"route all": {"match": "*", "cache": "off"}}
STALE = {"Cache-Control": "max-age=0, stale-if-error=600", "ETag": '"1"'}


def upstream(proxy):
    return proxy.stats()["upstreams"]["default"]


def states(proxy):
    return [o["state"] for o in upstream(proxy)["origins"]]


def test_an_origin_that_recovers_is_tried_by_one_request_and_comes_back(start_proxy):
    with Origin() as a, Origin() as b:
        a.on("/x", [Reset()])
        b.on("/x", [Reply(body=b"b")])
        proxy = start_proxy({**UNCACHED, "upstream": {"max_fails": 1, "fail_timeout": "2s"}}, upstream=f"{a.url} {b.url}")
        while a.count("/x") == 0:
            assert proxy.fetch("/x").body == b"b"
        assert states(proxy) == ["out", "up"]
        for _ in range(10):
            assert proxy.fetch("/x").body == b"b"
        a.on("/x", [Reply(body=b"a")])
        eventually(lambda: proxy.fetch("/x").body == b"a", "the first origin is asked again")
        assert states(proxy) == ["up", "up"]


def test_5xx_counts_where_it_is_said_so(start_proxy):
    with Origin() as a, Origin() as b:
        a.on("/x", [Reply(502, body=b"bad")])
        b.on("/x", [Reply(body=b"b")])
        guarded = {"max_fails": 2, "fail_timeout": "1h", "fail_on_5xx": "on"}
        proxy = start_proxy({**UNCACHED, "upstream": guarded}, upstream=f"{a.url} {b.url}")
        bad = sum(proxy.fetch("/x").status == 502 for _ in range(12))
        assert bad == 2 and states(proxy) == ["out", "up"]
        proxy = start_proxy({**UNCACHED, "upstream": {"max_fails": 2}}, upstream=f"{a.url} {b.url}")
        assert sum(proxy.fetch("/x").status == 502 for _ in range(12)) == 6


def test_active_checks_find_a_sick_origin_before_a_request_does(start_proxy):
    with Origin() as a, Origin() as b:
        for o in (a, b):
            o.on("/up", [Reply(204)])
            o.on("/x", [Reply(body=b"x")])
        settings = {"health_path": "/up", "health_interval": "50ms", "health_timeout": "1s", "max_fails": 2}
        proxy = start_proxy({**UNCACHED, "upstream": settings}, upstream=f"{a.url} {b.url}")
        a.wait_for("/up", 3)
        b.wait_for("/up", 3)
        assert states(proxy) == ["up", "up"]
        a.on("/up", [Reply(503)])
        eventually(lambda: states(proxy) == ["down", "up"], "the first origin is down")
        last = upstream(proxy)["origins"][0]["last_error"]
        assert (last["error"], last["request_id"]) == ("destination_unavailable", None) and "answered with 503" in last["detail"]
        seen = a.count("/x")
        for _ in range(8):
            assert proxy.fetch("/x").status == 200
        assert a.count("/x") == seen
        a.on("/up", [Hang()])
        a.wait_for("/up", a.count("/up") + 2)
        assert states(proxy) == ["down", "up"]
        a.on("/up", [Reply(301, {"Location": "/elsewhere"})])
        eventually(lambda: states(proxy) == ["up", "up"], "the first origin is back")
        assert a.count("/elsewhere") == 0
        assert upstream(proxy)["health_failures"] >= 2


def test_checks_are_made_once_an_interval_however_many_workers(start_proxy):
    """Eight of them ask no more often than one does in the same time."""
    with Origin() as a:
        for workers in (1, 8):
            a.on(f"/by-{workers}", [Reply(204)])
            start_proxy({"upstream": {"health_path": f"/by-{workers}", "health_interval": "200ms"}}, upstream=a.url, workers=workers)
        a.wait_for("/by-8", 2)
        of_one, of_eight = a.count("/by-1"), a.count("/by-8")
        a.wait_for("/by-1", of_one + 10)
        assert a.count("/by-8") - of_eight < 3 * 10


BREAKER = {"breaker_errors": "50%", "breaker_requests": 5, "breaker_window": "60s", "retries": 0}


def test_the_breaker_opens_answers_503_with_retry_after_and_closes_after_a_probe(start_proxy):
    with Origin() as a:
        a.on("/x", [Reset()])
        proxy = start_proxy({**UNCACHED, "upstream": {**BREAKER, "breaker_open": "2s"}}, upstream=a.url)
        for _ in range(5):
            assert proxy.fetch("/x").status == 502
        asked = a.count("/x")
        for method in ("GET", "POST", "GET"):
            r = proxy.fetch("/x", method=method)
            assert r.status == 503 and 1 <= int(r.get("Retry-After")) <= 2
        assert a.count("/x") == asked
        up = upstream(proxy)
        assert up["breaker"] == "open" and up["breaker_opened"] == 1 and up["withheld"] == 3
        a.on("/x", [Reply(body=b"well")])
        eventually(lambda: proxy.fetch("/x").status == 200, "the breaker closes")
        assert upstream(proxy)["breaker"] == "closed"
        assert all(proxy.fetch("/x").status == 200 for _ in range(5))


def test_a_probe_that_fails_leaves_the_breaker_open(start_proxy):
    with Origin() as a:
        a.on("/x", [Reset()])
        proxy = start_proxy({**UNCACHED, "upstream": {**BREAKER, "breaker_open": "2s"}}, upstream=a.url)
        for _ in range(5):
            proxy.fetch("/x")
        asked = a.count("/x")
        eventually(lambda: proxy.fetch("/x").status == 502, "a probe")
        assert a.count("/x") == asked + 1
        assert proxy.fetch("/x").status == 503


def test_slowness_opens_the_breaker(start_proxy):
    with Origin() as a:
        a.on("/x", [Pause(0.1), Reply(body=b"late")])
        proxy = start_proxy({**UNCACHED, "upstream": {**BREAKER, "breaker_slow": "50ms", "breaker_open": "1h"}},
                            upstream=a.url)
        for _ in range(5):
            assert proxy.fetch("/x").status == 200
        assert proxy.fetch("/x").status == 503


def herd_at(proxy, path, n):
    with Herd(proxy.port, n, build(target=path)) as herd:
        herd.connect().send().run()
        return [m.status for m in herd.members.values()]


def test_slowness_alone_opens_the_breaker_at_half(start_proxy):
    """What is not slow may take what it takes on a machine that does other things too."""
    with Origin() as a:
        a.on("/slow", [Pause(2.2), Reply(body=b"late")])
        a.on("/x", [Reply(body=b"x")])
        keys = {"breaker_slow": "2s", "breaker_requests": 4, "breaker_window": "1h", "breaker_open": "1h"}
        proxy = start_proxy({**UNCACHED, "upstream": keys}, upstream=a.url)
        assert [proxy.fetch("/x").status for _ in range(3)] + herd_at(proxy, "/slow", 2) == [200] * 5
        assert upstream(proxy)["breaker"] == "closed"
        proxy.fetch("/slow")
        assert upstream(proxy)["breaker"] == "open" and proxy.fetch("/x").status == 503


def test_while_the_breaker_is_open_stale_if_error_answers_the_leader_too(start_proxy):
    with Origin() as a:
        a.on("/old", [Reply(200, STALE, b"old")])
        a.on("/x", [Reset()])
        proxy = start_proxy({"upstream": {**BREAKER, "breaker_open": "1h"}, "route x": {"match": "/x", "cache": "off"}},
                            upstream=a.url)
        assert proxy.fetch("/old").body == b"old"
        for _ in range(12):
            proxy.fetch("/x")
        assert upstream(proxy)["breaker"] == "open"
        asked = a.count("/old")
        for _ in range(3):
            r = proxy.fetch("/old")
            assert (r.status, r.body) == (200, b"old")
        assert a.count("/old") == asked
        assert proxy.fetch("/new").status == 503


def test_a_herd_at_a_dead_origin_costs_few_calls_and_leaks_nothing(start_proxy):
    closed = Port()
    proxy = start_proxy({"upstream": {"retries": 0}, "cache": {"failure_memory": "1h"}},
                        upstream=f"http://127.0.0.1:{closed.number}")
    herd_at(proxy, "/warm", 200)
    eventually(lambda: proxy.stats()["clients"]["open"] == 0, "all clients are gone")
    files = proxy.open_files()
    before = upstream(proxy)["started"]
    for i in range(3):
        for status in herd_at(proxy, f"/dead-{i}", 300):
            assert status == 502
        for status in herd_at(proxy, f"/dead-{i}", 300):
            assert status == 502
    assert upstream(proxy)["started"] - before <= 6  # one a path, two where workers met
    eventually(lambda: proxy.stats()["clients"]["open"] == 0, "all clients are gone")
    stats = proxy.stats()
    assert stats["cache"]["flights"] == 0 and stats["cache"]["waiters"] == 0
    assert upstream(proxy)["active"] == 0 and upstream(proxy)["queued"] == 0
    eventually(lambda: proxy.open_files() <= files, "descriptors are given back")
    closed.release()


def test_a_herd_of_different_urls_at_a_dead_origin_meets_the_breaker(start_proxy):
    closed = Port()
    proxy = start_proxy({"upstream": {**BREAKER, "breaker_open": "1h"}}, upstream=f"http://127.0.0.1:{closed.number}")
    statuses = [proxy.fetch(f"/u{i}").status for i in range(60)]
    assert statuses[:5] == [502] * 5 and statuses[6:] == [503] * 54
    closed.release()
