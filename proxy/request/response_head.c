/* SPDX-License-Identifier: MIT */
#include "proxy/request/response_head.h"

#include <errno.h>
#include <stdio.h>

#include "base/random.h"
#include "http/compose.h"
#include "http/date.h"
#include "http/etag.h"
#include "http/negotiate.h"
#include "http/syntax.h"
#include "proxy/request/hops.h"
#include "proxy/request/tags.h"

void response_init(struct response *r)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->head, RESPONSE_HEAD_MAX);
	buf_init(&r->text, RESPONSE_HEAD_MAX);
	buf_init(&r->part_heads, RESPONSE_HEAD_MAX);
}

void response_fini(struct response *r)
{
	buf_fini(&r->head);
	buf_fini(&r->text);
	buf_fini(&r->part_heads);
}

static void start(struct response *r, int status)
{
	buf_reset(&r->head);
	buf_reset(&r->text);
	buf_reset(&r->part_heads);
	r->status = status;
	r->content_length = -1;
	r->body = RESPONSE_EMPTY;
	r->bytes = (struct slice){NULL, 0};
	r->offset = 0;
	r->length = 0;
	r->parts_n = 0;
	r->coding = CACHE_IDENTITY;
}

/* A final response to this method and status bears no content (RFC 9110 6.4.1). */
static bool has_no_content(enum http_method method, int status)
{
	return method == HTTP_HEAD || status < 200 || status == 204 || status == 304;
}

static void add_number_field(struct buf *b, const char *name_colon_space, uint64_t value)
{
	buf_add_str(b, name_colon_space);
	buf_add_u64(b, value);
	buf_add(b, "\r\n", 2);
}

const char *response_forward_name(enum cache_forward f)
{
	static const char *const names[] = {
		[CACHE_FWD_NONE] = NULL,
		[CACHE_FWD_BYPASS] = "bypass",
		[CACHE_FWD_METHOD] = "method",
		[CACHE_FWD_URI_MISS] = "uri-miss",
		[CACHE_FWD_VARY_MISS] = "vary-miss",
		[CACHE_FWD_MISS] = "miss",
		[CACHE_FWD_REQUEST] = "request",
		[CACHE_FWD_STALE] = "stale",
		[CACHE_FWD_PARTIAL] = "partial",
	};
	return (unsigned)f < ARRAY_LEN(names) ? names[f] : NULL;
}

