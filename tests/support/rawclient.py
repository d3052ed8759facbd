# SPDX-License-Identifier: MIT
"""A client that writes the bytes it is told and reads responses strictly."""
import json
import select
import socket
import struct
import time

TIMEOUT_S = 30  # nothing takes as long that does not hang, however busy the machine and its disk are


class Aborted(AssertionError):
    """The connection ended before the response did. `got` is what had come of the body."""

    def __init__(self, what, response=None):
        super().__init__(what)
        self.response = response


class Response:
    def __init__(self, version, status, reason, fields):
        self.version, self.status, self.reason, self.fields = version, status, reason, fields
        self.body, self.trailers, self.interim, self.complete = b"", [], [], False
        self.framing = "none"

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)

    def has(self, name):
        return bool(self.all(name))

    @property
    def age(self):
        return int(self.get("Age", "0"))

    @property
    def cache_status(self):
        """The parameters of our member of Cache-Status as a dict; a bare one is True."""
        return cache_status(", ".join(self.all("Cache-Status")))

    @property
    def is_hit(self):
        return bool(self.cache_status.get("hit"))

    @property
    def tokens(self):
        """The members of Connection, lower case."""
        return [t.strip().lower() for v in self.all("Connection") for t in v.split(",") if t.strip()]

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {len(self.body)} bytes, {self.get('Cache-Status')}>"


def cache_status(value, who="memoproxy"):
    for member in value.split(","):
        parts = [p.strip() for p in member.split(";")]
        if parts[0] == who:
            out = {}
            for part in parts[1:]:
                name, eq, text = part.partition("=")
                out[name] = _bare_item(text) if eq else True
            return out
    return {}


def _bare_item(text):
    if text.startswith('"'):
        return text[1:-1]
    if text in ("?1", "?0"):
        return text == "?1"
    return int(text) if text.lstrip("-").isdigit() else text


def build(method="GET", target="/", fields=None, body=b"", host="test.example", version="HTTP/1.1"):
    """A well-formed request's bytes. A body gets a Content-Length unless the fields say how it is framed."""
    given = list(fields.items()) if isinstance(fields, dict) else list(fields or [])
    names = {n.lower() for n, _ in given}
    lines = [f"{method} {target} {version}"]
    if host is not None and "host" not in names:
        lines.append(f"Host: {host}")
    lines += [f"{n}: {v}" for n, v in given]
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Client:
    """One connection. Use as a context manager."""

    def __init__(self, port, host="127.0.0.1", timeout=TIMEOUT_S, receive_buffer=None, source=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- writing ----

    def send(self, data):
        self.sock.sendall(data)

    def start(self, *args, **kwargs):
        """Sends a request and does not wait."""
        self.send(build(*args, **kwargs))

    def request(self, method="GET", target="/", fields=None, body=b"", **kwargs):
        self.send(build(method, target, fields, body, **kwargs))
        return self.response(method)

    def get(self, target, fields=None, **kwargs):
        return self.request("GET", target, fields, **kwargs)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    # ---- reading ----

    def _more(self, limit=1 << 18):
        try:
            data = self.sock.recv(limit)
        except ConnectionError:
            return b""
        except socket.timeout:
            raise AssertionError(f"nothing came for {self.sock.gettimeout()} s; so far: {self.data[:300]!r}") from None
        self.data += data
        return data

    def _line(self):
        while b"\r\n" not in self.data:
            if not self._more():
                raise Aborted(f"ended in a line: {self.data[:200]!r}")
        line, self.data = self.data.split(b"\r\n", 1)
        return line

    def _exactly(self, n, sink):
        while n:
            if not self.data and not self._more():
                return n
            piece, self.data = self.data[:n], self.data[n:]
            n -= len(piece)
            sink(piece)
        return 0

    def read_some(self, n):
        """At least one, at most n raw bytes; empty at the end."""
        if not self.data:
            self._more(n)
        piece, self.data = self.data[:n], self.data[n:]
        return piece

    def read_bytes(self, n):
        parts = []
        short = self._exactly(n, parts.append)
        assert not short, f"{short} of {n} bytes never came"
        return b"".join(parts)

    def head(self):
        """One head, interim ones too."""
        line = self._line().decode("latin-1")
        version, _, rest = line.partition(" ")
        status, _, reason = rest.partition(" ")
        assert version in ("HTTP/1.1", "HTTP/1.0") and len(status) == 3 and status.isdigit(), f"status line {line!r}"
        fields = self._fields()
        return Response(version, int(status), reason, fields)

    def _fields(self):
        fields = []
        while True:
            line = self._line()
            if not line:
                return fields
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon and name and name == name.strip(), f"field line {line!r}"
            fields.append((name, value.strip(" \t")))

    def response_head(self):
        """The next final head; its interim ones are in .interim."""
        interim = []
        while True:
            r = self.head()
            if r.status >= 200 or r.status == 101:
                r.interim = interim
                return r
            interim.append(r)

    def response(self, method="GET", keep=True):
        """The next whole response. With keep=False the body is only counted, in .body_bytes."""
        r = self.response_head()
        self.read_body(r, method, keep)
        return r

    def read_body(self, r, method="GET", keep=True, sink=None):
        parts, count = [], 0

        def take(piece):
            nonlocal count
            count += len(piece)
            if sink:
                sink(piece)
            elif keep:
                parts.append(piece)
        try:
            self._body(r, method, take)
        finally:
            r.body, r.body_bytes = b"".join(parts), count
        r.complete = True
        return r

    def _body(self, r, method, take):
        codings = [v.strip().lower() for v in ",".join(r.all("Transfer-Encoding")).split(",") if v.strip()]
        lengths = r.all("Content-Length")
        assert not (codings and lengths), "Transfer-Encoding and Content-Length in one answer"
        assert len(lengths) < 2, f"more than one Content-Length: {lengths}"
        if method == "HEAD" or r.status in (204, 304) or r.status < 200:
            return
        if codings:
            assert codings == ["chunked"], codings
            r.framing = "chunked"
            self._chunks(r, take)
        elif lengths:
            r.framing = "length"
            short = self._exactly(int(lengths[0]), take)
            if short:
                raise Aborted(f"{short} of {lengths[0]} bytes never came", r)
        else:
            r.framing = "close"
            while self.data or self._more():
                piece, self.data = self.data, b""
                take(piece)

    def _chunks(self, r, take):
        while True:
            try:
                size = int(self._line().split(b";")[0], 16)
                if size == 0:
                    r.trailers = self._fields()
                    return
                short = self._exactly(size, take)
                if short or self._exactly(2, lambda crlf: None):
                    raise Aborted("ended in a chunk", r)
            except Aborted as aborted:
                aborted.response = r
                raise

    def nothing_comes(self, seconds=0.15):
        """True when no byte and no end arrives for that long."""
        return not self.data and not select.select([self.sock], [], [], seconds)[0]

    def wait_closed(self, timeout=TIMEOUT_S):
        """Reads to the end and returns what still came. Fails when the end does not come."""
        deadline = time.monotonic() + timeout
        left, self.data = self.data, b""
        while True:
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError:
                return left
            except socket.timeout:
                raise AssertionError("the connection was not closed") from None
            if not data:
                return left
            left += data


def fetch(port, target="/", fields=None, method="GET", body=b"", **kwargs):
    """One request on a connection of its own."""
    with Client(port) as c:
        return c.request(method, target, fields, body, **kwargs)
