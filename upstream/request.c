/* SPDX-License-Identifier: MIT */
/* A request as libcurl wants it: a list of field lines, a method, a target that it sends untouched. */
#include <errno.h>

#include "base/mem.h"
#include "http/asked.h"
#include "http/syntax.h"
#include "upstream/internal.h"

/* Lines that libcurl adds of its own accord, each "Name:" to stop it: Accept, Content-Type, Expect. */
enum { TEXT_MAX = 16 << 20, BODY_INLINE_MAX = 32768 };

static bool is_ours_to_send(enum http_field_id id)
{
	switch (id) {
	case HF_HOST:
	case HF_CONTENT_LENGTH:
	case HF_TRANSFER_ENCODING:
	case HF_CONNECTION:
	case HF_EXPECT: /* libcurl would wait for the 100, and send a POST again after a 417 */
		return true;
	default:
		return false;
	}
}

static void end_line(struct fetch *f)
{
	buf_add_char(&f->text, '\0');
	f->lines_n++;
}

/* libcurl takes "Name:" as "do not send"; an empty value is written "Name;". */
static int add_field(struct fetch *f, const struct http_field *field)
{
	struct slice value = slice_trim(field->value);

	if (!http_is_token(field->name) || !http_all_of(value, HTTP_CH_VALUE))
		return -EINVAL;
	buf_add_slice(&f->text, field->name);
	if (value.n == 0) {
		buf_add_char(&f->text, ';');
	} else {
		buf_add_str(&f->text, ": ");
		buf_add_slice(&f->text, value);
	}
	end_line(f);
	return 0;
}

static void forbid(struct fetch *f, const char *line)
{
	buf_add_str(&f->text, line);
	end_line(f);
}

static int add_lines(struct fetch *f, const struct fetch_request *r)
{
	bool has_accept = false, has_type = false;

	if (r->host.n > 0) {
		struct http_field host = {SLICE_LIT("Host"), r->host, HF_HOST};

		if (add_field(f, &host) < 0)
			return -EINVAL;
	}
	for (uint32_t i = 0; r->fields && i < r->fields->n; i++) {
		const struct http_field *field = &r->fields->v[i];

		has_accept |= field->id == HF_ACCEPT;
		has_type |= field->id == HF_CONTENT_TYPE;
		if (!is_ours_to_send(field->id) && add_field(f, field) < 0)
			return -EINVAL;
	}
	if (!has_accept)
		forbid(f, "Accept:");
	if (r->has_body) {
		if (!has_type)
			forbid(f, "Content-Type:");
		forbid(f, "Expect:");
	}
	return f->text.err;
}

/* The text no longer moves: lines become libcurl's list. */
static int link_lines(struct fetch *f)
{
	char *p = f->text.p + f->lines_at;

	if (f->lines_n > f->lines_cap) {
		unsigned cap = f->lines_n + 16;
		struct curl_slist *lines = mem_realloc(f->lines, cap * sizeof(*lines));

		if (!lines)
			return -ENOMEM;
		f->lines = lines;
		f->lines_cap = cap;
	}
	for (unsigned i = 0; i < f->lines_n; i++) {
		f->lines[i] = (struct curl_slist){.data = p, .next = i + 1 < f->lines_n ? &f->lines[i + 1] : NULL};
		p += strlen(p) + 1;
	}
	return 0;
}

/* ---- What must not share its connection ---- */

/* Schemes that authenticate the connection and not the request (RFC 4559 6, RFC 9110 3.3): whoever was asked for on it next would be
 * answered as the one who was asked for before. */
static bool has_scheme(struct slice credentials, struct slice scheme)
{
	return credentials.n >= scheme.n && slice_equal_nocase((struct slice){credentials.p, scheme.n}, scheme);
}

static bool binds_connection(const struct http_fields *fields)
{
	for (uint32_t i = 0; fields && i < fields->n; i++) {
		const struct http_field *f = &fields->v[i];

		if (f->id == HF_AUTHORIZATION &&
			(has_scheme(f->value, SLICE_LIT("NTLM")) || has_scheme(f->value, SLICE_LIT("Negotiate"))))
			return true;
	}
	return false;
}

/* Content that has no meaning by the method is what an origin may leave unread, to take it for the next request (RFC 9110 9.3.1). */
static bool may_leave_body(const struct fetch_request *r)
{
	switch (r->method) {
	case HTTP_POST:
	case HTTP_PUT:
	case HTTP_PATCH:
		return false;
	default:
		return r->has_body && r->body.n > 0;
	}
}

static bool is_sendable(const struct fetch_request *r)
{
	if (!http_is_token(r->method_token) || r->target.n == 0 || !http_all_of(r->target, HTTP_CH_TARGET))
		return false;
	return r->target.p[0] == '/' || (r->target.n == 1 && r->target.p[0] == '*');
}

