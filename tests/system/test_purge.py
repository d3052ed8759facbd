# SPDX-License-Identifier: MIT
"""Invalidation by hand: what is gone is gone everywhere, at once, and what was under way does not bring it back."""
import pytest

from support.origin import Reply, Send, Wait, head
from support.proxy import eventually
from support.rawclient import build

pytestmark = [pytest.mark.tiers, pytest.mark.threads]

CONFIG = {
    "route q": {"match": "/sorted/*", "ttl": "600s", "query": "sort"},
    "route groups": {"match": "/groups/*", "ttl": "600s", "tag_headers": "Cache-Groups"},
    "route all": {"match": "*", "ttl": "600s", "stale_while_revalidate": "600s"},
}


class Site:
    """A folder of numbered pages at the origin; their bodies count how often they were fetched."""

    def __init__(self, proxy, origin, fields=None, where=""):
        self.proxy, self.origin = proxy, origin
        self.stem = where + origin.fresh("site")
        self.fields = fields or (lambda name: {})

    def __call__(self, name):
        return self.stem + name

    def fill(self, *names):
        for name in names:
            counted = iter(range(1, 1000))
            self.origin.on(self(name), lambda r, n=name, c=counted: [Reply(200, self.fields(n), f"{n} {next(c)}")])
            self.get(name)
            assert self.proxy.fetch(self(name)).is_hit
        return self

    def get(self, name):
        return self.proxy.fetch(self(name)).body.decode()

    def state(self, *names):
        """Which of these have been fetched anew."""
        return [n for n in names if self.get(n) != f"{n} 1"]


NAMES = ("/a", "/a/1", "/a/2", "/ab", "/a?x=1", "/b", "/b/1")


@pytest.fixture
def site(proxy, origin):
    return Site(proxy, origin).fill(*NAMES)


def test_purge_by_url_takes_that_url_only(proxy, site):
    proxy.purge(url=site("/a"))
    assert site.state(*NAMES) == ["/a"]


def test_purge_by_url_with_query(proxy, site):
    proxy.purge(url=site("/a?x=1"))
    assert site.state(*NAMES) == ["/a?x=1"]


def test_purge_by_absolute_url(proxy, origin, site):
    proxy.purge(url=origin.url + site("/b"))
    assert site.state(*NAMES) == ["/b"]


def test_purge_of_another_origin_touches_nothing(proxy, site):
    r = proxy.admin("POST", "/purge?url=http://other.example" + site("/a"))
    assert r.status in (200, 400, 404)
    assert site.state(*NAMES) == []


def test_purge_by_prefix(proxy, site):
    proxy.purge(prefix=site("/a/"))
    assert site.state(*NAMES) == ["/a/1", "/a/2"]
    proxy.purge(prefix=site("/b"))
    assert site.state("/b", "/b/1", "/ab") == ["/b", "/b/1"]


def test_purge_of_everything(proxy, site):
    proxy.purge(all=1)
    assert site.state(*NAMES) == list(NAMES)


def test_purge_takes_every_variant(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(200, {"Vary": "X-Mode"}, f"{r.get('X-Mode')} {r.at}")])
    old = [proxy.fetch(path, {"X-Mode": m}).body for m in "abc"]
    proxy.purge(url=path)
    assert not set(old) & {proxy.fetch(path, {"X-Mode": m}).body for m in "abc"}


def test_purge_uses_the_routes_query_rule(proxy, origin):
    path = origin.on("/sorted" + origin.fresh(), lambda r: [Reply(body=str(r.at))])
    old = proxy.fetch(path + "?b=2&a=1").body
    proxy.purge(url=path + "?b=2&a=1")
    assert proxy.fetch(path + "?a=1&b=2").body != old


@pytest.mark.parametrize("field, value", [
    ("Cache-Tag", "red, green-{}"), ("Cache-Tag", "x,green-{} ,y"), ("Surrogate-Key", "red green-{} blue"),
    ("cache-tag", "GREEN, green-{}"),
])
def test_purge_by_tag(proxy, origin, field, value):
    tag = origin.fresh("tag").strip("/")
    site = Site(proxy, origin, lambda name: {field: value.replace("{}", tag)} if name != "/other" else {field: "red"})
    site.fill("/1", "/2", "/other")
    proxy.purge(tag="green-" + tag)
    assert site.state("/1", "/2", "/other") == ["/1", "/2"]


def test_purge_by_cache_group(proxy, origin):
    site = Site(proxy, origin, lambda name: {"Cache-Groups": '"eurovision", "xyz"'}, "/groups").fill("/1")
    proxy.purge(tag="xyz")
    assert site.state("/1") == ["/1"]


def test_purge_by_tag_on_several_lines(proxy, origin):
    site = Site(proxy, origin, lambda name: [("Cache-Tag", "one"), ("Cache-Tag", "two-lines")]).fill("/1")
    proxy.purge(tag="two-lines")
    assert site.state("/1") == ["/1"]


def test_tags_of_a_304_count(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"1"', "Cache-Control": "no-cache", "Cache-Tag": "old-tag"}, b"x")],
                     [Reply(304, {"ETag": '"1"', "Cache-Control": "max-age=60", "Cache-Tag": "new-tag"})],
                     [Reply(body=b"y")])
    proxy.fetch(path), proxy.fetch(path)
    assert proxy.fetch(path).is_hit
    proxy.purge(tag="new-tag")
    assert proxy.fetch(path).body == b"y"


