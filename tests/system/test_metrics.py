# SPDX-License-Identifier: MIT
"""/stats and /metrics: what is counted is what happened, in a format that a strict reader takes."""
import math
import pathlib
import re
import time

import pytest

from support.origin import Close, Origin, Pause, Reply, Reset, Send, Wait, head
from support.proxy import eventually
from support.rawclient import Client

CONFIG = {"route users": {"match": "/users/*", "ttl": "60s"}, "route off": {"match": "/off/*", "cache": "off"},
          "route odd": {"match": "/odd/*", "ttl": "1s", "stale_while_revalidate": "1h"},
          "route all": {"match": "*", "ttl": "60s"}}

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL}(?:,{LABEL})*)?)\}})? (\S+)")
TYPES = {"counter", "gauge", "histogram"}


class Exposition:
    """The text format 0.0.4, read strictly: every sample belongs to the family announced just above it."""

    def __init__(self, text):
        assert text.endswith("\n") and "\r" not in text
        self.families, self.samples = {}, {}
        family = None
        for line in text[:-1].split("\n"):
            if line.startswith("# HELP "):
                name, help_text = line[7:].split(" ", 1)
                assert re.fullmatch(NAME, name) and name not in self.families, f"twice: {line}"
                assert help_text.strip() and help_text == help_text.strip()
                family = self.families[name] = {"name": name, "type": None, "samples": 0}
            elif line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                assert family and name == family["name"] and family["samples"] == 0 and kind in TYPES, line
                family["type"] = kind
            else:
                self._sample(line, family)
        for name, f in self.families.items():
            assert f["type"], f"{name} has no type"
            if f["type"] == "histogram":
                self._check_histogram(name)

    def _sample(self, line, family):
        m = SAMPLE.fullmatch(line)
        assert m, f"not a sample: {line!r}"
        name, labels, value = m.group(1), m.group(2) or "", float(m.group(m.lastindex))
        assert family, f"no family before {line}"
        bare = re.sub(r"_(bucket|sum|count)$", "", name) if family["type"] == "histogram" else name
        assert bare == family["name"], f"{name} under {family['name']}"
        assert family["type"] != "counter" or name.endswith("_total"), name
        assert value >= 0 and not math.isinf(value) and not math.isnan(value), line
        pairs = re.findall(LABEL, labels)
        assert len({n for n, _ in pairs}) == len(pairs), line
        key = (name, tuple(sorted(pairs)))
        assert key not in self.samples, f"twice: {line}"
        self.samples[key] = value
        family["samples"] += 1

    def _check_histogram(self, name):
        series = {}
        for (n, labels), value in self.samples.items():
            if n == name + "_bucket":
                bound = float(dict(labels)["le"].replace("+Inf", "inf"))
                rest = tuple(p for p in labels if p[0] != "le")
                series.setdefault(rest, []).append((bound, value))
        assert series
        for labels, buckets in series.items():
            assert buckets == sorted(buckets), "bounds ascend in the text"
            counts = [v for _, v in buckets]
            assert counts == sorted(counts), "buckets are cumulative"
            assert buckets[-1][0] == math.inf and counts[-1] == self.samples[(name + "_count", labels)]
            assert (name + "_sum", labels) in self.samples

    def get(self, name, **labels):
        return self.samples[(name, tuple(sorted(labels.items())))]


def metrics(proxy):
    r = proxy.admin("GET", "/metrics")
    assert r.status == 200 and r.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    return Exposition(r.body.decode())


def answers(proxy):
    return proxy.stats()["answers"]


def grown(proxy, before):
    now = answers(proxy)
    return {k: now[k] - before[k] for k in now if now[k] != before[k]}


def test_the_format_is_strict(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path), proxy.fetch(path)
    m = metrics(proxy)
    assert len(m.families) > 60
    stats = proxy.stats()
    assert m.get("memoproxy_build_info", version=stats["version"], libraries=stats["libraries"]) == 1
    assert stats["libraries"].startswith("libevent 2.") and "libcurl/" in stats["libraries"] and "OpenSSL/" in stats["libraries"]


def shown(value, at=""):
    """The path of each figure in /stats."""
    if not isinstance(value, dict):
        return [at]
    return [path for name, inner in value.items() for path in shown(inner, f"{at}/{name}")]


