# SPDX-License-Identifier: MIT
"""HTTP/1.1 for the model: a client that reads strictly and an origin's connection loop, both on asyncio."""
import asyncio
import socket
import struct

HEAD_MAX = 1 << 17


class Broken(Exception):
    """The peer ended or broke the framing."""


class Message:
    def __init__(self, start, fields):
        self.start, self.fields = start, fields
        self.body = b""

    def get(self, name, default=None):
        name = name.lower()
        return next((v for n, v in self.fields if n == name), default)


class Answer(Message):
    complete = False
    problem = None  # why it is not complete
    head_at = None  # when the head was here

    @property
    def status(self):
        return int(self.start.split(" ")[1])


def parse_head(data, kind=Message):
    lines = data[:-4].decode("latin-1").split("\r\n")
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Broken(f"a bad field line {line!r}")
        fields.append((name.lower(), value.strip()))
    return kind(lines[0], fields)


async def read_head(reader, kind=Message):
    return parse_head(await reader.readuntil(b"\r\n\r\n"), kind)


async def _read_length(reader, answer, length):
    parts = []
    try:
        while length:
            data = await reader.read(min(length, 65536))
            if not data:
                raise Broken(f"{length} bytes are missing")
            parts.append(data)
            length -= len(data)
    finally:
        answer.body += b"".join(parts)


async def _read_chunked(reader, answer):
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0].strip(), 16)
        await _read_length(reader, answer, size)
        if await reader.readexactly(2) != b"\r\n":
            raise Broken("a chunk does not end with CRLF")
        if size == 0:
            return


async def read_body(reader, answer, is_head):
    """Without one: HEAD, 204, 304."""
    if is_head or answer.status in (204, 304):
        return
    if answer.get("transfer-encoding"):
        await _read_chunked(reader, answer)
    elif answer.get("content-length") is not None:
        await _read_length(reader, answer, int(answer.get("content-length")))
    else:
        answer.body += await reader.read(-1)


def request_bytes(method, target, fields, body=b"", host="model.example"):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{n}: {v}" for n, v in fields)]
    if body or method in ("PUT", "POST"):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class Connection:
    """A client's, kept until one side ends it."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    @property
    def is_open(self):
        return self.writer is not None and not self.reader.at_eof()

    async def open(self):
        if not self.is_open:
            self.close()
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=HEAD_MAX)

    def close(self):
        if self.writer:
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def answer(self, clock, is_head=False, on_head=None):
        """Never raises for what the peer does: `problem` says it. on_head(answer): true to leave at that point."""
        answer = Answer("HTTP/1.1 000", [])
        try:
            answer = await read_head(self.reader, Answer)
            while answer.status < 200:
                answer = await read_head(self.reader, Answer)
            answer.head_at = clock()
            if on_head and on_head(answer):
                answer.problem = "we left"
                self.close()
                return answer
            await read_body(self.reader, answer, is_head)
            answer.complete = True
            if (answer.get("connection") or "").lower() == "close":
                self.close()
        except (Broken, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError) as e:
            answer.problem = f"{type(e).__name__}: {e}"
            self.close()
        return answer


class Listener:
    """The origin's socket, which can be away for a while: the port stays ours meanwhile."""

    def __init__(self, on_request):
        self.on_request = on_request  # async (request, connection) -> keep the connection?
        self.placeholder = self._socket(0)
        self.port = self.placeholder.getsockname()[1]
        self.server = None
        self.writers = set()

    @staticmethod
    def _socket(port):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("127.0.0.1", port))
        return s

    async def listen(self):
        self.server = await asyncio.start_server(self._serve, sock=self._socket(self.port), limit=HEAD_MAX, backlog=1000)

    def refuse(self):
        if self.server:
            self.server.close()
            self.server = None

    def close(self):
        self.refuse()
        for writer in list(self.writers):
            writer.transport.abort()
        self.placeholder.close()

    async def _serve(self, reader, writer):
        self.writers.add(writer)
        try:
            keep = True
            while keep:
                request = await read_head(reader)
                length = int(request.get("content-length", "0"))
                request.body = await reader.readexactly(length)
                keep = await self.on_request(request, reader, writer)
        except (Broken, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


def reset(writer):
    """Ends a connection with RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
