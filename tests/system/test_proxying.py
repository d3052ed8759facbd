# SPDX-License-Identifier: MIT
"""What passes through unchanged, what is added and dropped, in both directions."""
import hashlib
import pathlib

import pytest

from support.origin import (Close, Hang, ReadBody, Reply, Reset, Send, Stream, Wait, chunk, head, pattern)
from support.proxy import SLOW, eventually
from support.rawclient import Aborted, Client, build

MB = 1 << 20
CONFIG = {
    "proxy": {"max_header": "16K", "max_body": "64M"},
    "upstream": {"connect_timeout": "2s", "first_byte_timeout": "20s", "stall_timeout": "20s"},
    "cache": {"max_object": "4M"},
    "route cached": {"match": "/cached*", "ttl": "60s"},
    "route all": {"match": "*", "cache": "off"},
}
OWN_FIELDS = {"age", "via", "cache-status", "date", "connection", "keep-alive", "transfer-encoding"}


def own_less(fields):
    return sorted((n.lower(), v) for n, v in fields if n.lower() not in OWN_FIELDS)


# ---- methods and targets ----

@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND", "M-SEARCH",
                                    "REPORT", "FOO", "get", "X!#$%&'*+-.^_`|~9"])
@pytest.mark.parametrize("framing", ["none", "length", "chunked"])
def test_method_with_body_arrives_and_its_response_returns(proxy, origin, method, framing):
    path = origin.on(origin.fresh(), lambda r: [Reply(200, {"X-Method": r.method}, b"<" + r.body + b">")])
    body, fields = {"none": (b"", {}), "length": (b"hello", {}),
                    "chunked": (b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nX-T: 1\r\n\r\n", {"Transfer-Encoding": "chunked"})}[framing]
    with proxy.client() as c:
        for _ in range(2):  # the second time over a used connection
            r = c.request(method, path + "?q=1&q=2", fields, body)
            assert (r.status, r.get("X-Method"), r.body) == (200, method, b"<hello>" if body else b"<>")
    for request in origin.seen(path):
        assert (request.line, request.body) == (f"{method} {path}?q=1&q=2 HTTP/1.1", b"hello" if body else b"")
    assert origin.count(path) == 2


def test_post_with_an_empty_body_says_so_upstream(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"ok")])
    proxy.fetch(path, {"Content-Length": "0"}, "POST")
    assert origin.last(path).get("Content-Length") == "0"
    proxy.fetch(path)
    assert not origin.last(path).has("Content-Length")
    assert not origin.last(path).has("Transfer-Encoding")


def test_no_fields_are_made_up_for_a_request_with_a_body(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"ok")])
    proxy.fetch(path, {}, "POST", b"x")
    request = origin.last(path)
    for name in ("Content-Type", "Accept", "User-Agent", "Expect", "Accept-Encoding", "Cookie", "Range"):
        assert not request.has(name), f"{name}: {request.get(name)}"


def test_head_has_the_fields_and_no_body(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"X-A": "1", "Content-Length": "12345"})])
    with proxy.client() as c:
        for _ in range(2):
            r = c.request("HEAD", path)
            assert (r.status, r.get("X-A"), r.get("Content-Length"), r.body) == (200, "1", "12345", b"")
    assert {r.method for r in origin.seen(path)} == {"HEAD"}


def test_options_asterisk_goes_to_the_origin_as_it_is(proxy, origin):
    origin.on("*", [Reply(200, {"Allow": "GET, FOO"})], method="OPTIONS")
    r = proxy.fetch("*", method="OPTIONS")
    assert (r.status, r.get("Allow")) == (200, "GET, FOO")
    assert origin.last("*").line == "OPTIONS * HTTP/1.1"


def test_trace_is_not_allowed(proxy, origin):
    path = origin.on(origin.fresh(), [Reply()])
    r = proxy.fetch(path, method="TRACE")
    assert r.status == 405
    assert r.has("Allow")
    assert origin.count(path) == 0


@pytest.mark.parametrize("target", [
    "/a/../b", "/a/./b", "/a//b", "//a", "/a%2Fb", "/a%2fb", "/%61", "/a?", "/a?b?c", "/a;b=c", "/a?x=%00", "/a+b?c+d",
    "/a/..", "/..", "/a&b", "/a:b@c", "/a,b", "/a'b(c)*d!", "/a?b=/../c", "/a?%", "/{}|^`", "/a[1]?b[]=2", "/a\\b"])
