# SPDX-License-Identifier: MIT
"""The operators' side: health, numbers, what is stored and why."""
import os
import pathlib
import re
import signal

import pytest

from support.origin import Hang, Reply, Wait, pattern
from support.proxy import WithToken, eventually
from support.rawclient import Client, build
from test_coalesce import find

CONFIG = {
    "proxy": {"max_header": "16K"},
    "route off": {"match": "/off/*", "cache": "off"},
    "route sorted": {"match": "/sorted/*", "ttl": "90s", "query": "sort"},
    "route all": {"match": "*", "ttl": "60s"},
}


def test_json_ends_with_a_newline(proxy):
    for target in ("/healthz", "/readyz", "/stats", "/entries", "/explain?url=/a", "/nothing"):
        assert proxy.admin("GET", target).body.endswith(b"}\n"), target


def test_health_and_readiness(proxy):
    for target in ("/healthz", "/readyz"):
        assert proxy.admin("GET", target).status == 200
        r = proxy.admin("HEAD", target)
        assert (r.status, r.body) in ((200, b""), (405, b""))


def test_a_path_that_is_none_is_told_those_that_are(proxy):
    r = proxy.admin("GET", "/")
    assert r.status == 404 and r.json()["detail"].startswith("no such endpoint; there are GET /healthz, ")
    assert r.json()["detail"].endswith(", POST /purge, GET /purges, POST /refresh, POST /reload, POST /warm, GET /warmups")


def test_admin_responses_are_not_cached(proxy):
    for target in ("/healthz", "/stats", "/entries"):
        assert "no-store" in proxy.admin("GET", target).get("Cache-Control", "")


def test_admin_is_not_reachable_on_the_clients_side(proxy, origin):
    before = len(origin.requests)
    for target in ("/purge?all=1", "/stats", "/healthz"):
        proxy.fetch(target, method="POST" if "purge" in target else "GET")
    assert len(origin.requests) == before + 3, "they are the origin's"


def test_stats_count_what_happened(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=pattern(1000))])
    before = proxy.stats()
    for _ in range(5):
        proxy.fetch(path)
    after = proxy.stats()
    assert isinstance(after, dict)
    assert after != before
    assert find(after, "requests") >= find(before, "requests") + 5 or find(after, "requests") is None
    assert find(after, "entries") >= 1
    assert find(after, "memory_bytes") > 0


def test_stats_hold_no_negative_or_absurd_numbers(proxy, origin):
    path = origin.on(origin.fresh(), [Reply()])
    with proxy.client() as c:
        for _ in range(20):
            c.get(path)

    def walk(value, where):
        if isinstance(value, dict):
            for k, v in value.items():
                walk(v, f"{where}.{k}")
        elif isinstance(value, list):
            for i, v in enumerate(value):
                walk(v, f"{where}[{i}]")
        elif isinstance(value, (int, float)):
            assert 0 <= value < 1 << 62, f"{where} = {value}"
    walk(proxy.stats(), "stats")


def test_stats_go_back_to_nothing_when_nothing_happens(proxy, origin):
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply()])
    clients = [proxy.client() for _ in range(5)]
    for i, c in enumerate(clients):
        c.start(target=f"{path}?{i}")
    origin.wait_active(path, 5)
    assert find(proxy.stats(), "flights") >= 5
    gate.open()
    for c in clients:
        c.response()
        c.close()
    eventually(lambda: find(proxy.stats(), "flights") == 0 and find(proxy.stats(), "waiters") == 0, "no flights left")


def test_entries_by_prefix_and_limit(proxy, origin):
    stem = origin.fresh()
    for i in range(20):
        origin.on(f"{stem}/{i}", [Reply(body=b"x")])
        proxy.fetch(f"{stem}/{i}")
    answer = proxy.admin_json("GET", f"/entries?prefix={stem}/&limit=100")
    urls = [e["url"] for e in entries(answer)]
    assert sorted(urls) == sorted(f"{origin.url}{stem}/{i}" for i in range(20))
    assert len(entries(proxy.admin_json("GET", f"/entries?prefix={stem}/&limit=7"))) == 7
    assert len(entries(proxy.admin_json("GET", f"/entries?prefix={origin.url}{stem}/1"))) == 11
    assert entries(proxy.admin_json("GET", "/entries?prefix=/nothing-like-that")) == []
    entry = entries(answer)[0]
    assert entry["status"] == 200


