/* SPDX-License-Identifier: MIT */
#include "proxy/init/study.h"

#include <errno.h>
#include <stdio.h>

#include "cache/policy/policy.h"
#include "http/cache_control.h"
#include "proxy/init/document.h"
#include "proxy/init/same.h"

enum { URL_BYTES_MAX = 8192 };

static void copy(char *to, size_t room, struct slice text)
{
	snprintf(to, room, "%.*s", SLICE_ARG(text));
	for (char *c = to; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

/* What was appended, cut to the room. */
static void copy_buf(char *to, size_t room, struct buf *text)
{
	copy(to, room, buf_slice(text));
	buf_fini(text);
}

static void join(const struct answer *a, enum http_field_id id, char *to, size_t room)
{
	struct buf all;

	buf_init(&all, 4096);
	if (http_fields_join(&a->fields, id, &all))
		buf_reset(&all); /* too long to be told */
	copy_buf(to, room, &all);
}

/* ---- Lifetimes ---- */

static void judge(struct study *s, const struct cache_rules *rules, const struct answer *a)
{
	struct http_fields none;
	struct cache_control cc;
	struct freshness f;
	struct policy_exchange x = {.method = HTTP_GET,
		.request = &none,
		.status = a->status,
		.response = &a->fields,
		.request_time = a->asked,
		.response_time = a->received,
		.rules = rules};
	enum policy_store verdict;

	http_fields_init(&none);
	verdict = policy_store(&x, &f);
	(void)cache_control_of(&cc, &a->fields);
	s->is_private = cc.private_;
	s->is_no_store = cc.no_store;
	s->is_explicit = cc.max_age >= 0 || cc.s_maxage >= 0 || cc.no_cache ||
			 http_fields_get(&a->fields, HF_EXPIRES) || http_fields_get(&a->fields, HF_CDN_CACHE_CONTROL);
	if (verdict == POLICY_STORE) {
		s->lifetime_ms = f.lifetime_ms - (http_fields_get(&a->fields, HF_AGE) ? f.initial_age_ms : 0);
		if (s->lifetime_ms < 0)
			s->lifetime_ms = 0;
		s->is_guess = f.source == LIFETIME_HEURISTIC;
		s->is_explicit = f.source != LIFETIME_NONE && !s->is_guess;
		if (f.flags & POLICY_NO_CACHE) { /* whatever else it says; a ttl counts for nothing then */
			s->lifetime_ms = 0;
			s->is_explicit = true;
			s->is_guess = false;
		}
	} else if (verdict != POLICY_NOT_FRESH && verdict != POLICY_NOT_STATUS) {
		s->not_stored = policy_reason(verdict)->token;
	}
}

static void note_what_is_said(struct study *s, const struct answer *a)
{
	static const enum http_field_id ids[] = {
		HF_CDN_CACHE_CONTROL, HF_CACHE_CONTROL, HF_EXPIRES, HF_ETAG, HF_LAST_MODIFIED};
	size_t n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		const struct http_field *f = http_fields_get(&a->fields, ids[i]);
		bool is_validator = ids[i] == HF_ETAG;
		int more;

		if (!f)
			continue;
		more = snprintf(s->says + n, sizeof(s->says) - n, "%s%.*s%s%.*s", n ? "; " : "", SLICE_ARG(f->name),
			is_validator ? "" : ": ", is_validator ? 0 : (int)f->value.n, f->value.p);
		if (more < 0 || (size_t)more >= sizeof(s->says) - n)
			break;
		n += (size_t)more;
	}
	for (char *c = s->says; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

/* ---- Two calls ---- */

static void compare_bodies(struct study *s, const struct answer *a, const struct answer *b)
{
	json_t *one, *two;
	struct buf places;

	s->body_differs = !slice_equal(buf_slice(&a->body), buf_slice(&b->body));
	if (!s->body_differs)
		return;
	if (!http_media_type_is_json(http_media_type(&a->fields, NULL)))
		return;
	one = document_read_json(buf_slice(&a->body));
	two = document_read_json(buf_slice(&b->body));
	buf_init(&places, 4096);
	if (one && two && same_json(one, two, &places) > SAME_PLACES_MAX)
		buf_add_str(&places, " and more");
	copy_buf(s->places, sizeof(s->places), &places);
	json_decref(one);
	json_decref(two);
}

static void compare(struct study *s, const struct answer *a, const struct answer *b)
{
	struct buf fields;

	s->status_differs = a->status != b->status;
	if (s->status_differs)
		return;
	compare_bodies(s, a, b);
	buf_init(&fields, 4096);
	(void)same_fields(&a->fields, &b->fields, &fields);
	copy_buf(s->fields, sizeof(s->fields), &fields);
}

/* ---- Whom it answers ---- */

static bool is_refused(int status)
{
	return status == 401 || status == 403;
}

static void note_cookies(struct study *s, const struct answer *a)
{
	const struct http_field *f;
	struct buf names;
	uint32_t i = 0;

	buf_init(&names, 1000);
	while ((f = http_fields_next(&a->fields, HF_SET_COOKIE, &i)) != NULL) {
		struct slice name, value;

		(void)slice_cut(f->value, '=', &name, &value);
		buf_addf(&names, "%s%.*s", names.n ? ", " : "", SLICE_ARG(slice_trim(name)));
	}
	copy_buf(s->cookies, sizeof(s->cookies), &names);
}

static void note_challenge(struct study *s, const struct answer *a)
{
	const struct http_field *f = http_fields_find(&a->fields, SLICE_LIT("WWW-Authenticate"));
	struct slice scheme, rest;

	if (!f)
		return;
	(void)slice_cut(f->value, ' ', &scheme, &rest);
	copy(s->scheme, sizeof(s->scheme), scheme);
}

static int ask_without(
	struct discovery *d, const char *url, struct study *s, const struct answer *with, struct answer *without)
{
	int rc = ask_get(d->ask, url, false, without);

	if (rc)
		return rc == -ECONNREFUSED ? 0 : rc;
	if (is_refused(without->status)) {
		s->need = CREDENTIAL_NEEDED;
		note_challenge(s, without);
	} else if (without->status != with->status ||
		   (!s->body_differs && !slice_equal(buf_slice(&without->body), buf_slice(&with->body))))
		s->need = CREDENTIAL_CHANGES;
	else
		s->need = CREDENTIAL_SAME;
	return 0;
}

static void note_answer(struct study *s, const struct cache_rules *rules, const struct answer *a)
{
	s->status = a->status;
	s->bytes = a->body.n;
	s->is_cut = a->is_cut;
	s->time_ms = a->time_ms;
	copy(s->type, sizeof(s->type), http_media_type(&a->fields, NULL));
	join(a, HF_VARY, s->vary, sizeof(s->vary));
	note_cookies(s, a);
	note_challenge(s, a);
	if (a->status == 200) {
		note_what_is_said(s, a);
		judge(s, rules, a);
	}
	if (is_refused(a->status))
		s->need = CREDENTIAL_MISSING;
}

static int study_url(struct discovery *d, const struct cache_rules *rules, const char *url, struct study *s,
	struct answer *a, struct answer *b)
{
	int rc = ask_get(d->ask, url, d->with_fields, a);

	if (rc == -ECONNREFUSED)
		copy(s->why, sizeof(s->why), slice_of(a->why));
	if (rc)
		return rc == -ECONNREFUSED ? 0 : rc;
	note_answer(s, rules, a);
	if (s->status != 200)
		return 0;
	rc = ask_get(d->ask, url, d->with_fields, b);
	if (rc == 0)
		compare(s, a, b);
	if (rc == -ECONNREFUSED)
		s->status_differs = true;
	if (rc == 0 && d->with_fields)
		return ask_without(d, url, s, a, b);
	return rc == -ECONNREFUSED ? 0 : rc;
}

int study(struct discovery *d, const struct cache_rules *rules, struct route *r)
{
	struct answer a, b;
	struct buf url;
	int rc;

	memset(&r->study, 0, sizeof(r->study));
	if (r->example.n == 0)
		return 0;
	answer_init(&a);
	answer_init(&b);
	buf_init(&url, URL_BYTES_MAX);
	rc = discover_url(d->api, r->example, &url);
	if (rc == 0)
		rc = study_url(d, rules, url.p, &r->study, &a, &b);
	buf_fini(&url);
	answer_fini(&a);
	answer_fini(&b);
	return rc;
}
