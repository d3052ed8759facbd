# SPDX-License-Identifier: MIT
"""The fast path and the way through evhttp give the same responses: several thousand generated requests go down both, in
front of one origin, and what comes back is compared byte by byte.

What may differ is what tells the time or is drawn by chance, and only so far: Age, the ttl of Cache-Status and a Date of
the proxy's own by two seconds (the two proxies stored their copies one after the other), the boundary of multipart responses and
the id of an error, whose lengths must be the same. Nothing else is forgiven. All of the origin's responses follow from the request
alone, and are fresh or stale by half an hour and more, so that no second decides which they are.
"""
import email.utils
import random
import re
import socket
import time
import zlib

import pytest

from support.origin import Reply, pattern
from support.proxy import eventually
from support.rawclient import build

pytestmark = pytest.mark.tiers

SEED = 20260
BATCHES = 1500
OBJECTS = 48
SLACK_S = 2
HOURS = 3600
BORN = time.time() - HOURS / 2  # stale ones are kept for an hour, for their validators


def date(offset_s):
    return email.utils.formatdate(BORN + offset_s, usegmt=True)


MODIFIED = date(-HOURS)

KINDS = {  # what the origin says about an object of the kind, and how long its body is
    "plain": ({"ETag": '"{n}"', "Last-Modified": MODIFIED, "Content-Type": "text/plain"}, 1000),
    "weak": ({"ETag": 'W/"{n}"', "Content-Type": "application/json", "Content-Language": "en"}, 300),
    "dated": ({"Last-Modified": MODIFIED}, 2500),
    "bare": ({}, 40),
    "empty": ({"ETag": '"{n}"'}, 0),
    "middle": ({"ETag": '"{n}"', "Last-Modified": MODIFIED}, 20000),
    "large": ({"ETag": '"{n}"'}, 150000),
    "tagged": ({"ETag": '"{n}"', "Cache-Tag": "even, n{n}"}, 500),
    "language": ({"ETag": '"{n}-{language}"', "Vary": "Accept-Language", "Content-Language": "{language}"}, 700),
    "coding": ({"Vary": "Accept-Encoding, X-Kind"}, 600),
    "cookie": ({"Set-Cookie": "a=b", "ETag": '"{n}"'}, 100),
    "chunked": ({"ETag": '"{n}"', "Content-Type": "text/plain"}, 5000),
    "missing": ({"Content-Type": "text/plain"}, 60),
    "moved": ({"Location": "/elsewhere"}, 10),
    "nothing": ({"ETag": '"{n}"'}, 0),
    "strange": ({"X-Long": "v" * 3000, "x-lower": "a", "X-EMPTY": "", "Via": "1.0 other", "Warning": '199 - "w"'}, 90),
    "stale": ({"ETag": '"{n}"', "Cache-Control": "max-age=60, stale-while-revalidate=864000", "Age": "1800"}, 400),
    "strict": ({"ETag": '"{n}"', "Cache-Control": "max-age=60, must-revalidate", "Age": "1800"}, 400),
    "lenient": ({"Last-Modified": MODIFIED, "Cache-Control": "max-age=60", "Age": "1800"}, 400),
    "unstored": ({"Cache-Control": "no-store"}, 200),
}
STATUS = {"missing": 404, "moved": 301, "nothing": 204}


def answer(request):
    """The origin: a function of the request alone, so that the second proxy to ask is told the same."""
    kind, n = request.path.split("/")[2:4]
    language = (request.get("Accept-Language") or "en").split(",")[0].strip() or "en"
    given, length = KINDS[kind]
    fields = {"Date": date(0), "Cache-Control": f"max-age={10 * 24 * HOURS}"}
    fields.update({k: v.replace("{n}", n).replace("{language}", language) for k, v in given.items()})
    if kind in ("stale", "strict", "lenient"):
        tells = request.get("If-None-Match") == fields.get("ETag", "-") or \
                request.get("If-Modified-Since") == fields.get("Last-Modified", "-")
        if tells:
            return [Reply(304, fields)]
    body = pattern(length + int(n))[int(n):] if length else b""
    return [Reply(STATUS.get(kind, 200), fields, body, framing="chunked" if kind == "chunked" else "length")]


