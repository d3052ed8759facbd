/* SPDX-License-Identifier: MIT */
/* A response as libcurl hands it over: heads line by line, checked by http/, then the body's bytes, chunks still framed.
 *
 * CURLOPT_HEADER makes libcurl give each header line to the body callback first. That is what lets us refuse a folded
 * line before libcurl joins it to a line of a response before, which it may have freed. */
#include <errno.h>
#include <stdio.h>

#include "http/asked.h"
#include "http/syntax.h"
#include "upstream/internal.h"

enum { NAME_SHOWN_MAX = 64 };

void origin_response_reset(struct fetch *f)
{
	f->response = (struct origin_response){.phase = ORIGIN_RESPONSE_STATUS, .content_length = -1};
	chunk_decoder_init(&f->response.chunks, CHUNK_PADDED);
}

static size_t refuse(struct fetch *f, enum fetch_result verdict, enum fetch_cause cause, const char *detail)
{
	result_judge(f, verdict, cause, detail);
	return 0; /* any count but n ends the transfer */
}

static size_t cancel(struct fetch *f)
{
	return refuse(f, FETCH_CANCELLED, FETCH_CAUSE_NONE, "cancelled");
}

static size_t refuse_protocol(struct fetch *f, const char *detail)
{
	return refuse(f, FETCH_BAD_RESPONSE, FETCH_CAUSE_PROTOCOL, detail);
}

/* Says of a line which it is: its number, and its field's name where it has one. Never a value, which may be anybody's secret. */
static size_t refuse_line(struct fetch *f, struct slice line, const char *detail)
{
	const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
	struct slice name = {line.p, colon ? (size_t)(colon - line.p) : 0};
	bool is_shown = f->response.line > 1 && name.n <= NAME_SHOWN_MAX && http_is_token(name);

	snprintf(f->why, sizeof(f->why), is_shown ? "%s (line %u of the head, %.*s)" : "%s (line %u of the head)",
		detail, f->response.line, SLICE_ARG(name));
	return refuse_protocol(f, f->why);
}

static const char *reason_of_head(const struct fetch *f)
{
	return f->head.err.reason ? f->head.err.reason : "The head of the upstream's answer is malformed.";
}

static size_t refuse_head(struct fetch *f, int rc, struct slice line)
{
	if (rc == -ENOMEM)
		return refuse(f, FETCH_NO_MEMORY, FETCH_CAUSE_INTERNAL, reason_of_head(f));
	return line.n ? refuse_line(f, line, reason_of_head(f)) : refuse_protocol(f, reason_of_head(f));
}

/* False: the line does not end as the grammar says. libcurl takes a bare LF for a line's end, and all that begins with CR
 * for a head's; others may not, and would see other fields (RFC 9112 2.2). */
static bool strip_line_end(struct slice *line)
{
	if (line->n < 2 || line->p[line->n - 2] != '\r' || line->p[line->n - 1] != '\n')
		return false;
	line->n -= 2;
	return line->n == 0 || line->p[0] != '\r';
}

static bool is_complete(const struct origin_response *a)
{
	if (a->is_chunked)
		return chunk_is_complete(&a->chunks);
	return a->is_bodiless || (a->content_length >= 0 && a->body_bytes == (uint64_t)a->content_length);
}

/* An origin may answer without reading the request's body to its end (RFC 9112 9.3, RFC 9113 8.1); libcurl would go on
 * sending, or wait to, until it is broken off. Nothing is left to wait for: the fetch ends once libcurl is off the stack. */
static void end_if_complete(struct fetch *f)
{
	if (f->uploads && is_complete(&f->response))
		todo_post(f, TODO_COMPLETE);
}

static int on_status_line(struct fetch *f, struct slice line)
{
	int rc = http_response_head_status(&f->head, line, !f->is_h2);

	if (rc < 0)
		return rc;
	f->response.any_byte = true;
	f->response.phase = ORIGIN_RESPONSE_FIELDS;
	f->response.head_bytes = 0;
	if (f->head.status >= 200 && f->first_byte_us == 0)
		f->first_byte_us = clock_mono_us();
	return 0;
}

