# SPDX-License-Identifier: MIT
"""The rows of the benchmark. run.py FOLDER FILES: works there, with the disk tier in FILES, and writes results.md beside itself."""
import contextlib
import os
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import disk  # noqa: E402
import load  # noqa: E402
from report import Report, profiled  # noqa: E402
from servers import PROXIES, Bare, Memoproxy, Nginx, Origin, Slow, memory_bytes  # noqa: E402

QUICK = os.environ.get("BENCH_QUICK") == "1"
SECONDS = 1 if QUICK else 2
ROUNDS = 2 if QUICK else 5
KEYS = 50_000 if QUICK else 1_000_000
IDLE = 9_900
ORIGIN_DELAY_S = 0.5
WORK, FILES = sys.argv[1:3]


def median(results, what="cpu_us"):
    return statistics.median(getattr(r, what) for r in results)


def start(stack, names, origin, **settings):
    return [stack.enter_context(PROXIES[name](WORK, origin.url, **settings)) for name in names]


def bare(stack, body_bytes):
    return stack.enter_context(Bare(WORK, None, program=f"{WORK}/bare", body_bytes=body_bytes))


def warm(servers, *targets):
    for server in servers:
        for target in targets:
            for _ in range(3):
                if server.get(target).status != 200:
                    raise RuntimeError(f"{server.name} {target}")


def rounds(servers, target, n=None, **kwargs):
    """{name: [Result]}, one server after the other, again and again, so that all meet the same disturbances."""
    found = {server.name: [] for server in servers}
    for _ in range(n or ROUNDS):
        for server in servers:
            found[server.name].append(load.wrk(server, target, SECONDS, **kwargs))
    return found


def rows_of(found, extra=lambda name: []):
    mine = median(found["memoproxy"])
    return [[name, median(r), mine / median(r), max(x.rate for x in r), *extra(name)] for name, r in found.items()]


COLUMNS = ["", "CPU us a request", "memoproxy is x of it", "best requests/s"]


# What brought less than it cost, for those who want to go on.
TRIED = {
    "hit": "Left out: link-time optimisation (9 % fewer instructions of memoproxy's own, but every test program links for as "
           "long as the server), -O3 (4 %).",
    "miss": "Of 100,000 instructions 45,000 are libcurl's: it formats each field with a printf of its own, byte by byte (14 %), "
            "makes a connection's state anew for each request that reuses one, and reads the clock 29 times. memoproxy's own are "
            "17,000, libevent's 9,500. Left out: several fields in one line of libcurl's list (5 %).",
    "disk": "Of 20,000 instructions half make the object that goes into memory and give back what it pushes out, a sixth reads "
            "and verifies the record.",
}


def explain(report, server, run, title, tried):
    report.profile(title, profiled(server, run, WORK))
    report.text(f"\n{TRIED[tried]}\n")


# ---- 1: small hits ----

def small_hits(report, origin):
    for log in (False, True):
        report.heading(f"1. Hits of 1 KiB, 64 connections, access log {'on' if log else 'off'}")
        with contextlib.ExitStack() as stack:
            servers = start(stack, PROXIES, origin, log=log)
            warm(servers, "/1k")
            if not log:
                servers.insert(0, bare(stack, 1024))
            found = rounds(servers, "/1k")
            report.table(COLUMNS, rows_of(found))
            if log:
                continue
            mine = median(found["memoproxy"])
            met = [report.aim("x the bare loop", mine / median(found["bare"]), at_most=1.15),
                   report.aim("x nginx", mine / median(found["nginx"]), at_most=0.65),
                   report.aim("x Varnish", mine / median(found["varnish"]), at_most=0.35)]
            if not all(met):
                me = next(s for s in servers if s.name == "memoproxy")
                explain(report, me, lambda: load.wrk(me, "/1k", 2), "memoproxy, hits of 1 KiB", "hit")


# ---- 2: large hits, 304, idle connections ----

