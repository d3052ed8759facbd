# SPDX-License-Identifier: MIT
"""The disk tier: warm after a restart, and never a wrong, mixed or purged byte, whatever became of the files."""
import hashlib
import os
import pathlib
import random
import signal
import subprocess
import threading

import pytest

from support.origin import Reply
from support.proxy import Proxy, SLOW, binary, eventually

RUNS = int(os.environ.get("DISK_CRASH_RUNS", "12"))
ROUTES = {"route all": {"match": "*", "ttl": "600s"}}


def text_of(path, version, n):
    """What the origin says for this URL and version: every byte depends on both."""
    seed = hashlib.sha256(f"{path} {version}".encode()).hexdigest()
    return (f"{path} {version} {n}\n" + seed * (n // 64 + 1))[:n + 40]


def version_of(body):
    path, version, n = body.split("\n", 1)[0].split()
    assert body == text_of(path, int(version), int(n)), "an answer that no origin gave"
    return path, int(version)


class Started(Proxy):
    def __enter__(self):
        return self


class Site:
    """Every path exists; its version is the number of times that everything was changed."""

    def __init__(self, origin, tmp_path, disk=None, sections=None):
        self.origin, self.version, self.asked = origin, 1, 0
        self.stem = origin.fresh("disk")
        self.path = str(tmp_path / "disk")
        self.sections = {"cache": {"memory": "8M", "max_object": "1M"},
                         "disk": {"path": self.path, "size": "64M", **(disk or {})}, **ROUTES, **(sections or {})}

    def serve(self, *names, n=200, fields=None):
        for name in names:
            path = self.stem + name
            size = n(name) if callable(n) else n

            def answer(request, path=path, size=size):
                self.asked += 1
                return [Reply(200, fields or {}, text_of(path, self.version, size))]
            self.origin.on(path, answer)
        return names

    def proxy(self):
        p = Started(self.origin.url, self.sections)
        p.start()
        eventually(lambda: p.admin_json("GET", "/readyz")["disk"]["ready"], "the disk tier is ready")
        return p

    def get(self, proxy, name):
        answer = proxy.fetch(self.stem + name)
        assert answer.status == 200, answer
        path, version = version_of(answer.body.decode())
        assert path == self.stem + name, "another URL's answer"
        return answer, version


@pytest.fixture
def site(origin, tmp_path):
    return Site(origin, tmp_path)


NAMES = [f"/{i}" for i in range(60)]


@pytest.mark.parametrize("end", [Proxy.stop, Proxy.crash])
def test_warm_after_a_restart(site, end):
    site.serve(*NAMES, n=lambda name: int(name[1:]) ** 3)  # up to 200 KB
    first = site.proxy()
    for name in NAMES:
        site.get(first, name)
        first.wait_written()  # else what the queue has no room for is not written
    end(first)
    asked = site.asked
    with site.proxy() as second:
        for name in NAMES:
            answer, _ = site.get(second, name)
            assert answer.is_hit and answer.cache_status["detail"] == "disk", answer
            assert answer.age >= 0
        assert site.asked == asked
        answer, _ = site.get(second, NAMES[0])
        assert answer.is_hit and "detail" not in answer.cache_status  # from memory by now
        assert second.stats()["disk"]["hits"] == len(NAMES)


@pytest.mark.parametrize("end", [Proxy.stop, Proxy.crash])
def test_what_had_no_vary_is_gone_once_its_key_varies(site, end):
    """RFC 9111 4.1: a response without Vary serves every request, so it may not outlive one that says what it depends on."""
    path = site.stem + "/v"
    site.sections["route all"] = {"match": "*", "ttl": "600s", "client_refresh": "on"}
    site.origin.on(path, lambda request: [Reply(200, {"Vary": "X-V"} if request.get("X-V") else {},
                                                f"for {request.get('X-V', 'all')}")])
    first = site.proxy()
    assert first.fetch(path).body == b"for all"
    first.wait_written()
    assert first.fetch(path, {"X-V": "one", "Cache-Control": "no-cache"}).body == b"for one"
    first.wait_written()
    end(first)
    second = site.proxy()
    assert second.fetch(path, {"X-V": "two"}).body == b"for two"
    second.wait_written()  # while a response of the key waits to be written, what lies there is not looked at
    answer = second.fetch(path, {"X-V": "one"})
    assert answer.body == b"for one" and answer.is_hit
    assert second.fetch(path, {"Cache-Control": "no-cache"}).body == b"for all"
    second.wait_written()
    end(second)
    with site.proxy() as third:
        answer = third.fetch(path, {"X-V": "one"})
        assert answer.body == b"for all" and answer.is_hit, "what the answer without Vary replaced"


def test_large_responses_come_back_whole(site):
    site.serve("/big", n=900_000)
    with site.proxy() as p:
        site.get(p, "/big")
        p.wait_written()
    with site.proxy() as p:
        answer, _ = site.get(p, "/big")
        assert answer.is_hit and len(answer.body) > 900_000
        part = p.fetch(site.stem + "/big", {"Range": "bytes=5-9"})
        assert part.status == 206 and part.body == answer.body[5:10]


def test_range_and_head_are_answered_from_disk(site):
    site.serve("/r", "/h")
    with site.proxy() as p:
        site.get(p, "/r")
        site.get(p, "/h")
        p.wait_written()
    with site.proxy() as p:
        asked = site.asked
        assert p.fetch(site.stem + "/r", {"Range": "bytes=0-3"}).status == 206
        head = p.fetch(site.stem + "/h", method="HEAD")
        assert head.status == 200 and head.is_hit
        assert site.asked == asked


def test_what_memory_evicts_is_on_disk(origin, tmp_path):
    site = Site(origin, tmp_path, sections={"cache": {"memory": "1M", "max_object": "64K"}})
    names = site.serve(*[f"/{i}" for i in range(100)], n=30_000)
    with site.proxy() as p:
        for name in names:
            site.get(p, name)
            p.wait_written()
        asked = site.asked
        for name in names:
            assert site.get(p, name)[0].is_hit, name
        assert site.asked == asked
        assert p.stats()["disk"]["hits"] > 50


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("how", ["url", "prefix", "tag", "all"])
def test_a_purge_outlives_a_crash(site, how, soft):
    site.serve("/a", "/b/1", fields={"Cache-Tag": "news"})
    site.serve("/other")
    first = site.proxy()
    for name in ("/a", "/b/1", "/other"):
        site.get(first, name)
    first.wait_written()
    scope = {"url": {"url": site.stem + "/a"}, "prefix": {"prefix": site.stem + "/"}, "tag": {"tag": "news"},
             "all": {"all": 1}}[how]
    first.purge(soft=soft, **scope)
    first.crash()
    site.version = 2
    with site.proxy() as second:
        assert site.get(second, "/a")[1] == 2
        assert site.get(second, "/other")[1] == (2 if how in ("prefix", "all") else 1)


@pytest.mark.parametrize("end", [Proxy.stop, Proxy.crash])
@pytest.mark.parametrize("how", ["url", "prefix", "write"])
def test_a_purge_of_another_spelling_outlives_a_restart(site, origin, how, end):
    """From the journal after a crash, from the checkpoint after a stop: once more, so that it is from the checkpoint after both."""
    site.serve("/joe", "/%6aoe", "/jo%2fe")
    first = site.proxy()
    for name in ("/joe", "/%6aoe", "/jo%2fe"):
        site.get(first, name)
    first.wait_written()
    if how == "write":
        origin.on(site.stem + "/j%6fe", [Reply(204)], method="DELETE")
        first.fetch(site.stem + "/j%6fe", method="DELETE")
    else:
        first.purge(**{how: site.stem + "/j%6fe"})
    end(first)
    with site.proxy():
        pass
    site.version = 2
    with site.proxy() as last:
        assert [site.get(last, name)[1] for name in ("/joe", "/%6aoe", "/jo%2fe")] == [2, 2, 1]


def test_a_purge_holds_for_what_is_on_disk_only(site):
    site.serve("/a")
    with site.proxy() as p:
        site.get(p, "/a")
    with site.proxy() as p:
        p.purge(prefix=site.stem)
        site.version = 2
        assert site.get(p, "/a")[1] == 2


def test_variants_come_back_each_to_its_own(site, origin):
    path = site.stem + "/v"
    origin.on(path, lambda r: [Reply(200, {"Vary": "X-Kind"}, r.get("X-Kind", "none"))])
    kinds = ["one", "two", "three"]
    with site.proxy() as p:
        for kind in kinds:
            assert p.fetch(path, {"X-Kind": kind}).body.decode() == kind
        p.wait_written()
    with site.proxy() as p:
        for kind in kinds:
            answer = p.fetch(path, {"X-Kind": kind})
            assert answer.is_hit and answer.body.decode() == kind
        assert not p.fetch(path, {"X-Kind": "four"}).is_hit


def test_stale_responses_are_validated_and_refreshed(site, origin):
    path, seen = site.stem + "/s", []

    def answer(request):
        seen.append(request.get("If-None-Match"))
        fields = {"ETag": '"1"', "Cache-Control": "max-age=0" if len(seen) == 1 else "max-age=600"}
        return [Reply(304, fields) if seen[-1] else Reply(200, fields, b"validated")]
    origin.on(path, answer)
    with site.proxy() as p:
        assert p.fetch(path).body == b"validated"
        p.wait_written()
    with site.proxy() as p:
        assert p.fetch(path).body == b"validated"
        p.wait_written()
    with site.proxy() as p:
        answer = p.fetch(path)
        assert answer.is_hit and answer.body == b"validated"
    assert seen == [None, '"1"']


def test_stale_responses_stand_in_for_errors(site, origin):
    path = site.stem + "/e"
    origin.on(path, [Reply(200, {"Cache-Control": "max-age=0, stale-if-error=600"}, b"old")], [Reply(500, {}, b"new")])
    with site.proxy() as p:
        assert p.fetch(path).body == b"old"
        p.wait_written()
    with site.proxy() as p:
        assert p.fetch(path).body == b"old"


def test_a_herd_after_a_restart_asks_nobody(site):
    site.serve("/herd", n=400_000)
    with site.proxy() as p:
        site.get(p, "/herd")
    asked = site.asked
    with site.proxy() as p:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(site.get(p, "/herd"))) for _ in range(30)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(answers) == 30
    assert site.asked == asked


def room_of(folder):
    room = 0
    for f in folder.glob("seg-*"):
        try:
            room += f.stat().st_blocks * 512
        except FileNotFoundError:  # reclaimed just now
            pass
    return room


def test_capacity_is_kept(origin, tmp_path):
    site = Site(origin, tmp_path, disk={"size": "4M"})
    names = site.serve(*[f"/{i}" for i in range(300)], n=50_000)
    with site.proxy() as p:
        for name in names:
            site.get(p, name)
            stats = p.stats()["disk"]
            assert stats["bytes"] <= 4 << 20
            assert room_of(pathlib.Path(site.path)) <= (4 << 20) + 65536
        eventually(lambda: p.stats()["disk"]["reclaimed_segments"] > 0, "room is made")
        assert p.stats()["disk"]["objects"] > 10


def test_a_second_process_is_told_so(site, tmp_path):
    site.serve("/a")
    with site.proxy() as p:
        config = tmp_path / "second.ini"
        config.write_text(f"[proxy]\nlisten = 127.0.0.1:1\n[admin]\nlisten = off\n[disk]\npath = {site.path}\n"
                          "[upstream]\nurl = http://127.0.0.1:2\n")
        second = subprocess.run([binary(), "-c", str(config)], capture_output=True, text=True, timeout=20 * SLOW)
        assert second.returncode == 1
        assert second.stderr.splitlines() == [f"memoproxy: disk: {site.path} is in use by another process"]
        assert site.get(p, "/a")


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path):
    config = tmp_path / "proxy.ini"
    config.write_text(f"[proxy]\nlisten = 127.0.0.1:1\n[disk]\npath = {tmp_path}/no/such\n[upstream]\nurl = http://127.0.0.1:2\n")
    r = subprocess.run([binary(), "-c", str(config)], capture_output=True, text=True, timeout=20 * SLOW)
    assert r.returncode == 1 and r.stderr.startswith("memoproxy: disk: ") and r.stderr.count("\n") == 1, r.stderr


