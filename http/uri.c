/* SPDX-License-Identifier: MIT */
#include "http/uri.h"

#include <arpa/inet.h>
#include <errno.h>

#include "http/syntax.h"

static struct slice cut(struct slice s, size_t from, size_t to)
{
	if (s.n == 0) /* it may have no bytes to point to */
		return (struct slice){"", 0};
	return (struct slice){s.p + from, to - from};
}

/* The first of up to three characters at or after `from`, or the length. */
static size_t index_of_any(struct slice s, size_t from, const char *set)
{
	char a = set[0], b = set[1] ? set[1] : a, c = set[1] && set[2] ? set[2] : a;
	while (from < s.n && s.p[from] != a && s.p[from] != b && s.p[from] != c)
		from++;
	return from;
}

/* Bytes of the scheme in front of a ':' (RFC 3986 3.1), or 0. */
static size_t scheme_length(struct slice s)
{
	if (s.n == 0 || !http_char_is(s.p[0], HTTP_CH_ALPHA))
		return 0;
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == ':')
			return i;
		if (!http_char_is(s.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT) && s.p[i] != '+' && s.p[i] != '-' &&
			s.p[i] != '.')
			return 0;
	}
	return 0;
}

bool uri_split_absolute(struct slice url, struct slice *scheme, struct slice *authority, struct slice *path_query)
{
	size_t n = scheme_length(url);
	if (n == 0 || url.n - n < 3 || memcmp(url.p + n, "://", 3) != 0)
		return false;
	size_t end = index_of_any(url, n + 3, "/?#");
	if (index_of_any(url, end, "#") < url.n)
		return false;
	*scheme = cut(url, 0, n);
	*authority = cut(url, n + 3, end);
	*path_query = cut(url, end, url.n);
	return true;
}

static bool is_registered_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (http_char_is(s.p[i], HTTP_CH_REGNAME))
			continue;
		if (s.p[i] != '%' || s.n - i < 3 || http_hex_value(s.p[i + 1]) < 0 || http_hex_value(s.p[i + 2]) < 0)
			return false;
		i += 2;
	}
	return s.n > 0;
}

/* "[" IPv6address "]"; zones and future versions have no use in http URLs. */
static bool is_ipv6_literal(struct slice s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	if (s.n < 4 || s.n - 2 >= sizeof(text) || s.p[s.n - 1] != ']' || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p + 1, s.n - 2);
	text[s.n - 2] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1;
}

bool uri_authority_parse(struct slice authority, struct slice *host, int *port)
{
	size_t colon;
	bool bracketed = authority.n > 0 && authority.p[0] == '[';
	if (bracketed) {
		const char *close = memchr(authority.p, ']', authority.n);
		if (!close)
			return false;
		colon = (size_t)(close - authority.p) + 1;
	} else {
		colon = index_of_any(authority, 0, ":");
	}
	*host = cut(authority, 0, colon);
	if (bracketed ? !is_ipv6_literal(*host) : !is_registered_name(*host))
		return false;
	*port = -1;
	if (colon == authority.n)
		return true;
	struct slice digits = cut(authority, colon + 1, authority.n);
	unsigned long long value;
	if (authority.p[colon] != ':')
		return false;
	if (digits.n == 0)
		return true;
	if (digits.n > 5 || !slice_to_u64(digits, 100000, &value) || value > 65535)
		return false;
	*port = (int)value;
	return true;
}

int uri_default_port(struct slice scheme)
{
	if (slice_equal_nocase(scheme, SLICE_LIT("http")))
		return 80;
	return slice_equal_nocase(scheme, SLICE_LIT("https")) ? 443 : -1;
}

/* The byte at i, decoded if it is a valid %XX, and how many bytes of s it took. */
static size_t decode_at(struct slice s, size_t i, char *out)
{
	*out = s.p[i];
	if (s.p[i] != '%' || s.n - i < 3)
		return 1;
	int high = http_hex_value(s.p[i + 1]), low = http_hex_value(s.p[i + 2]);
	if (high < 0 || low < 0)
		return 1;
	*out = (char)(high * 16 + low);
	return 3;
}

