#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nothing dead: lint-dead.py <linker's command>...   Prints each breach as a sentence; exit status 1.

The command links the release build with --gc-sections and --print-gc-sections: what the linker drops can't be reached from main.
And what the text shows: static inline functions and macros that are named once, where they are defined, and structs that are announced
for nothing.
"""

import collections
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Functions that the program does not call, or only from the file that has them, so that the compiler may put them into their callers.
KEPT = {
    "access_request_id": "the rules of a request's id, which the unit tests ask one by one",
    "origin_response_is_framed": "how an origin's response ended, which the unit tests see",
    "config_parse": "a text as a file, for unit tests and fuzzing",
    "demo_port": "the unit tests let the kernel choose it",
    "disk_flush": "the unit tests wait for the writer",
    "disk_wait_ready": "the unit tests and the benchmark wait for recovery",
    "mem_alloc_count": "the unit tests count allocations",
    "mem_fail_at": "the unit tests make allocations fail",
}
# Macros that a library reads, names that a macro of ours puts together, and include guards.
KEPT_WORDS = re.compile(r"(XXH_|HASH_|uthash_|MEMBER_|STRUCT_|RULE_|SET_)\w+$|\w+_H$")

breaches = 0


def breach(sentence):
    global breaches
    breaches += 1
    print(sentence)


def check_linked(command):
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    for name, file in re.findall(r"removing unused section '\.text\.(\w+)' in file '([^']*)'", said):
        if not file.startswith("/") and not name.startswith("XXH") and name not in KEPT:
            breach(f"{name} ({file}): main does not reach it; remove it, or make it static")


def without_comments(text):
    return re.sub(r'/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', " ", text, flags=re.S)


def check_text(files):
    texts = {f: without_comments((ROOT / f).read_text()) for f in files}
    named = collections.Counter(w for t in texts.values() for w in re.findall(r"[A-Za-z_]\w*", t))
    for file, text in texts.items():
        words = re.findall(r"^\s*#\s*define\s+(\w+)", text, re.M)
        words += re.findall(r"^static inline [^;{]*?\b(\w+)\(", text, re.M)
        for word in words:
            if named[word] == 1 and word not in KEPT and not KEPT_WORDS.match(word):
                breach(f"{file}: {word} is not used")
        for word in re.findall(r"^(?:struct|union|enum) (\w+);", text, re.M):
            if len(re.findall(rf"\b(?:struct|union|enum) {word}\b", text)) == 1:
                breach(f"{file}: struct {word} is announced and not used")


def main():
    at = sys.argv.index("--")
    check_text(sys.argv[1:at])
    check_linked(sys.argv[at + 1:])
    return 1 if breaches else 0


sys.exit(main())