def test_disk_check(site):
    site.serve(*NAMES)
    with site.proxy() as p:
        for name in NAMES:
            site.get(p, name)
    r = subprocess.run([binary(), "disk-check", site.path], capture_output=True, text=True, timeout=20 * SLOW)
    assert r.returncode == 0 and r.stdout, (r.stdout, r.stderr)
    segment = max(pathlib.Path(site.path).glob("seg-*"), key=lambda f: f.stat().st_size)
    with open(segment, "r+b") as f:
        f.seek(300)
        f.write(b"damage")
    r = subprocess.run([binary(), "disk-check", site.path], capture_output=True, text=True, timeout=20 * SLOW)
    assert r.returncode == 1


def test_disk_check_says_once_what_keeps_it_from_looking(site, tmp_path):
    def said(path):
        r = subprocess.run([binary(), "disk-check", str(path)], capture_output=True, text=True, timeout=20 * SLOW)
        assert r.returncode == 1
        return r.stdout + r.stderr
    (tmp_path / "empty").mkdir()
    assert said(tmp_path / "empty") == f"{tmp_path}/empty: no disk tier's directory (it has no FORMAT)\n"
    assert said(tmp_path / "none") == f"{tmp_path}/none: No such file or directory\n"
    with site.proxy():
        assert said(site.path) == f"{site.path} is in use by another process\n"


