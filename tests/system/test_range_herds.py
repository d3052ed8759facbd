# SPDX-License-Identifier: MIT
"""Ranges of what is not stored yet: they wait for a fetch of the whole, and have it fetched, once for all."""
import pytest

from support.herd import Herd
from support.origin import Close, Reply, Send, Wait, chunk, head, pattern
from support.proxy import WITH_DISK, eventually
from support.rawclient import Aborted, build

pytestmark = [pytest.mark.tiers, pytest.mark.threads]

LIMIT = 256 * 1024
CONFIG = {"cache": {"max_object": "256K", "coalesce_timeout": "15s"},
          "upstream": {"max_connections": 1000, "first_byte_timeout": "20s", "stall_timeout": "20s", "retries": 0},
          "route quick": {"match": "/quick/*", "ttl": "60s"},
          "route pass": {"match": "/pass/*", "ttl": "60s", "range_fill": "pass"},
          "route coded": {"match": "/coded/*", "ttl": "60s", "compress": "gzip"},
          "route all": {"match": "*"}}
CC = "Cache-Control"
BODY = pattern(20000)
FIELDS = {CC: "max-age=60", "ETag": '"1"', "Content-Type": "text/plain"}


@pytest.fixture(params=["fast path", "transaction"])
def both(request, start_proxy):
    return start_proxy({**CONFIG, "cache": {**CONFIG["cache"], "fast_path": "on" if request.param == "fast path" else "off"}})


def ranged(ranges, **fields):
    return {"Range": f"bytes={ranges}", **{name.replace("_", "-"): value for name, value in fields.items()}}


def is_part(r, first, last, body=BODY):
    return (r.status == 206 and r.get("content-range") == f"bytes {first}-{last}/{len(body)}"
            and r.body == body[first:last + 1] and r.get("content-length") == str(last - first + 1))


def waiting(proxy, n):
    eventually(lambda: proxy.stats()["cache"]["waiters"] >= n, f"{n} wait")


def is_stored(proxy, path):
    """Once the fetch, of which a range may have had enough, has ended."""
    eventually(lambda: proxy.stats()["cache"]["flights"] == 0, "all has been fetched")
    return proxy.fetch(path).is_hit


def ranges_asked(origin, path):
    return [r.get("Range") for r in origin.seen(path)]


def parts_of(request, body, fields=None, framing="length"):
    """What an origin that heeds Range answers to one."""
    first, _, last = request.get("Range").removeprefix("bytes=").partition("-")
    if not first:
        first, last = max(0, len(body) - int(last)), ""
    first, last = int(first), min(int(last or len(body)), len(body) - 1)
    if first >= len(body):
        return [Reply(416, {"Content-Range": f"bytes */{len(body)}"})]
    return [Reply(206, {**FIELDS, **(fields or {}), "Content-Range": f"bytes {first}-{last}/{len(body)}"},
                  body[first:last + 1], framing=framing)]


def origin_of(origin, body, fields=None, prefix="", whole=(), framing="length"):
    """`whole`: what it does with a request that has no Range."""
    def answer(request):
        if request.has("Range"):
            return parts_of(request, body, fields, framing)
        return list(whole) or [Reply(200, {**FIELDS, **(fields or {})}, body, framing=framing)]
    return origin.on(prefix + origin.fresh(), answer)


class Clients:
    """One connection for each of the requests, which are sent at once."""

    def __init__(self, proxy, path, requests):
        self.proxy, self.clients = proxy, [proxy.client() for _ in requests]
        for c, fields in zip(self.clients, requests):
            c.start(target=path, fields=fields)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for c in self.clients:
            c.close()

    def answers(self):
        return [c.response() for c in self.clients]


# ---- joining, leading ----

def test_twenty_ranges_of_a_cold_key_are_one_call(both, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, FIELDS, BODY)])
    with Clients(both, path, [ranged(f"{n * 100}-{n * 100 + 49}") for n in range(20)]) as herd:
        waiting(both, 20)
        gate.open()
        for n, r in enumerate(herd.answers()):
            assert is_part(r, n * 100, n * 100 + 49), (n, r)
    assert ranges_asked(origin, path) == [None]
    assert is_stored(both, path) and is_part(both.fetch(path, ranged("-10")), len(BODY) - 10, len(BODY) - 1)


