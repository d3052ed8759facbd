# SPDX-License-Identifier: MIT
"""The commands that speak with the running proxy: what they do there, what they say, and how they end."""
import contextlib
import http.server
import json
import os
import pty
import re
import signal
import subprocess
import threading

import pytest

from support.origin import Reply
from support.proxy import SANITIZER, Port, WithToken, binary, eventually, sanitized_environment

DONE, REFUSED, USAGE, DIFFERS, UNREACHABLE = range(5)
CONFIG = {"route all": {"match": "*", "ttl": "60s"}}


def run(*args, cwd=None, env=None):
    done = subprocess.run([binary(), *map(str, args)], cwd=cwd, env=sanitized_environment(env), capture_output=True, text=True,
                          timeout=120, check=False)
    assert not SANITIZER.search(done.stderr.encode()), done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def order(proxy):
    """order("purge", "--all"): its standard output, of a command that did what it should."""
    def give(*args):
        status, stdout, stderr = run(*args, "-c", proxy.config_path)
        assert (status, stderr) == (DONE, ""), (args, status, stderr)
        return stdout
    return give


def stored(proxy, origin, fields=None):
    path = origin.on(origin.fresh(), [Reply(200, fields or {}, b"x")])
    proxy.fetch(path)
    assert proxy.fetch(path).is_hit
    return path


# ---- each of them does it ----

@pytest.mark.parametrize("soft", [[], ["--soft"]])
def test_purge_by_each_name(proxy, origin, order, soft):
    paths = {how: stored(proxy, origin, {"Cache-Tag": "of-tag"} if how == "tag" else {}) for how in ("url", "prefix", "tag", "all")}
    for how, path in paths.items():
        value = {"tag": ["of-tag"], "all": []}.get(how, [path])
        said = order("purge", f"--{how}", *value, *soft)
        assert said.startswith(f"Purged {how}") and ("softly" in said) == bool(soft), said
        assert not proxy.fetch(path).is_hit, how


def test_a_name_is_taken_as_it_is(proxy, origin, order):
    """No shell's or form's reading: what would have to be escaped in a URL is escaped by the command."""
    tag = "a+b%20c&all=1"
    path, other = stored(proxy, origin, {"Cache-Tag": tag.replace(" ", "")}), stored(proxy, origin)
    order("purge", "--tag", tag)
    assert not proxy.fetch(path).is_hit
    assert proxy.fetch(other).is_hit, "all=1 is part of the name"


def test_purge_of_several_and_of_none(proxy, origin, order):
    paths = [stored(proxy, origin) for _ in range(3)]
    assert order("purge", "--url", paths[0], "--url", paths[1], "--dry-run").startswith("Would purge url, 2 names: ")
    assert all(proxy.fetch(p).is_hit for p in paths)
    assert order("purge", paths[0], paths[1]).startswith("Purged url, 2 names: ")
    assert [proxy.fetch(p).is_hit for p in paths] == [False, False, True]


def test_purge_of_a_user(start_proxy, origin):
    proxy = start_proxy({"route me": {"match": "/me/*", "ttl": "60s", "scope": "user", "user_from": "header:X-User"}})
    path = origin.on("/me" + origin.fresh(), [Reply(body=b"x")])
    for who in ("ada", "bob"):
        proxy.fetch(path, {"X-User": who})
    assert "an identity is the value of what user_from names" in run("purge", "--user", "nobody", "-c", proxy.config_path)[1]
    status, stdout, _ = run("purge", "--user", "ada", "-c", proxy.config_path)
    assert status == DONE and "ada" not in stdout, "an identity is a secret"
    assert not proxy.fetch(path, {"X-User": "ada"}).is_hit and proxy.fetch(path, {"X-User": "bob"}).is_hit


