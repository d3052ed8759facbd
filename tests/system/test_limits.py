# SPDX-License-Identifier: MIT
"""Bounds on clients: how many, how slow, and what happens when the process runs out of descriptors or memory."""
import hashlib
import os
import resource
import signal
import subprocess
import threading
import time
from statistics import median

import pytest

from support.origin import Reply, Send, Wait, head, pattern
from support.proxy import SANITIZER, SLOW, Port, Process, binary, eventually, ini_text, sanitized_environment
from support.rawclient import Aborted, Client, build

CONFIG = {"route off": {"match": "/off/*", "cache": "off"}, "route all": {"match": "*", "ttl": "60s"}}


def with_keys(**keys):
    return {**CONFIG, "proxy": keys}


def counters(proxy):
    return proxy.stats()["clients"]


def serves(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"serves")])
    with proxy.client() as c:
        assert c.get(path).body == b"serves"


# ---- how many ----

def test_connections_beyond_the_bound_are_refused_at_once(start_proxy, origin):
    proxy = start_proxy(with_keys(max_connections=20))
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    inside = [proxy.client() for _ in range(20)]
    for c in inside:
        assert c.get(path).body == b"x"
    for _ in range(10):
        with proxy.client() as c:
            assert c.wait_closed(5 * SLOW)[9:12] == b"503"
    for c in inside:
        assert c.get(path).is_hit
    assert counters(proxy)["refused_total_bound"] == 10
    inside.pop().close()
    eventually(lambda: counters(proxy)["open"] == 19, "one has left")
    serves(proxy, origin)
    for c in inside:
        c.close()


def test_connections_of_one_address_are_bounded(start_proxy, origin):
    proxy = start_proxy(with_keys(max_connections_per_address=5))
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    inside = [proxy.client() for _ in range(5)]
    for c in inside:
        assert c.get(path).body == b"x"
    with proxy.client() as c:
        assert c.wait_closed(5 * SLOW)[9:12] == b"503"
    for _ in range(5):
        with Client(proxy.port, source="127.0.0.2") as c:
            assert c.get(path).body == b"x"
    assert counters(proxy)["refused_address_bound"] == 1
    for c in inside:
        c.close()


def test_bounds_follow_a_reload(start_proxy, origin):
    proxy = start_proxy(with_keys(max_connections=2))
    inside = [proxy.client() for _ in range(2)]
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    for c in inside:
        c.get(path)
    with proxy.client() as c:
        assert c.wait_closed(5 * SLOW)[9:12] == b"503"
    proxy.write_config(with_keys(max_connections=3))
    proxy.process.signal(signal.SIGHUP)
    eventually(lambda: "the new configuration is in force" in proxy.stderr, "reloaded")
    serves(proxy, origin)
    for c in inside:
        c.close()


def test_a_crowd_that_comes_and_goes_leaves_nothing_behind(start_proxy, origin):
    proxy = start_proxy(with_keys(max_connections=50, max_connections_per_address=40))
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    with proxy.client() as c:
        c.get(path)

    def come_and_go():
        for i in range(60):
            with proxy.client() as c:
                try:
                    c.start(target=path)
                    if i % 3:
                        c.read_some(10)
                    if i % 5 == 0:
                        c.reset()
                except OSError:
                    pass
    threads = [threading.Thread(target=come_and_go) for _ in range(30)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    eventually(lambda: counters(proxy)["open"] == 0, "all are gone")
    serves(proxy, origin)


# ---- how slow ----

def drip(connections, stop, data):
    """A byte to each now and then, as a slowloris does."""
    at = 0
    while not stop.wait(0.2):
        for c in connections:
            try:
                c.sock.send(data[at % len(data):][:1])
            except OSError:
                pass
        at += 1


def seconds_of_a_hit(proxy, path):
    began = time.monotonic()
    assert proxy.fetch(path).is_hit
    return time.monotonic() - began


@pytest.mark.long
def test_a_thousand_heads_that_drip_hinder_nobody(start_proxy, origin):
    """A hit behind a byte from each of them has no longer to wait than behind a request from each of a thousand others."""
    proxy = start_proxy(with_keys(client_header_timeout="1h", client_idle_timeout="1h"))
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path)
    slow, quick = [[proxy.client() for _ in range(1000)] for _ in range(2)]
    behind_slow, behind_quick = [], []
    for letter in b"GET /slow HTTP/1.1\r\n":
        for c in slow:
            c.send(bytes([letter]))
        behind_slow.append(seconds_of_a_hit(proxy, path))
        for c in quick:
            c.start(target=path)
        behind_quick.append(seconds_of_a_hit(proxy, path))
        assert all(c.response().is_hit for c in quick)
    assert (counters(proxy)["open"], counters(proxy)["header_timeouts"]) == (2000, 0), "they are all there"
    assert median(behind_slow) < 10 * median(behind_quick)
    for c in slow + quick:
        c.close()


