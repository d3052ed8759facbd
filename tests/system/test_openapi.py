# SPDX-License-Identifier: MIT
"""The admin API's description of itself. That answers are what it says is asked of every one that a test gets (support/proxy.py)."""
import urllib.parse

import jsonschema
import pytest

from support.openapi import Description


@pytest.fixture
def document(proxy):
    return proxy.admin_json("GET", "/openapi.json")


def operations(document):
    return [(path, method.upper(), o) for path, item in document["paths"].items() for method, o in item.items()]


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def test_it_describes_every_endpoint_and_its_answers(proxy, document):
    told = proxy.admin("GET", "/nothing").json()["detail"].removeprefix("no such endpoint; there are ")
    assert told == ", ".join(f"{method} {path}" for path, method, _ in operations(document))
    for path, method, o in operations(document):
        assert o["summary"] and o["operationId"], path
        assert "200" in o["responses"] and "default" in o["responses"], f"{path} is not in proxy/admin/openapi.json"


def test_it_is_a_sound_document(document):
    """OpenAPI 3.1 takes its schemas from JSON Schema 2020-12."""
    assert document["openapi"] == "3.1.0" and {"title", "version"} <= set(document["info"])
    for reference in references(document):
        Description(document).at(reference)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert len({o["operationId"] for _, _, o in operations(document)}) == len(operations(document))
    assert "x-responses" not in document


def wrong_values(schema):
    if "enum" in schema:
        return ["moon", "", schema["enum"][0] + " ", schema["enum"][0].upper() + "x"]
    if schema["type"] == "integer":
        return [schema["minimum"] - 1, schema["maximum"] + 1, "x", "", "1e3", f"+{schema['minimum']}"]
    return []


def test_what_it_says_of_parameters_is_what_is_checked(proxy, document):
    asked = 0
    for path, method, o in operations(document):
        assert proxy.admin(method, f"{path}?not-described=1").status == 400
        for p in o.get("parameters", []):
            for value in wrong_values(p["schema"]):
                r = proxy.admin(method, f"{path}?{p['name']}={urllib.parse.quote(str(value))}")
                assert r.status == 400 and r.json()["detail"].startswith(p["name"] + " is "), (path, p["name"], value)
                asked += 1
            right = p["schema"].get("enum", ["1"])[0]
            r = proxy.admin(method, f"{path}?{p['name']}={right}&{p['name']}={right}")
            assert (r.json().get("detail") == "a parameter is given twice") == (p["schema"]["type"] != "array"), (path, p["name"])
            if p["required"] or method == "POST" and path == "/refresh":
                assert proxy.admin(method, path).json()["detail"] == f"{p['name']} is missing"
    assert asked > 20


def test_the_check_of_answers_notices(proxy, document):
    class Changed:
        def __init__(self, like, **changes):
            self.status, self.get, self.value = like.status, like.get, {**like.json(), **changes}

        def json(self):
            return self.value
    said = Description(document)
    for target, change in (("/stats", {"hit_ratio": 2}), ("/stats", {"cache": {"hits": -1}}), ("/entries", {"entries": [{}]}),
                           ("/healthz", {"more": 1}), ("/nothing", {"status": "404"})):
        r = proxy.admin("GET", target)
        said.check("GET", target, r)
        with pytest.raises(AssertionError):
            said.check("GET", target, Changed(r, **change))
