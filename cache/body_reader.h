/* SPDX-License-Identifier: MIT */
/* One response's way through a body that lies in the lower tier: one verified block of it at a time.
 * Thread: one worker's. Owns: a reference to the object, a hold on its file, one block; whoever still sends from a block
 * holds that too. Bounds: one read under way; blocks by how much its caller lets wait to be sent. */
#ifndef CACHE_BODY_READER_H
#define CACHE_BODY_READER_H

#include "cache/cache.h"

struct body_reader;
struct body_block;

/* on_ready comes from the worker's mailbox, never from inside a call. 0; -ENOMEM; -ESTALE: the body is gone. */
int body_reader_new(struct cache *c, struct object *o, unsigned worker, void (*on_ready)(void *arg), void *arg,
	struct body_reader **out) WARN_UNUSED;
/* At any time; a read under way ends by itself. */
void body_reader_free(struct body_reader **r);

/* The run of the body that is at hand from `offset` on; valid until the next call, or as long as its block is held. 0;
 * -EINPROGRESS: ask again after on_ready; else it can't be had: what is wrong there is not found by lookups any more. */
int body_reader_at(struct body_reader *r, uint64_t offset, struct slice *run) WARN_UNUSED;
/* The block of the last run, with a reference, to be given back on the same thread. */
struct body_block *body_reader_block(struct body_reader *r);
void body_block_unref(struct body_block *b);

#endif