/* Whole seconds, rounded down, so that a stale response never shows a ttl of 0. */
static int64_t floor_seconds(int64_t ms)
{
	return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

static void add_signed(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_add_char(b, '-');
	buf_add_u64(b, (unsigned long long)(v < 0 ? -v : v));
}

static void add_cache_status(struct buf *b, const struct cache_status *cache_status)
{
	const char *forward = response_forward_name(cache_status->forward);

	buf_add_str(b, "Cache-Status: memoproxy");
	if (cache_status->hit)
		buf_add_str(b, "; hit");
	else if (forward) {
		buf_add_str(b, "; fwd=");
		buf_add_str(b, forward);
	}
	if (cache_status->forward_status) {
		buf_add_str(b, "; fwd-status=");
		buf_add_u64(b, (unsigned)cache_status->forward_status);
	}
	if (cache_status->has_ttl) {
		buf_add_str(b, "; ttl=");
		add_signed(b, floor_seconds(cache_status->ttl_ms));
	}
	if (cache_status->stored)
		buf_add_str(b, "; stored");
	if (cache_status->collapsed)
		buf_add_str(b, "; collapsed");
	if (cache_status->detail) {
		bool is_token = http_is_token(slice_of(cache_status->detail)); /* RFC 9211 2.8: that, or a string */

		buf_add_str(b, is_token ? "; detail=" : "; detail=\"");
		buf_add_str(b, cache_status->detail);
		if (!is_token)
			buf_add_char(b, '"');
	}
	buf_add(b, "\r\n", 2);
}

static int head_result(struct response *r)
{
	return r->head.err ? r->head.err : r->text.err ? r->text.err : r->part_heads.err;
}

/* ---- From an object ---- */

static struct slice object_value(const struct object *o, enum http_field_id id)
{
	struct slice value;

	return object_field(o, id, &value) ? value : (struct slice){NULL, 0};
}

bool response_is_in_304(enum http_field_id id)
{
	return id != HF_CONTENT_LENGTH && id != HF_CONTENT_TYPE && id != HF_CONTENT_ENCODING &&
	       id != HF_CONTENT_LANGUAGE && id != HF_CONTENT_RANGE;
}

static struct slice shown_etag(struct response *r, struct slice etag)
{
	return r->shows_forms ? tags_for_client(&r->text, etag, r->coding) : etag;
}

static void add_object_fields(struct response *r, const struct object *o, bool (*keep)(enum http_field_id id))
{
	struct http_field f;
	size_t at = 0;

	http_status_line_append(&r->head, r->status);
	while (object_field_next(o, &at, &f))
		if (keep(f.id))
			http_field_append(&r->head, f.name, f.id == HF_ETAG ? shown_etag(r, f.value) : f.value);
}

static bool is_any(enum http_field_id id)
{
	(void)id;
	return true;
}

static bool is_not_length(enum http_field_id id)
{
	return id != HF_CONTENT_LENGTH;
}

static bool is_not_length_or_type(enum http_field_id id)
{
	return id != HF_CONTENT_LENGTH && id != HF_CONTENT_TYPE;
}

static void whole_coded(
	struct response *r, const struct http_request *request, const struct object *o, struct slice bytes)
{
	add_object_fields(r, o, is_not_length);
	http_field_append(&r->head, SLICE_LIT("Content-Encoding"), cache_coding_name(r->coding));
	add_number_field(&r->head, "Content-Length: ", bytes.n);
	r->content_length = (int64_t)bytes.n;
	if (has_no_content(request->method, r->status))
		return;
	r->body = RESPONSE_BYTES;
	r->bytes = bytes;
}

static void whole_object(struct response *r, const struct http_request *request, const struct object *o)
{
	r->status = object_status(o);
	if (r->shows_forms && tags_looks_coded(object_value(o, HF_ETAG)))
		add_object_fields(r, o, is_any);
	else
		buf_add_slice(&r->head, object_head(o));
	r->content_length = object_announced_length(o);
	if (has_no_content(request->method, r->status))
		return;
	r->body = RESPONSE_OBJECT;
	r->length = r->content_length;
	if (r->length >= 0 && !object_head_says_length(o))
		add_number_field(&r->head, "Content-Length: ", (uint64_t)r->length);
}

/* Where the object's body begins in the representation. */
static uint64_t body_first(const struct object *o)
{
	uint64_t first, total;

	return object_part(o, &first, &total) ? first : 0;
}

static void single_range(struct response *r, const struct object *o, const struct http_range *range, uint64_t total)
{
	r->status = 206;
	add_object_fields(r, o, is_not_length);
	buf_addf(&r->head, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)range->first,
		(unsigned long long)range->last, (unsigned long long)total);
	r->offset = range->first - body_first(o);
	r->length = (int64_t)(range->last - range->first + 1);
	r->content_length = r->length;
	r->body = RESPONSE_OBJECT;
	add_number_field(&r->head, "Content-Length: ", (uint64_t)r->length);
}

/* Nor does it say for how long to keep it: that was about the response it stands for. */
static bool is_in_416(enum http_field_id id)
{
	return response_is_in_304(id) && id != HF_CACHE_CONTROL && id != HF_CDN_CACHE_CONTROL && id != HF_EXPIRES;
}

static void unsatisfiable_range(struct response *r, const struct object *o, uint64_t total)
{
	r->status = 416;
	add_object_fields(r, o, is_in_416);
	buf_addf(&r->head, "Content-Range: bytes */%llu\r\nContent-Length: 0\r\n", (unsigned long long)total);
	r->content_length = 0;
}

