# SPDX-License-Identifier: MIT
"""What the origin has taken back does not come back: a response below 500 takes the place of the stored one whether or not it
can be stored itself (RFC 9111 4.3.3), in both tiers. And of two responses the one that was asked for later counts."""
import pytest

from support.origin import Close, Reply, Send, Wait, head
from support.proxy import WITH_DISK, eventually
from support.rawclient import Client, build

pytestmark = [pytest.mark.tiers, pytest.mark.threads]

CC = "Cache-Control"
LARGE = 80_000

CONFIG = {
    "cache": {"failure_memory": "0", "pass_memory": "0", "max_object": "64K"},
    **({"disk": {"max_object": "64K"}} if WITH_DISK else {}),
    "route ahead": {"match": "/ahead/*", "refresh_ahead": "99%", "refresh_ahead_hits": "1"},
    "route json": {"match": "/json/*", "store_if": "json", "stale_if_error": "1h"},
    "route rest": {"match": "*", "stale_if_error": "1h", "stale_if_unreachable": "1h"},
}
ON_DISK = {**CONFIG, "disk": {"size": "16M", "max_object": "64K"}}

GONE = {
    "404": Reply(404, body=b"gone"), "410": Reply(410, body=b"gone"), "403": Reply(403, body=b"no"), "401": Reply(401, body=b"no"),
    "302": Reply(302, {"Location": "/elsewhere"}), "400": Reply(400, body=b"bad"),
    "private": Reply(200, {CC: "private, max-age=60"}, b"new"), "no-store": Reply(200, {CC: "no-store"}, b"new"),
    "vary-star": Reply(200, {CC: "max-age=60", "Vary": "*"}, b"new"), "no lifetime": Reply(200, {}, b"new"),
    "set-cookie": Reply(200, {"Set-Cookie": "a=b"}, b"new"), "events": Reply(200, {CC: "max-age=60", "Content-Type": "text/event-stream"}, b"new"),
    "too large": Reply(200, {CC: "max-age=60"}, b"n" * LARGE),
    "outgrows": Reply(200, {CC: "max-age=60"}, b"n" * LARGE, framing="chunked"),
}
FAILURES = {"500": [Reply(500, body=b"error")], "unreachable": [Close()]}


def old(cc, age=0, **fields):
    return [Reply(200, {CC: cc, "Age": str(age), **fields}, b"old")]


def stale(**fields):
    return old("max-age=10", 100, **{"ETag": '"1"', **fields})


def idle(proxy):
    eventually(lambda: proxy.stats()["cache"]["flights"] == 0, "nothing is being fetched")


def settled(proxy):
    idle(proxy)
    if proxy.stats().get("disk"):
        eventually(lambda: proxy.stats()["disk"]["queue"] == 0, "all is written")


@pytest.fixture(params=GONE, ids=list(GONE))
def gone(request):
    return [GONE[request.param]]


# ---- Each way in which the stored response used to come back ----

def test_not_by_stale_while_revalidate(proxy, origin, gone):
    path = origin.on(origin.fresh(), old("max-age=10, stale-while-revalidate=600", 100), gone)
    proxy.fetch(path)
    settled(proxy)
    assert proxy.fetch(path).body == b"old", "its window"
    origin.wait_for(path, 2)
    idle(proxy)
    assert proxy.fetch(path).body != b"old"


def test_not_by_refresh_ahead(proxy, origin, gone):
    path = origin.on("/ahead" + origin.fresh(), old("max-age=10"), gone)
    proxy.fetch(path)
    settled(proxy)
    eventually(lambda: proxy.fetch(path) and origin.count(path) >= 2, "a hundredth of its lifetime is over")
    idle(proxy)
    assert proxy.fetch(path).body != b"old"


def test_not_after_a_refresh(proxy, origin, gone):
    path = origin.on(origin.fresh(), old("max-age=600"), gone)
    proxy.fetch(path)
    settled(proxy)
    answer = proxy.refresh(path)
    assert answer["stored"] is False and answer["reason"]
    idle(proxy)
    assert proxy.fetch(path).body != b"old"


@pytest.mark.parametrize("failure", FAILURES, ids=list(FAILURES))
def test_not_in_place_of_a_failure(proxy, origin, gone, failure):
    path = origin.on(origin.fresh(), stale(), gone, FAILURES[failure])
    proxy.fetch(path)
    settled(proxy)
    assert proxy.fetch(path).body != b"old"
    idle(proxy)
    assert proxy.fetch(path).status >= 500


@pytest.mark.parametrize("failure", FAILURES, ids=list(FAILURES))
def test_not_after_a_soft_purge(proxy, origin, gone, failure):
    path = origin.on(origin.fresh(), old("max-age=600", ETag='"1"'), gone, FAILURES[failure])
    proxy.fetch(path)
    settled(proxy)
    proxy.purge(url=path, soft=True)
    assert proxy.fetch(path).body != b"old"
    idle(proxy)
    assert proxy.fetch(path).status >= 500


