#!/bin/bash
# SPDX-License-Identifier: MIT
# run-fuzz.sh <seconds> <target>...: runs each libFuzzer target from its committed seeds, JOBS at a time; finds stay in build/fuzz.
# A target tests/fuzz/fuzz_x.c may have a dictionary beside it, tests/fuzz/x.dict.
set -euo pipefail
here=$(dirname "$0")
export MODE=fuzz
. "$here/sanitizers.sh"
seconds=$1
shift

run_one() { # <target>
	local name seeds found crashes log args dirs
	name=$(basename "$1")
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
	if ! $FIXED_LAYOUT "$1" "${args[@]}" "${dirs[@]}" >"$log" 2>&1 </dev/null; then
		printf '%s\n%s\n' "--- FAILED fuzz $name; the input is in $crashes" "$(tail -n 60 "$log")"
		return 1
	fi
	echo "ok   fuzz $name: $(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) second.*/\1 inputs in \2 s/p' "$log")"
}

if [ "$1" = --one ]; then
	run_one "$2"
	exit
fi
[ $# -gt 0 ] || { echo "fuzz: no targets in tests/fuzz" && exit 0; }
printf '%s\0' "$@" | xargs -0 -P "${JOBS:-$(nproc)}" -n 1 "$0" "$seconds" --one
