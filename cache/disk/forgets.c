/* SPDX-License-Identifier: MIT */
#include "cache/disk/forgets.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

int forgets_init(struct forgets *f, uint32_t max)
{
	f->max = max < 8 ? 8 : max;
	for (f->slots_n = 16; f->slots_n < 2 * f->max; f->slots_n *= 2)
		;
	f->slots = mem_zalloc(f->slots_n * sizeof(*f->slots));
	if (!f->slots)
		return -ENOMEM;
	pthread_mutex_init(&f->mu, NULL);
	return 0;
}

void forgets_fini(struct forgets *f)
{
	if (!f->slots)
		return;
	pthread_mutex_destroy(&f->mu);
	mem_free(f->slots);
	f->slots = NULL;
}

static struct forgotten *slot_of(const struct forgets *f, uint64_t key)
{
	uint32_t i = (uint32_t)hash_keyed_u64(key) & (f->slots_n - 1);

	while (f->slots[i].before_lsn != 0 && f->slots[i].key != key)
		i = (i + 1) & (f->slots_n - 1);
	return &f->slots[i];
}

/* Keeps only those above `lsn`. `kept` has room for all. */
static void keep_above_locked(struct forgets *f, uint64_t lsn, struct forgotten *kept)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->slots_n; i++)
		if (f->slots[i].before_lsn > lsn)
			kept[n++] = f->slots[i];
	memset(f->slots, 0, f->slots_n * sizeof(*f->slots));
	for (uint32_t i = 0; i < n; i++)
		*slot_of(f, kept[i].key) = kept[i];
	f->used = n;
	atomic_store(&f->any, n);
}

static int by_lsn(const void *a, const void *b)
{
	uint64_t x = ((const struct forgotten *)a)->before_lsn, y = ((const struct forgotten *)b)->before_lsn;

	return (x > y) - (x < y);
}

static uint32_t copy_locked(const struct forgets *f, struct forgotten *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->slots_n; i++)
		if (f->slots[i].before_lsn != 0)
			out[n++] = f->slots[i];
	return n;
}

/* Without memory for the halving all of them go, and floor_lsn rises over all of them. */
static void make_room_locked(struct forgets *f, uint64_t newest)
{
	struct forgotten *all = mem_alloc(f->used * sizeof(*all));
	uint64_t cut = newest;

	if (all) {
		uint32_t n = copy_locked(f, all);

		qsort(all, n, sizeof(*all), by_lsn);
		cut = all[n / 2].before_lsn;
		keep_above_locked(f, cut, all);
		mem_free(all);
	} else {
		memset(f->slots, 0, f->slots_n * sizeof(*f->slots));
		f->used = 0;
		atomic_store(&f->any, 0);
	}
	if (cut > atomic_load(&f->floor_lsn))
		atomic_store(&f->floor_lsn, cut);
}

void forgets_add(struct forgets *f, uint64_t key, uint64_t before_lsn)
{
	struct forgotten *slot;

	if (before_lsn == 0)
		return;
	pthread_mutex_lock(&f->mu);
	if (f->used >= f->max && slot_of(f, key)->before_lsn == 0)
		make_room_locked(f, before_lsn);
	slot = slot_of(f, key);
	f->used += slot->before_lsn == 0;
	slot->key = key;
	if (before_lsn > slot->before_lsn)
		slot->before_lsn = before_lsn;
	atomic_store(&f->any, f->used);
	pthread_mutex_unlock(&f->mu);
}

bool forgets_covers(struct forgets *f, uint64_t key, uint64_t lsn)
{
	bool covers;

	if (lsn < atomic_load(&f->floor_lsn))
		return true;
	if (atomic_load(&f->any) == 0)
		return false;
	pthread_mutex_lock(&f->mu);
	covers = lsn < slot_of(f, key)->before_lsn;
	pthread_mutex_unlock(&f->mu);
	return covers;
}

void forgets_retire(struct forgets *f, uint64_t oldest_lsn)
{
	struct forgotten *kept;

	pthread_mutex_lock(&f->mu);
	kept = f->used > 0 ? mem_alloc(f->used * sizeof(*kept)) : NULL;
	if (kept)
		keep_above_locked(f, oldest_lsn, kept);
	pthread_mutex_unlock(&f->mu);
	mem_free(kept);
}

int forgets_export(struct forgets *f, struct forgotten **out, uint64_t *n, uint64_t *floor_lsn)
{
	pthread_mutex_lock(&f->mu);
	*floor_lsn = atomic_load(&f->floor_lsn);
	*out = mem_alloc(f->used * sizeof(**out));
	*n = *out ? copy_locked(f, *out) : 0;
	pthread_mutex_unlock(&f->mu);
	return *out ? 0 : -ENOMEM;
}