def test_target_reaches_the_origin_byte_for_byte(proxy, origin, target):
    origin.on(target, [Reply(body=b"here")])
    before = origin.count(target)
    r = proxy.fetch(target)
    if target in ("/{}|^`", "/a\\b") and r.status == 400:
        return  # not a URI's characters: refusing is as good
    assert r.body == b"here"
    assert origin.seen(target)[before:][0].target == target


def test_absolute_form_goes_on_in_origin_form_and_its_host_wins(proxy, origin, start_proxy):
    path = origin.on(origin.fresh(), [Reply(body=b"ok")])
    with start_proxy({"upstream": {"host_header": "client"}, "route a": {"match": "*", "cache": "off"}}).client() as c:
        assert c.get(f"http://target.example{path}?a=1", host="other.example").body == b"ok"
    request = origin.last(path)
    assert (request.target, request.all("Host")) == (path + "?a=1", ["target.example"])


# ---- connections ----

def test_many_requests_share_one_connection(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.target)])
    with proxy.client() as c:
        for i in range(200):
            assert c.get(f"{path}?{i}").body == f"{path}?{i}".encode()


@pytest.mark.parametrize("value", ["close", "Close", "foo, close", "close, foo"])
def test_connection_close_is_honoured(proxy, origin, value):
    path = origin.on(origin.fresh(), [Reply(body=b"ok")])
    with proxy.client() as c:
        r = c.get(path, {"Connection": value})
        assert r.body == b"ok"
        assert "close" in r.tokens
        assert c.wait_closed() == b""


def test_origins_connection_close_does_not_close_the_client(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"Connection": "close"}, b"a"), Close()])
    with proxy.client() as c:
        for _ in range(3):
            r = c.get(path)
            assert (r.body, "close" in r.tokens) == (b"a", False)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_http_1_0_client_gets_no_chunks_and_a_closed_connection(proxy, origin, framing):
    path = origin.on(origin.fresh(), [Reply(body=b"hello" * 1000, framing=framing)])
    with proxy.client() as c:
        r = c.get(path, version="HTTP/1.0")
        assert (r.status, r.body) == (200, b"hello" * 1000)
        assert not r.has("Transfer-Encoding")
        assert c.wait_closed() == b""
    assert origin.last(path).version == "HTTP/1.1"


def test_http_1_0_client_may_keep_the_connection(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"hello")])
    with proxy.client() as c:
        for _ in range(2):
            r = c.get(path, {"Connection": "keep-alive"}, version="HTTP/1.0")
            assert r.body == b"hello"
            if "keep-alive" not in r.tokens:
                assert c.wait_closed() == b""
                break


def test_http_1_0_client_is_not_sent_interim_responses(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"x", interim=[(103, {"Link": "</a>"})])])
    with proxy.client() as c:
        r = c.get(path, version="HTTP/1.0")
        assert (r.body, r.interim) == (b"x", [])


def test_pipelined_responses_come_in_order_slow_and_cached_mixed(proxy, origin):
    gate = origin.gate()
    fast = origin.on("/cached" + origin.fresh(), [Reply(body=b"fast")])
    slow = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"slow")])
    put = origin.on(origin.fresh(), lambda r: [Reply(body=b"put " + r.body)])
    assert proxy.fetch(fast).body == b"fast"
    with proxy.client() as c:
        c.send(build(target=fast) + build(target=slow) + build(target=fast) + build("PUT", put, {}, b"1")
               + build(target=fast) + build("M-SEARCH", put, {}, b"2") + build("HEAD", fast) + build(target=slow))
        assert c.response().body == b"fast"
        origin.wait_active(slow, 1)
        assert c.nothing_comes()
        assert origin.count(put) == 0, "a request was begun before the one in front of it was answered"
        gate.open()
        bodies = [c.response(m).body for m in ("GET", "GET", "PUT", "GET", "M-SEARCH", "HEAD", "GET")]
        assert bodies == [b"slow", b"fast", b"put 1", b"fast", b"put 2", b"", b"slow"]


def test_a_thousand_pipelined_requests(proxy, origin):
    path = origin.on("/cached" + origin.fresh(), lambda r: [Reply(body=r.target)])
    with proxy.client() as c:
        sent = [f"{path}?{i % 7}" for i in range(1000)]
        c.send(b"".join(build(target=t) for t in sent))
        for target in sent:
            assert c.response().body == target.encode()