def test_second_hit(origin, tmp_path):
    site = Site(origin, tmp_path, disk={"admit": "second_hit"})
    site.serve("/once")
    with site.proxy() as p:
        site.get(p, "/once")
        assert p.stats()["disk"]["dropped_admit"] == 1
        p.refresh(site.stem + "/once")
        eventually(lambda: p.stats()["disk"]["objects"] == 1, "it is written")


def test_explain_says_what_is_on_disk(site):
    site.serve("/a")
    with site.proxy() as p:
        assert p.explain(site.stem + "/a")["disk"] is False
        site.get(p, "/a")
        eventually(lambda: p.explain(site.stem + "/a")["disk"] is True, "it is on disk")
        assert p.explain(site.stem + "/a")["tier"] == "memory"
        p.restart_from_disk()
        said = p.explain(site.stem + "/a")
        assert said["summary"].startswith("Cached: on disk") and said["tier"] == "disk"


@pytest.fixture
def small_device(tmp_path):
    folder = tmp_path / "device"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3M", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_device_costs_hits_only(origin, tmp_path, small_device):
    site = Site(origin, tmp_path, disk={"path": f"{small_device}/disk"})
    names = site.serve(*[f"/{i}" for i in range(100)], n=60_000)
    with site.proxy() as p:
        for _ in range(2):
            for name in names:
                site.get(p, name)
        assert p.stats()["disk"]["write_errors"] > 0
        p.purge(url=site.stem + names[0])
        site.version = 2
        assert site.get(p, names[0])[1] == 2
        assert p.stats()["disk"]["dropped_error"] > 0
    with site.proxy() as p:
        assert site.get(p, names[0])[1] == 2