def test_not_for_max_stale(proxy, origin, gone):
    path = origin.on(origin.fresh(), stale(), gone)
    proxy.fetch(path)
    settled(proxy)
    assert proxy.fetch(path).body != b"old"
    idle(proxy)
    assert proxy.fetch(path, {CC: "max-stale=1000"}).body != b"old"


@pytest.mark.parametrize("how", ["revalidated", "refreshed"])
def test_not_after_a_restart(start_proxy, origin, how, tmp_path):
    sections = {**ON_DISK, "disk": {**ON_DISK["disk"], "path": str(tmp_path / "disk")}}
    p = start_proxy(sections)
    paths = {name: origin.on(origin.fresh(), stale() if how == "revalidated" else old("max-age=600"), [reply], FAILURES["500"])
             for name, reply in GONE.items()}
    for path in paths.values():
        p.fetch(path)
    settled(p)
    if how == "refreshed":  # nothing is in memory then: what is on disk goes all the same
        p.restart_from_disk()
    for path in paths.values():
        if how == "refreshed":
            assert p.refresh(path)["stored"] is False
        else:
            assert p.fetch(path).body != b"old"
    idle(p)
    p.restart_from_disk()
    for name, path in paths.items():
        assert p.fetch(path).status == 500, name


# ---- A response that goes to one client alone ----

PASSED = {"404": GONE["404"], "410": GONE["410"], "no-store": Reply(200, {CC: "no-store"}, b"new"), "private": Reply(200, {CC: "private"}, b"new")}


SAID_BY_HEAD = {**{name: GONE[name] for name in ("404", "410", "403", "302", "private", "no-store")},
                "another tag": Reply(200, {CC: "max-age=600", "ETag": '"2"'}, b"new"),
                "another length": Reply(200, {CC: "max-age=600", "ETag": '"1"'}, b"longer")}
SAID_OF_HEAD = {"405": Reply(405), "501": Reply(501), "503": Reply(503), "429": Reply(429), "204": Reply(204, framing="none"),
                "the same": Reply(200, {CC: "max-age=0, stale-if-error=3600", "ETag": '"1"'}, b"old")}


@pytest.mark.parametrize("reply", SAID_BY_HEAD.values(), ids=list(SAID_BY_HEAD))
@pytest.mark.parametrize("fields", [{}, {"If-Match": "*"}], ids=["looked up", "passed"])
def test_not_after_what_head_was_told(proxy, origin, reply, fields):
    path = origin.on(origin.fresh(), stale(), FAILURES["500"], method="GET")
    origin.on(path, [reply], method="HEAD")
    proxy.fetch(path)
    settled(proxy)
    proxy.fetch(path, fields, method="HEAD")
    assert proxy.fetch(path).status == 500


@pytest.mark.parametrize("reply", SAID_OF_HEAD.values(), ids=list(SAID_OF_HEAD))
def test_what_says_nothing_of_the_page_retires_nothing(proxy, origin, reply):
    path = origin.on(origin.fresh(), stale(), FAILURES["500"], method="GET")
    origin.on(path, [reply], method="HEAD")
    proxy.fetch(path)
    proxy.fetch(path, method="HEAD")
    assert proxy.fetch(path).body == b"old"


def test_what_one_person_is_told_by_head_retires_nothing_for_others(proxy, origin):
    path = origin.on(origin.fresh(), old("max-age=600"))
    origin.on(path, [GONE["404"]], method="HEAD")
    proxy.fetch(path)
    assert proxy.fetch(path, {"Authorization": "Bearer bad", CC: "no-cache"}, method="HEAD").status == 404
    assert proxy.fetch(path).is_hit


@pytest.mark.parametrize("name", [n for n in SAID_BY_HEAD if not n.startswith("another")])
def test_not_from_disk_after_what_head_was_told(start_proxy, origin, tmp_path, name):
    """With If-Match nobody looks at what is stored, so it is not in memory when the response comes."""
    p = start_proxy({**ON_DISK, "disk": {**ON_DISK["disk"], "path": str(tmp_path / "disk")}})
    path = origin.on(origin.fresh(), old("max-age=600"), FAILURES["500"], method="GET")
    origin.on(path, [SAID_BY_HEAD[name]], method="HEAD")
    p.fetch(path)
    settled(p)
    for again in (False, True):
        p.restart_from_disk()
        if not again:
            p.fetch(path, {"If-Match": "*"}, method="HEAD")
    assert p.fetch(path).status == 500


