#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The reference pages of docs/use, made from what the program itself says: keys from --help-config, metrics from /metrics and
/stats of a running one, endpoints from its /openapi.json.
usage: reference.py [--check] PROGRAM    writes them, or says which is stale"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.proxy import ROOT, Proxy  # pylint: disable=wrong-import-position

MADE = "Made by `make docs`; changes belong where it reads.\n"


def cell(text):
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "\\<").strip()


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *("| " + " | ".join(r) + " |" for r in rows)]) + "\n"


def keys(program):
    text = subprocess.run([program, "--help-config"], capture_output=True, text=True, check=True).stdout
    head, *parts = re.split(r"^\[(.*)\]\n", text, flags=re.M)
    page = ["# All keys of the configuration\n", MADE, f"{cell(' '.join(head.split()).replace(' Below: key = default (values).', ''))} What the file looks like: "
            "[the configuration file](configuration.md).\n"]
    for name, body in zip(parts[::2], parts[1::2]):
        rows = []
        for key, line, told in re.findall(r"^  (\w+) = (.*)\n((?:      .*\n)*)", body, re.M):
            given, _, values = re.fullmatch(r"(.*?)(    *)\((.*)\)", line).groups()
            rows.append([f"`{key}`", f"`{given}`" if given else "", cell(values), cell(" ".join(told.split()))])
        page += [f"## [{name}]\n", table(["key", "default", "values", "meaning"], rows)]
    return "\n".join(page)


def figures(value, at=()):
    """The paths in /stats, with a name in place of what an operator has named; statuses and the bounds of histograms are not listed."""
    if not isinstance(value, dict) or at[-1:] in (("codes",), ("le",)):
        return [".".join(at)]
    inner = [("NAME", v) for v in value.values()] if at in (("upstreams",), ("routes",)) else value.items()
    return [path for name, v in inner for path in figures(v, (*at, name))]


def metrics(_):
    with tempfile.TemporaryDirectory() as folder:
        with Proxy("http://127.0.0.1:1", {"disk": {"path": folder + "/disk", "size": "64M"}, "route all": {"match": "*"}}) as p:
            p.fetch("/")
            text, stats = p.admin("GET", "/metrics").body.decode(), p.stats()
    labels, grouped = {}, {}
    for path in dict.fromkeys(figures(stats)):
        at, _, name = path.rpartition(".")
        grouped.setdefault(at, []).append(name)
    for name, given in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.M):
        found = labels.setdefault(name, [])
        found += [n for n in re.findall(r'(\w+)="', given) if n not in found and n != "le"]
    rows = []
    for name, told, kind in re.findall(r"^# HELP (\w+) (.*)\n# TYPE \w+ (\w+)$", text, re.M):
        of = labels.get(name) or labels.get(name + "_count") or []
        rows.append([f"`{name}`", kind, ", ".join(f"`{n}`" for n in of), cell(told)])
    return "\n".join(["# All metrics\n", MADE, "What to look at first: [metrics and logs](monitoring.md).\n", "## /metrics\n",
                      table(["name", "type", "labels", "meaning"], rows), "## /stats\n",
                      "The figures of the JSON; they count the same as the metrics of similar name. NAME is that of an upstream or a route.\n",
                      table(["below", "figures"], [[f"`{at}`" if at else "", ", ".join(f"`{n}`" for n in names)]
                                                   for at, names in grouped.items()])])


def values(schema):
    if schema["type"] == "array":
        return "several"
    if schema["type"] == "integer":
        return f"{schema['minimum']} to {schema['maximum']}"
    return ", ".join(f"`{v}`" for v in schema.get("enum", []))


def endpoints(_):
    with Proxy("http://127.0.0.1:1") as p:
        paths = p.admin_json("GET", "/openapi.json")["paths"]
    calls, parameters = [], []
    for path, item in paths.items():
        for method, o in item.items():
            calls.append([f"`{method.upper()} {path}`", cell(o["summary"])])
            parameters += [[f"`{method.upper()} {path}`", f"`{q['name']}`", values(q["schema"]), cell(q["description"])]
                           for q in o.get("parameters", [])]
    return "\n".join(["# All endpoints of the admin side\n", MADE, "How they are called, and by whom: [admin API](admin.md). The same for programs, "
                      "with what they answer, is `GET /openapi.json`.\n", table(["call", "what it does"], calls), "## Parameters\n",
                      table(["call", "parameter", "values", "meaning"], parameters)])


PAGES = {"keys": keys, "metrics": metrics, "endpoints": endpoints}


def main():
    args = sys.argv[1:]
    check = "--check" in args
    program = os.environ["MEMOPROXY_BIN"] = os.path.abspath(args[-1])
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / f"docs/use/reference-{name}.md", make(program)
        if not path.exists() or path.read_text() != text:
            stale.append(str(path.relative_to(ROOT)))
            if not check:
                path.write_text(text)
    if check and stale:
        sys.exit(f"lint: {', '.join(stale)} is not what the program says now: run \"make docs\"")


if __name__ == "__main__":
    main()
