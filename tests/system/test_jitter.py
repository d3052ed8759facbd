# SPDX-License-Identifier: MIT
"""Expiry that does not come all at once: ttl_jitter and refresh_ahead."""
import pytest

from support.origin import Reply, Reset, Wait
from support.proxy import eventually

CONFIG = {
    "route jitter": {"match": "/jitter*", "ttl_jitter": "50%"},
    "route ahead": {"match": "/ahead*", "refresh_ahead": "90%", "refresh_ahead_hits": 2},
    "route time": {"match": "/time*", "refresh_ahead": "59s", "refresh_ahead_hits": 1},
}


def test_lifetimes_of_responses_stored_together_differ(proxy, origin):
    ttls = []
    for i in range(30):
        path = origin.on(f"/jitter-{i}", [Reply(200, {"Cache-Control": "max-age=1000"}, b"x")])
        proxy.fetch(path)
        ttls.append(int(proxy.fetch(path).cache_status["ttl"]))
    assert 495 <= min(ttls) <= 650 and 850 <= max(ttls) <= 1000
    assert len(set(ttls)) > 20


def test_a_new_response_to_the_same_url_gets_another_lifetime(proxy, origin):
    path = origin.on("/jitter-again", [Reply(200, {"Cache-Control": "max-age=1000"}, b"x")])
    ttls = set()
    for _ in range(5):
        ttls.add(round(proxy.refresh(path)["lifetime_s"]))
    assert len(ttls) > 1


@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_a_hot_response_is_renewed_before_it_expires(start_proxy, origin, fast_path):
    proxy = start_proxy({**CONFIG, "cache": {"fast_path": fast_path}})
    gate = origin.gate()
    path = origin.on("/ahead" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=3"}, b"old")],
                     [Wait(gate), Reply(200, {"Cache-Control": "max-age=1000"}, b"new")])
    assert proxy.fetch(path).body == b"old"

    def asked_again():
        r = proxy.fetch(path)
        assert r.is_hit and r.body == b"old"
        return origin.count(path) == 2
    eventually(asked_again, "a fetch ahead of expiry")
    for _ in range(5):
        assert proxy.fetch(path).is_hit  # nobody waits for it
    assert origin.count(path) == 2
    gate.open()
    eventually(lambda: proxy.fetch(path).body == b"new", "the new answer")
    assert origin.count(path) == 2


def test_a_cold_response_is_not_renewed(proxy, origin):
    path = origin.on("/time" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=50"}, b"x")])
    proxy.fetch(path)
    assert proxy.fetch(path).is_hit
    assert origin.count(path) == 1
    assert proxy.fetch(path).is_hit  # the second hit finds it hot
    origin.wait_for(path, 2)


def test_the_fetch_ahead_is_conditional(proxy, origin):
    path = origin.on("/time" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=50", "ETag": '"v1"'}, b"x")],
                     [Reply(304, {"Cache-Control": "max-age=1000", "ETag": '"v1"'})])
    proxy.fetch(path)
    proxy.fetch(path)
    proxy.fetch(path)
    assert origin.wait_for(path, 2)[1].get("If-None-Match") == '"v1"'
    eventually(lambda: int(proxy.fetch(path).cache_status["ttl"]) > 900, "the confirmed answer lasts longer")
    assert origin.count(path) == 2


def test_a_fetch_ahead_that_fails_harms_nobody(proxy, origin):
    path = origin.on("/time" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=50"}, b"x")], [Reset()])
    proxy.fetch(path)
    proxy.fetch(path)
    proxy.fetch(path)
    origin.wait_for(path, 2)
    for _ in range(5):
        r = proxy.fetch(path)
        assert r.is_hit and r.body == b"x"
