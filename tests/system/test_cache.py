# SPDX-License-Identifier: MIT
"""What is stored, for how long, for whom, and what clients see of it (RFC 9111, RFC 9211)."""
import email.utils
import time
from statistics import median

import pytest

from support.origin import Close, Hang, Reply, Reset, Send, Wait, pattern
from support.proxy import SLOW, WITH_DISK, eventually
from support.rawclient import build

pytestmark = pytest.mark.tiers

memory_alone = pytest.mark.skipif(WITH_DISK, reason="counts what memory forgets, which the disk tier brings back")

CONFIG = {
    "cache": {"max_object": "64K"},
    "upstream": {"first_byte_timeout": "10s", "stall_timeout": "10s"},
    "route off": {"match": "/off/*", "cache": "off"},
    "route cc": {"match": "/cc/*", "ttl": "off", "client_refresh": "off"},
    "route refresh": {"match": "/refresh/*", "ttl": "60s", "client_refresh": "on"},
    "route ttl": {"match": "/ttl/*", "ttl": "60s"},
    "route brief": {"match": "/brief/*", "ttl": "300ms", "stale_while_revalidate": "0s", "stale_if_error": "0s"},
    "route force": {"match": "/force/*", "ttl_force": "60s"},
    "route force-brief": {"match": "/force-brief/*", "ttl_force": "300ms"},
    "route min": {"match": "/min/*", "ttl_min": "60s"},
    "route max": {"match": "/max/*", "ttl_max": "300ms"},
    "route errors": {"match": "/errors/*", "ttl": "60s", "ttl_404": "60s", "ttl_5xx": "60s"},
    "route swr": {"match": "/swr/*", "ttl": "300ms", "stale_while_revalidate": "60s"},
    "route sie": {"match": "/sie/*", "ttl": "300ms", "stale_if_error": "60s"},
    "route q-keep": {"match": "/q-keep/*", "ttl": "60s", "query": "keep"},
    "route q-sort": {"match": "/q-sort/*", "ttl": "60s", "query": "sort"},
    "route q-ignore": {"match": "/q-ignore/*", "ttl": "60s", "query": "ignore"},
    "route q-only": {"match": "/q-only/*", "ttl": "60s", "query": "only:a,b"},
    "route q-drop": {"match": "/q-drop/*", "ttl": "60s", "query": "drop:x,utm_*"},
    "route headers": {"match": "/headers/*", "ttl": "60s", "key_headers": "X-Tenant, X-Forwarded-Host"},
    "route cookies": {"match": "/cookies/*", "ttl": "60s", "shared_credentials": "other", "key_cookies": "sid, lang"},
    "route sc-auto": {"match": "/sc-auto/*", "ttl": "60s", "set_cookie": "auto"},
    "route sc-store": {"match": "/sc-store/*", "ttl": "60s", "set_cookie": "store"},
    "route sc-strip": {"match": "/sc-strip/*", "ttl": "60s", "set_cookie": "strip"},
    "route sc-pass": {"match": "/sc-pass/*", "ttl": "60s", "set_cookie": "pass"},
    "route user": {"match": "/user/*", "ttl": "60s", "scope": "user", "user_from": "header:X-User"},
    "route user-cookie": {"match": "/user-cookie/*", "ttl": "60s", "scope": "user", "user_from": "cookie:sid"},
    "route bodies": {"match": "/bodies/*", "ttl": "60s", "methods": "GET, HEAD, POST, QUERY"},
    "route item": {"match": "/shop/items/{id}", "ttl": "60s", "invalidates": "/shop/items, /shop/items?*, /shop/items/{id}/*"},
    "route shop": {"match": "/shop/*", "ttl": "60s"},
    "route rest": {"match": "*", "ttl": "60s"},
}


def date(seconds_from_now=0):
    return email.utils.formatdate(time.time() + seconds_from_now, usegmt=True)


def twice(proxy, origin, where, status, response, request=None, method="GET", body=b"body", **kwargs):
    """Asks two times and tells what the second response was and how often the origin was asked."""
    path = origin.on(where + origin.fresh(), [Reply(status, response, body)])
    for _ in range(2):
        r = proxy.fetch(path, request, method=method, **kwargs)
        assert r.status == status
        if method != "HEAD":
            assert r.body == body
    return r, origin.count(path)


# ---- what may be stored ----

STORED = {
    "max-age": (200, {"Cache-Control": "max-age=60"}, {}),
    "max-age in capitals": (200, {"cache-control": "MAX-AGE=60"}, {}),
    "max-age among others": (200, {"Cache-Control": "foo, max-age=60 , bar=\"a, no-store\""}, {}),
    "max-age on the second line": (200, [("Cache-Control", "public"), ("Cache-Control", "max-age=60")], {}),
    "max-age larger than 2^31": (200, {"Cache-Control": "max-age=4294967296"}, {}),
    "s-maxage": (200, {"Cache-Control": "s-maxage=60"}, {}),
    "s-maxage over max-age": (200, {"Cache-Control": "max-age=0, s-maxage=60"}, {}),
    "s-maxage over Expires": (200, {"Cache-Control": "s-maxage=60", "Expires": "0"}, {}),
    "max-age over Expires": (200, {"Cache-Control": "max-age=60", "Expires": "0"}, {}),
    "Expires": (200, {"Expires": date(6000)}, {}),
    "Expires against Date": (200, {"Date": date(-10), "Expires": date(6000)}, {}),
    "Age below max-age": (200, {"Cache-Control": "max-age=60", "Age": "30"}, {}),
    "204": (204, {"Cache-Control": "max-age=60"}, {}),
    "301": (301, {"Cache-Control": "max-age=60", "Location": "/"}, {}),
    "302": (302, {"Cache-Control": "max-age=60", "Location": "/"}, {}),
    "404": (404, {"Cache-Control": "max-age=60"}, {}),
    "410": (410, {"Cache-Control": "max-age=60"}, {}),
    "Authorization and public": (200, {"Cache-Control": "public, max-age=60"}, {"Authorization": "Basic eDp5"}),
    "Authorization and s-maxage": (200, {"Cache-Control": "s-maxage=60"}, {"Authorization": "Basic eDp5"}),
    "Authorization and must-revalidate": (200, {"Cache-Control": "max-age=60, must-revalidate"}, {"Authorization": "Basic eDp5"}),
    "Set-Cookie with a lifetime": (200, {"Cache-Control": "public, max-age=60", "Set-Cookie": "a=b"}, {}),
    "CDN-Cache-Control over no-store": (200, {"Cache-Control": "no-store", "CDN-Cache-Control": "max-age=60"}, {}),
    "request no-cache where clients have no say": (200, {"Cache-Control": "max-age=60"}, {"Cache-Control": "no-cache"}),
    "request Pragma where clients have no say": (200, {"Cache-Control": "max-age=60"}, {"Pragma": "no-cache"}),
    "request cookie": (200, {"Cache-Control": "max-age=60"}, {"Cookie": "a=b"}),
}

