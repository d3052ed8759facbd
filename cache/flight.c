/* SPDX-License-Identifier: MIT */
/* Flights as their waiters see them: joining, looking, leaving, being told. */
#include "cache/flight_internal.h"

#include <errno.h>

#include "cache/policy/credentials.h"
#include "cache/policy/form.h"
#include "cache/memory/store_filter.h"
#include "cache/policy/vary.h"

#define OWN_LINES_MAX (128 * 1024)
#define LOWER_PATIENCE_MS 10000

/* ---- Life ---- */

static int copy_request(struct flight *f, const struct http_fields *from)
{
	size_t n = 0;
	char *p;

	for (uint32_t i = 0; i < from->n; i++)
		n += from->v[i].name.n + from->v[i].value.n;
	p = mem_alloc(n);
	if (!p)
		return -ENOMEM;
	f->request_bytes = p;
	for (uint32_t i = 0; i < from->n; i++) {
		struct slice name = {p, from->v[i].name.n}, value = {p + name.n, from->v[i].value.n};

		memcpy(p, from->v[i].name.p, name.n);
		if (value.n > 0)
			memcpy(p + name.n, from->v[i].value.p, value.n);
		p += name.n + value.n;
		if (http_fields_add(&f->request, name, value) != 0)
			return -ENOMEM;
	}
	return 0;
}

static void free_flight(struct flight *f)
{
	object_unref(&f->object);
	object_unref(&f->stored);
	store_filter_free(&f->filter);
	if (f->speaks_for)
		memory_give(f->entry->shard, f->speaks_for);
	entry_unref(&f->entry);
	http_fields_fini(&f->request);
	mem_free(f->request_bytes);
	buf_fini(&f->own_lines);
	buf_fini(&f->names);
	buf_fini(&f->values);
	if (f->rules_owner)
		f->rules_unref(f->rules_owner);
	pthread_mutex_destroy(&f->mu);
	mem_free(f);
}

