# SPDX-License-Identifier: MIT
"""GraphQL over POST: queries are cached, what changes something goes alone and makes what it changed stale."""
import json
import threading
import urllib.parse

import pytest

from support.origin import Reply, Wait
from support.proxy import eventually

FIELDS = {"Content-Type": "application/json"}
ROUTE = {"match": "/graphql*", "methods": "GET, HEAD, POST, QUERY", "store_if": "graphql", "ttl": "60s",
         "invalidates": "/graphql, /other"}
CONFIG = {
    "proxy": {"workers": 2},
    "upstream": {"max_connections": 100, "retries": 0},
    "route graphql": ROUTE,
    "route all": {"match": "*", "ttl": "60s"},
}
NAMES = iter(range(1, 10000))


def place(origin, status=200):
    """Of its own for each test, as `invalidates` names it too."""
    n = iter(range(1, 10000))
    origin.on("/other", lambda r: [Reply(body=str(next(n)))])
    return origin.on("/graphql", lambda r: [Reply(status if b"mutation" in r.body or "mutation" in r.target else 200,
                                                  FIELDS, json.dumps({"data": {"n": next(n)}}))])


def ask(proxy, document, method="POST", **more):
    if method == "GET":
        return proxy.fetch("/graphql?" + urllib.parse.urlencode({"query": document, **more}))
    return proxy.fetch("/graphql", FIELDS, method, json.dumps({"query": document, **more}).encode())


def fresh(what):
    return f"{what} {{ f{next(NAMES)} }}"


@pytest.mark.parametrize("method", ["POST", "QUERY", "GET"])
def test_queries_are_cached(proxy, origin, method):
    place(origin)
    for document in (fresh("query Q"), fresh(""), fresh("# mutation {\n")):
        first = ask(proxy, document, method)
        again = ask(proxy, document, method)
        assert again.is_hit and again.body == first.body, (document, again.fields)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_mutation_purges_all_queries_of_its_endpoint(start_proxy, origin, method):
    """In bodies and in the URL, though the route names nothing; and nothing else."""
    proxy = start_proxy({**CONFIG, "route graphql": {**ROUTE, "invalidates": None}})
    place(origin)
    document = fresh("query Q")
    proxy.fetch("/other")
    before = {m: ask(proxy, document, m).body for m in ("POST", "QUERY", "GET")}
    assert all(ask(proxy, document, m).is_hit for m in before)
    assert ask(proxy, fresh("mutation"), method).status == 200
    assert all(ask(proxy, document, m).body != before[m] for m in before)
    assert proxy.fetch("/other").is_hit


@pytest.mark.parametrize("method", ["POST", "QUERY", "GET"])
@pytest.mark.parametrize("what", ["mutation", "subscription S", "query A { a } mutation B"])
def test_what_changes_something_is_carried_out_each_time(proxy, origin, method, what):
    place(origin)
    before = origin.count("/graphql")
    document = fresh(what)
    answers = [ask(proxy, document, method, operationName="A") for _ in range(4)]
    assert not any(r.is_hit or r.cache_status.get("stored") for r in answers), [r.fields for r in answers]
    assert origin.count("/graphql") == before + 4 and len({r.body for r in answers}) == 4


def test_equal_mutations_at_once_are_all_carried_out(proxy, origin):
    gate = origin.gate()
    n = iter(range(1, 100))
    origin.on("/graphql", lambda r: [Wait(gate), Reply(200, FIELDS, json.dumps({"data": next(n)}))])
    before = origin.count("/graphql")
    document, bodies = fresh("mutation"), []
    threads = [threading.Thread(target=lambda: bodies.append(ask(proxy, document).body)) for _ in range(8)]
    for t in threads:
        t.start()
    eventually(lambda: origin.count("/graphql") == before + 8, "each is asked for")
    gate.open()
    for t in threads:
        t.join()
    assert len(set(bodies)) == 8


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_mutation_makes_stale_what_the_route_names(proxy, origin, method):
    place(origin)
    query = fresh("query")
    ask(proxy, query)
    proxy.fetch("/other")
    assert ask(proxy, query).is_hit and proxy.fetch("/other").is_hit
    ask(proxy, fresh("mutation"), method)
    assert not ask(proxy, query).is_hit and not proxy.fetch("/other").is_hit


def test_a_mutation_that_fails_does_not(proxy, origin):
    place(origin, status=500)
    query = fresh("query")
    ask(proxy, query)
    assert ask(proxy, fresh("mutation")).status == 500
    assert ask(proxy, query).is_hit


@pytest.mark.parametrize("body", [b"{\"query\": \"{ a }\"", b"no JSON", b"{\"id\": \"persisted\"}", b"[]", b"{\"query\": \"{ a\"}", b"{\"query\": \"\"}"])
def test_what_can_not_be_parsed_passes(proxy, origin, body):
    place(origin)
    before = origin.count("/graphql")
    assert not any(proxy.fetch("/graphql", FIELDS, "POST", body).is_hit for _ in range(3))
    assert origin.count("/graphql") == before + 3


def test_a_batch_with_a_mutation_passes(proxy, origin):
    place(origin)
    for documents, hit in (([fresh("query"), fresh("query")], True), ([fresh("query"), fresh("mutation")], False)):
        body = json.dumps([{"query": d} for d in documents]).encode()
        answers = [proxy.fetch("/graphql", FIELDS, "POST", body) for _ in range(2)]
        assert answers[1].is_hit == hit