def test_what_dashboards_know_keeps_its_name_kind_and_place(start_proxy, origin, tmp_path):
    """known_metrics.txt is what /metrics announced and where /stats had its figures: more may come, nothing may go."""
    p = start_proxy({"route all": {"match": "*", "ttl": "60s"}, "disk": {"path": str(tmp_path / "disk"), "size": "64M"}})
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    p.fetch(path), p.fetch(path), p.purge(tag="a")
    text = p.admin("GET", "/metrics").body.decode()
    now = iter([line for line in text.split("\n") if line.startswith("#")] + shown(p.stats()))
    known = (pathlib.Path(__file__).parent / "known_metrics.txt").read_text().splitlines()
    missing = [line for line in known if line not in now]  # `in` goes on from where the last one was: the order counts too
    assert not missing, f"from there on something has gone or moved: {missing[0]}"


def test_a_reader_that_is_as_strict_as_it_says():
    good = "# HELP a_total x.\n# TYPE a_total counter\na_total 1\n"
    assert Exposition(good).get("a_total") == 1
    for bad in ("a_total 1\n", good + "a_total 1\n", good + "b 1\n", good[:-1], good.replace(" 1", " -1"),
                good.replace(" 1", ""), good.replace("a_total 1", 'a_total{x="} 1'), good.replace("_total", "")):
        with pytest.raises(AssertionError):
            Exposition(bad)


def test_each_way_of_using_the_cache_is_counted_once(proxy, origin):
    hit = origin.on(origin.fresh(), [Reply(body=b"x")])
    before = answers(proxy)
    proxy.fetch(hit), proxy.fetch(hit), proxy.fetch(hit)
    assert grown(proxy, before) == {"miss": 1, "hit": 2}

    gate = origin.gate()
    herd = origin.on(origin.fresh(), [Wait(gate), Reply(body=b"x")])
    before = answers(proxy)
    clients = [proxy.client() for _ in range(5)]
    for c in clients:
        c.start(target=herd)
    eventually(lambda: proxy.stats()["cache"]["waiters"] == 5, "all wait")
    gate.open()
    for c in clients:
        assert c.response().body == b"x"
        c.close()
    eventually(lambda: grown(proxy, before) == {"miss": 1, "collapsed": 4}, "one miss, four collapsed")

    passed = origin.on("/off" + origin.fresh(), [Reply(body=b"x")])
    before = answers(proxy)
    proxy.fetch(passed), proxy.fetch(passed, method="POST")
    assert grown(proxy, before) == {"pass": 2}

    broken = origin.on(origin.fresh(), [Close()])
    before = answers(proxy)
    assert proxy.fetch(broken).status == 502
    assert grown(proxy, before) == {"error": 1}


def test_revalidated_and_stale_are_what_they_say(proxy, origin):
    fields = {"ETag": '"a"', "Cache-Control": "max-age=0"}
    path = origin.on(origin.fresh(), [Reply(200, fields, b"x")], [Reply(304, fields)])
    proxy.fetch(path)
    before = answers(proxy)
    assert proxy.fetch(path).body == b"x"
    assert grown(proxy, before) == {"revalidated": 1}

    fields = {"Cache-Control": "max-age=0, stale-while-revalidate=1000"}
    path = origin.on("/odd" + origin.fresh(), [Reply(200, fields, b"x")])
    proxy.fetch(path)
    before = answers(proxy)
    assert proxy.fetch(path).body == b"x"
    assert grown(proxy, before) == {"stale": 1}

    fields = {"Cache-Control": "max-age=0, stale-if-error=1000"}
    path = origin.on(origin.fresh(), [Reply(200, fields, b"x")], [Reset()])
    proxy.fetch(path)
    before = answers(proxy)
    assert proxy.fetch(path).body == b"x"
    assert grown(proxy, before) == {"stale": 1}


def test_figures_of_a_route(proxy, origin):
    path = origin.on("/users" + origin.fresh(), [Reply(body=b"x")])
    before = proxy.stats()["routes"]["users"]["answers"]
    for _ in range(4):
        proxy.fetch(path)
    route = proxy.stats()["routes"]["users"]
    assert {k: route["answers"][k] - before[k] for k in before if route["answers"][k] != before[k]} == {"miss": 1, "hit": 3}
    assert 0 < route["hit_ratio"] < 1 and route["mean_fetch_s"] > 0
    m = metrics(proxy)
    assert m.get("memoproxy_route_answers_total", route="users", cache="hit") == route["answers"]["hit"]
    assert m.get("memoproxy_route_upstream_saved_seconds_total", route="users") >= 3 * route["mean_fetch_s"] * 0.9
    assert set(proxy.stats()["routes"]) == {"users", "off", "odd", "all", "default"}


