#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs the Debian package in a fresh Debian, has it serve as its unit says, upgrades, removes and purges it; and carries out the
Containerfile, each stage in a fresh Debian of its own, and has what comes of it serve.

usage, as root: package-test.py FOLDER-OF-THE-DEB

The fresh Debian is made by debootstrap from the mirror that this machine's apt uses. There is no systemd in it: what that would do for the unit
(its directories, its user) is done here. Everything runs in namespaces of its own, which end with it."""
import glob
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

DIRECTORIES = {"CacheDirectory": "var/cache", "LogsDirectory": "var/log"}


def skip(why):
    print(f"package-test: skipped: {why}")
    sys.exit(0)


def output(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, **more).stdout


def check(holds, what):
    print(("ok   " if holds else "FAIL ") + what, flush=True)
    if not holds:
        sys.exit(1)


def wait_for(holds, what):
    end = time.monotonic() + 60
    while not holds():
        if time.monotonic() > end:
            check(False, what)
        time.sleep(0.05)


def release():
    text = pathlib.Path("/etc/os-release").read_text()
    return dict((line.split("=", 1)[0], line.split("=", 1)[1].strip('"')) for line in text.splitlines() if "=" in line)


def mirror():
    """Of this machine's own Debian, as its apt knows it."""
    here = release()
    if here["ID"] != "debian":
        skip("this machine is not Debian")
    codename = here["VERSION_CODENAME"]
    found = output("apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages", f"Codename: {codename}").split()
    if not found:
        skip(f"this machine's apt has no mirror of Debian {codename}")
    return codename, found[0]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Root:
    """A Debian in a folder."""
    def __init__(self, path):
        self.path = path
        output("mount", "-t", "proc", "proc", path / "proc")

    @classmethod
    def fresh(cls, path):
        codename, uri = mirror()
        print(f"package-test: a fresh Debian {codename}, which takes a minute or more", flush=True)
        done = subprocess.run(["debootstrap", "--variant=minbase", codename, path, uri], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        if done.returncode:
            skip("debootstrap failed: " + " ".join((done.stdout + done.stderr).splitlines()[-2:]))
        subprocess.run(["umount", "-l", path / "proc"], check=False, stderr=subprocess.DEVNULL)
        (path / "etc/apt/apt.conf.d/99machine").write_text(output("apt-config", "dump", "Acquire"))
        policy = path / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)

    @classmethod
    def like(cls, base, path):
        output("cp", "-a", base, path)
        return cls(path)

    def run(self, *command, cwd="/", **more):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        return output("chroot", self.path, "env", "-C", cwd, *command, env=environment, **more)

    def apt(self, *args):
        self.run("apt-get", "-y", "-qq", "--no-install-recommends", *args, stderr=subprocess.STDOUT)

    def files(self, *names):
        return [name for name in names if (self.path / name).exists()]

    def inside(self, path):
        return self.path / str(path).lstrip("/")


class Unit:
    """What the installed unit and its drop-ins say, the last word for each key."""
    def __init__(self, root):
        folder = root.path / "lib/systemd/system"
        self.root = root
        self.words = {}
        for path in (folder / "memoproxy.service", *sorted((folder / "memoproxy.service.d").glob("*.conf"))):
            self.words.update(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.M))
        self.user = self.words["User"]

    def as_user(self, key):
        return ["chroot", str(self.root.path), "setpriv", "--reuid", self.user, "--regid", self.words["Group"], "--init-groups", "--no-new-privs",
                "env", "-i", "-C", self.words["WorkingDirectory"], *self.words[key].split()]

    def make_directories(self):
        for key, where in DIRECTORIES.items():
            self.root.run("install", "-d", "-o", self.user, "-g", self.words["Group"], "-m", self.words[key + "Mode"], f"/{where}/{self.words[key]}")

    def start(self, port):
        process = subprocess.Popen(self.as_user("ExecStart"), stdin=subprocess.DEVNULL, umask=int(self.words["UMask"], 8))
        wait_for(lambda: process.poll() is not None or ask(port, "/"), "it answers")
        check(process.poll() is None, f"it serves, by the unit's command line, as {self.user}")
        return process


