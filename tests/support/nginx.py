# SPDX-License-Identifier: MIT
"""nginx as an origin (and, for testing the harness, as a stand-in proxy): files, ranges, HTTPS and HTTP/2."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from .origin import pattern
from .proxy import Port, Process

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    log_format version '$server_protocol $request';
    types {{ application/octet-stream bin; text/plain txt; application/json json; }}
    server {{
        listen 127.0.0.1:{plain};
        {body}
    }}
    {tls}
}}
"""
FILES = """
        root {folder}/files;
        etag on;
        add_header Cache-Control "max-age=3600";
        location /private/ { add_header Cache-Control "no-store"; }
        location = /version { default_type text/plain; add_header Cache-Control "no-store"; return 200 $server_protocol; }
"""
TLS = """
    server {{
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        {body}
    }}
    server {{
        listen 127.0.0.1:{h2} ssl http2;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        {body}
    }}
"""


def make_certificate(folder):
    """ca.pem, and server.pem with server.key for localhost and 127.0.0.1, signed by it."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    pathlib.Path(folder, "san.cnf").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-out", "server.pem", "-extfile", "san.cnf")
    return os.path.join(folder, "ca.pem")


def wait_listening(port, process, what):
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.alive, f"{what} ended: {process.stderr}"
            time.sleep(0.01)
    raise AssertionError(f"{what} does not listen: {process.stderr}")


class Nginx:
    """Serves files/ under `folder`: small.txt, big.bin (20 MB), and what a test writes with add_file()."""

    def __init__(self, body=None, tls=True):
        self.folder = tempfile.mkdtemp(prefix="nginx-test-")
        os.chmod(self.folder, 0o755)  # its worker may be another user
        self.ports = [Port() for _ in range(3)]
        self.port, self.tls_port, self.h2_port = (p.number for p in self.ports)
        self.ca = make_certificate(self.folder) if tls else None
        os.mkdir(os.path.join(self.folder, "files"))
        body = (body or FILES).replace("{folder}", self.folder)
        tls_text = TLS.format(tls=self.tls_port, h2=self.h2_port, folder=self.folder, body=body) if tls else ""
        config = CONFIG.format(folder=self.folder, plain=self.port, body=body, tls=tls_text)
        self.config_path = os.path.join(self.folder, "nginx.conf")
        pathlib.Path(self.config_path).write_text(config)
        self.process = None

    @staticmethod
    def available():
        return shutil.which("nginx") or os.path.exists("/usr/sbin/nginx")

    def add_file(self, name, data):
        path = pathlib.Path(self.folder, "files", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return data

    def __enter__(self):
        self.small = self.add_file("small.txt", b"small\n")
        self.big = self.add_file("big.bin", pattern(20 << 20))
        self.process = Process([self.available(), "-c", self.config_path, "-p", self.folder])
        wait_listening(self.port, self.process, "nginx")
        return self

    def __exit__(self, *exc):
        self.process.end()
        for port in self.ports:
            port.release()
        shutil.rmtree(self.folder, ignore_errors=True)
