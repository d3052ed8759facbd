# SPDX-License-Identifier: MIT
"""A scripted HTTP/1.1 origin that can misbehave in every way a test needs.

A test registers scripts for a path; each request to that path runs the next script (the last one repeats). A script is
a list of steps, carried out in order:

    origin.on("/x", [Reply(200, {"Cache-Control": "max-age=60"}, b"hello")])
    origin.on("/x", [Wait(gate), Reply(body=b"later")], [Send(b"garbage"), Close()])
    origin.on("/x", lambda request: [Reply(body=request.body)])

Everything runs on one event loop in a thread of its own; tests talk to it from their thread. Time is told by gates
that the test opens, not by sleeping. After a script the connection stays open for the next request, unless a step
closed it.
"""
import asyncio
import hashlib
import itertools
import socket
import struct
import threading
import time

WAIT_S = 30
KEEP_BODY = 1 << 20  # larger request bodies are kept as length and hash only


class Gate:
    """Closed at first. After open() every script that waits at it, now or later, goes on."""

    def __init__(self, origin):
        self._loop = origin.loop
        self._event = asyncio.Event()

    def open(self):
        self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self):
        await self._event.wait()


class Step:
    async def run(self, conn, request):
        raise NotImplementedError


class Send(Step):
    """These bytes, as they are."""

    def __init__(self, data):
        self.data = data

    async def run(self, conn, request):
        await conn.send(self.data)


class Wait(Step):
    def __init__(self, gate):
        self.gate = gate

    async def run(self, conn, request):
        await self.gate.wait()


class Mark(Step):
    """wait() returns when a script has come to this step."""

    def __init__(self):
        self._reached = threading.Event()

    async def run(self, conn, request):
        self._reached.set()

    def wait(self, timeout=WAIT_S):
        assert self._reached.wait(timeout), "no script came to its mark"


class Pause(Step):
    """Only where time itself is what a test is about (a stall, a drip)."""

    def __init__(self, seconds):
        self.seconds = seconds

    async def run(self, conn, request):
        await asyncio.sleep(self.seconds)


class Close(Step):
    """An orderly end (FIN)."""

    async def run(self, conn, request):
        raise _End(reset=False)


class Reset(Step):
    """The connection is torn down (RST)."""

    async def run(self, conn, request):
        raise _End(reset=True)


class Hang(Step):
    """Says nothing more until the other side gives up."""

    async def run(self, conn, request):
        await conn.gone()
        request.client_left = True
        raise _End(reset=False)


class ReadBody(Step):
    """Reads the request's body now: for scripts registered with read_body=False."""

    async def run(self, conn, request):
        await conn.read_body(request)


class Drip(Step):
    """data in pieces of `size` bytes, `gap` seconds apart."""

    def __init__(self, data, size, gap):
        self.data, self.size, self.gap = data, size, gap

    async def run(self, conn, request):
        for at in range(0, len(self.data), self.size):
            await conn.send(self.data[at:at + self.size])
            await asyncio.sleep(self.gap)


class Stream(Step):
    """total bytes of pattern(), without holding them all; stops when the reader does. `sent` counts."""

    def __init__(self, total, chunked=False):
        self.total, self.chunked, self.sent = total, chunked, 0

    async def run(self, conn, request):
        block = pattern(1 << 16)
        while self.sent < self.total:
            piece = block[:min(len(block), self.total - self.sent)]
            await conn.send(chunk(piece) if self.chunked else piece)
            self.sent += len(piece)
        if self.chunked:
            await conn.send(b"0\r\n\r\n")


class Endless(Step):
    """The same bytes again and again until the other side has had enough."""

    def __init__(self, data):
        self.data = data

    async def run(self, conn, request):
        while True:
            await conn.send(self.data)


def head(status=200, fields=None, reason="Scripted"):
    lines = [f"HTTP/1.1 {status} {reason}".encode()]
    for name, value in pairs(fields):
        lines.append(as_bytes(name) + b": " + as_bytes(value))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def chunk(data, extension=b""):
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


