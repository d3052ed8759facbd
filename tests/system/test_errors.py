# SPDX-License-Identifier: MIT
"""Errors of the proxy's own: what clients are told of them, and what the operator finds in the log and in /stats."""
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

from support.nginx import make_certificate
from support.origin import Close, Hang, Reply, Reset, Send, Wait, head
from support.proxy import Port, Process, binary, eventually, sanitized_environment
from support.rawclient import Aborted, build
from support.secure import Pair

OFF = {"route off": {"match": "/off/*", "cache": "off"}}
CONFIG = {"upstream": {"retries": 0}, **OFF, "route all": {"match": "*", "ttl": "60s"}}
EVERYWHERE = pytest.mark.parametrize("where", ["/off", ""], ids=["alone", "for all"])
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def refused_head(proxy, accept=None):
    with proxy.client() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n" + (f"Accept: {accept}\r\n".encode() if accept else b"") + b"\r\n")
        return c.response()


def told(proxy, upstream, path, status, error, address=True):
    """The answer, the log, /stats and who learns what."""
    r = proxy.fetch(path, {"X-Request-ID": "req-1"})
    assert (r.status, r.get("Proxy-Status")) == (status, f"memoproxy; error={error}"), r
    assert r.get("X-Request-ID") == "req-1" and r.get("Cache-Control") == "no-store"
    body = r.json()
    assert (body["type"], body["status"], body["error"], body["id"]) == ("about:blank", status, error, "req-1")
    assert body["title"] and body["detail"]
    host = upstream.split("//")[1]
    assert host not in str(r.fields) + r.body.decode(), "where the origin is, is not for clients"
    line = [text for text in proxy.stderr.splitlines() if "id=req-1" in text][-1]
    assert f" error={error} origin={upstream} " in line and " warn upstream default: " in line, line
    last = proxy.stats()["upstreams"]["default"]["origins"][0]["last_error"]
    assert (last["error"], last["request_id"]) == (error, "req-1") and last["detail"] in line
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]{8}\.\d{3}Z", last["time"])
    if address:
        assert f" address={host} " in line and last["address"] == host
    else:
        assert " address=" not in line and last["address"] is None
    return last["detail"]


