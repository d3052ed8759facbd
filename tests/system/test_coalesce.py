# SPDX-License-Identifier: MIT
"""Many ask the same at once: one fetch for all, and nobody waits for what can't be shared."""
import time

import pytest

from support.herd import Herd
from support.origin import Close, Hang, Reply, Reset, Send, Wait, chunk, head, pattern
from support.proxy import WITH_DISK, SLOW, Port, eventually
from support.rawclient import Aborted, build

pytestmark = [pytest.mark.tiers, pytest.mark.threads]

CONFIG = {
    "proxy": {"workers": 2},
    "upstream": {"max_connections": 1000, "first_byte_timeout": "20s", "stall_timeout": "20s", "retries": 0},
    "cache": {"max_object": "1M", "coalesce_timeout": "15s"},
    "route all": {"match": "*", "ttl": "60s"},
}
BODY = pattern(5000)


def herd(proxy, n, target, fields=None, method="GET"):
    h = Herd(proxy.port, n, build(method, target, fields))
    return h.connect().send()


def all_asked(proxy, path, n, how="waiters"):
    """There is nothing to see at the origin while requests wait in the proxy: the counter tells."""
    def waiting():
        return find(proxy.stats(), how) >= n
    eventually(waiting, f"{n} {how}")


def find(tree, name):
    """A number of /stats by its name, wherever it stands."""
    if isinstance(tree, dict):
        if isinstance(tree.get(name), (int, float)):
            return tree[name]
        for value in tree.values():
            found = find(value, name)
            if found is not None:
                return found
    return None


def test_concurrent_misses_are_one_fetch(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=BODY)])
    with herd(proxy, 100, path) as h:
        origin.wait_for(path)
        all_asked(proxy, path, 99)
        gate.open()
        h.run().check(200, BODY)
        assert sum(bool(m.cache_status.get("collapsed")) for m in h.members.values()) >= 90
    assert origin.count(path) == 1
    assert proxy.fetch(path).is_hit


def test_herd_of_two_thousand_is_one_fetch_and_everyone_gets_all(proxy, origin):
    gate, end = origin.gate(), origin.gate()
    body = pattern(200000)
    path = origin.on(origin.fresh(), [Wait(gate), Send(head(200, {"Content-Length": len(body)}) + body[:1000]), Wait(end),
                                      Send(body[1000:])])
    with herd(proxy, 2000, path) as h:
        origin.wait_for(path)
        all_asked(proxy, path, 1900)
        opened = time.monotonic()
        gate.open()
        h.run_until(lambda members: all(m.first_byte_at for m in members))
        first, last = h.first_byte_spread(opened)
        end.open()
        h.run().check(200, body)
    assert origin.count(path) == 1
    print(f"first bytes from {first * 1000:.1f} to {last * 1000:.1f} ms")


def test_waiters_stream_before_the_response_is_finished(proxy, origin):
    gates = [origin.gate() for _ in range(3)]
    path = origin.on(origin.fresh(), [Send(head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"one")), Wait(gates[0]),
                                      Send(chunk(b"two")), Wait(gates[1]), Send(chunk(b"three") + b"0\r\n\r\n")])
    clients = [proxy.client() for _ in range(16)]
    for c in clients:
        c.start(target=path)
    got = [b""] * 16

    def read_until(text):
        for i, c in enumerate(clients):
            while text not in got[i]:
                data = c.read_some(1 << 16)
                assert data, got[i]
                got[i] += data
    read_until(b"one")
    late = proxy.client()  # one that comes in the middle
    late.start(target=path)
    clients.append(late)
    got.append(b"")
    read_until(b"one")
    gates[0].open()
    read_until(b"two")
    gates[1].open()
    for i, c in enumerate(clients):
        c.data = got[i] + c.data
        assert c.response().body == b"onetwothree"
        c.close()
    assert origin.count(path) == 1