def test_entries_come_in_pages_and_a_page_looks_no_further_than_it_must(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s"}})
    urls = {f"{origin.url}/paged/{i}" for i in range(300)}
    for i in range(300):
        origin.on(f"/paged/{i}", [Reply(200, {"Cache-Control": "max-age=60"}, b"x")])
        assert proxy.fetch(f"/paged/{i}").status == 200
    for limit in (1, 7, 100, 1000):
        found, looked, after = [], [], ""
        while True:
            page = proxy.admin_json("GET", f"/entries?prefix=/paged/&limit={limit}{after}")
            assert page["matched"] == len(page["entries"]) <= limit
            found += [e["url"] for e in page["entries"]]
            looked.append(page["looked"])
            if "next" not in page:
                break
            after = "&after=" + page["next"]
        assert len(found) == 300 and set(found) == urls
        if limit < 10:
            assert max(looked) < 200, "of 300 entries and some hundred chains"
    assert proxy.admin("GET", "/entries?after=zz").status == 400


def entries(answer):
    return answer["entries"] if isinstance(answer, dict) else answer


def test_purged_entries_are_not_listed(proxy, origin):
    stem = origin.fresh()
    origin.on(stem, [Reply(body=b"x")])
    proxy.fetch(stem)
    assert len(entries(proxy.admin_json("GET", f"/entries?prefix={stem}"))) == 1
    proxy.purge(url=stem)
    eventually(lambda: entries(proxy.admin_json("GET", f"/entries?prefix={stem}")) == [], "it is gone from the list")


def test_explain_is_a_dry_run(proxy, origin):
    path = origin.on("/sorted" + origin.fresh(), [Reply(200, {"Cache-Control": "max-age=33"}, b"x")])
    text = str(proxy.explain(path + "?b=1&a=2"))
    assert "sorted" in text, "the route is named"
    assert "a=2&b=1" in text, "the key follows the query rule"
    assert origin.count(path) == 0
    proxy.fetch(path + "?a=2&b=1")
    text = str(proxy.explain(path + "?b=1&a=2"))
    assert "33" in text or "32" in text, "the lifetime"
    assert "max" in text, "its source"
    assert origin.count(path) == 1
    assert "off" in str(proxy.explain("/off/x"))


def test_a_plus_is_a_blank_but_in_a_url(start_proxy, origin):
    """As curl --data-urlencode and all that fills in forms write it; a URL has no blanks, and people write it as it is."""
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s", "key_headers": "X-Who"}}, upstream=origin.url)
    path = origin.on(origin.fresh() + "/a+b", lambda r: [Reply(body=r.get("X-Who", ""))])
    proxy.fetch(path, {"X-Who": "a b"})
    for who, stored in (("a+b", 1), ("a%20b", 1), ("a%2Bb", 0)):
        answer = proxy.admin_json("GET", f"/explain?url={path}&headers=X-Who:+{who}")
        assert answer["url"] == origin.url + path and len(answer["memory"]) == stored, who
    proxy.admin_json("POST", f"/refresh?url={path}")
    assert origin.count(path) == 2, "a plus stays one"
    assert entries(proxy.admin_json("GET", f"/entries?prefix={path}"))


def test_times_have_no_more_digits_than_they_mean(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "300ms"}}, upstream=origin.url)
    assert b'"ttl_s": 0.3,' in proxy.admin("GET", "/explain?url=/a").body