struct flight *flight_ref(struct flight *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

void flight_unref(struct flight **f)
{
	struct flight *gone = *f;

	*f = NULL;
	if (gone && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
		free_flight(gone);
}

static void on_change_message(struct message *message);
static void on_room(struct message *message);

struct flight *flight_new(struct cache *c, const struct cache_request *r)
{
	struct flight *f = mem_zalloc(sizeof(*f) + c->o.workers * sizeof(f->slots[0]));
	struct credentials bears;

	if (!f)
		return NULL;
	if (pthread_mutex_init(&f->mu, NULL) != 0) {
		mem_free(f);
		return NULL;
	}
	atomic_init(&f->refs, 1);
	f->cache = c;
	f->worker = r->worker;
	f->rules = r->rules;
	f->method = r->http->method == HTTP_HEAD ? HTTP_GET : r->http->method;
	http_fields_init(&f->request);
	buf_init(&f->own_lines, OWN_LINES_MAX);
	buf_init(&f->names, CACHE_KEY_MAX);
	buf_init(&f->values, 4 * CACHE_KEY_MAX);
	f->form = form_of(r->rules, &r->http->fields);
	bears = credentials_of(r->rules, &r->http->fields);
	f->has_authorization = bears.has_authorization;
	f->has_credential = bears.has_other;
	f->resume_message.on_message = on_room;
	for (unsigned i = 0; i < c->o.workers; i++) {
		f->slots[i].message.on_message = on_change_message;
		f->slots[i].flight = f;
	}
	if (r->rules_owner) {
		f->rules_owner = r->rules_owner;
		f->rules_unref = r->rules_unref;
		r->rules_ref(r->rules_owner);
	}
	if (copy_request(f, &r->http->fields) != 0)
		flight_unref(&f);
	return f;
}

/* ---- Messages ---- */

static void post(struct flight *f, unsigned worker, struct message *message)
{
	flight_ref(f); /* the message's */
	if (!post_message(f->cache->o.mailboxes[worker], message))
		flight_unref(&f);
}

void flight_wake_locked(struct flight *f)
{
	for (unsigned i = 0; i < f->cache->o.workers; i++)
		if (f->slots[i].first) {
			atomic_store_explicit(&f->slots[i].has_news, true, memory_order_release);
			post(f, i, &f->slots[i].message);
		}
}

/* The next who is to be told, and who came before the telling began: who comes while it goes on has seen what it is about, and
 * may be one whom it told to look up again. */
static struct flight_waiter *next_told(const struct flight_slot *s, struct flight_waiter *w)
{
	return w && w->place < s->told_up_to ? w : NULL;
}

static bool begin_telling(struct flight_slot *s)
{
	if (!atomic_exchange_explicit(&s->has_news, false, memory_order_acq_rel))
		return false;
	s->told_up_to = s->joined;
	s->cursor = next_told(s, s->first);
	return true;
}

/* On the worker of the slot, which alone changes its list: so it may walk it without the lock. A waiter that leaves moves
 * the cursor on, whoever's on_progress makes it leave. As many are told as the delivery has steps for, the others in the next
 * one; what is news meanwhile is told to all once they have been. */
static void on_change_message(struct message *message)
{
	struct flight_slot *s = CONTAINER_OF(message, struct flight_slot, message);
	struct flight *f = s->flight;
	struct mailbox *mb = f->cache->o.mailboxes[s - f->slots];

	for (bool may = true; may && (s->cursor || begin_telling(s)); may = mailbox_takes_step(mb)) {
		struct flight_waiter *w = s->cursor;

		if (!w)
			continue;
		s->cursor = next_told(s, w->next);
		w->on_progress(w);
	}
	if (s->cursor || atomic_load_explicit(&s->has_news, memory_order_acquire))
		post(f, (unsigned)(s - f->slots), message);
	flight_unref(&f);
}

void flight_tell_stored_locked(const struct flight *by)
{
	for (struct flight *f = by->entry->markers->flights; f; f = f->next_of_entry) {
		if (f == by || f->kind == FLIGHT_READ || f->kind == FLIGHT_KEPT)
			continue;
		pthread_mutex_lock(&f->mu);
		if (f->phase == FLIGHT_WAITING) {
			f->others_stored++;
			flight_wake_locked(f);
		}
		pthread_mutex_unlock(&f->mu);
	}
}

void flight_post_resume_locked(struct flight *f)
{
	post(f, f->worker, &f->resume_message);
}

static void on_room(struct message *message)
{
	struct flight *f = CONTAINER_OF(message, struct flight, resume_message);

	flight_resume(f);
	flight_unref(&f);
}

void flight_resume(struct flight *f)
{
	void (*on_resume)(void *arg) = NULL;
	void *arg;

	pthread_mutex_lock(&f->mu);
	if (!f->window.is_full && !f->writing.is_full)
		on_resume = f->on_resume;
	arg = f->on_resume_arg;
	pthread_mutex_unlock(&f->mu);
	if (on_resume)
		on_resume(arg);
}

void flight_on_resume(struct flight *f, void (*on_resume)(void *arg), void *arg)
{
	pthread_mutex_lock(&f->mu);
	f->on_resume = on_resume;
	f->on_resume_arg = arg;
	pthread_mutex_unlock(&f->mu);
}

/* ---- Windows ---- */

static void find_low(struct flight *f)
{
	f->window.low = UINT64_MAX;
	f->window.at_low = 0;
	for (unsigned i = 0; i < f->cache->o.workers; i++)
		for (const struct flight_waiter *w = f->slots[i].first; w; w = w->next) {
			uint64_t at = atomic_load_explicit(&w->offset, memory_order_relaxed);

			if (at < f->window.low) {
				f->window.low = at;
				f->window.at_low = 0;
			}
			f->window.at_low += at == f->window.low;
		}
}

void flight_move_window(struct flight *f)
{
	uint64_t published;

	(void)object_body_state(f->object, &published);
	find_low(f);
	if (f->window.low > published)
		f->window.low = published;
	object_discard(f->object, f->window.low);
	if (f->window.is_full && published - f->window.low <= WINDOW_BYTES / 2) {
		f->window.is_full = false;
		flight_post_resume_locked(f);
	}
}

/* Who was at `offset` is there no more: only when the last of the slowest has moved on can anything change. */
static bool is_last_of_slowest(struct flight *f, uint64_t offset)
{
	return f->window.is_open && offset <= f->window.low && (f->window.at_low == 0 || --f->window.at_low == 0);
}

/* ---- Waiters ---- */

void flight_wait(struct flight *f, unsigned worker, const struct http_fields *request, struct flight_waiter *w)
{
	struct flight_slot *s = &f->slots[worker];

	CHECK(worker < f->cache->o.workers);
	w->flight = flight_ref(f);
	w->worker = worker;
	w->request = request;
	w->begun = false;
	w->mismatched = false;
	w->stores_seen = 0;
	w->joined_seq = invalidation_now(f->cache->invalidation);
	atomic_init(&w->offset, 0);
	w->next = NULL;
	w->place = s->joined++;
	count(&f->cache->n.waiters);
	pthread_mutex_lock(&f->mu);
	/* The leader's client waits before anything else happens on its worker; on others somebody may have come first. */
	if (!f->has_had_own && worker == f->worker && f->kind != FLIGHT_BACKGROUND) {
		f->own = w;
		f->has_had_own = true;
	}
	if (!w->wants_part)
		f->is_for_parts = false;
	/* Its first bytes may be gone. */
	if (f->window.is_open)
		w->mismatched = true;
	w->prev = s->last;
	if (s->last)
		s->last->next = w;
	else
		s->first = w;
	s->last = w;
	f->waiters_n++;
	if (f->window.is_open)
		atomic_store_explicit(&w->offset, UINT64_MAX, memory_order_relaxed);
	pthread_mutex_unlock(&f->mu);
}

void flight_leave(struct flight_waiter *w)
{
	struct flight *f = w->flight;
	struct flight_slot *s;

	if (!f)
		return;
	s = &f->slots[w->worker];
	if (s->cursor == w)
		s->cursor = next_told(s, w->next);
	pthread_mutex_lock(&f->mu);
	if (w->prev)
		w->prev->next = w->next;
	else
		s->first = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		s->last = w->prev;
	f->waiters_n--;
	if (f->own == w)
		f->own = NULL;
	if (is_last_of_slowest(f, atomic_load_explicit(&w->offset, memory_order_relaxed)))
		flight_move_window(f);
	pthread_mutex_unlock(&f->mu);
	w->flight = NULL;
	uncount(&f->cache->n.waiters);
	flight_unref(&f);
}

/* A soft purge binds those who came after it: that it has a tag, a flight learns only from its response. */
static bool is_purged_for(struct flight *f, const struct flight_waiter *w)
{
	enum purge_state state = object_check(f->object);

	return state == PURGED_HARD || (state == PURGED_SOFT && w != f->own && w->joined_seq > f->epoch);
}

static bool is_of_variant(const struct object *o, const struct flight_waiter *w)
{
	struct slice language;

	if (!w->request || object_vary_names(o).n == 0)
		return true;
	(void)object_field(o, HF_CONTENT_LANGUAGE, &language);
	return vary_matches(object_vary_names(o), object_vary_values(o), language, w->request);
}

/* May this waiter have the response? Asked once, before its first byte: after that it goes on whatever is purged. */
static bool suits(struct flight *f, struct flight_waiter *w)
{
	struct object *o = f->object;

	if (w->begun)
		return true;
	if (w->mismatched || (f->is_silent && w != f->own) ||
		(w->wants_part && f->window.is_open && f->shares == POLICY_SHARE_NOT))
		return false;
	/* Who leads for itself alone gets what it fetched; else purges could keep it fetching for ever. */
	if ((f->is_shared || w != f->own) && is_purged_for(f, w))
		return false;
	w->begun = is_of_variant(o, w);
	return w->begun;
}

/* The stale response that stands in is the leader's: others wait by the Vary of what is newest, which may be another. And a purge
 * may have come since the flight failed, and before the waiter did. */
static bool stand_in_suits(const struct flight *f, struct flight_waiter *w)
{
	enum purge_state state;

	if (w->begun)
		return true;
	state = object_check(f->stored);
	if (state == PURGED_HARD ||
		(state == PURGED_SOFT && (object_freshness(f->stored)->flags & (POLICY_NEVER_STALE | POLICY_NO_CACHE))))
		return false;
	w->begun = is_of_variant(f->stored, w);
	return w->begun;
}

/* Whether what befell the leader's request would befall the waiter's: who caused it, and who looks the same to the origin. */
static bool is_told_of_failure(const struct flight *f, const struct flight_waiter *w, bool befalls_all)
{
	if (w == f->own || w->begun || !w->request || (befalls_all && (f->form == FORM_PLAIN || f->befalls_all)))
		return true;
	/* Of two forms that failed in a row it is the URL's; and nobody waits for a third time-out. */
	if (w->met_failure && w->met_form != f->form && (f->phase == FLIGHT_FAILED || f->status >= 500))
		return true;
	return f->form == form_of(f->rules, w->request);
}

/* An error may be the leader's own: the others ask again, in the hope that one of them fares better, or, where that is a
 * response to one request rather than a fault of the origin, each for himself. */
static enum flight_phase phase_of_failure(const struct flight *f, const struct flight_waiter *w)
{
	if (f->phase == FLIGHT_FAILED && !is_told_of_failure(f, w, true))
		return FLIGHT_RETRY;
	if (f->phase == FLIGHT_RESPONSE && f->shares != POLICY_SHARE_NOT && !is_told_of_failure(f, w, false))
		return f->status >= 500 ? FLIGHT_RETRY : FLIGHT_RELEASED;
	return f->phase;
}

/* The response is one variant's alone, and the waiter wants another, as its Vary says: how that is answered nobody knows yet. */
static bool wants_another(const struct flight *f, const struct flight_waiter *w)
{
	return w != f->own && w->request && f->names.n > 0 &&
	       !vary_matches(buf_slice(&f->names), buf_slice(&f->values), (struct slice){"", 0}, w->request);
}

bool flight_has_all_locked(const struct flight *f)
{
	bool is_committing = f->writing.state == FLIGHT_IS_COMMITTING;
	int64_t length = -1;
	uint64_t published;

	if (f->writing.state != FLIGHT_IS_NOT_WRITTEN && f->object)
		length = object_announced_length(f->object);
	if (length < 0)
		return is_committing;
	(void)object_body_state(f->object, &published);
	return is_committing || (uint64_t)length == published;
}

void flight_look(const struct flight_waiter *waiter, struct flight_view *out)
{
	struct flight_waiter *w = (struct flight_waiter *)(uintptr_t)waiter; /* what was decided once is noted in it */
	struct flight *f = w->flight;

	pthread_mutex_lock(&f->mu);
	*out = (struct flight_view){.phase = phase_of_failure(f, w),
		.status = f->status,
		.failure = f->failure,
		.cause = f->phase == FLIGHT_STALE || f->phase == FLIGHT_FAILED ? f->cause : 0,
		.verdict = f->verdict,
		.storing = f->storing,
		.has_head = f->object != NULL};
	if (out->phase == FLIGHT_RETRY && f->phase != FLIGHT_RETRY) {
		out->failure = f->status;
		out->form = f->form;
	}
	out->looks_again = f->phase == FLIGHT_WAITING && w->stores_seen != f->others_stored;
	w->stores_seen = f->others_stored;
	if (f->phase == FLIGHT_WAITING && f->is_silent && (w != f->own || f->kind == FLIGHT_READ))
		out->phase = FLIGHT_RETRY;
	if (flight_has_all_locked(f) && w->mismatched &&
		!w->begun) /* it came for what is in the lower tier in a moment */
		out->phase = f->is_silent ? FLIGHT_RETRY : FLIGHT_WAITING;
	else if (out->phase == FLIGHT_RESPONSE && !suits(f, w)) {
		w->mismatched = true;
		out->phase = FLIGHT_RETRY;
	}
	if (f->phase == FLIGHT_RELEASED && wants_another(f, w))
		out->phase = FLIGHT_RETRY;
	if (out->phase == FLIGHT_STALE && !stand_in_suits(f, w))
		out->phase = FLIGHT_RETRY;
	if (out->phase == FLIGHT_RESPONSE)
		out->object = f->object;
	if (out->phase == FLIGHT_RESPONSE && w == f->own && !f->own_lines.err)
		out->own_lines = buf_slice(&f->own_lines);
	else if (out->phase == FLIGHT_STALE)
		out->object = f->stored;
	pthread_mutex_unlock(&f->mu);
}

void flight_put_off(struct flight_waiter *w)
{
	struct flight *f = w->flight;

	pthread_mutex_lock(&f->mu);
	w->begun = false;
	pthread_mutex_unlock(&f->mu);
}

void flight_advance(struct flight_waiter *w, uint64_t offset)
{
	struct flight *f = w->flight;
	uint64_t before;

	if (!f || w->mismatched)
		return;
	pthread_mutex_lock(&f->mu);
	before = atomic_exchange_explicit(&w->offset, offset, memory_order_relaxed);
	if (before < offset && is_last_of_slowest(f, before))
		flight_move_window(f);
	pthread_mutex_unlock(&f->mu);
}

const struct object *flight_stored(const struct flight *f)
{
	unsigned flags = f->stored && f->kind != FLIGHT_TAIL ? f->stored->flags : 0;

	/* That a part is still good says nothing of the rest. */
	return (flags & OBJECT_HAS_VALIDATOR) && !(flags & OBJECT_IS_PARTIAL) ? f->stored : NULL;
}

/* ---- Lists ---- */

void flight_list_locked(struct flight *f, struct entry *e)
{
	struct shard *s = e->shard;

	f->entry = entry_ref(e);
	f->next_of_entry = e->markers->flights;
	e->markers->flights = f;
	link_append(&s->flights, &f->of_shard);
	s->flights_n++;
	f->is_listed = true;
	count(&f->cache->n.flights);
}

bool flight_unlist_locked(struct flight *f)
{
	struct shard *s = f->entry->shard;
	struct flight **at = &f->entry->markers->flights;

	if (!f->is_listed)
		return false;
	while (*at != f)
		at = &(*at)->next_of_entry;
	*at = f->next_of_entry;
	link_remove(&f->of_shard);
	s->flights_n--;
	f->is_listed = false;
	uncount(&f->cache->n.flights);
	return true;
}

/* A lower tier that hangs is passed by earlier than an origin that works. */
static int64_t patience_ms(const struct flight *f)
{
	int64_t ms = f->rules->coalesce_timeout_ms;

	return f->kind == FLIGHT_READ && ms > LOWER_PATIENCE_MS ? LOWER_PATIENCE_MS : ms;
}

bool flight_is_silent_locked(struct flight *f, struct now now)
{
	uint64_t progress = 0;
	bool silent;

	pthread_mutex_lock(&f->mu);
	if (f->object) {
		(void)object_body_state(f->object, &progress);
		progress++;
	}
	if (progress != f->progress || f->window.is_full || f->writing.is_full) {
		f->progress = progress;
		f->progress_ms = now.mono_ms;
	}
	if (!f->is_silent && now.mono_ms - f->progress_ms > patience_ms(f)) {
		f->is_silent = true;
		count(&f->cache->n.leader_timeouts);
		flight_wake_locked(f);
	}
	silent = f->is_silent;
	pthread_mutex_unlock(&f->mu);
	return silent;
}
