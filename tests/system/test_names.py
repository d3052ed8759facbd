# SPDX-License-Identifier: MIT
"""An upstream whose name gets another address: when it is taken; and one whose name nobody tells. The processes run with an
/etc/hosts or /etc/resolv.conf of their own."""
import contextlib
import os
import signal
import socket
import subprocess

import pytest

from support.origin import Origin, Reply
from support.herd import Herd
from support.proxy import Process, Proxy, binary, eventually, sanitized_environment
from support.rawclient import build

MOUNT = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]),
         "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"']
NAME = "origin.example"
CONFIG = {"proxy": {"workers": 1}, "route all": {"match": "*", "cache": "off"}}


def can_mount():
    try:
        return subprocess.run([*MOUNT, "/dev/null", "true"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


pytestmark = pytest.mark.skipif(not can_mount(), reason="no mount namespaces here")


class Named(Proxy):
    """Its upstream is `origin.example`, whose address a test sets."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.hosts = os.path.join(self.folder.name, "hosts")

    def point(self, address):
        with open(self.hosts, "w", encoding="ascii") as f:
            f.write(f"{address} {NAME}\n")

    def _launch(self):
        self.process = Process([*MOUNT, self.hosts, binary(), "-c", self.config_path], cwd=self.folder.name,
                               env=sanitized_environment())


class Elsewhere(Origin):
    """The same port on another address."""
    address = "127.0.0.2"


@contextlib.contextmanager
def at_both_addresses():
    """Two origins of one port. What is free at one address may be taken at the other, as by a connection or who listens everywhere."""
    while True:
        with Origin() as first, socket.socket() as probe:
            try:
                probe.bind((Elsewhere.address, first.port))
            except OSError:
                continue
            probe.close()
            with Elsewhere(port=first.port) as second:
                yield first, second
            return


@pytest.fixture
def world():
    """(proxy in front of the first origin, by name; make(keys) starts it)"""
    started = []
    with at_both_addresses() as (first, second):
        first.on("*", [Reply(body=b"first")])
        second.on("*", [Reply(body=b"second")])

        def make(keys):
            proxy = Named(f"http://{NAME}:{first.port}", {**CONFIG, "upstream": keys})
            proxy.point("127.0.0.1")
            started.append(proxy)
            return proxy.start()
        yield make, first, second
        for proxy in started:
            proxy.stop()


def moved(proxy):
    assert proxy.fetch("/x").body == b"first"
    proxy.point("127.0.0.2")
    return proxy


def test_a_kept_connection_and_a_known_address_serve_on_for_a_while(world):
    proxy = moved(world[0]({"dns_ttl": "1h", "connection_max_age": "off"}))
    assert [proxy.fetch("/x").body for _ in range(3)] == [b"first"] * 3
    assert proxy.fetch("/x", method="POST", body=b"x").body == b"first", "a new connection, the old address"


def test_a_new_address_is_taken_when_name_and_connection_are_too_old(world):
    proxy = moved(world[0]({"dns_ttl": "1s", "connection_max_age": "1s"}))
    eventually(lambda: proxy.fetch("/x").body == b"second", "the new address is used")


def test_without_a_dns_ttl_each_connection_asks(world):
    proxy = moved(world[0]({"dns_ttl": "0", "connection_max_age": "off"}))
    assert proxy.fetch("/x").body == b"first", "the kept connection"
    assert proxy.fetch("/x", method="POST", body=b"x").body == b"second", "a new one"


def test_a_young_connection_is_kept_whatever_the_name_says(world):
    proxy = moved(world[0]({"dns_ttl": "0", "connection_max_age": "1h"}))
    assert [proxy.fetch("/x").body for _ in range(3)] == [b"first"] * 3


@pytest.mark.parametrize("retries", [0, 1])
def test_a_connection_that_fails_has_the_name_looked_up_anew(world, retries):
    make, first, _ = world
    proxy = moved(make({"dns_ttl": "1h", "connection_max_age": "off", "retries": retries, "connect_timeout": "2s"}))
    first.stop_listening()
    bodies = [proxy.fetch("/x").body for _ in range(3)]
    assert bodies[-1] == b"second" and (retries == 0 or bodies[0] == b"second"), bodies


@pytest.mark.parametrize("method, body", [("GET", b""), ("POST", b"x")])
def test_a_reload_looks_names_up_anew(world, method, body):
    proxy = moved(world[0]({"dns_ttl": "1h", "connection_max_age": "off"}))
    for path in ("/x", "/y"):
        assert proxy.fetch(path, method=method, body=body).body == b"first"
    proxy.admin_json("POST", "/reload")
    for path in ("/x", "/y"):
        assert proxy.fetch(path, method=method, body=body).body == b"second"


def test_a_reload_does_not_disturb_what_runs(world):
    make, first, _ = world
    from support.origin import Wait, Send, head
    gate = first.gate()
    first.on("/slow", [Send(head(200, {"Content-Length": 10}) + b"begin"), Wait(gate), Send(b"-end!")])
    proxy = make({"dns_ttl": "1h", "connection_max_age": "1h"})
    with proxy.client() as c:
        c.start(target="/slow")
        r = c.response_head()
        proxy.point("127.0.0.2")
        proxy.admin_json("POST", "/reload")
        gate.open()
        c.read_body(r)
        assert r.body == b"begin-end!"
    assert proxy.fetch("/x").body == b"second"


class Unnamed(Proxy):
    """Its DNS server takes all questions and answers none."""
    resolver = "127.0.0.9"

    def _launch(self):
        path = os.path.join(self.folder.name, "resolv.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(f"nameserver {self.resolver}\noptions timeout:30 attempts:2\n")
        mount = [part.replace("/etc/hosts", "/etc/resolv.conf") for part in MOUNT]
        self.process = Process([*mount, path, binary(), "-c", self.config_path], cwd=self.folder.name, env=sanitized_environment())


@pytest.fixture
def silence(origin):
    """make(keys): a proxy of one worker with /named/*, whose upstream's name is never told, and all else from the origin."""
    started = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.bind((Unnamed.resolver, 53))
        except OSError:
            pytest.skip("port 53 can't be had here")

        def make(keys):
            started.append(Unnamed(origin.url, {"proxy": {"workers": 1}, "upstream silent": {"url": "http://silent.example", **keys},
                                                "route named": {"match": "/named/*", "upstream": "silent", "cache": "off"}}, grace="60s"))
            return started[-1].start()
        yield make
        for proxy in started:
            proxy.stop()


def test_dns_that_is_silent_stops_nobody_else(silence, origin):
    proxy = silence({"connect_timeout": "300ms", "retries": "0"})
    path = origin.on(origin.fresh(), [Reply(body=b"well")])
    with proxy.client() as c:
        c.start(target="/named/x")
        assert c.response().status == 504
        c.start(target="/named/x")  # while this one is given up, others are answered
        while c.nothing_comes(0):
            assert proxy.fetch(path).body == b"well"
        assert c.response().status == 504
        for _ in range(20):
            assert proxy.fetch(path).body == b"well"
    proxy.process.signal(signal.SIGTERM)
    assert proxy.process.wait(20) == 0, "the resolver, which asks for a minute, is not waited for"


def test_dns_that_is_silent_is_not_asked_without_bound(silence):
    proxy = silence({"connect_timeout": "300ms", "retries": "0", "max_connections": "1000"})
    with Herd(proxy.port, 64, build(target="/named/x")) as h:
        h.connect().send().run()
        assert {m.status for m in h.members.values()} == {504}
    with Herd(proxy.port, 64, build(target="/named/x")) as h:
        h.connect().send().run()
        assert {m.status for m in h.members.values()} == {503}
    assert proxy.stats()["upstreams"]["silent"]["withheld"] == 64
    with open(f"/proc/{proxy.process.pid}/status", encoding="ascii") as f:
        threads = next(int(line.split()[1]) for line in f if line.startswith("Threads:"))
    assert threads < 100