@pytest.mark.long
def test_a_thousand_heads_that_drip_have_the_time_of_one_head(start_proxy):
    proxy = start_proxy(with_keys(client_header_timeout="3s"))
    slow = [proxy.client() for _ in range(1000)]
    stop = threading.Event()
    dripper = threading.Thread(target=drip, args=(slow, stop, b"GET /slow HTTP/1.1\r\nX: " + b"x" * 1000))
    dripper.start()
    try:
        eventually(lambda: counters(proxy)["header_timeouts"] == 1000, "each of them was given up", 20)
        eventually(lambda: counters(proxy)["open"] == 0, "and closed", 20)
    finally:
        stop.set()
        dripper.join()
        for c in slow:
            c.close()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_below_the_least_rate_is_refused(start_proxy, origin, framing):
    proxy = start_proxy(with_keys(client_body_timeout="2s", client_body_rate="1000"))
    with proxy.client() as c:
        c.send(build("POST", "/slow", {"Content-Length": 10000} if framing == "length" else {"Transfer-Encoding": "chunked"}))
        stop = threading.Event()
        dripper = threading.Thread(target=drip, args=([c], stop, b"x" if framing == "length" else b"1\r\nx\r\n"))
        dripper.start()
        try:
            assert c.response().status == 408
        finally:
            stop.set()
            dripper.join()
    assert counters(proxy)["slow_bodies"] == 1
    assert not origin.seen("/slow")


def test_a_silent_body_is_refused(start_proxy):
    proxy = start_proxy(with_keys(client_body_timeout="300ms"))
    with proxy.client() as c:
        c.send(build("POST", "/slow", {"Content-Length": 10000}) + b"x" * 5000)
        assert c.response().status == 408
    assert counters(proxy)["body_timeouts"] == 1


def test_a_body_that_is_slow_enough_to_be_fast_enough_passes(start_proxy, origin):
    """It takes longer than client_body_timeout, in pieces none of which comes as late as that."""
    proxy = start_proxy(with_keys(client_body_timeout="2s", client_body_rate="500"))
    path = origin.on("/off" + origin.fresh(), lambda r: [Reply(body=b"%d" % len(r.body))])
    with proxy.client() as c:
        c.send(build("POST", path, {"Content-Length": 30000}))
        for _ in range(30):
            assert c.nothing_comes(0.1)
            c.send(b"x" * 1000)
        assert c.response().body == b"30000"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_comes_fast_and_then_drips_is_refused(start_proxy, framing):
    """The least rate holds over any client_body_timeout, not over the body's life."""
    proxy = start_proxy(with_keys(client_body_timeout="2s", client_body_rate="1000"))
    with proxy.client() as c:
        if framing == "length":
            c.send(build("POST", "/slow", {"Content-Length": 200100}) + b"x" * 200000)
        else:
            c.send(build("POST", "/slow", {"Transfer-Encoding": "chunked"}) + b"30d40\r\n" + b"x" * 200000 + b"\r\n")
        stop = threading.Event()
        dripper = threading.Thread(target=drip, args=([c], stop, b"x" if framing == "length" else b"1\r\nx\r\n"))
        dripper.start()
        try:
            assert c.response().status == 408
        finally:
            stop.set()
            dripper.join()
    taken = counters(proxy)
    assert taken["slow_bodies"] == 1 and taken["body_bytes"] == 0


# ---- the memory of all bodies ----

def upload(proxy, path, body, last, answers):
    """All but the last ten bytes, then those when `last` says so."""
    try:
        with proxy.client(timeout=60) as c:
            c.send(build("POST", path, {"Content-Length": len(body)}) + body[:-10])
            last.wait()
            c.send(body[-10:])
            answers.append(c.response().body)
    except (OSError, Aborted) as e:
        answers.append(repr(e))


