# SPDX-License-Identifier: MIT
"""memoproxy init asks an API and writes a proxy.ini: which routes it found, what it says of each, and that -t takes it."""
import json
import os
import re
import subprocess

import pytest

from support.nginx import wait_listening
from support.origin import Origin, Reply
from support.proxy import SANITIZER, Port, Process, binary, sanitized_environment
from support.rawclient import fetch

from conftest import need_binary


@pytest.fixture(autouse=True)
def program():
    need_binary()


@pytest.fixture
def api():
    with Origin() as o:
        yield o


def run(*args, cwd=None):
    done = subprocess.run([binary(), *map(str, args)], cwd=cwd, env=sanitized_environment(), capture_output=True, text=True,
                          timeout=120, check=False)
    assert not SANITIZER.search(done.stderr.encode()), done.stderr
    return done.returncode, done.stdout, done.stderr


def init(*args):
    status, stdout, stderr = run("init", *args)
    assert status == 0, stderr
    return stdout


def routes(text):
    """{match: (comment lines before the route, its lines)}"""
    found = {}
    for block in text.split("\n\n"):
        lines = block.splitlines()
        match = [line.removeprefix("match = ") for line in lines if line.startswith("match = ")]
        if match:
            at = next(n for n, line in enumerate(lines) if line.startswith("["))
            found[match[0]] = ("\n".join(lines[:at]), lines[at + 1:])
    return found


def reply(value, fields=None, status=200):
    return Reply(status, {"Content-Type": "application/json", **(fields or {})}, json.dumps(value).encode())


def serves(tmp_path, text, path):
    """-t takes it without a warning, and it serves."""
    port = Port()
    file = tmp_path / "proxy.ini"
    file.write_text(text.replace("listen = 127.0.0.1:8080", f"listen = 127.0.0.1:{port.number}"))
    assert run("-t", "--strict", "-c", file) == (0, f"{file}: the configuration is fine\n", "")
    process = Process([binary(), "-c", str(file), "--admin", "off"], cwd=tmp_path, env=sanitized_environment())
    try:
        wait_listening(port.number, process, "memoproxy")
        first, second = fetch(port.number, path), fetch(port.number, path)
        process.child.terminate()
        assert process.wait(20) == 0
        return first, second
    finally:
        process.kill()
        port.release()


# ---- where routes come from ----

def test_json_server_is_found_out(json_server, tmp_path):
    text = init(json_server.url)
    found = routes(text)
    assert list(found) == ["/comments", "/comments/{id}", "/posts", "/posts/{id}", "/users", "/users/{id}"]
    comment, keys = found["/users/{id}"]
    assert "no-cache" in comment and "asked for each time" in comment
    assert keys == ["match = /users/{id}", "#ttl_force = 30s", "invalidates = /users, /users?*"]
    assert not serves(tmp_path, text, "/users/1")[1].is_hit
    first, second = serves(tmp_path, text.replace("#ttl_force", "ttl_force"), "/users/1")
    assert first.json()["id"] == 1 and second.is_hit


DOCUMENT = {
    "openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "servers": [{"url": "/v1"}],
    "components": {"parameters": {"user": {"name": "user-id", "in": "path", "required": True, "schema": {"type": "integer"}}}},
    "paths": {
        "/users": {"get": {"summary": "All users", "responses": {}}, "post": {"responses": {}}},
        "/users/{user-id}": {"parameters": [{"$ref": "#/components/parameters/user"}], "get": {"responses": {}}},
        "/users/me": {"get": {"responses": {}, "security": [{"bearer": []}]}},
        "/reports/{name}.{format}": {"get": {"parameters": [
            {"name": "name", "in": "path", "required": True, "example": "a b"},
            {"name": "format", "in": "path", "required": True, "schema": {"enum": ["csv", "xml"]}},
            {"name": "year", "in": "query", "required": True, "schema": {"default": 2024}}]}},
        "/words/{word}": {"get": {"responses": {}}},
        "/writes": {"post": {"responses": {}}},
    },
}

YAML = """\
openapi: 3.0.3
info: {title: t, version: '1'}
servers:
  - url: /v1
components:
  parameters:
    user: &user
      name: user-id
      in: path
      required: true
      schema: {type: integer}
paths:
  /users:
    get: {summary: All users, responses: {}}
    post: {responses: {}}
  /users/{user-id}:
    parameters:
      - *user
    get: {responses: {}}
  /users/me:
    get:
      responses: {}
      security: [{bearer: []}]
  /reports/{name}.{format}:
    get:
      parameters:
        - {name: name, in: path, required: true, example: a b}
        - {name: format, in: path, required: true, schema: {enum: [csv, xml]}}
        - {name: year, in: query, required: true, schema: {default: 2024}}
  /words/{word}:
    get: {responses: {}}
  /writes:
    post: {responses: {}}
"""


