/* SPDX-License-Identifier: MIT */
#include "proxy/record/access_line.h"

#include <stdio.h>
#include <time.h>

#include "base/utf8.h"
#include "http/syntax.h"

enum { REQUEST_ID_MAX = 128, DATE_BYTES = 64 };

/* Where the next byte goes; what does not fit is left out. */
struct out {
	char *p, *end;
};

static void put(struct out *o, const char *p, size_t n)
{
	size_t room = (size_t)(o->end - o->p);

	if (n > room)
		n = room;
	memcpy(o->p, p, n);
	o->p += n;
}

#define PUT_LIT(o, s) put((o), (s), sizeof(s) - 1)

static void put_str(struct out *o, const char *z)
{
	put(o, z, strlen(z));
}

static void put_u64(struct out *o, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + v % 10);
	while (v /= 10);
	put(o, digits + i, sizeof(digits) - i);
}

/* v / 1000 with three decimals. */
static void put_thousandths(struct out *o, int64_t v)
{
	uint64_t u = v > 0 ? (uint64_t)v : 0;
	unsigned rest = (unsigned)(u % 1000);
	char decimals[4] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10), (char)('0' + rest % 10)};

	put_u64(o, u / 1000);
	put(o, decimals, sizeof(decimals));
}

/* ---- Escaping ---- */

/* Bytes that stand for themselves in both formats. */
static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static size_t plain_run(struct slice s)
{
	size_t n = 0;

	while (n < s.n && is_plain(s.p[n]))
		n++;
	return n;
}

/* Returns the length of prefix and two digits. */
static size_t hex_escape(char to[8], struct slice prefix, char c, const char *digits)
{
	memcpy(to, prefix.p, prefix.n);
	to[prefix.n] = digits[(unsigned char)c >> 4];
	to[prefix.n + 1] = digits[(unsigned char)c & 15];
	return prefix.n + 2;
}

/* One byte that is not plain, or part of a character: how many bytes of s were taken, and *esc what stands for them. */
typedef size_t escape_fn(struct slice s, char esc[8], size_t *esc_n);

static size_t escape_combined(struct slice s, char esc[8], size_t *esc_n)
{
	*esc_n = hex_escape(esc, SLICE_LIT("\\x"), s.p[0], "0123456789ABCDEF");
	return 1;
}

/* U+0080 to U+009F: a terminal may take them for commands. */
static bool is_c1_control(struct slice s)
{
	return s.p[0] == '\xc2' && (unsigned char)s.p[1] >= 0x80 && (unsigned char)s.p[1] <= 0x9f;
}

static size_t escape_json(struct slice s, char esc[8], size_t *esc_n)
{
	size_t n = utf8_length(s);
	char c = s.p[0];

	if (n && !is_c1_control(s)) {
		memcpy(esc, s.p, n);
		*esc_n = n;
		return n;
	}
	if (c == '"' || c == '\\') {
		esc[0] = '\\';
		esc[1] = c;
		*esc_n = 2;
		return 1;
	}
	*esc_n = hex_escape(esc, SLICE_LIT("\\u00"), n ? s.p[1] : c, "0123456789abcdef");
	return n ? n : 1;
}

static void put_escaped(struct out *o, struct slice s, escape_fn *escape)
{
	struct out value = *o;

	if (value.end - value.p > ACCESS_VALUE_MAX)
		value.end = value.p + ACCESS_VALUE_MAX;
	while (s.n) {
		size_t taken = plain_run(s), esc_n;
		char esc[8];

		if (taken) {
			put(&value, s.p, taken);
		} else {
			taken = escape(s, esc, &esc_n);
			if (esc_n > (size_t)(value.end - value.p))
				break;
			put(&value, esc, esc_n);
		}
		s = slice_from(s, taken);
	}
	o->p = value.p;
}

/* ---- The parts of a record ---- */

static struct slice field_of(const struct http_request *r, enum http_field_id id)
{
	const struct http_field *f = r ? http_fields_get(&r->fields, id) : NULL;

	return f ? f->value : (struct slice){0};
}

struct slice access_request_id(const struct http_request *r)
{
	struct slice id = field_of(r, HF_X_REQUEST_ID);

	return id.n <= REQUEST_ID_MAX && http_is_token(id) ? id : (struct slice){0};
}

struct slice access_id(const struct http_request *r, uint64_t id, char text[17])
{
	struct slice given = access_request_id(r);

	if (given.n || !id)
		return given;
	for (int i = 16; i-- > 0; id >>= 4)
		text[i] = "0123456789abcdef"[id & 15];
	text[16] = '\0';
	return (struct slice){text, 16};
}

static struct slice id_of(const struct access_record *r, char text[17])
{
	return access_id(r->http, r->id, text);
}

static struct slice peer_of(const struct access_record *r)
{
	return r->peer ? slice_of(r->peer) : (struct slice){0};
}

/* The text of a second, made once in each thread. */
struct date_text {
	int64_t second;
	size_t n; /* 0: none yet */
	char text[DATE_BYTES];
};

static _Thread_local struct date_text local_date, utc_date;

static void put_date(struct out *o, struct date_text *d, int64_t wall_ms, const char *pattern,
	struct tm *(*split)(const time_t *, struct tm *))
{
	time_t second = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (d->n == 0 || d->second != second) {
		d->second = second;
		d->n = split(&second, &tm) ? strftime(d->text, sizeof(d->text), pattern, &tm) : 0;
	}
	put(o, d->text, d->n);
}

