/* SPDX-License-Identifier: MIT */
/* Deciding: which of the cache's verdicts a request gets, who answers it, and what follows from how that goes. */
#include <errno.h>

#include "proxy/transaction/hit.h"
#include "proxy/transaction/transaction.h"
#include "proxy/transaction/transaction_internal.h"

/* Lookups again after a response that turned out to be for others; then the request goes alone. */
#define RETRIES_MAX 3

/* Reads of the lower tier that a request waits for: one of its own, after it perhaps waited for another variant's. */
#define LOWER_WAITS_MAX 2

/* A range waits so long for its first byte while the whole comes in. A player or a download that resumes takes longer silence for
 * a fault and asks anew; in less, an origin that is worth waiting for has sent tens of megabytes. That nothing at all comes is not
 * counted: the origin would answer the range no sooner. */
#define RANGE_PATIENCE_MS 5000

/* Of different wholes, on a worker. */
#define RANGES_ALONE_MAX 16

/* ---- Responses from an object: a hit, or a flight's response as it arrives ---- */

/* Until a response from the lower tier has begun, all can still be fetched anew. */
static void decide_again(struct transaction *x)
{
	transaction_stop_waiting(x);
	fetch_job_detach(&x->job);
	object_unref(&x->object);
	x->cache_status = (struct cache_status){0};
	x->now = clock_now();
	if (++x->retries > RETRIES_MAX)
		transaction_problem(
			x, failure_caused(failure_of(503, "the stored answer can't be read"), FETCH_CAUSE_INTERNAL));
	else
		transaction_decide(x, false);
}

/* Once its first block is verified; `err`: of what has been tried for it. */
static void begin_from_lower(struct transaction *x, int err)
{
	if (!err)
		err = transaction_first_block(x);
	if (err == -EINPROGRESS) /* on_block will hear of it */
		return;
	if (!err) {
		transaction_send(x);
		return;
	}
	body_reader_free(&x->reader);
	if (err == -ENOMEM || err == -EBUSY)
		transaction_problem(x, failure_of(503, "too many requests are waiting for the disk"));
	else
		decide_again(x);
}

static void on_block(void *arg)
{
	struct transaction *x = transaction_of(arg);

	if (x->has_begun)
		transaction_pump(x);
	else
		begin_from_lower(x, 0);
}

static void answer_object(struct transaction *x, struct object *o)
{
	if (x->object != o) {
		object_unref(&x->object);
		x->object = object_ref(o);
	}
	x->cache_status.has_ttl = true;
	x->cache_status.ttl_ms = policy_ttl_ms(object_freshness(o), x->now);
	x->cache_status.shows_forms = x->target.route->rules.compress != 0;
	if (object_body_is_in_lower(o))
		x->cache_status.detail = "disk";
	if (!x->cache_status.detail && !x->cache_status.hit)
		x->cache_status.detail = policy_never_fresh(object_freshness(o));
	if (response_from_object(&x->response, &x->target.sent.http, o, x->now, &x->cache_status))
		transaction_problem(x, failure_no_memory());
	else if (transaction_needs_lower(x))
		begin_from_lower(
			x, body_reader_new(x->worker->cache, x->object, x->worker->index, on_block, x, &x->reader));
	else
		transaction_send(x);
}

