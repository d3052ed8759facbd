# SPDX-License-Identifier: MIT
"""Where an HTTP/2 origin's responses end: END_STREAM, and nothing else, says that one without a length is whole."""
import threading

import pytest

from support.h2origin import (CLOSE, INTERNAL_ERROR, NO_ERROR, H2Origin, data, goaway, head, reset, trailers)
from support.proxy import eventually
from support.rawclient import Aborted

LIVES = {"Cache-Control": "max-age=60"}
CONFIG = {"upstream": {"http_version": "2", "retries": 0}, "route passed": {"match": "/passed*", "cache": "off"}}
EVERYWHERE = pytest.mark.parametrize("path", ["/stored", "/passed"])
WHOLE = [head(200, LIVES), data(b"whole", end=True)]
BAD_FRAME = lambda stream: b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x"  # DATA on stream 0: a connection error

CUTS = {
    "reset without error": [reset(NO_ERROR)],
    "reset with an error": [reset(INTERNAL_ERROR)],
    "reset behind an empty DATA": [data(b""), reset(NO_ERROR)],
    "connection closed": [CLOSE],
    "GOAWAY, then closed": [goaway(NO_ERROR), CLOSE],
    "GOAWAY, then reset": [goaway(NO_ERROR), reset(NO_ERROR), CLOSE],
    "protocol error": [BAD_FRAME, CLOSE],
    "protocol error after GOAWAY": [goaway(NO_ERROR), BAD_FRAME, CLOSE],
}


@pytest.fixture
def h2():
    with H2Origin() as origin:
        yield origin


@EVERYWHERE
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("begin", [b"", b"half"], ids=["nothing", "half"])
def test_a_response_that_is_cut_is_aborted_and_never_stored(start_proxy, h2, path, cut, begin):
    h2.answers([head(200, LIVES)] + ([data(begin)] if begin else []) + CUTS[cut], WHOLE)
    proxy = start_proxy(CONFIG, upstream=h2.url)
    with proxy.client() as c:
        c.start(target=path)
        r = c.response_head()
        if r.status == 200:
            with pytest.raises(Aborted):
                c.read_body(r)
        else:
            assert r.status == 502
    eventually(lambda: proxy.fetch(path).body == b"whole", "the broken answer is not kept")
    assert h2.requests >= 2


@EVERYWHERE
@pytest.mark.parametrize("end", [
    [data(b"whole", end=True)],
    [data(b"whole"), data(b"", end=True)],
    [data(b"who"), data(b"le", end=True), reset(NO_ERROR)],
    [data(b"who", padding=200), data(b"le", padding=0), data(b"", padding=9, end=True)],
    [data(b"whole"), trailers({"x-sum": "1"})],
    [data(b"whole", end=True), goaway(NO_ERROR), CLOSE],
], ids=["with the data", "on its own", "then reset", "padded", "trailers", "then GOAWAY"])
def test_END_STREAM_makes_it_whole(start_proxy, h2, path, end):
    h2.answers([head(200, LIVES), *end])
    proxy = start_proxy(CONFIG, upstream=h2.url)
    for _ in range(2):
        assert proxy.fetch(path).body == b"whole"
    assert h2.requests == (1 if path == "/stored" else 2)


def test_who_waits_for_a_stream_that_is_cut_sees_it_too(start_proxy, h2):
    cut = threading.Event()
    h2.answers([head(200, LIVES), data(b"half"), cut, reset(NO_ERROR)], WHOLE)
    proxy = start_proxy(CONFIG, upstream=h2.url)
    with proxy.client() as leader, proxy.client() as waiter:
        for c in (leader, waiter):
            c.start(target="/stored")
        answers = [c.response_head() for c in (leader, waiter)]
        cut.set()
        for c, r in zip((leader, waiter), answers):
            with pytest.raises(Aborted):
                c.read_body(r)
    eventually(lambda: proxy.fetch("/stored").body == b"whole", "the broken answer is not kept")


def test_one_request_after_another_and_many_at_once(start_proxy, h2):
    h2.answers([head(200), data(b"whole", end=True)])
    proxy = start_proxy(CONFIG, upstream=h2.url)
    assert [proxy.fetch("/passed").body for _ in range(6)] == [b"whole"] * 6
    clients = [proxy.client() for _ in range(12)]
    for c in clients:
        c.start(target="/passed")
    for c in clients:
        with c:
            assert c.response().body == b"whole"
