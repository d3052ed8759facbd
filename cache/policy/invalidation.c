/* SPDX-License-Identifier: MIT */
#include "cache/policy/invalidation.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "cache/policy/key.h"

/* Two purges whose hashes collide share a rule: that invalidates too much and never too little, so 64 bits do. */
struct rule {
	uint64_t id; /* 0: free slot */
	uint64_t hard_seq, soft_seq;
	uint32_t prefix_n; /* of PURGE_PREFIX, else 0 */
};

/* No answer has a longer URL. */
#define PREFIX_MAX CACHE_KEY_MAX
#define SLOTS_MIN 64

/* Which of 64 lengths prefixes have, and the newest number among them: what was found valid since need not look for them again. */
struct lengths {
	uint64_t bits, newest;
};
#define LENGTHS_N (PREFIX_MAX / 64 + 1)

struct invalidation_table {
	unsigned max_rules;  /* set once */
	char pad_before[64]; /* every hit reads seq: nothing that is written more often shares its cache line */
	_Atomic uint64_t seq;
	char pad_after[64];
	pthread_rwlock_t mu;
	/* guarded by mu */
	struct rule *slots; /* open addressing with linear probing, a power of two, at most half full */
	unsigned slots_n, rules_n;
	uint64_t floor_seq, floor_raised;
	uint64_t all_hard_seq, all_soft_seq;
	uint64_t retired_seq; /* nothing older is left, but for what might come back from a disk */
	struct lengths lengths[LENGTHS_N];
};

/* ---- A purge ---- */

const char *const purge_kind_names[PURGE_KINDS_N] = {
#define PURGE_KIND(KIND, name) name,
	PURGE_KINDS(PURGE_KIND)
#undef PURGE_KIND
};

struct purge_code purge_encode(const struct purge *p)
{
	return (struct purge_code){(uint8_t)p->kind, p->soft};
}

bool purge_decode(struct purge_code code, uint64_t user, struct slice what, struct purge *out)
{
	*out = (struct purge){(enum purge_kind)code.kind, code.soft != 0, what, user};
	return code.kind < PURGE_KINDS_N;
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
	t->slots_n = SLOTS_MIN;
	t->slots = mem_zalloc(SLOTS_MIN * sizeof(*t->slots));
	if (!t->slots)
		goto fail_slots;
	if (init_lock(&t->mu) != 0)
		goto fail_lock;
	atomic_init(&t->seq, 1);
	*out = t;
	return 0;

fail_lock:
	mem_free(t->slots);
fail_slots:
	mem_free(t);
	return -ENOMEM;
}

void invalidation_table_free(struct invalidation_table **t)
{
	if (!*t)
		return;
	pthread_rwlock_destroy(&(*t)->mu);
	mem_free((*t)->slots);
	mem_free(*t);
	*t = NULL;
}

uint64_t invalidation_now(const struct invalidation_table *t)
{
	return atomic_load_explicit(&t->seq, memory_order_acquire);
}

/* ---- The table ---- */

static uint64_t rule_seq(const struct rule *r)
{
	return r->hard_seq > r->soft_seq ? r->hard_seq : r->soft_seq;
}

/* The slot that holds id, or the free one where it would go. */
static struct rule *slot_for(struct rule *slots, unsigned slots_n, uint64_t id)
{
	unsigned i = (unsigned)hash_keyed_u64(id) & (slots_n - 1);

	while (slots[i].id != 0 && slots[i].id != id)
		i = (i + 1) & (slots_n - 1);
	return &slots[i];
}

static void note_length(struct invalidation_table *t, uint32_t n, uint64_t seq)
{
	struct lengths *l = &t->lengths[n / 64];

	l->bits |= UINT64_C(1) << n % 64;
	if (seq > l->newest)
		l->newest = seq;
}

