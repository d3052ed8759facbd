# SPDX-License-Identifier: MIT
"""The servers that are measured: equal settings for each, one worker on one core, everything in a temporary folder."""
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TICK = os.sysconf("SC_CLK_TCK")
SERVER_CORE, LOAD_CORE = "0", "1"
DAY = 86400
CONNECTIONS = 20000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


# ---- Processes as the kernel sees them ----

def stat_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[1]), int(fields[11]) + int(fields[12])  # parent, user and system ticks of all threads


def family(pid):
    """The process and all below it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parents[int(name)] = stat_of(name)[0]
            except OSError:
                pass
    members = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in members} - members
        if not more:
            return members
        members |= more


def cpu_seconds(pids):
    return sum(stat_of(pid)[1] for pid in pids) / TICK


def memory_bytes(pids, what="RssAnon"):
    total = 0
    for pid in pids:
        found = re.search(rf"^{what}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
        total += int(found.group(1)) * 1024 if found else 0
    return total


class Server:
    """A child (and a second one for those that log in another process), on a core of its own."""
    name = "?"

    def __init__(self, folder, upstream, log=False, memory="512M", cores=SERVER_CORE, **settings):
        self.folder = pathlib.Path(folder) / f"{self.name}-{time.monotonic_ns()}"
        self.folder.mkdir(mode=0o755)
        self.upstream, self.log, self.memory, self.cores, self.settings = upstream, log, memory, cores, settings
        self.port, self.children = free_port(), []

    def spawn(self, *args):
        with open(self.folder / "err", "ab") as err:
            self.children.append(subprocess.Popen(["taskset", "-c", self.cores, *map(str, args)], stdin=subprocess.DEVNULL,
                                                  stdout=self.output(), stderr=err, cwd=self.folder))

    def output(self):
        return subprocess.DEVNULL

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def __enter__(self):
        self.launch()
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self.children[0].poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                self.after_start()
                return self
            except OSError:
                time.sleep(0.02)
        text = (self.folder / "err").read_text()[-2000:]
        self.__exit__()
        raise RuntimeError(f"{self.name} did not start: {text}")

    def after_start(self):
        pass

    def __exit__(self, *exc):
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pids(self):
        return set().union(*(family(child.pid) for child in self.children))

    def get(self, target, fields=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", target, headers=fields or {})
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer


class Memoproxy(Server):
    """The default proxy.ini but for listen, upstream, memory, as many connections as the others may have, and what a row says."""
    name = "memoproxy"
    binary = os.environ.get("MEMOPROXY_BIN") or str(ROOT / "memoproxy")

    def launch(self):
        self.admin_port = free_port()
        log = f"access_log = {self.folder}/access.log\n" if self.log else ""
        disk = "".join(f"{k} = {v}\n" for k, v in self.settings.get("disk", {}).items())
        ini = self.write("proxy.ini", f"[proxy]\nlisten = 127.0.0.1:{self.port}\n"
                                      f"workers = {self.settings.get('workers', 1)}\n{log}"
                                      f"max_connections = {CONNECTIONS}\nmax_connections_per_address = 0\n"
                                      f"[admin]\nlisten = 127.0.0.1:{self.admin_port}\n"
                                      f"[upstream]\nurl = {self.upstream}\n[cache]\nmemory = {self.memory}\n"
                                      + (f"[disk]\n{disk}" if disk else "") + self.settings.get("more", ""))
        self.spawn(self.binary, "-c", ini)

    def ask_admin(self, target, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=60)
        connection.request(method, target)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {target}: {answer.status} {body}")
        return body

    def stats(self):
        return self.ask_admin("/stats")

    def stop(self):
        """Orderly; returns the seconds it took."""
        began = time.monotonic()
        child = self.children.pop()
        child.terminate()
        child.wait(60)
        return time.monotonic() - began

    def start_again(self):
        """Returns the seconds until it serves, and until it knows all that is on the disk."""
        began = time.monotonic()
        self.spawn(self.binary, "-c", self.folder / "proxy.ini")
        serves = None
        while True:
            try:
                serves = serves or (socket.create_connection(("127.0.0.1", self.port), 1).close() or time.monotonic() - began)
                if self.ask_admin("/readyz")["disk"]["ready"]:
                    return serves, time.monotonic() - began
            except (OSError, RuntimeError):
                pass
            time.sleep(0.005)


class Nginx(Server):
    name = "nginx"

    def launch(self):
        log = f"access_log {self.folder}/access.log combined buffer=64k flush=1s;" if self.log else "access_log off;"
        host = self.upstream.split("//")[1]
        conf = self.write("nginx.conf", f"""
daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/err; worker_rlimit_nofile {CONNECTIONS};
events {{ worker_connections {CONNECTIONS}; }}
http {{
  {log} sendfile on; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f;
  uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  proxy_cache_path {self.settings.get('files', f'{self.folder}/cache')} levels=1:2 keys_zone=z:256m max_size=8g inactive=1d use_temp_path=off;
  upstream origin {{ server {host}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache z; proxy_cache_lock on; proxy_cache_revalidate on; add_header X-Cache $upstream_cache_status;
    }}
  }}
}}""")
        self.spawn(find("nginx"), "-c", conf)


class Varnish(Server):
    name = "varnish"

    def launch(self):
        host, port = self.upstream.split("//")[1].split(":")
        vcl = self.write("default.vcl", f'vcl 4.1; backend default {{ .host = "{host}"; .port = "{port}"; }}\n')
        self.spawn(find("varnishd"), "-F", "-j", "none", "-n", self.folder / "n", "-a", f"127.0.0.1:{self.port}", "-f", vcl,
                   "-s", f"malloc,{self.memory}", "-p", "timeout_idle=300", "-p", "listen_depth=4096")

    def after_start(self):
        if self.log and len(self.children) == 1:
            self.spawn(find("varnishncsa"), "-n", self.folder / "n", "-w", self.folder / "access.log")
            time.sleep(0.3)


class Haproxy(Server):
    name = "haproxy"

    def output(self):
        return open(self.folder / "access.log", "ab") if self.log else subprocess.DEVNULL

    def launch(self):
        host = self.upstream.split("//")[1]
        log = "log stdout format raw local0 info\n  option httplog" if self.log else "no log"
        megabytes = min(int(self.memory.rstrip("MG")) * (1024 if self.memory.endswith("G") else 1), 4095)
        cfg = self.write("haproxy.cfg", f"""
global
  nbthread 1
  no strict-limits
  maxconn {CONNECTIONS}
  {"log stdout format raw local0 info" if self.log else ""}
cache c
  total-max-size {megabytes}
  max-object-size {2 * 1024 * 1024}
  max-age {DAY}
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 30s
  {log}
frontend f
  bind 127.0.0.1:{self.port} backlog 4096
  maxconn {CONNECTIONS}
  http-request cache-use c
  http-response cache-store c
  default_backend b
backend b
  http-reuse always
  server s {host}
""")
        self.spawn(find("haproxy"), "-f", cfg)


class Bare(Server):
    """No proxy and no HTTP: the least that an answer of this size can cost."""
    name = "bare"

    def launch(self):
        for _ in range(self.settings.get("workers", 1)):
            self.spawn(self.settings["program"], self.port, self.settings["body_bytes"], *self.settings.get("more", ()))


class Origin(Server):
    """nginx, on the load's core: /1k, /100k and /1m from files, /k/N a constant 1 KiB, /miss the same but not to be stored."""
    name = "origin"
    SIZES = {"1k": 1024, "100k": 100 * 1024, "1m": 1024 * 1024}

    def __init__(self, folder):
        super().__init__(folder, None, cores=LOAD_CORE)
        self.url = f"http://127.0.0.1:{self.port}"

    def launch(self):
        files = self.folder / "files"
        files.mkdir(mode=0o755)
        for name, n in self.SIZES.items():
            (files / name).write_bytes(b"x" * n)
        body = "x" * 1024
        conf = self.write("nginx.conf", f"""
daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/err;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 300s;
  server {{
    listen 127.0.0.1:{self.port} backlog=4096; root {files};
    add_header Cache-Control max-age={DAY};
    location /k/ {{ default_type text/plain; return 200 {body}; }}
    location /miss {{ default_type text/plain; add_header Cache-Control no-store; return 200 {body}; }}
  }}
}}""")
        self.spawn(find("nginx"), "-c", conf)


class Slow(Server):
    """An origin that answers each request after delay_s."""
    name = "slow"

    def __init__(self, folder, delay_s):
        super().__init__(folder, None, cores=LOAD_CORE)
        self.url, self.delay_s = f"http://127.0.0.1:{self.port}", delay_s

    def launch(self):
        self.spawn(f"{self.folder.parent}/slow", self.port, int(self.delay_s * 1000))

    def asked(self):
        """Requests since the last call."""
        return int(self.get("/count").body)


class Other(Memoproxy):
    """Another build of memoproxy, the one before a change say."""
    name = "other build"
    binary = os.environ.get("BENCH_OTHER", "")


PROXIES = {cls.name: cls for cls in (Memoproxy, Other, Nginx, Varnish, Haproxy) if getattr(cls, "binary", True)}


def versions():
    def line(args, pattern):
        done = subprocess.run(args, capture_output=True, text=True)
        found = re.search(pattern, done.stdout + done.stderr)
        return found.group(1) if found else "?"
    return {
        "memoproxy": line([Memoproxy.binary, "-V"], r"(\d\S+)"),
        "nginx": line([find("nginx"), "-v"], r"nginx/(\S+)"),
        "varnish": line([find("varnishd"), "-V"], r"varnish-(\S+)"),
        "haproxy": line([find("haproxy"), "-v"], r"version (\S+)"),
        "wrk": line([find("wrk"), "-v"], r"wrk \S*?(\d[\d.]+)"),
    }