def test_one_range_of_a_cold_key_stores_the_whole(both, origin):
    path = origin_of(origin, BODY)
    r = both.fetch(path, ranged("100-199"))
    assert is_part(r, 100, 199)
    assert r.cache_status["fwd"] == "uri-miss" and r.cache_status["fwd-status"] == 200 and "stored" in r.cache_status
    eventually(lambda: both.fetch(path, {CC: "only-if-cached"}).body == BODY, "the whole is stored")
    assert ranges_asked(origin, path) == [None]


def test_whole_and_range_clients_share_a_fetch(both, origin):
    for lead in (ranged("5-9"), {}):
        gate = origin.gate()
        path = origin.on(origin.fresh(), [Wait(gate), Reply(200, FIELDS, BODY)])
        with Clients(both, path, [lead]) as first:
            origin.wait_for(path)
            with Clients(both, path, [{}, ranged("5-9"), ranged("-5"), {}]) as others:
                waiting(both, 5)
                gate.open()
                answers = first.answers() + others.answers()
        for r, fields in zip(answers, [lead, {}, ranged("5-9"), ranged("-5"), {}]):
            if fields:
                assert r.status == 206 and r.body == (BODY[5:10] if fields == ranged("5-9") else BODY[-5:])
            else:
                assert r.status == 200 and r.body == BODY
        assert origin.count(path) == 1


def test_a_range_waits_for_its_bytes_and_not_for_the_end(both, origin):
    middle, rest = origin.gate(), origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {**FIELDS, "Content-Length": len(BODY)}) + BODY[:1000]), Wait(middle),
                                      Send(BODY[1000:5000]), Wait(rest), Send(BODY[5000:])])
    with Clients(both, path, [ranged("100-199"), ranged("2000-2999"), ranged("100-199,2000-2099"), ranged("4900-5099")]) as herd:
        near, far, several, both_sides = herd.clients
        assert is_part(near.response(), 100, 199)
        assert far.nothing_comes()
        middle.open()
        assert is_part(far.response(), 2000, 2999)
        early = both_sides.response_head()
        assert early.status == 206 and several.nothing_comes()
        rest.open()
        both_sides.read_body(early)
        assert is_part(early, 4900, 5099)
        r = several.response()
        assert r.status == 206 and BODY[100:200] in r.body and BODY[2000:2100] in r.body
    assert origin.count(path) == 1


def test_a_range_that_the_whole_is_too_slow_to_come_to_goes_alone(proxy, origin):
    rest = origin.gate()
    path = origin_of(origin, BODY, whole=[Send(head(200, {**FIELDS, "Content-Length": len(BODY)}) + BODY[:1000]), Wait(rest),
                                          Send(BODY[1000:])])
    with Clients(proxy, path, [ranged("5000-5099"), {}, ranged("-9")]) as herd:
        far, whole, last = herd.clients
        assert is_part(far.response(), 5000, 5099) and is_part(last.response(), len(BODY) - 9, len(BODY) - 1)
        assert proxy.stats()["requests"]["ranges_overdue"] == 2
        rest.open()
        assert whole.response().body == BODY
    assert is_stored(proxy, path)
    assert sorted(ranges_asked(origin, path), key=str) == [None, "bytes=-9", "bytes=5000-5099"]


def test_without_a_length_a_range_waits_for_the_end(both, origin):
    rest = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {**FIELDS, "Transfer-Encoding": "chunked"}) + chunk(BODY[:9000])), Wait(rest),
                                      Send(chunk(BODY[9000:]) + b"0\r\n\r\n")])
    wanted = [ranged("100-199"), ranged("-7"), ranged("0-5,9-20"), ranged("20000-"), ranged("0-")]
    with Clients(both, path, wanted) as herd:
        waiting(both, 5)
        player = herd.clients[4].response_head()
        assert player.status == 200, "the whole does as well, and need not be waited for"
        assert herd.clients[0].nothing_comes()
        rest.open()
        part, suffix, several, beyond = [c.response() for c in herd.clients[:4]]
        herd.clients[4].read_body(player)
    assert is_part(part, 100, 199) and is_part(suffix, len(BODY) - 7, len(BODY) - 1)
    assert several.status == 206 and several.get("content-type").startswith("multipart/byteranges")
    assert beyond.status == 416 and beyond.get("content-range") == f"bytes */{len(BODY)}"
    assert player.body == BODY and origin.count(path) == 1