def other_hits(report, origin):
    with contextlib.ExitStack() as stack:
        servers = start(stack, PROXIES, origin)
        warm(servers, "/1k", "/100k", "/1m")
        for target, size in (("/100k", 100 * 1024), ("/1m", 1024 * 1024)):
            report.heading(f"2. Hits of {target[1:].upper()}iB, 16 connections")
            with contextlib.ExitStack() as inner:
                found = rounds([bare(inner, size), *servers], target, n=max(2, ROUNDS // 2), connections=16)
            report.table(COLUMNS, rows_of(found))
        report.heading("2. 304 to If-None-Match, 64 connections")
        etag = servers[0].get("/1k").getheader("ETag")
        # HAProxy's 304 has a Content-Length, and wrk waits for the content that never comes.
        servers = [server for server in servers if server.name != "haproxy"]
        for server in servers:
            if server.get("/1k", {"If-None-Match": etag}).status != 304:
                raise RuntimeError(f"{server.name} does not answer 304")
        report.table(COLUMNS, rows_of(rounds(servers, "/1k", n=max(2, ROUNDS // 2), fields={"If-None-Match": etag})))
    report.heading(f"2. Hits of 1 KiB on 100 connections beside {IDLE:,} idle ones")
    found, memory, closed = {}, {}, {}
    for name in PROXIES:
        with contextlib.ExitStack() as stack:
            server, = start(stack, [name], origin)
            warm([server], "/1k")
            load.wrk(server, "/1k", 1, connections=100)
            before = memory_bytes(server.pids)
            with load.Idle(server, IDLE, "/1k") as idle:
                memory[name] = (memory_bytes(server.pids) - before) / IDLE
                found[name] = [load.wrk(server, "/1k", SECONDS, connections=100) for _ in range(max(1, ROUNDS // 3))]
                closed[name] = idle.closed()
    report.table([*COLUMNS, "bytes an idle connection", "closed meanwhile"],
                 rows_of(found, lambda name: [memory[name], str(closed[name])]))


# ---- 3: many keys ----

def many_keys(report, origin):
    report.heading(f"3. {KEYS:,} keys of 1 KiB, Zipf(0.9), 64 connections")
    rows, mine = [], None
    for name in ("memoproxy", "varnish"):
        with contextlib.ExitStack() as stack:
            server, = start(stack, [name], origin, memory="4G")
            warm([server], "/1k")
            before = memory_bytes(server.pids)
            load.ask(f"{WORK}/ask", server, "/k/", 1, KEYS)
            again = load.ask(f"{WORK}/ask", server, "/k/", 1, KEYS // 50)
            if name == "memoproxy" and again.hits != again.answers:
                raise RuntimeError(f"only {again.hits} of {again.answers} keys were stored")
            over = (memory_bytes(server.pids) - before) / KEYS - 1024
            answer = server.get("/k/1")
            head = sum(len(n) + len(v) + 4 for n, v in answer.getheaders()) + len("HTTP/1.1 200 OK\r\n\r\n")
            found = [load.wrk(server, "/k/1", SECONDS, script="zipf.lua", args=[KEYS, 0.9]) for _ in range(max(2, ROUNDS // 2))]
            rows.append([name, median(found), max(r.rate for r in found), over, over - head])
            mine = over - head if name == "memoproxy" else mine
    report.table(["", "CPU us a request", "best requests/s", "bytes an object over its body", "over head and body"], rows)
    report.text("The head is counted as the client gets it, a little longer than it is stored.")
    report.aim("bytes an object over its head and body of 1 KiB", mine, at_most=250)


# ---- 4: misses ----

def misses(report, origin):
    report.heading("4. Misses (not to be stored), 64 connections, keep-alive on both sides")
    with contextlib.ExitStack() as stack:
        servers = start(stack, PROXIES, origin)
        warm(servers, "/miss")
        found = rounds(servers, "/miss", n=max(2, ROUNDS // 2))
        report.table(COLUMNS, rows_of(found))
        if not report.aim("x nginx", median(found["memoproxy"]) / median(found["nginx"]), at_most=1.25):
            explain(report, servers[0], lambda: load.wrk(servers[0], "/miss", 2), "memoproxy, misses", "miss")


# ---- 5: herds ----

def herd_rows(slow, name):
    """[(what, seconds until the last response at most, [title, seconds, ...])]"""
    cases = [("100 on a cold key", "/cold-100", 100, 2), ("2,000 on a cold key", "/cold-2000", 2000, 2),
             ("200 on an uncacheable key", "/private", 200, 2.2), ("200 on it again", "/private", 200, 1.2)]
    found = {title: [] for title, *_ in cases}
    with contextlib.ExitStack() as stack:
        server, = start(stack, [name], slow)
        for i in range(1 if QUICK else 3):
            for title, path, n, _ in cases:
                herd = load.herd(f"{WORK}/herd", server, f"{path}-{i}", n)
                herd.asked = slow.asked()
                found[title].append(herd)
    return [(title, at_most, [f"{title}: {name}", *(median(found[title], what) for what in
                                                     ("first_s", "last_s", "asked", "sent_s", "cpu_s"))])
            for title, _, _, at_most in cases]


def herds(report, _):
    report.heading(f"5. Herds; the origin takes {ORIGIN_DELAY_S} s")
    rows, mine = [], []
    with Slow(WORK, ORIGIN_DELAY_S) as slow:
        for name in ("memoproxy", "nginx", "varnish"):
            of_it = herd_rows(slow, name)
            rows += [row for *_, row in of_it]
            mine = mine or of_it
    report.table(["", "seconds until the first answer", "until the last", "requests at the origin",
                  "the load: seconds to send", "CPU seconds"], rows)
    report.text("That a key is not for sharing is known when its first answer's head comes, so those who wait for a key that "
                "is asked for the first time need twice the origin's time at least; later ones need not wait.")
    for title, at_most, row in mine:
        report.aim(f"{title}, x the origin's delay", row[2] / ORIGIN_DELAY_S, at_most=at_most)


# ---- 6: two workers ----

def two_workers(report, origin):
    report.heading("6. Two workers against one, hits of 1 KiB, 64 connections, both and the load on two cores")
    with contextlib.ExitStack() as stack:
        both = {"cores": "0,1"}
        servers = {}
        for n in (1, 2):
            servers["memoproxy", n] = stack.enter_context(Memoproxy(WORK, origin.url, workers=n, **both))
            servers["bare", n] = stack.enter_context(Bare(WORK, None, program=f"{WORK}/bare", body_bytes=1024, workers=n, **both))
        warm([servers["memoproxy", n] for n in (1, 2)], "/1k")
        found = {key: [] for key in servers}
        for _ in range(ROUNDS):
            for key, server in servers.items():
                found[key].append(load.wrk(server, "/1k", SECONDS, cores="0,1", threads=2))
    report.table(["", "CPU us a request", "best requests/s", "cores that the load took"],
                 [[f"{name}, {n} worker{'s' * (n - 1)}", median(r), max(x.rate for x in r), median(r, "load_cpu")]
                  for (name, n), r in sorted(found.items())])
    report.text("The load shares the two cores, so the gain is stated as requests a second of the server's own CPU, times "
                "the workers.")
    report.text(f"Two bare loops, which share nothing, reach {2 * median(found['bare', 1]) / median(found['bare', 2]):.2f} x one.")
    report.aim("x one worker", 2 * median(found["memoproxy", 1]) / median(found["memoproxy", 2]), at_least=1.8)


# ---- 7: the disk tier ----

class Bench:
    """What disk.py takes from here."""
    quick, seconds, n_rounds, keys, work, files, COLUMNS = QUICK, SECONDS, ROUNDS, KEYS, WORK, FILES, COLUMNS
    median, rounds, rows_of, explain, warm = map(staticmethod, (median, rounds, rows_of, explain, warm))

    @staticmethod
    def program(name):
        return f"{WORK}/{name}"

    @staticmethod
    def ask(server, prefix, first, n):
        return load.ask(f"{WORK}/ask", server, prefix, first, n)

    @staticmethod
    def pace_gently(server, target, rate):
        return load.pace(f"{WORK}/pace", server, target, rate, SECONDS, "sleep")


def disk_tier(report, origin):
    disk.disk(Bench, report, origin)


# ---- 8: latency ----

def latency(report, origin):
    report.heading("8. Latency of 1 KiB hits at half of each one's maximum, 64 connections, microseconds")
    rows = []
    with contextlib.ExitStack() as stack:
        servers = start(stack, PROXIES, origin)
        warm(servers, "/1k")
        for server in servers:
            rate = int(max(load.wrk(server, "/1k", SECONDS).rate for _ in range(2)) / 2)
            runs = [load.pace(f"{WORK}/pace", server, "/1k", rate, SECONDS) for _ in range(max(2, ROUNDS // 2))]
            rows.append([server.name, rate, median(runs, "p50"), median(runs, "p99"), median(runs, "p999"),
                         str(sum(r.failures for r in runs))])
    report.table(["", "requests/s", "p50", "p99", "p99.9", "failed"], rows)


ROWS = {"1": small_hits, "2": other_hits, "3": many_keys, "4": misses, "5": herds, "6": two_workers, "7": disk_tier,
        "8": latency}


def main():
    report = Report(QUICK)
    chosen = os.environ.get("BENCH_ROWS", "").split() or list(ROWS)
    with Origin(WORK) as origin:
        for name in chosen:
            try:
                ROWS[name](report, origin)
            except (RuntimeError, OSError, AssertionError) as e:  # the other rows are still worth having
                report.failed(f"row {name} could not be measured: {e}")
    # Part of the rows is no result to publish.
    path = HERE / "results.md" if chosen == list(ROWS) and not QUICK else pathlib.Path(WORK).parent / "memoproxy-bench.md"
    report.write(path)
    print(f"\nwritten to {path}; aims missed: {len(report.missed)}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
