# SPDX-License-Identifier: MIT
"""Conditions, and what responses to them say: which stored responses are asked about, what a 304 or HEAD may change (RFC 9110 13,
RFC 9111 4.3)."""
import concurrent.futures
import gzip
import json

import pytest

from support.origin import Reply, Send, Stream, Wait, head, pattern
from support.proxy import WITH_DISK, eventually

OLD = "Sat, 01 Jan 2000 00:00:00 GMT"
STALE = {"Cache-Control": "max-age=60", "Age": "60"}
FRESH = {"Cache-Control": "max-age=60"}
VALIDATORS = [{"ETag": '"a"'}, {"Last-Modified": OLD}]
TEXT = json.dumps([{"id": n, "name": f"name {n}", "text": "lorem ipsum " * 3} for n in range(100)]).encode()
CONFIG = {
    "cache": {"failure_memory": "0", "max_object": "256K"},
    "defaults": {"stale_if_unreachable": "0"},
    "route off": {"match": "/off/*", "cache": "off"},
    "route post": {"match": "/post/*", "methods": "GET, POST"},
    "route stale": {"match": "/stale/*", "stale_if_error": "1h"},
    "route made": {"match": "/made/*", "compress": "gzip"},
}


def confirming(*script):
    """304 to whoever asks with a condition; else the script's responses in their order."""
    rest = list(script)

    def answer(request):
        if request.has("if-none-match") or request.has("if-modified-since"):
            return [Reply(304, FRESH)]
        return [rest.pop(0) if len(rest) > 1 else rest[0]]
    return answer


def asked_with_condition(origin, path):
    return [r.has("if-none-match") or r.has("if-modified-since") for r in origin.seen(path)]


# ---- which stored responses are asked about (RFC 9110 13.2.1) ----

@pytest.mark.parametrize("validator", VALIDATORS, ids=str)
@pytest.mark.parametrize("status", [301, 302, 307, 308, 300, 400, 403, 404, 405, 410, 414, 451, 500, 501, 503])
def test_what_is_no_2xx_is_never_confirmed(proxy, origin, status, validator):
    path = origin.on(origin.fresh(), confirming(Reply(status, {**STALE, **validator}, b"gone"), Reply(200, FRESH, b"here")))
    assert proxy.fetch(path).status == status
    r = proxy.fetch(path)
    assert (r.status, r.body) == (200, b"here")
    assert asked_with_condition(origin, path) == [False, False]


@pytest.mark.parametrize("validator", VALIDATORS, ids=str)
@pytest.mark.parametrize("status", [200, 203, 204])
def test_a_2xx_is(proxy, origin, status, validator):
    path = origin.on(origin.fresh(), confirming(Reply(status, {**STALE, **validator}, b"" if status == 204 else b"here")))
    proxy.fetch(path)
    r = proxy.fetch(path)
    assert (r.status, r.cache_status["fwd-status"]) == (status, 304)
    assert asked_with_condition(origin, path) == [False, True]


def test_an_error_is_not_kept_only_to_be_confirmed(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(404, {"Cache-Control": "max-age=0", "ETag": '"a"'}, b"gone")])
    r = proxy.fetch(path)
    assert (r.status, r.cache_status.get("stored"), r.cache_status.get("detail")) == (404, None, "status")


def test_nor_is_a_redirect_confirmed_in_the_background_or_by_a_refresh(proxy, origin):
    moved = Reply(301, {"Cache-Control": "max-age=60, stale-while-revalidate=600", "Age": "60", "ETag": '"a"',
                        "Location": "/elsewhere"})
    path = origin.on(origin.fresh(), confirming(moved, moved, Reply(200, FRESH, b"here")))
    for _ in range(2):
        assert proxy.fetch(path).status == 301
    origin.wait_for(path, 2)
    origin.wait_idle(path)
    assert proxy.refresh(path)["status"] == 200
    assert proxy.fetch(path).body == b"here"
    assert asked_with_condition(origin, path) == [False] * 3


# ---- what a 304 or HEAD may change (RFC 9111 3.2, 4.3.4, 4.3.5) ----

