# SPDX-License-Identifier: MIT
"""Parts of responses: served from what is stored, stored themselves, put together (RFC 9110 14, RFC 9111 3.3, 3.4)."""
from email.utils import formatdate

import pytest

from support.origin import Reply, Send, Wait, head, pattern
from support.rawclient import build

BODY = pattern(1000)

# How parts are stored shows where ranges go to the origin as they are; what fetches of the whole do: test_range_herds.py.
CONFIG = {"defaults": {"range_fill": "pass"}}


def part(first, last, fields=None, body=BODY):
    return Reply(206, {"Cache-Control": "max-age=60", "ETag": '"a"', "Content-Type": "text/plain", **(fields or {}),
                       "Content-Range": f"bytes {first}-{last}/{len(body)}"}, body[first:last + 1])


def whole(fields=None, body=BODY):
    return Reply(200, {"Cache-Control": "max-age=60", "ETag": '"a"', "Content-Type": "text/plain", **(fields or {})}, body)


def get(proxy, path, ranges=None, **fields):
    request = {name.replace("_", "-"): value for name, value in fields.items()}
    if ranges:
        request["Range"] = f"bytes={ranges}"
    return proxy.fetch(path, request)


def is_part(r, first, last, body=BODY):
    return (r.status == 206 and r.get("content-range") == f"bytes {first}-{last}/{len(body)}"
            and r.body == body[first:last + 1] and r.get("content-length") == str(last - first + 1))


# ---- from a stored 200 ----

@pytest.mark.parametrize("ranges, first, last", [("0-0", 0, 0), ("10-19", 10, 19), ("990-", 990, 999), ("-10", 990, 999),
                                                 ("5-5000", 5, 999), ("-5000", 0, 999)])
def test_a_range_is_cut_from_a_stored_response(proxy, origin, ranges, first, last):
    path = origin.on(origin.fresh(), [whole()])
    get(proxy, path)
    assert is_part(get(proxy, path, ranges), first, last)
    assert origin.count(path) == 1


def test_several_ranges_come_as_multipart(proxy, origin):
    path = origin.on(origin.fresh(), [whole()])
    get(proxy, path)
    r = get(proxy, path, "0-9,100-109")
    assert r.status == 206 and r.get("content-type").startswith("multipart/byteranges; boundary=")
    assert not r.has("content-range") and r.body.count(b"Content-Range: bytes ") == 2
    assert BODY[:10] in r.body and BODY[100:110] in r.body
    assert int(r.get("content-length")) == len(r.body)


def test_no_two_multipart_responses_have_the_same_boundary(proxy, origin):
    """An origin that could guess it could write one into its body. These are answered in one turn of the loop."""
    path = origin.on(origin.fresh(), [whole()])
    get(proxy, path)
    with proxy.client() as c:
        c.send(build(target=path, fields={"Range": "bytes=0-9,100-109"}) * 50)
        answers = [c.response() for _ in range(50)]
    boundaries = {r.get("content-type").partition("boundary=")[2] for r in answers}
    assert len(boundaries) == 50
    digits = "".join(b.removeprefix("memoproxy-") for b in boundaries)
    assert set(digits) == set("0123456789abcdef") and not any(len({b[i] for b in boundaries}) == 1 for i in range(10, 42))


def test_too_many_ranges_get_the_whole(proxy, origin):
    path = origin.on(origin.fresh(), [whole()])
    get(proxy, path)
    r = get(proxy, path, ",".join(f"{n}-{n}" for n in range(0, 100, 2)))
    assert (r.status, r.body) == (200, BODY)


def test_a_range_past_the_end_is_416_and_is_not_for_keeping(proxy, origin):
    path = origin.on(origin.fresh(), [whole({"Expires": "Fri, 01 Jan 2100 00:00:00 GMT", "CDN-Cache-Control": "max-age=60"})])
    get(proxy, path)
    r = get(proxy, path, "1000-")
    assert (r.status, r.get("content-range"), r.body) == (416, "bytes */1000", b"")
    assert not any(r.has(name) for name in ("cache-control", "cdn-cache-control", "expires", "content-type"))


@pytest.mark.parametrize("condition, status", [('"a"', 206), ('"b"', 200), ('W/"a"', 200),
                                               ("Sat, 01 Jan 2000 00:00:00 GMT", 206),
                                               ("Sat, 01 Jan 2000 00:00:01 GMT", 200)])
def test_if_range_needs_the_same_strong_validator(proxy, origin, condition, status):
    path = origin.on(origin.fresh(), [whole({"Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT", "Date": formatdate(usegmt=True)})])
    get(proxy, path)
    assert get(proxy, path, "0-9", If_Range=condition).status == status


def test_a_range_of_a_stale_response_is_cut_after_validation(proxy, origin):
    path = origin.on(origin.fresh(), [whole({"Cache-Control": "max-age=0"})], [Reply(304, {"Cache-Control": "max-age=60",
                                                                                          "ETag": '"a"'})])
    get(proxy, path)
    assert is_part(get(proxy, path, "10-19"), 10, 19)
    asked = origin.last(path)
    assert asked.get("if-none-match") == '"a"' and not asked.has("range")
    assert is_part(get(proxy, path, "20-29"), 20, 29)
    assert origin.count(path) == 2


