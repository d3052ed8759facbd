/* SPDX-License-Identifier: MIT */
/* Deciding: which of the cache's verdicts a request gets, and who answers it. */
#include "proxy/transaction/transaction.h"

#include <errno.h>
#include <event2/buffer.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/transaction/transaction_internal.h"
#include "proxy/request/hops.h"
#include "proxy/request/origins.h"
#include "proxy/request/tags.h"

/* Lookups again after an answer that turned out to be for others; then the request goes alone. */
#define RETRIES_MAX 3

/* Reads of the disk tier that a request waits for: one of its own, after it perhaps waited for another variant's. */
#define DISK_WAITS_MAX 2

static void decide(struct transaction *x, bool no_join);
static void on_progress(struct flight_waiter *w);

/* ---- Life ---- */

void transaction_stop_waiting(struct transaction *x)
{
	if (x->is_waiting)
		flight_leave(&x->waiter);
	x->is_waiting = false;
	flight_unref(&x->flight);
}

void transaction_free(struct transaction *x)
{
	transport_on_gone(x->transport, NULL, NULL);
	transport_on_room(x->transport, NULL, NULL);
	transaction_stop_waiting(x);
	fetch_job_detach(&x->job);
	body_reader_free(&x->reader);
	object_unref(&x->object);
	link_remove(&x->link);
	x->worker->transactions_n--;
	target_fini(&x->target);
	reply_fini(&x->reply);
	x->magic = 0;
	mem_free(x);
}

static void on_gone(void *arg)
{
	struct transaction *x = transaction_of(arg);

	x->worker->stats.clients_gone++;
	transaction_note_gone(x);
	transaction_free(x);
}

static struct transaction *transaction_new(struct worker *w, struct transport *t)
{
	struct transaction *x = mem_zalloc(sizeof(*x));

	if (!x)
		return NULL;
	x->magic = TRANSACTION_MAGIC;
	x->worker = w;
	x->transport = t;
	x->client = t->request;
	x->start_us = t->start_us;
	target_init(&x->target);
	reply_init(&x->reply);
	x->waiter.on_progress = on_progress;
	link_append(&w->transactions, &x->link);
	w->transactions_n++;
	w->stats.requests++;
	transport_on_gone(t, on_gone, x);
	return x;
}

void transaction_drop_all(struct worker *w)
{
	while (w->transactions.next != &w->transactions)
		transaction_free(CONTAINER_OF(w->transactions.next, struct transaction, link));
}

/* ---- Answers from an object: a hit, or a flight's answer as it arrives ---- */

static void answer_object(struct transaction *x, struct object *o)
{
	if (x->object != o) {
		object_unref(&x->object);
		x->object = object_ref(o);
	}
	x->cache_status.has_ttl = true;
	x->cache_status.ttl_ms = policy_ttl_ms(object_freshness(o), x->now);
	x->cache_status.shows_forms = x->target.route->rules.compress != 0;
	if (object_body_is_on_disk(o))
		x->cache_status.detail = "disk";
	if (reply_from_object(&x->reply, &x->target.sent.http, o, x->now, &x->cache_status))
		transaction_problem(x, failure_no_memory());
	else if (transaction_is_large(x))
		transaction_begin_large(x);
	else
		transaction_send(x);
}

void transaction_decide_again(struct transaction *x)
{
	transaction_stop_waiting(x);
	fetch_job_detach(&x->job);
	object_unref(&x->object);
	x->cache_status = (struct cache_status){0};
	x->now = clock_now();
	if (++x->retries > RETRIES_MAX)
		transaction_problem(x, failure_of(503, "the stored answer can't be read"));
	else
		decide(x, false);
}

const char *transaction_why_not(struct transaction *x, enum policy_store why)
{
	switch (why) {
	case POLICY_STORE:
	case POLICY_NOT_ROUTE:
	case POLICY_NOT_METHOD:
		return NULL;
	case POLICY_NOT_AUTHORIZATION:
	case POLICY_NOT_CREDENTIAL:
		target_explain_credential(&x->target, x->detail, sizeof(x->detail));
		return x->detail;
	default:
		return policy_store_name(why);
	}
}