def test_soft_purge_makes_stale_and_keeps_serving(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"1"'}, b"old")], [Wait(gate), Reply(200, {"ETag": '"2"'}, b"new")])
    proxy.fetch(path)
    proxy.purge(url=path, soft=True)
    assert proxy.fetch(path).body == b"old"
    request = origin.wait_for(path, 2)[1]
    assert request.get("If-None-Match") == '"1"'
    assert proxy.fetch(path).body == b"old"
    assert origin.count(path) == 2
    gate.open()
    eventually(lambda: proxy.fetch(path).body == b"new", "the new one takes over")


def test_soft_purge_can_be_ended_by_a_304(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"1"'}, b"same")],
                     lambda r: [Reply(304 if r.has("If-None-Match") else 500, {"ETag": '"1"'})])
    proxy.fetch(path)
    proxy.purge(url=path, soft=True)
    eventually(lambda: proxy.fetch(path).body == b"same" and origin.count(path) == 2, "it is validated")
    eventually(lambda: proxy.fetch(path).cache_status.get("ttl", 0) > 0, "it is fresh again")


def test_hard_purge_serves_nothing_stale_and_sends_no_validators(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"1"'}, b"old")], [Reply(500, {}, b"broken")])
    proxy.fetch(path)
    proxy.purge(url=path)
    assert proxy.fetch(path).status == 500
    assert not origin.last(path).has("If-None-Match")


@pytest.mark.parametrize("scope", ["url", "prefix", "all"])
@pytest.mark.parametrize("when", ["before the head", "in the body"])
def test_purge_while_the_response_is_under_way_is_not_undone_by_it(proxy, origin, scope, when):
    gate = origin.gate()
    first = [Wait(gate), Reply(body=b"old" * 1000)] if when == "before the head" else [
        Send(head(200, {"Content-Length": 3000}) + b"old" * 500), Wait(gate), Send(b"old" * 500)]
    path = origin.on(origin.fresh(), first, [Reply(body=b"new")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        if when == "in the body":
            r = c.response_head()
        proxy.purge(**{"url": {"url": path}, "prefix": {"prefix": path[:-1]}, "all": {"all": 1}}[scope])
        after = proxy.client()  # asks after the purge: must not be given the old response
        after.start(target=path)
        gate.open()
        body = c.response().body if when == "before the head" else c.read_body(r).body
        assert body in (b"old" * 1000, b"new")
        assert after.response().body == b"new"
        after.close()
    for _ in range(3):
        assert proxy.fetch(path).body == b"new"


def test_purge_by_a_tag_that_only_the_response_under_way_bears(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, {"Cache-Tag": "in-flight"}, b"old")], [Reply(body=b"new")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        proxy.purge(tag="in-flight")
        gate.open()
        assert c.response().status == 200
    assert proxy.fetch(path).body == b"new"


def test_purge_while_a_304_is_under_way(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"1"', "Cache-Control": "no-cache"}, b"old")],
                     [Wait(gate), Reply(304, {"ETag": '"1"', "Cache-Control": "max-age=60"})], [Reply(body=b"new")])
    proxy.fetch(path)
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path, 2)
        proxy.purge(url=path)
        gate.open()
        c.response()
    assert proxy.fetch(path).body == b"new"


def test_ten_thousand_purges_stay_quick_and_right(proxy, site):
    with_client = proxy.admin
    for i in range(300):
        assert with_client("POST", f"/purge?url=/nothing/{i}").status == 200
    assert site.state(*NAMES) == []
    proxy.purge(url=site("/b"))
    assert site.state(*NAMES) == ["/b"]


def test_refresh_replaces_and_tells_status_and_lifetime(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"1")], [Reply(200, {"Cache-Control": "max-age=30"}, b"2")])
    assert proxy.fetch(path).body == b"1"
    answer = proxy.refresh(path)
    text = str(answer)
    assert "200" in text
    assert origin.count(path) == 2
    r = proxy.fetch(path)
    assert (r.body, r.is_hit) == (b"2", True)
    assert r.cache_status["ttl"] <= 30


def test_refresh_of_what_is_not_stored_fetches_it(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"1")])
    proxy.refresh(path)
    assert proxy.fetch(path).is_hit
    assert origin.count(path) == 1


def test_refresh_keeps_serving_the_old_response_meanwhile(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Reply(body=b"old")], [Wait(gate), Reply(body=b"new")])
    proxy.fetch(path)
    from support.rawclient import Client
    with Client(proxy.admin_port) as admin:
        admin.send(build("POST", "/refresh?url=" + path, host=f"127.0.0.1:{proxy.admin_port}"))
        origin.wait_for(path, 2)
        assert proxy.fetch(path).body == b"old"
        gate.open()
        assert admin.response().status == 200
    assert proxy.fetch(path).body == b"new"


def test_refresh_that_fails_says_so_and_keeps_the_old_response(proxy, origin):
    from support.origin import Reset
    path = origin.on(origin.fresh(), [Reply(body=b"old")], [Reset()])
    proxy.fetch(path)
    r = proxy.admin("POST", "/refresh?url=" + path)
    problem(r, 502)
    assert "stays" in r.json()["detail"] and "upstream_status" not in r.json()
    assert proxy.fetch(path).body == b"old"


@pytest.mark.parametrize("status", [500, 501, 503])
@pytest.mark.parametrize("fields", [{}, {"Cache-Control": "no-store"}])
@pytest.mark.parametrize("window", ["60s", None])
def test_refresh_that_gets_an_error_is_answered_one_way(start_proxy, origin, window, fields, status):
    """Whether or not what is stored could have stood in for it: 502, the origin's status, and what is stored stays."""
    proxy = start_proxy({"route all": {"match": "*", "ttl": "600s", "stale_if_error": window}}, upstream=origin.url)
    path = origin.on(origin.fresh(), [Reply(body=b"old")], [Reply(status, fields, b"sorry")])
    proxy.fetch(path)
    for _ in range(2):
        r = proxy.admin("POST", "/refresh?url=" + path)
        problem(r, 502)
        assert r.json()["upstream_status"] == status
        assert str(status) in r.json()["detail"] and "stays" in r.json()["detail"]
        assert proxy.fetch(path).body == b"old"


def test_refresh_that_is_not_stored_tells_what_the_origin_answered(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"old")], [Reply(403, {"Cache-Control": "no-store"})])
    proxy.fetch(path)
    answer = proxy.refresh(path)
    assert (answer["stored"], answer["reason"], answer["status"]) == (False, "no-store", 403)
    assert answer["summary"].startswith("Not cached: the origin says no-store. ttl_force would keep it")