def test_every_piece_arrives_in_order_at_every_waiter(proxy, origin):
    body = pattern(600000)
    path = origin.on(origin.fresh(), [Reply(body=body, framing="chunked", pieces=777)])
    with herd(proxy, 200, path) as h:
        h.run().check(200, body)
    assert origin.count(path) == 1


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_fill_goes_on_when_the_client_that_caused_it_leaves(proxy, origin, leave):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=BODY)])
    with proxy.client() as leader:
        leader.start(target=path)
        origin.wait_for(path)
        with herd(proxy, 10, path) as h:
            all_asked(proxy, path, 10)
            getattr(leader, leave)()
            assert not origin.last(path).client_left
            gate.open()
            h.run().check(200, BODY)
    assert origin.count(path) == 1


def test_fill_goes_on_when_everybody_has_left(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 5000}) + BODY[:2000]), Wait(gate), Send(BODY[2000:])])
    for _ in range(3):
        with proxy.client() as c:
            c.start(target=path)
            assert c.response_head().status == 200
            c.reset()
    gate.open()
    origin.wait_idle(path)
    eventually(lambda: proxy.fetch(path).is_hit, "it is stored")
    assert proxy.fetch(path).body == BODY
    assert origin.count(path) == 1


def test_waiter_that_leaves_harms_nobody(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 5000}) + BODY[:2000]), Wait(gate), Send(BODY[2000:])])
    with proxy.client() as stays:
        stays.start(target=path)
        r = stays.response_head()
        for how in ("reset", "close") * 10:
            with proxy.client() as c:
                c.start(target=path)
                c.read_some(100)
                getattr(c, how)()
        gate.open()
        assert stays.read_body(r).body == BODY
    assert origin.count(path) == 1


def test_slow_reader_holds_neither_the_fill_nor_other_readers_up(proxy, origin):
    body = pattern(900000)
    path = origin.on(origin.fresh(), [Reply(body=body)])
    with proxy.client(receive_buffer=4096) as slow:
        slow.start(target=path)
        head_of_slow = slow.response_head()
        with herd(proxy, 20, path) as h:
            h.run().check(200, body)
        eventually(lambda: proxy.fetch(path).is_hit, "it is stored while one still reads")
        assert slow.read_body(head_of_slow).body == body
    assert origin.count(path) == 1


@pytest.mark.parametrize("fields", [{"Cache-Control": "no-store"}, {"Cache-Control": "private"}, {"Vary": "*"}],
                         ids=["no-store", "private", "Vary"])
def test_uncacheable_response_releases_all_waiters_to_ask_in_parallel(proxy, origin, fields):
    gate, rest = origin.gate(), origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, fields, b"first")], [Wait(rest), Reply(200, fields, b"own")])
    with herd(proxy, 50, path) as h:
        origin.wait_for(path)
        all_asked(proxy, path, 49)
        gate.open()
        origin.wait_active(path, 49)
        rest.open()
        h.run()
        assert sorted(m.body for m in h.members.values()) == [b"first"] + [b"own"] * 49
    assert origin.count(path) == 50


def test_what_proved_uncacheable_is_not_waited_for_the_next_time(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Reply(200, {"Cache-Control": "no-store"}, b"x")],
                     [Wait(gate), Reply(200, {"Cache-Control": "no-store"}, b"x")])
    proxy.fetch(path)
    with herd(proxy, 50, path) as h:
        origin.wait_active(path, 50)
        gate.open()
        h.run().check(200, b"x")


def test_too_large_response_reaches_every_waiter_whole(proxy, origin):
    body = pattern(3 << 20)
    for framing in ("length", "chunked"):
        path = origin.on(origin.fresh(), [Reply(body=body, framing=framing, pieces=50000)])
        with herd(proxy, 8, path) as h:
            h.run()
            h.check(200, body)
        assert 1 <= origin.count(path) <= 9
        assert WITH_DISK or not proxy.fetch(path).is_hit  # the disk takes it


@pytest.mark.parametrize("failure", [[Reset()], [Close()], [Send(b"junk\r\n\r\n"), Close()]], ids=["reset", "close", "garbage"])
def test_failure_is_told_to_all_and_remembered_for_a_moment(proxy, origin, failure):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), *failure], [Reply(body=b"well again")])
    with herd(proxy, 50, path) as h:
        origin.wait_for(path)
        all_asked(proxy, path, 49)
        gate.open()
        h.run()
        assert {m.status for m in h.members.values()} == {502}
    assert origin.count(path) == 1, "a second stampede"
    assert proxy.fetch(path).status == 502, "the failure is remembered"
    assert origin.count(path) == 1
    eventually(lambda: proxy.fetch(path).body == b"well again", "it is forgotten after a moment")


