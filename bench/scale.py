# SPDX-License-Identifier: MIT
"""make scale: what costs more as more is stored, configured, purged, kept of a user or waited for.

Each row is measured at several sizes. A cost is fitted as size^exponent (least squares on logarithms): about 0 is the same at any size,
1 grows in step. `last` is the exponent between the two largest sizes, where a beginning growth shows first. The worst latency is that of
hits meanwhile, beside a control: the same probe at the same moments of a bare loop on the same processor, so that what the machine does
to both is not taken for the server's. Figures are printed, nothing passes or fails by them.

SCALE_QUICK=1: smaller sizes, about a minute. SCALE_ROWS="objects routes": only those. SCALE_SIZES="1000 5000": in place of a row's own.
SCALE_SECONDS (570; 60 when quick): a size that would not end by then is left out, and the table says so.
"""
import contextlib
import email.utils
import math
import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import load  # noqa: E402
from report import machine, number  # noqa: E402
from servers import DAY, LOAD_CORE, Bare, Memoproxy, Slow, memory_bytes  # noqa: E402

QUICK = os.environ.get("SCALE_QUICK") == "1"
ENDS = time.monotonic() + float(os.environ.get("SCALE_SECONDS") or (60 if QUICK else 570))
FILL = os.environ.get("SCALE_FILL", "")
WORK, FILES = sys.argv[1:3] if len(sys.argv) > 2 else ("", "")
BODY_BYTES = 100
PROBES_A_SECOND = 500
PROBED = 100  # keys that the probe asks for
MANY = 20_000 if QUICK else 200_000  # requests to take a mean of
DELAY_S = 0.1
KEPT = 2 * PROBED + MANY // 10  # entries that no purge here is about, at most
READ_MAX = 5_000_000  # that are brought into memory
MS = 1000
NO_COSTS = ("kept_percent", "rules", "fetches", "file_bytes_each", "freed_a_second")  # shown, not fitted


# ---- The fit ----

def exponent(points):
    """Of y = c x^e through [(x, y)], by least squares on logarithms; None without two sizes."""
    logs = [(math.log(x), math.log(y)) for x, y in points if x > 0 and y and y > 0]
    if len({x for x, _ in logs}) < 2:
        return None
    mean_x, mean_y = (sum(v) / len(logs) for v in zip(*logs))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def check_fit():
    """Made data, whose exponents are known."""
    sizes = (10, 1000, 10 ** 6)
    for e in (0, 0.5, 1, 2):
        if abs(exponent([(n, 3 * n ** e) for n in sizes]) - e) > 1e-9:
            raise AssertionError(f"the fit finds {exponent([(n, 3 * n ** e) for n in sizes])} in n^{e}")
    # A part that grows in step below a constant one shows between the last two sizes before it does in the whole.
    points = [(n, 100 + n / 1000) for n in sizes]
    if not exponent(points) < 0.3 < exponent(points[1:]) or exponent(points[:1]) is not None:
        raise AssertionError("the fit of a beginning growth")


# ---- Measuring ----

def run_ns(pids):
    """Time on a processor of all threads, finer than the ticks of /proc/PID/stat."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total


class Cost:
    """with Cost(server) as c: ...; c.us(n): microseconds of the server's processor time for each of n."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.pids, self.began = self.server.pids, time.monotonic()
        self.before = run_ns(self.pids)
        return self

    def __exit__(self, *exc):
        self.ns, self.seconds = run_ns(self.pids) - self.before, time.monotonic() - self.began

    def us(self, n):
        return self.ns / 1000 / max(1, n)


class Swept:
    def __init__(self, text, cost):
        seconds, *counts = text.split()
        self.seconds = float(seconds)
        self.answers, self.hits, self.disk_hits = map(int, counts)
        self.us = cost.us(self.answers)


def sweep(server, prefix, n, count=None, first=0, field=(), port=None, method="GET", connections=8, depth=32):
    """`count` of n targets, at once and in an order of no meaning; the server's processor time for each."""
    with Cost(server) as cost:
        text = load.finish(load.on_load_core(f"{WORK}/sweep", At(port or server.port), method, prefix, first, n, count or n,
                                             connections, depth, *field))
    return Swept(text, cost)


class At:
    def __init__(self, port):
        self.port = port


