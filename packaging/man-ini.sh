#!/bin/bash
# SPDX-License-Identifier: MIT
# memoproxy.ini(5), made from the program's own table of keys so that the two can't differ.
# usage: man-ini.sh <memoproxy> > memoproxy.ini.5
set -euo pipefail
cat <<'PAGE'
.\" Made by packaging/man-ini.sh from the output of memoproxy --help-config.
.TH MEMOPROXY.INI 5 "" memoproxy "File Formats Manual"
.SH NAME
memoproxy.ini, proxy.ini \- configuration of memoproxy
.SH DESCRIPTION
Sections in brackets hold lines of the form
.IR "key = value" .
A comment has a line of its own, which begins with # or ;.
Every key has a default, but for the
.B url
of [upstream].
Unknown sections and keys, bad values and duplicates are errors; all of them are named with their lines, by
.B memoproxy \-t
too.
.PP
Durations are a number and ms, s, m, h or d; sizes a number and K, M or G (powers of 1024).
Members of a list are separated by commas or spaces.
Paths of files are relative to the directory in which memoproxy was started.
In a pattern * matches any run of characters, slashes included, and {name} one path segment; a pattern with ? is matched
against path and query.
.PP
A line
.RI "include = " pattern
is read as if the lines of all files of that name stood in its place, in the order of their names; the section that it stands in goes on
after it.
The name is relative to the file that includes; * and ? stand for other characters.
.PP
In a value ${NAME} is a variable of the environment, and a mistake where that is not set; ${NAME:\-text} is the text where it is unset or
empty, and $${ stands for ${ itself.
A reload sees the environment that the process was started with, and new and changed files.
.PP
The first [route NAME] in the file whose
.B match
and
.B host
fit a request is its route; what it does not set comes from [defaults].
[upstream NAME] adds an origin for routes to name, and takes what it does not set from [upstream].
.PP
SIGHUP and POST /reload load the file anew, see
.BR memoproxy (8).
PAGE
"$1" --help-config | awk '
function roff(s) { gsub(/\\/, "\\e", s); gsub(/-/, "\\-", s); return s }
function text(s) { s = roff(s); return s ~ /^[.'\'']/ ? "\\&" s : s }
/^\[/ { print ".SH \"" text($0) "\""; next }
/^  [a-z]/ {
	key = $1; line = substr($0, index($0, " = ") + 3)
	at = match(line, /    *\([^()]*(\([^()]*\)[^()]*)*\)$/)
	values = substr(line, at); sub(/^ *\(/, "", values); sub(/\)$/, "", values)
	given = substr(line, 1, at - 1); sub(/ *$/, "", given)
	print ".TP"
	print ".B " text(key)
	print text(values) "; " (given == "" ? "empty by default." : "default " text(given) ".")
	print ".br"
	lines = 0
	next
}
/^      / { sub(/^ */, ""); if (lines++) print ".br"; print text($0) }
'
cat <<'PAGE'
.SH EXAMPLE
.EX
[proxy]
listen = 127.0.0.1:8080
[upstream]
url = https://api.example
[route users]
match = /users/{id}
ttl = 10m
stale_if_error = 1h
invalidates = /users/{id}, /users*
.EE
.SH SEE ALSO
.BR memoproxy (8)
PAGE