def test_time_saved_is_about_what_the_fetches_took(start_proxy, origin):
    proxy = start_proxy({"route all": {"match": "*", "ttl": "60s"}})
    path = origin.on(origin.fresh(), [Pause(0.2), Reply(body=b"x")])
    for _ in range(11):
        proxy.fetch(path)
    saved, mean = proxy.stats()["upstream_saved_s"], proxy.stats()["routes"]["all"]["mean_fetch_s"]
    assert mean >= 0.2 and saved == pytest.approx(10 * mean, rel=0.01)
    assert proxy.stats()["upstreams"]["default"]["time_s"] >= 0.2


def test_routes_keep_their_figures_over_a_reload_by_name(start_proxy, origin):
    proxy = start_proxy({"route a": {"match": "/a/*", "ttl": "60s"}, "route b": {"match": "/b/*", "ttl": "60s"}})
    for route in "ab":
        path = origin.on(f"/{route}" + origin.fresh(), [Reply(body=b"x")])
        proxy.fetch(path), proxy.fetch(path)
    proxy.write_config({"route new": {"match": "/new/*"}, "route b": {"match": "/b/*", "ttl": "60s"}})
    proxy.admin_json("POST", "/reload")
    routes = proxy.stats()["routes"]
    assert set(routes) == {"new", "b", "default"}
    assert routes["b"]["answers"]["hit"] == 1 and routes["b"]["upstream_saved_s"] > 0
    assert sum(routes["new"]["answers"].values()) == 0
    assert proxy.stats()["answers"]["hit"] == 2, "the sum forgets nothing"
    assert metrics(proxy).get("memoproxy_config_reloads_total") == 1


def test_histograms_count_what_was_answered(proxy, origin):
    path = origin.on("/off" + origin.fresh(), [Pause(0.3), Reply(body=b"x")])

    def under(m, bound):
        return m.get("memoproxy_request_duration_seconds_bucket", cache="pass", le=bound)
    before = metrics(proxy)
    proxy.fetch(path)
    eventually(lambda: under(metrics(proxy), "+Inf") == under(before, "+Inf") + 1, "it is counted")
    after = metrics(proxy)
    assert under(after, "0.25") == under(before, "0.25"), "it took longer than that"
    assert under(after, "60") == under(before, "60") + 1
    total = "memoproxy_request_duration_seconds_sum"
    assert after.get(total, cache="pass") - before.get(total, cache="pass") >= 0.3
    bounds = {dict(labels)["le"] for (name, labels) in after.samples if name == "memoproxy_request_duration_seconds_bucket"}
    assert {"5e-05", "0.0005", "60", "+Inf"} <= bounds and len(bounds) == 20


def codes(m, name, **labels):
    """What a metric has of each status, where it has anything."""
    found = {}
    for (n, pairs), value in m.samples.items():
        rest = dict(pairs)
        code = rest.pop("code", None)
        if n == name and rest == labels and value:
            found[code] = value
    return found


def test_responses_are_told_apart_by_status(start_proxy, origin):
    proxy = start_proxy(CONFIG)
    path = origin.on("/users" + origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path), proxy.fetch(path)
    gone = origin.on("/off" + origin.fresh(), [Reply(404, body=b"no")])
    proxy.fetch(gone)
    odd = origin.on("/off" + origin.fresh(), [Reply(418, body=b"tea")], [Reply(418, body=b"tea")], [Reply(599, body=b"!")])
    proxy.fetch(odd), proxy.fetch(odd), proxy.fetch(odd)
    assert proxy.fetch(origin.on("/off" + origin.fresh(), [Reset()], [Reset()])).status == 502
    with proxy.client() as c:
        c.send(b"GET / HTTP/1.1\r\n\r\n")
        assert c.response().status == 400
    m, s = metrics(proxy), proxy.stats()
    assert codes(m, "memoproxy_route_responses_total", route="users") == {"200": 2} == s["routes"]["users"]["codes"]
    off = {"404": 1, "4xx": 2, "5xx": 1, "502": 1}
    assert codes(m, "memoproxy_route_responses_total", route="off") == off == s["routes"]["off"]["codes"]
    upstream = {"200": 2, **off}
    assert codes(m, "memoproxy_upstream_responses_total", upstream="default") == upstream == s["upstreams"]["default"]["codes"]
    everything = {**upstream, "400": 1}  # what was refused is of no route
    assert codes(m, "memoproxy_proxy_responses_total") == everything == s["codes"]
    sent = {"200": 1, "404": 1, "4xx": 2, "5xx": 1}  # a hit and a 502 of our own were not the origin's
    assert codes(m, "memoproxy_origin_responses_total", upstream="default") == sent == s["upstreams"]["default"]["origin"]["codes"]