class Watch:
    """The probe beside its control, as long as the block lasts; `worst` and `control` in milliseconds."""

    def __init__(self, server, control, prefix="/live/", n=PROBED, field=()):
        self.server, self.control_port, self.rest = server, control.port, [prefix, n, PROBES_A_SECOND, 600, *field]

    def __enter__(self):
        self.child = load.on_load_core(f"{WORK}/twin", self.server, self.control_port, *self.rest)
        time.sleep(0.05)
        return self

    def __exit__(self, kind, *exc):
        time.sleep(0.3)  # for some probes even of what takes no time
        self.child.send_signal(signal.SIGTERM)
        if kind:
            self.child.communicate()
            return
        lines = [line.split() for line in load.finish(self.child).splitlines()]
        self.failures = int(lines[0][1])
        (self.p99, self.worst), (_, self.control) = ([float(v) / MS for v in line[3:]] for line in lines)


def warm(server, field=()):
    for _ in range(2):
        sweep(server, "/live/", PROBED, field=field, connections=1, depth=1)


def timed_ms(run):
    began = time.monotonic()
    run()
    return (time.monotonic() - began) * MS


def until(is_true, seconds):
    """Seconds until it is, None if it is not in so many."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if is_true():
            return time.monotonic() - began
        time.sleep(0.02)
    return None


# ---- Tables ----

class Table:
    """Rows by size. `worst_x` stands with `control_x` and is not fitted."""

    def __init__(self, title, of):
        self.title, self.of, self.rows, self.left_out, self.lasted = title, of, [], [], []

    def sizes(self, of_row):
        """Those that there is time for; what a size takes is judged by the one before."""
        for n in map(int, os.environ.get("SCALE_SIZES", "").split() or of_row):
            if time.monotonic() + self.expected_s(n) > ENDS:
                self.left_out.append(n)
                continue
            began = time.monotonic()
            yield n
            self.lasted.append((n, time.monotonic() - began))

    def expected_s(self, n):
        """By the last two sizes: what a size takes at all, and what each of it does."""
        if len(self.lasted) < 2:
            return self.lasted[-1][1] if self.lasted else 0
        (m1, s1), (m2, s2) = self.lasted[-2:]
        return s2 + max(0, s2 - s1) / (m2 - m1) * (n - m2)

    def add(self, size, **values):
        self.rows.append((size, values))
        print(f"   {self.of} {size:,}: " + ", ".join(f"{k.replace('_', ' ')} {number(v)}" for k, v in values.items()), flush=True)

    def names(self):
        return list(dict.fromkeys(name for _, values in self.rows for name in values))

    def worst(self, name):
        """At the size where it is farthest above its control: worst, control."""
        return max(((values[name], values[f"control{name[5:]}"]) for _, values in self.rows), key=lambda both: both[0] - both[1])

    def summary(self):
        """[what, at the smallest, at the largest, exponent, last]"""
        for name in self.names():
            if name.startswith("control") or name in NO_COSTS:
                continue
            what = name.replace("_", " ")
            if name.startswith("worst"):
                yield [what, "", "{} (control {})".format(*map(number, self.worst(name))), "", ""]
                continue
            points = [(size, values[name]) for size, values in self.rows if values.get(name) is not None]
            if points:
                yield [what, points[0][1], points[-1][1], fitted(exponent(points)), fitted(exponent(points[-2:]))]

    def lines(self):
        yield f"\n## {self.title}\n"
        if not self.rows:
            yield "Not measured: no time was left." if self.left_out else "Not measured."
            return
        names = self.names()
        yield from markdown([self.of, *(n.replace("_", " ") for n in names)],
                            [[f"{size:,}", *(values.get(n) for n in names)] for size, values in self.rows])
        if self.left_out:
            yield "\nLeft out for want of time: " + ", ".join(f"{n:,}" for n in self.left_out) + "."
        yield ""
        yield from markdown(["what", "at the smallest", "at the largest", "exponent", "last"], self.summary())


def markdown(columns, rows):
    yield "| " + " | ".join(columns) + " |"
    yield "| --- |" + " ---: |" * (len(columns) - 1)
    for row in rows:
        yield "| " + " | ".join(number(cell) for cell in row) + " |"


def fitted(e):
    return "" if e is None else f"{e:.2f}"


# ---- The rows ----

class Scale:
    def __init__(self, stack):
        self.stack, self.tables = stack, []
        self.origin = stack.enter_context(Bare(WORK, None, cores=LOAD_CORE, program=f"{WORK}/bare", body_bytes=BODY_BYTES,
                                            more=[f"Expires: {email.utils.formatdate(time.time() + DAY, usegmt=True)}"]))
        self.origin.url = f"http://127.0.0.1:{self.origin.port}"
        self.control = stack.enter_context(Bare(WORK, None, program=f"{WORK}/bare", body_bytes=BODY_BYTES))

    def table(self, title, of):
        print(f"\n== {title}", flush=True)
        self.tables.append(Table(title, of))
        return self.tables[-1]

    def memoproxy(self, more="", upstream=None, **settings):
        return Memoproxy(WORK, upstream or self.origin.url, more=more, **settings)

    def watch(self, server, **what):
        return Watch(server, self.control, **what)


class Freed:
    """A purge, and what goes after it, for so long: the sweeper works through all that is stored, in turns."""

    def __init__(self, server, purge, seconds=15):
        first = server.stats()["cache"]["entries"]
        with Cost(server) as cost:
            self.purge_ms = timed_ms(lambda: server.ask_admin(purge, "POST"))
            until(lambda: server.stats()["cache"]["entries"] <= KEPT, seconds)
        gone = first - server.stats()["cache"]["entries"]
        self.us, self.a_second = cost.us(gone), gone / cost.seconds


def objects(scale):
    """Many small responses in memory: storing, finding, listing, purging them, and what goes of them afterwards."""
    table = scale.table("Responses in memory", "objects")
    for n in table.sizes((3000, 10_000, 30_000) if QUICK else (10_000, 100_000, 1_000_000)):
        with scale.memoproxy(memory="12G") as server:
            warm(server)
            before, pids = memory_bytes(server.pids), server.pids
            with scale.watch(server) as filling:
                stored = sweep(server, "/k/", n, depth=8)
            rss = (memory_bytes(pids) - before) / n
            told = server.stats()["cache"]
            found = sweep(server, "/k/", n, min(n, MANY))
            if found.hits != found.answers:
                raise RuntimeError(f"{found.answers - found.hits} of {found.answers} are not stored")
            with scale.watch(server) as listing:
                list_ms = timed_ms(lambda: server.ask_admin("/entries?prefix=/none/&limit=10"))
            with scale.watch(server) as purging:
                freed = Freed(server, "/purge?prefix=/k/")
            table.add(n, store_us=stored.us, hit_us=found.us, RSS_bytes_each=rss, counted_bytes_each=told["bytes"] / n,
                      list_ms=list_ms, purge_ms=freed.purge_ms, freed_us_each=freed.us, freed_a_second=freed.a_second,
                      worst_ms_storing=filling.worst, control_ms_storing=filling.control,
                      worst_ms_listing=listing.worst, control_ms_listing=listing.control,
                      worst_ms_purging=purging.worst, control_ms_purging=purging.control)


def load_ms(server):
    """Processor time of a check of its file (-t)."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([server.binary, "-t", "-c", server.folder / "proxy.ini"], check=True, capture_output=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime) * MS


