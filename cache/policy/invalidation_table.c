/* SPDX-License-Identifier: MIT */
#include "cache/policy/invalidation_table.h"

#include <errno.h>

#include "base/clock.h"
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

/* A prefix of that length (0: none) that is looked for. */
static void length_add(struct invalidation_table *t, uint32_t n, uint64_t seq)
{
	if (n == 0)
		return;
	t->lengths_n[n]++;
	note_length(t->lengths, n, seq);
}

static void length_remove(struct invalidation_table *t, uint32_t n)
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

	length_remove(t, p->slots[i].prefix_n);
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
		length_remove(t, r->prefix_n);
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

void rules_restore(struct invalidation_table *t, uint64_t id, uint32_t prefix_n, bool soft, uint64_t seq)
{
	struct place at = place_of(id);
	const struct rule *r = rule_find(&t->parts[at.part], id, at.slot);

	if (!r || (soft ? r->soft_seq : r->hard_seq) < seq)
		rules_note(t, id, prefix_n, soft, seq);
}

/* ---- Purges that are spread ----
 * Over a span of time: each of the keys that one of them meets goes at a time of its own within it, so that their origin is not asked for
 * all of them at once. Until its span is over such a purge stands here, beside the rule for the same name, which has purges of its
 * own; then it becomes a rule like any other. */

#define SLOTS_N (2 * SPREADS_MAX)
#define LOOK_EVERY_MS 1000

static unsigned home_of(uint64_t id)
{
	return place_of(id).slot & (SLOTS_N - 1);
}

#define UNIT_MS 100
#define UNITS_BITS 20

uint64_t purge_spread(int64_t from_wall_ms, int64_t span_ms)
{
	uint64_t units;

	if (span_ms <= 0 || from_wall_ms < 0)
		return 0;
	units = (uint64_t)((span_ms < PURGE_SPREAD_MAX_MS ? span_ms : PURGE_SPREAD_MAX_MS) + UNIT_MS - 1) / UNIT_MS;
	return (uint64_t)from_wall_ms << UNITS_BITS | units;
}

int64_t purge_spread_ms(uint64_t spread)
{
	return (int64_t)(spread & ((1u << UNITS_BITS) - 1)) * UNIT_MS;
}

/* From the wall clock, which other processes and later runs know, to this one's. One that was set back begins the span anew. */
static int64_t begins_at(uint64_t spread, struct now now)
{
	int64_t ago = now.wall_ms - (int64_t)(spread >> UNITS_BITS);

	return now.mono_ms - (ago > 0 ? ago : 0);
}

/* A key's place in all spans, 0 to 2^32-1: the same in each process. */
static uint32_t place_in_span(const struct purgeable *s)
{
	return (uint32_t)((hash64_of(s->url.p, s->url.n) ^ s->user * 0x9e3779b97f4a7c15u) >> 32);
}

static bool is_due(const struct spread *s, uint32_t place, int64_t now_ms)
{
	return now_ms - s->from_ms >= (int64_t)((uint64_t)s->span_ms * place >> 32);
}

static struct spread *free_slot(struct spreads *t, uint64_t id)
{
	unsigned i = home_of(id);

	while (t->slots[i].id != 0)
		i = (i + 1) & (SLOTS_N - 1);
	return &t->slots[i];
}

/* False: there is no room, and nothing was noted. */
static bool spreads_note(struct invalidation_table *t, const struct spread *s)
{
	struct spreads *all = &t->spreads;

	if (!all->slots)
		all->slots = mem_zalloc(SLOTS_N * sizeof(*all->slots));
	if (!all->slots || all->n == SPREADS_MAX) {
		all->at_once++;
		return false;
	}
	*free_slot(all, s->id) = *s;
	length_add(t, s->prefix_n, s->seq);
	all->newest = higher(all->newest, s->seq);
	if (all->n == 0)
		all->look_ms = clock_now().mono_ms;
	atomic_fetch_add_explicit(&all->n, 1, memory_order_relaxed);
	return true;
}

/* Those behind it move up, so that no search ends early. */
static void take_out(struct invalidation_table *t, unsigned i)
{
	struct spread *slots = t->spreads.slots;

	length_remove(t, slots[i].prefix_n);
	for (unsigned k = (i + 1) & (SLOTS_N - 1); slots[k].id != 0; k = (k + 1) & (SLOTS_N - 1)) {
		if (((k - home_of(slots[k].id)) & (SLOTS_N - 1)) < ((k - i) & (SLOTS_N - 1)))
			continue; /* it may not come before its home */
		slots[i] = slots[k];
		i = k;
	}
	slots[i].id = 0;
	atomic_fetch_sub_explicit(&t->spreads.n, 1, memory_order_relaxed);
}