@pytest.mark.long
def test_unfinished_bodies_stay_within_body_memory_and_all_of_them_are_finished(start_proxy, origin):
    """Each of them alone is within max_body; together they are six times body_memory."""
    body, many = pattern(4 << 20), 24
    whole = hashlib.sha256(body).hexdigest()
    proxy = start_proxy(with_keys(body_memory="16M", max_body="4M"))
    path = origin.on("/off" + origin.fresh(), lambda r: [Reply(body=b"%d" % (r.body_hash == whole))])
    before, last, answers = proxy.rss_bytes(), threading.Event(), []
    threads = [threading.Thread(target=upload, args=(proxy, path, body, last, answers)) for _ in range(many)]
    for t in threads:
        t.start()
    try:
        eventually(lambda: counters(proxy)["bodies_waiting"] >= many - 5, "the others wait")
        assert 8 << 20 < counters(proxy)["body_bytes"] <= 16 << 20
        if SLOW == 1:
            assert proxy.rss_bytes() - before < 24 << 20
    finally:
        last.set()
        for t in threads:
            t.join()
    assert answers == [b"1"] * many
    eventually(lambda: counters(proxy)["body_bytes"] == 0, "nothing is held")
    taken = counters(proxy)
    assert taken["bodies_waiting"] == 0 and taken["bodies_refused"] == 0 and taken["bodies_waited"] >= many - 5
    if SLOW == 1:
        eventually(lambda: proxy.rss_bytes() - before < 8 << 20, "the memory is back with the system")


def test_a_body_that_finds_no_memory_in_time_is_refused(start_proxy, origin):
    keys = {"body_memory": "1M", "max_body": "1M"}
    proxy = start_proxy(with_keys(**keys, client_body_timeout="2s"))
    gate = origin.gate()
    path = origin.on("/off" + origin.fresh(), [Wait(gate), Reply(body=b"held")])
    other = origin.on("/off" + origin.fresh(), lambda r: [Reply(body=b"%d" % len(r.body))])
    with proxy.client() as holds, proxy.client() as waits:
        holds.send(build("POST", path, {"Content-Length": 1 << 20}) + b"x" * (1 << 20))
        eventually(lambda: origin.seen(path), "the origin has it")
        waits.send(build("POST", other, {"Content-Length": 1000}) + b"x" * 1000)
        refused = waits.response()
        assert refused.status == 503 and refused.has("Retry-After")
        assert counters(proxy)["bodies_refused"] == 1 and not origin.seen(other)
        proxy.write_config(with_keys(**keys, client_body_timeout="60s"))
        proxy.admin_json("POST", "/reload")
        with proxy.client() as next_one:
            next_one.send(build("POST", other, {"Content-Length": 1000}) + b"x" * 1000)
            eventually(lambda: counters(proxy)["bodies_waiting"] == 1, "it waits")
            gate.open()
            assert holds.response().body == b"held"
            assert next_one.response().body == b"1000"
    assert "bodies_refused" in proxy.admin("GET", "/metrics").body.decode()


def test_a_slow_body_gives_way_when_others_wait_for_its_memory(start_proxy, origin):
    proxy = start_proxy(with_keys(body_memory="1M", max_body="1M", client_body_timeout="6s", client_body_rate="1"))
    path = origin.on("/off" + origin.fresh(), lambda r: [Reply(body=b"%d" % len(r.body))])
    with proxy.client() as slow, proxy.client() as waits:
        slow.send(build("POST", path, {"Content-Length": 1 << 20}) + b"x" * 600000)
        eventually(lambda: counters(proxy)["body_bytes"] >= 600000, "it holds the memory")
        waits.send(build("POST", path, {"Content-Length": 600000}) + b"x" * 600000)
        stop = threading.Event()
        dripper = threading.Thread(target=drip, args=([slow], stop, b"x"))
        dripper.start()
        try:
            assert slow.response().status == 408
            assert waits.response().body == b"600000"
        finally:
            stop.set()
            dripper.join()
    assert counters(proxy)["slow_bodies"] == 1


def test_a_client_that_takes_nothing_is_given_up(start_proxy, origin):
    proxy = start_proxy(with_keys(client_write_timeout="500ms"))
    path = origin.on(origin.fresh(), [Reply(body=pattern(7 << 20))])
    with proxy.client(receive_buffer=4096) as c:
        c.start(target=path)
        eventually(lambda: counters(proxy)["write_timeouts"] == 1, "given up")
        with pytest.raises(ConnectionResetError):  # so the kernel keeps nothing for it
            while c.sock.recv(1 << 16):
                pass
    serves(proxy, origin)