static void answer_flight(struct transaction *x, const struct flight_view *view)
{
	/* The background fetch of a stale hit does not come here: all who do were misses. */
	x->cache_status.hit = false;
	if (!x->cache_status.collapsed)
		x->upstream_us = clock_mono_us();
	x->cache_status.forward_status = view->status;
	if (view->phase == FLIGHT_STALE) {
		x->cache_status.forward = CACHE_FWD_STALE;
		x->kind = ANSWER_STALE;
	} else if (view->status == 304) {
		x->kind = ANSWER_REVALIDATED;
	} else {
		x->cache_status.stored = view->verdict == POLICY_STORE;
		x->cache_status.detail = transaction_why_not(x, view->verdict);
	}
	x->cache_status.own_lines = view->own_lines;
	answer_object(x, view->object);
}

/* ---- Looking up ---- */

static struct cache_request request_of(struct transaction *x)
{
	struct cache_request r = hit_request(x->worker, &x->target);

	r.skip_disk = x->disk_waits >= DISK_WAITS_MAX;
	return r;
}

/* ---- Waiting on a flight ---- */

static void waited_in_vain(struct transaction *x, const struct flight_view *view)
{
	enum flight_phase phase = view->phase;
	int status = view->status;

	x->met_failure = x->met_failure || (phase == FLIGHT_RETRY && view->failure);
	transaction_stop_waiting(x);
	fetch_job_detach(&x->job);
	if (phase == FLIGHT_FAILED)
		transaction_problem(x, failure_of_flight(status));
	else if (x->is_reading)
		decide(x, false);
	else
		decide(x, phase == FLIGHT_RELEASED || ++x->retries > RETRIES_MAX);
}

/* The fetch that it waits for is slower than another one of the same, or began later. */
static void look_at_stored(struct transaction *x)
{
	struct cache_request r = request_of(x);
	struct cache_result found;

	r.hit_only = true;
	cache_lookup(x->worker->cache, &r, x->now, &found);
	flight_unref(&found.flight);
	if (found.verdict != CACHE_HIT) {
		object_unref(&found.object);
		return;
	}
	transaction_stop_waiting(x);
	fetch_job_detach(&x->job);
	x->cache_status = (struct cache_status){.hit = true};
	x->kind = ANSWER_HIT;
	x->object = found.object;
	answer_object(x, found.object);
}

/* The whole broke off before the range's first byte: its own Range may still get through, as when a download goes on. Once. */
static void without_whole(struct transaction *x)
{
	transaction_stop_waiting(x);
	fetch_job_detach(&x->job);
	if (x->goes_for_part) {
		transaction_problem(x, failure_broke_off());
		return;
	}
	x->goes_for_part = true;
	decide(x, true);
}

/* A range of what still arrives waits for its first byte, or for the end where only that says where its bytes are. */
static void begin_answer(struct transaction *x, const struct flight_view *view)
{
	uint64_t available;

	if (reply_can_begin(&x->reply, &x->target.sent.http, view->object, x->target.route->rules.compress != 0)) {
		answer_flight(x, view);
	} else if (object_body_state(view->object, &available) != BODY_BROKEN) {
		flight_put_off(&x->waiter);
	} else {
		without_whole(x);
	}
}

static void look(struct transaction *x)
{
	struct flight_view view;

	flight_look(&x->waiter, &view);
	switch (view.phase) {
	case FLIGHT_WAITING:
		if (view.looks_again)
			look_at_stored(x);
		return;
	case FLIGHT_ANSWER:
	case FLIGHT_STALE:
		if (x->has_begun)
			transaction_pump(x);
		else if (!x->reader) /* else its first block is on its way */
			begin_answer(x, &view);
		return;
	default:
		if (x->has_begun)
			transaction_break(x, failure_broke_off());
		else
			waited_in_vain(x, &view);
	}
}

static void on_progress(struct flight_waiter *w)
{
	struct transaction *x = transaction_of(CONTAINER_OF(w, struct transaction, waiter));

	x->now = clock_now();
	look(x);
}