static void add_part(struct response *r, size_t head_off, uint64_t offset, uint64_t length)
{
	struct response_part *part = &r->parts[r->parts_n++];

	part->head_off = head_off;
	part->head_n = r->part_heads.n - head_off;
	part->offset = offset;
	part->length = length;
	r->content_length += (int64_t)(part->head_n + length);
}

/* multipart/byteranges (RFC 9110 14.6). Nobody can make a body that contains the boundary: it can't be guessed. */
static void multiple_ranges(struct response *r, const struct object *o, const struct http_ranges *set, uint64_t total)
{
	struct slice type = object_value(o, HF_CONTENT_TYPE);
	struct slice boundary;
	unsigned long long number[2];
	char text[48];
	size_t off;

	random_bytes(number, sizeof(number));
	snprintf(text, sizeof(text), "memoproxy-%016llx%016llx", number[0], number[1]);
	boundary = slice_of(text);
	r->status = 206;
	r->body = RESPONSE_PARTS;
	r->content_length = 0;
	for (unsigned i = 0; i < set->n; i++) {
		off = r->part_heads.n;
		http_multipart_part_add(&r->part_heads, boundary, i == 0, type, set->v[i], total);
		add_part(r, off, set->v[i].first - body_first(o), set->v[i].last - set->v[i].first + 1);
	}
	off = r->part_heads.n;
	http_multipart_end_add(&r->part_heads, boundary);
	add_part(r, off, 0, 0);
	add_object_fields(r, o, is_not_length_or_type);
	buf_addf(&r->head, "Content-Type: multipart/byteranges; boundary=%s\r\n", text);
	add_number_field(&r->head, "Content-Length: ", (uint64_t)r->content_length);
}

static bool if_range_allows(struct response *r, const struct http_request *request, const struct object *o)
{
	return policy_if_range(&request->fields, shown_etag(r, object_value(o, HF_ETAG)),
		object_value(o, HF_LAST_MODIFIED), object_value(o, HF_DATE));
}

/* RFC 9110 14.2: Range is for GET, and only where If-Range does not say that the client holds something else. */
static bool wants_ranges(struct response *r, const struct http_request *request, const struct object *o)
{
	int status = object_status(o);

	if (request->method != HTTP_GET || (status != 200 && status != 206))
		return false;
	return http_fields_count(&request->fields, HF_RANGE) == 1 && if_range_allows(r, request, o);
}

/* Several ranges go out in one piece, which there is none of while the bytes still arrive (see response_can_begin); to leave Range
 * unheeded is allowed (RFC 9110 14.2). One range is sent as they come. */
static bool is_at_hand(const struct object *o)
{
	uint64_t available;

	return object_body_is_in_lower(o) || object_body_state(o, &available) == BODY_COMPLETE;
}

/* All of a stored part: the lookup chose it because it holds what is asked for. */
static void whole_part(struct response *r, const struct object *o, uint64_t first, uint64_t total)
{
	struct http_range held = {first, first + (uint64_t)object_body_length(o) - 1};

	single_range(r, o, &held, total);
}

static void object_or_ranges(struct response *r, const struct http_request *request, const struct object *o)
{
	struct http_ranges set;
	struct slice coded;
	uint64_t first = 0, total = 0;
	bool is_part = object_part(o, &first, &total);

	if (object_encoded(o, r->coding, &coded)) {
		whole_coded(r, request, o, coded);
		return;
	}
	if (object_body_length(o) < 0 || !wants_ranges(r, request, o)) {
		whole_object(r, request, o);
		return;
	}
	if (!is_part)
		total = (uint64_t)object_body_length(o);
	switch (http_range_parse(http_fields_get(&request->fields, HF_RANGE)->value, total, &set)) {
	case HTTP_RANGE_SATISFIABLE:
		if (set.n == 1)
			single_range(r, o, &set.v[0], total);
		else if (!is_at_hand(o))
			whole_object(r, request, o);
		else
			multiple_ranges(r, o, &set, total);
		break;
	case HTTP_RANGE_UNSATISFIABLE:
		unsatisfiable_range(r, o, total);
		break;
	default:
		if (is_part)
			whole_part(r, o, first, total);
		else
			whole_object(r, request, o);
	}
}

