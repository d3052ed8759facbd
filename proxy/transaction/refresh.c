/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/refresh.h"

#include <errno.h>

#include "base/mem.h"
#include "proxy/transaction/fetch_job.h"
#include "proxy/request/admin_url.h"
#include "proxy/request/origins.h"
#include "proxy/transaction/service.h"
#include "proxy/transaction/worker.h"

#define TRIES_MAX 5

struct refresh {
	struct message to_worker, to_main;
	struct service *service;
	struct worker *worker;
	struct snapshot *snapshot;
	void (*done)(void *arg, const struct refresh_result *r);
	void *arg;
	struct refresh_result result;
	/* the worker's, while it runs */
	struct admin_url admin_url;
	struct target target;
	struct flight *flight;
	struct flight_waiter waiter;
	bool is_waiting;
	unsigned tries;
	bool wants_https; /* after http, whose responses are others */
	bool only_missing;
	bool has_read_lower;
	bool http_stored; /* of wants_https: by the other scheme it was */
	char *url;
};

static void refresh_free(struct refresh *r)
{
	admin_url_fini(&r->admin_url);
	target_fini(&r->target);
	snapshot_unref(&r->snapshot);
	mem_free(r->url);
	mem_free(r);
}

/* On main. */
static void give_result(void *arg)
{
	struct refresh *r = arg;

	r->done(r->arg, &r->result);
	refresh_free(r);
}

/* What it replaced is to be gone in the other process too, while there are two. */
static void on_result(struct message *m)
{
	struct refresh *r = CONTAINER_OF(m, struct refresh, to_main);

	r->service->when_heard(r->service, give_result, r);
}

static void begin(struct refresh *r);

/* On the worker, from here to the end of on_asked. */
static void finish(struct refresh *r, int status)
{
	if (r->is_waiting)
		flight_leave(&r->waiter);
	r->is_waiting = false;
	flight_unref(&r->flight);
	r->result.status = status;
	r->result.config = r->snapshot->config;
	r->result.route = r->target.route;
	if (status < 500 && r->wants_https) {
		r->wants_https = false;
		r->has_read_lower = false;
		r->tries = 0;
		r->http_stored = r->result.stored;
		r->admin_url.is_tls = true;
		r->result = (struct refresh_result){.calls = r->result.calls};
		begin(r);
		return;
	}
	/* What of it was fetched was not there. */
	if (r->result.was_there && r->http_stored) {
		r->result.was_there = false;
		r->result.stored = true;
	}
	post_message(&r->service->mailbox, &r->to_main);
}

/* Above all an error is the upstream's failure, whether or not a stale response could stand in for it. */
static void finish_with_nothing_stored(struct refresh *r, const struct flight_view *view)
{
	r->result.upstream_status = view->status;
	if (view->status >= 500) {
		finish(r, 502);
		return;
	}
	r->result.why = view->verdict == POLICY_STORE ? POLICY_NOT_NO_ROOM : view->verdict;
	finish(r, 0);
}

static void finish_with(struct refresh *r, const struct flight_view *view)
{
	const struct object *o = view->object;
	const struct freshness *f = object_freshness(o);
	uint64_t available;
	enum body_state state = object_body_state(o, &available);

	/* It will not be stored, so its end is not waited for: it may never come. */
	if (state == BODY_GROWING && view->verdict != POLICY_STORE) {
		finish_with_nothing_stored(r, view);
		return;
	}
	if (state == BODY_GROWING || (state == BODY_COMPLETE && view->storing == FLIGHT_UNSETTLED)) {
		flight_advance(
			&r->waiter, available); /* it wants none of the bytes, and others shall not wait for it */
		return;
	}
	if (state == BODY_COMPLETE && view->storing == FLIGHT_NOT_STORED) {
		finish_with_nothing_stored(r, view);
		return;
	}
	r->result.stored = state == BODY_COMPLETE;
	r->result.lifetime_ms = f->lifetime_ms;
	r->result.upstream_status = object_status(o);
	r->result.age_ms = policy_age_ms(f, clock_now());
	r->result.source = (enum policy_source)f->source;
	finish(r, state == BODY_COMPLETE ? object_status(o) : 502);
}

static void ask(struct refresh *r);

/* Its flight was purged, or its leader fell silent: what was asked for is a response from now. */
static void ask_again(struct refresh *r)
{
	if (++r->tries == TRIES_MAX) {
		finish(r, 503);
		return;
	}
	flight_leave(&r->waiter);
	r->is_waiting = false;
	flight_unref(&r->flight);
	ask(r);
}

static void on_progress(struct flight_waiter *w)
{
	struct refresh *r = CONTAINER_OF(w, struct refresh, waiter);
	struct flight_view view;

	flight_look(w, &view);
	switch (view.phase) {
	case FLIGHT_WAITING:
		return;
	case FLIGHT_RESPONSE:
		finish_with(r, &view);
		return;
	case FLIGHT_RELEASED:
		finish_with_nothing_stored(r, &view);
		return;
	case FLIGHT_STALE:
		r->result.cause = view.cause;
		r->result.upstream_status = view.status;
		finish(r, view.status ? 502 : view.failure);
		return;
	case FLIGHT_FAILED:
		r->result.cause = view.cause;
		finish(r, view.status);
		return;
	case FLIGHT_RETRY:
		ask_again(r);
		return;
	}
}

