# SPDX-License-Identifier: MIT
"""Each response that did not come from the cache and was not stored says why, and the same for all: first request or later one."""
import re
from pathlib import Path

import pytest

from support.origin import Close, Reply
from support.proxy import WITH_DISK

pytestmark = pytest.mark.tiers

ROOT = Path(__file__).parents[2]
REASONS = dict(re.findall(r'^REASON\((\w+), "([^"]+)"', (ROOT / "cache/policy/reasons.def").read_text(), re.M))

CONFIG = {
    "cache": {"max_object": "64K", "pass_memory": "60s"},
    "route off": {"match": "/off/*", "cache": "off"},
    "route me": {"match": "/me/*", "ttl": "60s", "scope": "user", "user_from": "header:X-User"},
    "route json": {"match": "/json/*", "ttl": "60s", "store_if": "json"},
    "route graphql": {"match": "/graphql/*", "ttl": "60s", "methods": "GET, POST", "store_if": "graphql"},
    "route parts": {"match": "/parts/*", "range_fill": "pass"},
    "route ttl": {"match": "/ttl/*", "ttl": "60s"},
    "route rest": {"match": "*"},
}


@pytest.mark.parametrize("fields, why, status, body", [
    ({"Cache-Control": "private"}, "private", 200, b"x"),
    ({"Cache-Control": "private, max-age=0, must-revalidate", "ETag": '"1"'}, "private", 200, b"x"),
    ({"Cache-Control": "no-store"}, "no-store", 200, b"x"),
    ({"Set-Cookie": "a=b"}, "set-cookie", 200, b"x"),
    ({"Vary": "*", "Cache-Control": "max-age=9"}, "vary-star", 200, b"x"),
    ({}, "no-lifetime", 200, b"x"),
    ({"Cache-Control": "max-age=9"}, "too-large", 200, bytes(70000)),
    ({"Content-Type": "text/event-stream", "Cache-Control": "max-age=9"}, "event-stream", 200, b"data: x\n\n"),
    ({}, "status", 302, b"x"),
])
def test_the_first_and_each_later_response_says_why(proxy, origin, fields, why, status, body):
    if why == "too-large" and WITH_DISK:
        pytest.skip("the disk tier takes it")
    path = origin.on(origin.fresh(), [Reply(status, fields, body)])
    for _ in range(4):
        r = proxy.fetch(path)
        assert (r.status, r.cache_status["detail"]) == (status, why), r
        assert "stored" not in r.cache_status and not r.is_hit


def test_a_body_that_turns_out_too_large_is_so_from_the_next_request_on(proxy, origin):
    if WITH_DISK:
        pytest.skip("the disk tier takes it")
    path = origin.on(origin.fresh(), [Reply(200, {"Cache-Control": "max-age=9"}, bytes(70000), framing="chunked")])
    proxy.fetch(path)  # its head said nothing of it
    for _ in range(2):
        r = proxy.fetch(path)
        assert (r.cache_status["fwd"], r.cache_status["detail"]) == ("miss", "too-large")


def test_what_passes_because_of_an_earlier_response_says_what_is_true_of_this_one(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"Cache-Control": "private"})], [Reply(200, {"Cache-Control": "no-store"})],
                     [Reply(200, {"Set-Cookie": "a=b"})], [Reply(200, {"Cache-Control": "max-age=60"})])
    seen = [proxy.fetch(path).cache_status for _ in range(4)]
    assert [s["detail"] for s in seen] == ["private", "no-store", "set-cookie", "private"], "the last could have been stored, and passed"
    assert seen[3]["fwd"] == "miss"


@pytest.mark.parametrize("target, how, forward, why", [
    ("/off/", {}, "bypass", "route"),
    ("/x/../off/", {}, "bypass", "path"),
    ("/me/", {}, "bypass", "identity"),
    ("/ttl/", {"method": "POST", "body": b"a=1"}, "method", "method"),
    ("/ttl/", {"method": "DELETE"}, "method", "method"),
    ("/ttl/", {"body": b"a=1", "fields": {"Content-Length": "3"}}, "bypass", "content"),
    ("/graphql/", {"method": "POST", "body": b'{"query": "mutation { a }"}', "fields": {"Content-Type": "application/json"}}, "bypass", "graphql"),
    ("/ttl/", {"fields": {"If-Match": '"1"'}}, "request", "precondition"),
    ("/ttl/", {"method": "HEAD"}, "uri-miss", "head"),
    ("/ttl/", {"fields": {"Cache-Control": "no-store"}}, "uri-miss", "request-no-store"),
    ("/json/", {}, "uri-miss", "body"),
    ("/ttl/", {"fields": {"Cookie": "sid=1"}}, "uri-miss", "Cookie sid: see key_cookies or user_from or shared_credentials"),
    ("/ttl/", {"fields": {"Authorization": "Bearer x"}}, "uri-miss", "Authorization: see key_headers or user_from or shared_credentials"),
])
def test_each_request_that_is_not_answered_from_the_cache_says_why(proxy, origin, target, how, forward, why):
    path = origin.on(target + origin.fresh().strip("/"), [Reply(200, {}, b"x")])
    for forwards in ({forward}, {forward, "miss"}):
        r = proxy.fetch(path, **how)
        assert (r.status, r.cache_status["detail"]) == (200, why) and r.cache_status["fwd"] in forwards, r
        assert "stored" not in r.cache_status


def test_a_range_by_itself_says_so_or_what_its_part_lacks(proxy, origin):
    whole = origin.on("/parts" + origin.fresh(), [Reply(404, {}, b"x")])
    assert proxy.fetch(whole, {"Range": "bytes=0-1"}).cache_status["detail"] == "range"
    part = origin.on("/parts" + origin.fresh(), [Reply(206, {"Content-Range": "bytes 0-1/9", "Cache-Control": "private"}, b"xy")])
    assert proxy.fetch(part, {"Range": "bytes=0-1"}).cache_status["detail"] == "private"


def test_what_is_no_response_of_the_origin_says_so(proxy, origin):
    path = origin.on(origin.fresh(), [Close()])
    assert proxy.fetch(path).cache_status["detail"] == "failure"
    assert proxy.fetch(origin.fresh(), {"Cache-Control": "only-if-cached"}).cache_status["detail"] == "only-if-cached"
    assert proxy.fetch(origin.fresh(), {"Via": proxy.fetch(origin.on(origin.fresh(), [Reply()])).get("Via"), "Max-Forwards": "0"},
                       method="OPTIONS").cache_status["detail"] == "method"


def test_a_stored_response_says_no_reason(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, {}, b"x")])
    assert "detail" not in proxy.fetch(path).cache_status
    assert "detail" not in proxy.fetch(path).cache_status


def test_readme_tells_of_each_reason():
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("| `detail=` |"):].split("\n\n")[0]
    told = set(re.findall(r"`([a-z-]+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:])))
    told_otherwise = {"authorization", "credential"}  # with the field's name
    assert told == set(REASONS.values()) - told_otherwise
