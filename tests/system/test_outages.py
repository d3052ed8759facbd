# SPDX-License-Identifier: MIT
"""An origin that fails is asked once or twice in failure_memory, in whatever form clients ask."""
import pytest

from support.origin import Close, Hang, Reply, Reset, Send, head, pattern
from support.proxy import Port
from support.rawclient import Aborted

pytestmark = [pytest.mark.tiers, pytest.mark.threads]

LIMIT = 100_000
CONFIG = {
    "proxy": {"workers": 2},
    "upstream": {"first_byte_timeout": "20s", "stall_timeout": "20s", "retries": 0, "max_fails": 0},
    "cache": {"max_object": "100000", "failure_memory": "60s"},
    "disk": {"max_object": "100000"},
    "route own": {"match": "/own/*", "ttl": "60s", "range_fill": "pass"},
    "route all": {"match": "*", "ttl": "60s"},
}
BODY = pattern(5000)
FAILURES = {"reset": [Reset()], "503": [Reply(503, {"X-Why": "because"}, b"down")],
            "garbage": [Send(b"junk\r\n\r\n"), Close()]}
FORMS = {
    "plain": ("GET", lambda i: {}),
    "head": ("HEAD", lambda i: {}),
    "far range": ("GET", lambda i: {"Range": f"bytes={LIMIT + i}-{LIMIT + i + 9}"}),
    "range": ("GET", lambda i: {"Range": f"bytes={i}-{i + 9}"}),
    "if-match": ("GET", lambda i: {"If-Match": f'"{i}"'}),
    "if-match head": ("HEAD", lambda i: {"If-Match": f'"{i}"'}),
    "if-unmodified-since": ("GET", lambda i: {"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}),
    "no-store": ("GET", lambda i: {"Cache-Control": "no-store"}),
}


def outage(proxy, origin, path, form, same):
    method, fields = FORMS[form]
    clients = [{**fields(0 if same else i), "User-Agent": "a" if same else f"a/{i}"} for i in range(12)]
    statuses = {proxy.fetch(path, one, method=method).status for one in clients}
    return statuses, origin.count(path)


@pytest.mark.parametrize("same", [True, False], ids=["same", "others"])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("form", FORMS)
def test_an_outage_costs_two_calls(start_proxy, origin, form, failure, same):
    proxy = start_proxy(CONFIG)
    for where in ("", "/own"):
        path = origin.on(where + origin.fresh(), FAILURES[failure])
        statuses, calls = outage(proxy, origin, path, form, same)
        assert statuses == {503 if failure == "503" else 502}
        assert calls <= 2


@pytest.mark.parametrize("form", FORMS)
def test_an_origin_that_hangs_is_waited_for_once(start_proxy, origin, form):
    proxy = start_proxy({**CONFIG, "upstream": {**CONFIG["upstream"], "first_byte_timeout": "1s"}})
    path = origin.on(origin.fresh(), [Hang()])
    assert outage(proxy, origin, path, form, same=True) == ({504}, 1)


@pytest.mark.parametrize("form", FORMS)
def test_an_origin_that_can_not_be_reached_is_tried_once(start_proxy, form):
    closed = Port()
    proxy = start_proxy(CONFIG, upstream=f"http://127.0.0.1:{closed.number}")
    method, fields = FORMS[form]
    assert [proxy.fetch("/a", {**fields(i), "User-Agent": f"a/{i}"}, method=method).status for i in range(5)] == [502] * 5
    assert [proxy.fetch("/a", {"User-Agent": f"b/{i}"}).status for i in range(3)] == [502] * 3
    assert proxy.stats()["upstreams"]["default"]["refused"] == 1
    closed.release()


@pytest.mark.parametrize("same", [True, False], ids=["same", "others"])
def test_a_head_is_told_what_heads_were_told(start_proxy, origin, same):
    proxy = start_proxy(CONFIG)
    path = origin.on(origin.fresh(), FAILURES["503"], method="HEAD")
    origin.on(path, [Reply(body=BODY)], method="GET")
    for i in range(5):
        r = proxy.fetch(path, {"User-Agent": "a" if same else f"a/{i}"}, method="HEAD")
        assert (r.status, r.get("X-Why"), r.get("Content-Length")) == (503, "because", "4")
    assert proxy.fetch(path).body == BODY, "that says nothing of GET"
    assert proxy.fetch(path, method="HEAD").status == 200, "and what is stored answers"
    assert [r.method for r in origin.seen(path)] == ["HEAD", "HEAD", "GET"]


@pytest.mark.parametrize("form", ["far range", "if-match", "if-unmodified-since"])
@pytest.mark.parametrize("failure", ["reset", "503"])
def test_an_origin_that_stumbles_over_ranges_or_conditions_still_serves_the_rest(start_proxy, origin, form, failure):
    proxy = start_proxy(CONFIG)
    path = origin.on(origin.fresh(), lambda r: FAILURES[failure] if any(
        r.has(name) for name in ("Range", "If-Match", "If-Unmodified-Since")) else [Reply(body=BODY)])
    assert outage(proxy, origin, path, form, same=False)[1] == 2
    assert proxy.fetch(path).body == BODY


@pytest.mark.parametrize("form", FORMS)
def test_a_credential_gets_no_error_of_others_and_gives_none(start_proxy, origin, form):
    proxy = start_proxy(CONFIG)
    method, fields = FORMS[form]
    path = origin.on(origin.fresh(), FAILURES["503"])
    for i in range(3):
        assert proxy.fetch(path, {**fields(0), "Authorization": "x"}, method=method).status == 503
    assert origin.count(path) == 3
    outage(proxy, origin, path, form, same=True)
    asked = origin.count(path)
    assert asked in (4, 5), "others were asked for all the same"
    assert proxy.fetch(path, {**fields(0), "Authorization": "x"}, method=method).status == 503
    assert origin.count(path) == asked + 1


CUTS = {"length": [Send(head(200, {"Content-Length": len(BODY), "ETag": '"1"'}) + BODY[:2000]), Close()],
        "chunked": [Send(head(200, {"Transfer-Encoding": "chunked", "ETag": '"1"'}) + b"5\r\nabcde\r\n"), Reset()]}


@pytest.mark.parametrize("same", [True, False], ids=["same", "others"])
@pytest.mark.parametrize("cut", CUTS)
def test_a_response_that_breaks_off_is_fetched_twice(start_proxy, origin, cut, same):
    proxy = start_proxy(CONFIG)
    path = origin.on(origin.fresh(), lambda r: [Reply(206, {"Content-Range": "bytes 2000-4999/5000", "ETag": '"1"'}, BODY[2000:])]
                     if r.has("Range") else [Reply(200)] if r.method == "HEAD" else CUTS[cut])
    statuses = []
    for i in range(8):
        try:
            statuses.append(proxy.fetch(path, {"User-Agent": "a" if same else f"a/{i}"}).status)
        except Aborted:
            statuses.append(0)
    assert statuses == [0, 0] + [502] * 6
    assert origin.count(path) == 2
    assert proxy.fetch(path, method="HEAD").status == 200, "of which the head may be had"
    r = proxy.fetch(path, {"Range": "bytes=2000-", "If-Range": '"1"'})
    assert (r.status, r.body) == (206, BODY[2000:]), "a download goes on"
