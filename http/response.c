/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "base/mem.h"
#include "http/message.h"
#include "http/syntax.h"

#define BYTES_FIRST_CAP 1024
#define SPANS_FIRST_CAP 32

/* Offsets, because bytes moves while it grows. */
struct http_line_span {
	uint32_t name, name_n, value, value_n;
};

static int refuse(struct http_response_head *h, int rc, const char *reason)
{
	h->err = (struct http_error){502, reason};
	return rc;
}

void http_response_head_init(struct http_response_head *h, size_t max_bytes)
{
	CHECK(max_bytes <= UINT32_MAX);
	*h = (struct http_response_head){.max_bytes = max_bytes};
	http_fields_init(&h->fields);
}

void http_response_head_fini(struct http_response_head *h)
{
	http_fields_fini(&h->fields);
	mem_free(h->bytes);
	mem_free(h->spans);
	http_response_head_init(h, h->max_bytes);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes "HTTP/1.0", "HTTP/1.1", or what libcurl writes in their place for later versions. */
static bool take_version(struct slice *line, bool wire_is_http1, int *minor)
{
	static const struct {
		struct slice text;
		int minor;
		bool is_http1;
	} versions[] = {
		{{"HTTP/1.1 ", 9}, 1, true},
		{{"HTTP/1.0 ", 9}, 0, true},
		{{"HTTP/2 ", 7}, 2, false},
		{{"HTTP/3 ", 7}, 3, false},
	};
	for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
		if (versions[i].is_http1 == wire_is_http1 && slice_starts_with(*line, versions[i].text)) {
			*minor = versions[i].minor;
			*line = slice_from(*line, versions[i].text.n);
			return true;
		}
	}
	return false;
}

/* RFC 9112 4; the space before an empty reason phrase may be missing, as it often is. */
int http_response_head_status(struct http_response_head *h, struct slice line, bool wire_is_http1)
{
	struct slice s = line;
	h->err = (struct http_error){0};
	h->bytes_n = 0;
	h->spans_n = 0;
	h->status = 0;
	http_fields_clear(&h->fields);
	if (!take_version(&s, wire_is_http1, &h->minor))
		return refuse(h, -EPROTO, "The upstream's status line has no version that it may have.");
	if (s.n < 3 || !is_digit(s.p[0]) || !is_digit(s.p[1]) || !is_digit(s.p[2]) || (s.n > 3 && s.p[3] != ' ') ||
		!http_all_of(s, HTTP_CH_VALUE))
		return refuse(h, -EPROTO, "The upstream's status line is malformed.");
	int status = (s.p[0] - '0') * 100 + (s.p[1] - '0') * 10 + (s.p[2] - '0');
	if (status < 100 || status > 599)
		return refuse(h, -EPROTO, "The upstream's status code is not between 100 and 599.");
	h->status = status;
	return 0;
}

static int keep_bytes(struct http_response_head *h, struct slice s, uint32_t *at)
{
	if (s.n > h->max_bytes - h->bytes_n)
		return -ENOBUFS;
	if (h->bytes_n + s.n > h->bytes_cap) {
		size_t cap = h->bytes_cap == 0 ? BYTES_FIRST_CAP : h->bytes_cap * 2;
		if (cap < h->bytes_n + s.n)
			cap = h->bytes_n + s.n;
		char *bytes = mem_realloc(h->bytes, cap);
		if (!bytes)
			return -ENOMEM;
		h->bytes = bytes;
		h->bytes_cap = cap;
	}
	if (s.n > 0)
		memcpy(h->bytes + h->bytes_n, s.p, s.n);
	*at = (uint32_t)h->bytes_n;
	h->bytes_n += s.n;
	return 0;
}

static int keep_span(struct http_response_head *h, struct http_line_span span)
{
	if (h->spans_n >= HTTP_FIELDS_MAX)
		return -ENOBUFS;
	if (h->spans_n == h->spans_cap) {
		uint32_t cap = h->spans_cap == 0 ? SPANS_FIRST_CAP : h->spans_cap * 2;
		struct http_line_span *spans = mem_realloc(h->spans, cap * sizeof(*spans));
		if (!spans)
			return -ENOMEM;
		h->spans = spans;
		h->spans_cap = cap;
	}
	h->spans[h->spans_n++] = span;
	return 0;
}

/* RFC 9112 5.1: blanks between name and colon are to be taken out of a response. Not where they hide its framing, for then we
 * would read another message than libcurl, or who sent it, does. */