def test_errors_of_the_origin_reach_all(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(500, {"Cache-Control": "max-age=60"}, b"broken")])
    with herd(proxy, 20, path) as h:
        origin.wait_for(path)
        all_asked(proxy, path, 19)
        gate.open()
        h.run().check(500, b"broken")
    assert origin.count(path) == 1


ERRORS = [302, 401, 403, 404, 429, 500, 503]


@pytest.mark.parametrize("status", ERRORS)
def test_error_without_a_lifetime_answers_all_who_waited(proxy, origin, status):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(status, {"X-Why": "because", "Retry-After": "7"}, b"no")])
    with herd(proxy, 40, path) as h:
        origin.wait_for(path)
        all_asked(proxy, path, 39)
        gate.open()
        h.run().check(status, b"no")
        assert all(("X-Why", "because") in m.fields for m in h.members.values())
    assert origin.count(path) == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("status, fields", [(404, {}), (503, {}), (404, {"Cache-Control": "max-age=60"})], ids=["404", "503", "404 with a lifetime"])
def test_error_too_large_to_be_stored_answers_all_who_waited(proxy, origin, status, fields, framing):
    gate, body = origin.gate(), pattern(3 << 20)
    path = origin.on(origin.fresh(), [Wait(gate), Reply(status, fields, body, framing=framing, pieces=50000)])
    with herd(proxy, 20, path) as h:
        origin.wait_for(path)
        all_asked(proxy, path, 19)
        gate.open()
        h.run().check(status, body)
    assert origin.count(path) == 1


@pytest.mark.parametrize("status", ERRORS)
def test_after_one_error_a_herd_is_one_fetch_again(proxy, origin, status):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Reply(status, {}, b"no")], [Wait(gate), Reply(200, {}, b"well again")])
    assert proxy.fetch(path).status == status
    with herd(proxy, 40, path) as h:
        origin.wait_for(path, 2)
        all_asked(proxy, path, 39)
        gate.open()
        h.run().check(200, b"well again")
    assert origin.count(path) == 2


def test_error_with_no_store_goes_to_one_client_each(proxy, origin):
    gate, rest = origin.gate(), origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(503, {"Cache-Control": "no-store"}, b"first")],
                     [Wait(rest), Reply(503, {"Cache-Control": "no-store"}, b"own")])
    with herd(proxy, 20, path) as h:
        origin.wait_for(path)
        all_asked(proxy, path, 19)
        gate.open()
        origin.wait_active(path, 19)
        rest.open()
        h.run()
        assert sorted(m.body for m in h.members.values()) == [b"first"] + [b"own"] * 19


@pytest.mark.parametrize("status", [429, 500, 503])
def test_error_that_comes_twice_is_remembered_for_failure_memory(start_proxy, origin, status):
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "60s"}})
    path = origin.on(origin.fresh(), [Reply(status, {"Retry-After": "7", "X-Why": "because"}, b"no")])
    for _ in range(2):
        assert "failure-memory" not in str(proxy.fetch(path).cache_status)
    for _ in range(5):
        r = proxy.fetch(path)
        assert (r.status, r.body, r.get("Retry-After"), r.get("X-Why")) == (status, b"no", "7", "because")
        assert r.cache_status.get("detail") == "failure-memory"
    assert proxy.fetch(path, method="HEAD").status == status
    assert origin.count(path) == 2
    assert proxy.fetch(path, {"Authorization": "Basic x"}).cache_status.get("detail") != "failure-memory"
    assert origin.count(path) == 3
    proxy.purge(url=path)
    assert proxy.fetch(path).cache_status.get("detail") != "failure-memory"
    assert origin.count(path) == 4