# ---- Requests ----

RANGES = ["bytes=0-0", "bytes=5-20", "bytes=-7", "bytes=30-", "bytes=100000-", "bytes=999999-", "bytes=0-0,5-9", "bytes=1-2, -3",
          "bytes=9-3", "bytes=", "lines=1-2", "bytes=0-10,4-20,8-30", "bytes=a-b", "bytes=0-"]
DIRECTIVES = ["no-cache", "max-age=0", "max-age=60", "max-age=999999", "min-fresh=1", "min-fresh=9999999", "max-stale",
              "max-stale=1", "max-stale=9999", "only-if-cached", "no-transform", "no-store", "only-if-cached, max-stale", "x=\"y",
              "max-age=600000, min-fresh=60", "MAX-AGE=999999"]


def conditions(rng, kind, n):
    etag = KINDS[kind][0].get("ETag", '"none"').replace("{n}", n).replace("{language}", rng.choice(["en", "de"]))
    return rng.choice([
        [("If-None-Match", etag)], [("If-None-Match", f'"x", {etag}')], [("If-None-Match", "*")], [("If-None-Match", '"x"')],
        [("If-None-Match", '"x"'), ("If-None-Match", etag)], [("If-None-Match", "unquoted")], [("If-Match", etag)],
        [("If-Match", '"x"')], [("If-Match", "*")], [("If-Modified-Since", MODIFIED)], [("If-Modified-Since", date(-2 * HOURS))],
        [("If-Modified-Since", "yesterday")], [("If-Unmodified-Since", MODIFIED)], [("If-Unmodified-Since", date(-2 * HOURS))],
        [("If-None-Match", '"x"'), ("If-Modified-Since", date(0))],
        [("If-Modified-Since", MODIFIED), ("If-Modified-Since", MODIFIED)],
    ])


def ranges(rng, kind, n):
    fields = [("Range", rng.choice(RANGES))]
    etag = KINDS[kind][0].get("ETag", '"none"').replace("{n}", n)
    if rng.random() < 0.4:
        fields.append(("If-Range", rng.choice([etag, '"x"', 'W/"x"', MODIFIED, date(0), "?"])))
    if rng.random() < 0.05:
        fields.append(("Range", "bytes=1-1"))
    return fields


def oddities(rng, _kind, _n):
    return rng.choice([
        [("Cookie", "a=b; c=d")], [("Authorization", "Basic eDp5")], [("X-Forwarded-Host", "evil.example")],
        [("x-ODD_name.1", "\t v\xe4lue ")], [("X-Empty", "")], [("X-Long", "y" * rng.randrange(9000))],
        [("Expect", "100-continue")], [("Content-Length", "0")], [("TE", "trailers"), ("Connection", "TE")],
        [("Connection", "keep-alive, X-Hop"), ("X-Hop", "1")], [("Upgrade", "h2c"), ("Connection", "upgrade")],
        [("Pragma", "no-cache")], [("Accept", "*/*")] * 3, [("Via", "1.1 somebody")], [("Max-Forwards", "0")],
        [(f"X-{i}", str(i)) for i in range(60)], [("Accept-Encoding", "gzip;q=0, br")], [("User-Agent", "a (b; c) \"d\"")],
    ])


def variants(rng, _kind, _n):
    return rng.choice([[("Accept-Language", rng.choice(["de", "en", "fr, de", ""]))], [("Accept-Encoding", "gzip")],
                       [("X-Kind", rng.choice("ab"))], [("Accept-Encoding", "br"), ("X-Kind", "a")]])


def controls(rng, _kind, _n):
    return [("Cache-Control", rng.choice(DIRECTIVES)) for _ in range(rng.choice([1, 1, 1, 2]))]


