/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_rows.h"

#include "cache/policy/credentials.h"
#include "http/date.h"

#define MONO_T0_MS 5000000

struct now rows_at(double seconds)
{
	int64_t ms = (int64_t)(seconds * 1000 + (seconds < 0 ? -0.5 : 0.5));
	return (struct now){MONO_T0_MS + ms, ROWS_T0_S * 1000 + ms};
}

static void put(struct rows_exchange *e, const char *p, size_t n)
{
	assert_true(e->text_n + n <= sizeof(e->text));
	memcpy(e->text + e->text_n, p, n);
	e->text_n += n;
}

/* Copies a value, each "@N" as a date. */
static struct slice expand(struct rows_exchange *e, const char *p, const char *end)
{
	size_t from = e->text_n;
	while (p < end) {
		if (*p != '@') {
			put(e, p++, 1);
			continue;
		}
		char date[30], *after;
		http_date_format(ROWS_T0_S + strtoll(p + 1, &after, 10), date);
		put(e, date, 29);
		p = after;
	}
	return slice_trim((struct slice){e->text + from, e->text_n - from});
}

void rows_fields(struct rows_exchange *e, struct http_fields *out, const char *text)
{
	http_fields_init(out);
	for (const char *p = text ? text : ""; *p;) {
		const char *end = strchr(p, '\n'), *colon = strchr(p, ':');
		if (!end)
			end = p + strlen(p);
		assert_true(colon && colon < end);
		struct slice name = expand(e, p, colon);
		struct slice value = expand(e, colon + 1, end);
		assert_int_equal(http_fields_add(out, name, value), 0);
		p = *end ? end + 1 : end;
	}
}

static bool option(const char *word, const char *name, const char **value)
{
	size_t n = strlen(name);
	if (strncmp(word, name, n) != 0)
		return false;
	*value = word + n;
	return true;
}

static void add_status_ttl(struct rows_exchange *e, int low, int high, const char *seconds)
{
	assert_true(e->rules.status_ttl.n < ARRAY_LEN(e->status_ttl));
	e->status_ttl[e->rules.status_ttl.n++] =
		(struct cache_status_ttl){(uint16_t)low, (uint16_t)high, (int64_t)(atof(seconds) * 1000)};
}

static int64_t ms_of(const char *seconds)
{
	return (int64_t)(atof(seconds) * 1000);
}

static bool set_time(struct rows_exchange *e, const char *word)
{
	struct cache_rules *r = &e->rules;
	const char *v;
	if (option(word, "ttl=", &v))
		r->ttl_ms = ms_of(v);
	else if (option(word, "force=", &v))
		r->ttl_force_ms = ms_of(v);
	else if (option(word, "min=", &v))
		r->ttl_min_ms = ms_of(v);
	else if (option(word, "max=", &v))
		r->ttl_max_ms = ms_of(v);
	else if (option(word, "swr=", &v))
		r->stale_while_revalidate_ms = ms_of(v);
	else if (option(word, "sie=", &v))
		r->stale_if_error_ms = ms_of(v);
	else if (option(word, "unreachable=", &v))
		r->stale_if_unreachable_ms = ms_of(v);
	else if (option(word, "t404=", &v))
		add_status_ttl(e, 404, 404, v);
	else if (option(word, "t3xx=", &v))
		add_status_ttl(e, 300, 399, v);
	else if (option(word, "t4xx=", &v))
		add_status_ttl(e, 400, 499, v);
	else if (option(word, "t5xx=", &v))
		add_status_ttl(e, 500, 599, v);
	else
		return false;
	return true;
}

static void set_targeted(struct rows_exchange *e, const char *names)
{
	e->rules.targeted = (struct slices){e->targeted, 0};
	while (*names) {
		size_t n = strcspn(names, ",");
		size_t from = e->text_n;
		put(e, names, n);
		e->targeted[e->rules.targeted.n++] = (struct slice){e->text + from, n};
		names += n + (names[n] == ',');
	}
}

static unsigned overrides_of(const char *words)
{
	static const char *const all[] = {"private", "no-store", "no-cache", "authorization", "set-cookie"};
	unsigned bits = 0;
	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		bits |= strstr(words, all[i]) ? 1U << i : 0U;
	return bits;
}

