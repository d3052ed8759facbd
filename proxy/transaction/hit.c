/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/hit.h"

#include "proxy/request/origins.h"
#include "proxy/transaction/send.h"
#include "proxy/request/limits.h"
#include "proxy/transaction/service.h"
#include "proxy/transaction/trace.h"
#include "proxy/transaction/worker.h"

static void note_response(struct worker *w, const struct transport *t, const struct response *response)
{
	const struct worker_response a = {
		.transport = t,
		.snapshot = w->snapshot,
		.route = w->attempt_target.route->rules.route_index,
		.kind = RESPONSE_HIT,
		.status = response->status,
		.body_bytes = send_body_n(response),
		.total_us = clock_mono_us() - t->start_us,
		.upstream_us = -1,
	};

	w->stats.requests++;
	w->stats.body_bytes_out += a.body_bytes;
	worker_note_response(w, &a);
}

static bool answer_with(struct worker *w, struct transport *t, const struct cache_result *found, struct now now)
{
	struct object *o = found->object;
	struct response *response = &w->hit_response;
	struct cache_status cache_status = {
		.hit = true,
		.shows_forms = w->attempt_target.route->rules.compress != 0,
		.has_ttl = true,
		.ttl_ms = policy_ttl_ms(object_freshness(o), now),
		.detail = found->from_lower ? "disk" : NULL,
	};

	if (response_from_object(response, &w->attempt_target.sent.http, o, now, &cache_status) ||
		!send_is_whole(response, o))
		return false;
	if (w->draining)
		t->ops->close_after(t);
	if (t->ops->begin(t, &(struct transport_head){response->status, &response->head, false}))
		return false;
	if (send_body(t, response, o))
		t->ops->abort(t);
	else
		t->ops->end(t);
	note_response(w, t, response);
	return true;
}

/* A background fetch is to be led by a transaction; and blocks from the lower tier take their time. */
static bool is_at_hand(const struct cache_result *found)
{
	return found->verdict == CACHE_HIT && !found->flight && object_body_length(found->object) >= 0 &&
	       !object_body_is_in_lower(found->object);
}

struct asked hit_asked(const struct transport *t)
{
	return (struct asked){.http = t->request, .peer = t->peer, .address = t->address, .is_tls = t->is_tls};
}

struct cache_request hit_request(const struct worker *w, const struct target *t)
{
	const struct upstream_loop *loop = origins_loop(t->snapshot->origins, w->index);
	struct cache_request r = target_cache_request(t, w->index);

	r.spare_upstream = loop && upstream_is_spared(loop, t->upstream_index);
	return r;
}

void hit_charge(struct worker *w, const struct target *target, struct transport *t, struct now now)
{
	const struct config_route *route = target->limited_by;
	bool is_early;

	if (!route || t->was_charged)
		return;
	t->was_charged = true;
	t->wait_ms = limits_take(w->service->limits, limits_client(route, &t->request->fields, t->address), route,
		now.mono_ms, &is_early);
	t->is_limited = t->wait_ms > 0;
	w->stats.rates_forgotten += is_early;
}

bool hit_answer(void *arg, struct transport *t, struct now now)
{
	struct worker *w = arg;
	struct target *target = &w->attempt_target;
	struct hit_attempt *a = &w->attempt;
	const struct asked asked = hit_asked(t);
	struct cache_request request;

	hit_drop(a);
	if (w->snapshot->traces && trace_is_wanted(w->snapshot, t->request))
		return false;
	if (target_find(target, w->snapshot, &asked, (struct slice){NULL, 0}))
		return false; /* the transaction says what is wrong */
	hit_charge(w, target, t, now);
	t->was_tried = !t->hit_only;
	*a = (struct hit_attempt){.transport = t, .now = now, .has_looked = target->is_cacheable && !t->is_limited};
	if (!a->has_looked)
		return false;
	request = hit_request(w, target);
	request.hit_only = request.skip_lower = t->hit_only;
	cache_lookup(w->cache, &request, now, &a->found);
	if (!is_at_hand(&a->found) || !answer_with(w, t, &a->found, now)) {
		if (t->hit_only)
			hit_drop(a);
		return false;
	}
	w->stats.underscore_fields += target->sent.underscores_dropped;
	object_unref(&a->found.object);
	a->transport = NULL;
	return true;
}

bool hit_take(struct worker *w, const struct transport *t, struct target *to, struct hit_attempt *out)
{
	*out = (struct hit_attempt){0};
	if (!t->was_tried || w->attempt.transport != t)
		return false;
	*out = w->attempt;
	w->attempt.transport = NULL;
	target_fini(to);
	target_move(&w->attempt_target, to);
	return true;
}

void hit_drop(struct hit_attempt *a)
{
	struct cache_result *found = &a->found;

	if (!a->transport)
		return;
	a->transport = NULL;
	if (!a->has_looked)
		return;
	object_unref(&found->object);
	if (found->flight && found->verdict != CACHE_JOIN && found->verdict != CACHE_LOWER)
		flight_abandon(found->flight);
	flight_unref(&found->flight);
}