def test_what_a_stale_response_stood_in_for_once_is_told_to_nobody(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "60s"}})

    def answer(request):
        if request.has("X-Form"):
            return [Reply(500, body=b"no")]
        return [Reply(500, body=b"no") if len(asked) > 1 else
                Reply(200, {"Cache-Control": "max-age=0, stale-if-error=600", "Vary": "X-Form"}, b"old")]

    asked = []
    path = origin.on(origin.fresh(), lambda request: asked.append(request) or answer(request))
    assert [proxy.fetch(path).body for _ in range(5)] == [b"old"] * 5
    assert len(asked) == 2, "the error is remembered for whom a stale answer stands in"
    r = proxy.fetch(path, {"X-Form": "b"})
    assert (r.status, r.body, len(asked)) == (500, b"no", 3), "for nobody else"
    r = proxy.fetch(path, {"X-Form": "c"})
    assert (r.status, r.cache_status.get("detail"), len(asked)) == (500, "failure-memory", 3), "now it is the second in a row"


def test_an_error_for_one_client_that_a_stale_response_stood_in_for_is_told_to_nobody(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "300ms"}})
    old = Reply(200, {"Cache-Control": "max-age=0, stale-if-error=600", "Vary": "X-Form"}, b"old")
    stale = []

    def answer(request):
        if request.has("X-Form"):
            return [Reply(200, {"Cache-Control": "max-age=60", "Vary": "X-Form"}, b"well")]
        stale.append(request)
        return [old if len(stale) == 1 else Reply(500, {"Set-Cookie": "a=b"}, b"no")]

    path = origin.on(origin.fresh(), answer)
    assert proxy.fetch(path).body == b"old"
    eventually(lambda: proxy.fetch(path).body == b"old" and len(stale) >= 3, "it stood in twice in a row")
    assert proxy.fetch(path, {"X-Form": "b"}).body == b"well"


@pytest.mark.parametrize("answer", [[Reply(500, {"Cache-Control": "no-store"}, b"no")], [Reply(429, {}, b"no")], [Reset()]],
                         ids=["no-store", "429", "reset"])
def test_while_an_origin_fails_refreshes_in_the_background_rest(start_proxy, origin, answer):
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "60s"}})
    path = origin.on(origin.fresh(), [Reply(200, {"Cache-Control": "max-age=0, stale-while-revalidate=600"}, b"old")], answer)
    proxy.fetch(path)
    assert proxy.fetch(path, {"User-Agent": "a"}).body == b"old"
    eventually(lambda: find(proxy.stats(), "flights") == 0 and origin.count(path) == 2, "it was in vain")
    assert [proxy.fetch(path, {"User-Agent": f"a/{i}"}).body for i in range(10)] == [b"old"] * 10
    assert origin.count(path) == 2


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("when", ["after", "under way"])
@pytest.mark.parametrize("kind", ["url", "prefix", "all"])
def test_who_asks_after_a_purge_is_not_told_what_failed_before_it(start_proxy, origin, kind, when, soft):
    """Of a response that did not come only the status is remembered."""
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "60s"}})
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reset()], [Reply(body=b"well")])
    scope = {"url": path, "prefix": path[:2], "all": 1}[kind]
    with proxy.client() as first:
        first.start(target=path)
        origin.wait_for(path)
        if when == "under way":
            proxy.purge(soft=soft, **{kind: scope})
        gate.open()
        assert first.response().status == 502
    if when == "after":
        assert proxy.fetch(path).status == 502 and origin.count(path) == 1
        proxy.purge(soft=soft, **{kind: scope})
    assert proxy.fetch(path).body == b"well"


