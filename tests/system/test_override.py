# SPDX-License-Identifier: MIT
"""`override`: what of an origin's words ttl and ttl_force may overrule, who gets what is stored so, and who does not. The
recipes of docs/use/caching.md for frameworks that forbid caching by default."""
import threading

import pytest

from support.origin import Gate, Reply, Wait
from support.pages import blocks, sections
from support.proxy import Proxy, eventually

pytestmark = pytest.mark.tiers

CC = "Cache-Control"
EXPRESS = {CC: "no-cache", "Pragma": "no-cache", "Expires": "-1", "ETag": '"1"'}
RAILS = {CC: "max-age=0, private, must-revalidate", "ETag": 'W/"1"'}
CONFIG = {
    "route force": {"match": "/force/*", "ttl_force": "60s"},
    "route private": {"match": "/private/*", "ttl_force": "60s", "override": "private"},
    "route ttl": {"match": "/ttl/*", "ttl": "60s", "override": "private, no-store, no-cache"},
    "route tokens": {"match": "/tokens/*", "ttl": "60s", "override": "authorization"},
    "route cookies": {"match": "/cookies/*", "ttl": "60s", "override": "set-cookie"},
    "route plain": {"match": "*", "ttl": "60s"},
}


@pytest.mark.parametrize("route, fields, hits, why", [
    ("plain", EXPRESS, False, "no-cache"), ("force", EXPRESS, True, None), ("ttl", EXPRESS, True, None),
    ("plain", RAILS, False, "private"), ("force", RAILS, False, "private"), ("private", RAILS, True, None), ("ttl", RAILS, True, None),
    ("plain", {CC: "no-store"}, False, "no-store"), ("force", {CC: "no-store"}, True, None), ("ttl", {CC: "no-store"}, True, None),
    ("private", {CC: "no-store"}, False, "no-store"),
])
def test_exactly_what_is_named_is_overruled(proxy, origin, route, fields, hits, why):
    path = origin.on(f"/{route}" + origin.fresh(), [Reply(200, fields, b"x")])
    first, second = proxy.fetch(path), proxy.fetch(path)
    assert (second.is_hit, first.cache_status.get("detail")) == (hits, why)


def test_what_was_private_is_for_nobody_with_a_credential_and_theirs_for_nobody(proxy, origin):
    path = origin.on("/private" + origin.fresh(), [Reply(200, RAILS, b"visitor")], [Reply(200, RAILS, b"Ada")], [Reply(200, RAILS, b"Ben")])
    assert proxy.fetch(path).body == b"visitor"
    ada, ben = proxy.fetch(path, {"Cookie": "sid=ada"}), proxy.fetch(path, {"Authorization": "Bearer ben"})
    assert (ada.body, ben.body) == (b"Ada", b"Ben")
    assert ada.cache_status["detail"].startswith("Cookie sid: ") and ben.cache_status["detail"].startswith("Authorization: ")
    again = proxy.fetch(path)
    assert again.is_hit and again.body == b"visitor"


def test_one_tokens_response_is_for_all_tokens_where_that_is_said(proxy, origin):
    path = origin.on("/tokens" + origin.fresh(), [Reply(200, {}, b"one")])
    assert "stored" in proxy.fetch(path, {"Authorization": "Bearer one"}).cache_status
    for fields in ({"Authorization": "Bearer two"}, {}):
        assert proxy.fetch(path, fields).is_hit
    assert not proxy.fetch(path, {"Cookie": "sid=1"}).is_hit
    assert not proxy.fetch(path, {"Authorization": "Bearer two", "Cookie": "sid=1"}).is_hit


def test_a_bad_token_is_told_so_alone_and_takes_nothing_along(proxy, origin):
    gate = Gate(origin)
    path = origin.on("/tokens" + origin.fresh(), [Wait(gate), Reply(401, {}, b"bad")], [Reply(200, {}, b"good")])
    answers, before = {}, proxy.stats()["cache"]["collapsed"]

    def ask(token):
        answers[token] = proxy.fetch(path, {"Authorization": token})

    threads = [threading.Thread(target=ask, args=("bad",))]
    threads[0].start()
    eventually(lambda: origin.count(path) == 1, "the bad token's request is at the origin")
    threads.append(threading.Thread(target=ask, args=("good",)))
    threads[1].start()
    eventually(lambda: proxy.stats()["cache"]["collapsed"] > before, "the good one waits for it")
    gate.open()
    for t in threads:
        t.join()
    assert (answers["bad"].status, answers["good"].body) == (401, b"good")
    assert proxy.fetch(path, {"Authorization": "third"}).status == 200


def test_a_cookie_that_is_overruled_goes_to_who_fetched_it(proxy, origin):
    path = origin.on("/cookies" + origin.fresh(), [Reply(200, {"Set-Cookie": "a=b"}, b"x")])
    first, second = proxy.fetch(path), proxy.fetch(path)
    assert first.get("Set-Cookie") == "a=b" and "stored" in first.cache_status
    assert second.is_hit and not second.has("Set-Cookie")


def test_without_it_what_was_stored_by_it_is_not_found_any_more(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl_force": "60s", "override": "private"}})
    path = origin.on(origin.fresh(), [Reply(200, RAILS, b"x")])
    proxy.fetch(path)
    assert proxy.fetch(path).is_hit
    proxy.write_config({"route all": {"match": "*", "ttl_force": "60s"}})
    assert proxy.admin("POST", "/reload").status == 200
    r = proxy.fetch(path)
    assert not r.is_hit and r.cache_status["detail"] == "private"


# ---- The page's recipes ----

def recipes():
    return sections(blocks("docs/use/caching.md", "An API that forbids caching")[0])


def test_the_recipe_for_express_makes_a_json_server_cached(json_server):
    with Proxy(json_server.url, recipes()) as proxy:
        first, second = proxy.fetch("/posts/1"), proxy.fetch("/posts/1")
        assert first.get("Cache-Control") == "no-cache" and first.get("Expires") == "-1", "the API says what Express apps do"
        assert second.is_hit and second.body == first.body
    with Proxy(json_server.url, {"route all": {"match": "*", "ttl": "60s"}}) as proxy:
        proxy.fetch("/posts/1")
        assert not proxy.fetch("/posts/1").is_hit, "without it it is not"


def test_the_recipe_for_rails_makes_its_default_cached_for_visitors(origin):
    with Proxy(origin.url, recipes()) as proxy:
        path = origin.on("/rails" + origin.fresh(), [Reply(200, RAILS, b"x")])
        proxy.fetch(path)
        assert proxy.fetch(path).is_hit
        assert not proxy.fetch(path, {"Cookie": "_app_session=1"}).is_hit
