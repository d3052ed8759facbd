# SPDX-License-Identifier: MIT
"""Whoever bears a credential gets what was made for him, and what he gets is nobody else's unless the origin says so."""
import urllib.parse

import pytest

from support.herd import Herd
from support.origin import Reply, Send, Wait, head
from support.proxy import eventually
from support.rawclient import build

CC = "Cache-Control"
CONFIG = {
    "proxy": {"workers": 2},
    "upstream": {"max_connections": 1000, "retries": 0},
    "cache": {"max_object": "1M"},
    "route force": {"match": "/force/*", "ttl_force": "60s"},
    "route min": {"match": "/min/*", "ttl_min": "60s"},
    "route errors": {"match": "/errors/*", "ttl_404": "60s"},
    "route keyed": {"match": "/keyed/*", "ttl": "60s", "key_headers": "X-API-Key, Authorization", "key_cookies": "sid"},
    "route harmless": {"match": "/harmless/*", "ttl": "60s", "shared_credentials": "X-API-Key, theme*"},
    "route named": {"match": "/named/*", "ttl": "60s", "credentials": "X-Tenant"},
    "route user": {"match": "/user/*", "ttl": "60s", "scope": "user", "user_from": "cookie:sid"},
    "route cookies": {"match": "/cookies/*", "set_cookie": "store"},
    "route swr": {"match": "/swr/*", "ttl": "1s", "stale_while_revalidate": "60s", "stale_if_error": "60s"},
    "route ahead": {"match": "/ahead/*", "ttl": "60s", "refresh_ahead": "59900ms", "refresh_ahead_hits": "1"},
    "route parts": {"match": "/parts/*", "ttl": "60s", "range_fill": "pass"},
    "route all": {"match": "*", "ttl": "60s"},
}
NAMES = ["Cookie", "X-API-Key", "Api-Key", "X-Auth-Token", "X-Access-Token", "X-Amz-Security-Token", "X-CSRF-Token",
         "x-api-key", "Authorization"]


@pytest.fixture
def proxy(either_path):
    return either_path


def place(origin, where, fields=None, status=200):
    """An origin that tells its users apart: it names whom it saw."""
    def script(request):
        names = [n for n in NAMES + ["X-Tenant"] if request.has(n)]
        body = " ".join(f"{n}={request.get(n)}" for n in dict.fromkeys(n.lower() for n in names)) or "nobody"
        return [Reply(status, fields or {}, body)]
    return origin.on(where + origin.fresh(), script)


def bearer(name, who):
    return {name: f"sid={who}" if name == "Cookie" else who}


def body_of(name, who):
    return f"{name.lower()}={bearer(name, who)[name]}".encode()


# ---- not by the route's word ----

@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["", "/force", "/swr"])
def test_what_one_credential_brought_is_nobody_elses(proxy, origin, name, where):
    path = place(origin, where)
    for who in ("a", "b", "a"):
        r = proxy.fetch(path, bearer(name, who))
        assert r.body == body_of(name, who) and not r.is_hit
        assert not r.cache_status.get("stored"), r.fields
    r = proxy.fetch(path)
    assert (r.body, r.is_hit) == (b"nobody", False)
    assert origin.count(path) == 4


