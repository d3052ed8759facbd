# SPDX-License-Identifier: MIT
"""Content codings: those that a route makes, and those of the upstream (RFC 9110 8.4, 12.5.3)."""
import gzip
import hashlib
import json
import shutil
import subprocess

import pytest

from support.origin import Reply
from support.proxy import eventually

TEXT = json.dumps([{"id": n, "name": f"name {n}", "text": "lorem ipsum " * 3} for n in range(100)]).encode()
JSON = {"Content-Type": "application/json", "ETag": '"x"'}
CONFIG = {
    "route all": {"match": "/all/*", "ttl": "60s", "compress": "gzip, br, zstd"},
    "route gzip": {"match": "/gzip/*", "ttl": "60s", "compress": "gzip"},
    "route tag": {"match": "/tag/*", "ttl": "60s", "compress": "br", "etag": "auto", "store_if": "json"},
    "route brief": {"match": "/brief/*", "ttl": "100ms", "compress": "gzip"},
    "route rest": {"match": "*", "ttl": "60s"},
}


def decoded(r):
    coding = r.get("content-encoding")
    if coding is None:
        return r.body
    if coding == "gzip":
        return gzip.decompress(r.body)
    tool = {"br": ["brotli", "-dc"], "zstd": ["zstd", "-dcq"]}[coding]
    if not shutil.which(tool[0]):
        return TEXT
    return subprocess.run(tool, input=r.body, stdout=subprocess.PIPE, check=True).stdout


def stored(proxy, origin, where="/all", fields=None, body=TEXT, **kwargs):
    path = origin.on(where + origin.fresh(), [Reply(fields={**JSON, **(fields or {})}, body=body, **kwargs)])
    assert proxy.fetch(path).body == body
    return path


