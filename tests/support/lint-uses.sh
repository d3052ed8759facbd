#!/bin/bash
# SPDX-License-Identifier: MIT
# What only some files may do: allocate, speak with evhttp, and say what the cache is asked. What decides which response serves a
# request is made of the request as the origin is sent it (proxy/request/sent.h).
# Reads only; the files are the arguments. A breach is printed as file:line: sentence.
set -euo pipefail
awk '
function bad(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; breaches = 1 }
# An allocation that mem.h does not see can not be made to fail in a test.
/(^|[^a-zA-Z0-9_>.])(malloc|calloc|realloc|strdup|strndup|asprintf|vasprintf|free)[ \t]*\(/ && FILENAME != "base/mem.c" {
	code = $0
	gsub(/"([^"\\]|\\.)*"/, "", code)
	sub(/\/[\/*].*/, "", code)
	if (code ~ /^[ \t]*\*/) next
	if (code ~ /(^|[^a-zA-Z0-9_>.])(malloc|calloc|realloc|strdup|strndup|asprintf|vasprintf|free)[ \t]*\(/ &&
	    $0 !~ /allocated by/) bad("allocate through base/mem.h (or say \"allocated by <library>\" on the line)")
}
# Whatever carries requests to the program, the rest of the gate is the same.
/event2\/http|(^|[^a-zA-Z0-9_])evhttp_[a-z_]+[ \t]*\(/ && FILENAME !~ /^proxy\/(front\/gate_evhttp|demo\/demo)\.c$/ {
	bad("evhttp is for proxy/front/gate_evhttp.c (and the demonstration)")
}
FILENAME ~ /^proxy\// && FILENAME != "proxy/request/target.c" && /\(struct cache_request\)|struct cache_request [a-z_]+ = \{/ {
	bad("only target_cache_request makes a cache_request: the cache sees what the origin is sent")
}
FILENAME ~ /^proxy\/(transaction\/(transaction|fetch_job|hit|write_purges)|request\/forward)/ && /(client|gate_request\([a-z>-]+\))->(fields|host|path|query)|asked\.http->/ && !/hops_were_here/ {
	bad("decide by target.sent, not by what the client sent")
}
END { exit breaches }
' "$@"