def test_every_status_of_the_sums_is_there_from_the_start_but_not_of_each_route(start_proxy):
    """rate() sees the first error where the series was there before it."""
    m = metrics(start_proxy(CONFIG))
    for name, labels in (("proxy", {}), ("upstream", {"upstream": "default"}), ("origin", {"upstream": "default"})):
        assert m.get(f"memoproxy_{name}_responses_total", code="503", **labels) == 0
        assert m.get(f"memoproxy_{name}_responses_total", code="5xx", **labels) == 0
    assert not [labels for name, labels in m.samples if name == "memoproxy_route_responses_total"]


def test_a_client_that_left_counts_as_499(start_proxy, origin):
    proxy = start_proxy(CONFIG)
    path = origin.on("/off" + origin.fresh(), [Wait(gate := origin.gate()), Reply(body=b"x")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        c.reset()
    eventually(lambda: proxy.stats()["routes"]["off"]["codes"] == {"499": 1}, "it is counted")
    gate.open()


def test_counts_by_status_stay_over_a_reload_by_name(start_proxy, origin):
    a, b = {"match": "/a/*", "ttl": "60s"}, {"match": "/b/*", "ttl": "60s"}
    proxy = start_proxy({"route a": a, "route b": b})
    for route in "ab":
        path = origin.on(f"/{route}" + origin.fresh(), [Reply(body=b"x")])
        proxy.fetch(path), proxy.fetch(path)
    proxy.write_config({"route new": {"match": "/new/*"}, "route b": b, "upstream": {"retries": 0}})
    proxy.admin_json("POST", "/reload")
    s = proxy.stats()
    assert s["routes"]["b"]["codes"] == {"200": 2} and s["routes"]["new"]["codes"] == {} and "a" not in s["routes"]
    assert s["codes"] == {"200": 4} == s["upstreams"]["default"]["codes"], "sums go down with no route"


def test_a_response_that_a_reload_has_overtaken_counts_for_its_upstream(start_proxy, origin):
    with Origin() as other:
        both = {"upstream other": {"url": other.url}, "route all": {"match": "*", "upstream": "other", "cache": "off"}}
        proxy = start_proxy(both)
        other.on("/x", [Wait(gate := other.gate()), Reply(body=b"x")])
        with proxy.client() as c:
            c.start(target="/x")
            other.wait_for("/x")
            proxy.write_config({**both, "route all": {**both["route all"], "ttl": "1s"}})
            proxy.admin_json("POST", "/reload")
            gate.open()
            assert c.response().body == b"x"
        eventually(lambda: proxy.stats()["codes"] == {"200": 1}, "it is counted")
        s = proxy.stats()
        assert s["upstreams"]["other"]["codes"] == {"200": 1} and s["upstreams"]["default"]["codes"] == {}
        assert s["routes"]["all"]["codes"] == {"200": 1}


def test_routes_beyond_the_bound_have_no_series(start_proxy, origin):
    routes = {f"route r{i}": {"match": f"/{i}/*", "ttl": "60s"} for i in range(3)}
    proxy = start_proxy({**routes, "admin": {"metrics_routes": 2}})
    for i in range(3):
        proxy.fetch(origin.on(f"/{i}" + origin.fresh(), [Reply(body=b"x")]))

    def shown(m):
        return {dict(labels).get("route") for _, labels in m.samples} - {None}
    m = metrics(proxy)
    assert shown(m) == {"r0", "r1"} and m.get("memoproxy_metrics_routes_left_out") == 2  # r2 and default
    assert m.get("memoproxy_proxy_responses_total", code="200") == 3, "sums have all"
    assert proxy.stats()["routes"]["r2"]["codes"] == {"200": 1}
    for bound, left in ((0, 4), (10000, 0)):
        proxy.write_config({**routes, "admin": {"metrics_routes": bound}})
        proxy.admin_json("POST", "/reload")
        m = metrics(proxy)
        assert len(shown(m)) == 4 - left and m.get("memoproxy_metrics_routes_left_out") == left


def test_the_origins_first_byte_and_whole_response(start_proxy, origin):
    proxy = start_proxy(CONFIG)
    path = origin.on("/off" + origin.fresh(), [Pause(0.3), Send(head(200, {"Content-Length": 2}) + b"x"), Pause(0.3), Send(b"y")])
    cut = origin.on("/off" + origin.fresh(), [Send(head(200, {"Content-Length": 100}) + b"x"), Reset()])
    assert proxy.fetch(path).body == b"xy"
    with proxy.client() as c:
        c.start(target=cut)
        c.wait_closed()
    m, s = metrics(proxy), proxy.stats()["upstreams"]["default"]["origin"]
    first, whole = "memoproxy_origin_first_byte_seconds", "memoproxy_origin_response_duration_seconds"
    assert m.get(first + "_count", upstream="default") == 2 == s["first_byte"]["count"]
    assert m.get(whole + "_count", upstream="default") == 1 == s["whole"]["count"], "one broke off"
    assert m.get(first + "_bucket", upstream="default", le="0.25") <= 1
    assert m.get(whole + "_bucket", upstream="default", le="0.5") == 0, "both pauses are in it"
    assert m.get(first + "_sum", upstream="default") >= 0.3 and m.get(whole + "_sum", upstream="default") >= 0.6
    assert s["whole"]["le"]["0.5"] == 0 and s["whole"]["le"]["60"] == 1


def test_health_checks_are_no_responses_of_an_origin(start_proxy, origin):
    origin.on("/health", lambda r: [Reply(body=b"well")])
    proxy = start_proxy({"upstream": {"health_path": "/health", "health_interval": "20ms"}})
    eventually(lambda: proxy.stats()["upstreams"]["default"]["health_checks"] > 2, "it is checked")
    s = proxy.stats()["upstreams"]["default"]["origin"]
    assert s["codes"] == {} and s["first_byte"]["count"] == s["whole"]["count"] == 0


def test_what_is_in_flight(start_proxy, origin):
    proxy = start_proxy(CONFIG)
    gate = origin.gate()
    path = origin.on("/off" + origin.fresh(), [Wait(gate), Reply(body=b"x")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        m = metrics(proxy)
        assert m.get("memoproxy_proxy_in_flight") == 1 == m.get("memoproxy_upstream_active", upstream="default")
        gate.open()
        assert c.response().body == b"x"
    eventually(lambda: proxy.stats()["requests"]["in_flight"] == 0, "it is out")
    assert proxy.stats()["upstreams"]["default"]["active"] == 0
    path = origin.on("/off" + origin.fresh(), [Wait(gate := origin.gate()), Reply(body=b"x")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        c.reset()
    eventually(lambda: proxy.stats()["requests"]["in_flight"] == 0, "its client has left")
    gate.open()


def test_the_process_by_the_names_of_prometheus_client_libraries(start_proxy):
    proxy = start_proxy()
    started = time.time()
    idle = [proxy.client() for _ in range(5)]
    eventually(lambda: proxy.stats()["clients"]["open"] == 5, "all are connected")
    m, p = metrics(proxy), proxy.stats()["process"]
    assert abs(m.get("process_open_fds") - proxy.open_files()) <= 2, "but for admin connections"
    assert m.get("process_open_fds") > 5 and p["open_fds"] > 5
    assert m.get("process_max_fds") == p["max_fds"] >= m.get("process_open_fds")
    assert 0 < m.get("process_cpu_seconds_total") <= p["cpu_s"]
    assert m.get("process_resident_memory_bytes") > 1 << 20 and p["resident_bytes"] > 1 << 20
    assert m.get("process_virtual_memory_bytes") > m.get("process_resident_memory_bytes")
    assert started - 100 < m.get("process_start_time_seconds") <= time.time()
    assert metrics(proxy).get("process_start_time_seconds") == m.get("process_start_time_seconds") == p["start_s"]
    for c in idle:
        c.close()


def test_both_views_agree(proxy, origin):
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    for _ in range(3):
        proxy.fetch(path)
    s, m = proxy.stats(), metrics(proxy)
    for kind, n in s["answers"].items():
        assert m.get("memoproxy_proxy_answers_total", cache=kind) == n
    assert m.get("memoproxy_cache_entries") == s["cache"]["entries"]
    assert m.get("memoproxy_upstream_started_total", upstream="default") == s["upstreams"]["default"]["started"]
    assert m.get("memoproxy_proxy_hit_ratio") == pytest.approx(s["hit_ratio"])


def test_clients_that_left_and_responses_that_broke_are_counted(proxy, origin):
    gate = origin.gate()
    path = origin.on("/off" + origin.fresh(), [Wait(gate), Reply(body=b"x")])
    before = proxy.stats()["requests"]
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        c.reset()
    eventually(lambda: proxy.stats()["requests"]["clients_gone"] == before["clients_gone"] + 1, "the client left")
    gate.open()
    path = origin.on("/off" + origin.fresh(), [Send(head(200, {"Content-Length": 100}) + b"x"), Reset()])
    with proxy.client() as c:
        c.start(target=path)
        c.wait_closed()
    eventually(lambda: proxy.stats()["requests"]["aborted"] == before["aborted"] + 1, "the answer was cut")


def test_evictions_are_told_apart(start_proxy, origin):
    proxy = start_proxy({"cache": {"memory": "1M"}, "route all": {"match": "*", "ttl": "60s"}})
    path = origin.on(origin.fresh(), lambda r: [Reply(body=b"x" * 50000)])
    for i in range(60):
        proxy.fetch(f"{path}?{i}")
    s = proxy.stats()["cache"]
    assert s["evicted_lru"] > 0 and s["bytes"] <= s["memory_bytes"] == 1 << 20
    proxy.purge(all=1)
    eventually(lambda: proxy.stats()["cache"]["evicted_purged"] > 0, "purged answers are swept")
    assert metrics(proxy).get("memoproxy_cache_evicted_lru_total") >= s["evicted_lru"]


def test_many_scrapes_at_once(proxy):
    clients = [Client(proxy.admin_port) for _ in range(50)]
    for c in clients:
        c.start(target="/metrics", host=f"127.0.0.1:{proxy.admin_port}")
    for c in clients:
        Exposition(c.response().body.decode())
        c.close()


def test_a_scraper_that_leaves(proxy):
    for _ in range(20):
        c = Client(proxy.admin_port)
        c.start(target="/metrics", host=f"127.0.0.1:{proxy.admin_port}")
        c.reset()
    assert metrics(proxy)


def test_the_state_of_origins_and_breaker_is_told(start_proxy):
    uncached = {"route all": {"match": "*", "cache": "off"}}
    breaker = {"breaker_errors": "50%", "breaker_requests": 2, "breaker_window": "60s", "breaker_open": "1h",
               "retries": 0, "max_fails": 1, "fail_timeout": "1h"}
    with Origin() as a, Origin() as b:
        proxy = start_proxy({**uncached, "upstream": breaker}, upstream=f"{a.url} {b.url}")
        name = "memoproxy_upstream_"
        labels = [{"upstream": "default", "origin": o.url} for o in (a, b)]
        m = metrics(proxy)
        assert [m.get(name + "origin_up", **o) for o in labels] == [1, 1]
        assert m.get(name + "breaker_open", upstream="default") == 0
        a.on("/x", [Reset()])
        b.on("/x", [Reset()])
        assert [proxy.fetch("/x").status for _ in range(2)] == [502, 502]
        m = metrics(proxy)
        assert [m.get(name + "origin_up", **o) for o in labels] == [0, 0]
        assert [m.get(name + "origin_failures_in_a_row", **o) for o in labels] == [1, 1]
        assert [m.get(name + "origin_active", **o) for o in labels] == [0, 0]
        assert m.get(name + "breaker_open", upstream="default") == 1


def test_what_the_upstream_says_of_its_budget_is_told(start_proxy, origin):
    proxy = start_proxy({"upstream": {"quota_guard": "on"}}, upstream=origin.url)
    path = origin.on(origin.fresh(), [Reply(200, {"RateLimit": '"d";r=40;t=60', "RateLimit-Policy": '"d";q=100;w=60'}, b"x")])
    assert proxy.fetch(path).status == 200
    m = metrics(proxy)
    assert m.get("memoproxy_upstream_quota_remaining", upstream="default") == 40
    assert m.get("memoproxy_upstream_spared", upstream="default") == 0
