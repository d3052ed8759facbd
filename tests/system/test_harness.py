# SPDX-License-Identifier: MIT
"""The harness itself: a test tool that is wrong would blame the proxy, or see nothing."""
import json
import time

import pytest

from support import rawclient
from support.herd import Herd, herd_fetch
from support.nginx import Nginx
from support.origin import (Close, Drip, Endless, Hang, Reply, Reset, Send, Stream, Wait, chunk, head, pattern)
from support.rawclient import Aborted, Client, build, fetch


def test_origin_runs_its_scripts_in_turn_and_repeats_the_last(origin):
    path = origin.on(origin.fresh(), [Reply(body=b"one")], [Reply(body=b"two")])
    assert [fetch(origin.port, path).body for _ in range(3)] == [b"one", b"two", b"two"]
    assert origin.count(path) == 3


def test_origin_records_what_it_received(origin):
    path = origin.on(origin.fresh(), [Reply(body=b"ok")])
    with Client(origin.port) as c:
        c.request("POST", path + "?a=1", [("X-A", "1"), ("X-A", "2")], b"body")
        c.request("PUT", path, {"Transfer-Encoding": "chunked"}, b"3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")
    first, second = origin.seen(path)
    assert (first.method, first.target, first.all("x-a"), first.body) == ("POST", path + "?a=1", ["1", "2"], b"body")
    assert (second.body, second.trailers, second.raw_body) == (b"abc", [("X-T", "1")], b"3;x=y\r\nabc\r\n")
    assert (first.conn_no, first.seq_no, second.seq_no) == (second.conn_no, 0, 1)


def test_origin_waits_for_a_gate(origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"late")])
    with Client(origin.port) as c:
        c.start(target=path)
        origin.wait_active(path, 1)
        assert c.nothing_comes()
        gate.open()
        assert c.response().body == b"late"
    assert origin.peak(path) == 1


def test_chunked_responses_with_trailers_and_interim_ones_are_read(origin):
    path = origin.on(origin.fresh(), [Reply(body=b"abcdef", framing="chunked", pieces=4, trailers={"X-T": "1"},
                                            interim=[(103, {"Link": "</a>"}), (102, {})])])
    r = fetch(origin.port, path)
    assert (r.body, r.trailers, r.framing) == (b"abcdef", [("X-T", "1")], "chunked")
    assert [(i.status, i.get("Link")) for i in r.interim] == [(103, "</a>"), (102, None)]


@pytest.mark.parametrize("script", [
    [Send(head(200, {"Content-Length": 10}) + b"abc"), Close()],
    [Send(head(200, {"Content-Length": 10}) + b"abc"), Reset()],
    [Send(head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"abc")), Close()],
    [Send(head(200, {"Transfer-Encoding": "chunked"}) + b"a\r\nabc"), Reset()],
], ids=["length, close", "length, reset", "chunked, close", "in a chunk, reset"])
def test_a_response_that_breaks_off_is_noticed(origin, script):
    path = origin.on(origin.fresh(), script)
    with pytest.raises(Aborted):
        fetch(origin.port, path)


def test_origin_notices_that_the_client_left(origin):
    path = origin.on(origin.fresh(), [Hang()])
    with Client(origin.port) as c:
        c.start(target=path)
        request, = origin.wait_for(path)
        assert not request.client_left
        c.reset()
    origin.wait_until(lambda: request.client_left, "the client left")


@pytest.mark.parametrize("raw", [
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
])
def test_origin_notes_requests_that_are_not_well_formed(origin, raw):
    before = len(origin.faults)
    with Client(origin.port) as c:
        c.send(raw)
        c.wait_closed()
    assert len(origin.faults) == before + 1


def test_drip_stream_and_endless(origin):
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 6})), Drip(b"abcdef", 2, 0.01)])
    assert fetch(origin.port, path).body == b"abcdef"
    path = origin.on(origin.fresh(), [Send(head(200, {"Transfer-Encoding": "chunked"})), Stream(200000, chunked=True)])
    assert fetch(origin.port, path).body == (pattern(1 << 16) * 4)[:200000]
    path = origin.on(origin.fresh(), [Send(b"HTTP/1.1 200 OK\r\n"), Endless(b"X-Filler: 0123456789\r\n")])
    with Client(origin.port) as c:
        c.start(target=path)
        assert c.read_bytes(100000).startswith(b"HTTP/1.1 200 OK\r\nX-Filler")


def test_origin_holds_two_thousand_connections_and_the_herd_measures_them(origin):
    gate = origin.gate()
    body = pattern(3000)
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=body, framing="chunked", pieces=1000)])
    with Herd(origin.port, 2000, build(target=path)) as herd:
        herd.connect().send()
        origin.wait_active(path, 2000)
        opened_at = time.monotonic()
        gate.open()
        herd.run()
        herd.check(200, body)
        first, last = herd.first_byte_spread(opened_at)
        assert 0 <= first <= last
    assert origin.peak(path) == 2000


def test_cache_status_is_parsed():
    parse = rawclient.cache_status
    assert parse("a; hit, memoproxy; fwd=miss; fwd-status=200; stored; ttl=-3; detail=\"x\"") == {
        "fwd": "miss", "fwd-status": 200, "stored": True, "ttl": -3, "detail": "x"}
    assert parse("memoproxy;hit") == {"hit": True}
    assert parse("other; hit") == {}


PASS_ON = "location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; proxy_buffering off; }"


def test_against_nginx_as_a_proxy(origin):
    if not Nginx.available():
        pytest.skip("nginx is not installed")
    path = origin.on(origin.fresh(), [Reply(200, {"X-A": "1"}, pattern(100000), framing="chunked", pieces=3000)])
    short = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 10}) + b"abc"), Close()])
    with Nginx(PASS_ON % origin.port, tls=False) as n:
        assert fetch(n.port, path).body == pattern(100000)
        herd_fetch(n.port, 200, path).check(200, pattern(100000))
        with pytest.raises(Aborted):
            fetch(n.port, short)


def test_nginx_origin_speaks_tls_and_http2(nginx):
    import ssl
    import http.client
    context = ssl.create_default_context(cafile=nginx.ca)
    connection = http.client.HTTPSConnection("127.0.0.1", nginx.tls_port, context=context)
    connection.request("GET", "/big.bin", headers={"Range": "bytes=10-19"})
    r = connection.getresponse()
    assert (r.status, r.read()) == (206, nginx.big[10:20])
    connection.close()
    assert fetch(nginx.port, "/small.txt").body == nginx.small


def test_json_server_serves_the_made_data(json_server):
    r = fetch(json_server.port, "/posts?_page=2&_limit=10", host=f"127.0.0.1:{json_server.port}")
    assert (r.status, len(r.json()), r.get("X-Total-Count")) == (200, 10, "200")
    assert json.loads(fetch(json_server.port, "/users/7").body)["id"] == 7
