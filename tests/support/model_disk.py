# SPDX-License-Identifier: MIT
"""The model over both tiers: a memory too small for the site, a disk tier so small that it is always making room, and a
proxy that is ended or killed and started again while clients ask.

What a restart changes for the judge: who asked while the proxy was away may be left without a response (never with a wrong
one); and what a refresh replaced may come back, since the new response may not have been written when the old process ended.
What was purged or written over, and acknowledged, may not: that is in the journal.

An upgrade changes less: while two processes run, what one of them knows of purges and writes the other learns a moment later, a
purge may be refused by the one that has given the disk away, and a kept connection may be closed. What a refresh replaced stays
away throughout: its response waits until both know. Of what one has shown the other has nothing older a moment later, from when both serve.
"""
import asyncio
import json
import math
import os
import pathlib
import random
import re
import signal
import subprocess
import tempfile

from . import model
from .model_site import clock
from .proxy import SLOW, binary, eventually, is_alive, merge

WEIGHTS = [("restart", 0.3), ("upgrade", 0.3), ("cool", 1)]
LARGEST = 400 * 1024
SECTIONS = {"proxy": {"shutdown_grace": "500ms", "log_level": "info"}, "cache": {"memory": "512K", "max_object": "256K"},
            "disk": {"size": "2M", "max_object": str(LARGEST)}}
SUMMED = ("hits", "inline_reads", "thread_reads", "reclaimed_segments", "reinserted", "recovered_objects", "purged_reads",
          "bad_records", "dropped_queue", "heads_written")


def make_operation(rng):
    if rng.random() * 100 < sum(w for _, w in WEIGHTS):
        kind = rng.choices([k for k, _ in WEIGHTS], [w for _, w in WEIGHTS])[0]
        return ["restart", rng.choice(("term", "kill"))] if kind == "restart" else [kind]
    return model.make_operation(rng)


def make_operations(seed, n):
    rng = random.Random(seed)
    return [make_operation(rng) for _ in range(n)]


def end(pid, number):
    os.kill(pid, number)
    eventually(lambda: not is_alive(pid), f"process {pid} ends", 20)


class Run(model.Run):
    LARGEST = LARGEST

    def __init__(self, operations, clients=model.CLIENTS, seconds=None, sections=None):
        self.folder = tempfile.TemporaryDirectory(prefix="memoproxy-model-")
        self.path = os.path.join(self.folder.name, "disk")
        super().__init__(operations, merge(merge(SECTIONS, {"disk": {"path": self.path}}), sections), seconds, clients)
        self.downs = []  # [begin, end] of each time that the proxy was away
        self.starts = 0
        self.pid = None  # of the process that took over; None: the one that was started
        self.upgrades = []  # [begin, end] of each time that there were two
        self.sums = dict.fromkeys(SUMMED, 0)

    def go(self):
        self.up, self.restarting = asyncio.Event(), asyncio.Lock()
        self.up.set()
        try:
            return super().go() or self._check_files()
        finally:
            self.folder.cleanup()

    def _check_files(self):
        """What an orderly end leaves has nothing in it that could not be read."""
        r = subprocess.run([binary(), "disk-check", self.path], capture_output=True, text=True, timeout=60 * SLOW)
        return None if r.returncode == 0 else f"disk-check: {r.returncode}\n{r.stdout[-3000:]}{r.stderr[-3000:]}"

    def summary(self):
        return f"{super().summary()}, disk {self.sums}"

    def is_excused(self, began):
        return any(end >= began for _, end in self.downs[-20:]) or self.has_two(began)

    async def _send(self, connection, data):
        await self.up.wait()
        if getattr(connection, "starts", None) != self.starts:
            connection.close()
            connection.starts = self.starts
        return await super()._send(connection, data)

    async def _at_rest(self):
        problem = await super()._at_rest()
        if not problem:
            self._add(self.stats["disk"])
        return problem

    def _add(self, stats):
        for key in SUMMED:
            self.sums[key] += stats[key]

    # -- operations --

    async def do_restart(self, _, how):
        if self.restarting.locked():
            return
        async with self.restarting, self.admin_lock:  # no reload meanwhile, which may leave a bad file
            pathlib.Path(self.proxy.config_path).write_text(self.text())
            self._add(json.loads((await self._admin("GET", "/stats")).body)["disk"])
            self.up.clear()
            down = [clock(), math.inf]
            self.downs.append(down)
            self.forget_refreshes()  # who was about to connect may meet the new process before we hear that it is up
            try:
                await asyncio.to_thread(self._restart, signal.SIGTERM if how == "term" else signal.SIGKILL)
            except AssertionError as e:
                raise model.Forbidden(str(e)) from None
            finally:
                down[1] = clock()
                self.starts += 1
                self.forget_refreshes()
                self.up.set()

    def _restart(self, number):
        if self.pid:  # what was started has ended long since
            end(self.pid, number)
            self.pid = None
            self.proxy.relaunch()
        else:
            self.proxy.restart(number)

    def _stop(self):
        if self.pid:
            end(self.pid, signal.SIGTERM)
        super()._stop()

    def _is_alive(self):
        return is_alive(self.pid) if self.pid else super()._is_alive()

    async def do_upgrade(self, _):
        if self.restarting.locked():
            return
        async with self.restarting, self.admin_lock:
            pathlib.Path(self.proxy.config_path).write_text(self.text())
            self._add(json.loads((await self._admin("GET", "/stats")).body)["disk"])
            both = [clock(), math.inf]
            self.upgrades.append(both)
            self.forget_shown()
            try:
                await asyncio.to_thread(self._upgrade)
            except AssertionError as e:
                raise model.Forbidden(str(e)) from None
            finally:
                both[1] = clock() + self.judge.slack
                self.forget_shown()

    def _upgrade(self):
        old, n = self.pid or self.proxy.process.pid, self.proxy.stderr.count(" has taken over")
        os.kill(old, signal.SIGUSR2)
        eventually(lambda: self.proxy.stderr.count(" has taken over") > n, "the new process takes over", 30)
        self.pid = int(re.findall(r"process (\d+) has taken over", self.proxy.stderr)[-1])
        if old == self.proxy.process.pid:
            self.proxy.process.wait(20 * SLOW)
        eventually(lambda: not is_alive(old), "the old process ends", 20)

    def forget_shown(self):
        for r in self.site.resources.values():
            r.shown.clear()

    def has_two(self, began):
        return any(end >= began for _, end in self.upgrades[-20:])

    def known_from(self, began):
        return clock() + (self.judge.slack if self.has_two(began) else 0)

    async def do_purge(self, connection, kind, what, soft):
        began = clock()
        while True:
            try:
                return await super().do_purge(connection, kind, what, soft)
            except model.Missing:
                if not self.has_two(began):
                    raise
                await asyncio.sleep(0.05)

    def forget_refreshes(self):
        for r in self.site.resources.values():
            r.refreshed.clear()
            r.shown.clear()

    async def do_refresh(self, connection, path):
        asked = clock()
        await super().do_refresh(connection, path)
        if any(end >= asked for _, end in self.downs[-20:]):
            self.site.resource(path).refreshed.clear()
            self.site.resource(path).shown.clear()

    async def do_cool(self, _):
        """The page cache forgets the segments, so that readers have to read."""
        await asyncio.to_thread(self._cool)

    def _cool(self):
        for f in pathlib.Path(self.path).glob("seg-*"):
            try:
                fd = os.open(f, os.O_RDONLY)
            except FileNotFoundError:
                continue
            os.fdatasync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
