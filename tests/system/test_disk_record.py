"""What lives in memory lives on disk in the same way: windows of staleness, users, parts, encodings."""
import json
import pathlib

import pytest

from support.origin import Reply, Reset
from support.proxy import Proxy, eventually

from test_disk import Site, kill, written


def test_an_unreachable_origin_is_stood_in_for_by_the_record_not_by_the_route(origin, tmp_path):
    """The window is the answer's own, as it was stored: a route changed since has no say in it."""
    site = Site(origin, tmp_path, sections={"defaults": {"stale_if_unreachable": "1h"}})
    path, broken = site.stem + "/u", []
    fields = {"Cache-Control": "max-age=0", "ETag": '"1"'}
    origin.on(path, lambda r: [Reset()] if broken else [Reply(200, fields, b"old")])
    with site.proxy() as p:
        assert p.fetch(path).body == b"old"
        written(p)
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


@pytest.mark.parametrize("end", [Proxy.stop, kill])
def test_a_users_answers_are_warm_after_a_restart_and_nobody_elses(users, end):
    first = users.proxy()
    for who in ("ann", "bob"):
        users.get_as(first, who)
    written(first)
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
        written(p)
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
        written(p)
    p = users.proxy()  # on disk only
    p.purge(user="ann")
    kill(p)
    with users.proxy() as p:
        assert not users.get_as(p, "ann")[0].is_hit
        assert users.get_as(p, "bob")[0].is_hit


def test_the_secret_is_shown_nowhere(users):
    with users.proxy() as p:
        users.get_as(p, "ann")
        written(p)
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
