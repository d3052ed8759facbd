# SPDX-License-Identifier: MIT
"""A real REST API behind the proxy: every response is the one that a direct request gets."""
import json

import pytest

from support.proxy import Proxy, eventually

from conftest import need_binary

OURS = {"age", "via", "cache-status", "date", "connection", "keep-alive", "transfer-encoding", "content-length"}


@pytest.fixture(scope="module")
def api(json_server):
    need_binary()
    proxy = Proxy(json_server.url, {
        "defaults": {"ttl_force": "60s"},  # it forbids caching by itself
        "route item": {"match": "/{kind}/{id}", "invalidates": "/{kind}*"},
        "route all": {"match": "*", "invalidates": "/*"},
    }).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def both(api, json_server):
    """Asks directly and through the proxy; the responses have to be equal, byte for byte, less our own fields."""
    from support.rawclient import fetch

    def ask(target, fields=None, method="GET"):
        host = f"127.0.0.1:{json_server.port}"
        direct = fetch(json_server.port, target, fields, method, host=host)
        through = api.fetch(target, fields, method, host=host)
        assert (through.status, through.reason, through.body) == (direct.status, direct.reason, direct.body)
        if through.has("Content-Length") and method != "HEAD" and through.status != 304:
            assert through.get("Content-Length") == str(len(through.body))
        if through.status == 304:  # a cache answers with the stored fields, the API with fewer
            assert through.get("ETag") == direct.get("ETag")
        else:
            assert comparable(through) == comparable(direct)
        return through
    return ask


def comparable(r):
    """Framing is each connection's own: the API streams in chunks what the cache knows the length of."""
    return sorted((n.lower(), v) for n, v in r.fields if n.lower() not in OURS)


READS = ["/users", "/users/1", "/users/50", "/posts", "/posts/1", "/comments", "/posts?userId=3", "/posts?_page=2&_limit=10",
         "/posts?_page=1", "/posts?_sort=views&_order=desc", "/posts?q=cache", "/posts?views_gte=5000", "/comments?postId=5",
         "/posts/1/comments", "/posts?_embed=comments&_limit=3", "/comments?_expand=post&_limit=3", "/posts?_start=5&_end=9",
         "/posts?id=1&id=2", "/users?email_like=user1", "/nothing", "/users/9999", "/db", "/posts?_limit=0", "/users?name=B%C3%A9la"]


@pytest.mark.parametrize("target", READS)
def test_reads_are_equal_on_miss_and_hit(both, target):
    first, second = both(target), both(target)
    assert second.is_hit or first.status == 404


@pytest.mark.parametrize("fields", [{"Accept-Encoding": "gzip"}, {"Accept-Encoding": "br, gzip"}, {"Accept-Encoding": "identity"},
                                    {"Origin": "http://site.example"}, {"Range": "bytes=0-99"}, {"Accept": "text/html"}])
def test_negotiated_reads_are_equal(both, fields):
    if "Range" not in fields:
        both("/comments?_limit=100", fields)
    both("/comments?_limit=101")
    both("/comments?_limit=100", {"Accept-Encoding": "gzip"})


def test_head_and_options(both):
    both("/posts/1", method="HEAD")
    both("/posts/2", {"Origin": "http://site.example", "Access-Control-Request-Method": "PUT"}, method="OPTIONS")


def test_conditional_reads(both):
    tag = both("/posts/3").get("ETag")
    assert tag
    assert both("/posts/3", {"If-None-Match": tag}).status == 304


def test_pagination_fields_survive(both):
    r = both("/posts?_page=2&_limit=20")
    assert r.get("X-Total-Count") == "200"
    assert 'rel="next"' in r.get("Link")


def send(api, method, target, value=None):
    body = b"" if value is None else json.dumps(value).encode()
    return api.fetch(target, {"Content-Type": "application/json"} if body else {}, method, body)


def test_writes_go_through_and_reads_see_them(api, both):
    both("/users")
    created = send(api, "POST", "/users", {"name": "Zoë", "age": 30})
    assert created.status == 201
    uid = created.json()["id"]
    assert both(f"/users/{uid}").json() == {"name": "Zoë", "age": 30, "id": uid}
    assert any(u["id"] == uid for u in both("/users").json()), "the list shows it"
    both(f"/users/{uid}")
    assert send(api, "PUT", f"/users/{uid}", {"name": "Zoe"}).json() == {"name": "Zoe", "id": uid}
    assert both(f"/users/{uid}").json() == {"name": "Zoe", "id": uid}
    assert send(api, "PATCH", f"/users/{uid}", {"age": 31}).status == 200
    assert both(f"/users/{uid}").json() == {"name": "Zoe", "id": uid, "age": 31}
    assert both("/users?name=Zoe").json()
    assert send(api, "DELETE", f"/users/{uid}").status == 200
    assert both(f"/users/{uid}").status == 404
    assert not any(u["id"] == uid for u in both("/users").json())


def test_write_of_bad_json_is_the_apis_error(api, both):
    r = api.fetch("/users", {"Content-Type": "application/json"}, "POST", b"{not json")
    assert r.status in (400, 500)
    both("/users")


def test_large_document(api, both):
    text = "x" * 60000
    created = send(api, "POST", "/posts", {"title": "large", "body": text})
    assert created.status == 201
    r = both(f"/posts/{created.json()['id']}")
    assert r.json()["body"] == text


def test_many_reads_on_one_connection(api, json_server):
    with api.client() as c:
        for i in range(1, 201):
            assert c.get(f"/posts/{i}").json()["id"] == i
        for i in range(1, 201):
            assert c.get(f"/posts/{i}").is_hit
    eventually(lambda: api.ready(), "still ready")