int uri_decode(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.n;) {
		char c;
		i += decode_at(s, i, &c);
		buf_add_char(out, c);
	}
	return out->err;
}

int uri_decode_form(struct slice s, struct buf *out)
{
	while (s.n > 0 && !out->err) {
		struct slice run;
		bool is_blank = slice_cut(s, '+', &run, &s);

		if (uri_decode(run, out) == 0 && is_blank)
			buf_add_char(out, ' ');
	}
	return out->err;
}

bool uri_query_next(struct slice *rest, bool *at_end, struct uri_param *out)
{
	if (*at_end)
		return false;
	*at_end = !slice_cut(*rest, '&', &out->whole, rest);
	(void)slice_cut(out->whole, '=', &out->name, &out->value);
	return true;
}

/* The usual two-pointer match: after a mismatch the last '*' takes one byte more. */
bool uri_name_matches(struct slice pattern, struct slice encoded_name)
{
	size_t p = 0, t = 0, star = pattern.n, retry = 0;
	while (t < encoded_name.n) {
		char c;
		size_t step = decode_at(encoded_name, t, &c);
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			retry = t;
		} else if (p < pattern.n && pattern.p[p] == c) {
			p++;
			t += step;
		} else if (star < pattern.n) {
			retry += decode_at(encoded_name, retry, &c);
			p = star + 1;
			t = retry;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

/* RFC 3986 5.2.4 on a path that begins with '/', in place; returns what is left of its n bytes. What is written never overtakes what
 * is read. */
static size_t remove_dot_segments(char *path, size_t n)
{
	size_t w = 0;
	for (size_t r = 0; r < n;) {
		size_t end = r + 1;
		while (end < n && path[end] != '/')
			end++;
		struct slice segment = {path + r + 1, end - r - 1};
		bool up = slice_equal(segment, SLICE_LIT(".."));
		if (up || slice_equal(segment, SLICE_LIT("."))) {
			while (up && w > 0 && path[--w] != '/')
				;
			if (end == n)
				path[w++] = '/';
		} else {
			memmove(path + w, path + r, end - r);
			w += end - r;
		}
		r = end;
	}
	return w;
}

struct reference {
	struct slice scheme, authority, path, query; /* query with its '?', or empty */
	bool has_scheme, has_authority;
};

static struct slice without_fragment(struct slice s)
{
	return cut(s, 0, index_of_any(s, 0, "#"));
}

/* What no target may hold becomes an escape, as browsers make it of a Location before they ask for it. Not a control character. */
static bool escape_reference(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		if (http_char_is(s.p[i], HTTP_CH_TARGET))
			buf_add_char(out, s.p[i]);
		else if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7F)
			return false;
		else
			buf_addf(out, "%%%02X", (unsigned char)s.p[i]);
	}
	return true;
}

static bool split_reference(struct slice s, struct reference *r)
{
	if (!http_all_of(s, HTTP_CH_TARGET))
		return false;
	size_t n = scheme_length(s);
	r->has_scheme = n > 0;
	r->scheme = cut(s, 0, n);
	size_t at = n > 0 ? n + 1 : 0;
	r->has_authority = s.n - at >= 2 && memcmp(s.p + at, "//", 2) == 0;
	size_t path = r->has_authority ? index_of_any(s, at + 2, "/?") : at;
	r->authority = r->has_authority ? cut(s, at + 2, path) : (struct slice){"", 0};
	size_t query = index_of_any(s, path, "?");
	r->path = cut(s, path, query);
	r->query = cut(s, query, s.n);
	return r->has_authority || !r->has_scheme;
}

static void add_path(struct buf *out, const struct reference *base, const struct reference *ref)
{
	size_t start = out->n;
	bool merges = !ref->has_authority && ref->path.n > 0 && ref->path.p[0] != '/';
	if (merges) { /* RFC 3986 5.2.3 */
		size_t n = base->path.n;
		while (n > 0 && base->path.p[n - 1] != '/')
			n--;
		buf_add_slice(out, n > 0 ? cut(base->path, 0, n) : SLICE_LIT("/"));
		buf_add_slice(out, ref->path);
	} else if (ref->path.n > 0) {
		buf_add_slice(out, ref->path);
	} else {
		buf_add_slice(out, ref->has_authority || base->path.n == 0 ? SLICE_LIT("/") : base->path);
	}
	if (out->err == 0 && ref->path.n > 0)
		out->n = start + remove_dot_segments(out->p + start, out->n - start);
}