def test_who_waits_is_not_given_a_stand_in_of_another_variant(start_proxy, origin):
    """They wait by the Vary of the newest response, which says nothing of the one that stands in."""
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "60s"}})
    gate = origin.gate()

    def answer(request):
        if request.path == path and len(origin.seen(path)) == 3:
            return [Wait(gate), Reset()]
        vary = "Accept-Language" if request.has("Accept-Language") else "Accept"
        return [Reply(200, {"Cache-Control": "max-age=0, stale-if-error=600", "Vary": vary, "ETag": '"1"'},
                      request.get("Accept-Language", request.get("Accept")).encode())]

    path = origin.fresh()
    origin.on(path, answer)
    assert proxy.fetch(path, {"Accept": "text/a"}).body == b"text/a"
    assert proxy.fetch(path, {"Accept": "text/c", "Accept-Language": "de"}).body == b"de"
    with proxy.client() as leader, proxy.client() as waiter:
        leader.start(target=path, fields={"Accept": "text/a"})
        origin.wait_for(path, 3)
        waiter.start(target=path, fields={"Accept": "text/b"})
        all_asked(proxy, path, 2)
        gate.open()
        assert leader.response().body == b"text/a", "it stands in"
        assert waiter.response().body == b"text/b"


@pytest.mark.parametrize("field", ["Via", "CDN-Loop"])
def test_what_befell_a_request_with_nothing_of_its_own_is_told_to_all(start_proxy, origin, field):
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "60s"}})
    path = origin.on(origin.fresh(), [Reset()])
    assert proxy.fetch(path).status == 502
    assert proxy.fetch(path, {"X-Form": "b"}).status == 502
    assert origin.count(path) == 1, "it was the URL's doing"
    path = origin.on(origin.fresh(), lambda r: [Reset()] if "other" in " ".join(r.all(field)) else [Reply(body=b"well")])
    assert proxy.fetch(path, {field: "1.1 other" if field == "Via" else "other"}).status == 502
    assert proxy.fetch(path).body == b"well", "it was that request's"


def test_share_errors_off_lets_each_ask(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "route all": {"match": "*", "share_errors": "off"}})
    gate, rest = origin.gate(), origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(503, {}, b"first")], [Wait(rest), Reply(503, {}, b"own")])
    with herd(proxy, 20, path) as h:
        origin.wait_for(path)
        all_asked(proxy, path, 19)
        gate.open()
        origin.wait_active(path, 19)
        rest.open()
        h.run()
    assert origin.count(path) == 20


def test_what_one_odd_request_met_is_not_told_to_others(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "60s"}})
    gate = origin.gate()
    path = origin.on(origin.fresh(), lambda r: [Wait(gate), Reset()] if r.has("X-Odd") else [Reply(body=b"well")])
    with proxy.client() as odd:
        odd.start(target=path, fields={"X-Odd": "1"})
        origin.wait_for(path)
        with herd(proxy, 20, path) as h:
            all_asked(proxy, path, 20)
            gate.open()
            h.run().check(200, b"well")
        assert odd.response().status == 502
    assert origin.count(path) == 2

    path = origin.on(origin.fresh(), lambda r: [Reset()] if r.has("X-Odd") else [Reply(body=b"well")])
    for _ in range(3):
        assert proxy.fetch(path, {"X-Odd": "1"}).status == 502
    assert origin.count(path) == 1, "its own failure is remembered"
    assert proxy.fetch(path).body == b"well"


def many_forms(proxy, path, n, method="GET"):
    """So many clients, each of which looks otherwise to the origin."""
    clients = [proxy.client() for _ in range(n)]
    for i, c in enumerate(clients):
        c.start(method, path, {"User-Agent": f"a/{i}"})
    return clients


def test_where_an_origin_hangs_nobody_waits_for_a_third_time_out(start_proxy, origin):
    """A time-out is longer than what is remembered."""
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "100ms"},
                         "upstream": {**CONFIG["upstream"], "first_byte_timeout": "2s"}})
    path = origin.on(origin.fresh(), [Hang()])
    clients = many_forms(proxy, path, 12)
    assert [c.response().status for c in clients] == [504] * 12
    assert origin.count(path) == 2, "one for the first form, one for all others"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_also_where_nothing_is_remembered_two_failures_are_enough(start_proxy, origin, method):
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "0s"}})
    gates = [origin.gate(), origin.gate()]
    path = origin.on(origin.fresh(), [Wait(gates[0]), Reset()], [Wait(gates[1]), Reset()])
    clients = many_forms(proxy, path, 12, method)
    for i, gate in enumerate(gates):
        origin.wait_for(path, i + 1)
        all_asked(proxy, path, 12 - i)
        gate.open()
    assert [c.response(method).status for c in clients] == [502] * 12
    assert origin.count(path) == 2


