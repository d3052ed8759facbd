# SPDX-License-Identifier: MIT
# Sourced by the runners: how the sanitizers behave, the same everywhere.
# FIXED_LAYOUT is a command prefix: kernels that randomise more than 28 bits of an address map memory where the
# sanitizers of gcc 12 and clang 14 keep their shadow.
# shellcheck shell=bash disable=SC2034
export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:quarantine_size_mb=16:allocator_release_to_os_interval_ms=100:strict_string_checks=1:abort_on_error=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
FIXED_LAYOUT=""
case "${MODE:-release}" in
asan | tsan | fuzz)
	if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)" -gt 28 ] && setarch -R true 2>/dev/null; then
		FIXED_LAYOUT="setarch -R"
	fi
	;;
esac
