#include "cache/tier_large.h"

#include "cache/disk/body.h"

struct block *tier_place_block(struct entry *e, const struct disk_body *b)
{
	size_t n = disk_body_bytes(b->n);
	struct block *block = block_new(e->shard, n);

	if (block)
		memcpy(block->bytes, b, n);
	return block;
}
