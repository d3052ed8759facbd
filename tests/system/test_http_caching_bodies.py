# SPDX-License-Identifier: MIT
"""What the bytes of a response decide: tags made of them, store filters that look into them."""
import pytest

from support.origin import Close, Reply, Send, Wait, head, pattern

CONFIG = {
    "cache": {"max_object": "64K"},
    "route tag": {"match": "/tag/*", "ttl": "60s", "etag": "auto"},
    "route brief": {"match": "/brief/*", "ttl": "100ms", "etag": "auto"},
    "route json": {"match": "/json/*", "ttl": "60s", "store_if": "json"},
    "route graphql": {"match": "/graphql/*", "ttl": "60s", "store_if": "graphql", "methods": "GET, POST"},
    "route both": {"match": "/both/*", "ttl": "60s", "store_if": "json", "etag": "auto"},
}
JSON = {"Content-Type": "application/json"}


# ---- etag = auto ----

@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [0, 10, 40000])
def test_a_response_without_a_tag_gets_one_of_its_bytes(proxy, origin, framing, size):
    path = origin.on("/tag" + origin.fresh(), [Reply(body=pattern(size), framing=framing)])
    first = proxy.fetch(path)
    assert first.body == pattern(size)
    tag = first.get("etag")
    assert tag.startswith('"auto-') and len(tag) == 39
    r = proxy.fetch(path)
    assert r.is_hit and r.get("etag") == tag
    r = proxy.fetch(path, {"If-None-Match": tag})
    assert (r.status, r.get("etag"), r.body) == (304, tag, b"")
    assert proxy.fetch(path, {"If-None-Match": '"x"'}).status == 200
    assert origin.count(path) == 1


def test_the_same_bytes_get_the_same_tag_and_others_another(proxy, origin):
    tags = [proxy.fetch(origin.on("/tag" + origin.fresh(), [Reply(body=body)])).get("etag") for body in (b"a", b"a", b"b")]
    assert tags[0] == tags[1] != tags[2]


def test_the_first_to_ask_can_get_a_304_too(proxy, origin):
    path = origin.on("/tag" + origin.fresh(), [Reply(body=b"a")])
    tag = proxy.fetch(path).get("etag")
    proxy.purge(url=path)
    assert proxy.fetch(path, {"If-None-Match": tag}).status == 304
    assert origin.count(path) == 2 and not origin.last(path).has("if-none-match")


def test_the_upstream_never_sees_a_tag_that_it_did_not_make(proxy, origin):
    old = "Sat, 01 Jan 2000 00:00:00 GMT"
    path = origin.on("/brief" + origin.fresh(), [Reply(fields={"Last-Modified": old, "Cache-Control": "max-age=0"}, body=b"a")],
                     [Reply(304, {"ETag": '"theirs"', "Cache-Control": "max-age=60"})])
    tag = proxy.fetch(path).get("etag")
    r = proxy.fetch(path, {"If-None-Match": tag})
    asked = origin.last(path)
    assert not asked.has("if-none-match") and asked.get("if-modified-since") == old
    assert (r.status, r.get("etag")) == (200, '"theirs"')


def test_a_tag_of_the_upstream_stays(proxy, origin):
    path = origin.on("/tag" + origin.fresh(), [Reply(fields={"ETag": 'W/"x"'}, body=b"a")])
    for _ in range(2):
        assert proxy.fetch(path).all("etag") == ['W/"x"']


def test_what_is_too_long_to_store_is_passed_on_without_a_tag(proxy, origin):
    path = origin.on("/tag" + origin.fresh(), [Reply(body=pattern(300000), framing="chunked")])
    r = proxy.fetch(path)
    assert r.body == pattern(300000) and not r.has("etag")


def test_a_response_that_breaks_off_before_its_tag_is_known_is_502(proxy, origin):
    path = origin.on("/tag" + origin.fresh(), [Send(head(200, {"Content-Length": 10}) + b"12345"), Close()], [Reply(body=b"well")])
    assert proxy.fetch(path).status == 502


