# SPDX-License-Identifier: MIT
"""TLS for clients: the same responses as without, only new versions, certificates that can be changed while it runs."""
import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from support.origin import Reply, Send, Stream, Wait, head, pattern
from support.proxy import SLOW, Port, Proxy, binary, eventually, sanitized_environment
from support.rawclient import Client, build
from support.secure import Pair, TlsClient

MB = 1 << 20


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    return Pair(folder / "a"), Pair(folder / "b", kind=("rsa", "rsa_keygen_bits:2048"))


def config(folder, plain, proxy="", upstream="", rest=""):
    return (f"[proxy]\nlisten = 127.0.0.1:{{port}} tls, 127.0.0.1:{plain}\nworkers = 2\nshutdown_grace = 2s\n"
            f"tls_certificate = {folder}/certificate.pem\ntls_key = {folder}/key.pem\n{proxy}\n"
            f"[admin]\nlisten = 127.0.0.1:{{admin_port}}\n[upstream]\nurl = {upstream}\n"
            f"[cache]\nmemory = 64M\n{rest}\n[route off]\nmatch = /off/*\ncache = off\n[route all]\nmatch = *\nttl = 60s\n")


def copy(pair, folder, what=("certificate", "key")):
    for name in what:
        shutil.copy(getattr(pair, name), folder / f"{name}.pem")


class Secure:
    """A proxy with a TLS and a plain listener, and certificate files that a test may change."""

    def __init__(self, origin, pair, folder, **kwargs):
        self.pair, self.folder, self.plain = pair, folder, Port()
        copy(pair, folder)
        self.proxy = Proxy(origin.url, config_text=config(folder, self.plain.number, upstream=origin.url, **kwargs)).start()
        self.context = pair.context()

    def client(self, context=None, **kwargs):
        return TlsClient(self.proxy.port, context or self.context, **kwargs)

    def stop(self):
        self.plain.release()
        self.proxy.stop()


@pytest.fixture
def start_secure(origin, pairs, tmp_path):
    started = []

    def start(pair=pairs[0], **kwargs):
        folder = tmp_path / f"live{len(started)}"
        folder.mkdir()
        started.append(Secure(origin, pair, folder, **kwargs))
        return started[-1]
    yield start
    for s in started:
        s.stop()


@pytest.fixture(scope="module")
def secure(origin, pairs, tmp_path_factory):
    s = Secure(origin, pairs[0], tmp_path_factory.mktemp("live"))
    yield s
    s.stop()


def counters(secure):
    return secure.proxy.stats()["clients"]


# ---- responses ----

def test_responses_are_those_of_a_plain_connection(secure, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"1"', "Cache-Control": "max-age=60"}, b"hello")])
    with secure.client() as c, Client(secure.plain.number) as plain:
        first, second, third = c.get(path), c.get(path), plain.get(path)
        assert first.body == second.body == third.body == b"hello"
        assert second.is_hit and not first.is_hit and not third.is_hit, "an origin may answer by the scheme"
        assert c.get(path, {"If-None-Match": '"1"'}).status == 304
        assert c.get(path, {"Range": "bytes=1-2"}).body == b"el"
        assert c.request("HEAD", path).get("Content-Length") == "5"
    assert origin.count(path) == 2


def test_the_origin_hears_of_https(secure, origin):
    path = origin.on("/off" + origin.fresh(), [Reply(body=b"x")])
    with secure.client() as c, Client(secure.plain.number) as plain:
        c.get(path, {"X-Forwarded-Proto": "http"})
        plain.get(path, {"X-Forwarded-Proto": "https"})
    assert [r.get("X-Forwarded-Proto") for r in origin.seen(path)] == ["https", "http"]
    assert origin.seen(path)[0].get("X-Forwarded-For") == "127.0.0.1"


@pytest.mark.parametrize("where", ["", "/off"])
def test_large_responses_and_bodies(secure, origin, where):
    body = pattern(6 * MB)
    down = origin.on(where + origin.fresh(), [Reply(body=body)])
    up = origin.on("/off" + origin.fresh(), lambda r: [Reply(body=hashlib.sha256(r.body).hexdigest().encode())])
    with secure.client(timeout=30 * SLOW) as c:
        for _ in range(3):
            assert c.get(down).body == body
        sent = pattern(900000)
        assert c.request("POST", up, {}, sent).body == hashlib.sha256(sent).hexdigest().encode()


def test_pipelined_requests_are_answered_in_order(secure, origin):
    gate = origin.gate()
    slow = origin.on("/off" + origin.fresh(), [Wait(gate), Reply(body=b"slow")])
    fast = origin.on(origin.fresh(), [Reply(body=b"fast")])
    with secure.client() as c:
        c.get(fast)
        c.send(build(target=fast) * 3 + build(target=slow) + build(target=fast))
        assert [c.response().body for _ in range(3)] == [b"fast"] * 3
        gate.open()
        assert [c.response().body for _ in range(2)] == [b"slow", b"fast"]


def test_requests_in_single_byte_records(secure, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"hello")])
    with secure.client() as c:
        for byte in build("POST", path, {}, b"12345"):
            c.send(bytes([byte]))
        assert c.response().body == b"hello"


