/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "proxy/connection/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\x30\x39\x01\xbb" /* 192.0.2.1:12345 to 198.51.100.2:443 */
#define V6                                                                                     \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02" \
	"\x30\x39\x01\xbb"

/* In a block of its own size, so that a read past the end is seen. */
static enum proxy_header_parse parse(struct slice s, struct proxy_header *out)
{
	char *p = malloc(s.n ? s.n : 1);
	enum proxy_header_parse got;

	memcpy(p, s.p, s.n);
	got = proxy_header_parse(p, s.n, out);
	free(p);
	return got;
}

/* A static table takes no compound literals. */
#define BYTES(s)                   \
	{                          \
		(s), sizeof(s) - 1 \
	}

struct good {
	struct slice bytes; /* a whole header, nothing after it */
	const char *source; /* NULL: none */
	uint16_t port;
};

static const struct good goods[] = {
	{BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n"), "192.0.2.1", 12345},
	{BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255", 65535},
	{BYTES("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0", 0},
	{BYTES("PROXY TCP6 2001:db8::1 ::1 12345 443\r\n"), "2001:db8::1", 12345},
	{BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
	       "65535\r\n"),
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535},
	{BYTES("PROXY TCP6 ::ffff:192.0.2.9 ::1 1 2\r\n"), "192.0.2.9", 1},
	{BYTES("PROXY UNKNOWN\r\n"), NULL, 0},
	{BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
	       "65535\r\n"),
		NULL, 0},
	{BYTES(SIGNATURE "\x21\x11\0\x0c" V4), "192.0.2.1", 12345},
	{BYTES(SIGNATURE "\x21\x21\0\x24" V6), "2001:db8::1", 12345},
	{BYTES(SIGNATURE "\x21\x11\0\x13" V4 "\xea\0\x04"
			 "abcd"),
		"192.0.2.1", 12345},
	{BYTES(SIGNATURE "\x21\x11\0\x12" V4 "\x04\0\0\x04\0\0"), "192.0.2.1", 12345}, /* two empty TLVs */
	{BYTES(SIGNATURE "\x21\x12\0\x0c" V4), NULL, 0},
	{BYTES(SIGNATURE "\x21\0\0\0"), NULL, 0},
	{BYTES(SIGNATURE "\x21\0\0\x03xyz"), NULL, 0},
	{BYTES(SIGNATURE "\x20\0\0\0"), NULL, 0},
	{BYTES(SIGNATURE "\x20\x11\0\x0c" V4), NULL, 0},
	{BYTES(SIGNATURE "\x20\xff\0\x01x"), NULL, 0},
};

static void headers_are_read_however_they_are_cut(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(goods); i++) {
		char longer[300], text[PEER_TEXT_MAX];
		struct slice all = goods[i].bytes;
		struct proxy_header h;

		for (size_t n = 0; n < all.n; n++)
			assert_int_equal(parse((struct slice){all.p, n}, &h), PROXY_HEADER_MORE);
		memcpy(longer, all.p, all.n);
		memcpy(longer + all.n, "GET / HTTP/1.1\r\n", 16);
		for (unsigned more = 0; more < 16; more += 15) {
			assert_int_equal(parse((struct slice){longer, all.n + more}, &h), PROXY_HEADER_DONE);
			assert_int_equal(h.bytes, all.n);
			assert_int_equal(h.has_source, goods[i].source != NULL);
		}
		if (!goods[i].source)
			continue;
		peer_text(&h.source, text);
		assert_string_equal(text, goods[i].source);
		assert_int_equal(h.source.port, goods[i].port);
	}
}

