# SPDX-License-Identifier: MIT
"""Row 7: the disk tier. Hits beside nginx's file cache, what writing and reclaiming does to hits from memory, a purge of many
objects, a restart. All files are where run.sh puts them: a file system in memory unless BENCH_TMP names another."""
import contextlib
import shutil
import time

import load
from servers import Memoproxy, Nginx, memory_bytes

SAMPLE = 2000
MEMORY_MIB = 64  # of 1 M objects a twentieth
OBJECT_BYTES = 1500  # about what one of 1 KiB takes, wherever it is


def written(server, timeout=60):
    """Until nothing waits to be written."""
    deadline = time.monotonic() + timeout
    while server.stats()["disk"]["queue"] > 0 and time.monotonic() < deadline:
        time.sleep(0.05)


def stored(bench, server, prefix, first, n):
    """Every key asked for once, and again where the disk tier was given more than it can write (it then lets some go)."""
    for _ in range(4):
        bench.ask(server, prefix, first, n)
        if isinstance(server, Memoproxy):
            written(server)
        again = bench.ask(server, prefix, first, min(n, SAMPLE))
        if again.hits >= 0.99 * again.answers:
            return
    raise RuntimeError(f"{server.name}: only {again.hits} of {again.answers} keys were stored")


# ---- hits ----

