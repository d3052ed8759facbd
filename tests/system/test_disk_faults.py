# SPDX-License-Identifier: MIT
"""A device that fails, seen from the client: each file call of a scenario fails in turn (support/faulty_files.c, preloaded).

Every response is right, what a purge was acknowledged for stays away, a counter and a log line say what happened, and when
the device is well again the disk tier is used again. DISK_FAULT_STEP=1: every call, not one in some.
"""
import errno
import mmap
import os
import struct
import subprocess
import time

import pytest

from conftest import need_binary
from support.origin import Reply
from support.proxy import Proxy, ROOT, SLOW, binary, eventually

pytestmark = pytest.mark.long

STEP = int(os.environ.get("DISK_FAULT_STEP", "5"))
ROUTES = {"route all": {"match": "*", "ttl": "600s"}}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    need_binary()
    with open(binary(), "rb") as f:
        if b"__asan_init" in (text := f.read()) or b"__tsan_init" in text:
            pytest.skip("a sanitizer's runtime wants to be the first library")
    out = tmp_path_factory.mktemp("faults") / "faulty_files.so"
    subprocess.run([os.environ.get("CC", "gcc"), "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", out,
                    ROOT / "tests/support/faulty_files.c", "-ldl"], check=True)
    return out


class Faulty(Proxy):
    """A proxy whose disk tier's calls fail from the n-th on, for as many as are wanted."""

    def __init__(self, origin, library, tmp_path, name):
        self.disk, page = str(tmp_path / name), tmp_path / f"{name}.faults"
        page.write_bytes(bytes(4096))
        with open(page, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)
        self.variables = {"LD_PRELOAD": str(library), "MEMOPROXY_FAULTS": str(page), "MEMOPROXY_FAULTS_UNDER": self.disk}
        super().__init__(origin.url, {"cache": {"memory": "1M", "max_object": "256K"},
                                      "disk": {"path": self.disk, "size": "4M"}, **ROUTES})

    def _launch(self):
        old = {k: os.environ.get(k) for k in self.variables}
        os.environ.update(self.variables)
        try:
            super()._launch()
        finally:
            for k, v in old.items():
                os.environ.pop(k) if v is None else os.environ.__setitem__(k, v)

    def get_number(self, i):
        return struct.unpack_from("q", self.page, 8 * i)[0]

    @property
    def calls(self):
        return self.get_number(0)

    @property
    def hits(self):
        return self.get_number(4)

    def fail(self, first, count, error):
        struct.pack_into("qqq", self.page, 8, self.calls + first, self.calls + first + count - 1, error)

    def heal(self):
        struct.pack_into("q", self.page, 8, 0)


class Scene:
    def __init__(self, origin, proxy):
        self.origin, self.proxy, self.stem = origin, proxy, origin.fresh("fault")
        self.version, self.floor = 1, {}

    def path(self, i):
        path = f"{self.stem}/{i}"
        n = (10, 3000, 40_000, 200_000)[i % 4]
        self.origin.on(path, lambda r: [Reply(body=(b"%s %d\n" % (path.encode(), self.version)) * (1 + n // 30))])
        return path

    def get(self, i):
        path = self.path(i)
        r = self.proxy.fetch(path)
        assert r.status == 200, r
        line = r.body.split(b"\n", 1)[0]
        assert line.split()[0] == path.encode() and r.body == (line + b"\n") * r.body.count(b"\n"), "a mixed answer"
        version = int(line.split()[1])
        assert version >= self.floor.get(i, 0), "it was purged"
        return r

    def purge(self, i):
        self.version += 1
        if self.proxy.admin("POST", f"/purge?url={self.path(i)}").status == 200:
            self.floor[i] = self.version

    def settled(self):
        """All that is to be written was, or was given up: what comes next finds room in the queue."""
        eventually(lambda: self.proxy.stats()["disk"]["queue"] == 0, "nothing waits to be written")

    def play(self):
        """Writes, reads of what memory has lost, room made, purges."""
        for i in range(14):
            self.get(i)
            self.settled()
        for i in range(0, 14, 3):
            self.get(i)
        self.purge(2)
        self.purge(5)
        for i in range(6):
            self.get(i)
            self.settled()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, 0], ids=["EIO", "ENOSPC", "short"])
@pytest.mark.parametrize("count", [1, 10**9], ids=["once", "from then on"])
def test_each_call_fails_in_turn(origin, library, tmp_path, error, count):
    first, reached = 1, True
    while reached:
        with Faulty(origin, library, tmp_path, f"disk{first}") as p:
            scene = Scene(origin, p)
            scene.get(0)
            scene.settled()  # no call comes between the counting and the fault
            p.fail(first, count, error)
            scene.play()
            reached = p.hits > 0
            p.heal()
            for i in range(14):
                scene.get(i)
            assert p.process.alive
        with Proxy(origin.url, p.sections) as again:  # what it left behind, on a device that is well
            scene.proxy = again
            for i in range(14):
                scene.get(i)
        first += STEP
    assert first > 25, "the scenario touches no files"


def test_it_says_so_and_recovers(origin, library, tmp_path):
    with Faulty(origin, library, tmp_path, "disk") as p:
        scene = Scene(origin, p)
        scene.play()
        eventually(lambda: p.stats()["disk"]["queue"] == 0, "all is written")
        puts = p.stats()["disk"]["puts"]
        p.fail(1, 10**9, errno.EIO)
        for i in range(100, 140):
            scene.get(i)
        stats = p.stats()["disk"]
        assert stats["write_errors"] > 0 and stats["puts"] <= puts + 40
        assert "disk: writing fails" in p.stderr
        assert p.admin("POST", f"/purge?url={scene.path(100)}").status == 503, "not on the device, not acknowledged"
        p.heal()
        number = [200]

        def writes_again():
            number[0] += 1
            scene.get(number[0])
            time.sleep(0.05 * SLOW)
            return p.stats()["disk"]["puts"] > stats["puts"]
        eventually(writes_again, "the disk tier is used again", 20)
        eventually(lambda: p.admin("POST", f"/purge?url={scene.path(100)}").status == 200, "purges too", 20)
