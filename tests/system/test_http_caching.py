# SPDX-License-Identifier: MIT
"""RFC 9111 and its neighbours, bullet by bullet, over the wire. Times are given by Date, Age and Expires, not waited for."""
import email.utils
import itertools
import time

import pytest

from support.origin import Close, Reply, Send, Wait, head
from support.proxy import eventually

pytestmark = pytest.mark.tiers

CONFIG = {
    "cache": {"failure_memory": "0"},
    "route guess": {"match": "/guess/*", "heuristic": "50%"},
    "route exact": {"match": "/exact/*", "heuristic": "off"},
    "route strict": {"match": "/strict/*", "client_refresh": "off"},
    "route bodies": {"match": "/bodies/*", "methods": "GET, HEAD, POST, QUERY", "json_body_key": "on"},
    "route sie": {"match": "/sie/*", "stale_if_error": "60s"},
}


def date(offset=0):
    return email.utils.formatdate(time.time() + offset, usegmt=True)


def resolved(fields):
    """@N stands for the date N seconds from now."""
    pairs = fields.items() if isinstance(fields, dict) else fields
    out = []
    for name, value in pairs:
        words = [date(int(w[1:])) if w.startswith("@") else w for w in value.split(" ")] if "@" in value else [value]
        out.append((name, " ".join(words)))
    return out


def is_stored(proxy, origin, fields, status=200, request=None, where="", method="GET"):
    path = origin.on(where + origin.fresh(), [Reply(status, resolved(fields), b"body")])
    proxy.fetch(path, request, method=method)
    return proxy.fetch(path, request).is_hit


CC = "Cache-Control"

