# SPDX-License-Identifier: MIT
"""Several origins behind one [upstream]: how requests are spread, and that the cache knows one upstream only."""
import contextlib

import pytest

from support.origin import Origin, Reply, Reset, Wait
from support.proxy import Port, eventually

UNCACHED = {"route all": {"match": "*", "cache": "off"}}


@contextlib.contextmanager
def origins(n=3):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Origin()) for _ in range(n)]


def urls(group):
    return " ".join(o.url for o in group)


def counts(group, path):
    return [o.count(path) for o in group]


def on_all(group, path, *scripts):
    for i, o in enumerate(group):
        o.on(path, *(scripts or ([Reply(body=f"origin {i}")],)))
    return path


def test_round_robin_over_workers(start_proxy):
    with origins() as group:
        proxy = start_proxy({**UNCACHED, "upstream": {"balance": "round_robin"}}, upstream=urls(group))
        path = on_all(group, "/x")
        for _ in range(30):
            assert proxy.fetch(path).status == 200
        assert counts(group, path) == [10, 10, 10]


def test_least_connections_avoids_the_busy_one(start_proxy):
    with origins(2) as group:
        proxy = start_proxy({**UNCACHED, "upstream": {"balance": "least_connections"}}, upstream=urls(group))
        on_all(group, "/x")
        gates = [o.gate() for o in group]
        for o, gate in zip(group, gates):
            o.on("/slow", [Wait(gate), Reply(body=b"late")])
        with proxy.client() as c:
            c.start(target="/slow")
            eventually(lambda: any(counts(group, "/slow")), "one origin is busy")
            busy = counts(group, "/slow").index(1)
            for _ in range(6):
                assert proxy.fetch("/x").body == f"origin {1 - busy}".encode()
            for gate in gates:
                gate.open()
            assert c.response().body == b"late"


def test_hash_keeps_a_url_at_its_origin_and_moves_only_the_lost_ones(start_proxy):
    with origins() as group:
        paths = [f"/h{i}" for i in range(60)]
        for path in paths:
            on_all(group, path)
        sections = {**UNCACHED, "upstream": {"balance": "hash", "max_fails": 1, "fail_timeout": "1h"}}
        proxy = start_proxy(sections, upstream=urls(group))
        home = {path: proxy.fetch(path).body for path in paths}
        assert len(set(home.values())) == 3
        assert all(proxy.fetch(path).body == home[path] for path in paths)
        group[1].stop()
        for path in paths:
            r = proxy.fetch(path)
            assert r.status == 200
            if home[path] == b"origin 1":
                assert r.body in (b"origin 0", b"origin 2")
            else:
                assert r.body == home[path]
        group[1].stop = lambda: None  # the end of the test would do it again


def test_the_cache_knows_one_upstream(start_proxy):
    """What one origin answered is a hit whichever would be asked next; purges and listings name the first URL."""
    with origins(2) as group:
        proxy = start_proxy(upstream=urls(group))
        path = on_all(group, "/c", [Reply(200, {"Cache-Control": "max-age=60"}, b"one answer")])
        for _ in range(6):
            assert proxy.fetch(path).body == b"one answer"
        assert sum(counts(group, path)) == 1
        entries = proxy.admin_json("GET", "/entries")["entries"]
        assert [e["url"] for e in entries] == [group[0].url + path]
        proxy.purge(url=path)
        proxy.fetch(path)
        assert sum(counts(group, path)) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refusing_origin_costs_no_request(start_proxy, method):
    closed = Port()
    with origins(1) as group:
        proxy = start_proxy({**UNCACHED, "upstream": {"max_fails": 2, "fail_timeout": "1h"}},
                            upstream=f"http://127.0.0.1:{closed.number} {group[0].url}")
        path = on_all(group, "/x")
        for _ in range(12):
            assert proxy.fetch(path, method=method, body=b"x" if method == "POST" else b"").status == 200
        up = proxy.stats()["upstreams"]["default"]
        assert up["failovers"] == 2 and up["left_out"] == 1
        assert [o["state"] for o in up["origins"]] == ["out", "up"]
    closed.release()


def test_a_reset_before_the_response_goes_to_another_origin(start_proxy):
    with origins(2) as group:
        proxy = start_proxy({**UNCACHED, "upstream": {"max_fails": 0}}, upstream=urls(group))
        group[0].on("/x", [Reset()])
        group[1].on("/x", [Reply(body=b"well")])
        for _ in range(6):
            assert proxy.fetch("/x").body == b"well"
        assert proxy.stats()["upstreams"]["default"]["origins"][0]["state"] == "up"


def test_client_host_goes_to_every_origin(start_proxy):
    with origins(2) as group:
        proxy = start_proxy({**UNCACHED, "upstream": {"host_header": "client"}}, upstream=urls(group))
        on_all(group, "/x")
        for _ in range(4):
            proxy.fetch("/x", host="api.example")
        assert {r.get("Host") for o in group for r in o.seen("/x")} == {"api.example"}


def test_each_origin_gets_its_own_host(start_proxy):
    with origins(2) as group:
        proxy = start_proxy(UNCACHED, upstream=urls(group))
        on_all(group, "/x")
        for _ in range(4):
            proxy.fetch("/x")
        for o in group:
            assert {r.get("Host") for r in o.seen("/x")} == {f"127.0.0.1:{o.port}"}
