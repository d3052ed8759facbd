/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/hit.h"

#include "proxy/record/access_log.h"
#include "proxy/transaction/exchange_internal.h"

/* Up to here a body is copied behind its head: one buffer, one iovec, cheaper than a reference and its callback. */
#define COPY_MAX 4096

static void drop_object(const void *p, size_t n, void *arg)
{
	struct object *o = arg;

	(void)p;
	(void)n;
	object_unref(&o);
}

/* Bytes that live as long as the object. */
static int add_bytes(struct gate *g, struct object *o, struct slice run)
{
	struct object *mine;

	if (run.n <= COPY_MAX)
		return gate_say(g, run.p, run.n);
	mine = object_ref(o);
	if (gate_say_by_reference(g, run.p, run.n, drop_object, mine) == 0)
		return 0;
	object_unref(&mine);
	return -1;
}

static int add_run(struct gate *g, struct object *o, uint64_t from, uint64_t n)
{
	while (n) {
		struct slice run = object_body_at(o, from);

		if (run.n > n)
			run.n = n;
		if (add_bytes(g, o, run))
			return -1;
		from += run.n;
		n -= run.n;
	}
	return 0;
}

static int add_body(struct gate *g, const struct reply *r, struct object *o)
{
	if (r->body == REPLY_BYTES)
		return add_bytes(g, o, r->bytes);
	if (r->body == REPLY_OBJECT)
		return add_run(g, o, r->offset, (uint64_t)r->length);
	for (unsigned i = 0; r->body == REPLY_PARTS && i < r->parts_n; i++)
		if (gate_say(g, r->part_heads.p + r->parts[i].head_off, r->parts[i].head_n) ||
			add_run(g, o, r->parts[i].offset, r->parts[i].length))
			return -1;
	return 0;
}

static void note_answer(
	struct worker *w, struct gate *g, const struct http_request *r, const struct reply *reply, struct now now)
{
	uint16_t port;
	struct access_record record;
	uint64_t body_bytes = reply->body == REPLY_EMPTY ? 0 : (uint64_t)reply->content_length;
	struct worker_answer a = {
		.snapshot = w->snapshot,
		.route = w->hit_target.rules->route_index,
		.kind = ANSWER_HIT,
		.total_us = clock_mono_us() - gate_request_start_us(g),
	};

	w->stats.requests++;
	worker_note_answer(w, &a);
	w->stats.body_bytes_out += body_bytes;
	if (!w->access_log)
		return;
	record = (struct access_record){
		.http = r,
		.peer = gate_peer(g, &port),
		.status = reply->status,
		.body_bytes = body_bytes,
		.kind = ANSWER_HIT,
		.route = w->hit_target.rules->route,
		.total_us = a.total_us,
		.upstream_us = -1,
		.wall_ms = now.wall_ms,
		.id = worker_request_id(w),
	};
	access_log_add(w->access_log, &record);
}

static bool answer_with(struct worker *w, struct gate *g, const struct http_request *r,
	const struct cache_result *found, bool *close, struct now now)
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

	if (reply_from_object(reply, &w->hit_target.sent.http, o, now, &note))
		return false;
	*close = !r->keep_alive || w->draining;
	reply_end_head(&reply->head, r, *close);
	/* What was said can't be taken back: a body that can't follow ends the connection, short of its length. */
	if (reply->head.err || gate_say(g, reply->head.p, reply->head.n))
		return false;
	if (add_body(g, reply, o))
		*close = true;
	note_answer(w, g, r, reply, now);
	return true;
}

bool hit_answer(void *arg, struct gate *g, const struct http_request *r, bool *close)
{
	struct worker *w = arg;
	struct target *t = &w->hit_target;
	struct now now = gate_now(g);
	struct cache_request request;
	struct cache_result found;
	uint16_t port;
	const struct asked asked = {.http = r, .peer = gate_peer(g, &port), .is_tls = gate_is_tls(g)};
	bool is_answered;

	if (target_find(t, w->snapshot, &asked, (struct slice){NULL, 0}) || !t->is_cacheable)
		return false;
	request = target_cache_request(t, w->index);
	request.hit_only = true;
	cache_lookup(w->cache, &request, now, &found);
	if (found.verdict != CACHE_HIT)
		return false;
	is_answered = object_body_length(found.object) >= 0 && answer_with(w, g, r, &found, close, now);
	object_unref(&found.object);
	return is_answered;
}
