# SPDX-License-Identifier: MIT
"""More than one hop: loops are found at once, chains are none; Max-Forwards."""
import pytest

from support.origin import Reply

CONFIG = {"route passed": {"match": "/passed*", "cache": "off"}, "route all": {"match": "*", "ttl": "60s"}}


def is_loop(r):
    return r.status == 508 and r.get("Content-Type", "").startswith("application/problem+json")


def waited_in_vain(stats):
    """What a loop that is not seen at once ends with: a time-out of the fetch, or of those who wait for it."""
    return stats["upstreams"]["default"]["timeouts"] + stats["cache"]["leader_timeouts"]


@pytest.mark.parametrize("method, body", [("GET", b""), ("HEAD", b""), ("POST", b"x"), ("OPTIONS", b"")])
@pytest.mark.parametrize("path", ["/passed", "/stored"])
def test_a_proxy_in_front_of_itself_says_so_at_once(start_proxy, method, body, path):
    proxy = start_proxy(CONFIG, upstream="http://127.0.0.1:{port}")
    assert proxy.fetch(path, method=method, body=body).status == 508
    stats = proxy.stats()
    assert (stats["requests"]["loops"], stats["upstreams"]["default"]["started"]) == (1, 1)
    assert waited_in_vain(stats) == 0
    assert "leads to this proxy" in proxy.stderr


def test_a_herd_on_a_loop_waits_for_nobody(start_proxy):
    proxy = start_proxy(CONFIG, upstream="http://127.0.0.1:{port}")
    clients = [proxy.client() for _ in range(20)]
    for c in clients:
        c.start(target="/stored")
    for c in clients:
        with c:
            assert c.response().status == 508
    assert waited_in_vain(proxy.stats()) == 0


def test_a_chain_of_two_is_no_loop(start_proxy, origin):
    inner = start_proxy(CONFIG)
    edge = start_proxy(CONFIG, upstream=inner.url)
    path = origin.on("/passed" + origin.fresh(), [Reply(body=b"ok")])
    assert edge.fetch(path, {"CDN-Loop": "other; a=b", "Via": "1.1 other"}).body == b"ok"
    request = origin.last(path)
    members = ", ".join(request.all("CDN-Loop")).split(", ")
    assert members[0] == "other; a=b" and [m.split(";")[0] for m in members[1:]] == ["memoproxy"] * 2
    assert members[1] != members[2]
    assert [v.split()[1] for v in request.get("Via").split(", ")] == ["other", "memoproxy", "memoproxy"]


def test_a_loop_through_another_proxy_ends_where_it_began(start_proxy):
    edge = start_proxy(CONFIG, upstream="http://127.0.0.1:{port}")
    inner = start_proxy(CONFIG, upstream=edge.url)
    edge.sections = {**CONFIG, "upstream": {"url": inner.url}}
    edge.write_config()
    edge.admin_json("POST", "/reload")
    assert edge.fetch("/passed").status == 508
    assert edge.stats()["requests"]["loops"] == 1 and inner.stats()["requests"]["loops"] == 0


@pytest.mark.parametrize("field", ["CDN-Loop", "Via"])
def test_either_field_tells_a_loop(proxy, origin, start_proxy, field):
    """Not everybody on the way passes both on, or as they were."""
    path = origin.on("/passed" + origin.fresh(), [Reply(body=b"ok")])
    proxy.fetch(path)
    mark = origin.last(path).get(field)
    assert is_loop(proxy.fetch(path, {field: "1.1 somebody, " + mark.upper().replace("MEMOPROXY", "memoproxy").lower() + ", 1.1 x"}))
    other = start_proxy(CONFIG)
    assert other.fetch(path, {field: mark}).body == b"ok", "another process has another mark"


def test_a_name_alone_is_no_mark(proxy, origin):
    path = origin.on("/passed" + origin.fresh(), [Reply(body=b"ok")])
    assert proxy.fetch(path, {"Via": "1.1 memoproxy", "CDN-Loop": "memoproxy"}).body == b"ok"


def test_what_is_stored_is_not_asked_of_the_origin_so_it_is_no_loop(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"ok")])
    proxy.fetch(path)
    assert proxy.fetch(path, {"Via": origin.last(path).get("Via")}).is_hit


# ---- Max-Forwards ----

@pytest.mark.parametrize("target", ["*", "/passed/x", "/stored/x"])
def test_options_that_may_go_no_further_is_answered_here(proxy, origin, target):
    n = origin.count(target)
    r = proxy.fetch(target, {"Max-Forwards": "0"}, method="OPTIONS")
    assert (r.status, r.body, origin.count(target)) == (200, b"", n)
    assert "fwd" not in r.get("Cache-Status")


@pytest.mark.parametrize("said, sent", [("1", "0"), ("7", "6"), ("007", "6"), ("x", None), ("-1", None), ("99999999999999999999", None), ("1, 2", None)])
def test_max_forwards_of_options_is_counted_down(proxy, origin, said, sent):
    path = origin.on("/passed" + origin.fresh(), [Reply(body=b"ok")])
    assert proxy.fetch(path, {"Max-Forwards": said}, method="OPTIONS").body == b"ok"
    assert origin.last(path).all("Max-Forwards") == ([sent] if sent else [])


def test_max_forwards_of_other_methods_stops_nothing(proxy, origin):
    path = origin.on("/passed" + origin.fresh(), [Reply(body=b"ok")])
    for method in ("GET", "POST"):
        assert proxy.fetch(path, {"Max-Forwards": "0"}, method=method).body == b"ok"


@pytest.mark.parametrize("via, asked, told", [("on", True, True), ("off", False, False), ("request", True, False), ("response", False, True)])
def test_via_goes_where_it_is_wanted(start_proxy, origin, via, asked, told):
    proxy = start_proxy({"proxy": {"via": via}, **CONFIG})
    for where in ("/passed", "/stored"):
        path = origin.on(where + origin.fresh(), [Reply(fields={"Via": "1.0 api"}, body=b"x")])
        for _ in range(2):
            assert ", ".join(proxy.fetch(path).all("Via")) == ("1.0 api, 1.1 memoproxy" if told else "1.0 api")
        assert [r.has("Via") for r in origin.seen(path)[:1]] == [asked]
        request = origin.last(path)
        assert request.get("CDN-Loop").startswith("memoproxy")
    proxy.fetch(path := origin.on("/passed" + origin.fresh(), [Reply()]), {"Via": "1.1 edge"})
    assert origin.last(path).get("Via").startswith("1.1 edge, 1.1 memoproxy" if asked else "1.1 edge")
    assert asked or origin.last(path).get("Via") == "1.1 edge", "what others said stays"


def test_without_via_a_loop_is_found_all_the_same(start_proxy):
    proxy = start_proxy({"proxy": {"via": "off"}, **CONFIG}, upstream="http://127.0.0.1:{port}")
    assert proxy.fetch("/passed").status == 508
