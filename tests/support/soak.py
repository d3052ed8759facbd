# SPDX-License-Identifier: MIT
"""make soak: the operations of the model for a long time, over a small cache, and nothing grows.

SOAK_SECONDS (600), SOAK_SEED, SOAK_CLIENTS (24). Each second RSS, descriptors and latencies are noted; the second quarter
of the time is compared with the last. Every response is judged by the model meanwhile.
"""
import asyncio
import json
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import model  # noqa: E402
from support.model_site import clock  # noqa: E402

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SEED = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(10**9))
CLIENTS = int(os.environ.get("SOAK_CLIENTS", "24"))
MEMORY = 4 << 20
MANY = 3000  # further URLs, so that the cache is always full
IS_SANITIZED = os.environ.get("MODE", "release") in ("asan", "tsan")
MIB = 1 << 20


def operations():
    """Without end; beside the model's own, visits to many URLs, so that something is evicted all the time."""
    rng = random.Random(SEED)
    while True:
        if rng.random() < 0.3:
            yield model.make_get(rng, f"/bulk/{rng.randrange(MANY)}")
        else:
            yield model.make_operation(rng)


class Soak(model.Run):
    def __init__(self):
        super().__init__(operations(), {"cache": {"memory": str(MEMORY)}}, SECONDS, CLIENTS)
        self.samples = []  # (at, rss, descriptors, hits, of these quick)
        self.on_second = self.sample
        self.began = clock()
        self.pace_s = 0.04  # else this process, not the proxy, would be what is measured

    @staticmethod
    async def sample(self):
        hits, quick = hits_of((await self._admin("GET", "/metrics")).body.decode())
        self.samples.append((clock(), self.proxy.rss_bytes(), self.proxy.open_files(), hits, quick))
        if len(self.samples) % 30 == 0:
            print(f"{clock() - self.began:6.0f} s  RSS {self.samples[-1][1] / MIB:.1f} MiB  descriptors {self.samples[-1][2]}"
                  f"  {sum(self.done.values())} operations", flush=True)

    async def _at_rest(self):
        problem = await super()._at_rest()
        await asyncio.sleep(1)
        self.rest_files = self.proxy.open_files()
        return problem


def middle(values):
    values = sorted(values)
    return values[len(values) // 2] if values else 0


def quarter(soak, rows, index):
    low, high = (soak.began + SECONDS * (index + k) / 4 for k in (0, 1))
    return [row for row in rows if low <= row[0] < high]


def hits_of(metrics):
    """All hits, and those within 2.5 ms as the proxy tells it: from a request's first byte to its response's last."""
    name = 'memoproxy_request_duration_seconds_bucket{cache="hit",le="%s"} '
    return [next((int(line.split()[1]) for line in metrics.splitlines() if line.startswith(name % le)), 0)
            for le in ("+Inf", "0.0025")]


def slow_hits(samples):
    """In percent. A mean would be that of the few whose clients read late."""
    hits, quick = (samples[-1][i] - samples[0][i] for i in (3, 4))
    return 100 * (1 - quick / max(1, hits))


def compare(soak):
    """(name, second quarter, last quarter, most that the last may be)"""
    second, last = (quarter(soak, soak.samples, i) for i in (1, 3))
    slow, fast = ([t for _, t in quarter(soak, soak.latencies, i)] for i in (1, 3))
    rss = middle([row[1] for row in second]) / MIB
    files = middle([row[2] for row in second])
    ms = middle(slow) * 1000
    p99 = sorted(slow)[len(slow) * 99 // 100] * 1000 if slow else 0
    return [
        ("RSS, MiB", rss, middle([row[1] for row in last]) / MIB, rss * 1.1 + (32 if IS_SANITIZED else 8)),
        ("descriptors", files, middle([row[2] for row in last]), files + 15),
        ("latency, median, ms", ms, middle(fast) * 1000, ms * 2 + 10),
        ("latency, 99 %, ms", p99, sorted(fast)[len(fast) * 99 // 100] * 1000 if fast else 0, p99 * 2 + 200),
        ("hits over 2.5 ms, %", slow_hits(second), slow_hits(last), slow_hits(second) * 2 + 5),
    ]


def counters(soak):
    """What must be true of /stats when nothing is under way."""
    s = soak.stats
    answers = sum(s["answers"].values())
    hits = (s["answers"]["hit"] + s["answers"]["stale"]) / max(1, answers)
    up, requests = s["upstreams"]["default"], s["requests"]
    ended = sum(up[k] for k in ("ok", "refused", "timeouts", "broken", "bad_answers", "cancelled"))
    by_latency = sum(v["count"] for v in s["latency"].values())
    routes = sum(sum(r["answers"].values()) for r in s["routes"].values())
    return [
        ("hit ratio between 0.1 and 0.9", 0.1 < hits < 0.9, f"{hits:.3f}"),
        ("answers <= requests", answers <= requests["requests"], (answers, requests["requests"])),
        ("requests = answers + aborted + gone", requests["requests"] - answers <= requests["aborted"] + requests["clients_gone"],
         (requests["requests"], answers, requests["aborted"], requests["clients_gone"])),
        ("latencies counted = answers to those who stayed", by_latency == answers - requests["clients_gone"],
         (by_latency, answers, requests["clients_gone"])),
        ("answers of all routes = answers", routes == answers, (routes, answers)),
        ("fetches started >= ended", ended <= up["started"] + up["retries"], (up["started"], ended, up["retries"])),
        ("bytes <= memory", s["cache"]["bytes"] <= s["cache"]["memory_bytes"], (s["cache"]["bytes"], s["cache"]["memory_bytes"])),
        ("something was evicted", s["cache"]["evicted_lru"] > 0, s["cache"]["evicted_lru"]),
        ("clients open at rest", s["clients"]["open"] <= 1, s["clients"]["open"]),
        ("upstream connections at rest", soak.rest_files < 120, f"{soak.rest_files} descriptors"),
    ]


def main():
    print(f"soak: seed {SEED}, {SECONDS:.0f} s, {CLIENTS} clients, memory {MEMORY / MIB:.0f} MiB", flush=True)
    soak = Soak()
    problem = soak.go()
    if problem:
        print(f"soak: FAILED: {problem}")
        return 1
    failed = False
    print(f"\n{soak.summary()}, {soak.site.count} fetches")
    print(f"\n{'':24}{'2nd quarter':>14}{'last quarter':>14}{'bound':>10}")
    for name, before, after, bound in compare(soak):
        failed |= after > bound
        print(f"{name:24}{before:14.1f}{after:14.1f}{bound:10.1f}{'' if after <= bound else '  FAILED'}")
    most = max(row[1] for row in soak.samples)
    bound = 1.25 * MEMORY + 64 * MIB
    if not IS_SANITIZED:
        failed |= most > bound
    print(f"{'RSS, most, MiB':24}{'':14}{most / MIB:14.1f}{bound / MIB:10.1f}{' (not asked of a sanitizer)' if IS_SANITIZED else ''}")
    print()
    for name, ok, value in counters(soak):
        failed |= not ok
        print(f"{'ok    ' if ok else 'FAILED'} {name}: {value}")
    print(json.dumps({k: soak.stats[k] for k in ("answers", "requests", "cache")}))
    print("soak: " + ("FAILED" if failed else "flat"))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
