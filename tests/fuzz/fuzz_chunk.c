/* SPDX-License-Identifier: MIT */
/* A chunked body in one piece and in pieces gives the same bytes, the same response and the same end. */
#include <stdlib.h>

#include "base/check.h"
#include "http/chunk.h"

struct outcome {
	enum chunk_result rc;
	size_t used, body_n;
	char *body;
};

static struct outcome decode(enum chunk_strictness how, const char *p, size_t n, size_t step)
{
	struct outcome o = {.rc = CHUNK_MORE, .body = malloc(n + 1)};
	struct chunk_decoder d;
	CHECK(o.body);
	chunk_decoder_init(&d, how);
	while (o.used < n && (o.rc == CHUNK_MORE || o.rc == CHUNK_DATA)) {
		size_t piece = n - o.used < step ? n - o.used : step, consumed;
		struct slice data;
		o.rc = chunk_decode(&d, p + o.used, piece, &consumed, &data);
		CHECK(consumed <= piece);
		if (o.rc == CHUNK_MORE)
			CHECK(consumed == piece);
		if (o.rc == CHUNK_DATA) {
			CHECK(data.n > 0 && o.body_n + data.n <= n);
			memcpy(o.body + o.body_n, data.p, data.n);
			o.body_n += data.n;
		}
		o.used += consumed;
	}
	if (o.rc == CHUNK_DATA)
		o.rc = CHUNK_MORE;
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	const char *p = (const char *)data + 1;
	enum chunk_strictness how = data[0] & 8 ? CHUNK_PADDED : CHUNK_STRICT;
	struct outcome whole = decode(how, p, size - 1, size), parts = decode(how, p, size - 1, data[0] % 8 + 1);
	CHECK(whole.rc == parts.rc && whole.used == parts.used && whole.body_n == parts.body_n);
	CHECK(whole.body_n == 0 || memcmp(whole.body, parts.body, whole.body_n) == 0);
	if (whole.rc == CHUNK_END)
		CHECK(whole.used >= 5 && memcmp(p + whole.used - 2, "\r\n", 2) == 0);
	free(whole.body);
	free(parts.body);
	return 0;
}
