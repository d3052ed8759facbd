#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs cmocka programs, build/<mode>/tests/unit/<room>/test_<module>: run-unit.sh <program>...  with MODE in the environment,
# TEST_JOBS at a time (two a core: many wait for a moment; 0 is one).
# Prints one line a program, the whole output of those that fail, and leaves "<passed> <failed>" for each program in
# build/<mode>/results/. A program that dies or hangs before its summary counts as a failure. The output of a failed one is also
# kept in build/failed/, where no later run removes it.
set -euo pipefail
here=$(dirname "$0")

# Sums the counts of cmocka's "[  PASSED  ] 3 test(s)." lines; a program may hold several groups.
count() { sed -n "s/^\[  $1 *\] \([0-9][0-9]*\) test(s).*/\1/p" "$2" | awk '{ n += $1 } END { print n + 0 }'; }

run_one() { # <program>
	local name=${1##*/tests/unit/} rc=0 out passed failed
	out=$results/unit-${name//\//.}.log
	[[ " ${SINGLE:-} " != *" $name "* ]] || export MEMOPROXY_NO_THREADS=1 # what TSan leaves out
	timeout -k 5 "$limit_s" $FIXED_LAYOUT "$1" >"$out" 2>&1 </dev/null || rc=$?
	passed=$(count PASSED "$out")
	failed=$(count FAILED "$out")
	if [ $rc != 0 ] && [ "$failed" = 0 ]; then
		failed=1
		[ $rc != 124 ] || echo "$1: stopped after $limit_s s" >>"$out"
	fi
	if [ $rc = 0 ] && [ "$passed" = 0 ]; then
		echo "$1: no test ran" >>"$out"
		failed=1
	fi
	echo "$passed $failed" >"${out%.log}.count"
	if [ "$failed" = 0 ]; then
		echo "ok   $mode $name: $passed"
		return 0
	fi
	mkdir -p "$kept"
	cp "$out" "$kept/$mode-$(basename "$out" .log)-$(date +%m%d-%H%M%S).log"
	# In one write, so that programs that fail at once do not mix their output.
	printf '%s\n%s\n' "--- FAILED $mode $name (exit status $rc)" "$(cat "$out")"
	return 1
}

mode=${MODE:-release}
limit_s=${UNIT_TIMEOUT:-300}
results=${BUILD:-build}/$mode/results
kept=${BUILD:-build}/failed
. "$here/sanitizers.sh"
if [ "$1" = --one ]; then
	run_one "$2"
	exit
fi
jobs=${TEST_JOBS:-$((2 * $(nproc)))}
mkdir -p "$results"
printf '%s\0' "$@" | xargs -0 -P "$((jobs > 0 ? jobs : 1))" -n 1 "$0" --one
