/* SPDX-License-Identifier: MIT */
#include "http/asked.h"

static bool holds(struct slice s, struct slice part)
{
	for (size_t i = 0; i + part.n <= s.n; i++)
		if (slice_equal_nocase((struct slice){s.p + i, part.n}, part))
			return true;
	return false;
}

static bool is_condition(struct slice name)
{
	return slice_starts_with_nocase(name, SLICE_LIT("If-")) || holds(name, SLICE_LIT("-If-")) ||
	       slice_equal_nocase(name, SLICE_LIT("If")) || slice_equal_nocase(name, SLICE_LIT("Overwrite"));
}

static unsigned asked_by(enum http_method method, const struct http_field *f)
{
	bool reads = method == HTTP_GET || method == HTTP_HEAD;

	switch (f->id) {
	case HF_IF_NONE_MATCH:
	case HF_IF_MODIFIED_SINCE:
		return reads ? HTTP_ASKED_304 : HTTP_ASKED_304 | HTTP_ASKED_412;
	case HF_IF_RANGE: /* of no use alone, but many take it for a condition */
		return HTTP_ASKED_304 | HTTP_ASKED_412;
	case HF_IF_MATCH:
	case HF_IF_UNMODIFIED_SINCE:
		return HTTP_ASKED_412;
	case HF_RANGE:
		return HTTP_ASKED_PART;
	case HF_OTHER:
		if (is_condition(f->name))
			return HTTP_ASKED_304 | HTTP_ASKED_412;
		return slice_ends_with_nocase(f->name, SLICE_LIT("-Range")) ? HTTP_ASKED_PART : 0;
	default:
		return 0;
	}
}

unsigned http_asked(enum http_method method, const struct http_fields *request)
{
	unsigned asked = 0;

	for (uint32_t i = 0; i < request->n; i++)
		asked |= asked_by(method, &request->v[i]);
	return asked;
}

/* Unless it names another unit; a 416 need not say how long the whole is. */
static bool is_of_bytes(int status, const struct http_fields *response)
{
	const struct http_field *range = http_fields_get(response, HF_CONTENT_RANGE);
	const struct http_field *type = http_fields_get(response, HF_CONTENT_TYPE);

	if (range && slice_starts_with_nocase(range->value, SLICE_LIT("bytes")))
		return true;
	if (status == 416)
		return !range;
	return type && slice_starts_with_nocase(type->value, SLICE_LIT("multipart/byteranges"));
}

bool http_was_asked_for(unsigned asked, enum http_method method, int status, const struct http_fields *response)
{
	switch (status) {
	case 304:
		return asked & HTTP_ASKED_304;
	case 412:
		return asked & HTTP_ASKED_412;
	case 206:
	case 416:
		return (asked & HTTP_ASKED_PART) || (method != HTTP_GET && method != HTTP_HEAD) ||
		       !is_of_bytes(status, response);
	default:
		return true;
	}
}
