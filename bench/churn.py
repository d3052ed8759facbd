# SPDX-License-Identifier: MIT
"""make churn: bodies of mixed and changing sizes through a full cache; RSS must stay within 1.25 x memory + 64 MiB.

CHURN_SECONDS (300), CHURN_MEMORY (in MiB, 256), CHURN_WORKERS (2), CHURN_SEED. The exit code says whether it did.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import urllib.request

from servers import DAY, Memoproxy, Origin, find, memory_bytes

SECONDS = int(os.environ.get("CHURN_SECONDS", "300"))
MEMORY = int(os.environ.get("CHURN_MEMORY", "256"))
WORKERS = int(os.environ.get("CHURN_WORKERS", "2"))
SEED = int(os.environ.get("CHURN_SEED") or random.SystemRandom().randrange(10**6))
MIB = 1 << 20
PHASE, KEYS = 4000, 200000


class Sizes(Origin):
    """Bodies by the first segment of the path, whatever follows it."""
    SIZES = {"100": 100, "1k": 1 << 10, "10k": 10 << 10, "100k": 100 << 10, "1m": 1 << 20, "4m": 4 << 20}

    def write(self, name, text):
        places = "".join(f"location /{k}/ {{ try_files /{k} =404; }}\n" for k in self.SIZES)
        return super().write(name, text.replace("location /k/", places + "location /k/"))


class Proxy(Memoproxy):
    def launch(self):
        super().launch()
        self.stats_url = f"http://127.0.0.1:{self.admin_port}/stats"

    def stats(self):
        with urllib.request.urlopen(self.stats_url, timeout=30) as answer:
            return json.load(answer)["cache"]


def watch(proxy, load):
    """RSS of each second until the load has ended."""
    samples, began = [], time.monotonic()
    while load.poll() is None:
        time.sleep(1)
        samples.append(memory_bytes(proxy.pids, "VmRSS") / MIB)
        if len(samples) % 30 == 0:
            print(f"{time.monotonic() - began:6.0f} s  RSS {samples[-1]:.0f} MiB", flush=True)
    return samples


def main():
    bound = 1.25 * MEMORY + 64
    print(f"churn: seed {SEED}, {SECONDS} s, memory {MEMORY} MiB, {WORKERS} workers, {DAY} s to live", flush=True)
    with Sizes(sys.argv[1]) as origin, Proxy(sys.argv[1], origin.url, memory=f"{MEMORY}M", workers=WORKERS, cores="0,1") as proxy:
        script = pathlib.Path(__file__).with_name("churn.lua")
        load = subprocess.Popen([find("wrk"), "-t1", "-c16", f"-d{SECONDS}s", "--timeout", "30s", "-s", script,
                                 f"http://127.0.0.1:{proxy.port}/", "--", str(SEED), str(PHASE), str(KEYS)],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            samples = watch(proxy, load)
        finally:
            load.terminate()
            output = load.communicate()[0]
        stats = proxy.stats()
    print("".join(line + "\n" for line in output.splitlines() if "requests in" in line or "Socket" in line or "Non-2xx" in line))
    print(f"cache bytes {stats['bytes'] / MIB:.0f} MiB, entries {stats['entries']}, evicted {stats['evicted_lru']}")
    print(f"RSS: most {max(samples):.0f} MiB, at the end {samples[-1]:.0f} MiB, bound {bound:.0f} MiB")
    ok = max(samples) <= bound and stats["evicted_lru"] > 1000 and "Non-2xx" not in output
    print("churn: " + ("within the bound" if ok else "FAILED"))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