def hits(bench, report, origin):
    keys = bench.keys // 5
    report.heading(f"7. Hits of the disk tier: {keys:,} keys of 1 KiB, the memory tier holds a twentieth, 64 connections")
    memory = f"{max(1, keys * OBJECT_BYTES // 20 >> 20)}M"
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Memoproxy(bench.work, origin.url, memory=memory,
                                                 disk={"path": f"{bench.files}/disk", "size": "4G"})),
                   stack.enter_context(Nginx(bench.work, origin.url, files=f"{bench.files}/nginx"))]
        for server in servers:
            stored(bench, server, "/k/", 1, keys)
        mine = servers[0]
        before = mine.stats()["disk"]["hits"]
        uniform = {"script": "zipf.lua", "args": [keys, 0]}
        found = bench.rounds(servers, "/k/1", n=max(2, bench.n_rounds // 2), **uniform)
        of_disk = (mine.stats()["disk"]["hits"] - before) / sum(r.requests for r in found["memoproxy"])
        report.table(bench.COLUMNS, bench.rows_of(found))
        report.text(f"{of_disk:.0%} of memoproxy's hits were read from the disk tier; all of both servers' files are in the page cache.")
        if not report.aim("x nginx's file cache", bench.median(found["memoproxy"]) / bench.median(found["nginx"]), at_most=1):
            bench.explain(report, mine, lambda: load.wrk(mine, "/k/1", 2, **uniform), "memoproxy, hits of the disk tier", "disk")


# ---- latency while it writes ----

def beside_writes(bench, server, first):
    """Hits from memory at a low rate while new keys are fetched and stored as fast as they come."""
    writer = load.on_load_core(bench.program("ask"), server, "/k/", first, 10 ** 8, 16, bench.seconds)
    latency = bench.pace_gently(server, "/1k", 1000)
    return latency, load.Asked(load.finish(writer))


def writes(bench, report, origin):
    report.heading("7. Latency of 1 KiB hits from memory, 1,000 a second, while new keys are stored at full rate, microseconds")
    rows, p99 = [], {}
    for name, disk in (("memory alone", None), ("memory and disk", {"path": f"{bench.files}/disk", "size": "256M"})):
        with Memoproxy(bench.work, origin.url, memory="64M", **({"disk": disk} if disk else {})) as server:
            bench.warm([server], "/1k")
            prefill = 30_000 if bench.quick else 250_000
            bench.ask(server, "/k/", 1, prefill)
            quiet = bench.pace_gently(server, "/1k", 1000)
            runs = [beside_writes(bench, server, prefill + 1 + i * 10 ** 6) for i in range(max(2, bench.n_rounds // 2))]
            reclaimed = server.stats()["disk"]["reclaimed_segments"] if disk else 0
        rows.append([f"{name}, nothing stored", 0, quiet.p50, quiet.p99, quiet.p999, 0, str(quiet.failures)])
        rows.append([f"{name}, new keys", max(asked.answers / asked.seconds for _, asked in runs),
                     *(bench.median([r for r, _ in runs], p) for p in ("p50", "p99", "p999")), str(reclaimed),
                     str(sum(r.failures for r, _ in runs))])
        p99[name] = bench.median([r for r, _ in runs], "p99")
    report.table(["", "stored a second", "p50", "p99", "p99.9", "segments reclaimed", "failed"], rows)
    report.text("The generator, those who ask for the new keys and the origin share a core.")
    report.aim("p99 beside writes, x that without a disk tier", p99["memory and disk"] / p99["memory alone"], at_most=1.5)


# ---- a purge, a restart ----

def purge(bench, report, server, n):
    before = bench.pace_gently(server, "/1k", 2000)
    pacer = load.on_load_core(bench.program("pace"), server, "/1k", 2000, bench.seconds, 64, "sleep")
    time.sleep(bench.seconds / 2)
    began = time.monotonic()
    server.ask_admin("/purge?prefix=/k/p/", "POST")
    took_ms = (time.monotonic() - began) * 1000
    during = load.Latency(load.finish(pacer))
    if bench.ask(server, "/k/p/", 1, SAMPLE).hits or bench.ask(server, "/k/", 1, SAMPLE).hits < 0.99 * SAMPLE:
        raise RuntimeError("the purge took the wrong ones")
    report.table([f"a purge of {n:,} objects", "ms the call took", "p99 of hits without it, us", "with it"],
                 [["by prefix", took_ms, before.p99, during.p99]])
    report.aim("ms a purge takes", took_ms, at_most=50)


def restart(bench, report, server):
    stopped_s = server.stop()
    serves_s, ready_s = server.start_again()
    objects = server.stats()["disk"]["objects"]
    back = bench.ask(server, "/k/", 1, SAMPLE)
    gone = bench.ask(server, "/k/p/", SAMPLE + 1, SAMPLE)
    if back.hits < 0.95 * SAMPLE or gone.hits:
        raise RuntimeError(f"after the restart {back.hits} of {SAMPLE} are there, and {gone.hits} that were purged")
    report.table([f"a restart with {objects:,} objects", "seconds to stop", "until it serves", "until all is known"],
                 [["in an orderly way", stopped_s, serves_s, ready_s]])
    report.aim("seconds until it serves", serves_s, at_most=1)


def many_objects(bench, report, origin):
    purged = bench.keys * 3 // 10
    report.heading(f"7. {bench.keys:,} objects of 1 KiB on the disk tier: a purge, a restart, what an object takes")
    disk = {"path": f"{bench.files}/disk", "size": "8G"}
    with Memoproxy(bench.work, origin.url, memory=f"{MEMORY_MIB}M", disk=disk) as server:
        bench.warm([server], "/1k")
        before = memory_bytes(server.pids)
        stored(bench, server, "/k/p/", 1, purged)
        stored(bench, server, "/k/", 1, bench.keys - purged)
        used = server.stats()["disk"]
        grown = memory_bytes(server.pids) - before - (MEMORY_MIB << 20)
        report.table(["bytes an object", "disk, records", "disk, files", "memory, index", "memory, all but the memory tier"],
                     [["", used["written_bytes"] / used["puts"], used["bytes"] / used["objects"],
                       used["index_bytes"] / used["objects"], max(0, grown) / used["objects"]]])
        purge(bench, report, server, purged)
        restart(bench, report, server)


def disk(bench, report, origin):
    for part in (hits, writes, many_objects):
        part(bench, report, origin)
        shutil.rmtree(f"{bench.files}/disk", ignore_errors=True)