def routes_of(scale, title, pattern, target):
    table = scale.table(title, "routes")
    for n in table.sizes((1, 100, 1000) if QUICK else (1, 10, 100, 1000, 10_000)):
        more = "".join(f"[route r{i}]\nmatch = {pattern(i)}\nttl = 1h\n" for i in range(n))
        with scale.memoproxy(more) as server:
            warm(server)
            rss, target_n = memory_bytes(server.pids), 100
            sweep(server, target(n - 1), target_n)
            found = sweep(server, target(n - 1), target_n, MANY)
            other = sweep(server, "/live/", PROBED, MANY)
            with scale.watch(server) as reloading:
                reload_ms = timed_ms(lambda: server.ask_admin("/reload", "POST"))
            with scale.watch(server) as telling:
                stats_ms = timed_ms(server.stats)
            table.add(n, hit_us=found.us, hit_of_no_route_us=other.us, check_ms=load_ms(server), reload_ms=reload_ms,
                      stats_ms=stats_ms, RSS_MB=rss / 1e6, worst_ms_reloading=reloading.worst,
                      control_ms_reloading=reloading.control, worst_ms_stats=telling.worst, control_ms_stats=telling.control)


def routes(scale):
    routes_of(scale, "Routes that begin differently: /rN/*", lambda i: f"/r{i}/*", lambda i: f"/r{i}/")
    routes_of(scale, "Routes that begin with a star: */xN/*", lambda i: f"*/x{i}/*", lambda i: f"/a/x{i}/")


def purge_some(server, how, n, count):
    return sweep(server, f"/purge?{how}=/p/", n, count, port=server.admin_port, method="POST", connections=32, depth=1)


