# SPDX-License-Identifier: MIT
"""Tags that the proxy makes or changes, in conditions that go to the origin: optimistic locking goes on working (RFC 9110 8.8.3, 13)."""
import gzip
import json

import pytest

from support.origin import Reply

TEXT = json.dumps([{"id": n, "name": f"name {n}", "text": "lorem ipsum " * 3} for n in range(100)]).encode()
JSON = {"Content-Type": "application/json"}
GZIP = {"Accept-Encoding": "gzip"}
CONFIG = {
    "route made": {"match": "/made/*", "ttl": "60s", "compress": "gzip, br"},
    "route auto": {"match": "/auto/*", "ttl": "60s", "etag": "auto"},
    "route both": {"match": "/both/*", "ttl": "60s", "etag": "auto", "compress": "gzip"},
    "route rest": {"match": "*", "ttl": "60s"},
}
WRITES = ["PUT", "PATCH", "DELETE", "POST"]


def locked(origin, where, tag):
    """A resource that compares If-Match as many do: with the text of its own tag."""
    path = origin.fresh() if not where else where + origin.fresh()
    fields = {**JSON, "ETag": tag} if tag else JSON

    def answer(request):
        if request.method in WRITES:
            return [Reply(204 if request.get("if-match") in (tag, "*") else 412, {"X-Seen": request.get("if-match", "none")})]
        return [Reply(200, fields, TEXT)]
    return origin.on(path, answer)


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("tag", ['"v1"', '"x-gzip"', '"x-br-identity"', '"-gzip"', '"gzip"', '"x-gzip-br-zstd"'])
@pytest.mark.parametrize("accept", [{}, GZIP, {"Accept-Encoding": "br"}], ids=str)
@pytest.mark.parametrize("gone", [False, True])
def test_a_write_is_let_through_by_the_tag_that_was_shown(proxy, origin, method, tag, accept, gone):
    path = locked(origin, "/made", tag)
    proxy.fetch(path)
    shown = proxy.fetch(path, accept)
    assert shown.is_hit and shown.has("content-encoding") == bool(accept)
    if gone:
        proxy.purge(url=path)
    assert proxy.fetch(path, {"If-Match": shown.get("etag")}, method=method).status == 204
    assert origin.last(path).all("if-match") == [tag]


@pytest.mark.parametrize("tag", ['"v1"', '"x-gzip"', 'W/"v1"'])
@pytest.mark.parametrize("accept", [{}, GZIP], ids=str)
def test_shown_tags_are_all_confirmed_and_told_apart(proxy, origin, tag, accept):
    path = locked(origin, "/made", tag)
    proxy.fetch(path)
    shown = [proxy.fetch(path, fields).get("etag") for fields in ({}, GZIP, {"Accept-Encoding": "br"})]
    assert len(set(shown)) == 3
    mine = proxy.fetch(path, accept).get("etag")
    assert proxy.fetch(path, accept, method="HEAD").get("etag") == mine
    for other in shown:
        r = proxy.fetch(path, {**accept, "If-None-Match": other})
        assert (r.status, r.get("etag")) == (304 if other == mine else 200, mine)
    assert origin.count(path) == 1


@pytest.mark.parametrize("sent, seen", [
    (['"v1-gzip"'], ['"v1"']), (['"v1"'], ['"v1"']), (['W/"v1-br"'], ['W/"v1"']), (["*"], ["*"]), (['"a-gzip","b","c-identity"'], ['"a", "b", "c"']),
    (['"a-gzip"', '"b-br"'], ['"a"', '"b"']), (['"a,b-gzip"'], ['"a,b"']), (['"a-deflate"', '"a-GZIP"'], ['"a-deflate"', '"a-GZIP"']),
    (['gzip"', '"-gzip"'], ['gzip"', '""']), (["v1-gzip"], ["v1-gzip"]), (['"v1-gzip-gzip"'], ['"v1-gzip"'])])
