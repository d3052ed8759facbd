/* SPDX-License-Identifier: MIT */
#include "policy/default_rules.h"
#include "rig.h"

#include <stdlib.h>
#include <string.h>

void rig_options(struct rig *g)
{
	memset(g, 0, sizeof(*g));
	g->now = (struct now){1000000, 1700000000000};
	g->tag_names[0] = SLICE_LIT("Cache-Tag");
	g->rules = default_rules();
	g->rules.route = SLICE_LIT("test");
	g->rules.stale_if_unreachable_ms = 0;
	g->rules.coalesce_timeout_ms = 5000;
	g->rules.range_fill = CACHE_RANGE_PASS;
	g->rules.client_refresh = true;
	g->rules.tag_headers = (struct slices){g->tag_names, 1};
	g->o = (struct cache_options){.memory_bytes = 8 << 20,
		.max_object_bytes = 1 << 20,
		.shards = 4,
		.coalesce = true,
		.failure_memory_ms = 1000,
		.pass_memory_ms = 120000,
		.max_waiters = 1000,
		.max_flights = 100,
		.max_markers = 64,
		.max_variants = 4,
		.max_invalidation_rules = 1000,
		.via = SLICE_LIT("1.1 memoproxy"),
		.workers = RIG_WORKERS};
}

void rig_start(struct rig *g)
{
	for (int i = 0; i < RIG_WORKERS; i++) {
		assert_int_equal(mailbox_init(&g->mailboxes[i]), 0);
		g->mailbox_list[i] = &g->mailboxes[i];
	}
	g->o.mailboxes = g->mailbox_list;
	assert_int_equal(cache_new(&g->o, &g->c), 0);
}

void rig_begin(struct rig *g)
{
	rig_options(g);
	rig_start(g);
}

void rig_deliver(struct rig *g)
{
	for (int i = 0; i < RIG_WORKERS; i++)
		while (mailbox_deliver(&g->mailboxes[i]))
			continue;
}

void rig_end(struct rig *g)
{
	rig_deliver(g);
	cache_free(&g->c);
	assert_null(g->c);
	for (int i = 0; i < RIG_WORKERS; i++)
		mailbox_fini(&g->mailboxes[i]);
}

void rig_restart(struct rig *g)
{
	rig_end(g);
	rig_start(g);
}

int rig_setup(void **state)
{
	struct rig *g = malloc(sizeof(*g));

	assert_non_null(g);
	rig_begin(g);
	*state = g;
	return 0;
}

int rig_teardown(void **state)
{
	rig_end(*state);
	free(*state);
	return 0;
}

const struct cache_asked *rig_asked(struct rig *g)
{
	g->asked = cache_ask(g->c);
	return &g->asked;
}

void ask_init(struct rig *g, struct ask *a, const char *method_and_target, const char *fields)
{
	struct http_head_limits limits = {.max_head = sizeof(a->text), .max_fields = 100};
	struct http_error err;
	size_t scanned = 0;
	struct cache_key_input in = {.http = &a->http, .origin = SLICE_LIT("http://o"), .secret = &g->secret};

	memset(a, 0, sizeof(*a));
	snprintf(a->text, sizeof(a->text), "%s HTTP/1.1\r\nHost: h\r\n%s\r\n", method_and_target, fields ? fields : "");
	http_request_init(&a->http);
	assert_int_equal(
		http_request_parse(a->text, strlen(a->text), &limits, &scanned, &a->http, &err), HTTP_PARSE_DONE);
	cache_key_init(&a->key);
	assert_int_equal(cache_key_build(&a->key, &g->rules, &in), 0);
	a->r = (struct cache_request){.http = &a->http, .rules = &g->rules, .key = &a->key};
}

void ask_fini(struct ask *a)
{
	object_unref(&a->out.object);
	flight_unref(&a->out.flight);
	cache_key_fini(&a->key);
	http_request_fini(&a->http);
}

enum cache_verdict ask_lookup(struct rig *g, struct ask *a)
{
	object_unref(&a->out.object);
	flight_unref(&a->out.flight);
	cache_lookup(g->c, &a->r, g->now, &a->out);
	return a->out.verdict;
}

