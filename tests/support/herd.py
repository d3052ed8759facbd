# SPDX-License-Identifier: MIT
"""Many clients at once from one thread: the same request on N connections, with the time of each first byte."""
import errno
import select
import socket
import time

from . import rawclient


class Member:
    def __init__(self, sock, request):
        self.sock, self.unsent = sock, request
        self.data = bytearray()
        self.connected_at = self.sent_at = self.first_byte_at = self.done_at = None
        self.status = self.body = self.error = None
        self.fields = []
        self._need = None  # bytes of the whole response, once known; -1: chunked

    @property
    def done(self):
        return self.done_at is not None

    def finish(self, error=None):
        self.error, self.done_at = error, time.monotonic()
        self.sock.close()

    def feed(self, data):
        if self.first_byte_at is None:
            self.first_byte_at = time.monotonic()
        self.data += data
        if self._need is None:
            self._find_head()
        if self._need == -1:
            self._end_chunked()
        elif self._need is not None and len(self.data) >= self._need:
            self._end(bytes(self.data[self._head:self._need]))

    def _find_head(self):
        at = self.data.find(b"\r\n\r\n")
        if at < 0:
            return
        lines = bytes(self.data[:at]).decode("latin-1").split("\r\n")
        self.status, self._head = int(lines[0].split(" ")[1]), at + 4
        self.fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        length = next((v for n, v in self.fields if n.lower() == "content-length"), None)
        chunked = any(n.lower() == "transfer-encoding" for n, _ in self.fields)
        self._need = -1 if chunked else self._head + int(length or 0)
        self._scan, self._parts = self._head, []

    def _end_chunked(self):
        while True:
            line_end = self.data.find(b"\r\n", self._scan)
            if line_end < 0:
                return
            size = int(bytes(self.data[self._scan:line_end]).split(b";")[0], 16)
            end = line_end + 2 + size + 2
            if len(self.data) < end:
                return
            if size == 0:
                return self._end(b"".join(self._parts))
            self._parts.append(bytes(self.data[line_end + 2:line_end + 2 + size]))
            self._scan = end

    def _end(self, body):
        self.body = body
        self.finish()

    @property
    def cache_status(self):
        return rawclient.cache_status(", ".join(v for n, v in self.fields if n.lower() == "cache-status"))


class Herd:
    """connect() opens all, send() writes the request on all, run() reads until every one is done."""

    def __init__(self, port, n, request):
        self.port, self.n, self.request = port, n, request
        self.poll = select.epoll()
        self.members = {}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for member in self.members.values():
            member.sock.close()
        self.poll.close()

    def connect(self, timeout=30):
        for _ in range(self.n):
            sock = socket.socket()
            sock.setblocking(False)
            result = sock.connect_ex(("127.0.0.1", self.port))
            assert result in (0, errno.EINPROGRESS), errno.errorcode.get(result, result)
            self.members[sock.fileno()] = Member(sock, self.request)
            self.poll.register(sock.fileno(), select.EPOLLOUT)
        self._turn(lambda: all(m.connected_at for m in self.members.values()), timeout, self._on_connected)
        return self

    def _on_connected(self, member, fd, events):
        if events & (select.EPOLLERR | select.EPOLLHUP):
            raise AssertionError(f"connect: {member.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)}")
        member.connected_at = time.monotonic()
        self.poll.modify(fd, select.EPOLLIN)

    def send(self):
        for member in self.members.values():
            sent = member.sock.send(member.unsent)
            assert sent == len(member.unsent), "a request did not fit the socket's buffer"
            member.sent_at = time.monotonic()
        return self

    def run(self, timeout=60):
        """Until every member has its whole response (or its connection ended: member.error says so)."""
        self._turn(lambda: self._left == 0, timeout, self._on_readable)
        return self

    def run_until(self, claim, timeout=60):
        """Reads until claim(members) holds."""
        self._turn(lambda: claim(self.members.values()), timeout, self._on_readable)
        return self

    @property
    def _left(self):
        return sum(not m.done for m in self.members.values())

    def _on_readable(self, member, fd, events):
        try:
            data = member.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionError as e:
            data, member.error = b"", str(e)
        if data:
            member.feed(data)
        else:
            member.finish(error=member.error or "closed early")

    def _turn(self, finished, timeout, handle):
        deadline = time.monotonic() + timeout
        while not finished():
            events = self.poll.poll(0.5, 1024)
            for fd, what in events:
                member = self.members.get(fd)
                if member and not member.done:
                    handle(member, fd, what)
            if not events and time.monotonic() > deadline:
                raise AssertionError(f"{self._left} of {self.n} clients are still waiting")

    # ---- what came of it ----

    def check(self, status, body):
        for member in self.members.values():
            assert member.error is None, member.error
            assert member.status == status, (member.status, member.body)
            assert member.body == body, f"{len(member.body)} bytes, not {len(body)} as expected"

    def first_byte_spread(self, since):
        """Seconds from `since` to the first and to the last first byte."""
        times = sorted(m.first_byte_at - since for m in self.members.values())
        return times[0], times[-1]


def herd_fetch(port, n, target, fields=None, method="GET", timeout=60):
    """n clients ask at once and read to the end."""
    with Herd(port, n, rawclient.build(method, target, fields)) as herd:
        herd.connect().send().run(timeout)
        return herd