def test_errors_get_no_tag(proxy, origin):
    path = origin.on("/tag" + origin.fresh(), [Reply(404, {"Cache-Control": "max-age=60"}, b"no")])
    assert not proxy.fetch(path).has("etag")


# ---- store_if ----

@pytest.mark.parametrize("where, kind, body, stored", [
    ("/json", "application/json", b'{"a": [1, 2.5, null]}', True),
    ("/json", "Application/JSON; charset=utf-8", b'"text"', True),
    ("/json", "application/problem+json", b"{}", True),
    ("/json", "application/json", b'{"errors": []}', True),
    ("/json", "application/json", b'{"a": 1', False),
    ("/json", "application/json", b'{"a": 1} x', False),
    ("/json", "application/json", b"", False),
    ("/json", "application/json", b"<html>", False),
    ("/json", "text/html", b"{}", False),
    ("/json", "application/json-seq", b"{}", False),
    ("/graphql", "application/json", b'{"data": {"errors": 1}}', True),
    ("/graphql", "application/graphql-response+json", b'{"data": {}}', True),
    ("/graphql", "application/json", b'{"data": null, "errors": [{"message": "x"}]}', False),
    ("/graphql", "application/json", b"[]", False),
])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_only_what_the_route_promises_is_stored(proxy, origin, where, kind, body, stored, framing):
    path = origin.on(where + origin.fresh(), [Reply(fields={"Content-Type": kind}, body=body, framing=framing)])
    r = proxy.fetch(path)
    assert (r.status, r.body) == (200, body)
    assert ("stored" in r.cache_status) == stored
    assert stored or r.cache_status["detail"] == "body"
    r = proxy.fetch(path)
    assert r.is_hit == stored and r.body == body
    assert origin.count(path) == (1 if stored else 2)


def test_the_upstream_is_asked_for_what_can_be_looked_into(proxy, origin):
    path = origin.on("/json" + origin.fresh(), [Reply(fields={**JSON, "Content-Encoding": "gzip"}, body=b"\x1f\x8b")])
    proxy.fetch(path, {"Accept-Encoding": "gzip"})
    assert origin.last(path).all("accept-encoding") == ["identity"]
    assert not proxy.fetch(path, {"Accept-Encoding": "gzip"}).is_hit


def test_an_error_passes_the_guard(proxy, origin):
    path = origin.on("/json" + origin.fresh(), [Reply(404, {"Content-Type": "text/html", "Cache-Control": "max-age=60"}, b"no")])
    proxy.fetch(path)
    assert proxy.fetch(path).is_hit


def test_a_good_response_outlives_a_bad_one(proxy, origin):
    path = origin.on("/json" + origin.fresh(), [Reply(fields={**JSON, "Cache-Control": "max-age=0, stale-if-error=60", "ETag": '"1"'},
                                                      body=b"{}")],
                     [Reply(fields=JSON, body=b"oops")], [Reply(304, {"Cache-Control": "max-age=60"})])
    proxy.fetch(path)
    assert proxy.fetch(path).body == b"oops"
    assert proxy.fetch(path).body == b"{}"
    assert origin.last(path).get("if-none-match") == '"1"'


def test_a_guard_and_a_tag_go_together(proxy, origin):
    path = origin.on("/both" + origin.fresh(), [Reply(fields=JSON, body=b"{}")])
    tag = proxy.fetch(path).get("etag")
    assert proxy.fetch(path, {"If-None-Match": tag}).status == 304


def test_waiters_share_what_is_held_back(proxy, origin):
    gate = origin.gate()
    path = origin.on("/both" + origin.fresh(), [Send(head(200, {**JSON, "Content-Length": 4}) + b"[1"), Wait(gate), Send(b"2]")])
    clients = [proxy.client() for _ in range(5)]
    for c in clients:
        c.start("GET", path)
    origin.wait_for(path)
    assert clients[0].nothing_comes()
    gate.open()
    assert {c.response().body for c in clients} == {b"[12]"}
    assert origin.count(path) == 1
    for c in clients:
        c.close()
