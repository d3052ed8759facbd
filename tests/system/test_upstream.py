# SPDX-License-Identifier: MIT
"""Origins that fail, stall, lie or speak strangely; connections to them; HTTPS."""
import socket
import ssl
import threading
import time

import pytest

from support.nginx import make_certificate
from support.origin import (Close, Drip, Endless, Hang, Mark, Origin, Reply, Reset, Send, Wait, head)
from support.proxy import Port, eventually
from support.rawclient import Aborted
from support.secure import Pair

NO_CACHE = {"route all": {"match": "*", "cache": "off"}}
CONFIG = {
    "upstream": {"connect_timeout": "1s", "first_byte_timeout": "15s", "stall_timeout": "15s"},
    "route cached": {"match": "/cached*", "ttl": "60s"},
    **NO_CACHE,
}
EVERYWHERE = pytest.mark.parametrize("where", ["", "/cached"])


def ok(proxy, origin):
    """The proxy still works."""
    path = origin.on(origin.fresh(), [Reply(body=b"ok")])
    assert proxy.fetch(path).body == b"ok"


def is_problem(r, status):
    assert r.status == status, (r.status, r.body)
    assert r.get("Content-Type", "").startswith("application/problem+json"), r.fields
    assert r.json()["status"] == status
    return True


# ---- no response ----

@EVERYWHERE
def test_refused_connection_is_502(start_proxy, where):
    closed = Port()
    proxy = start_proxy(CONFIG, upstream=f"http://127.0.0.1:{closed.number}")
    is_problem(proxy.fetch(where + "/x"), 502)
    is_problem(proxy.fetch(where + "/x", method="POST", body=b"x"), 502)
    closed.release()


def test_unknown_host_is_502(start_proxy):
    proxy = start_proxy(CONFIG, upstream="http://does-not-exist.invalid")
    assert proxy.fetch("/x").status in (502, 504)


