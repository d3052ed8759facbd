# SPDX-License-Identifier: MIT
"""Each response that did not come from the cache and was not stored says why, and the same for all: first request or later one."""
import re
import urllib.parse
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


@pytest.mark.parametrize("reply, detail, remedy", [
    (Reply(200, {"ETag": '"1"'}, b"x"), "no-lifetime", "ttl would give it one"),
    (Reply(200, {"ETag": '"1"', "Cache-Control": "no-cache"}, b"x"), "no-cache", "ttl with override = no-cache"),
    (Reply(200, {"ETag": '"1"', "Cache-Control": "max-age=0"}, b"x"), "no-lifetime", "ttl_force, or"),
])
def test_what_is_stored_and_asked_about_each_time_says_why(proxy, origin, reply, detail, remedy):
    path = origin.on(origin.fresh(), [reply], [Reply(304, {"ETag": '"1"'})])
    for fwd in ("uri-miss", "stale"):
        said = proxy.fetch(path).cache_status
        assert (said["fwd"], said["detail"]) == (fwd, detail)
    assert remedy in told(proxy, path)["summary"]


def test_an_error_is_told_the_key_that_counts_for_errors(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(404, {}, b"x")])
    assert proxy.fetch(path).cache_status["detail"] == "status"
    assert "ttl_404" in proxy.refresh(path)["summary"]


def told(proxy, path, **more):
    return proxy.admin_json("GET", "/explain?" + urllib.parse.urlencode([("path", path), *more.pop("fields", []), *more.items()]))


@pytest.mark.parametrize("fields, why, remedy", [
    ({"Cache-Control": "private"}, "private", "override = private"), ({"Cache-Control": "no-store"}, "no-store", "ttl_force"),
    ({"Set-Cookie": "a=b"}, "set-cookie", "override = set-cookie"), ({}, "no-lifetime", "ttl would"), ({"Vary": "*", "Cache-Control": "max-age=9"}, "vary-star", None),
])
def test_explain_and_refresh_tell_what_cache_status_said(proxy, origin, fields, why, remedy):
    path = origin.on(origin.fresh(), [Reply(200, fields, b"x")])
    assert told(proxy, path)["summary"].startswith("Not cached: nothing is stored for it now")
    assert proxy.fetch(path).cache_status["detail"] == why
    explained, refreshed = told(proxy, path), proxy.refresh(path)
    assert (explained["reason"], refreshed["reason"], explained["tier"]) == (why, why, None)
    assert explained["summary"] == refreshed["summary"] and explained["summary"].startswith("Not cached: ")
    line = line_of(proxy, "[route rest]")
    assert remedy is None or (remedy in explained["summary"] and f"({proxy.config_path}:{line})" in explained["summary"])
    assert origin.count(path) == 2


def line_of(proxy, text):
    return 1 + Path(proxy.config_path).read_text().splitlines().index(text)


def test_explain_names_the_line_of_the_key(proxy):
    said = told(proxy, "/off/x")
    assert said["summary"] == f"Not cached: the route has cache = off. Remove cache = off ({proxy.config_path}:{line_of(proxy, 'cache = off')})."
    assert list(said)[0] == "summary"


def test_explain_says_what_would_answer(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), lambda r: [Reply(200, {"Vary": "X-Kind", "Cache-Tag": "t"}, r.get("X-Kind", ""))])
    for kind in ("a", "b"):
        proxy.fetch(path, {"X-Kind": kind})
    said = told(proxy, path, header="X-Kind: a")
    assert re.fullmatch(r"Cached: memory answers with 200, fresh for (59|60) s\.", said["summary"]) and said["tier"] == "memory"
    assert [e.get("answers", False) for e in said["memory"]] == [False, True], "the newest is first"
    other = told(proxy, path, header="X-Kind: c")
    assert "other variants" in other["summary"] and other["key"] == said["key"]
    assert told(proxy, path + "?a")["key"] != said["key"]
    proxy.purge(soft=True, url=path)
    assert "purged softly" in told(proxy, path, header="X-Kind: a")["summary"]
    proxy.purge(url=path)
    assert ("unless it" if WITH_DISK else "nothing is stored") in told(proxy, path, header="X-Kind: a")["summary"]
    assert origin.count(path) == 2


def test_explain_of_a_request_with_a_credential_names_the_field_and_the_key(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, {}, b"x")])
    proxy.fetch(path)
    said = told(proxy, path, fields=[("header", "X-A: 1"), ("header", "Cookie: theme=dark")])
    assert said["summary"].startswith("Not cached: the request bears a credential") and "Cookie theme: see key_cookies" in said["summary"]
    assert f"({proxy.config_path}:{line_of(proxy, '[route ttl]')})" in said["summary"] and "dark" not in str(said)


@pytest.mark.parametrize("path, more, why", [
    ("/ttl/x", {"method": "POST", "body": "a"}, "method"), ("/ttl/x", {"body": "a"}, "content"), ("/ttl/x", {"header": "If-Match: *"}, "precondition"),
    ("/graphql/x", {"method": "POST", "body": '{"query":"mutation{a}"}', "header": "Content-Type: application/json"}, "graphql"),
    ("/me/x", {}, "identity"),
])
def test_explain_takes_a_request_as_it_is(proxy, path, more, why):
    said = told(proxy, path, **more)
    assert said["reason"] == why and said["summary"].startswith("Not cached: ") and said["cacheable"] is (why == "precondition")


def test_explain_of_a_graphql_query_finds_what_its_body_keys(proxy, origin):
    query = '{"query":"{a}"}'
    path = origin.on("/graphql" + origin.fresh(), [Reply(200, {"Content-Type": "application/json"}, b'{"data": 1}')], method="POST")
    proxy.fetch(path, {"Content-Type": "application/json"}, method="POST", body=query.encode())
    said = told(proxy, path, method="POST", body=query, header="Content-Type: application/json")
    assert said["summary"].startswith("Cached: ")
    assert told(proxy, path, method="POST", body=query + " ", header="Content-Type: application/json")["memory"] == []


def test_explain_of_what_has_to_be_confirmed_each_time(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, {"Cache-Control": "no-cache"}, b"x")])
    proxy.fetch(path)
    said = told(proxy, path)
    assert "asked each time" in said["summary"] and "override = no-cache" in said["summary"] and said["tier"] is None
    assert said["memory"][0]["answers"]
    fresh = origin.on("/ttl" + origin.fresh(), [Reply(200, {}, b"x")])
    proxy.fetch(fresh)
    assert "client_refresh = off" in told(proxy, fresh, header="Cache-Control: no-cache")["summary"]


def test_the_page_tells_of_each_reason():
    page = (ROOT / "docs/use/cache-status.md").read_text()
    table = page[page.index("| `detail=` |"):].split("\n\n")[0]
    told = set(re.findall(r"`([a-z-]+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:])))
    told_otherwise = {"authorization", "credential"}  # with the field's name
    assert told == set(REASONS.values()) - told_otherwise