def test_refresh_says_what_came(proxy, origin, order):
    path = origin.on(origin.fresh(), [Reply(200, {"Cache-Control": "max-age=70"}, b"1")])
    assert re.match(r"Fetched and stored: status 200, fresh for (70|69)s \(max-age\)\.\n$", order("refresh", path))
    assert proxy.fetch(path).is_hit
    private = origin.on(origin.fresh(), [Reply(200, {"Cache-Control": "private"}, b"1")])
    assert order("refresh", private).startswith("Fetched, not stored. Not cached: ")
    broken = origin.on(origin.fresh(), [Reply(500)])
    status, stdout, stderr = run("refresh", broken, "-c", proxy.config_path)
    assert (status, stdout) == (REFUSED, "")
    assert stderr == "memoproxy: refresh: the upstream answered 500; what is stored stays\n"


def test_explain_says_why_not(proxy, origin, order):
    path = stored(proxy, origin)
    said = order("explain", path)
    assert said.startswith("Cached: memory answers with 200")
    assert re.search(r"^route +all$", said, re.M) and re.search(rf"^ .* memory +{origin.url}{path}  \(answers\)$", said, re.M), said
    said = order("explain", path, "--method", "POST", "-H", "X-A: 1", "--header", "X-B: 2", "--body", "a=b", "--scheme", "https")
    assert said.startswith("Not cached: ") and re.search("^method +POST$", said, re.M) and re.search("^scheme +https$", said, re.M)


def test_entries_are_a_table_that_goes_on(proxy, origin, order):
    stem = origin.fresh()
    for i in range(5):
        origin.on(f"{stem}/{i}", [Reply(body=b"x" * 2000)])
        proxy.fetch(f"{stem}/{i}")
    found, after = [], []
    while True:
        said = order("entries", "--prefix", stem, "--limit", "2", *after)
        found += re.findall(rf"^ +\d+s +\d+s +200 +2.0K +\d+  (?:memory|both) +(\S+)$", said, re.M)
        more = re.search(r"^There may be more: --after ([0-9a-f]{18})$", said, re.M)
        if not more:
            break
        after = ["--after", more[1]]
    assert sorted(found) == [f"{origin.url}{stem}/{i}" for i in range(5)]
    assert order("entries", "--prefix", "/nothing/such") == "Nothing of that is stored.\n"


def test_stats_show_what_is_not_0(proxy, origin, order):
    stored(proxy, origin)
    said = order("stats")
    assert re.search(r"^uptime_s +\d", said, re.M) and re.search(r"^cache\n(  .*\n)*  entries +[1-9]", said, re.M), said
    assert re.search(r"^  all\.answers\.hit +[1-9]", said, re.M), "routes by their names"
    assert not re.search(r" 0(\.0)?$", said, re.M)


def test_json_is_what_the_admin_side_answers(proxy, origin, order):
    path = stored(proxy, origin)
    assert json.loads(order("explain", path, "--json"))["memory"][0]["url"] == origin.url + path
    assert order("reload", "--json").encode() == proxy.admin("POST", "/reload").body
    status, stdout, stderr = run("refresh", "not-a-path", "--json", "-c", proxy.config_path)
    assert status == USAGE and json.loads(stdout)["status"] == 400 and stderr == ""


# ---- reload, check ----

# ---- warm ----

def site(origin, n):
    stem = origin.fresh()
    return [origin.on(f"{stem}/{i}", [Reply(body=b"x")]) for i in range(n)]


def test_warm_fetches_what_is_missing_and_says_how_it_ended(start_proxy, origin, tmp_path):
    proxy = start_proxy({**CONFIG, "warm": {"rate": 10000}})
    paths = site(origin, 5)
    (tmp_path / "urls").write_text(f"# three\n{paths[0]}\n{origin.url}{paths[1]}\r\n\n{paths[2]}")
    proxy.fetch(paths[0])
    done = run("warm", "-f", tmp_path / "urls", paths[3], "-c", proxy.config_path)
    assert done == (DONE, "Warmed 4 of 4: 3 fetched, 1 there already, 0 not stored, 0 failed.\n", "")
    assert [proxy.fetch(p).is_hit for p in paths] == [True] * 4 + [False]
    status, stdout, _ = run("warm", "no-url", paths[0], "-c", proxy.config_path, "--json")
    said = json.loads(stdout)
    assert status == REFUSED and (said["urls"], said["there"], said["failed"], said["first_failed"]) == (2, 1, 1, "no-url")
    assert run("warm", "--list", "-c", proxy.config_path)[1].splitlines() == [
        "2 through 2 of 2: 0 fetched, 1 there already, 0 not stored, 1 failed", "1 through 4 of 4: 3 fetched, 1 there already, 0 not stored, 0 failed"]