def damage(folder, rng):
    files = [f for f in folder.iterdir() if f.is_file() and f.stat().st_size]
    for _ in range(rng.randrange(1, 12)):
        f = rng.choice(files)
        n = f.stat().st_size
        if n == 0:  # cut off a moment ago
            continue
        if rng.random() < 0.15:
            os.truncate(f, rng.randrange(n))
            continue
        with open(f, "r+b") as file:
            at = rng.choice([rng.randrange(n), rng.randrange(min(n, 60_000)), rng.randrange(min(n, 300))])
            file.seek(at)
            file.write(rng.randbytes(rng.choice([1, 1, 8, 200])))


@pytest.mark.long
def test_damaged_files_never_make_a_wrong_response(origin, tmp_path):
    site = Site(origin, tmp_path, disk={"size": "8M"})
    site.serve(*NAMES, n=lambda name: int(name[1:]) * 300)
    rng = random.Random(7)
    hits = 0
    for _ in range(RUNS):
        p = site.proxy()
        for name in NAMES:
            hits += site.get(p, name)[0].is_hit
        p.wait_written()
        p.stop()
        damage(pathlib.Path(site.path), rng)
    assert site.asked > len(NAMES)


class Load:
    """Gets, and purges each followed by a new version: what was purged, and acknowledged, may not come back."""

    def __init__(self, site, proxy, names, seed):
        self.site, self.proxy, self.names, self.rng = site, proxy, names, random.Random(seed)
        self.floor = {name: 0 for name in names}
        self.problem, self.is_ending = None, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while True:
                name = self.rng.choice(self.names)
                if self.rng.random() < 0.1:
                    self.site.version += 1
                    version = self.site.version
                    self.proxy.purge(url=self.site.stem + name)
                    self.floor[name] = version
                else:
                    _, version = self.site.get(self.proxy, name)
                    if version < self.floor[name]:
                        self.problem = f"{name}: {version} after the purge before {self.floor[name]}"
                        return
        except Exception as e:
            if not self.is_ending:
                self.problem = repr(e)


@pytest.mark.long
def test_killed_under_load_it_forgets_but_never_lies(origin, tmp_path):
    site = Site(origin, tmp_path, disk={"size": "4M"}, sections={"cache": {"memory": "1M", "max_object": "256K"}})
    names = site.serve(*[f"/{i}" for i in range(80)], n=lambda name: int(name[1:]) ** 2 * 20)
    rng = random.Random(3)
    floor = {name: 0 for name in names}
    warm = 0
    for run in range(RUNS):
        p = site.proxy()
        for name in names:
            answer, version = site.get(p, name)
            assert version >= floor[name], f"run {run}: {name} came back after its purge"
            warm += answer.is_hit
        load = Load(site, p, names, run)
        load.floor.update(floor)
        load.thread.join(rng.random() * 1.5)
        load.is_ending = True
        p.process.signal(signal.SIGKILL)
        load.thread.join()
        floor = load.floor
        assert load.problem is None, load.problem
        p.crash()
    assert warm > 0