@pytest.mark.parametrize("where, fields, status", [
    ("/min", {CC: "max-age=0", "ETag": '"a"'}, 200), ("/errors", {}, 404), ("/force", {CC: "no-cache"}, 200),
    ("", {"Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}, 200), ("", {"ETag": '"a"'}, 200), ("", {CC: "must-revalidate"}, 200),
])
def test_no_other_word_of_the_route_stores_it_either(proxy, origin, where, fields, status):
    path = place(origin, where, fields, status)
    for who in ("a", "b"):
        r = proxy.fetch(path, bearer("Cookie", who))
        assert (r.body, r.is_hit) == (body_of("Cookie", who), False)
    assert not any(proxy.admin_json("GET", f"/entries?prefix={path}")["entries"])


@pytest.mark.parametrize("where", ["", "/force", "/min"])
def test_what_was_stored_by_the_routes_word_is_for_those_without_credentials(proxy, origin, where):
    """A page as visitors see it must not be shown to who has logged in."""
    path = place(origin, where, {CC: "max-age=0"} if where else {})
    assert proxy.fetch(path).body == proxy.fetch(path).body == b"nobody"
    assert proxy.fetch(path).is_hit
    r = proxy.fetch(path, bearer("Cookie", "a"))
    assert (r.body, r.is_hit) == (b"cookie=sid=a", False)
    assert r.cache_status["fwd"] == "request", r.fields
    assert proxy.fetch(path, {**bearer("Cookie", "a"), CC: "only-if-cached"}).status == 504
    r = proxy.fetch(path)
    assert (r.body, r.is_hit) == (b"nobody", True), "what visitors have stays"
    assert origin.count(path) == 2


# ---- by the origin's word ----

@pytest.mark.parametrize("fields", [{CC: "max-age=60"}, {CC: "s-maxage=60"}, {CC: "public"}, {"CDN-Cache-Control": "max-age=60"}])
@pytest.mark.parametrize("first, second", [("a", "b"), ("a", None), (None, "a")])
def test_what_the_origin_declares_is_for_all(proxy, origin, fields, first, second):
    path = place(origin, "", fields)
    ask = [bearer("X-API-Key", who) if who else {} for who in (first, second)]
    stored = proxy.fetch(path, ask[0])
    r = proxy.fetch(path, ask[1])
    assert (r.body, r.is_hit) == (stored.body, True), (stored.fields, r.fields)


@pytest.mark.parametrize("cc, stored", [("max-age=60", False), ("max-age=60, public", True), ("max-age=60, must-revalidate", True),
                                        ("s-maxage=60", True)])
def test_authorization_wants_what_rfc_9111_says(proxy, origin, cc, stored):
    path = place(origin, "", {CC: cc})
    proxy.fetch(path, bearer("Authorization", "a"))
    assert proxy.fetch(path, bearer("Authorization", "b")).is_hit == stored


def test_the_routes_word_does_not_lengthen_the_origins(proxy, origin):
    path = place(origin, "/force", {CC: "max-age=5"})
    r = proxy.fetch(path, bearer("Cookie", "a"))
    assert r.cache_status["stored"] and r.cache_status["ttl"] <= 5
    r = proxy.fetch(path)
    assert r.is_hit and r.cache_status["ttl"] <= 5


# ---- keys and what does not matter ----

def test_what_is_in_the_key_is_stored_for_each(proxy, origin):
    for name in ("Cookie", "X-API-Key", "Authorization"):
        path = place(origin, "/keyed")
        for who in ("a", "b"):
            assert not proxy.fetch(path, bearer(name, who)).is_hit
        for who in ("a", "b"):
            r = proxy.fetch(path, bearer(name, who))
            assert (r.body, r.is_hit) == (body_of(name, who), True)
    path = place(origin, "/keyed")
    for _ in range(2):
        assert not proxy.fetch(path, {"Cookie": "sid=a; other=b"}).is_hit, "one of them is not in the key"


def test_what_is_known_not_to_matter_is_shared(proxy, origin):
    path = place(origin, "/harmless")
    proxy.fetch(path, {"X-API-Key": "a", "Cookie": "theme=dark; theme2=x"})
    assert proxy.fetch(path, {"X-API-Key": "b"}).is_hit
    assert not proxy.fetch(path, {"Cookie": "_ga=1"}).is_hit, "the route's list stands in for the default one"
    assert not proxy.fetch(path, {"Authorization": "b"}).is_hit


def test_cookies_of_analytics_do_not_matter(proxy, origin):
    path = place(origin, "")
    proxy.fetch(path)
    for cookies in ("_ga=GA1.2.3.4; _ga_ABC=GS1.1; _gid=GA1.2", "_fbp=fb.1.2; _gcl_au=1.1; _hjSession_1=x", "__utma=1;_pk_id.1.2=3"):
        assert proxy.fetch(path, {"Cookie": cookies}).is_hit, cookies
        assert not proxy.fetch(path, {"Cookie": cookies + "; sid=a"}).is_hit
        assert not proxy.fetch(path, [("Cookie", cookies), ("Cookie", "sid=a")]).is_hit


def test_the_route_says_what_a_credential_is(proxy, origin):
    path = place(origin, "/named")
    proxy.fetch(path, {"X-API-Key": "a"})
    assert proxy.fetch(path, {"X-API-Key": "b"}).is_hit
    for name in ("X-Tenant", "Cookie", "Authorization"):
        assert not proxy.fetch(path, bearer(name, "a")).is_hit, name


def test_a_users_own_responses_are_stored_by_the_route_and_others_count(proxy, origin):
    path = place(origin, "/user")
    for who in ("a", "b"):
        assert not proxy.fetch(path, bearer("Cookie", who)).is_hit
        r = proxy.fetch(path, bearer("Cookie", who))
        assert (r.body, r.is_hit) == (body_of("Cookie", who), True)
        for more in ({"Cookie": f"sid={who}; role=x"}, {"Cookie": f"sid={who}", "X-API-Key": "x"}):
            for _ in range(2):
                assert not proxy.fetch(path, more).is_hit
    path = place(origin, "/user", {CC: "private, max-age=60"})
    for _ in range(2):
        assert not proxy.fetch(path, {"Cookie": "sid=a; role=x"}).is_hit, "private to sid=a and role=x"
    assert [proxy.fetch(path, {"Cookie": "sid=a"}).is_hit for _ in range(2)] == [False, True]
    for other in ({"Cookie": "sid=a; role=y"}, {"Cookie": "sid=a", "Authorization": "Bearer x"}):
        assert not proxy.fetch(path, other).is_hit
    assert not proxy.fetch(path, {"Cookie": "sid=b"}).is_hit


def test_what_other_rules_let_in_is_not_found_after_a_reload(start_proxy, origin):
    lax, strict = ({"route all": {"match": "*", "ttl": "60s", **keys}} for keys in ({"shared_credentials": "sid"}, {}))
    proxy = start_proxy(lax)
    path = place(origin, "/reload")
    assert [proxy.fetch(path, {"Cookie": "sid=a"}).is_hit for _ in range(2)] == [False, True]
    proxy.write_config(strict)
    assert proxy.admin("POST", "/reload").status == 200
    assert proxy.fetch(path).body == b"nobody"


def test_a_pattern_of_cookies_is_not_all_cookies(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s", "shared_credentials": "cookie*"}})
    path = place(origin, "/pattern")
    for who in ("a", "b"):
        assert proxy.fetch(path, bearer("Cookie", who)).body == body_of("Cookie", who)
    assert [proxy.fetch(path, {"Cookie": "cookieconsent=1"}).is_hit for _ in range(2)] == [False, True]


def test_twins_of_credentials_do_not_pass_where_responses_may_be_stored(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s", "underscore_headers": "pass"}})
    path = place(origin, "/twin")
    proxy.fetch(path, {"X_Auth_Token": "secret", "Api_Key": "secret", "X_Kind": "1"})
    seen = origin.last(path)
    assert not seen.has("X_Auth_Token") and not seen.has("Api_Key") and seen.has("X_Kind")


# ---- coalescing ----

def herd(proxy, n, path, fields):
    return Herd(proxy.port, n, build(target=path, fields=fields)).connect().send()


@pytest.mark.parametrize("fields", [{}, {CC: "max-age=60"}])
@pytest.mark.parametrize("leader, follower", [("a", "b"), ("a", None), (None, "a")])
def test_nobody_waits_for_another_credentials_fetch(proxy, origin, fields, leader, follower):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, fields, b"first")], [Reply(200, fields, b"second")])
    with proxy.client() as first:
        first.start(target=path, fields=bearer("Cookie", leader) if leader else {})
        origin.wait_for(path)
        r = proxy.fetch(path, bearer("Cookie", follower) if follower else {})
        assert r.body == b"second", "it waited"
        gate.open()
        # What was declared meanwhile is for all, and whoever still waits may have it.
        assert first.response().body in ((b"first", b"second") if fields else (b"first",))


@pytest.mark.parametrize("fields", [{}, {CC: "max-age=60"}])
def test_nobody_gets_bytes_of_another_credentials_fetch(proxy, origin, fields):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {**fields, "Content-Length": 10}) + b"first"), Wait(gate), Send(b"-----")],
                     [Reply(200, fields, b"second")])
    with proxy.client() as first:
        first.start(target=path, fields=bearer("Cookie", "a"))
        assert first.response_head().status == 200
        assert proxy.fetch(path, bearer("Cookie", "b")).body == b"second"
        gate.open()