@pytest.mark.parametrize("place, kind, text", [
    ("/openapi.json", "application/json", json.dumps(DOCUMENT)),
    ("/openapi.yaml", "application/yaml", YAML),
    ("/v3/api-docs", "application/json", json.dumps(DOCUMENT)),
])
def test_an_openapi_document_says_which_routes_there_are(api, tmp_path, place, kind, text):
    api.on(place, Reply(fields={"Content-Type": kind}, body=text.encode()))
    api.on("/v1/users", reply([{"id": 7}]))
    api.on("/v1/users/1", reply({"id": 1}))
    api.on("/v1/users/me", reply({"id": 9}, {"Cache-Control": "private"}))
    api.on("/v1/reports/a%20b.csv?year=2024", Reply(fields={"Content-Type": "text/csv"}, body=b"1,2"))
    text = init(api.url)
    found = routes(text)
    assert list(found) == ["/v1/reports/*.*", "/v1/users", "/v1/users/me", "/v1/users/{user_id}", "/v1/words/{word}"]
    assert place in text and "All users" in found["/v1/users"][0]
    assert "ttl = 30s" in found["/v1/users"][1] and "invalidates = /v1/users, /v1/users?*" in found["/v1/users"][1]
    assert "GET /v1/users/1: 200" in found["/v1/users/{user_id}"][0]
    assert "#scope = user" in found["/v1/users/me"][1] and "ttl = 30s" not in found["/v1/users/me"][1]
    assert "Not asked" in found["/v1/words/{word}"][0] and "#ttl = 30s" in found["/v1/words/{word}"][1]
    assert "year=2024: 200, text/csv" in found["/v1/reports/*.*"][0]
    assert serves(tmp_path, text, "/v1/users")[1].is_hit


def test_swagger_2_has_a_base_path(api):
    api.on("/swagger.json", reply({"swagger": "2.0", "basePath": "/api", "paths": {
        "/cats/{id}": {"get": {"parameters": [{"name": "id", "in": "path", "type": "string", "enum": ["tom"]}]}}}}))
    api.on("/api/cats/tom", reply({}))
    assert "GET /api/cats/tom: 200" in routes(init(api.url))["/api/cats/{id}"][0]


def test_links_of_the_root_and_of_what_they_lead_to_are_followed(api, tmp_path):
    api.on("/", reply({"users": "/users", "elsewhere": "http://other.example/x", "logo": "/logo.png", "out": "/users/logout", "endpoints": {"/cats/{id}": "GET", "/users/{id}/dogs": ""}}))
    api.on("/users", reply({"data": [{"id": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "_links": {"self": {"href": "/users/0/friends"}}}]}))
    api.on("/users/6f9619ff-8b86-d011-b42d-00c04fc964ff", reply({"a": 1, "orders_url": f"{api.url}/orders?page=2"}))
    api.on("/users/6f9619ff-8b86-d011-b42d-00c04fc964ff/dogs", reply([]))
    api.on("/users/0/friends", reply([{"id": "tom"}]))
    api.on("/users/0/friends/tom", reply({}))
    api.on("/orders", reply([]))
    text = init(api.url)
    assert list(routes(text)) == ["/", "/cats/{id}", "/orders", "/users", "/users/{id}", "/users/{id}/dogs", "/users/{id}/friends", "/users/{id}/friends/{item}"]
    assert "/dogs: 200" in text, "a template's example comes of a shorter one's"
    assert "other.example" not in text and not api.seen("/users/logout")
    serves(tmp_path, text, "/users")


def test_a_page_and_a_sitemap_lead_on(api):
    api.on("/", Reply(fields={"Content-Type": "text/html"}, body=b'<a href="cats/1">c</a> <link href="/style.css"> <a href=\'/dogs\'>d</a>'))
    api.on("/sitemap.xml", Reply(fields={"Content-Type": "application/xml"}, body=(
        f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc> {api.url}/birds/2024 </loc></url>'
        "<url><loc>http://other.example/fish</loc></url></urlset>").encode()))
    for path in ("/cats/1", "/dogs", "/birds/2024"):
        api.on(path, reply({}))
    assert list(routes(init(api.url))) == ["/birds/{id}", "/cats/{id}", "/dogs"]


def test_paths_that_are_given_are_asked_and_no_others(api):
    api.on("/a/1", reply({}))
    api.on("/a/2", reply({}))
    api.on("/b", reply({}))
    text = init(api.url, "/a/1", "/a/2", "b", "/none")
    assert list(routes(text)) == ["/a/{id}", "/b"]
    assert "# GET /none: 404" in text
    assert {r.path for r in api.requests} == {"/a/1", "/b", "/none"}


