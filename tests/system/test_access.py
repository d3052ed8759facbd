# SPDX-License-Identifier: MIT
"""Who may ask for a route: `allow` and `deny`."""
import json
import pathlib
import signal
import socket

import pytest

from support.origin import Reply
from support.proxy import eventually
from support.rawclient import Client

INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"
CONFIG = {"route inner": {"match": "/inner/*", "ttl": "60s", "allow": INSIDE},
          "route most": {"match": "/most/*", "ttl": "60s", "allow": "127.0.0.0/8", "deny": OUTSIDE},
          "route all": {"match": "*", "ttl": "60s"}}


def ask(proxy, source, target, **more):
    with Client(proxy.port, source=source) as c:
        return c.get(target, **more)


def denied(proxy, route):
    return proxy.stats()["routes"][route]["denied"]


@pytest.mark.parametrize("fast_path", ["on", "off"])
@pytest.mark.parametrize("folder", ["inner", "most"])
def test_who_may_not_is_not_shown_what_is_stored(start_proxy, origin, folder, fast_path):
    proxy = start_proxy({**CONFIG, "cache": {"fast_path": fast_path}})
    path = f"/{folder}{origin.fresh()}"
    origin.on(path, [Reply(body=b"for some")])
    refused = ask(proxy, OUTSIDE, path)
    assert refused.status == 403 and refused.get("Content-Type") == "application/problem+json"
    assert json.loads(refused.body)["status"] == 403
    assert origin.count(path) == 0
    assert ask(proxy, INSIDE, path).body == b"for some"
    assert ask(proxy, INSIDE, path).is_hit
    with Client(proxy.port, source=OUTSIDE) as c:  # and the connection goes on
        assert [c.get(path).status for _ in range(3)] == [403] * 3
        assert c.get(origin.on(origin.fresh(), [Reply(body=b"for all")])).body == b"for all"
    assert denied(proxy, folder) == 4 and denied(proxy, "all") == 0
    assert f'memoproxy_route_denied_total{{route="{folder}"}} 4\n' in proxy.admin("GET", "/metrics").body.decode()


def test_explain_says_whom_the_route_keeps_out(start_proxy, origin):
    proxy = start_proxy(CONFIG)
    line = 1 + pathlib.Path(proxy.config_path).read_text().splitlines().index(f"deny = {OUTSIDE}")
    summary = proxy.admin_json("GET", "/explain?path=/most/x")["summary"]
    assert f" Clients that deny names ({proxy.config_path}:{line}) get 403. Clients that allow does not name (" in summary
    assert "403" not in proxy.admin_json("GET", "/explain?path=/x")["summary"]


def test_writes_are_refused_too(start_proxy, origin):
    proxy = start_proxy(CONFIG)
    path = "/inner" + origin.fresh()
    origin.on(path, [Reply(204)])
    with Client(proxy.port, source=OUTSIDE) as c:
        assert c.request("POST", path, body=b"x").status == 403
    assert origin.count(path) == 0
    with Client(proxy.port, source=INSIDE) as c:
        assert c.request("POST", path, body=b"x").status == 204


@pytest.mark.parametrize("target", ["//inner/x", "/inner%2fx", "/%2finner/x", "/all/../inner/x", "/all/%2e%2e/inner/x", "/;v=1/inner/x",
                                    "/all/..;/inner/x", "/inner\\x", "/inner%255cx", "/inner//x", "/%69nner/x", "/a//" + "b" * 3000])
def test_no_other_way_of_writing_the_path_leads_in(start_proxy, origin, target):
    proxy = start_proxy(CONFIG)
    origin.on(target, [Reply(body=b"in")])
    assert ask(proxy, OUTSIDE, target).status == 403
    assert origin.count(target) == 0
    assert ask(proxy, INSIDE, target).body == b"in"


@pytest.mark.parametrize("target", ["/all//x", "/all/a%2fb", "/all;v=1/x", "/u//x"])
def test_what_is_of_open_routes_in_every_reading_stays_open(start_proxy, origin, target):
    proxy = start_proxy({"route user": {"match": "/u/{id}", "cache": "off"}, **CONFIG})
    origin.on(target, [Reply(body=b"for all")])
    assert ask(proxy, OUTSIDE, target).body == b"for all"


def test_a_route_may_open_what_the_defaults_close(start_proxy, origin):
    proxy = start_proxy({"defaults": {"deny": "::/0"}, "route open": {"match": "/open/*", "deny": ""}})
    path = "/open" + origin.fresh()
    origin.on(path, [Reply(body=b"x")])
    assert ask(proxy, INSIDE, path).status == 200
    assert ask(proxy, INSIDE, origin.fresh()).status == 403


@pytest.mark.parametrize("source, status", [("192.0.2.7", 200), ("198.51.100.1", 403)])
def test_behind_the_proxy_protocol_the_address_that_it_names_counts(start_proxy, origin, source, status):
    proxy = start_proxy(config_text=(
        "[proxy]\nlisten = 127.0.0.1:{port} proxy\n[admin]\nlisten = 127.0.0.1:{admin_port}\n"
        f"[upstream]\nurl = {origin.url}\n[defaults]\nallow = 192.0.2.0/24\n"))
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as s:
        s.sendall(f"PROXY TCP4 {source} 203.0.113.1 4711 443\r\nGET {path} HTTP/1.1\r\nHost: x.example\r\n"
                  "X-Forwarded-For: 192.0.2.9\r\nConnection: close\r\n\r\n".encode())
        assert s.makefile("rb").read().startswith(f"HTTP/1.1 {status} ".encode())


def test_a_reload_changes_who_may_on_connections_that_are_open(start_proxy, origin):
    proxy = start_proxy(CONFIG)
    path = "/inner" + origin.fresh()
    origin.on(path, [Reply(body=b"x")])
    with Client(proxy.port, source=INSIDE) as c:
        c.get(path)
        assert c.get(path).is_hit
        proxy.write_config({**CONFIG, "route inner": {"match": "/inner/*", "ttl": "60s", "deny": INSIDE}})
        proxy.process.signal(signal.SIGHUP)
        eventually(lambda: c.get(path).status == 403, "it counts")