@EVERYWHERE
def test_connection_that_never_comes_about_is_504_in_time(start_proxy, where):
    """A listener whose queue is full lets further connections hang."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = []
    for _ in range(8):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(full.getsockname())
        fillers.append(s)
    proxy = start_proxy({**CONFIG, "upstream": {"connect_timeout": "300ms"}},
                        upstream=f"http://127.0.0.1:{full.getsockname()[1]}")
    began = time.monotonic()
    is_problem(proxy.fetch(where + "/x"), 504)
    assert time.monotonic() - began > 0.2, "before its time"
    for s in fillers + [full]:
        s.close()


@EVERYWHERE
@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX-A: "],
                         ids=["silence", "status line", "half a head"])
def test_origin_without_first_byte_is_504_in_time(start_proxy, origin, where, beginning):
    proxy = start_proxy({**CONFIG, "upstream": {"first_byte_timeout": "1s", "stall_timeout": "1s"}})
    path = origin.on(where + origin.fresh(), [Send(beginning), Hang()])
    began = time.monotonic()
    is_problem(proxy.fetch(path), 504)
    assert time.monotonic() - began > 0.9, "before its time"
    origin.wait_idle(path)
    ok(proxy, origin)


@EVERYWHERE
def test_stall_in_mid_body_aborts_the_transfer_in_time(start_proxy, origin, where):
    proxy = start_proxy({**CONFIG, "upstream": {"stall_timeout": "1s"}})
    path = origin.on(where + origin.fresh(), [Send(head(200, {"Content-Length": 100}) + b"x" * 10), Hang()])
    with proxy.client() as c:
        c.start(target=path)
        r = c.response_head()
        with pytest.raises(Aborted):
            c.read_body(r)
    origin.wait_idle(path)
    ok(proxy, origin)


def test_slow_but_steady_response_is_not_a_stall(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "upstream": {"first_byte_timeout": "2s", "stall_timeout": "2s"}})
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 12})), Drip(b"0123456789ab", 1, 0.25)])
    assert proxy.fetch(path).body == b"0123456789ab"


@EVERYWHERE
@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\nX-A: 1\r\n", head(200, {"Content-Length": 100}) + b"x" * 10,
                                  head(200, {"Transfer-Encoding": "chunked"}) + b"5\r\nhel"],
                         ids=["in the head", "in the body", "in a chunk"])
def test_reset_in_mid_response_is_no_response(start_proxy, origin, where, sent):
    proxy = start_proxy({**CONFIG, "upstream": {"retries": 0}})
    path = origin.on(where + origin.fresh(), [Send(sent), Reset()], [Reply(200, {"Cache-Control": "max-age=60"}, b"whole")])
    with proxy.client() as c:
        c.start(target=path)
        try:
            assert c.response().status == 502
        except Aborted:
            pass
    eventually(lambda: proxy.fetch(path).body == b"whole", "nothing of the broken answer was kept")


@EVERYWHERE
def test_storm_of_interim_responses_is_502(start_proxy, origin, where):
    proxy = start_proxy(CONFIG)
    path = origin.on(where + origin.fresh(), [Endless(head(103, {"Link": "</a>; rel=preload"}, "Early Hints"))])
    with proxy.client() as c:
        c.start(target=path)
        r, interim = c.response_head(), 0
        while r.status < 200:
            r, interim = c.response_head(), interim + 1
        assert r.status == 502 and interim <= 200
    origin.wait_idle(path)
    ok(proxy, origin)


@EVERYWHERE
def test_black_hole_among_several_origins_costs_its_connect_timeout_once(start_proxy, origin, where):
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = []
    for _ in range(8):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(full.getsockname())
        fillers.append(s)
    proxy = start_proxy({**CONFIG, "upstream": {"connect_timeout": "2s", "max_fails": 1, "fail_timeout": "1h"}},
                        upstream=f"http://127.0.0.1:{full.getsockname()[1]} {origin.url}")
    for _ in range(6):
        path = origin.on(where + origin.fresh(), [Reply(body=b"well")])
        assert proxy.fetch(path).body == b"well"
    assert proxy.stats()["upstreams"]["default"]["failovers"] == 1
    for s in fillers + [full]:
        s.close()


# ---- responses that break the rules ----

def answer(fields, body=b"hello", line=b"HTTP/1.1 200 OK"):
    return line + b"\r\n" + fields + b"\r\n" + body


BAD_ANSWERS = {
    "nothing": b"",
    "only CRLF": b"\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": bytes(range(256)) * 4,
    "status of two digits": answer(b"", line=b"HTTP/1.1 20 OK"),
    "status of four digits": answer(b"", line=b"HTTP/1.1 2000 OK"),
    "status of letters": answer(b"", line=b"HTTP/1.1 abc OK"),
    "status negative": answer(b"", line=b"HTTP/1.1 -20 OK"),
    "status 000": answer(b"", line=b"HTTP/1.1 000 OK"),
    "status 099": answer(b"", line=b"HTTP/1.1 099 OK"),
    "status 600": answer(b"Content-Length: 5\r\n", line=b"HTTP/1.1 600 OK"),
    "status 999": answer(b"Content-Length: 5\r\n", line=b"HTTP/1.1 999 OK"),
    "no status": answer(b"", line=b"HTTP/1.1"),
    "HTTP/2.0 on the wire": answer(b"Content-Length: 5\r\n", line=b"HTTP/2.0 200 OK"),
    "HTTP/2 on the wire": answer(b"Content-Length: 5\r\n", line=b"HTTP/2 200 OK"),
    "HTTP/3 on the wire": answer(b"Content-Length: 5\r\n", line=b"HTTP/3 200 OK"),
    "HTTP/1.2": answer(b"Content-Length: 5\r\n", line=b"HTTP/1.2 200 OK"),
    "http/1.1": answer(b"Content-Length: 5\r\n", line=b"http/1.1 200 OK"),
    "ICY": answer(b"Content-Length: 5\r\n", line=b"ICY 200 OK"),
    "CL letters behind": answer(b"Content-Length: 5x\r\n"),
    "CL plus": answer(b"Content-Length: +5\r\n"),
    "CL minus": answer(b"Content-Length: -5\r\n"),
    "CL hex": answer(b"Content-Length: 0x5\r\n"),
    "CL list, different": answer(b"Content-Length: 3, 5\r\n"),
    "CL twice, different": answer(b"Content-Length: 5\r\nContent-Length: 3\r\n"),
    "CL twice, different, larger last": answer(b"Content-Length: 3\r\nContent-Length: 5\r\n"),
    "CL empty": answer(b"Content-Length:\r\n"),
    "CL letters": answer(b"Content-Length: five\r\n"),
    "CL overflows": answer(b"Content-Length: 18446744073709551621\r\n"),
    "CL of 2^63": answer(b"Content-Length: 9223372036854775808\r\n"),
    "CL of 40 digits": answer(b"Content-Length: " + b"9" * 40 + b"\r\n"),
    "CL quoted": answer(b'Content-Length: "5"\r\n'),
    "TE like chunked": answer(b"Transfer-Encoding: xchunked\r\n"),
    "TE gzip": answer(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "TE chunked not last": answer(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"),
    "TE twice": answer(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "TE identity": answer(b"Transfer-Encoding: identity\r\n"),
    "TE frob": answer(b"Transfer-Encoding: frob\r\n"),
    "TE br": answer(b"Cache-Control: max-age=60\r\nTransfer-Encoding: br\r\n"),
    "TE zstd, chunked": answer(b"Transfer-Encoding: zstd, chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "TE empty": answer(b"Transfer-Encoding:\r\n"),
    "TE with a parameter": answer(b"Transfer-Encoding: chunked;a=b\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "TE tab before colon": answer(b"Transfer-Encoding\t: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "LF alone ends the status line": b"HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello",
    "LF alone ends a field line": b"HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 5\r\n\r\nhello",
    "LF alone ends the last field line": b"HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\nhello",
    "LF alone ends the head": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello",
    "LF alone throughout": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "LF alone in a 1xx": b"HTTP/1.1 103 Early\nX-A: 1\n\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "CL space before colon": answer(b"Content-Length : 5\r\n"),
    "field without colon": answer(b"Content-Length: 5\r\nX-A\r\n"),
    "field without name": answer(b"Content-Length: 5\r\n: a\r\n"),
    "bad field name": answer(b"Content-Length: 5\r\nX(A): a\r\n"),
    "space in a field name": answer(b"Content-Length: 5\r\nX A: a\r\n"),
    "first field begins with a space": answer(b" X-A: 1\r\nContent-Length: 5\r\n"),
    "folded field": answer(b"X-A: 1\r\n 2\r\nContent-Length: 5\r\n"),
    "NUL in a value": answer(b"X-A: a\0b\r\nContent-Length: 5\r\n"),
    "CR in a value": answer(b"X-A: a\rb\r\nContent-Length: 5\r\n"),
    "1xx without end": b"HTTP/1.1 103 Early\r\n\r\n",
    "101 nobody asked for": answer(b"Upgrade: x\r\nConnection: upgrade\r\n", line=b"HTTP/1.1 101 Switching"),
}


def cite(name):
    """The id of a case: where what it breaks is written, and its name."""
    sections = {"CL": "6.3", "TE": "6.1", "status": "4", "no status": "4", "HTTP": "2.3", "http": "2.3", "ICY": "2.3", "1xx": "9.2",
                "101": "RFC 9110 7.8", "NUL": "RFC 9110 5.5", "CR": "2.2", "LF": "2.2", "folded": "5.2", "size": "7.1", "no CRLF": "7.1",
                "no end": "8", "data": "7.1", "nothing": "8", "only CRLF": "4", "another protocol": "4", "binary": "4",
                "extension": "7.1.1"}
    section = next((s for beginning, s in sections.items() if name.startswith(beginning)), "5.1")
    return f"{section if section.startswith('RFC') else 'RFC 9112 ' + section}: {name}"


@EVERYWHERE
@pytest.mark.parametrize("name", BAD_ANSWERS, ids=cite)
def test_response_that_breaks_the_rules_is_502(proxy, origin, where, name):
    path = origin.on(where + origin.fresh(), [Send(BAD_ANSWERS[name]), Close()])
    with proxy.client() as c:
        r = c.get(path)
        assert is_problem(r, 502)
    origin.on(path, [Reply(body=b"well again")])
    if not where:
        assert proxy.fetch(path).body == b"well again"
    ok(proxy, origin)


@EVERYWHERE
def test_blanks_before_a_colon_are_taken_out_of_a_response(proxy, origin, where):
    path = origin.on(where + origin.fresh(), [Send(answer(b"Content-Length: 5\r\nX-A : 1\r\nX-B\t :2\r\n"))])
    r = proxy.fetch(path)
    assert (r.status, r.body, r.get("X-A"), r.get("X-B")) == (200, b"hello", "1", "2")


def test_a_blank_before_the_colon_of_no_store_hides_nothing(proxy, origin):
    path = origin.on("/cached" + origin.fresh(), [Send(answer(b"Content-Length: 5\r\nCache-Control : no-store\r\n"))])
    for _ in range(2):
        assert proxy.fetch(path).get("Cache-Control") == "no-store"
    assert origin.count(path) == 2


CHUNK_FAULTS = {
    "size of letters": b"zz\r\nhello\r\n0\r\n\r\n",
    "size negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "size overflows": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "size empty": b"\r\nhello\r\n0\r\n\r\n",
    "size hex prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "size after a space": b" 5\r\nhello\r\n0\r\n\r\n",
    "size with a word behind": b"5 x\r\nhello\r\n0\r\n\r\n",
    "size with NUL": b"5\0\r\nhello\r\n0\r\n\r\n",
    "data shorter than its size": b"9\r\nhello\r\n0\r\n\r\n",
    "data longer than its size": b"3\r\nhello\r\n0\r\n\r\n",
    "no CRLF after data": b"5\r\nhelloX\r\n0\r\n\r\n",
    "no end after half a size": b"5\r\nhello\r\n1",
    "no end in the last chunk": b"5\r\nhello\r\n0\r\n",
    "no end": b"5\r\nhello\r\n",
}


@EVERYWHERE
@pytest.mark.parametrize("name", CHUNK_FAULTS, ids=cite)
def test_chunks_that_break_the_rules_abort_the_transfer(proxy, origin, where, name):
    path = origin.on(where + origin.fresh(), [
        Send(head(200, {"Transfer-Encoding": "chunked", "Cache-Control": "max-age=60"}) + CHUNK_FAULTS[name]), Close()])
    with proxy.client() as c:
        c.start(target=path)
        r = c.response_head()
        if r.status == 200:
            with pytest.raises(Aborted):
                c.read_body(r)
        else:
            assert r.status == 502
    n = origin.count(path)
    origin.on(path, [Reply(body=b"whole")])
    eventually(lambda: proxy.fetch(path).body == b"whole", "the broken answer is not kept")
    assert origin.count(path) > n
    ok(proxy, origin)


@pytest.mark.parametrize("fields", [b"Content-Length: 5\r\nContent-Length: 5\r\n", b"Content-Length: 5, 5\r\n"])
def test_repeated_equal_content_length_is_read_once_or_refused(proxy, origin, fields):
    path = origin.on(origin.fresh(), [Send(answer(fields))])
    r = proxy.fetch(path)
    assert (r.status, r.body) == (200, b"hello") or is_problem(r, 502)
    ok(proxy, origin)


def test_content_length_with_chunked_never_confuses(proxy, origin):
    path = origin.on(origin.fresh(), [Send(answer(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                                                  b"5\r\nhello\r\n0\r\n\r\n"))])
    r = proxy.fetch(path)
    assert (r.status, r.body) == (200, b"hello") or is_problem(r, 502)
    ok(proxy, origin)


@pytest.mark.parametrize("endless", [b"X-Filler: " + b"x" * 100 + b"\r\n", b"x" * 1000, b"a:\r\n",
                                     b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n"],
                         ids=["fields", "one field", "small fields", "interim answers"])
@EVERYWHERE
def test_head_without_end_is_502_in_bounded_memory(proxy, origin, where, endless):
    begin = b"" if endless.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\nX-Y: "
    path = origin.on(where + origin.fresh(), [Send(begin), Endless(endless)])
    before = proxy.rss_bytes()
    with proxy.client() as c:
        c.start(target=path)
        r = c.response()
        assert is_problem(r, 502)
        assert len(r.interim) < 1000
    origin.wait_idle(path)
    assert proxy.rss_bytes() - before < 32 << 20
    ok(proxy, origin)


def test_three_thousand_fields_are_refused(proxy, origin):
    path = origin.on("/cached" + origin.fresh(), [Send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                                                       + b"".join(b"a%d: b\r\n" % i for i in range(3000)) + b"\r\nhello")])
    for _ in range(5):
        is_problem(proxy.fetch(path), 502)
    ok(proxy, origin)


# ---- connections are reused, and never mixed up ----

@pytest.mark.parametrize("scheme", ["NTLM TlRMTVNTUAAB", "negotiate YII=", "Negotiate"])
def test_who_authenticates_a_connection_keeps_it_for_himself(start_proxy, origin, scheme):
    """As Windows' servers do: what is asked on it next is answered as his."""
    proxy = start_proxy({"proxy": {"workers": 1}, "defaults": {"ttl": "30s"}}, upstream=origin.url)
    alice, method = set(), "GET"

    def answer(request):
        if scheme in request.all("Authorization"):
            alice.add(request.conn_no)
        return [Reply(body=b"alice" if request.conn_no in alice else b"nobody")]
    for path in ("/a", "/b", "/c"):
        origin.on(path, answer)
    assert proxy.fetch("/a").body == b"nobody"
    for method in ("GET", "POST"):
        assert proxy.fetch("/b", {"Authorization": scheme}, method=method, body=b"x" if method == "POST" else b"").body == b"alice"
        assert proxy.fetch("/c", {"Cookie": "sid=b"}).body == b"nobody"
    assert proxy.fetch("/c").body == b"nobody"
    assert not alice & {request.conn_no for request in origin.seen("/c")} and len(alice) == 2


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "FROB", "QUERY"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_content_that_an_origin_leaves_unread_is_nobodys_request(start_proxy, method, framing):
    """It ignores the content, and takes it for a request; the answer to that is slow, so nothing shows that it comes."""
    inner = b"GET /theirs HTTP/1.1\r\nHost: x\r\n\r\n"
    paths = []

    def serve(connection):
        with connection, connection.makefile("rb") as lines:
            while line := lines.readline():
                paths.append(line.split()[1].decode())
                while lines.readline().strip():
                    pass
                if paths[-1] == "/theirs":
                    gate.wait(10)
                body = paths[-1].encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    gate = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        def accept():
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        proxy = start_proxy({"proxy": {"workers": 1}, "defaults": {"ttl": "30s"}}, upstream=f"http://127.0.0.1:{server.getsockname()[1]}")
        fields = {"Transfer-Encoding": "chunked"} if framing == "chunked" else {}
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner) if framing == "chunked" else inner
        assert proxy.fetch("/a", fields, method=method, body=body).body == b"/a"
        try:
            assert proxy.fetch("/b").body == b"/b"
        finally:
            gate.set()
            server.shutdown(socket.SHUT_RDWR)


