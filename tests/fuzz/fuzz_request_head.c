/* SPDX-License-Identifier: MIT */
/* A request head in one piece and in many gives the same response; what is taken has no byte that another parser could
 * read in another way; and what reads the fields of a request stands any of them. */
#include <stdlib.h>

#include "base/check.h"
#include "http/cache_control.h"
#include "http/etag.h"
#include "http/message.h"
#include "http/negotiate.h"
#include "http/range.h"
#include "http/uri.h"

static const struct http_head_limits limits = {.max_head = 2048, .max_fields = 64};

static void check_bytes(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		CHECK(p[i] != '\0' && p[i] != 0x7F);
		CHECK(p[i] != '\n' || (i > 0 && p[i - 1] == '\r'));
		CHECK(p[i] != '\r' || (i + 1 < n && p[i + 1] == '\n'));
	}
	CHECK(n >= 4 && memcmp(p + n - 4, "\r\n\r\n", 4) == 0);
}

static void check_request(const struct http_request *r, const char *p, size_t n)
{
	CHECK(r->head_bytes <= n);
	check_bytes(p, r->head_bytes);
	CHECK(r->minor == 0 || r->host.n > 0);
	CHECK(r->path.n > 0 && (r->path.p[0] == '/' || slice_equal(r->path, SLICE_LIT("*"))));
	CHECK(http_fields_count(&r->fields, HF_HOST) <= 1 && http_fields_count(&r->fields, HF_CONTENT_LENGTH) <= 1);
	CHECK(r->framing != HTTP_BODY_CHUNKED || !http_fields_get(&r->fields, HF_CONTENT_LENGTH));
	CHECK(r->fields.n <= limits.max_fields);
}

static void read_fields(struct http_request *r)
{
	struct http_ranges ranges;
	struct cache_control cc;
	struct uri_param param;
	struct slice rest = r->query;
	bool at_end = false;
	for (uint32_t i = 0; i < r->fields.n; i++) {
		struct slice value = r->fields.v[i].value;
		struct http_fields one = {.v = &r->fields.v[i], .n = 1, .cap = 1};
		struct http_content_range content_range;
		if (http_range_parse(value, 1000, &ranges) == HTTP_RANGE_SATISFIABLE) {
			uint64_t total = 0;
			for (unsigned k = 0; k < ranges.n; k++)
				total += ranges.v[k].last - ranges.v[k].first + 1;
			CHECK(total <= 1000);
		}
		(void)!http_content_range_parse(value, &content_range);
		r->fields.v[i].id = HF_ACCEPT_ENCODING;
		(void)http_accept_encoding_q(&one, SLICE_LIT("gzip"));
		r->fields.v[i].id = http_field_id_of(r->fields.v[i].name);
	}
	(void)cache_control_of(&cc, &r->fields);
	(void)etag_if_none_match(&r->fields, SLICE_LIT("\"a\""));
	while (uri_query_next(&rest, &at_end, &param))
		(void)uri_name_matches(SLICE_LIT("*a*b"), param.name);
	uint32_t before = r->fields.n;
	(void)!http_fields_drop_hop_by_hop(&r->fields);
	CHECK(r->fields.n <= before);
}

static void resolve(struct slice target)
{
	struct buf b;
	buf_init(&b, 8192);
	if (uri_resolve(SLICE_LIT("http://a/b/c?d"), target, &b) == 0) {
		struct slice scheme, authority, rest;
		CHECK(uri_split_absolute(buf_slice(&b), &scheme, &authority, &rest));
		CHECK(uri_same_origin(buf_slice(&b), buf_slice(&b)) || uri_default_port(scheme) < 0);
	}
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request whole, parts;
	struct http_error whole_err = {0}, parts_err = {0};
	size_t scanned = 0, n = 0;
	if (size < 1)
		return 0;
	size_t step = data[0] % 16 + 1;
	const char *p = (const char *)data + 1;
	size--;
	http_request_init(&whole);
	http_request_init(&parts);
	enum http_parse want = http_request_parse(p, size, &limits, &scanned, &whole, &whole_err),
			got = HTTP_PARSE_MORE;
	scanned = 0;
	while (got == HTTP_PARSE_MORE && n < size) {
		n = size - n < step ? size : n + step;
		char *copy = malloc(n);
		CHECK(copy);
		memcpy(copy, p, n);
		got = http_request_parse(copy, n, &limits, &scanned, &parts, &parts_err);
		free(copy);
	}
	/* In pieces a fault is found when more is known, so it can be another one, or not yet one. */
	CHECK((got == HTTP_PARSE_DONE) == (want == HTTP_PARSE_DONE));
	CHECK(want != HTTP_PARSE_MORE || got == HTTP_PARSE_MORE);
	if (want == HTTP_PARSE_DONE) {
		CHECK(parts.head_bytes == whole.head_bytes && parts.fields.n == whole.fields.n);
		check_request(&whole, p, size);
		resolve(whole.target);
		read_fields(&whole);
	} else if (want == HTTP_PARSE_BAD) {
		CHECK(whole_err.status >= 400 && whole_err.reason);
	}
	http_request_fini(&whole);
	http_request_fini(&parts);
	return 0;
}