static void add_date(struct buf *b, struct now now)
{
	char date[30];

	http_date_format(now.wall_ms / 1000, date);
	http_field_append(b, SLICE_LIT("Date"), slice_of(date));
}

/* The one that the client wants most, of those that are there; ranges are of the bytes as they are. */
static enum cache_coding choose_coding(const struct http_request *request, const struct object *o)
{
	enum cache_coding best = CACHE_IDENTITY;
	struct slice bytes;
	int most = 0;

	if (!object_may_encode(o) || !http_fields_get(&request->fields, HF_ACCEPT_ENCODING) ||
		http_fields_get(&request->fields, HF_RANGE))
		return best;
	most = http_accept_encoding_q(&request->fields, SLICE_LIT("identity"));
	for (unsigned c = 0; c < CACHE_CODINGS; c++) {
		int q = http_accept_encoding_q(&request->fields, cache_coding_name((enum cache_coding)c));
		bool is_better = best == CACHE_IDENTITY ? q >= most : q > most;

		if (q > 0 && is_better && object_encoded(o, (enum cache_coding)c, &bytes)) {
			best = (enum cache_coding)c;
			most = q;
		}
	}
	return best;
}

static void start_from(struct response *r, const struct http_request *request, const struct object *o, bool shows_forms)
{
	start(r, object_status(o));
	r->shows_forms = shows_forms;
	r->coding = choose_coding(request, o);
}

static bool is_not_modified(struct response *r, const struct http_request *request, const struct object *o)
{
	return r->status >= 200 && r->status < 300 && policy_has_condition(&request->fields) &&
	       policy_is_not_modified(&request->fields, shown_etag(r, object_value(o, HF_ETAG)),
		       object_value(o, HF_LAST_MODIFIED), object_value(o, HF_DATE));
}

/* All of a body of which nobody knows yet how long it is, as players ask for it: for that the whole does as well. */
static bool is_from_first_to_last(const struct http_ranges *set)
{
	return set->n == 1 && set->v[0].first == 0 && set->v[0].last == INT64_MAX - 1;
}

bool response_can_begin(
	struct response *r, const struct http_request *request, const struct object *o, bool shows_forms)
{
	int64_t length = object_body_length(o);
	struct http_ranges set;
	enum body_state state;
	uint64_t available;

	state = object_body_state(o, &available);
	if (state == BODY_COMPLETE || object_body_is_in_lower(o) || !http_fields_get(&request->fields, HF_RANGE))
		return true;
	start_from(r, request, o, shows_forms);
	if (is_not_modified(r, request, o) || !wants_ranges(r, request, o) ||
		http_range_parse(http_fields_get(&request->fields, HF_RANGE)->value,
			length < 0 ? INT64_MAX : (uint64_t)length, &set) != HTTP_RANGE_SATISFIABLE)
		return true;
	if (length < 0)
		return is_from_first_to_last(&set);
	return set.n == 1 && available > (state == BODY_BROKEN ? set.v[0].last : set.v[0].first);
}

int response_from_object(struct response *r, const struct http_request *request, const struct object *o, struct now now,
	const struct cache_status *cache_status)
{
	int64_t age_ms = policy_age_ms(object_freshness(o), now);

	start_from(r, request, o, cache_status->shows_forms);
	if (is_not_modified(r, request, o)) {
		r->status = 304;
		add_object_fields(r, o, response_is_in_304);
	} else {
		object_or_ranges(r, request, o);
		buf_add_slice(&r->head, cache_status->own_lines);
	}
	add_number_field(&r->head, "Age: ", (uint64_t)(age_ms / 1000));
	add_cache_status(&r->head, cache_status);
	return head_result(r);
}

/* ---- From an upstream's fields ---- */

/* A 304 is of the representation that the client has: its tag is the one that the client gave. */
static struct slice given_etag(struct response *r, const struct http_request *request, struct slice etag)
{
	const struct http_field *f;
	struct slice rest, tag, own;
	uint32_t i = 0;

