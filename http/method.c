/* SPDX-License-Identifier: MIT */
#include "http/message.h"

static const struct slice tokens[] = {
	[HTTP_GET] = {"GET", 3},
	[HTTP_HEAD] = {"HEAD", 4},
	[HTTP_POST] = {"POST", 4},
	[HTTP_PUT] = {"PUT", 3},
	[HTTP_DELETE] = {"DELETE", 6},
	[HTTP_OPTIONS] = {"OPTIONS", 7},
	[HTTP_TRACE] = {"TRACE", 5},
	[HTTP_CONNECT] = {"CONNECT", 7},
	[HTTP_PATCH] = {"PATCH", 5},
	[HTTP_QUERY] = {"QUERY", 5},
	[HTTP_PROPFIND] = {"PROPFIND", 8},
	[HTTP_REPORT] = {"REPORT", 6},
	[HTTP_SEARCH] = {"SEARCH", 6},
};

enum http_method http_method_of(struct slice token)
{
	for (unsigned m = 0; m < ARRAY_LEN(tokens); m++) {
		if (slice_equal(token, tokens[m]))
			return (enum http_method)m;
	}
	return HTTP_OTHER;
}

bool http_method_is_safe(enum http_method m)
{
	switch (m) {
	case HTTP_GET:
	case HTTP_HEAD:
	case HTTP_OPTIONS:
	case HTTP_TRACE:
	case HTTP_QUERY:
	case HTTP_PROPFIND:
	case HTTP_REPORT:
	case HTTP_SEARCH:
		return true;
	default:
		return false;
	}
}