NOT_STORED = {
    "no-store": (200, {"Cache-Control": "no-store"}, {}),
    "no-store with max-age": (200, {"Cache-Control": "max-age=60, no-store"}, {}),
    "no-store in capitals": (200, {"Cache-Control": "max-age=60, No-Store"}, {}),
    "no-store on the second line": (200, [("Cache-Control", "max-age=60"), ("Cache-Control", "no-store")], {}),
    "private": (200, {"Cache-Control": "private, max-age=60"}, {}),
    "max-age 0": (200, {"Cache-Control": "max-age=0"}, {}),
    "s-maxage 0": (200, {"Cache-Control": "max-age=60, s-maxage=0"}, {}),
    "max-age of letters": (200, {"Cache-Control": "max-age=abc"}, {}),
    "max-age negative": (200, {"Cache-Control": "max-age=-60"}, {}),
    "max-age in another directive's text": (200, {"Cache-Control": "x=\"max-age=60\""}, {}),
    "Expires past": (200, {"Expires": date(-60)}, {}),
    "Expires 0": (200, {"Expires": "0"}, {}),
    "Expires of letters": (200, {"Expires": "soon"}, {}),
    "Expires equal to Date": (200, {"Date": date(), "Expires": date()}, {}),
    "Age past max-age": (200, {"Cache-Control": "max-age=60", "Age": "61"}, {}),
    "Date long past": (200, {"Cache-Control": "max-age=60", "Date": date(-3600)}, {}),
    "no-cache": (200, {"Cache-Control": "no-cache, max-age=60"}, {}),
    "Vary *": (200, {"Cache-Control": "max-age=60", "Vary": "*"}, {}),
    "Vary * among others": (200, {"Cache-Control": "max-age=60", "Vary": "Accept, *"}, {}),
    "Authorization": (200, {"Cache-Control": "max-age=60"}, {"Authorization": "Basic eDp5"}),
    "500": (500, {}, {}),
    "503": (503, {}, {}),
    "400": (400, {}, {}),
    "403": (403, {}, {}),
    "206 of another unit": (206, {"Cache-Control": "max-age=60", "Content-Range": "items 0-3/10"}, {}),
}


@pytest.mark.parametrize("name", STORED)
def test_stored(proxy, origin, name):
    status, response, request = STORED[name]
    r, asked = twice(proxy, origin, "/cc", status, response, request, body=b"" if status == 204 else b"body")
    assert asked == 1
    assert r.is_hit, r.fields


@pytest.mark.parametrize("name", NOT_STORED)
def test_not_stored_for_reuse(proxy, origin, name):
    status, response, request = NOT_STORED[name]
    r, asked = twice(proxy, origin, "/cc", status, response, request)
    assert asked == 2
    assert not r.is_hit, r.fields


def test_other_methods_are_not_cached(proxy, origin):
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "FOO", "QUERY"):
        r, asked = twice(proxy, origin, "/cc", 200, {"Cache-Control": "max-age=60"}, method=method)
        assert asked == 2, method
        assert r.cache_status.get("fwd") in ("method", "bypass"), (method, r.fields)


@pytest.mark.parametrize("where, status, response, stored", [
    ("/ttl", 200, {}, True),
    ("/ttl", 200, {"Cache-Control": "max-age=0"}, False),
    ("/ttl", 200, {"Cache-Control": "no-store"}, False),
    ("/ttl", 200, {"Cache-Control": "private"}, False),
    ("/ttl", 404, {}, False),
    ("/ttl", 400, {}, False),
    ("/ttl", 500, {}, False),
    ("/errors", 404, {}, True),
    ("/errors", 503, {}, True),
    ("/errors", 500, {}, True),
    ("/errors", 400, {}, False),
    ("/errors", 503, {"Cache-Control": "no-store"}, False),
    ("/force", 200, {"Cache-Control": "max-age=0"}, True),
    ("/force", 200, {"Cache-Control": "max-age=1"}, True),
    ("/force", 200, {"Expires": "0"}, True),
    ("/min", 200, {"Cache-Control": "max-age=0"}, True),
    ("/min", 200, {"Cache-Control": "no-store"}, False),
    ("/off", 200, {"Cache-Control": "max-age=60"}, False),
    ("/sc-auto", 200, {"Set-Cookie": "a=b"}, False),
    ("/sc-auto", 200, {"Set-Cookie": "a=b", "Cache-Control": "max-age=60"}, True),
    ("/sc-store", 200, {"Set-Cookie": "a=b"}, True),
    ("/sc-strip", 200, {"Set-Cookie": "a=b"}, True),
    ("/sc-pass", 200, {"Set-Cookie": "a=b", "Cache-Control": "max-age=60"}, False),
])
def test_what_a_route_says_about_storing(proxy, origin, where, status, response, stored):
    r, asked = twice(proxy, origin, where, status, response)
    assert (asked, r.is_hit) == ((1, True) if stored else (2, False)), r.fields


def test_set_cookie_as_the_route_has_it(proxy, origin):
    fields = {"Set-Cookie": "a=b", "Cache-Control": "max-age=60"}
    for where, expected in (("/sc-store", ["a=b"]), ("/sc-strip", []), ("/sc-pass", ["a=b"])):
        r, _ = twice(proxy, origin, where, 200, fields)
        assert r.all("Set-Cookie") == expected, where


@pytest.mark.parametrize("where, response", [
    ("/brief", {}), ("/force-brief", {"Cache-Control": "max-age=600"}), ("/max", {"Cache-Control": "max-age=600"}),
    ("/cc", {"Cache-Control": "max-age=1"}), ("/cc", {"Expires": None}),
], ids=["ttl", "ttl_force", "ttl_max", "max-age", "Expires"])
def test_stored_response_expires(proxy, origin, where, response):
    path = origin.on(where + origin.fresh(), lambda r: [Reply(200, {**response, **(
        {"Expires": date(1), "Date": date()} if "Expires" in response else {})}, str(r.at))])
    first = proxy.fetch(path).body
    eventually(lambda: proxy.fetch(path).body != first, "it expires")
    assert origin.count(path) == 2


