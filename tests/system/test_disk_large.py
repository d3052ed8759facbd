# SPDX-License-Identifier: MIT
"""Answers larger than memory is to hold: written to disk as they arrive, served from there, and never a wrong byte."""
import contextlib
import random
import subprocess

import pytest

from support.origin import Close, Reply, Reset, Send, Wait, chunk, head
from support.proxy import Port, Proxy, SLOW, binary, eventually
from support.rawclient import Aborted
from support.secure import Pair, TlsClient

pytestmark = pytest.mark.long

KIB, MIB = 1 << 10, 1 << 20
BLOCK = 64 * KIB


class Started(Proxy):
    def __enter__(self):
        return self


class Site:
    def __init__(self, origin, tmp_path, disk=None, sections=None):
        self.origin, self.path = origin, tmp_path / "disk"
        self.stem = origin.fresh("large")
        self.sections = {"cache": {"memory": "64M", "max_object": "64K"},
                         "disk": {"path": self.path, "size": "512M", **(disk or {})},
                         "route all": {"match": "*", "ttl": "600s", "client_refresh": "on"}, **(sections or {})}

    def proxy(self):
        p = Started(self.origin.url, self.sections)
        p.start()
        eventually(lambda: p.admin_json("GET", "/readyz")["disk"]["ready"], "the disk tier is ready")
        return p

    def serve(self, name, n, framing="length", fields=None, seed=0):
        """The URL, and the bytes that it has."""
        url, body = self.stem + name, random.Random(n + seed).randbytes(n)
        fields = {"ETag": f'"{seed}"', **(fields or {})}

        def answer(request):
            if request.get("If-None-Match") == fields["ETag"]:
                return [Reply(304, fields)]
            return [Reply(200, fields, body, framing=framing)]
        self.origin.on(url, answer)
        return url, body

    def serve_in_two(self, name, n, framing="length", end=()):
        """The URL, the bytes, and the gate behind which the second half waits."""
        url, body, gate = self.stem + name, random.Random(n).randbytes(n), self.origin.gate()
        first, second = body[:n // 2], body[n // 2:]
        if framing == "chunked":
            steps = [Send(head(200, {"Transfer-Encoding": "chunked"}) + chunk(first)), Wait(gate),
                     *(end or [Send(chunk(second) + b"0\r\n\r\n")])]
        else:
            steps = [Send(head(200, {"Content-Length": n}) + first), Wait(gate), *(end or [Send(second)])]
        self.origin.on(url, steps)
        return url, body, gate

    def segments(self):
        return sorted(self.path.glob("seg-*"))

    def allocated(self):
        """Once all is written: the reclaimer only takes files away then."""
        sizes = 0
        for path in self.segments():
            with contextlib.suppress(FileNotFoundError):
                sizes += path.stat().st_size
        return sizes


@pytest.fixture
def site(origin, tmp_path):
    return Site(origin, tmp_path)


def is_hit_of(answer, body):
    assert answer.status == 200 and answer.is_hit and answer.cache_status["detail"] == "disk", answer
    assert answer.body == body and int(answer.get("Content-Length")) == len(body)
    return True


def spoil(path, part):
    """Changes one byte of `part`, wherever the files have it."""
    data = bytearray(path.read_bytes())
    at = data.index(part)
    data[at] ^= 1
    path.write_bytes(data)


SIZES = [64 * KIB + 1, MIB, MIB + 1, 5_000_003, 64 * MIB]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("end", [Proxy.stop, Proxy.crash])
def test_every_byte_comes_back_at_once_and_after_a_restart(site, framing, end):
    made = [site.serve(f"/{n}", n, framing) for n in SIZES]
    p = site.proxy()
    for url, body in made:
        first = p.fetch(url)
        assert first.body == body and first.cache_status["stored"], first
        is_hit_of(p.fetch(url), body)
    assert p.stats()["cache"]["bytes"] < MIB  # heads and sums only
    assert p.stats()["cache"]["large_read_bytes"] == 0
    p.wait_written()
    end(p)
    with site.proxy() as p:
        for url, body in made:
            is_hit_of(p.fetch(url), body)
            assert site.origin.count(url) == 1
        assert p.stats()["cache"]["bytes"] < 60 * KIB  # none of them is in memory now either


def test_ranges_are_read_where_they_are(site):
    url, body = site.serve("/r", 3 * MIB + 5)
    with site.proxy() as p:
        p.fetch(url)
        p.wait_written()
    for path in site.segments():
        spoil(path, body[:BLOCK])  # so whoever reads from the beginning fails
    with site.proxy() as p:
        for first, last in [(MIB, MIB), (2 * MIB - 7, 2 * MIB + 200_000), (3 * MIB, 3 * MIB + 4)]:
            answer = p.fetch(url, {"Range": f"bytes={first}-{last}"})
            assert answer.status == 206 and answer.body == body[first:last + 1]
            assert answer.get("Content-Range") == f"bytes {first}-{last}/{len(body)}"
        assert p.fetch(url, {"Range": "bytes=-100"}).body == body[-100:]
        assert p.fetch(url, {"Range": f"bytes={len(body)}-"}).status == 416
        several = p.fetch(url, {"Range": f"bytes=100000-100009,{2 * MIB}-{2 * MIB + 299_999}"})
        assert several.status == 206 and len(several.body) == int(several.get("Content-Length"))
        assert body[100_000:100_010] in several.body and body[2 * MIB:2 * MIB + 300_000] in several.body
        assert p.fetch(url, {"Range": f"bytes={MIB}-{MIB}", "If-Range": '"0"'}).status == 206
        assert site.origin.count(url) == 1
        assert p.stats()["disk"]["bad_records"] == 0


def test_what_needs_no_body_reads_none(site):
    url, body = site.serve("/h", 2 * MIB)
    with site.proxy() as p:
        p.fetch(url)
        p.fetch(url)
        reads = p.stats()["disk"]["inline_reads"] + p.stats()["disk"]["thread_reads"]
        answer = p.fetch(url, method="HEAD")
        assert answer.status == 200 and answer.is_hit and answer.get("Content-Length") == str(2 * MIB)
        assert p.fetch(url, {"If-None-Match": '"0"'}).status == 304
        assert p.fetch(url, {"If-None-Match": '"1"'}).body == body
        assert p.stats()["disk"]["inline_reads"] + p.stats()["disk"]["thread_reads"] == reads
        assert site.origin.count(url) == 1


def test_a_304_renews_the_head_alone(site):
    url, body = site.serve("/n", 4 * MIB)
    with site.proxy() as p:
        p.fetch(url)
        renewed = p.fetch(url, {"Cache-Control": "no-cache"})
        assert renewed.body == body and str(renewed.cache_status["fwd-status"]) == "304"
        is_hit_of(p.fetch(url), body)
        p.wait_written()
        disk = p.stats()["disk"]
        assert disk["heads_written"] == 1 and disk["put_bytes"] < 4 * MIB + 10_000
    with site.proxy() as p:
        is_hit_of(p.fetch(url), body)
        assert site.origin.count(url) == 2


def test_variants_lie_side_by_side(site):
    url = site.stem + "/v"
    bodies = {language: random.Random(language).randbytes(300_000) for language in ("de", "en")}
    site.origin.on(url, lambda request: [Reply(200, {"Vary": "Accept-Language"}, bodies[request.get("Accept-Language")])])
    with site.proxy() as p:
        for _ in range(2):
            for language, body in bodies.items():
                answer = p.fetch(url, {"Accept-Language": language})
                assert answer.body == body
        assert answer.is_hit and site.origin.count(url) == 2


def test_stale_ones_stand_in_and_are_fetched_anew(origin, tmp_path):
    site = Site(origin, tmp_path, sections={"route all": {"match": "*", "ttl": "600s", "stale_if_error": "600s"}})
    url, body = site.serve("/s", MIB)
    with site.proxy() as p:
        p.fetch(url)
        p.purge(url=url, soft=True)
        site.origin.on(url, [Reply(500, {}, b"no")])
        stale = p.fetch(url)
        assert stale.status == 200 and stale.body == body and stale.cache_status["fwd"] == "stale"
    _, other = site.serve("/s", MIB, seed=1)
    with site.proxy() as p:  # the soft purge holds after a restart too
        assert p.fetch(url).body == other
        is_hit_of(p.fetch(url), other)


def test_slow_readers_hold_two_blocks_each(site):
    url, body = site.serve("/slow", 64 * MIB)
    many = 40
    with site.proxy() as p:
        p.fetch(url)
        before, files = p.rss_bytes(), p.open_files()
        clients = [p.client(receive_buffer=4096) for _ in range(many)]
        for c in clients:
            c.start("GET", url)
        for c in clients:
            assert c.response_head().is_hit
        assert p.stats()["cache"]["large_readers"] == many
        assert p.stats()["cache"]["large_read_bytes"] <= many * 2 * (BLOCK + 64)
        assert p.rss_bytes() - before < many * 3 * BLOCK * SLOW + 16 * MIB
        for c in clients[1:]:
            c.reset()
        eventually(lambda: p.stats()["cache"]["large_readers"] == 1, "what the others held is given back")
        eventually(lambda: p.stats()["cache"]["large_read_bytes"] <= 2 * (BLOCK + 64), "and their blocks")
        eventually(lambda: p.open_files() <= files + 2, "and their sockets")
        assert clients[0].read_bytes(5_000_000) == body[:5_000_000]
        clients[0].close()
        eventually(lambda: p.stats()["cache"]["large_read_bytes"] == 0, "all is given back")
        is_hit_of(p.fetch(url), body)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_client_of_a_miss_may_leave(site, framing):
    url, body, gate = site.serve_in_two("/left", 8 * MIB, framing)
    with site.proxy() as p:
        with p.client() as c:
            c.start("GET", url)
            c.response_head()
        eventually(lambda: p.stats()["cache"]["waiters"] == 0, "it has been seen to leave")
        gate.open()
        eventually(lambda: p.stats()["disk"]["objects"] == 1, "the fetch went on")
        is_hit_of(p.fetch(url), body)
        assert site.origin.count(url) == 1


def test_two_clients_share_one_fetch_and_a_late_one_gets_all(site):
    url, body, gate = site.serve_in_two("/two", 6 * MIB)
    other = random.Random(5).randbytes(1000)
    with site.proxy() as p, p.client() as a, p.client() as b:
        slow = site.origin.gate()
        steps = site.origin.on
        a_half, b_half = body[:3 * MIB], body[3 * MIB:]
        steps(url, [Wait(slow), Send(head(200, {"Content-Length": len(body)}) + a_half), Wait(gate), Send(b_half)],
              [Reply(200, {}, other)])
        a.start("GET", url)
        site.origin.wait_for(url)
        b.start("GET", url)
        eventually(lambda: p.stats()["cache"]["waiters"] == 2, "both wait for one fetch")
        slow.open()
        for c in (a, b):
            c.response_head()
            assert c.read_bytes(3 * MIB) == a_half
        assert p.fetch(url).body == other  # it can't join any more: a fetch of its own, that is not stored
        gate.open()
        for c in (a, b):
            assert c.read_bytes(3 * MIB) == b_half
        is_hit_of(p.fetch(url), body)
        assert site.origin.count(url) == 2


def test_a_purge_while_it_is_written(site):
    url, body, gate = site.serve_in_two("/p", 4 * MIB)
    with site.proxy() as p, p.client() as c:
        c.start("GET", url)
        c.response_head()
        p.purge(url=url)
        gate.open()
        assert c.read_bytes(len(body)) == body  # a stream under way may finish
        _, new = site.serve("/p", 4 * MIB, seed=9)
        again = p.fetch(url)
        assert again.body == new and not again.is_hit
        is_hit_of(p.fetch(url), new)
    with site.proxy() as p:
        is_hit_of(p.fetch(url), new)


def test_a_purge_while_it_is_read(site):
    url, body = site.serve("/q", 16 * MIB)
    with site.proxy() as p, p.client(receive_buffer=4096) as c:
        p.fetch(url)
        c.start("GET", url)
        assert c.response_head().is_hit
        p.purge(url=url)
        _, new = site.serve("/q", MIB, seed=3)
        again = p.fetch(url)
        assert again.body == new and not again.is_hit
        assert c.read_bytes(len(body)) == body


def test_a_bad_block_cuts_the_body_and_is_fetched_anew(site):
    url, body = site.serve("/bad", 6 * MIB)
    with site.proxy() as p:
        p.fetch(url)
        p.wait_written()
    for path in site.segments():
        spoil(path, body[3 * MIB:3 * MIB + 1000])
    with site.proxy() as p:
        with pytest.raises(Aborted) as cut:
            p.fetch(url)
        got = cut.value.response.body
        assert got == body[:len(got)] and len(got) <= 3 * MIB
        assert p.stats()["disk"]["bad_records"] == 1
        again = p.fetch(url)
        assert again.body == body and not again.is_hit
        is_hit_of(p.fetch(url), body)
        assert site.origin.count(url) == 2


def test_a_bad_first_block_is_a_miss(site):
    url, body = site.serve("/first", 6 * MIB)
    with site.proxy() as p:
        p.fetch(url)
        p.wait_written()
    for path in site.segments():
        spoil(path, body[:1000])
    with site.proxy() as p:
        answer = p.fetch(url)
        assert answer.body == body and not answer.is_hit
        is_hit_of(p.fetch(url), body)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("end", [Close(), Reset()])
def test_what_the_upstream_cuts_is_not_stored(site, framing, end):
    url, body, gate = site.serve_in_two("/cut", 4 * MIB, framing, end=[end])
    with site.proxy() as p:
        gate.open()
        with pytest.raises(Aborted) as cut:
            p.fetch(url)
        got = cut.value.response.body
        assert got == body[:len(got)]
        p.wait_written()
        assert p.stats()["disk"]["objects"] == 0
        eventually(lambda: site.allocated() < 4 * MIB + p.stats()["disk"]["size"] // 32, "its room is given back")
        _, whole = site.serve("/cut", 4 * MIB, framing)
        eventually(lambda: p.fetch(url).body == whole, "the failure is forgotten")
        is_hit_of(p.fetch(url), whole)


def test_a_crash_while_it_is_written_leaves_nothing(site):
    urls = []
    p = site.proxy()
    for i, framing in enumerate(("length", "chunked")):
        url, body, _ = site.serve_in_two(f"/crash{i}", 8 * MIB, framing)
        c = p.client()
        c.start("GET", url)
        c.response_head()
        c.read_bytes(MIB)
        urls.append((url, framing, body))
    eventually(lambda: p.stats()["disk"]["written_bytes"] > 7 * MIB, "much of it is on disk")
    p.crash()
    assert len(site.segments()) >= 2
    check = subprocess.run([binary(), "disk-check", site.path], capture_output=True, text=True)
    assert check.returncode == 0 and check.stdout.count("was not finished") == 2, check
    with site.proxy() as p:
        assert p.stats()["disk"]["objects"] == 0
        assert site.allocated() == 0
        for i, (url, framing, _) in enumerate(urls):
            _, body = site.serve(f"/crash{i}", 8 * MIB, framing, seed=1)
            assert p.fetch(url).body == body
            is_hit_of(p.fetch(url), body)


def test_what_is_too_large_for_the_disk_passes_by(origin, tmp_path):
    site = Site(origin, tmp_path, disk={"size": "64M", "max_object": "2M"})
    known, a = site.serve("/known", 2 * MIB + 1)
    unknown, b = site.serve("/unknown", 5 * MIB, "chunked")
    with site.proxy() as p:
        for url, body in ((known, a), (unknown, b)):
            for _ in range(2):
                answer = p.fetch(url)
                assert answer.body == body and not answer.is_hit
        p.wait_written()
        assert p.stats()["disk"]["objects"] == 0
        eventually(lambda: site.allocated() <= 2 * MIB, "what was taken in advance is given back")


def test_it_is_written_when_it_is_asked_for_a_second_time(origin, tmp_path):
    site = Site(origin, tmp_path, disk={"admit": "second_hit"})
    url, body = site.serve("/second", MIB)
    with site.proxy() as p:
        assert [p.fetch(url).is_hit for _ in range(3)] == [False, False, True]
        assert p.stats()["disk"]["dropped_admit"] == 1
        is_hit_of(p.fetch(url), body)


def test_what_must_be_looked_into_is_not_stored_unseen(origin, tmp_path):
    site = Site(origin, tmp_path, sections={"route all": {"match": "*", "ttl": "600s", "store_if": "json"}})
    url, body = site.serve("/json", MIB, "chunked", {"Content-Type": "application/json"})
    with site.proxy() as p:
        for _ in range(2):
            answer = p.fetch(url)
            assert answer.body == body and not answer.is_hit


def test_the_capacity_holds(origin, tmp_path):
    """Each response is written, or counted as dropped: a busy machine's disk may be too slow for one. Whether it is still there when
    it is asked for again is not said: older ones that were hit are spared, and the newest, not hit yet, may go before them."""
    site = Site(origin, tmp_path, disk={"size": "32M"})
    made = [site.serve(f"/{i}", (i % 7 + 1) * 1_000_000 + i, "chunked" if i % 2 else "length") for i in range(30)]
    ends = ("puts", "dropped_slow", "dropped_queue", "dropped_error")
    with site.proxy() as p:
        for url, body in [one for one in made for _ in range(2)]:
            assert p.fetch(url).body == body
            p.wait_written()
            disk = p.stats()["disk"]
            assert site.allocated() <= 32 * MIB and disk["bytes"] <= 32 * MIB
            assert sum(disk[name] for name in ends) == sum(site.origin.count(one) for one, _ in made), disk
        assert p.stats()["disk"]["hits"] > 0
        assert p.stats()["disk"]["reclaimed_segments"] > 10


def test_forced_refresh_of_a_large_response(site):
    url, body = site.serve("/refresh", 3 * MIB, "chunked")
    with site.proxy() as p:
        assert p.fetch(url).body == body
        _, new = site.serve("/refresh", 3 * MIB, "chunked", seed=2)
        answer = p.refresh(url)
        assert answer["status"] == 200, answer
        is_hit_of(p.fetch(url), new)


def test_over_tls_and_to_http_1_0(origin, tmp_path):
    site = Site(origin, tmp_path)
    pair = Pair(tmp_path / "pair")
    site.sections["proxy"] = {"tls_certificate": pair.certificate, "tls_key": pair.key}
    url, body = site.serve("/tls", 8 * MIB, "chunked")
    tls = Port()

    class Both(Started):
        def config(self):
            self.sections["proxy"]["listen"] = f"127.0.0.1:{tls.number} tls, 127.0.0.1:{self.port}"
            return super().config()
    with Both(origin.url, site.sections).start() as p:
        assert p.fetch(url).body == body
        with TlsClient(tls.number, pair.context()) as c:
            assert c.get(url).body == body  # origins answer by scheme: one each
            for _ in range(2):  # on one connection
                is_hit_of(c.get(url), body)
            part = c.get(url, {"Range": "bytes=100000-2100000"})
            assert part.status == 206 and part.body == body[100_000:2_100_001]
        is_hit_of(p.fetch(url, version="HTTP/1.0"), body)
        assert origin.count(url) == 2
    tls.release()