def test_a_slow_reader_gets_all_of_a_hit_in_bounded_memory(secure, origin):
    body = pattern(7 * MB)
    path = origin.on(origin.fresh(), [Reply(body=body)])
    with secure.client() as c:
        assert c.get(path).body == body
    before = secure.proxy.rss_bytes()
    readers = [secure.client(receive_buffer=4096, timeout=60 * SLOW) for _ in range(8)]
    for r in readers:
        r.start(target=path)
    for r in readers:
        assert r.response_head().status == 200
    assert secure.proxy.rss_bytes() - before < 24 * MB * (4 if SLOW > 1 else 1)  # 8 x 7 MB of ciphertext it is not
    for r in readers:
        r.sock.settimeout(60 * SLOW)
        assert r.read_bytes(100000)[-1:] != b""
        r.reset()
    with secure.client() as c:
        assert c.get(path).body == body


# ---- the end of a connection ----

def test_an_end_is_told_with_close_notify(secure, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    for fields in ({"Connection": "close"}, {}):
        with secure.client() as c:
            c.start(target=path, fields=fields)
            if not fields:
                c.send(b"BAD\r\n\r\n")
            while c._more():  # SSLEOFError without close_notify
                pass
            assert b"HTTP/1.1 " in c.data


def test_an_idle_connection_ends_with_close_notify(start_secure):
    secure = start_secure(proxy="client_idle_timeout = 2s\nclient_header_timeout = 2s")
    with secure.client() as c:
        assert c.sock.recv(1) == b""


def test_a_client_that_half_closes_is_answered(secure, origin):
    gate = origin.gate()
    path = origin.on("/off" + origin.fresh(), [Wait(gate), Reply(body=b"late")])
    with secure.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        os.dup(c.sock.fileno())
        socket.socket.shutdown(c.sock, socket.SHUT_WR)  # a FIN without close_notify: requests end by themselves
        gate.open()
        assert c.response().body == b"late"


def test_clients_that_leave_at_each_stage(secure, origin):
    path = origin.on("/off" + origin.fresh(), lambda r: [Send(head(200, {"Content-Length": 20 * MB})), Stream(20 * MB)])
    hello = client_hello(secure)
    for data in (b"", hello[:1], hello[:5], hello[:-1], hello):
        for hard in (False, True):
            c = Client(secure.proxy.port)
            c.send(data)
            c.reset() if hard else c.close()
    for stage in range(4):
        c = secure.client()
        if stage:
            c.start(target=path)
        if stage > 1:
            c.response_head()
        if stage > 2:
            c.read_bytes(100000)
        c.reset()
    serves(secure, origin)
    eventually(lambda: counters(secure)["open"] <= 1, "every connection is gone")


def serves(secure, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"serves")])
    with secure.client() as c:
        assert c.get(path).body == b"serves"


# ---- the handshake ----

