# SPDX-License-Identifier: MIT
"""What lives in memory lives on disk in the same way: windows of staleness, users, parts, encodings."""
import json
import pathlib
import subprocess

import pytest

from support.origin import Reply, Reset
from support.proxy import Proxy, SLOW, WITH_DISK, binary, eventually

from test_disk import ROUTES, Site


def test_an_unreachable_origin_is_stood_in_for_by_the_record_not_by_the_route(origin, tmp_path):
    """The window is the response's own, as it was stored: a route changed since has no say in it."""
    site = Site(origin, tmp_path, sections={"defaults": {"stale_if_unreachable": "1h"}})
    path, broken = site.stem + "/u", []
    fields = {"Cache-Control": "max-age=0", "ETag": '"1"'}
    origin.on(path, lambda r: [Reset()] if broken else [Reply(200, fields, b"old")])
    with site.proxy() as p:
        assert p.fetch(path).body == b"old"
        p.wait_written()
    broken.append(True)
    site.sections["defaults"]["stale_if_unreachable"] = "0"
    with site.proxy() as p:
        answer = p.fetch(path)
        assert answer.status == 200 and answer.body == b"old", answer


def user_route(user_from):
    return {"route all": {"match": "*", "ttl": "600s", "scope": "user", "user_from": user_from}}


class UserSite(Site):
    """Says to each who it is, and counts."""

    def __init__(self, origin, tmp_path, sections=None):
        super().__init__(origin, tmp_path, sections={**user_route("header:X-User"), **(sections or {})})
        self.page = self.stem + "/u"

        def answer(request):
            self.asked += 1
            who = request.get("X-User") or "nobody"
            return [Reply(200, {"Cache-Control": "private, max-age=600"}, f"{who} {self.asked}")]
        origin.on(self.page, answer)

    def get_as(self, proxy, who):
        answer = proxy.fetch(self.page, {"X-User": who} if who else {})
        assert answer.status == 200
        name, _, count = answer.body.decode().partition(" ")
        assert name == (who or "nobody"), "another user's answer"
        return answer, int(count)


@pytest.fixture
def users(origin, tmp_path):
    return UserSite(origin, tmp_path)


@pytest.mark.parametrize("end", [Proxy.stop, Proxy.crash])
def test_a_users_responses_are_warm_after_a_restart_and_nobody_elses(users, end):
    first = users.proxy()
    for who in ("ann", "bob"):
        users.get_as(first, who)
    first.wait_written()
    end(first)
    asked = users.asked
    with users.proxy() as p:
        for who in ("ann", "bob"):
            answer, _ = users.get_as(p, who)
            assert answer.is_hit and answer.cache_status["detail"] == "disk", answer
        assert users.asked == asked
        assert not users.get_as(p, "eve")[0].is_hit
        assert not users.get_as(p, None)[0].is_hit


def test_another_user_from_finds_none_of_them(users):
    with users.proxy() as p:
        users.get_as(p, "ann")
        p.wait_written()
    for sections in (user_route("header:X-Other"), user_route("cookie:X-User"), {"route all": {"match": "*", "ttl": "1h"}}):
        users.sections.update(sections)
        with users.proxy() as p:
            answer = p.fetch(users.page, {"X-User": "bob", "X-Other": "ann", "Cookie": "X-User=ann"})
            assert answer.body.startswith(b"bob"), answer
    users.sections["route all"] = user_route("header:X-User")["route all"]
    with users.proxy() as p:
        assert users.get_as(p, "ann")[0].is_hit


def test_a_purge_by_user_outlives_a_crash(users):
    with users.proxy() as p:
        for who in ("ann", "bob"):
            users.get_as(p, who)
        p.wait_written()
    p = users.proxy()  # on disk only
    p.purge(user="ann")
    p.crash()
    with users.proxy() as p:
        assert not users.get_as(p, "ann")[0].is_hit
        assert users.get_as(p, "bob")[0].is_hit


def test_the_secret_is_shown_nowhere(users):
    with users.proxy() as p:
        users.get_as(p, "ann")
        p.wait_written()
        file = pathlib.Path(users.path) / "secret"
        assert file.stat().st_mode & 0o7777 == 0o600
        secret = file.read_bytes()
        shown = json.dumps([p.stats(), p.explain(users.page), p.admin_json("GET", "/entries"),
                            p.admin_json("GET", "/readyz")]) + p.stderr
        for part in (secret[16:48], secret[16:24]):
            assert part.hex() not in shown and part[::-1].hex() not in shown
            assert str(int.from_bytes(part, "little")) not in shown


def test_a_secret_that_others_may_read_is_one_sentence(users):
    with users.proxy() as p:
        users.get_as(p, "ann")
    (pathlib.Path(users.path) / "secret").chmod(0o644)
    with pytest.raises(AssertionError, match="secret must be a file of this user's with mode 600"):
        users.proxy()


