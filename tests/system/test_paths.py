# SPDX-License-Identifier: MIT
"""Paths that an origin may read as another route's: they pass uncached, as they came."""
import itertools
import random
import re

import pytest

from support.origin import Reply
from support.path_readers import STEPS, readings

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


# ---- Whatever a server makes of a path ----

# Each has rules of its own; as a server that has decoded the path writes it.
ROUTES = [("account", "/account/*", {"cache": "off"}, "/account/.*"), ("style", "*.css", {"ttl": "60s"}, r".*\.css"),
          ("user", "/u/{id}", {"cache": "off"}, "/u/[^/]+"), ("own", "/users/@me", {"cache": "off"}, "/users/@me"),
          ("blank", "/my%20own/*", {"cache": "off"}, "/my own/.*"), ("static", "/static/*", {"ttl": "70s"}, "/static/.*"),
          ("rest", "*", {"ttl": "80s"}, ".*")]
SLASHES = ["/", "//", "///", "%2f", "%2F", "%2f%2f", "/%2f", "%2f/", "//%2f%2f", "%252f", "%25252f", "\\", "/\\", "%5c", "%5C%5c", "%255c",
           "%c0%af", "%e0%80%af", "%25c0%25af", "%u002f", ";/", ";a=1/", ";a/b;/", "%3b/", "%3bx%2f", "%253b/", "/;/", "/./", "/%2e/",
           "/%252e/", "/x/../", "/x/%2e%2e/", "/x/.%2E/", "/x/%252e%252e/", "/x/..;/", "/x/..%3b/", "/x%2f..%2f", "/x/..%5c",
           "/x\\..\\", "/x/%c0%ae%c0%ae/", "/x/..%00/", "/x/..%3f/"]
FIRSTS = ["account", "%61ccount", "accoun%74", "%2561ccount", "u", "%75", "users", "my%20own", "my%2520own", "static", "%73tatic", "x"]
SECONDS = ["me", "@me", "%40me", "%2540me", "7", "7%3bv%2fw", "7;v=1", "a%2fb", "caf%C3%A9", "a:b,c"]
ENDS = ["", "", "", "/", "%2f", ";x", ";x.css", "%3bx.css", "%00", "%00.css", "%2500.css", "%0a.css", "%0D.css", "%3f.css", "%253f.css",
        "%23.css", ".css", "%2ecss", "%20", "%"]


def route_of(path):
    """Escapes of what needs none make no difference to anybody (RFC 3986 6.2.2.2)."""
    path = STEPS["decode but what is reserved"](path)
    return next(name for name, _, _, pattern in ROUTES if re.fullmatch(pattern, path, re.DOTALL))


def made_up(n):
    """All slashes with all words in turn, and as many more by chance, always the same."""
    chance = random.Random(9)
    for first, word in itertools.product(SLASHES, FIRSTS):
        yield first + word + "/" + SECONDS[0]
    for slash, word in itertools.product(SLASHES, FIRSTS):
        yield "/" + word + slash + SECONDS[0]
    for word, second, end in itertools.product(FIRSTS[:8], SECONDS, ENDS):
        yield f"/{word}/{second}{end}"
    for _ in range(n):
        yield "".join(chance.choice(of) for of in (SLASHES, FIRSTS, SLASHES, SECONDS, ENDS))


def test_nothing_is_stored_under_rules_that_a_server_may_not_have_meant(start_proxy, origin):
    proxy = start_proxy({f"route {name}": {"match": match, **rules} for name, match, rules, _ in ROUTES})
    origin.on("*", [Reply(200, body=b"x")])
    stored, wrong = 0, []
    with proxy.client() as c:
        for path in dict.fromkeys(p if p.startswith("/") else "/" + p for p in made_up(500)):
            if not (c.request(target=path) and c.request(target=path).is_hit):
                continue
            stored += 1
            routes = {}
            for reading, steps in readings(path, 4).items():
                if reading.startswith("/"):
                    routes.setdefault(route_of(reading), f"{reading!r} by {', '.join(steps) or 'itself'}")
            if len(routes) > 1:
                wrong.append(f"{path}: {routes}")
    assert not wrong, "\n".join(wrong[:20])
    assert stored > 200, "what all servers read alike is cached"
