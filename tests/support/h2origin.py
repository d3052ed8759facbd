# SPDX-License-Identifier: MIT
"""A scripted HTTP/2 origin over plain TCP (http_version = 2 with an http URL), that writes frames as a test wants them.

    with H2Origin() as h2:
        h2.answers([head(200), data(b"half"), reset(NO_ERROR)], [head(200), data(b"whole", end=True)])

The first request gets the first script, and so on; the last repeats. Requests are counted, not read: their fields are packed.
A step is a function of the stream's number that gives bytes, an Event to wait for, or CLOSE.
"""
import socket
import struct
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, PADDED, ACK = 1, 4, 8, 1
NO_ERROR, INTERNAL_ERROR = 0, 2
CLOSE = object()
WAIT_S = 30


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name, value):
    return b"\x00" + b"".join(struct.pack("B", len(part)) + part for part in (name, value))


def head(status=200, fields=None, end=False):
    block = _literal(b":status", str(status).encode())
    block += b"".join(_literal(str(n).lower().encode(), str(v).encode()) for n, v in (fields or {}).items())
    return lambda stream: frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def trailers(fields):
    block = b"".join(_literal(n.encode(), v.encode()) for n, v in fields.items())
    return lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, block)


def data(body, end=False, padding=None):
    flags = END_STREAM if end else 0
    if padding is not None:
        body, flags = bytes([padding]) + body + bytes(padding), flags | PADDED
    return lambda stream: frame(DATA, flags, stream, body)


def reset(code):
    return lambda stream: frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(code):
    return lambda stream: frame(GOAWAY, 0, 0, struct.pack(">II", stream, code))


class H2Origin:
    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._scripts = []
        self._changed = threading.Condition()
        self._open = []
        self.requests = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def answers(self, *scripts):
        with self._changed:
            self._scripts = list(scripts)

    def wait_for(self, n):
        with self._changed:
            assert self._changed.wait_for(lambda: self.requests >= n, WAIT_S), f"{self.requests} requests, not {n}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for s in self._open:
            s.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            reader = sock.makefile("rb")
            reader.read(len(PREFACE))
            sock.sendall(frame(SETTINGS, 0, 0))
            while len(top := reader.read(9)) == 9:
                payload = reader.read(int.from_bytes(top[:3], "big"))
                self._on_frame(sock, top[3], top[4], int.from_bytes(top[5:], "big"), payload)
        except OSError:
            pass

    def _on_frame(self, sock, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            sock.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            sock.sendall(frame(PING, ACK, 0, payload))
        elif kind == HEADERS:
            with self._changed:
                script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
                self.requests += 1
                self._changed.notify_all()
            threading.Thread(target=self._run, args=(sock, stream, script), daemon=True).start()

    @staticmethod
    def _run(sock, stream, script):
        try:
            for step in script:
                if step is CLOSE:
                    sock.shutdown(socket.SHUT_RDWR)
                elif isinstance(step, threading.Event):
                    step.wait(WAIT_S)
                else:
                    sock.sendall(step(stream))
        except OSError:
            pass
