# SPDX-License-Identifier: MIT
"""The access log: one line a request, written when its client has all of it or has left."""
import json
import os
import re
import signal

import pytest

from support.origin import Pause, Reply, Reset, Send, Wait, head, pattern
from support.proxy import eventually
from support.rawclient import build

ROUTES = {"route off": {"match": "/off/*", "cache": "off"}, "route all": {"match": "*", "ttl": "60s"}}
COMBINED = re.compile(r'(\S+) - - \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"'
                      r' cache=(\S+) route=(\S+) upstream=(\S+) total=(\d+\.\d{3}) id=(\S+)')


class Log:
    def __init__(self, path):
        self.path = path

    def lines(self):
        try:
            with open(self.path, encoding="utf-8") as f:
                return [line for line in f.read().split("\n")[:-1]]
        except FileNotFoundError:
            return []

    def of(self, target, n=1):
        """The n records about this target, once they are there."""
        def found():
            records = [r for r in map(json.loads, self.lines()) if r["target"] == target]
            return records if len(records) >= n else None
        records = eventually(found, f"{n} lines about {target}")
        assert len(records) == n, records
        return records[0] if n == 1 else records


def fetch_in_turn(proxy, path, *requests):
    """On one connection, so that their lines come in this order."""
    with proxy.client() as c:
        for fields in requests:
            c.get(path, fields)


@pytest.fixture
def logged(start_proxy, tmp_path):
    def start(sections=None, log_format="json", **kwargs):
        path = tmp_path / "access.log"
        proxy = start_proxy({"proxy": {"access_log": path, "access_log_format": log_format}, **(sections or ROUTES)}, **kwargs)
        return proxy, Log(path)
    return start


def test_a_line_says_how_the_cache_was_used(logged, origin):
    proxy, log = logged()
    path = origin.on(origin.fresh(), [Pause(1), Reply(body=b"12345")])
    fetch_in_turn(proxy, path, {"User-Agent": "me", "Referer": "there"}, {})
    miss, hit = log.of(path, 2)
    assert (miss["cache"], hit["cache"]) == ("miss", "hit")
    assert miss["bytes"] == hit["bytes"] == 5 and miss["status"] == hit["status"] == 200
    assert miss["route"] == "all" and miss["method"] == "GET" and miss["client"] == "127.0.0.1"
    assert (miss["user_agent"], miss["referer"]) == ("me", "there")
    assert 900 <= miss["upstream_ms"] <= miss["total_ms"] < 10000
    assert hit["upstream_ms"] is None and hit["total_ms"] < miss["upstream_ms"]


def test_combined_lines(logged, origin):
    proxy, log = logged(log_format="combined")
    path = origin.on(origin.fresh(), [Reply(body=b"12345")])
    fetch_in_turn(proxy, path, {"User-Agent": 'a "b"'}, {})
    lines = eventually(lambda: log.lines() if len(log.lines()) == 2 else None, "two lines")
    first, second = (COMBINED.fullmatch(line) for line in lines)
    assert first.group(3) == f"GET {path} HTTP/1.1" and first.group(4, 5) == ("200", "5")
    assert first.group(8, 9) == ("miss", "all") and second.group(8) == "hit" and second.group(10) == "-"
    assert first.group(12) != second.group(12)


@pytest.mark.parametrize("where", ["", "/off"])
def test_request_ids(logged, origin, where):
    proxy, log = logged()
    path = origin.on(where + origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path, {"X-Request-Id": "mine-1"})
    assert origin.requests[-1].get("X-Request-Id") == "mine-1", "passed on"
    proxy.fetch(path + "?2")
    assert origin.requests[-1].get("X-Request-Id") is None, "none is made up for the origin"
    proxy.fetch(path + "?2"), proxy.fetch(path + "?2", {"X-Request-Id": 'bad "id"\x01'.replace("\x01", "")})
    assert log.of(path)["request_id"] == "mine-1"
    ids = [r["request_id"] for r in log.of(path + "?2", 3)]
    assert all(re.fullmatch(r"[0-9a-f]{16}", i) for i in ids) and len(set(ids)) == 3