def test_connections_are_reused(start_proxy, origin):
    proxy = start_proxy(NO_CACHE, workers=1)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    for _ in range(50):
        assert proxy.fetch(path).body == b"x"
    assert len({r.conn_no for r in origin.seen(path)}) == 1


@pytest.mark.parametrize("stray", [
    b"stray",
    b"\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON",
    b"HTTP/1.1 200 OK\r\nCache-Control: max-age=999\r\nContent-Length: 6\r\n\r\nPOISON" * 3,
    b"HTTP/1.1 103 Early\r\nX: POISON\r\n\r\n",
    b"0\r\n\r\n",
], ids=["garbage", "CRLF", "an answer", "answers", "interim", "last chunk"])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
def test_stray_bytes_behind_a_response_never_shift_responses(start_proxy, origin, stray, late):
    proxy = start_proxy(CONFIG, workers=1)
    gate, sent = origin.gate(), origin.gate()
    stem = origin.fresh()
    answer = head(200, {"Content-Length": 5}) + b"first"
    # In one piece: what comes after the next request was sent can't be told from its response.
    at_the_proxy = Mark()  # loopback: what was sent is in its socket
    script = [Send(answer), Wait(gate), Send(stray), at_the_proxy] if late else [Send(answer + stray), at_the_proxy]
    first = origin.on(stem + "/first", [*script, Wait(sent)])
    with proxy.client() as c:
        assert c.get(first).body == b"first"
        gate.open()
        at_the_proxy.wait()
        sent.open()
        for i in range(6):
            path = origin.on(f"{stem}/{i}", lambda r: [Reply(body=r.target)])
            r = c.get(path)
            assert (r.status, r.body) == (200, path.encode()), "answers have shifted"
            path = origin.on(f"/cached{stem}/{i}", lambda r: [Reply(body=r.target)])
            assert c.get(path).body == path.encode()
            assert c.get(path).body == path.encode()
    assert all(r.conn_no != origin.seen(first)[0].conn_no for r in origin.requests if r.path == f"{stem}/0"), \
        "a connection with unread bytes was used again"