def test_ttl_min_and_force_outlast_a_short_lifetime(proxy, origin):
    paths = [origin.on(where + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=1"}, b"1")], [Reply(body=b"2")])
             for where in ("/min", "/force")]
    control = origin.on("/cc" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=1"}, b"1")], [Reply(body=b"2")])
    for path in (*paths, control):
        proxy.fetch(path)
    eventually(lambda: proxy.fetch(control).body == b"2", "the one without a minimum expires")
    for path in paths:
        assert proxy.fetch(path).body == b"1"


# ---- Age, Date, Cache-Status ----

def test_age_grows_and_counts_what_the_origin_said(proxy, origin):
    path = origin.on("/cc" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=60", "Age": "30"}, b"x")])
    proxy.fetch(path)
    r = proxy.fetch(path)
    assert 30 <= r.age <= 35
    assert r.all("Age") == [str(r.age)]
    assert 20 <= r.cache_status["ttl"] <= 30
    eventually(lambda: proxy.fetch(path).age > r.age, "the age grows")


def test_date_of_a_hit_is_the_origins(proxy, origin):
    when = date(-5)
    path = origin.on("/cc" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=60", "Date": when}, b"x")])
    proxy.fetch(path)
    r = proxy.fetch(path)
    assert r.all("Date") == [when]
    assert r.age >= 5


def test_cache_status_tells_what_happened(proxy, origin):
    path = origin.on("/cc" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=60"}, b"x")])
    miss, hit = proxy.fetch(path), proxy.fetch(path)
    assert miss.cache_status["fwd"] in ("miss", "uri-miss")
    assert miss.cache_status["stored"] is True
    assert miss.cache_status.get("fwd-status", 200) == 200
    assert not miss.is_hit
    assert hit.is_hit and "fwd" not in hit.cache_status
    assert 50 <= hit.cache_status["ttl"] <= 60
    assert hit.cache_status.get("detail", "memory") == "memory"
    bypass, _ = twice(proxy, origin, "/off", 200, {})
    assert bypass.cache_status.get("fwd") == "bypass"
    private, _ = twice(proxy, origin, "/cc", 200, {"Cache-Control": "private"})
    assert "stored" not in private.cache_status
    origins_own = origin.on("/cc" + origin.fresh(), [Reply(200, {"Cache-Status": "Inner; hit", "Cache-Control": "max-age=60"})])
    for _ in range(2):
        r = proxy.fetch(origins_own)
        members = ", ".join(r.all("Cache-Status"))
        assert members.startswith("Inner; hit, memoproxy"), members
        assert members.count("memoproxy") == 1


def test_via_stands_once_in_a_hit(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, {"Via": "1.0 inner"})])
    for _ in range(3):
        via = ", ".join(proxy.fetch(path).all("Via"))
        assert via.startswith("1.0 inner, 1.1 ") and via.count("memoproxy") == 1


def test_fields_of_a_hit_are_those_of_the_origin(proxy, origin):
    fields = [("X-A", "1"), ("X-A", "2"), ("Content-Type", "text/x; a=\"b\""), ("X-Empty", ""), ("ETag", '"e"')]
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, fields + [("Connection", "X-Hop"), ("X-Hop", "1"),
                                                                   ("Keep-Alive", "timeout=1")], b"x")])
    for _ in range(2):
        r = proxy.fetch(path)
        assert [(n, v) for n, v in r.fields if n in dict(fields)] == fields
        assert not r.has("X-Hop")


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_hit_has_the_whole_body_however_it_came(proxy, origin, framing):
    body = pattern(50000)
    path = origin.on("/ttl" + origin.fresh(), [Reply(body=body, framing=framing, pieces=1000)])
    assert proxy.fetch(path).body == body
    r = proxy.fetch(path)
    assert (r.body, r.is_hit, r.get("Content-Length")) == (body, True, "50000")


# ---- Vary ----

def test_vary_keeps_variants_apart(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), lambda r: [Reply(200, {"Vary": "Accept-Language, X-Mode"},
                                                               f"{r.get('Accept-Language')} {r.get('X-Mode')}")])
    requests = [{"Accept-Language": l, "X-Mode": m} for l in ("de", "en", "fr") for m in ("a", "b")]
    requests += [{"Accept-Language": "de"}, {"X-Mode": "a"}, {}, {"X-Mode": ""}]
    for _ in range(3):
        for fields in requests:
            r = proxy.fetch(path, fields)
            assert r.body == f"{fields.get('Accept-Language')} {fields.get('X-Mode')}".encode()
    assert origin.count(path) == len(requests)
    assert r.is_hit


def test_vary_miss_is_told(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, {"Vary": "X-Mode"})])
    proxy.fetch(path, {"X-Mode": "a"})
    assert proxy.fetch(path, {"X-Mode": "b"}).cache_status["fwd"] in ("vary-miss", "miss")


def test_vary_is_not_moved_by_insignificant_blanks_and_case(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, {"vary": "ACCEPT-ENCODING"})])
    for value in ("gzip, deflate", "gzip,deflate", "gzip ,\tdeflate", "gzip, deflate"):
        proxy.fetch(path, {"accept-encoding": value})
    assert origin.count(path) == 1


def test_vary_repeated_request_lines_are_one_list(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, {"Vary": "X-Mode"})])
    proxy.fetch(path, [("X-Mode", "a"), ("X-Mode", "b")])
    assert proxy.fetch(path, [("X-Mode", "a, b")]).is_hit
    assert not proxy.fetch(path, [("X-Mode", "a")]).is_hit


def test_vary_that_changes_does_not_mix_responses(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), lambda r: [
        Reply(200, {"Vary": "X-A"} if r.get("X-A") == "1" else {"Vary": "X-B"}, f"{r.get('X-A')} {r.get('X-B')}")])
    for _ in range(2):
        for a in ("1", "2"):
            for b in ("1", "2"):
                body = proxy.fetch(path, {"X-A": a, "X-B": b}).body
                # Responses to X-A: 1 serve every request with that; the others serve their X-B, whatever its X-A.
                allowed = (b"1 1", b"1 2", f"2 {b}".encode()) if a == "1" else (f"2 {b}".encode(),)
                assert body in allowed, (a, b, body)


def test_many_variants_are_bounded(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), lambda r: [Reply(200, {"Vary": "X-Mode"}, r.get("X-Mode"))])
    for i in range(300):
        assert proxy.fetch(path, {"X-Mode": str(i)}).body == str(i).encode()
    assert proxy.fetch(path, {"X-Mode": "299"}).is_hit


# ---- staleness ----

def until_stale(proxy, origin, path):
    """Asks until the origin has been asked a second time; that response."""
    n = origin.count(path)

    def asked_again():
        r = proxy.fetch(path)
        return r if origin.count(path) > n or not r.is_hit else None
    return eventually(asked_again, "the stored answer expires")


@pytest.mark.parametrize("where, fields", [("/swr", {}), ("/cc", {"Cache-Control": "max-age=1, stale-while-revalidate=60"})])
def test_stale_while_revalidate_answers_at_once_and_fetches_once_behind(proxy, origin, where, fields):
    gate = origin.gate()
    path = origin.on(where + origin.fresh(), [Reply(200, fields, b"old")],
                     [Wait(gate), Reply(200, {"Cache-Control": "max-age=60"}, b"new")])
    assert proxy.fetch(path).body == b"old"

    def behind():
        assert proxy.fetch(path).body == b"old"
        return origin.count(path) == 2
    eventually(behind, "a background fetch")
    for _ in range(20):
        r = proxy.fetch(path)
        assert r.body == b"old"
    assert r.cache_status.get("ttl", -1) <= 0
    assert origin.count(path) == 2
    gate.open()
    eventually(lambda: proxy.fetch(path).body == b"new", "the new answer takes over")
    assert origin.count(path) == 2


