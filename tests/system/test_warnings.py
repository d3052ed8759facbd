# SPDX-License-Identifier: MIT
"""memoproxy -t warns: file, line and what may be meant otherwise; --strict makes that a status of its own."""
import os
import re
import subprocess

import pytest

from support.proxy import SANITIZER, binary, sanitized_environment

from conftest import need_binary

GOOD = "[upstream]\nurl = http://127.0.0.1:1\n"


@pytest.fixture(autouse=True)
def program():
    need_binary()


def check(tmp_path, text, *args):
    (tmp_path / "proxy.ini").write_text(text)
    (tmp_path / "proxy.ini").chmod(0o600)
    done = subprocess.run([binary(), "-t", *args], cwd=tmp_path, env=sanitized_environment(), capture_output=True, text=True,
                          timeout=60, check=False)
    assert not SANITIZER.search(done.stderr.encode()), done.stderr
    return done.returncode, done.stdout, done.stderr.splitlines()


WARNINGS = {
    "hidden": ("[route a]\nmatch = /a/*\n[route b]\nmatch = /a/{x}\n", 6, r"match: \[route a\] \(line 4\) stands before it"),
    "same": ("[route a]\nmatch = /a\n[route b]\nmatch = /a\n", 6, r"match: the same as that of \[route a\] \(line 4\)"),
    ":id": ("[route a]\nmatch = /a/:id\n", 4, r"match: :id stands for itself; one segment of the path is \{id\}"),
    "**": ("[route a]\nmatch = /a/**\n", 4, r"match: \*\* is the same as \*"),
    "no match": ("[route a]\nttl = 1s\n", 3, r"\[route a\] has no match"),
    "force": ("[route a]\nmatch = /a\ncache = off\nttl_force = 1s\n", 6, "ttl_force: has no effect where cache = off"),
    "force and max": ("[route a]\nmatch = /a\nttl_max = 1s\nttl_force = 2s\n", 6, "ttl_force: has no effect beyond ttl_max"),
    "post": ("[route a]\nmatch = /a\nmethods = GET, POST\n", 5, "methods: a POST that changes something"),
    "log folder": ("[proxy]\naccess_log = none/access.log\n", 4, "access_log: the folder none has to be there: No such file"),
    "log in a file": ("[proxy]\naccess_log = proxy.ini/access.log\n", 4, "access_log: proxy.ini is not a folder"),
    "disk folder": ("[disk]\npath = none/disk\n", 4, "path: the folder none has to be there: No such file"),
    "disk in a file": ("[disk]\npath = proxy.ini\n", 4, "path: proxy.ini is not a folder"),
    "idle upstream": ("[upstream b]\nurl = http://b\n", 4, "url: no route asks this upstream"),
    "circle": ("[proxy]\nlisten = 0.0.0.0:8080\n[upstream b]\nurl = http://localhost:8080/v1\n[route b]\nmatch = /b\nupstream = b\n", 6,
               "url: http://localhost:8080/v1 is a listener of this proxy"),
    "vain key": ("[disk]\nsize = 2G\n", 4, "size: has no effect: there is no path"),
    "include": ("include = routes/*.ini\n", 3, r"include: no file is called routes/\*\.ini"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_it_is_told_with_file_and_line(tmp_path, name):
    text, line, told = WARNINGS[name]
    status, stdout, lines = check(tmp_path, GOOD + text)
    assert (status, stdout) == (0, "proxy.ini: no errors, 1 warning\n")
    assert len(lines) == 1 and re.match(rf"proxy\.ini:{line}: warning: {told}", lines[0]), lines
    assert check(tmp_path, GOOD + text, "--strict")[0] == 3


def test_nothing_is_told_of_what_is_as_it_should_be(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "disk").mkdir(mode=0o700)
    text = GOOD + ("[proxy]\naccess_log = log/access.log\naccess_log_format = json\n[disk]\npath = disk\nsize = 2G\n"
                   "[route a]\nmatch = /a/{x}\n[route b]\nmatch = /a/*\n[route rest]\nmatch = *\nttl = 1s\n")
    assert check(tmp_path, text, "--strict") == (0, "proxy.ini: the configuration is fine\n", [])
    assert check(tmp_path, text.replace("path = disk", "path = new"), "--strict")[0] == 0, "it is made at the start"


def test_a_mistake_is_status_1_whatever_is_warned_of(tmp_path):
    assert check(tmp_path, GOOD + "[disk]\nsize = 2G\n[cache]\nmemroy = 1\n", "--strict")[0] == 1


def test_folders_that_this_user_can_not_write_to(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root can write everywhere")
    (tmp_path / "log").mkdir(mode=0o500)
    _, _, lines = check(tmp_path, GOOD + "[proxy]\naccess_log = log/access.log\n[disk]\npath = log/disk\n")
    assert len(lines) == 2 and all("can't write into the folder log" in line for line in lines), lines


def test_a_route_in_another_file_is_named_with_it(tmp_path):
    (tmp_path / "a.ini").write_text("[route a]\nmatch = *\n")
    _, _, lines = check(tmp_path, GOOD + "include = a.ini\n[route b]\nmatch = /b\n")
    assert lines == ["proxy.ini:5: warning: match: [route a] (a.ini:2) stands before it and takes all of that: this route is never used"]


def test_many_warnings_are_counted(tmp_path):
    _, _, lines = check(tmp_path, GOOD + "".join(f"[route r{i}]\nmatch = /a\n" for i in range(31)))
    assert len(lines) == 21 and lines[-1] == "proxy.ini: warning: and 10 more"


def test_thousands_of_routes_are_looked_at_quickly(tmp_path):
    """What it costs grows with the routes, not with their pairs."""
    text = GOOD + "".join(f"[route r{i}]\nmatch = /a/{i}/*/b{i % 7}*\n" for i in range(9000)) + "[route last]\nmatch = /a/8/9/b1\n"
    _, _, lines = check(tmp_path, text, "--strict")
    assert len(lines) == 1 and "[route r8]" in lines[0], lines


def test_reload_tells_the_same(start_proxy, origin):
    proxy = start_proxy({"route a": {"match": "*"}, "route b": {"match": "/b"}})
    (warning,) = [w for w in proxy.admin_json("POST", "/reload")["warnings"] if "never used" in w]
    assert re.match(rf"{re.escape(proxy.config_path)}:\d+: warning: match: ", warning)
    assert "never used" in proxy.stderr
