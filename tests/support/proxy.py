# SPDX-License-Identifier: MIT
"""memoproxy as a child process: configuration, start, readiness, orderly end."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

from . import openapi, rawclient

ROOT = pathlib.Path(__file__).resolve().parents[2]
SANITIZER = re.compile(rb"ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:|WARNING: ThreadSanitizer"
                       rb"|WARNING: MemorySanitizer")
START_S = 60
HANG_S = 30  # beyond its grace: what takes longer to end hangs, however busy the machine and its disk are
SLOW = float(os.environ.get("MEMOPROXY_TEST_SLOWNESS", "1"))  # how much slower than a release build, roughly


# Every proxy whose test sets no [disk] gets a disk tier: MEMOPROXY_TEST_DISK=1 runs any test over both tiers.
WITH_DISK = os.environ.get("MEMOPROXY_TEST_DISK", "") not in ("", "0")


def binary():
    return os.environ.get("MEMOPROXY_BIN") or str(ROOT / "memoproxy")


class Port:
    """A TCP port kept from others: bound but not listening, so that a server that reuses addresses can still take it."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.sock.bind(("127.0.0.1", 0))
        self.number = self.sock.getsockname()[1]

    def release(self):
        self.sock.close()


def ini_text(sections):
    """sections: {"proxy": {"workers": 2}, "route api": {...}}; a value of None leaves the key out."""
    lines = []
    for name, keys in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {value}" for key, value in keys.items() if value is not None]
        lines.append("")
    return "\n".join(lines)


def merge(base, extra):
    """extra's keys over base's, section by section, in the order of their first mention."""
    out = {name: dict(keys) for name, keys in base.items()}
    for name, keys in (extra or {}).items():
        out[name] = {**out.get(name, {}), **keys}
    return out


class Process:
    """A child with its standard error kept in a file, ended by its own id only."""

    def __init__(self, args, cwd=None, env=None):
        self.stderr_file = tempfile.TemporaryFile()
        self.stdout_file = tempfile.TemporaryFile()
        self.child = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self.stdout_file, stderr=self.stderr_file,
                                      cwd=cwd, env=env)

    @property
    def pid(self):
        return self.child.pid

    def _text(self, f):
        f.flush()
        return os.pread(f.fileno(), os.fstat(f.fileno()).st_size, 0).decode("utf-8", "replace")

    @property
    def stderr(self):
        return self._text(self.stderr_file)

    @property
    def stdout(self):
        return self._text(self.stdout_file)

    @property
    def alive(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, timeout):
        return self.child.wait(timeout)

    def threads(self):
        """What each of its threads does, where it has not ended: its name, its state and what it waits for in the kernel."""
        def read(path):
            try:
                return path.read_text().strip()
            except OSError:
                return "?"
        return [f"{read(t / 'comm')} {read(t / 'stat').rpartition(') ')[2][:1]} {read(t / 'wchan')}"
                for t in sorted(pathlib.Path(f"/proc/{self.pid}/task").glob("*"))]

    def kill(self):
        if self.alive:
            self.child.kill()
            self.child.wait()

    def end(self):
        """Politely, and if that does not help, not."""
        if self.alive:
            self.child.terminate()
            try:
                self.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()


def sanitized_environment(extra=None):
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1:quarantine_size_mb=16:"
                   "allocator_release_to_os_interval_ms=100")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.setdefault("TSAN_OPTIONS", "second_deadlock_stack=1")
    env.update(extra or {})
    return env