def test_half_closed_client_still_gets_its_response(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"late")])
    with proxy.client() as c:
        c.start(target=path)
        c.half_close()
        origin.wait_active(path, 1)
        gate.open()
        assert c.response().body == b"late"
        assert c.wait_closed() == b""


def test_clients_that_close_while_they_wait_leave_their_places(start_proxy, origin, tmp_path):
    log = tmp_path / "log"
    proxy = start_proxy({"proxy": {"max_connections": 3, "access_log": log}, "route all": {"match": "*", "ttl": "60s"}})
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"late")])
    half = proxy.client()
    half.start(target=path)
    half.half_close()
    origin.wait_active(path, 1)
    for _ in range(2):
        with proxy.client() as c:
            c.start(target=path)
    eventually(lambda: proxy.stats()["clients"]["open"] == 1, "the proxy has noticed who left")
    eventually(lambda: log.read_text().count('" 499 0 ') == 2, "it says so")
    with proxy.client() as c:
        c.start(target=path)
        gate.open()
        assert c.response().body == b"late"
    assert half.response().body == b"late", "who only sends no more is served"
    half.close()
    assert origin.count(path) == 1, "the fetch belongs to no client"


def test_half_closed_client_still_gets_all_pipelined_responses(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.target)])
    with proxy.client() as c:
        c.send(b"".join(build(target=f"{path}?{i}") for i in range(5)))
        c.half_close()
        assert [c.response().body for _ in range(5)] == [f"{path}?{i}".encode() for i in range(5)]
        assert c.wait_closed() == b""


def test_client_that_leaves_in_mid_response_harms_nobody(proxy, origin):
    stream = Stream(64 * MB)
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 64 * MB})), stream])
    ok = origin.on(origin.fresh(), [Reply(body=b"ok")])
    for leave in ("reset", "close"):
        with proxy.client() as c:
            c.start(target=path)
            assert len(c.read_bytes(100000)) == 100000
            getattr(c, leave)()
        origin.wait_idle(path)
        assert stream.sent < 64 * MB, "an uncacheable answer was read to the end for nobody"
        assert proxy.fetch(ok).body == b"ok"


def test_client_that_leaves_before_the_response_ends_an_uncacheable_fetch(proxy, origin):
    path = origin.on(origin.fresh(), [Hang()])
    with proxy.client() as c:
        c.start("OPTIONS", path, {})
        request, = origin.wait_for(path)
        c.reset()
    origin.wait_until(lambda: request.client_left, "the fetch was ended")


def test_client_that_leaves_does_not_end_a_write(proxy, origin):
    """What a write changed must be invalidated, whoever waits for its response."""
    path = origin.on(origin.fresh(), [Hang()])
    with proxy.client() as c:
        c.start("POST", path, {}, b"x")
        request, = origin.wait_for(path)
        c.reset()
    gone = origin.on(origin.fresh(), [Hang()])
    with proxy.client() as c:
        c.start("OPTIONS", gone, {})
        other, = origin.wait_for(gone)
        c.reset()
    origin.wait_until(lambda: other.client_left, "the proxy has noticed clients that left")
    assert not request.client_left


def test_the_response_to_a_write_whose_client_has_left_is_read_to_its_end(start_proxy, origin):
    """Its connection serves on."""
    proxy = start_proxy({"route all": {"match": "*", "cache": "off"}}, workers=1)
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=pattern(MB))])
    gone, after = origin.on(origin.fresh(), [Hang()]), origin.on(origin.fresh(), [Reply()])
    for method, target in (("POST", path), ("OPTIONS", gone)):
        with proxy.client() as c:
            c.start(method, target, {}, b"")
            request, = origin.wait_for(target)
            c.reset()
    origin.wait_until(lambda: request.client_left, "the proxy has noticed clients that left")
    gate.open()
    origin.wait_idle(path)
    eventually(lambda: proxy.stats()["upstreams"]["default"]["origins"][0]["active"] == 0, "it is read")
    proxy.fetch(after)
    assert origin.last(after).conn_no == origin.last(path).conn_no


def test_client_that_leaves_in_mid_upload_harms_nobody(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"no")])
    for leave in ("reset", "close", "half_close"):
        with proxy.client() as c:
            c.send(build("POST", path, {"Content-Length": "100000"}, b"x" * 1000))
            getattr(c, leave)()
            if leave == "half_close":
                c.wait_closed()
    assert [r for r in origin.seen(path) if r.body_complete] == []
    ok = origin.on(origin.fresh(), [Reply(body=b"ok")])
    assert proxy.fetch(ok).body == b"ok"