/* ---- Combined ---- */

static void put_or_dash(struct out *o, struct slice s)
{
	if (s.n)
		put_escaped(o, s, escape_combined);
	else
		PUT_LIT(o, "-");
}

/* A value that ends at the next space, so it must not hold one. */
static void put_word(struct out *o, struct slice s)
{
	char *start = o->p;

	put_or_dash(o, s);
	for (char *p = start; p < o->p; p++)
		if (*p == ' ')
			*p = '_';
}

static void put_request_line(struct out *o, const struct http_request *r)
{
	if (!r) {
		PUT_LIT(o, "-");
		return;
	}
	put_escaped(o, r->method_token, escape_combined);
	PUT_LIT(o, " ");
	put_escaped(o, r->target, escape_combined);
	PUT_LIT(o, " HTTP/1.");
	put_u64(o, (uint64_t)r->minor);
}

static void put_extras(struct out *o, const struct access_record *r)
{
	char text[17];

	PUT_LIT(o, " cache=");
	put_str(o, response_kind_name(r->kind));
	PUT_LIT(o, " route=");
	put_word(o, r->route);
	PUT_LIT(o, " upstream=");
	if (r->upstream_us >= 0)
		put_thousandths(o, r->upstream_us / 1000);
	else
		PUT_LIT(o, "-");
	PUT_LIT(o, " total=");
	put_thousandths(o, r->total_us / 1000);
	PUT_LIT(o, " id=");
	put_or_dash(o, id_of(r, text));
	if (r->error) {
		PUT_LIT(o, " error=");
		put_str(o, r->error);
	}
}

static void put_combined(struct out *o, const struct access_record *r)
{
	put_or_dash(o, peer_of(r));
	PUT_LIT(o, " - - [");
	put_date(o, &local_date, r->wall_ms, "%d/%b/%Y:%H:%M:%S %z", localtime_r);
	PUT_LIT(o, "] \"");
	put_request_line(o, r->http);
	PUT_LIT(o, "\" ");
	put_u64(o, (uint64_t)r->status);
	PUT_LIT(o, " ");
	put_u64(o, r->body_bytes);
	PUT_LIT(o, " \"");
	put_or_dash(o, field_of(r->http, HF_REFERER));
	PUT_LIT(o, "\" \"");
	put_or_dash(o, field_of(r->http, HF_USER_AGENT));
	PUT_LIT(o, "\"");
	put_extras(o, r);
}

/* ---- JSON ---- */

/* The name comes with its punctuation: `,"name":`. */
static void put_member(struct out *o, const char *name, struct slice s)
{
	put_str(o, name);
	if (!s.n) {
		PUT_LIT(o, "null");
		return;
	}
	PUT_LIT(o, "\"");
	put_escaped(o, s, escape_json);
	PUT_LIT(o, "\"");
}

static void put_json_time(struct out *o, int64_t wall_ms)
{
	unsigned ms = (unsigned)(wall_ms % 1000);
	char tail[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '"'};

	PUT_LIT(o, "{\"time\":\"");
	put_date(o, &utc_date, wall_ms, "%Y-%m-%dT%H:%M:%S", gmtime_r);
	put(o, tail, sizeof(tail));
}

static void put_json_figures(struct out *o, const struct access_record *r)
{
	PUT_LIT(o, ",\"status\":");
	put_u64(o, (uint64_t)r->status);
	PUT_LIT(o, ",\"bytes\":");
	put_u64(o, r->body_bytes);
	PUT_LIT(o, ",\"cache\":\"");
	put_str(o, response_kind_name(r->kind));
	PUT_LIT(o, "\"");
	put_member(o, ",\"route\":", r->route);
	PUT_LIT(o, ",\"upstream_ms\":");
	if (r->upstream_us >= 0)
		put_thousandths(o, r->upstream_us);
	else
		PUT_LIT(o, "null");
	PUT_LIT(o, ",\"total_ms\":");
	put_thousandths(o, r->total_us);
}

static void put_json(struct out *o, const struct access_record *r)
{
	const struct http_request *http = r->http;
	char text[17];

	put_json_time(o, r->wall_ms);
	put_member(o, ",\"client\":", peer_of(r));
	put_member(o, ",\"method\":", http ? http->method_token : (struct slice){0});
	put_member(o, ",\"target\":", http ? http->target : (struct slice){0});
	put_json_figures(o, r);
	put_member(o, ",\"request_id\":", id_of(r, text));
	put_member(o, ",\"traceparent\":", field_of(http, HF_TRACEPARENT));
	put_member(o, ",\"referer\":", field_of(http, HF_REFERER));
	put_member(o, ",\"user_agent\":", field_of(http, HF_USER_AGENT));
	put_member(o, ",\"host\":", http ? http->host : (struct slice){0});
	put_member(o, ",\"error\":", r->error ? slice_of(r->error) : (struct slice){0});
	PUT_LIT(o, "}");
}

size_t access_line_format(enum config_log_format format, const struct access_record *r, char line[ACCESS_LINE_MAX])
{
	struct out o = {line, line + ACCESS_LINE_MAX - 1};

	if (format == CONFIG_LOG_JSON)
		put_json(&o, r);
	else
		put_combined(&o, r);
	*o.p++ = '\n';
	return (size_t)(o.p - line);
}