@pytest.mark.parametrize("target, reason, words", [("/me", "identity", "identity"), ("/off", "route", "cache = off"), ("//me", "path", "another route")])
def test_refresh_of_what_is_never_stored_says_why(start_proxy, origin, target, reason, words):
    proxy = start_proxy({"route me": {"match": "/me", "ttl": "60s", "scope": "user", "user_from": "header:Authorization"},
                         "route off": {"match": "/off", "cache": "off"}, "route all": {"match": "*", "ttl": "60s"}}, upstream=origin.url)
    before = len(origin.requests)
    answer = proxy.refresh(target)
    assert (answer["stored"], answer["reason"]) == (False, reason)
    assert words in answer["detail"] and words in proxy.explain(target)["why_not"]
    assert len(origin.requests) == before


def problem(r, *statuses):
    assert r.status in statuses, (r.status, r.body)
    assert r.get("Content-Type", "").startswith("application/problem+json"), r.fields
    assert r.json()["status"] == r.status
    assert r.json()["title"]


@pytest.mark.parametrize("target", ["/purge", "/purge?", "/purge?url=", "/purge?prefix=", "/purge?tag=", "/purge?all=0",
                                    "/purge?all=", "/purge?frob=1", "/purge?url=/a&tag=b", "/purge?all=1&all=1", "/purge?url=/a&url=b", "/purge?tag=a&tag=",
                                    "/purge?url=/a&dry_run=x", "/purge?tag=a&count=2", "/purge?tag=a&count=1&count=1", "/purge?tag=a&spread=60", "/purge?tag=a&spread=25h", "/purge?tag=a&spread=86400001ms", "/purge?tag=a&spread=x",
                                    "/purge?tag=a&spread=-1s", "/purge?tag=a&spread=",
                                    "/purge?url=a", "/purge?url=ftp://x/", "/purge?url=/a&soft=x", "/purge?url=/a%0d%0a",
                                    "/purge?url=/a%00", "/purge?prefix=/a*", "/purge?prefix=/a%2a", "/purge?url=/a%zz", "/refresh", "/refresh?url=", "/refresh?url=a",
                                    "/refresh?tag=x"])
def test_bad_parameters_are_problems(proxy, target):
    problem(proxy.admin("POST", target), 400, 404)


def test_a_star_at_the_end_of_a_prefix_is_refused_with_what_to_write(proxy, site):
    """As a prefix is literal it would purge nothing, and be answered 200."""
    r = proxy.admin("POST", "/purge?prefix=/users*")
    problem(r, 400)
    assert r.json()["detail"] == "a prefix has no * at its end: /users"
    assert proxy.admin("POST", "/purge?prefix=/us*ers").status == 200, "elsewhere it is a byte like others"


@pytest.mark.parametrize("method, target, status", [
    ("GET", "/purge?all=1", 405), ("PUT", "/purge?all=1", 405), ("GET", "/refresh?url=/a", 405), ("POST", "/stats", 405),
    ("DELETE", "/entries", 405), ("GET", "/nothing", 404), ("POST", "/", 404), ("GET", "/purge/x", 404),
])
def test_wrong_methods_and_places_are_problems(proxy, method, target, status):
    r = proxy.admin(method, target)
    problem(r, status)
    if status == 405:
        assert r.has("Allow")


# ---- spellings, and what was probably meant ----

@pytest.mark.parametrize("scope", ["url", "prefix"])
def test_a_plus_in_what_is_purged_is_taken_both_ways(proxy, origin, scope):
    """By hand it is a plus, from what encodes forms a blank: neither reading may leave stored what should be gone."""
    site = Site(proxy, origin).fill("/a+b", "/a%20b", "/ab", "/a")
    answer = proxy.admin_json("POST", f"/purge?{scope}={site('/a+b')}")
    assert (answer[scope], answer["also"]) == (origin.url + site("/a+b"), origin.url + site("/a%20b"))
    assert site.state("/a+b", "/a%20b", "/ab", "/a") == ["/a+b", "/a%20b"]


@pytest.mark.parametrize("scope", ["url", "prefix"])
@pytest.mark.parametrize("written, meant", [("/a%2Bb", "/a+b"), ("/a%20b", "/a%20b")])
def test_an_encoded_plus_or_blank_is_no_other(proxy, origin, scope, written, meant):
    site = Site(proxy, origin).fill("/a+b", "/a%20b")
    answer = proxy.admin_json("POST", f"/purge?{scope}={site(written)}")
    assert answer[scope] == origin.url + site(meant) and "also" not in answer
    assert site.state("/a+b", "/a%20b") == [meant]


@pytest.mark.parametrize("written, gone", [("Bearer+abc", "Bearer abc"), ("Bearer%20a+b%3D", "Bearer a+b="), ("Bearer+a%2Bb%3D", "Bearer a+b=")])
@pytest.mark.parametrize("in_body", [False, True])
def test_an_identity_is_purged_as_forms_and_people_write_it(start_proxy, origin, written, gone, in_body):
    proxy = start_proxy({"route me": {"match": "*", "ttl": "60s", "scope": "user", "user_from": "header:Authorization"}}, upstream=origin.url)
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.get("Authorization"))])
    users = ["Bearer abc", "Bearer a+b=", "Bearer a"]
    for who in users * 2:
        proxy.fetch(path, {"Authorization": who})
    if in_body:
        answer = proxy.admin("POST", "/purge", {"Content-Type": "application/x-www-form-urlencoded"}, f"user={written}".encode()).json()
    else:
        answer = proxy.admin_json("POST", f"/purge?user={written}")
    assert answer["purged"] == "user" and "Bearer" not in str(answer)
    assert [who for who in users if not proxy.fetch(path, {"Authorization": who}).is_hit] == [gone]


def test_a_user_is_purged_once_for_each_place_that_names_come_from(start_proxy, origin):
    """Not once a route: each would wait for the disk, and take a number."""
    places = ["header:Authorization", "header:authorization", "cookie:sid", "header:X-User"]
    routes = {f"route r{i}": {"match": f"/{i}/*", "ttl": "60s", "scope": "user", "user_from": places[i % 4]} for i in range(40)}
    proxy = start_proxy({**routes, "route rest": {"match": "*"}}, upstream=origin.url)
    before = proxy.stats()["cache"]["purges"]
    first = proxy.admin_json("POST", "/purge?user=ann")["sequence"]
    assert proxy.stats()["cache"]["purges"] == before + 3
    assert proxy.admin_json("POST", "/purge?user=ann")["sequence"] == first + 3