FRESH = [
    # freshness lifetime (RFC 9111 4.2.1)
    {CC: "max-age=60"}, {CC: "s-maxage=60, max-age=0"}, {CC: "max-age=60", "Expires": "@-60"}, {"Expires": "@60"},
    {CC: "max-age=99999999999"}, {CC: "max-age=2147483648"}, {CC: "max-age=99999999999999999999999999"},
    {CC: "MaX-aGe=60"}, {CC: 'max-age="60"'}, {CC: "foo, max-age=60, bar=1"}, {CC: 'x="max-age=0", max-age=60'},
    [(CC, "public"), (CC, "max-age=60")], {CC: "max-age=0060"}, {CC: ",, max-age=60,"}, {CC: "unknown=\"a, no-store\", max-age=60"},
    # dates (5.3, 9110 5.6.7)
    {"Expires": "Sunday, 06-Nov-39 08:49:37 GMT"}, {"Expires": "Sun Nov  6 08:49:37 2039"}, {"Expires": "tue, 19 jan 2038 14:14:08 gmt"},
    {"Expires": "Mon, 06 Nov 2039 08:49:37 GMT"}, {"Expires": "Fri, 01 Jan 2100 00:00:00 GMT"}, {"Date": "rubbish", CC: "max-age=60"},
    {"Date": "@-30", CC: "max-age=60"}, {"Date": "rubbish", "Expires": "@60"}, {"Date": "@3600", CC: "max-age=60"},
    # age (5.1)
    {CC: "max-age=60", "Age": "30"}, {CC: "max-age=60", "Age": "abc"}, {CC: "max-age=60", "Age": "-7200"},
    {CC: "max-age=60", "Age": "0, 7200"}, {CC: "max-age=60", "Age": "7200.5"}, [(CC, "max-age=60"), ("Age", "0"), ("Age", "7200")],
    # heuristics (4.2.2)
    {"Last-Modified": "@-100000"}, {"Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT"},
    # targeted (9213)
    {"CDN-Cache-Control": "max-age=60"}, {"CDN-Cache-Control": "max-age=60", CC: "no-store"}, {"CDN-Cache-Control": "max-age=60", CC: "max-age=0"},
    {"CDN-Cache-Control": "max-age=60", "Expires": "@-60"}, {"CDN-Cache-Control": "&&", CC: "max-age=60"}, {"CDN-Cache-Control": "", CC: "max-age=60"},
    {"CDN-Cache-Control": "max-age=60;x=1, foo"}, [("CDN-Cache-Control", "foo"), ("CDN-Cache-Control", "max-age=60")],
    {"CDN-Cache-Control": "max-age=0, max-age=60"},
    # storing (3, 3.5, 5.2.2)
    {CC: "max-age=60", "Set-Cookie": "a=b"}, {CC: "must-understand, no-store, max-age=60"}, {CC: 'private="x", max-age=60'},
    {CC: 'no-cache="x", max-age=60'}, {CC: "max-age=60", "Pragma": "no-cache"}, {CC: "max-age=60, immutable"},
]
STALE = [
    {}, {CC: "max-age=0"}, {CC: "s-maxage=0, max-age=60"}, {"Expires": "@-60"}, {"Expires": "0"}, {"Expires": "@0"}, {CC: "max-age=0", "Expires": "@60"},
    {CC: "max-age=-60"}, {CC: "max-age=60.5"}, {CC: "max-age='60'"}, {CC: "max-age=+60"}, {CC: "max-age=a60"}, {CC: "max-age=60a"},
    {CC: "max-age = 60"}, {CC: "max-age"}, {CC: "max-age="}, {CC: "max-age=60, max-age=0"}, [(CC, "max-age=0"), (CC, "max-age=60")],
    {CC: "xmax-age=60"}, {CC: 'x="max-age=60"'}, {CC: 'x="a, max-age=60, b"'},
    {"Expires": "Sun, 06 Nov 2039 08:49:37 UTC"}, {"Expires": "Sun, 06 Nov 2039 08:49:37 AEST"}, {"Expires": "Sun, 06 Nov 2039 08:49:37"},
    {"Expires": "Sun 06 Nov 2039 08:49:37 GMT"}, {"Expires": "Sun, 06-Nov-2039 08:49:37 GMT"}, {"Expires": "Sun, 06 Nov 39 08:49:37 GMT"},
    {"Expires": "Sun, 06 Nov 2039 8:49:37 GMT"}, {"Expires": "Sun,  06 Nov 2039 08:49:37 GMT"}, {"Expires": "Sun, 06 Nov 2039 08.49.37 GMT"},
    [("Expires", "Sun, 06 Nov 2039 08:49:37 GMT"), ("Expires", "Sun, 06 Nov 2039 08:49:37 GMT")],
    {"Expires": "Sun, 06 Nov 2039 08:49:37 GMT, Sun, 06 Nov 2039 08:49:37 GMT"},
    {CC: "max-age=60", "Date": "@-100"}, {"Date": "@-100", "Expires": "@-40"},
    {CC: "max-age=60", "Age": "60"}, {CC: "max-age=60", "Age": "99999999999999999999"}, {CC: "max-age=60", "Age": "7200, 0"},
    [(CC, "max-age=60"), ("Age", "7200"), ("Age", "0")], {CC: "max-age=60", "Age": "007200"},
    {"Last-Modified": "rubbish"}, {"Last-Modified": "@100"},
    {"CDN-Cache-Control": "max-age=0", CC: "max-age=60"}, {"CDN-Cache-Control": "no-store", CC: "max-age=60"},
    {"CDN-Cache-Control": "foo", CC: "max-age=60"}, {"CDN-Cache-Control": 'max-age="60"', CC: "max-age=60"},
    {"CDN-Cache-Control": "max-age=60.5", CC: "max-age=60"}, {"CDN-Cache-Control": "private, max-age=60"}, {"CDN-Cache-Control": "max-age", CC: "max-age=60"},
    {CC: "no-store, max-age=60"}, {CC: "NO-STORE, max-age=60"}, {CC: "private, max-age=60"}, {CC: "no-cache, max-age=60"},
    {CC: "max-age=60", "Vary": "*"}, {CC: "max-age=60", "Vary": "X, *"}, {CC: "max-age=60", "Vary": ",*"}, {"Set-Cookie": "a=b", "Last-Modified": "@-100000"},
]


@pytest.mark.parametrize("fields", FRESH, ids=str)
def test_fresh(proxy, origin, fields):
    assert is_stored(proxy, origin, fields)


@pytest.mark.parametrize("fields", STALE, ids=str)
def test_stale_or_not_stored(proxy, origin, fields):
    assert not is_stored(proxy, origin, fields)


# ---- statuses (RFC 9110 15.1, RFC 9111 3, 4.2.2) ----

HEURISTIC = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]
OTHERS = [201, 202, 299, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599]


@pytest.mark.parametrize("status", HEURISTIC)
def test_heuristics_are_for_these_statuses(proxy, origin, status):
    assert is_stored(proxy, origin, {"Last-Modified": "@-1000000"}, status)


def test_a_route_says_how_much_of_the_age_since_last_modified_counts(proxy, origin):
    fields = {"Date": "@-300", "Last-Modified": "@-1300"}  # 1000 s old when it was sent, which was 300 s ago
    assert not is_stored(proxy, origin, fields)
    assert is_stored(proxy, origin, fields, where="/guess/")
    assert not is_stored(proxy, origin, {"Last-Modified": "@-100000"}, where="/exact/")
    assert not is_stored(proxy, origin, {"Last-Modified": "@-100000", CC: "public"}, where="/exact/")
    assert is_stored(proxy, origin, {"Last-Modified": "@-100000", CC: "max-age=60"}, where="/exact/")