# ---- from a stored 206 ----

@pytest.mark.parametrize("ranges, first, last", [("100-199", 100, 199), ("110-119", 110, 119), ("199-199", 199, 199)])
def test_a_stored_part_serves_what_it_holds(proxy, origin, ranges, first, last):
    path = origin.on(origin.fresh(), [part(100, 199)])
    r = get(proxy, path, "100-199")
    assert is_part(r, 100, 199)
    assert r.cache_status["stored"] is True
    r = get(proxy, path, ranges)
    assert is_part(r, first, last) and r.is_hit
    assert r.get("etag") == '"a"'
    assert origin.count(path) == 1


@pytest.mark.parametrize("ranges", ["-50", "950-", "960-5000"])
def test_a_stored_end_serves_ranges_without_an_end(proxy, origin, ranges):
    path = origin.on(origin.fresh(), [part(900, 999)])
    get(proxy, path, "-100")
    r = get(proxy, path, ranges)
    assert r.status == 206 and r.is_hit and r.body == BODY[-len(r.body):]
    assert origin.count(path) == 1


def test_a_stored_part_never_answers_for_the_whole(proxy, origin):
    path = origin.on(origin.fresh(), [part(100, 199)], [whole()])
    get(proxy, path, "100-199")
    r = get(proxy, path)
    assert (r.status, r.body) == (200, BODY)
    assert r.cache_status["fwd"] == "partial"
    assert not origin.last(path).has("range")
    assert get(proxy, path).is_hit


@pytest.mark.parametrize("stored", ["/hit", "/miss"])
def test_a_range_means_nothing_to_head(proxy, origin, stored):
    path = origin.on(origin.fresh(), [Reply(200, {"Cache-Control": "max-age=60", "ETag": '"1"'}, BODY)])
    if stored == "/hit":
        proxy.fetch(path)
    r = proxy.fetch(path, {"Range": "bytes=0-9"}, "HEAD")
    assert (r.status, r.get("Content-Length"), r.has("Content-Range")) == (200, str(len(BODY)), False)


def test_head_is_not_answered_from_a_part(proxy, origin):
    path = origin.on(origin.fresh(), [part(100, 199)], [whole()])
    get(proxy, path, "100-199")
    r = proxy.fetch(path, method="HEAD")
    assert (r.status, r.get("content-length")) == (200, "1000")
    assert origin.last(path).method == "HEAD"


def test_what_a_part_lacks_is_asked_for(proxy, origin):
    path = origin.on(origin.fresh(), [part(100, 199)], [part(150, 249)])
    get(proxy, path, "100-199")
    r = get(proxy, path, "150-249")
    assert is_part(r, 150, 249) and r.cache_status["fwd"] == "partial"
    assert origin.last(path).get("range") == "bytes=150-249"


def test_parts_that_touch_are_combined(proxy, origin):
    path = origin.on(origin.fresh(), [part(100, 199)], [part(200, 299)], [part(150, 350)])
    for ranges in ("100-199", "200-299", "150-350"):
        get(proxy, path, ranges)
    r = get(proxy, path, "100-350")
    assert is_part(r, 100, 350) and r.is_hit
    assert origin.count(path) == 3


def test_parts_that_are_all_become_the_whole(proxy, origin):
    path = origin.on(origin.fresh(), [part(500, 999, {"X-Old": "1", "X-Both": "old"})], [part(0, 499, {"X-Both": "new"})])
    get(proxy, path, "500-999")
    get(proxy, path, "0-499")
    r = get(proxy, path)
    assert (r.status, r.body, r.get("content-length")) == (200, BODY, "1000")
    assert r.is_hit and not r.has("content-range")
    assert (r.get("x-old"), r.get("x-both")) == ("1", "new")


@pytest.mark.parametrize("one, other", [('"a"', '"b"'), ('W/"a"', 'W/"a"'), ("", "")])
def test_parts_without_the_same_strong_validator_are_not_combined(proxy, origin, one, other):
    path = origin.on(origin.fresh(), [part(0, 99, {"ETag": one})], [part(100, 199, {"ETag": other})], [part(0, 199)])
    get(proxy, path, "0-99")
    get(proxy, path, "100-199")
    assert is_part(get(proxy, path, "0-199"), 0, 199)
    assert origin.count(path) == 3


def test_parts_with_the_same_old_date_are_combined(proxy, origin):
    fields = {"ETag": None, "Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT"}
    fields = {k: v for k, v in fields.items() if v}
    one, other = part(0, 99, fields), part(100, 199, fields)
    for reply in (one, other):
        reply.fields = [(k, v) for k, v in reply.fields if k.lower() not in (b"etag", "etag")]
    path = origin.on(origin.fresh(), [one], [other])
    get(proxy, path, "0-99")
    get(proxy, path, "100-199")
    assert is_part(get(proxy, path, "0-199"), 0, 199)
    assert origin.count(path) == 2