def test_a_response_that_comes_as_the_timer_fires_is_sent(start_proxy, origin):
    """The connection's timer is still that of its first head, and the client has not been given a byte that it could have taken."""
    proxy = start_proxy(with_keys(client_header_timeout="1s", client_write_timeout="500ms"))
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"late")])
    with proxy.client() as c:
        c.send(build("POST", path))
        origin.wait_for(path, 1)
        began = time.monotonic()
        os.kill(proxy.process.pid, signal.SIGSTOP)
        try:
            gate.open()
            origin.wait_idle(path)
            while time.monotonic() < began + 1.2:
                time.sleep(0.01)
        finally:
            os.kill(proxy.process.pid, signal.SIGCONT)
        assert c.response().body == b"late"
    assert counters(proxy)["write_timeouts"] == 0


# ---- out of descriptors ----

def limit_files(proxy):
    """No further descriptor from now on, also not in place of one that is closed: the limit is on their numbers."""
    old = resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (0, old[1]))
    return old


def cpu_seconds(proxy):
    with open(f"/proc/{proxy.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_out_of_descriptors_accepting_pauses_without_spinning(start_proxy, origin):
    proxy = start_proxy(CONFIG)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    inside = [proxy.client() for _ in range(5)]
    for c in inside:
        assert c.get(path).body == b"x"
    eventually(lambda: origin.active(path) == 0, "the fetch is over")
    old = limit_files(proxy)
    waiting = [proxy.client() for _ in range(20)]
    for c in waiting:
        c.start(target=path)
    began, used = time.monotonic(), cpu_seconds(proxy)
    for c in inside:
        assert c.get(path).is_hit  # whoever is inside is served
    eventually(lambda: "can't accept a connection" in proxy.stderr, "it has no descriptor for those who wait")
    assert waiting[0].nothing_comes(1.0) and all(c.nothing_comes(0) for c in waiting)
    assert cpu_seconds(proxy) - used < 0.5 * (time.monotonic() - began)
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, old)
    for c in waiting:
        assert c.response().body == b"x"
    assert counters(proxy)["accept_pauses"] > 0
    for c in inside + waiting:
        c.close()


def test_out_of_descriptors_for_the_upstream_is_an_error_response(start_proxy, origin):
    proxy = start_proxy(with_keys(workers=1))
    path = origin.on("/off" + origin.fresh(), [Reply(body=b"x")])
    with proxy.client() as c:
        c.start(target=path + "none")
        c.response()
        with proxy.client() as second:
            gate = origin.gate()
            held = origin.on("/off" + origin.fresh(), [Wait(gate), Reply(body=b"held")])
            second.start(target=held)
            origin.wait_for(held)
            old = limit_files(proxy)
            assert c.get(path).status in (502, 503, 504)
            resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, old)
            assert c.get(path).body == b"x"
            gate.open()
            assert second.response().body == b"held"


# ---- out of memory ----

def run_with_failing_allocation(nth, origin, folder, scenario):
    """The n-th allocation fails: the process says why it does not start, or serves on. Its exit status, and what it said."""
    port, admin = Port(), Port()
    text = ini_text({"proxy": {"listen": f"127.0.0.1:{port.number}", "workers": 1, "shutdown_grace": "1s"},
                     "admin": {"listen": f"127.0.0.1:{admin.number}"},
                     "upstream": {"url": origin.url, "first_byte_timeout": "3s", "stall_timeout": "3s"}, **CONFIG})
    (folder / "proxy.ini").write_text(text)
    process = Process([binary(), "-c", str(folder / "proxy.ini")], cwd=folder,
                      env=sanitized_environment({"MEMOPROXY_FAIL_ALLOC": str(nth)}))
    try:
        deadline = time.monotonic() + 20 * SLOW
        while process.alive and time.monotonic() < deadline and " ready" not in process.stderr:
            time.sleep(0.002)
        if process.alive:
            assert " ready" in process.stderr, f"allocation {nth}: it hangs at the start: {process.stderr}"
            scenario(port.number, admin.number)
            assert process.alive, f"allocation {nth}: {process.stderr[-4000:]}"
            process.signal(signal.SIGTERM)
        status = process.wait(20 * SLOW)
        assert not SANITIZER.search(process.stderr.encode()), f"allocation {nth}: {process.stderr[-4000:]}"
        return status, process.stderr
    finally:
        process.kill()
        port.release()
        admin.release()


def quietly(what):
    """One failing allocation may cost one connection or one response."""
    try:
        return what()
    except (Aborted, AssertionError, OSError):
        return None