def test_trace_context_is_passed_on_unchanged_and_logged(logged, origin):
    proxy, log = logged()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path, {"traceparent": trace, "tracestate": "a=1,b=2"})
    assert origin.requests[-1].get("traceparent") == trace and origin.requests[-1].get("tracestate") == "a=1,b=2"
    assert log.of(path)["traceparent"] == trace


def test_the_line_comes_when_the_client_has_it_all(logged, origin):
    proxy, log = logged()
    gate = origin.gate()
    body = pattern(100000)
    path = origin.on(origin.fresh(), [Send(head(200, {"Content-Length": len(body)}) + body[:50000]), Wait(gate), Send(body[50000:])])
    with proxy.client() as c:
        c.start(target=path)
        half = c.response_head()
        other = origin.on(origin.fresh(), [Reply()])
        proxy.fetch(other)
        log.of(other)
        assert path not in [json.loads(line)["target"] for line in log.lines()]
        gate.open()
        assert c.read_body(half).body == body
    assert log.of(path)["bytes"] == len(body)


@pytest.mark.parametrize("where", ["", "/off"])
def test_bytes_are_those_of_the_body(logged, origin, where):
    proxy, log = logged()
    body = pattern(300000)
    for i, fields in enumerate([{"Content-Length": len(body)}, {"Transfer-Encoding": "chunked"}]):
        sent = body if i == 0 else b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
        path = origin.on(where + origin.fresh(), [Send(head(200, fields) + sent)])
        assert proxy.fetch(path).body == body
        assert log.of(path)["bytes"] == len(body)
        for head_of in (path, path + "?head"):
            assert proxy.fetch(head_of, method="HEAD").body == b""
        assert log.of(path, 2)[1]["bytes"] == log.of(path + "?head")["bytes"] == 0


def test_ranges_and_304_count_what_was_sent(logged, origin):
    proxy, log = logged()
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"a"'}, body=pattern(1000))])
    fetch_in_turn(proxy, path, {}, {"Range": "bytes=10-19"}, {"If-None-Match": '"a"'})
    assert [(r["status"], r["bytes"]) for r in log.of(path, 3)] == [(200, 1000), (206, 10), (304, 0)]


@pytest.mark.parametrize("road", ["on", "off"])
def test_both_paths_write_the_same_line(logged, origin, road):
    proxy, log = logged({"cache": {"fast_path": road}, **ROUTES})
    path = origin.on(origin.fresh(), [Reply(body=b"12345")])
    fetch_in_turn(proxy, path, {}, {})
    hit = log.of(path, 2)[1]
    assert (hit["cache"], hit["status"], hit["bytes"], hit["route"], hit["upstream_ms"]) == ("hit", 200, 5, "all", None)


# ---- clients that leave ----