@pytest.mark.parametrize("name", ["first field begins with a space", "folded field", "CL letters behind", "TE gzip",
                                  "HTTP/2.0 on the wire", "NUL in a value", "status of two digits"])
def test_bad_response_on_a_reused_connection(start_proxy, origin, name):
    """What the connection's earlier response left behind must not be touched."""
    proxy = start_proxy(CONFIG, workers=1)
    good = origin.on(origin.fresh(), [Reply(200, {"X-Long": "x" * 500}, b"good")])
    bad = origin.on(origin.fresh(), [Send(BAD_ANSWERS[name]), Close()])
    for _ in range(3):
        assert proxy.fetch(good).body == b"good"
        is_problem(proxy.fetch(bad, method="POST", body=b"x"), 502)
        is_problem(proxy.fetch(bad), 502)


def test_more_body_than_announced_does_not_shift_responses(start_proxy, origin):
    proxy = start_proxy(CONFIG, workers=1)
    stem = origin.fresh()
    long = origin.on(stem, [Send(head(200, {"Content-Length": 5}) + b"helloHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON")])
    for i in range(5):
        assert proxy.fetch(long).body == b"hello"
        path = origin.on(f"{stem}/{i}", lambda r: [Reply(body=r.target)])
        assert proxy.fetch(path).body == path.encode()


