# SPDX-License-Identifier: MIT
"""The first minutes: serving without a file, words that are misspelt, and a file that says too little."""
import fcntl
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from support.nginx import wait_listening
from support.origin import Reply
from support.proxy import ROOT, SANITIZER, Port, Process, binary, eventually, sanitized_environment
from support.rawclient import fetch

from conftest import need_binary


@pytest.fixture(autouse=True)
def program():
    need_binary()


def run(*args, cwd=None, env=None):
    done = subprocess.run([binary(), *map(str, args)], cwd=cwd, env=sanitized_environment(env), capture_output=True, timeout=60,
                          check=False)
    assert not SANITIZER.search(done.stderr), done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def serve(tmp_path):
    """serve("--to", URL): serves at a free port; an own folder is where it runs."""
    running = []

    def start(*args, admin="off"):
        port = Port()
        process = Process([binary(), "--listen", f"127.0.0.1:{port.number}", "--admin", admin, *args], cwd=tmp_path,
                          env=sanitized_environment())
        running.append((process, port))
        wait_listening(port.number, process, "memoproxy")
        return process, port.number
    yield start
    for process, port in running:
        process.child.terminate()
        status, text = process.wait(20), process.stderr
        port.release()
        assert status == 0 and not SANITIZER.search(text.encode()), text