@pytest.mark.parametrize("status", OTHERS)
def test_other_statuses_need_explicit_freshness_or_public(proxy, origin, status):
    assert not is_stored(proxy, origin, {"Last-Modified": "@-1000000"}, status)
    assert is_stored(proxy, origin, {CC: "max-age=60"}, status)
    assert is_stored(proxy, origin, {"Expires": "@60"}, status)
    assert is_stored(proxy, origin, {"Last-Modified": "@-1000000", CC: "public"}, status)


@pytest.mark.parametrize("status, stored", [(200, True), (404, True), (299, False), (599, False)])
def test_must_understand_is_about_statuses(proxy, origin, status, stored):
    assert is_stored(proxy, origin, {CC: "must-understand, no-store, max-age=60"}, status) == stored


@pytest.mark.parametrize("status", [206, 428, 429, 431, 511])
def test_these_are_never_stored(proxy, origin, status):
    path = origin.on(origin.fresh(), [Reply(status, {CC: "max-age=60", **({"Content-Range": "0-3/9"} if status == 206 else {})},
                                            b"body")])
    for _ in range(2):
        assert proxy.fetch(path).status == status
    assert origin.count(path) == 2


# ---- age (RFC 9111 4.2.3, 5.1) ----

@pytest.mark.parametrize("fields, age", [({}, 0), ({"Age": "30"}, 30), ({"Date": "@-40"}, 40), ({"Date": "@-40", "Age": "100"}, 100)])
def test_age_is_generated_and_added_to_and_date_is_left_alone(proxy, origin, fields, age):
    fields = resolved({CC: "max-age=4000000000", **fields})
    path = origin.on(origin.fresh(), [Reply(200, fields, b"body")])
    proxy.fetch(path)
    r = proxy.fetch(path)
    assert r.is_hit and age <= int(r.get("age")) <= age + 2
    assert r.get("date") == dict(fields).get("Date", r.get("date"))
    assert len(r.all("age")) == 1 and len(r.all("date")) == 1


def test_targeted_fields_are_passed_on(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"CDN-Cache-Control": "max-age=60,  x", CC: "no-store"}, b"body")])
    for _ in range(2):
        r = proxy.fetch(path)
        assert (r.get("cdn-cache-control"), r.get("cache-control")) == ("max-age=60,  x", "no-store")


# ---- who may see it (RFC 9111 3.5) ----

@pytest.mark.parametrize("cc, stored", [("max-age=60", False), ("max-age=60, public", True), ("max-age=60, must-revalidate", True),
                                        ("s-maxage=60", True)])
def test_responses_to_authorized_requests(proxy, origin, cc, stored):
    assert is_stored(proxy, origin, {CC: cc}, request={"Authorization": "Basic x"}) == stored


def test_a_cookie_of_the_request_prevents_nothing(proxy, origin):
    assert is_stored(proxy, origin, {CC: "max-age=60"}, request={"Cookie": "a=b"})


@pytest.mark.parametrize("directive", ["no-cache", "private"])
def test_named_fields_go_to_the_first_client_only(proxy, origin, directive):
    path = origin.on(origin.fresh(), [Reply(200, {CC: f'{directive}="x-a, X-B", max-age=60', "X-A": "1", "X-B": "2", "X-C": "3"}, b"body")])
    r = proxy.fetch(path)
    assert (r.get("x-a"), r.get("x-b"), r.get("x-c")) == ("1", "2", "3")
    r = proxy.fetch(path)
    assert r.is_hit and (r.get("x-a"), r.get("x-b"), r.get("x-c")) == (None, None, "3")


def test_hop_by_hop_fields_are_dropped_and_all_others_kept(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, [(CC, "max-age=60"), ("Connection", "x-hop"), ("X-Hop", "1"), ("Keep-Alive", "x"),
                                                  ("Proxy-Authenticate", "Basic"), ("Upgrade", "x"), ("TE", "x"), ("X-Odd", "a  b ;\t,, c"),
                                                  ("X-Twice", "1"), ("X-Twice", "2"), ("X-Empty", ""), ("Warning", "199 - x")], b"body")])
    for _ in range(2):
        r = proxy.fetch(path)
        for name in ("x-hop", "keep-alive", "proxy-authenticate", "upgrade", "te"):
            assert not r.has(name), name
        assert r.all("x-odd") == ["a  b ;\t,, c"] and r.all("x-twice") == ["1", "2"] and r.all("x-empty") == [""]
    assert r.is_hit


