/* SPDX-License-Identifier: MIT */
#include "cache/memory/chunks.h"

#include <errno.h>
#include <pthread.h>

#include "cache/memory/memory.h"

#define CHUNK_MIN 4096
#define CHUNK_MAX (256 * 1024)

struct chunk {
	struct chunk *next;
	uint64_t offset; /* of its first byte in the body */
	size_t cap;
	char bytes[];
};

struct chunks {
	int64_t announced;  /* set once */
	pthread_mutex_t mu; /* guards the list; bytes are published by the object's length */
	struct chunk *first, *last;
};

struct chunks *chunks_new(struct shard *s, int64_t announced)
{
	struct chunks *c = memory_take(s, sizeof(*c));

	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->announced = announced;
	if (pthread_mutex_init(&c->mu, NULL) != 0) {
		memory_give(s, c);
		return NULL;
	}
	return c;
}

int64_t chunks_announced(const struct chunks *c)
{
	return c->announced;
}

static void free_list(struct shard *s, struct chunk *k)
{
	for (struct chunk *next; k; k = next) {
		next = k->next;
		memory_give(s, k);
	}
}

void chunks_free(struct shard *s, struct chunks *c)
{
	free_list(s, c->first);
	pthread_mutex_destroy(&c->mu);
	memory_give(s, c);
}

/* Sized so that the allocation with its header fills whole pages. */
static struct chunk *new_chunk(struct shard *s, uint64_t offset, size_t cap, bool beyond)
{
	struct chunk *k = beyond ? memory_take_beyond(s, cap - 16) : memory_take(s, cap - 16);

	if (!k)
		return NULL;
	k->next = NULL;
	k->offset = offset;
	k->cap = cap - 16 - sizeof(*k);
	return k;
}

static struct chunk *new_chunks_for(struct shard *s, const struct chunks *c, uint64_t at, size_t n, bool beyond)
{
	struct chunk *list = NULL, **tail = &list;
	size_t cap = CHUNK_MIN;
	uint64_t end = at;

	if (c->last) {
		cap = 2 * (c->last->cap + 16 + sizeof(struct chunk));
		end = c->last->offset + c->last->cap;
	}
	while (end < at + n) {
		if (cap > CHUNK_MAX)
			cap = CHUNK_MAX;
		*tail = new_chunk(s, end, cap, beyond);
		if (!*tail) {
			free_list(s, list);
			return NULL;
		}
		end += (*tail)->cap;
		tail = &(*tail)->next;
		cap *= 2;
	}
	return list;
}

static void copy_in(struct chunk *k, uint64_t at, const char *p, size_t n)
{
	while (n > 0) {
		size_t into = (size_t)(at - k->offset), run = k->cap - into;

		if (run > n)
			run = n;
		memcpy(k->bytes + into, p, run);
		at += run;
		p += run;
		n -= run;
		k = k->next;
	}
}

static void link_list(struct chunks *c, struct chunk *list)
{
	pthread_mutex_lock(&c->mu);
	if (c->last)
		c->last->next = list;
	else
		c->first = list;
	while (list->next)
		list = list->next;
	c->last = list;
	pthread_mutex_unlock(&c->mu);
}

/* Only the filling thread changes the list's end, so it may read that without the lock. */
int chunks_append(struct shard *s, struct chunks *c, uint64_t at, const void *p, size_t n, bool beyond)
{
	struct chunk *from = c->last;
	uint64_t end = from ? from->offset + from->cap : 0;

	if (n == 0)
		return 0;
	if (!from || end < at + n) {
		struct chunk *list = new_chunks_for(s, c, at, n, beyond);

		if (!list)
			return -ENOMEM;
		if (!from || end <= at)
			from = list;
		link_list(c, list);
	}
	copy_in(from, at, p, n);
	return 0;
}

struct slice chunks_at(struct chunks *c, uint64_t offset, uint64_t available)
{
	struct slice run = {"", 0};
	const struct chunk *k;

	pthread_mutex_lock(&c->mu);
	for (k = c->first; k && k->offset + k->cap <= offset; k = k->next)
		;
	if (k && k->offset <= offset) {
		uint64_t end = k->offset + k->cap;

		run.p = k->bytes + (offset - k->offset);
		run.n = (end < available ? end : available) - offset;
	}
	pthread_mutex_unlock(&c->mu);
	return run;
}

void chunks_discard(struct shard *s, struct chunks *c, uint64_t offset)
{
	struct chunk *list = NULL, **tail = &list;

	pthread_mutex_lock(&c->mu);
	/* The last one stays: more may be written to it. */
	while (c->first && c->first != c->last && c->first->offset + c->first->cap <= offset) {
		*tail = c->first;
		tail = &c->first->next;
		c->first = c->first->next;
	}
	*tail = NULL;
	pthread_mutex_unlock(&c->mu);
	free_list(s, list);
}