def test_what_failed_before_it_was_sent_is_told_to_all_at_once(start_proxy):
    closed = Port()
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "60s"}}, upstream=f"http://127.0.0.1:{closed.number}")
    assert [proxy.fetch("/a", {"User-Agent": f"a/{i}"}).status for i in range(5)] == [502] * 5
    assert find(proxy.stats(), "refused") == 1
    closed.release()


@pytest.mark.parametrize("status", [403, 429])
def test_what_a_forwarded_address_met_is_not_told_to_others(start_proxy, origin, status):
    proxy = start_proxy({**CONFIG, "cache": {"failure_memory": "60s"}})
    banned = {"X-Forwarded-For": "6.6.6.6"}
    gate = origin.gate()

    def answer(request):
        if "6.6.6.6" in request.get("X-Forwarded-For", ""):
            return [Wait(gate), Reply(status, body=b"you are banned")]
        return [Reply(body=b"well")]
    path = origin.on(origin.fresh(), answer)
    with proxy.client() as first:
        first.start(target=path, fields=banned)
        origin.wait_for(path)
        with herd(proxy, 20, path) as h:
            all_asked(proxy, path, 20)
            gate.open()
            h.run().check(200, b"well")
        assert first.response().status == status

    path = origin.on(origin.fresh(), answer)
    for _ in range(3):
        assert proxy.fetch(path, banned).status == status
    assert proxy.fetch(path).body == b"well"


def test_break_in_mid_body_aborts_all_and_stores_nothing(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": 5000}) + BODY[:2000]), Wait(gate), Reset()],
                     [Reply(body=BODY)])
    clients = [proxy.client() for _ in range(10)]
    for c in clients:
        c.start(target=path)
    heads = [c.response_head() for c in clients]
    gate.open()
    for c, r in zip(clients, heads):
        with pytest.raises(Aborted):
            c.read_body(r)
        assert BODY.startswith(r.body)
        c.close()
    eventually(lambda: proxy.fetch(path).body == BODY, "a whole answer")


def test_leader_without_a_byte_is_not_joined_after_the_timeout(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "cache": {"coalesce_timeout": "300ms"}})
    path = origin.on(origin.fresh(), [Hang()], [Reply(body=b"second")])
    with proxy.client() as first:
        first.start(target=path)
        origin.wait_for(path)
        assert proxy.fetch(path).body == b"second"
        assert proxy.fetch(path).is_hit
    assert origin.count(path) == 2


def test_waiters_of_a_silent_leader_go_on_without_it(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "cache": {"coalesce_timeout": "400ms"}})
    path = origin.on(origin.fresh(), [Hang()], [Reply(body=b"second")])
    with proxy.client() as first, herd(proxy, 20, path) as h:
        first.start(target=path)
        h.run_until(lambda members: sum(m.done for m in members) >= 19, timeout=15 * SLOW)
    assert origin.count(path) <= 4, "each waiter asked for itself"


def test_whoever_waits_is_answered_by_the_fetch_that_is_stored_first(start_proxy, origin):
    patience_s = 0.3
    proxy = start_proxy({**CONFIG, "cache": {"coalesce_timeout": "300ms"}})
    slow, slower = origin.gate(), origin.gate()
    path = origin.on(origin.fresh(), [Wait(slow), Reply(body=b"first")], [Wait(slower), Reply(body=b"second")])
    began = time.monotonic()
    with proxy.client() as first, herd(proxy, 10, path) as h:
        origin.wait_for(path, 2)  # the first is silent: one of those who waited for it asks again
        first.start(target=path)
        slow.open()
        h.run().check(200, b"first")
        assert first.response().body == b"first"
    may_ask = 1 + (time.monotonic() - began) // patience_s  # once more for each time that they lost it
    slower.open()
    origin.wait_idle(path)
    assert 2 <= origin.count(path) <= may_ask