def test_a_tag_with_a_plus_is_taken_both_ways(proxy, origin):
    site = Site(proxy, origin, lambda name: {"Cache-Tag": {"/1": "a+b", "/2": "a b", "/3": "ab"}[name]}).fill("/1", "/2", "/3")
    answer = proxy.admin_json("POST", "/purge?tag=a+b")
    assert {answer["tag"], answer["also"]} == {"a+b", "a b"}
    assert "/1" in site.state("/1", "/3") and site.state("/3") == []



@pytest.mark.parametrize("asked", ["/caf%C3%A9", "/caf%c3%a9"])
@pytest.mark.parametrize("purged", ["/caf%C3%A9", "/caf%c3%a9", "/caf\u00e9"])
@pytest.mark.parametrize("scope", ["url", "prefix"])
def test_the_case_of_escapes_does_not_matter(proxy, origin, asked, purged, scope):
    site = Site(proxy, origin).fill(asked, "/cafe")
    proxy.purge(**{scope: site(purged)})
    assert site.state(asked, "/cafe") == [asked]


def test_a_purge_takes_both_spellings(proxy, origin):
    site = Site(proxy, origin).fill("/a%2fb", "/a%2Fb", "/A%2Fb", "/abcdef")
    proxy.purge(url=site("/a%2fb"))
    assert site.state("/a%2fb", "/a%2Fb", "/A%2Fb", "/abcdef") == ["/a%2fb", "/a%2Fb"]


def test_a_write_takes_both_spellings(proxy, origin):
    site = Site(proxy, origin).fill("/%c3%a9", "/%C3%A9")
    origin.on(site("/%c3%A9"), [Reply(204)], method="PUT")
    proxy.fetch(site("/%c3%A9"), method="PUT", body=b"x")
    assert site.state("/%c3%a9", "/%C3%A9") == ["/%c3%a9", "/%C3%A9"]


# One resource by RFC 3986 6.2.2, and what is another one.
SPELLINGS, OTHERS = ("/users/joe~1", "/users/%6aoe%7E1", "/%75sers/%6Ao%65~%31"), ("/users/%256aoe~1", "/users/jo%2fe~1", "/users/jo")


@pytest.mark.parametrize("purged", [*SPELLINGS, "/users/./joe~1", "/x/%2e%2E/users/joe~1"])
@pytest.mark.parametrize("scope", ["url", "prefix"])
def test_an_escape_and_its_character_are_purged_as_one(proxy, origin, purged, scope):
    site = Site(proxy, origin).fill(*SPELLINGS, *OTHERS)
    proxy.purge(**{scope: site(purged)})
    assert site.state(*SPELLINGS, *OTHERS) == list(SPELLINGS)


def test_a_prefix_that_ends_within_an_escape_is_taken_as_it_is(proxy, origin):
    site = Site(proxy, origin).fill("/%6a", "/j", "/%7a")
    proxy.purge(prefix=site("/%6"))
    assert site.state("/%6a", "/j", "/%7a") == ["/%6a"]


def test_an_escape_and_its_character_are_kept_apart(proxy, origin):
    """An origin may tell them apart: then one must not be given for the other."""
    site = Site(proxy, origin).fill("/joe", "/%6aoe")
    assert (site.get("/joe"), site.get("/%6aoe")) == ("/joe 1", "/%6aoe 1")


@pytest.mark.parametrize("written", [*SPELLINGS, "/users/./joe~1", "/x/%2e%2E/users/joe~1", "//users/joe~1",
                                     pytest.param("/." * 9000 + "/users/joe~1", id="longer than any URL that is stored")])
def test_a_write_takes_a_url_however_it_is_spelled(proxy, origin, written):
    """But for doubled slashes, which are no others by RFC 3986."""
    site = Site(proxy, origin).fill(*SPELLINGS, *OTHERS)
    origin.on(site(written), [Reply(204)], method="DELETE")
    proxy.fetch(site(written), method="DELETE")
    assert site.state(*SPELLINGS, *OTHERS) == ([] if "//" in written else list(SPELLINGS))


@pytest.mark.parametrize("kind", ["url", "prefix", "tag"])
def test_what_is_longer_than_anything_stored_is_the_callers_mistake(start_proxy, origin, kind):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s"}}, upstream=origin.url)
    r = proxy.admin("POST", "/purge", body=f"{kind}=/{'a' * 17000}".encode())
    assert r.status == 400 and "too long" in r.json()["detail"]
    assert proxy.stats()["cache"]["purges"] == 0


