#!/bin/bash
# The include arrows: proxy -> {config, cache, upstream} -> http -> base, and which folder may use which library.
# And that what decides which answer serves a request is made of the request as the origin is sent it (proxy/request/sent.h).
# Reads only; the files are the arguments. A breach is printed as file:line: sentence.
set -euo pipefail
awk '
BEGIN {
	below["base"] = " base "
	below["http"] = " http base "
	below["config"] = " config http base "
	below["cache"] = " cache http base "
	below["upstream"] = " upstream http base "
	below["proxy"] = " proxy config cache upstream http base "
}
function bad(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; breaches = 1 }
/^[ \t]*#[ \t]*include/ {
	folder = FILENAME
	sub(/\/.*/, "", folder)
	local = index($0, "\"") > 0
	name = $0
	sub(/^[^"<]*["<]/, "", name)
	sub(/[">].*/, "", name)
	if (local) {
		if (name !~ /\//) { bad("\"" name "\" is not written from the root"); next }
		to = name
		sub(/\/.*/, "", to)
		if (index(below[folder], " " to " ") == 0) bad(folder "/ may not include " name)
		next
	}
	if (name ~ /^curl\// && folder != "upstream") bad("only upstream/ includes libcurl")
	if (name ~ /^event2\/(http|bufferevent|listener)/ && folder != "proxy") bad("only proxy/ includes evhttp and bufferevents")
	if (name ~ /^event2?[\/.]|^evhttp/ && folder != "proxy" && folder != "upstream") bad(folder "/ knows no event loop")
	if (name ~ /^(sys\/socket|netinet\/.*|arpa\/inet|netdb)\.h$/ && folder == "cache") bad("cache/ opens no socket")
	if (name == "uthash.h" && FILENAME != "base/hash.h") bad("include \"base/hash.h\" instead of <uthash.h>")
}
# An allocation that mem.h does not see can not be made to fail in a test.
/(^|[^a-zA-Z0-9_>.])(malloc|calloc|realloc|strdup|strndup|asprintf|vasprintf|free)[ \t]*\(/ && FILENAME != "base/mem.c" {
	code = $0
	gsub(/"([^"\\]|\\.)*"/, "", code)
	sub(/\/[\/*].*/, "", code)
	if (code ~ /^[ \t]*\*/) next
	if (code ~ /(^|[^a-zA-Z0-9_>.])(malloc|calloc|realloc|strdup|strndup|asprintf|vasprintf|free)[ \t]*\(/ &&
	    $0 !~ /allocated by/) bad("allocate through base/mem.h (or say \"allocated by <library>\" on the line)")
}
FILENAME ~ /^proxy\// && FILENAME != "proxy/request/target.c" && /\(struct cache_request\)|struct cache_request [a-z_]+ = \{/ {
	bad("only target_cache_request makes a cache_request: the cache sees what the origin is sent")
}
FILENAME ~ /^proxy\/(transaction\/(exchange|fill|hit|invalidate)|request\/forward)/ && /(client|gate_request\([a-z>-]+\))->(fields|host|path|query)|asked\.http->/ && !/hops_were_here/ {
	bad("decide by target.sent, not by what the client sent")
}
END { exit breaches }
' "$@"
