#!/bin/bash
# SPDX-License-Identifier: MIT
# Refuses functions of more than 60 lines and files of more than 600 (tests may be longer).
# A function is what runs from a "{" to a "}" in the first column.
set -euo pipefail
awk -v max_function=60 -v max_file=600 '
function bad(line, text) { printf "%s:%d: %s\n", file, line, text; breaches = 1 }
function end_of_file() { if (lines > max_file && file !~ /^tests\//) bad(lines, lines " lines; split it by topic (at most " max_file ")") }
FNR == 1 { if (file) end_of_file(); file = FILENAME; start = 0 }
{ lines = FNR }
/^\{/ { start = FNR }
/^\}/ && start {
	if (FNR - start - 1 > max_function) bad(start, "function of " (FNR - start - 1) " lines (at most " max_function ")")
	start = 0
}
END { if (file) end_of_file(); exit breaches }
' "$@"