static int resolve(struct slice base, struct slice reference, struct buf *out)
{
	struct reference b, r;
	if (!split_reference(without_fragment(base), &b) || !b.has_scheme || !split_reference(reference, &r))
		return -EINVAL;
	struct slice authority = r.has_authority ? r.authority : b.authority, host;
	int port;
	if (!uri_authority_parse(authority, &host, &port))
		return -EINVAL;
	buf_add_slice(out, r.has_scheme ? r.scheme : b.scheme);
	buf_add_str(out, "://");
	buf_add_slice(out, authority);
	add_path(out, &b, &r);
	bool is_same_document = !r.has_authority && r.path.n == 0 && r.query.n == 0;
	buf_add_slice(out, is_same_document ? b.query : r.query);
	return out->err;
}

int uri_resolve(struct slice base, struct slice reference, struct buf *out)
{
	struct buf escaped;
	int rc;
	reference = without_fragment(reference);
	if (http_all_of(reference, HTTP_CH_TARGET))
		return resolve(base, reference, out);
	buf_init(&escaped, 3 * reference.n);
	rc = escape_reference(reference, &escaped) ? escaped.err : -EINVAL;
	if (rc == 0)
		rc = resolve(base, buf_slice(&escaped), out);
	buf_fini(&escaped);
	return rc;
}

/* The byte that an escape at s.p[i] stands for, or -1. */
static int escaped_at(struct slice s, size_t i)
{
	int high = i + 2 < s.n ? http_hex_value(s.p[i + 1]) : -1, low = i + 2 < s.n ? http_hex_value(s.p[i + 2]) : -1;
	return high >= 0 && low >= 0 && s.p[i] == '%' ? high << 4 | low : -1;
}

/* What ends a path for a server that decodes it before it looks for its end. */
static bool is_ending(int c)
{
	return c == '\0' || c == '\n' || c == '\r' || c == '#' || c == '?';
}

bool uri_path_is_plain(struct slice path)
{
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i], next = i + 1 < path.n ? path.p[i + 1] : '\0';
		if (c == '\\' || c == ';' || c == '%' || (c == '/' && (next == '/' || next == '.')))
			return false;
	}
	return true;
}

size_t uri_path_end(struct slice path)
{
	size_t i = 0;
	while (i < path.n && !is_ending(escaped_at(path, i)))
		i++;
	return i;
}

static bool has_dots(struct slice path)
{
	for (size_t at = 0; at < path.n;) {
		size_t begin = ++at, n;
		while (at < path.n && path.p[at] != '/' && path.p[at] != '\\')
			at++;
		struct slice segment = cut(path, begin, at);
		n = uri_path_end(segment);
		n = index_of_any((struct slice){segment.p, n}, 0, ";");
		if ((n == 1 || n == 2) && segment.p[0] == '.' && segment.p[n - 1] == '.')
			return true;
	}
	return false;
}

/* More bytes than the character needs (RFC 3629 3); lenient decoders make '/' of "%c0%af". */
static bool is_overlong_at(struct slice path, size_t i)
{
	int first = escaped_at(path, i), second = escaped_at(path, i + 3);
	switch (first) {
	case 0xC0:
	case 0xC1:
		return second >= 0x80 && second <= 0xBF;
	case 0xE0:
		return second >= 0x80 && second <= 0x9F;
	case 0xF0:
		return second >= 0x80 && second <= 0x8F;
	default:
		return false;
	}
}

bool uri_path_is_unreadable(struct slice path)
{
	for (size_t i = 0; i < path.n; i++) {
		char next = i + 1 < path.n ? path.p[i + 1] : '\0';
		if (path.p[i] == '%' && (next == 'u' || next == 'U' || is_overlong_at(path, i)))
			return true;
	}
	return has_dots(path);
}

