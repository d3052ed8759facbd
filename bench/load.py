# SPDX-License-Identifier: MIT
"""The load: wrk for throughput, pace for latency at a rate, connections that only wait, herds."""
import os
import pathlib
import re
import select
import socket
import subprocess
import time

from servers import LOAD_CORE, cpu_seconds, find

HERE = pathlib.Path(__file__).resolve().parent


class Result:
    def __init__(self, requests, seconds, cpu_us, load_cpu):
        self.requests, self.seconds, self.cpu_us, self.load_cpu = requests, seconds, cpu_us, load_cpu
        self.rate = requests / seconds


def wrk(server, target, seconds, connections=64, fields=None, script=None, args=(), cores=LOAD_CORE, threads=1):
    """Requests for `seconds`; the CPU time that the server took for each. A failed request fails the run."""
    command = ["taskset", "-c", cores, find("wrk"), f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    for name, value in (fields or {}).items():
        command += ["-H", f"{name}: {value}"]
    if script:
        command += ["-s", str(HERE / script)]
    command.append(f"http://127.0.0.1:{server.port}{target}")
    if args:
        command += ["--", *map(str, args)]
    pids, load_before = server.pids, os.times()
    before = cpu_seconds(pids)
    done = subprocess.run(command, capture_output=True, text=True)
    used = cpu_seconds(pids) - before
    load_after = os.times()
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s|m)", done.stdout)
    if not found or "Non-2xx" in done.stdout or int(found.group(1)) == 0:
        raise RuntimeError(f"{server.name} {target}: {done.stdout} {done.stderr}")
    elapsed = float(found.group(2)) * {"s": 1, "ms": 0.001, "m": 60}[found.group(3)]
    load = load_after.children_user + load_after.children_system - load_before.children_user - load_before.children_system
    return Result(int(found.group(1)), elapsed, used / int(found.group(1)) * 1e6, load / elapsed)


class Latency:
    def __init__(self, text):
        answers, failures, *figures = text.split()
        self.answers, self.failures = int(answers), int(failures)
        self.p50, self.p99, self.p999, self.worst = map(float, figures)


def on_load_core(program, server, *args):
    """Starts one of our own programs; finish() gives its output."""
    command = ["taskset", "-c", LOAD_CORE, program, str(server.port), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(child):
    out, err = child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"{child.args}: {err}")
    return out


def pace(program, server, target, rate, seconds, *how, connections=64):
    return Latency(finish(on_load_core(program, server, target, rate, seconds, connections, *how)))


class Asked:
    def __init__(self, text):
        seconds, *counts = text.split()
        self.seconds = float(seconds)
        self.answers, self.hits, self.disk_hits = map(int, counts)


def ask(program, server, prefix, first, n, connections=32):
    """Each of n keys once."""
    return Asked(finish(on_load_core(program, server, prefix, first, n, connections)))


class Herd:
    def __init__(self, text):
        self.sent_s, self.first_s, self.last_s, self.cpu_s = map(float, text.split())


def herd(program, server, target, n):
    """n clients that are connected ask for the target at once."""
    return Herd(finish(on_load_core(program, server, target, n)))


class Idle:
    """n connections that have each had one response and wait."""

    def __init__(self, server, n, target):
        self.server, self.n, self.target, self.sockets = server, n, target, []

    def __enter__(self):
        request = f"GET {self.target} HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n\r\n".encode()
        for _ in range(self.n):
            s = socket.create_connection(("127.0.0.1", self.server.port), 10)
            self.sockets.append(s)
            s.sendall(request)
            self._drain(s)
        time.sleep(0.3)
        return self

    @staticmethod
    def _drain(s):
        data = b""
        while b"\r\n\r\n" not in data:
            got = s.recv(65536)
            if not got:
                raise RuntimeError("an idle connection was closed")
            data += got
        head, _, rest = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"an idle connection got {head[:40]}")
        left = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1)) - len(rest)
        while left > 0:
            left -= len(s.recv(65536))

    def closed(self):
        """How many the server has closed meanwhile."""
        poll = select.epoll()
        for s in self.sockets:
            poll.register(s.fileno(), select.EPOLLIN)
        n = len(poll.poll(0, len(self.sockets)))
        poll.close()
        return n

    def __exit__(self, *exc):
        for s in self.sockets:
            s.close()


