#!/bin/bash
# SPDX-License-Identifier: MIT
# Measures memoproxy beside nginx, Varnish, HAProxy and a bare loop, and writes bench/results.md.
# With an argument another script of this folder runs instead.
# BENCH_QUICK=1: a few seconds a row, to see that all of it works. BENCH_ROWS="1 5": only those.
# BENCH_OTHER=PROGRAM: another build of memoproxy is measured beside this one, in the same rounds.
# BENCH_TMP, BENCH_DISK: where it works, and where what is on a disk is.
set -euo pipefail
cd "$(dirname "$0")"
for program in nginx varnishd haproxy wrk taskset; do
	PATH=$PATH:/usr/sbin command -v $program >/dev/null || { echo "bench: $program is missing: make deps-bench" >&2; exit 1; }
done
[ "$(nproc)" -ge 2 ] || { echo "bench: it takes two processors, one for the server and one for the load" >&2; exit 1; }
python=/usr/bin/python3
[ -x $python ] || python=python3
work=$(mktemp -d "${BENCH_TMP:-/dev/shm}/memoproxy-bench-XXXXXX")
# The disk tier and nginx's files in row 7: a file system in memory could not be read without a hop to another thread.
files=$(mktemp -d "${BENCH_DISK:-/var/tmp}/memoproxy-bench-XXXXXX")
trap 'rm -rf "$work" "$files"' EXIT
chmod 755 "$work" "$files"
for tool in bare pace slow herd ask sweep twin; do
	${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -O2 -o "$work/$tool" $tool.c
done
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
PYTHONDONTWRITEBYTECODE=1 $python "${1:-run.py}" "$work" "$files"