static void set_option(struct rows_exchange *e, const char *word)
{
	struct cache_rules *r = &e->rules;
	const char *v;
	if (set_time(e, word))
		return;
	if (option(word, "cookie=", &v)) {
		r->set_cookie = *v == 'p' ? CACHE_COOKIE_PASS : v[2] == 'o' ? CACHE_COOKIE_STORE : CACHE_COOKIE_STRIP;
	} else if (option(word, "jitter=", &v)) {
		r->ttl_jitter = (unsigned)atoi(v);
		e->x.jitter = (uint32_t)strtoul(strchr(v, ':') + 1, NULL, 10);
	} else if (option(word, "override=", &v)) {
		r->override = overrides_of(v);
	} else if (option(word, "heuristic=", &v)) {
		r->heuristic = (unsigned)atoi(v);
	} else if (option(word, "targeted=", &v)) {
		set_targeted(e, v);
	} else if (strcmp(word, "scope=user") == 0) {
		r->scope = CACHE_SCOPE_USER;
	} else if (strcmp(word, "refresh") == 0) {
		r->client_refresh = true;
	} else if (strcmp(word, "off") == 0) {
		r->cache = false;
	} else if (strcmp(word, "post") == 0) {
		r->methods |= 1U << HTTP_POST;
	} else if (strcmp(word, "query") == 0) {
		r->methods |= 1U << HTTP_QUERY;
	} else {
		fail_msg("unknown option %s", word);
	}
}

void rows_exchange_init(struct rows_exchange *e, const char *what, const char *request, const char *response,
	const char *route, double delay_s)
{
	memset(e, 0, sizeof(*e));
	e->rules = default_rules();
	e->rules.status_ttl.v = e->status_ttl;
	set_targeted(e, "CDN-Cache-Control");
	const char *space = strchr(what, ' ');
	e->x.method = http_method_of((struct slice){what, (size_t)(space - what)});
	e->x.status = atoi(space);
	char words[256], *save = NULL;
	snprintf(words, sizeof(words), "%s", route ? route : "");
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		set_option(e, w);
	rows_fields(e, &e->request, request);
	rows_fields(e, &e->response, response);
	e->x.target_url = SLICE_LIT("http://a.example/dir/page");
	e->x.request = &e->request;
	struct credentials bears = credentials_of(&e->rules, &e->request);
	e->x.request_has_authorization = bears.has_authorization;
	e->x.request_has_credential = bears.has_other;
	e->x.response = &e->response;
	e->x.request_time = rows_at(-delay_s);
	e->x.response_time = rows_at(0);
	e->x.rules = &e->rules;
}

void rows_exchange_fini(struct rows_exchange *e)
{
	http_fields_fini(&e->request);
	http_fields_fini(&e->response);
}

struct policy_reuse rows_reuse(
	const struct rows_exchange *e, const struct freshness *f, bool soft_purged, struct now now)
{
	struct cache_control cc;
	(void)cache_control_of(&cc, &e->request);
	return policy_reuse(
		f, e->rules.client_refresh ? &cc : NULL, policy_pragma_no_cache(&e->request), soft_purged, now);
}

static char letter_of(struct policy_reuse r)
{
	if (r.by_request)
		return r.use == POLICY_VALIDATE ? 'R' : '?';
	return "FWAV"[r.use];
}

static bool differs(double a, double b)
{
	return a - b > 0.0005 || b - a > 0.0005;
}

static bool row_holds(const struct policy_row *row)
{
	struct rows_exchange e;
	struct freshness f = {0};
	rows_exchange_init(&e, row->what, row->request, row->response, row->route, row->delay_s);
	enum policy_store store = policy_store(&e.x, &f);
	double lifetime_s = (double)f.lifetime_ms / 1000;
	double age_s = (double)policy_age_ms(&f, rows_at(row->at_s)) / 1000;
	char use = letter_of(rows_reuse(&e, &f, false, rows_at(row->at_s)));
	bool holds = store == row->store;
	if (holds && store == POLICY_STORE)
		holds = !differs(lifetime_s, row->lifetime_s) && !differs(age_s, row->age_s) && use == row->use &&
			f.source == row->source;
	if (!holds)
		print_error("%s (%s): %s, lifetime %g from %d, age %g, use %c; expected %s, %g from %d, %g, %c\n",
			row->name, row->section, policy_reason(store)->token, lifetime_s, f.source, age_s, use,
			policy_reason(row->store)->token, row->lifetime_s, row->source, row->age_s, row->use);
	rows_exchange_fini(&e);
	return holds;
}

void policy_rows_run(const struct policy_row *rows, size_t n)
{
	size_t failed = 0;
	for (size_t i = 0; i < n; i++)
		failed += !row_holds(&rows[i]);
	if (failed)
		fail_msg("%zu of %zu rows", failed, n);
}
