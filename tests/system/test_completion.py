# SPDX-License-Identifier: MIT
"""What the shells offer, asked of the shells themselves."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from support.proxy import SLOW, binary, sanitized_environment

from conftest import need_binary


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """{shell: the script's path}; beside them lie a file and a folder."""
    need_binary()
    folder = tmp_path_factory.mktemp("completion")
    (folder / "files").mkdir()
    (folder / "files" / "proxy one.ini").write_text("")
    (folder / "files" / "pages").mkdir()
    made = {}
    for shell in ("bash", "zsh", "fish"):
        made[shell] = folder / shell
        made[shell].write_text(subprocess.run([binary(), "completion", shell], capture_output=True, text=True, check=True,
                                              env=sanitized_environment()).stdout)
    return made


def ask_bash(script, line):
    words = line.split(" ")
    asked = (f"source {script}; COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; _memoproxy; "
             "for one in \"${COMPREPLY[@]}\"; do echo \"$one\"; done")
    done = subprocess.run(["bash", "--norc", "-c", asked], cwd=script.parent / "files", capture_output=True, text=True, check=True)
    assert done.stderr == "", done.stderr
    return done.stdout.split("\n")[:-1]


def ask_fish(script, line):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    done = subprocess.run(["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"], cwd=script.parent / "files",
                          capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(script.parent)})
    assert done.stderr == "", done.stderr
    return [said.split("\t")[0] for said in done.stdout.splitlines()]


def options_of(*word):
    said = subprocess.run([binary(), *word, "--help"], capture_output=True, text=True, check=True, env=sanitized_environment()).stdout
    return sorted(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", said, re.M))


COMMANDS = ["check", "completion", "disk-check", "entries", "explain", "init", "purge", "refresh", "reload", "stats", "warm"]


@pytest.mark.parametrize("ask", [ask_bash, ask_fish])
def test_commands_options_and_values(scripts, ask):
    script = scripts[ask.__name__.removeprefix("ask_")]
    assert set(COMMANDS) <= set(ask(script, "memoproxy "))
    assert ask(script, "memoproxy pur") == ["purge"]
    assert sorted(o for o in ask(script, "memoproxy purge --") if o.startswith("--")) == options_of("purge")
    assert "--to" in ask(script, "memoproxy --") and "--soft" not in ask(script, "memoproxy --")
    assert sorted(ask(script, "memoproxy entries --tier ")) == ["disk", "memory"]
    assert sorted(ask(script, "memoproxy completion ")) == ["bash", "fish", "zsh"]
    assert [f.rstrip("/") for f in ask(script, "memoproxy disk-check ")] == ["pages"]
    assert ask(script, "memoproxy purge --tag ") == []
    found = [f.replace("\\ ", " ").rstrip("/") for f in ask(script, "memoproxy stats -c p")]
    assert sorted(found) == ["pages", "proxy one.ini"]


class Zsh:
    """One that is typed into."""

    def __init__(self, script):
        self.master, slave = pty.openpty()
        self.child = subprocess.Popen(["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, cwd=script.parent / "files",
                                      env={**os.environ, "TERM": "dumb", "HOME": str(script.parent)}, start_new_session=True)
        os.close(slave)
        # Where compinit finds all of zsh's completions, it reads the first line of each: on a device that is busy, for half a minute.
        self.type("PS1='>'; all=($fpath); mkdir ../few; ln -s ${^fpath}/comp*(N) ../few; fpath=($PWD/../few); autoload -Uz compinit; "
                  f"compinit -C -D; fpath=($all); autoload -Uz $^all/_*(N:t); source {script}; echo rea''dy\n")
        self.wait("ready")

    def type(self, text):
        os.write(self.master, text.encode())

    def wait(self, text):
        said, deadline = "", time.monotonic() + 30 * SLOW
        while text not in said:
            assert select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0], f"never came: {text!r} in {said!r}"
            said += os.read(self.master, 65536).decode("utf-8", "replace").replace("\r", "")
        return said

    def end(self):
        self.child.kill()
        self.child.wait()
        os.close(self.master)


def test_zsh_completes(scripts):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    zsh = Zsh(scripts["zsh"])
    try:
        for typed, completed in (("memoproxy pur\t", "purge "), ("memoproxy purge --so\t", "--soft "), ("memoproxy entries --tier m\t", "memory "),
                                 ("memoproxy disk-check pa\t", "pages/"), ("memoproxy stats -c pr\t", "proxy\\ one.ini "),
                                 ("memoproxy completion f\t", "fish "), ("memoproxy --lis\t", "--listen ")):
            zsh.type(typed)
            zsh.wait(completed)
            zsh.type("\x15")  # the line is emptied
    finally:
        zsh.end()