@pytest.mark.parametrize("said, asked", [("/caf\u00e9", "/caf%C3%A9"), ("/a b", "/a%20b")])
def test_a_location_that_is_no_url_is_read_as_browsers_read_it(start_proxy, origin, said, asked):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s"}}, upstream=origin.url)
    stem = origin.fresh()
    path = origin.on(stem + asked, [Reply(200, {}, b"x")])
    proxy.fetch(path)
    write = origin.on(origin.fresh(), [Send(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nLocation: " + (stem + said).encode() + b"\r\n\r\n")], method="POST")
    assert proxy.fetch(path).is_hit and proxy.fetch(write, method="POST").status == 201
    assert not proxy.fetch(path).is_hit


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize("named", ["/users/%6aoe~1", "/x/%2e%2e/users/joe~1"])
def test_a_location_takes_a_url_however_it_is_spelled(proxy, origin, field, named):
    site = Site(proxy, origin).fill(*SPELLINGS, *OTHERS)
    origin.on(site("/users"), [Reply(201, {field: site(named)})], method="POST")
    proxy.fetch(site("/users"), method="POST", body=b"x")
    assert site.state(*SPELLINGS, *OTHERS) == list(SPELLINGS)


@pytest.mark.parametrize("template", ["/of/{id}", "/of/{id}*"])
@pytest.mark.parametrize("written", ["joe", "%6aoe"])
def test_what_a_routes_pattern_names_is_taken_however_it_is_spelled(start_proxy, origin, template, written):
    proxy = start_proxy({"route writes": {"match": "/w/{id}", "invalidates": template}, "route all": {"match": "*", "ttl": "60s"}})
    kept = ["/of/joe", "/of/jo%65", "/%6ff/joe"]
    for path in [*kept, "/of/jo"]:
        origin.on(path, lambda r: [Reply(body=b"1")])
        proxy.fetch(path)
        assert proxy.fetch(path).is_hit
    origin.on("/w/" + written, [Reply(204)], method="PUT")
    proxy.fetch("/w/" + written, method="PUT", body=b"x")
    assert [path for path in [*kept, "/of/jo"] if not proxy.fetch(path).is_hit] == kept


@pytest.mark.parametrize("scope", ["url", "prefix"])
@pytest.mark.parametrize("spell", [lambda url: url.replace("http", "HTTP"), lambda url: url.replace("localhost", "LocalHost")])
def test_scheme_and_host_are_in_any_case(start_proxy, origin, spell, scope):
    proxy = start_proxy(CONFIG, upstream=f"http://localhost:{origin.port}/base")
    site = Site(proxy, origin)
    origin.on("/base" + site("/a"), lambda r: [Reply(body=b"1")])
    assert not proxy.fetch(site("/a")).is_hit and proxy.fetch(site("/a")).is_hit
    proxy.purge(**{scope: spell(proxy.upstream) + site("/a")})
    assert not proxy.fetch(site("/a")).is_hit


def test_a_default_port_in_an_upstreams_url_says_nothing(start_proxy):
    """Nothing answers there; what was asked for is seen in what a purge says."""
    proxy = start_proxy(CONFIG, upstream="http://127.0.0.1:80/base")
    for url in ("http://127.0.0.1/base/x", "http://127.0.0.1:80/base/x", "/x"):
        for scope in ("url", "prefix"):
            assert proxy.purge(**{scope: url})[scope] == "http://127.0.0.1/base/x"


@pytest.mark.parametrize("location", ["http://test.example{}", "https://test.example{}", "//test.example{}", "http://TEST.example:80{}",
                                      "{}", "http://127.0.0.1:{port}{}"])
@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize("status", [201, 303])
def test_a_location_on_the_clients_host_is_made_stale(proxy, origin, location, field, status):
    site = Site(proxy, origin).fill("/new")
    origin.on(site("/list"), [Reply(status, {field: location.format(site("/new"), port=origin.port)})], method="POST")
    proxy.fetch(site("/list"), method="POST", body=b"x")
    assert site.state("/new") == ["/new"]


@pytest.mark.parametrize("location", ["http://other.example{}", "http://test.example.evil{}", "http://test.example:81{}", "ftp://test.example{}",
                                      "http://test.example@evil{}"])
def test_a_location_elsewhere_is_left_alone(proxy, origin, location):
    site = Site(proxy, origin).fill("/new")
    origin.on(site("/list"), [Reply(201, {"Location": location.format(site("/new"))})], method="POST")
    proxy.fetch(site("/list"), method="POST", body=b"x")
    assert site.state("/new") == []


def test_a_location_goes_by_the_query_rule_of_its_route(proxy, origin):
    stem = "/sorted" + origin.fresh("/s")
    origin.on(stem, lambda r: [Reply(body=b"1")], method="GET")
    origin.on(stem, [Reply(201, {"Location": stem + "?b=2&a=1"})], method="POST")
    assert not proxy.fetch(stem + "?a=1&b=2").is_hit and proxy.fetch(stem + "?b=2&a=1").is_hit
    proxy.fetch(stem, method="POST", body=b"x")
    assert not proxy.fetch(stem + "?a=1&b=2").is_hit


def test_a_host_that_the_client_chose_does_not_reach_another_upstream(start_proxy, origin):
    """What POSTs to one upstream say must not make another's responses stale."""
    proxy = start_proxy({"upstream other": {"url": origin.url}, "route b": {"match": "*", "host": "b.example", "ttl": "60s", "upstream": "other"},
                         "route a": {"match": "*", "ttl": "60s"}}, upstream=f"http://localhost:{origin.port}")
    path, write = origin.on(origin.fresh(), lambda r: [Reply(body=b"1")]), origin.fresh()
    origin.on(write, [Reply(201, {"Location": "http://b.example" + path})])
    proxy.fetch(path, host="b.example")
    proxy.fetch(write, method="POST", body=b"x", host="a.example")
    assert proxy.fetch(path, host="b.example").is_hit


def test_a_path_that_another_upstream_serves_is_left_alone(start_proxy, origin):
    """It is the client's host, and what the reference means there is another upstream's."""
    proxy = start_proxy({"upstream other": {"url": origin.url}, "route b": {"match": "/b/*", "ttl": "60s", "upstream": "other"},
                         "route a": {"match": "*", "ttl": "60s"}}, upstream=f"http://localhost:{origin.port}")
    path, write = origin.on("/b" + origin.fresh(), lambda r: [Reply(body=b"1")]), origin.fresh()
    origin.on(write, [Reply(201, {"Location": path})])
    proxy.fetch(path)
    proxy.fetch(write, method="POST", body=b"x")
    assert proxy.fetch(path).is_hit


@pytest.mark.parametrize("status, wide", [(200, True), (204, True), (302, False), (303, False), (307, False), (403, False)])
def test_only_a_success_triggers_a_routes_patterns(start_proxy, origin, status, wide):
    proxy = start_proxy({"route items": {"match": "/items/{id}", "ttl": "60s", "invalidates": "/items*"}, "route all": {"match": "*", "ttl": "60s"}})
    for path in ("/items/1", "/items/2"):
        origin.on(path, lambda r: [Reply(body=b"1")], method="GET")
        proxy.fetch(path)
    origin.on("/items/1", [Reply(status, {"Location": "/login"} if 300 <= status < 400 else None)], method="DELETE")
    proxy.fetch("/items/1", method="DELETE")
    assert proxy.fetch("/items/2").is_hit != wide
    assert proxy.fetch("/items/1").is_hit == (status >= 400)


@pytest.mark.parametrize("rule, named", [("sort", "?b=1&a=2"), ("drop:utm", "?id=1&utm=2"), ("only:id", "?id=1&z=1"), ("ignore", "?x=1")])
def test_what_a_routes_pattern_names_goes_by_the_query_rule_that_keeps_it(start_proxy, origin, rule, named):
    proxy = start_proxy({"route writes": {"match": "/w/*", "invalidates": "/kept" + named}, "route kept": {"match": "/kept*", "query": rule, "ttl": "60s"},
                         "route all": {"match": "*"}})
    origin.on("/kept", lambda r: [Reply(body=b"1")])
    origin.on("/w/1", [Reply(204)], method="PUT")
    proxy.fetch("/kept" + named)
    assert proxy.fetch("/kept" + named).is_hit
    proxy.fetch("/w/1", method="PUT", body=b"x")
    assert not proxy.fetch("/kept" + named).is_hit


def test_a_purge_takes_what_routes_of_other_hosts_keep_by_rules_of_their_own(start_proxy, origin):
    """The path alone says no host, nor does the origin's URL."""
    proxy = start_proxy({"route a": {"host": "a.example", "match": "/x*", "query": "sort", "ttl": "60s"},
                         "route b": {"host": "b.example", "match": "/x*", "query": "drop:utm", "ttl": "60s"}, "route all": {"match": "*", "ttl": "60s"}})
    origin.on("/x", lambda r: [Reply(body=b"1")])
    target, hosts = "/x?utm=2&a=1", ("a.example", "b.example", "c.example")
    for named in (target, origin.url + target):
        for host in hosts:
            proxy.fetch(target, host=host)
            assert proxy.fetch(target, host=host).is_hit
        proxy.purge(url=named)
        assert not any(proxy.fetch(target, host=host).is_hit for host in hosts)


def test_wrong_ways_of_asking_are_told_what_was_meant(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "upstream other": {"url": "https://api.example/v1"}})
    def why(target):
        r = proxy.admin("POST", target)
        problem(r, 400)
        return r.json()["detail"]
    assert "parameter b" in why("/purge?url=/x?a=1&b=2") and "%26" in why("/refresh?url=/x?a=1&b=2")
    for host in (f"127.0.0.1:{proxy.port}", f"localhost:{proxy.port}", f"LOCALHOST:{proxy.port}"):
        said = why(f"/purge?url=http://{host}/x")
        assert "own address" in said and origin.url in said
    said = why("/purge?prefix=http://elsewhere.example/x")
    assert "no upstream" in said and origin.url in said and "https://api.example/v1" in said
    assert "no upstream" in why("/purge?url=http://api.example/v1/x"), "another scheme is another origin"


def test_a_path_alone_says_too_little_where_the_clients_host_goes_on(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "upstream": {"host_header": "client"}})
    site = Site(proxy, origin).fill("/a")
    r = proxy.admin("POST", f"/purge?url={site('/a')}")
    problem(r, 400)
    assert "Host" in r.json()["detail"]
    proxy.purge(url="HTTP://TEST.example" + site("/a"))
    assert site.state("/a") == ["/a"]


def test_a_response_to_a_write_is_not_kept_where_others_purged_meanwhile(proxy, origin):
    gate = origin.gate()
    path = origin.fresh()
    fields = {"Cache-Control": "max-age=60", "Content-Location": path}
    origin.on(path, [Wait(gate), Reply(200, fields, b"posted")], [Reply(200, fields, b"posted again")], method="POST")
    origin.on(path, [Reply(body=b"got")], method="GET")
    with proxy.client() as c:
        c.start(method="POST", target=path, body=b"x")
        origin.wait_for(path)
        proxy.purge(url=path)
        gate.open()
        assert c.response("POST").body == b"posted"
    assert proxy.fetch(path).body == b"got"
    proxy.fetch(path, method="POST", body=b"x")
    assert proxy.fetch(path).body == b"posted again", "its own purge does not count against it"


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
def test_a_site_does_not_empty_another_sites_cache(start_proxy, origin, field):
    proxy = start_proxy({"upstream": {"host_header": "client"}, "route all": {"match": "*", "ttl": "60s"}})
    path, write = origin.on(origin.fresh(), lambda r: [Reply(body=r.get("Host"))]), origin.fresh()
    origin.on(write, [Reply(201, {field: "http://b.example" + path})])
    for host in ("a.example", "b.example"):
        proxy.fetch(path, host=host)
    proxy.fetch(write, method="POST", body=b"x", host="a.example")
    assert proxy.fetch(path, host="b.example").is_hit
    proxy.fetch(write, method="POST", body=b"x", host="b.example")
    assert not proxy.fetch(path, host="b.example").is_hit and proxy.fetch(path, host="a.example").is_hit


def test_soft_is_1_or_0_and_hard_without_it(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"old")], [Reply(500)])
    proxy.fetch(path)
    assert proxy.admin("POST", f"/purge?url={path}&soft=2").status == 400
    assert proxy.fetch(path).is_hit
    r = proxy.admin_json("POST", f"/purge?url={path}&soft=0")
    assert r["soft"] is False and proxy.fetch(path).status == 500


