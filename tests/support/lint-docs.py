#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Links between the documents lead to a file and a heading that are there, every page of docs/use is linked from README.md, and
the pages that people begin with stay short."""
import pathlib
import re
import sys

WORDS_AT_MOST = {"README.md": 2200, "docs/architecture.md": 1500}
breaches = []


def prose(text):
    """Without the blocks of code, whose lines may look like headings and links."""
    return re.sub(r"^(    |\t).*$", "", text, flags=re.M)


def anchors(path):
    """As GitHub makes them: lower case, blanks as hyphens, no other punctuation."""
    found = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", prose(path.read_text()), re.M):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-"))
    return found


def links(path):
    for line, text in enumerate(prose(path.read_text()).splitlines(), 1):
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:", target):
                yield line, target


pages = sorted(p for folder in (".", "docs", "docs/use") for p in pathlib.Path(folder).glob("*.md"))
linked = {}
for page in pages:
    for line, target in links(page):
        name, _, anchor = target.partition("#")
        to = (page.parent / name).resolve().relative_to(pathlib.Path.cwd()) if name else page
        linked.setdefault(page, set()).add(to)
        if not to.exists():
            breaches.append(f"{page}:{line}: there is no {to}")
        elif anchor and anchor not in anchors(to):
            breaches.append(f"{page}:{line}: {to} has no heading #{anchor}")
    words = len(page.read_text().split())
    if words > WORDS_AT_MOST.get(str(page), words):
        breaches.append(f"{page}: {words} words, {WORDS_AT_MOST[str(page)]} at most")
start = pathlib.Path("README.md")
for page in pages:
    if page.parent == pathlib.Path("docs/use") and page not in linked.get(start, ()):
        breaches.append(f"{page}: README.md has no link to it")

for breach in breaches:
    print("lint:", breach, file=sys.stderr)
sys.exit(1 if breaches else 0)
