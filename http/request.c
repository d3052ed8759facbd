/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "http/message.h"
#include "http/syntax.h"
#include "http/uri.h"

/* RFC 9112 3 asks for 501 where a method is longer than any that is known; the longest registered one has 17 bytes. */
#define METHOD_MAX 64

/* How often each field that decides framing, routing or the connection's fate came by. */
struct seen {
	unsigned host, content_length, transfer_encoding, connection, expect;
};

struct cursor {
	const char *p, *end;
};

static enum http_parse bad(struct http_error *err, int status, const char *reason)
{
	*err = (struct http_error){status, reason};
	return HTTP_PARSE_BAD;
}

void http_request_init(struct http_request *r)
{
	*r = (struct http_request){0};
}

void http_request_fini(struct http_request *r)
{
	http_fields_fini(&r->fields);
}

static void move_slice(struct slice *s, const char *from, size_t n, const char *to)
{
	if (s->p >= from && s->p <= from + n)
		s->p = to + (s->p - from);
}

void http_request_moved(struct http_request *r, const char *from, size_t n, const char *to)
{
	struct slice *const slices[] = {&r->method_token, &r->target, &r->host, &r->path, &r->query};

	for (unsigned i = 0; i < ARRAY_LEN(slices); i++)
		move_slice(slices[i], from, n, to);
	for (uint32_t i = 0; i < r->fields.n; i++) {
		move_slice(&r->fields.v[i].name, from, n, to);
		move_slice(&r->fields.v[i].value, from, n, to);
	}
}

static enum http_parse skip_empty_line(struct cursor *c, struct http_error *err)
{
	if (c->p == c->end)
		return HTTP_PARSE_MORE;
	if (*c->p != '\r')
		return HTTP_PARSE_DONE;
	if (c->end - c->p < 2)
		return HTTP_PARSE_MORE;
	if (c->p[1] != '\n')
		return bad(err, 400, "A bare CR stands before the request line.");
	c->p += 2;
	return HTTP_PARSE_DONE;
}