def test_stale_while_revalidate_sends_validators(proxy, origin):
    path = origin.on("/swr" + origin.fresh(), [Reply(200, {"ETag": '"1"'}, b"same")],
                     lambda r: [Reply(304 if r.get("If-None-Match") == '"1"' else 500,
                                      {"ETag": '"1"', "Cache-Control": "max-age=60"})])
    proxy.fetch(path)
    eventually(lambda: proxy.fetch(path).body == b"same" and origin.count(path) == 2, "a background fetch")
    eventually(lambda: proxy.fetch(path).cache_status.get("ttl", 0) > 30, "it is fresh again")
    assert proxy.fetch(path).body == b"same"


def test_failed_background_fetch_leaves_the_stale_response_in_use(proxy, origin):
    path = origin.on("/swr" + origin.fresh(), [Reply(body=b"old")], [Reply(500, {}, b"broken")])
    proxy.fetch(path)
    eventually(lambda: proxy.fetch(path).body == b"old" and origin.count(path) >= 2, "a background fetch")
    for _ in range(5):
        r = proxy.fetch(path)
        assert (r.status, r.body) == (200, b"old")


@pytest.mark.parametrize("failure", [
    [Reply(500, {}, b"broken")], [Reply(503, {}, b"broken")], [Reset()], [Send(b"junk"), Close()],
], ids=["500", "503", "reset", "garbage"])
@pytest.mark.parametrize("where, fields", [("/sie", {}), ("/cc", {"Cache-Control": "max-age=1, stale-if-error=60"})])
def test_stale_if_error_stands_in(proxy, origin, where, fields, failure):
    path = origin.on(where + origin.fresh(), [Reply(200, fields, b"old")], failure)
    proxy.fetch(path)
    r = until_stale(proxy, origin, path)
    assert (r.status, r.body) == (200, b"old")
    assert proxy.fetch(path).body == b"old"


def test_stale_if_error_does_not_cover_a_client_error(proxy, origin):
    path = origin.on("/sie" + origin.fresh(), [Reply(body=b"old")], [Reply(404, {}, b"gone")])
    proxy.fetch(path)
    assert until_stale(proxy, origin, path).status == 404


def test_stale_response_serves_while_the_origin_is_unreachable_but_not_for_its_errors(proxy, origin):
    """RFC 9111 4.2.4: a cache that is disconnected may, a response of 500 is a response."""
    path = origin.on("/brief" + origin.fresh(), [Reply(200, {}, b"old")], [Reset()])
    proxy.fetch(path)
    r = until_stale(proxy, origin, path)
    assert (r.status, r.body, r.cache_status["fwd"], r.cache_status["detail"]) == (200, b"old", "stale", "failure")
    path = origin.on("/brief" + origin.fresh(), [Reply(200, {}, b"old")], [Reply(500, {}, b"broken")])
    proxy.fetch(path)
    assert until_stale(proxy, origin, path).status == 500


def test_a_fresh_response_that_stands_in_is_not_called_stale(proxy, origin):
    """RFC 9211 2.2: `request`, as it was the client's Cache-Control that sent it to the origin."""
    path = origin.on(origin.fresh(), [Reply(200, {"Cache-Control": "max-age=600"}, b"kept")], [Reset()])
    proxy.fetch(path)
    r = proxy.fetch(path, {"Cache-Control": "no-cache"})
    assert (r.status, r.body, r.cache_status["fwd"], r.cache_status["detail"]) == (200, b"kept", "request", "failure")


@pytest.mark.parametrize("fields", [{"Cache-Control": "max-age=1, must-revalidate, stale-if-error=60"},
                                    {"Cache-Control": "max-age=1, proxy-revalidate"}])
def test_without_permission_nothing_stale_is_served(proxy, origin, fields):
    path = origin.on("/brief" + origin.fresh(), [Reply(200, fields, b"old")], [Reset()])
    proxy.fetch(path)
    assert until_stale(proxy, origin, path).status in (502, 504)


def test_must_revalidate_forbids_the_routes_stale_rules(proxy, origin):
    for where in ("/swr", "/sie"):
        path = origin.on(where + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=1, must-revalidate"}, b"old")],
                         [Reply(500, {}, b"broken")])
        proxy.fetch(path)
        assert until_stale(proxy, origin, path).status == 500


# ---- revalidation ----

@pytest.mark.parametrize("validator, condition", [
    ({"ETag": '"v1"'}, ("If-None-Match", '"v1"')),
    ({"ETag": 'W/"v1"'}, ("If-None-Match", 'W/"v1"')),
    ({"Last-Modified": "Mon, 06 May 2024 10:00:00 GMT"}, ("If-Modified-Since", "Mon, 06 May 2024 10:00:00 GMT")),
], ids=["ETag", "weak ETag", "Last-Modified"])
def test_stale_response_is_validated_and_renewed_by_a_304(proxy, origin, validator, condition):
    path = origin.on("/brief" + origin.fresh(), [Reply(200, {**validator, "X-Gen": "1", "X-Old": "1"}, b"body")],
                     lambda r: [Reply(304 if r.get(condition[0]) == condition[1] else 500,
                                      {**validator, "X-Gen": "2", "Cache-Control": "max-age=60"})])
    proxy.fetch(path)
    r = until_stale(proxy, origin, path)
    assert (r.status, r.body, r.get("X-Gen"), r.get("X-Old")) == (200, b"body", "2", "1")
    assert (r.cache_status.get("fwd"), r.cache_status.get("fwd-status", 304)) == ("stale", 304)
    again = proxy.fetch(path)
    assert (again.body, again.get("X-Gen"), again.is_hit) == (b"body", "2", True)
    assert again.get("Content-Length") == "4"
    assert origin.count(path) == 2


def test_validation_that_finds_a_new_response_replaces_the_old(proxy, origin):
    path = origin.on("/brief" + origin.fresh(), [Reply(200, {"ETag": '"1"', "X-Old": "1"}, b"one")],
                     [Reply(200, {"ETag": '"2"', "Cache-Control": "max-age=60"}, b"two")])
    proxy.fetch(path)
    r = until_stale(proxy, origin, path)
    assert (r.body, r.has("X-Old")) == (b"two", False)
    assert proxy.fetch(path).is_hit


def test_no_cache_responses_are_validated_every_time(proxy, origin):
    path = origin.on("/cc" + origin.fresh(), lambda r: [
        Reply(304, {"ETag": '"1"', "Cache-Control": "no-cache"}) if r.get("If-None-Match") == '"1"' else
        Reply(200, {"ETag": '"1"', "Cache-Control": "no-cache"}, b"body")])
    for i in range(4):
        r = proxy.fetch(path)
        assert (r.status, r.body) == (200, b"body")
        assert origin.count(path) == i + 1


def test_304_with_another_etag_does_not_renew_what_is_stored(proxy, origin):
    path = origin.on("/brief" + origin.fresh(), [Reply(200, {"ETag": '"1"'}, b"one")],
                     lambda r: [Reply(304, {"ETag": '"2"', "Cache-Control": "max-age=60"})] if r.has("If-None-Match")
                     else [Reply(200, {"ETag": '"2"', "Cache-Control": "max-age=60"}, b"two")])
    proxy.fetch(path)
    r = until_stale(proxy, origin, path)
    assert r.status in (200, 502)
    eventually(lambda: proxy.fetch(path).body == b"two", "the answer that the origin means")


