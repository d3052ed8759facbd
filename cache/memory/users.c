/* SPDX-License-Identifier: MIT */
/* The oldest entry of each user is in the shard's table and knows how many there are; the others hang on it in a ring. When it goes,
 * the next oldest takes its place. */
#include "cache/memory/users.h"

#include <errno.h>

#include "base/mem.h"

/* What nobody uses of the slots takes no memory: a large block comes zeroed from the system, page by page as it is written
 * to. */
#define BYTES_A_USER 4096
#define SLOTS_MIN 64

int users_init(struct memory *m, unsigned shards)
{
	m->user_slots_n = SLOTS_MIN;
	while (m->user_slots_n < UINT32_MAX / 2 && m->limit_bytes / BYTES_A_USER / shards > m->user_slots_n)
		m->user_slots_n *= 2;
	m->user_slots = mem_zalloc((size_t)m->user_slots_n * shards * sizeof(struct entry_user *));
	return m->user_slots ? 0 : -ENOMEM;
}

void users_fini(struct memory *m)
{
	mem_free(m->user_slots);
	m->user_slots = NULL;
}

static struct entry_user **slot_of(const struct shard *s, uint64_t user)
{
	return &s->users[user >> 32 & (s->memory->user_slots_n - 1)];
}

/* NULL: the user has none. Returns how many it looked at. */
static unsigned find(const struct shard *s, uint64_t user, struct entry_user **oldest)
{
	struct entry_user *u = *slot_of(s, user);
	unsigned looked = 0;

	for (; u && u->user != user; u = u->next)
		looked++;
	*oldest = u;
	return looked + (u != NULL);
}

/* u takes the place of what *from points to, NULL or another of that user. */
static void put(struct entry_user **from, struct entry_user *next, struct entry_user *u, unsigned n)
{
	u->n = n;
	u->from = from;
	u->next = next;
	if (next)
		next->from = &u->next;
	*from = u;
}

static unsigned append(struct shard *s, struct entry_user *u)
{
	struct entry_user **slot = slot_of(s, u->user), *oldest;
	unsigned looked = find(s, u->user, &oldest);

	if (oldest) {
		oldest->n++;
		link_append(&oldest->link, &u->link);
	} else {
		put(slot, *slot, u, 1);
	}
	return looked;
}

static void remove_oldest(struct entry_user *u)
{
	struct entry_user *heir = CONTAINER_OF(u->link.next, struct entry_user, link);

	if (heir != u) {
		put(u->from, u->next, heir, u->n - 1);
	} else {
		*u->from = u->next;
		if (u->next)
			u->next->from = u->from;
	}
	u->n = 0;
	link_remove(&u->link);
}

/* Harmless for one that is not among the user's. */
static unsigned remove_user(struct shard *s, struct entry_user *u)
{
	struct entry_user *oldest;
	unsigned looked = 0;

	if (u->n > 0) {
		remove_oldest(u);
	} else if (!link_is_empty(&u->link)) {
		looked = find(s, u->user, &oldest);
		oldest->n--;
		link_remove(&u->link);
	}
	return looked;
}

unsigned users_note_locked(struct entry *e, unsigned max, struct entry **over)
{
	struct entry_user *mine = entry_user_of(e), *oldest;
	unsigned looked = remove_user(e->shard, mine);

	looked += append(e->shard, mine);
	looked += find(e->shard, mine->user, &oldest);
	if (oldest->n <= max)
		return looked;
	remove_oldest(oldest);
	*over = oldest->entry;
	return looked;
}

void users_forget_locked(struct entry *e)
{
	remove_user(e->shard, entry_user_of(e));
}

void users_moved_locked(struct entry *e, struct entry *copy)
{
	struct entry_user *old = entry_user_of(e), *new = entry_user_of(copy);

	new->entry = copy;
	if (link_is_empty(&old->link)) {
		link_init(&new->link);
	} else {
		new->link.prev->next = &new->link;
		new->link.next->prev = &new->link;
	}
	if (new->n > 0)
		put(new->from, new->next, new, new->n);
}
