/* SPDX-License-Identifier: MIT */
/* However a header is cut, every prefix asks for more until it is whole; what was refused stays refused with more bytes; the
 * verdict depends on the header's own bytes only. */
#include "base/check.h"
#include "proxy/connection/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* In a block of its own size, so that a read past the end is seen. */
static enum proxy_header_parse parse(const uint8_t *p, size_t n, struct proxy_header *out)
{
	char *copy = malloc(n ? n : 1);
	enum proxy_header_parse got;

	memcpy(copy, p, n);
	got = proxy_header_parse(copy, n, out);
	free(copy);
	return got;
}

static void check_done(const uint8_t *data, size_t size, const struct proxy_header *h)
{
	struct proxy_header again;
	char text[PEER_TEXT_MAX];
	uint8_t bytes[16];

	CHECK(h->bytes > 0 && h->bytes <= size && h->bytes <= PROXY_HEADER_MAX);
	CHECK(parse(data, h->bytes, &again) == PROXY_HEADER_DONE);
	CHECK(again.bytes == h->bytes && again.has_source == h->has_source);
	CHECK(memcmp(&again.source, &h->source, sizeof(again.source)) == 0);
	if (!h->has_source)
		return;
	peer_text(&h->source, text);
	CHECK(inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header h, part;
	enum proxy_header_parse whole = parse(data, size, &h);
	size_t end = whole == PROXY_HEADER_DONE ? h.bytes : size;
	bool is_bad = false;

	if (whole == PROXY_HEADER_DONE)
		check_done(data, size, &h);
	for (size_t n = 0; n < end && n < 200; n++) {
		enum proxy_header_parse got = parse(data, n, &part);

		CHECK(got != PROXY_HEADER_DONE);
		CHECK(!is_bad || got == PROXY_HEADER_BAD);
		is_bad = got == PROXY_HEADER_BAD;
	}
	CHECK(!is_bad || whole == PROXY_HEADER_BAD);
	return 0;
}