# ---- Expect, limits ----

def test_expect_100_continue_is_answered_before_the_body(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(body=b"got " + r.body)])
    with proxy.client() as c:
        for _ in range(2):
            c.send(build("POST", path, {"Content-Length": "5", "Expect": "100-continue"}))
            assert c.head().status == 100
            c.send(b"hello")
            r = c.response()
            assert (r.status, r.body, r.interim) == (200, b"got hello", [])
    assert not origin.last(path).has("Expect")


def test_expect_100_continue_with_a_body_that_does_not_wait(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(body=b"got " + r.body)])
    with proxy.client() as c:
        r = c.request("POST", path, {"Expect": "100-continue"}, b"hello")
        assert (r.status, r.body) == (200, b"got hello")
        assert [i.status for i in r.interim] in ([], [100])
        assert c.request("POST", path, {}, b"again").body == b"got again"


def test_expect_from_http_1_0_is_ignored(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(body=b"got " + r.body)])
    with proxy.client() as c:
        r = c.request("POST", path, {"Expect": "100-continue"}, b"hello", version="HTTP/1.0")
        assert (r.body, r.interim) == (b"got hello", [])


def test_body_past_max_body_is_refused_without_100_continue(proxy, origin):
    path = origin.on(origin.fresh(), [Reply()])
    with proxy.client() as c:
        c.send(build("POST", path, {"Content-Length": str(65 * MB), "Expect": "100-continue"}))
        r = c.response()
        assert (r.status, r.interim) == (413, [])
    assert origin.count(path) == 0


def test_chunked_body_past_max_body_is_refused(start_proxy, origin):
    proxy = start_proxy({"proxy": {"max_body": "10K"}, "route a": {"match": "*", "cache": "off"}})
    path = origin.on(origin.fresh(), [Reply(body=b"ok")])
    with proxy.client() as c:
        assert c.request("POST", path, {}, b"x" * 10240).status == 200
    with proxy.client() as c:
        c.send(build("POST", path, {"Transfer-Encoding": "chunked"}))
        try:
            for _ in range(100):
                c.send(chunk(b"x" * 1000))
        except ConnectionError:
            pass
        assert c.response().status == 413
        c.wait_closed()
    assert origin.count(path) == 1


def test_head_past_max_header_is_refused(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"ok")])
    assert proxy.fetch(path, {"X-A": "a" * 15000}).status == 200
    assert proxy.fetch(path, {"X-A": "a" * 17000}).status == 431
    assert origin.count(path) == 1


# ---- interim responses, trailers ----

def test_interim_responses_are_forwarded_as_they_come(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(102)), Send(head(103, {"Link": "</a.css>; rel=preload"})), Wait(gate),
                                      Send(head(103, {"Link": "</b.css>"})), Reply(200, {"X-A": "1"}, b"body")])
    with proxy.client() as c:
        for _ in range(2):  # a reused connection too
            c.start(target=path)
            assert c.head().status == 102
            early = c.head()
            assert (early.status, early.get("Link")) == (103, "</a.css>; rel=preload")
            gate.open()
            r = c.response()
            assert [(i.status, i.get("Link")) for i in r.interim] == [(103, "</b.css>")]
            assert (r.status, r.get("X-A"), r.get("Link"), r.body) == (200, "1", None, b"body")


def test_100_continue_from_the_origin_is_not_passed_to_a_client_that_did_not_ask(proxy, origin):
    path = origin.on(origin.fresh(), [Send(head(100)), Reply(body=b"ok")])
    r = proxy.fetch(path, {}, "POST", b"x")
    assert (r.status, r.body, [i.status for i in r.interim]) == (200, b"ok", [])


def test_chunked_response_with_trailers_ends_well(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"Trailer": "X-Sum"}, b"abcdef", framing="chunked", pieces=2,
                                            trailers={"X-Sum": "1", "Content-Length": "3", "Set-Cookie": "t=1"})])
    with proxy.client() as c:
        for _ in range(2):
            r = c.get(path)
            assert r.body == b"abcdef"
            assert not r.has("X-Sum") and not r.has("Set-Cookie"), "a trailer became a header"


# ---- fields ----