def purges_of(scale, how, sizes, stored_n):
    """A purge counts until the sweeper has seen all that is older, so more of them are kept the more is stored."""
    table = scale.table(f"Purges by {how}, each of another that is not stored, while {stored_n:,} older responses stay", "purges")
    seen_n = min(stored_n, 2000)
    for n in table.sizes(sizes):
        with scale.memoproxy(memory="1G") as server:
            warm(server)
            sweep(server, "/k/", stored_n)
            base, pids = memory_bytes(server.pids), server.pids
            done = purge_some(server, how, n, max(n, 1000))  # a mean is of 1,000 at least, some then of the same
            rss = (memory_bytes(pids) - base) / 1e6
            rules = server.stats()["invalidation"]["rules"]
            with scale.watch(server) as purging:
                purge_some(server, how, n, max(1000, n // 20))
            kept = sweep(server, "/k/", stored_n, seen_n)
            quiet, checked = [], []  # the same ones each time: known to be valid, and looked at again after a purge
            for _ in range(5):
                quiet.append(sweep(server, "/k/", stored_n, seen_n).us)
                purge_some(server, "url", 1, 1)
                checked.append(sweep(server, "/k/", stored_n, seen_n).us)
            table.add(n, purge_us=done.us, hit_us=statistics.median(quiet), hit_after_a_purge_us=statistics.median(checked),
                      kept_percent=100 * kept.hits / seen_n, RSS_MB=max(rss, 0.1), rules=rules,
                      worst_ms=purging.worst, control_ms=purging.control)


def purges(scale):
    purges_of(scale, "url", (1, 1000, 10_000) if QUICK else (1, 100, 10_000, 100_000, 1_000_000), 10_000 if QUICK else 100_000)
    for how in ("prefix", "tag"):
        purges_of(scale, how, (1, 1000, 10_000) if QUICK else (1, 100, 10_000, 100_000), 2000)


def users(scale):
    table = scale.table("Responses of one user (max_entries_per_user is that many, then as many again are stored)", "entries")
    for n in table.sizes((1, 100, 10_000) if QUICK else (1, 10, 100, 1000, 10_000, 100_000)):
        # As many requests at any size, so that each mean is one of many: fewer entries are stored for more users.
        n_users = max(1, 2000 // n)
        total, mine, other = n * n_users, ["X-User: a", n], ["X-User: b"]
        with scale.memoproxy(f"[defaults]\nscope = user\nuser_from = header:X-User\nmax_entries_per_user = {n}\n",
                             memory="1G") as server:
            stored = sweep(server, "/k/", total, field=mine)
            found = sweep(server, "/k/", total, field=mine)
            if found.hits < found.answers:
                raise RuntimeError(f"{found.answers - found.hits} of {found.answers} are not stored")
            over = sweep(server, "/l/", total, field=mine)
            sweep(server, "/live/", n=1, field=other)
            with scale.watch(server, n=1, field=other) as storing:
                sweep(server, "/m/", total, field=mine)
            with scale.watch(server, n=1, field=other) as purging:
                purge_ms = timed_ms(lambda: server.ask_admin("/purge?user=a0", "POST"))
            table.add(n, store_us=stored.us, hit_us=found.us, store_over_the_bound_us=over.us, purge_ms=purge_ms,
                      worst_ms_storing=storing.worst, control_ms_storing=storing.control,
                      worst_ms_purging=purging.worst, control_ms_purging=purging.control)


def herds(server, path, n, rounds):
    """Rounds of n new clients; each of their own key where the path has a place for it."""
    with Cost(server) as cost:
        found = [load.herd(f"{WORK}/herd", server, path.format(i), n) for i in range(rounds)]
    return cost.us(n * rounds), found


def waiters(scale):
    table = scale.table(f"Clients that wait for one fetch; the origin takes {DELAY_S} s", "waiters")
    slow = scale.stack.enter_context(Slow(WORK, DELAY_S))
    for n in table.sizes((1, 100, 1000) if QUICK else (1, 10, 100, 1000, 5000)):
        rounds = max(2, min(20, 1000 // n))
        with scale.memoproxy(upstream=slow.url) as server:
            warm(server)
            slow.asked()
            waiter_us, found = herds(server, "/cold-{}", n, rounds)
            asked = slow.asked() / rounds
            hit_us, _ = herds(server, "/cold-0", n, rounds)
            with scale.watch(server) as waiting:
                herds(server, "/watched-{}", n, 2)
            # As many new clients at once for what is stored: what is not more than this is no waiters' doing.
            with scale.watch(server) as hitting:
                herds(server, "/cold-0", n, 2)
            late_ms = statistics.median((h.last_s - DELAY_S) * MS for h in found)
            table.add(n, us_a_waiter=waiter_us, us_a_hit_of_new_clients=hit_us, last_ms_after_the_delay=max(late_ms, 0.01), fetches=asked,
                      worst_ms=waiting.worst, control_ms=waiting.control,
                      worst_ms_of_as_many_hits=hitting.worst, control_ms_of_as_many_hits=hitting.control)


def filled(server, path, size, n):
    """n records in the disk tier of a server that is not running afterwards: seconds, bytes of the files."""
    server.get("/k/9999999999")
    until(lambda: server.stats()["disk"]["objects"] > 0, 10)
    server.stop()
    done = subprocess.run([FILL, path, str(size), "0", str(n)], check=True, capture_output=True, text=True).stdout.split()
    return float(done[0]), int(done[1])


def disk(scale):
    """Records that fill.c writes, copies of one that memoproxy stored; a restart over them; then they come into memory by being asked for."""
    table = scale.table("Responses on disk, and brought from there into memory", "objects")
    for n in table.sizes((10_000, 100_000) if QUICK else (10_000, 100_000, 1_000_000, 5_000_000)):
        path, size, read_n = pathlib.Path(FILES) / f"disk-{n}", n * 700 + (1 << 30), min(n, READ_MAX)
        with scale.memoproxy(memory="12G", disk={"path": path, "size": size}) as server:
            written_s, file_bytes = filled(server, path, size, n)
            _, ready_s = server.start_again()
            start_cpu_ms, told, rss = run_ns(server.pids) / 1e6, server.stats()["disk"], memory_bytes(server.pids)
            if told["objects"] < n:
                raise RuntimeError(f"{n - told['objects']} of {n} are not on disk")
            warm(server)
            with scale.watch(server) as reading:
                found = sweep(server, "/k/", n, read_n)
            if found.disk_hits < 0.99 * found.answers:
                raise RuntimeError(f"only {found.disk_hits} of {found.answers} came from disk")
            memory_each = (memory_bytes(server.pids) - rss) / read_n
            again = sweep(server, "/k/", n, min(read_n, MANY))
            absent = sweep(server, "/none/", n, min(n, MANY // 10))
            with scale.watch(server) as purging:
                freed = Freed(server, "/purge?prefix=/k/00")
            if sweep(server, "/k/", n, min(n, 100)).hits:
                raise RuntimeError("a purge left something")
            stop_s = server.stop()
            table.add(n, written_us=written_s * 1e6 / n, file_bytes_each=file_bytes / n, start_s=ready_s, start_cpu_ms=start_cpu_ms,
                      index_bytes_each=told["index_bytes"] / n, RSS_after_start_MB=rss / 1e6, disk_hit_us=found.us,
                      miss_us=absent.us, RSS_in_memory_each=memory_each, memory_hit_us=again.us, purge_ms=freed.purge_ms,
                      freed_us_each=freed.us, freed_a_second=freed.a_second, stop_s=stop_s,
                      worst_ms_reading=reading.worst, control_ms_reading=reading.control,
                      worst_ms_purging=purging.worst, control_ms_purging=purging.control)
        subprocess.run(["rm", "-rf", path], check=True)


ROWS = {"waiters": waiters, "users": users, "routes": routes, "disk": disk, "purges": purges, "objects": objects}


def main():
    check_fit()
    if not WORK:
        print("the fit is right")
        return 0
    failures = []
    with contextlib.ExitStack() as stack:
        scale = Scale(stack)
        for name in os.environ.get("SCALE_ROWS", "").split() or ROWS:
            try:
                ROWS[name](scale)
            except (RuntimeError, OSError, subprocess.SubprocessError) as e:  # the other rows are still worth having
                failures.append(f"{name} could not be measured: {e}")
    lines = [f"{machine()}; load average {os.getloadavg()[0]:.1f}"]
    for table in scale.tables:
        lines += table.lines()
    text = "\n".join(lines + [f"\n**{f}**" for f in failures])
    print(re.sub(r"^", "   ", text, flags=re.M))
    path = pathlib.Path(WORK).parent / "memoproxy-scale.md"
    path.write_text(text + "\n")
    print(f"\nwritten to {path}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
