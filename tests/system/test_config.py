# SPDX-License-Identifier: MIT
"""The command line and proxy.ini: mistakes are named with file and line, and nothing half-read is served."""
import os
import re
import socket
import subprocess

import pytest

from support.origin import Reply
from support.proxy import ROOT, SANITIZER, Port, Process, binary, sanitized_environment

from conftest import need_binary


@pytest.fixture(autouse=True)
def program():
    need_binary()


def run(*args, cwd=None, timeout=20):
    done = subprocess.run([binary(), *args], cwd=cwd, env=sanitized_environment(), capture_output=True, timeout=timeout)
    assert not SANITIZER.search(done.stderr), done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def check(tmp_path, text):
    path = tmp_path / "proxy.ini"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return run("-t", "-c", str(path))


GOOD = "[proxy]\nlisten = 127.0.0.1:18080\n[upstream]\nurl = http://127.0.0.1:18082\n"


@pytest.mark.parametrize("text", [
    GOOD,
    "# nothing\n; nothing\n\n" + GOOD,
    GOOD.replace("\n", "\r\n"),
    GOOD + "[route a]\nmatch = /a/*\nttl = 5m\nttl_404 = 10s\nttl_5xx = 1s\nquery = only:a,b\n",
    GOOD + "[upstream other]\nurl = https://other.example/base\n[route b]\nmatch = /b/{id}\nupstream = other\n"
           "invalidates = /b, /b/{id}/*\n",
    GOOD + "[defaults]\nttl = 1h\n[route a]\nmatch = *\nscope = user\nuser_from = cookie:sid\n",
    GOOD.replace("127.0.0.1:18080", "[::1]:18080\nworkers = 4\nmax_body = 10M\nmax_header = 64K"),
], ids=["short", "comments", "CRLF", "route", "two upstreams", "defaults", "IPv6"])
def test_good_configurations_pass_the_check(tmp_path, text):
    status, _, stderr = check(tmp_path, text)
    assert status == 0, stderr