def test_waiters_wait_as_long_as_the_upstream_may_work(start_proxy, origin):
    def patience(cache):
        proxy = start_proxy({**CONFIG, "cache": cache})
        return proxy.explain("/x")["rules"]["coalesce_timeout_ms"]
    assert patience({}) >= 20000  # first_byte_timeout
    assert patience({"coalesce_timeout": "3s"}) == 3000


def test_with_coalescing_off_everyone_asks(start_proxy, origin):
    proxy = start_proxy({**CONFIG, "cache": {"coalesce": "off"}})
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"x")])
    with herd(proxy, 20, path) as h:
        origin.wait_active(path, 20)
        gate.open()
        h.run().check(200, b"x")


def test_different_keys_do_not_wait_for_each_other(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"x")])
    clients = [proxy.client() for _ in range(10)]
    for i, c in enumerate(clients):
        c.start(target=f"{path}?{i}")
    origin.wait_active(path, 10)
    gate.open()
    for c in clients:
        assert c.response().body == b"x"
        c.close()


def test_waiters_of_another_variant_ask_for_their_own(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), lambda r: [Wait(gate), Reply(200, {"Vary": "X-Mode"}, r.get("X-Mode", "none"))])
    modes = [f"m{i % 4}" for i in range(40)]
    clients = [proxy.client() for _ in modes]
    for c, mode in zip(clients, modes):
        c.start(target=path, fields={"X-Mode": mode})
    origin.wait_for(path)
    gate.open()
    for c, mode in zip(clients, modes):
        assert c.response().body == mode.encode()
        c.close()
    assert origin.count(path) <= 12, "as many fetches as variants, or little more"


@pytest.mark.parametrize("vary", [{"Vary": "X-Mode"}, {}], ids=["named", "not-named"])
@pytest.mark.parametrize("tag", [{}, {"ETag": '"1"'}], ids=["gone", "stale"])
def test_one_private_variant_keeps_no_other_from_being_fetched_once(proxy, origin, vary, tag):
    gates = [origin.gate()]
    gates[0].open()

    def answer(request):
        if request.get("X-Mode") == "odd":
            return [Reply(200, {**vary, "Cache-Control": "private"}, b"odd")]
        return [Wait(gates[-1]), Reply(200, {"Vary": "X-Mode", "Cache-Control": "max-age=1", **tag}, BODY)]

    path = origin.on(origin.fresh(), answer)
    proxy.fetch(path)
    assert proxy.fetch(path, {"X-Mode": "odd"}).body == b"odd"
    for _ in range(2):
        def is_over():
            return all(o["ttl_s"] < 0 for o in proxy.explain(path)["memory"])
        eventually(is_over, "it expires")
        assert proxy.fetch(path, {"X-Mode": "odd"}).body == b"odd"
        gates.append(origin.gate())
        before = origin.count(path)
        with herd(proxy, 20, path) as h:
            origin.wait_for(path, before + 1)
            all_asked(proxy, path, 19)
            gates[-1].open()
            h.run().check(200, BODY)
        assert origin.count(path) == before + 1


def test_stale_object_is_revalidated_once_for_all(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"1"', "Cache-Control": "max-age=1"}, BODY)],
                     [Wait(gate), Reply(304, {"ETag": '"1"', "Cache-Control": "max-age=60"})])
    proxy.fetch(path)
    eventually(lambda: proxy.explain(path)["memory"][0]["ttl_s"] < 0, "it expires")  # a request would begin the fetch
    with herd(proxy, 50, path) as h:
        origin.wait_for(path, 2)
        all_asked(proxy, path, 49)
        gate.open()
        h.run().check(200, BODY)
    assert origin.count(path) == 2


def test_head_and_ranges_can_wait_too(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, {"ETag": '"1"'}, BODY)])
    with proxy.client() as get, proxy.client() as condition:
        get.start(target=path)
        origin.wait_for(path)
        condition.start(target=path, fields={"If-None-Match": '"1"'})
        all_asked(proxy, path, 1)
        gate.open()
        assert get.response().body == BODY
        assert condition.response().status == 304
    assert origin.count(path) == 1


