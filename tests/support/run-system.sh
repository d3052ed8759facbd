#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs the pytest suite against MEMOPROXY_BIN and leaves "<passed> <failed>" in build/<mode>/results/system.count.
# The files are shared out to TEST_JOBS processes (two a core: most tests wait for something); TEST_JOBS=0 runs them in one,
# as a debugger wants it.
set -euo pipefail
here=$(dirname "$0")
mode=${MODE:-release}
results=${BUILD:-build}/$mode/results
mkdir -p "$results"
suite=system${MEMOPROXY_TEST_DISK:+-disk}
rm -f "$results/$suite".*
. "$here/sanitizers.sh"

if ! ls tests/system/test_*.py >/dev/null 2>&1; then
	echo "system: no tests in tests/system"
	exit 0
fi
export PYTHONDONTWRITEBYTECODE=1
[ "$mode" = release ] || export MEMOPROXY_TEST_SLOWNESS="${MEMOPROXY_TEST_SLOWNESS:-4}"
case "$*" in
*tests/system*) where=() ;;
*) where=(tests/system) ;;
esac
rc=0
# In the background, so that who ends this script ends them: timeout has a process group of its own.
trap 'kill "$!"; exit 143' INT TERM
timeout -k 30 "${SYSTEM_TIMEOUT:-3600}" $FIXED_LAYOUT "$PYTHON" -m pytest "${where[@]}" -p no:cacheprovider -q -n "${TEST_JOBS:-$((2 * $(nproc)))}" --dist loadfile --junitxml="$results/$suite.xml" "$@" </dev/null &
wait $! || rc=$?
[ $rc != 124 ] || echo "system: stopped after ${SYSTEM_TIMEOUT:-3600} s"
if [ -e "$results/$suite.xml" ]; then
	"$PYTHON" - "$results/$suite.xml" >"$results/$suite.count" <<'PY'
import sys
import xml.etree.ElementTree as tree

suites = tree.parse(sys.argv[1]).getroot().iter("testsuite")
tests = bad = skipped = 0
for suite in suites:
    tests += int(suite.get("tests", 0))
    bad += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    skipped += int(suite.get("skipped", 0))
print(tests - bad - skipped, bad)
PY
fi
exit $rc