@EVERYWHERE
@pytest.mark.parametrize("script, status, error, detail", [
    ([Close()], 502, "connection_terminated", ""),
    ([Reset()], 502, "connection_terminated", "reset"),
    ([Send(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n"), Close()], 502, "http_response_incomplete", "inside the answer"),
    ([Send(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nSet-Cookie: a=s3cret\x01\r\n\r\n")], 502, "http_protocol_error", "(line 3 of the head, Set-Cookie)"),
    ([Send(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\n\r\n")], 502, "http_protocol_error", "folded. (line 3 of the head)"),
    ([Send(b"HTTP/1.1 600 OK\r\n\r\n")], 502, "http_protocol_error", "(line 1 of the head)"),
    ([Send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300000 + b"\r\n\r\n")], 502, "http_response_header_section_size", "too large"),
    ([Send(b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"x" * 1000 + b"\r\n") * 400 + b"\r\n")], 502, "http_response_header_section_size", "too large"),
    ([Hang()], 504, "http_response_timeout", "no first byte in time"),
    ([Send(b"HTTP/1.1 200 OK\r\n"), Hang()], 504, "connection_read_timeout", "stalled"),
], ids=["closed", "reset", "half a head", "a bad value", "a folded line", "a bad status", "a line too large", "too large", "silence", "half a head, silence"])
def test_a_cause_is_told_to_whom_it_concerns(start_proxy, origin, where, script, status, error, detail):
    # A head is due within first_byte_timeout; its first half has to come before.
    due = {"http_response_timeout": {"first_byte_timeout": "500ms"}, "connection_read_timeout": {"first_byte_timeout": "5s"}}
    proxy = start_proxy({**CONFIG, "upstream": {**CONFIG["upstream"], **due.get(error, {})}})
    path = origin.on(where + origin.fresh(), script)
    assert detail.lower() in told(proxy, origin.url, path, status, error).lower()
    assert "s3cret" not in proxy.stderr


def test_a_version_that_is_not_spoken_is_the_requests_fault(start_proxy):
    with start_proxy(CONFIG).client() as c:
        c.send(b"GET /x HTTP/2.5\r\nHost: a\r\n\r\n")
        r = c.response()
        assert (r.status, r.get("Proxy-Status")) == (505, "memoproxy; error=http_request_error")


@EVERYWHERE
def test_no_connection(start_proxy, where):
    closed = Port()
    url = f"http://127.0.0.1:{closed.number}"
    proxy = start_proxy(CONFIG, upstream=url)
    assert "refused" in told(proxy, url, where + "/x", 502, "connection_refused").lower()
    closed.release()


def test_no_such_name(start_proxy):
    proxy = start_proxy(CONFIG, upstream="http://does-not-exist.invalid")
    r = proxy.fetch("/off/x")
    assert r.get("Proxy-Status") in ("memoproxy; error=dns_error", "memoproxy; error=dns_timeout"), r
    assert proxy.stats()["upstreams"]["default"]["origins"][0]["last_error"]["address"] is None


class TlsOrigin:
    """Shakes hands with a certificate, or says something else."""

    def __init__(self, context=None):
        self.context, self.sock = context, socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.sock.getsockname()[1]}"
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            try:
                if self.context:
                    self.context.wrap_socket(s, server_side=True).close()
                else:
                    s.recv(1000)
                    s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            except OSError:
                pass
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(10)


def server_context(certificate, key):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(certificate, key)
    return c


def test_a_certificate_nobody_vouches_for(start_proxy, tmp_path):
    pair = Pair(tmp_path / "pair")
    with TlsOrigin(server_context(pair.certificate, pair.key)) as o:
        proxy = start_proxy(CONFIG, upstream=o.url)
        assert "self-signed" in told(proxy, o.url, "/off/x", 502, "tls_certificate_error")


def test_a_certificate_that_has_expired(start_proxy, tmp_path):
    ca = make_certificate(tmp_path)
    subprocess.run(["openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "-1",
                    "-out", "old.pem", "-extfile", "san.cnf"], cwd=tmp_path, check=True, capture_output=True)
    with TlsOrigin(server_context(tmp_path / "old.pem", tmp_path / "server.key")) as o:
        proxy = start_proxy({**CONFIG, "upstream": {**CONFIG["upstream"], "tls_ca": ca}}, upstream=o.url)
        assert "expired" in told(proxy, o.url, "/off/x", 502, "tls_certificate_error")


def test_a_server_that_speaks_no_tls(start_proxy):
    with TlsOrigin() as o:
        told(start_proxy(CONFIG, upstream=o.url), o.url, "/off/x", 502, "tls_protocol_error")


def test_those_who_come_a_moment_later_hear_the_same_cause(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "60s"}})
    path = origin.on(origin.fresh(), [Reset()])
    first, later = proxy.fetch(path), proxy.fetch(path)
    assert origin.count(path) == 1, "the second was told what is remembered"
    assert first.get("Proxy-Status") == later.get("Proxy-Status") == "memoproxy; error=connection_terminated"
    assert later.json()["id"] == later.get("X-Request-ID") != first.json()["id"]


def test_those_who_waited_hear_the_same_cause(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "upstream": {"retries": 0}})
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reset()])
    clients = [proxy.client() for _ in range(3)]
    for c in clients:
        c.start(target=path)
    eventually(lambda: proxy.stats()["cache"]["waiters"] == 3, "all wait")
    gate.open()
    answers = [c.response() for c in clients]
    assert {r.get("Proxy-Status") for r in answers} == {"memoproxy; error=connection_terminated"}
    assert len({r.json()["id"] for r in answers}) == 3
    for c in clients:
        c.close()


def test_one_cause_does_not_silence_another(start_proxy, origin):
    """At most one line a second, but of each upstream and cause."""
    closed = Port()
    proxy = start_proxy({"upstream other": {"url": f"http://127.0.0.1:{closed.number}"},
                         "route other": {"match": "/other/*", "cache": "off", "upstream": "other"}, **CONFIG})
    for _ in range(20):
        proxy.fetch(origin.on("/off" + origin.fresh(), [Reset()]))
        proxy.fetch(origin.on("/off" + origin.fresh(), [Send(b"HTTP/1.1 x\r\n\r\n")]))
        proxy.fetch("/other/x")
    lines = proxy.stderr
    assert "upstream default: broken" in lines and "upstream default: bad answer" in lines and "upstream other: refused" in lines
    assert lines.count("upstream default: broken") < 20
    closed.release()


@pytest.mark.parametrize("key, field", [("off", None), ("full", 'memoproxy; error=connection_terminated; next-hop="default"')])
def test_how_much_a_client_learns(start_proxy, origin, key, field):
    proxy = start_proxy({**CONFIG, "proxy": {"proxy_status": key}})
    r = proxy.fetch(origin.on(origin.fresh(), [Reset()]))
    assert r.status == 502 and r.get("Proxy-Status") == field


def test_an_origins_own_error_is_its_own(start_proxy, origin):
    proxy = start_proxy(CONFIG)
    r = proxy.fetch(origin.on(origin.fresh(), [Reply(502, {"Content-Type": "text/plain"}, b"mine")]), {"Accept": BROWSER})
    assert (r.body, r.get("Proxy-Status"), r.get("X-Request-ID")) == (b"mine", None, None)


def test_the_access_log_names_the_error(start_proxy, origin, tmp_path):
    log = tmp_path / "access.log"
    proxy = start_proxy({**CONFIG, "proxy": {"access_log": log, "access_log_format": "json"}})
    failed, fine = origin.on(origin.fresh(), [Reset()]), origin.on(origin.fresh(), [Reply(body=b"x")])
    cut = [origin.on(where + origin.fresh(), [Send(head(200, {"Content-Length": 100000}) + b"x" * 50000), Close()]) for where in ("/off", "")]
    r = proxy.fetch(failed)
    proxy.fetch(fine)
    refused = refused_head(proxy)
    for path in cut:
        with pytest.raises(Aborted):
            proxy.fetch(path)
    lines = eventually(lambda: log.exists() and len(log.read_text().splitlines()) == 5 and log.read_text().splitlines(), "five lines")
    lines = {line["target"]: line for line in map(json.loads, lines)}
    assert {target: line["error"] for target, line in lines.items()} == {
        failed: "connection_terminated", fine: None, None: "http_request_error", **dict.fromkeys(cut, "http_response_incomplete")}
    assert lines[failed]["request_id"] == r.json()["id"] and lines[None]["request_id"] == refused.json()["id"]
    assert [lines[path]["status"] for path in cut] == [200, 200]


# ---- the log ----

def test_a_log_of_json(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "proxy": {"log_format": "json"}})
    proxy.fetch(origin.on(origin.fresh(), [Reset()]), {"X-Request-ID": "me"})
    lines = [json.loads(line) for line in proxy.stderr.splitlines() if line.startswith("{")]
    assert any(line["message"] == "ready" and line["level"] == "info" for line in lines)
    failed = [line for line in lines if line.get("id") == "me"]
    assert [(line["level"], line["error"], line["origin"]) for line in failed] == [("warn", "connection_terminated", origin.url)]