static void answer_flight(struct transaction *x, const struct flight_view *view)
{
	trace_flight(x, view);
	/* The background fetch of a stale hit does not come here: all who do were misses. */
	x->cache_status.hit = false;
	if (!x->cache_status.collapsed)
		x->upstream_us = clock_mono_us();
	x->cache_status.forward_status = view->status;
	if (view->phase == FLIGHT_STALE) {
		if (x->cache_status.forward != CACHE_FWD_REQUEST)
			x->cache_status.forward = CACHE_FWD_STALE;
		if (!view->status)
			x->cache_status.detail = policy_reason(POLICY_NOT_FAILURE)->token;
		x->kind = RESPONSE_STALE;
	} else if (view->status == 304) {
		x->kind = RESPONSE_REVALIDATED;
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

	r.skip_lower = x->lower_waits >= LOWER_WAITS_MAX;
	return r;
}

/* ---- Waiting on a flight ---- */

static void waited_in_vain(struct transaction *x, const struct flight_view *view)
{
	enum flight_phase phase = view->phase;
	struct failure failure = failure_of_flight(view->status, view->cause);

	trace_flight(x, view);
	if (phase == FLIGHT_RETRY && view->failure) {
		x->met_failure = true;
		x->met_form = view->form;
	}
	transaction_stop_waiting(x);
	fetch_job_detach(&x->job);
	if (phase == FLIGHT_FAILED)
		transaction_problem(x, failure);
	else if (x->is_reading)
		transaction_decide(x, false);
	else
		transaction_decide(x, phase == FLIGHT_RELEASED || ++x->retries > RETRIES_MAX);
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
	x->kind = RESPONSE_HIT;
	x->object = found.object;
	answer_object(x, found.object);
}

/* The whole broke off before the range's first byte: its own Range may still get through, as when a download goes on. Once. */
static void without_whole(struct transaction *x)
{
	if (x->is_overdue) {
		transaction_go_on_alone(x);
		return;
	}
	transaction_stop_waiting(x);
	fetch_job_detach(&x->job);
	if (x->goes_for_part) {
		transaction_problem(
			x, failure_caused(failure_of(502, "the upstream broke off"), FETCH_CAUSE_INCOMPLETE));
		return;
	}
	x->goes_for_part = true;
	transaction_decide(x, true);
}

static void wait_for_range(struct transaction *x)
{
	if (!link_is_empty(&x->range) || x->goes_for_part || !transaction_asks_for_part(x))
		return;
	x->range_since_ms = x->now.mono_ms;
	link_append(&x->worker->ranges, &x->range);
}

/* A range of what still arrives waits for its first byte, or for the end where only that says where its bytes are. */
static void begin_response(struct transaction *x, const struct flight_view *view)
{
	uint64_t available;

	if (response_can_begin(
		    &x->response, &x->target.sent.http, view->object, x->target.route->rules.compress != 0)) {
		link_remove(&x->range);
		if (x->is_overdue)
			fetch_job_detach(&x->job);
		x->is_overdue = false;
		answer_flight(x, view);
	} else if (object_body_state(view->object, &available) != BODY_BROKEN) {
		flight_put_off(&x->waiter);
		wait_for_range(x);
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
		else if (view.has_head && !x->is_reading)
			wait_for_range(x);
		return;
	case FLIGHT_RESPONSE:
	case FLIGHT_STALE:
		if (x->has_begun)
			transaction_pump(x);
		else if (!x->reader) /* else its first block is on its way */
			begin_response(x, &view);
		return;
	default:
		if (x->has_begun)
			transaction_abort(x, view.cause);
		else if (x->is_overdue)
			transaction_go_on_alone(x);
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

/* Takes over the caller's reference to the flight. */
static void wait_for(struct transaction *x, struct flight *f)
{
	x->flight = f;
	x->waiter.on_progress = on_progress;
	x->waiter.wants_part = transaction_asks_for_part(x);
	x->waiter.met_failure = x->met_failure;
	x->waiter.met_form = x->met_form;
	flight_wait(f, x->worker->index, &x->target.sent.http.fields, &x->waiter);
	x->is_waiting = true;
}

/* ---- Starting a fetch ---- */

static int start_job(struct transaction *x, struct flight *f, bool for_client)
{
	struct fetch_job_request r = {
		.worker = x->worker,
		.target = &x->target,
		.id = transaction_id(x),
		.is_traced = x->is_traced,
		.flight = f,
		.client = for_client ? &transaction_private : NULL,
		.client_arg = for_client ? x : NULL,
	};
	struct fetch_job *background;

	if (x->client->framing != HTTP_BODY_NONE && x->client->method != HTTP_HEAD)
		r.body = x->transport->ops->body(x->transport);
	return fetch_job_start(&r, for_client ? &x->job : &background);
}

static void pass(struct transaction *x)
{
	int err;

	x->kind = RESPONSE_PASS;
	err = start_job(x, NULL, true);
	if (err)
		transaction_problem(x, failure_of_start(err));
}

static void lead(struct transaction *x, struct flight *f)
{
	int err;

	x->kind = RESPONSE_MISS;
	err = start_job(x, flight_ref(f), true);
	if (err) {
		flight_unref(&f);
		transaction_problem(x, failure_of_start(err));
		return;
	}
	wait_for(x, f);
}

/* One at a time for each fetch of a whole: were it all that wait, a slow origin would get the herd that it was spared, and one that
 * knows no ranges would send each the whole. It stays in the list while it waits for both, also where its own fetch was in vain. */
static bool may_go_alone(const struct transaction *x)
{
	const struct link *alone = &x->worker->ranges_alone;
	unsigned n = 0;

	for (const struct link *l = alone->next; l != alone; l = l->next, n++)
		if (CONTAINER_OF(l, struct transaction, range)->flight == x->flight)
			return false;
	return n < RANGES_ALONE_MAX;
}

/* The fetch of the whole goes on, and what comes first answers. Where the origin has enough to do already, the range waits on. */
static void go_alone(struct transaction *x)
{
	link_remove(&x->range);
	fetch_job_detach(&x->job);
	if (request_of(x).spare_upstream || start_job(x, NULL, true)) {
		x->range_since_ms = x->now.mono_ms;
		link_append(&x->worker->ranges, &x->range);
		return;
	}
	x->worker->stats.ranges_overdue++;
	x->goes_for_part = true;
	x->is_overdue = true;
	link_append(&x->worker->ranges_alone, &x->range);
}

void transaction_send_overdue(struct worker *w, struct now now)
{
	struct link *l = w->ranges.next, *next;

	for (; l != &w->ranges; l = next) {
		struct transaction *x = CONTAINER_OF(l, struct transaction, range);

		next = l->next;
		if (now.mono_ms - x->range_since_ms < RANGE_PATIENCE_MS)
			return;
		x->now = now;
		if (may_go_alone(x))
			go_alone(x);
	}
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
	*out = (struct cache_result){
		.verdict = CACHE_PASS, .forward = CACHE_FWD_BYPASS, .why = target_why_not(&x->target)};
	if (x->target.is_cacheable)
		cache_lookup(x->worker->cache, &r, x->now, out);
	else if (out->why == POLICY_NOT_METHOD)
		out->forward = CACHE_FWD_METHOD;
}

/* Of that failure the cause is told, as this request was not sent; it comes back in a second. */
static struct failure remembered(const struct cache_result *found)
{
	struct failure f = failure_of(found->status, "the upstream failed a moment ago");

	f.retry_after_s = 1;
	return failure_caused(f, found->cause ? found->cause : FETCH_CAUSE_UNAVAILABLE);
}

void transaction_act(struct transaction *x, struct cache_result found)
{
	trace_verdict(x, &found);
	x->is_reading = found.verdict == CACHE_LOWER;
	x->whole_comes = found.whole_comes;
	x->cache_status.forward = found.forward;
	x->why = found.why;
	x->object = found.object;
	switch (found.verdict) {
	case CACHE_HIT:
	case CACHE_STALE:
		x->cache_status.hit = true;
		if (found.from_lower || x->lower_waits > 0)
			x->cache_status.detail = "disk";
		x->kind = found.verdict == CACHE_HIT ? RESPONSE_HIT : RESPONSE_STALE;
		if (found.flight)
			refresh_in_background(x, found.flight);
		answer_object(x, found.object);
		return;
	case CACHE_JOIN:
		x->cache_status.collapsed = true;
		x->kind = RESPONSE_COLLAPSED;
		wait_for(x, found.flight);
		look(x);
		return;
	case CACHE_LOWER:
		x->lower_waits += found.leads_read ? LOWER_WAITS_MAX : 1;
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
		x->why = POLICY_NOT_ONLY_CACHED;
		transaction_problem(x, failure_of(504, "nothing is stored and only-if-cached was asked for"));
		return;
	case CACHE_FAILED:
		if (found.object) {
			x->cache_status.hit = true;
			x->cache_status.detail = "failure-memory";
			x->kind = RESPONSE_ERROR;
			answer_object(x, found.object);
			return;
		}
		transaction_problem(x, remembered(&found));
		return;
	case CACHE_BUSY:
		x->why = POLICY_NOT_BUSY;
		transaction_problem(x, failure_of(503, "too many requests are waiting"));
		return;
	}
}

void transaction_decide(struct transaction *x, bool no_join)
{
	struct cache_result found;

	look_up(x, no_join, &found);
	transaction_act(x, found);
}