@pytest.mark.parametrize("status", [204, 304])
def test_body_behind_a_status_without_body_does_not_shift_responses(start_proxy, origin, status):
    proxy = start_proxy(CONFIG, workers=1)
    path = origin.on(origin.fresh(), [Send(head(status) + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON")])
    good = origin.on(origin.fresh(), [Reply(body=b"good")])
    for _ in range(3):
        assert proxy.fetch(path, {"If-None-Match": '"a"'}).status == status
        assert proxy.fetch(good).body == b"good"


def test_body_behind_a_response_to_head_does_not_shift_responses(start_proxy, origin):
    proxy = start_proxy(CONFIG, workers=1)
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 6}) + b"POISON")])
    good = origin.on(origin.fresh(), [Reply(body=b"good")])
    for _ in range(3):
        assert proxy.fetch(path, method="HEAD").status == 200
        assert proxy.fetch(good).body == b"good"


def test_get_is_sent_again_when_a_reused_connection_turns_out_dead(start_proxy, origin):
    proxy = start_proxy(NO_CACHE, workers=1)
    path = origin.on(origin.fresh(), lambda r: [Reset()] if r.seq_no else [Reply(body=b"fresh")])
    for _ in range(4):
        assert proxy.fetch(path).body == b"fresh"


@pytest.mark.parametrize("end", [Reset(), Close()], ids=["reset", "close"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "FOO"])
def test_a_request_that_is_not_idempotent_is_never_sent_twice(start_proxy, origin, method, end):
    proxy = start_proxy({**NO_CACHE, "upstream": {"retries": 2}}, workers=1)
    warm = origin.on(origin.fresh(), [Reply(body=b"warm")])
    path = origin.on(origin.fresh(), [end])
    for i in range(3):
        assert proxy.fetch(warm).body == b"warm"
        is_problem(proxy.fetch(path, method=method, body=b"pay"), 502)
        assert origin.count(path) == i + 1, "it was sent twice"