def test_a_herd_without_credentials_is_one_fetch_beside_them(proxy, origin):
    gate = origin.gate()
    seen = []

    def script(request):
        seen.append(request.get("Cookie"))
        return [Wait(gate), Reply(body=request.get("Cookie") or "nobody")]
    path = origin.on(origin.fresh(), script)
    with herd(proxy, 20, path, {}) as visitors, herd(proxy, 5, path, {"Cookie": "sid=a"}) as users:
        eventually(lambda: origin.count(path) == 6, "each credential asks, the others wait for one")
        eventually(lambda: proxy.stats()["cache"]["waiters"] >= 20, "the others wait")
        gate.open()
        visitors.run().check(200, b"nobody")
        users.run().check(200, b"sid=a")
    assert sorted(seen, key=str) == [None] + ["sid=a"] * 5


def test_what_becomes_of_a_credentials_request_marks_nothing_for_others(proxy, origin):
    """An error or a private response of one must not make the others fetch each for himself, or be refused."""
    path = origin.on(origin.fresh(), lambda r: [Reply(500, {CC: "private"}, b"no")] if r.has("Cookie") else [Wait(gate), Reply(body=b"ok")])
    gate = origin.gate()
    assert proxy.fetch(path, {"Cookie": "sid=a"}).status == 500
    with herd(proxy, 10, path, {}) as visitors:
        origin.wait_for(path, 2)
        eventually(lambda: proxy.stats()["cache"]["waiters"] >= 10, "all wait for one")
        gate.open()
        visitors.run().check(200, b"ok")
    assert origin.count(path) == 2