def test_end_to_end_fields_pass_in_order_and_with_repetitions(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, [("X-A", "1"), ("x-a", "2"), ("X-Empty", ""), ("Set-Cookie", "a=1"),
                                            ("Set-Cookie", "b=2"), ("X-L1", "\xe4\xf6")])])
    r = proxy.fetch(path, [("X-B", "1"), ("x-b", "2"), ("X-Empty", ""), ("Cookie", "c=d"), ("X-L1", "\xe4\xf6")])
    request = origin.last(path)
    assert request.all("X-B") == ["1", "2"]
    assert request.all("X-Empty") == [""]
    assert (request.get("Cookie"), request.get("X-L1")) == ("c=d", "\xe4\xf6")
    assert r.all("X-A") == ["1", "2"]
    assert r.all("X-Empty") == [""]
    assert r.all("Set-Cookie") == ["a=1", "b=2"]
    assert r.get("X-L1") == "\xe4\xf6"


def test_no_content_type_or_server_is_made_up(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {}, b"plain")])
    r = proxy.fetch(path)
    assert not r.has("Content-Type") and not r.has("Server")


def test_origins_date_and_server_pass(proxy, origin):
    date = "Mon, 06 May 2024 10:00:00 GMT"
    path = origin.on(origin.fresh(), [Reply(200, {"Date": date, "Server": "scripted/1"}, b"x")])
    r = proxy.fetch(path)
    assert (r.all("Date"), r.all("Server")) == ([date], ["scripted/1"])


def test_a_response_without_date_gets_one(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {}, b"x")])
    assert proxy.fetch(path).get("Date", "").endswith(" GMT")


HOP_BY_HOP = {"Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive", "Upgrade": "x", "X-Named": "1", "X-Also": "2"}


def test_hop_by_hop_fields_of_requests_are_dropped(proxy, origin):
    path = origin.on(origin.fresh(), [Reply()])
    proxy.fetch(path, [("Connection", "X-Named, Keep-Alive, upgrade"), ("connection", "x-also"), ("TE", "trailers"),
                       ("X-Stays", "1"), ("Proxy-Authorization", "Basic x"), *HOP_BY_HOP.items()])
    request = origin.last(path)
    for name in HOP_BY_HOP:
        assert not request.has(name), name
    assert request.get("TE") in (None, "trailers")
    assert not request.has("Proxy-Authorization")
    assert request.get("X-Stays") == "1"


@pytest.mark.parametrize("named", ["Host", "Content-Length", "Cache-Control", "X-Forwarded-For", "Via", "Cookie"])
def test_connection_can_not_remove_what_the_proxy_needs(proxy, origin, named):
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.body)])
    r = proxy.fetch(path, {"Connection": named, "Cookie": "a=b"}, "POST", b"hello")
    if r.status == 400:
        return
    assert r.body == b"hello"
    request = origin.last(path)
    assert request.has("Host") and request.has("X-Forwarded-For") and request.has("Via")


def test_hop_by_hop_fields_of_responses_are_dropped(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, [("Connection", "X-Named"), ("Connection", "x-also"), ("X-Stays", "1"),
                                                  *HOP_BY_HOP.items()], b"ok")])
    with proxy.client() as c:
        for _ in range(2):
            r = c.get(path)
            for name in HOP_BY_HOP:
                if name != "Keep-Alive" or r.get(name) == HOP_BY_HOP[name]:
                    assert not r.has(name), name
            assert r.get("X-Stays") == "1"
            assert not set(r.tokens) & {"x-named", "x-also"}


def test_via_is_appended_both_ways(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"Via": "1.0 inner"}, b"ok")])
    r = proxy.fetch(path, {"Via": "1.0 outer"})
    up, down = ", ".join(origin.last(path).all("Via")), ", ".join(r.all("Via"))
    assert up.startswith("1.0 outer, 1.1 ") and "memoproxy" in up
    assert down.startswith("1.0 inner, 1.1 ") and "memoproxy" in down


def test_a_request_that_went_in_a_circle_is_not_sent_again_and_again(start_proxy, origin):
    """A proxy whose upstream is itself must not run out of everything."""
    proxy = start_proxy({"upstream": {"first_byte_timeout": "2s", "max_connections": 100},
                         "route a": {"match": "*", "cache": "off"}}, upstream="http://127.0.0.1:{port}")
    assert proxy.fetch("/loop").status in (502, 503, 504, 508)
    assert proxy.ready()