def test_all_is_1_or_nothing_is_purged(proxy, site):
    for value in ("0", "", "yes"):
        assert proxy.admin("POST", f"/purge?all={value}").status == 400
    assert site.state(*NAMES) == []


def test_a_sequence_grows_with_each_purge(proxy, site):
    numbers = [proxy.purge(url=site("/a"))["sequence"], proxy.purge(tag="no-such")["sequence"], proxy.purge(all=1)["sequence"]]
    assert numbers == sorted(set(numbers))


def test_an_error_to_a_write_makes_nothing_stale(proxy, origin):
    site = Site(proxy, origin).fill("/item", "/other")
    for status in (400, 404, 500):
        origin.on(site("/item"), [Reply(status, {"Location": site("/other"), "Cache-Group-Invalidation": '"g"'})], method="DELETE")
        proxy.fetch(site("/item"), method="DELETE")
    assert site.state("/item", "/other") == []


# ---- What a purge says that it met ----

def test_a_purge_says_how_many_stored_responses_it_met(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s"}}, upstream=origin.url)
    stem = origin.fresh()
    for name in "abc":
        proxy.fetch(origin.on(f"{stem}/{name}", [Reply(200, {"Cache-Tag": "t-" + ("ab" if name in "ab" else "c")}, b"x")]))
    met = [proxy.purge(**what, count=1)["memory"] for what in ({"url": stem + "/a"}, {"url": stem + "/a"}, {"tag": "t-ab"}, {"prefix": stem}, {"all": 1})]
    assert met == [{"met": n, "count": "exact"} for n in (1, 0, 1, 1, 0)], "each is met once"


def test_a_soft_purge_meets_what_a_hard_one_meets_again(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s"}}, upstream=origin.url)
    path = origin.on(origin.fresh(), [Reply(200, {}, b"x")])
    proxy.fetch(path)
    assert [proxy.purge(soft=soft, url=path, count=1)["memory"]["met"] for soft in (True, True, False)] == [1, 0, 1]


def test_a_purge_of_what_was_never_seen_says_so(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s"}}, upstream=origin.url)
    proxy.fetch(origin.on(origin.fresh() + "/users", [Reply(200, {}, b"x")]))
    for what in ({"url": "/user"}, {"url": "/users?page=1"}):
        answer = proxy.purge(**what, count=1)
        assert answer["memory"] == {"met": 0, "count": "exact"} and "/entries" in answer["note"]


@pytest.mark.parametrize("what, note", [
    ({"url": "/users/*"}, "a * in a URL is itself; prefix= names"), ({"tag": "a,b"}, "that is one tag"), ({"tag": "a b"}, "that is one tag"),
    ({"tag": "nobody"}, "nothing that is stored has the tag"), ({"all": 1}, "nothing is stored"), ({"prefix": "/x"}, "/entries lists"),
])
def test_what_is_perhaps_not_meant_is_told(start_proxy, origin, what, note):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s"}}, upstream=origin.url)
    said = proxy.purge(**what, count=1)
    if "disk" in proxy.stats() and "url" not in what and "one tag" not in note:
        assert "note" not in said, "the disk tier is not looked through"
    else:
        assert note in said["note"]
    assert ("note" in proxy.purge(**what)) == ("*" in str(what) or "one tag" in note), "what needs no counting"


def test_where_much_is_stored_a_sample_is_looked_at_and_a_url_is_looked_up(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s"}}, upstream=origin.url)
    stem = origin.fresh()
    paths = [origin.on(f"{stem}/{i}", [Reply(200, {"Cache-Tag": "even" if i % 2 else "odd"}, b"x")]) for i in range(1200)]
    with proxy.client() as client:
        for path in paths:
            client.request("GET", path)
    one = proxy.purge(url=paths[7], count=1)
    assert one["memory"] == {"met": 1, "count": "at least"} and "note" not in one
    assert proxy.purge(url=stem + "/never", count=1)["memory"] == {"met": 0, "count": "at least"}
    half = proxy.purge(tag="even", count=1)["memory"]
    assert (half["count"], half["looked_at"]) == ("sampled", 128) and 128 < half["of"] <= 1200, "with a disk tier idle ones leave memory"
    assert 24 < half["met"] < 104, "about half of them"
    assert proxy.purge(all=1, count=1)["memory"]["met"] <= 128


def test_a_purge_counts_only_where_it_is_asked_to(proxy, site):
    assert "memory" not in proxy.purge(url=site("/a"))
    assert "memory" not in proxy.purge(url=site("/a"), count=0)
    assert "memory" in proxy.purge(url=site("/b"), count=1)


def test_a_dry_run_counts_and_purges_nothing(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s"}}, upstream=origin.url)
    site = Site(proxy, origin, lambda name: {"Cache-Tag": "t" + name[1]}).fill("/a", "/a1", "/b")
    before = proxy.stats()["cache"]["purges"]
    for what, met in (({"url": site("/a")}, 1), ({"tag": ["ta", "tb"]}, 3), ({"prefix": site("/a")}, 2), ({"all": 1}, 3), ({"tag": "tc"}, 0)):
        said = proxy.purge(**what, dry_run=1)
        assert said["memory"] == {"met": met, "count": "exact"} and said["would_purge"] in what
        assert "sequence" not in said and "purged" not in said
        assert site.state("/a", "/a1", "/b") == []
    assert proxy.stats()["cache"]["purges"] == before


# ---- Several names in one call ----

@pytest.mark.parametrize("scope, names", [("url", ("/a", "/a?x=1", "/b/1")), ("prefix", ("/a/", "/b"))])
def test_a_call_names_several_urls_or_prefixes(proxy, site, scope, names):
    said = proxy.purge(**{scope: [site(n) for n in names]})
    assert (said["purged"], said["names"]) == (scope, len(names)) and scope not in said
    assert site.state(*NAMES) == (["/a", "/a?x=1", "/b/1"] if scope == "url" else ["/a/1", "/a/2", "/b", "/b/1"])


@pytest.mark.parametrize("as_form", [False, True])
def test_a_call_names_several_tags(proxy, origin, as_form):
    tag = origin.fresh("tag").strip("/")
    site = Site(proxy, origin, lambda name: {"Cache-Tag": tag + name[1:]}).fill("/1", "/2", "/3")
    form = f"tag={tag}1&tag={tag}3"
    r = proxy.admin("POST", "/purge", body=form.encode()) if as_form else proxy.admin("POST", "/purge?" + form)
    assert r.status == 200 and r.json()["names"] == 2
    assert site.state("/1", "/2", "/3") == ["/1", "/3"]


def test_a_call_names_four_thousand_tags(proxy, origin):
    site = Site(proxy, origin, lambda name: {"Cache-Tag": f"many-{name[1:]}"}).fill("/0", "/4095", "/4096")
    before = proxy.stats()["cache"]["purges"]
    body = "&".join(f"tag=many-{i}" for i in range(4096)).encode()
    refused = proxy.admin("POST", "/purge?soft=0", body=body + b"&tag=one-more")
    assert refused.status == 400 and "more than 4096 names" in refused.json()["detail"]
    assert proxy.admin("POST", "/purge?soft=0", body=body).json()["names"] == 4096
    assert proxy.stats()["cache"]["purges"] - before == 4096
    assert site.state("/0", "/4095", "/4096") == ["/0", "/4095"]
    many = "&".join("tag=x" for _ in range(5000)).encode()
    r = proxy.admin("POST", "/purge", body=many)
    problem(r, 400)
    assert "too many" in r.json()["detail"]


def test_one_name_that_is_wrong_purges_none_of_them(proxy, site):
    r = proxy.admin("POST", f"/purge?prefix={site('/a')}&prefix=/b*")
    problem(r, 400)
    assert r.json()["detail"] == "prefix number 2: a prefix has no * at its end: /b"
    assert site.state(*NAMES) == []


def test_what_a_call_with_many_names_purged_stays_so_after_a_restart(start_proxy, origin, tmp_path):
    proxy = start_proxy({"disk": {"path": tmp_path / "d", "size": "64M"}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    site = Site(proxy, origin, lambda name: {"Cache-Tag": f"kept-{name[1:]}"}).fill("/1", "/2", "/3")
    proxy.wait_written()
    proxy.purge(tag=["kept-1", "kept-3"])
    proxy.restart_from_disk()
    assert site.state("/1", "/2", "/3") == ["/1", "/3"]


# ---- Purges that are spread ----

def hits(proxy, paths):
    return [proxy.fetch(p).is_hit for p in paths]


def spread_site(proxy, origin, n=40):
    paths = [origin.on(origin.fresh(), lambda r: [Reply(200, {"Cache-Tag": "spread"}, b"x")]) for _ in range(n)]
    for path in paths:
        proxy.fetch(path)
    assert all(hits(proxy, paths))
    return paths


@pytest.mark.parametrize("soft", [False, True])
def test_a_purge_that_is_spread_takes_each_once_and_not_at_once(start_proxy, origin, soft):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    paths = spread_site(proxy, origin)
    said = proxy.purge(tag="spread", spread="24h", soft=soft)
    assert said["spread_s"] == 86400 and said["soft"] is soft
    assert sum(hits(proxy, paths)) >= len(paths) - 1, "a day is long"
    for path in paths:
        proxy.refresh(path)
    fetched = [origin.count(p) for p in paths]
    proxy.purge(tag="spread", spread="300ms", soft=soft)

    def all_renewed():
        for p in paths:
            proxy.fetch(p)
        return [origin.count(p) for p in paths] == [n + 1 for n in fetched]
    eventually(all_renewed, "each has been fetched anew, once")
    eventually(lambda: proxy.stats()["invalidation"]["spreads"] == 1, "its span is over, and the other's is not")


def test_what_was_fetched_after_it_is_no_business_of_it(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    paths = spread_site(proxy, origin, 4)
    proxy.purge(tag="spread", spread="24h")
    for path in paths:
        proxy.refresh(path)
    assert all(hits(proxy, paths)) and all(origin.count(p) == 2 for p in paths)


def test_a_span_goes_on_after_a_restart(start_proxy, origin, tmp_path):
    """What was still to go is still to go, at its time, and nothing is forgotten."""
    proxy = start_proxy({"disk": {"path": tmp_path / "d", "size": "64M"}, "route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    paths = spread_site(proxy, origin)
    proxy.wait_written()
    proxy.purge(tag="spread", spread="24h")
    proxy.restart_from_disk()
    assert proxy.stats()["invalidation"]["spreads"] == 1
    assert sum(hits(proxy, paths)) >= len(paths) - 1, "a day is long"
    proxy.purge(tag="spread", spread="1s")
    proxy.restart_from_disk()
    eventually(lambda: proxy.stats()["invalidation"]["spreads"] == 1, "the second has ended")
    for path in paths:
        proxy.fetch(path)
    assert all(origin.count(p) >= 2 for p in paths)


# ---- The log of purges ----

def test_the_log_says_who_purged_what_and_what_it_has_met(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "600s"}}, upstream=origin.url)
    site = Site(proxy, origin, lambda name: {"Cache-Tag": "l" + name[1]}).fill("/a", "/a1", "/b", "/c")
    proxy.purge(tag=["la", "lx"])
    proxy.purge(url=site("/c"), soft=True)
    proxy.purge(all=1, dry_run=1)

    def logged():
        return proxy.admin_json("GET", "/purges")["purges"]
    eventually(lambda: [e["met"] for e in logged()] == [1, 2], "the sweeper has found them")
    soft, hard = logged()
    assert (hard["id"], hard["purged"], hard["names"], hard["first"], hard["soft"]) == (1, "tag", 2, "la", False)
    assert (soft["id"], soft["purged"], soft["first"], soft["soft"]) == (2, "url", origin.url + site("/c"), True)
    assert hard["from"] == "127.0.0.1" and hard["by"] == "admin" and 0 < hard["sequence"] < soft["sequence"]
    assert [e["id"] for e in proxy.admin_json("GET", "/purges?limit=1")["purges"]] == [2]
    assert [e["id"] for e in proxy.admin_json("GET", "/purges?before=2")["purges"]] == [1]
    for bad in ("limit=0", "limit=1001", "before=x"):
        problem(proxy.admin("GET", "/purges?" + bad), 400)


def test_the_log_keeps_no_identity(start_proxy, origin):
    proxy = start_proxy({"route me": {"match": "*", "ttl": "60s", "scope": "user", "user_from": "header:Authorization"}}, upstream=origin.url)
    proxy.purge(user="Bearer secret")
    assert "secret" not in proxy.admin("GET", "/purges").body.decode()


def test_an_origin_of_several_upstreams_is_named_once(start_proxy, origin):
    proxy = start_proxy({"upstream b": {"url": origin.url}, "route b": {"match": "/b/*", "upstream": "b"}})
    r = proxy.admin("POST", "/purge?url=http://elsewhere.example/x")
    assert r.status == 400 and r.json()["detail"].count(origin.url) == 1, r.body