# ---- what is stored already ----

def test_validation_and_background_fetches_keep_to_it(proxy, origin):
    """A visitor's stale page is neither shown to a user, nor validated or replaced by what he was given."""
    path = origin.on("/swr" + origin.fresh(), lambda r: [Reply(304 if r.has("If-None-Match") else 200, {"ETag": '"v"'},
                                                               r.get("Cookie") or "nobody")])
    assert proxy.fetch(path).body == b"nobody"
    eventually(lambda: proxy.fetch(path).cache_status.get("ttl", 1) < 0, "it is stale")
    r = proxy.fetch(path, {"Cookie": "sid=a"})
    assert (r.status, r.body, r.is_hit) == (200, b"sid=a", False)
    assert not origin.last(path).has("If-None-Match") or origin.last(path).get("Cookie") is None
    for _ in range(3):
        assert proxy.fetch(path).body == b"nobody"


def test_a_visitors_stale_page_does_not_stand_in_for_a_users_error(proxy, origin):
    down = []
    path = origin.on("/swr" + origin.fresh(), lambda r: [Reply(503 if down else 200, {}, b"page")])
    assert proxy.fetch(path).status == 200
    down.append(True)
    assert proxy.fetch(path, {"Cookie": "sid=a"}).status == 503
    assert proxy.fetch(path).status == 200


def test_a_declared_page_is_validated_with_a_credential_and_stays_for_all(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(304 if r.has("If-None-Match") else 200, {"ETag": '"v"', CC: "max-age=60"}, b"page")])
    proxy.fetch(path)
    proxy.purge(url=path, soft=True)
    r = proxy.fetch(path, {"Cookie": "sid=a"})
    assert (r.status, r.body, r.cache_status["fwd-status"]) == (200, b"page", 304)
    assert proxy.fetch(path).is_hit and proxy.fetch(path, {"Cookie": "sid=b"}).is_hit


CARRIERS = [("Cookie", "max-age=60"), ("X-API-Key", "public, max-age=60"), ("Authorization", "public, max-age=60")]


