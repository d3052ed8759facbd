# SPDX-License-Identifier: MIT
"""The PROXY protocol: who the client is, as what stands in front of us says it."""
import socket
import ssl
import struct

import pytest

from support.origin import Reply
from support.proxy import SLOW, Port, Proxy, eventually
from support.rawclient import Client, build
from support.secure import Pair, TlsClient

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source="192.0.2.1", port=12345, family="TCP4", to="198.51.100.2"):
    return f"PROXY {family} {source} {to} {port} 443\r\n".encode()


def v2(command=0x21, family=0x11, addresses=None, tlvs=b""):
    if addresses is None:
        addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack(">HH", 12345, 443)
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(addresses) + len(tlvs)) + addresses + tlvs


def v2_six(source="2001:db8::1"):
    address = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "::1")
    return v2(family=0x21, addresses=address + struct.pack(">HH", 12345, 443))


class Behind:
    """A proxy with three listeners: `proxy`, `tls proxy`, and a plain one."""

    def __init__(self, origin, folder, extra=""):
        self.secure, self.plain = Port(), Port()
        pair = Pair(folder)
        self.context = pair.context()
        self.log = folder / "access.log"
        self.proxy = Proxy(origin.url, config_text=(
            f"[proxy]\nlisten = 127.0.0.1:{{port}} proxy, 127.0.0.1:{self.secure.number} tls proxy 127.0.0.1:{self.plain.number}\n"
            f"workers = 2\nshutdown_grace = 2s\ntls_certificate = {pair.certificate}\ntls_key = {pair.key}\n"
            f"access_log = {self.log}\n{extra}\n[admin]\nlisten = 127.0.0.1:{{admin_port}}\n[upstream]\nurl = {origin.url}\n"
            "[route off]\nmatch = /off/*\ncache = off\n[route all]\nmatch = *\nttl = 60s\n")).start()

    def counters(self):
        return self.proxy.stats()["clients"]

    def stop(self):
        self.secure.release()
        self.plain.release()
        self.proxy.stop()


@pytest.fixture(scope="module")
def behind(origin, tmp_path_factory):
    b = Behind(origin, tmp_path_factory.mktemp("behind"), "client_header_timeout = 1s")
    yield b
    b.stop()


def ask(c, origin):
    """What the origin is told about the client."""
    path = origin.on("/off" + origin.fresh(), [Reply(body=b"x")])
    assert c.get(path).body == b"x"
    return path, origin.last(path)


