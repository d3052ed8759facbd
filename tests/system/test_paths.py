# SPDX-License-Identifier: MIT
"""Paths that an origin may read as another route's: they pass uncached, as they came."""
import pytest

from support.origin import Reply

CONFIG = {"route account": {"match": "/account/*", "cache": "off"}, "route style": {"match": "*.css", "ttl": "60s"},
          "route user": {"match": "/u/{id}", "cache": "off"}, "route static": {"match": "/static/*", "ttl": "60s"},
          "route rest": {"match": "*", "ttl": "60s"}}


@pytest.mark.parametrize("target", [
    "//account/me", "/x/../account/me", "/./account/me", "/x/..%2faccount/me", "/static/..%2Faccount/me", "/static/%2e%2e/account/me",
    "/static/..;/account/me", "/account;v=1/me", "/account%2fme", "/static/..%5caccount/me", "/static/%252e%252e/account/me",
    "/account/../static/me", "/static/../x",
    "/./account//../me", "/./account/..;/me", "/u/;/../7", "//u/a%2fb", "/u/;/7", "/account%2f%2e%2e/..;/me", "/./account/x\\..\\..\\me",
    "/static/a/../b", "/static/.", "/static/%2e/b", "/u%2fa%252fb", "/static;a%2fb/c",
    "/u/7%3fx.css", "/u/7%00.css", "/u/7%0a.css", "/u/7%0D.css", "/u/7%23.css"])
def test_what_may_be_another_routes_passes_uncached_as_it_came(proxy, origin, target):
    origin.on(target, [Reply(200, body=b"one's own")])
    before = proxy.stats()["requests"]["ambiguous_paths"]
    for _ in range(2):
        assert proxy.fetch(target).body == b"one's own"
    assert [r.target for r in origin.seen(target)] == [target] * 2
    assert proxy.stats()["requests"]["ambiguous_paths"] == before + 2
    explained = proxy.explain(target)
    assert not explained["cacheable"]


@pytest.mark.parametrize("target", ["/static//a", "/static/a%2fb", "/static/a;v=1", "/%73tatic/a", "/.well-known/x",
                                    "/static/a%3fb", "/static/a%252fb", "/static/..a"])
def test_what_is_of_one_route_either_way_is_cached(proxy, origin, target):
    origin.on(target, [Reply(200, body=b"for all")])
    for _ in range(2):
        assert proxy.fetch(target).body == b"for all"
    assert origin.count(target) == 1


def test_a_path_that_leaves_the_upstreams_base_passes_uncached(start_proxy, origin):
    proxy = start_proxy({"upstream": {"url": origin.url + "/base"}, **CONFIG})
    for target in ["/../base/account/me", "/%2e%2e/base/account/me"]:
        origin.on("/base" + target, [Reply(200, body=b"one's own")])
        for _ in range(2):
            assert not proxy.fetch(target).is_hit
        assert origin.count("/base" + target) == 2


def test_a_long_path_that_is_not_plain_is_not_read_many_times(proxy, origin):
    target = "/static//" + "a" * 3000
    origin.on(target, [Reply(200, body=b"long")])
    assert [proxy.fetch(target).is_hit for _ in range(2)] == [False, False]
    plain = "/static/" + "a" * 3000
    origin.on(plain, [Reply(200, body=b"long")])
    assert [proxy.fetch(plain).is_hit for _ in range(2)] == [False, True]


def test_explain_says_why(proxy):
    assert proxy.explain("//account/me")["why_not"] == "an origin may read this path as one of another route"