def test_304_nobody_asked_for_is_not_stored(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), [Reply(304, {"ETag": '"1"', "Cache-Control": "max-age=60"})],
                     [Reply(body=b"real")])
    assert proxy.fetch(path).status == 502
    eventually(lambda: proxy.fetch(path).body == b"real", "the real answer")


# ---- conditions and ranges of clients ----

ETAG, MODIFIED, LATER, EARLIER = ('"v1"', "Mon, 06 May 2024 10:00:00 GMT", "Mon, 06 May 2024 10:00:01 GMT",
                                  "Mon, 06 May 2024 09:59:59 GMT")
BODY = b"0123456789"


@pytest.fixture
def stored(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, {"ETag": ETAG, "Last-Modified": MODIFIED, "X-A": "1",
                                                          "Content-Type": "text/plain"}, BODY)])
    proxy.fetch(path)
    yield path
    assert origin.count(path) == 1, "the cache could have answered"


@pytest.mark.parametrize("fields, status", [
    ({"If-None-Match": ETAG}, 304),
    ({"If-None-Match": "W/" + ETAG}, 304),
    ({"If-None-Match": f'"x", {ETAG}, "y"'}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"x"'}, 200),
    ({"If-None-Match": "v1"}, 200),
    ({"If-None-Match": '"x, v1"'}, 200),
    ({"If-Modified-Since": MODIFIED}, 304),
    ({"If-Modified-Since": LATER}, 304),
    ({"If-Modified-Since": EARLIER}, 200),
    ({"If-Modified-Since": "yesterday"}, 200),
    ({"If-None-Match": '"x"', "If-Modified-Since": LATER}, 200),
    ({"If-None-Match": ETAG, "If-Modified-Since": EARLIER}, 304),
])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_are_answered_from_the_cache(proxy, stored, fields, status, method):
    r = proxy.fetch(stored, fields, method=method)
    assert r.status == status
    assert r.get("ETag") == ETAG
    assert r.body == (BODY if status == 200 and method == "GET" else b"")


@pytest.mark.parametrize("fields, status, body, content_range", [
    ({"Range": "bytes=0-3"}, 206, b"0123", "bytes 0-3/10"),
    ({"Range": "bytes=4-"}, 206, b"456789", "bytes 4-9/10"),
    ({"Range": "bytes=-3"}, 206, b"789", "bytes 7-9/10"),
    ({"Range": "bytes=-99"}, 206, BODY, "bytes 0-9/10"),
    ({"Range": "bytes=0-99"}, 206, BODY, "bytes 0-9/10"),
    ({"Range": "bytes=9-9"}, 206, b"9", "bytes 9-9/10"),
    ({"Range": "bytes=10-"}, 416, None, "bytes */10"),
    ({"Range": "bytes=-0"}, 416, None, "bytes */10"),
    ({"Range": "bytes=3-1"}, 200, BODY, None),
    ({"Range": "lines=0-3"}, 200, BODY, None),
    ({"Range": "bytes=a-b"}, 200, BODY, None),
    ({"Range": "bytes="}, 200, BODY, None),
    ({"Range": "bytes=0-3", "If-Range": ETAG}, 206, b"0123", "bytes 0-3/10"),
    ({"Range": "bytes=0-3", "If-Range": '"x"'}, 200, BODY, None),
    ({"Range": "bytes=0-3", "If-Range": "W/" + ETAG}, 200, BODY, None),
    ({"Range": "bytes=0-3", "If-Range": EARLIER}, 200, BODY, None),
    ({"Range": "bytes=0-3", "If-None-Match": ETAG}, 304, b"", None),
])
def test_ranges_are_answered_from_the_cache(proxy, stored, fields, status, body, content_range):
    with proxy.client() as c:
        r = c.get(stored, fields)
        assert (r.status, r.get("Content-Range")) == (status, content_range)
        if body is not None:
            assert r.body == body
        assert c.get(stored).body == BODY, "the connection is still in step"


def test_several_ranges_are_answered_in_parts_or_whole(proxy, stored):
    r = proxy.fetch(stored, {"Range": "bytes=0-1,4-5"})
    if r.status == 206:
        assert r.get("Content-Type").startswith("multipart/byteranges")
        assert b"Content-Range: bytes 0-1/10" in r.body and b"\r\n\r\n45\r\n" in r.body
    else:
        assert (r.status, r.body) == (200, BODY)


def test_a_great_many_ranges_cost_little(proxy, stored):
    r = proxy.fetch(stored, {"Range": "bytes=" + ",".join("0-" for _ in range(1000))})
    assert r.status in (200, 206, 416)
    assert len(r.body) < 20000


def test_condition_on_a_miss_does_not_reach_the_origin_nor_spoil_the_store(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), lambda r: [Reply(304)] if r.has("If-None-Match") or r.has("If-Modified-Since")
                     else [Reply(200, {"ETag": ETAG}, BODY)])
    r = proxy.fetch(path, {"If-None-Match": ETAG, "If-Modified-Since": MODIFIED})
    assert r.status in (200, 304)
    assert proxy.fetch(path).body == BODY
    assert origin.count(path) == 1


def test_range_on_a_miss_never_leaves_a_part_as_the_whole(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), lambda r: [
        Reply(206, {"Content-Range": "bytes 0-3/10", "ETag": ETAG}, b"0123") if r.has("Range") else
        Reply(200, {"ETag": ETAG}, BODY)])
    r = proxy.fetch(path, {"Range": "bytes=0-3"})
    assert (r.status, r.body) in ((206, b"0123"), (200, BODY))
    for _ in range(2):
        r = proxy.fetch(path)
        assert (r.status, r.body) == (200, BODY)
    r = proxy.fetch(path, {"Range": "bytes=2-3"})
    assert (r.status, r.body) == (206, b"23")


# ---- HEAD, only-if-cached, refreshing ----

def test_head_is_answered_from_a_stored_get(proxy, stored):
    r = proxy.fetch(stored, method="HEAD")
    assert (r.status, r.get("X-A"), r.get("Content-Length"), r.body, r.is_hit) == (200, "1", "10", b"", True)


def test_head_first_does_not_leave_an_empty_response_for_get(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, {"Content-Length": "10"}, BODY)])
    assert proxy.fetch(path, method="HEAD").get("Content-Length") == "10"
    for _ in range(2):
        assert proxy.fetch(path).body == BODY


def test_only_if_cached_never_asks_the_origin(proxy, origin):
    path = origin.on("/refresh" + origin.fresh(), [Reply(body=b"x")])
    assert proxy.fetch(path, {"Cache-Control": "only-if-cached"}).status == 504
    assert origin.count(path) == 0
    proxy.fetch(path)
    r = proxy.fetch(path, {"Cache-Control": "only-if-cached"})
    assert (r.status, r.body) == (200, b"x")


