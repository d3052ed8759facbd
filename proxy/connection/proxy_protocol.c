/* SPDX-License-Identifier: MIT */
#include "proxy/connection/proxy_protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/slice.h"

/* ---- Version 1: "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n" ---- */

enum { V1_MAX = 107 }; /* the longest line that the protocol allows, with its CRLF */

static bool read_port(struct slice word, uint16_t *port)
{
	unsigned long long n;

	if (word.n > 5 || (word.n > 1 && word.p[0] == '0') || !slice_to_u64(word, 65536, &n) || n > 65535)
		return false;
	*port = (uint16_t)n;
	return true;
}

static bool read_address(struct slice word, int family, uint8_t *out)
{
	char z[INET6_ADDRSTRLEN];

	if (word.n == 0 || word.n >= sizeof(z) || memchr(word.p, '\0', word.n))
		return false;
	memcpy(z, word.p, word.n);
	z[word.n] = '\0';
	return inet_pton(family, z, out) == 1;
}

static enum proxy_header_parse read_v1_addresses(struct slice rest, int family, struct proxy_header *out)
{
	struct slice from, to, from_port;
	uint8_t source[16], destination[16];
	uint16_t port, ignored;

	if (!slice_cut(rest, ' ', &from, &rest) || !slice_cut(rest, ' ', &to, &rest) ||
		!slice_cut(rest, ' ', &from_port, &rest) || !read_address(from, family, source) ||
		!read_address(to, family, destination) || !read_port(from_port, &port) || !read_port(rest, &ignored))
		return PROXY_HEADER_BAD;
	out->has_source = true;
	if (family == AF_INET)
		peer_from_v4(source, port, &out->source);
	else
		peer_from_v6(source, port, &out->source);
	return PROXY_HEADER_DONE;
}

static enum proxy_header_parse read_v1_line(struct slice line, struct proxy_header *out)
{
	struct slice rest = slice_from(line, 6); /* after "PROXY " */

	if (slice_starts_with(rest, SLICE_LIT("TCP4 ")))
		return read_v1_addresses(slice_from(rest, 5), AF_INET, out);
	if (slice_starts_with(rest, SLICE_LIT("TCP6 ")))
		return read_v1_addresses(slice_from(rest, 5), AF_INET6, out);
	/* Whatever follows UNKNOWN is to be skipped. */
	if (slice_equal(rest, SLICE_LIT("UNKNOWN")) || slice_starts_with(rest, SLICE_LIT("UNKNOWN ")))
		return PROXY_HEADER_DONE;
	return PROXY_HEADER_BAD;
}

static enum proxy_header_parse parse_v1(const char *p, size_t n, struct proxy_header *out)
{
	size_t seen = n < V1_MAX ? n : V1_MAX;
	const char *cr = memchr(p, '\r', seen);
	size_t line = cr ? (size_t)(cr - p) : seen;

	if (memchr(p, '\n', line) || memchr(p, '\0', line))
		return PROXY_HEADER_BAD;
	if (!cr || line + 1 == seen)
		return n < V1_MAX ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
	if (cr[1] != '\n')
		return PROXY_HEADER_BAD;
	out->bytes = line + 2;
	return read_v1_line((struct slice){p, line}, out);
}

/* ---- Version 2: signature, version and command, family and protocol, length, addresses, TLVs ---- */