def test_beyond_the_end_is_416_with_the_length_of_the_whole(both, origin):
    path = origin_of(origin, BODY)
    r = both.fetch(path, ranged("20000-"))
    assert r.status == 416 and r.get("content-range") == "bytes */20000"
    assert ranges_asked(origin, path) == [None] and is_stored(both, path)


@pytest.mark.parametrize("condition, status", [('"1"', 206), ('"2"', 200), ('W/"1"', 200), ("Wed, 01 Jan 2020 00:00:00 GMT", 206),
                                               ("Thu, 02 Jan 2020 00:00:00 GMT", 200)])
def test_if_range_is_judged_by_what_comes(both, origin, condition, status):
    path = origin_of(origin, BODY, {"Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"})
    r = both.fetch(path, ranged("10-19", If_Range=condition))
    assert is_part(r, 10, 19) if status == 206 else (r.status, r.body) == (200, BODY)
    assert ranges_asked(origin, path) == [None]


def test_a_condition_comes_before_the_range(both, origin):
    path = origin_of(origin, BODY)
    assert both.fetch(path, ranged("10-19", If_None_Match='"1"')).status == 304
    assert origin.count(path) == 1 and is_stored(both, path)


def test_head_heeds_no_range(both, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, FIELDS, BODY)])
    with both.client() as get, both.client() as c:
        get.start(target=path)
        origin.wait_for(path)
        c.start("HEAD", target=path, fields=ranged("0-9"))
        waiting(both, 2)
        gate.open()
        r = c.response("HEAD")
        assert (r.status, r.get("content-length")) == (200, str(len(BODY)))
        get.response()
    assert origin.count(path) == 1


def test_ranges_of_a_coded_body_are_of_the_plain_bytes(both, origin):
    body = b"again and again " * 1000
    path = origin_of(origin, body, prefix="/coded")
    coded = {"Accept-Encoding": "gzip"}
    assert is_part(both.fetch(path, {**ranged("5-19"), **coded}), 5, 19, body)
    r = both.fetch(path, {**ranged("5-19", If_Range='"1-gzip"'), **coded})
    assert (r.status, r.body) == (200, body), "of those bytes nobody has a tag of this form"
    assert origin.count(path) == 1


# ---- what the origin says ----

@pytest.mark.parametrize("fields", [{CC: "no-store"}, {CC: "private"}, {CC: "max-age=60", "Vary": "*"},
                                    {CC: "no-cache", "Set-Cookie": "a=b"}], ids=str)
def test_what_is_for_one_client_is_asked_for_as_a_range(both, origin, fields):
    path = origin_of(origin, BODY, {**fields, "ETag": '"1"'}, prefix="/quick")
    assert is_part(both.fetch(path, ranged("100-199")), 100, 199)
    assert ranges_asked(origin, path) == [None, "bytes=100-199"]
    with Clients(both, path, [ranged(f"{n}-9") for n in range(9)]) as herd:
        for n, r in enumerate(herd.answers()):
            assert is_part(r, n, 9)
    assert sorted(ranges_asked(origin, path)[2:]) == [f"bytes={n}-9" for n in range(9)], "what is known not to be shared is passed"


@pytest.mark.parametrize("status, fields", [(302, {"Location": "/else", CC: "no-store"}), (404, {CC: "no-store"}), (503, {CC: "no-store"}),
                                            (500, {}), (404, {}), (404, {CC: "max-age=60"})])
def test_an_error_is_an_error_for_ranges_too(both, origin, status, fields):
    path = origin.on(origin.fresh(), [Reply(status, fields, b"it says")])
    r = both.fetch(path, ranged("1-3"))
    assert (r.status, r.body) == (status, b"it says")
    assert origin.count(path) == 1


def test_an_origin_that_sends_parts_to_everybody(both, origin):
    path = origin.on(origin.fresh(), [Reply(206, {**FIELDS, "Content-Range": "bytes 3-5/9"}, b"345")])
    r = both.fetch(path, ranged("3-5"))
    assert (r.status, r.body, r.get("content-range")) == (206, b"345", "bytes 3-5/9")