static void become_rule(struct invalidation_table *t, unsigned i)
{
	struct spread s = t->spreads.slots[i];

	take_out(t, i);
	if (s.id != ALL_ID)
		rules_restore(t, s.id, s.prefix_n, s.soft, s.seq);
	else if (s.soft)
		t->all_soft_seq = higher(t->all_soft_seq, s.seq);
	else
		t->all_hard_seq = higher(t->all_hard_seq, s.seq);
}

/* A few at a time. A slot that another has moved into while it was looked through is looked at in the next second: a purge whose span is
 * over counts in full meanwhile. */
static void end_some_locked(struct invalidation_table *t, struct now now)
{
	struct spreads *all = &t->spreads;

	for (unsigned looked = 0; looked < 512 && all->n > 0; looked++) {
		const struct spread *s = &all->slots[all->cursor];

		if (s->id != 0 && now.mono_ms - s->from_ms >= s->span_ms) {
			become_rule(t, all->cursor);
			continue;
		}
		all->cursor = (all->cursor + 1) & (SLOTS_N - 1);
		if (all->cursor == 0) {
			all->look_ms = now.mono_ms + LOOK_EVERY_MS;
			break;
		}
	}
	if (all->n > 0)
		return;
	mem_free(all->slots);
	all->slots = NULL;
	all->newest = 0;
	all->cursor = 0;
}

void invalidation_end_spreads(struct invalidation_table *t, struct now now)
{
	if (!invalidation_is_spreading(t))
		return;
	pthread_rwlock_wrlock(&t->mu);
	if (t->spreads.n > 0 && now.mono_ms >= t->spreads.look_ms)
		end_some_locked(t, now);
	pthread_rwlock_unlock(&t->mu);
}

bool invalidation_is_spreading(const struct invalidation_table *t)
{
	return atomic_load_explicit(&t->spreads.n, memory_order_relaxed) > 0;
}

bool spreads_note_purge(
	struct invalidation_table *t, uint64_t id, uint32_t prefix_n, const struct purge *p, uint64_t seq)
{
	return spreads_note(t, &(struct spread){.id = id,
				       .seq = seq,
				       .when = p->spread,
				       .from_ms = begins_at(p->spread, clock_now()),
				       .span_ms = purge_spread_ms(p->spread),
				       .prefix_n = prefix_n,
				       .soft = p->soft});
}

void spreads_look(const struct invalidation_table *t, uint64_t id, struct check *c)
{
	const struct spread *slots = t->spreads.slots;

	if (t->spreads.newest <= c->epoch || !slots)
		return;
	for (unsigned i = home_of(id); slots[i].id != 0; i = (i + 1) & (SLOTS_N - 1)) {
		const struct spread *s = &slots[i];

		if (s->id != id || s->seq <= c->epoch)
			continue;
		if (c->now_ms == 0) {
			c->now_ms = clock_now().mono_ms;
			c->place = place_in_span(c->of);
		}
		if (is_due(s, c->place, c->now_ms))
			check_judge(c, s->soft ? 0 : s->seq, s->soft ? s->seq : 0);
		else if (s->seq < c->pending)
			c->pending = s->seq;
	}
}

/* A record as of a rule, and behind it one without numbers that says when. Who does not know these takes the first for a rule, so
 * purges at once; of everything, whose id it would not look for, for a prefix of an impossible length, which does too. */
#define MARK_WHEN 0x4e454857u
#define PREFIX_OF_ALL (UINT32_MAX - 1)

void spreads_export_locked(const struct invalidation_table *t, struct invalidation_image *out)
{
	for (unsigned i = 0; t->spreads.slots && i < SLOTS_N; i++) {
		const struct spread *s = &t->spreads.slots[i];

		if (s->id == 0)
			continue;
		out->rules[out->rules_n++] = (struct invalidation_rule){s->id, s->soft ? 0 : s->seq,
			s->soft ? s->seq : 0, s->id == ALL_ID ? PREFIX_OF_ALL : s->prefix_n, 0};
		out->rules[out->rules_n++] = (struct invalidation_rule){s->when, 0, 0, 0, MARK_WHEN};
	}
}

bool spreads_import_locked(struct invalidation_table *t, const struct invalidation_rule *r, unsigned left)
{
	const struct invalidation_rule *when = r + 1;
	struct spread s = {.id = r->id, .seq = higher(r->hard_seq, r->soft_seq), .soft = r->hard_seq == 0};

	if (left < 2 || when->lengths != MARK_WHEN || when->hard_seq != 0 || when->soft_seq != 0 || s.seq == 0 ||
		s.id == 0)
		return false;
	s.prefix_n = s.id == ALL_ID ? 0 : r->prefix_n;
	s.when = when->id;
	s.from_ms = begins_at(s.when, clock_now());
	s.span_ms = purge_spread_ms(s.when);
	return s.prefix_n <= PREFIX_MAX && spreads_note(t, &s);
}