def test_a_length_that_disagrees_is_never_replayed(proxy, origin):
    path = origin.on(origin.fresh(), [Send(head(200, {CC: "max-age=60", "Content-Length": "9"}) + b"body"), Close()],
                     [Reply(200, {CC: "max-age=60"}, b"whole")])
    with pytest.raises(AssertionError):
        proxy.fetch(path)
    assert proxy.fetch(path).body == b"whole"


# ---- Vary (RFC 9111 4.1) ----

@pytest.mark.parametrize("vary, first, second, same", [
    ("X", {"X": "1"}, {"X": "1"}, True), ("X", {"X": "1"}, {"X": "2"}, False), ("X", {}, {}, True), ("X", {}, {"X": "1"}, False),
    ("X", {}, {"X": ""}, False), ("X, Y", {"X": "1", "Y": "2"}, {"X": "1", "Y": "3"}, False), ("x", {"X": "1"}, {"x": "1"}, True),
    ("X", {"X": "a,b"}, {"X": "a,  b"}, True), ("X", [("X", "a"), ("X", "b")], {"X": "a, b"}, True), ("X", {"X": "a"}, {"X": "A"}, False),
    ("Accept-Language", {"Accept-Language": "en, de;q=0.5"}, {"Accept-Language": "de;q=0.50,EN"}, True),
    ("Accept-Language", {"Accept-Language": "en"}, {"Accept-Language": "de"}, False),
    ("Accept-Encoding", {"Accept-Encoding": "gzip, br"}, {"Accept-Encoding": "br,gzip"}, True),
    ("Accept-Encoding", {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "gzip;q=0"}, False),
    ("Foo, X", {"X": "1"}, {"X": "1", "Bar": "2"}, True), ("", {"X": "1"}, {"X": "2"}, True),
])
def test_vary(proxy, origin, vary, first, second, same):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60", "Vary": vary}, b"body")])
    proxy.fetch(path, first)
    assert proxy.fetch(path, second).is_hit == same


def test_several_variants_are_kept(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(200, {CC: "max-age=60", "Vary": "X"}, r.get("x") or "none")])
    for value in ("1", "2", "3"):
        proxy.fetch(path, {"X": value})
    for value in ("3", "1", "2"):
        r = proxy.fetch(path, {"X": value})
        assert r.is_hit and r.body == value.encode()
    assert origin.count(path) == 3
    assert proxy.fetch(path, {"X": "4"}).cache_status["fwd"] == "vary-miss"


@pytest.mark.parametrize("wanted, hit", [("de", True), ("de, en;q=0.5", True), ("en;q=0.5, de;q=0.9", True), ("fr, de;q=0.9", False),
                                         ("de;q=0", False), ("en", False)])
def test_a_stored_language_serves_who_wants_it_most(proxy, origin, wanted, hit):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60", "Vary": "Accept-Language", "Content-Language": "de"}, b"body")])
    proxy.fetch(path, {"Accept-Language": "de, fr;q=0.3"})
    assert proxy.fetch(path, {"Accept-Language": wanted}).is_hit == hit


# ---- validation (RFC 9110 13, RFC 9111 4.3) ----

TAGGED = {CC: "max-age=60", "ETag": '"a"', "Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT"}


