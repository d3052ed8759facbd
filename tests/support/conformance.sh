#!/bin/sh
# SPDX-License-Identifier: MIT
# The public cache test suite (http-cache-tests, pinned in node/package-lock.json) against the real binary.
# MEMOPROXY_BIN is the binary. Arguments are test ids: then only those run, with what was sent and received.
set -eu
here=$(dirname "$0")
exec node --no-warnings "$here/conformance.mjs" "$@"