def test_the_journal_gets_priorities(origin):
    ports = [Port(), Port()]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "proxy.ini")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"[proxy]\nlisten = 127.0.0.1:{ports[0].number}\n[admin]\nlisten = 127.0.0.1:{ports[1].number}\n"
                    f"[upstream]\nurl = {origin.url}\n")
        err = tempfile.TemporaryFile()
        st = os.fstat(err.fileno())
        child = subprocess.Popen([binary(), "-c", path], stderr=err, stdout=subprocess.DEVNULL,
                                 env=sanitized_environment({"JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"}))

        def said():
            return os.pread(err.fileno(), 100000, 0).decode()
        try:
            eventually(lambda: "<6>ready\n" in said(), "it says that it is ready")
            child.send_signal(signal.SIGTERM)
            assert child.wait(30) == 0
        finally:
            child.kill()
            child.wait()
        lines = said().splitlines()
        assert lines and all(re.match(r"<[3467]>(?!20\d\d-)", line) for line in lines), lines
    for port in ports:
        port.release()


# ---- one request's decisions ----

TRACED = {**CONFIG, "proxy": {"debug_header": "s3cret-of-mine"}}


def traces(proxy, request_id):
    return [line for line in proxy.stderr.splitlines() if f"id={request_id}" in line and " debug trace: " in line]