def test_warm_gives_a_long_list_part_by_part(start_proxy, origin):
    """A call takes 64 KiB and 4,096 URLs; and standard input is a file."""
    proxy = start_proxy({**CONFIG, "warm": {"rate": 10000}})
    paths = site(origin, 3)
    lines = "\n".join([paths[0]] + ["/" + "a" * 700 + str(i) for i in range(200)] + ["#"] * 9000 + paths[1:])
    done = subprocess.run([binary(), "warm", "--file", "-", "-c", proxy.config_path], input=lines, env=sanitized_environment(), text=True,
                          capture_output=True, timeout=120, check=False)
    assert not SANITIZER.search(done.stderr.encode()) and done.stdout.startswith("Warmed 203 of 203: "), (done.stdout, done.stderr)
    assert all(proxy.fetch(p).is_hit for p in paths) and len(proxy.admin_json("GET", "/warmups")["lists"]) >= 4


def test_warm_reads_sitemaps(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "warm": {"rate": 10000}})
    paths = site(origin, 4)

    def xml(kind, one, urls):
        body = f'<?xml version="1.0"?><{kind} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        body += "".join(f"<{one}><loc> {u} </loc><priority>1</priority></{one}>" for u in urls) + f"</{kind}>"
        return [Reply(200, {"Content-Type": "application/xml"}, body.encode())]
    pages = [origin.on(origin.fresh(), xml("urlset", "url", [f"https://www.example.com{p}?a=1&amp;b=2" for p in paths[at:at + 2]])) for at in (0, 2)]
    for path in paths:
        origin.on(path + "?a=1&b=2", [Reply(body=b"x")])
    index = origin.on(origin.fresh(), xml("sitemapindex", "sitemap", [origin.url + p for p in pages]))
    assert run("warm", "--sitemap", origin.url + index, "-c", proxy.config_path)[:2] == (
        DONE, "Warmed 4 of 4: 4 fetched, 0 there already, 0 not stored, 0 failed.\n")
    assert all(proxy.fetch(p + "?a=1&b=2").is_hit for p in paths)
    for path, why in ((paths[0], "it is no sitemap"), (origin.on(origin.fresh(), [Reply(404)]), "its status is not 200")):
        status, stdout, stderr = run("warm", "--sitemap", origin.url + path, "-c", proxy.config_path)
        assert (status, stdout, stderr) == (REFUSED, "", f"memoproxy: warm: {origin.url}{path}: {why}\n")


@pytest.mark.parametrize("how", ["interrupt", "cancel"])
def test_warm_is_cancelled(start_proxy, origin, how):
    proxy = start_proxy({**CONFIG, "warm": {"rate": 1}})
    paths = site(origin, 50)
    child = subprocess.Popen([binary(), "warm", *paths, "-c", proxy.config_path], env=sanitized_environment(), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    eventually(lambda: [e for e in proxy.admin_json("GET", "/warmups")["lists"] if e["state"] == "runs"], "it runs")
    if how == "interrupt":
        child.send_signal(signal.SIGINT)
    else:
        assert run("warm", "--cancel", 1, "-c", proxy.config_path) == (DONE, "Cancelled 1.\n", "")
    stdout, stderr = child.communicate(timeout=60)
    assert re.match(r"Cancelled at \d+ of 50: ", stdout) and stderr == "" and child.returncode == REFUSED
    assert proxy.admin_json("GET", "/warmups")["lists"][0]["state"] == "cancelled"
    status, _, stderr = run("warm", "--cancel", 1, "-c", proxy.config_path)
    assert status == REFUSED and "it is through" in stderr


def test_warm_draws_a_bar_on_a_terminal_only(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "warm": {"rate": 20}})
    master, slave = pty.openpty()
    child = subprocess.Popen([binary(), "warm", *site(origin, 20), "-c", proxy.config_path], env=sanitized_environment(), stdout=slave, stderr=slave)
    os.close(slave)
    said = b""
    with contextlib.suppress(OSError):  # its end
        while some := os.read(master, 65536):
            said += some
    os.close(master)
    assert child.wait(60) == DONE and b"\r\x1b[K[" in said and b"] " in said
    assert said.replace(b"\r\n", b"\n").endswith(b"\r\x1b[KWarmed 20 of 20: 20 fetched, 0 there already, 0 not stored, 0 failed.\n"), said


