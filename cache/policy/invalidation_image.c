/* SPDX-License-Identifier: MIT */
/* Beyond the life of a process: the table as checkpoints have it. */
#include <errno.h>

#include "base/mem.h"
#include "cache/policy/invalidation_table.h"

/* What an image says beside its rules, in records of the same form: a cell's number + 1, or of 32 lengths of folded prefixes which.
 * Who knows no such records takes them for prefixes of an impossible length, and invalidates all that is older than they are. */
#define MARK_FOLDED UINT32_MAX
#define HALVES_N (2 * LENGTHS_N)

static uint32_t half_of(const struct lengths *l, unsigned half)
{
	return (uint32_t)(half % 2 ? l->bits >> 32 : l->bits);
}

/* Makes room for n more, without the lock. */
static int image_reserve(struct invalidation_image *out, unsigned *cap, unsigned n)
{
	struct invalidation_rule *v;
	unsigned wanted = out->rules_n + n;

	if (wanted <= *cap && out->rules)
		return 0;
	wanted += wanted / 4 + 64;
	v = mem_realloc(out->rules, wanted * sizeof(*v));
	if (!v)
		return -ENOMEM;
	out->rules = v;
	*cap = wanted;
	return 0;
}

static void export_part_locked(const struct part *p, struct invalidation_image *out)
{
	for (unsigned i = 0; i < p->slots_n; i++) {
		const struct rule *r = &p->slots[i];

		if (r->id != 0)
			out->rules[out->rules_n++] =
				(struct invalidation_rule){r->id, r->hard_seq, r->soft_seq, r->prefix_n, 0};
	}
}

/* First of all: one whose span ends meanwhile becomes a rule, and is told twice. */
static int export_spreads(struct invalidation_table *t, struct invalidation_image *out, unsigned *cap)
{
	int err = image_reserve(out, cap, 2 * SPREADS_MAX);

	if (err)
		return err;
	pthread_rwlock_rdlock(&t->mu);
	spreads_export_locked(t, out);
	pthread_rwlock_unlock(&t->mu);
	return 0;
}

static int export_parts(struct invalidation_table *t, struct invalidation_image *out, unsigned *cap)
{
	int err = 0;

	for (unsigned i = 0; !err && i < PARTS_N; i++) {
		unsigned n, max;

		do { /* it may have grown before the lock is taken again */
			pthread_rwlock_rdlock(&t->mu);
			n = t->parts[i].rules_n;
			max = *cap - out->rules_n;
			if (n <= max)
				export_part_locked(&t->parts[i], out);
			pthread_rwlock_unlock(&t->mu);
			err = n > max ? image_reserve(out, cap, n) : 0;
		} while (!err && n > max);
	}
	return err;
}

#define CELLS_AT_ONCE 4096

static int export_cells(struct invalidation_table *t, struct invalidation_image *out, unsigned *cap)
{
	int err = 0;

	for (unsigned i = 0; !err && i < CELLS_N; i++) {
		const struct cell *c = &t->cells[i];

		if (i % CELLS_AT_ONCE == 0) {
			err = image_reserve(out, cap, CELLS_AT_ONCE);
			pthread_rwlock_rdlock(&t->mu);
		}
		if (!err && (c->hard_seq > 0 || c->soft_seq > 0))
			out->rules[out->rules_n++] =
				(struct invalidation_rule){i + 1, c->hard_seq, c->soft_seq, MARK_FOLDED, 0};
		if (err || i % CELLS_AT_ONCE == CELLS_AT_ONCE - 1)
			pthread_rwlock_unlock(&t->mu);
	}
	return err;
}

static void export_lengths_locked(const struct invalidation_table *t, struct invalidation_image *out)
{
	for (unsigned i = 0; i < HALVES_N; i++) {
		const struct lengths *l = &t->folded_lengths[i / 2];

		if (half_of(l, i) != 0)
			out->rules[out->rules_n++] =
				(struct invalidation_rule){CELLS_N + 1 + i, l->newest, 0, MARK_FOLDED, half_of(l, i)};
	}
}

/* Rules, then the cells that they may have gone into meanwhile, then the floor that covers what has retired meanwhile. */
int invalidation_export(struct invalidation_table *t, struct invalidation_image *out)
{
	unsigned cap = 0;
	int err;

	*out = (struct invalidation_image){0};
	err = image_reserve(out, &cap, atomic_load_explicit(&t->rules_n, memory_order_relaxed));
	if (!err)
		err = export_spreads(t, out, &cap);
	if (!err)
		err = export_parts(t, out, &cap);
	if (!err)
		err = export_cells(t, out, &cap);
	if (!err)
		err = image_reserve(out, &cap, HALVES_N);
	if (err) {
		mem_free(out->rules);
		*out = (struct invalidation_image){0};
		return err;
	}
	pthread_rwlock_rdlock(&t->mu);
	export_lengths_locked(t, out);
	out->floor_seq = higher(t->floor_seq, t->retired_seq);
	out->all_hard_seq = t->all_hard_seq;
	out->all_soft_seq = t->all_soft_seq;
	pthread_rwlock_unlock(&t->mu);
	return 0;
}

/* All responses with an epoch below `seq` are invalid from now on. */
static void raise_floor(struct invalidation_table *t, uint64_t seq)
{
	t->floor_seq = higher(t->floor_seq, seq);
	t->floor_raised++;
}

static void restore_locked(struct invalidation_table *t, uint64_t id, uint32_t prefix_n, bool soft, uint64_t seq)
{
	if (id == 0 || prefix_n > PREFIX_MAX)
		raise_floor(t, seq);
	else
		rules_restore(t, id, prefix_n, soft, seq);
}

static void restore_folded_locked(struct invalidation_table *t, const struct invalidation_rule *r)
{
	if (r->id - 1 < CELLS_N) {
		struct cell *c = &t->cells[r->id - 1];

		c->hard_seq = higher(c->hard_seq, r->hard_seq);
		c->soft_seq = higher(c->soft_seq, r->soft_seq);
	} else {
		struct lengths *l = &t->folded_lengths[(r->id - 1 - CELLS_N) / 2];

		l->bits |= (uint64_t)r->lengths << ((r->id - 1 - CELLS_N) % 2 ? 32 : 0);
		l->newest = higher(l->newest, r->hard_seq);
	}
	t->folded_newest = higher(t->folded_newest, higher(r->hard_seq, r->soft_seq));
}

void invalidation_import(struct invalidation_table *t, const struct invalidation_image *in)
{
	pthread_rwlock_wrlock(&t->mu);
	t->floor_seq = higher(t->floor_seq, in->floor_seq);
	t->all_hard_seq = higher(t->all_hard_seq, in->all_hard_seq);
	t->all_soft_seq = higher(t->all_soft_seq, in->all_soft_seq);
	for (unsigned i = 0; i < in->rules_n; i++) {
		const struct invalidation_rule *r = &in->rules[i];

		if (r->prefix_n == MARK_FOLDED && r->id - 1 < CELLS_N + HALVES_N) {
			restore_folded_locked(t, r);
			continue;
		}
		if (spreads_import_locked(t, r, in->rules_n - i)) {
			i++;
			continue;
		}
		if (r->hard_seq > 0)
			restore_locked(t, r->id, r->prefix_n, false, r->hard_seq);
		if (r->soft_seq > 0)
			restore_locked(t, r->id, r->prefix_n, true, r->soft_seq);
	}
	pthread_rwlock_unlock(&t->mu);
}