def test_the_missing_tail_is_fetched(proxy, origin):
    path = origin.on(origin.fresh(), [part(0, 399)], [part(400, 999, {"X-New": "1"})])
    get(proxy, path, "0-399")
    r = get(proxy, path)
    asked = origin.last(path)
    assert (asked.get("range"), asked.get("if-range")) == ("bytes=400-", '"a"')
    assert (r.status, r.body, r.get("content-length"), r.get("x-new")) == (200, BODY, "1000", "1")
    assert not r.has("content-range") and r.cache_status["fwd"] == "partial"
    assert get(proxy, path).is_hit
    assert origin.count(path) == 2


def test_a_whole_that_comes_for_a_tail_replaces_the_part(proxy, origin):
    new = pattern(1200)[::-1]
    path = origin.on(origin.fresh(), [part(0, 399)], [whole({"ETag": '"b"'}, new)])
    get(proxy, path, "0-399")
    assert get(proxy, path).body == new
    assert get(proxy, path, "0-9").body == new[:10]
    assert origin.count(path) == 2


@pytest.mark.parametrize("wrong", [part(400, 999, {"ETag": '"b"'}), part(401, 999), part(400, 998),
                                   Reply(416, {"Content-Range": "bytes */1000"})])
def test_a_tail_that_does_not_fit_makes_the_whole_be_fetched(proxy, origin, wrong):
    path = origin.on(origin.fresh(), [part(0, 399)], [wrong], [whole()])
    get(proxy, path, "0-399")
    r = get(proxy, path)
    assert (r.status, r.body) == (200, BODY)
    assert not origin.last(path).has("range")
    assert get(proxy, path).is_hit


@pytest.mark.parametrize("name, fields, body", [
    ("no Content-Range", {"Content-Range": None}, BODY[:100]),
    ("no total", {"Content-Range": "bytes 0-99/*"}, BODY[:100]),
    ("a length that disagrees", {"Content-Range": "bytes 0-99/1000"}, BODY[:90]),
    ("a whole that is too short", {"Content-Range": "bytes 0-99/100"}, BODY[:90]),
    ("no-store", {"Cache-Control": "no-store"}, BODY[:100]),
    ("multipart", {"Content-Range": None, "Content-Type": "multipart/byteranges; boundary=x"}, BODY[:100]),
])
def test_a_part_that_says_too_little_is_passed_on_and_not_stored(proxy, origin, name, fields, body):
    fields = {"Cache-Control": "max-age=60", "ETag": '"a"', "Content-Range": "bytes 0-99/1000", **fields}
    path = origin.on(origin.fresh(), [Reply(206, {k: v for k, v in fields.items() if v is not None}, body)])
    for _ in range(2):
        r = get(proxy, path, "0-99")
        assert (r.status, r.body) == (206, body)
    assert origin.count(path) == 2


def test_an_unasked_206_is_not_stored(proxy, origin):
    path = origin.on(origin.fresh(), [part(0, 99)])
    for _ in range(2):
        assert get(proxy, path).status == 502


def test_a_part_of_another_variant_is_left_alone(proxy, origin):
    path = origin.on(origin.fresh(), [part(0, 99, {"Vary": "X-Kind"})])
    get(proxy, path, "0-99", X_Kind="a")
    assert not get(proxy, path, "0-99", X_Kind="b").is_hit
    assert get(proxy, path, "0-99", X_Kind="a").is_hit


def test_a_purge_takes_parts_too(proxy, origin):
    path = origin.on(origin.fresh(), [part(0, 99)])
    get(proxy, path, "0-99")
    proxy.purge(url=path)
    assert not get(proxy, path, "0-99").is_hit
    assert origin.count(path) == 2


def test_the_response_to_a_range_that_the_origin_ignored_is_stored_whole(proxy, origin):
    path = origin.on(origin.fresh(), [whole()])
    assert get(proxy, path, "10-19").status == 200
    assert is_part(get(proxy, path, "10-19"), 10, 19)
    assert get(proxy, path).is_hit
    assert origin.count(path) == 1


@pytest.mark.parametrize("ranges", ["0-9,900-909", "900-909"])
def test_ranges_of_a_response_that_still_arrives(proxy, origin, ranges):
    """One is cut from it as its bytes come; several wait for its end."""
    rest = origin.gate()
    fields = {"Cache-Control": "max-age=60", "ETag": '"b"', "Content-Type": "text/plain", "Content-Length": len(BODY)}
    path = origin.on(origin.fresh(), [whole({"Cache-Control": "max-age=0"})],
                     [Send(head(200, fields) + BODY[:50]), Wait(rest), Send(BODY[50:])])
    get(proxy, path)
    with proxy.client() as leader, proxy.client() as c:
        leader.start(target=path)
        leader.response_head()
        c.start(target=path, fields={"Range": f"bytes={ranges}"})
        assert c.nothing_comes()
        rest.open()
        r = c.response()
    if "," in ranges:
        assert r.status == 206 and BODY[:10] in r.body and BODY[900:910] in r.body
    else:
        assert is_part(r, 900, 909)
    assert origin.count(path) == 2