@pytest.mark.parametrize("conditions, status", [
    ({"If-None-Match": '"a"'}, 304), ({"If-None-Match": 'W/"a"'}, 304), ({"If-None-Match": '"b", "a"'}, 304), ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"b"'}, 200), ({"If-None-Match": '"b"', "If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 200),
    ({"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 304), ({"If-Modified-Since": "Sun, 02 Jan 2000 00:00:00 GMT"}, 304),
    ({"If-Modified-Since": "Fri, 31 Dec 1999 00:00:00 GMT"}, 200), ({"If-Modified-Since": "rubbish"}, 200),
])
def test_conditions_are_answered_from_what_is_stored(proxy, origin, conditions, status):
    path = origin.on(origin.fresh(), [Reply(200, TAGGED, b"body")])
    for _ in range(2):
        r = proxy.fetch(path, conditions)
        assert r.status == status and r.body == (b"body" if status == 200 else b"")
        if status == 304:
            assert r.get("etag") == '"a"' and r.get("cache-control") == "max-age=60" and not r.has("content-length")
    assert r.is_hit and origin.count(path) == 1
    assert not origin.last(path).has("if-none-match") and not origin.last(path).has("if-modified-since")


def test_without_last_modified_the_date_is_compared(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=6000", "Date": date(-100)}, b"body")])
    proxy.fetch(path)
    assert proxy.fetch(path, {"If-Modified-Since": date(-50)}).status == 304
    assert proxy.fetch(path, {"If-Modified-Since": date(-200)}).status == 200


def test_the_caches_own_validators_go_upstream_and_the_clients_count_afterwards(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {**TAGGED, CC: "max-age=0"}, b"body")], [Reply(304, {CC: "max-age=0"})])
    proxy.fetch(path)
    r = proxy.fetch(path, {"If-None-Match": '"x"', "If-Modified-Since": "Sun, 02 Jan 2000 00:00:00 GMT"})
    asked = origin.last(path)
    assert asked.all("if-none-match") == ['"a"'] and asked.all("if-modified-since") == [TAGGED["Last-Modified"]]
    assert (r.status, r.body) == (200, b"body")
    assert r.cache_status["fwd"] == "stale" and r.cache_status["fwd-status"] == 304
    assert proxy.fetch(path, {"If-None-Match": '"x", "a"'}).status == 304


def test_a_304_replaces_what_it_names_and_keeps_the_rest(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, [*TAGGED.items(), ("X-Old", "1"), ("X-Both", "1"), ("X-Both", "2"), ("Content-Type", "a/b"),
                                                  ("Content-Encoding", "x")], b"body")],
                     [Reply(304, {CC: "max-age=60", "X-Both": "3", "X-New": "4", "Content-Type": "c/d", "Content-Encoding": "x",
                                  "Content-Length": "999", "Keep-Alive": "x"})])
    proxy.fetch(path)
    proxy.purge(url=path, soft=True)
    for _ in range(2):
        r = proxy.fetch(path)
        assert (r.get("x-old"), r.all("x-both"), r.get("x-new")) == ("1", ["3"], "4")
        assert (r.get("content-type"), r.get("content-encoding")) == ("a/b", "x")
        assert (r.all("content-length"), r.body) == (["4"], b"body") and not r.has("keep-alive")
    assert r.is_hit


@pytest.mark.parametrize("etag, same", [('"a"', True), ('"b"', False)])
def test_a_304_with_another_tag_updates_nothing(proxy, origin, etag, same):
    path = origin.on(origin.fresh(), [Reply(200, TAGGED, b"old")], [Reply(304, {CC: "max-age=60", "ETag": etag})], [Reply(200, TAGGED, b"new")])
    proxy.fetch(path)
    proxy.purge(url=path, soft=True)
    assert proxy.fetch(path).body == (b"old" if same else b"new")
    assert same or not origin.last(path).has("if-none-match")


def test_head_updates_or_invalidates(proxy, origin):
    path = origin.fresh()
    origin.on(path, [Reply(200, {**TAGGED, CC: "max-age=0", "X": "1"}, b"body")], method="GET")
    origin.on(path, [Reply(200, {CC: "max-age=60", "ETag": '"a"', "X": "2"}, b"body")], method="HEAD")
    proxy.fetch(path)
    proxy.fetch(path, method="HEAD")
    r = proxy.fetch(path)
    assert r.is_hit and (r.get("x"), r.body) == ("2", b"body")
    origin.on(path, [Reply(200, {CC: "max-age=60", "ETag": '"b"'}, b"body")], method="HEAD")
    proxy.fetch(path, {CC: "no-cache"}, method="HEAD")
    assert not proxy.fetch(path).is_hit


# ---- stale (RFC 9111 4.2.4, RFC 5861) ----

def aged(cc, age=100):
    return {CC: cc, "Age": str(age), "ETag": '"a"'}


def test_stale_while_revalidate_serves_and_fetches_once(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Reply(200, aged("max-age=60, stale-while-revalidate=600"), b"old")],
                     [Wait(gate), Reply(200, {CC: "max-age=60"}, b"new")])
    proxy.fetch(path)
    for _ in range(3):
        r = proxy.fetch(path)
        assert r.body == b"old" and r.cache_status["hit"] is True and r.cache_status["ttl"] < 0 and not r.has("warning")
    gate.open()
    eventually(lambda: proxy.fetch(path).body == b"new", "the new answer")
    assert origin.count(path) == 2


@pytest.mark.parametrize("cc", ["max-age=60, stale-while-revalidate=10", "max-age=60, stale-while-revalidate=600, must-revalidate",
                                "max-age=60, stale-while-revalidate=600, no-cache", "s-maxage=60, stale-while-revalidate=600",
                                "max-age=60, stale-while-revalidate=600, proxy-revalidate"])