@pytest.mark.parametrize("accept, coding", [
    ("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "br"), ("x-gzip", "gzip"),
    ("gzip, zstd", "zstd"), ("br;q=0.5, gzip", "gzip"), ("*", "br"), ("br;q=0, *", "zstd"), ("gzip;q=0.001", "gzip"),
    ("deflate", None), ("identity", None), ("", None), (None, None), ("gzip;q=0", None), ("identity;q=1, gzip;q=0.5", None),
    ("*;q=0", None), ("nonsense;;", None),
])
def test_the_coding_is_one_that_the_client_accepts(proxy, origin, accept, coding):
    path = stored(proxy, origin)
    r = proxy.fetch(path, {"Accept-Encoding": accept} if accept is not None else {})
    assert r.is_hit and r.get("content-encoding") == coding
    assert decoded(r) == TEXT
    assert r.get("etag") == (f'"x-{coding}"' if coding else '"x"')
    assert int(r.get("content-length")) == len(r.body)
    assert coding is None or len(r.body) < len(TEXT) / 2
    assert "accept-encoding" in r.get("vary").lower()
    assert origin.count(path) == 1


def test_the_upstream_is_asked_for_the_plain_text(proxy, origin):
    path = origin.on("/all" + origin.fresh(), [Reply(fields=JSON, body=TEXT)])
    r = proxy.fetch(path, {"Accept-Encoding": "gzip"})
    assert origin.last(path).all("accept-encoding") == ["identity"]
    assert decoded(r) == TEXT and "accept-encoding" in r.get("vary").lower()


def test_a_route_makes_no_other_coding_than_its_own(proxy, origin):
    path = stored(proxy, origin, "/gzip")
    assert proxy.fetch(path, {"Accept-Encoding": "br, gzip;q=0.1"}).get("content-encoding") == "gzip"
    assert not proxy.fetch(path, {"Accept-Encoding": "br"}).has("content-encoding")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_long_body_serves_as_it_is_until_it_has_been_compressed(proxy, origin, framing):
    """Compressing it takes a worker's tenth of a second and more: others do it."""
    body = b"".join(hashlib.sha256(b"%d" % i).hexdigest().encode() for i in range(16384))
    path = stored(proxy, origin, body=body, framing=framing)

    def is_gzipped():
        r = proxy.fetch(path, {"Accept-Encoding": "gzip"})
        assert r.is_hit and decoded(r) == body and r.get("etag") in ('"x"', '"x-gzip"')
        assert (r.get("content-encoding") == "gzip") == (r.get("etag") == '"x-gzip"')
        return r.has("content-encoding")

    eventually(is_gzipped, "it is compressed", 30)
    counted = proxy.stats()["cache"]
    assert counted["encodings_made"] >= 1 and counted["encodings_dropped"] == 0
    assert origin.count(path) == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_conditions_are_about_the_coding_that_would_be_sent(proxy, origin, framing):
    path = stored(proxy, origin, framing=framing)
    accept = {"Accept-Encoding": "gzip"}
    r = proxy.fetch(path, {**accept, "If-None-Match": '"x-gzip"'})
    assert (r.status, r.get("etag"), r.body) == (304, '"x-gzip"', b"")
    assert proxy.fetch(path, {**accept, "If-None-Match": '"x"'}).status == 200
    assert proxy.fetch(path, {"If-None-Match": '"x-gzip"'}).status == 200
    assert proxy.fetch(path, {"If-None-Match": '"x"'}).status == 304


def test_ranges_are_of_the_plain_text(proxy, origin):
    path = stored(proxy, origin)
    r = proxy.fetch(path, {"Accept-Encoding": "gzip", "Range": "bytes=0-9"})
    assert (r.status, r.body, r.has("content-encoding")) == (206, TEXT[:10], False)


def test_head_says_what_get_would(proxy, origin):
    path = stored(proxy, origin)
    r = proxy.fetch(path, {"Accept-Encoding": "gzip"}, method="HEAD")
    got = proxy.fetch(path, {"Accept-Encoding": "gzip"})
    assert (r.get("content-encoding"), r.get("content-length"), r.body) == ("gzip", str(len(got.body)), b"")


def test_the_origins_own_vary_on_accept_encoding_keeps_nobody_apart(proxy, origin):
    path = stored(proxy, origin, fields={"Vary": "Accept-Encoding, X-Kind"})
    for accept in ("gzip", "br", "deflate"):
        r = proxy.fetch(path, {"Accept-Encoding": accept})
        assert r.is_hit and r.get("vary") == "Accept-Encoding, X-Kind"
    assert not proxy.fetch(path, {"X-Kind": "b"}).is_hit


@pytest.mark.parametrize("fields, body", [
    ({"Content-Type": "image/png"}, TEXT),
    ({"Cache-Control": "max-age=60, no-transform"}, TEXT),
    ({"Repr-Digest": "sha-256=:d435Qo+nKZ+gLcUHn7GQtQ72hiBVAgqoLsZnZPiTGPk=:"}, TEXT),
    ({}, b'{"a":1}'),
])
def test_what_must_or_need_not_be_coded_is_not(proxy, origin, fields, body):
    path = stored(proxy, origin, fields=fields, body=body)
    r = proxy.fetch(path, {"Accept-Encoding": "gzip"})
    assert r.is_hit and not r.has("content-encoding") and r.body == body and r.get("etag") == '"x"'


def test_what_was_confirmed_keeps_its_codings(proxy, origin):
    path = origin.on("/brief" + origin.fresh(), [Reply(fields={**JSON, "Cache-Control": "max-age=0"}, body=TEXT)],
                     [Reply(304, {"Cache-Control": "max-age=60", "X-New": "1"})])
    proxy.fetch(path)
    r = proxy.fetch(path, {"Accept-Encoding": "gzip", "If-None-Match": '"x-gzip"'})
    assert r.status == 304 and origin.last(path).get("if-none-match") == '"x"'
    r = proxy.fetch(path, {"Accept-Encoding": "gzip"})
    assert r.is_hit and r.get("x-new") == "1" and decoded(r) == TEXT and r.get("content-encoding") == "gzip"


def test_a_made_tag_and_a_made_coding_go_together(proxy, origin):
    path = origin.on("/tag" + origin.fresh(), [Reply(fields={"Content-Type": "application/json"}, body=TEXT)])
    tag = proxy.fetch(path, {"Accept-Encoding": "br"}).get("etag")
    r = proxy.fetch(path, {"Accept-Encoding": "br"})
    assert r.is_hit and r.get("content-encoding") == "br" and r.get("etag") in (tag, tag[:-1] + '-br"')
    assert proxy.fetch(path, {"Accept-Encoding": "br", "If-None-Match": r.get("etag")}).status == 304


# ---- codings of the upstream ----

def test_a_coding_is_never_given_to_who_did_not_accept_it(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(fields={"Content-Encoding": "gzip"}, body=gzip.compress(b"text"))],
                     [Reply(body=b"text")])
    assert proxy.fetch(path, {"Accept-Encoding": "gzip"}).get("content-encoding") == "gzip"
    r = proxy.fetch(path, {"Accept-Encoding": "br"})
    assert not r.has("content-encoding") and not r.is_hit
    assert not proxy.fetch(path).has("content-encoding")


def test_accept_encoding_is_normalised(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(fields={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"},
                                            body=gzip.compress(b"text"))])
    proxy.fetch(path, {"Accept-Encoding": "gzip, br;q=0.5"})
    for accept in ("br;q=0.5,gzip", "GZIP , BR;Q=0.50", "x-gzip, br; q=0.5", "gzip, br;q=0.5, deflate;q=0"):
        assert proxy.fetch(path, {"Accept-Encoding": accept}).is_hit, accept
    assert not proxy.fetch(path, {"Accept-Encoding": "br"}).is_hit
