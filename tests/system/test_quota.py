# SPDX-License-Identifier: MIT
"""The quota guard: Retry-After and RateLimit of the upstream are obeyed, what is stored stands in."""
import pytest

from support.origin import Origin, Reply
from support.proxy import eventually

pytestmark = pytest.mark.tiers

GUARD = {"upstream": {"quota_guard": "on"}}
SHORT = {"Cache-Control": "max-age=1", "ETag": '"1"'}


@pytest.fixture
def api():
    with Origin() as o:
        yield o


def quota(proxy):
    return proxy.stats()["upstreams"]["default"]["quota"]


def make_stale(proxy, path):
    proxy.purge(url=path, soft=True)


@pytest.mark.parametrize("status", [429, 503])
def test_after_retry_after_no_call_is_made(start_proxy, api, status):
    proxy = start_proxy(GUARD, upstream=api.url)
    api.on("/limit", [Reply(status, {"Retry-After": "100"}, b"slow down")])
    api.on("/x", [Reply(200, {"Cache-Control": "max-age=60"}, b"x")])
    assert proxy.fetch("/x").status == 200
    r = proxy.fetch("/limit")
    assert (r.status, r.get("Retry-After"), r.body) == (status, "100", b"slow down")
    asked = len(api.requests)
    for target, method in (("/limit", "GET"), ("/new", "GET"), ("/new", "POST")):
        r = proxy.fetch(target, method=method)
        assert r.status == 503 and 90 <= int(r.get("Retry-After")) <= 100
    assert proxy.fetch("/x").is_hit  # what is fresh does not care
    assert len(api.requests) == asked
    assert quota(proxy)["pause_s"] > 90 and proxy.stats()["upstreams"]["default"]["rate_limited"] == 1


def test_stale_responses_stand_in_during_a_pause(start_proxy, api):
    proxy = start_proxy(GUARD, upstream=api.url)
    api.on("/old", [Reply(200, SHORT, b"old")])
    api.on("/limit", [Reply(429, {"Retry-After": "100"})])
    assert proxy.fetch("/old").body == b"old"
    make_stale(proxy, "/old")
    proxy.fetch("/limit")
    for fields in ({}, {"Cache-Control": "no-cache"}):
        r = proxy.fetch("/old", fields)
        assert (r.status, r.body) == (200, b"old")
    assert api.count("/old") == 1


def test_must_revalidate_is_not_served_stale_even_then(start_proxy, api):
    proxy = start_proxy(GUARD, upstream=api.url)
    api.on("/old", [Reply(200, {"Cache-Control": "max-age=60, must-revalidate", "ETag": '"1"'}, b"old")])
    api.on("/limit", [Reply(429, {"Retry-After": "100"})])
    proxy.fetch("/old")
    make_stale(proxy, "/old")
    proxy.fetch("/limit")
    assert proxy.fetch("/old").status == 503


def test_the_pause_ends(start_proxy, api):
    proxy = start_proxy(GUARD, upstream=api.url)
    api.on("/x", [Reply(429, {"Retry-After": "1"})], [Reply(200, {"Cache-Control": "max-age=60"}, b"well")])
    assert proxy.fetch("/x").status == 429
    assert proxy.fetch("/x").status == 503
    eventually(lambda: proxy.fetch("/x").body == b"well", "the pause is over")
    assert api.count("/x") == 2


LOW = [
    {"RateLimit-Policy": '"d";q=100;w=60', "RateLimit": '"d";r=5;t=100'},
    {"RateLimit-Limit": "100", "RateLimit-Remaining": "5", "RateLimit-Reset": "100"},
    {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "100"},
]


@pytest.mark.parametrize("low", LOW, ids=["draft", "earlier draft", "de facto"])
def test_with_a_low_budget_only_true_misses_are_fetched(start_proxy, api, low):
    proxy = start_proxy({**GUARD, "defaults": {"stale_while_revalidate": "1h"}}, upstream=api.url)
    api.on("/old", [Reply(200, SHORT, b"old")])
    api.on("/low", [Reply(200, low, b"low")])
    api.on("/new", [Reply(200, {**SHORT, **low}, b"new")])
    proxy.fetch("/old")
    make_stale(proxy, "/old")
    proxy.fetch("/low")
    assert quota(proxy)["spared"] and quota(proxy)["remaining"] == 5 and quota(proxy)["limit"] == 100
    for _ in range(5):
        assert proxy.fetch("/old").body == b"old"
    assert api.count("/old") == 1
    assert proxy.fetch("/new").body == b"new"
    lifetime = proxy.fetch("/new").cache_status["ttl"]
    assert 2 <= int(lifetime) <= 4  # one second, stretched four times


def test_a_better_response_ends_the_thrift(start_proxy, api):
    proxy = start_proxy(GUARD, upstream=api.url)
    api.on("/low", [Reply(200, LOW[2], b"low")], [Reply(200, {**LOW[2], "X-RateLimit-Remaining": "95"}, b"high")])
    proxy.fetch("/low")
    assert quota(proxy)["spared"]
    proxy.fetch("/low")
    assert not quota(proxy)["spared"]


@pytest.mark.parametrize("value", ["-5", "1e9", "soon", "", "5, 6", "0x20"])
def test_a_malformed_retry_after_is_no_pause(start_proxy, api, value):
    proxy = start_proxy(GUARD, upstream=api.url)
    api.on("/x", [Reply(429, {"Retry-After": value})], [Reply(200, body=b"well")])
    assert proxy.fetch("/x").status == 429
    assert proxy.fetch("/x").body == b"well"


def test_a_pause_is_an_hour_at_most(start_proxy, api):
    proxy = start_proxy(GUARD, upstream=api.url)
    api.on("/x", [Reply(429, {"Retry-After": "999999999999"})])
    proxy.fetch("/x")
    assert 3590 <= int(proxy.fetch("/x").get("Retry-After")) <= 3600


def test_without_the_guard_nothing_of_it_happens(start_proxy, api):
    proxy = start_proxy(upstream=api.url)
    api.on("/x", [Reply(429, {"Retry-After": "100", **LOW[2]})], [Reply(200, body=b"well")])
    assert proxy.fetch("/x").status == 429
    assert proxy.fetch("/x").body == b"well"
    assert "quota" not in proxy.stats()["upstreams"]["default"]


def test_a_pause_survives_a_reload(start_proxy, api):
    proxy = start_proxy(GUARD, upstream=api.url)
    api.on("/x", [Reply(429, {"Retry-After": "100"})])
    proxy.fetch("/x")
    proxy.write_config({"upstream": {"quota_guard": "on", "url": api.url, "retries": 3}})
    proxy.admin_json("POST", "/reload")
    asked = len(api.requests)
    r = proxy.fetch("/y")
    assert r.status == 503 and int(r.get("Retry-After")) > 80
    assert len(api.requests) == asked
