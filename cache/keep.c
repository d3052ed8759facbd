/* What answers that went to one client alone leave behind for others. */
#include "cache/flight_internal.h"

uint64_t cache_sequence(const struct cache *c)
{
	return scope_now(c->scopes);
}

bool cache_was_purged(const struct cache *c, struct slice url, uint64_t sequence)
{
	struct scope_set set = {.url = url};
	_Atomic uint64_t checked = sequence;

	return scope_check(c->scopes, &set, sequence, &checked) != SCOPE_VALID;
}

/* Everything that the entry takes is made before, so that nothing is allocated under the lock. */
static struct entry *ensure_entry_locked(
	struct shard *s, const struct cache_key *key, struct entry **spare_entry, struct notes **spare_notes)
{
	struct entry *e = entry_find_locked(s, key);

	if (!e) {
		if (entry_link_locked(s, *spare_entry) != 0)
			return NULL;
		e = *spare_entry;
		*spare_entry = NULL;
	}
	if (!e->notes) {
		e->notes = *spare_notes;
		e->notes->entry = e;
		*spare_notes = NULL;
	}
	return e;
}

static bool list_alone(struct flight *f, struct shard *s, const struct cache_key *key)
{
	struct entry *spare_entry = entry_new(s, key), *e = NULL;
	struct notes *spare_notes = notes_new(s);

	if (spare_entry && spare_notes) {
		pthread_mutex_lock(&s->mu);
		e = ensure_entry_locked(s, key, &spare_entry, &spare_notes);
		if (e)
			flight_list_locked(f, e);
		pthread_mutex_unlock(&s->mu);
	}
	if (spare_notes)
		memory_give(s, spare_notes);
	entry_unref(&spare_entry);
	return e != NULL;
}

struct flight *cache_keep(struct cache *c, const struct cache_request *r, uint64_t sequence, struct now now)
{
	struct shard *s = memory_shard(&c->memory, r->key);
	struct flight *f;

	if (!r->rules->cache || counted(&c->n.flights) >= c->o.max_flights)
		return NULL;
	f = flight_new(c, r);
	if (!f)
		return NULL;
	f->is_kept = true;
	f->started = now;
	f->progress_ms = now.mono_ms;
	f->epoch = sequence;
	atomic_init(&f->checked, sequence);
	if (!list_alone(f, s, r->key)) {
		flight_unref(&f);
		return NULL;
	}
	/* The lists have a reference of their own, as with a flight that is led. */
	return flight_ref(f);
}