def test_post_is_not_lost_when_the_origin_closed_an_idle_connection(start_proxy, origin):
    proxy = start_proxy(NO_CACHE, workers=1)
    warm = origin.on(origin.fresh(), [Reply(body=b"warm"), Close()])
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.body)])
    for i in range(5):
        assert proxy.fetch(warm).body == b"warm"
        assert proxy.fetch(path, method="POST", body=b"%d" % i).body == b"%d" % i
    assert origin.count(path) == 5


def test_get_is_retried_as_often_as_configured_and_no_more(start_proxy, origin):
    for retries in (0, 2):
        proxy = start_proxy({**NO_CACHE, "upstream": {"retries": retries}}, workers=1)
        path = origin.on(origin.fresh(), [Reset()])
        is_problem(proxy.fetch(path), 502)
        assert 1 <= origin.count(path) <= 1 + retries
        if retries:
            path = origin.on(origin.fresh(), [Reset()], [Reply(body=b"second time")])
            assert proxy.fetch(path).body == b"second time"


def test_get_is_not_retried_after_the_response_began(proxy, origin):
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 10}) + b"abc"), Reset()])
    with proxy.client() as c, pytest.raises(Aborted):
        c.get(path)
    assert origin.count(path) == 1


def test_max_connections_holds_and_the_rest_wait_in_line(start_proxy, origin):
    proxy = start_proxy({**NO_CACHE, "upstream": {"max_connections": 4, "queue": 100}}, workers=1)
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"x")])
    clients = [proxy.client() for _ in range(20)]
    for c in clients:
        c.start(target=path)
    origin.wait_active(path, 4)
    assert clients[0].nothing_comes()
    assert origin.count(path) == 4
    gate.open()
    for c in clients:
        assert c.response().body == b"x"
        c.close()
    assert origin.peak(path) == 4