def test_499_for_a_client_that_left_before_the_response(logged, origin):
    proxy, log = logged()
    gate = origin.gate()
    path = origin.on("/off" + origin.fresh(), [Wait(gate), Reply(body=b"x")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        c.reset()
    record = log.of(path)
    assert (record["status"], record["bytes"], record["cache"]) == (499, 0, "pass")
    gate.open()


@pytest.mark.parametrize("where", ["", "/off"])
def test_499_and_what_it_got_for_a_client_that_left_in_the_middle(logged, origin, where):
    proxy, log = logged()
    total = 7 << 20
    path = origin.on(where + origin.fresh(), [Reply(body=pattern(total))])
    with proxy.client(receive_buffer=4096) as c:
        c.start(target=path)
        assert c.read_bytes(1000)
        c.reset()
    record = log.of(path)
    assert record["status"] == 499 and 0 < record["bytes"] < total


def test_499_for_a_client_that_leaves_a_stored_response(logged, origin):
    proxy, log = logged({"cache": {"fast_path": "off"}, **ROUTES})
    total = 7 << 20
    path = origin.on(origin.fresh(), [Reply(body=pattern(total))])
    proxy.fetch(path)
    log.of(path)
    with proxy.client(receive_buffer=4096) as c:
        c.start(target=path)
        assert c.read_bytes(1000)
        c.reset()
    first, second = log.of(path, 2)
    assert (first["status"], first["bytes"]) == (200, total)
    assert (second["status"], second["cache"]) == (499, "hit") and 0 < second["bytes"] < total


# ---- what is no ordinary request ----

def test_responses_that_broke_and_errors(logged, origin):
    proxy, log = logged()
    path = origin.on("/off" + origin.fresh(), [Send(head(200, {"Content-Length": 100}) + b"x" * 10), Reset()])
    with proxy.client() as c:
        c.start(target=path)
        c.wait_closed()
    record = log.of(path)
    assert (record["status"], record["cache"], record["bytes"]) == (200, "error", 10)
    path = origin.on(origin.fresh(), [Reset()])
    proxy.fetch(path)
    assert (log.of(path)["status"], log.of(path)["cache"]) == (502, "error")


def test_requests_that_were_refused(logged):
    proxy, log = logged()
    with proxy.client() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        body = c.response().body
        c.wait_closed()
    record = eventually(lambda: next((r for r in map(json.loads, log.lines()) if r["status"] == 400), None), "a line")
    assert record["method"] is None and record["cache"] == "error"
    assert record["bytes"] == len(body) > 0


def test_nothing_of_the_client_breaks_a_line(logged, origin):
    proxy, log = logged()
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path, {"User-Agent": 'a"\\\xff', "Authorization": "Bearer secret", "Cookie": "sid=secret"})
    assert log.of(path)["user_agent"].startswith('a"\\')
    with open(log.path, "rb") as f:
        data = f.read()
    assert b"secret" not in data and b"\xff" not in data


# ---- the file ----

def test_USR1_opens_it_again(logged, origin):
    proxy, log = logged()
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    proxy.fetch(path)
    log.of(path)
    os.rename(log.path, str(log.path) + ".1")
    proxy.process.signal(signal.SIGUSR1)
    eventually(lambda: os.path.exists(log.path), "a new file")
    proxy.fetch(path)
    assert log.of(path)["cache"] == "hit"
    assert len(Log(str(log.path) + ".1").lines()) == 1


def test_a_reload_moves_it_turns_it_off_and_on(logged, origin, tmp_path):
    proxy, log = logged()
    path = origin.on(origin.fresh(), [Reply(body=b"x")])

    def load(**keys):
        proxy.write_config({"proxy": keys, **ROUTES})
        proxy.admin_json("POST", "/reload")
    proxy.fetch(path + "?1")
    log.of(path + "?1")
    other = Log(tmp_path / "other.log")
    load(access_log=other.path, access_log_format="combined")
    proxy.fetch(path + "?2")
    eventually(lambda: len(other.lines()) == 1 and COMBINED.fullmatch(other.lines()[0]), "a line in the other file")
    load(access_log="off")
    proxy.fetch(path + "?3")
    load(access_log=log.path, access_log_format="json")
    proxy.fetch(path + "?4")
    log.of(path + "?4")
    assert [json.loads(line)["target"][-1] for line in log.lines()] == ["1", "4"] and len(other.lines()) == 1


def test_a_reload_turns_it_on_where_there_was_none(start_proxy, origin, tmp_path):
    proxy = start_proxy(ROUTES)
    path = origin.on(origin.fresh(), [Reply(body=b"x")])
    log = Log(tmp_path / "late.log")
    proxy.write_config({"proxy": {"access_log": log.path, "access_log_format": "json"}, **ROUTES})
    proxy.admin_json("POST", "/reload")
    proxy.fetch(path)
    log.of(path)


def test_every_request_of_a_storm_has_its_line(logged, origin):
    proxy, log = logged()
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.target.encode())])
    clients = [proxy.client() for _ in range(10)]
    for c in clients:
        c.send(b"".join(build(target=f"{path}?{i}") for i in range(100)))
    for c in clients:
        for i in range(100):
            assert c.response().body == f"{path}?{i}".encode()
        c.close()
    eventually(lambda: len(log.lines()) >= 1000, "a thousand lines")
    assert len(log.lines()) == 1000 and proxy.stats()["access_log_dropped"] == 0


def test_lines_of_a_stopping_proxy_are_written(logged, origin):
    proxy, log = logged(grace="20s")
    gate = origin.gate()
    path = origin.on("/off" + origin.fresh(), [Wait(gate), Reply(body=b"late")])
    with proxy.client() as c:
        c.start(target=path)
        origin.wait_for(path)
        proxy.process.signal(signal.SIGTERM)
        gate.open()
        assert c.response().body == b"late"
        assert proxy.process.wait(20) == 0
    assert log.of(path)["bytes"] == 4