GZIPPED = gzip.compress(TEXT)
STORED = {"ETag": '"a"', "Content-Type": "text/html", "Content-Encoding": "gzip", "Content-MD5": "AAAA", "X-A": "1"}
UPDATE = {"Content-Type": "application/octet-stream", "Content-Range": "bytes 0-4/9", "Content-MD5": "BBBB", "Digest": "sha=CC",
          "Repr-Digest": "sha-256=:BB:", "X-A": "2"}


def what_it_is(r):
    return tuple(r.get(name) for name in ("content-type", "content-encoding", "content-range", "content-md5", "digest",
                                          "repr-digest", "content-length", "etag", "x-a"))


@pytest.mark.parametrize("by", ["304", "HEAD"])
@pytest.mark.parametrize("coding", [{}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "X-GZip"},
                                    {"Content-Encoding": "identity, gzip"}], ids=str)
def test_an_update_says_nothing_of_what_the_stored_bytes_are(proxy, origin, by, coding):
    path = origin.fresh()
    origin.on(path, [Reply(200, {**STALE, **STORED}, GZIPPED)], [Reply(304, {**FRESH, **UPDATE, **coding})], method="GET")
    origin.on(path, [Reply(200, {**FRESH, **UPDATE, **coding, "ETag": '"a"', "Content-Length": len(GZIPPED)})], method="HEAD")
    proxy.fetch(path)
    if by == "HEAD":
        proxy.fetch(path, method="HEAD")
    for _ in range(2):
        r = proxy.fetch(path)
        assert what_it_is(r) == ("text/html", "gzip", None, "AAAA", None, None, str(len(GZIPPED)), '"a"', "2")
        assert r.body == GZIPPED
    assert r.is_hit and origin.count(path) == 2


@pytest.mark.parametrize("by", ["304", "HEAD"])
@pytest.mark.parametrize("stored, update", [("gzip", "br"), ("gzip", "identity"), ("gzip", "gzip, gzip"), ("gzip", ""),
                                            (None, "gzip"), ("br, gzip", "gzip, br")])
def test_an_update_of_another_coding_is_of_something_else(proxy, origin, by, stored, update):
    path = origin.fresh()
    whole = {"ETag": '"a"', **({"Content-Encoding": stored} if stored else {})}
    other = Reply(304, {**FRESH, "ETag": '"a"', "Content-Encoding": update})
    origin.on(path, lambda r: [other if r.has("if-none-match") else
                               Reply(200, {**(FRESH if origin.count(path) > 1 else STALE), **whole}, b"stored")], method="GET")
    origin.on(path, [Reply(200, {**FRESH, "ETag": '"a"', "Content-Encoding": update, "Content-Length": 6})], method="HEAD")
    proxy.fetch(path)
    if by == "HEAD":
        proxy.fetch(path, method="HEAD")
    for _ in range(2):
        r = proxy.fetch(path)
        assert (r.status, r.body, r.get("content-encoding"), r.get("content-length")) == (200, b"stored", stored, "6")
    assert r.is_hit
    assert [r.method for r in origin.seen(path)] == (["GET", "GET", "GET"] if by == "304" else ["GET", "HEAD", "GET"])
    assert not origin.last(path).has("if-none-match")


def test_an_update_makes_no_other_language_of_it(proxy, origin):
    """By the language that is stored, readers are chosen."""
    def answer(request):
        wants = request.get("accept-language")
        fields = {"ETag": '"1"', "Vary": "Accept-Language", "Content-Language": wants}
        return [Reply(304, {**fields, **FRESH, "Content-Language": "de"})] if request.has("if-none-match") else [
            Reply(200, {**fields, **STALE}, wants.encode())]
    path = origin.on(origin.fresh(), answer)
    for _ in range(2):
        r = proxy.fetch(path, {"Accept-Language": "en"})
        assert (r.body, r.get("content-language")) == (b"en", "en")
    assert proxy.fetch(path, {"Accept-Language": "de"}).body == b"de"


@pytest.mark.parametrize("update, shown", [("text/html;charset=utf-8", "text/html;charset=utf-8"), ("TEXT/HTML; a=b", "TEXT/HTML; a=b"),
                                           ("text/htm", "text/html"), ("text/html5;a=b", "text/html"), ("text/plain;a=b", "text/html")])
