/* SPDX-License-Identifier: MIT */
#include "cache/body_reader.h"

#include <errno.h>

#include "cache/cache_internal.h"

struct body_block {
	unsigned refs; /* the reader's, and of each who sends from it */
	struct cache *cache;
	char bytes[TIER_BLOCK];
};

struct body_reader {
	struct cache *cache;
	struct object *object;
	struct tier_hold hold;
	struct tier_read read;
	struct body_block *block; /* NULL before the first */
	uint64_t offset;          /* of the block's bytes in the body */
	size_t n;                 /* how many they are; 0: none */
	bool is_reading, is_given_up;
	int err; /* of what cannot be mended */
	void (*on_ready)(void *arg);
	void *arg;
};

/* ---- Blocks ---- */

static struct body_block *block_new_for(struct cache *c)
{
	struct body_block *b = mem_alloc(sizeof(*b));

	if (!b)
		return NULL;
	b->refs = 1;
	b->cache = c;
	atomic_fetch_add_explicit(&c->n.large_read_bytes, sizeof(*b), memory_order_relaxed);
	return b;
}

void body_block_unref(struct body_block *b)
{
	if (!b || --b->refs > 0)
		return;
	atomic_fetch_sub_explicit(&b->cache->n.large_read_bytes, sizeof(*b), memory_order_relaxed);
	mem_free(b);
}

struct body_block *body_reader_block(struct body_reader *r)
{
	r->block->refs++;
	return r->block;
}

/* One that nobody sends from. */
static int fresh_block(struct body_reader *r)
{
	r->n = 0;
	if (r->block && r->block->refs == 1)
		return 0;
	body_block_unref(r->block);
	r->block = block_new_for(r->cache);
	return r->block ? 0 : -ENOMEM;
}

/* ---- Life ---- */

static void on_read(struct message *m);

int body_reader_new(struct cache *c, struct object *o, unsigned worker, void (*on_ready)(void *arg), void *arg,
	struct body_reader **out)
{
	struct body_reader *r = mem_zalloc(sizeof(*r));
	int err = -ENOMEM;

	*out = NULL;
	if (!r)
		return err;
	err = c->tier->ops->body_ref(c->tier, &r->hold, object_tier_body(o));
	if (err) {
		mem_free(r);
		return err;
	}
	r->cache = c;
	r->object = object_ref(o);
	r->on_ready = on_ready;
	r->arg = arg;
	r->read =
		(struct tier_read){.hold = &r->hold, .reply_to = c->o.mailboxes[worker], .message.on_message = on_read};
	count(&c->n.large_readers);
	*out = r;
	return 0;
}

static void reader_free(struct body_reader *r)
{
	uncount(&r->cache->n.large_readers);
	body_block_unref(r->block);
	r->cache->tier->ops->body_unref(r->cache->tier, &r->hold);
	object_unref(&r->object);
	mem_free(r);
}

void body_reader_free(struct body_reader **reader)
{
	struct body_reader *r = *reader;

	*reader = NULL;
	if (r && r->is_reading)
		r->is_given_up = true;
	else if (r)
		reader_free(r);
}

/* ---- Reading ---- */

/* That too many wait for the lower tier says nothing against what is there. */
static bool is_against_the_body(int err)
{
	return err != -EBUSY && err != -ENOMEM;
}

static void take(struct body_reader *r)
{
	r->err = r->read.err;
	r->n = r->read.bytes.n;
	if (r->err && is_against_the_body(r->err))
		r->cache->tier->ops->body_lose(r->cache->tier, object_tier_body(r->object));
}

static void on_read(struct message *m)
{
	struct body_reader *r = CONTAINER_OF(CONTAINER_OF(m, struct tier_read, message), struct body_reader, read);

	r->is_reading = false;
	uncount(&r->cache->tier_reads);
	take(r);
	if (r->is_given_up)
		reader_free(r);
	else
		r->on_ready(r->arg);
}

static void read_at(struct body_reader *r, uint64_t offset)
{
	r->offset = r->read.offset = offset;
	r->read.buffer = r->block->bytes;
	r->is_reading = true;
	count(&r->cache->tier_reads);
	if (r->cache->tier->ops->read(r->cache->tier, &r->read) == -EINPROGRESS)
		return;
	r->is_reading = false;
	uncount(&r->cache->tier_reads);
	take(r);
}

int body_reader_at(struct body_reader *r, uint64_t offset, struct slice *run)
{
	*run = (struct slice){"", 0};
	if (r->err || r->is_reading)
		return r->err ? r->err : -EINPROGRESS;
	if (offset < r->offset || offset >= r->offset + r->n) {
		if (fresh_block(r) != 0)
			return -ENOMEM;
		read_at(r, offset - offset % TIER_BLOCK);
		if (r->err || r->is_reading)
			return r->err ? r->err : -EINPROGRESS;
	}
	*run = (struct slice){r->block->bytes + (offset - r->offset), r->n - (size_t)(offset - r->offset)};
	return 0;
}