def ask(port, path):
    """The response's head and body, or nothing if nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: s.recv(65536), b"")).decode()
    except OSError:
        return ""


def serve_one(site):
    """An origin that has one file. Its port, and its process."""
    site.mkdir()
    (site / "one").write_text("first")
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "http.server", "-b", "127.0.0.1", "-d", site, str(port)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_for(lambda: ask(port, "/one"), "the origin answers")
    return port, process


def later_version(deb, folder):
    """The same package with a higher version."""
    tree = folder / "tree"
    output("dpkg-deb", "-R", deb, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+later", control.read_text(), flags=re.M))
    later = folder / "later.deb"
    output("dpkg-deb", "--root-owner-group", "-b", tree, later)
    return later


class Image:
    """What the Containerfile makes, by those of its instructions that are known here. The context is what is committed."""
    def __init__(self, base, folder):
        self.base, self.folder, self.stages, self.root = base, folder, {}, None
        self.context = folder / "context"
        self.context.mkdir()
        output("sh", "-c", f"git archive HEAD | tar -x -C {shlex.quote(str(self.context))}")
        self.user, self.entry, self.cwd, self.name = "root", [], pathlib.PurePosixPath("/"), ""
        text = re.sub(r"^#.*\n", "", (self.context / "Containerfile").read_text(), flags=re.M).replace("\\\n", " ")
        for line in filter(None, map(str.strip, text.splitlines())):
            print(f"     {' '.join(line.split())}", flush=True)
            word, rest = line.split(None, 1)
            getattr(self, "do_" + word.lower())(rest.strip())

    def do_from(self, rest):
        image, _, name = rest.partition(" AS ")
        if image != f"debian:{release()['VERSION_ID']}":
            skip(f"the image begins with {image}, which is not what this machine is")
        self.name = name or "last"
        self.root = self.stages[self.name] = Root.like(self.base, self.folder / f"stage-{self.name}")
        self.user, self.cwd = "root", pathlib.PurePosixPath("/")

    def do_workdir(self, rest):
        self.cwd = self.cwd / rest
        self.root.inside(self.cwd).mkdir(parents=True, exist_ok=True)

    def do_copy(self, rest):
        *sources, to = rest.split()
        stage = self.stages[sources.pop(0).split("=")[1]] if sources[0].startswith("--from=") else None
        into = self.root.inside(self.cwd / to)
        for source in sources:
            found = glob.glob(str(stage.inside(source) if stage else self.context / source))
            check(bool(found), f"there is {source} to copy")
            for path in found:
                output("cp", "-a", f"{path}/." if os.path.isdir(path) else path, into)

    def do_run(self, rest):
        self.root.run("sh", "-c", rest, cwd=str(self.cwd), stderr=subprocess.STDOUT)

    def do_user(self, rest):
        self.user = rest

    def do_expose(self, rest):
        check(rest == "8080", "it says the port that the proxy has by default")

    def do_entrypoint(self, rest):
        self.entry = json.loads(rest)

    def command(self, *args):
        return ["chroot", str(self.root.path), "setpriv", "--reuid", self.user, "--clear-groups", "--no-new-privs", "env", "-i", "-C", str(self.cwd),
                *self.entry, *args]


def serve_image(base, folder):
    image = Image(base, folder)
    check(image.user != "root", "the image is not root's")
    check(not list(image.root.path.glob("tmp/*")) and not list(image.root.path.glob("var/lib/apt/lists/*")), "it has nothing that it does not need")
    plain = subprocess.run(image.command(), capture_output=True, text=True, check=False)
    check(plain.returncode != 0 and "url" in plain.stderr, "without arguments it asks for the url")
    origin, server = serve_one(folder / "image-site")
    port = free_port()
    process = subprocess.Popen(image.command("--to", f"http://127.0.0.1:{origin}", "--listen", f"127.0.0.1:{port}", "--admin", "off", "--ttl", "1h"),
                               stdin=subprocess.DEVNULL)
    wait_for(lambda: process.poll() is not None or ask(port, "/one"), "it answers")
    check("memoproxy; hit" in ask(port, "/one"), f"the image serves, as {image.user}")
    process.terminate()
    check(process.wait() == 0, "it stops")
    server.terminate()


def serve_upgrade_remove(root, deb, folder):
    shutil.copy(deb, root.path / "tmp/memoproxy.deb")
    root.apt("install", "/tmp/memoproxy.deb", "logrotate")
    check("memoproxy" in root.run("getent", "passwd", "memoproxy"), "there is an account")
    check(not list((root.path / "etc/systemd").rglob("memoproxy.service")), "the service is not enabled")
    check("etc/memoproxy/proxy.ini" in root.run("cat", "/var/lib/dpkg/info/memoproxy.conffiles"), "proxy.ini is a conffile")

    unit = Unit(root)
    unit.make_directories()
    untouched = subprocess.run(unit.as_user("ExecStartPre"), capture_output=True, text=True, check=False)
    check(untouched.returncode != 0 and "url" in untouched.stderr, "the file as it comes asks for the url")

    origin, _ = serve_one(folder / "site")
    port, admin = free_port(), free_port()
    ini = root.path / "etc/memoproxy/proxy.ini"
    ours = ini.read_text().replace("listen = 127.0.0.1:8080", f"listen = 127.0.0.1:{port}\naccess_log = /var/log/memoproxy/access.log") \
        .replace("#url = http://localhost:3000", f"url = http://127.0.0.1:{origin}").replace("#ttl = 30s", "ttl = 1h") \
        + f"\n[admin]\nlisten = 127.0.0.1:{admin}\n"
    ini.write_text(ours)
    output(*unit.as_user("ExecStartPre"))
    process = unit.start(port)
    ask(port, "/one")
    check("memoproxy; hit" in ask(port, "/one"), "the second response is a hit")

    log = root.path / "var/log/memoproxy/access.log"
    wait_for(lambda: log.exists() and log.stat().st_size, "the log is written")
    root.run("logrotate", "-f", "/etc/logrotate.d/memoproxy")
    check(bool(root.files("var/log/memoproxy/access.log.1")) and not log.exists(), "logrotate renames the log")
    process.send_signal(signal.SIGUSR1)
    wait_for(log.exists, "the log is opened anew")
    check(root.run("stat", "-c", "%U %a", "/var/log/memoproxy/access.log").split()[0] == unit.user, "and the program opens it anew, as its user")

    shutil.copy(later_version(deb, folder), root.path / "tmp/later.deb")
    root.apt("install", "/tmp/later.deb")
    check("+later" in root.run("dpkg-query", "-W", "memoproxy"), "it is upgraded")
    check(ini.read_text() == ours, "the operator's file is as it was")
    check("memoproxy; hit" in ask(port, "/one"), "what runs goes on serving")
    process.terminate()
    check(process.wait() == 0, "it stops")
    process = unit.start(port)
    process.terminate()
    process.wait()

    root.apt("remove", "memoproxy")
    check(root.files("usr/sbin/memoproxy", "etc/memoproxy/proxy.ini", "var/log/memoproxy") == ["etc/memoproxy/proxy.ini", "var/log/memoproxy"],
          "removed, it leaves what is the operator's")
    root.apt("purge", "memoproxy")
    check(not root.files("etc/memoproxy", "etc/logrotate.d/memoproxy", "var/log/memoproxy", "var/cache/memoproxy"), "purged, it leaves nothing")


def main():
    if os.geteuid():
        skip("it takes root, for debootstrap and chroot")
    if not shutil.which("debootstrap"):
        skip("there is no debootstrap")
    if len(sys.argv) == 2:
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if subprocess.run([*own, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
            skip("this machine lets nobody make namespaces")
        sys.exit(subprocess.run([*own, sys.executable, __file__, sys.argv[1], "inside"], check=False).returncode)
    debs = list(pathlib.Path(sys.argv[1]).glob("memoproxy_*.deb"))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="memoproxy-package-"))
    folder.chmod(0o755)
    base = folder / "base"
    try:
        Root.fresh(base)
        root = Root.like(base, folder / "root")
        root.run("apt-get", "-qq", "update")
        serve_upgrade_remove(root, debs[0].resolve(), folder)
        serve_image(base, folder)
    finally:
        for mount in (*folder.glob("*/proc"), *folder.glob("*/sys")):
            subprocess.run(["umount", "-l", mount], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=False)
    print("package-test: passed")


main()
