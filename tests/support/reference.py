#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The reference pages of docs/use, made from what the program itself says: keys from --help-config, metrics from /metrics and
/stats of a running one, endpoints from the table in proxy/admin/admin.c with the words of man/memoproxy.8.
usage: reference.py [--check] PROGRAM    writes them, or says which is stale"""
import json
import os
import pathlib
import re
import shlex
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
    """The paths in /stats, with a name in place of what an operator has named."""
    if not isinstance(value, dict):
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


def roff(line):
    macro = re.match(r"\.([BIR]+) +(.*)", line)
    if not macro:
        return line
    words = shlex.split(macro[2])
    return "`" + " ".join(words) + "`" if macro[1] in ("B", "I") else "".join(words)


def endpoints(_):
    source = (ROOT / "proxy/admin/admin.c").read_text()
    kinds = re.findall(r'KIND\(\w+, "(\w+)"\)', (ROOT / "cache/policy/purge.h").read_text())
    known = {}
    for path, method, names in re.findall(r'^\t\{"(/\w+)", HTTP_(\w+), \w+, (.*)\},$', source, re.M):
        names = re.sub(r'" PURGE_KINDS\(PURGE_PARAMETER\) "', " ".join(kinds) + " ", names).strip('" ')
        known[f"{method} {path}"] = names.split()
    page = (ROOT / "man/memoproxy.8").read_text().replace("\\-", "-").replace("\\&", "")
    section = page[page.index("\n.SH ADMINISTRATION\n"):].split("\n.SH ")[1]
    rows = []
    for entry in section.split("\n.TP\n")[1:]:
        head, *told = (roff(line) for line in entry.strip().split("\n"))
        for call in [c for c in known if re.search(re.escape(c) + r"\b", head)]:
            rows.append([f"`{call}`", " ".join(f"`{n}`" for n in known.pop(call)), cell(" ".join(told))])
    if known:
        sys.exit(f"man/memoproxy.8 does not tell of {', '.join(known)}")
    return "\n".join(["# All endpoints of the admin side\n", MADE, "How they are called, and by whom: [admin API](admin.md).\n",
                      table(["call", "parameters", "what it does"], rows)])


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