/* Keeps the rules above `seq`, in a table of slots_n. On -ENOMEM nothing has changed. */
static int rebuild(struct invalidation_table *t, uint64_t seq, unsigned slots_n)
{
	struct rule *slots = mem_zalloc(slots_n * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	t->rules_n = 0;
	memset(t->lengths, 0, sizeof(t->lengths));
	for (unsigned i = 0; i < t->slots_n; i++) {
		const struct rule *r = &t->slots[i];

		if (r->id == 0 || rule_seq(r) <= seq)
			continue;
		*slot_for(slots, slots_n, r->id) = *r;
		t->rules_n++;
		if (r->prefix_n > 0)
			note_length(t, r->prefix_n, rule_seq(r));
	}
	mem_free(t->slots);
	t->slots = slots;
	t->slots_n = slots_n;
	return 0;
}

/* All responses with an epoch below `seq` are invalid from now on, so no rule up to it is needed. */
static void raise_floor(struct invalidation_table *t, uint64_t seq)
{
	if (seq > t->floor_seq)
		t->floor_seq = seq;
	t->floor_raised++;
}

/* The last resort when there is no memory to rebuild with: the floor covers every rule there is, so all of them go. */
static void forget_all(struct invalidation_table *t, uint64_t seq)
{
	raise_floor(t, seq);
	memset(t->slots, 0, t->slots_n * sizeof(*t->slots));
	t->rules_n = 0;
	memset(t->lengths, 0, sizeof(t->lengths));
}

static int by_seq(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Full: the older half of the rules is replaced by the floor. A cost of O(n log n) once every n/2 purges. */
static void make_room(struct invalidation_table *t, uint64_t next)
{
	uint64_t *seqs = mem_alloc(t->rules_n * sizeof(*seqs)), cut;
	unsigned n = 0;

	if (!seqs) {
		forget_all(t, next);
		return;
	}
	for (unsigned i = 0; i < t->slots_n; i++)
		if (t->slots[i].id != 0)
			seqs[n++] = rule_seq(&t->slots[i]);
	qsort(seqs, n, sizeof(*seqs), by_seq);
	cut = seqs[n / 2];
	mem_free(seqs);
	if (rebuild(t, cut, t->slots_n) != 0)
		forget_all(t, next);
	else
		raise_floor(t, cut);
}

static int note_rule(struct invalidation_table *t, uint64_t id, uint32_t prefix_n, bool soft, uint64_t next)
{
	struct rule *r = slot_for(t->slots, t->slots_n, id);

	if (r->id == 0) {
		if (t->rules_n >= t->max_rules)
			make_room(t, next);
		else if (2 * (t->rules_n + 1) > t->slots_n && rebuild(t, 0, 2 * t->slots_n) != 0)
			return -ENOMEM;
		r = slot_for(t->slots, t->slots_n, id);
		t->rules_n++;
		r->id = id;
	}
	r->prefix_n = prefix_n;
	*(soft ? &r->soft_seq : &r->hard_seq) = next;
	if (prefix_n > 0)
		note_length(t, prefix_n, next);
	return 0;
}

/* ---- Purging ---- */

static int note_purge(struct invalidation_table *t, const struct purge *p, uint64_t next)
{
	enum purge_kind kind = p->kind;
	uint32_t prefix_n = 0;
	uint64_t h = 0;

	switch (kind) {
	case PURGE_URL:
		h = hash_on(0, p->what.p, 0, p->what.n);
		break;
	case PURGE_PREFIX:
		if (p->what.n > PREFIX_MAX)
			return 0; /* nothing begins so */
		prefix_n = (uint32_t)p->what.n;
		if (prefix_n == 0)
			kind = PURGE_ALL;
		h = hash_on(0, p->what.p, 0, prefix_n);
		break;
	case PURGE_TAG:
		h = purge_tag_hash(p->what);
		break;
	case PURGE_USER:
		h = p->user;
		break;
	case PURGE_ALL:
		break;
	}
	if (kind == PURGE_ALL) {
		*(p->soft ? &t->all_soft_seq : &t->all_hard_seq) = next;
		return 0;
	}
	return note_rule(t, rule_id(kind, h), prefix_n, p->soft, next);
}

int invalidation_purge(struct invalidation_table *t, const struct purge *p, uint64_t *seq)
{
	uint64_t next;
	int err;

	pthread_rwlock_wrlock(&t->mu);
	next = atomic_load_explicit(&t->seq, memory_order_relaxed) + 1;
	err = note_purge(t, p, next);
	if (err)
		forget_all(t, next);
	/* After the rule is in the table: who has read this number finds the rule. */
	atomic_store_explicit(&t->seq, next, memory_order_release);
	pthread_rwlock_unlock(&t->mu);
	*seq = next;
	return err;
}

/* ---- Checking ---- */

static void look_at(const struct invalidation_table *t, uint64_t id, uint64_t epoch, enum purge_state *state)
{
	const struct rule *r = slot_for(t->slots, t->slots_n, id);

	if (r->id == 0)
		return;
	if (r->hard_seq > epoch)
		*state = PURGED_HARD;
	else if (r->soft_seq > epoch && *state == NOT_PURGED)
		*state = PURGED_SOFT;
}

/* One hash for each length that a prefix newer than `since` may have, and the rule for it. */
static void look_at_url(
	const struct invalidation_table *t, struct slice url, uint64_t epoch, uint64_t since, enum purge_state *state)
{
	uint64_t h = 0;
	size_t done = 0;

	for (size_t i = 0; i < LENGTHS_N && 64 * i <= url.n; i++) {
		uint64_t bits = t->lengths[i].newest > since ? t->lengths[i].bits : 0;

		for (; bits && *state != PURGED_HARD; bits &= bits - 1) {
			size_t n = 64 * i + (size_t)__builtin_ctzll(bits);

			if (n > url.n)
				break;
			h = hash_on(h, url.p, done, n);
			done = n;
			look_at(t, rule_id(PURGE_PREFIX, h), epoch, state);
		}
	}
	h = hash_on(h, url.p, done, url.n);
	look_at(t, rule_id(PURGE_URL, h), epoch, state);
}

/* Up to `checked` nothing has purged it. */
static enum purge_state check_all(
	const struct invalidation_table *t, const struct purgeable *s, uint64_t epoch, uint64_t checked)
{
	enum purge_state state = NOT_PURGED;

	if (epoch < t->floor_seq || epoch < t->all_hard_seq)
		return PURGED_HARD;
	if (epoch < t->all_soft_seq)
		state = PURGED_SOFT;
	if (t->rules_n == 0)
		return state;
	look_at_url(t, s->url, epoch, checked > epoch ? checked : epoch, &state);
	for (unsigned i = 0; i < s->tags_n && state != PURGED_HARD; i++)
		look_at(t, rule_id(PURGE_TAG, s->tags[i]), epoch, &state);
	if (s->user != 0 && state != PURGED_HARD)
		look_at(t, rule_id(PURGE_USER, s->user), epoch, &state);
	return state;
}

enum purge_state invalidation_check(
	struct invalidation_table *t, const struct purgeable *s, uint64_t epoch, _Atomic uint64_t *checked)
{
	uint64_t seq = invalidation_now(t), before = atomic_load_explicit(checked, memory_order_relaxed);
	enum purge_state state;

	if (before >= seq)
		return NOT_PURGED;
	pthread_rwlock_rdlock(&t->mu);
	state = check_all(t, s, epoch, before);
	pthread_rwlock_unlock(&t->mu);
	/* `seq` was read before the table: what was purged meanwhile has a greater number and is looked for next time. */
	if (state == NOT_PURGED)
		atomic_store_explicit(checked, seq, memory_order_relaxed);
	return state;
}

void invalidation_retire(struct invalidation_table *t, uint64_t oldest_epoch)
{
	unsigned slots_n = SLOTS_MIN, kept = 0;

	pthread_rwlock_wrlock(&t->mu);
	if (oldest_epoch > t->retired_seq)
		t->retired_seq = oldest_epoch;
	for (unsigned i = 0; i < t->slots_n; i++)
		kept += t->slots[i].id != 0 && rule_seq(&t->slots[i]) > oldest_epoch;
	while (slots_n < 4 * kept)
		slots_n *= 2;
	/* Without memory they stay until the next time. */
	if (kept < t->rules_n)
		(void)rebuild(t, oldest_epoch, slots_n);
	pthread_rwlock_unlock(&t->mu);
}

void invalidation_stats(const struct invalidation_table *t, struct invalidation_stats *out)
{
	struct invalidation_table *lockable =
		(struct invalidation_table *)(uintptr_t)t; /* reading takes the lock, which is no change */

	pthread_rwlock_rdlock(&lockable->mu);
	out->seq = invalidation_now(t);
	out->floor_seq = t->floor_seq;
	out->rules = t->rules_n;
	out->floor_raised = t->floor_raised;
	pthread_rwlock_unlock(&lockable->mu);
}

/* ---- Beyond the life of a process ---- */

static uint64_t higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

int invalidation_export(struct invalidation_table *t, struct invalidation_image *out)
{
	int err = 0;

	pthread_rwlock_rdlock(&t->mu);
	*out = (struct invalidation_image){
		.floor_seq = higher(t->floor_seq, t->retired_seq),
		.all_hard_seq = t->all_hard_seq,
		.all_soft_seq = t->all_soft_seq,
		.rules = mem_alloc(t->rules_n * sizeof(*out->rules)),
	};
	if (!out->rules)
		err = -ENOMEM;
	for (unsigned i = 0; !err && i < t->slots_n; i++) {
		const struct rule *r = &t->slots[i];

		if (r->id != 0)
			out->rules[out->rules_n++] =
				(struct invalidation_rule){r->id, r->hard_seq, r->soft_seq, r->prefix_n, 0};
	}
	pthread_rwlock_unlock(&t->mu);
	return err;
}

/* An older number never replaces a newer one. */
static void restore_locked(struct invalidation_table *t, uint64_t id, uint32_t prefix_n, bool soft, uint64_t seq)
{
	const struct rule *r = slot_for(t->slots, t->slots_n, id);

	if (r->id != 0 && (soft ? r->soft_seq : r->hard_seq) >= seq)
		return;
	if (id == 0 || prefix_n > PREFIX_MAX || note_rule(t, id, prefix_n, soft, seq) != 0)
		raise_floor(t, seq);
}

void invalidation_import(struct invalidation_table *t, const struct invalidation_image *in)
{
	pthread_rwlock_wrlock(&t->mu);
	t->floor_seq = higher(t->floor_seq, in->floor_seq);
	t->all_hard_seq = higher(t->all_hard_seq, in->all_hard_seq);
	t->all_soft_seq = higher(t->all_soft_seq, in->all_soft_seq);
	for (unsigned i = 0; i < in->rules_n; i++) {
		const struct invalidation_rule *r = &in->rules[i];

		if (r->hard_seq > 0)
			restore_locked(t, r->id, r->prefix_n, false, r->hard_seq);
		if (r->soft_seq > 0)
			restore_locked(t, r->id, r->prefix_n, true, r->soft_seq);
	}
	pthread_rwlock_unlock(&t->mu);
}

void invalidation_replay(struct invalidation_table *t, const struct purge *p, uint64_t seq)
{
	pthread_rwlock_wrlock(&t->mu);
	if (note_purge(t, p, seq) != 0)
		raise_floor(t, seq);
	pthread_rwlock_unlock(&t->mu);
}

void invalidation_start_at(struct invalidation_table *t, uint64_t seq)
{
	pthread_rwlock_wrlock(&t->mu);
	if (seq > atomic_load_explicit(&t->seq, memory_order_relaxed))
		atomic_store_explicit(&t->seq, seq, memory_order_release);
	pthread_rwlock_unlock(&t->mu);
}