def test_no_stale_while_revalidate_past_its_window_or_against_its_word(proxy, origin, cc):
    path = origin.on(origin.fresh(), [Reply(200, aged(cc), b"old")], [Reply(200, {CC: "max-age=60"}, b"new")])
    proxy.fetch(path)
    assert proxy.fetch(path).body == b"new"


@pytest.mark.parametrize("failure", [[Close()], [Reply(500, body=b"no")], [Reply(502)], [Reply(503)], [Reply(504)]])
def test_stale_if_error(proxy, origin, failure):
    path = origin.on(origin.fresh(), [Reply(200, aged("max-age=60, stale-if-error=600"), b"old")], failure)
    proxy.fetch(path)
    r = proxy.fetch(path)
    assert (r.status, r.body) == (200, b"old") and r.cache_status["fwd"] == "stale" and not r.has("warning")


def test_a_route_can_let_stale_stand_in(proxy, origin):
    path = origin.on("/sie" + origin.fresh(), [Reply(200, aged("max-age=90"), b"old")], [Close()])
    proxy.fetch(path)
    assert proxy.fetch(path).body == b"old"


@pytest.mark.parametrize("cc", ["max-age=60, stale-if-error=10", "max-age=60, stale-if-error=600, must-revalidate",
                                "s-maxage=60, stale-if-error=600", "max-age=60, stale-if-error=600, proxy-revalidate"])
def test_no_stale_if_error_past_its_window_or_against_its_word(proxy, origin, cc):
    path = origin.on(origin.fresh(), [Reply(200, aged(cc), b"old")], [Reply(503, body=b"no")])
    proxy.fetch(path)
    assert proxy.fetch(path).status == 503


UNSET = {"defaults": {"stale_while_revalidate": None, "stale_if_error": None, "client_refresh": None}}


def first(proxy, path, is_it, what):
    """The first response of which that is true."""
    def look():
        nonlocal r
        r = proxy.fetch(path)
        return is_it(r)
    r = None
    eventually(look, what)
    return r


def test_what_was_fresh_has_stale_windows_by_itself(start_proxy, origin):
    proxy = start_proxy({**UNSET, "route late": {"match": "/late*", "stale_while_revalidate": "0"}})
    # Each is another: a machine that sleeps through the window of one, which is as long as its lifetime, sees that of the next.
    numbers = itertools.count()
    path = origin.on(origin.fresh(), lambda r: [Reply(200, {CC: "max-age=2"}, b"%d" % next(numbers))])
    late = origin.on("/late" + origin.fresh(), [Reply(200, {CC: "max-age=1"}, b"old")], [Reply(503)])
    proxy.fetch(late)
    old = first(proxy, path, lambda r: r.is_hit and r.cache_status["ttl"] < 0, "it has expired, and nobody waits")
    first(proxy, path, lambda r: int(r.body) > int(old.body), "it was fetched meanwhile")
    r = first(proxy, late, lambda r: r.cache_status["ttl"] < 0, "it has expired")
    assert r.body == b"old" and r.cache_status["fwd"] == "stale", "it stands in for the error"


@pytest.mark.parametrize("cc", ["max-age=0", "no-cache", "max-age=60, must-revalidate"])
def test_what_is_to_be_asked_for_each_time_has_no_stale_window(start_proxy, origin, cc):
    proxy = start_proxy(UNSET)
    path = origin.on(origin.fresh(), [Reply(200, aged(cc, 60), b"old")], [Reply(200, aged(cc, 60), b"new")], [Reply(503)])
    assert [proxy.fetch(path).body for _ in range(2)] == [b"old", b"new"]
    assert proxy.fetch(path).status == 503


def test_a_soft_purge_has_the_next_request_ask(start_proxy, origin):
    proxy = start_proxy(UNSET)
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60"}, b"old")], [Reply(200, {CC: "max-age=60"}, b"new")], [Reply(500)])
    proxy.fetch(path)
    for _ in range(2):
        assert proxy.admin("POST", f"/purge?url={path}&soft=1").status == 200
        assert proxy.fetch(path).body == b"new", "and what is stored stands in for the error"


def test_a_clients_reload_is_its_own_affair_by_default(start_proxy, origin):
    proxy = start_proxy(UNSET)
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60"}, b"x")])
    for _ in range(2):
        for fields in ({CC: "no-cache"}, {CC: "max-age=0"}, {"Pragma": "no-cache"}, {CC: "no-store"}):
            proxy.fetch(path, fields)
    assert origin.count(path) == 1
    assert proxy.fetch(origin.fresh(), {CC: "only-if-cached"}).status == 504