enum cache_verdict ask_for(struct rig *g, struct ask *a, const char *method_and_target, const char *fields)
{
	ask_init(g, a, method_and_target, fields);
	return ask_lookup(g, a);
}

enum cache_verdict rig_verdict(struct rig *g, const char *method_and_target, const char *fields)
{
	enum cache_verdict v;
	struct ask a;

	v = ask_for(g, &a, method_and_target, fields);
	if (a.out.flight && v != CACHE_JOIN)
		flight_abandon(a.out.flight);
	ask_fini(&a);
	return v;
}

enum flight_fate rig_answer(
	struct rig *g, struct flight *f, int status, const char *fields, int64_t content_length, enum policy_store *why)
{
	struct flight_response response = {
		.status = status, .content_length = content_length, .request_time = g->now, .now = g->now};
	enum policy_store unused;
	enum flight_fate fate;
	struct http_fields list;
	const char *line = fields, *end;

	http_fields_init(&list);
	for (; (end = strstr(line, "\r\n")); line = end + 2) {
		struct slice name, value;

		assert_true(http_field_line_split((struct slice){line, (size_t)(end - line)}, &name, &value));
		assert_int_equal(http_fields_add(&list, name, value), 0);
	}
	response.fields = &list;
	fate = flight_response(f, &response, why ? why : &unused);
	http_fields_fini(&list);
	return fate;
}

void rig_store(struct rig *g, const char *target, const char *request_fields, const char *fields, const char *body)
{
	struct ask a;

	assert_int_equal(ask_for(g, &a, target, request_fields), CACHE_LEAD);
	assert_int_equal(rig_answer(g, a.out.flight, 200, fields, (int64_t)strlen(body), NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, body, strlen(body)), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, g->now);
	ask_fini(&a);
}

void rig_body_is(const struct object *o, const char *body)
{
	uint64_t n, at = 0;

	(void)object_body_state(o, &n);
	assert_int_equal(n, strlen(body));
	while (at < n) {
		struct slice run = object_body_at(o, at);

		assert_true(run.n > 0 && run.n <= n - at);
		assert_memory_equal(run.p, body + at, run.n);
		at += run.n;
	}
}

bool rig_head_has(const struct object *o, const char *line)
{
	struct slice head = object_head(o);

	return memmem(head.p, head.n, line, strlen(line)) != NULL;
}

struct cache_stats rig_stats(struct rig *g)
{
	struct cache_stats s;

	cache_stats(g->c, &s);
	return s;
}

static void on_progress(struct flight_waiter *w)
{
	CONTAINER_OF(w, struct waiter, w)->told++;
}

void waiter_join(struct waiter *w, struct ask *a, unsigned worker)
{
	memset(w, 0, sizeof(*w));
	w->w.on_progress = on_progress;
	flight_wait(a->out.flight, worker, &a->http.fields, &w->w);
}

struct flight_view waiter_look(struct waiter *w)
{
	struct flight_view v;

	flight_look(&w->w, &v);
	return v;
}

void herd_begin_as(struct herd *h, const char *request, const char *first, const char *second, const char *third)
{
	const char *fields[HERD] = {first, second, third};

	for (unsigned i = 0; i < HERD; i++) {
		ask_init(&h->g, &h->a[i], request, fields[i]);
		h->a[i].r.worker = i;
		assert_int_equal(ask_lookup(&h->g, &h->a[i]), i == 0 ? CACHE_LEAD : CACHE_JOIN);
		waiter_join(&h->w[i], &h->a[i], i);
		assert_int_equal(waiter_look(&h->w[i]).phase, FLIGHT_WAITING);
	}
	h->f = h->a[0].out.flight;
}

void herd_begin_with(struct herd *h, const char *first, const char *second, const char *third)
{
	herd_begin_as(h, "GET /a", first, second, third);
}

void herd_begin(struct herd *h)
{
	rig_begin(&h->g);
	herd_begin_with(h, NULL, NULL, NULL);
}

void herd_end(struct herd *h)
{
	for (unsigned i = 0; i < HERD; i++) {
		flight_leave(&h->w[i].w);
		ask_fini(&h->a[i]);
	}
	rig_end(&h->g);
}
