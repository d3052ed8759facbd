# SPDX-License-Identifier: MIT
"""A new process takes over without a request failing; sockets that systemd passes; what the service manager is told."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from support.origin import Reply, Send, Wait, head
from support.proxy import SANITIZER, SLOW, Port, Proxy, WITH_DISK, binary, eventually, is_alive, sanitized_environment
from support.rawclient import Client, build, fetch

pytestmark = [pytest.mark.tiers, pytest.mark.threads]

ALL = {"route all": {"match": "*", "ttl": "60s"}}


def gone(pid):
    eventually(lambda: not is_alive(pid), f"process {pid} ends")


class Upgraded:
    """A proxy whose process is replaced; the newest one is ended by its id."""

    def __init__(self, proxy):
        self.proxy, self.pids = proxy, [proxy.process.pid]

    def upgrade(self):
        n = self.proxy.stderr.count("has taken over")
        os.kill(self.pids[-1], signal.SIGUSR2)
        eventually(lambda: self.proxy.stderr.count("has taken over") > n, "the new process takes over", 20)
        self.pids.append(int(re.findall(r"process (\d+) has taken over", self.proxy.stderr)[-1]))

    def end(self):
        for pid in self.pids[1:]:
            if is_alive(pid):
                os.kill(pid, signal.SIGTERM)
                gone(pid)


@pytest.fixture
def upgraded(start_proxy):
    started = []

    def start(sections=None, **kwargs):
        started.append(Upgraded(start_proxy(sections or ALL, **kwargs)))
        return started[-1]
    yield start
    for u in started:
        u.end()
        assert not SANITIZER.search(u.proxy.stderr.encode()), u.proxy.stderr[-4000:]


def test_the_new_process_serves_and_the_old_one_ends(upgraded, origin):
    u = upgraded()
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    assert u.proxy.fetch(path).body == b"x"
    u.upgrade()
    gone(u.pids[0])
    assert u.proxy.process.wait(20) == 0
    assert u.proxy.fetch(path).body == b"x"
    assert u.proxy.ready(), "operators reach the new one"
    u.upgrade()
    gone(u.pids[1])
    assert WITH_DISK or u.proxy.fetch(path).is_hit is False, "memory does not move along"


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "a connection a request"])
def test_no_request_fails_during_upgrades(upgraded, origin, keep_alive):
    u = upgraded(grace="10s")
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.target.encode())])
    stop, problems, answered = threading.Event(), [], [0] * 4

    def load(n):
        c = None
        i = 0
        try:
            while not stop.is_set():
                c = c or Client(u.proxy.port)
                target = f"{path}?{n}-{i % 30}"
                r = c.get(target)
                if r.status != 200 or r.body != target.encode():
                    problems.append((r.status, r.body))
                if not keep_alive or "close" in r.tokens:
                    c.close()
                    c = None
                i += 1
                answered[n] = i
        except (OSError, AssertionError) as e:
            problems.append(repr(e))
        finally:
            if c:
                c.close()
    threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for _ in range(3):
        before = min(answered)
        eventually(lambda: min(answered) > before + 20 or problems, "requests are answered")
        u.upgrade()
        gone(u.pids[-2])
    before = min(answered)
    eventually(lambda: min(answered) > before + 20 or problems, "requests are answered")
    stop.set()
    for t in threads:
        t.join()
    assert not problems, problems[:3]


def test_what_the_old_process_has_it_finishes(upgraded, origin):
    u = upgraded(grace="30s")
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"late")])
    with u.proxy.client() as c, u.proxy.client() as idle:
        c.start(target=path)
        origin.wait_for(path)
        quick = origin.on(origin.fresh(), [Reply(body=b"x")])
        assert idle.get(quick).body == b"x"
        u.upgrade()
        eventually(lambda: "close" in idle.get(quick).tokens, "a last response on a connection that was idle, once its worker has been told")
        assert is_alive(u.pids[0])
        gate.open()
        r = c.response()
        assert r.body == b"late" and "close" in r.tokens
    gone(u.pids[0])


def test_another_configuration_and_number_of_workers(upgraded, origin):
    u = upgraded(workers=3)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    for workers in (1, 4, 2):
        u.proxy.workers = workers
        u.proxy.write_config()
        u.upgrade()
        gone(u.pids[-2])
        for _ in range(30):
            assert u.proxy.fetch(path).body == b"x"
        assert u.proxy.stats()["workers"] == workers


def accepts(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5):
            return True
    except ConnectionRefusedError:
        return False


def test_listen_addresses_come_and_go_with_an_upgrade(upgraded, origin):
    """What is no longer named is closed, what is new is bound; the other sockets move along."""
    kept, dropped, added = Port(), Port(), Port()

    def listens(*ports, admin=None, **keys):
        return {"proxy": {"listen": ", ".join(f"127.0.0.1:{p.number}" for p in ports), **keys},
                "admin": {"listen": admin or f"127.0.0.1:{u.proxy.admin_port}"}}

    u = upgraded({"proxy": {"listen": f"127.0.0.1:{kept.number}, 127.0.0.1:{dropped.number}"}, **ALL})
    path = origin.on(origin.fresh(), [Reply(body=b"x")])

    def serves(port):
        return fetch(port.number, path).body == b"x"

    assert serves(kept) and serves(dropped)
    with Client(dropped.number) as old_client:
        assert old_client.get(path).body == b"x"
        u.proxy.write_config({**ALL, **listens(kept, added)})
        u.upgrade()
        assert serves(kept) and serves(added)
        eventually(lambda: not accepts(dropped.number), "nobody listens there any more")
        assert "no longer listening on 127.0.0.1:%d" % dropped.number in u.proxy.stderr
        gone(u.pids[0])
    # All of them change, and what was clients' is operators'.
    u.proxy.write_config({**ALL, **listens(dropped, workers=1, admin=f"127.0.0.1:{added.number}")})
    u.upgrade()
    gone(u.pids[1])
    assert serves(dropped) and fetch(added.number, "/healthz", host=f"127.0.0.1:{added.number}").status == 200
    assert not accepts(kept.number)
    # Each other's: one wider than it was, on the same port.
    u.proxy.write_config({**ALL, **listens(workers=2, admin=f"127.0.0.1:{u.proxy.admin_port}"),
                          "proxy": {"listen": f"0.0.0.0:{dropped.number}"}})
    u.upgrade()
    gone(u.pids[2])
    assert serves(dropped) and u.proxy.ready()
    u.proxy.write_config({**ALL, **listens(dropped)})
    u.upgrade()
    gone(u.pids[3])
    assert serves(dropped)
    for p in (kept, dropped, added):
        p.release()


def test_addresses_that_can_not_be_bound_leave_all_as_it_was(upgraded, origin):
    kept, dropped = Port(), Port()
    u = upgraded({"proxy": {"listen": f"127.0.0.1:{kept.number}, 127.0.0.1:{dropped.number}"}, **ALL})
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    with listening() as others:
        taken = others.getsockname()[1]
        u.proxy.write_config({"proxy": {"listen": f"127.0.0.1:{kept.number}, 127.0.0.1:{taken}"}, **ALL})
        os.kill(u.pids[0], signal.SIGUSR2)
        eventually(lambda: "this one goes on" in u.proxy.stderr, "the new process gives up", 20)
        assert f"can't listen on 127.0.0.1:{taken}" in u.proxy.stderr
        for port in (kept, dropped):
            assert fetch(port.number, path).body == b"x"
    u.proxy.write_config({"proxy": {"listen": f"127.0.0.1:{kept.number}"}, **ALL})
    u.upgrade()
    gone(u.pids[0])
    assert fetch(kept.number, path).body == b"x" and not accepts(dropped.number)
    for p in (kept, dropped):
        p.release()


def test_a_new_process_that_can_not_start_changes_nothing(upgraded, origin):
    u = upgraded()
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    u.proxy.fetch(path)
    good = pathlib.Path(u.proxy.config_path).read_text(encoding="ascii")
    pathlib.Path(u.proxy.config_path).write_text("[nonsense]\n", encoding="ascii")
    os.kill(u.pids[0], signal.SIGUSR2)
    eventually(lambda: "ended before it was ready" in u.proxy.stderr, "the old one says so")
    assert u.proxy.fetch(path).is_hit and u.proxy.ready()
    pathlib.Path(u.proxy.config_path).write_text(good, encoding="ascii")
    u.upgrade()
    assert u.proxy.fetch(path).body == b"x"


def test_the_file_that_is_at_the_path_now_is_started(origin, tmp_path):
    """A package replaces the file: the new one runs, not the one that the process was started from."""
    program = tmp_path / "memoproxy"
    shutil.copy2(binary(), program)
    proxy = Proxy(origin.url, ALL)
    proxy.ports = None
    old = os.environ.get("MEMOPROXY_BIN")
    os.environ["MEMOPROXY_BIN"] = str(program)
    try:
        proxy.start()
    finally:
        os.environ.pop("MEMOPROXY_BIN") if old is None else os.environ.__setitem__("MEMOPROXY_BIN", old)
    u = Upgraded(proxy)
    try:
        shutil.copy2(binary(), str(program) + ".new")
        os.rename(str(program) + ".new", program)
        u.upgrade()
        assert os.readlink(f"/proc/{u.pids[-1]}/exe") == str(program)
        gone(u.pids[0])
        program.unlink()
        os.kill(u.pids[-1], signal.SIGUSR2)
        eventually(lambda: "ended before it was ready" in proxy.stderr, "no file, no upgrade")
        assert proxy.ready()
    finally:
        u.end()
        proxy.stop()


def test_signals_during_an_upgrade(upgraded, origin):
    u = upgraded()
    for _ in range(5):
        os.kill(u.pids[0], signal.SIGUSR2)
    eventually(lambda: "has taken over" in u.proxy.stderr, "one of them", 20)
    u.pids.append(int(re.findall(r"process (\d+) has taken over", u.proxy.stderr)[-1]))
    gone(u.pids[0])
    assert u.proxy.stderr.count("has taken over") == 1
    assert u.proxy.ready()


# ---- what both processes must know ----

def with_disk(tmp_path):
    return {**ALL, "disk": {"path": f"{tmp_path}/disk", "size": "64M"}}


def test_the_disk_tier_moves_along(upgraded, origin, tmp_path):
    u = upgraded(with_disk(tmp_path))
    paths = [origin.on(origin.fresh(), lambda r: [Reply(body=r.target.encode() * 1000)]) for _ in range(50)]
    for _ in range(2):
        for path in paths:
            u.proxy.fetch(path)
        u.upgrade()  # what is still queued is written by the old one
        eventually(lambda: u.proxy.admin_json("GET", "/readyz")["disk"]["ready"], "the disk tier is read in")
        for path in paths:
            r = u.proxy.fetch(path)
            assert r.is_hit and r.cache_status["detail"] == "disk" and r.body == path.encode() * 1000
        gone(u.pids[-2])


def test_a_write_that_the_old_process_finishes_holds_in_the_new_one(upgraded, origin, tmp_path):
    u = upgraded(with_disk(tmp_path), grace="30s")
    version = [1]
    gate = origin.gate()
    path = origin.on(origin.fresh(), lambda r: [Reply(body=b"%d" % version[0])])
    origin.on(path, [Wait(gate), Reply(body=b"")], method="POST")
    assert u.proxy.fetch(path).body == b"1"
    with u.proxy.client() as writer:
        writer.start(method="POST", target=path, body=b"x")
        origin.wait_for(path, 2)
        u.upgrade()
        eventually(lambda: u.proxy.admin_json("GET", "/readyz")["disk"]["ready"], "the disk tier is read in")
        assert u.proxy.fetch(path).is_hit, "what the disk brought"
        version[0] = 2
        gate.open()
        assert writer.response().status == 200
        eventually(lambda: u.proxy.fetch(path).body == b"2", "the new process knows")
    gone(u.pids[0])
    os.kill(u.pids[-1], signal.SIGKILL)
    gone(u.pids[-1])
    with Proxy(origin.url, u.proxy.sections) as again:
        eventually(lambda: again.admin_json("GET", "/readyz")["disk"]["ready"], "the disk tier is read in")
        assert again.fetch(path).body == b"2"


@pytest.mark.parametrize("answer", [Reply(body=b"2"), Reply(404, body=b"gone")], ids=["stored", "gone"])
def test_a_refresh_that_the_old_process_finishes_holds_in_the_new_one(upgraded, origin, tmp_path, answer):
    """Nothing but the refresh keeps the old one. Its response comes, and from then on nobody gets what was there before."""
    u = upgraded(with_disk(tmp_path), grace="30s")
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Reply(body=b"1")], [Wait(gate), answer], [Reply(body=b"3")])
    assert u.proxy.fetch(path).body == b"1"
    with Client(u.proxy.admin_port) as operator:
        operator.send(build("POST", "/refresh?url=" + path, host=f"127.0.0.1:{u.proxy.admin_port}"))
        origin.wait_for(path, 2)
        u.upgrade()
        eventually(lambda: u.proxy.admin_json("GET", "/readyz")["disk"]["ready"], "the disk tier is read in")
        assert u.proxy.fetch(path).body == b"1", "what the disk brought"
        gate.open()
        r = operator.response("POST")
        assert r.status == 200 and r.json()["stored"] is (answer.status == 200)
    assert u.proxy.fetch(path).body == b"3"
    gone(u.pids[0])
    os.kill(u.pids[-1], signal.SIGKILL)
    gone(u.pids[-1])
    with Proxy(origin.url, u.proxy.sections) as again:
        eventually(lambda: again.admin_json("GET", "/readyz")["disk"]["ready"], "the disk tier is read in")
        assert again.fetch(path).body == b"3"


def test_a_refresh_in_the_new_process_holds_in_the_old_one(upgraded, origin, tmp_path):
    u = upgraded(with_disk(tmp_path), grace="30s")
    path = origin.on(origin.fresh(), [Reply(body=b"1")], [Reply(body=b"2")])
    with u.proxy.client() as kept:
        assert kept.get(path).body == b"1"
        u.upgrade()
        assert u.proxy.refresh(path)["stored"] is True
        assert kept.get(path).body != b"1", "an old connection's last answer"
    gone(u.pids[0])


def with_parts(origin, tmp_path):
    """A path whose part waits at a gate when it is first asked for; and a request for that."""
    gate, part = origin.gate(), {"Content-Range": "bytes 0-0/2"}
    path = origin.on(origin.fresh(), [Wait(gate), Reply(206, part, b"1")], [Reply(body=b"2-")], [Reply(206, part, b"2")])
    sections = {**with_disk(tmp_path), "route all": {"match": "*", "ttl": "60s", "range_fill": "pass"}}
    return sections, gate, path, {"target": path, "fields": {"Range": "bytes=0-0"}}


# Nothing is stored of the key where the part is asked for, when that process is told of it.

def test_a_part_that_the_old_process_asked_for_before_a_refresh_in_the_new_one_is_not_kept(upgraded, origin, tmp_path):
    sections, gate, path, part = with_parts(origin, tmp_path)
    u = upgraded(sections, grace="30s")
    with u.proxy.client() as slow, u.proxy.client() as kept:
        slow.start(**part)
        origin.wait_for(path)
        u.upgrade()
        assert u.proxy.refresh(path)["stored"] is True
        gate.open()
        assert slow.response().body == b"1", "for who had asked before"
        assert kept.request(**part).body == b"2", "an old connection's last answer"
    gone(u.pids[0])


def test_a_part_that_the_new_process_asked_for_before_the_old_one_fetched_the_whole_is_not_kept(upgraded, origin, tmp_path):
    sections, gate, path, part = with_parts(origin, tmp_path)
    probe = origin.on(origin.fresh(), [Reply(body=b"1")], [Reply(body=b"2")])
    u = upgraded(sections, grace="30s")
    with u.proxy.client() as kept, u.proxy.client() as prober:
        u.upgrade()
        assert u.proxy.fetch(probe).body == b"1"
        with u.proxy.client() as slow:
            slow.start(**part)
            origin.wait_for(path)
            assert kept.get(path).body == b"2-" and prober.get(probe).body == b"2", "old connections' last answers"
            eventually(lambda: u.proxy.fetch(probe).body != b"1", "the new process is told of both, in order")
            gate.open()
            assert slow.response().body == b"1", "for who had asked before"
        assert u.proxy.fetch(**part).body == b"2"
    gone(u.pids[0])


@pytest.mark.skipif(WITH_DISK, reason="the new process would find it on disk")
@pytest.mark.parametrize("answer", [Reply(body=b"2"), Reply(404, body=b"2")], ids=["stored", "gone"])
def test_what_the_new_process_fetches_the_old_one_has_no_older_one_of(upgraded, origin, answer):
    u = upgraded(grace="30s")
    path, probe = [origin.on(origin.fresh(), [Reply(body=b"1")], [answer]) for _ in range(2)]
    kept, probers = u.proxy.client(), [u.proxy.client() for _ in range(100)]
    assert kept.get(path).body == b"1" and all(c.get(probe).body == b"1" for c in probers)
    u.upgrade()
    assert u.proxy.fetch(path).body == b"2" and u.proxy.fetch(probe).body == b"2"
    # The old process is told of both in order, and gives one more response on each connection.
    eventually(lambda: probers.pop().get(probe).body == b"2", "the old process is told")
    assert kept.get(path).body == b"2"
    for c in [kept, *probers]:
        c.close()
    gone(u.pids[0])


def test_what_the_old_process_fetches_the_new_one_has_no_older_one_of(upgraded, origin, tmp_path):
    """It has left memory, and the old process has given the disk away."""
    u = upgraded({**with_disk(tmp_path), "route all": {"match": "*", "ttl": "60s", "memory_idle": "1s"}}, grace="30s")
    version = [1]
    path = origin.on(origin.fresh(), lambda r: [Reply(body=b"%d" % version[0])])
    with u.proxy.client() as kept:
        assert kept.get(path).body == b"1"
        eventually(lambda: u.proxy.stats()["cache"]["objects"] == 0, "it is on disk only", 20)
        u.upgrade()
        version[0] = 2
        assert kept.get(path).body == b"2", "an old connection's last answer"
        eventually(lambda: u.proxy.fetch(path).body == b"2", "the new process is told")
    gone(u.pids[0])


def test_what_the_old_process_begins_on_an_operators_connection_it_answers(upgraded, origin):
    u = upgraded(grace="30s")
    with Client(u.proxy.admin_port) as operator:
        operator.send(build("GET", "/healthz", host=f"127.0.0.1:{u.proxy.admin_port}"))
        assert operator.response().status == 200
        gate = origin.gate()
        path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"x")])
        operator.send(build("POST", "/refresh?url=" + path, host=f"127.0.0.1:{u.proxy.admin_port}"))
        origin.wait_for(path)
        os.kill(u.pids[0], signal.SIGTERM)
        eventually(lambda: "stopping" in u.proxy.stderr, "it stops")
        gate.open()
        r = operator.response("POST")
        assert r.status == 200 and r.json()["stored"] is True
    assert u.proxy.process.wait(20) == 0


@pytest.mark.parametrize("spell", [lambda path: path, lambda path: path[:-1] + f"%{ord(path[-1]):x}"], ids=["as stored", "escaped"])
def test_a_purge_in_the_new_process_holds_in_the_old_one(upgraded, origin, tmp_path, spell):
    u = upgraded(with_disk(tmp_path), grace="30s")
    path = origin.on(origin.fresh(), [Reply(body=b"1")], [Reply(body=b"2")])
    kept = [u.proxy.client() for _ in range(100)]
    assert all(c.get(path).body == b"1" for c in kept)
    u.upgrade()
    u.proxy.purge(url=spell(path))

    def purged_there():
        """The old process is told, not waited for, and gives one more answer on each connection."""
        with kept.pop() as c:
            r = c.get(path)
        assert "close" in r.tokens
        return r.body == b"2"
    eventually(purged_there, "the old process is told")
    for c in kept:
        c.close()
    gone(u.pids[0])


@pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
def test_a_purge_is_as_soft_in_the_other_process(upgraded, origin, tmp_path, soft):
    u = upgraded({**with_disk(tmp_path), "route all": {"match": "*", "ttl": "60s", "stale_if_error": "60s"}}, grace="30s")
    path, probe = [origin.on(origin.fresh(), [Reply(body=b"1")], [Reply(500, body=b"2")]) for _ in range(2)]
    kept = u.proxy.client()
    probers = [u.proxy.client() for _ in range(100)]
    assert kept.get(path).body == b"1" and all(c.get(probe).body == b"1" for c in probers)
    u.upgrade()
    u.proxy.purge(url=path, soft=soft)
    u.proxy.purge(url=probe)
    # The old process is told of both in order, and gives one more response on each connection.
    eventually(lambda: probers.pop().get(probe).body == b"2", "the old process is told")
    assert kept.get(path).body == (b"1" if soft else b"2")
    assert origin.count(path) == 2
    for c in [kept, *probers]:
        c.close()
    gone(u.pids[0])


def test_what_was_purged_stays_away_over_upgrades(upgraded, origin, tmp_path):
    """Gets, purges and writes all the time; what was acknowledged is never undone. A purge may be refused in between."""
    u = upgraded(with_disk(tmp_path), grace="10s")
    lock = threading.Lock()
    stem = origin.fresh()
    versions, floors, problems, stop = {}, {}, [], threading.Event()
    names = [f"{stem}/{i}" for i in range(20)]
    for name in names:
        versions[name], floors[name] = 1, (0, 0)
        origin.on(name, lambda r, name=name: [Reply(body=b"%d" % versions[name])])

    def change(name, how):
        with lock:
            versions[name] += 1
            version = versions[name]
        if how():
            with lock:
                # Between the processes a moment passes; what it left behind is looked for at the end.
                floors[name] = max(floors[name], (version, time.monotonic() + 2 * SLOW))

    def purge(name):
        try:
            return u.proxy.admin("POST", f"/purge?url={name}").status == 200
        except (OSError, AssertionError):
            return False

    def run(n):
        connection, i = None, n
        try:
            while not stop.is_set():
                i += 7
                name = names[i % len(names)]
                connection = connection or Client(u.proxy.port)
                with lock:
                    floor, since = floors[name]
                if n == 0 and i % 3 == 0:
                    change(name, lambda: purge(name))
                elif n == 1 and i % 3 == 0:
                    change(name, lambda: connection.request("POST", name, body=b"x").status == 200)
                    connection.close()
                    connection = None
                    continue
                began = time.monotonic()
                r = connection.get(name)
                if began > since and int(r.body) < floor:
                    problems.append(f"{name}: {r.body} after {floor}, {r}")
                if "close" in r.tokens:
                    connection.close()
                    connection = None
        except (OSError, AssertionError) as e:
            problems.append(repr(e))
    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for _ in range(4):
        before = dict(versions)
        eventually(lambda: sum(versions[n] > before[n] for n in names) > 10 or problems, "all goes on")
        u.upgrade()
        gone(u.pids[-2])
    stop.set()
    for t in threads:
        t.join()
    assert not problems, problems[:3]
    for name in names:
        eventually(lambda name=name: int(u.proxy.fetch(name).body) >= floors[name][0], f"{name} is not what was purged")


def test_a_new_process_that_fails_with_the_disk_in_hand(upgraded, origin, tmp_path):
    """The old one goes on with memory only; what is on disk is given up, as purges may have come meanwhile."""
    u = upgraded(with_disk(tmp_path))
    version = [1]
    path = origin.on(origin.fresh(), lambda r: [Reply(body=b"%d" % version[0])])
    assert u.proxy.fetch(path).body == b"1"
    good = pathlib.Path(u.proxy.config_path).read_text(encoding="ascii")
    pathlib.Path(u.proxy.config_path).write_text(good.replace(f"{tmp_path}/disk", f"{tmp_path}/no/such"), encoding="ascii")
    os.kill(u.pids[0], signal.SIGUSR2)
    eventually(lambda: "goes on without a disk tier" in u.proxy.stderr, "the old one says so")
    assert u.proxy.fetch(path).is_hit
    version[0] = 2
    u.proxy.purge(url=path)
    assert u.proxy.fetch(path).body == b"2"
    version[0] = 3
    pathlib.Path(u.proxy.config_path).write_text(good, encoding="ascii")
    u.upgrade()
    assert u.proxy.fetch(path).body == b"3", "nothing came back from disk"
    stats = u.proxy.stats()["disk"]
    assert stats["recovered_objects"] == 0
    u.proxy.fetch(path)
    eventually(lambda: u.proxy.stats()["disk"]["objects"] > 0, "and it is used again")


def test_responses_that_are_being_written_when_the_disk_goes(upgraded, origin, tmp_path):
    sections = with_disk(tmp_path)
    u = upgraded({**sections, "cache": {"memory": "4M", "max_object": "1M"}, "disk": {**sections["disk"], "max_object": "8M"}},
                 grace="30s")
    gate = origin.gate()
    half = b"a" * 3_000_000
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": "6000000"}) + half), Wait(gate), Send(half)])
    done = []
    reader = threading.Thread(target=lambda: done.append(u.proxy.fetch(path)))
    reader.start()
    origin.wait_for(path)
    eventually(lambda: u.proxy.stats()["requests"]["fills_active"] == 1, "it is under way")
    u.upgrade()
    gate.open()
    reader.join()
    assert done[0].body == half * 2
    gone(u.pids[0])
    assert u.proxy.ready()


# ---- systemd ----

def listening():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(64)
    return s


def activated(config, tmp_path, sockets, notify=None, pid=None):
    """Started as systemd does: sockets from descriptor 3 on, LISTEN_PID is the process itself."""
    path = tmp_path / "proxy.ini"
    path.write_text(config)
    script = ('import os,sys\nn=int(sys.argv[1]); fds=[int(x) for x in sys.argv[2:2+n]]\n'
              'high=[os.dup2(fd, 200+i) for i,fd in enumerate(fds)]\n'
              '[os.dup2(fd, 3+i, True) for i,fd in enumerate(high)]\n'
              '[os.close(fd) for fd in high]\n'
              'os.environ["LISTEN_PID"]=os.environ.get("TEST_PID") or str(os.getpid())\n'
              'os.environ["LISTEN_FDS"]=str(n); os.execv(sys.argv[2+n], sys.argv[2+n:])\n')
    env = sanitized_environment()
    if notify:
        env["NOTIFY_SOCKET"] = notify
    if pid:
        env["TEST_PID"] = str(pid)
    fds = [s.fileno() for s in sockets]
    stderr = open(tmp_path / "stderr", "w+b")
    child = subprocess.Popen(["/usr/bin/python3", "-c", script, str(len(fds)), *map(str, fds), binary(), "-c", str(path)],
                             stdin=subprocess.DEVNULL, stderr=stderr, env=env, pass_fds=fds)
    return child, lambda: (tmp_path / "stderr").read_text()


def config_for(origin, port, admin_port, more=""):
    return (f"[proxy]\nlisten = 127.0.0.1:{port}\nworkers = 2\nshutdown_grace = 1s\n[admin]\nlisten = 127.0.0.1:{admin_port}\n"
            f"[upstream]\nurl = {origin.url}\n{more}")


def test_sockets_that_systemd_passes_are_served(origin, tmp_path):
    front, admin = listening(), listening()
    port, admin_port = front.getsockname()[1], admin.getsockname()[1]
    child, stderr = activated(config_for(origin, port, admin_port), tmp_path, [admin, front])
    try:
        path = origin.on(origin.fresh(), [Reply(body=b"x")])
        with Client(port) as c:  # waits in the queue until the process is there
            assert c.get(path).body == b"x"
        eventually(lambda: fetch(admin_port, "/readyz", host="127.0.0.1").status == 200, "ready")
        clients = [Client(port) for _ in range(20)]
        for c in clients:
            assert c.get(path).body == b"x"
            c.close()
        with open(f"/proc/{child.pid}/environ", "rb") as f:
            assert b"LISTEN_FDS" in f.read(), "it came that way"
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0, stderr()
    with socket.create_connection(("127.0.0.1", port), 5):
        pass  # the manager's copy is still open
    front.close(), admin.close()
    assert not SANITIZER.search(stderr().encode())


def test_a_socket_that_nothing_names_is_an_error(origin, tmp_path):
    with listening() as stray, listening() as other:
        child, stderr = activated(config_for(origin, other.getsockname()[1], 1).replace("127.0.0.1:1\n", "off\n"),
                                  tmp_path, [other, stray])
        assert child.wait(20) == 1
        assert f"127.0.0.1:{stray.getsockname()[1]}" in stderr()


def test_sockets_for_another_process_are_left_alone(origin, tmp_path):
    with listening() as s:
        child, stderr = activated(config_for(origin, s.getsockname()[1], 1).replace("127.0.0.1:1\n", "off\n"), tmp_path, [s], pid=1)
        assert child.wait(20) == 1
        assert "in use" in stderr()


def test_what_is_no_listening_socket_is_refused(origin, tmp_path):
    a, b = socket.socketpair()
    child, stderr = activated(config_for(origin, 0, 0), tmp_path, [a])
    assert child.wait(20) == 1
    assert "descriptor 3" in stderr()
    a.close(), b.close()


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_the_service_manager_is_told(origin, tmp_path, abstract):
    name = f"@memoproxy-test-{os.getpid()}-{time.monotonic_ns()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, listening() as front, listening() as admin:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(20)
        child, stderr = activated(config_for(origin, front.getsockname()[1], admin.getsockname()[1]), tmp_path, [front, admin],
                                  notify=name)

        def told():
            return manager.recv(1000).decode().split("\n")
        try:
            assert told() == ["READY=1"]
            child.send_signal(signal.SIGHUP)
            reloading = told()
            assert reloading[0] == "RELOADING=1" and re.fullmatch(r"MONOTONIC_USEC=\d+", reloading[1])
            assert told() == ["READY=1"]
            child.send_signal(signal.SIGUSR2)
            lines = [told(), told()]
            assert ["READY=1"] in lines
            new = int(next(line[0] for line in lines if line[0].startswith("MAINPID="))[8:])
            assert child.wait(30) == 0, "and no STOPPING from the old one"
            os.kill(new, signal.SIGTERM)
            assert told() == ["STOPPING=1"]
            gone(new)
        finally:
            child.kill()
            child.wait()
    assert not SANITIZER.search(stderr().encode()), stderr()
