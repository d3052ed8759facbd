/* SPDX-License-Identifier: MIT */
/* Lines as libcurl hands them over: the first byte says whether the wire is HTTP/1, then lines end in LF. */
#include <stdlib.h>

#include "base/check.h"
#include "http/message.h"

static int feed(struct http_response_head *h, struct slice line, bool is_http1)
{
	/* A copy that ends where the line ends, for the address sanitizer. */
	char *copy = malloc(line.n ? line.n : 1);
	CHECK(copy);
	memcpy(copy, line.p, line.n);
	struct slice s = {copy, line.n};
	int rc = slice_starts_with(s, SLICE_LIT("HTTP/")) ? http_response_head_status(h, s, is_http1)
							  : http_response_head_field(h, s);
	free(copy);
	return rc;
}

static void check_head(const struct http_response_head *h, int64_t length)
{
	CHECK(h->status >= 100 && h->status <= 599 && length >= -1);
	/* The framing fields of a 1xx, which frames nothing, are not checked: who passes it on takes them out. */
	CHECK(h->status < 200 || http_fields_count(&h->fields, HF_CONTENT_LENGTH) <= 1);
	for (uint32_t i = 0; i < h->fields.n; i++) {
		CHECK(h->fields.v[i].name.n > 0);
		CHECK(!memchr(h->fields.v[i].value.p, '\r', h->fields.v[i].value.n));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_response_head h;
	int64_t length;
	if (size < 1)
		return 0;
	http_response_head_init(&h, 2048);
	const char *p = (const char *)data + 1, *end = (const char *)data + size;
	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		const char *line_end = lf ? lf : end;
		if (line_end == p) {
			if (http_response_head_end(&h, &length) == 0)
				check_head(&h, length);
		} else if (feed(&h, (struct slice){p, (size_t)(line_end - p)}, data[0] & 1) == 0) {
			CHECK(h.err.status == 0);
		}
		p = lf ? lf + 1 : end;
	}
	if (http_response_head_end(&h, &length) == 0)
		check_head(&h, length);
	http_response_head_fini(&h);
	return 0;
}
