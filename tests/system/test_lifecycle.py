# SPDX-License-Identifier: MIT
"""Start, drain, stop: what is under way is finished, what is new goes elsewhere."""
import os
import signal
import socket
import threading

import pytest

from support.herd import Herd
from support.origin import Hang, Reply, Send, Wait, head, pattern
from support.proxy import SLOW, eventually
from support.rawclient import Client, build

pytestmark = [pytest.mark.tiers, pytest.mark.threads]

# No other limit ends what the stop has to end.
SECTIONS = {"proxy": {"client_header_timeout": "1h", "client_idle_timeout": "1h", "client_write_timeout": "1h"},
            "upstream": {"first_byte_timeout": "1h", "stall_timeout": "1h"},
            "route off": {"match": "/off/*", "cache": "off"}, "route all": {"match": "*", "ttl": "60s"}}


def refuses(port):
    try:
        with Client(port) as c:
            c.start(target="/new")
            return c.read_some(1) == b""
    except OSError:
        return True


def ends(proxy):
    """By itself, and well before the grace of two minutes is over."""
    assert proxy.process.wait(20 * SLOW) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_idle_proxy_stops_at_once(start_proxy, number):
    proxy = start_proxy(SECTIONS, grace="120s")
    with proxy.client() as idle, proxy.client() as used:
        assert used.get("/nothing").status == 404
        proxy.process.signal(number)
        ends(proxy)
        assert idle.wait_closed() == used.wait_closed() == b""


@pytest.mark.parametrize("where", ["", "/off"])
def test_requests_under_way_are_finished_and_new_connections_refused(start_proxy, origin, where):
    proxy = start_proxy(SECTIONS, grace="120s")
    gate, middle = origin.gate(), origin.gate()
    waiting = origin.on(where + origin.fresh(), [Wait(gate), Reply(body=b"late")])
    body = pattern(300000)
    streaming = origin.on(where + origin.fresh(), [Send(head(200, {"Content-Length": len(body)}) + body[:1000]), Wait(middle),
                                                   Send(body[1000:])])
    with proxy.client() as a, proxy.client() as b:
        a.start(target=waiting)
        b.start(target=streaming)
        origin.wait_for(waiting)
        half = b.response_head()
        proxy.process.signal(signal.SIGTERM)
        eventually(lambda: refuses(proxy.port), "new connections are refused")
        assert proxy.process.alive
        gate.open()
        r = a.response()
        assert (r.status, r.body) == (200, b"late")
        assert "close" in r.tokens
        middle.open()
        assert b.read_body(half).body == body
        a.wait_closed(), b.wait_closed()
        ends(proxy)


def test_not_ready_while_draining(start_proxy, origin):
    proxy = start_proxy(SECTIONS, grace="120s")
    gate = origin.gate()
    path = origin.on("/off" + origin.fresh(), [Wait(gate), Reply(body=b"x")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        assert proxy.ready()
        proxy.process.signal(signal.SIGTERM)
        eventually(lambda: not proxy.ready(), "not ready any more")
        gate.open()
        assert c.response().body == b"x"
        ends(proxy)


def test_waiters_of_a_flight_are_served_while_draining(start_proxy, origin):
    proxy = start_proxy(SECTIONS, grace="120s")
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"x" * 1000)])
    with Herd(proxy.port, 50, build(target=path)) as h:
        h.connect().send()
        origin.wait_for(path)
        eventually(lambda: proxy.stats(), "every request has been read")
        proxy.process.signal(signal.SIGTERM)
        gate.open()
        h.run().check(200, b"x" * 1000)
    ends(proxy)


def test_grace_is_the_longest_it_waits(start_proxy, origin):
    proxy = start_proxy(SECTIONS, grace="500ms")
    path = origin.on("/off" + origin.fresh(), [Hang()])
    with proxy.client() as c, proxy.client() as half:
        c.start(target=path)
        half.send(b"GET /x HTTP/1.1\r\nHost:")
        origin.wait_for(path)
        proxy.process.signal(signal.SIGTERM)
        ends(proxy)
        c.wait_closed()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_second_signal_stops_at_once(start_proxy, origin, second):
    proxy = start_proxy(SECTIONS, grace="120s")
    path = origin.on("/off" + origin.fresh(), [Hang()])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        proxy.process.signal(signal.SIGTERM)
        eventually(lambda: refuses(proxy.port), "it drains")
        assert proxy.process.alive
        proxy.process.signal(second)
        status = proxy.process.wait(20 * SLOW)
        assert status >= 0, f"killed by signal {-status}"
        proxy.expect_exit = status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_until_the_very_end_change_nothing_about_it(start_proxy, number):
    """A service manager may say it again while the process is about to end: that is no death by a signal."""
    proxy = start_proxy(SECTIONS, grace="120s")
    proxy.process.signal(signal.SIGTERM)
    while proxy.process.alive:
        proxy.process.signal(number)
    assert proxy.process.wait(20 * SLOW) == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_stop_goes_before_an_upgrade_that_was_asked_for_with_it(start_proxy, stop):
    """Signals that are pending together have no order; the new process would serve on, and nobody wants it to."""
    proxy = start_proxy(SECTIONS)
    proxy.process.signal(signal.SIGSTOP)
    for number in (stop, signal.SIGUSR2, signal.SIGCONT):
        proxy.process.signal(number)
    assert proxy.process.wait(20 * SLOW) == 0
    assert "starting the new process" not in proxy.stderr