int request_copy(struct fetch *f, const struct fetch_request *r)
{
	int rc;

	if (!is_sendable(r))
		return -EINVAL;
	buf_reset(&f->text);
	f->text.max = TEXT_MAX;
	f->lines_n = 0;
	f->method = r->method;
	f->is_safe = http_method_is_safe(r->method);
	f->asked = (r->fields ? http_asked(r->method, r->fields) : 0) | (r->takes_part ? HTTP_ASKED_PART : 0);
	f->has_body = r->has_body && r->method != HTTP_HEAD;
	f->body = r->body;
	f->is_alone = binds_connection(r->fields) || may_leave_body(r);
	f->uploads = f->has_body && r->body.n > BODY_INLINE_MAX;
	buf_add_slice(&f->text, r->method_token);
	buf_add_char(&f->text, '\0');
	f->target_at = f->text.n;
	buf_add_slice(&f->text, r->target);
	buf_add_char(&f->text, '\0');
	f->lines_at = f->text.n;
	rc = add_lines(f, r);
	return rc == 0 ? link_lines(f) : rc;
}

/* A large body is read from the caller's memory piece by piece, so that nothing is read of it once the fetch was
 * cancelled; a small one libcurl copies when it sends the head. */
size_t request_on_read(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;
	size_t left = f->body.n - f->body_read;

	(void)size;
	CHECK(f->magic == FETCH_MAGIC);
	if (f->todo & TODO_DROP)
		return CURL_READFUNC_ABORT;
	if (n > left)
		n = left;
	if (n > 0)
		memcpy(p, f->body.p + f->body_read, n);
	f->body_read += n;
	if (!f->response.any_byte)
		deadline_set(f, f->u->options->first_byte_timeout_ms);
	return n;
}

static int apply_body(struct fetch *f)
{
	const char *inline_body = f->uploads ? NULL : f->body.n > 0 ? f->body.p : "";
	int bad = 0;

	f->body_read = 0;
	bad |= curl_easy_setopt(f->easy, CURLOPT_POST, 1L);
	bad |= curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->body.n);
	bad |= curl_easy_setopt(f->easy, CURLOPT_POSTFIELDS, inline_body);
	return bad;
}

static int apply_method(struct fetch *f)
{
	const char *token = f->text.p, *implied = f->has_body ? "POST" : f->method == HTTP_HEAD ? "HEAD" : "GET";
	bool is_custom = strcmp(token, implied) != 0;
	int bad = 0;

	if (f->has_body)
		bad |= apply_body(f);
	else if (f->method == HTTP_HEAD)
		bad |= curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
	else
		bad |= curl_easy_setopt(f->easy, CURLOPT_HTTPGET, 1L);
	if (is_custom || f->has_custom_method)
		bad |= curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, is_custom ? token : NULL);
	f->has_custom_method = is_custom;
	return bad;
}

/* Before 8.0 libcurl begins HTTP/2 anew on a connection without TLS that it uses again, which ends it for all its streams. */
static bool spoils_reuse(const struct origin *o)
{
	return !o->is_https && o->u->options->http_version == UPSTREAM_HTTP_2 &&
	       curl_version_info(CURLVERSION_NOW)->version_num < 0x080000;
}

/* libcurl may send a request a second time when a pooled connection ends; one that must not be repeated goes on a
 * connection of its own (RFC 9110 9.2.2), which the pool gets afterwards unless it is not to be shared. */
int request_apply(struct fetch *f)
{
	const struct origin *o = f->o;
	bool is_alone = spoils_reuse(o) || f->is_alone, fresh = f->fresh || !f->is_safe || is_alone;
	bool may_multiplex =
		o->is_https && !f->is_alone && o->u->options->http_version != UPSTREAM_HTTP_1_1 && !o->knows_http1;
	int bad = apply_method(f);

	bad |= curl_easy_setopt(f->easy, CURLOPT_REQUEST_TARGET, f->text.p + f->target_at);
	bad |= curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->lines_n > 0 ? f->lines : NULL);
	/* Over HTTP/2 others' requests would join it on its connection. */
	bad |= curl_easy_setopt(f->easy, CURLOPT_HTTP_VERSION,
		f->is_alone && o->is_https ? (long)CURL_HTTP_VERSION_1_1 : origin_http_version(o));
	bad |= curl_easy_setopt(f->easy, CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L);
	bad |= curl_easy_setopt(f->easy, CURLOPT_FORBID_REUSE, is_alone ? 1L : 0L);
	bad |= curl_easy_setopt(f->easy, CURLOPT_PIPEWAIT, may_multiplex ? 1L : 0L);
	bad |= curl_easy_setopt(f->easy, CURLOPT_NOPROGRESS, 1L);
	return bad ? -ENOMEM : 0;
}