@pytest.mark.parametrize("reply", PASSED.values(), ids=list(PASSED))
def test_not_after_a_response_that_was_passed_on(proxy, origin, reply):
    path = origin.on(origin.fresh(), old("max-age=600"), [reply], FAILURES["500"])
    proxy.fetch(path)
    settled(proxy)
    assert proxy.fetch(path, {"If-Match": "*"}).body != b"old"
    idle(proxy)
    assert proxy.fetch(path).status == 500


def test_not_from_disk_after_a_response_that_was_passed_on(start_proxy, origin, tmp_path):
    p = start_proxy({**ON_DISK, "disk": {**ON_DISK["disk"], "path": str(tmp_path / "disk")}})
    paths = {name: origin.on(origin.fresh(), old("max-age=600"), [reply], FAILURES["500"]) for name, reply in PASSED.items()}
    same = origin.on(origin.fresh(), old("max-age=600"), old("max-age=600"), FAILURES["500"])
    for path in [*paths.values(), same]:
        p.fetch(path)
    settled(p)
    p.restart_from_disk()
    for path in [*paths.values(), same]:  # nothing is in memory
        p.fetch(path, {"If-Match": "*"})
    idle(p)
    for name, path in paths.items():
        assert p.fetch(path).status == 500, name
    assert p.fetch(same).body == b"old", "it may be the very answer that is stored"


def test_what_one_person_is_passed_retires_nothing_for_others(proxy, origin):
    path = origin.on(origin.fresh(), old("max-age=600"), [PASSED["private"]])
    proxy.fetch(path)
    proxy.fetch(path, {"If-Match": "*", "Authorization": "Bearer bad"})
    idle(proxy)
    assert proxy.fetch(path).body == b"old"


def test_an_error_whose_body_breaks_off_has_taken_it_back(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), stale(), [Send(head(404, {"Content-Length": 100}) + b"x" * 50), Wait(gate), Close()], FAILURES["500"])
    proxy.fetch(path)
    settled(proxy)
    with proxy.client() as client:
        client.start(target=path)
        assert client.response_head().status == 404
        gate.open()
    idle(proxy)
    assert proxy.fetch(path).status == 500


# ---- What does not retire ----

@pytest.mark.parametrize("answer", [Reply(429, body=b"slow down"), Reply(503, body=b"no"), Reply(206, {"Content-Range": "bytes 0-0/9"}, b"n"),
                                    Reply(408, body=b"late"), Reply(431, body=b"large"), Reply(406, body=b"odd"),
                                    Reply(415, body=b"odd"), Reply(417, body=b"odd")], ids=lambda r: str(r.status))
def test_what_is_not_about_the_page_retires_nothing(proxy, origin, answer):
    path = origin.on(origin.fresh(), stale(), [answer], FAILURES["500"])
    proxy.fetch(path)
    proxy.fetch(path)
    idle(proxy)
    assert proxy.fetch(path).body == b"old"


@pytest.mark.parametrize("answer", [Reply(401, body=b"no"), Reply(403, body=b"no"), Reply(200, {CC: "private"}, b"yours")],
                         ids=["401", "403", "private"])
def test_what_one_person_is_told_retires_nothing_for_others(proxy, origin, answer):
    path = origin.on(origin.fresh(), stale(), [answer], FAILURES["500"])
    proxy.fetch(path)
    assert proxy.fetch(path, {"Authorization": "Bearer bad"}).body != b"old"
    idle(proxy)
    assert proxy.fetch(path).body == b"old"


def test_what_store_if_refuses_is_an_error_in_disguise(proxy, origin):
    path = origin.on("/json" + origin.fresh(), [Reply(200, {CC: "max-age=10", "Age": "100", "Content-Type": "application/json"}, b"{}")],
                     [Reply(200, {CC: "max-age=60", "Content-Type": "text/html"}, b"<p>")], FAILURES["500"])
    proxy.fetch(path)
    assert proxy.fetch(path).body == b"<p>"
    idle(proxy)
    assert proxy.fetch(path).body == b"{}"


def test_a_clients_own_no_store_retires_nothing_that_may_be_stored(proxy, origin):
    path = origin.on(origin.fresh(), stale(), [Reply(200, {CC: "max-age=60"}, b"new")], FAILURES["500"])
    proxy.fetch(path)
    assert proxy.fetch(path, {CC: "no-store"}).body == b"new"
    idle(proxy)
    assert proxy.fetch(path).body == b"old"


def test_other_variants_stay(proxy, origin):
    def answer(request):
        if request.get("X-V") == "a" and origin.count(request.path) > 2:
            return [Reply(404, body=b"gone")]
        return [Reply(200, {CC: "max-age=600", "Vary": "X-V"}, request.get("X-V"))]
    path = origin.on(origin.fresh(), answer)
    for v in "ab":
        assert proxy.fetch(path, {"X-V": v}).body == v.encode()
    assert proxy.fetch(path, {"X-V": "a", CC: "no-cache"}).status == 404
    idle(proxy)
    assert proxy.fetch(path, {"X-V": "b"}).is_hit
    assert not proxy.fetch(path, {"X-V": "a"}).is_hit


