# SPDX-License-Identifier: MIT
"""Each recipe of docs/use, and the first minutes of README, do what they say: their files are written, their commands run, and what they print is compared."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from support.jsonserver import JsonServer
from support.nginx import Nginx
from support.origin import Origin, Reply
from support.pages import section
from support.proxy import ROOT, binary
from support.recipe import Recipe
from support.rawclient import fetch

from conftest import need_binary

PAGE, MIGRATING = "docs/use/recipes.md", "docs/use/migrating.md"
JSON = [("Content-Type", "application/json")]


@pytest.fixture
def follow(tmp_path):
    need_binary()
    tmp_path.chmod(0o755)  # a server's worker may be another user
    opened = []

    def start(heading, ports=None, page=PAGE, before=lambda recipe: None):
        recipe = Recipe(page, heading, tmp_path, ports)
        opened.append(recipe)
        before(recipe)
        return recipe.follow()
    yield start
    for recipe in opened:
        recipe.__exit__()


@pytest.fixture
def api():
    """What the reader's own API may be."""
    with Origin() as o:
        users = {1: {"id": 1, "name": "ada"}}

        def change(request):
            users[1].update(json.loads(request.body))
            return [Reply(200, JSON, json.dumps(users[1]))]
        o.on("/users/1", lambda r: [Reply(200, JSON, json.dumps(users[1]))])
        o.on("/users/1", change, method="PATCH")
        o.on("/users", lambda r: [Reply(200, JSON, json.dumps(list(users.values())))])
        o.on("/orders/1", Reply(200, JSON, "{}"))
        o.on("/nothing", Reply(404))
        o.on("/healthz", Reply(204))
        o.on("/graphql", lambda r: [Reply(200, JSON, '{"data": {"user": {"name": "ada"}}}')])
        o.on("/articles/7", Reply(200, [("Cache-Tag", "article-7, front-page")], "seven"))

        def me(request):
            who = (request.get("Authorization") or "").removeprefix("Bearer ")
            return [Reply(200, [*JSON, ("Cache-Control", "private")], f'{{"name":"{who}"}}\n') if who else Reply(401)]
        o.on("/me", me)
        yield o


def test_each_recipe_is_tried():
    tried = pathlib.Path(__file__).read_text()
    headings = re.findall(r"^## (.*)", (ROOT / PAGE).read_text(), re.M)
    assert len(headings) > 8 and [h for h in headings if f'"{h}"' not in tried] == []


def test_the_first_ten_seconds(follow, api):
    follow("In front of your API, in ten seconds", {3000: api.port}, "README.md")


def test_the_first_five_minutes(follow, tmp_path):
    """The demonstration is at ports of the test's own, by its own file."""
    def start(recipe):
        recipe.write(tmp_path / "proxy.ini", recipe.here((ROOT / "proxy.ini").read_text()))
        recipe.run("memoproxy -c proxy.ini --demo")
    follow("The first five minutes", page="README.md", before=start)


@pytest.mark.parametrize("heading", ["A plain REST API", "GraphQL", "Each user's own", "TLS"])
def test_it_does_what_it_says(follow, api, heading):
    follow(heading, {3000: api.port})


def test_a_cms_purges(follow, api):
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    follow("Purge from a CMS", {3000: api.port})


def test_json_server(follow):
    if not JsonServer.available():
        pytest.skip("json-server is not installed: npm ci in tests/support/node")
    follow("json-server")


def test_behind_nginx(follow, api):
    if not Nginx.available():
        pytest.skip("nginx is not installed")
    recipe = follow("Behind nginx", {3000: api.port})
    fetch(recipe.port(8000), "/users", {"X-Forwarded-For": "192.0.2.7"})
    seen = api.last("/users")
    assert seen.get("X-Forwarded-For") == "192.0.2.7, 127.0.0.1, 127.0.0.1" and seen.get("X-Forwarded-Proto") == "http"


def test_several_origins(follow, api):
    """The commands are those for two origins of the same content. The second file of the recipe is for different ones."""
    with Origin() as other:
        for path in ("/users/1", "/users", "/orders/1"):
            other.on(path, Reply(200, JSON, '"the other"'))
        other.on("/healthz", Reply(204))
        recipe = follow("Several origins", {3001: api.port, 3002: other.port})
        port = recipe.port(8080)
        assert fetch(port, "/orders/1").status == 200
        api.stop_listening()
        for n in range(4):
            r = fetch(port, f"/users?{n}")
            assert (r.status, r.body) == (200, b'"the other"')


def test_different_apis(follow, api):
    with Origin() as orders:
        orders.on("/orders/1", Reply(200, JSON, '"of the orders"'))
        recipe = follow("Different APIs", {3001: api.port, 3002: orders.port})
        assert fetch(recipe.port(8080), "/orders/1").body == b'"of the orders"'
        assert fetch(recipe.port(8080), "/users/1").status == 200


def test_the_compose_file(tmp_path, follow, api):
    """There is no container engine here: it parses, and its command serves. What the Containerfile makes, `make package-test` shows."""
    recipe = follow("In a container", {3000: api.port})
    service = yaml.safe_load((tmp_path / "compose.yaml").read_text())["services"]["memoproxy"]
    assert (ROOT / service["build"]["dockerfile"]).exists()
    recipe.run("memoproxy " + " ".join(service["command"]).replace("http://api:", "http://localhost:"), "")
    assert fetch(recipe.port(8080), "/users/1").status == 200 and fetch(recipe.port(8080), "/users/1").is_hit


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_nginx_s_configuration_and_ours(follow, api):
    if not Nginx.available():
        pytest.skip("nginx is not installed")
    recipe = follow("From nginx's proxy_cache", {3000: api.port}, MIGRATING)
    for port in (recipe.port(8000), recipe.port(8080)):
        assert fetch(port, "/nothing").status == fetch(port, "/nothing").status == 404
    assert api.count("/nothing") == 2, "each of them keeps a 404"


def test_the_keys_that_others_settings_have_here():
    need_binary()
    known = set(re.findall(r"^  (\w+) = ", output(binary(), "--help-config"), re.M))
    known |= {"ttl_404", "ttl_4xx", "private", "prefix", "url", "tag", "soft", "purge", "xkey"}
    rows = re.findall(r"^\|.*\| (.*) \|$", (ROOT / MIGRATING).read_text(), re.M)
    told = [words for row in rows for words in re.findall(r"`([^`]+)`", row)]
    assert len(told) > 60
    for words in told:
        assert re.match(r"(POST|GET) /\w+$|\[route NAME\]|Cache-Status|Vary|no-cache", words) or \
            re.match(r"\w*", words)[0] in known, words


PROMQL_METRIC = re.compile(r"memoproxy_[a-z_]+")


def test_prometheus_finds_what_it_asks_for(tmp_path, follow, api):
    recipe = follow("Prometheus", {3000: api.port})
    job = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"][0]
    port = int(job["static_configs"][0]["targets"][0].rsplit(":")[1])
    token = pathlib.Path(job["authorization"]["credentials_file"]).read_text().strip()
    assert fetch(port, job["metrics_path"]).status == 401
    fetch(recipe.port(8080), "/users/1")
    told = fetch(port, job["metrics_path"], {"Authorization": f"Bearer {token}"}, host=f"localhost:{port}").body.decode()
    asked = set(PROMQL_METRIC.findall(section(PAGE, "Prometheus")))
    assert len(asked) > 3
    for name in asked:
        assert re.search(rf"^{name}[{{ ]", told, re.M), name