static const struct slice bads[] = {
	BYTES("GET / HTTP/1.1\r\n"), BYTES("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n"),
	BYTES("PROXY\tTCP4 192.0.2.1 198.51.100.2 1 2\r\n"), BYTES(" PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n"),
	BYTES("PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n"), BYTES("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n"),
	BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n"), BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n"),
	BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"), BYTES("PROXY TCP4 192.0.2.1 198.51.100.2\r\n"),
	BYTES("PROXY TCP4\r\n"), BYTES("PROXY \r\n"), BYTES("PROXY UNKNOWNX\r\n"),
	BYTES("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n"), BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n"),
	BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 65536 1\r\n"), BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n"),
	BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n"), BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n"),
	BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n"), BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 0x1 2\r\n"),
	BYTES("PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n"), BYTES("PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n"),
	BYTES("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n"), BYTES("PROXY TCP4 ::1 ::1 1 2\r\n"),
	BYTES("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n"), BYTES("PROXY TCP6 ::1%lo ::1 1 2\r\n"),
	BYTES("PROXY TCP6 [::1] ::1 1 2\r\n"), BYTES("PROXY TCP6 2001:db8::1 192.0.2.1 1 2\r\n"),
	BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n"), BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rX"),
	BYTES("PROXY UNKNOWN \0\r\n"), BYTES("PROXY TCP4 192.0.2.1\0 198.51.100.2 1 2\r\n"),
	BYTES("\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c" V4), BYTES(SIGNATURE "\x11"), /* version 1 */
	BYTES(SIGNATURE "\x31"),                                                 /* version 3 */
	BYTES(SIGNATURE "\x22"),                                                 /* a command that there is not */
	BYTES(SIGNATURE "\x21\x13"),                                             /* a protocol that there is not */
	BYTES(SIGNATURE "\x21\x41"),                                             /* a family that there is not */
	BYTES(SIGNATURE "\x21\x11\0\x0b" V4),                                    /* shorter than its addresses */
	BYTES(SIGNATURE "\x21\x21\0\x23" V6),                                    /* the same */
	BYTES(SIGNATURE "\x21\x11\0\x0d" V4 "\x04"),                             /* a TLV cut in its type */
	BYTES(SIGNATURE "\x21\x11\0\x0e" V4 "\x04\0"),                           /* in its length */
	BYTES(SIGNATURE "\x21\x11\0\x0f" V4 "\x04\0\x01"),                       /* in its value */
	BYTES(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\0\0\0\0"),               /* a wrong checksum */
	BYTES(SIGNATURE "\x21\x11\0\x10" V4 "\x03\0\x01x"),                      /* a checksum of one byte */
	BYTES(SIGNATURE "\x21\x11\xff\xff"),                                     /* longer than is taken */
	BYTES(SIGNATURE "\x20\0\x0f\xf1"),                                       /* by one */
};

static void what_is_no_header_is_refused(void **state)
{
	struct proxy_header h;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bads); i++)
		if (parse(bads[i], &h) != PROXY_HEADER_BAD)
			fail_msg("case %u was not refused: %s", i, bads[i].p);
}

static void a_line_without_end_is_refused_at_107_bytes(void **state)
{
	char line[200];
	struct proxy_header h;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	assert_int_equal(parse((struct slice){line, 106}, &h), PROXY_HEADER_MORE);
	assert_int_equal(parse((struct slice){line, 107}, &h), PROXY_HEADER_BAD);
	memcpy(line + 105, "\r\n", 2);
	assert_int_equal(parse((struct slice){line, 107}, &h), PROXY_HEADER_DONE);
	memcpy(line + 105, "x\r\n", 3);
	assert_int_equal(parse((struct slice){line, 108}, &h), PROXY_HEADER_BAD);
}

static void the_longest_header_is_taken(void **state)
{
	char bytes[PROXY_HEADER_MAX] = SIGNATURE "\x20\0\x0f\xf0";
	struct proxy_header h;

	(void)state;
	assert_int_equal(parse((struct slice){bytes, PROXY_HEADER_MAX - 1}, &h), PROXY_HEADER_MORE);
	assert_int_equal(parse((struct slice){bytes, PROXY_HEADER_MAX}, &h), PROXY_HEADER_DONE);
	assert_int_equal(h.bytes, PROXY_HEADER_MAX);
}

/* CRC-32C of the header with zeros in the checksum's place, worked out bit by bit and by hand of the polynomial. */
static void a_right_checksum_is_taken_and_any_other_bit_refused(void **state)
{
	unsigned char bytes[] = SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\0\0\0\0";
	size_t n = sizeof(bytes) - 1;
	uint32_t crc = 0xffffffffU;
	struct proxy_header h;

	(void)state;
	for (size_t i = 0; i < n * 8; i++) {
		uint32_t bit = (crc ^ (uint32_t)(bytes[i / 8] >> (i % 8))) & 1;
		crc = (crc >> 1) ^ (bit ? 0x82f63b78U : 0);
	}
	crc = ~crc;
	for (int i = 0; i < 4; i++)
		bytes[n - 4 + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
	assert_int_equal(parse((struct slice){(char *)bytes, n}, &h), PROXY_HEADER_DONE);
	for (size_t i = 16 * 8; i < 28 * 8; i++) {
		bytes[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_int_equal(parse((struct slice){(char *)bytes, n}, &h), PROXY_HEADER_BAD);
		bytes[i / 8] ^= (unsigned char)(1 << i % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_read_however_they_are_cut),
		cmocka_unit_test(what_is_no_header_is_refused),
		cmocka_unit_test(a_line_without_end_is_refused_at_107_bytes),
		cmocka_unit_test(the_longest_header_is_taken),
		cmocka_unit_test(a_right_checksum_is_taken_and_any_other_bit_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