BAD = {
    "unknown key": (GOOD + "[cache]\nmemroy = 10M\n", 6, "memroy"),
    "unknown key in a route": (GOOD + "[route a]\nmatch = *\nttll = 5s\n", 7, "ttll"),
    "unknown section": (GOOD + "[cahce]\nmemory = 10M\n", 5, "cahce"),
    "key outside a section": ("memory = 10M\n" + GOOD, 1, ""),
    "line without =": (GOOD + "[cache]\nmemory\n", 6, ""),
    "section without ]": (GOOD + "[cache\nmemory = 10M\n", 5, ""),
    "duplicate key": (GOOD + "[cache]\nmemory = 10M\nmemory = 20M\n", 7, "memory"),
    "duplicate section": (GOOD + "[proxy]\nworkers = 2\n", 5, "proxy"),
    "duplicate route": (GOOD + "[route a]\nmatch = /a\n[route a]\nmatch = /b\n", 7, "a"),
    "bad duration": (GOOD + "[defaults]\nttl = soon\n", 6, "soon"),
    "duration without unit": (GOOD + "[defaults]\nttl = 60\n", 6, "60"),
    "duration of unknown unit": (GOOD + "[defaults]\nttl = 5y\n", 6, "5y"),
    "negative duration": (GOOD + "[defaults]\nttl = -5s\n", 6, "-5s"),
    "bad size": (GOOD + "[cache]\nmemory = much\n", 6, "much"),
    "size overflows": (GOOD + "[cache]\nmemory = 99999999999999999999G\n", 6, ""),
    "size too small": (GOOD + "[cache]\nmemory = 1K\n", 6, ""),
    "workers 0": ("[proxy]\nworkers = 0\n", 2, "workers"),
    "workers of letters": ("[proxy]\nworkers = two\n", 2, "two"),
    "too many workers": ("[proxy]\nworkers = 100000\n", 2, "workers"),
    "bad switch": (GOOD + "[cache]\ncoalesce = maybe\n", 6, "maybe"),
    "bad choice": (GOOD + "[defaults]\nset_cookie = eat\n", 6, "eat"),
    "bad listen": ("[proxy]\nlisten = nowhere\n", 2, "nowhere"),
    "bad port": ("[proxy]\nlisten = 127.0.0.1:99999\n", 2, "99999"),
    "bad url": ("[upstream]\nurl = ftp://x\n", 2, "url"),
    "url without host": ("[upstream]\nurl = http://\n", 2, "url"),
    "url with userinfo": ("[upstream]\nurl = http://a:b@x\n", 2, "url"),
    "unknown upstream of a route": (GOOD + "[route a]\nmatch = *\nupstream = nobody\n", 7, "nobody"),
    "bad pattern": (GOOD + "[route a]\nmatch = /a/{id\n", 6, "match"),
    "pattern without slash": (GOOD + "[route a]\nmatch = a\n", 6, "match"),
    "unknown name in invalidates": (GOOD + "[route a]\nmatch = /a/{id}\ninvalidates = /a/{other}\n", 7, "other"),
    "bad query rule": (GOOD + "[defaults]\nquery = some\n", 6, "some"),
    "bad ttl status": (GOOD + "[defaults]\nttl_999 = 5s\n", 6, "ttl_999"),
    "bad field name": (GOOD + "[defaults]\nkey_headers = X(A)\n", 6, "key_headers"),
    "bad method": (GOOD + "[defaults]\nmethods = GET, PUT\n", 6, "PUT"),
    "bad user_from": (GOOD + "[defaults]\nscope = user\nuser_from = name\n", 7, "user_from"),
    "user scope without identity": (GOOD + "[route a]\nmatch = *\nscope = user\n", None, "user_from"),
    "NUL in the file": (GOOD.encode() + b"[cache]\nmem\0ory = 10M\n", 6, ""),
    "admin for all without token": ("[admin]\nlisten = 0.0.0.0:18081\n", None, "token"),
    "admin for all, IPv6, without token": ("[admin]\nlisten = [::]:18081\n", None, "token"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistake_is_refused_with_file_and_line(tmp_path, name):
    text, line, word = BAD[name]
    status, _, stderr = check(tmp_path, text)
    assert status == 1, stderr
    place = re.search(r"proxy\.ini:(\d+): ", stderr)
    assert place, stderr
    if line:
        assert int(place.group(1)) == line, stderr
    if word:
        assert word in stderr
    assert len(stderr.splitlines()) < 25


@pytest.mark.parametrize("wrong, right, section", [
    ("memroy", "memory", "cache"), ("max_objects", "max_object", "cache"), ("stale_while_revalidat", "stale_while_revalidate", "defaults"),
    ("listne", "listen", "proxy"), ("conect_timeout", "connect_timeout", "upstream"),
])
def test_misspelt_key_gets_a_suggestion(tmp_path, wrong, right, section):
    _, _, stderr = check(tmp_path, f"[{section}]\n{wrong} = 1\n")
    assert wrong in stderr and f" {right}?" in stderr


def test_an_unknown_section_is_one_mistake(tmp_path):
    status, _, stderr = check(tmp_path, GOOD + "[routes a]\nmatch = /a\n")
    assert status == 1 and len(stderr.splitlines()) == 1 and "is it [route]?" in stderr, stderr


def test_several_mistakes_are_told_at_once(tmp_path):
    _, _, stderr = check(tmp_path, "[cache]\nmemroy = 1M\n[proxy]\nworkers = x\n[defaults]\nttl = y\n")
    for line in (2, 4, 6):
        assert f"proxy.ini:{line}: " in stderr


def test_hundreds_of_mistakes_are_cut_short(tmp_path):
    status, _, stderr = check(tmp_path, "[cache]\n" + "".join(f"x{i} = 1\n" for i in range(500)))
    assert status == 1
    assert len(stderr.splitlines()) < 60


def test_very_long_lines_and_files_are_refused_or_read(tmp_path):
    assert check(tmp_path, "[defaults]\nkey_headers = " + "X-A, " * 100000 + "\n")[0] == 1
    assert check(tmp_path, GOOD + "#" + "x" * 300000 + "\n")[0] in (0, 1)
    assert check(tmp_path, b"\xff\xfe" + bytes(range(256)) * 100)[0] == 1
    assert check(tmp_path, GOOD + "# x\n" * 3000000)[0] == 1


def test_mistakes_do_not_show_secrets(tmp_path):
    _, _, stderr = check(tmp_path, "[admin]\ntoken = s3cret value\ntoken = s3cret again\n")
    assert "s3cret" not in stderr


@pytest.mark.parametrize("text", [BAD["unknown key"][0], BAD["bad duration"][0], BAD["admin for all without token"][0]])
def test_a_proxy_with_mistakes_does_not_start(tmp_path, text):
    (tmp_path / "proxy.ini").write_text(text)
    status, _, stderr = run("-c", str(tmp_path / "proxy.ini"))
    assert status == 1
    assert "proxy.ini:" in stderr


def test_default_file_is_proxy_ini_in_the_working_directory(tmp_path):
    (tmp_path / "proxy.ini").write_text("[cache]\nmemroy = 10M\n")
    status, _, stderr = run("-t", cwd=tmp_path)
    assert status == 1 and "proxy.ini:2:" in stderr


def test_file_that_is_missing_or_unreadable(tmp_path):
    for path in (tmp_path / "none.ini", tmp_path):
        status, _, stderr = run("-t", "-c", str(path))
        assert status == 1
        assert str(path) in stderr


def test_shipped_proxy_ini_passes_the_check():
    path = ROOT / "proxy.ini"
    if not path.exists():
        pytest.skip("no proxy.ini yet")
    status, _, stderr = run("-t", "-c", str(path))
    assert status == 0, stderr


def test_version_and_help():
    status, stdout, _ = run("-V")
    assert status == 0 and re.match(r"memoproxy \d+\.\d+", stdout)
    status, stdout, _ = run("-h")
    assert status == 0 and "-c" in stdout and "--demo" in stdout
    status, stdout, _ = run("--help-config")
    assert status == 0 and "stale_while_revalidate" in stdout


@pytest.mark.parametrize("args", [["--frob"], ["-x"], ["extra"], ["-c"]])
def test_bad_command_lines_are_refused(args):
    status, _, stderr = run(*args)
    assert status in (1, 2)
    assert "usage" in stderr.lower()


def test_token_on_an_open_admin_listener_is_enough(tmp_path):
    status, _, stderr = check(tmp_path, GOOD + "[admin]\nlisten = 0.0.0.0:18081\ntoken = x\n")
    assert status == 0, stderr


@pytest.mark.parametrize("which", ["proxy", "admin"])
def test_port_in_use_ends_the_start_with_one_sentence(tmp_path, which):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen(1)
    free = Port()
    ports = {"proxy": free.number, "admin": taken.getsockname()[1]}
    if which == "proxy":
        ports = {"proxy": taken.getsockname()[1], "admin": free.number}
    (tmp_path / "proxy.ini").write_text(f"[proxy]\nlisten = 127.0.0.1:{ports['proxy']}\n[admin]\nlisten = 127.0.0.1:{ports['admin']}\n"
                                        "[upstream]\nurl = http://127.0.0.1:1\n")
    status, _, stderr = run("-c", str(tmp_path / "proxy.ini"))
    assert status == 1
    assert str(taken.getsockname()[1]) in stderr and "in use" in stderr.lower()
    taken.close()
    free.release()


def test_port_of_another_memoproxy_is_in_use_too(start_proxy, tmp_path):
    """SO_REUSEPORT would let two of them share it unnoticed."""
    running = start_proxy()
    free = Port()
    (tmp_path / "proxy.ini").write_text(
        f"[proxy]\nlisten = 127.0.0.1:{running.port}\n[admin]\nlisten = 127.0.0.1:{free.number}\n"
        "[upstream]\nurl = http://127.0.0.1:1\n")
    try:
        status, _, stderr = run("-c", str(tmp_path / "proxy.ini"))
    except subprocess.TimeoutExpired:
        pytest.fail("a second one serves on the same port")
    finally:
        free.release()
    assert status == 1 and "in use" in stderr.lower()


def test_routes_match_in_the_files_order(start_proxy, origin):
    proxy = start_proxy({"route first": {"match": "/a/*", "cache": "off"}, "route second": {"match": "/a/b/*", "ttl": "60s"},
                         "route third": {"match": "*", "ttl": "60s"}})
    for path, hit in (("/a/b/c", False), ("/a/x", False), ("/a", True), ("/b/a/b", True), ("/%61/x", False)):
        origin.on(path, [Reply(body=b"x")])
        proxy.fetch(path)
        assert proxy.fetch(path).is_hit == hit, path


def test_defaults_are_inherited_and_overruled(start_proxy, origin):
    proxy = start_proxy({"defaults": {"cache": "off", "ttl": "60s"}, "route on": {"match": "/on/*", "cache": "on"}})
    for path, hit in (("/on/x", True), ("/x", False)):
        origin.on(path, [Reply(body=b"x")])
        proxy.fetch(path)
        assert proxy.fetch(path).is_hit == hit, path


def test_without_admin_listener(tmp_path, origin):
    port = Port()
    (tmp_path / "proxy.ini").write_text(f"[proxy]\nlisten = 127.0.0.1:{port.number}\n[admin]\nlisten = off\n"
                                        f"[upstream]\nurl = {origin.url}\n")
    process = Process([binary(), "-c", str(tmp_path / "proxy.ini")], env=sanitized_environment())
    from support.nginx import wait_listening
    from support.rawclient import fetch
    try:
        wait_listening(port.number, process, "memoproxy")
        origin.on("/x", [Reply(body=b"x")])
        assert fetch(port.number, "/x").body == b"x"
        process.child.terminate()
        assert process.wait(15) == 0
    finally:
        process.kill()
        port.release()


@pytest.mark.parametrize("host", ["api.invalid", "192.0.2.1"])
def test_demo_in_place_of_an_api_elsewhere_is_refused_in_one_sentence(tmp_path, host):
    port = Port()
    (tmp_path / "proxy.ini").write_text(f"[proxy]\nlisten = 127.0.0.1:{port.number}\n[admin]\nlisten = off\n"
                                         f"[upstream]\nurl = http://{host}:3000\n")
    status, _, stderr = run("-c", str(tmp_path / "proxy.ini"), "--demo")
    port.release()
    told = [line for line in stderr.splitlines() if " info " not in line]
    assert status == 1 and len(told) == 1, stderr
    assert f"must be an address of this machine: {host} is none" in told[0]


def test_demo_serves_its_own_api(tmp_path):
    port, admin, api = Port(), Port(), Port()
    (tmp_path / "proxy.ini").write_text(f"[proxy]\nlisten = 127.0.0.1:{port.number}\n[admin]\nlisten = 127.0.0.1:{admin.number}\n"
                                        f"[upstream]\nurl = http://127.0.0.1:{api.number}\n")
    process = Process([binary(), "-c", str(tmp_path / "proxy.ini"), "--demo"], env=sanitized_environment(), cwd=tmp_path)
    from support.nginx import wait_listening
    from support.rawclient import fetch
    try:
        wait_listening(port.number, process, "memoproxy")
        r = fetch(port.number, "/")
        assert r.status in (200, 404), r.body
        process.child.terminate()
        assert process.wait(15) == 0
    finally:
        process.kill()
        for one in (port, admin, api):
            one.release()


def test_ipv6_listener(start_proxy, origin):
    if not os.path.exists("/proc/net/if_inet6") or not open("/proc/net/if_inet6", encoding="ascii").read():
        pytest.skip("no IPv6")
    proxy = start_proxy(config_text="[proxy]\nlisten = 127.0.0.1:{port}, [::1]:{port}\n[admin]\nlisten = 127.0.0.1:{admin_port}\n"
                                    f"[upstream]\nurl = {origin.url}\n")
    path = origin.on(origin.fresh(), [Reply(body=b"six")])
    with socket.create_connection(("::1", proxy.port), 5) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: [::1]:{proxy.port}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            data += piece
    assert data.endswith(b"six")
    assert origin.last(path).get("X-Forwarded-For") == "::1"


@pytest.mark.parametrize("line", ["[admin]\ntoken_file = {}", "[defaults]\nerror_page = 502 {}", "include = {}"])
def test_a_pipe_is_no_file_and_not_waited_for(tmp_path, line):
    os.mkfifo(tmp_path / "pipe.html")
    status, _, stderr = check(tmp_path, "[upstream]\nurl = http://a.example\n" + line.format(tmp_path / "pipe.html") + "\n")
    assert status == 1 and "not a file" in stderr, stderr
