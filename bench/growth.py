#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Much that goes at once: what do hits notice, how soon is it freed, what does the system get back?

    bench/growth.py [--program ./memoproxy] [--keys 1000000] [--keep 50000] purge|expire|idle

fills a cache with KEYS responses of 1 KiB among which KEEP others lie, has all of the former purged, or expire in one second, or
neither, and prints each five seconds: entries, stored bytes, RSS, and the worst hit beside the worst answer of a server
without a cache. `purge` exits with 1 if a minute later RSS is above 1.25 x stored + 64 MB. It needs two processors and a C compiler.
"""
import argparse
import email.utils
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PROXY, ADMIN, ORIGIN, CONTROL = 18480, 18481, 18482, 18483
FILL_S, FILLED_A_S, WATCH_S, STEP_S = 150, 10000, 75, 5  # filling has so long, or for so many a second
CONFIG = f"""
[proxy]
listen = 127.0.0.1:{PROXY}
workers = 2
[admin]
listen = 127.0.0.1:{ADMIN}
[upstream]
url = http://127.0.0.1:{ORIGIN}
[defaults]
stale_if_unreachable = 0s
stale_if_error = 0s
stale_while_revalidate = 0s
[cache]
memory = 12G
[route keep]
match = /keep/*
ttl_force = 1d
"""


def build(folder):
    for tool in ("bare", "ask", "pace"):
        subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-o", folder / tool, HERE / f"{tool}.c"], check=True)


def admin(path, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{ADMIN}{path}", method=method), timeout=30) as answer:
        return json.load(answer)


def rss_mb(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def pace(folder, port, target):
    return subprocess.Popen([folder / "pace", str(port), target, "1000", str(STEP_S), "8", "sleep"], stdout=subprocess.PIPE, text=True)


def worst_ms(run):
    return float(run.communicate()[0].split()[-1]) / 1000


def step(folder, pid, title):
    runs = [pace(folder, PROXY, "/keep/1"), pace(folder, CONTROL, "/")]
    hit, control = (worst_ms(run) for run in runs)
    cache, rss = admin("/stats")["cache"], rss_mb(pid)
    print(f"{title:>7} {cache['objects']:9} entries {cache['bytes'] / 1e6:6.0f} MB stored {rss:6.0f} MB RSS "
          f"{hit:7.2f} ms worst hit {control:7.2f} ms control", flush=True)
    return rss <= 1.25 * cache["bytes"] / 1e6 + 64


def run(folder, o, started):
    def start(*command):
        started.append(subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL))
        return started[-1]

    goes = time.time() + max(FILL_S, o.keys / FILLED_A_S) if o.what == "expire" else time.time() + 86400
    (folder / "proxy.ini").write_text(CONFIG)
    start(folder / "bare", ORIGIN, 1024, "Expires: " + email.utils.formatdate(goes, usegmt=True))
    start(folder / "bare", CONTROL, 300)
    proxy = start(o.program, "-c", folder / "proxy.ini")
    time.sleep(1)
    began = time.time()
    asks = [start(folder / "ask", PROXY, "/keep/", 1, o.keep, 2), start(folder / "ask", PROXY, "/go/", 1, o.keys, 32)]
    for ask in asks:
        ask.wait()
    print(f"filled in {time.time() - began:.0f} s")
    step(folder, proxy.pid, "full")
    if o.what == "purge":
        admin("/purge?prefix=/go/", "POST")
    elif o.what == "expire":
        time.sleep(max(0, goes - time.time() - STEP_S))
    ok = False
    for second in range(STEP_S, WATCH_S + 1, STEP_S):
        ok = step(folder, proxy.pid, f"+{second} s")
    return ok or o.what != "purge"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=HERE.parent / "memoproxy")
    parser.add_argument("--keys", type=int, default=1000000)
    parser.add_argument("--keep", type=int, default=50000)
    parser.add_argument("what", choices=("purge", "expire", "idle"))
    o = parser.parse_args()
    started = []
    with tempfile.TemporaryDirectory() as name:
        build(pathlib.Path(name))
        try:
            return 0 if run(pathlib.Path(name), o, started) else 1
        finally:
            for process in started:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    sys.exit(main())