def test_a_media_type_may_get_parameters(proxy, origin, update, shown):
    path = origin.on(origin.fresh(), [Reply(200, {**STALE, "ETag": '"a"', "Content-Type": "text/html"}, b"body")],
                     [Reply(304, {**FRESH, "Content-Type": update})])
    proxy.fetch(path)
    assert [proxy.fetch(path).all("content-type") for _ in range(2)] == [[shown]] * 2


def test_parameters_of_a_media_type_stay(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {**STALE, "ETag": '"a"', "Content-Type": "text/html;charset=utf-8"}, b"body")],
                     [Reply(304, {**FRESH, "Content-Type": "text/html;charset=utf-7"})])
    proxy.fetch(path)
    assert proxy.fetch(path).all("content-type") == ["text/html;charset=utf-8"]


@pytest.mark.parametrize("stored, update, shown", [('W/"a"', '"a"', 'W/"a"'), ('"a"', 'W/"a"', 'W/"a"'), ('W/"a"', 'W/"a"', 'W/"a"')])
def test_a_tag_is_weakened_and_never_made_strong(proxy, origin, stored, update, shown):
    path = origin.on(origin.fresh(), [Reply(200, {**STALE, "ETag": stored}, b"0123456789")], [Reply(304, {**FRESH, "ETag": update})])
    proxy.fetch(path)
    assert [proxy.fetch(path).all("etag") for _ in range(2)] == [[shown]] * 2
    assert origin.count(path) == 2
    assert proxy.fetch(path, {"Range": "bytes=0-1", "If-Range": '"a"'}).status == 200


def test_codings_made_here_stay_those_of_the_stored_text(proxy, origin):
    plain = {"ETag": '"a"', "Content-Type": "application/json"}
    path = origin.on("/made" + origin.fresh(), [Reply(200, {**STALE, **plain}, TEXT)],
                     [Reply(304, {**STALE, "Content-Type": "image/png", "Repr-Digest": "sha-256=:BB:"})],
                     [Reply(304, {**FRESH, "Content-Encoding": "gzip"})], [Reply(200, {**FRESH, **plain}, TEXT)])
    accepts = {"Accept-Encoding": "gzip"}
    proxy.fetch(path, accepts)
    r = proxy.fetch(path, accepts)
    assert (r.get("content-type"), r.get("content-encoding"), gzip.decompress(r.body)) == ("application/json", "gzip", TEXT)
    assert proxy.fetch(path).body == TEXT
    r = proxy.fetch(path, accepts)
    assert (r.all("content-encoding"), gzip.decompress(r.body)) == (["gzip"], TEXT)
    assert [q.get("if-none-match") for q in origin.seen(path)] == [None, '"a"', '"a"', None]


def test_a_head_asks_for_what_get_would_be_given(proxy, origin):
    path = origin.on("/made" + origin.fresh(), [Reply(200, {**STALE, "ETag": '"a"', "Content-Type": "application/json"}, TEXT)])
    proxy.fetch(path)
    proxy.fetch(path, {"Accept-Encoding": "gzip"}, method="HEAD")
    assert origin.last(path).all("accept-encoding") == ["identity"]


# ---- parts (RFC 9110 15.3.7) ----

PARTS = pattern(100)


def part(first, last, **fields):
    return Reply(206, {**FRESH, "ETag": '"a"', "Content-Range": f"bytes {first}-{last}/100", **fields}, PARTS[first:last + 1])


@pytest.mark.parametrize("first, second", [("gzip", None), (None, "gzip"), ("gzip", "br")])
def test_parts_of_two_codings_are_not_put_together(proxy, origin, first, second):
    def of(coding):
        return {"Content-Encoding": coding} if coding else {}
    path = origin.on(origin.fresh(), [part(0, 49, **of(first))], [part(50, 99, **of(second))], [Reply(200, FRESH, b"whole")])
    for ranges in ("0-49", "50-99"):
        proxy.fetch(path, {"Range": f"bytes={ranges}"})
    assert proxy.fetch(path).body == b"whole"


@pytest.mark.parametrize("first, second", [("gzip", None), (None, "gzip")])
def test_nor_is_the_rest_of_another_coding_taken(proxy, origin, first, second):
    def of(coding):
        return {"Content-Encoding": coding} if coding else {}
    path = origin.on(origin.fresh(), [part(0, 49, **of(first))],
                     lambda r: [part(50, 99, **of(second)) if r.has("range") else Reply(200, FRESH, b"whole")])
    proxy.fetch(path, {"Range": "bytes=0-49"})
    assert proxy.fetch(path).body == b"whole"