@pytest.mark.parametrize("fields", [{"Cache-Control": "no-cache"}, {"Cache-Control": "max-age=0"}, {"Pragma": "no-cache"}])
def test_client_refresh(proxy, origin, fields):
    for where, refreshed in (("/refresh", True), ("/cc", False)):
        path = origin.on(where + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=60"}, b"1")],
                         [Reply(200, {"Cache-Control": "max-age=60"}, b"2")])
        proxy.fetch(path)
        r = proxy.fetch(path, fields)
        assert r.body == (b"2" if refreshed else b"1")
        if refreshed:
            assert r.cache_status.get("fwd") == "request"
        assert proxy.fetch(path).body == r.body, "what the refresh brought is what others get"


@pytest.mark.parametrize("directive, hit", [("max-stale=10", True), ("min-fresh=10", True), ("min-fresh=1000", False),
                                            ("max-age=1000", True)])
def test_request_directives_where_clients_have_a_say(proxy, origin, directive, hit):
    path = origin.on("/refresh" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=60"})])
    proxy.fetch(path)
    assert proxy.fetch(path, {"Cache-Control": directive}).is_hit == hit


def test_request_no_store_leaves_nothing_behind(proxy, origin):
    path = origin.on("/refresh" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=60"})])
    proxy.fetch(path, {"Cache-Control": "no-store"})
    proxy.fetch(path)
    assert origin.count(path) in (1, 2)
    assert proxy.fetch(path).is_hit


# ---- keys ----

@pytest.mark.parametrize("where, queries, sent", [
    ("/q-keep", ["b=2&a=1", "a=1&b=2", "", None], ["b=2&a=1", "a=1&b=2", "", None]),
    ("/q-sort", ["b=2&a=1", "a=1&b=2"], ["a=1&b=2"]),
    ("/q-sort", ["a=2&a=1", "a=1&a=2"], None),
    ("/q-ignore", ["a=1", "b=2", None], [None]),
    ("/q-only", ["a=1&z=9&b=2", "a=1&b=2", "y&a=1&b=2"], ["a=1&b=2"]),
    ("/q-only", ["z=9", None], [None]),
    ("/q-drop", ["x=1&a=1", "a=1&utm_source=mail", "a=1", "utm_a&a=1&x"], ["a=1"]),
    ("/q-drop", ["xx=1", "xx=1&x=2"], ["xx=1"]),
])
def test_query_rules(proxy, origin, where, queries, sent):
    path = origin.on(where + origin.fresh(), lambda r: [Reply(body=r.target)])
    for query in queries:
        r = proxy.fetch(path + ("" if query is None else "?" + query))
    seen = [r.target[len(path):] for r in origin.seen(path)]
    if sent is not None:
        assert seen == ["" if s is None else "?" + s for s in sent]
    assert r.status == 200


def test_equal_looking_targets_have_keys_of_their_own(proxy, origin):
    stem = "/q-keep" + origin.fresh()
    targets = [stem + t for t in ("/a", "/A", "/a/", "/a?", "/a//", "/a/.", "/b/../a", "/%61", "/a%2f", "/a%2F", "/a;", "/a?a",
                                  "/a?a=", "/a?a&", "/a?&a")]
    for target in targets:
        origin.on(target, lambda r: [Reply(body=r.target)])
    for _ in range(2):
        for target in targets:
            assert proxy.fetch(target).body == target.encode()


def test_key_headers_and_cookies_separate(proxy, origin):
    path = origin.on("/headers" + origin.fresh(), lambda r: [Reply(body=f"{r.get('X-Tenant')} {r.get('X-Forwarded-Host')}")])
    for _ in range(2):
        for tenant in ("a", "b"):
            for host in ("c", "d"):
                assert proxy.fetch(path, {"X-Tenant": tenant, "X-Forwarded-Host": host}).body == f"{tenant} {host}".encode()
    assert origin.count(path) == 4
    path = origin.on("/cookies" + origin.fresh(), lambda r: [Reply(body=r.get("Cookie", "none"))])
    for cookies, body in (("sid=1", "sid=1"), ("sid=2; other=x", "sid=2; other=x"), ("sid=2; other=y", "sid=2; other=x"),
                          ("other=z; sid=1", "sid=1"), ("sid=1; lang=de", "sid=1; lang=de")):
        assert proxy.fetch(path, {"Cookie": cookies}).body == body.encode(), cookies


def test_key_parts_can_not_run_into_each_other(proxy, origin):
    path = origin.on("/headers" + origin.fresh(), lambda r: [Reply(body=f"{r.get('X-Tenant')}|{r.get('X-Forwarded-Host')}")])
    for tenant, host in (("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ("a, b", "c"), ("a", "b, c")):
        assert proxy.fetch(path, {"X-Tenant": tenant, "X-Forwarded-Host": host}).body == f"{tenant}|{host}".encode()


UNKEYED = {"X-Forwarded-Host": "evil", "X-Original-URL": "/evil", "X-Rewrite-URL": "/evil", "X-HTTP-Method-Override": "DELETE",
           "X-HTTP-Method": "DELETE", "X-Method-Override": "DELETE", "X-Forwarded-Scheme": "evil", "X-Host": "evil",
           "X-Forwarded-Server": "evil", "X-Forwarded-Port": "6666", "X-Forwarded-Prefix": "/evil", "Forwarded": "host=evil",
           "X-Original-Host": "evil", "Proxy": "http://evil"}


@pytest.mark.parametrize("name", UNKEYED)
def test_unkeyed_fields_that_change_responses_are_dropped(proxy, origin, name):
    path = origin.on("/ttl" + origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path, {name: UNKEYED[name], "Accept": "text/x", "X-Other": "y"})
    request = origin.last(path)
    assert UNKEYED[name] not in request.all(name)
    assert (request.get("Accept"), request.get("X-Other")) == ("text/x", "y")


def test_host_is_part_of_the_key_where_it_is_passed_on(start_proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.get("Host"))])
    proxy = start_proxy({"upstream": {"host_header": "client"}, "route a": {"match": "*", "ttl": "60s"}})
    for host in ("a.example", "b.example", "a.example:81", "a.example"):
        assert proxy.fetch(path, host=host).body == host.encode()
    assert origin.count(path) == 3
    proxy = start_proxy({"upstream": {"host_header": "upstream"}, "route a": {"match": "*", "ttl": "60s"}})
    for host in ("a.example", "b.example"):
        assert proxy.fetch(path, host=host).body == f"127.0.0.1:{origin.port}".encode()
    assert origin.count(path) == 4


def test_routes_by_host(start_proxy, origin):
    proxy = start_proxy({"route a": {"match": "*", "host": "a.example, *.b.example", "ttl": "60s"},
                         "route b": {"match": "*", "cache": "off"}})
    for host, stored in (("a.example", True), ("A.Example:80", True), ("x.b.example", True), ("b.example", False),
                         ("c.example", False)):
        path = origin.on(origin.fresh(), [Reply(body=b"x")])
        proxy.fetch(path, host=host)
        assert proxy.fetch(path, host=host).is_hit == stored, host


@pytest.mark.parametrize("where, name", [("/user", "X-User"), ("/user-cookie", "Cookie")])
def test_user_scope_keeps_users_apart(proxy, origin, where, name):
    def user(who):
        return {name: who if name == "X-User" else f"sid={who}"}
    path = origin.on(where + origin.fresh(), lambda r: [Reply(200, {"Cache-Control": "private, max-age=60"},
                                                              r.get(name, "nobody"))])
    for _ in range(2):
        for who in ("ann", "bob"):
            r = proxy.fetch(path, user(who))
            assert who.encode() in r.body
    assert r.is_hit
    assert origin.count(path) == 2
    for _ in range(2):
        assert proxy.fetch(path).body == b"nobody"
    assert origin.count(path) == 4, "without an identity nothing is cached"


@memory_alone
def test_entries_of_one_user_are_bounded_and_others_are_spared(start_proxy, origin):
    proxy = start_proxy({"route a": {"match": "*", "ttl": "60s", "scope": "user", "user_from": "header:X-User",
                                     "max_entries_per_user": 5}})
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.target)])
    proxy.fetch(path, {"X-User": "ann"})
    for i in range(50):
        proxy.fetch(f"{path}?{i}", {"X-User": "bob"})
    assert proxy.fetch(path, {"X-User": "ann"}).is_hit
    hits = sum(proxy.fetch(f"{path}?{i}", {"X-User": "bob", "Cache-Control": "only-if-cached"}).is_hit for i in range(50))
    assert 1 <= hits <= 5