def has_reader(fifo):
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_a_stop_ends_a_new_process_that_does_not_serve_yet(start_proxy):
    """Else it would start to serve when it is to be over, or hold the disk tier's directory."""
    proxy = start_proxy(SECTIONS, grace="120s")
    os.unlink(proxy.config_path)
    os.mkfifo(proxy.config_path)  # from which the new process reads, until somebody has written
    proxy.process.signal(signal.SIGUSR2)
    eventually(lambda: "starting the new process" in proxy.stderr, "it is started")
    with open(proxy.config_path, "w"):  # when it has come to read
        proxy.process.signal(signal.SIGTERM)
        assert proxy.process.wait(20 * SLOW) == 0
        assert not has_reader(proxy.config_path), "the new process is gone"


def test_stop_with_two_thousand_idle_connections(start_proxy):
    proxy = start_proxy(SECTIONS, grace="120s")
    with Herd(proxy.port, 2000, build(target="/x")) as h:
        h.connect()
        proxy.process.signal(signal.SIGTERM)
        ends(proxy)


def test_stop_with_unread_responses_of_slow_readers(start_proxy, origin):
    proxy = start_proxy(SECTIONS, grace="700ms")
    path = origin.on(origin.fresh(), [Reply(body=pattern(6 << 20))])
    with proxy.client(receive_buffer=4096) as c, proxy.client(receive_buffer=4096) as d:
        for client in (c, d):
            client.start(target=path)
            assert client.read_bytes(100)
        proxy.process.signal(signal.SIGTERM)
        ends(proxy)


def test_stop_right_after_start(start_proxy):
    for _ in range(5):
        proxy = start_proxy(SECTIONS)
        proxy.process.signal(signal.SIGTERM)
        ends(proxy)


def test_stop_in_the_middle_of_a_storm(start_proxy, origin):
    proxy = start_proxy(SECTIONS, grace="120s")
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.target.encode() * 100)])
    clients = [proxy.client() for _ in range(20)]
    for c in clients:
        c.send(b"".join(build(target=f"{path}?{i}") for i in range(50)))
    origin.wait_for(path, 20)
    proxy.process.signal(signal.SIGTERM)
    for c in clients:
        data = c.wait_closed()
        c.close()
        assert data == b"" or data.startswith(b"HTTP/1.1 ")
    ends(proxy)


def test_restart_on_the_same_port_is_immediate(start_proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    first = start_proxy(SECTIONS)
    with first.client() as c:
        assert c.get(path).body == b"x"
        first.process.signal(signal.SIGTERM)
        ends(first)
    # The port now has connections in TIME_WAIT.
    second = start_proxy(config_text=first.config().replace("{", "{{").replace("}", "}}").replace(
        str(first.admin_port), "{admin_port}"))
    with socket.create_connection(("127.0.0.1", first.port), 5):
        pass
    assert second.ready()


def test_signals_that_mean_nothing_do_no_harm(start_proxy, origin):
    proxy = start_proxy(SECTIONS)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.process.signal(signal.SIGPIPE)
    proxy.process.signal(signal.SIGUSR1)
    for _ in range(3):
        assert proxy.fetch(path).body == b"x"


def test_nothing_leaks_over_many_connections(start_proxy, origin):
    proxy = start_proxy(SECTIONS, workers=1)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path)
    before = proxy.open_files()
    for i in range(300):
        with proxy.client() as c:
            c.start(target=path if i % 2 else "/off" + path)
            if i % 3:
                c.response_head()
            (c.reset if i % 5 == 0 else c.close)()
    eventually(lambda: proxy.open_files() <= before + 4, "descriptors are given back")


def test_a_refresh_that_is_under_way_ends_with_the_process(start_proxy, origin):
    """Its flight is given up at the stop, and nobody may lead another one then."""
    proxy = start_proxy(SECTIONS, grace="100ms")
    path = origin.on(origin.fresh(), [Hang()])

    def ask():
        try:
            proxy.admin("POST", f"/refresh?url={path}")
        except (OSError, AssertionError):
            pass  # the process has gone
    asked = threading.Thread(target=ask)
    asked.start()
    origin.wait_for(path)
    proxy.process.signal(signal.SIGTERM)
    ends(proxy)
    asked.join()