def test_forwarded_fields_say_who_asked_and_forged_ones_do_not_pass(proxy, origin):
    path = origin.on(origin.fresh(), [Reply()])
    proxy.fetch(path, {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil.example",
                       "X-Forwarded-Port": "1", "X-Forwarded-Prefix": "/evil", "X-Forwarded-Server": "evil.example"},
                host="real.example")
    request = origin.last(path)
    assert request.all("X-Forwarded-Proto") == ["http"]
    assert request.all("X-Forwarded-Host") in ([], ["real.example"])
    addresses = ", ".join(request.all("X-Forwarded-For")).split(", ")
    assert addresses[-1] == "127.0.0.1", "the last one is the one that we vouch for"
    assert "evil" not in request.raw_head.decode("latin-1")
    assert not request.has("X-Forwarded-Port") or request.get("X-Forwarded-Port") != "1"


@pytest.mark.parametrize("rule, host", [("upstream", None), ("client", "front.example:8080")])
def test_host_header_rule(start_proxy, origin, rule, host):
    proxy = start_proxy({"upstream": {"host_header": rule}, "route a": {"match": "*", "cache": "off"}})
    path = origin.on(origin.fresh(), [Reply()])
    proxy.fetch(path, host="front.example:8080")
    assert origin.last(path).all("Host") == [host or f"127.0.0.1:{origin.port}"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 305])
def test_redirects_are_passed_on_and_not_followed(proxy, origin, status):
    target = origin.on(origin.fresh(), [Reply(body=b"target")])
    path = origin.on(origin.fresh(), [Reply(status, {"Location": target}, b"moved")])
    r = proxy.fetch(path)
    assert (r.status, r.get("Location"), r.body) == (status, target, b"moved")
    assert origin.count(target) == 0


@pytest.mark.parametrize("status", [200, 201, 202, 203, 205, 207, 226, 299, 400, 401, 402, 403, 404, 405, 409, 410, 418, 422,
                                    429, 451, 499, 500, 501, 502, 503, 504, 505, 511, 599])
def test_status_and_body_pass(proxy, origin, status):
    body = b"" if status == 205 else b"status body"
    path = origin.on(origin.fresh(), [Reply(status, {"X-A": "1"}, body)])
    with proxy.client() as c:
        r = c.get(path)
        assert (r.status, r.get("X-A"), r.body) == (status, "1", body)
        assert c.get(path).status == status


@pytest.mark.parametrize("status", [204, 304])
def test_responses_that_have_no_body(proxy, origin, status):
    path = origin.on(origin.fresh(), [Reply(status, {"ETag": '"a"'})])
    with proxy.client() as c:
        for _ in range(3):
            r = c.get(path, {"If-None-Match": '"a"'})
            assert (r.status, r.get("ETag"), r.has("Transfer-Encoding")) == (status, '"a"', False)
            assert not (status == 204 and r.has("Content-Length")), "RFC 9110 8.6"


@pytest.mark.parametrize("where", ["", "/cached"])
def test_a_204_says_no_length_though_the_origin_does(proxy, origin, where):
    path = origin.on(where + origin.fresh(), [Send(head(204, {"Content-Length": "0"}))])
    for _ in range(2):
        r = proxy.fetch(path)
        assert (r.status, r.has("Content-Length")) == (204, False)


def test_client_conditionals_pass_on_uncached_routes(proxy, origin):
    path = origin.on(origin.fresh(), [Reply()])
    fields = {"If-None-Match": '"a"', "If-Modified-Since": "Mon, 06 May 2024 10:00:00 GMT", "If-Match": '"b"',
              "If-Unmodified-Since": "Mon, 06 May 2024 10:00:00 GMT", "Range": "bytes=0-1", "If-Range": '"a"'}
    proxy.fetch(path, fields)
    for name, value in fields.items():
        assert origin.last(path).get(name) == value


def test_content_coding_is_passed_through_undecoded(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"Content-Encoding": "gzip"}, b"not gzip at all")],
                     [Reply(200, {"Content-Encoding": "x-none"}, b"whatever")])
    assert proxy.fetch(path, {"Accept-Encoding": "gzip"}).body == b"not gzip at all"
    assert proxy.fetch(path).body == b"whatever"


# ---- large and slow ----