# ---- responses that nobody asked for (RFC 9110 15.3.7, 15.4.5, 15.5.13, 15.5.17) ----

STRAY = [(304, {"ETag": '"a"', **FRESH}), (412, FRESH), (206, {"Content-Range": "bytes 0-3/9", **FRESH}),
         (416, {"Content-Range": "bytes */9", **FRESH}), (416, FRESH), (206, {"Content-Type": "multipart/byteranges; boundary=a", **FRESH})]


def stray(status, fields):
    return Reply(status, fields, b"" if status == 304 else b"part")


@pytest.mark.parametrize("where, method", [("", "GET"), ("", "HEAD"), ("/off", "GET"), ("/off", "HEAD"), ("/post", "POST")])
@pytest.mark.parametrize("status, fields", STRAY)
def test_a_response_to_a_condition_that_was_not_sent_reaches_nobody(proxy, origin, where, method, status, fields):
    if method == "POST" and status in (206, 416):
        pytest.skip("ranges are of GET; of what other methods say with these nothing is known")
    path = origin.on(where + origin.fresh(), [stray(status, fields)], [stray(status, fields)], [Reply(200, FRESH, b"real")])
    for _ in range(2):
        r = proxy.fetch(path, method=method)
        assert (r.status, "stored" in r.cache_status) == (502, False)
    assert proxy.fetch(path, method=method).status == 200
    assert origin.count(path) == 3


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("status", [304, 412])
def test_nor_one_to_a_write(proxy, origin, method, status):
    path = origin.on(origin.fresh(), [Reply(status)])
    assert proxy.fetch(path, method=method).status == 502
    assert proxy.fetch(path, {"If-None-Match": "*"}, method=method).status == status


def test_known_uncacheable_roads_are_as_strict(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"Cache-Control": "no-store"}, b"first")], [Reply(304, FRESH)])
    assert proxy.fetch(path).body == b"first"
    assert proxy.fetch(path).status == 502
    assert proxy.fetch(path, {"If-None-Match": '"a"'}).status == 304


@pytest.mark.parametrize("says", ["private", "no-store", "max-age=60, private"])
@pytest.mark.parametrize("how", ["alone", "in a herd", "in the background", "HEAD", "with a cookie to store"])
def test_a_304_that_is_for_one_client_is_not_stored_and_shown_to_none(start_proxy, origin, says, how):
    """What is stored goes (RFC 9111 5.2.2.5, 5.2.2.7), and each asks for his own."""
    swr = ", stale-while-revalidate=60" if how == "in the background" else ""
    proxy = start_proxy({"defaults": {"set_cookie": "store"}} if how == "with a cookie to store" else {}, upstream=origin.url)
    told, gate = [], origin.gate()

    def answer(request):
        if not told:
            told.append(request)
            return [Reply(200, {"Cache-Control": "max-age=0" + swr, "ETag": '"a"'}, b"for all")]
        told.append(request)
        own = {"Cache-Control": says, "ETag": '"a"', "X-User": f"u{len(told)}", "Set-Cookie": f"sid={len(told)}"}
        if how == "HEAD" and request.method == "HEAD":
            return [Reply(200, {**own, "Content-Length": "7"})]
        if request.has("if-none-match"):
            return [*([Wait(gate)] if how == "in a herd" else []), Reply(304, own)]
        return [Reply(200, own, b"of %d" % len(told))]
    path = origin.on(origin.fresh(), answer)
    assert proxy.fetch(path).body == b"for all"
    if how == "in a herd":
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(proxy.fetch, path) for _ in range(6)]
            eventually(lambda: proxy.stats()["cache"]["waiters"] == 6, "all wait for one fetch")
            gate.open()
            responses = [request.result() for request in asked]
    elif how == "HEAD":
        assert proxy.fetch(path, method="HEAD").status == 200
        responses = [proxy.fetch(path) for _ in range(3)]
    elif how == "in the background":
        assert proxy.fetch(path).body == b"for all"
        eventually(lambda: proxy.stats()["cache"]["flights"] == 0 and len(told) >= 2, "it was asked about")
        responses = [proxy.fetch(path) for _ in range(3)]
    else:
        responses = [proxy.fetch(path) for _ in range(3)]
    users = [r.get("X-User") for r in responses]
    assert len(set(users)) == len(users) and None not in users, "each was told his own"
    assert len({r.get("Set-Cookie") for r in responses}) == len(responses)
    assert all(r.body.startswith(b"of ") for r in responses), [r.body for r in responses]
    assert proxy.stats()["cache"]["objects"] == 0