/* A run of characters of one class that a single space ends. */
static enum http_parse take_word(struct cursor *c, unsigned class, struct slice *word)
{
	const char *start = c->p, *p = start;
	while (p < c->end && http_char_is(*p, class))
		p++;
	if (p == c->end)
		return HTTP_PARSE_MORE;
	if (*p != ' ' || p == start)
		return HTTP_PARSE_BAD;
	*word = (struct slice){start, (size_t)(p - start)};
	c->p = p + 1;
	return HTTP_PARSE_DONE;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static enum http_parse take_version(struct cursor *c, struct http_request *out, struct http_error *err)
{
	static const char name[] = "HTTP/";
	const char *p = c->p;
	size_t n = (size_t)(c->end - p), prefix = sizeof(name) - 1;
	if (memcmp(p, name, n < prefix ? n : prefix) != 0)
		return bad(err, 400, "The request line does not end in a protocol version.");
	if (n < sizeof("HTTP/1.1\r\n") - 1)
		return HTTP_PARSE_MORE;
	if (!is_digit(p[5]) || p[6] != '.' || !is_digit(p[7]) || p[8] != '\r' || p[9] != '\n')
		return bad(err, 400, "The protocol version is malformed.");
	if (p[5] != '1')
		return bad(err, 505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
	out->minor = p[7] == '0' ? 0 : 1;
	c->p = p + 10;
	return HTTP_PARSE_DONE;
}

static enum http_parse take_request_line(struct cursor *c, struct http_request *out, struct http_error *err)
{
	enum http_parse rc = take_word(c, HTTP_CH_TOKEN, &out->method_token);
	if (rc == HTTP_PARSE_BAD)
		return bad(err, 400, "The request does not begin with a method.");
	if (rc == HTTP_PARSE_MORE)
		return rc;
	if (out->method_token.n > METHOD_MAX)
		return bad(err, 501, "No method is that long.");
	out->method = http_method_of(out->method_token);
	if (out->method == HTTP_CONNECT || out->method == HTTP_TRACE)
		return bad(err, 405, "This method is not served here.");
	rc = take_word(c, HTTP_CH_TARGET, &out->target);
	if (rc == HTTP_PARSE_BAD)
		return bad(err, 400, "The request target is empty or has a character that must be percent-encoded.");
	if (rc == HTTP_PARSE_MORE)
		return rc;
	return take_version(c, out, err);
}

static void split_path(struct http_request *out, struct slice s)
{
	out->has_query = slice_cut(s, '?', &out->path, &out->query);
}

static enum http_parse read_absolute_form(struct http_request *out, struct http_error *err)
{
	struct slice scheme, authority, rest, host;
	int port;
	if (!uri_split_absolute(out->target, &scheme, &authority, &rest) ||
		!(slice_equal_nocase(scheme, SLICE_LIT("http")) || slice_equal_nocase(scheme, SLICE_LIT("https"))))
		return bad(err, 400, "The request target is neither a path nor an http or https URL.");
	if (!uri_authority_parse(authority, &host, &port))
		return bad(err, 400, "The host in the request target is malformed.");
	out->form = HTTP_TARGET_ABSOLUTE;
	out->host = authority;
	split_path(out, rest);
	if (out->path.n > 0)
		return HTTP_PARSE_DONE;
	out->path = SLICE_LIT("/");
	if (out->method == HTTP_OPTIONS && !out->has_query) {
		out->form = HTTP_TARGET_ASTERISK;
		out->path = SLICE_LIT("*");
	}
	return HTTP_PARSE_DONE;
}

static enum http_parse read_target(struct http_request *out, struct http_error *err)
{
	if (out->target.p[0] == '/') {
		out->form = HTTP_TARGET_ORIGIN;
		split_path(out, out->target);
		return HTTP_PARSE_DONE;
	}
	if (!slice_equal(out->target, SLICE_LIT("*")))
		return read_absolute_form(out, err);
	if (out->method != HTTP_OPTIONS)
		return bad(err, 400, "The request target * goes with OPTIONS only.");
	out->form = HTTP_TARGET_ASTERISK;
	out->path = out->target;
	return HTTP_PARSE_DONE;
}

static void note(struct seen *seen, enum http_field_id id)
{
	switch (id) {
	case HF_HOST:
		seen->host++;
		break;
	case HF_CONTENT_LENGTH:
		seen->content_length++;
		break;
	case HF_TRANSFER_ENCODING:
		seen->transfer_encoding++;
		break;
	case HF_CONNECTION:
		seen->connection++;
		break;
	case HF_EXPECT:
		seen->expect++;
		break;
	default:
		break;
	}
}

static enum http_parse bad_name(char c, struct http_error *err)
{
	if (c == ' ' || c == '\t')
		return bad(err, 400, "A field line is folded or has whitespace before its colon.");
	return bad(err, 400, "A field name is empty or has a character that is not allowed.");
}

/* One field line up to and with its CRLF. */
static enum http_parse take_field(struct cursor *c, struct slice *name, struct slice *value, struct http_error *err)
{
	const char *p = c->p, *end = c->end;
	while (p < end && http_char_is(*p, HTTP_CH_TOKEN))
		p++;
	if (p == end)
		return HTTP_PARSE_MORE;
	if (*p != ':' || p == c->p)
		return bad_name(*p, err);
	*name = (struct slice){c->p, (size_t)(p - c->p)};
	p++;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	const char *start = p;
	p = http_value_end(p, end);
	if (p == end || (*p == '\r' && p + 1 == end))
		return HTTP_PARSE_MORE;
	if (*p != '\r' || p[1] != '\n')
		return bad(err, 400, "A field value has a control character, or its line a bare CR or LF.");
	c->p = p + 2;
	while (p > start && (p[-1] == ' ' || p[-1] == '\t'))
		p--;
	*value = (struct slice){start, (size_t)(p - start)};
	return HTTP_PARSE_DONE;
}

static enum http_parse take_fields(struct cursor *c, const struct http_head_limits *limits, struct http_request *out,
	struct seen *seen, struct http_error *err)
{
	while (c->p < c->end && *c->p != '\r') {
		struct slice name, value;
		enum http_parse rc = take_field(c, &name, &value, err);
		if (rc != HTTP_PARSE_DONE)
			return rc;
		if (out->fields.n >= limits->max_fields)
			return bad(err, 431, "The request has too many fields.");
		int added = http_fields_add(&out->fields, name, value);
		if (added == -ENOBUFS)
			return bad(err, 431, "The request has too many fields.");
		if (added < 0)
			return bad(err, 503, "Out of memory.");
		note(seen, out->fields.v[out->fields.n - 1].id);
	}
	if (c->end - c->p < 2)
		return HTTP_PARSE_MORE;
	if (c->p[1] != '\n')
		return bad(err, 400, "A bare CR stands where a line should begin.");
	c->p += 2;
	return HTTP_PARSE_DONE;
}

static enum http_parse check_host(const struct seen *seen, struct http_request *out, struct http_error *err)
{
	if (seen->host == 0) {
		if (out->minor >= 1)
			return bad(err, 400, "The request has no Host field.");
		return HTTP_PARSE_DONE;
	}
	if (seen->host > 1)
		return bad(err, 400, "The request has more than one Host field.");
	uint32_t i = 0;
	while (out->fields.v[i].id != HF_HOST)
		i++;
	struct slice name;
	int port;
	if (!uri_authority_parse(out->fields.v[i].value, &name, &port))
		return bad(err, 400, "The Host field is malformed.");
	if (out->host.n > 0)
		out->fields.v[i].value = out->host;
	else
		out->host = out->fields.v[i].value;
	return HTTP_PARSE_DONE;
}

static enum http_parse read_transfer_encoding(struct http_request *out, struct http_error *err)
{
	unsigned codings = 0, chunked = 0;
	bool last_is_chunked = false;
	uint32_t i = 0;
	const struct http_field *line = http_fields_get(&out->fields, HF_TRANSFER_ENCODING);
	if (out->minor == 0)
		return bad(err, 400, "Transfer-Encoding does not exist in HTTP/1.0.");
	bool plain = slice_equal_nocase(line->value, SLICE_LIT("chunked"));
	while ((line = http_fields_next(&out->fields, HF_TRANSFER_ENCODING, &i)) != NULL) {
		struct slice rest = line->value, member;
		while (http_list_next(&rest, &member)) {
			last_is_chunked = slice_equal_nocase(member, SLICE_LIT("chunked"));
			chunked += last_is_chunked;
			codings++;
		}
	}
	if (plain && codings == 1) {
		out->framing = HTTP_BODY_CHUNKED;
		return HTTP_PARSE_DONE;
	}
	if (last_is_chunked && chunked == 1 && codings > 1)
		return bad(err, 501, "Only the chunked transfer coding is understood here.");
	return bad(err, 400, "Transfer-Encoding must be exactly chunked.");
}

/* RFC 9112 6.3, without its leniency: where two readings are possible the request is refused. */
static enum http_parse read_framing(const struct seen *seen, struct http_request *out, struct http_error *err)
{
	if (seen->transfer_encoding > 0 && seen->content_length > 0)
		return bad(err, 400, "The request has both Content-Length and Transfer-Encoding.");
	if (seen->transfer_encoding > 1)
		return bad(err, 400, "The request has more than one Transfer-Encoding field.");
	if (seen->transfer_encoding == 1)
		return read_transfer_encoding(out, err);
	if (seen->content_length > 1)
		return bad(err, 400, "The request has more than one Content-Length field.");
	if (seen->content_length == 0)
		return HTTP_PARSE_DONE;
	if (!http_content_length_parse(http_fields_get(&out->fields, HF_CONTENT_LENGTH)->value, &out->content_length))
		return bad(err, 400, "Content-Length is not a number.");
	out->framing = HTTP_BODY_LENGTH;
	return HTTP_PARSE_DONE;
}

bool http_request_has_content(const struct http_request *r)
{
	return r->framing == HTTP_BODY_CHUNKED || (r->framing == HTTP_BODY_LENGTH && r->content_length > 0);
}

/* RFC 9112 9.3: close wins over keep-alive wherever they stand. */
static void read_connection(const struct seen *seen, struct http_request *out)
{
	out->keep_alive = out->minor >= 1;
	if (seen->connection == 0)
		return;
	if (http_fields_has_token(&out->fields, HF_CONNECTION, SLICE_LIT("close")))
		out->keep_alive = false;
	else if (!out->keep_alive)
		out->keep_alive = http_fields_has_token(&out->fields, HF_CONNECTION, SLICE_LIT("keep-alive"));
}

static enum http_parse read_expect(const struct seen *seen, struct http_request *out, struct http_error *err)
{
	uint32_t i = 0;
	if (seen->expect == 0)
		return HTTP_PARSE_DONE;
	for (const struct http_field *f; (f = http_fields_next(&out->fields, HF_EXPECT, &i)) != NULL;) {
		if (!slice_equal_nocase(f->value, SLICE_LIT("100-continue")))
			return bad(err, 417, "The only expectation that can be met is 100-continue.");
	}
	out->expect_continue = out->minor >= 1 && http_request_has_content(out);
	return HTTP_PARSE_DONE;
}

static void begin(struct http_request *out)
{
	struct http_fields fields = out->fields;
	http_fields_clear(&fields);
	*out = (struct http_request){.query = {"", 0}, .fields = fields, .framing = HTTP_BODY_NONE};
}

static enum http_parse parse_head(
	struct cursor *c, const struct http_head_limits *limits, struct http_request *out, struct http_error *err)
{
	struct seen seen = {0};
	enum http_parse rc;
	begin(out);
	if ((rc = skip_empty_line(c, err)) != HTTP_PARSE_DONE ||
		(rc = take_request_line(c, out, err)) != HTTP_PARSE_DONE ||
		(rc = take_fields(c, limits, out, &seen, err)) != HTTP_PARSE_DONE ||
		(rc = read_target(out, err)) != HTTP_PARSE_DONE ||
		(rc = check_host(&seen, out, err)) != HTTP_PARSE_DONE ||
		(rc = read_framing(&seen, out, err)) != HTTP_PARSE_DONE)
		return rc;
	read_connection(&seen, out);
	return read_expect(&seen, out, err);
}

/* True when a parse can get further than the last one did: a head's end, or a line that does not end in CRLF alone, is in
 * the bytes that are new. Keeps a head that comes byte by byte from costing its length squared. */
static bool worth_parsing(const char *p, size_t n, size_t scanned)
{
	for (size_t i = scanned; i < n; i++) {
		const char *lf = memchr(p + i, '\n', n - i);
		if (!lf)
			return false;
		i = (size_t)(lf - p);
		if (i < 2 || lf[-1] != '\r' || lf[-2] == '\n' || lf[-2] == '\r')
			return true;
	}
	return false;
}

static enum http_parse too_long(const char *p, size_t n, struct http_error *err)
{
	size_t skipped = n >= 2 && p[0] == '\r' ? 2 : 0;
	if (!memchr(p + skipped, '\n', n - skipped))
		return bad(err, 414, "The request line is too long.");
	return bad(err, 431, "The request head is too long.");
}

enum http_parse http_request_parse(const char *p, size_t n, const struct http_head_limits *limits, size_t *scanned,
	struct http_request *out, struct http_error *err)
{
	size_t usable = n < limits->max_head ? n : limits->max_head;
	enum http_parse rc = HTTP_PARSE_MORE;
	if (*scanned == 0 || worth_parsing(p, usable, *scanned)) {
		struct cursor c = {p, p + usable};
		rc = parse_head(&c, limits, out, err);
		if (rc == HTTP_PARSE_DONE)
			out->head_bytes = (size_t)(c.p - p);
	}
	*scanned = rc == HTTP_PARSE_MORE ? usable : 0;
	if (rc == HTTP_PARSE_MORE && n >= limits->max_head)
		return too_long(p, usable, err);
	return rc;
}