static void wait_for(struct refresh *r, struct flight *f)
{
	r->flight = f;
	flight_wait(f, r->worker->index, NULL, &r->waiter);
	r->is_waiting = true;
	on_progress(&r->waiter);
}

static void lead(struct refresh *r, struct flight *f)
{
	struct fetch_job_request request = {.worker = r->worker, .target = &r->target, .flight = flight_ref(f)};
	struct fetch_job *job;

	if (fetch_job_start(&request, &job)) {
		flight_unref(&f);
		finish(r, 503);
		return;
	}
	r->result.calls++;
	wait_for(r, f);
}

/* Fresh, in whichever tier; what the lower one has comes into memory by that. CACHE_LOWER: that is waited for. */
static enum cache_verdict look_for_stored(struct refresh *r)
{
	struct cache_request request = target_cache_request(&r->target, r->worker->index);
	struct cache_result found;

	request.only_stored = true;
	request.skip_lower = r->has_read_lower;
	cache_lookup(r->worker->cache, &request, clock_now(), &found);
	object_unref(&found.object);
	if (found.verdict != CACHE_LOWER) {
		flight_unref(&found.flight);
		return found.verdict;
	}
	r->has_read_lower = found.leads_read;
	wait_for(r, found.flight);
	return CACHE_LOWER;
}

static bool is_spared(const struct refresh *r)
{
	const struct upstream_loop *loop = origins_loop(r->snapshot->origins, r->worker->index);

	return loop && (upstream_is_spared(loop, r->target.upstream_index) ||
			       upstream_retry_after_s(loop, r->target.upstream_index) > 0);
}

/* True: there is nothing to fetch, or not now; it waits, or has been given back to main, which may have freed it. */
static bool finish_unasked(struct refresh *r)
{
	enum cache_verdict found = look_for_stored(r);
	bool was_there = found == CACHE_HIT, spares;

	if (found == CACHE_LOWER)
		return true;
	spares = !was_there && is_spared(r);
	r->result.was_there = was_there;
	r->result.is_spared = spares;
	if (was_there || spares)
		finish(r, was_there ? 200 : 503);
	return was_there || spares;
}

static void ask(struct refresh *r)
{
	struct cache_request request = target_cache_request(&r->target, r->worker->index);
	struct cache_result found = {.verdict = CACHE_PASS};

	/* Among the last messages: nobody would fetch any more. */
	if (r->service->is_ended) {
		finish(r, 503);
		return;
	}
	if (r->only_missing && r->target.is_cacheable && finish_unasked(r))
		return;
	if (r->target.is_cacheable)
		(r->only_missing ? cache_fill : cache_refresh)(r->worker->cache, &request, clock_now(), &found);
	object_unref(&found.object);
	switch (found.verdict) {
	case CACHE_LEAD:
		lead(r, found.flight);
		return;
	case CACHE_JOIN:
		wait_for(r, found.flight);
		return;
	case CACHE_PASS:
		r->result.why = target_why_not(&r->target);
		if (r->result.why ==
			POLICY_STORE) /* what may be cached is passed only where there is no memory to lead it */
			r->result.why = POLICY_NOT_NO_ROOM;
		finish(r, 0);
		return;
	default:
		flight_unref(&found.flight);
		finish(r, 503);
	}
}

static void begin(struct refresh *r)
{
	const struct asked asked = admin_url_asked(&r->admin_url);

	if (target_resolve(&r->target, r->snapshot, &asked, (struct slice){NULL, 0}))
		finish(r, 503);
	else
		ask(r);
}

static void on_asked(struct message *m)
{
	struct refresh *r = CONTAINER_OF(m, struct refresh, to_worker);
	const char *why;

	if (admin_url_find(&r->admin_url, r->snapshot, slice_of(r->url), false, &why) ||
		admin_url_check_served(&r->admin_url, &why)) {
		finish(r, 503);
		return;
	}
	r->wants_https = !r->admin_url.is_tls && admin_url_has_listener(r->snapshot, true);
	begin(r);
}

static int start(struct service *s, struct slice url, bool only_missing,
	void (*done)(void *arg, const struct refresh_result *r), void *arg)
{
	struct refresh *r = mem_zalloc(sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->url = mem_strndup(url.p, url.n);
	if (!r->url) {
		mem_free(r);
		return -ENOMEM;
	}
	r->to_worker.on_message = on_asked;
	r->to_main.on_message = on_result;
	r->waiter.on_progress = on_progress;
	r->service = s;
	r->worker = &s->workers[hash64_of(url.p, url.n) % s->workers_n];
	r->snapshot = snapshot_ref(s->snapshot);
	r->only_missing = only_missing;
	r->done = done;
	r->arg = arg;
	admin_url_init(&r->admin_url);
	target_init(&r->target);
	post_message(&r->worker->mailbox, &r->to_worker);
	return 0;
}

int refresh_start(
	struct service *s, struct slice url, void (*done)(void *arg, const struct refresh_result *r), void *arg)
{
	return start(s, url, false, done, arg);
}

int refresh_start_missing(
	struct service *s, struct slice url, void (*done)(void *arg, const struct refresh_result *r), void *arg)
{
	return start(s, url, true, done, arg);
}
