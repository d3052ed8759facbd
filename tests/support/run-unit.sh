#!/bin/bash
# Runs cmocka programs of one folder: run-unit.sh <folder> <program>...  with MODE in the environment.
# Prints one line a program, the whole output of those that fail, and leaves "<passed> <failed>" for each program in
# build/<mode>/results/. A program that dies or hangs before its summary counts as a failure.
set -euo pipefail
here=$(dirname "$0")
folder=$1
shift
mode=${MODE:-release}
limit_s=${UNIT_TIMEOUT:-300}
results=${BUILD:-build}/$mode/results
mkdir -p "$results"
rm -f "$results/unit-$folder"-*

. "$here/sanitizers.sh"

# Sums the counts of cmocka's "[  PASSED  ] 3 test(s)." lines; a program may hold several groups.
count() { sed -n "s/^\[  $1 *\] \([0-9][0-9]*\) test(s).*/\1/p" "$2" | awk '{ n += $1 } END { print n + 0 }'; }

bad=0
for program in "$@"; do
	name=${program##*/tests/unit/"$folder"/}
	name=${name//\//-}
	out=$results/unit-$folder-$name.log
	rc=0
	timeout -k 5 "$limit_s" $FIXED_LAYOUT "$program" >"$out" 2>&1 </dev/null || rc=$?
	passed=$(count PASSED "$out")
	failed=$(count FAILED "$out")
	if [ $rc != 0 ] && [ "$failed" = 0 ]; then
		failed=1
		[ $rc != 124 ] || echo "$program: stopped after $limit_s s" >>"$out"
	fi
	if [ $rc = 0 ] && [ "$passed" = 0 ]; then
		echo "$program: no test ran" >>"$out"
		failed=1
	fi
	echo "$passed $failed" >"$results/unit-$folder-$name.count"
	if [ "$failed" != 0 ]; then
		bad=1
		echo "--- FAILED $mode $folder/$name (exit status $rc)"
		cat "$out"
	else
		echo "ok   $mode $folder/$name: $passed"
	fi
done
exit $bad
