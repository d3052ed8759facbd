# SPDX-License-Identifier: MIT
"""Requests that are not what they should be: refused with the right status, connection closed, nothing smuggled."""
import pytest

from support.origin import Reply
from support.rawclient import build

MAX_HEADER = 16 << 10
CONFIG = {
    "proxy": {"max_header": "16K", "max_body": "1M"},
    "route all": {"match": "*", "cache": "off"},
}
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: test.example\r\n\r\n"
HOST = b"Host: test.example\r\n"


def get(fields=b"", line=b"GET /framing HTTP/1.1", host=HOST):
    return line + b"\r\n" + host + fields + b"\r\n"


def post(fields, body=b"abcde", line=b"POST /framing HTTP/1.1"):
    return line + b"\r\n" + HOST + fields + b"\r\n" + body


def chunked(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


def length(value):
    return post(b"Content-Length: " + value + b"\r\n")


def coding(value, body=b"0\r\n\r\n"):
    return post(b"Transfer-Encoding: " + value + b"\r\n", body)


def case(name, raw, *statuses):
    return pytest.param(raw, statuses or (400,), id=name)


TE_CHUNKED = b"Transfer-Encoding: chunked\r\n"
CL_5 = b"Content-Length: 5\r\n"

SMUGGLING = [
    case("CL then TE", post(CL_5 + TE_CHUNKED, b"0\r\n\r\n")),
    case("TE then CL", post(TE_CHUNKED + CL_5, b"0\r\n\r\n")),
    case("CL 0 and TE", post(b"Content-Length: 0\r\n" + TE_CHUNKED, b"5\r\nabcde\r\n0\r\n\r\n")),
    case("CL and TE in a GET", get(CL_5 + TE_CHUNKED)),
    case("CL and unknown TE", post(CL_5 + b"Transfer-Encoding: x\r\n"), 400, 501),
    case("CL and empty TE", post(CL_5 + b"Transfer-Encoding:\r\n")),
    case("two TE lines", post(TE_CHUNKED * 2, b"0\r\n\r\n")),
    case("two TE lines, second other", post(TE_CHUNKED + b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"), 400, 501),
    case("two TE lines, first other", post(b"Transfer-Encoding: x\r\n" + TE_CHUNKED, b"0\r\n\r\n"), 400, 501),
    case("TE chunked twice", coding(b"chunked, chunked")),
    case("TE chunked not last", coding(b"chunked, gzip"), 400, 501),
    case("TE identity", coding(b"identity", b""), 400, 501),
    case("TE gzip, chunked", coding(b"gzip, chunked"), 400, 501),
    case("TE gzip", coding(b"gzip", b""), 400, 501),
    case("TE xchunked", coding(b"xchunked"), 400, 501),
    case("TE chunkedx", coding(b"chunkedx"), 400, 501),
    case("TE chunk", coding(b"chunk"), 400, 501),
    case("TE with parameter", coding(b"chunked;a=b"), 400, 501),
    case("TE quoted", coding(b'"chunked"'), 400, 501),
    case("TE with vertical tab", coding(b"\x0bchunked")),
    case("TE with NUL", coding(b"chunked\0")),
    case("TE with bare CR", coding(b"\rchunked")),
    case("TE with bare LF", coding(b"\nchunked")),
    case("TE folded", coding(b"\r\n chunked")),
    case("TE with inner space", coding(b"chun ked"), 400, 501),
    case("TE empty", coding(b"", b"")),
    case("TE space before colon", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n")),
    case("TE tab before colon", post(b"Transfer-Encoding\t: chunked\r\n", b"0\r\n\r\n")),
    case("TE from HTTP/1.0", post(TE_CHUNKED, b"0\r\n\r\n", b"POST /framing HTTP/1.0")),
    case("CL space before colon", post(b"Content-Length : 5\r\n")),
    case("CL twice, equal", post(CL_5 * 2)),
    case("CL twice, different", post(CL_5 + b"Content-Length: 6\r\n")),
    case("CL list, equal", length(b"5, 5")),
    case("CL list, different", length(b"5, 6")),
    case("CL plus", length(b"+5")),
    case("CL minus", length(b"-5")),
    case("CL minus zero", length(b"-0")),
    case("CL hex", length(b"0x5")),
    case("CL letters behind", length(b"5x")),
    case("CL letters", length(b"five")),
    case("CL fraction", length(b"5.0")),
    case("CL exponent", length(b"5e0")),
    case("CL inner space", length(b"1 0")),
    case("CL inner underscore", length(b"1_0")),
    case("CL quoted", length(b'"5"')),
    case("CL empty", length(b"")),
    case("CL comma", length(b",")),
    case("CL semicolon", length(b"5;")),
    case("CL with NUL", length(b"5\0")),
    case("CL of 2^63", length(b"9223372036854775808"), 400, 413),
    case("CL of 2^64", length(b"18446744073709551616"), 400, 413),
    case("CL of 2^64 + 5", length(b"18446744073709551621"), 400, 413),
    case("CL of 30 digits", length(b"1" * 30), 400, 413),
    case("CL of other digits", length("٥".encode())),
    case("CL folded", length(b"\r\n 5")),
]

CHUNKS = [
    case("size hex prefix", chunked(b"0x5\r\nabcde\r\n0\r\n\r\n")),
    case("size plus", chunked(b"+5\r\nabcde\r\n0\r\n\r\n")),
    case("size minus", chunked(b"-5\r\nabcde\r\n0\r\n\r\n")),
    case("size space before", chunked(b" 5\r\nabcde\r\n0\r\n\r\n")),
    case("size words behind", chunked(b"5 x\r\nabcde\r\n0\r\n\r\n")),
    case("size letters", chunked(b"g\r\nabcde\r\n0\r\n\r\n")),
    case("size empty", chunked(b"\r\nabcde\r\n0\r\n\r\n")),
    case("size only an extension", chunked(b";a=b\r\nabcde\r\n0\r\n\r\n")),
    case("size with NUL", chunked(b"5\0\r\nabcde\r\n0\r\n\r\n")),
    case("size of 2^64", chunked(b"10000000000000000\r\nabcde\r\n0\r\n\r\n"), 400, 413),
    case("size of 2^64 + 5", chunked(b"10000000000000005\r\nabcde\r\n0\r\n\r\n"), 400, 413),
    case("size of 2^63", chunked(b"8000000000000000\r\nabcde\r\n0\r\n\r\n"), 400, 413),
    case("size of 2^32 + 5", chunked(b"100000005\r\nabcde\r\n0\r\n\r\n"), 400, 413),
    case("size of 40 zeros and 5", chunked(b"0" * 40 + b"5\r\nabcde\r\n0\r\n\r\n"), 400, 413),
    case("size ended by LF", chunked(b"5\nabcde\r\n0\r\n\r\n")),
    case("size ended by CR", chunked(b"5\rabcde\r\n0\r\n\r\n")),
    case("size ended by CR CR LF", chunked(b"5\r\r\nabcde\r\n0\r\n\r\n")),
    case("no CRLF after data", chunked(b"5\r\nabcde0\r\n\r\n")),
    case("LF after data", chunked(b"5\r\nabcde\n0\r\n\r\n")),
    case("CR after data", chunked(b"5\r\nabcde\r0\r\n\r\n")),
    case("data too long", chunked(b"5\r\nabcdefg\r\n0\r\n\r\n")),
    case("data too short", chunked(b"5\r\nabc\r\n0\r\n\r\n")),
    case("blank line between chunks", chunked(b"5\r\nabcde\r\n\r\n0\r\n\r\n")),
    case("extension with LF", chunked(b"5;a\nb\r\nabcde\r\n0\r\n\r\n")),
    case("extension with CR", chunked(b"5;a\rb\r\nabcde\r\n0\r\n\r\n")),
    case("extension with NUL", chunked(b"5;a\0b\r\nabcde\r\n0\r\n\r\n")),
    case("extension without end", chunked(b"5;" + b"a" * (64 << 10) + b"\r\nabcde\r\n0\r\n\r\n"), 400, 413, 431),
    case("last chunk ended by LF", chunked(b"5\r\nabcde\r\n0\n\r\n")),
    case("end by LF", chunked(b"5\r\nabcde\r\n0\r\n\n")),
    case("trailer without colon", chunked(b"0\r\nX-T\r\n\r\n")),
    case("trailer space before colon", chunked(b"0\r\nX-T : 1\r\n\r\n")),
    case("trailer folded", chunked(b"0\r\nX-T: 1\r\n 2\r\n\r\n")),
    case("trailer with bare LF", chunked(b"0\r\nX-T: 1\nX-U: 2\r\n\r\n")),
    case("trailer with NUL", chunked(b"0\r\nX-T: 1\0\r\n\r\n")),
    case("trailers without end", chunked(b"0\r\n" + b"X-T: 0123456789\r\n" * 8192), 400, 413, 431),
]

LINES = [
    case("LF ends the request line", b"GET /framing HTTP/1.1\n" + HOST + b"\r\n"),
    case("LF ends all lines", b"GET /framing HTTP/1.1\nHost: test.example\n\n"),
    case("LF ends a field", get(b"X-A: 1\nX-B: 2\r\n")),
    case("LF LF ends the head", b"GET /framing HTTP/1.1\r\n" + HOST[:-2] + b"\n\n"),
    case("CR ends a field", get(b"X-A: 1\rX-B: 2\r\n")),
    case("CR in a value", get(b"X-A: a\rb\r\n")),
    case("CR in a name", get(b"X\rA: b\r\n")),
    case("CR CR LF", get(b"X-A: a\r\r\n")),
    case("CR in the request line", get(line=b"GET /framing\r HTTP/1.1")),
    case("NUL in a value", get(b"X-A: a\0b\r\n")),
    case("NUL in a name", get(b"X\0A: b\r\n")),
    case("NUL in the target", get(line=b"GET /fra\0ming HTTP/1.1")),
    case("NUL in the method", get(line=b"GE\0T /framing HTTP/1.1")),
    case("folded by space", get(b"X-A: a\r\n b\r\n")),
    case("folded by tab", get(b"X-A: a\r\n\tb\r\n")),
    case("folded before the first field", get(host=b" X-A: b\r\n" + HOST)),
    case("folded to nothing", get(b"X-A: a\r\n \r\n")),
    case("field without colon", get(b"X-A\r\n")),
    case("field without name", get(b": a\r\n")),
    case("space before colon", get(b"X-A : a\r\n")),
    case("tab before colon", get(b"X-A\t: a\r\n")),
    case("space in a name", get(b"X A: a\r\n")),
    case("brackets in a name", get(b"X(A): a\r\n")),
    case("slash in a name", get(b"X/A: a\r\n")),
    case("quote in a name", get(b'"X-A": a\r\n')),
    case("at in a name", get(b"X@A: a\r\n")),
    case("8 bits in a name", get(b"X-\xe4: a\r\n")),
    case("control character in a value", get(b"X-A: a\x01b\r\n")),
    case("escape in a value", get(b"X-A: a\x1bb\r\n")),
    case("delete in a value", get(b"X-A: a\x7fb\r\n")),
    case("form feed in a value", get(b"X-A: a\x0cb\r\n")),
    case("space before the request line", get(line=b" GET /framing HTTP/1.1")),
    case("LF before the request line", b"\n" + get()),
    case("CR before the request line", b"\r" + get()),
    case("CRLF four times first", b"\r\n" * 4 + get()),
]

HOSTS = [case("Host " + name, get(host=value), 400) for name, value in [
    ("missing", b""),
    ("missing, with another field", b"X-Host: a\r\n"),
    ("twice, equal", HOST * 2),
    ("twice, different", HOST + b"Host: other.example\r\n"),
    ("twice, other case", HOST + b"hOST: other.example\r\n"),
    ("empty", b"Host:\r\n"),
    ("blank", b"Host:  \t \r\n"),
    ("with space", b"Host: test .example\r\n"),
    ("list", b"Host: test.example, other.example\r\n"),
    ("path", b"Host: test.example/a\r\n"),
    ("userinfo", b"Host: user@test.example\r\n"),
    ("query", b"Host: test.example?a\r\n"),
    ("fragment", b"Host: test.example#a\r\n"),
    ("scheme", b"Host: http://test.example\r\n"),
    ("port of letters", b"Host: test.example:http\r\n"),
    ("port negative", b"Host: test.example:-1\r\n"),
    ("port too large", b"Host: test.example:65536\r\n"),
    ("port twice", b"Host: test.example:80:80\r\n"),
    ("bracket open", b"Host: [::1\r\n"),
    ("bracket with junk behind", b"Host: [::1]x\r\n"),
    ("IPv6 bare", b"Host: ::1\r\n"),
    ("backslash", b"Host: test.example\\a\r\n"),
    ("quote", b'Host: "test.example"\r\n'),
    ("8 bits", b"Host: test.ex\xe4mple\r\n"),
    ("NUL", b"Host: test.example\0\r\n"),
    ("folded", b"Host: test\r\n .example\r\n"),
    ("space before colon", b"Host : test.example\r\n"),
]] + [case("Host missing but absolute-form", get(line=b"GET http://test.example/framing HTTP/1.1", host=b""))]

REQUEST_LINES = [case("line " + name, get(line=line), *statuses) for name, line, *statuses in [
    ("no version", b"GET /framing"),
    ("only a method", b"GET"),
    ("empty target", b"GET  HTTP/1.1"),
    ("two spaces", b"GET  /framing HTTP/1.1"),
    ("two spaces before version", b"GET /framing  HTTP/1.1"),
    ("tab", b"GET\t/framing HTTP/1.1"),
    ("trailing space", b"GET /framing HTTP/1.1 "),
    ("trailing word", b"GET /framing HTTP/1.1 x"),
    ("space in the target", b"GET /fra ming HTTP/1.1"),
    ("no method", b"/framing HTTP/1.1"),
    ("method with brackets", b"GE(T) /framing HTTP/1.1"),
    ("method with colon", b"GET: /framing HTTP/1.1"),
    ("method with slash", b"GET/ /framing HTTP/1.1"),
    ("method with 8 bits", b"G\xc9T /framing HTTP/1.1"),
    ("method of 10,000", b"A" * 10000 + b" /framing HTTP/1.1", 400, 414, 431, 501),
    ("target without slash", b"GET framing HTTP/1.1"),
    ("target with fragment", b"GET /framing#a HTTP/1.1"),
    ("target with 8 bits", b"GET /fr\xe4ming HTTP/1.1"),
    ("target with control character", b"GET /fr\x01ming HTTP/1.1"),
    ("target with delete", b"GET /fr\x7fming HTTP/1.1"),
    ("target with vertical tab", b"GET /fra\x0bming HTTP/1.1"),
    ("asterisk with GET", b"GET * HTTP/1.1"),
    ("asterisk and more", b"OPTIONS *x HTTP/1.1"),
    ("authority with GET", b"GET test.example:80 HTTP/1.1"),
    ("absolute without authority", b"GET http:///framing HTTP/1.1"),
    ("absolute with one slash", b"GET http:/framing HTTP/1.1"),
    ("absolute with userinfo", b"GET http://a:b@test.example/framing HTTP/1.1"),
    ("absolute with bad port", b"GET http://test.example:x/framing HTTP/1.1"),
    ("absolute with fragment", b"GET http://test.example/framing#a HTTP/1.1"),
    ("absolute ftp", b"GET ftp://test.example/framing HTTP/1.1"),
    ("absolute file", b"GET file:///etc/passwd HTTP/1.1"),
    ("absolute javascript", b"GET javascript:alert(1) HTTP/1.1"),
    ("HTTP/2.0", b"GET /framing HTTP/2.0", 400, 505),
    ("HTTP/3.0", b"GET /framing HTTP/3.0", 400, 505),
    ("HTTP/0.9", b"GET /framing HTTP/0.9", 400, 505),
    ("HTTP/9.9", b"GET /framing HTTP/9.9", 400, 505),
    ("HTTP/1", b"GET /framing HTTP/1"),
    ("HTTP/1.", b"GET /framing HTTP/1."),
    ("HTTP/.1", b"GET /framing HTTP/.1"),
    ("HTTP/1.10", b"GET /framing HTTP/1.10"),
    ("HTTP/01.1", b"GET /framing HTTP/01.1"),
    ("HTTP/11", b"GET /framing HTTP/11"),
    ("HTTP/1.1.1", b"GET /framing HTTP/1.1.1"),
    ("HTTP/1,1", b"GET /framing HTTP/1,1"),
    ("HTTP/+1.1", b"GET /framing HTTP/+1.1"),
    ("HTTP/1.x", b"GET /framing HTTP/1.x"),
    ("http/1.1", b"GET /framing http/1.1"),
    ("HTTPS/1.1", b"GET /framing HTTPS/1.1"),
    ("HTP/1.1", b"GET /framing HTP/1.1"),
    ("HTTP 1.1", b"GET /framing HTTP 1.1"),
    ("CONNECT", b"CONNECT test.example:443 HTTP/1.1", 400, 405, 501),
    ("CONNECT with a path", b"CONNECT /framing HTTP/1.1", 400, 405, 501),
    ("TRACE", b"TRACE /framing HTTP/1.1", 405),
]]

LIMITS = [
    case("request line too long", get(line=b"GET /" + b"a" * MAX_HEADER + b" HTTP/1.1"), 414, 431),
    case("request line without end", b"GET /" + b"a" * 2 * MAX_HEADER, 414, 431),
    case("query too long", get(line=b"GET /framing?" + b"a" * MAX_HEADER + b" HTTP/1.1"), 414, 431),
    case("one field too long", get(b"X-A: " + b"a" * MAX_HEADER + b"\r\n"), 431),
    case("field without end", get()[:-2] + b"X-A: " + b"a" * 2 * MAX_HEADER, 431),
    case("name too long", get(b"X" * MAX_HEADER + b": a\r\n"), 431),
    case("fields too long together", get(b"X-A: 0123456789\r\n" * 1000), 431),
    case("too many small fields", get(b"a:\r\n" * 3000), 431),
    case("cookie too long", get(b"Cookie: " + b"a=b; " * 4000 + b"\r\n"), 431),
    case("Expect unknown", get(b"Expect: 200-ok\r\n"), 417),
    case("Expect list", post(CL_5 + b"Expect: 100-continue, x\r\n"), 417),
    case("Content-Length past max_body", post(b"Content-Length: 1048577\r\n"), 413),
]

OTHER_PROTOCOLS = [
    case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505),
    case("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n\r\n", 400),
    case("PROXY protocol line", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + get(), 400),
    case("a mail client", b"EHLO test.example\r\n\r\n", 400),
    case("binary", bytes(range(256)) + b"\r\n\r\n", 400),
    case("all NUL", b"\0" * 1000 + b"\r\n\r\n", 400),
    case("all spaces", b" " * 1000 + b"\r\n\r\n", 400),
    case("a colon", b":\r\n\r\n", 400),
]


def cited(section, cases):
    """Their ids begin with where it is written."""
    return [pytest.param(*c.values, id=f"{section}: {c.id}") for c in cases]


BAD = (cited("RFC 9112 6", SMUGGLING) + cited("RFC 9112 7.1", CHUNKS) + cited("RFC 9112 2.2, 5", LINES) +
       cited("RFC 9112 3.2", HOSTS) + cited("RFC 9112 3", REQUEST_LINES) + cited("RFC 6585 5, RFC 9110 15.5", LIMITS) +
       cited("RFC 9110 6.2", OTHER_PROTOCOLS))

GOOD = [pytest.param(raw, id=name) for name, raw in [
    ("plain", get()),
    ("one CRLF first", b"\r\n" + get()),
    ("TE in capitals", coding(b"CHUNKED")),
    ("TE after a tab", coding(b"\tchunked \t")),
    ("CL with zeros first", length(b"0005")),
    ("CL among blanks", length(b" \t5 \t")),
    ("CL 0 in a GET", get(b"Content-Length: 0\r\n")),
    ("body in a GET", post(CL_5, line=b"GET /framing HTTP/1.1")),
    ("chunk sizes with zeros", chunked(b"0005\r\nabcde\r\n000\r\n\r\n")),
    ("chunk size in capitals", chunked(b"A\r\n0123456789\r\n0\r\n\r\n")),
    ("chunk extension", chunked(b"5;name=value\r\nabcde\r\n0;last\r\n\r\n")),
    ("chunk extension quoted", chunked(b'5;name="a;b c"\r\nabcde\r\n0\r\n\r\n')),
    ("chunk extension with blanks", chunked(b"5 ; name = value\r\nabcde\r\n0\r\n\r\n")),
    ("trailer", chunked(b"5\r\nabcde\r\n0\r\nX-T: 1\r\n\r\n")),
    ("empty field", get(b"X-A:\r\n")),
    ("8 bits in a value", get(b"X-A: \xe4\xf6\r\n")),
    ("tab in a value", get(b"X-A: a\tb\r\n")),
    ("every token character in a name", get(b"X!#$%&'*+-.^_`|~09: a\r\n")),
    ("Host with port", get(host=b"Host: test.example:80\r\n")),
    ("Host IPv6", get(host=b"Host: [::1]:8080\r\n")),
    ("Host lower case name", get(host=b"host: test.example\r\n")),
    ("HTTP/1.0 without Host", get(line=b"GET /framing HTTP/1.0", host=b"")),
    ("HTTP/1.2", get(line=b"GET /framing HTTP/1.2")),
    ("absolute-form", get(line=b"GET http://test.example/framing HTTP/1.1")),
    ("absolute-form, scheme in capitals", get(line=b"GET HTTP://test.example/framing HTTP/1.1")),
    ("percent-encoded", get(line=b"GET /framing?a=%00%0d%0a HTTP/1.1")),
    ("unknown method", get(line=b"FROB /framing HTTP/1.1")),
    ("method in lower case", get(line=b"get /framing HTTP/1.1")),
    ("method with dash", get(line=b"M-SEARCH /framing HTTP/1.1")),
    ("Upgrade is ignored", get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n")),
]]


@pytest.fixture(scope="module")
def script(origin):
    return origin.on("/framing", [Reply(200, {"Cache-Control": "no-store"}, b"framing")])


@pytest.fixture(autouse=True)
def nothing_is_smuggled(origin):
    faults, smuggled = len(origin.faults), origin.count("/smuggled")
    yield
    assert [f for f in origin.faults[faults:] if not f.startswith("cut")] == []
    assert origin.count("/smuggled") == smuggled, "the request behind a refused one was carried out"


def still_serves(proxy):
    assert proxy.fetch("/framing").body == b"framing"


@pytest.mark.parametrize("raw, statuses", BAD)
def test_bad_request_is_refused_and_the_connection_closed(proxy, origin, script, raw, statuses):
    before = origin.count("/framing")
    with proxy.client() as c:
        try:
            c.send(raw + SMUGGLED)
        except ConnectionError:
            pass  # refused before all was sent
        r = c.response()
        assert r.status in statuses, (r.status, r.body)
        assert r.version == "HTTP/1.1"
        assert "close" in r.tokens
        assert c.wait_closed() == b"", "something came after the refusal"
    assert origin.count("/framing") == before, "the refused request reached the origin"
    still_serves(proxy)


@pytest.mark.parametrize("raw", cited("RFC 9112", GOOD))
def test_unusual_but_valid_request_is_served(proxy, origin, script, raw):
    with proxy.client() as c:
        c.send(raw)
        r = c.response()
        assert (r.status, r.body, r.version) == (200, b"framing", "HTTP/1.1")
    still_serves(proxy)


@pytest.mark.parametrize("raw", cited("RFC 9112", GOOD))
def test_valid_request_is_served_byte_by_byte_and_between_others(proxy, origin, script, raw):
    with proxy.client() as c:
        if b"HTTP/1.0" not in raw:
            c.send(get())
            assert c.response().body == b"framing"
        for i in range(len(raw)):
            c.send(raw[i:i + 1])
        r = c.response()
        assert (r.status, r.body) == (200, b"framing")
        if "close" not in r.tokens and b"HTTP/1.0" not in raw:
            c.send(get())
            assert c.response().body == b"framing"
    still_serves(proxy)


@pytest.mark.parametrize("raw, statuses", [p for p in BAD if len(p.values[0]) < 1000])
def test_bad_request_behind_a_good_one_does_not_spoil_its_response(proxy, origin, script, raw, statuses):
    with proxy.client() as c:
        c.send(build(target="/framing") + raw + SMUGGLED)
        assert c.response().body == b"framing"
        r = c.response()
        assert r.status in statuses, (r.status, r.body)
        assert c.wait_closed() == b""
    still_serves(proxy)


def test_two_thousand_header_fields_do_not_hold_up_others(proxy, origin, script):
    fields = b"".join(b"a%d: b\r\n" % i for i in range(900))
    with proxy.client() as c:
        c.send(get(fields))
        assert c.response().status in (200, 431)
    still_serves(proxy)


def test_refused_request_still_gets_its_response_when_much_follows(proxy, origin, script):
    """The refusal must not be lost to a reset because unread bytes were waiting."""
    with proxy.client() as c:
        try:
            c.send(b"POST /framing HTTP/1.1\r\nHost: test.example\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 300000)
        except ConnectionError:
            pass
        assert c.response().status == 413
    still_serves(proxy)


def test_silence_before_the_head_is_complete_ends_the_connection(start_proxy, origin, script):
    proxy = start_proxy({**CONFIG, "proxy": {"client_header_timeout": "2s", "client_idle_timeout": "30s"}})
    with proxy.client() as idle, proxy.client() as slow:
        idle.send(get())
        assert idle.response().body == b"framing"
        slow.send(b"GET /framing HTTP/1.1\r\nHost:")
        rest = slow.wait_closed(10)
        assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")
        idle.send(get())
        assert idle.response().body == b"framing"


def test_a_head_that_trickles_in_is_still_bound_by_the_header_timeout(start_proxy, origin, script):
    proxy = start_proxy({**CONFIG, "proxy": {"client_header_timeout": "400ms"}})
    with proxy.client() as c:
        c.send(b"GET /framing HTTP/1.1\r\nHost: test.example\r\n")
        ended = False
        for _ in range(200):
            try:
                c.send(b"X: y\r\n")
            except ConnectionError:
                ended = True
                break
            if not c.nothing_comes(0.05):
                ended = True
                break
        assert ended, "ten seconds of header fields were listened to"


def test_idle_connection_is_closed_after_the_idle_timeout(start_proxy, origin, script):
    proxy = start_proxy({**CONFIG, "proxy": {"client_idle_timeout": "1s"}})
    with proxy.client() as c:
        c.send(get())
        assert c.response().body == b"framing"
        assert c.wait_closed(10) == b""
