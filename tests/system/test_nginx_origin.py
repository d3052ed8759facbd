# SPDX-License-Identifier: MIT
"""nginx as the origin: large files, ranges, HTTPS, HTTP/2."""
import hashlib
import pathlib

import pytest

from support.herd import herd_fetch
from support.proxy import Proxy

from conftest import need_binary

ROUTES = {"cache": {"max_object": "64M"}, "route small": {"match": "/small*", "ttl": "60s"},
          "route version": {"match": "/version", "cache": "off"},
          "route private": {"match": "/private/*", "cache": "off"}, "route all": {"match": "*"}}


@pytest.fixture(scope="module", params=["http", "https", "http2"])
def front(request, nginx):
    need_binary()
    port = {"http": nginx.port, "https": nginx.tls_port, "http2": nginx.h2_port}[request.param]
    scheme = "http" if request.param == "http" else "https"
    upstream = {"tls_ca": nginx.ca if scheme == "https" else None,
                "http_version": {"http": "1.1", "https": "1.1", "http2": "2"}[request.param],
                "connect_timeout": "60s", "first_byte_timeout": "60s"}  # fifty handshakes, on a machine that has other things to do
    proxy = Proxy(f"{scheme}://127.0.0.1:{port}", {"upstream": upstream, **ROUTES}).start()
    proxy.kind = request.param
    yield proxy
    proxy.stop()


def test_version_spoken_to_the_origin(front):
    assert front.fetch("/version").body == (b"HTTP/2.0" if front.kind == "http2" else b"HTTP/1.1")


def test_who_authenticates_a_connection_is_alone_on_it(front):
    """HTTP/2 would carry others' requests on it."""
    assert front.fetch("/version", {"Authorization": "NTLM TlRMTVNTUAAB"}).body == b"HTTP/1.1"
    assert front.fetch("/version").body == (b"HTTP/2.0" if front.kind == "http2" else b"HTTP/1.1")


def test_small_file_is_cached(front, nginx):
    assert front.fetch("/small.txt").body == nginx.small
    r = front.fetch("/small.txt")
    assert (r.body, r.is_hit, r.version) == (nginx.small, True, "HTTP/1.1")
    assert front.fetch("/small.txt", {"If-None-Match": r.get("ETag")}).status == 304


def test_large_file_whole_and_in_ranges(front, nginx):
    first, second = front.fetch("/big.bin"), front.fetch("/big.bin")
    wanted = hashlib.sha256(nginx.big).digest()
    for r in (first, second):
        assert (r.status, len(r.body)) == (200, len(nginx.big))
        assert hashlib.sha256(r.body).digest() == wanted
    assert second.is_hit
    for start, end in ((0, 0), (0, 99), (1 << 20, (1 << 20) + 4095), (len(nginx.big) - 1, len(nginx.big) - 1)):
        r = front.fetch("/big.bin", {"Range": f"bytes={start}-{end}"})
        assert (r.status, r.body) == (206, nginx.big[start:end + 1])
        assert r.get("Content-Range") == f"bytes {start}-{end}/{len(nginx.big)}"
    assert front.fetch("/big.bin", {"Range": f"bytes={len(nginx.big)}-"}).status == 416


def test_ranges_pass_where_nothing_is_cached(front, nginx):
    data = nginx.add_file("private/part.bin", bytes(range(256)) * 100)
    r = front.fetch("/private/part.bin", {"Range": "bytes=300-309"})
    assert (r.status, r.body) == (206, data[300:310])
    r = front.fetch("/private/part.bin", {"Range": "bytes=-10", "If-Range": r.get("ETag")})
    assert (r.status, r.body) == (206, data[-10:])


def test_head_and_errors(front, nginx):
    r = front.fetch("/big.bin", method="HEAD")
    assert (r.status, r.get("Content-Length"), r.body) == (200, str(len(nginx.big)), b"")
    assert front.fetch("/none").status == 404
    assert front.fetch("/version", method="DELETE").status in (200, 405)


def test_post_with_a_body(front):
    r = front.fetch("/version", method="POST", body=b"x" * 100000)
    assert r.status in (200, 405)
    assert front.fetch("/version").status == 200


def test_file_that_changes_is_seen_after_a_purge(front, nginx):
    name = f"small-changing-{front.kind}.txt"
    nginx.add_file(name, b"one")
    assert front.fetch("/" + name).body == b"one"
    nginx.add_file(name, b"second")
    assert front.fetch("/" + name).body == b"one"
    front.purge(url="/" + name)
    assert front.fetch("/" + name).body == b"second"


def test_herd_on_a_cold_large_file(front, nginx):
    name = f"herd-{front.kind}.bin"
    data = nginx.add_file(name, nginx.big[:500000])
    h = herd_fetch(front.port, 200, "/" + name)
    h.check(200, data)
    log = pathlib.Path(nginx.folder, "access.log").read_text(encoding="utf-8")
    assert log.count(f"/{name} ") in (0, 1), "nginx writes its log in the end"


def test_many_files_at_once(front, nginx):
    for i in range(50):
        nginx.add_file(f"many/{i}.txt", b"%d" % i * 1000)
    clients = [front.client() for _ in range(50)]
    for i, c in enumerate(clients):
        c.start(target=f"/many/{i}.txt")
    for i, c in enumerate(clients):
        assert c.response().body == b"%d" % i * 1000
        c.close()