# ---- what the file changes ----

def test_reload_and_check_tell_what_the_file_changes(start_proxy):
    proxy = start_proxy(CONFIG)

    def both():
        return [run(word, "-c", proxy.config_path) for word in ("check", "reload")]
    checked, reloaded = both()
    assert checked[0] == DONE and checked[1].endswith(f"The running proxy goes by {proxy.config_path} as it is.\n"), checked
    assert reloaded[0] == DONE and reloaded[1] == "Reloaded: 1 route, 1 upstream.\n"
    proxy.write_config({"route all": {"match": "*", "ttl": "61s"}, "cache": {"max_waiters": "7"}, "upstream": {"retries": "2"}})
    before = proxy.explain("/a")["rules"]["ttl_s"]
    checked, reloaded = both()
    assert before == 60 and checked[0] == DIFFERS, checked
    assert checked[1].endswith("A reload would change:\n  [upstream] retries\n  [route all] ttl\n"
                               "A restart, or an upgrade (USR2), is needed for:\n  [cache] max_waiters\n"), checked[1]
    assert reloaded[0] == DONE and reloaded[1].endswith("count from the next start on:\n  [cache] max_waiters\n")
    assert proxy.explain("/a")["rules"]["ttl_s"] == 61
    checked, _ = both()
    assert checked[0] == DIFFERS and "A reload would change" not in checked[1], "only the restart is due"
    proxy.write_config({"route all": {"match": "*", "tttl": "61s"}})
    checked, reloaded = both()
    assert checked[0] == REFUSED and "is it ttl?" in checked[2]
    assert reloaded[0] == REFUSED and "is it ttl?" in reloaded[2], "a mistake in a route keeps nobody from the admin side"


@pytest.mark.parametrize("sections, told", [
    ({"route all": {"match": "*", "ttl": "60s"}, "route new": {"match": "/n"}}, "[route new]"),
    ({}, "[route all]"),
    ({"route other": {"match": "*", "ttl": "60s"}}, "[route other]"),
    ({"defaults": {"ttl_404": "5s"}, "route all": {"match": "*", "ttl": "60s"}}, "[defaults] ttl_NNN"),
    ({"upstream more": {"url": "http://127.0.0.1:1"}, "route all": {"match": "*", "ttl": "60s"}}, "[upstream more]"),
])
def test_a_dry_reload_names_sections_that_come_and_go(start_proxy, sections, told):
    proxy = start_proxy(CONFIG)
    proxy.write_config(sections)
    said = proxy.admin_json("POST", "/reload?dry_run=1")
    assert told in said["differs"] and not said["in_force"], said
    assert proxy.admin_json("POST", "/reload?dry_run=0")["reloaded"]
    assert proxy.admin_json("POST", "/reload?dry_run=1")["in_force"]


def test_check_of_a_file_that_the_proxy_does_not_serve(proxy, tmp_path):
    other = tmp_path / "other.ini"
    other.write_text(open(proxy.config_path, encoding="ascii").read())
    status, stdout, stderr = run("check", "-c", other)
    assert status == DIFFERS and f"{other}: the configuration is fine" in stdout and proxy.config_path in stdout
    assert "the running proxy does not go by" in stderr