def test_an_api_below_a_path_is_asked_there(api, tmp_path):
    api.on("/api/v2/users", reply([{"id": 1}]))
    api.on("/api/v2/users/1", reply({}))
    text = init(api.url + "/api/v2", "/users")
    assert list(routes(text)) == ["/users"] and f"url = {api.url}/api/v2\n" in text
    assert serves(tmp_path, text, "/users")[1].is_hit


def test_an_api_without_anything_is_told_so(api, tmp_path):
    text = init(api.url)
    assert "No routes were found" in text
    serves(tmp_path, text, "/")


# ---- what is said of a route ----

def test_lifetimes_are_those_that_the_api_says(api, tmp_path):
    api.on("/max", reply({}, {"Cache-Control": "max-age=90", "ETag": '"x"'}))
    api.on("/none", reply({}))
    api.on("/private", reply({}, {"Cache-Control": "private, max-age=90"}))
    api.on("/no-store", reply({}, {"Cache-Control": "no-store"}))
    api.on("/modified", reply({}, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}))
    text = init(api.url, "/max", "/none", "/private", "/no-store", "/modified")
    found = routes(text)
    assert "Cache-Control: max-age=90; ETag" in found["/max"][0] and "lives 90s" in found["/max"][0]
    assert found["/max"][1] == ["match = /max"]
    assert found["/none"][1] == ["match = /none", "ttl = 30s"]
    assert "not stored (private)" in found["/private"][0] and {"#scope = user", "#override = private"} <= set(found["/private"][1])
    assert "not stored (no-store)" in found["/no-store"][0] and "#ttl_force = 30s" in found["/no-store"][1]
    assert "a tenth of the time" in found["/modified"][0] and "#ttl = 30s" in found["/modified"][1]
    assert serves(tmp_path, text, "/none")[1].is_hit


def test_what_differs_between_two_equal_calls_is_named_and_not_cached(api):
    api.on("/json", *(reply({"ok": 1, "items": [{"seen": n, "id": 1}, {"seen": -n, "id": 2}]}) for n in (1, 2)))
    api.on("/text", *(Reply(fields={"Content-Type": "text/plain"}, body=b"%d" % n) for n in (1, 2)))
    api.on("/fields", *(reply({}, {"X-Request-Id": str(n), "X-Same": "s"}) for n in (1, 2)))
    api.on("/status", reply({}), Reply(503))
    found = routes(init(api.url, "/json", "/text", "/fields", "/status"))
    assert "differ, at /items/*/seen:" in found["/json"][0] and "#ttl = 30s" in found["/json"][1]
    assert "differ in their bytes" in found["/text"][0] and "#ttl = 30s" in found["/text"][1]
    assert "two equal calls: X-Request-Id" in found["/fields"][0] and "X-Same" not in found["/fields"][0]
    assert "ttl = 30s" in found["/fields"][1]
    api.on("/kept", *(reply({"n": n}, {"Cache-Control": "max-age=9"}) for n in (1, 2)))
    assert "the API says itself" in routes(init(api.url, "/kept"))["/kept"][0]
    assert "another status" in found["/status"][0] and "#ttl = 30s" in found["/status"][1]


def with_key(key):
    def script(request):
        if request.get("X-Api-Key") != key:
            return [Reply(401, {"WWW-Authenticate": "Bearer realm=x"}, b"no")]
        return [reply({"me": 1})]
    return script


def test_credentials_that_matter_are_told_and_not_written_down(api):
    api.on("/me", with_key("hunter2"))
    api.on("/open", reply({}, {"Vary": "Accept-Language, Cookie", "Set-Cookie": "sid=hunter2"}))
    found = routes(init(api.url, "/me", "/open"))
    assert "wants a credential (401, Bearer)" in found["/me"][0]
    assert "#user_from = header:Authorization" in found["/me"][1] and "#ttl = 30s" in found["/me"][1]
    assert "Vary: Accept-Language, Cookie" in found["/open"][0] and "sets a cookie (sid)" in found["/open"][0]
    text = init(api.url, "/me", "/open", "--header", "X-Api-Key: hunter2")
    found = routes(text)
    assert "hunter2" not in text
    assert "Without X-Api-Key it is refused (Bearer)" in found["/me"][0] and "#user_from = header:X-Api-Key" in found["/me"][1]
    assert "Without X-Api-Key the response is the same" in found["/open"][0]


# ---- the file ----

def test_a_file_that_is_there_is_kept(api, tmp_path):
    file = tmp_path / "proxy.ini"
    file.write_text("mine")
    status, _, stderr = run("init", api.url, "-o", file)
    assert status == 1 and "is there already; --force" in stderr and file.read_text() == "mine"
    assert not api.requests, "it is looked at before the API is asked"
    assert run("init", api.url, "-o", file, "--force")[0] == 0
    assert "[upstream]" in file.read_text() and os.listdir(tmp_path) == ["proxy.ini"]
    other = tmp_path / "other.ini"
    status, stdout, stderr = run("init", api.url, "--output", other)
    assert (status, stdout) == (0, "") and f"memoproxy -t -c {other}" in stderr
    assert run("init", api.url, "-o", tmp_path / "no" / "x")[0] == 1