def test_user_identity_does_not_show(proxy, origin):
    path = origin.on("/user" + origin.fresh(), [Reply(body=b"x")])
    for _ in range(2):
        proxy.fetch(path, {"X-User": "very-secret-identity"})
    for target in ("/entries?prefix=/&limit=1000", "/stats", "/metrics", "/explain?url=" + path):
        assert b"very-secret-identity" not in proxy.admin("GET", target).body


@pytest.mark.parametrize("method", ["QUERY", "POST"])
def test_methods_with_a_body_are_cached_by_it_where_the_route_says_so(proxy, origin, method):
    path = origin.on("/bodies" + origin.fresh(), lambda r: [Reply(200, {"Cache-Control": "max-age=60"}, r.body + b"!")])
    for _ in range(2):
        for body in (b"one", b"two", b""):
            r = proxy.fetch(path, {"Content-Type": "text/plain"}, method, body)
            assert r.body == body + b"!"
    assert r.is_hit
    assert origin.count(path) == 3
    assert not proxy.fetch(path).is_hit, "GET has a key of its own"


# ---- unsafe methods ----

@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "FOO"])
def test_successful_unsafe_request_invalidates_its_url(proxy, origin, method):
    path = "/ttl" + origin.fresh()
    origin.on(path, [Reply(body=b"1")], [Reply(body=b"2")], method="GET")
    origin.on(path, [Reply(500)], [Reply(204)], method=method)
    proxy.fetch(path)
    proxy.fetch(path, method=method, body=b"x")
    assert proxy.fetch(path).body == b"1", "a failed request changes nothing"
    proxy.fetch(path, method=method, body=b"x")
    assert proxy.fetch(path).body == b"2"


def test_safe_requests_invalidate_nothing(proxy, origin):
    path = origin.on("/ttl" + origin.fresh(), lambda r: [Reply(body=r.method)])
    proxy.fetch(path)
    for method in ("OPTIONS", "HEAD", "QUERY", "PROPFIND", "REPORT", "SEARCH"):
        r = proxy.fetch(path, method=method)
        assert proxy.fetch(path).is_hit, method
        assert method == "HEAD" or "fwd=method" in r.get("Cache-Status"), method


def test_an_empty_etag_is_none(proxy, origin):
    """It would be equal to every other of that kind: nothing is confirmed by it, nor asked with it."""
    path = origin.on("/ttl" + origin.fresh(), [Reply(200, {"ETag": "", "Cache-Control": "max-age=60"}, b"1")])
    for _ in range(2):
        r = proxy.fetch(path, {"If-None-Match": ""})
        assert (r.status, r.has("ETag"), r.body) == (200, False, b"1")
    proxy.purge(url=path, soft=True)
    proxy.fetch(path)
    assert not origin.last(path).has("If-None-Match")


@pytest.mark.parametrize("failure, said", [([Reply(500)], 500), ([Reply(503)], 503), ([Close()], None), ([Send(b"rubbish\r\n\r\n"), Close()], None)],
                         ids=["500", "503", "closed", "rubbish"])
def test_fwd_status_is_what_the_origin_said(start_proxy, origin, failure, said):
    proxy = start_proxy({"upstream": {"retries": 0}, "route a": {"match": "*"}})
    path = origin.fresh()
    origin.on(path, [Reply(200, {"Cache-Control": "max-age=0, stale-if-error=60"}, b"old")], failure)
    proxy.fetch(path)
    r = proxy.fetch(path)
    assert (r.status, r.body) == (200, b"old")
    assert r.cache_status.get("fwd-status") == said, r.get("Cache-Status")


def test_routes_invalidate_what_they_name(proxy, origin):
    for target in ("/shop/items", "/shop/items?page=2", "/shop/items/7", "/shop/items/7/parts", "/shop/items/8",
                   "/shop/items/8/parts", "/shop/other"):
        origin.on(target, lambda r: [Reply(body=r.target)])
        proxy.fetch(target)
        assert proxy.fetch(target).is_hit
    assert proxy.fetch("/shop/items/7", method="PUT", body=b"x").status == 200
    gone = [t for t in ("/shop/items", "/shop/items?page=2", "/shop/items/7", "/shop/items/7/parts") if proxy.fetch(t).is_hit]
    kept = [t for t in ("/shop/items/8", "/shop/items/8/parts", "/shop/other") if not proxy.fetch(t).is_hit]
    assert (gone, kept) == ([], [])


# ---- bounds ----

@memory_alone
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_object_past_max_object_is_passed_and_not_stored(proxy, origin, framing):
    body = pattern(300000)
    path = origin.on("/ttl" + origin.fresh(), [Reply(body=body, framing=framing, pieces=10000)])
    for i in range(3):
        r = proxy.fetch(path)
        assert (r.body, r.is_hit) == (body, False)
        assert origin.count(path) == i + 1


@memory_alone
@pytest.mark.long
def test_memory_is_bounded_and_the_least_recently_used_go_first(start_proxy, origin):
    proxy = start_proxy({"cache": {"memory": "8M", "max_object": "256K"}, "route a": {"match": "*", "ttl": "600s"}})
    stem, body = origin.fresh(), pattern(4000)  # many small ones: the order of use holds within each shard
    origin.on(stem, lambda r: [Reply(body=body)])
    with proxy.client() as c:
        def hits(numbers):
            fields = {"Cache-Control": "only-if-cached"}
            return sum(c.get(f"{stem}?{i}", fields).is_hit for i in numbers)

        def fill(numbers):
            for i in numbers:
                assert c.get(f"{stem}?{i}").body == body
        c.get(stem + "?hot")
        fill(range(1200))
        # The order of use is kept to the second or two, not to the request.
        eventually(lambda: proxy.explain(stem + "?hot")["memory"][0]["age_s"] > 2.1, "time passes")
        assert c.get(stem + "?hot").is_hit
        fill(range(1200, 2400))
        assert c.get(stem + "?hot").is_hit, "the one that was used was evicted"
        assert hits(range(2380, 2400)) >= 18, "the newest are there"
        assert hits(range(20)) <= 4, "the oldest went"
        fill(range(2400, 6000))
        assert 1000 < hits(range(6000)) < 2100, "8 MB hold so many"
        assert proxy.rss_bytes() < (48 << 20) * SLOW


