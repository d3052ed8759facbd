/* SPDX-License-Identifier: MIT */
#include "proxy/request/hops.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "http/syntax.h"

static char mark[17], via[2][64], cdn_loop[64];
static bool via_is_off, via_of_responses_is_off;

/* Before main, so that no reader needs a lock or a once-flag. */
__attribute__((constructor)) static void make_mark(void)
{
	uint64_t number;

	random_bytes(&number, sizeof(number));
	snprintf(mark, sizeof(mark), "%016llx", (unsigned long long)number);
	snprintf(via[0], sizeof(via[0]), "1.0 memoproxy (%s)", mark);
	snprintf(via[1], sizeof(via[1]), "1.1 memoproxy (%s)", mark);
	snprintf(cdn_loop, sizeof(cdn_loop), "memoproxy; id=%s", mark);
}

/* However others put such a list together anew: nobody else has this number. */
static bool bears_mark(const struct http_fields *fields, enum http_field_id id)
{
	const struct http_field *f;
	uint32_t i = 0;

	while ((f = http_fields_next(fields, id, &i)))
		if (f->value.n && memmem(f->value.p, f->value.n, mark, sizeof(mark) - 1))
			return true;
	return false;
}

bool hops_were_here(const struct http_fields *request)
{
	return bears_mark(request, HF_CDN_LOOP) || bears_mark(request, HF_VIA);
}

void hops_set_via(bool of_requests, bool of_responses)
{
	via_is_off = !of_requests;
	via_of_responses_is_off = !of_responses;
}

struct slice hops_via(int minor)
{
	return via_is_off ? (struct slice){NULL, 0} : slice_of(via[minor > 0]);
}

struct slice hops_via_of_responses(void)
{
	return via_of_responses_is_off ? (struct slice){NULL, 0} : SLICE_LIT("1.1 memoproxy");
}

struct slice hops_cdn_loop(void)
{
	return slice_of(cdn_loop);
}

int64_t hops_left(const struct http_request *r)
{
	const struct http_field *f = http_fields_get(&r->fields, HF_MAX_FORWARDS);
	uint64_t n;

	if (r->method != HTTP_OPTIONS || !f || !http_content_length_parse(f->value, &n))
		return -1;
	return (int64_t)n;
}