def test_errors_that_are_not_the_servers_are_passed_on(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, aged("max-age=60, stale-if-error=600"), b"old")], [Reply(404, body=b"gone")])
    proxy.fetch(path)
    assert proxy.fetch(path).status == 404


# ---- requests (RFC 9111 5.2.1, 5.4) ----

@pytest.mark.parametrize("request_fields, hit", [
    ({CC: "max-age=0"}, False), ({CC: "max-age=50"}, False), ({CC: "max-age=200"}, True), ({CC: "min-fresh=600"}, False),
    ({CC: "min-fresh=60"}, True), ({CC: "no-cache"}, False), ({"Pragma": "no-cache"}, False), ({"Pragma": "no-cache", CC: "x"}, True),
    ({CC: "no-store"}, True), ({CC: "only-if-cached"}, True), ({CC: "max-stale"}, True), ({CC: 'max-age="50"'}, False),
])
def test_requests_are_obeyed(proxy, origin, request_fields, hit):
    fields = {CC: "max-age=300", "Age": "100"}
    path = origin.on(origin.fresh(), [Reply(200, fields, b"body")])
    proxy.fetch(path)
    assert proxy.fetch(path, request_fields).is_hit == hit
    path = origin.on("/strict" + origin.fresh(), [Reply(200, fields, b"body")])
    proxy.fetch(path)
    assert proxy.fetch(path, request_fields).is_hit, "the route does not let clients decide"


@pytest.mark.parametrize("wish, served", [("max-stale", True), ("max-stale=1000", True), ("max-stale=10", False)])
def test_max_stale(proxy, origin, wish, served):
    path = origin.on(origin.fresh(), [Reply(200, aged("max-age=60"), b"old")], [Reply(200, {CC: "max-age=60"}, b"new")])
    proxy.fetch(path)
    assert proxy.fetch(path, {CC: wish}).body == (b"old" if served else b"new")