def test_explain_tells_every_rule_of_the_route(start_proxy, origin):
    """By its key, _s behind it where it is a duration; lists of names where they are not the default."""
    set_here = {"methods": "GET, QUERY", "ttl": "1m", "ttl_404": "2s", "ttl_5xx": "3s", "query": "only:a,b", "key_headers": "X-A, X-B",
                "key_cookies": "c", "credentials": "X-Key", "shared_credentials": "_x*", "scope": "user", "user_from": "cookie:u",
                "set_cookie": "strip", "tag_headers": "X-Tag", "compress": "gzip, br", "targeted": "My-Control", "refresh_ahead": "10%",
                "heuristic": "off"}
    proxy = start_proxy({"defaults": set_here}, upstream=origin.url)
    rules = proxy.explain("/a")["rules"]
    keys = re.findall(r'^RULE\("(\w+)"', pathlib.Path(__file__).parents[2].joinpath("cache/policy/rules.def").read_text(), re.M)
    assert len(keys) > 30 and [k for k in keys if k not in rules and k + "_s" not in rules] == []
    told = {"methods": ["GET", "QUERY"], "ttl_s": 60, "ttl_force_s": None, "ttl_NNN_s": {"404": 2, "5xx": 3}, "query": {"only": ["a", "b"]},
            "key_headers": ["X-A", "X-B"], "credentials": ["X-Key"], "scope": "user", "user_from": "cookie:u", "set_cookie": "strip",
            "compress": ["br", "gzip"], "refresh_ahead": "10%", "stale_if_unreachable_s": 3600, "heuristic": 0, "cache": True}
    assert {k: rules[k] for k in told} == told
    default = start_proxy({}, upstream=origin.url).explain("/a")["rules"]
    assert "credentials" not in default and "key_headers" not in default
    assert default["query"] == "keep" and default["refresh_ahead_s"] is None


def test_explain_of_hostile_text_is_valid_json(proxy):
    for url in ('/a"b', "/a%5C%22", "/%E4%F6", "/%00x", "/<script>", "/a%0d%0aX: y"):
        r = proxy.admin("GET", "/explain?url=" + url.replace('"', "%22").replace("<", "%3C").replace(">", "%3E").replace(" ", "%20"))
        assert r.status in (200, 400), r.body
        assert isinstance(r.json(), dict)


def test_a_body_that_is_no_form_is_told_so(proxy):
    r = proxy.admin("POST", "/purge", {"Content-Type": "application/json"}, b'{"url": "/a"}')
    assert r.status == 400 and "application/x-www-form-urlencoded" in r.json()["detail"]


@pytest.mark.parametrize("target", ["/explain", "/explain?url=", "/explain?url=a", "/explain?url=/a&url=/b", "/explain?x=1",
                                    "/entries?limit=x", "/entries?limit=-1", "/entries?limit=99999999999999999999", "/entries?x=1",
                                    "/stats?x=1"])
def test_bad_parameters_are_problems_or_ignored(proxy, target):
    r = proxy.admin("GET", target)
    if target.startswith("/stats"):
        assert r.status in (200, 400)
        return
    assert r.status == 400, (r.status, r.body)
    assert r.get("Content-Type").startswith("application/problem+json")
    assert r.json()["status"] == 400


