# SPDX-License-Identifier: MIT
"""Set-Cookie goes to the client whose request fetched it, and to nobody else, unless the route says set_cookie = store."""
import itertools

import pytest

from support.herd import Herd
from support.origin import Reply, Send, Wait, head
from support.proxy import eventually
from support.rawclient import build

LIVES = {"Cache-Control": "max-age=60"}
CONFIG = {
    "proxy": {"workers": 2},
    "cache": {"max_object": "1M", "memory": "16M"},
    "route store": {"match": "/store/*", "set_cookie": "store"},
    "route pass": {"match": "/pass/*", "set_cookie": "pass"},
    "route strip": {"match": "/strip/*", "set_cookie": "strip"},
    "route tagged": {"match": "/tagged/*", "etag": "auto"},
    "route json": {"match": "/json/*", "store_if": "json"},
    "route user": {"match": "/user/*", "scope": "user", "user_from": "header:X-User"},
}


@pytest.fixture
def proxy(either_path):
    return either_path


def counted(origin, where="", fields=None, body=b"{}"):
    """Each call sets another cookie."""
    n = iter(range(1, 1000))
    return origin.on(where + origin.fresh(), lambda r: [Reply(200, [*(LIVES if fields is None else fields).items(), ("Set-Cookie", f"n={next(n)}"),
                                                                    ("Set-Cookie", "t=1")], body)])


@pytest.mark.parametrize("where", ["", "/tagged", "/json", "/user"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_cookie_is_for_who_fetched_it(proxy, origin, where, method):
    path = counted(origin, where, {**LIVES, "Content-Type": "application/json"})
    r = proxy.fetch(path, {"X-User": "a"})
    assert r.all("Set-Cookie") == ["n=1", "t=1"] and r.cache_status["stored"]
    for _ in range(2):
        r = proxy.fetch(path, {"X-User": "a"}, method)
        assert r.is_hit and not r.has("Set-Cookie"), r.fields
    assert origin.count(path) == 1


def test_set_cookie_as_the_route_has_it(proxy, origin):
    path = counted(origin, "/store")
    assert [proxy.fetch(path).all("Set-Cookie") for _ in range(2)] == [["n=1", "t=1"]] * 2
    path = counted(origin, "/strip")
    assert [proxy.fetch(path).all("Set-Cookie") for _ in range(2)] == [[], []]


def test_of_a_herd_one_gets_it(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, {**LIVES, "Set-Cookie": "n=1"}, b"body")])
    with proxy.client() as leader:
        leader.start(target=path)
        origin.wait_for(path)
        before = proxy.stats()["cache"]["waiters"]
        with Herd(proxy.port, 30, build(target=path)).connect().send() as others:
            eventually(lambda: proxy.stats()["cache"]["waiters"] >= before + 30, "they wait")
            gate.open()
            others.run().check(200, b"body")
            assert not any(n.lower() == "set-cookie" for m in others.members.values() for n, _ in m.fields)
        assert leader.response().all("Set-Cookie") == ["n=1"]
    assert origin.count(path) == 1


LARGE = b"x" * (3 << 20)
NOT_STORED = {"404": (404, {}, b"gone", "length"), "503": (503, {}, b"down", "length"), "large 404": (404, {}, LARGE, "length"),
              "named 503": (503, {"Cache-Control": 'no-cache="Set-Cookie"'}, b"down", "length"), "no lifetime": (200, {}, b"{}", "length"),
              "outgrows": (200, LIVES, LARGE, "chunked"), "large": (200, LIVES, LARGE, "length"),
              "no json": (200, {**LIVES, "Content-Type": "application/json"}, b"nope", "length"), "no-store": (200, {"Cache-Control": "no-store"}, b"", "length")}


@pytest.mark.parametrize("where", ["", "/strip", "/tagged", "/json", "/pass"])
@pytest.mark.parametrize("answer", NOT_STORED.values(), ids=list(NOT_STORED))
def test_what_a_herd_shares_without_storing_it_has_no_cookie_of_another(proxy, origin, where, answer):
    gate, n = origin.gate(), itertools.count(1)
    status, fields, body, framing = answer
    path = origin.on(where + origin.fresh(), lambda r: [Wait(gate), Reply(status, {**fields, "Set-Cookie": f"n={next(n)}", "Set-Cookie2": "old=1"},
                                                                          body, framing=framing)])
    with proxy.client() as leader:
        leader.start(target=path)
        origin.wait_for(path)
        before = proxy.stats()["cache"]["waiters"]
        with Herd(proxy.port, 12, build(target=path)).connect().send() as others:
            eventually(lambda: proxy.stats()["cache"]["waiters"] >= before + 12, "they wait")
            gate.open()
            others.run().check(status, body)
            given = [v for m in others.members.values() for name, v in m.fields if name.lower() == "set-cookie"]
        given += leader.response().all("Set-Cookie")
    assert len(set(given)) == len(given) <= origin.count(path), "each goes to who fetched it"