enum {
	V2_FIXED = 16,
	V2_LOCAL = 0x20, /* version 2 in the upper half */
	V2_PROXY = 0x21,
	V2_UNSPEC = 0x00,
	V2_TCP4 = 0x11,
	V2_UDP4 = 0x12,
	V2_TCP6 = 0x21,
	V2_UDP6 = 0x22,
	V2_UNIX_STREAM = 0x31,
	V2_UNIX_DATAGRAM = 0x32,
	V2_TLV_CRC32C = 0x03,
};

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static unsigned u16_at(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t u32_at(const uint8_t *p)
{
	return (uint32_t)u16_at(p) << 16 | u16_at(p + 2);
}

static uint32_t crc32c_byte(uint32_t crc, uint8_t byte)
{
	crc ^= byte;
	for (int bit = 0; bit < 8; bit++)
		crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	return crc;
}

/* Of the whole header, with the checksum's own four bytes as zeros. */
static uint32_t crc32c_without(const uint8_t *p, size_t n, size_t own)
{
	uint32_t crc = 0xffffffffU;

	for (size_t i = 0; i < n; i++)
		crc = crc32c_byte(crc, i >= own && i < own + 4 ? 0 : p[i]);
	return ~crc;
}

static bool tlvs_are_good(const uint8_t *p, size_t n, size_t at)
{
	while (at < n) {
		size_t value = at + 3, length;

		if (n - at < 3)
			return false;
		length = u16_at(p + at + 1);
		if (length > n - value)
			return false;
		if (p[at] == V2_TLV_CRC32C && (length != 4 || crc32c_without(p, n, value) != u32_at(p + value)))
			return false;
		at = value + length;
	}
	return true;
}

/* How many bytes of addresses a family has; -EINVAL: there is no such family. */
static int v2_address_bytes(uint8_t family)
{
	switch (family) {
	case V2_UNSPEC:
		return 0;
	case V2_TCP4:
	case V2_UDP4:
		return 12;
	case V2_TCP6:
	case V2_UDP6:
		return 36;
	case V2_UNIX_STREAM:
	case V2_UNIX_DATAGRAM:
		return 216;
	default:
		return -EINVAL;
	}
}

static enum proxy_header_parse read_v2(const uint8_t *p, struct proxy_header *out)
{
	const uint8_t *source = p + V2_FIXED;
	int addresses = v2_address_bytes(p[13]);

	if (p[12] == V2_LOCAL) /* what follows is to be skipped, whatever its family */
		return PROXY_HEADER_DONE;
	if (addresses < 0 || out->bytes < V2_FIXED + (size_t)addresses)
		return PROXY_HEADER_BAD;
	/* What an unspecified family brings along is not defined. */
	if (p[13] != V2_UNSPEC && !tlvs_are_good(p, out->bytes, V2_FIXED + (size_t)addresses))
		return PROXY_HEADER_BAD;
	out->has_source = p[13] == V2_TCP4 || p[13] == V2_TCP6;
	if (p[13] == V2_TCP4)
		peer_from_v4(source, (uint16_t)u16_at(source + 8), &out->source);
	else if (p[13] == V2_TCP6)
		peer_from_v6(source, (uint16_t)u16_at(source + 32), &out->source);
	return PROXY_HEADER_DONE;
}

static enum proxy_header_parse parse_v2(const uint8_t *p, size_t n, struct proxy_header *out)
{
	if (n > 12 && p[12] != V2_LOCAL && p[12] != V2_PROXY)
		return PROXY_HEADER_BAD;
	if (n > 13 && p[12] == V2_PROXY && v2_address_bytes(p[13]) < 0)
		return PROXY_HEADER_BAD;
	if (n < V2_FIXED)
		return PROXY_HEADER_MORE;
	out->bytes = V2_FIXED + u16_at(p + 14);
	if (out->bytes > PROXY_HEADER_MAX)
		return PROXY_HEADER_BAD;
	return n < out->bytes ? PROXY_HEADER_MORE : read_v2(p, out);
}

/* ---- Either ---- */

static bool begins_like(const char *p, size_t n, const void *what, size_t what_n)
{
	return memcmp(p, what, n < what_n ? n : what_n) == 0;
}

enum proxy_header_parse proxy_header_parse(const char *p, size_t n, struct proxy_header *out)
{
	memset(out, 0, sizeof(*out));
	if (n == 0)
		return PROXY_HEADER_MORE;
	if (begins_like(p, n, v2_signature, sizeof(v2_signature)))
		return parse_v2((const uint8_t *)p, n, out);
	if (!begins_like(p, n, "PROXY ", 6))
		return PROXY_HEADER_BAD;
	return n < 6 ? PROXY_HEADER_MORE : parse_v1(p, n, out);
}