@pytest.mark.parametrize("name, cc", CARRIERS)
@pytest.mark.parametrize("where", ["", "/cookies", "/user"])
def test_a_304_to_a_credential_says_nothing_about_its_bearer_to_others(proxy, origin, name, cc, where):
    def script(request):
        mine = {"X-Account": "alice", "Content-Location": "/alice", "Set-Cookie": "who=alice",
                "Date": "Mon, 02 Jan 2040 00:00:00 GMT"}
        return [Reply(304, {"ETag": '"v"', **mine})] if request.has("If-None-Match") else [
            Reply(200, {"ETag": '"v"', CC: cc, "X-Account": "nobody"}, b"page")]
    path = origin.on(where + origin.fresh(), script)
    identity = {"Cookie": "sid=u"} if where == "/user" else {}
    proxy.fetch(path, identity)
    proxy.purge(url=path, soft=True)
    r = proxy.fetch(path, {**identity, name: "; ".join([*identity.values(), "who=alice"]) if name == "Cookie" else "alice"})
    assert (r.body, r.cache_status["fwd-status"]) == (b"page", 304)
    assert r.get("Set-Cookie") == "who=alice", "that is for who asked"
    r = proxy.fetch(path, identity)
    assert (r.is_hit, r.body, r.get("X-Account")) == (True, b"page", "nobody")
    assert not r.has("Content-Location") and not r.has("Set-Cookie")
    assert r.get("Date") == "Mon, 02 Jan 2040 00:00:00 GMT", "it was confirmed then"


@pytest.mark.parametrize("cc", ["public, max-age=60", "s-maxage=60"])
def test_a_304_to_a_credential_that_is_meant_for_all_is_taken_whole(proxy, origin, cc):
    path = origin.on(origin.fresh(), lambda r: [Reply(304, {"ETag": '"v"', CC: cc, "X-Note": "new"})] if r.has("If-None-Match")
                     else [Reply(200, {"ETag": '"v"', CC: "public, max-age=60", "X-Note": "old"}, b"page")])
    proxy.fetch(path)
    proxy.purge(url=path, soft=True)
    proxy.fetch(path, {"Authorization": "Bearer a"})
    r = proxy.fetch(path)
    assert (r.is_hit, r.get("X-Note")) == (True, "new")


def test_the_rest_of_what_is_stored_says_nothing_about_its_bearer_either(proxy, origin):
    """A 206 for a credential completes a stored part: the fields of both are put together."""
    def script(request):
        if request.get("Range") == "bytes=0-3":
            return [Reply(206, {"ETag": '"v"', CC: "max-age=60", "X-Account": "nobody", "Content-Range": "bytes 0-3/8"}, b"0123")]
        assert request.get("Range") == "bytes=4-", request.raw_head
        return [Reply(206, {"ETag": '"v"', "X-Account": request.get("Cookie"), "Content-Range": "bytes 4-7/8"}, b"4567")]
    path = origin.on("/parts" + origin.fresh(), script)
    assert proxy.fetch(path, {"Range": "bytes=0-3"}).status == 206
    assert proxy.fetch(path, {"Cookie": "sid=alice"}).body == b"01234567"
    r = proxy.fetch(path)
    assert (r.body, r.is_hit, r.get("X-Account")) == (b"01234567", True, "nobody")


def test_a_304_that_withdraws_the_word_ends_it(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(304, {"ETag": '"v"', CC: "no-cache"})] if r.has("If-None-Match")
                     else [Reply(200, {"ETag": '"v"', CC: "max-age=60"}, r.get("Cookie") or "nobody")])
    proxy.fetch(path)
    proxy.purge(url=path, soft=True)
    assert proxy.fetch(path, {"Cookie": "sid=a"}).body == b"nobody", "the origin confirmed it"
    r = proxy.fetch(path, {"Cookie": "sid=b"})
    assert (r.body, r.is_hit) == (b"sid=b", False)


def test_a_head_with_a_credential_says_nothing_about_what_is_stored(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(200, {"ETag": '"u"' if r.has("Cookie") else '"v"'}, b"page")])
    proxy.fetch(path)
    assert proxy.fetch(path, {"Cookie": "sid=a"}, "HEAD").get("ETag") == '"u"'
    r = proxy.fetch(path)
    assert r.is_hit and r.get("ETag") == '"v"'


def test_a_refresh_ahead_is_not_led_by_a_credential(proxy, origin):
    path = origin.on("/ahead" + origin.fresh(), lambda r: [Reply(body=r.get("Cookie") or "nobody")])
    proxy.fetch(path)
    for _ in range(3):
        assert proxy.fetch(path, {"Cookie": "sid=a"}).body == b"sid=a"
        assert proxy.fetch(path).body == b"nobody"
    assert all(proxy.fetch(path).body == b"nobody" for _ in range(5))