bool transaction_asks_for_part(const struct transaction *x)
{
	return x->client->method == HTTP_GET && http_fields_get(&x->target.sent.http.fields, HF_RANGE);
}

/* Takes over the caller's reference to the flight. */
static void wait_for(struct transaction *x, struct flight *f)
{
	x->flight = f;
	x->waiter.wants_part = transaction_asks_for_part(x);
	x->waiter.met_failure = x->met_failure;
	flight_wait(f, x->worker->index, &x->target.sent.http.fields, &x->waiter);
	x->is_waiting = true;
}

/* ---- Starting a fetch ---- */

static int start_job(struct transaction *x, struct flight *f, bool for_client)
{
	struct fetch_job_request r = {
		.worker = x->worker,
		.target = &x->target,
		.flight = f,
		.client = for_client ? &transaction_private : NULL,
		.client_arg = for_client ? x : NULL,
	};
	struct fetch_job *background;

	if (x->client->framing != HTTP_BODY_NONE && x->client->method != HTTP_HEAD)
		r.body = x->transport->ops->body(x->transport);
	return fetch_job_start(&r, for_client ? &x->job : &background);
}

static void could_not_start(struct transaction *x, int err)
{
	transaction_stop_waiting(x);
	transaction_problem(x, failure_of_start(err));
}

static void pass(struct transaction *x)
{
	int err;

	x->kind = ANSWER_PASS;
	err = start_job(x, NULL, true);
	if (err)
		could_not_start(x, err);
}

static void lead(struct transaction *x, struct flight *f)
{
	int err;

	x->kind = ANSWER_MISS;
	err = start_job(x, flight_ref(f), true);
	if (err) {
		flight_unref(&f);
		could_not_start(x, err);
		return;
	}
	wait_for(x, f);
}

static void refresh_in_background(struct transaction *x, struct flight *f)
{
	x->worker->stats.background_fetches++;
	/* On failure the flight has failed: the next request tries again. */
	if (start_job(x, f, false))
		return;
}

/* ---- Deciding ---- */

static void look_up(struct transaction *x, bool no_join, struct cache_result *out)
{
	struct cache_request r = request_of(x);

	r.no_join = no_join;
	*out = (struct cache_result){.verdict = CACHE_PASS, .forward = CACHE_FWD_BYPASS};
	if (x->target.is_cacheable)
		cache_lookup(x->worker->cache, &r, x->now, out);
	else if (x->client->method != HTTP_GET && x->client->method != HTTP_HEAD && x->target.route->rules.cache)
		out->forward = CACHE_FWD_METHOD;
}

static void act_on(struct transaction *x, struct cache_result found)
{
	x->is_reading = found.verdict == CACHE_DISK;
	x->whole_comes = found.whole_comes;
	x->cache_status.forward = found.forward;
	x->object = found.object;
	switch (found.verdict) {
	case CACHE_HIT:
	case CACHE_STALE:
		x->cache_status.hit = true;
		if (found.from_disk || x->disk_waits > 0)
			x->cache_status.detail = "disk";
		x->kind = found.verdict == CACHE_HIT ? ANSWER_HIT : ANSWER_STALE;
		if (found.flight)
			refresh_in_background(x, found.flight);
		answer_object(x, found.object);
		return;
	case CACHE_JOIN:
		x->cache_status.collapsed = true;
		x->kind = ANSWER_COLLAPSED;
		wait_for(x, found.flight);
		look(x);
		return;
	case CACHE_DISK:
		x->disk_waits += found.leads_read ? DISK_WAITS_MAX : 1;
		wait_for(x, found.flight);
		look(x);
		return;
	case CACHE_LEAD:
		lead(x, found.flight);
		return;
	case CACHE_PASS:
		pass(x);
		return;
	case CACHE_ONLY_CACHED:
		transaction_problem(x, failure_of(504, "nothing is stored and only-if-cached was asked for"));
		return;
	case CACHE_FAILED:
		if (found.object) {
			x->cache_status.hit = true;
			x->cache_status.detail = "failure-memory";
			x->kind = ANSWER_ERROR;
			answer_object(x, found.object);
			return;
		}
		transaction_problem(x, (struct failure){found.status, 1, "the upstream failed a moment ago"});
		return;
	case CACHE_BUSY:
		transaction_problem(x, failure_of(503, "too many requests are waiting"));
		return;
	}
}

