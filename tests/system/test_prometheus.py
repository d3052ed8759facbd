# SPDX-License-Identifier: MIT
"""A real Prometheus scrapes /metrics: it takes all of it, and what docs/use/metrics.md asks of it has an answer."""
import os
import re
import shutil

import pytest

from support import prometheus
from support.origin import Origin, Pause, Reply, Reset
from support.pages import section
from support.proxy import ROOT, Port, Proxy, eventually
from support.secure import Pair

ALERTS = ROOT / "packaging" / "prometheus-alerts.yml"
PAGE = "docs/use/metrics.md"
# Published before anybody looked, so it stays.
KNOWN_COMPLAINTS = {"memoproxy_disk_recovery_ms metric names should not contain abbreviated units"}

pytestmark = pytest.mark.skipif(not prometheus.available(), reason="prometheus is not installed")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A proxy that has everything that can be counted, and has answered a little of each kind."""
    folder, plain = tmp_path_factory.mktemp("served"), Port()
    pair = Pair(folder / os.fsdecode(b'caf\xe9 "\\'), days=30)
    config = (f"[proxy]\nlisten = 127.0.0.1:{{port}}, 127.0.0.1:{plain.number} tls\nworkers = 2\n"
              f"tls_certificate = {pair.certificate}\ntls_key = {pair.key}\n[admin]\nlisten = 127.0.0.1:{{admin_port}}\n"
              "[upstream]\nurl = %s\nretries = 0\n[disk]\npath = " + f"{folder}/disk\nsize = 64M\n"
              "[route api]\nmatch = /api/*\nttl = 60s\n[route off]\nmatch = *\ncache = off\n")
    with Origin() as origin, Proxy(origin.url, config_text=config % origin.url) as proxy:
        yield proxy, origin
    plain.release()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(served):
    with prometheus.Prometheus(served[0].admin_port, ALERTS) as p:
        eventually(lambda: p.value("up") == 1, "it has scraped")
        yield p


def traffic(proxy, origin):
    path = origin.on("/api" + origin.fresh(), [Pause(0.01), Reply(body=b"x")])
    for _ in range(5):
        proxy.fetch(path)
    proxy.fetch(origin.on(origin.fresh(), [Reply(404)]))
    proxy.fetch(origin.on(origin.fresh(), [Reset()]))


def test_promtool_has_nothing_to_say(served):
    proxy, origin = served
    traffic(proxy, origin)
    said = prometheus.promtool("check", "metrics", text=proxy.admin("GET", "/metrics").body.decode())
    complaints = set((said.stdout + said.stderr).splitlines())
    assert complaints <= KNOWN_COMPLAINTS, complaints
    bad = prometheus.promtool("check", "metrics", text="# TYPE a_count counter\na_count 1\n")
    assert bad.returncode != 0, "it would have said something"


def test_what_is_counted_arrives(served, server):
    proxy, origin = served
    traffic(proxy, origin)
    stats = proxy.stats()
    for code in ("200", "404", "502"):
        eventually(lambda c=code: server.value(f'memoproxy_proxy_responses_total{{code="{c}"}}') == stats["codes"][c], code)
    assert server.value('memoproxy_route_responses_total{route="api",code="200"}') == stats["routes"]["api"]["codes"]["200"]
    assert server.value('memoproxy_origin_responses_total{code="404"}') == stats["upstreams"]["default"]["origin"]["codes"]["404"]
    assert server.value("memoproxy_origin_first_byte_seconds_count") == stats["upstreams"]["default"]["origin"]["first_byte"]["count"]
    assert server.value('sum(memoproxy_request_duration_seconds_bucket{cache="hit",le="+Inf"})') == stats["answers"]["hit"]
    assert server.value('process_start_time_seconds{job="memoproxy"}') == pytest.approx(stats["process"]["start_s"])
    types = {e["metric"]: e["type"] for e in server.api("targets/metadata")}
    assert types["memoproxy_origin_first_byte_seconds"] == "histogram" and types["memoproxy_proxy_in_flight"] == "gauge"
    [target] = server.api("targets")["activeTargets"]
    assert target["health"] == "up" and target["lastError"] == ""


def queries():
    return [" ".join(block.split()) for block in re.findall(r"(?:^    .*\n)+", section(PAGE, "Queries"), re.M)]


def test_the_queries_of_the_page_have_answers(served, server):
    proxy, origin = served
    assert len(queries()) > 5

    def all_answer():
        traffic(proxy, origin)
        return all(server.query(q) for q in queries())
    eventually(all_answer, "each query of docs/use/metrics.md has a result")


def test_the_alerts_are_valid_and_can_be_evaluated(served, server):
    said = prometheus.promtool("check", "rules", ALERTS)
    assert said.returncode == 0, said.stdout + said.stderr

    def rules():
        return [r for group in server.api("rules")["groups"] for r in group["rules"]]
    eventually(lambda: all(r["health"] == "ok" for r in rules()), "all have been evaluated")
    assert len(rules()) > 8
    names = {r["name"] for r in rules()}
    assert all(f"`{name}`" in section(PAGE, "Alerts") for name in names), "docs/use/metrics.md names them"