@pytest.mark.parametrize("args, told", [
    ([], "the API's URL is missing"),
    (["ftp://x"], "not a URL"),
    (["http://x", "--forse"], "no option is called --forse; is it --force?"),
    (["http://x", "-o"], "a value is missing after -o"),
    (["http://127.0.0.1:1", "--header", "nothing"], "--header takes 'NAME: VALUE'"),
    (["http://127.0.0.1:1", "--header", "A: b\r\nC: d"], "--header takes 'NAME: VALUE'"),
    (["http://127.0.0.1:1"], "http://127.0.0.1:1 does not answer: "),
    (["http://127.0.0.1:1", "/a"], "http://127.0.0.1:1 does not answer: "),
    (["http://127.0.0.1:1", "/a b"], "this is no path"),
])
def test_an_order_that_can_not_be_done_is_one_sentence(args, told):
    status, stdout, stderr = run("init", *args)
    assert status == (1 if "does not answer" in told else 2), stderr
    assert stdout == "" and told in stderr and len(stderr.splitlines()) == 1, stderr


def test_what_an_api_sends_to_harm_is_only_read(api, tmp_path):
    """Comments stay comments, and documents that are deep, wide or broken are passed over."""
    api.on("/", reply({"a": "/a\n[proxy]", "b": "/b?x=${HOME}", "c": "/" + "c" * 3000, "d": "/d/{}/{x}/{x}", "e": "/e*"}))
    for path in ("/b?x=${HOME}", "/e*"):
        api.on(path, reply({}, {"ETag": '"\x01"', "Cache-Control": "max-age=1\tx"}))
    api.on("/openapi.json", Reply(fields={"Content-Type": "application/json"}, body=b"[" * 100000))
    api.on("/openapi.yaml", Reply(fields={"Content-Type": "text/yaml"}, body=b"a: &a [x]\nb: &b [*a, *a]\n" + b"- " * 50000))
    api.on("/sitemap.xml", Reply(fields={"Content-Type": "text/xml"}, body=b'<!DOCTYPE x [<!ENTITY a "aa">]><loc>&a;</loc'))
    text = init(api.url)
    assert "\n[proxy]\n" in text and text.count("[proxy]") == 1
    serves(tmp_path, text, "/e*")


@pytest.mark.parametrize("reply, told", [
    ({"Cache-Control": "no-cache"}, "2 routes, none of which is answered from the cache as the file stands"),
    ({}, "2 routes, 2 of them answered from the cache as the file stands"),
    ({"Cache-Control": "max-age=60"}, "2 routes, 2 of them answered from the cache as the file stands"),
])
def test_it_says_whether_anything_will_be_answered_from_the_cache(api, tmp_path, reply, told):
    for path in ("/one", "/two"):
        api.on(path, lambda r: [Reply(200, reply, b"x")])
    status, _, stderr = run("init", api.url, "/one", "/two", "-o", tmp_path / "proxy.ini")
    assert status == 0 and stderr == f"memoproxy: init: 4 calls, {told}" + (
        ": its comments say what each needs" if "none" in told else "") + f"; now: memoproxy -t -c {tmp_path}/proxy.ini\n"


# ---- -t --connect ----

def test_connect_says_which_origin_does_not_answer(api, tmp_path):
    file = tmp_path / "proxy.ini"
    file.write_text(f"[upstream]\nurl = {api.url}\n[upstream b]\nurl = http://127.0.0.1:1 http://nowhere.invalid\n"
                    "[route b]\nmatch = /b\nupstream = b\n")
    assert run("-t", "--strict", "-c", file)[0] == 0 and not api.requests
    status, stdout, stderr = run("-t", "--connect", "-c", file)
    well, first, second = stderr.splitlines()
    assert re.fullmatch(rf"{re.escape(str(file))}:2: url: {api.url} answers: 404 in \d+ ms", well)
    assert (status, stdout) == (0, f"{file}: no errors, 2 warnings\n")
    assert re.match(rf"{re.escape(str(file))}:4: warning: url: http://127\.0\.0\.1:1 does not answer: ", first)
    assert re.match(rf"{re.escape(str(file))}:4: warning: url: http://nowhere\.invalid does not answer: ", second)
    assert run("-t", "--connect", "--strict", "-c", file)[0] == 3
    assert api.requests[0].path == "/"
    status, stdout, stderr = run("-t", "--connect", "--strict", "--to", api.url)
    assert (status, stdout) == (0, "memoproxy: the configuration is fine\n") and f"url: {api.url} answers: 404 in " in stderr
    assert run("--connect", "--to", api.url)[0] == 2