def test_nobody_who_joins_a_growing_response_gets_it(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {**LIVES, "Set-Cookie": "n=1", "Content-Length": 10}) + b"12345"), Wait(gate),
                                      Send(b"67890")])
    with proxy.client() as leader, proxy.client() as late:
        leader.start(target=path)
        assert leader.response_head().get("Set-Cookie") == "n=1"
        late.start(target=path)
        assert not late.response_head().has("Set-Cookie")
        gate.open()
    assert origin.count(path) == 1


@pytest.mark.parametrize("etag", ['"v"', None])
def test_a_304s_cookie_is_for_who_validated(proxy, origin, etag):
    """Without a lifetime, and with one: it is never handed on."""
    n = iter(range(1, 1000))
    validator = {"ETag": etag} if etag else {"Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}
    path = origin.on(origin.fresh(), lambda r: [Reply(304 if r.has("If-None-Match") or r.has("If-Modified-Since") else 200,
                                                      {**LIVES, **validator, "Set-Cookie": f"n={next(n)}"}, b"body")])
    assert proxy.fetch(path).all("Set-Cookie") == ["n=1"]
    proxy.purge(url=path, soft=True)
    r = proxy.fetch(path)
    assert (r.body, r.cache_status["fwd-status"], r.all("Set-Cookie")) == (b"body", 304, ["n=2"])
    r = proxy.fetch(path)
    assert r.is_hit and not r.has("Set-Cookie")


def test_a_heads_cookie_is_not_kept(proxy, origin):
    path = counted(origin)
    proxy.fetch(path)
    proxy.purge(url=path, soft=True)
    assert proxy.fetch(path, method="HEAD").all("Set-Cookie") == ["n=2", "t=1"]
    proxy.refresh(path)
    r = proxy.fetch(path)
    assert r.is_hit and not r.has("Set-Cookie")


def test_a_part_is_kept_without_it(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(206, {**LIVES, "ETag": '"v"', "Content-Range": "bytes 0-3/9", "Set-Cookie": "n=1"}, b"0123")])
    part = {"Range": "bytes=0-3"}
    assert proxy.fetch(path, part).all("Set-Cookie") == ["n=1"]
    r = proxy.fetch(path, part)
    assert r.is_hit and not r.has("Set-Cookie")


@pytest.mark.parametrize("fields", [{}, {"Cache-Control": "no-cache", "ETag": '"v"'}, {"Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}])
def test_without_a_lifetime_of_its_own_it_is_not_stored(proxy, origin, fields):
    path = counted(origin, "", fields)
    for n in (1, 2):
        r = proxy.fetch(path)
        assert not r.is_hit and r.all("Set-Cookie") == [f"n={n}", "t=1"]


def test_who_gets_a_response_that_finds_no_room_gets_the_cookie_too(start_proxy, origin):
    p = start_proxy({"cache": {"memory": "64K", "max_object": "64K"}})
    path = counted(origin, body=b"x" * 65000)
    for n in (1, 2):
        r = p.fetch(path)
        assert len(r.body) == 65000 and not r.is_hit and r.all("Set-Cookie") == [f"n={n}", "t=1"]


@pytest.mark.parametrize("size", [100, 3 << 20])
def test_the_disk_tier_has_no_cookie_either(start_proxy, origin, tmp_path, size):
    p = start_proxy({"disk": {"path": str(tmp_path / "disk"), "size": "64M"}, "cache": {"max_object": "1M"}})
    path = counted(origin, body=b"x" * size)
    assert p.fetch(path).all("Set-Cookie") == ["n=1", "t=1"]
    eventually(lambda: p.stats()["disk"]["objects"] >= 1, "it is on disk")
    p.restart_from_disk()
    r = p.fetch(path)
    assert r.is_hit and len(r.body) == size and not r.has("Set-Cookie")