def pattern(n):
    """n bytes whose order shows when something was dropped or repeated."""
    return (b"".join(b"%015d\n" % i for i in range(n // 16 + 1)))[:n]


def pairs(fields):
    if fields is None:
        return []
    return list(fields.items()) if isinstance(fields, dict) else list(fields)


def as_bytes(text):
    return text if isinstance(text, bytes) else str(text).encode("latin-1")


class Reply(Step):
    """A whole well-formed response. framing: length, chunked or close; HEAD, 204 and 304 get no body."""

    def __init__(self, status=200, fields=None, body=b"", framing="length", trailers=None, interim=(), pieces=None):
        self.status, self.fields, self.body = status, pairs(fields), as_bytes(body)
        self.framing, self.trailers, self.interim, self.pieces = framing, pairs(trailers), interim, pieces

    async def run(self, conn, request):
        for status, fields in self.interim:
            await conn.send(head(status, fields, "Interim"))
        fields = list(self.fields)
        bodiless = request.method == "HEAD" or self.status in (204, 304)
        names = {as_bytes(name).lower() for name, _ in fields}
        if self.status not in (204, 304):
            if self.framing == "length" and b"content-length" not in names:
                fields.append(("Content-Length", len(self.body)))
            elif self.framing == "chunked":
                fields.append(("Transfer-Encoding", "chunked"))
            elif self.framing == "close":
                fields.append(("Connection", "close"))
        data = head(self.status, fields)
        if not bodiless:
            data += self._framed()
        await conn.send(data)
        if self.framing == "close" and not bodiless:
            raise _End(reset=False)

    def _framed(self):
        if self.framing != "chunked":
            return self.body
        size = self.pieces or max(1, len(self.body))
        parts = [chunk(self.body[i:i + size]) for i in range(0, len(self.body), size)]
        trailer = b"".join(as_bytes(n) + b": " + as_bytes(v) + b"\r\n" for n, v in self.trailers)
        return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"


class Request:
    """What arrived, byte for byte and parsed."""

    def __init__(self, raw_head, conn_no, seq_no):
        self.raw_head, self.conn_no, self.seq_no = raw_head, conn_no, seq_no
        self.at = time.monotonic()
        self.raw_body, self.body, self.body_bytes, self.trailers = b"", b"", 0, []
        self.body_hash, self.body_complete, self.client_left = None, False, False
        lines = raw_head[:-4].split(b"\r\n")
        self.line = lines[0].decode("latin-1")
        parts = self.line.split(" ")
        self.method, self.target, self.version = (parts + ["", "", ""])[:3]
        self.path = self.target.split("?", 1)[0]
        self.fields = []
        for line in lines[1:]:
            name, _, value = line.decode("latin-1").partition(":")
            self.fields.append((name, value.strip(" \t")))

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)

    def has(self, name):
        return bool(self.all(name))

    def __repr__(self):
        return f"<{self.line} on connection {self.conn_no} #{self.seq_no}>"


class _End(Exception):
    def __init__(self, reset):
        super().__init__()
        self.reset = reset


class _Fault(Exception):
    """The peer sent something that is not well formed."""


class _Connection:
    def __init__(self, origin, reader, writer, number):
        self.origin, self.reader, self.writer, self.number = origin, reader, writer, number

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self):
        """Returns when the peer closes; what it still sends is thrown away."""
        while await self.reader.read(1 << 16):
            pass

    async def serve(self):
        reset = False
        try:
            for seq_no in itertools.count():
                if not await self._one(seq_no):
                    break
        except _End as end:
            reset = end.reset
        except _Fault as fault:
            self.origin.note_fault(str(fault))
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            self._close(reset)

    def _close(self, reset):
        sock = self.writer.get_extra_info("socket")
        if reset and sock is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            self.writer.transport.abort()
        else:
            self.writer.close()

    async def _one(self, seq_no):
        raw_head = await self._read_head()
        if raw_head is None:
            return False
        check_head(raw_head)
        request = Request(raw_head, self.number, seq_no)
        script, read_body = self.origin.script_for(request)
        if read_body:
            await self.read_body(request)
        self.origin.note_request(request)
        steps = script(request) if callable(script) else script
        self.origin.enter(request)
        try:
            for step in steps:
                await step.run(self, request)
        except ConnectionError:
            request.client_left = True
            raise
        finally:
            self.origin.leave(request)
        return True

    async def _read_head(self):
        data = b""
        try:
            data = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as e:
            if e.partial:
                raise _Fault(f"cut head: {e.partial!r}") from None
            return None
        except asyncio.LimitOverrunError:
            raise _Fault("head over the origin's limit") from None
        return data

    async def read_body(self, request):
        coding = [v.strip().lower() for v in ",".join(request.all("Transfer-Encoding")).split(",") if v.strip()]
        if request.has("Expect"):
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if coding:
            await self._read_chunked(request)
        elif request.has("Content-Length"):
            await self._read_counted(request, int(request.get("Content-Length")))
        request.body_complete = True

    async def _read_counted(self, request, left):
        digest = hashlib.sha256()
        while left:
            data = await self.reader.read(min(left, 1 << 16))
            if not data:
                raise _Fault(f"cut body: {request!r}, {left} bytes short")
            left -= len(data)
            self._take(request, digest, data, data)
        request.body_hash = digest.hexdigest()

    async def _read_chunked(self, request):
        digest = hashlib.sha256()
        while True:
            line = await self.reader.readuntil(b"\r\n")
            size_text = line.split(b";")[0].strip()
            if not size_text or any(c not in b"0123456789abcdefABCDEF" for c in size_text):
                raise _Fault(f"chunk size {line!r}")
            size = int(size_text, 16)
            if size == 0:
                break
            data = await self.reader.readexactly(size)
            if await self.reader.readexactly(2) != b"\r\n":
                raise _Fault("no CRLF after a chunk")
            self._take(request, digest, line + data + b"\r\n", data)
        while True:
            line = await self.reader.readuntil(b"\r\n")
            if line == b"\r\n":
                break
            name, _, value = line[:-2].decode("latin-1").partition(":")
            request.trailers.append((name, value.strip(" \t")))
        request.body_hash = digest.hexdigest()

    def _take(self, request, digest, raw, data):
        digest.update(data)
        request.body_bytes += len(data)
        if request.body_bytes <= KEEP_BODY:
            request.raw_body += raw
            request.body += data


TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def check_head(raw):
    """Raises _Fault where a head is not well formed (RFC 9112): a proxy must never let such a one through."""
    body = raw[:-4]
    lines = body.split(b"\r\n")
    if any(c in body.replace(b"\r\n", b"") for c in (b"\r", b"\n", b"\0")):
        raise _Fault(f"bare CR, LF or NUL: {raw!r}")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not parts[0] or any(c not in TOKEN for c in parts[0]) or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise _Fault(f"request line {lines[0]!r}")
    seen = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or any(c not in TOKEN for c in name):
            raise _Fault(f"field line {line!r}")
        if any((c < 0x20 and c != 9) or c == 0x7f for c in value):
            raise _Fault(f"control character in {line!r}")
        seen.append((name.lower(), value.strip(b" \t")))
    lengths = [v for n, v in seen if n == b"content-length"]
    codings = [v for n, v in seen if n == b"transfer-encoding"]
    if len(lengths) > 1 or any(not v.isdigit() for v in lengths):
        raise _Fault(f"Content-Length {lengths!r}")
    if len(codings) > 1 or any(v.lower() != b"chunked" for v in codings) or (codings and lengths):
        raise _Fault(f"Transfer-Encoding {codings!r} with Content-Length {lengths!r}")
    if sum(n == b"host" for n, _ in seen) != 1:
        raise _Fault(f"not one Host: {raw!r}")


NOT_FOUND = [Reply(404, {"Content-Type": "text/plain", "Cache-Control": "no-store"}, b"no script for this path\n")]


class Origin:
    """Use as a context manager, or start() and stop()."""

    address = "127.0.0.1"

    def __init__(self, tls=None, port=0):
        self.loop = asyncio.new_event_loop()
        self._tls = tls
        self._changed = threading.Condition()
        self._scripts, self._turns = {}, {}
        self._active, self._peak = {}, {}
        self.requests, self.faults = [], []
        self.connections = 0  # accepted so far
        self.open_connections = 0
        self._names = itertools.count(1)
        self._thread = threading.Thread(target=self._run, name="origin", daemon=True)
        self._started = threading.Event()
        self.port = port
        self._server = None

    # ---- life ----

    def start(self):
        self._thread.start()
        if not self._started.wait(WAIT_S):
            raise RuntimeError("the origin did not start")
        return self

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)

    def stop_listening(self):
        """Connections are refused from now on; open ones are closed."""
        done = threading.Event()

        def close():
            self._server.close()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.call_soon(done.set)
        self.loop.call_soon_threadsafe(close)
        assert done.wait(WAIT_S)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda loop, context: None)
        server = self._server = self.loop.run_until_complete(asyncio.start_server(
            self._accept, self.address, self.port, limit=1 << 22, backlog=4096, ssl=self._tls))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self.loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def _accept(self, reader, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            self.connections += 1
            self.open_connections += 1
            number = self.connections
        try:
            await _Connection(self, reader, writer, number).serve()
        except asyncio.CancelledError:
            pass
        finally:
            with self._changed:
                self.open_connections -= 1
                self._changed.notify_all()

    # ---- scripts ----

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def gate(self):
        return Gate(self)

    def fresh(self, stem="p"):
        """A path that no other test uses."""
        return f"/{stem}-{next(self._names)}"

    def on(self, target, *scripts, read_body=True, method=None):
        """Scripts for a target: exactly it (query included), else its path. With `method`, only for that one."""
        prepared = [s if callable(s) or isinstance(s, (list, tuple)) else [s] for s in scripts]
        with self._changed:
            self._scripts[(method, target)] = (prepared, read_body)
            self._turns[(method, target)] = 0
        return target

    def script_for(self, request):
        with self._changed:
            for key in ((request.method, request.target), (None, request.target),
                        (request.method, request.path), (None, request.path), (None, "*")):
                if key in self._scripts:
                    scripts, read_body = self._scripts[key]
                    turn = min(self._turns[key], len(scripts) - 1)
                    self._turns[key] += 1
                    return scripts[turn], read_body
        return NOT_FOUND, True

    # ---- what happened ----

    def note_request(self, request):
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def note_fault(self, text):
        with self._changed:
            self.faults.append(text)
            self._changed.notify_all()

    def enter(self, request):
        with self._changed:
            n = self._active[request.path] = self._active.get(request.path, 0) + 1
            self._peak[request.path] = max(n, self._peak.get(request.path, 0))
            self._changed.notify_all()

    def leave(self, request):
        with self._changed:
            self._active[request.path] -= 1
            self._changed.notify_all()

    def seen(self, path):
        """Requests for a path (queries included) in order of arrival."""
        with self._changed:
            return [r for r in self.requests if path in (r.path, r.target)]

    def count(self, path):
        return len(self.seen(path))

    def last(self, path):
        return self.seen(path)[-1]

    def peak(self, path):
        """The most requests for a path that were being answered at one time."""
        with self._changed:
            return self._peak.get(path, 0)

    def active(self, path):
        with self._changed:
            return self._active.get(path, 0)

    def wait_until(self, claim, what, timeout=WAIT_S):
        """Until claim() holds; it is looked at whenever something happens here."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not claim():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"never happened at the origin: {what}; requests: {self.requests[-5:]}")
                self._changed.wait(min(left, 1))

    def wait_for(self, path, n=1, timeout=WAIT_S):
        """Until n requests for path have come; returns them."""
        self.wait_until(lambda: sum(path in (r.path, r.target) for r in self.requests) >= n,
                        f"{n} requests for {path}", timeout)
        return self.seen(path)

    def wait_idle(self, path, timeout=WAIT_S):
        self.wait_until(lambda: self._active.get(path, 0) == 0, f"{path} idle", timeout)

    def wait_active(self, path, n, timeout=WAIT_S):
        self.wait_until(lambda: self._active.get(path, 0) >= n, f"{n} at once in {path}", timeout)