def test_parts_keep_to_it(proxy, origin):
    """A range that one was given is not kept for others, and is not made of what visitors were given."""
    def script(request):
        body = (request.get("Cookie") or "nobody").encode().ljust(20, b".")
        if not request.has("Range"):
            return [Reply(200, {"ETag": '"v"'}, body)]
        return [Reply(206, {"ETag": '"v"', "Content-Range": "bytes 0-9/20"}, body[:10])]
    path = origin.on(origin.fresh(), script)
    part = {"Range": "bytes=0-9"}
    for fields, begins in (({"Cookie": "sid=a"}, b"sid=a"), ({"Cookie": "sid=b"}, b"sid=b"), ({}, b"nobody"),
                           ({"Cookie": "sid=a"}, b"sid=a"), ({}, b"nobody")):
        r = proxy.fetch(path, {**fields, **part})
        assert (r.status, r.body[:6].strip(b".")) == (206, begins[:6]), (fields, r.fields)
    assert proxy.fetch(path).body.startswith(b"nobody")


# ---- what is said of it ----

@pytest.mark.parametrize("fields, words", [
    ({"Cookie": "_ga=1; s3cret"}, ["Cookie: see key_cookies"]), ({"Cookie": "s3cret"}, ["Cookie: see key_cookies"]),
    ({"Cookie": "_ga=1; sid=s3cret"}, ["Cookie sid", "key_cookies", "shared_credentials"]),
    ({"X-API-Key": "s3cret"}, ["X-API-Key", "key_headers", "shared_credentials"]),
    ({"Authorization": "Basic s3cret"}, ["Authorization", "key_headers", "user_from"]),
    ({"Cookie": 'a"b=s3cret'}, ["Cookie:"]),
])
def test_cache_status_and_explain_name_the_field_and_the_key(proxy, origin, fields, words):
    path = place(origin, "")
    detail = proxy.fetch(path, fields).cache_status["detail"]
    lines = "\n".join(f"{k}: {v}" for k, v in fields.items())
    explained = proxy.admin_json("GET", "/explain?" + urllib.parse.urlencode({"url": path, "headers": lines}, quote_via=urllib.parse.quote))
    assert explained["credential"] == detail
    for word in words:
        assert word in detail
    assert "s3cret" not in detail and len(detail) < 192


def test_explain_without_a_credential(proxy, origin):
    path = place(origin, "")
    proxy.fetch(path)
    explained = proxy.explain(path)
    assert "credential" not in explained
    assert "credentials" not in explained["rules"] and "shared_credentials" not in explained["rules"], "the default is not told"
    assert [e["for_all"] for e in explained["memory"]] == [False]
    assert proxy.admin("GET", f"/explain?url={path}&headers=none").status == 400


# ---- both tiers ----

@pytest.mark.parametrize("road", ["on", "off"])
def test_the_disk_tier_keeps_to_it_over_a_restart(start_proxy, origin, tmp_path, road):
    p = start_proxy({"disk": {"path": str(tmp_path / "disk"), "size": "64M"}, "cache": {"fast_path": road},
                     "route all": {"match": "*", "ttl": "60s"}})
    by_route, declared = place(origin, ""), place(origin, "", {CC: "max-age=60"})
    large = origin.on(origin.fresh(), lambda r: [Reply(body=(r.get("Cookie") or "nobody").encode() * 1500000)])
    for path in (by_route, declared, large):
        p.fetch(path)
    eventually(lambda: p.stats()["disk"]["objects"] >= 3, "all are on disk")
    p.restart_from_disk()
    for _ in range(2):
        for path, body in ((by_route, b"cookie=sid=a"), (large, b"sid=a" * 1500000)):
            r = p.fetch(path, {"Cookie": "sid=a"})
            assert (r.body, r.is_hit) == (body, False)
        assert p.fetch(declared, {"Cookie": "sid=a"}).is_hit
    for path in (by_route, declared, large):
        assert p.fetch(path).is_hit