@pytest.mark.parametrize("field", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_lists_weak_tags_and_stars(proxy, origin, method, field, sent, seen):
    if method == "GET" and field == "If-None-Match":
        pytest.skip("of the cache")
    path = origin.on("/made" + origin.fresh(), [Reply(200, JSON, b"{}")])
    proxy.fetch(path, [(field, value) for value in sent], method=method)
    assert origin.last(path).all(field) == seen


def test_other_routes_leave_tags_alone(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"x-gzip"'}, b"{}")])
    assert proxy.fetch(path).get("etag") == '"x-gzip"'
    for field in ("If-Match", "If-None-Match"):
        proxy.fetch(path, {field: '"x-gzip","auto-00112233445566778899aabbccddeeff"'}, method="PUT")
        assert origin.last(path).all(field) == ['"x-gzip","auto-00112233445566778899aabbccddeeff"']


def test_a_304_of_the_origin_is_of_what_the_client_has(proxy, origin):
    path = origin.on("/made" + origin.fresh(), lambda r: [Reply(304 if r.get("if-none-match") == '"v1"' else 200,
                                                               {**JSON, "ETag": '"v1"', "Cache-Control": "no-store"}, TEXT)])
    proxy.fetch(path)
    r = proxy.fetch(path, {"If-None-Match": '"v1-gzip"', **GZIP})
    assert (r.status, r.get("etag")) == (304, '"v1-gzip"')
    r = proxy.fetch(path, {"If-None-Match": '"v1"', **GZIP})
    assert (r.status, r.get("etag")) == (304, '"v1"')


@pytest.mark.parametrize("if_range, seen", [('"x-gzip"', None), ('"x-gzip-identity"', '"x-gzip"'), ('"x"', '"x"'), ("Sat, 01 Jan 2000 00:00:00 GMT",) * 2])
def test_bytes_of_a_coding_are_not_gone_on_with_in_plain_ones(proxy, origin, if_range, seen):
    path = origin.on("/made" + origin.fresh(), [Reply(200, {**JSON, "Cache-Control": "no-store"}, TEXT)])
    proxy.fetch(path)
    proxy.fetch(path, {"Range": "bytes=5-9", "If-Range": if_range})
    assert (origin.last(path).get("if-range"), origin.last(path).has("range")) == (seen, seen is not None)


def test_a_stored_body_is_cut_by_the_tag_that_was_shown(proxy, origin):
    path = locked(origin, "/made", '"x-gzip"')
    shown = proxy.fetch(path).get("etag")
    r = proxy.fetch(path, {"Range": "bytes=0-9", "If-Range": shown})
    assert (r.status, r.body, r.get("etag")) == (206, TEXT[:10], shown)
    assert proxy.fetch(path, {"Range": "bytes=0-9", "If-Range": '"x-gzip"'}).status == 200


# ---- etag = auto: the origin does not know them ----

@pytest.mark.parametrize("where", ["/auto", "/both"])
@pytest.mark.parametrize("method", WRITES + ["GET"])
def test_a_tag_that_only_the_proxy_knows_locks_nothing(proxy, origin, where, method):
    path = locked(origin, where, None)
    proxy.fetch(path)
    shown = proxy.fetch(path, GZIP).get("etag")
    before = origin.count(path)
    r = proxy.fetch(path, {"If-Match": shown}, method=method)
    assert (r.status, r.json()["detail"]) == (412, "the entity tag was made by the proxy (etag = auto): the origin can't judge it")
    assert origin.count(path) == before, "nothing was written"
    assert proxy.fetch(path).is_hit


def test_tags_of_the_origins_own_beside_it_are_judged_there(proxy, origin):
    path = locked(origin, "/auto", '"v1"')
    made = '"auto-00112233445566778899aabbccddeeff"'
    assert proxy.fetch(path, [("If-Match", f'{made}, "v1"')], method="PUT").status == 204
    assert origin.last(path).all("if-match") == ['"v1"']
    assert proxy.fetch(path, [("If-Match", made), ("If-Match", "*")], method="PUT").status == 204
    assert origin.last(path).all("if-match") == ["*"]


@pytest.mark.parametrize("fields, status", [({"If-None-Match": '"auto-00112233445566778899aabbccddeeff"'}, 412),
                                            ({"If-Match": 'W/"auto-00112233445566778899aabbccddeeff"'}, 412),
                                            ({"If-Match": 'W/"auto-00112233445566778899aabbccddeeff", "auto-00112233445566778899aabbccddeeff"'}, 412),
                                            ({"If-None-Match": 'W/"auto-00112233445566778899aabbccddeeff"'}, 412), ({"If-None-Match": "*"}, 204),
                                            ({}, 204)], ids=str)
def test_nor_may_a_write_hang_on_its_absence(proxy, origin, fields, status):
    path = origin.on("/auto" + origin.fresh(), [Reply(204)])
    assert proxy.fetch(path, fields, method="PUT").status == status
    assert origin.count(path) == (status == 204)


def test_the_whole_of_it_decodes(proxy, origin):
    path = locked(origin, "/made", '"x-gzip"')
    proxy.fetch(path)
    r = proxy.fetch(path, GZIP)
    assert (r.get("etag"), gzip.decompress(r.body)) == ('"x-gzip-gzip"', TEXT)
    r = proxy.fetch(path)
    assert (r.all("etag"), r.body, r.get("content-length")) == (['"x-gzip-identity"'], TEXT, str(len(TEXT)))


def test_the_tag_that_a_write_answers_with_is_good_for_the_next(proxy, origin):
    path = origin.on("/made" + origin.fresh(), [Reply(200, {"ETag": '"x-gzip"'})])
    shown = proxy.fetch(path, method="PUT").get("etag")
    assert shown == '"x-gzip-identity"'
    proxy.fetch(path, {"If-Match": shown}, method="PUT")
    assert origin.last(path).get("if-match") == '"x-gzip"'