def test_a_variant_is_whose_it_is(both, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), lambda r: [Wait(gate), Reply(200, {**FIELDS, "Vary": "X-V"}, r.get("X-V").encode() * 50)])
    with Clients(both, path, [ranged("2-5", X_V=v) for v in "abab"]) as herd:
        waiting(both, 4)
        gate.open()
        for v, r in zip("abab", herd.answers()):
            assert is_part(r, 2, 5, v.encode() * 50)
    assert origin.count(path) == 2


def test_a_response_that_ends_early_is_no_part(both, origin):
    """What it does not reach is asked for by its own Range."""
    breaks = origin.gate()
    path = origin.on(origin.fresh(), lambda r: [Reply(416, {}, b"by itself")] if r.has("Range") else [
        Send(head(200, {**FIELDS, "Content-Length": len(BODY)}) + BODY[:5000]), Wait(breaks), Close()])
    with Clients(both, path, [ranged("4000-5999"), ranged("6000-6999"), ranged("0-1,4-5"), ranged("4000-4999")]) as herd:
        begun, waits, several, lucky = herd.clients
        early = begun.response_head()
        assert is_part(lucky.response(), 4000, 4999)
        waiting(both, 3)  # the three that are not there yet
        breaks.open()
        with pytest.raises(Aborted):
            begun.read_body(early)
        assert early.status == 206
        assert [waits.response().body, several.response().body] == [b"by itself"] * 2
    assert sorted(ranges_asked(origin, path), key=str) == [None, "bytes=0-1,4-5", "bytes=6000-6999"]


def test_a_response_without_length_that_ends_early_is_no_part(both, origin):
    path = origin_of(origin, BODY, whole=[Send(head(200, {**FIELDS, "Transfer-Encoding": "chunked"}) + chunk(BODY)), Close()])
    assert is_part(both.fetch(path, ranged("1-2")), 1, 2)
    assert ranges_asked(origin, path) == [None, "bytes=1-2"]


# ---- what is stored ----

def test_a_stale_whole_is_asked_about_by_ranges_once(both, origin):
    for validator in ('"1"', None):
        gate = origin.gate()
        second = Reply(304, {CC: "max-age=60", "ETag": '"1"'}) if validator else Reply(200, {CC: "max-age=60"}, BODY)
        path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=0, stale-if-error=60", "ETag": validator or ""}, BODY)], [Wait(gate), second])
        both.fetch(path)
        with Clients(both, path, [ranged("7-9")] * 5) as herd:
            waiting(both, 5)
            gate.open()
            assert all(is_part(r, 7, 9) for r in herd.answers())
        assert origin.count(path) == 2
        assert origin.seen(path)[1].get("If-None-Match") == validator


def test_stale_while_revalidate_is_one_fetch_of_the_whole(both, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=0, stale-while-revalidate=60"}, BODY)],
                     [Reply(200, {CC: "max-age=60"}, BODY[::-1])])
    both.fetch(path)
    assert is_part(both.fetch(path, ranged("7-9")), 7, 9)
    eventually(lambda: both.fetch(path, {CC: "only-if-cached"}).body == BODY[::-1], "the whole has come")
    assert ranges_asked(origin, path) == [None, None]