@pytest.mark.long
def test_large_download_arrives_whole_in_bounded_memory(proxy, origin):
    total = 50 * MB
    before = proxy.rss_bytes()
    for chunked, fields in ((False, {"Content-Length": total}), (True, {"Transfer-Encoding": "chunked"})):
        path = origin.on(origin.fresh(), [Send(head(200, fields)), Stream(total, chunked)])
        digest, wanted = hashlib.sha256(), hashlib.sha256()
        for _ in range(total >> 16):
            wanted.update(pattern(1 << 16))
        with proxy.client() as c:
            c.start(target=path)
            r = c.response_head()
            c.read_body(r, sink=digest.update)
        assert r.body_bytes == total
        assert digest.digest() == wanted.digest()
    assert proxy.rss_bytes() - before < 24 * MB * SLOW


def kernel_buffers():
    """What the kernel may hold of one connection: its windows grow with how late the reader is."""
    return sum(int(pathlib.Path(f"/proc/sys/net/ipv4/tcp_{way}mem").read_text().split()[2]) for way in "rw")


def test_slow_reader_holds_the_origin_back_in_bounded_memory(proxy, origin):
    at_most = 30 * MB + kernel_buffers()
    total = at_most + 20 * MB
    stream = Stream(total)
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": total})), stream])
    before = proxy.rss_bytes()
    with proxy.client(receive_buffer=65536) as c:
        c.start(target=path)
        assert len(c.read_bytes(1000)) == 1000
        sent = []

        def stands_still():
            sent.append(stream.sent)
            return len(sent) > 10 and sent[-10] == stream.sent
        eventually(stands_still, "the origin is held back, or has sent all")
        assert stream.sent < at_most, "nobody holds the origin back"
        assert proxy.rss_bytes() - before < 24 * MB * SLOW
        r = c.read_bytes(20 * MB)
        assert len(r) == 20 * MB
        c.reset()
    origin.wait_idle(path)


@pytest.mark.long
def test_large_upload_arrives_whole(proxy, origin):
    total = 50 * MB
    path = origin.on(origin.fresh(), lambda r: [Reply(body=f"{r.body_bytes} {r.body_hash}")])
    body = pattern(total)
    wanted = f"{total} {hashlib.sha256(body).hexdigest()}".encode()
    with proxy.client() as c:
        c.send(build("PUT", path, {"Content-Length": str(total)}))
        c.send(body)
        assert c.response().body == wanted
        c.send(build("PUT", path, {"Transfer-Encoding": "chunked"}))
        for at in range(0, total, 1 << 20):
            c.send(chunk(body[at:at + (1 << 20)]))
        c.send(b"0\r\n\r\n")
        assert c.response().body == wanted
    if SLOW == 1:  # a sanitizer's allocator keeps what it likes
        eventually(lambda: proxy.rss_bytes() < total, "memory is given back")


def test_origin_that_answers_before_it_read_the_body(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(403, {"Connection": "close"}, b"no"), ReadBody(), Close()], read_body=False)
    r = proxy.fetch(path, {}, "POST", b"x" * 100)
    assert (r.status, r.body) == (403, b"no")
    path = origin.on(origin.fresh(), [Reply(413, {"Connection": "close"}, b"too much"), ReadBody(), Close()], read_body=False)
    r = proxy.fetch(path, {}, "POST", b"x" * 10 * MB)
    assert (r.status, r.body) in ((413, b"too much"), (502, r.body))


def test_slow_drip_is_passed_on_as_it_comes(proxy, origin):
    """Each byte reaches the client before the origin sends the next."""
    text, gates = b"abcdef", [origin.gate() for _ in range(6)]
    drops = [step for i, gate in enumerate(gates) for step in (Send(text[i:i + 1]), Wait(gate))]
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 6})), *drops])
    with proxy.client() as c:
        c.start(target=path)
        assert c.response_head().status == 200
        for i, gate in enumerate(gates):
            assert c.read_bytes(1) == text[i:i + 1]
            gate.open()