class Proxy:
    def __init__(self, upstream, sections=None, grace="2s", workers=2, args=(), config_text=None):
        """upstream: its URL ({port}: the proxy's own). sections go over the defaults below; config_text replaces everything but the ports,
        which it names {port} and {admin_port}."""
        self.upstream, self.sections, self.grace, self.workers = upstream, sections, grace, workers
        self.args, self.config_text = list(args), config_text
        self.folder = tempfile.TemporaryDirectory(prefix="memoproxy-test-")
        self.process = self.ports = None
        self.past_stderr = ""  # of processes before this one
        self.expect_exit = 0

    def config(self):
        values = {"port": self.port, "admin_port": self.admin_port}
        if self.config_text is not None:
            return self.config_text.format(**values)
        base = {"proxy": {"listen": f"127.0.0.1:{self.port}", "workers": self.workers, "shutdown_grace": self.grace},
                "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
                "upstream": {"url": self.upstream.replace("{port}", str(self.port))},
                # What expires, fails or is asked for anew goes to the origin at once; the defaults have tests of their own.
                "defaults": {"stale_while_revalidate": "0", "stale_if_error": "0", "client_refresh": "on"}}
        if WITH_DISK:
            base["disk"] = {"path": f"{self.folder.name}/disk", "size": "64M"}
        return ini_text(merge(base, self.sections))

    @property
    def port(self):
        return self.ports[0].number

    @property
    def admin_port(self):
        return self.ports[1].number

    @property
    def config_path(self):
        return os.path.join(self.folder.name, "proxy.ini")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    # ---- life ----

    def spawn(self):
        self.ports = [Port(), Port()]
        self.write_config()
        self._launch()

    def _launch(self):
        self.process = Process([binary(), "-c", self.config_path, *self.args], cwd=self.folder.name,
                               env=sanitized_environment())

    def write_config(self, sections=None):
        if sections is not None:
            self.sections = sections
        pathlib.Path(self.config_path).write_bytes(os.fsencode(self.config()))  # paths that are no UTF-8, too

    def start(self):
        for attempt in range(3):
            self.spawn()
            if self._wait_ready():
                return self
            text = self.process.stderr
            self._drop()
            if "in use" not in text:
                break
        raise AssertionError(f"memoproxy did not start:\n{self.config()}\n{text}")

    def restart(self, number=signal.SIGTERM):
        """Ends the process and starts another in the same folder, on the same ports."""
        old = self.process
        old.signal(number)
        status = old.wait(seconds(self.grace) + HANG_S)
        self.past_stderr += old.stderr
        assert status == (self.expect_exit if number == signal.SIGTERM else -number), (status, old.stderr[-8000:])
        assert not SANITIZER.search(old.stderr.encode()), old.stderr[-8000:]
        self._launch()
        assert self._wait_ready(), f"memoproxy did not start again:\n{self.process.stderr}"

    def restart_from_disk(self):
        """The same; until the disk tier has read what it holds, all of it is a miss."""
        self.restart()
        eventually(lambda: self.admin_json("GET", "/readyz")["disk"]["ready"], "the disk tier is ready")

    def relaunch(self):
        """The same, where its process has ended already: the process that took over has been ended by the caller."""
        old = self.process
        self.past_stderr += old.stderr
        assert not SANITIZER.search(old.stderr.encode()), old.stderr[-8000:]
        self._launch()
        assert self._wait_ready(), f"memoproxy did not start again:\n{self.process.stderr}"

    def _wait_ready(self):
        deadline = time.monotonic() + START_S * SLOW
        while self.process.alive and time.monotonic() < deadline:
            if self.ready():
                return True
            time.sleep(0.005)
        return False

    def ready(self):
        try:
            return rawclient.fetch(self.admin_port, "/readyz", host="127.0.0.1").status == 200
        except (OSError, AssertionError):
            return False

    def _drop(self):
        self.process.kill()
        for port in self.ports:
            port.release()

    def crash(self):
        """Its files stay as they are."""
        self.process.kill()
        assert "ERROR: AddressSanitizer" not in self.stderr
        self._drop()

    def stop(self):
        """TERM, then it must end by itself, in time, with the expected status and a clean standard error."""
        if self.process is None:
            return
        problem = None
        if self.process.alive:
            self.process.signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds(self.grace) + HANG_S)
            if status != self.expect_exit:
                problem = f"exit status {status}, not {self.expect_exit}"
        except subprocess.TimeoutExpired:
            problem = f"did not end after SIGTERM: {self.process.threads()}"
        self._drop()
        text = self.process.stderr
        self.process = None
        self.folder.cleanup()
        if SANITIZER.search(text.encode()):
            problem = "its standard error holds a report"
        assert problem is None, f"memoproxy: {problem}\n{text[-8000:]}"

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    @property
    def stderr(self):
        return self.past_stderr + self.process.stderr

    # ---- clients ----

    def client(self, **kwargs):
        return rawclient.Client(self.port, **kwargs)

    def fetch(self, target="/", fields=None, method="GET", body=b"", **kwargs):
        return rawclient.fetch(self.port, target, fields, method, body, **kwargs)

    # ---- admin ----

    def admin(self, method, target, fields=None, body=b"", **kwargs):
        """Each answer is what the admin side's own description says."""
        host = f"127.0.0.1:{self.admin_port}"
        r = rawclient.fetch(self.admin_port, target, fields, method, body, host=host, **kwargs)
        openapi.check(lambda path: rawclient.fetch(self.admin_port, path, fields, host=host), binary(), method, target, r)
        return r

    def admin_json(self, method, target, **kwargs):
        r = self.admin(method, target, **kwargs)
        assert r.status == 200, (r.status, r.body)
        assert r.get("Content-Type", "").startswith("application/json"), r.fields
        return r.json()

    def stats(self):
        return self.admin_json("GET", "/stats")

    def wait_written(self):
        """A client may have all of a response a moment before it is stored and handed to the disk tier, which the fetch's end shows."""
        eventually(lambda: self.stats()["cache"]["flights"] == 0, "no fetch is under way")
        eventually(lambda: self.stats()["disk"]["queue"] == 0, "all is written")

    def purge(self, soft=False, **scope):
        """purge(url="/x"), purge(prefix="/a/"), purge(tag=["t", "u"]), purge(all=1); count=1 as well"""
        return self.admin_json("POST", "/purge?" + self._query(scope, soft=soft))

    def refresh(self, url):
        return self.admin_json("POST", "/refresh?" + self._query({"url": url}))

    def explain(self, url, **kwargs):
        return self.admin_json("GET", "/explain?" + self._query({"url": url}), **kwargs)

    @staticmethod
    def _query(scope, soft=False):
        pairs = list(scope.items()) + ([("soft", 1)] if soft else [])
        return urllib.parse.urlencode(pairs, doseq=True)

    # ---- the process as the kernel sees it ----

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class WithToken(Proxy):
    """Its admin side wants the token "s3cret"."""

    def ready(self):
        try:
            return self.admin("GET", "/readyz", {"Authorization": "Bearer s3cret"}).status == 200
        except (OSError, AssertionError):
            return False


def is_alive(pid):
    """Also while only threads of it are left, which may hold its files, though it counts as a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            state = f.read().rsplit(")", 1)[1].split()[0]
        return state != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def eventually(claim, what, timeout=30):
    """Polls where there is no event to wait for (an expiry, a counter); returns the first true value."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = claim()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"never came true: {what} (last: {value!r})")
        time.sleep(0.02)