def client_hello(secure):
    """The first bytes of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = secure.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        o.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_1_2_and_1_3(secure, origin, pairs, version):
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    with secure.client(pairs[0].context(lowest=version, highest=version)) as c:
        assert c.get(path).body == b"x"
        assert c.sock.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
        assert c.sock.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused(secure, origin, pairs, version):
    context = pairs[0].context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    failures = counters(secure)["tls_failures"]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secure.client(context)
    assert counters(secure)["tls_failures"] == failures + 1
    serves(secure, origin)


@pytest.mark.parametrize("offered, chosen", [(("h2", "http/1.1"), "http/1.1"), (("http/1.0",), "http/1.0"), ((), None)])
def test_alpn(secure, origin, pairs, offered, chosen):
    with secure.client(pairs[0].context(alpn=offered)) as c:
        assert c.sock.selected_alpn_protocol() == chosen


def test_a_client_that_speaks_h2_only_is_refused(secure, origin, pairs):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secure.client(pairs[0].context(alpn=("h2",)))
    serves(secure, origin)


def test_a_session_is_resumed(secure, origin, pairs):
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    context = pairs[0].context(highest=ssl.TLSVersion.TLSv1_2)
    with secure.client(context) as c:
        c.get(path)
        session = c.sock.session
    with secure.client(context, session=session) as c:
        assert c.sock.session_reused
        assert c.get(path).body == b"x"


def test_renegotiation_is_refused(secure):
    s_client = ["openssl", "s_client", "-connect", f"127.0.0.1:{secure.proxy.port}", "-tls1_2"]
    child = subprocess.Popen(s_client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with child:
        child.stdin.write(b"R\n")
        child.stdin.flush()
        out = child.stdout.read()
    assert b"no renegotiation" in out, out[-500:]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00" * 600,
                                  b"\x16\x03\x01\xff\xff" + b"\x01" * 1000, b"\x80\x2e\x01\x00\x02"])
def test_what_is_no_handshake_ends_the_connection(secure, origin, data):
    failures = counters(secure)["tls_failures"]
    with Client(secure.proxy.port) as c:
        c.send(data)
        c.half_close()
        c.wait_closed()
    eventually(lambda: counters(secure)["tls_failures"] > failures or data[:1] in b"\x16\x80", "it is counted")
    serves(secure, origin)


def test_a_broken_record_after_the_handshake_ends_the_connection(secure, origin):
    with secure.client() as c:
        raw = socket.socket(fileno=os.dup(c.sock.fileno()))
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            while c.sock.recv(1000):
                pass
        raw.close()
    serves(secure, origin)


@pytest.mark.parametrize("part", ["nothing", "half", "drip"])
def test_a_handshake_has_the_time_of_a_head(start_secure, part):
    secure = start_secure(proxy="client_header_timeout = 400ms")
    hello = client_hello(secure)
    with Client(secure.proxy.port) as c:
        if part == "half":
            c.send(hello[:100])
        while part == "drip" and c.nothing_comes(0.05):
            assert hello, "each byte prolonged it"
            try:
                c.send(hello[:1])
            except ConnectionError:
                break
            hello = hello[1:]
        assert c.wait_closed() == b""
    assert counters(secure)["header_timeouts"] == 1


# ---- the certificate ----

def subject(connection):
    return hashlib.sha256(connection.sock.getpeercert(binary_form=True)).hexdigest()


def serves_with(secure, context):
    with secure.client(context) as c:
        return subject(c)


def reload(secure, said):
    secure.proxy.process.signal(signal.SIGHUP)
    eventually(lambda: said in secure.proxy.stderr, said)


def ends(path):
    said = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-enddate"], check=True, capture_output=True, text=True).stdout
    return ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter="))


def shown_end(secure):
    text = secure.proxy.admin("GET", "/metrics").body.decode()
    path, end = re.search(r'^memoproxy_tls_certificate_expiry_timestamp_seconds\{certificate="(.*)"\} (\d+)$', text, re.M).groups()
    assert secure.proxy.stats()["certificates"] == {path: int(end)} and path == str(secure.folder / "certificate.pem")
    return int(end)


def test_the_end_of_the_certificate_is_told(start_secure, tmp_path):
    secure = start_secure(Pair(tmp_path / "long", days=30))
    assert shown_end(secure) == ends(secure.folder / "certificate.pem")
    copy(short := Pair(tmp_path / "short", days=3), secure.folder)
    reload(secure, "the new configuration is in force")
    assert shown_end(secure) == ends(short.certificate)


def test_of_a_chain_the_first_end_counts(start_secure, tmp_path):
    long, short = Pair(tmp_path / "long", days=30), Pair(tmp_path / "short", days=3)
    secure = start_secure(long)
    with open(secure.folder / "certificate.pem", "a", encoding="ascii") as f:
        f.write(short.certificate.read_text())
    reload(secure, "the new configuration is in force")
    assert shown_end(secure) == ends(short.certificate)


def test_a_new_certificate_is_taken_and_open_connections_stay(start_secure, origin, pairs):
    secure = start_secure()
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    both = pairs[0].context(pairs[1])
    with secure.client(both) as old:
        first = subject(old)
        copy(pairs[1], secure.folder)
        reload(secure, "the new configuration is in force")
        second = serves_with(secure, both)
        assert second != first
        assert old.get(path).body == b"x"
        assert subject(old) == first


@pytest.mark.parametrize("what", ["only the key is new", "no file", "garbage"])
def test_a_bad_pair_leaves_the_old_one(start_secure, origin, pairs, what):
    secure = start_secure()
    both = pairs[0].context(pairs[1])
    first = serves_with(secure, both)
    if what == "only the key is new":
        copy(pairs[1], secure.folder, ["key"])
    elif what == "no file":
        (secure.folder / "certificate.pem").unlink()
    else:
        (secure.folder / "certificate.pem").write_text("-----BEGIN CERTIFICATE-----\nxxx\n")
    reload(secure, "the old configuration stays in force")
    assert "tls_certificate: " in secure.proxy.stderr or "TLS: " in secure.proxy.stderr
    assert serves_with(secure, both) == first
    copy(pairs[1], secure.folder)
    reload(secure, "the new configuration is in force")
    assert serves_with(secure, both) != first


@pytest.mark.parametrize("break_it, says", [
    (lambda folder, other: (folder / "key.pem").unlink(), "tls_key: "),
    (lambda folder, other: (folder / "certificate.pem").unlink(), "tls_certificate: "),
    (lambda folder, other: (folder / "key.pem").write_text("x"), "key.pem: "),
    (lambda folder, other: (folder / "certificate.pem").write_text(""), "certificate.pem: "),
    (lambda folder, other: copy(other, folder, ["key"]), "key.pem: "),
    (lambda folder, other: copy(other, folder, ["certificate"]), "key.pem: "),
], ids=["no key", "no certificate", "bad key", "empty certificate", "another key", "another certificate"])
@pytest.mark.parametrize("check", [True, False])
def test_a_bad_pair_at_the_start_is_one_sentence(pairs, tmp_path, break_it, says, check):
    copy(pairs[0], tmp_path)
    break_it(tmp_path, pairs[1])
    port, admin, plain = Port(), Port(), Port()
    text = config(tmp_path, plain.number, upstream="http://127.0.0.1:1").format(port=port.number, admin_port=admin.number)
    (tmp_path / "proxy.ini").write_text(text)
    done = subprocess.run([binary(), *(["-t"] if check else []), "-c", "proxy.ini"], cwd=tmp_path, capture_output=True,
                          timeout=30, env=sanitized_environment())
    assert done.returncode == 1
    assert says in done.stderr.decode(), done.stderr.decode()
    assert len(done.stderr.decode().splitlines()) == 1, done.stderr.decode()
    for p in (port, admin, plain):
        p.release()


# ---- what is agreed on ----

STRONG = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"]
WEAK = ["AES128-SHA", "AES256-SHA256", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA",
        "ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256", "AES128-CCM", "AECDH-AES128-SHA"]


def test_version_1_2_has_forward_secrecy_and_authenticated_encryption_only(start_secure, origin, pairs):
    """The RSA pair: with it the exchange of keys without forward secrecy would be possible."""
    s = start_secure(pair=pairs[1])
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    for name in STRONG + WEAK:
        context = pairs[1].context(lowest=ssl.TLSVersion.TLSv1_2, highest=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(name + ":@SECLEVEL=0")
        if name in STRONG:
            with s.client(context) as c:
                assert c.get(path).body == b"x" and c.sock.cipher()[0] == name
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                s.client(context)
    serves(s, origin)


# ---- files that others can get at ----

def checked(path):
    done = subprocess.run([binary(), "-t", "-c", str(path)], capture_output=True, text=True, env=sanitized_environment())
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def test_secrets_that_others_can_read_or_change_are_warned_of(tmp_path, origin, pairs):
    folder = tmp_path / "site"
    folder.mkdir()
    copy(pairs[0], folder)
    token, disk, ini = folder / "token", folder / "disk", folder / "proxy.ini"
    token.write_text("secret-of-operators\n")
    disk.mkdir()
    ports = [Port() for _ in range(3)]
    text = config(folder, ports[0].number, upstream=origin.url, rest=f"[disk]\npath = {disk}\nsize = 64M")
    with_file = text.replace("[upstream]", f"token_file = {token}\n[upstream]")
    numbers = {"port": ports[1].number, "admin_port": ports[2].number}
    files = {folder / "key.pem": "tls_key", token: "token_file", disk: "path"}

    def private():
        for path in (*files, ini):
            path.chmod(0o700 if path == disk else 0o640)

    ini.write_text(with_file.format(**numbers))
    private()
    assert checked(ini) == []
    for path, name in files.items():
        for mode, what in ((0o644, "read"), (0o620, "change"), (0o602, "change"), (0o666, "read and change")):
            path.chmod(mode | (0o100 if path == disk else 0))
            (line,) = checked(ini)
            assert re.match(rf"{ini}:\d+: warning: {name}: {path}: other users can {what} it", line), line
        private()
    # The token itself in a file that anybody can read.
    ini.write_text(text.replace("[upstream]", "token = secret-of-operators\n[upstream]").format(**numbers))
    assert checked(ini) == []
    ini.chmod(0o644)
    (line,) = checked(ini)
    assert "token" in line and "secret-of-operators" not in line
    # At the start, and at a reload, the log says the same.
    proxy = Proxy(origin.url, config_text=text)
    (folder / "key.pem").chmod(0o604)
    for p in ports:
        p.release()
    proxy.start()
    try:
        assert proxy.stderr.count("tls_key: ") == 1
        disk.chmod(0o755)
        proxy.process.signal(signal.SIGHUP)
        eventually(lambda: " path: " in proxy.stderr, "the reload says it")
    finally:
        proxy.stop()
