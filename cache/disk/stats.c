/* SPDX-License-Identifier: MIT */
/* What operators see of the disk tier. */
#include "cache/disk/store_internal.h"

#define COPY(name) out->name = atomic_load_explicit(&d->n.name, memory_order_relaxed)

static void copy_counters(struct disk *d, struct disk_stats *out)
{
	COPY(hits);
	COPY(misses);
	COPY(absent);
	COPY(inline_reads);
	COPY(thread_reads);
	COPY(read_errors);
	COPY(bad_records);
	COPY(purged_reads);
	COPY(puts);
	COPY(put_bytes);
	COPY(written_bytes);
	COPY(reinserted_bytes);
	COPY(heads_written);
	COPY(dropped_queue);
	COPY(dropped_error);
	COPY(dropped_size);
	COPY(dropped_admit);
	COPY(dropped_outdated);
	COPY(dropped_slow);
	COPY(spared_segments);
	COPY(write_errors);
	COPY(reinserted);
	COPY(reads_refused);
	COPY(purges);
	COPY(forgets);
	COPY(checkpoints);
	COPY(checkpoint_errors);
	COPY(recovered_objects);
	COPY(recovered_segments);
	COPY(recovery_segments);
	COPY(recovery_ms);
	COPY(foreign_files);
	COPY(started_empty);
}

void disk_stats(struct tier *t, struct disk_stats *out)
{
	struct disk *d = disk_of(t);
	struct index_stats index;

	*out = (struct disk_stats){.size = d->o.size, .is_ready = disk_is_ready(d)};
	copy_counters(d, out);
	index_stats(&d->index, &index);
	out->objects = index.records;
	out->index_bytes = index.bytes;
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
