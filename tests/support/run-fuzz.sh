#!/bin/bash
# run-fuzz.sh <seconds> <target>...: runs each libFuzzer target from its committed seeds; finds stay in build/fuzz.
# A target tests/fuzz/fuzz_x.c may have a dictionary beside it, tests/fuzz/x.dict.
set -euo pipefail
here=$(dirname "$0")
export MODE=fuzz
. "$here/sanitizers.sh"
seconds=$1
shift
[ $# -gt 0 ] || echo "fuzz: no targets in tests/fuzz"
for target in "$@"; do
	name=$(basename "$target")
	name=${name#fuzz_}
	seeds=tests/fuzz/corpus/$name
	found=${BUILD:-build}/fuzz/corpus/$name
	crashes=${BUILD:-build}/fuzz/crashes/$name
	log=${BUILD:-build}/fuzz/$name.log
	mkdir -p "$found" "$crashes"
	args=("-max_total_time=$seconds" -timeout=10 -rss_limit_mb=2048 "-artifact_prefix=$crashes/")
	[ ! -e "tests/fuzz/$name.dict" ] || args+=("-dict=tests/fuzz/$name.dict")
	dirs=("$found")
	[ ! -d "$seeds" ] || dirs+=("$seeds")
	if ! $FIXED_LAYOUT "$target" "${args[@]}" "${dirs[@]}" >"$log" 2>&1 </dev/null; then
		echo "--- FAILED fuzz $name; the input is in $crashes"
		tail -n 60 "$log"
		exit 1
	fi
	echo "ok   fuzz $name: $(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) second.*/\1 inputs in \2 s/p' "$log")"
done
