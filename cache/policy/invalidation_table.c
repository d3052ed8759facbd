/* SPDX-License-Identifier: MIT */
#include "cache/policy/invalidation_table.h"

#include <errno.h>

#include "base/mem.h"

/* The slot that holds id, or the free one where it would go. */
static struct rule *slot_for(struct rule *slots, unsigned slots_n, uint64_t id, unsigned home)
{
	unsigned i = home & (slots_n - 1);

	while (slots[i].id != 0 && slots[i].id != id)
		i = (i + 1) & (slots_n - 1);
	return &slots[i];
}

struct rule *rule_find(const struct part *p, uint64_t id, unsigned home)
{
	struct rule *r = p->slots_n > 0 ? slot_for(p->slots, p->slots_n, id, home) : NULL;

	return r && r->id != 0 ? r : NULL;
}

static void note_length(struct lengths *of, uint32_t n, uint64_t seq)
{
	struct lengths *l = &of[n / 64];

	l->bits |= UINT64_C(1) << n % 64;
	if (seq > l->newest)
		l->newest = seq;
}

static void forget_length(struct invalidation_table *t, uint32_t n)
{
	struct lengths *l = &t->lengths[n / 64];

	if (n == 0 || --t->lengths_n[n] > 0)
		return;
	l->bits &= ~(UINT64_C(1) << n % 64);
	if (l->bits == 0)
		l->newest = 0;
}

/* On -ENOMEM nothing has changed. */
static int resize(struct invalidation_table *t, struct part *p, unsigned slots_n)
{
	struct rule *slots = mem_zalloc(slots_n * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (unsigned i = 0; i < p->slots_n; i++)
		if (p->slots[i].id != 0)
			*slot_for(slots, slots_n, p->slots[i].id, place_of(p->slots[i].id).slot) = p->slots[i];
	mem_free(p->slots);
	t->slots_n += slots_n;
	t->slots_n -= p->slots_n;
	p->slots = slots;
	p->slots_n = slots_n;
	return 0;
}

/* Takes a rule out; those behind it move up, so that no search ends early. Needs no memory. */
static void rule_remove(struct invalidation_table *t, struct part *p, unsigned i)
{
	unsigned mask = p->slots_n - 1;

	forget_length(t, p->slots[i].prefix_n);
	for (unsigned k = (i + 1) & mask; p->slots[k].id != 0; k = (k + 1) & mask) {
		unsigned home = place_of(p->slots[k].id).slot & mask;

		if (((k - home) & mask) < ((k - i) & mask))
			continue; /* it may not come before its home */
		p->slots[i] = p->slots[k];
		i = k;
	}
	p->slots[i].id = 0;
	p->rules_n--;
	atomic_fetch_sub_explicit(&t->rules_n, 1, memory_order_relaxed);
}

/* A rule becomes part of its cell. Needs no memory. */
static void fold(struct invalidation_table *t, const struct rule *r)
{
	struct cell *c = &t->cells[r->id >> 48];

	c->hard_seq = higher(c->hard_seq, r->hard_seq);
	c->soft_seq = higher(c->soft_seq, r->soft_seq);
	t->folded_newest = higher(t->folded_newest, rule_seq(r));
	t->folded++;
	if (r->prefix_n > 0)
		note_length(t->folded_lengths, r->prefix_n, rule_seq(r));
}

void rules_drop_up_to(struct invalidation_table *t, struct part *p, uint64_t seq, bool folds)
{
	uint64_t oldest = UINT64_MAX;
	unsigned i = 0;

	while (i < p->slots_n) {
		const struct rule *r = &p->slots[i];

		if (r->id != 0 && rule_seq(r) <= seq) {
			if (folds)
				fold(t, r);
			rule_remove(t, p, i); /* another rule may be there now */
			continue;
		}
		if (r->id != 0 && rule_seq(r) < oldest)
			oldest = rule_seq(r);
		i++;
	}
	p->oldest = oldest;
	if (p->rules_n == 0)
		p->newest = 0;
	/* Without memory for a smaller one it stays. */
	if (p->slots_n > SLOTS_MIN && 8 * p->rules_n < p->slots_n)
		(void)resize(t, p, p->slots_n / 4 > SLOTS_MIN ? p->slots_n / 4 : SLOTS_MIN);
}

/* The number of the nth-oldest rule, 1 <= n <= FOLD_MAX. */
static uint64_t nth_oldest(const struct part *p, unsigned n)
{
	uint64_t v[FOLD_MAX]; /* ascending */
	unsigned have = 0;

	CHECK(n > 0);
	for (unsigned i = 0; i < p->slots_n; i++) {
		uint64_t seq = rule_seq(&p->slots[i]);
		unsigned k;

		if (p->slots[i].id == 0 || (have == n && seq >= v[n - 1]))
			continue;
		k = have < n ? have++ : n - 1;
		for (; k > 0 && v[k - 1] > seq; k--)
			v[k] = v[k - 1];
		v[k] = seq;
	}
	CHECK(have > 0);
	return v[have - 1];
}

/* The table is full: the oldest rules of a part, a 64th of it and at most FOLD_MAX, go into their cells. */
static void make_room(struct invalidation_table *t, unsigned part)
{
	struct part *p;
	unsigned n;

	while (t->parts[part].rules_n == 0)
		part = (part + 1) % PARTS_N;
	p = &t->parts[part];
	n = p->rules_n / 64 + 1;
	rules_drop_up_to(t, p, nth_oldest(p, n < FOLD_MAX ? n : FOLD_MAX), true);
}

/* NULL without memory for it. */
static struct rule *rule_add(struct invalidation_table *t, uint64_t id, uint64_t seq)
{
	struct place at = place_of(id);
	struct part *p = &t->parts[at.part];
	struct rule *r;

	if (t->rules_n >= t->max_rules)
		make_room(t, at.part);
	if (4 * (p->rules_n + 1) > 3 * p->slots_n && resize(t, p, p->slots_n > 0 ? 2 * p->slots_n : SLOTS_MIN) != 0)
		return NULL;
	r = slot_for(p->slots, p->slots_n, id, at.slot);
	*r = (struct rule){.id = id};
	if (p->rules_n == 0 || seq < p->oldest)
		p->oldest = seq;
	p->rules_n++;
	atomic_fetch_add_explicit(&t->rules_n, 1, memory_order_relaxed);
	return r;
}

static void set_length(struct invalidation_table *t, struct rule *r, uint32_t prefix_n, uint64_t seq)
{
	if (prefix_n == 0)
		return;
	if (r->prefix_n != prefix_n) {
		forget_length(t, r->prefix_n);
		t->lengths_n[prefix_n]++;
		r->prefix_n = prefix_n;
	}
	note_length(t->lengths, prefix_n, seq);
}

void rules_note(struct invalidation_table *t, uint64_t id, uint32_t prefix_n, bool soft, uint64_t next)
{
	struct place at = place_of(id);
	struct part *p = &t->parts[at.part];
	struct rule *r = rule_find(p, id, at.slot);

	if (!r)
		r = rule_add(t, id, next);
	if (!r) {
		fold(t, &(struct rule){id, soft ? 0 : next, soft ? next : 0, prefix_n});
		return;
	}
	*(soft ? &r->soft_seq : &r->hard_seq) = next;
	p->newest = higher(p->newest, next);
	set_length(t, r, prefix_n, next);
}
