# SPDX-License-Identifier: MIT
"""How fast a client may ask for a route: `client_rate`."""
import json

import pytest

from support.origin import Reply
from support.rawclient import Client

ONE, OTHER = "127.0.0.1", "127.0.0.2"


def rated(start_proxy, fast_path="on", **keys):
    """So slow that no request comes back while a test runs."""
    return start_proxy({"cache": {"fast_path": fast_path},
                        "route slow": {"match": "/slow/*", "ttl": "60s", "client_rate": "3/h", **keys}, "route all": {"match": "*", "ttl": "60s"}})


def statuses(proxy, target, n, source=ONE, fields=None):
    with Client(proxy.port, source=source) as c:
        return [c.get(target, fields).status for _ in range(n)]


@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_hits_count_too_and_what_is_beyond_is_told_when_to_come_back(start_proxy, origin, fast_path):
    proxy = rated(start_proxy, fast_path)
    path = "/slow" + origin.fresh()
    origin.on(path, [Reply(body=b"x")])
    assert statuses(proxy, path, 5) == [200] * 3 + [429] * 2
    assert origin.count(path) == 1
    with Client(proxy.port) as c:
        r = c.get(path)
        assert r.get("Content-Type") == "application/problem+json" and json.loads(r.body)["status"] == 429
        assert r.get("RateLimit-Policy") == '"slow";q=3;w=3600'
        wait = int(r.get("Retry-After"))
        assert 0 < wait <= 1200 and r.get("RateLimit") == f'"slow";r=0;t={wait}'
        assert c.get(origin.on(origin.fresh(), [Reply(body=b"y")])).body == b"y", "other routes are not concerned"
    assert statuses(proxy, path, 4, source=OTHER) == [200] * 3 + [429], "nor is anybody else"
    routes = proxy.stats()["routes"]
    assert routes["slow"]["limited"] == 4 and routes["all"]["limited"] == 0
    assert 'memoproxy_route_limited_total{route="slow"} 4\n' in proxy.admin("GET", "/metrics").body.decode()


def test_what_is_refused_is_not_stored_and_not_sent_on(start_proxy, origin):
    proxy = rated(start_proxy, client_burst="1")
    first, second = ("/slow" + origin.fresh() for _ in range(2))
    for path in (first, second):
        origin.on(path, [Reply(body=b"x")])
    assert statuses(proxy, first, 1) == [200]
    assert statuses(proxy, second, 2) == [429, 429]
    assert origin.count(second) == 0
    assert statuses(proxy, second, 1, source=OTHER) == [200]


@pytest.mark.parametrize("spelling", ["/{}", "%2f{}", ";x/{}", "/./{}", "/" * 2100 + "{}"])
def test_a_path_that_an_api_may_read_as_the_routes_counts_for_it(start_proxy, origin, spelling):
    proxy = rated(start_proxy)
    target = "/slow" + spelling.format("x")
    origin.on(target, *[[Reply(body=b"x")]] * 3)
    assert statuses(proxy, target, 2) == [200] * 2
    assert statuses(proxy, "/slow/y", 2)[1] == 429, "and has left one"
    with Client(proxy.port, source=ONE) as c:
        r = c.get(target)
        assert r.status == 429 and r.get("RateLimit-Policy") == '"slow";q=3;w=3600'


def test_of_two_routes_the_slower_one_counts(start_proxy, origin):
    proxy = start_proxy({"route slow": {"match": "/slow/*", "client_rate": "1/h"}, "route all": {"match": "*", "client_rate": "1000/s"}})
    for i, target in enumerate(("/slow/x", "/slow;y/x", "/slow%2fx"), 2):
        origin.on(target, [Reply(404)], [Reply(404)])
        assert statuses(proxy, target, 2, source=f"127.0.0.{i}") == [404, 429]


@pytest.mark.parametrize("by, field", [("header:X-Key", "X-Key"), ("cookie:key", "Cookie")])
def test_a_credential_has_a_bucket_wherever_it_comes_from(start_proxy, origin, by, field):
    proxy = rated(start_proxy, client_rate_by=by)
    path = "/slow" + origin.fresh()
    origin.on(path, [Reply(200, {"Cache-Control": "public"}, b"x")])

    def bearing(value):
        return {field: f"other=1; key={value}" if field == "Cookie" else value}
    assert statuses(proxy, path, 2, fields=bearing("a")) == [200] * 2
    assert statuses(proxy, path, 2, source=OTHER, fields=bearing("a")) == [200, 429]
    assert statuses(proxy, path, 1, fields=bearing("b")) == [200]
    assert statuses(proxy, path, 4) == [200] * 3 + [429], "without it the address counts"


def test_many_at_once_count_once_each(start_proxy, origin):
    proxy = rated(start_proxy, client_burst="100")
    path = "/slow" + origin.fresh()
    origin.on(path, [Reply(body=b"x")])
    with Client(proxy.port) as c:
        c.send(f"GET {path} HTTP/1.1\r\nHost: x.example\r\n\r\n".encode() * 150)
        assert [c.response().status for _ in range(150)] == [200] * 100 + [429] * 50