def test_a_request_with_the_secret_is_traced_and_no_other(start_proxy, origin):
    proxy = start_proxy(TRACED)
    path = origin.on(origin.fresh(), [Reply(200, {"Vary": "Memoproxy-Debug"}, b"x")])
    for request_id, secret in (("none", None), ("wrong", "s3cret-of-mina"), ("short", "s3cret"), ("empty", "")):
        fields = {"X-Request-ID": request_id, **({"Memoproxy-Debug": secret} if secret is not None else {})}
        assert proxy.fetch(path + f"?{request_id}", fields).status == 200
        assert not traces(proxy, request_id)
    miss = proxy.fetch(path, {"X-Request-ID": "miss", "Memoproxy-Debug": "s3cret-of-mine"})
    hit = proxy.fetch(path, {"X-Request-ID": "hit", "memoproxy-debug": "s3cret-of-mine"})
    plain = proxy.fetch(path)
    assert (miss.is_hit, hit.is_hit, plain.is_hit) == (False, True, True), "the field is in no key"
    assert miss.body == hit.body == plain.body and sorted(n for n, _ in hit.fields) == sorted(n for n, _ in plain.fields)
    text = "\n".join(traces(proxy, "miss"))
    for step in (f"GET {path}: route all, upstream default", "the cache is asked for key", "fetch it for all; fwd=uri-miss",
                 f"asks origin={origin.url}", "connection", "has the whole response", "the response is for all (status 200)",
                 "answers 200, cache=miss"):
        assert step in text, (step, text)
    assert "a fresh response is stored" in "\n".join(traces(proxy, "hit"))
    assert "s3cret" not in proxy.stderr
    assert all(r.get("Memoproxy-Debug") is None for r in origin.requests)


def test_the_field_reaches_no_origin_whatever_is_set(start_proxy, origin):
    proxy = start_proxy({**OFF, "defaults": {"forward_headers": "Memoproxy-Debug", "key_headers": "Memoproxy-Debug",
                                             "underscore_headers": "pass"}})
    for where in ("", "/off"):
        path = origin.on(where + origin.fresh(), [Reply(body=b"x")])
        proxy.fetch(path, {"Memoproxy-Debug": "x"})
        assert origin.seen(path)[-1].get("Memoproxy-Debug") is None
        proxy.fetch(path + "?2", {"Memoproxy_Debug": "x"})
    assert not traces(proxy, "")


def test_the_level_debug_traces_all(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "proxy": {"log_level": "debug"}})
    path = origin.on("/off" + origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path, {"X-Request-ID": "all"})
    text = "\n".join(traces(proxy, "all"))
    assert "the cache is not asked: route" in text and "fetch it for this client alone" in text
    assert "the upstream answered 200: route" in text


# ---- what clients read ----

@pytest.mark.parametrize("accept, is_html", [
    (None, False), ("*/*", False), ("", False), (BROWSER, True), ("text/html", True), ("text/*;q=0.5", True),
    ("text/html;q=0.4, application/json;q=0.5", False), ("text/html, application/problem+json", False),
    ("application/json;q=0, */*;q=0.2, text/html;q=0.3", True), ("text/html;level=1", False), ("text/html;q=x", False),
])
def test_html_is_for_those_who_prefer_it(proxy, origin, accept, is_html):
    r = proxy.fetch(origin.on("/off" + origin.fresh(), [Reset()]),
                    {"X-Request-ID": "a&b'`", **({"Accept": accept} if accept is not None else {})})
    assert r.status == 502 and r.get("Cache-Control") == "no-store"
    if is_html:
        assert r.get("Content-Type") == "text/html; charset=utf-8"
        assert b"<h1>502 Bad Gateway</h1>" in r.body and b"<code>a&amp;b&#39;`</code>" in r.body
    else:
        assert r.get("Content-Type") == "application/problem+json" and r.json()["id"] == "a&b'`"