def test_a_clients_condition_that_was_held_back_makes_no_difference(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(304, {"ETag": '"a"'})])
    assert proxy.fetch(path, {"If-None-Match": '"a"'}).status == 502
    assert not origin.last(path).has("if-none-match")


@pytest.mark.parametrize("status, fields", STRAY[1:])
@pytest.mark.parametrize("where, outcome", [("", 502), ("/stale", 200)])
def test_a_stale_copy_stands_in_where_it_may(proxy, origin, where, outcome, status, fields):
    path = origin.on(where + origin.fresh(), [Reply(200, {**STALE, "ETag": '"a"'}, b"stored")], [stray(status, fields)],
                     [Reply(304, FRESH)])
    proxy.fetch(path)
    r = proxy.fetch(path)
    assert (r.status, r.body == b"stored") == (outcome, outcome == 200)
    assert origin.last(path).get("if-none-match") == '"a"'
    assert proxy.fetch(path).body == b"stored", "nothing was lost by it"


def test_in_the_background_it_changes_nothing(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"Cache-Control": "max-age=60, stale-while-revalidate=600", "Age": "60"}, b"stored")],
                     [Reply(304, FRESH)], [Reply(412)], [Reply(200, FRESH, b"new")])
    proxy.fetch(path)
    bodies = []
    eventually(lambda: bodies.append(proxy.fetch(path).body) or bodies[-1] == b"new", "the new answer")
    assert set(bodies) == {b"stored", b"new"}


@pytest.mark.parametrize("status", [304, 412])
def test_a_refresh_says_what_came_of_it(proxy, origin, status):
    path = origin.on(origin.fresh(), [Reply(200, FRESH, b"stored")], [Reply(status, FRESH)])
    proxy.fetch(path)
    assert proxy.admin("POST", f"/refresh?url={path}").json()["status"] == 502
    r = proxy.fetch(path)
    assert r.is_hit and r.body == b"stored"


def test_who_waits_gets_no_such_response_either(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(304, FRESH)])
    with proxy.client() as a, proxy.client() as b:
        for c in (a, b):
            c.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            origin.wait_for(path)
        eventually(lambda: proxy.stats()["cache"]["waiters"] == 2, "both wait")
        gate.open()
        assert [c.response().status for c in (a, b)] == [502, 502]
    assert origin.count(path) == 1


def test_pages_of_a_list_are_no_ranges(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(206, {"Content-Range": "0-14/*"}, b"[]")])
    assert proxy.fetch(path).status == 206


# ---- conditions that are the origin's (RFC 9111 4.3.2, RFC 9110 13.1.1, 13.1.4) ----

NEWER, OLDER = "Sun, 02 Jan 2000 00:00:00 GMT", "Fri, 31 Dec 1999 00:00:00 GMT"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("condition", [{"If-Match": '"b"'}, {"If-Match": '"a"'}, {"If-Match": "*"}, {"If-Unmodified-Since": OLDER},
                                       {"If-Unmodified-Since": NEWER}, {"If-Match": '"b"', "If-None-Match": '"a"', "Range": "bytes=0-1"}],
                         ids=str)
@pytest.mark.parametrize("status", [200, 412])
def test_what_only_the_origin_can_judge_goes_there(proxy, origin, method, condition, status):
    fields = {**FRESH, "ETag": '"a"', "Last-Modified": OLD}
    path = origin.on(origin.fresh(), lambda r: [Reply(status, {**FRESH, "ETag": '"b"'}, b"judged") if
                                                r.has("if-match") or r.has("if-unmodified-since") else Reply(200, fields, b"stored")])
    proxy.fetch(path)
    r = proxy.fetch(path, condition, method=method)
    assert (r.status, r.body, r.is_hit) == (status, b"" if method == "HEAD" else b"judged", False)
    assert r.cache_status["fwd"] == "request"
    asked = origin.last(path)
    assert {name: asked.get(name) for name in condition} == condition
    if status == 412:
        r = proxy.fetch(path)
        assert r.is_hit and r.body == b"stored"
    else:
        assert proxy.fetch(path).body in (b"stored", b"judged")