class PartSite(Site):
    """One representation, whole or in parts; says which ranges it was asked for, as they come from the clients."""
    BODY = bytes(range(256)) * 16

    def __init__(self, origin, tmp_path):
        super().__init__(origin, tmp_path, sections={"defaults": {"range_fill": "pass"}})
        self.page, self.etag, self.ranges = self.stem + "/parts", '"1"', []

        def answer(request):
            wanted = request.get("Range")
            self.ranges.append(wanted)
            fields = {"ETag": self.etag, "Cache-Control": "max-age=600", "Accept-Ranges": "bytes"}
            if not wanted or request.get("If-Range", self.etag) != self.etag:
                return [Reply(200, fields, self.BODY)]
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            first, last = int(first), int(last or len(self.BODY) - 1)
            return [Reply(206, {**fields, "Content-Range": f"bytes {first}-{last}/{len(self.BODY)}"},
                          self.BODY[first:last + 1])]
        origin.on(self.page, answer)

    def part(self, proxy, first, last):
        answer = proxy.fetch(self.page, {"Range": f"bytes={first}-{last}"})
        assert answer.status == 206 and answer.body == self.BODY[first:last + 1], answer
        assert answer.get("Content-Range") == f"bytes {first}-{last}/{len(self.BODY)}"
        return answer


@pytest.fixture
def parts(origin, tmp_path):
    return PartSite(origin, tmp_path)


def test_a_part_is_served_from_disk(parts):
    with parts.proxy() as p:
        parts.part(p, 100, 299)
        p.wait_written()
    with parts.proxy() as p:
        answer = parts.part(p, 150, 199)
        assert answer.is_hit and answer.cache_status["detail"] == "disk"
        assert parts.ranges == ["bytes=100-299"]
        assert not parts.part(p, 250, 349).is_hit


def test_parts_before_and_after_a_restart_are_combined(parts):
    with parts.proxy() as p:
        parts.part(p, 0, 99)
        p.wait_written()
    with parts.proxy() as p:
        parts.part(p, 100, 199)
        p.wait_written()
    with parts.proxy() as p:
        assert parts.part(p, 0, 199).is_hit
        assert parts.part(p, 50, 149).is_hit
    assert len(parts.ranges) == 2


def test_a_head_on_disk_is_completed_by_the_rest(parts):
    with parts.proxy() as p:
        parts.part(p, 0, 999)
        p.wait_written()
    with parts.proxy() as p:
        assert p.fetch(parts.page).body == parts.BODY
        p.wait_written()
    assert parts.ranges == ["bytes=0-999", "bytes=1000-"]
    with parts.proxy() as p:
        answer = p.fetch(parts.page)
        assert answer.is_hit and answer.status == 200 and answer.body == parts.BODY
        assert parts.part(p, 5, 9).is_hit
    assert len(parts.ranges) == 2


def test_parts_of_another_representation_are_not_combined(parts):
    with parts.proxy() as p:
        parts.part(p, 0, 99)
        p.wait_written()
    parts.etag, parts.BODY = '"2"', parts.BODY[::-1]
    with parts.proxy() as p:
        parts.part(p, 100, 199)
        p.wait_written()
    with parts.proxy() as p:
        assert parts.part(p, 100, 199).is_hit
        assert not parts.part(p, 0, 99).is_hit


def test_a_part_is_never_taken_for_the_whole(parts):
    with parts.proxy() as p:
        parts.part(p, 100, 4095)
        p.wait_written()
    with parts.proxy() as p:
        assert p.fetch(parts.page, method="HEAD").status == 200
        answer = p.fetch(parts.page)
        assert (answer.status, answer.body, answer.is_hit) == (200, parts.BODY, False)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_what_comes_back_from_disk_is_encoded_again(origin, tmp_path, coding):
    site = Site(origin, tmp_path, sections={"defaults": {"compress": "gzip, br, zstd"}})
    path, text = site.stem + "/text", b"all work and no play makes a dull answer\n" * 100
    origin.on(path, [Reply(200, {"Content-Type": "text/plain", "ETag": '"t"'}, text)])
    with site.proxy() as p:
        first = p.fetch(path, {"Accept-Encoding": coding})
        again = p.fetch(path, {"Accept-Encoding": coding})
        assert again.get("Content-Encoding") == coding
        p.wait_written()
    with site.proxy() as p:
        answer = p.fetch(path, {"Accept-Encoding": coding})
        assert answer.is_hit and answer.cache_status["detail"] == "disk"
        assert answer.get("Content-Encoding") == coding and answer.body == again.body
        assert answer.get("ETag") == again.get("ETag") and answer.get("Vary") == first.get("Vary")
        plain = p.fetch(path)
        assert plain.is_hit and plain.body == text and not plain.get("Content-Encoding")
        part = p.fetch(path, {"Range": "bytes=4-7"})
        assert part.status == 206 and part.body == text[4:8]