static unsigned decoding_of(int byte)
{
	switch (byte) {
	case '/':
		return URI_DECODES_SLASH;
	case '\\':
		return URI_DECODES_BACKSLASH;
	case '.':
		return URI_DECODES_DOT;
	case ';':
		return URI_DECODES_SEMICOLON;
	case '%':
		return URI_DECODES_PERCENT;
	default:
		return 0;
	}
}

unsigned uri_path_readings(struct slice path)
{
	unsigned readings = 0;
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];
		int byte = c == '%' ? escaped_at(path, i) : -1;
		readings |= decoding_of(byte) | (is_ending(byte) ? URI_ENDS : 0U);
		readings |= c == ';' ? URI_STRIPS | URI_CUTS : 0U;
		readings |= c == '\\' ? URI_REVERSES : 0U;
		readings |= c == '/' && i + 1 < path.n && path.p[i + 1] == '/' ? URI_MERGES : 0U;
	}
	return readings;
}

int uri_read_path(struct slice path, enum uri_reading reading, struct buf *out)
{
	size_t n = path.n;
	bool is_parameter = false;
	if (reading == URI_ENDS)
		n = uri_path_end(path);
	if (reading == URI_CUTS)
		n = index_of_any(path, 0, ";");
	for (size_t i = 0; i < n && out->err == 0; i++) {
		char c = path.p[i];
		int byte = c == '%' ? escaped_at(path, i) : -1;
		bool doubles = c == '/' && i > 0 && path.p[i - 1] == '/';
		if (byte >= 0 && decoding_of(byte) == reading) {
			c = (char)byte;
			i += 2;
		} else if (c == '\\' && reading == URI_REVERSES) {
			c = '/';
		}
		is_parameter = reading == URI_STRIPS && c != '/' && (is_parameter || c == ';');
		if (!is_parameter && !(doubles && reading == URI_MERGES))
			buf_add_char(out, c);
	}
	return out->err;
}

static bool is_unreserved(int byte)
{
	char c = (char)byte;
	return byte > 0 && byte < 0x80 &&
	       (http_char_is(c, HTTP_CH_ALPHA | HTTP_CH_DIGIT) || c == '-' || c == '.' || c == '_' || c == '~');
}

static size_t decode_unreserved(struct slice s, char *out)
{
	size_t w = 0;
	for (size_t i = 0; i < s.n; i++) {
		int byte = s.p[i] == '%' ? escaped_at(s, i) : -1;
		bool decodes = is_unreserved(byte);
		out[w++] = decodes ? (char)byte : s.p[i];
		i += decodes ? 2 : 0;
	}
	return w;
}

/* Where the part of the path ends that nothing which may follow can change: a segment is known at its end. */
static size_t known_end(struct slice url, size_t path, bool is_whole)
{
	size_t end = index_of_any(url, path, "?");
	bool goes_on = !is_whole && end == url.n;
	while (goes_on && end > path && url.p[end - 1] != '/')
		end--;
	return end;
}

size_t uri_normalize(struct slice url, bool is_whole, char *out)
{
	struct slice all = {out, decode_unreserved(url, out)}, scheme, authority, rest;
	if (!uri_split_absolute(all, &scheme, &authority, &rest))
		return all.n;
	size_t path = all.n - rest.n, end = known_end(all, path, is_whole);
	size_t n = path + remove_dot_segments(out + path, end - path);
	memmove(out + n, out + end, all.n - end);
	return n + all.n - end;
}

bool uri_same_origin(struct slice a, struct slice b)
{
	struct slice scheme_a, scheme_b, authority_a, authority_b, host_a, host_b, rest;
	int port_a, port_b;
	if (!uri_split_absolute(a, &scheme_a, &authority_a, &rest) ||
		!uri_split_absolute(b, &scheme_b, &authority_b, &rest))
		return false;
	int standard = uri_default_port(scheme_a);
	if (standard < 0 || !slice_equal_nocase(scheme_a, scheme_b) ||
		!uri_authority_parse(authority_a, &host_a, &port_a) ||
		!uri_authority_parse(authority_b, &host_b, &port_b))
		return false;
	return slice_equal_nocase(host_a, host_b) &&
	       (port_a < 0 ? standard : port_a) == (port_b < 0 ? standard : port_b);
}
