/* SPDX-License-Identifier: MIT */
/* What operators see of the disk tier. */
#include "cache/disk/store_internal.h"

void disk_stats(struct tier *t, struct disk_stats *out)
{
	struct disk *d = disk_of(t);
	struct index_stats index;

	*out = (struct disk_stats){
#define IN_COUNTED(counter) atomic_load_explicit(&d->n.counter, memory_order_relaxed)
#define IN_ASKED(counter) 0
#define STAT(where, kind, name, help) .name = IN_##where(name),
#include "cache/disk/disk_stats.def"
	};
	out->size = d->o.size;
	out->is_ready = disk_is_ready(d);
	index_stats(&d->index, &index);
	out->objects = index.records;
	out->index_bytes = index.bytes;
	out->dropped_variants = index.dropped_variants;
	pthread_mutex_lock(&d->segments.mu);
	out->bytes = d->segments.allocated;
	out->segments = d->segments.count;
	pthread_mutex_unlock(&d->segments.mu);
	out->reclaimed_segments = atomic_load(&d->segments.reclaimed);
	out->unlink_errors = atomic_load(&d->segments.unlink_errors);
	pthread_mutex_lock(&d->queue_mu);
	out->queue = d->queue_n;
	out->queue_bytes = d->queue_bytes;
	pthread_mutex_unlock(&d->queue_mu);
	pthread_mutex_lock(&d->journal.mu);
	out->journal_errors = d->journal.errors;
	out->journal_syncs = d->journal.syncs;
	pthread_mutex_unlock(&d->journal.mu);
}