# ---- Of two responses the one that was asked for later counts ----

def refreshing(proxy, path):
    """A refresh under way, on its own connection."""
    admin = Client(proxy.admin_port)
    admin.send(build("POST", "/refresh?url=" + path, host=f"127.0.0.1:{proxy.admin_port}"))
    return admin


def test_a_response_that_drips_does_not_replace_one_that_was_asked_for_later(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {CC: "max-age=600", "Content-Length": 3})), Wait(gate), Send(b"one")],
                     [Reply(200, {CC: "no-store"}, b"two")], [Reply(200, {CC: "max-age=600"}, b"3rd")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        assert proxy.refresh(path)["stored"] is False
        gate.open()
        assert c.response().body == b"one", "it goes to who waited for it"
    idle(proxy)
    assert proxy.fetch(path).body == b"3rd"


def test_nobody_joins_what_was_asked_for_before_a_newer_response(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, {CC: "max-age=600"}, b"one")], [Reply(200, {CC: "no-store"}, b"two")],
                     [Reply(200, {CC: "max-age=600"}, b"3rd")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        proxy.refresh(path)
        assert proxy.fetch(path).body == b"3rd"
        assert c.response().body == b"3rd"  # it need not wait for the older one
        gate.open()
    idle(proxy)
    assert proxy.fetch(path).body == b"3rd"


def test_a_late_304_confirms_nothing(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), stale(), [Wait(gate), Reply(304, {CC: "max-age=600", "ETag": '"1"'})],
                     [Reply(404, body=b"gone")])
    proxy.fetch(path)
    settled(proxy)
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path, 2)
        assert proxy.refresh(path)["stored"] is False
        gate.open()
        assert c.response().status == 404, "it looks again"
    assert proxy.fetch(path).status == 404


def test_a_refresh_joins_nothing_that_was_sent_before(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, {CC: "max-age=600"}, b"one")], [Reply(200, {CC: "max-age=600"}, b"two")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        assert proxy.refresh(path)["stored"] is True
        assert origin.count(path) == 2
        gate.open()
        assert c.response().status == 200
    idle(proxy)
    r = proxy.fetch(path)
    assert r.is_hit and r.body == b"two"


def test_a_late_head_changes_nothing(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Reply(200, {CC: "max-age=600", "ETag": '"1"'}, b"one")],
                     [Reply(200, {CC: "max-age=600", "ETag": '"2"'}, b"two")])
    origin.on(path, [Wait(gate), Reply(200, {CC: "max-age=600", "ETag": '"1"'}, b"one")], method="HEAD")
    proxy.fetch(path)
    with proxy.client() as c:
        c.start("HEAD", path, {CC: "no-cache"})
        origin.wait_for(path, 2)
        assert proxy.fetch(path, {CC: "no-cache"}).body == b"two"
        gate.open()
        assert c.response("HEAD").get("ETag") == '"1"'
    assert proxy.fetch(path).is_hit, "what is stored was asked for later"


def test_a_late_part_is_not_kept(start_proxy, origin):
    proxy, gate = start_proxy({**CONFIG, "defaults": {"range_fill": "pass"}}), origin.gate()
    ranged = {"Range": "bytes=0-1"}
    path = origin.on(origin.fresh(), [Wait(gate), Reply(206, {CC: "max-age=600", "ETag": '"1"', "Content-Range": "bytes 0-1/3"}, b"on")],
                     [Reply(404, body=b"gone")], FAILURES["500"])
    with proxy.client() as c:
        c.start(target=path, fields=ranged)
        origin.wait_for(path)
        assert proxy.fetch(path, {CC: "no-cache"}).status == 404
        gate.open()
        assert c.response().body == b"on"
    idle(proxy)
    assert proxy.fetch(path, ranged).status == 500


def test_a_fetch_of_another_variant_is_stored_though_it_ends_later(proxy, origin):
    gates = {"a": origin.gate()}

    def answer(request):
        v = request.get("X-V")
        first = [Wait(gates[v])] if v in gates and origin.count(request.path) > 1 else []
        return [*first, Reply(200, {CC: "max-age=600", "Vary": "X-V"}, v)]
    path = origin.on(origin.fresh(), answer)
    proxy.fetch(path, {"X-V": "c"})  # from now on the Vary is known
    with proxy.client() as c:
        c.start(target=path, fields={"X-V": "a"})
        origin.wait_for(path, 2)
        assert proxy.fetch(path, {"X-V": "b"}).body == b"b"
        gates["a"].open()
        assert c.response().body == b"a"
    idle(proxy)
    assert proxy.fetch(path, {"X-V": "a"}).is_hit and proxy.fetch(path, {"X-V": "b"}).is_hit