def test_a_range_gets_the_stale_part_in_place_of_an_error(both, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=0, stale-if-error=60"}, BODY)], [Reply(503, {}, b"")])
    both.fetch(path)
    assert is_part(both.fetch(path, ranged("7-9")), 7, 9)
    assert origin.count(path) == 2


def test_a_stored_part_is_made_whole_by_its_rest(both, origin):
    """A part is stored where a request may not lead; then the rest is fetched, for whatever range comes."""
    path = origin_of(origin, BODY)
    both.fetch(path, ranged("0-999", Authorization="x"))
    r = both.fetch(path, ranged("5000-5999"))
    assert is_part(r, 5000, 5999)
    assert is_part(both.fetch(path, ranged("0-9")), 0, 9)


def test_a_reload_of_a_range_fetches_the_whole_anew(both, origin):
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=60"}, BODY)], [Reply(200, {CC: "max-age=60"}, BODY[::-1])])
    both.fetch(path)
    assert is_part(both.fetch(path, ranged("7-9", Cache_Control="no-cache")), 7, 9, BODY[::-1])
    assert both.fetch(path).body == BODY[::-1] and origin.count(path) == 2


# ---- bounds ----

LARGE = pattern(4 * LIMIT)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_of_what_is_too_large_no_more_is_fetched_than_was_asked_for(both, origin, framing):
    path = origin_of(origin, LARGE, whole=[Reply(200, FIELDS, LARGE, framing=framing)])
    with Clients(both, path, [ranged("1000-1099"), ranged("900000-900099"), ranged("-100")]) as herd:
        near, far, suffix = herd.answers()
    assert is_part(near, 1000, 1099, LARGE) and is_part(far, 900000, 900099, LARGE)
    assert is_part(suffix, len(LARGE) - 100, len(LARGE) - 1, LARGE)
    asked = ranges_asked(origin, path)
    assert asked.count(None) <= 1 and "bytes=900000-900099" in asked
    n = len(asked)
    assert is_part(both.fetch(path, ranged("5000-5099")), 5000, 5099, LARGE)
    assert ranges_asked(origin, path)[n:] == ["bytes=5000-5099"], "that it is too large is known now"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_that_it_is_too_large_stays_known_when_parts_come_and_go(both, origin, framing):
    """Parts are asked for, one of them all bytes there are, and go as the origin answers several ranges with the whole."""
    path = origin.on(origin.fresh(), lambda r: [Reply(200, FIELDS, LARGE, framing=framing)] if "," in r.get("Range", ",")
                     else parts_of(r, LARGE, framing=framing))
    asked = ["1000-1099", "0-", "0-9,200-300", "1000-1099"]
    for ranges in asked:
        assert LARGE[1000:1100] in both.fetch(path, ranged(ranges)).body
    if not WITH_DISK:  # which has the whole
        assert ranges_asked(origin, path) == [None, *(f"bytes={ranges}" for ranges in asked)]


@pytest.mark.parametrize("ranges", ["0-", "5-", f"0-{LIMIT}"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_part_beyond_max_object_is_not_kept(both, origin, framing, ranges):
    path = origin_of(origin, LARGE, prefix="/pass", framing=framing)
    for _ in range(2):
        r = both.fetch(path, ranged(ranges))
        assert r.status == 206 and "stored" not in r.cache_status
    assert origin.count(path) == 2


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_part_is_not_made_whole_beyond_max_object(both, origin, framing):
    path = origin_of(origin, LARGE, prefix="/pass", framing=framing)
    assert "stored" in both.fetch(path, ranged("0-99")).cache_status
    assert both.fetch(path).body == LARGE
    assert ranges_asked(origin, path) == ["bytes=0-99", None]
    assert is_stored(both, path) == WITH_DISK


def test_a_range_that_begins_beyond_max_object_goes_to_the_origin(both, origin):
    path = origin_of(origin, LARGE)
    assert is_part(both.fetch(path, ranged(f"{LIMIT}-{LIMIT + 9}")), LIMIT, LIMIT + 9, LARGE)
    assert ranges_asked(origin, path) == [f"bytes={LIMIT}-{LIMIT + 9}"]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_what_is_too_large_reaches_those_who_want_it_whole(both, origin, framing):
    gate = origin.gate()
    path = origin_of(origin, LARGE, whole=[Wait(gate), Reply(200, FIELDS, LARGE, framing=framing)])
    with Clients(both, path, [ranged("1000-1099"), {}, ranged("200000-200009"), {}]) as herd:
        waiting(both, 4)
        gate.open()
        near, one, far, other = herd.answers()
    assert is_part(near, 1000, 1099, LARGE) and is_part(far, 200000, 200009, LARGE)
    assert one.body == LARGE and other.body == LARGE
    if WITH_DISK:
        eventually(lambda: both.fetch(path, {CC: "only-if-cached"}).status == 200, "it is on disk")


def test_a_part_that_comes_meanwhile_does_not_take_the_place_of_the_whole(both, origin):
    gate, late = origin.gate(), origin.gate()
    part = Reply(206, {**FIELDS, "Content-Range": f"bytes 300000-300009/{len(LARGE)}"}, LARGE[300000:300010])
    path = origin.on(origin.fresh(), lambda r: [Wait(late), part] if r.has("Range") else [Wait(gate), Reply(200, FIELDS, LARGE)])
    with Clients(both, path, [{}]) as whole:
        origin.wait_for(path)
        with Clients(both, path, [ranged("300000-300009")]) as ranges:
            origin.wait_for(path, 2)
            gate.open()
            assert whole.answers()[0].body == LARGE
            if WITH_DISK:
                eventually(lambda: both.stats()["disk"]["objects"] == 1 and both.stats()["cache"]["flights"] == 0, "it is on disk")
            late.open()
            assert is_part(ranges.answers()[0], 300000, 300009, LARGE)
    assert is_stored(both, path) == WITH_DISK


def test_other_units_and_what_cannot_be_read_go_to_the_origin(both, origin):
    for value in ("items=0-4", "bytes=5-2", "bytes=a-b"):
        path = origin.on(origin.fresh(), [Reply(200, {CC: "no-store"}, b"as it came")])
        assert both.fetch(path, {"Range": value}).body == b"as it came"
        assert ranges_asked(origin, path) == [value]


def test_range_fill_pass_sends_the_range_on(both, origin):
    path = origin_of(origin, BODY, prefix="/pass")
    assert is_part(both.fetch(path, ranged("10-19")), 10, 19)
    assert is_part(both.fetch(path, ranged("30-39")), 30, 39)
    assert ranges_asked(origin, path) == ["bytes=10-19", "bytes=30-39"]


@pytest.mark.parametrize("credential", ["Authorization", "Cookie"])
def test_credentials_wait_for_nobody(both, origin, credential):
    gate = origin.gate()
    path = origin_of(origin, BODY, whole=[Wait(gate), Reply(200, FIELDS, BODY)])
    with Clients(both, path, [ranged("0-9")]) as herd:
        origin.wait_for(path)
        assert is_part(both.fetch(path, {**ranged("20-29"), credential: "a=b"}), 20, 29)
        gate.open()
        assert is_part(herd.answers()[0], 0, 9)
    assert ranges_asked(origin, path) == [None, "bytes=20-29"]


@pytest.mark.parametrize("leaves", [0, 1])
def test_who_leaves_takes_nobody_along(both, origin, leaves):
    rest = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {**FIELDS, "Content-Length": len(BODY)}) + BODY[:100]), Wait(rest), Send(BODY[100:])])
    with Clients(both, path, [ranged("5000-5009")]) as leader:
        origin.wait_for(path)
        with Clients(both, path, [ranged("6000-6009")]) as other:
            waiting(both, 2)
            (leader, other)[leaves].clients[0].reset()
            eventually(lambda: both.stats()["cache"]["waiters"] == 1, "one has left")
            rest.open()
            stays = (leader, other)[1 - leaves].answers()[0]
    first = 6000 if leaves == 0 else 5000
    assert is_part(stays, first, first + 9)
    assert origin.count(path) == 1 and is_stored(both, path)


