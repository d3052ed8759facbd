/* SPDX-License-Identifier: MIT */
#include "tests/unit/proxy/request/request_rig.h"

#include "cache/policy/key_body.h"
#include "http/syntax.h"

enum { ERRORS_MAX = 65536 };

struct snapshot *snapshot_of(const char *config)
{
	static const struct key_secret secret = {"of the tests"};
	struct snapshot *s = NULL;
	struct config *c = NULL;
	struct buf errors;

	buf_init(&errors, ERRORS_MAX);
	if (config_parse(slice_of(config), "test", &c, &errors))
		fail_msg("%.*s\nof\n%s", SLICE_ARG(buf_slice(&errors)), config);
	buf_fini(&errors);
	assert_int_equal(snapshot_new(c, NULL, &secret, &s), 0);
	return s;
}

void request_parse(struct request *r, const char *text)
{
	struct http_head_limits limits = {.max_head = sizeof(r->text), .max_fields = 200};
	const char *rest = strstr(text, "\r\n");
	struct http_error err;
	size_t scanned = 0;
	int n = rest ? (int)(rest - text) : (int)strlen(text);

	snprintf(r->text, sizeof(r->text), "%.*s HTTP/1.1\r\n%s%s\r\n", n, text,
		strstr(text, "\r\nHost: ") ? "" : "Host: h\r\n", rest ? rest + 2 : "");
	http_request_init(&r->http);
	target_init(&r->target);
	if (http_request_parse(r->text, strlen(r->text), &limits, &scanned, &r->http, &err) != HTTP_PARSE_DONE)
		fail_msg("%s: %s", err.reason, r->text);
}

void request_begin(struct request *r, struct snapshot *s, const char *text)
{
	struct asked asked = {.http = &r->http, .peer = "192.0.2.7"};

	request_parse(r, text);
	assert_int_equal(target_resolve(&r->target, s, &asked, (struct slice){NULL, 0}), 0);
}

void request_end(struct request *r)
{
	target_fini(&r->target);
	http_request_fini(&r->http);
}

/* ---- Responses ---- */

void fields_parse(struct http_fields *out, const char *text)
{
	const char *end;

	http_fields_init(out);
	for (; (end = strstr(text, "\r\n")); text = end + 2) {
		struct slice name, value;

		assert_true(http_field_line_split((struct slice){text, (size_t)(end - text)}, &name, &value));
		assert_int_equal(http_fields_add(out, name, value), 0);
	}
}

static void on_progress(struct flight_waiter *w)
{
	(void)w;
}

static void look(struct stored *o)
{
	struct flight_view view;

	flight_look(&o->waiter, &view);
	assert_int_equal(view.phase, FLIGHT_RESPONSE);
	object_unref(&o->object);
	o->object = object_ref(view.object);
}

static void answer(struct stored *o, const char *text, int64_t length)
{
	struct http_fields fields;
	struct flight_response a = {.status = 200,
		.fields = &fields,
		.content_length = length,
		.request_time = o->now,
		.now = o->now,
		.stretch = 1};
	enum policy_store why;

	fields_parse(&fields, text);
	assert_int_equal(flight_response(o->flight, &a, &why), FLIGHT_STORES);
	http_fields_fini(&fields);
	look(o);
}

void stored_begin(struct stored *o, struct snapshot *s, const char *fields, const char *body)
{
	struct cache_options options = {
		.memory_bytes = 1 << 20,
		.max_object_bytes = 1 << 16,
		.shards = 1,
		.coalesce = true,
		.max_waiters = 10,
		.max_flights = 10,
		.max_markers = 10,
		.max_variants = 4,
		.max_invalidation_rules = 10,
		.via = SLICE_LIT("1.1 memoproxy"),
	};
	struct cache_request r;
	struct cache_result found;

	memset(o, 0, sizeof(*o));
	o->now = clock_now();
	assert_int_equal(mailbox_init(&o->mailbox), 0);
	o->mailboxes[0] = &o->mailbox;
	options.mailboxes = o->mailboxes;
	options.workers = 1;
	assert_int_equal(cache_new(&options, &o->cache), 0);
	request_begin(&o->request, s, "GET /stored");
	r = target_cache_request(&o->request.target, 0);
	cache_lookup(o->cache, &r, o->now, &found);
	assert_int_equal(found.verdict, CACHE_LEAD);
	o->flight = found.flight;
	o->waiter.on_progress = on_progress;
	flight_wait(o->flight, 0, &o->request.target.sent.http.fields, &o->waiter);
	answer(o, fields, body ? (int64_t)strlen(body) : -1);
	if (!body)
		return;
	stored_add(o, body);
	stored_complete(o);
}

void stored_add(struct stored *o, const char *body)
{
	if (*body)
		assert_int_equal(flight_body(o->flight, body, strlen(body)), FLIGHT_BODY_OK);
}

void stored_complete(struct stored *o)
{
	flight_end(o->flight, true, o->now);
	flight_leave(&o->waiter);
	flight_unref(&o->flight);
	mailbox_deliver(&o->mailbox);
}

void stored_end(struct stored *o)
{
	if (o->flight)
		stored_complete(o);
	object_unref(&o->object);
	request_end(&o->request);
	cache_free(&o->cache);
	mailbox_fini(&o->mailbox);
}
