#!/bin/bash
# SPDX-License-Identifier: MIT
# All that `make test` runs, part by part; stops at the first part that fails. The last line is the sum of the cmocka
# and pytest results, in which a part that failed without naming a test (lint, a compile error, a fuzz find) counts one.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
MAKE=${MAKE:-make}
JOBS=${JOBS:-$(nproc)}
FUZZ_SECONDS=${FUZZ_SECONDS:-10}
export BUILD=${BUILD:-build}
# Every build, the release one too: the tree is free of warnings.
export WERROR=-Werror
unset MAKEFLAGS MFLAGS MAKELEVEL MODE
rm -rf "$BUILD"/*/results

# sum 1: passed; sum 2: failed
sum() { cat "$BUILD"/*/results/*.count 2>/dev/null | awk -v field="$1" '{ n += $field } END { print n + 0 }'; }

finish() {
	local failed
	failed=$(sum 2)
	[ "$1" = 0 ] || [ "$failed" != 0 ] || failed=1
	echo "$(sum 1) passed, $failed failed"
	exit "$1"
}

part() {
	local title=$1 start=$SECONDS
	shift
	echo "=== $title"
	if ! "$MAKE" --no-print-directory "$@"; then
		echo "=== FAILED: $title  (again with: make $*)"
		finish 1
	fi
	echo "=== done: $title ($((SECONDS - start)) s)"
}

quiet_build() { # the commands only when they fail
	local log=$BUILD/$1.build.log start=$SECONDS
	mkdir -p "$BUILD"
	echo "=== build $1"
	if ! "$MAKE" --no-print-directory -j"$JOBS" MODE="$1" "${@:2}" >"$log" 2>&1; then
		cat "$log"
		echo "=== FAILED: build $1"
		finish 1
	fi
	echo "=== done: build $1 ($((SECONDS - start)) s)"
}

quiet_build release all unit-build
part "lint" -j"$JOBS" lint
part "unit tests, release" unit
quiet_build asan all unit-build
part "unit tests, ASan and UBSan" MODE=asan unit
quiet_build tsan unit-build-tsan
part "unit tests of the threaded folders, TSan" tsan
part "system tests, ASan and UBSan" MODE=asan system
part "system tests, release" MODE=release system
part "system tests over both tiers, release" MODE=release MEMOPROXY_TEST_DISK=1 system \
	PYTEST_ARGS='tests/system/test_cache.py tests/system/test_coalesce.py tests/system/test_purge.py tests/system/test_roads.py tests/system/test_http_caching.py tests/system/test_reload.py tests/system/test_lifecycle.py tests/system/test_quota.py tests/system/test_upgrade.py'
quiet_build tsan all
part "system tests of what crosses threads, TSan" MODE=tsan system \
	PYTEST_ARGS='tests/system/test_coalesce.py tests/system/test_purge.py tests/system/test_reload.py tests/system/test_lifecycle.py tests/system/test_model_disk.py tests/system/test_upgrade.py'
part "HTTP caching conformance" conformance
quiet_build fuzz fuzz-build
part "fuzzing, $FUZZ_SECONDS s a target" MODE=fuzz FUZZ_SECONDS="$FUZZ_SECONDS" fuzz
finish 0