static void decide(struct transaction *x, bool no_join)
{
	struct cache_result found;

	look_up(x, no_join, &found);
	act_on(x, found);
}

struct asked transaction_asked(const struct transaction *x)
{
	return (struct asked){.http = x->client, .peer = x->transport->peer, .is_tls = x->transport->is_tls};
}

static struct slice request_body(struct transaction *x)
{
	struct evbuffer *b = x->transport->ops->body(x->transport);
	size_t n = evbuffer_get_length(b);

	if (x->client->framing == HTTP_BODY_NONE || x->client->method == HTTP_HEAD || n == 0)
		return (struct slice){NULL, 0};
	return (struct slice){(const char *)evbuffer_pullup(b, -1), n};
}

/* It would go round until something is full, or wait for itself. */
static void answer_loop(struct transaction *x)
{
	static struct log_limit limit;

	x->worker->stats.loops++;
	if (log_allowed(&limit))
		log_warn("a request came back: the url of upstream %.*s leads to this proxy",
			SLICE_ARG(x->target.snapshot->config->upstreams[x->target.upstream_index].name));
	transaction_problem(
		x, failure_of(508, "the request has been here before: the upstream leads back to this proxy"));
}

/* RFC 9110 7.6.2: at 0 whoever has it answers. */
static void answer_options(struct transaction *x)
{
	struct http_fields none = {0};

	x->kind = ANSWER_PASS;
	if (reply_from_fields(&x->reply, &x->target.sent.http, 200, &none, 0, x->now, &x->cache_status)) {
		transaction_problem(x, failure_no_memory());
		return;
	}
	x->reply.body = REPLY_EMPTY;
	transaction_send(x);
}

/* What is answered whatever the cache has: true. */
static bool answer_refused(struct transaction *x)
{
	if (tags_cannot_be_judged(&x->target.sent.http, &x->target.route->rules))
		transaction_problem(
			x, failure_of(412,
				   "the entity tag was made by the proxy (etag = auto): the origin can't judge it"));
	else if (hops_were_here(&x->client->fields))
		answer_loop(x);
	else if (hops_left(x->client) == 0)
		answer_options(x);
	else if (x->client->method == HTTP_HEAD && http_request_has_content(x->client)) /* RFC 9110 9.3.2 */
		transaction_problem(x, failure_of(400, "a HEAD request with content can't be passed on"));
	else
		return false;
	return true;
}

static void answer_unresolved(struct transaction *x, int err)
{
	if (err == -ENOBUFS)
		transaction_problem(x, failure_of(414, "the target is too long"));
	else if (err == -EMSGSIZE)
		transaction_problem(x, failure_of(431, "the request's fields are too many to forward"));
	else
		transaction_problem(x, failure_no_memory());
}

void transaction_begin(void *arg, struct transport *t)
{
	struct worker *w = arg;
	struct transaction *x = transaction_new(w, t);
	struct hit_attempt first;
	struct asked asked;
	int err;

	if (!x) {
		hit_drop(&w->attempt);
		t->ops->refuse(t);
		return;
	}
	asked = transaction_asked(x);
	if (hit_take(w, t, &x->target, &first)) {
		x->now = first.now;
		err = target_complete(&x->target);
	} else {
		x->now = clock_now();
		err = target_resolve(&x->target, w->snapshot, &asked, request_body(x));
	}
	w->stats.ambiguous_paths += !err && x->target.is_ambiguous;
	w->stats.underscore_fields += err ? 0 : x->target.sent.underscores_dropped;
	if (err) {
		hit_drop(&first);
		answer_unresolved(x, err);
	} else if (answer_refused(x)) {
		hit_drop(&first);
	} else if (first.has_looked) {
		act_on(x, first.found);
	} else {
		decide(x, false);
	}
}