	while ((f = http_fields_next(&request->fields, HF_IF_NONE_MATCH, &i)))
		for (rest = f->value; etag_list_next(&rest, &tag);) {
			size_t from = r->text.n;

			if (tags_add_own(&r->text, tag))
				return etag;
			own = slice_from(buf_slice(&r->text), from);
			if (etag_weak_equal(own, etag))
				return tag;
			r->text.n = from;
		}
	return shown_etag(r, etag);
}

static void add_etag(struct response *r, const struct http_request *request, const struct http_field *f)
{
	struct slice etag = f->value;

	if (r->shows_forms)
		etag = r->status == 304 ? given_etag(r, request, etag) : shown_etag(r, etag);
	http_field_append(&r->head, f->name, etag);
}

int response_from_fields(struct response *r, const struct http_request *request, int status,
	const struct http_fields *fields, int64_t content_length, struct now now,
	const struct cache_status *cache_status)
{
	start(r, status);
	r->shows_forms = cache_status->shows_forms;
	http_status_line_append(&r->head, status);
	for (uint32_t i = 0; i < fields->n; i++)
		if (fields->v[i].id == HF_ETAG)
			add_etag(r, request, &fields->v[i]);
		else if (fields->v[i].id != HF_CONTENT_LENGTH)
			http_field_append(&r->head, fields->v[i].name, fields->v[i].value);
	if (!http_fields_get(fields, HF_DATE))
		add_date(&r->head, now);
	if (hops_via_of_responses().n > 0)
		http_field_append(&r->head, SLICE_LIT("Via"), hops_via_of_responses());
	/* RFC 9110 8.6: no Content-Length in 1xx and 204; one that a HEAD or 304 announces is passed on. */
	if (content_length >= 0 && status >= 200 && status != 204)
		add_number_field(&r->head, "Content-Length: ", (uint64_t)content_length);
	add_cache_status(&r->head, cache_status);
	r->content_length = content_length;
	r->body = has_no_content(request->method, status) ? RESPONSE_EMPTY : RESPONSE_STREAM;
	return head_result(r);
}

/* ---- Our own words ---- */

/* Could it stand between quotes as it is (RFC 9651 3.3.3)? */
static bool is_string(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return s.n > 0;
}

/* The upstream's address is the operator's to know: of it a client learns a name at most. */
static void add_proxy_status(struct buf *b, const struct response_problem *p)
{
	if (p->proxy_status == CONFIG_PROXY_STATUS_OFF)
		return;
	buf_add_str(b, "Proxy-Status: memoproxy; error=");
	buf_add_str(b, p->error);
	if (p->proxy_status == CONFIG_PROXY_STATUS_FULL && is_string(p->next_hop)) {
		buf_add_str(b, "; next-hop=\"");
		buf_add_slice(b, p->next_hop);
		buf_add_char(b, '"');
	}
	buf_add(b, "\r\n", 2);
}

int response_problem(struct response *r, const struct http_request *request, const struct response_problem *p,
	struct now now, const struct cache_status *cache_status)
{
	struct slice type;

	start(r, p->status);
	type = problem_body(&r->text, p, &request->fields);
	http_status_line_append(&r->head, p->status);
	add_date(&r->head, now);
	http_field_append(&r->head, SLICE_LIT("Content-Type"), type);
	buf_add_str(&r->head, "Cache-Control: no-store\r\n");
	if (p->retry_after_s >= 0)
		add_number_field(&r->head, "Retry-After: ", (uint64_t)p->retry_after_s);
	add_number_field(&r->head, "Content-Length: ", r->text.n);
	if (cache_status)
		add_cache_status(&r->head, cache_status);
	add_proxy_status(&r->head, p);
	if (p->id.n)
		http_field_append(&r->head, SLICE_LIT("X-Request-ID"), p->id);
	r->content_length = (int64_t)r->text.n;
	if (!has_no_content(request->method, p->status)) {
		r->body = RESPONSE_BYTES;
		r->bytes = buf_slice(&r->text);
	}
	return head_result(r);
}