def make_scenario(origin):
    cached = origin.on(origin.fresh(), [Reply(200, {"ETag": '"1"', "Vary": "X-V"}, b"cached")])
    passed = origin.on("/off" + origin.fresh(), lambda r: [Reply(body=b"<" + r.body + b">")])

    def scenario(port, admin):
        def fetch(*args, **kwargs):
            with Client(port, timeout=10 * SLOW) as c:
                return c.request(*args, **kwargs)
        for _ in range(2):
            quietly(lambda: fetch("GET", cached))
            quietly(lambda: fetch("GET", cached, {"If-None-Match": '"1"', "X-V": "2"}))
            quietly(lambda: fetch("POST", passed, {"Transfer-Encoding": "chunked"}, b"3\r\nabc\r\n0\r\n\r\n"))
            quietly(lambda: fetch("PUT", cached, {}, b"new"))
        with_admin = [("GET", "/stats"), ("GET", "/metrics"), ("POST", f"/purge?url={cached}"), ("POST", "/purge?prefix=/x"),
                      ("GET", f"/explain?url={cached}"), ("POST", f"/refresh?url={cached}"), ("GET", "/entries?prefix=/")]
        for method, target in with_admin:
            def ask():
                with Client(admin, timeout=10 * SLOW) as c:
                    return c.request(method, target, host=f"127.0.0.1:{admin}")
            quietly(ask)
        for target, body in ((cached, b"cached"), (passed, b"<>")):  # the failure may still be ahead, but it is one only
            eventually(lambda: (r := quietly(lambda: fetch("GET", target))) and (r.status, r.body) == (200, body), "it serves")
    return scenario


FIRST = int(os.environ.get("MEMOPROXY_TEST_ALLOC_FIRST", "1"))
LAST = int(os.environ.get("MEMOPROXY_TEST_ALLOC_LAST", "2000"))
STEP = int(os.environ.get("MEMOPROXY_TEST_ALLOC_STEP", "97"))


def hooks_are_built_in(folder):
    done = subprocess.run([binary(), "-V"], env=sanitized_environment({"MEMOPROXY_FAIL_ALLOC": "x"}), capture_output=True)
    return done.returncode == 2


def test_out_of_memory_is_a_sentence_at_the_start_or_an_error_later(origin, tmp_path):
    if not hooks_are_built_in(tmp_path):
        pytest.skip("a release build fails no allocation on request")
    scenario = make_scenario(origin)
    not_started = 0
    for nth in range(FIRST, LAST + 1, STEP):
        status, said = run_with_failing_allocation(nth, origin, tmp_path, scenario)
        assert status in (0, 1), f"allocation {nth}: status {status}: {said[-2000:]}"
        if status == 1:
            not_started += 1
            assert [line for line in said.splitlines() if " info " not in line], f"allocation {nth}: it ended without a word"
    assert FIRST > 1 or not_started


# ---- clients that leave ----

@pytest.mark.parametrize("where", ["", "/off"])
@pytest.mark.parametrize("hard", [False, True], ids=["close", "reset"])
def test_clients_that_leave_at_each_stage(proxy, origin, where, hard):
    gate = origin.gate()
    answer = head(200, {"Content-Length": 300000}) + pattern(300000)
    stages = {
        "connected": (b"", None),
        "in the head": (b"GET /x HT", None),
        "in the body": (build("POST", where + "/x", {"Content-Length": 100}) + b"x" * 50, None),
        "waiting for the head": (None, [Wait(gate), Reply(body=b"late")]),
        "after the head": (None, [Send(answer[:200]), Wait(gate), Send(answer[200:])]),
        "in the answer": (None, [Send(answer[:100000]), Wait(gate), Send(answer[100000:])]),
        "reading nothing": (None, [Send(answer)]),
    }
    for name, (data, script) in stages.items():
        for _ in range(5):
            with proxy.client() as c:
                if data is None:
                    path = origin.on(where + origin.fresh(), script)
                    c.start(target=path)
                    origin.wait_for(path)
                    if name in ("after the head", "in the answer"):
                        c.response_head()
                    if name == "in the answer":
                        c.read_some(1000)
                else:
                    c.send(data)
                if hard:
                    c.reset()
        serves(proxy, origin)
    gate.open()
    eventually(lambda: counters(proxy)["open"] == 0, "every connection is gone")
    eventually(lambda: proxy.stats()["requests"]["fills_active"] == 0, "every fetch has ended")
