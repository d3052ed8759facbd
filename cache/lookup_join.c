/* SPDX-License-Identifier: MIT */
/* Whose fetch a request may wait for. */
#include "cache/lookup_internal.h"

#include "cache/policy/form.h"
#include "cache/landing.h"
#include "cache/policy/vary.h"

static bool error_suits(struct lookup *l, struct flight *f)
{
	return f->shares == POLICY_SHARE_MOMENT && object_check(f->object) == NOT_PURGED &&
	       object_serves_wants(f->object, l->wants) && f->form == form_of(l->r->rules, &l->r->http->fields);
}

static bool response_suits(struct lookup *l, struct flight *f)
{
	uint64_t published;

	if (f->shares != POLICY_SHARE_NOT)
		return !f->window.is_open && object_body_state(f->object, &published) != BODY_BROKEN &&
		       error_suits(l, f);

	return !f->window.is_open && object_body_state(f->object, &published) != BODY_BROKEN &&
	       object_check(f->object) == NOT_PURGED && object_serves_wants(f->object, l->wants) &&
	       policy_reuse(&f->object->freshness, l->client_cc, l->pragma_no_cache, false, l->now).use == POLICY_FRESH;
}

static bool is_purged(struct lookup *l, struct flight *f)
{
	struct purgeable set = {.url = entry_url(f->entry), .user = entry_user(f->entry)};

	return invalidation_check(l->c->invalidation, &set, f->epoch, &f->checked) != NOT_PURGED;
}

static bool may_join(struct lookup *l, struct flight *f)
{
	bool joins;

	if (!f->is_shared || f->is_late || (f->kind == FLIGHT_HEAD && !l->is_head) ||
		flight_is_silent_locked(f, l->now) || is_purged(l, f))
		return false;
	pthread_mutex_lock(&f->mu);
	if (f->phase == FLIGHT_RESPONSE)
		joins = response_suits(l, f);
	else
		joins = f->phase == FLIGHT_WAITING &&
			(f->names.n == 0 || vary_wants_match(l->wants, buf_slice(&f->names), buf_slice(&f->values),
						    (struct slice){"", 0}));
	pthread_mutex_unlock(&f->mu);
	return joins;
}

struct flight *lookup_find_flight(struct lookup *l, struct entry *e)
{
	for (struct flight *f = e && e->markers ? e->markers->flights : NULL; f; f = f->next_of_entry)
		if (may_join(l, f))
			return f;
	return NULL;
}

/* Is what is stored being validated already? */
bool lookup_is_being_fetched(struct lookup *l, struct entry *e, const struct object *o)
{
	for (struct flight *f = e->markers ? e->markers->flights : NULL; f; f = f->next_of_entry)
		if (f->stored == o && (f->is_shared || f->kind == FLIGHT_BACKGROUND) && !f->is_late &&
			!flight_is_silent_locked(f, l->now))
			return true;
	return false;
}

bool lookup_is_whole_coming(const struct entry *e)
{
	for (const struct flight *f = e && e->markers ? e->markers->flights : NULL; f; f = f->next_of_entry)
		if (f->kind != FLIGHT_READ && f->kind != FLIGHT_KEPT && f->kind != FLIGHT_HEAD)
			return true;
	return false;
}

/* A response on its way to the lower tier can't be joined once its first bytes are gone, and one writer of it is enough. */
bool lookup_is_being_streamed(struct lookup *l, struct entry *e)
{
	bool is_streamed = false;

	for (struct flight *f = e && e->markers ? e->markers->flights : NULL; f && !is_streamed; f = f->next_of_entry) {
		pthread_mutex_lock(&f->mu);
		is_streamed = f->writing.state != FLIGHT_IS_NOT_WRITTEN && !f->is_late && f->object &&
			      object_serves_wants(f->object, l->wants);
		pthread_mutex_unlock(&f->mu);
	}
	return is_streamed;
}

void lookup_join(struct lookup *l, struct flight *f)
{
	if (counted(&l->c->n.waiters) >= l->c->o.max_waiters) {
		count(&l->c->n.waiters_refused);
		l->out->verdict = CACHE_BUSY;
		return;
	}
	count(&l->c->n.collapsed);
	l->out->verdict = CACHE_JOIN;
	l->out->flight = flight_ref(f);
}