def test_a_response_under_a_condition_is_not_everybodys(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(412, FRESH, b"not so") if r.has("if-match") else Reply(200, FRESH, b"real")])
    for _ in range(2):
        assert proxy.fetch(path, {"If-Match": '"x"'}).status == 412
    assert proxy.fetch(path).body == b"real"


def test_nor_is_it_asked_where_only_the_cache_may_be(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, FRESH, b"real")])
    proxy.fetch(path)
    assert proxy.fetch(path, {"If-Match": '"x"', "Cache-Control": "only-if-cached"}).status == 504
    assert origin.count(path) == 1


# ---- conditions where nothing can be stored ----

LARGE = pattern(4 << 20)
TAGGED = {"ETag": '"a"', "Last-Modified": OLD, "Content-Type": "text/plain"}
CONDITIONS = [{"If-None-Match": '"x", W/"a"'}, {"If-Modified-Since": OLD}]


def unstored(origin, where, fields, body):
    """Honours conditions, and can tell how much of its body was taken."""
    stream = Stream(len(body))

    def answer(request):
        if request.has("if-none-match") or request.has("if-modified-since"):
            return [Reply(304, {**fields, **TAGGED})]
        return [Send(head(200, {**fields, **TAGGED, "Content-Length": len(body)})), stream]
    return origin.on(where + origin.fresh(), answer), stream


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
@pytest.mark.parametrize("fields", [{"Cache-Control": "no-store"}, {"Cache-Control": "private"}, {"Cache-Control": "max-age=60", "Vary": "*"}],
                         ids=str)
def test_a_cold_condition_costs_no_transfer(proxy, origin, fields, condition):
    whole = 64 << 20
    path, stream = unstored(origin, "", fields, range(whole))
    r = proxy.fetch(path, condition)
    assert (r.status, r.get("etag"), r.body) == (304, '"a"', b"")
    assert not r.has("content-length") and not r.has("content-type")
    origin.wait_idle(path)
    assert stream.sent < whole / 2
    r = proxy.fetch(path, condition)
    assert (r.status, r.cache_status["fwd-status"]) == (304, 304)
    asked = origin.last(path)
    assert {name: asked.get(name) for name in condition} == condition
    assert "stored" not in r.cache_status


def test_who_has_something_else_gets_all_of_it(proxy, origin):
    path, _ = unstored(origin, "", {"Cache-Control": "no-store"}, LARGE)
    r = proxy.fetch(path, {"If-None-Match": '"x"'})
    assert (r.status, len(r.body)) == (200, len(LARGE))


def test_on_routes_that_do_not_cache_conditions_go_through(proxy, origin):
    path, stream = unstored(origin, "/off", FRESH, LARGE)
    for condition in CONDITIONS:
        assert proxy.fetch(path, condition).status == 304
    assert stream.sent == 0


def test_what_is_too_large_is_not_sent_to_who_has_it(start_proxy, origin):
    limits = {"cache": {"max_object": "256K"}, **({"disk": {"max_object": "256K"}} if WITH_DISK else {})}
    proxy = start_proxy(limits, workers=1)
    whole = 64 << 20
    path, stream = unstored(origin, "", FRESH, range(whole))
    for n in range(4):
        r = proxy.fetch(path, CONDITIONS[n % 2])
        assert (r.status, r.body) == (304, b"")
        origin.wait_idle(path)
    assert stream.sent < whole / 2


def test_a_304_leaves_out_what_describes_the_content(proxy, origin):
    describing = {"Content-Type": "text/x", "Content-Encoding": "x-own", "Content-Language": "de"}
    path = origin.on(origin.fresh(), [Reply(200, {**FRESH, **describing, "ETag": '"a"', "X-Other": "1"}, b"x")])
    proxy.fetch(path)
    r = proxy.fetch(path, {"If-None-Match": '"a"'})
    assert (r.status, r.get("ETag"), r.get("X-Other"), r.get("Cache-Control")) == (304, '"a"', "1", FRESH["Cache-Control"])
    assert not any(r.has(name) for name in (*describing, "Content-Length"))