@pytest.mark.parametrize("status, fields", [(200, {"X-Why": "because", "Content-Length": "123456789"}), (404, {"X-Why": "because"}),
                                            (500, {"X-Why": "because"})], ids=str)
def test_a_herd_of_heads_is_one_head(proxy, origin, status, fields):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Send(head(status, fields))], method="HEAD")
    origin.on(path, [Reply(200, {}, BODY)], method="GET")
    with herd(proxy, 20, path, method="HEAD") as h:
        all_asked(proxy, path, 20)
        gate.open()
        h.run_until(lambda members: all(("X-Why", "because") in m.fields for m in members))
        assert {m.status for m in h.members.values()} == {status}
        if "Content-Length" in fields:
            assert all(("Content-Length", fields["Content-Length"]) in m.fields for m in h.members.values())
    assert [r.method for r in origin.seen(path)] == ["HEAD"]
    assert proxy.fetch(path).body == BODY, "and nothing is stored or marked by it"
    assert proxy.fetch(path).is_hit


def test_a_get_does_not_wait_for_a_head_but_answers_it(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, {"X-By": "HEAD"})], method="HEAD")
    origin.on(path, [Reply(200, {"X-By": "GET"}, BODY)], method="GET")
    with herd(proxy, 5, path, method="HEAD") as h:
        all_asked(proxy, path, 5)
        assert proxy.fetch(path).body == BODY
        h.run_until(lambda members: all(("X-By", "GET") in m.fields for m in members))
    gate.open()
    assert [r.method for r in origin.seen(path)] == ["HEAD", "GET"]


@pytest.mark.parametrize("fields", [{"Cache-Control": "no-store"}, {"Vary": "*"}], ids=str)
def test_heads_that_cannot_be_shared_ask_for_themselves(proxy, origin, fields):
    gate = origin.gate()
    path = origin.on(origin.fresh(), lambda r: [Wait(gate), Reply(200, {**fields, "X-Why": "because"})])
    with herd(proxy, 5, path, method="HEAD") as h:
        all_asked(proxy, path, 5)
        gate.open()
        h.run_until(lambda members: all(("X-Why", "because") in m.fields for m in members))
    assert origin.count(path) == 5
    # The next ones know: all of them are at the origin before it has answered one.
    gate = origin.gate()
    origin.on(path, lambda r: [Wait(gate), Reply(200, {**fields, "X-Why": "again"})])
    with herd(proxy, 5, path, method="HEAD") as h:
        origin.wait_for(path, 10)
        gate.open()
        h.run_until(lambda members: all(("X-Why", "again") in m.fields for m in members))
    # That says nothing of GETs, which wait for one another.
    gate = origin.gate()
    origin.on(path, [Wait(gate), Reply(200, {}, BODY)])
    with herd(proxy, 5, path) as h:
        origin.wait_for(path, 11)
        all_asked(proxy, path, 5)
        gate.open()
        h.run().check(200, BODY)
    assert origin.count(path) == 11


def test_heads_wait_for_the_fetch_that_runs(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(200, {"X-Why": "because"}, BODY)])
    with proxy.client() as get:
        get.start(target=path)
        origin.wait_for(path)
        with herd(proxy, 20, path, method="HEAD") as h:
            all_asked(proxy, path, 20)
            gate.open()
            h.run_until(lambda members: all(("X-Why", "because") in m.fields for m in members))
        assert get.response().body == BODY
    assert origin.count(path) == 1


def test_pipelined_requests_for_one_key_do_not_deadlock(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"x")])
    with proxy.client() as a, proxy.client() as b:
        for c in (a, b):
            c.send(build(target=path) * 5)
        origin.wait_for(path)
        gate.open()
        for c in (a, b):
            assert [c.response().body for _ in range(5)] == [b"x"] * 5
    assert origin.count(path) == 1


def test_many_keys_under_a_herd_do_not_mix(proxy, origin):
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.target.encode() * 200, framing="chunked", pieces=500)])
    herds = [herd(proxy, 40, f"{path}?{i}") for i in range(10)]
    for i, h in enumerate(herds):
        with h:
            h.run().check(200, f"{path}?{i}".encode() * 200)
    assert origin.count(path) == 10