def test_hanging_fetches_do_not_hold_hits_up(start_proxy, origin):
    """A hit takes no longer than in another proxy, where nothing hangs."""
    hung, calm = start_proxy(CONFIG), start_proxy(CONFIG)
    stored = origin.on("/ttl" + origin.fresh(), [Reply(body=b"x")])
    stuck = origin.on("/ttl" + origin.fresh(), [Hang()])
    hung.fetch(stored), calm.fetch(stored)
    clients = [hung.client() for _ in range(20)]
    for i, c in enumerate(clients):
        c.start(target=f"{stuck}?{i}")
    origin.wait_for(stuck, 20)
    times = {hung: [], calm: []}
    for _ in range(100):
        for proxy in hung, calm:
            began = time.monotonic()
            assert proxy.fetch(stored).is_hit
            times[proxy].append(time.monotonic() - began)
    assert origin.active(stuck) == 20, "none of them was given up before the hits came"
    assert median(times[hung]) < 10 * median(times[calm])
    for c in clients:
        c.close()


# ---- the two paths ----

ROAD_REQUESTS = [
    build(target="{}"), build("HEAD", "{}"), build(target="{}", fields={"If-None-Match": ETAG}),
    build(target="{}", fields={"If-None-Match": '"x"'}), build(target="{}", fields={"If-Modified-Since": MODIFIED}),
    build(target="{}", fields={"Range": "bytes=2-4"}), build("HEAD", "{}", {"Range": "bytes=2-4"}),
    build(target="{}", fields={"Range": "bytes=20-"}), build(target="{}", fields={"Range": "bytes=-2", "If-Range": ETAG}),
    build(target="{}", fields={"Range": "bytes=0-0,2-3"}), build(target="{}", fields={"Connection": "close"}),
    build(target="{}", version="HTTP/1.0"), build(target="{}", fields={"Connection": "keep-alive"}, version="HTTP/1.0"),
    build(target="http://test.example{}"), build(target="{}?a=1"), build(target="{}", fields={"Accept-Encoding": "gzip"}),
    build(target="{}", fields={"Cache-Control": "only-if-cached"}), build(target="{}", fields={"Cookie": "a=b"}),
    build(target="{}", fields={"If-Match": '"x"'}), build(target="{}", fields={"If-Unmodified-Since": EARLIER}),
    build(target="{}", fields={"Expect": "100-continue"}), build(target="{}", fields={"TE": "trailers", "Connection": "TE"}),
    build(target="{}", fields={"Content-Length": "0"}), build(target="{}", fields={"Authorization": "Basic x"}),
    build(target="{}", body=b"body"),
]


@pytest.fixture(scope="module")
def roads(origin):
    from support.proxy import Proxy
    sections = {"route a": {"match": "*", "ttl": "600s"}}
    proxies = [Proxy(origin.url, {"cache": {"fast_path": road}, **sections}).start() for road in ("on", "off")]
    yield proxies
    for p in proxies:
        p.stop()


@pytest.mark.parametrize("raw", ROAD_REQUESTS, ids=lambda raw: raw.split(b"\r\n", 1)[1].decode().strip().replace("\r\n", ", ")
                         or raw.decode())
def test_both_paths_give_the_same_response(roads, origin, raw):
    stored = date(-7)
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": ETAG, "Last-Modified": MODIFIED, "Content-Type": "text/plain",
                                                 "Date": stored, "X-A": "1"}, BODY)])
    answers = []
    for proxy in roads:
        proxy.fetch(path), proxy.fetch(path + "?a=1")
        with proxy.client() as c:
            c.send(raw.replace(b"{}", path.encode()))
            r = c.response("HEAD" if raw.startswith(b"HEAD") else "GET")
            body = r.body
            boundary = (r.get("Content-Type") or "").partition("boundary=")[2]
            fields = [(n.lower(), v.replace(boundary, "B") if boundary else v) for n, v in r.fields
                      if n.lower() not in ("age", "cache-status")]
            if boundary:
                body = body.replace(boundary.strip('"').encode(), b"B")
            status = {k: v for k, v in r.cache_status.items() if k != "ttl"}
            answers.append((r.version, r.status, r.reason, sorted(fields), body, status))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("road", ["on", "off"])
def test_a_GET_with_content_is_nobody_elses(start_proxy, origin, road):
    proxy = start_proxy({"cache": {"fast_path": road}, "route all": {"match": "*", "ttl": "60s"}})
    path = origin.on(origin.fresh(), lambda r: [Reply(200, {"Cache-Control": "public, max-age=60"}, b"<" + r.body + b">")])
    for body in (b"a", b"b", b"a"):
        r = proxy.fetch(path, body=body)
        assert (r.body, r.is_hit) == (b"<" + body + b">", False)
    chunked = {"Transfer-Encoding": "chunked"}
    assert proxy.fetch(path, chunked, body=b"1\r\nc\r\n0\r\n\r\n").body == b"<c>"
    assert origin.count(path) == 4
    assert proxy.fetch(path).body == b"<>" and proxy.fetch(path).is_hit
    assert proxy.fetch(path, body=b"d").body == b"<d>", "nor is it answered by what is stored without"
    part = {"Content-Range": "bytes 0-0/9", "Cache-Control": "max-age=60", "ETag": '"1"'}
    path = origin.on(origin.fresh(), lambda r: [Reply(206, part, r.body or b"-")])
    assert proxy.fetch(path, {"Range": "bytes=0-0"}, body=b"e").body == b"e"
    assert proxy.fetch(path, {"Range": "bytes=0-0"}).body == b"-"


def test_what_passes_uncached_passes_with_all_that_chooses(start_proxy, origin):
    proxy = start_proxy({"route user": {"match": "/user/*", "ttl": "60s", "scope": "user", "user_from": "header:X-User"},
                         "route all": {"match": "*", "ttl": "60s"}})
    path = origin.on(origin.fresh(), [Reply()])
    override = {"X-HTTP-Method-Override": "DELETE", "X-Original-URL": "/other"}
    for method, body in (("POST", b"x"), ("PUT", b"x"), ("GET", b"x"), ("OPTIONS", b"")):
        proxy.fetch(path, override, method, body)
        assert {n: origin.last(path).get(n) for n in override} == override, method
    path = origin.on("/user" + path, [Reply()])
    proxy.fetch(path, override)
    assert {n: origin.last(path).get(n) for n in override} == override, "without an identity nothing is stored"
    proxy.fetch(path, {"X-User": "a", **override})
    assert not any(origin.last(path).has(n) for n in override)