def test_coalescing_off_each_range_asks_for_itself(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "cache": {**CONFIG["cache"], "coalesce": "off"}})
    gate = origin.gate()
    path = origin_of(origin, BODY, whole=[Wait(gate), Reply(200, FIELDS, BODY)])
    with Clients(proxy, path, [ranged("0-9")] * 3) as herd:
        origin.wait_for(path, 3)
        gate.open()
        assert all(is_part(r, 0, 9) for r in herd.answers())


def test_a_herd_of_three_hundred_ranges(both, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, FIELDS, BODY)])
    with Herd(both.port, 300, build("GET", path, ranged("1000-1999"))) as herd:
        herd.connect().send()
        waiting(both, 300)
        gate.open()
        herd.run()
        herd.check(206, BODY[1000:2000])
    assert origin.count(path) == 1


def test_a_download_that_broke_off_goes_on_though_the_whole_breaks_off_again(both, origin):
    """The origin gives a quarter of it at a time. What a range begins behind, the fetch of the whole never reaches."""
    cut = [Send(head(200, {**FIELDS, "Content-Length": len(BODY)}) + BODY[:5000]), Close()]
    path = origin_of(origin, BODY, whole=cut)
    with pytest.raises(Aborted):
        both.fetch(path)
    assert is_part(both.fetch(path, ranged("5000-", If_Range='"1"')), 5000, len(BODY) - 1)
    assert ranges_asked(origin, path)[-2:] == [None, "bytes=5000-"]