static bool split_response_line(struct slice line, struct slice *name, struct slice *value)
{
	if (!slice_cut(line, ':', name, value))
		return false;
	size_t written_n = name->n;
	while (name->n > 0 && (name->p[name->n - 1] == ' ' || name->p[name->n - 1] == '\t'))
		name->n--;
	*value = slice_trim(*value);
	if (!http_is_token(*name) || http_value_end(value->p, slice_end(*value)) != slice_end(*value))
		return false;
	enum http_field_id id = http_field_id_of(*name);
	return name->n == written_n || (id != HF_CONTENT_LENGTH && id != HF_TRANSFER_ENCODING);
}

int http_response_head_field(struct http_response_head *h, struct slice line)
{
	struct slice name, value;
	struct http_line_span span = {0};
	if (h->err.status != 0 || h->status == 0)
		return -EPROTO;
	if (!split_response_line(line, &name, &value))
		return refuse(h, -EPROTO, "A field line of the upstream's answer is malformed.");
	span.name_n = (uint32_t)name.n;
	span.value_n = (uint32_t)value.n;
	int rc = keep_bytes(h, name, &span.name);
	if (rc == 0)
		rc = keep_bytes(h, value, &span.value);
	if (rc == 0)
		rc = keep_span(h, span);
	if (rc == -ENOBUFS)
		return refuse(h, rc, "The head of the upstream's answer is too long or has too many fields.");
	return rc == 0 ? 0 : refuse(h, rc, "Out of memory.");
}

static int make_fields(struct http_response_head *h)
{
	http_fields_clear(&h->fields);
	for (uint32_t i = 0; i < h->spans_n; i++) {
		struct http_line_span s = h->spans[i];
		struct slice name = {h->bytes + s.name, s.name_n}, value = {h->bytes + s.value, s.value_n};
		int rc = http_fields_add(&h->fields, name, value);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Every member of every Content-Length line, all the same (RFC 9112 6.3, 5.). *kept is one of them, -1 when there is none. */
static int read_content_length(const struct http_fields *f, struct slice *kept, int64_t *length)
{
	uint32_t i = 0;
	*length = -1;
	for (const struct http_field *line; (line = http_fields_next(f, HF_CONTENT_LENGTH, &i)) != NULL;) {
		struct slice rest = line->value, member;
		if (rest.n == 0 || rest.p[rest.n - 1] == ',' || rest.p[0] == ',')
			return -EPROTO;
		while (http_list_next(&rest, &member)) {
			uint64_t bytes;
			if (!http_content_length_parse(member, &bytes) || (*length >= 0 && (uint64_t)*length != bytes))
				return -EPROTO;
			*length = (int64_t)bytes;
			*kept = member;
		}
	}
	return 0;
}

/* Leaves the first of several equal lines, with one plain number in it, so that what is passed on is unambiguous. */
static void keep_one_content_length(struct http_fields *f, struct slice value)
{
	uint32_t kept = 0;
	bool found = false;
	for (uint32_t i = 0; i < f->n; i++) {
		bool is_length = f->v[i].id == HF_CONTENT_LENGTH;
		if (is_length && found)
			continue;
		f->v[kept] = f->v[i];
		if (is_length)
			f->v[kept].value = value;
		found |= is_length;
		kept++;
	}
	f->n = kept;
}

int http_response_head_end(struct http_response_head *h, int64_t *content_length)
{
	struct slice value = {"", 0};
	*content_length = -1;
	if (h->err.status != 0 || h->status == 0)
		return -EPROTO;
	int rc = make_fields(h);
	if (rc < 0)
		return refuse(h, rc, "Out of memory.");
	if (h->status < 200)
		return 0; /* it ends here, whatever it says of content */
	const struct http_field *coding = http_fields_get(&h->fields, HF_TRANSFER_ENCODING);
	if (coding) {
		if (h->minor != 1 || http_fields_count(&h->fields, HF_TRANSFER_ENCODING) > 1 ||
			!slice_equal_nocase(coding->value, SLICE_LIT("chunked")))
			return refuse(h, -EPROTO, "The upstream's Transfer-Encoding is not exactly chunked.");
		if (http_fields_get(&h->fields, HF_CONTENT_LENGTH))
			return refuse(h, -EPROTO, "The upstream sent both Content-Length and Transfer-Encoding.");
	}
	int64_t length;
	if (read_content_length(&h->fields, &value, &length) < 0)
		return refuse(h, -EPROTO, "The upstream's Content-Length is not one number.");
	if (length >= 0)
		keep_one_content_length(&h->fields, value);
	if (h->status != 204)
		*content_length = length;
	return 0;
}