def test_what_nobody_asks_for_leaves_memory_for_the_disk(origin, tmp_path):
    site = Site(origin, tmp_path, sections={"defaults": {"memory_idle": "1s"},
                                            "route kept": {"match": "*/kept", "ttl": "600s", "memory_idle": "off"}, **ROUTES})
    site.sections = {k: site.sections[k] for k in ("cache", "disk", "defaults", "route kept", "route all")}
    site.serve("/idle", "/hot", "/kept")
    with site.proxy() as p:
        for name in ("/idle", "/hot", "/kept"):
            site.get(p, name)
        p.wait_written()

        def asked_hot_until_idle_has_gone():
            assert "detail" not in site.get(p, "/hot")[0].cache_status
            return p.stats()["cache"]["evicted_idle"] > 0
        eventually(asked_hot_until_idle_has_gone, "what is idle leaves")
        asked = site.asked
        assert "detail" not in site.get(p, "/hot")[0].cache_status
        assert "detail" not in site.get(p, "/kept")[0].cache_status
        answer, _ = site.get(p, "/idle")
        assert answer.is_hit and answer.cache_status["detail"] == "disk"
        assert site.asked == asked


def test_memory_idle_wants_a_disk(tmp_path):
    config = tmp_path / "proxy.ini"
    config.write_text("[defaults]\nmemory_idle = 5m\n[route a]\nmatch = /a\n[route b]\nmemory_idle = off\n"
                      "[upstream]\nurl = http://127.0.0.1:1\n")
    r = subprocess.run([binary(), "-t", "-c", str(config)], capture_output=True, text=True, timeout=20 * SLOW)
    assert r.returncode == 1 and "memory_idle: needs [disk] path" in r.stderr and f"{config}:2:" in r.stderr, r.stderr
    config.write_text(config.read_text() + f"[disk]\npath = {tmp_path}/disk\n")
    assert subprocess.run([binary(), "-t", "-c", str(config)], capture_output=True, timeout=20 * SLOW).returncode == 0


def disk_entries(p, **parameters):
    """All pages; no more of them than there have to be, and nothing twice."""
    found, after = [], None
    while True:
        more = {"tier": "disk", **parameters, **({"after": after} if after else {})}
        answer = p.admin_json("GET", "/entries?" + "&".join(f"{k}={v}" for k, v in more.items()))
        found += answer["entries"]
        assert answer["matched"] == len(answer["entries"]) <= int(parameters.get("limit", 100))
        after = answer.get("next")
        if not after:
            break
    urls = [e["url"] for e in found]
    assert len(urls) == len(set(urls))
    return found


def test_entries_lists_what_is_on_disk(origin, tmp_path):
    site = Site(origin, tmp_path)
    names = site.serve(*[f"/{i}" for i in range(130)])
    with site.proxy() as p:
        for name in names:
            site.get(p, name)
        p.wait_written()
        answer = p.admin_json("GET", f"/entries?prefix={site.stem}/1&limit=3")
        assert answer["disk_entries"] == len(names)
        assert [(e["tier"], e["disk"]) for e in answer["entries"]] == [("memory", True)] * 3
    with site.proxy() as p:
        assert p.admin_json("GET", "/entries")["entries"] == []
        for limit in (1, 7, 1000):
            found = disk_entries(p, limit=limit)
            assert {e["url"] for e in found} == {site.origin.url + site.stem + name for name in names}
        entry = found[0]
        assert entry["tier"] == "disk" and entry["status"] == 200 and 0 < entry["ttl_s"] <= 600
        assert entry["body_bytes"] == 240 and entry["disk_bytes"] > 240 and entry["lifetime_source"] == "route"
        assert len(disk_entries(p, prefix=site.stem + "/12")) == 11
        p.purge(prefix=site.stem + "/12")
        assert disk_entries(p, prefix=site.stem + "/12") == []
        assert p.stats()["cache"]["objects"] == 0  # to look is not to read in


def test_entries_of_the_disk_say_whose_they_are(users):
    with users.proxy() as p:
        users.get_as(p, "ann")
        users.get_as(p, "bob")
        p.wait_written()
        seen = {e["user"] for e in p.admin_json("GET", "/entries")["entries"]}
        answer = p.admin_json("GET", "/entries?tier=disk")
        assert {e["user"] for e in answer["entries"]} == seen and len(seen) == 2


@pytest.mark.parametrize("query", ["tier=tape", "after=00", "tier=disk&after=xyz", "tier=disk&after=00000000000000000G",
                                   "tier=memory&after=00", "tier=disk&limit=0"])
def test_entries_refuses_what_it_does_not_know(origin, tmp_path, query):
    with Site(origin, tmp_path).proxy() as p:
        assert p.admin("GET", "/entries?" + query).status == 400


@pytest.mark.skipif(WITH_DISK, reason="each proxy has a disk tier then")
def test_without_a_disk_tier_there_is_nothing_to_list(start_proxy):
    p = start_proxy({"route all": {"match": "*", "ttl": "60s"}})
    assert p.admin("GET", "/entries?tier=disk").status == 400