def test_full_line_is_503_with_retry_after(start_proxy, origin):
    proxy = start_proxy({**NO_CACHE, "upstream": {"max_connections": 1, "queue": 2}}, workers=1)
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"x")])
    clients = [proxy.client() for _ in range(10)]
    for c in clients:
        c.start(target=path)
    refused = eventually(lambda: answered if len(answered := [c for c in clients if not c.nothing_comes(0)]) >= 7 else None,
                         "one is served, two wait")
    for c in refused:
        r = c.response()
        assert is_problem(r, 503)
        assert int(r.get("Retry-After")) >= 0
    gate.open()
    for c in clients:
        if c not in refused:
            assert c.response().body == b"x"
        c.close()


# ---- more than one upstream, base paths ----

def test_routes_choose_among_upstreams(start_proxy, origin):
    with Origin() as other:
        proxy = start_proxy({"upstream other": {"url": other.url + "/base"},
                             "route other": {"match": "/other/*", "upstream": "other", "ttl": "60s"}, **NO_CACHE})
        here = origin.on(origin.fresh(), [Reply(body=b"here")])
        other.on("/base/other/x", [Reply(body=b"there")])
        assert proxy.fetch(here).body == b"here"
        assert proxy.fetch("/other/x?a=1").body == b"there"
        assert other.requests[-1].target == "/base/other/x?a=1"


# ---- HTTPS ----