def test_what_is_stale_shows_a_ttl_below_0_at_once(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60", "Age": "60"}, b"old")])
    proxy.fetch(path)
    hits = (r for r in (proxy.fetch(path, {CC: "max-stale"}) for _ in range(500)) if r.is_hit)
    assert any(r.age + r.cache_status["ttl"] == 59 for r in hits), "both are rounded down: 60 in the second's first millisecond only"


def test_no_store_of_a_request_keeps_its_response_out(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60"}, b"body")])
    proxy.fetch(path, {CC: "no-store"})
    assert not proxy.fetch(path).is_hit


def test_only_if_cached_is_504_on_a_miss(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60"}, b"body")])
    assert proxy.fetch(path, {CC: "only-if-cached"}).status == 504
    assert origin.count(path) == 0


# ---- methods (RFC 9110 9.3, RFC 9111 4.4) ----

@pytest.mark.parametrize("fields, kept", [
    ({CC: "max-age=60", "Content-Location": "{path}"}, True), ({CC: "max-age=60", "Content-Location": "http://{host}{path}"}, True),
    ({CC: "max-age=60"}, False), ({"Content-Location": "{path}"}, False), ({CC: "max-age=60", "Content-Location": "/other"}, False),
    ({CC: "no-store, max-age=60", "Content-Location": "{path}"}, False), ({CC: "max-age=0", "Content-Location": "{path}"}, False),
    ({"Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT", "Content-Location": "{path}"}, False),
])
def test_post_that_says_what_get_would_give(proxy, origin, fields, kept):
    path = origin.fresh()
    host = origin.url.split("//")[1]
    fields = {name: value.format(path=path, host=host) for name, value in fields.items()}
    origin.on(path, [Reply(200, fields, b"posted")], method="POST")
    origin.on(path, [Reply(200, {}, b"got")], method="GET")
    r = proxy.fetch(path, method="POST", body=b"x")
    assert r.body == b"posted" and ("stored" in r.cache_status) == kept and r.cache_status["fwd"] == "method"
    r = proxy.fetch(path)
    assert (r.is_hit, r.body) == (kept, b"posted" if kept else b"got")


@pytest.mark.parametrize("method", ["POST", "QUERY"])
def test_bodies_are_part_of_the_key_where_the_route_says_so(proxy, origin, method):
    path = origin.on("/bodies" + origin.fresh(), [Reply(200, {CC: "max-age=60"}, b"answer")])
    json = {"Content-Type": "application/json"}
    proxy.fetch(path, json, method=method, body=b'{"a": 1, "b": [1, 2]}')
    assert proxy.fetch(path, json, method=method, body=b'{"b":[1,2],"a":1}').is_hit
    assert not proxy.fetch(path, json, method=method, body=b'{"a": 2, "b": [1, 2]}').is_hit
    assert not proxy.fetch(path, {"Content-Type": "text/plain"}, method=method, body=b'{"a": 1, "b": [1, 2]}').is_hit
    assert not proxy.fetch(path).is_hit


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FOO"])
@pytest.mark.parametrize("status, invalidates", [(200, True), (201, True), (303, True), (404, False), (500, False)])
def test_unsafe_methods_invalidate_unless_they_fail(proxy, origin, method, status, invalidates):
    path, other, third = origin.fresh(), origin.fresh(), origin.fresh()
    for p in (path, other, third):
        origin.on(p, [Reply(200, {CC: "max-age=60"}, b"body")], method="GET")
        proxy.fetch(p)
    origin.on(path, [Reply(status, {"Location": other, "Content-Location": third})], method=method)
    proxy.fetch(path, method=method, body=b"x")
    for p in (path, other, third):
        assert proxy.fetch(p).is_hit != invalidates, p


def test_a_location_elsewhere_is_left_alone(proxy, origin):
    path, other = origin.fresh(), origin.fresh()
    origin.on(other, [Reply(200, {CC: "max-age=60"}, b"body")])
    proxy.fetch(other)
    origin.on(path, [Reply(200, {"Location": "http://elsewhere.example" + other})], method="POST")
    proxy.fetch(path, method="POST")
    assert proxy.fetch(other).is_hit


# ---- 1xx, trailers ----

def test_early_hints_are_forwarded_on_a_miss_and_not_replayed(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60", "X": "final"}, b"body",
                                            interim=[(103, {"Link": "</a>", "X-Early": "1"}), (102, {"X": "interim"})])])
    with proxy.client() as c:
        c.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        r = c.response()
        first, second = r.interim
        assert (first.status, first.get("link"), second.status) == (103, "</a>", 102)
        assert (r.status, r.all("x"), r.has("link"), r.has("x-early"), r.body) == (200, ["final"], False, False, b"body")
        r = c.get(path)
        assert r.is_hit and not r.has("link")


def test_trailers_are_dropped(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60", "X": "1"}, b"body", framing="chunked",
                                            trailers=[("X", "2"), ("Set-Cookie", "a=b"), (CC, "no-store")])])
    for _ in range(2):
        r = proxy.fetch(path)
        assert (r.body, r.all("x"), r.has("set-cookie")) == (b"body", ["1"], False)
    assert r.is_hit


# ---- Cache-Status (RFC 9211) ----

def test_cache_status_tells_what_happened(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60"}, b"body")])
    r = proxy.fetch(path)
    assert r.cache_status == {"fwd": "uri-miss", "fwd-status": 200, "stored": True, "ttl": r.cache_status["ttl"]}
    r = proxy.fetch(path)
    assert r.cache_status == {"hit": True, "ttl": r.cache_status["ttl"]} and 57 <= r.cache_status["ttl"] <= 60
    r = proxy.fetch(path, {CC: "no-cache"})
    assert r.cache_status["fwd"] == "request" and r.cache_status["stored"] is True and "hit" not in r.cache_status
    r = proxy.fetch(origin.on(origin.fresh(), [Reply(200, {CC: "no-store"}, b"body")]))
    assert r.cache_status["fwd"] == "uri-miss" and "stored" not in r.cache_status and r.cache_status["detail"] == "no-store"
    r = proxy.fetch(origin.on(origin.fresh(), [Reply(200)]), method="PUT")
    assert r.cache_status == {"fwd": "method", "fwd-status": 200, "detail": "method"}


def test_cache_status_of_the_upstream_comes_first(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60", "Cache-Status": "origin; hit"}, b"body")])
    for _ in range(2):
        assert ", ".join(proxy.fetch(path).all("cache-status")).startswith("origin; hit, memoproxy; ")


# ---- Cache-Groups (RFC 9875) ----

def test_pages_share_what_is_invalidated_by_group(proxy, origin):
    paths = [origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60", "Cache-Groups": groups}, b"body")])
             for groups in ('"a", "b"', '"b"', '"c"')]
    for path in paths:
        proxy.fetch(path)
    write = origin.on(origin.fresh(), [Reply(200, {"Cache-Group-Invalidation": '"b"'})], method="POST")
    proxy.fetch(write, method="POST")
    assert [proxy.fetch(path).is_hit for path in paths] == [False, False, True]
