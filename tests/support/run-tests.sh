#!/bin/bash
# SPDX-License-Identifier: MIT
# run-tests.sh test | check: the parts of `make test`, or of `make check`. After the first of them, two lanes run side by side: tests
# that mostly wait, and what mostly computes, which is niced and takes what the others leave. A part's output is printed whole at
# its end. After a part that failed no other one begins. The last line is the sum of the cmocka and pytest results, in
# which a part that failed without naming a test (lint, a compile error, a fuzz find) counts one.
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
mkdir -p "$BUILD"
state=$(mktemp -d "$BUILD/parts-XXXXXX")
trap 'rm -rf "$state"' EXIT
# Each lane is a process group of its own.
set -m
trap 'touch "$state/failed"; for lane in $(jobs -p); do kill -- "-$lane"; done; wait; exit 130' INT TERM

# sum 1: passed; sum 2: failed
sum() { cat "$BUILD"/*/results/*.count 2>/dev/null | awk -v field="$1" '{ n += $field } END { print n + 0 }'; }

finish() {
	local failed rc=0
	failed=$(sum 2)
	[ ! -e "$state/failed" ] || rc=1
	[ $rc = 0 ] || [ "$failed" != 0 ] || failed=1
	echo "$(sum 1) passed, $failed failed"
	exit $rc
}

say() { # <title> <log> <end>
	(
		flock 9
		echo "=== $1"
		cat "$2"
		echo "=== $3: $1"
	) 9>"$state/lock"
}

part() { # <title> <make's arguments>
	local title=$1 start=$SECONDS log
	shift
	[ ! -e "$state/failed" ] || return 1
	log=$(mktemp "$state/log-XXXXXX")
	if ! "$MAKE" --no-print-directory "$@" >"$log" 2>&1; then
		touch "$state/failed"
		echo "again with: make $*" >>"$log"
		say "$title" "$log" FAILED
		return 1
	fi
	say "$title" "$log" "done in $((SECONDS - start)) s"
}

build() { # <mode> <targets>: the commands only when they fail
	local log=$BUILD/$1.build.log start=$SECONDS
	[ ! -e "$state/failed" ] || return 1
	if ! "$MAKE" --no-print-directory -j"$JOBS" MODE="$1" "${@:2}" >"$log" 2>&1; then
		touch "$state/failed"
		say "build $1" "$log" FAILED
		return 1
	fi
	touch "$state/built-$1"
	say "build $1" /dev/null "done in $((SECONDS - start)) s"
}

built() { # <mode>: waits until the other lane has built it
	until [ -e "$state/built-$1" ]; do
		[ ! -e "$state/failed" ] || return 1
		sleep 0.2
	done
}

lanes() { # <waits> <computes>: functions
	"$1" &
	(renice -n 10 $BASHPID >/dev/null; "$2") &
	wait
	finish
}

# The short tests wait even more than the others.
check_waits() {
	part "system tests but the long ones, release" MODE=release TEST_JOBS="${TEST_JOBS:-$((3 * $(nproc)))}" system PYTEST_ARGS="-m 'not long'"
}
check_computes() { part "lint-fast" lint-fast && part "unit tests, release" unit; }

waits() {
	part "system tests, release" MODE=release system &&
		part "system tests over both tiers, release" MODE=release MEMOPROXY_TEST_DISK=1 system PYTEST_ARGS='-m tiers' &&
		built asan && part "system tests, ASan and UBSan" MODE=asan system &&
		built tsan && part "system tests of what crosses threads, TSan" MODE=tsan system PYTEST_ARGS='-m threads' &&
		part "HTTP caching conformance" conformance
}

# Beside other work a niced program may take many times what it needs; the limit is for those that hang.
computes() {
	export UNIT_TIMEOUT=${UNIT_TIMEOUT:-1800}
	build asan all unit-build &&
		part "unit tests, ASan and UBSan" MODE=asan unit &&
		build tsan all unit-build-tsan &&
		part "unit tests of the threaded rooms, TSan" tsan &&
		part "lint" -j"$JOBS" lint-tidy &&
		build fuzz fuzz-build &&
		part "fuzzing, $FUZZ_SECONDS s a target" MODE=fuzz FUZZ_SECONDS="$FUZZ_SECONDS" fuzz
}

build release all unit-build node-modules || finish
case ${1:-test} in
check) lanes check_waits check_computes ;;
test)
	{ part "lint-fast" lint-fast && part "unit tests, release" unit; } || finish
	lanes waits computes
	;;
esac
