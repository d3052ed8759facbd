/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/policy/invalidation_table.h"
#include "http/uri.h"

/* ---- A purge ---- */

const char *const purge_kind_names[PURGE_KINDS_N] = {
#define PURGE_KIND(KIND, name) name,
	PURGE_KINDS(PURGE_KIND)
#undef PURGE_KIND
};

struct purge_coded purge_encode(const struct purge *p)
{
	struct purge_coded c = {{(uint8_t)p->kind, p->soft}, p->spread, p->what};

	if (p->kind != PURGE_USER)
		return c;
	c.number = p->user;
	if (p->spread != 0)
		c.what = (struct slice){(const char *)&p->spread, sizeof(p->spread)};
	return c;
}

bool purge_decode(struct purge_code code, uint64_t number, struct slice what, struct purge *out)
{
	*out = (struct purge){.kind = (enum purge_kind)code.kind, .soft = code.soft != 0};
	if (code.kind != PURGE_USER) {
		out->what = what;
		out->spread = number;
		return code.kind < PURGE_KINDS_N;
	}
	out->user = number;
	if (what.n == sizeof(out->spread))
		memcpy(&out->spread, what.p, sizeof(out->spread));
	return true;
}

/* ---- Hashes ---- */

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

static uint64_t rule_id(enum purge_kind kind, uint64_t h)
{
	uint64_t id = mix(h + ((uint64_t)kind + 1) * 0x9e3779b97f4a7c15u);

	return id ? id : 1;
}

/* %c3 and %C3 are one (RFC 3986 6.2.2.1). What only looks like an escape is folded too: that purges more, never less. */
static unsigned char folded(const char *url, size_t i)
{
	char c = url[i];
	bool is_escape = c >= 'a' && c <= 'f' && ((i > 0 && url[i - 1] == '%') || (i > 1 && url[i - 2] == '%'));

	return (unsigned char)(is_escape ? c - 0x20 : c);
}

/* Goes on over url[from..to), so that one pass over a URL yields the hash of each of its prefixes. */
static uint64_t hash_on(uint64_t h, const char *url, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		h = (h ^ folded(url, i)) * 0x9fb21c651e98df25u + 1;
	return h;
}

uint64_t purge_tag_hash(struct slice tag)
{
	return hash64_of(tag.p, tag.n);
}

/* ---- Life ---- */