def test_first_bytes_pass_before_the_end_is_there(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"first")), Wait(gate),
                                      Send(chunk(b"second") + b"0\r\n\r\n")])
    with proxy.client() as c:
        c.start(target=path)
        r = c.response_head()
        got = []
        raw = b""
        while b"first" not in raw:
            raw += c.read_some(100)
        gate.open()
        c.data = raw + c.data
        c.read_body(r, sink=got.append)
        assert b"".join(got) == b"firstsecond"


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["close", "reset"])
@pytest.mark.parametrize("begin", [
    head(200, {"Content-Length": 1000}) + b"x" * 500,
    head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"x" * 500),
    head(200, {"Transfer-Encoding": "chunked"}) + b"fff\r\n" + b"x" * 500,
    head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"x" * 500) + b"0\r\n",
], ids=["length", "chunked", "in a chunk", "in the end"])
@pytest.mark.parametrize("where", ["", "/cached"])
def test_response_broken_off_upstream_is_an_aborted_transfer(proxy, origin, where, begin, end):
    gate = origin.gate()
    path = origin.on(where + origin.fresh(), [Send(begin), Wait(gate), end])
    with proxy.client() as c:
        c.start(target=path)
        r = c.response_head()
        assert r.status == 200
        gate.open()
        with pytest.raises(Aborted):
            c.read_body(r)
        assert r.body_bytes <= 500
    origin.on(path, [Reply(body=b"whole")])
    assert proxy.fetch(path).body == b"whole", "a broken answer was kept"


def test_http_1_0_client_notices_a_broken_response(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 1000}) + b"x" * 500), Wait(gate), Close()])
    with Client(proxy.port) as c:
        c.start(target=path, version="HTTP/1.0")
        r = c.response_head()
        gate.open()
        with pytest.raises(Aborted):
            c.read_body(r)


def test_response_that_ends_with_the_connection_is_whole(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=pattern(300000), framing="close")])
    with proxy.client() as c:
        for _ in range(2):
            assert c.get(path).body == pattern(300000)


# ---- what belongs to one hop, to nobody, or to the method ----

def test_hop_by_hop_fields_of_interim_responses_are_dropped(proxy, origin):
    hop = [("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("Upgrade", "h2c"), ("TE", "x"),
           ("Trailer", "X-T"), ("Transfer-Encoding", "chunked"), ("Content-Length", "5"), ("Proxy-Connection", "close"),
           ("Proxy-Authenticate", "Basic")]
    path = origin.on(origin.fresh(), [Reply(200, {"X-Hop": "2"}, b"hello", interim=[(103, hop + [("Link", "</a>"), ("Content-Type", "a/b")])])])
    with proxy.client() as c:
        r = c.get(path)
    assert (r.body, r.get("X-Hop")) == (b"hello", "2")
    assert [(n.lower(), v) for n, v in r.interim[0].fields] == [("link", "</a>"), ("content-type", "a/b")]


@pytest.mark.parametrize("fields", [{"Content-Length": "3"}, {"Transfer-Encoding": "br"}, {"Transfer-Encoding": "chunked", "Content-Length": "3"}])
def test_framing_in_an_interim_response_frames_nothing(proxy, origin, fields):
    path = origin.on(origin.fresh(), [Reply(200, {}, b"hello", framing="close", interim=[(103, {"Link": "</a>", **fields})])])
    r = proxy.fetch(path)
    assert (r.status, r.body) == (200, b"hello")


@pytest.mark.parametrize("path", ["/p", "/stored/p"])
def test_426_keeps_its_upgrade(start_proxy, origin, path):
    proxy = start_proxy({"route stored": {"match": "/stored/*", "ttl_426": "60s", "ttl": "60s"}, "route all": {"match": "*", "cache": "off"}})
    origin.on(path, [Reply(426, {"Upgrade": "TLS/1.2, HTTP/1.1", "Connection": "Upgrade, X-Hop", "X-Hop": "1", "Cache-Control": "max-age=60"}, b"no")])
    for _ in range(2):
        r = proxy.fetch(path)
        assert (r.status, r.get("Upgrade"), r.has("X-Hop"), r.body) == (426, "TLS/1.2, HTTP/1.1", False, b"no")
        assert "upgrade" in ", ".join(r.all("Connection")).lower()


def test_other_statuses_do_not_keep_an_upgrade(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"Upgrade": "h2c", "Connection": "Upgrade"}, b"ok")])
    assert not proxy.fetch(path).has("Upgrade")


@pytest.mark.parametrize("raw", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"])
def test_a_head_request_with_content_is_refused(proxy, origin, raw):
    path = origin.on(origin.fresh(), [Reply(200)])
    with proxy.client() as c:
        c.send(f"HEAD {path} HTTP/1.1\r\nHost: a\r\n".encode() + raw)
        assert c.response("HEAD").status == 400
        assert c.get(path).status == 200, "what it had was not taken for a request"
    assert [r.method for r in origin.seen(path)] == ["GET"]


def test_a_head_request_with_empty_content_is_served(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200)])
    with proxy.client() as c:
        c.send(f"HEAD {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
        assert c.response("HEAD").status == 200
