/* SPDX-License-Identifier: MIT */
/* What a flight's end says of the requests that come next. */
#include "cache/flight_internal.h"

#include "cache/policy/form.h"
#include "cache/landing.h"
#include "cache/memory/pass.h"

#define PROBE_EVERY_MS 1000

/* What was sent before a purge says nothing to those who ask after it. */
static bool was_purged_locked(struct flight *f)
{
	struct purgeable set = {.url = entry_url(f->entry), .user = entry_user(f->entry)};

	return invalidation_check(f->cache->invalidation, &set, f->epoch, &f->checked) != NOT_PURGED;
}

void flight_note_variant(struct flight *f, struct slice names)
{
	f->speaks_for = pass_variants_new(f->entry->shard, names, &f->request);
}

static void mark_locked(struct flight *f, struct pass_marker *m, int64_t now_ms, int64_t pass_ms, struct garbage *g)
{
	if (m->until_ms <= now_ms || marker_is_purged_locked(f->entry, &m->since))
		pass_clear_locked(m, g);
	pass_add_locked(m, &f->speaks_for, g);
	m->why = f->verdict;
	marker_set_since(&m->since, f->epoch);
	if (m->until_ms < now_ms + pass_ms)
		m->until_ms = now_ms + pass_ms;
	m->probe_at_ms = now_ms + PROBE_EVERY_MS;
	marker_set_locked(f->entry, g);
}

void flight_mark_pass_locked(struct flight *f, int64_t now_ms, int64_t pass_ms, struct garbage *g)
{
	if (f->may_mark && !was_purged_locked(f))
		mark_locked(f, &f->entry->markers->pass, now_ms, pass_ms, g);
}

void flight_mark_heads_locked(struct flight *f, const struct ending *x, struct garbage *g)
{
	struct pass_marker *m = &f->entry->markers->heads;

	if (x->phase == FLIGHT_RESPONSE)
		pass_unmark_locked(m, &f->request, g);
	if (x->phase == FLIGHT_RESPONSE && !x->marks_failure)
		marker_clear_failure_locked(f->entry->markers, FAILED_HEADS, g);
	if (x->pass_ms > 0)
		mark_locked(f, m, x->now.mono_ms, x->pass_ms, g);
}

void flight_mark_pass(struct flight *f)
{
	struct shard *s = f->entry->shard;
	struct garbage g = {0};
	struct slice names = object_vary_names(f->object);

	if (!f->speaks_for)
		flight_note_variant(f, names.n > 0 ? names : buf_slice(&f->names));
	pthread_mutex_lock(&s->mu);
	if (!landing_is_late_locked(f, NULL))
		flight_mark_pass_locked(f, atomic_load(&s->memory->now_ms), f->cache->o.pass_memory_ms, &g);
	pthread_mutex_unlock(&s->mu);
	garbage_free(&g);
}

/* Each request for what is stale would begin another, also where the response is one client's (no-store) or 429. None of them is
 * told of it, so it does not matter whose request it was. */
void flight_mark_rest_locked(struct flight *f, int64_t now_ms, struct garbage *g)
{
	struct markers *n = f->entry->markers;

	if (f->cache->o.failure_memory_ms <= 0 || was_purged_locked(f))
		return;
	n->rest_until_ms = now_ms + f->cache->o.failure_memory_ms;
	marker_set_since(&n->rest_since, f->epoch);
	marker_set_locked(f->entry, g);
}

static void unmark_locked(const struct flight *f, struct pass_marker *m, const struct object *stored, struct garbage *g)
{
	if (object_vary_names(stored).n == 0) /* it was for all */
		pass_clear_locked(m, g);
	else if (f->kind != FLIGHT_READ ||
		 !m->variants) /* of which the request may be for another variant than what is read */
		pass_unmark_locked(m, &f->request, g);
}

/* That a part can be stored says nothing of the whole. */
void flight_clear_marks_locked(struct flight *f, const struct object *stored, struct garbage *g)
{
	struct markers *n = f->entry->markers;

	if (!(stored->flags & OBJECT_IS_PARTIAL)) {
		unmark_locked(f, &n->pass, stored, g);
		unmark_locked(f, &n->heads, stored, g);
	}
	marker_clear_failures_locked(n, g);
}

/* Had there been an error a moment before the request was sent, or has there been one since? That counts, and not when it
 * ends: where an origin hangs, each failure comes a whole time-out after the one before it. */
static bool follows_trouble(const struct flight *f, const struct failure_marker *m)
{
	return m->trouble_until_ms > f->started.mono_ms;
}

static bool follows_failure(const struct flight *f, const struct failure_marker *m)
{
	return m->until_ms > f->started.mono_ms;
}

/* Who failed in the same moment? It is remembered of the form that failed; of two that did, of all; also where the request is
 * not the cause. That there are too many requests is said to one client, whoever else failed. */
static void note_form(const struct flight *f, struct failure_marker *m, const struct ending *x)
{
	bool befell_another = m->form != f->form && (follows_failure(f, m) || follows_trouble(f, m));

	m->form = (befell_another && x->said != 429) || x->befalls_all ? FORM_PLAIN : f->form;
}

/* Until when, and as what. */
static void note_failure_locked(struct flight *f, struct failure_marker *m, const struct ending *x, struct garbage *g)
{
	m->until_ms = x->now.mono_ms + f->cache->o.failure_memory_ms;
	m->is_cut = x->is_cut;
	m->status = x->is_cut ? 502 : x->status;
	m->by = x->said;
	m->cause = f->cause;
	marker_keep_response_locked(f->entry->markers, m, x->failed_response, g);
	count(&f->cache->n.failures_remembered);
	if (x->shows_trouble && x->said && x->phase == FLIGHT_RESPONSE && !m->response)
		count(&f->cache->n.errors_without_body);
}

/* One error that an origin answers with may be a slip, and whoever tries again may have luck: the second is remembered; the first
 * only where a stale response stood in for it, which may do so again. So it is with a response that breaks off. That no response comes
 * takes a connection and perhaps a time-out each time, so that is remembered at once. */
void flight_mark_failure_locked(struct flight *f, const struct ending *x, struct garbage *g)
{
	struct failure_marker *m = &f->entry->markers->failed[x->befalls_all ? FAILED_PLAIN : f->fails_as];
	bool is_first;

	if (!f->may_fail || f->cache->o.failure_memory_ms <= 0 || was_purged_locked(f))
		return;
	if (marker_is_purged_locked(f->entry, &m->since))
		m->until_ms = m->trouble_until_ms = 0;
	is_first = x->shows_trouble && !follows_trouble(f, m) && (!follows_failure(f, m) || m->was_once);
	note_form(f, m, x);
	marker_set_since(&m->since, f->epoch);
	if (x->shows_trouble)
		m->trouble_until_ms = x->now.mono_ms + 2 * f->cache->o.failure_memory_ms;
	marker_set_locked(f->entry, g);
	if (is_first && x->phase != FLIGHT_STALE)
		return;
	m->was_once = is_first || x->is_for_one;
	note_failure_locked(f, m, x, g);
}
