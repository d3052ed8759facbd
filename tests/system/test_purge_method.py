# SPDX-License-Identifier: MIT
"""The method PURGE, as users of Varnish and Fastly send it: on listeners that say so, from addresses that may."""
import socket

import pytest

from support.origin import Reply
from support.proxy import eventually
from support.rawclient import Client

ROUTES = {"route all": {"match": "*", "ttl": "600s"}}


def purging(start_proxy, origin, words="purge", keys="", disk=""):
    return start_proxy(config_text=(
        f"[proxy]\nlisten = 127.0.0.1:{{port}} {words}\nworkers = 2\nshutdown_grace = 2s\n{keys}\n[admin]\nlisten = 127.0.0.1:{{admin_port}}\n"
        f"[upstream]\nurl = {origin.url}\n{disk}[route all]\nmatch = *\nttl = 600s\n"))


def counted(origin, path, fields=None):
    n = iter(range(1, 100))
    return origin.on(path, lambda r: [Reply(200, fields or {}, str(next(n)))] if r.method == "GET" else [Reply(204)])


def test_purge_takes_the_url_that_is_asked_for(start_proxy, origin):
    proxy = purging(start_proxy, origin)
    a, b = (counted(origin, origin.fresh()) for _ in range(2))
    for path in (a, a + "?x=1", b):
        proxy.fetch(path)
    asked = len(origin.requests)
    r = proxy.fetch(a, method="PURGE")
    assert r.status == 200 and r.json()["purged"] == "url" and r.json()["names"] == 1 and r.json()["soft"] is False
    assert len(origin.requests) == asked, "it does not go upstream"
    assert [proxy.fetch(p).is_hit for p in (a, a + "?x=1", b)] == [False, True, True]
    proxy.fetch(a + "?x=1", method="PURGE")
    assert [proxy.fetch(p).is_hit for p in (a, a + "?x=1", b)] == [True, False, True]


@pytest.mark.parametrize("field", ["xkey", "xkey-purge", "Surrogate-Key", "Cache-Tag"])
def test_purge_takes_the_tags_that_it_names_and_not_its_url(start_proxy, origin, field):
    proxy = purging(start_proxy, origin)
    one, two, three = (counted(origin, origin.fresh(), {"Surrogate-Key": f"all t{i}"}) for i in range(3))
    for path in (one, two, three):
        proxy.fetch(path)
    r = proxy.fetch(three, {field: "t0 , t1"}, method="PURGE")
    assert r.json()["purged"] == "tag" and r.json()["names"] == 2
    assert [proxy.fetch(p).is_hit for p in (one, two, three)] == [False, False, True]
    logged = proxy.admin_json("GET", "/purges")["purges"][0]
    assert (logged["by"], logged["names"], logged["first"], logged["from"]) == ("PURGE", 2, "t0", "127.0.0.1")


def test_a_soft_purge_leaves_something_to_validate(start_proxy, origin):
    proxy = purging(start_proxy, origin)
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"1"'}, b"x")], [Reply(304, {"ETag": '"1"'})])
    proxy.fetch(path)
    assert proxy.fetch(path, {"Fastly-Soft-Purge": "1"}, method="PURGE").json()["soft"] is True
    assert proxy.fetch(path).body == b"x"
    assert origin.last(path).get("If-None-Match") == '"1"'


def test_whoever_is_not_listed_is_refused(start_proxy, origin):
    proxy = purging(start_proxy, origin, keys="purge_from = 192.0.2.0/24")
    path = counted(origin, origin.fresh())
    proxy.fetch(path)
    r = proxy.fetch(path, method="PURGE")
    assert r.status == 403 and "purge_from" in r.json()["detail"]
    assert proxy.fetch(path).is_hit and all(q.method != "PURGE" for q in origin.requests)


@pytest.mark.parametrize("fields", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-origin"}])
def test_a_web_page_in_somebodys_browser_is_not_obeyed(start_proxy, origin, fields):
    proxy = purging(start_proxy, origin)
    path = counted(origin, origin.fresh())
    proxy.fetch(path)
    r = proxy.fetch(path, fields, method="PURGE")
    assert r.status == 403 and "web page" in r.body.decode() and proxy.fetch(path).is_hit


@pytest.mark.parametrize("field", ["Via", "Forwarded", "X-Forwarded-For", "X-Real-IP", "CDN-Loop", "X-Forwarded-Host"])
def test_what_another_proxy_passed_on_is_refused(start_proxy, origin, field):
    proxy = purging(start_proxy, origin)
    path = counted(origin, origin.fresh())
    proxy.fetch(path)
    value = {"Via": "1.1 nginx", "Forwarded": "for=127.0.0.1"}.get(field, "127.0.0.1")
    assert proxy.fetch(path, {field: value}, method="PURGE").status == 403
    assert proxy.fetch(path).is_hit


def test_without_the_word_it_is_a_method_of_the_origins(start_proxy, origin):
    proxy = start_proxy(ROUTES)
    path = counted(origin, origin.fresh())
    proxy.fetch(path)
    assert proxy.fetch(path, method="PURGE").status == 204
    assert origin.last(path).method == "PURGE"


@pytest.mark.parametrize("source, status", [("192.0.2.7", 200), ("198.51.100.1", 403)])
def test_behind_the_proxy_protocol_the_address_that_it_names_counts(start_proxy, origin, source, status):
    proxy = purging(start_proxy, origin, words="purge proxy", keys="purge_from = 192.0.2.0/24")
    path = counted(origin, origin.fresh())
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as s:
        s.sendall(f"PROXY TCP4 {source} 203.0.113.1 4711 443\r\nPURGE {path} HTTP/1.1\r\nHost: x.example\r\nConnection: close\r\n\r\n".encode())
        said = s.makefile("rb").read()
    assert said.startswith(f"HTTP/1.1 {status} ".encode()), said


def test_a_reload_changes_who_may(start_proxy, origin):
    proxy = purging(start_proxy, origin, keys="purge_from = 192.0.2.0/24")
    path = counted(origin, origin.fresh())
    assert proxy.fetch(path, method="PURGE").status == 403
    proxy.config_text = proxy.config_text.replace("192.0.2.0/24", "127.0.0.1")
    proxy.write_config()
    assert proxy.admin("POST", "/reload").status == 200
    assert proxy.fetch(path, method="PURGE").status == 200


def test_a_client_that_leaves_has_purged(start_proxy, origin):
    proxy = purging(start_proxy, origin)
    path = counted(origin, origin.fresh())
    proxy.fetch(path)
    before = proxy.stats()["cache"]["purges"]
    with Client(proxy.port) as c:
        c.start("PURGE", path)
    eventually(lambda: proxy.stats()["cache"]["purges"] == before + 1, "it is purged")
    assert not proxy.fetch(path).is_hit


def test_what_was_purged_stays_so_after_a_restart(start_proxy, origin, tmp_path):
    proxy = purging(start_proxy, origin, disk=f"[disk]\npath = {tmp_path / 'd'}\nsize = 64M\n")
    one, two, three = (counted(origin, origin.fresh(), {"Cache-Tag": f"kept{i}"}) for i in range(3))
    for path in (one, two, three):
        proxy.fetch(path)
    proxy.wait_written()
    assert proxy.fetch(one, method="PURGE").status == 200
    assert proxy.fetch(one, {"xkey": "kept1"}, method="PURGE").status == 200
    proxy.restart_from_disk()
    assert [proxy.fetch(p).is_hit for p in (one, two, three)] == [False, False, True]
