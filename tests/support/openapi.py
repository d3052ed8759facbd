# SPDX-License-Identifier: MIT
"""Answers of the admin side, held against its own description of itself (/openapi.json)."""
import itertools
import os

import jsonschema

ENOUGH = 50  # of many alike


class Description:
    def __init__(self, document):
        self.document = document

    def response(self, method, path, status):
        """Where the document describes it, as a JSON pointer."""
        operation = self.document["paths"].get(path, {}).get(method.lower())
        if operation is None or str(status) not in operation["responses"]:
            return "#/components/responses/Problem"
        return f"#/paths/{path.replace('/', '~1')}/{method.lower()}/responses/{status}"

    def at(self, pointer):
        found = self.document
        for step in pointer.removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        return found

    def check(self, method, target, response):
        """The response's type is one that is described for its status, and its content is what that says."""
        media = (response.get("Content-Type") or "").split(";")[0]
        pointer = self.response(method, target.split("?")[0], response.status)
        known = self.at(pointer)["content"]
        assert media in known, f"{method} {target}: {response.status} {media}, not {list(known)}"
        if media.endswith("json"):
            schema = f"{pointer}/content/{media.replace('/', '~1')}/schema"
            errors = [e.message[:500] + " at " + e.json_path for e in itertools.islice(self.validator(schema).iter_errors(trimmed(response.json())), 5)]
            assert not errors, f"{method} {target}: {response.status}: " + "; ".join(errors)

    def validator(self, pointer):
        return jsonschema.Draft202012Validator({**self.document, "$ref": pointer})


def trimmed(value):
    """A list or object of very many alike: the first of them."""
    if isinstance(value, dict):
        return {k: trimmed(v) for k, v in (value.items() if len(value) < 5 * ENOUGH else itertools.islice(value.items(), ENOUGH))}
    return value[:ENOUGH] if isinstance(value, list) else value


described = {}  # by the program's path


def check(fetch, program, method, target, response):
    """fetch("/openapi.json") asks the same proxy, the first time."""
    if method not in ("GET", "POST") or "json" not in (response.get("Content-Type") or ""):
        return
    key = (program, os.stat(program).st_mtime_ns)
    if key not in described:
        said = fetch("/openapi.json")
        if said.status != 200:
            return  # a token is asked for that this call did not bear
        described[key] = Description(said.json())
    described[key].check(method, target, response)