# ---- how it is found, and who may ----

def test_it_is_found_by_the_file_that_the_server_would_take(proxy, tmp_path):
    assert run("stats", cwd=proxy.folder.name)[0] == DONE, "./proxy.ini"
    assert run("stats", "--admin", f"127.0.0.1:{proxy.admin_port}", cwd=tmp_path)[0] == DONE
    status, _, stderr = run("stats", "-c", tmp_path / "none.ini")
    assert status == USAGE and "none.ini: No such file" in stderr


def test_the_token_of_the_file_is_sent_and_never_shown(start_proxy, origin, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    for key, value in (("token", "s3cret"), ("token_file", secret)):
        with WithToken(origin.url, {"admin": {key: value}}) as proxy:
            status, stdout, stderr = run("purge", "--all", "-c", proxy.config_path)
            assert (status, stderr) == (DONE, "") and "s3cret" not in stdout
            wrong = tmp_path / "wrong.ini"
            wrong.write_text(f"[admin]\nlisten = 127.0.0.1:{proxy.admin_port}\ntoken = ${{NOT_SET}}\n")
            status, _, stderr = run("purge", "--all", "-c", wrong)
            assert status == REFUSED and "token: ${NOT_SET} is not set" in stderr and "a bearer token is required" in stderr
            assert run("purge", "--all", "-c", wrong, env={"NOT_SET": "s3cret"})[0] == DONE


def test_a_proxy_that_is_not_there(tmp_path):
    port = Port()
    status, stdout, stderr = run("purge", "--all", "--admin", f"127.0.0.1:{port.number}", cwd=tmp_path)
    port.release()
    assert (status, stdout) == (UNREACHABLE, "") and len(stderr.splitlines()) == 1
    assert stderr.startswith(f"memoproxy: purge: no proxy answers at http://127.0.0.1:{port.number} (--admin): ")
    (tmp_path / "off.ini").write_text("[admin]\nlisten = off\n")
    status, _, stderr = run("stats", "-c", tmp_path / "off.ini")
    assert status == USAGE and "listen is off" in stderr


@contextlib.contextmanager
def someone_else(body, health=None, heard=None):
    """What answers everything so, at an address; or the question whether it is an admin side otherwise. `heard` gets what it is sent."""
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if heard is not None:
                heard.append((self.command, self.path, dict(self.headers)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(health if health and self.path == "/healthz" else body)
        do_POST = do_GET

        def log_message(self, *args):
            pass
    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_something_else_at_that_place(tmp_path):
    (tmp_path / "proxy.ini").write_text("[admin]\ntoken = hunter2-hunter2-hunter2\n")
    for body in (b"<html>", b"{}", b'{"purged": "all", "soft": false, "sequence": 1}', b'{"status": "ok"}', b'{"status": "alive"'):
        heard = []
        with someone_else(body, heard=heard) as address:
            status, stdout, stderr = run("purge", "--all", "--admin", address, cwd=tmp_path)
        assert (status, stdout) == (UNREACHABLE, "") and "no memoproxy" in stderr, stderr
        assert [h[:2] for h in heard] == [("GET", "/healthz")] and "hunter2" not in str(heard), "neither the order nor the token"


def test_the_proxys_own_listener_is_not_taken_for_its_admin_side(proxy, origin):
    """Whatever the API says at that path."""
    origin.on("/healthz", [Reply(200, {}, b'{"status": "alive"}')])
    status, stdout, stderr = run("purge", "--all", "--admin", f"127.0.0.1:{proxy.port}")
    assert (status, stdout) == (UNREACHABLE, "") and "no memoproxy" in stderr
    assert origin.count("/purge") == 0


def test_what_answers_moves_no_terminal(tmp_path):
    """Whoever has the port while the proxy is down. U+009B begins an escape sequence, too."""
    entry = {"tier": "\x1b[2J", "url": "/\x9b2J\x1b]0;x\x07\x7f", "status": 200, "vary": "\x1b[2J", "user": "\x1b[2J"}
    for word, body in (("entries", {"entries": [entry], "next": "\x1b[2J"}), ("stats", {"\x1b[2J": 1, "\x9b": {"\x1b[2J": "\x1b[2J"}})):
        with someone_else(json.dumps(body).encode(), health=b'{"status": "alive"}') as address:
            status, stdout, _ = run(word, "--admin", address, cwd=tmp_path)
        assert status == DONE and not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", stdout), repr(stdout)


@pytest.mark.parametrize("args, told", [
    (["purge", "--taag", "x"], "memoproxy: purge: no option is called --taag; is it --tag? (memoproxy purge --help shows the usage)"),
    (["purge", "--secret=hunter2"], "no option is called --secret ("),
    (["purge", "--soft=1"], "no value belongs to --soft"),
    (["stats", "/users"], "this belongs to no option: /users"),
    (["purge", "--url"], "a value is missing after --url"),
    (["refresh"], "a URL is missing"),
    (["explain", "/a", "/b"], "this belongs to no option: /b"),
    (["check", "x"], "this belongs to no option: x"),
    (["warm"], "a URL, --file or --sitemap is missing"),
    (["warm", "--list", "/a"], "--list and --cancel stand alone"),
    (["prge", "--all"], "no command is called prge; is it purge?"),
    (["-c", "x", "purge"], "a command stands first, as in memoproxy purge"),
    (["completion", "tcsh"], "bash, zsh or fish"),
    (["disk-check"], "a directory is missing"),
])
def test_what_is_not_understood_is_one_sentence(args, told, tmp_path):
    status, stdout, stderr = run(*args, cwd=tmp_path)
    assert status == USAGE and stdout == "" and told in stderr and len(stderr.splitlines()) == 1, stderr
    assert "hunter2" not in stderr


@pytest.mark.parametrize("args, told", [
    (["purge"], "give exactly one of"),
    (["purge", "--tag", "a", "--all"], "give exactly one of"),
    (["entries", "--limit", "0"], "limit is a number from 1 to 10000"),
    (["entries", "--tier", "moon"], "tier is memory or disk"),
    (["explain", "/a", "--scheme", "ftp"], "scheme is http or https"),
])
def test_a_parameter_that_the_proxy_refuses_is_a_mistake_of_the_command_line(proxy, args, told):
    status, stdout, stderr = run(*args, "-c", proxy.config_path)
    assert status == USAGE and stdout == "" and told in stderr, stderr


def test_help_names_every_option():
    for word in re.findall(r"^  ([a-z-]+) .*$", run("-h")[1].split("Commands:\n")[1].split("\n\n")[0], re.M):
        status, stdout, _ = run(word, "--help")
        assert status == DONE and stdout.startswith(f"usage: memoproxy {word}") and "--help" in stdout


# ---- terminals ----

def on_terminal(args, env):
    master, slave = pty.openpty()
    child = subprocess.Popen([binary(), *args], stdout=slave, stderr=subprocess.PIPE, env=sanitized_environment(env))
    os.close(slave)
    said = b""
    try:
        while chunk := os.read(master, 65536):
            said += chunk
    except OSError:  # the last writer is gone
        pass
    os.close(master)
    assert child.wait(60) == DONE, child.stderr.read()
    child.stderr.close()
    return said


def test_a_terminal_gets_bold_headlines_unless_it_says_otherwise(proxy, origin):
    stored(proxy, origin)
    args = ["entries", "-c", proxy.config_path]
    assert b"\x1b[1m" in on_terminal(args, {"TERM": "xterm", "NO_COLOR": ""})
    assert b"\x1b" not in on_terminal(args, {"TERM": "xterm", "NO_COLOR": "1"})
    assert b"\x1b" not in on_terminal(args, {"TERM": "dumb", "NO_COLOR": ""})
    assert "\x1b" not in run(*args, env={"TERM": "xterm"})[1]