def test_all_errors_have_one_shape(proxy, origin):
    with proxy.client() as c:
        c.send(build("POST", "/off/x", {"Content-Length": str(1 << 30)}))
        too_large = c.response()
    loop = proxy.fetch("/only", {"Cache-Control": "only-if-cached"})
    for r, status, error in ((refused_head(proxy), 400, "http_request_error"), (too_large, 413, "http_request_error"),
                             (loop, 504, "proxy_internal_response")):
        body = r.json()
        assert (r.status, body["status"], body["error"], body["type"]) == (status, status, error, "about:blank")
        assert body["title"] and body["detail"] and re.fullmatch("[0-9a-f]{16}", body["id"])
        assert r.get("Proxy-Status") == f"memoproxy; error={error}" and r.get("X-Request-ID") == body["id"]
        assert r.get("Cache-Control") == "no-store"


def test_head_gets_no_body(proxy, origin):
    path = origin.on("/off" + origin.fresh(), [Reset()])
    for accept in ("*/*", BROWSER):
        r = proxy.fetch(path, {"Accept": accept}, "HEAD")
        assert (r.status, r.body) == (502, b"") and int(r.get("Content-Length")) > 0 and r.get("X-Request-ID")


@pytest.fixture
def pages(tmp_path):
    for name, text in (("down.html", "<p>down: {{id}} {{id}}"), ("down.json", '{"down": "{{id}}"}'), ("no.html", "<p>no"), ("me.html", "<p>me")):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_pages_of_the_operators_own(start_proxy, origin, pages):
    proxy = start_proxy({"defaults": {"error_page": f"502 504 {pages}/down.html, 4xx {pages}/no.html, 502 {pages}/down.json"},
                         "route me": {"match": "/off/me/*", "cache": "off", "error_page": f"5xx {pages}/me.html"}, **CONFIG})
    path = origin.on("/off" + origin.fresh(), [Reset()])
    html = proxy.fetch(path, {"Accept": "text/html", "X-Request-ID": "<&>"})  # no token: an id of ours
    assert re.fullmatch(rb"<p>down: [0-9a-f]{16} \{\{id\}\}", html.body) and html.get("Content-Type") == "text/html; charset=utf-8"
    assert proxy.fetch(path, {"Accept": "text/html", "X-Request-ID": "a&b"}).body == b"<p>down: a&amp;b {{id}}"
    r = proxy.fetch(path, {"X-Request-ID": "a&b"})
    assert r.json() == {"down": "a&b"} and r.get("Content-Type") == "application/json" and r.get("Cache-Control") == "no-store"
    assert proxy.fetch(origin.on("/off/me" + origin.fresh(), [Reset()]), {"Accept": "text/html"}).body == b"<p>me"
    with proxy.client() as c:
        c.send(build("POST", "/off/x", {"Content-Length": str(1 << 30), "Accept": "text/html"}))
        assert c.response().body == b"<p>no"
    own = proxy.fetch(origin.on("/off" + origin.fresh(), [Reply(502, {}, b"the origin's")]), {"Accept": "text/html"})
    assert own.body == b"the origin's", "only the proxy's own errors have pages"
    (pages / "down.html").write_text("<p>new")
    assert proxy.fetch(path, {"Accept": "text/html"}).body.startswith(b"<p>down")
    assert proxy.admin("POST", "/reload").status == 200
    assert proxy.fetch(path, {"Accept": "text/html"}).body == b"<p>new"


@pytest.mark.parametrize("value, why", [
    ("502 {}/missing.html", "missing.html: No such file or directory"),
    ("502 {}/big.html", "big.html: larger than 64K"),
    ("{}/down.html", "before a file stand its statuses"),
    ("502", "after statuses stands their file"),
    ("502 {}/down.txt", "a status (404, 5xx) or a path that ends with .html or .json"),
    ("302 {}/down.html", "before a file stand its statuses"),
])
def test_a_page_that_is_none_is_an_error_of_the_file(pages, value, why):
    (pages / "big.html").write_text("x" * 70000)
    (pages / "proxy.ini").write_text(f"[upstream]\nurl = http://localhost:1\n[defaults]\nerror_page = {value.format('.')}\n")
    p = Process([binary(), "-t", "-c", "proxy.ini"], cwd=pages)
    assert p.wait(30) == 1 and "proxy.ini:4: error_page: " in p.stderr and why in p.stderr, p.stderr