/* Readers come all the time; the lock's default would let them keep a purge waiting. */
static int init_lock(pthread_rwlock_t *mu)
{
	pthread_rwlockattr_t attr;
	int err = pthread_rwlockattr_init(&attr);

	if (err)
		return err;
	(void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	err = pthread_rwlock_init(mu, &attr);
	pthread_rwlockattr_destroy(&attr);
	return err;
}

int invalidation_table_new(unsigned max_rules, struct invalidation_table **out)
{
	struct invalidation_table *t = mem_zalloc(sizeof(*t));

	*out = NULL;
	if (!t)
		return -ENOMEM;
	t->max_rules = max_rules ? max_rules : 1;
	t->cells = mem_zalloc(CELLS_N * sizeof(*t->cells));
	if (!t->cells)
		goto fail_cells;
	if (init_lock(&t->mu) != 0)
		goto fail_lock;
	atomic_init(&t->seq, 1);
	*out = t;
	return 0;

fail_lock:
	mem_free(t->cells);
fail_cells:
	mem_free(t);
	return -ENOMEM;
}

void invalidation_table_free(struct invalidation_table **t)
{
	if (!*t)
		return;
	pthread_rwlock_destroy(&(*t)->mu);
	for (unsigned i = 0; i < PARTS_N; i++)
		mem_free((*t)->parts[i].slots);
	mem_free((*t)->cells);
	mem_free((*t)->spreads.slots);
	mem_free(*t);
	*t = NULL;
}

uint64_t invalidation_now(const struct invalidation_table *t)
{
	return atomic_load_explicit(&t->seq, memory_order_acquire);
}

/* ---- Purging ---- */

/* One that finds no room among those that are spread is made at once. */
static void note_rule(
	struct invalidation_table *t, const struct purge *p, uint64_t id, uint32_t prefix_n, uint64_t next)
{
	if (p->spread == 0 || !spreads_note_purge(t, id, prefix_n, p, next))
		rules_note(t, id, prefix_n, p->soft, next);
}

static void note_all(struct invalidation_table *t, const struct purge *p, uint64_t next)
{
	if (p->spread == 0 || !spreads_note_purge(t, ALL_ID, 0, p, next))
		*(p->soft ? &t->all_soft_seq : &t->all_hard_seq) = next;
}

static void note_url(struct invalidation_table *t, const struct purge *p, struct slice url, uint64_t next)
{
	uint32_t prefix_n = p->kind == PURGE_PREFIX ? (uint32_t)url.n : 0;

	note_rule(t, p, rule_id(p->kind, hash_on(0, url.p, 0, url.n)), prefix_n, next);
}

/* As it is written, for a prefix may end within an escape; and in normal form. */
static void note_spellings(struct invalidation_table *t, const struct purge *p, uint64_t next)
{
	char normal[PREFIX_MAX];
	size_t n;

	if (p->what.n > PREFIX_MAX)
		return; /* nothing is called or begins so */
	note_url(t, p, p->what, next);
	n = uri_normalize(p->what, p->kind == PURGE_URL, normal);
	if (n < p->what.n)
		note_url(t, p, (struct slice){normal, n}, next);
}

static void note_purge(struct invalidation_table *t, const struct purge *p, uint64_t next)
{
	enum purge_kind kind = p->kind;

	if (kind == PURGE_PREFIX && p->what.n == 0)
		kind = PURGE_ALL;
	switch (kind) {
	case PURGE_URL:
	case PURGE_PREFIX:
		note_spellings(t, p, next);
		break;
	case PURGE_TAG:
		note_rule(t, p, rule_id(PURGE_TAG, purge_tag_hash(p->what)), 0, next);
		break;
	case PURGE_USER:
		note_rule(t, p, rule_id(PURGE_USER, p->user), 0, next);
		break;
	case PURGE_ALL:
		note_all(t, p, next);
		break;
	}
}

void invalidation_purge(struct invalidation_table *t, const struct purge *p, uint64_t *seq)
{
	uint64_t next;

	pthread_rwlock_wrlock(&t->mu);
	next = atomic_load_explicit(&t->seq, memory_order_relaxed) + 1;
	note_purge(t, p, next);
	/* After the rule is in the table: who has read this number finds the rule. */
	atomic_store_explicit(&t->seq, next, memory_order_release);
	pthread_rwlock_unlock(&t->mu);
	*seq = next;
}

/* ---- Checking ---- */

static void look_at(const struct invalidation_table *t, uint64_t id, struct check *c)
{
	const struct cell *cell = &t->cells[id >> 48];
	struct place at = place_of(id);
	const struct part *p = &t->parts[at.part];
	const struct rule *r = p->newest > c->epoch ? rule_find(p, id, at.slot) : NULL;

	if (r)
		check_judge(c, r->hard_seq, r->soft_seq);
	if (t->folded_newest > c->epoch)
		check_judge(c, cell->hard_seq, cell->soft_seq);
	spreads_look(t, id, c);
}

/* The lengths of the 64 from 64 * i on that a prefix newer than `epoch` may have. */
static uint64_t lengths_newer(const struct invalidation_table *t, size_t i, uint64_t epoch)
{
	uint64_t bits = t->lengths[i].newest > epoch ? t->lengths[i].bits : 0;

	return t->folded_lengths[i].newest > epoch ? bits | t->folded_lengths[i].bits : bits;
}

/* One hash for each length that a prefix newer than the epoch may have, and the rule for it. */
static void look_at_url(const struct invalidation_table *t, struct slice url, struct check *c)
{
	uint64_t h = 0;
	size_t done = 0;

	for (size_t i = 0; i < LENGTHS_N && 64 * i <= url.n; i++) {
		uint64_t bits = lengths_newer(t, i, c->epoch);

		for (; bits && c->state != PURGED_HARD; bits &= bits - 1) {
			size_t n = 64 * i + (size_t)__builtin_ctzll(bits);

			if (n > url.n)
				break;
			h = hash_on(h, url.p, done, n);
			done = n;
			look_at(t, rule_id(PURGE_PREFIX, h), c);
		}
	}
	h = hash_on(h, url.p, done, url.n);
	look_at(t, rule_id(PURGE_URL, h), c);
}

/* Most URLs are in normal form, which this says at a fast look. */
static bool may_be_spelled_otherwise(struct slice url)
{
	return url.n > 0 && (memchr(url.p, '%', url.n) || memmem(url.p, url.n, "/.", 2));
}

/* As it is written, for prefixes that end within an escape, and as the rules of older checkpoints know nothing else; and in normal form. */
static void look_at_spellings(const struct invalidation_table *t, struct slice url, struct check *c)
{
	char normal[PREFIX_MAX];
	size_t n;

	look_at_url(t, url, c);
	if (c->state == PURGED_HARD || url.n > PREFIX_MAX || !may_be_spelled_otherwise(url))
		return;
	n = uri_normalize(url, true, normal);
	if (n < url.n)
		look_at_url(t, (struct slice){normal, n}, c);
}

/* Up to the epoch nothing has purged it: it was fetched then, or found valid. */
static void check_all(const struct invalidation_table *t, struct check *c)
{
	const struct purgeable *s = c->of;

	check_judge(c, higher(t->floor_seq, t->all_hard_seq), t->all_soft_seq);
	if (c->state == PURGED_HARD || (t->rules_n == 0 && t->folded_newest <= c->epoch && t->spreads.n == 0))
		return;
	if (t->spreads.n > 0)
		spreads_look(t, ALL_ID, c);
	look_at_spellings(t, s->url, c);
	for (unsigned i = 0; i < s->tags_n && c->state != PURGED_HARD; i++)
		look_at(t, rule_id(PURGE_TAG, s->tags[i]), c);
	if (s->user != 0 && c->state != PURGED_HARD)
		look_at(t, rule_id(PURGE_USER, s->user), c);
}

enum purge_state invalidation_check(
	struct invalidation_table *t, const struct purgeable *s, uint64_t epoch, _Atomic uint64_t *checked)
{
	uint64_t seq = invalidation_now(t), before = atomic_load_explicit(checked, memory_order_relaxed);
	struct check c = {.of = s, .epoch = higher(epoch, before), .pending = UINT64_MAX};

	if (before >= seq)
		return NOT_PURGED;
	pthread_rwlock_rdlock(&t->mu);
	check_all(t, &c);
	pthread_rwlock_unlock(&t->mu);
	/* `seq` was read before the table: what was purged meanwhile has a greater number and is looked for next time. So is a purge that
	 * will take it later: its number is above the epoch. */
	if (c.state == NOT_PURGED)
		atomic_store_explicit(checked, c.pending <= seq ? c.pending - 1 : seq, memory_order_relaxed);
	return c.state;
}

uint64_t invalidation_purged_by(struct invalidation_table *t, const struct purgeable *s, uint64_t epoch)
{
	struct check c = {.of = s, .epoch = epoch, .pending = UINT64_MAX};

	pthread_rwlock_rdlock(&t->mu);
	check_all(t, &c);
	pthread_rwlock_unlock(&t->mu);
	return c.by;
}

/* ---- Retiring ---- */

static void begin_retiring_locked(struct invalidation_table *t, uint64_t oldest_epoch)
{
	t->retired_seq = oldest_epoch;
	t->retire_parts = PARTS_N;
	/* With the cells go the lengths that are looked for in them. */
	if (t->folded_newest == 0 || t->folded_newest > oldest_epoch)
		return;
	memset(t->cells, 0, CELLS_N * sizeof(*t->cells));
	memset(t->folded_lengths, 0, sizeof(t->folded_lengths));
	t->folded_newest = 0;
}

/* What it cost: the slots that were looked at. */
static unsigned retire_part_locked(struct invalidation_table *t)
{
	struct part *p = &t->parts[--t->retire_parts];
	unsigned slots_n = p->slots_n;

	if (p->rules_n == 0 || p->oldest > t->retired_seq)
		return 1;
	rules_drop_up_to(t, p, t->retired_seq, false);
	return slots_n;
}

bool invalidation_retire(struct invalidation_table *t, uint64_t oldest_epoch, unsigned slots_max)
{
	bool is_through = false;

	for (unsigned looked = 0; looked < slots_max && !is_through;) {
		pthread_rwlock_wrlock(&t->mu);
		if (oldest_epoch > t->retired_seq)
			begin_retiring_locked(t, oldest_epoch);
		if (t->retire_parts > 0)
			looked += retire_part_locked(t);
		is_through = t->retire_parts == 0;
		if (is_through)
			atomic_store_explicit(&t->rules_left, t->rules_n, memory_order_relaxed);
		pthread_rwlock_unlock(&t->mu);
	}
	return is_through;
}

unsigned invalidation_rules(const struct invalidation_table *t)
{
	return atomic_load_explicit(&t->rules_n, memory_order_relaxed);
}

bool invalidation_has_grown(const struct invalidation_table *t)
{
	unsigned now = atomic_load_explicit(&t->rules_n, memory_order_relaxed);
	unsigned left = atomic_load_explicit(&t->rules_left, memory_order_relaxed);

	return now > left && now - left > t->max_rules / 8;
}

void invalidation_stats(const struct invalidation_table *t, struct invalidation_stats *out)
{
	struct invalidation_table *lockable =
		(struct invalidation_table *)(uintptr_t)t; /* reading takes the lock, which is no change */

	pthread_rwlock_rdlock(&lockable->mu);
	out->seq = invalidation_now(t);
	out->floor_seq = t->floor_seq;
	out->rules = t->rules_n;
	out->rules_bytes = t->slots_n * sizeof(struct rule);
	out->rules_folded = t->folded;
	out->floor_raised = t->floor_raised;
	out->spreads = t->spreads.n;
	out->spreads_at_once = t->spreads.at_once;
	pthread_rwlock_unlock(&lockable->mu);
}

/* ---- What a journal says ---- */

void invalidation_replay(struct invalidation_table *t, const struct purge *p, uint64_t seq)
{
	pthread_rwlock_wrlock(&t->mu);
	note_purge(t, p, seq);
	pthread_rwlock_unlock(&t->mu);
}

void invalidation_start_at(struct invalidation_table *t, uint64_t seq)
{
	pthread_rwlock_wrlock(&t->mu);
	if (seq > atomic_load_explicit(&t->seq, memory_order_relaxed))
		atomic_store_explicit(&t->seq, seq, memory_order_release);
	pthread_rwlock_unlock(&t->mu);
}