static size_t on_informational(struct fetch *f, size_t n)
{
	if (f->head.status == 101)
		return refuse_protocol(f, "The upstream switched protocols unasked.");
	f->response.informational_bytes += f->response.head_bytes;
	if (++f->response.informational > INFORMATIONAL_MAX || f->response.informational_bytes > f->l->max_head_bytes)
		return refuse_protocol(f, "The upstream sent too many 1xx answers.");
	f->response.phase = ORIGIN_RESPONSE_STATUS;
	deadline_set(f, f->u->options->first_byte_timeout_ms);
	if (f->head.status != 100 && f->handler.on_informational && !(f->todo & TODO_DROP))
		f->handler.on_informational(f->arg, f->head.status, &f->head.fields);
	return n;
}

static size_t on_head_end(struct fetch *f, size_t n)
{
	struct origin_response *a = &f->response;
	int status = f->head.status, rc = http_response_head_end(&f->head, &a->content_length);

	if (rc < 0)
		return refuse_head(f, rc, (struct slice){NULL, 0});
	if (status < 200)
		return on_informational(f, n);
	a->phase = ORIGIN_RESPONSE_BODY;
	a->is_bodiless = f->method == HTTP_HEAD || status == 204 || status == 304 || a->content_length == 0;
	a->is_chunked = !f->is_h2 && !a->is_bodiless &&
			http_fields_has_token(&f->head.fields, HF_TRANSFER_ENCODING, SLICE_LIT("chunked"));
	a->needs_tls_end = f->o->is_https && !origin_response_is_framed(f);
	if (a->needs_tls_end)
		curl_easy_setopt(f->easy, CURLOPT_NOPROGRESS, 0L);
	deadline_set(f, f->u->options->stall_timeout_ms);
	dispatch_record_head(f, status, &f->head.fields);
	if (!http_was_asked_for(f->asked, f->method, status, &f->head.fields))
		return refuse_protocol(f, "The upstream answered a condition or range that it was not sent.");
	if ((f->todo & TODO_DROP) || !f->handler.on_head(f->arg, status, &f->head.fields, a->content_length))
		return cancel(f);
	end_if_complete(f);
	return n;
}

size_t origin_response_on_header(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;
	struct origin_response *a = &f->response;
	struct slice line = {p, n};
	int rc;

	(void)size;
	CHECK(f->magic == FETCH_MAGIC);
	a->wire_bytes += n;
	a->head_bytes += n;
	if (a->phase == ORIGIN_RESPONSE_BODY) /* trailers; with chunks left framed there should be none */
		return n;
	if (a->head_bytes > f->l->max_head_bytes)
		return refuse(f, FETCH_BAD_RESPONSE, FETCH_CAUSE_HEAD_SIZE,
			"The head of the upstream's answer is too large.");
	a->line = a->phase == ORIGIN_RESPONSE_STATUS ? 1 : a->line + 1;
	if (!strip_line_end(&line))
		return refuse_line(f, line, "A line in the head of the upstream's answer is malformed.");
	if (a->phase == ORIGIN_RESPONSE_STATUS)
		rc = on_status_line(f, line);
	else if (line.n == 0)
		return on_head_end(f, n);
	else
		rc = http_response_head_field(&f->head, line);
	return rc == 0 ? n : refuse_head(f, rc, line);
}

/* A header line, before libcurl has looked whether it is folded (see above). It comes in parts when it is long. */
static size_t on_header_preview(struct fetch *f, const char *p, size_t n)
{
	if (f->response.phase == ORIGIN_RESPONSE_FIELDS && !f->response.mid_line && (p[0] == ' ' || p[0] == '\t')) {
		f->response.line++;
		return refuse_line(f, (struct slice){NULL, 0}, "A field line of the upstream's answer is folded.");
	}
	f->response.mid_line = p[n - 1] != '\n';
	return n;
}

/* The count that libcurl must see when the handler did not take what it was offered. */
static size_t not_taken(struct fetch *f, enum fetch_write how)
{
	if (how != FETCH_WRITE_PAUSE)
		return cancel(f);
	f->is_paused = true;
	deadline_set(f, 0);
	return CURL_WRITEFUNC_PAUSE;
}

static enum fetch_write offer(struct fetch *f, struct slice data)
{
	enum fetch_write how = f->handler.on_body(f->arg, data.p, data.n);

	if (how == FETCH_WRITE_TAKEN) {
		f->response.body_bytes += data.n;
		f->u->stats->bytes_in += data.n;
	}
	return how;
}

/* What follows the last chunk in the same read: it belongs to no response. */
static size_t on_after_end(struct fetch *f, size_t n)
{
	struct sock *s = connection_sock(f);

	if (s)
		s->stale = true;
	return n;
}

