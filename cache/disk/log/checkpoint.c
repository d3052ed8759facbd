/* SPDX-License-Identifier: MIT */
#include "cache/disk/log/checkpoint.h"

#include <errno.h>

#include "base/hash.h"
#include "base/mem.h"

static size_t bytes_of(const struct checkpoint_header *h)
{
	return sizeof(*h) + h->rules_n * sizeof(struct invalidation_rule) + h->forgets_n * sizeof(struct forgotten) + 8;
}

static void *copy_of(const char *p, size_t n)
{
	void *copy = mem_alloc(n);

	if (copy && n > 0)
		memcpy(copy, p, n);
	return copy;
}

int checkpoint_read(const void *p, size_t n, uint64_t store, struct checkpoint *out)
{
	const char *at = (const char *)p + sizeof(out->h);
	uint64_t sum;

	*out = (struct checkpoint){0};
	if (n < sizeof(out->h) + 8)
		return -EBADMSG;
	memcpy(&out->h, p, sizeof(out->h));
	memcpy(&sum, (const char *)p + n - 8, 8);
	if (out->h.magic != CHECKPOINT_MAGIC || out->h.store != store || sum != XXH3_64bits(p, n - 8))
		return -EBADMSG;
	if (out->h.rules_n > n / sizeof(struct invalidation_rule) || out->h.forgets_n > n / sizeof(struct forgotten) ||
		bytes_of(&out->h) != n)
		return -EBADMSG;
	out->rules = copy_of(at, out->h.rules_n * sizeof(struct invalidation_rule));
	at += out->h.rules_n * sizeof(struct invalidation_rule);
	out->forgets = copy_of(at, out->h.forgets_n * sizeof(struct forgotten));
	if (out->rules && out->forgets)
		return 0;
	checkpoint_fini(out);
	return -ENOMEM;
}

int checkpoint_write(const struct checkpoint *c, void **p, size_t *n)
{
	struct checkpoint_header h = c->h;
	char *at;
	uint64_t sum;

	h.magic = CHECKPOINT_MAGIC;
	*n = bytes_of(&h);
	*p = at = mem_alloc(*n);
	if (!at)
		return -ENOMEM;
	memcpy(at, &h, sizeof(h));
	at += sizeof(h);
	if (h.rules_n > 0)
		memcpy(at, c->rules, h.rules_n * sizeof(*c->rules));
	at += h.rules_n * sizeof(*c->rules);
	if (h.forgets_n > 0)
		memcpy(at, c->forgets, h.forgets_n * sizeof(*c->forgets));
	at += h.forgets_n * sizeof(*c->forgets);
	sum = XXH3_64bits(*p, *n - 8);
	memcpy(at, &sum, 8);
	return 0;
}

void checkpoint_fini(struct checkpoint *c)
{
	mem_free(c->rules);
	mem_free(c->forgets);
	c->rules = NULL;
	c->forgets = NULL;
}