class Request:
    def __init__(self, rng):
        self.kind, n = rng.choice(list(KINDS)), str(rng.randrange(OBJECTS // 16))
        self.method = rng.choices(["GET", "HEAD", "POST", "OPTIONS"], [85, 12, 1, 2])[0]
        query = rng.choice(["", "", "", "", "?", "?a=1", "?a=1&b=%20"])
        target, fields = f"/o/{self.kind}/{n}{query}", []
        for chance, make in ((0.3, conditions), (0.2, ranges), (0.25, oddities), (0.3, variants), (0.15, controls)):
            if rng.random() < chance:
                fields += make(rng, self.kind, n)
        rng.shuffle(fields)
        if rng.random() < 0.05:
            target = f"http://{rng.choice(['test.example', 'OTHER.example:80'])}{target}"
        version = "HTTP/1.0" if rng.random() < 0.04 else "HTTP/1.1"
        if rng.random() < (0.6 if version == "HTTP/1.0" else 0.02):
            fields = [f for f in fields if f[0] != "Connection"] + [("Connection", rng.choice(["close", "Close, x", "keep-alive"]))]
        names = {n.lower() for n, _ in fields}
        body = b"some body" if self.method == "POST" and "content-length" not in names else b""
        self.raw = build(self.method, target, fields, body, version=version)
        # What a client sends after such a request may meet a closed socket, which loses responses (RFC 9112 9.6).
        self.is_last = version == "HTTP/1.0" or any(n == "Connection" and "lose" in v for n, v in fields)
        if rng.random() < 0.02:
            self.raw = b"\r\n" + self.raw
        if rng.random() < 0.004:
            self.raw = rng.choice([b"GET /o/plain/0 HTTP/1.1\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0\r\n\r\n",
                                   b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", b"GET / HTTP/3.1\r\nHost: a\r\n\r\n"])
            self.method = "GET"


# ---- Responses ----

class Connection:
    """Reads responses as they came: the head's bytes, then the content."""

    def __init__(self, proxy):
        self.sock, self.data = socket.create_connection(("127.0.0.1", proxy.port), 20), b""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _more(self):
        got = self.sock.recv(1 << 18)
        self.data += got
        return bool(got)

    def _until(self, mark):
        while mark not in self.data:
            if not self._more():
                return None
        taken, _, self.data = self.data.partition(mark)
        return taken + mark

    def _exactly(self, n):
        while len(self.data) < n:
            assert self._more(), f"the connection ended {n - len(self.data)} bytes before the answer"
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def _chunks(self):
        body = b""
        while True:
            size = int(self._until(b"\r\n"), 16)
            body += self._exactly(size)
            self._exactly(2)
            if size == 0:
                return body

    def answer(self, method):
        """(head, content), or None when the connection has ended."""
        interim = b""
        while True:
            head = self._until(b"\r\n\r\n")
            if head is None:
                assert not self.data, f"the connection ended in a head: {self.data!r}"
                return None
            status = int(head[9:12])
            if status >= 200:
                break
            interim += head
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if method == "HEAD" or status in (204, 304):
            return interim + head, b""
        if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
            return interim + head, self._chunks()
        if length:
            return interim + head, self._exactly(int(length.group(1)))
        while self._more():
            pass
        taken, self.data = self.data, b""
        return interim + head, taken

    def ended(self, head):
        return head is None or re.search(rb"(?i)\r\nconnection: *close", head[0]) is not None

    def close(self):
        self.sock.close()


def pipeline(rng):
    """One to eight requests. One that starts a fetch in the background goes alone: others could meet it or come too late."""
    requests = [Request(rng)]
    for _ in range(rng.choice([0, 0, 0, 1, 2, 7])):
        another = Request(rng)
        if requests[-1].is_last or "stale" in (requests[0].kind, another.kind):
            break
        requests.append(another)
    return requests


def split(text, rng):
    """The same bytes in a few writes."""
    cuts = sorted(rng.randrange(len(text)) for _ in range(rng.choice([0, 0, 0, 1, 3])))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]


def exchange(proxy, connection, requests, rng):
    """Answers to the requests, which go out pipelined; and the connection, or None when it was closed."""
    connection = connection or Connection(proxy)
    try:
        for piece in split(b"".join(r.raw for r in requests), rng):
            connection.sock.sendall(piece)
    except ConnectionError:
        pass  # it answered and closed already
    answers = []
    for r in requests:
        answers.append(connection.answer(r.method))
        if connection.ended(answers[-1]):
            connection.close()
            return answers, None
    return answers, connection


# ---- Comparing ----

NUMBERS = re.compile(rb"(\r\nAge: |; ttl=)(-?\d+)")
DATE = re.compile(rb"(\r\nDate: )([^\r]+)")
BOUNDARY = re.compile(rb"memoproxy-[0-9a-f]{32}")
ID = re.compile(rb"\r\nX-Request-ID: ([0-9a-f]{16})")


def timeless(answer):
    """The response with its times, boundary and id taken out, and those times."""
    head, body = answer
    drawn = ID.search(head)
    if drawn:
        head, body = head.replace(drawn[1], b"ID"), body.replace(drawn[1], b"ID")
    head, body = BOUNDARY.sub(b"BOUNDARY", head), BOUNDARY.sub(b"BOUNDARY", body) if BOUNDARY.search(head) else body
    numbers = [int(n) for _, n in NUMBERS.findall(head)]
    dates = [email.utils.parsedate_to_datetime(d.decode()).timestamp() for _, d in DATE.findall(head)]
    return DATE.sub(rb"\1D", NUMBERS.sub(rb"\1N", head)), body, numbers + dates


def assert_same(request, one, other):
    assert (one is None) == (other is None), (request.raw, one, other)
    if one is None or one == other:
        return
    (head_a, body_a, times_a), (head_b, body_b, times_b) = timeless(one), timeless(other)
    if request.kind == "unstored":  # once a second one of these finds out for all whether that is still so, and says why
        head_a, head_b = (re.sub(rb"memoproxy; fwd=(uri-)?miss[^\r]*", b"memoproxy; fwd=miss", h) for h in (head_a, head_b))
    assert head_a == head_b, (request.raw, head_a, head_b)
    assert len(body_a) == len(body_b) and zlib.crc32(body_a) == zlib.crc32(body_b) and body_a == body_b, request.raw
    assert all(abs(a - b) <= SLACK_S for a, b in zip(times_a, times_b)), (request.raw, one, other)


PURGES = [{"url": "/o/{kind}/{n}"}, {"prefix": "/o/{kind}/"}, {"tag": "even"}, {"tag": "n{n}"}, {"prefix": "/o/"}, {"all": 1}]


def purge(proxies, rng):
    scope, soft = rng.choices(PURGES, [8, 4, 2, 2, 1, 1])[0], rng.random() < 0.4
    kind, n = rng.choice(list(KINDS)), str(rng.randrange(OBJECTS // 16))
    scope = {k: v.replace("{kind}", kind).replace("{n}", n) if isinstance(v, str) else v for k, v in scope.items()}
    for proxy in proxies:
        proxy.purge(soft=soft, **scope)


@pytest.fixture
def roads(start_proxy, origin):
    origin.on("/", lambda r: [Reply(404)])
    for kind in KINDS:
        for n in range(OBJECTS // 16):
            origin.on(f"/o/{kind}/{n}", answer)
    return [start_proxy({"cache": {"fast_path": road}}, workers=1) for road in ("on", "off")]


def answered_by_gate(proxy):
    return proxy.stats()["clients"]["answered_here"]


@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
@pytest.mark.long
def test_both_paths_answer_generated_requests_alike(roads, seed):
    rng, asked, hits = random.Random(seed), 0, 0
    connections = [None, None]
    for _ in range(BATCHES):
        if rng.random() < 0.02:
            purge(roads, rng)
        requests = pipeline(rng)
        writes = rng.getrandbits(32)
        answers = []
        for i, proxy in enumerate(roads):
            got, connections[i] = exchange(proxy, connections[i], requests, random.Random(writes))
            answers.append(got)
        if requests[0].kind == "stale":
            for proxy in roads:
                eventually(lambda p=proxy: p.stats()["cache"]["flights"] == 0, "the fetch in the background is over")
        assert len(answers[0]) == len(answers[1]), [r.raw for r in requests]
        for request, one, other in zip(requests, *answers):
            assert_same(request, one, other)
            hits += b"memoproxy; hit" in (one or (b"",))[0]
            asked += 1
    for connection in connections:
        if connection:
            connection.close()
    assert asked > 3000 and hits > asked / 4, (asked, hits)
    assert answered_by_gate(roads[0]) > hits / 2, "the road under test was hardly taken"
    assert answered_by_gate(roads[1]) == 0
