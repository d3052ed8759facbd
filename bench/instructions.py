#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How many instructions a hit takes in user space, counted by valgrind: the same figure each time, however busy the machine is.

    bench/instructions.py [PROGRAM...]      default: ./memoproxy

Each program serves the same small response to one connection, first N times and then, in another process, 2 N times; what the second one
took beyond the first is N hits'. Counted is what happens from a connection's event to the loop (READABLE): reading, the answer, writing. The
kernel's instructions are not in it, nor are the loop's own and what workers do by the clock.
"""
import http.client
import http.server
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
HITS = 2000
READABLE = "on_quick_readable"  # of proxy/front/gate.c
ROWS = {"plain": "/plain", "compressed route": "/coded"}


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"x" * 1024
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=86400")
        self.send_header("ETag", '"a"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_it_serves(port, child):
    while child.poll() is None:
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            c.request("GET", "/readyz")
            if c.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("memoproxy did not start")


def take(sock, n, request):
    """n responses, one after the other, as one client gets them."""
    want = None
    for _ in range(n):
        sock.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += sock.recv(65536)
        head, _, body = got.partition(b"\r\n\r\n")
        want = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1])
        while len(body) < want:
            body += sock.recv(65536)
        assert head.startswith(b"HTTP/1.1 200"), head


def instructions(program, origin, folder, path, hits):
    """Of the whole process, from its start to its end."""
    port, admin = free_port(), free_port()
    config = pathlib.Path(folder) / "proxy.ini"
    config.write_text(f"[proxy]\nlisten = 127.0.0.1:{port}\nworkers = 1\n[admin]\nlisten = 127.0.0.1:{admin}\n"
                      f"[upstream]\nurl = http://127.0.0.1:{origin}\n"
                      "[route coded]\nmatch = /coded\nttl = 1d\ncompress = gzip\n[route all]\nmatch = *\nttl = 1d\n")
    out = pathlib.Path(folder) / "callgrind"
    child = subprocess.Popen(["valgrind", "--tool=callgrind", f"--toggle-collect={READABLE}", f"--callgrind-out-file={out}", program, "-c", config],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_it_serves(admin, child)
        with socket.create_connection(("127.0.0.1", port)) as s:
            take(s, hits + 1, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        child.send_signal(signal.SIGTERM)
        child.wait(60)
    finally:
        child.kill()
    return int(next(line for line in out.read_text().split("\n") if line.startswith("totals:")).split()[1])


def main():
    programs = sys.argv[1:] or [str(ROOT / "memoproxy")]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        for program in programs:
            for name, path in ROWS.items():
                once, twice = (instructions(program, server.server_port, folder, path, n) for n in (HITS, 2 * HITS))
                print(f"{os.path.relpath(program)}: {name}: {(twice - once) / HITS:.0f} instructions a hit", flush=True)


main()