GOOD = [
    (v1(), "192.0.2.1"), (v1("2001:db8::1", family="TCP6", to="::1"), "2001:db8::1"), (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (v2(), "192.0.2.1"), (v2_six(), "2001:db8::1"), (v2(tlvs=b"\x04\0\x03abc"), "192.0.2.1"),
    (v2(command=0x20, family=0, addresses=b""), "127.0.0.1"), (v2(command=0x20), "127.0.0.1"),
    (v2(family=0, addresses=b""), "127.0.0.1"), (v2(family=0x31, addresses=bytes(216)), "127.0.0.1"),
]


@pytest.mark.parametrize("header, address", GOOD, ids=range(len(GOOD)))
@pytest.mark.parametrize("how", ["at once", "byte by byte", "with the request"])
def test_the_client_is_who_the_header_says(behind, origin, header, address, how):
    with behind.proxy.client() as c:
        if how == "with the request":
            path = origin.on("/off" + origin.fresh(), [Reply(body=b"x")])
            c.send(header + build(target=path))
            assert c.response().body == b"x"
            request = origin.last(path)
        else:
            for piece in [header] if how == "at once" else [header[i:i + 1] for i in range(len(header))]:
                c.send(piece)
            path, request = ask(c, origin)
        assert request.get("X-Forwarded-For") == address
        assert request.get("X-Forwarded-Proto") == "http"
        assert ask(c, origin)[1].get("X-Forwarded-For") == address  # once a connection is enough
    eventually(lambda: any(line.startswith(address + " ") and path in line for line in behind.log.read_text().splitlines()),
               "the access log has the address")


def test_a_hit_is_logged_with_the_address(behind, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    with behind.proxy.client() as c:
        c.send(v1("203.0.113.77"))
        assert not c.get(path).is_hit
        assert c.get(path).is_hit
    eventually(lambda: sum(line.startswith("203.0.113.77 ") and path in line for line in behind.log.read_text().splitlines()) == 2,
               "both are logged")


@pytest.mark.parametrize("header, address", GOOD, ids=range(len(GOOD)))
def test_under_tls_the_header_comes_before_the_handshake(behind, origin, header, address):
    with TlsClient(behind.secure.number, behind.context, before=header) as c:
        request = ask(c, origin)[1]
    assert request.get("X-Forwarded-For") == address
    assert request.get("X-Forwarded-Proto") == "https"


def test_the_handshake_may_follow_in_the_same_segment(behind, origin):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = behind.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    path = origin.on("/off" + origin.fresh(), [Reply(body=b"joined")])
    with Client(behind.secure.number) as c:
        first = v2()
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                c.send(first + outgoing.read())
                first = b""
                incoming.write(c.read_some(65536))
        tls.write(build(target=path))
        c.send(outgoing.read())
        got = b""
        while b"joined" not in got:
            incoming.write(c.read_some(65536))
            try:
                got += tls.read(65536)
            except ssl.SSLWantReadError:
                pass
    assert origin.last(path).get("X-Forwarded-For") == "192.0.2.1"


BAD = [
    build(target="/x"), b"\x16\x03\x01\x02\0" + bytes(200), v1("192.0.2.300"), v1("::1"), v1(port=65536), v1(port="01"),
    v1().replace(b" ", b"  ", 1), v1().replace(b"\r\n", b"\n"), v1()[:-2] + b" \r\n", b"PROXY TCP5 1 2 3 4\r\n",
    b"PROXY " + b"x" * 200, b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", v2(command=0x11), v2(command=0x2f), v2(family=0x15),
    v2(addresses=b"1234"), v2(tlvs=b"\x04\0\x09abc"), v2(tlvs=b"\x03\0\x04abcd"), v2(tlvs=bytes(5000)), SIGNATURE[:-1] + b"X" * 8,
]


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("tls", [False, True])
def test_a_malformed_header_ends_the_connection(behind, origin, data, tls):
    before = behind.counters()["proxy_refused"]
    seen = len(origin.seen("/x"))
    with Client(behind.secure.number if tls else behind.proxy.port) as c:
        c.send(data + build(target="/x"))
        assert c.wait_closed(5 * SLOW) == b""
    assert behind.counters()["proxy_refused"] == before + 1
    assert len(origin.seen("/x")) == seen
    with behind.proxy.client() as c:
        c.send(v1())
        ask(c, origin)


@pytest.mark.parametrize("part", [b"", b"PROXY TCP4", v2()[:14], v2()[:-1]])
def test_a_header_has_the_time_of_a_head(behind, part):
    with behind.proxy.client() as c:
        c.send(part)
        assert c.wait_closed(5 * SLOW) == b""


def test_clients_that_leave_inside_the_header(behind, origin):
    for data in (b"", b"P", v1()[:20], v2()[:5], v2()[:20], v1()):
        for port in (behind.proxy.port, behind.secure.number):
            for hard in (False, True):
                c = Client(port)
                c.send(data)
                c.reset() if hard else c.close()
    with behind.proxy.client() as c:
        c.send(v1())
        ask(c, origin)
    eventually(lambda: behind.counters()["open"] == 0, "every connection is gone")


def test_on_other_listeners_a_header_is_a_bad_request(behind):
    with Client(behind.plain.number) as c:
        c.send(v1() + build())
        assert c.response().status == 400


def test_a_second_header_is_a_bad_request(behind):
    with behind.proxy.client() as c:
        c.send(v1() + v1() + build())
        assert c.response().status == 400


def test_a_client_can_not_put_addresses_before_its_own(behind, origin):
    path = origin.on("/off" + origin.fresh(), [Reply(body=b"x")])
    with behind.proxy.client() as c:
        c.send(v1())
        c.get(path, {"X-Forwarded-For": "10.0.0.1, evil, 10.0.0.2", "X-Real-IP": "10.0.0.3"})
    assert origin.last(path).get("X-Forwarded-For").endswith("192.0.2.1")
    assert "evil" not in origin.last(path).get("X-Forwarded-For")


def test_only_trusted_addresses_may_connect(start_proxy, origin):
    port = Port()
    proxy = start_proxy({"proxy": {"listen": f"127.0.0.1:{port.number} proxy", "proxy_trusted": "127.0.0.2, 10.0.0.0/8"}})
    path = origin.on("/off" + origin.fresh(), [Reply(body=b"x")])
    with Client(port.number) as c:
        c.send(v1() + build(target=path))
        assert c.wait_closed(5 * SLOW) == b""
    assert proxy.stats()["clients"]["proxy_refused"] == 1
    assert origin.count(path) == 0
    with Client(port.number, source="127.0.0.2") as c:
        c.send(v1())
        assert c.get(path).body == b"x"
    assert origin.last(path).get("X-Forwarded-For") == "192.0.2.1"
    port.release()


def test_the_bound_on_addresses_is_about_clients(start_proxy, origin):
    port = Port()
    start_proxy({"proxy": {"listen": f"127.0.0.1:{port.number} proxy", "max_connections_per_address": 2}})
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    clients = [Client(port.number) for _ in range(8)]
    for i, c in enumerate(clients):
        c.send(v1(f"192.0.2.{i}"))
        assert c.get(path).body == b"x"
    more = [Client(port.number) for _ in range(2)]
    more[0].send(v1("192.0.2.0") + build(target=path))
    assert more[0].response().status == 200  # before the other is sent, which may be another worker's
    more[1].send(v1("192.0.2.0") + build(target=path))
    assert more[1].wait_closed(5 * SLOW)[9:12] in (b"503", b"")  # the word may be lost to the reset
    for c in clients + more:
        c.close()
    port.release()