def test_an_api_is_served_without_a_file(serve, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    process, port = serve("--to", origin.url, "--ttl", "60s")
    assert not fetch(port, path).is_hit
    assert fetch(port, path).is_hit
    eventually(lambda: origin.url in process.stdout and str(port) in process.stdout, "it says what it serves, and where")


def test_without_ttl_the_api_itself_decides(serve, origin):
    said, unsaid = (origin.on(origin.fresh(), [Reply(body=b"x", fields=f)]) for f in ([("Cache-Control", "max-age=60")], []))
    process, port = serve("--to", origin.url)
    for path, hit in ((said, True), (unsaid, False)):
        fetch(port, path)
        assert fetch(port, path).is_hit == hit
    eventually(lambda: "--ttl" in process.stdout, "it names the option")


def test_to_takes_what_caddy_takes(serve, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    _, port = serve("--to", origin.url.removeprefix("http://"))
    assert fetch(port, path).body == b"x"


def test_several_to_are_origins_of_the_same(serve, origin):
    dead = Port()
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    _, port = serve("--to", f"127.0.0.1:{dead.number}", "--to", origin.url)
    assert [fetch(port, path).status for _ in range(3)] == [200] * 3
    dead.release()


def test_options_replace_keys_of_the_file(serve, origin, tmp_path):
    (tmp_path / "proxy.ini").write_text("[proxy]\nlisten = 127.0.0.1:1\n[upstream]\nurl = http://127.0.0.1:1\n[defaults]\nttl = 0\n"
                                        "stale_if_error = 1h\n")
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    _, port = serve("-c", "proxy.ini", "--to", origin.url, "--ttl", "1h")
    fetch(port, path)
    assert fetch(port, path).is_hit


@pytest.fixture
def port_of_the_demonstration():
    """Without a file its API has a port that does not change: one test at a time, whatever else runs on the machine."""
    with open(os.path.join(tempfile.gettempdir(), "memoproxy-test-8082"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not can_listen(8082):
            pytest.skip("port 8082 is taken")
        yield


def test_the_demonstration_needs_no_file_and_takes_options(port_of_the_demonstration, serve, tmp_path):
    process, port = serve("--demo")
    assert fetch(port, "/users/1").json()["id"] == 1
    assert fetch(port, "/users/1").is_hit, "its routes count without a file"
    eventually(lambda: f"127.0.0.1:{port}/users/1" in process.stdout, "it names an example")


def can_listen(number):
    import socket
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


@pytest.mark.parametrize("args, told", [
    (["--lisen", "x"], "no option is called --lisen; is it --listen?"),
    (["--tll=1s"], "no option is called --tll; is it --ttl?"),
    (["--secret=hunter2"], "no option is called --secret"),
    (["disk-chek", "x"], "no command is called disk-chek; is it disk-check?"),
    (["tset"], "no command is called tset; is it --test?"),
    (["http://localhost:3000"], "is it --to http://localhost:3000?"),
    (["frobnicate"], "no command is called frobnicate (memoproxy -h"),
    (["-x"], "no option is called -x"),
    (["--to"], "a value is missing after --to"),
    (["disk-check"], "a directory is missing"),
    (["--strict", "--to", "http://x"], "--strict"),
    (["--demo", "--to", "http://x"], "--to"),
    (["--to", "ftp://x"], "memoproxy: --to: url: not a URL"),
    (["--to", "http://x", "--ttl", "5"], 'memoproxy: --ttl: ttl: "5" needs a unit'),
    (["--to", "http://x", "--listen", "80\n81"], "memoproxy: --listen: a control character"),
    (["--to", "http://x", "--memory", "1"], "memoproxy: --memory: memory: 1 is not in 64K"),
])
def test_a_command_line_that_is_not_understood_is_one_sentence(tmp_path, args, told):
    status, _, stderr = run(*args, cwd=tmp_path)
    assert told in stderr and len(stderr.splitlines()) == 1, stderr
    assert status == (2 if "shows the usage" in stderr else 1), "1: it is understood, and what it says is wrong"
    assert "hunter2" not in stderr


def test_options_have_the_bounds_of_their_keys():
    """What each is for stands in the usage, and the file's own key is named there."""
    usage = run("-h")[1]
    keys = (ROOT / "config" / "options.def").read_text() + (ROOT / "cache" / "policy" / "rules.def").read_text()
    found = re.findall(r"^  --([a-z-]+) .*\(\[(\w+)\] (\w+)\)$", usage, re.M)
    assert len(found) >= 8
    for name, _, key in found:
        assert f'"{key}"' in keys, name


def test_without_anything_to_serve_it_says_what_would(tmp_path):
    if os.path.exists("/etc/memoproxy/proxy.ini"):
        pytest.skip("this machine has a /etc/memoproxy/proxy.ini")
    status, _, stderr = run(cwd=tmp_path)
    assert status == 1 and "./proxy.ini" in stderr and "/etc/memoproxy/proxy.ini" in stderr
    assert "memoproxy --to http" in stderr and "memoproxy --demo" in stderr


@pytest.mark.parametrize("text, line", [
    ("[upstream api]\nur1 = http://x\n[route a]\nmatch = *\n", 2), ("[upstream]\nurl http://x\n", 2), ("url = http://x\n", 1),
])
def test_what_follows_from_another_mistake_is_not_told(tmp_path, text, line):
    (tmp_path / "proxy.ini").write_text(text)
    status, _, stderr = run("-t", cwd=tmp_path)
    assert status == 1 and stderr.startswith(f"proxy.ini:{line}: ") and len(stderr.splitlines()) == 1, stderr


@pytest.mark.parametrize("text, told", [
    ("", "proxy.ini: no upstream is configured; add two lines: [upstream] and, below it, url = http://localhost:3000"),
    ("[proxy]\nworkers = 1\n[upstream]\nretries = 2\n", "proxy.ini:3: [upstream] does not say where the API is; add a line: url = "),
    ("[upstream api]\nurl = http://x\n", "add a line to [defaults]: upstream = api"),
    ("[upstream api]\nurl = http://x\n[route a]\nmatch = *\nupstream = api\n", "add a line to [defaults]: upstream = api"),
])
def test_no_upstream_is_an_error_with_the_line_that_mends_it(tmp_path, text, told):
    (tmp_path / "proxy.ini").write_text(text)
    for args in (["-t"], []):
        status, _, stderr = run(*args, cwd=tmp_path)
        assert status == 1 and told in stderr and len(stderr.splitlines()) == 1, stderr


def test_named_upstreams_do_without_one_that_has_no_name(start_proxy, origin):
    proxy = start_proxy(config_text="[proxy]\nlisten = 127.0.0.1:{port}\n[admin]\nlisten = 127.0.0.1:{admin_port}\n[upstream]\nretries = 0\n"
                                    f"[upstream api]\nurl = {origin.url}\n[defaults]\nupstream = api\n")
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    assert proxy.fetch(path).body == b"x"
    assert list(proxy.stats()["upstreams"]) == ["api"]
    proxy.purge(url=path)


def test_the_installed_file_asks_for_the_api_and_serves_once_it_is_filled_in(tmp_path):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    text = (ROOT / "packaging" / "proxy.ini").read_text()
    (tmp_path / "proxy.ini").write_text(text)
    status, _, stderr = run("-t", cwd=tmp_path)
    line = next(n for n, s in enumerate(text.splitlines(), 1) if s == "[upstream]")
    assert status == 1 and f"proxy.ini:{line}: " in stderr and "url = http" in stderr
    (tmp_path / "proxy.ini").write_text(re.sub(r"^#(?=\S)", "", text, flags=re.M))
    status, stdout, stderr = run("-t", "--strict", cwd=tmp_path)
    assert (status, stderr) == (0, ""), stderr
    install = (ROOT / "Makefile").read_text()
    assert "install -D -m 644 packaging/proxy.ini" in install


# ---- include and the environment ----

def test_included_routes_are_served_and_reload_sees_a_new_file(start_proxy, origin):
    proxy = start_proxy(config_text="include = routes/*.ini\n[proxy]\nlisten = 127.0.0.1:{port}\n[admin]\nlisten = 127.0.0.1:{admin_port}\n"
                                    f"[upstream]\nurl = {origin.url}\n")
    before, path = (origin.on(p, [Reply(body=b"x")]) for p in ("/included/before", "/included/x"))
    folder = os.path.join(proxy.folder.name, "routes")
    os.mkdir(folder)
    proxy.fetch(before)
    assert not proxy.fetch(before).is_hit
    with open(os.path.join(folder, "a.ini"), "w", encoding="ascii") as f:
        f.write("[route included]\nmatch = /included/*\nttl = 60s\n")
    assert proxy.admin_json("POST", "/reload")["routes"] == 1
    proxy.fetch(path)
    assert proxy.fetch(path).is_hit
    with open(os.path.join(folder, "a.ini"), "a", encoding="ascii") as f:
        f.write("ttl_forse = 1s\n")
    problem = proxy.admin("POST", "/reload")
    assert problem.status == 422
    assert problem.json()["errors"] == [f"{folder}/a.ini:4: no key is called ttl_forse; is it ttl_force?"]
    assert proxy.fetch(path).is_hit


def test_the_environment_fills_in_and_is_told_nowhere(tmp_path, origin):
    port, admin = Port(), Port()
    (tmp_path / "proxy.ini").write_text(
        "# ${NEVER} is a comment's own\n[proxy]\nlisten = 127.0.0.1:${PORT}\n[admin]\nlisten = 127.0.0.1:${ADMIN}\n"
        "token = ${TOKEN}\n[upstream]\nurl = ${API:-http://nowhere.invalid}\n")
    env = {"PORT": str(port.number), "ADMIN": str(admin.number), "TOKEN": "hunter2secret", "API": origin.url}
    process = Process([binary()], cwd=tmp_path, env=sanitized_environment(env))
    try:
        wait_listening(port.number, process, "memoproxy")
        path = origin.on(origin.fresh(), [Reply(body=b"x")])
        assert fetch(port.number, path).body == b"x"
        bearer = {"Authorization": "Bearer hunter2secret"}
        host = f"127.0.0.1:{admin.number}"
        stats = eventually(lambda: fetch(admin.number, "/stats", bearer, host=host), "the admin side answers")
        assert stats.status == 200 and b"hunter2" not in stats.body
        assert fetch(admin.number, "/stats", host=host).status == 401
        assert b"hunter2" not in fetch(admin.number, f"/explain?url={path}", bearer, host=host).body
        process.child.terminate()
        assert process.wait(20) == 0
        assert "hunter2" not in process.stderr + process.stdout
    finally:
        process.kill()
        port.release()
        admin.release()
    for args in (["--print-config"], ["-t"]):
        _, stdout, stderr = run(*args, cwd=tmp_path, env=env)
        assert "hunter2" not in stdout + stderr


@pytest.mark.parametrize("line, env, told", [
    ("ttl = ${TTL}", {}, "ttl: ${TTL} is not set"),
    ("ttl = ${TTL}", {"TTL": "hunter2"}, "ttl: what the environment has for it is not valid here (duration, "),
    ("ttl = ${TTL", {}, "ttl: ${ without }"),
    ("ttl = ${T-L}", {}, "ttl: ${T-L}: a variable's name is"),
    ("ttl = ${TTL}", {"TTL": "1s\n[route x]"}, "ttl: ${TTL} has a control character"),
    ("ttl = $${TTL}", {"TTL": "1s"}, "ttl: "),
])
def test_a_variable_that_does_not_do_is_named_with_its_line(tmp_path, line, env, told):
    (tmp_path / "proxy.ini").write_text(f"[upstream]\nurl = http://x\n[defaults]\n{line}\n")
    status, _, stderr = run("-t", cwd=tmp_path, env=env)
    assert status == 1 and f"proxy.ini:4: {told}" in stderr and len(stderr.splitlines()) == 1, stderr
    assert "hunter2" not in stderr
