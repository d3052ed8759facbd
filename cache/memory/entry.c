/* SPDX-License-Identifier: MIT */
/* Entries of the memory tier: one a key, from its making to the last reference. What is in them, shard.c does. */
#include "cache/memory/memory.h"

/* Behind the key, where it is aligned for what it holds. */
static size_t user_offset(size_t key_n)
{
	size_t at = sizeof(struct entry) + key_n;

	return (at + _Alignof(struct entry_user) - 1) & ~(_Alignof(struct entry_user) - 1);
}

struct entry_user *entry_user_of(const struct entry *e)
{
	return (struct entry_user *)((uintptr_t)e + user_offset(e->hh.keylen));
}

struct entry *entry_new(struct shard *s, const struct cache_key *key)
{
	size_t n =
		key->user ? user_offset(key->bytes.n) + sizeof(struct entry_user) : sizeof(struct entry) + key->bytes.n;
	struct entry *e;

	CHECK(key->bytes.n <= CACHE_KEY_MAX); /* so that offsets fit */
	e = memory_take(s, n);
	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	atomic_init(&e->refs, 1);
	e->shard = s;
	e->url_off = (uint16_t)key->url_off;
	e->url_n = (uint16_t)key->url_n;
	e->has_user = key->user != 0;
	memcpy(e->key, key->bytes.p, key->bytes.n);
	e->hh.keylen = (unsigned)key->bytes.n;
	if (e->has_user) {
		*entry_user_of(e) = (struct entry_user){.user = key->user, .entry = e};
		link_init(&entry_user_of(e)->link);
	}
	e->hh.hashv = (unsigned)key->place;
	return e;
}

struct markers *markers_new(struct shard *s)
{
	struct markers *n = memory_take(s, sizeof(*n));

	if (!n)
		return NULL;
	memset(n, 0, sizeof(*n));
	n->shard = s;
	return n;
}

struct entry *entry_ref(struct entry *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

void entry_unref(struct entry **e)
{
	struct entry *gone = *e;

	*e = NULL;
	if (gone && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
		memory_give(gone->shard, gone);
}

struct slice entry_url(const struct entry *e)
{
	return (struct slice){e->key + e->url_off, e->url_n};
}

uint64_t entry_user(const struct entry *e)
{
	return e->has_user ? entry_user_of(e)->user : 0;
}
