/* SPDX-License-Identifier: MIT */
/* What a lookup that may come to lead has made before it takes the lock. */
#include "cache/lookup_internal.h"

#include "cache/memory/pass.h"
#include "cache/policy/vary.h"

void lookup_note_vary(struct entry *e, struct buf *names)
{
	struct slice known = {"", 0};

	if (e && e->variants)
		known = object_vary_names(e->variants);
	for (struct flight *f = e && e->markers ? e->markers->flights : NULL; f && known.n == 0; f = f->next_of_entry) {
		pthread_mutex_lock(&f->mu);
		if (f->object)
			known = object_vary_names(f->object);
		else
			known = buf_slice(&f->names);
		pthread_mutex_unlock(&f->mu);
	}
	if (known.n == 0 && e && e->markers)
		known = pass_names(&e->markers->pass);
	if (known.n == 0 && e && e->markers)
		known = pass_names(&e->markers->heads);
	buf_reset(names);
	(void)buf_add_slice(names, known);
}

static struct flight *make_flight(struct lookup *l)
{
	struct flight *f = flight_new(l->c, l->r);

	if (f && (buf_add_slice(&f->names, buf_slice(&l->known_vary)) != 0 ||
			 vary_values(buf_slice(&f->names), &l->r->http->fields, &f->values) != 0))
		flight_unref(&f);
	return f;
}

/* A spare flight says that all the others are there too. */
bool lookup_make_spares(struct lookup *l)
{
	flight_unref(&l->spare_flight);
	if (!l->spare_markers)
		l->spare_markers = markers_new(l->shard);
	if (!l->spare_entry)
		l->spare_entry = entry_new(l->shard, l->r->key);
	if (l->spare_markers && l->spare_entry && !l->known_vary.err)
		l->spare_flight = make_flight(l);
	return l->spare_flight != NULL;
}

void lookup_free_spares(struct lookup *l)
{
	buf_fini(&l->known_vary);
	flight_unref(&l->spare_flight);
	if (l->spare_markers)
		memory_give(l->shard, l->spare_markers);
	entry_unref(&l->spare_entry);
	garbage_free(&l->garbage);
}

struct entry *lookup_ensure_entry(struct lookup *l, struct entry *e)
{
	if (!e) {
		if (entry_link_locked(l->shard, l->spare_entry) != 0)
			return NULL;
		e = l->spare_entry;
		l->spare_entry = NULL;
	}
	if (!e->markers) {
		e->markers = l->spare_markers;
		e->markers->entry = e;
		l->spare_markers = NULL;
	}
	return e;
}
