#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The house's arrows: lint-rooms.py <objects> <room>=<room>,<room>,...   Prints each breach as a sentence; exit status 1.

Looks at what is written (#include) and at what is linked (the symbols of <objects>, a build's obj folder): a room may use
itself and the rooms after the `=`. And that each library is used in the rooms that it is for, that no room has grown too
large to read, that no .c files need one another in a circle, and that docs/architecture.md says what each room holds.
"""

import collections
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES_MAX = 30

# What a header's name begins with, and the rooms that may include it. A room ending in / stands for all in that folder.
LIBRARIES = {
    "curl/": ["upstream", "proxy/init"],
    "nghttp2/": ["upstream"],
    "event2/http": ["proxy/front", "proxy/demo"],
    "event2/bufferevent": ["proxy/front"],
    "event2/listener": ["proxy/front"],
    "event2/": ["proxy/", "upstream"],
    "openssl/": ["proxy/connection", "upstream", "cache/policy"],
    "jansson.h": ["cache/policy", "proxy/admin", "proxy/demo", "proxy/init", "proxy/control"],
    "yaml.h": ["proxy/init"],
    "expat.h": ["proxy/init"],
    "zlib.h": ["cache/memory"],
    "brotli/": ["cache/memory"],
    "zstd.h": ["cache/memory"],
    "xxhash.h": ["base"],
    "uthash.h": ["base"],
    "sys/socket.h": ["config", "upstream", "proxy/"],
    "netdb.h": ["upstream", "proxy/"],
}

breaches = 0


def breach(sentence):
    global breaches
    breaches += 1
    print(sentence)


def room_of(path):
    return str(pathlib.PurePath(path).parent)


def is_in(room, rooms):
    return any(room == r or (r.endswith("/") and room.startswith(r)) for r in rooms)


def check_include(path, line, name, is_local, below):
    room = room_of(path)
    if is_local:
        if "/" not in name:
            breach(f'{path}:{line}: "{name}" is not written from the root')
        elif room_of(name) not in below[room]:
            breach(f"{path}:{line}: {room}/ may not use {room_of(name)}/")
        return
    for prefix, rooms in LIBRARIES.items():
        if name.startswith(prefix):
            if not is_in(room, rooms) and path != "base/hash.h":
                breach(f"{path}:{line}: <{name}> is for {', '.join(rooms)}")
            return


def check_includes(below):
    include = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]*)[">]')
    for room in below:
        files = sorted(p for p in (ROOT / room).glob("*.[ch]"))
        if len(files) > FILES_MAX:
            breach(f"{room}/: {len(files)} files; more than {FILES_MAX} are two rooms")
        for file in files:
            for number, text in enumerate(file.read_text().splitlines(), 1):
                found = include.match(text)
                if found:
                    check_include(str(file.relative_to(ROOT)), number, found[2], found[1] == '"', below)


def read_symbols(objects, below):
    """Who uses whom: {file: {other file: [symbol, ...]}}, files without their ending."""
    files = [p for room in below for p in sorted((objects / room).glob("*.o"))
             if (ROOT / p.relative_to(objects)).with_suffix(".c").exists()]
    defined, wanted = {}, collections.defaultdict(set)
    for file in files:
        name = str(file.relative_to(objects).with_suffix(""))
        for line in subprocess.run(["nm", "-P", file], check=True, capture_output=True, text=True).stdout.splitlines():
            symbol, kind = line.split()[:2]
            if kind == "U":
                wanted[name].add(symbol)
            elif kind.isupper():
                defined[symbol] = name
    uses = collections.defaultdict(lambda: collections.defaultdict(list))
    for name, symbols in wanted.items():
        for symbol in sorted(symbols):
            if defined.get(symbol, name) != name:
                uses[name][defined[symbol]].append(symbol)
    return uses


def check_symbols(uses, below):
    for file, others in uses.items():
        for other, symbols in others.items():
            if room_of(other) not in below[room_of(file)]:
                breach(f"{file}.c: {room_of(file)}/ may not use {room_of(other)}/: {', '.join(symbols[:3])}")


def circles(uses):
    """The strongly connected components of more than one file (Tarjan 1972)."""
    index, low, stack, out = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in uses.get(file, ()):
            if other not in index:
                visit(other)
            if other in stack:
                low[file] = min(low[file], low[other])
        if low[file] == index[file]:
            at = stack.index(file)
            if len(stack) - at > 1:
                out.append(sorted(stack[at:]))
            del stack[at:]

    sys.setrecursionlimit(10000)
    for file in list(uses):
        if file not in index:
            visit(file)
    return sorted(out)


def check_circles(uses):
    for circle in circles(uses):
        breach(f"files that need one another in a circle: {' '.join(circle)}")


def check_page(below):
    page = pathlib.Path("docs/architecture.md").read_text()
    for room in below:
        if f"\n| `{room}/` | " not in page:
            breach(f"docs/architecture.md: no row says what {room}/ holds")


def main():
    objects = pathlib.Path(sys.argv[1]).resolve()
    below = {room: set(rooms.split(",")) for room, rooms in (a.split("=", 1) for a in sys.argv[2:])}
    check_includes(below)
    uses = read_symbols(objects, below)
    check_symbols(uses, below)
    check_circles(uses)
    check_page(below)
    return 1 if breaches else 0


sys.exit(main())