@pytest.fixture(scope="module")
def tls_origin(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tls"))
    ca = make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
    with Origin(tls=context) as o:
        o.ca = ca
        yield o


def test_https_origin_with_its_authority(start_proxy, tls_origin):
    proxy = start_proxy({**NO_CACHE, "upstream": {"tls_ca": tls_origin.ca}}, upstream=tls_origin.url)
    path = tls_origin.on(tls_origin.fresh(), lambda r: [Reply(body=b"secret " + r.body)])
    assert proxy.fetch(path).body == b"secret "
    assert proxy.fetch(path, method="POST", body=b"x" * 100000).body == b"secret " + b"x" * 100000


def test_https_origin_of_unknown_authority_is_502(start_proxy, tls_origin):
    proxy = start_proxy(NO_CACHE, upstream=tls_origin.url)
    n = len(tls_origin.requests)
    is_problem(proxy.fetch("/x"), 502)
    assert len(tls_origin.requests) == n


def test_https_origin_of_another_name_is_502(start_proxy, tls_origin):
    proxy = start_proxy({**NO_CACHE, "upstream": {"tls_ca": tls_origin.ca}},
                        upstream=tls_origin.url.replace("127.0.0.1", "127.0.0.2"))
    assert proxy.fetch("/x").status in (502, 504)


def test_https_origin_without_verification(start_proxy, tls_origin):
    proxy = start_proxy({**NO_CACHE, "upstream": {"tls_verify": "off"}}, upstream=tls_origin.url)
    path = tls_origin.on(tls_origin.fresh(), [Reply(body=b"unverified")])
    assert proxy.fetch(path).body == b"unverified"


def test_plain_origin_where_https_is_expected_is_an_error(start_proxy, origin):
    proxy = start_proxy({**NO_CACHE, "upstream": {"tls_verify": "off"}}, upstream=origin.url.replace("http:", "https:"))
    assert proxy.fetch("/x").status in (502, 504)


def test_environment_proxies_are_not_used(start_proxy, origin, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    proxy = start_proxy(NO_CACHE)
    ok(proxy, origin)


def test_origin_that_comes_back_is_used_again(start_proxy):
    reserved = Port()
    proxy = start_proxy({**NO_CACHE, "cache": {}}, upstream=f"http://127.0.0.1:{reserved.number}")
    is_problem(proxy.fetch("/x"), 502)
    o = Origin()
    o.port = reserved.number
    reserved.release()
    with o:
        o.on("/x", [Reply(body=b"back")])
        eventually(lambda: proxy.fetch("/x").body == b"back", "the origin is used again")


def test_many_origin_failures_leave_no_descriptors_behind(start_proxy, origin):
    proxy = start_proxy(NO_CACHE, workers=1)
    ok(proxy, origin)
    path = origin.on(origin.fresh(), [Reset()], [Send(b"junk"), Close()], [Send(head(200, {"Content-Length": 9})), Reset()],
                     [Reset()])
    before = proxy.open_files()
    for _ in range(100):
        with proxy.client() as c:
            c.start(target=path)
            c.wait_closed() if c.response_head().status == 200 else None
    eventually(lambda: proxy.open_files() <= before + 3, "descriptors are given back")


@pytest.mark.parametrize("method, where", [("GET", ""), ("GET", "/cached"), ("POST", "")])
def test_a_silent_origin_is_504_and_a_broken_one_502(start_proxy, origin, method, where):
    for script, status, timeout in (([Hang()], 504, "200ms"), ([Close()], 502, "1h")):
        proxy = start_proxy({**CONFIG, "upstream": {"first_byte_timeout": timeout, "retries": 0}, "cache": {"failure_memory": "0"}})
        assert proxy.fetch(origin.on(where + origin.fresh(), script), method=method).status == status


def test_fetches_that_wait_for_a_handshake_are_no_lookups(start_proxy, tmp_path):
    """An https origin by its address, whose first handshake hangs while a hundred requests wait for the connection."""
    pair = Pair(str(tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\r\nok"
    hangs = threading.Event()

    def serve(sock):
        try:
            hangs.wait()
            with context.wrap_socket(sock, server_side=True) as s:
                while s.recv(65536):
                    s.sendall(answer)
        except OSError:
            pass

    with socket.create_server(("127.0.0.1", 0), backlog=500) as listener:
        def accept():
            try:
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                pass

        threading.Thread(target=accept, daemon=True).start()
        proxy = start_proxy({"proxy": {"workers": 1}, "route all": {"match": "*", "cache": "off"},
                             "upstream": {"tls_verify": "off", "max_connections": 400, "connect_timeout": "1s", "retries": 0}},
                            upstream=f"https://127.0.0.1:{listener.getsockname()[1]}")
        clients = [proxy.client() for _ in range(100)]
        for i, c in enumerate(clients):
            c.start(target=f"/{i}")
        assert {c.response().status for c in clients} == {504}
        for c in clients:
            c.close()
        hangs.set()
        assert proxy.fetch("/after").status == 200
        assert proxy.stats()["upstreams"]["default"]["withheld"] == 0


def test_max_connections_counts_over_all_workers_and_no_place_stands_free(start_proxy, origin):
    proxy = start_proxy({"upstream": {"max_connections": 3}, **NO_CACHE}, workers=4)
    gates = [origin.gate() for _ in range(3)]
    paths = [origin.on(origin.fresh(), [Wait(g), Reply(body=b"x")]) for g in gates]
    rest = origin.on(origin.fresh(), [Reply(body=b"rest")])
    clients = [proxy.client() for _ in range(13)]
    for c, path in zip(clients, paths):
        c.start(target=path)
    for path in paths:
        origin.wait_active(path, 1)  # whichever workers they came to
    for c in clients[3:]:
        c.start(target=rest)
    eventually(lambda: proxy.stats()["upstreams"]["default"]["queued"] == 10, "they wait")
    assert origin.count(rest) == 0
    gates[0].open()
    for c in clients[3:]:
        assert c.response().body == b"rest"
    assert origin.peak(rest) == 1, "one place went from worker to worker"
    for g in gates[1:]:
        g.open()
    for c in clients[:3]:
        assert c.response().body == b"x"
    for c in clients:
        c.close()
    stats = proxy.stats()["upstreams"]["default"]
    assert (stats["active"], stats["queued"], stats["busy"]) == (0, 0, 0)


def test_waiting_in_the_queue_has_a_time_of_its_own(start_proxy, origin):
    proxy = start_proxy({"upstream": {"max_connections": 1, "queue_timeout": "300ms", "first_byte_timeout": "60s"}, **NO_CACHE})
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"x")])
    with proxy.client() as first:
        first.start(target=path)
        origin.wait_active(path, 1)
        r = proxy.fetch(path)
        assert r.status == 503 and r.has("Retry-After")
        gate.open()
        assert first.response().body == b"x"
