#!/bin/bash
# SPDX-License-Identifier: MIT
# A long mixed load with faults against MEMOPROXY_BIN; MODE says how it was built.
set -euo pipefail
here=$(dirname "$0")
. "$here/sanitizers.sh"
ulimit -n 10000 2>/dev/null || true
case "${MODE:-release}" in
release | debug) ;;
*) export MEMOPROXY_TEST_SLOWNESS=${MEMOPROXY_TEST_SLOWNESS:-4} ;;
esac
export PYTHONDONTWRITEBYTECODE=1
exec $FIXED_LAYOUT "${PYTHON:-python3}" "$here/soak.py"
