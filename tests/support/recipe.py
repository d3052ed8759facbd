# SPDX-License-Identifier: MIT
"""Does what a recipe of the documents says, as a reader would: writes its files, runs its commands, and compares what they print.

Of a recipe's blocks, one whose first line is a comment with a name (# proxy.ini, // purge.mjs) is that file. In any other, a line
with `$ ` is a command, and the lines below are what it prints; `...` stands for any lines, and seconds of a ttl and dates may
differ. Lines that begin with curl or for are commands too. A command whose program is a server stays, and is waited for. Ports and folders of the recipe become those of the test."""
import os
import pathlib
import re
import shlex
import socket
import subprocess

from .jsonserver import SCRIPT
from .pages import blocks
from .proxy import Port, Process, binary, eventually, sanitized_environment

FILE = re.compile(r"(?:#|//) ([\w./-]+\.\w+)\n")
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
}}
"""
SERVING = re.compile(r"memoproxy(?! (init|-t|disk-check))|npx json-server|nginx")


class Recipe:
    def __init__(self, page, heading, folder, ports=None):
        """ports: those that servers of the test have, by their numbers in the recipe."""
        self.blocks, self.folder = blocks(page, heading), pathlib.Path(folder)
        self.ports, self.kept, self.running, self.env = dict(ports or {}), [], [], {}

    def port(self, number):
        """The test's port for one of the recipe's."""
        if number not in self.ports:
            self.kept.append(Port())
            self.ports[number] = self.kept[-1].number
        return self.ports[number]

    def here(self, text):
        text = re.sub(r"((?:localhost|127\.0\.0\.1|0\.0\.0\.0):|--port |listen )(\d{4})\b", lambda m: m[1] + str(self.port(int(m[2]))), text)
        return re.sub(r"/etc/(memoproxy|nginx|prometheus)/", f"{self.folder}/", text)

    def file(self, name):
        return self.folder / re.sub(r"^/etc/\w+/", "", name)

    def follow(self):
        for block in self.blocks:
            named = FILE.match(block)
            if named:
                assert "\n$ " not in block, f"text goes between a file and the commands below it: {block}"
                self.write(self.file(named[1]), self.here(block))
            elif block.startswith("$ "):
                for command in re.split(r"^\$ ", block, flags=re.M)[1:]:
                    self.run(*command.split("\n", 1))
            elif block.startswith(("curl ", "for ")):
                self.run(block)
        return self

    @staticmethod
    def write(path, text):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)

    def run(self, command, printed=""):
        """What it prints is compared where the recipe shows anything."""
        if SERVING.match(command):
            return self.serve(self.here(command), self.here(printed))
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.env[name] = value
            return None
        done = subprocess.run(["bash", "-c", self.here(command)], cwd=self.folder, env=self.environment(), capture_output=True,
                              text=True, timeout=60, check=False)
        got = alike(done.stdout.replace("\r", "").rstrip("\n"))
        want = "\n".join(".*" if line == "..." else re.escape(alike(line)) for line in printed.rstrip("\n").split("\n"))
        assert done.returncode == 0 and (not printed.strip() or re.fullmatch(want, got, re.S)), \
            f"$ {command}\n{done.stdout}{done.stderr}(status {done.returncode}), and not\n{printed}"
        return done.stdout

    def environment(self):
        return sanitized_environment({**self.env, "PATH": f"{pathlib.Path(binary()).parent}:{os.environ['PATH']}:/usr/sbin"})

    def serve(self, command, printed=""):
        words = shlex.split(command)
        if words[0] == "memoproxy":
            words[0] = binary()
            at = {"--listen": 8080, "--admin": 8081}
            text = " ".join(p.read_text() for p in self.folder.glob("*.ini"))
            for option, section in (("--listen", "proxy"), ("--admin", "admin")):
                if option not in words and not re.search(rf"\[{section}\][^\[]*^listen = ", text, re.M):
                    words += [option, f"127.0.0.1:{self.port(at[option])}"]
            awaited = [self.ports[n] for n in (8080, 8081, 8443) if n in self.ports]
        elif words[0] == "npx":
            words = ["node", str(SCRIPT), *words[2:]]
            awaited = [int(words[words.index("--port") + 1])]
        else:
            awaited = [self.port(8000)]
            self.write(self.folder / "nginx.conf", NGINX.format(folder=self.folder))
            words = ["/usr/sbin/nginx", "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)]
        process = Process(words, cwd=self.folder, env=self.environment())
        self.running.append(process)

        def ready():
            assert process.alive, f"$ {command}\n{process.stderr}"
            return all(connects(port) for port in awaited) and printed.strip() in process.stdout
        eventually(ready, f"{command} listens")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for process in self.running:
            if process.alive:
                process.child.terminate()
        for process in self.running:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        for port in self.kept:
            port.release()


def alike(text):
    return re.sub(r"^Date: .*", "Date:", re.sub(r"ttl=\d+", "ttl=N", text), flags=re.M)


def connects(port):
    try:
        socket.create_connection(("localhost", port), 1).close()
        return True
    except OSError:
        return False