@pytest.mark.parametrize("raw, statuses", [
    (b"GET /stats HTTP/1.1\r\n\r\n", (400,)),
    (b"GET /stats HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", (400,)),
    (b"POST /purge?all=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
    (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", (414, 431)),
    (b"\x16\x03\x01" + bytes(100) + b"\r\n\r\n", (400,)),
])
def test_admin_side_parses_strictly_too(proxy, raw, statuses):
    with Client(proxy.admin_port) as c:
        try:
            c.send(raw)
        except ConnectionError:
            pass
        assert c.response().status in statuses
    assert proxy.ready()


def test_several_admin_requests_on_one_connection(proxy):
    with Client(proxy.admin_port) as c:
        host = f"127.0.0.1:{proxy.admin_port}"
        c.send(build(target="/healthz", host=host) * 3 + build(target="/stats", host=host))
        assert [c.response().status for _ in range(4)] == [200] * 4


def test_token_is_needed_where_one_is_set(start_proxy, origin):
    proxy = WithToken(origin.url, {"admin": {"token": "s3cret"}}).start()
    try:
        for fields in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer s3cre"}, {"Authorization": "Bearer s3crett"},
                       {"Authorization": "Basic s3cret"}, {"Authorization": "s3cret"}, {"Authorization": "Bearer"},
                       {"Authorization": "Bearer s3cret, Bearer x"}):
            for method, target in (("GET", "/stats"), ("POST", "/purge?all=1"), ("GET", "/entries"), ("GET", "/explain?url=/")):
                r = proxy.admin(method, target, fields)
                assert r.status == 401, (fields, target)
                assert r.get("WWW-Authenticate", "").startswith("Bearer")
                is_other = fields.get("Authorization", "").startswith("Bearer ")
                assert r.json()["detail"] == ("that bearer token is not the one of [admin] token" if is_other else "a bearer token is required")
                assert r.get("Content-Type").startswith("application/problem+json")
        for fields in ({"Authorization": "Bearer s3cret"}, {"authorization": "bearer s3cret"}):
            assert proxy.admin("GET", "/stats", fields).status == 200
            assert proxy.admin("POST", "/purge?all=1", fields).status == 200
        assert "s3cret" not in proxy.stderr
    finally:
        proxy.stop()


def test_cross_site_requests_from_a_browser_do_not_purge(proxy, origin):
    """Without a token only loopback protects the admin side: a web page must not reach it through the operator's browser."""
    path = origin.on(origin.fresh(), [Reply(body=b"1")], [Reply(body=b"2")])
    proxy.fetch(path)
    fields = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert proxy.admin("POST", "/purge?all=1", fields).status == 403
    assert proxy.fetch(path).body == b"1"


def test_names_that_were_rebound_to_loopback_are_refused(proxy):
    with Client(proxy.admin_port) as c:
        assert c.request("POST", "/purge?all=1", host="evil.example").status in (403, 421, 400)


def test_admin_works_while_every_fetch_hangs(start_proxy, origin):
    proxy = start_proxy({"upstream": {"max_connections": 2}})
    path = origin.on(origin.fresh(), [Hang()])
    clients = [proxy.client() for _ in range(10)]
    for i, c in enumerate(clients):
        c.start(target=f"{path}?{i}")
    origin.wait_for(path, 2)
    for target in ("/healthz", "/readyz", "/stats", "/entries", "/explain?url=/x"):
        assert proxy.admin("GET", target).status == 200
    for c in clients:
        c.close()


def test_more_calls_at_once_than_may_wait_are_refused_and_counted(start_proxy, origin):
    proxy = start_proxy({}, upstream=origin.url)
    answers = []
    for _ in range(20):  # how many calls main reads before it answers one is the kernel's choice
        clients = [Client(proxy.admin_port) for _ in range(80)]
        os.kill(proxy.process.pid, signal.SIGSTOP)
        try:
            for c in clients:
                c.start(target="/stats", host=f"127.0.0.1:{proxy.admin_port}")
        finally:
            os.kill(proxy.process.pid, signal.SIGCONT)
        answers += [c.response().status for c in clients]
        for c in clients:
            c.close()
        if 503 in answers:
            break
    assert set(answers) == {200, 503}
    assert proxy.stats()["admin_refused"] == answers.count(503)


def test_a_connection_more_than_there_may_be_ends_the_longest_idle_one(start_proxy, origin):
    proxy = start_proxy({}, upstream=origin.url)
    idle = [Client(proxy.admin_port) for _ in range(300)]
    half = [Client(proxy.admin_port) for _ in range(100)]
    for c in half:
        c.send(b"GET /stats HTTP/1.1\r\nHost: ")
    for target in ("/healthz", "/readyz", "/stats"):
        assert proxy.admin("GET", target).status == 200
    assert proxy.stats()["admin_idle_evicted"] >= 320
    assert idle[0].wait_closed() == b""
    busy = Client(proxy.admin_port)
    gate = origin.gate()
    path = origin.on(origin.fresh(), [Wait(gate), Reply()])
    busy.start("POST", f"/refresh?url={path}", host=f"127.0.0.1:{proxy.admin_port}")
    origin.wait_for(path, 1)
    more = [Client(proxy.admin_port) for _ in range(200)]
    gate.open()
    assert busy.response().status == 200, "who waits for an answer is not idle"
    for c in idle + half + more + [busy]:
        c.close()


def test_health_is_answered_before_other_calls_that_wait(start_proxy, origin):
    """As many calls as there may be are under way, and wait: one more is refused, and health is still told."""
    proxy = start_proxy({}, upstream=origin.url)
    host = f"127.0.0.1:{proxy.admin_port}"
    gate = origin.gate()
    paths = [origin.on(origin.fresh(), [Wait(gate), Reply()]) for _ in range(64)]
    busy = [Client(proxy.admin_port) for _ in paths]
    for c, path in zip(busy, paths):
        c.start("POST", f"/refresh?url={path}", host=host)
    for path in paths:
        origin.wait_for(path, 1)
    assert proxy.admin("GET", "/stats").status == 503
    assert proxy.admin("GET", "/healthz").status == 200
    gate.open()
    assert [c.response().status for c in busy] == [200] * len(busy)
    for c in busy:
        c.close()


@pytest.mark.parametrize("name, status", [
    ("localhost", 200), ("LocalHost", 200), ("127.0.0.1", 200), ("127.1.2.3", 200), ("[::1]", 200), ("[0:0:0:0:0:0:0:1]", 200),
    ("127.evil.example", 403), ("127.0.0.1.evil.example", 403), ("127.0.0.1.", 403), ("localhost.", 403), ("localhost.evil", 403),
    ("127", 403), ("127.1", 403), ("2130706433", 403), ("0177.0.0.1", 403), ("0x7f.0.0.1", 403), ("127.0.0.01", 403), ("0", 403),
    ("0.0.0.0", 403), ("128.0.0.1", 403), ("[::]", 403), ("[::2]", 403), ("a.localhost", 403), ("localhost%2e", 403),
])
def test_only_names_of_this_machine_are_taken_without_a_token(proxy, name, status):
    """A page of 127.evil.example, whose DNS says 127.0.0.1, must not read or purge anything."""
    for host in (name, f"{name}:{proxy.admin_port}"):
        for method, target in (("GET", "/healthz"), ("GET", "/stats"), ("POST", "/purge?url=/nothing")):
            with Client(proxy.admin_port) as c:
                assert c.request(method, target, host=host).status == status, (method, target)



# ---- a path names no host ----

BY_HOST = {"upstream b": {"url": "http://127.0.0.1:1"},
           "route a": {"host": "a.example, *.a.example", "match": "/x*", "ttl": "60s", "query": "sort"},
           "route b": {"host": "b.example", "match": "/x*", "ttl": "60s", "upstream": "b"},
           "route none": {"host": "none.example", "match": "/other", "ttl": "60s"},
           "route all": {"match": "*", "ttl": "60s"}, "route late": {"host": "late.example", "match": "*"}}


def test_which_hosts_another_route_serves_is_said_where_a_path_names_none(start_proxy, origin):
    proxy = start_proxy(BY_HOST)
    origin.on("/x", lambda r: [Reply(200, {"X-Host": r.get("Host")}, b"1")])
    hosts = ["a.example", "*.a.example", "b.example"]
    said = proxy.explain("/x")
    assert (said["route"], said["hosts"]) == ("all", hosts)
    said = proxy.refresh("/x")
    assert (said["stored"], said["hosts"]) == (True, hosts)
    origin.on("/xx", [Reply(503)])
    r = proxy.admin("POST", "/refresh?url=/xx")
    assert (r.status, r.json()["hosts"]) == (502, hosts)
    assert "hosts" not in proxy.explain("/y") and "hosts" not in proxy.explain(origin.url + "/y")


def test_a_url_with_a_routes_host_is_that_routes(start_proxy, origin):
    proxy = start_proxy(BY_HOST)
    target = origin.on("/x?b=2&a=1", lambda r: [Reply(body=b"1")])
    origin.on("/x?a=1&b=2", lambda r: [Reply(body=b"1")])
    for host in ("a.example", "www.A.example"):
        said = proxy.explain(f"http://{host}" + target)
        assert (said["route"], said["url"], "hosts" in said) == ("a", origin.url + "/x?a=1&b=2", False)
    assert proxy.explain("http://b.example/x")["route"] == "b"
    assert proxy.refresh("http://a.example" + target)["stored"]
    assert proxy.fetch(target, host="a.example").is_hit
    proxy.purge(url="http://a.example" + target)
    assert not proxy.fetch(target, host="a.example").is_hit
    assert proxy.admin("GET", "/explain?url=http://c.example/x").status == 400
