/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/hit.h"

#include "proxy/transaction/send.h"
#include "proxy/transaction/worker.h"

static void note_answer(struct worker *w, const struct transport *t, const struct reply *reply)
{
	const struct worker_answer a = {
		.transport = t,
		.snapshot = w->snapshot,
		.route = w->hit_target.rules->route_index,
		.kind = ANSWER_HIT,
		.status = reply->status,
		.body_bytes = send_body_n(reply),
		.total_us = clock_mono_us() - t->start_us,
		.upstream_us = -1,
	};

	w->stats.requests++;
	w->stats.body_bytes_out += a.body_bytes;
	worker_note_answer(w, &a);
}

static bool answer_with(struct worker *w, struct transport *t, const struct cache_result *found, struct now now)
{
	struct object *o = found->object;
	struct reply *reply = &w->hit_reply;
	struct reply_note note = {
		.hit = true,
		.shows_forms = w->hit_target.rules->compress != 0,
		.has_ttl = true,
		.ttl_ms = policy_ttl_ms(object_freshness(o), now),
		.detail = found->from_disk ? "disk" : NULL,
	};

	if (reply_from_object(reply, &w->hit_target.sent.http, o, now, &note) || !send_is_whole(reply, o))
		return false;
	if (w->draining)
		t->ops->close_after(t);
	if (t->ops->begin(t, &(struct transport_head){reply->status, &reply->head, false}))
		return false;
	if (send_body(t, reply, o))
		t->ops->abort(t);
	else
		t->ops->end(t);
	note_answer(w, t, reply);
	return true;
}

bool hit_answer(void *arg, struct transport *t, struct now now)
{
	struct worker *w = arg;
	struct target *target = &w->hit_target;
	struct cache_request request;
	struct cache_result found;
	const struct asked asked = {.http = t->request, .peer = t->peer, .is_tls = t->is_tls};
	bool is_answered;

	if (target_find(target, w->snapshot, &asked, (struct slice){NULL, 0}) || !target->is_cacheable)
		return false;
	request = target_cache_request(target, w->index);
	request.hit_only = true;
	cache_lookup(w->cache, &request, now, &found);
	if (found.verdict != CACHE_HIT)
		return false;
	is_answered = object_body_length(found.object) >= 0 && answer_with(w, t, &found, now);
	object_unref(&found.object);
	w->stats.underscore_fields += is_answered ? target->sent.underscores_dropped : 0;
	return is_answered;
}