static size_t on_chunked(struct fetch *f, const char *p, size_t n)
{
	struct origin_response *a = &f->response;
	size_t at = a->skip, used;
	struct slice data;

	a->skip = 0;
	for (;;) {
		struct chunk_decoder before = a->chunks;
		enum fetch_write how;

		switch (chunk_decode(&a->chunks, p + at, n - at, &used, &data)) {
		case CHUNK_BAD:
			return refuse(f, FETCH_BAD_RESPONSE, FETCH_CAUSE_TRANSFER_CODING,
				"The chunks of the upstream's answer are malformed.");
		case CHUNK_MORE:
			return n;
		case CHUNK_END:
			return at + used < n ? on_after_end(f, n) : n;
		case CHUNK_DATA:
			break;
		}
		how = offer(f, data);
		if (how != FETCH_WRITE_TAKEN) {
			a->chunks = before;
			a->skip = at;
			return not_taken(f, how);
		}
		at += used;
	}
}

size_t origin_response_on_body(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;
	size_t result = n;

	(void)size;
	CHECK(f->magic == FETCH_MAGIC);
	if (f->discards)
		return n;
	if (f->todo & TODO_DROP)
		return cancel(f);
	if (f->response.phase != ORIGIN_RESPONSE_BODY)
		return on_header_preview(f, p, n);
	deadline_set(f, f->u->options->stall_timeout_ms);
	f->is_paused = false;
	if (f->response.is_chunked) {
		result = on_chunked(f, p, n);
	} else {
		enum fetch_write how = offer(f, (struct slice){p, n});

		if (how != FETCH_WRITE_TAKEN)
			return not_taken(f, how);
	}
	if (result == n) {
		f->response.wire_bytes += n;
		end_if_complete(f);
	}
	return result;
}

bool origin_response_is_framed(const struct fetch *f)
{
	const struct origin_response *a = &f->response;

	return a->phase == ORIGIN_RESPONSE_BODY &&
	       (f->is_h2 || a->is_bodiless || a->is_chunked || a->content_length >= 0);
}

void origin_response_on_frame(struct fetch *f, size_t content_bytes, bool ends_stream)
{
	f->response.h2_bytes += content_bytes;
	f->response.has_h2_end |= ends_stream;
}

/* RFC 9113 8.1: END_STREAM ends a response; a stream that is only reset, with whatever code, was given up. */
static bool is_cut_h2(const struct fetch *f)
{
	const struct origin_response *a = &f->response;

	return f->is_h2 && !a->is_bodiless && a->content_length < 0 && (!a->has_h2_end || a->h2_bytes != a->body_bytes);
}

/* libcurl calls it a success when the connection ends in the middle of a head, among others (RFC 9112 8). */
static enum fetch_result whole_or_broken(const struct fetch *f, const char **detail)
{
	const struct origin_response *a = &f->response;

	*detail = "the connection ended inside the answer";
	if (a->phase != ORIGIN_RESPONSE_BODY || (a->is_chunked && !chunk_is_complete(&a->chunks)))
		return FETCH_BROKEN;
	if (!a->is_bodiless && a->content_length >= 0 && a->body_bytes != (uint64_t)a->content_length)
		return FETCH_BROKEN;
	if (is_cut_h2(f)) {
		*detail = "the HTTP/2 stream ended inside the answer";
		return FETCH_BROKEN;
	}
	if (a->needs_tls_end && !a->has_tls_end) { /* anybody on the way may have cut it off (RFC 9112 9.8) */
		*detail = "TLS ended without close_notify";
		return FETCH_BROKEN;
	}
	*detail = "";
	return FETCH_OK;
}

enum fetch_result origin_response_result(struct fetch *f, CURLcode code, const char **detail)
{
	*detail = f->error[0] ? f->error : curl_easy_strerror(code);
	switch (code) {
	case CURLE_OK:
		return whole_or_broken(f, detail);
	case CURLE_OPERATION_TIMEDOUT:
		return FETCH_TIMEOUT;
	case CURLE_OUT_OF_MEMORY: /* also what libcurl calls a header line past its own bound */
		if (f->prepared == 0 || f->response.phase == ORIGIN_RESPONSE_BODY)
			return FETCH_NO_MEMORY;
		*detail = "A line in the head of the upstream's answer is too large.";
		return FETCH_BAD_RESPONSE;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_FUNCTION_ARGUMENT:
	case CURLE_BAD_CONTENT_ENCODING:
		return FETCH_BAD_RESPONSE;
	default:
		return f->prepared == 0 ? FETCH_REFUSED : FETCH_BROKEN;
	}
}
