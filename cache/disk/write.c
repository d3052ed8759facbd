/* SPDX-License-Identifier: MIT */
/* The one thread that writes: what is queued (queue.c), and what arrives meanwhile (stream.c). */
#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/disk/body.h"
#include "cache/disk/stream.h"

/* ---- One record ---- */

static struct slice whole_run(const struct tier_source *s, uint64_t at, uint64_t most)
{
	struct slice run = s->body_at(s, at);

	if (run.n > most)
		run.n = (size_t)most;
	return run;
}

static uint64_t block_sum(const struct tier_source *s, uint64_t at, uint64_t n)
{
	struct slice run = whole_run(s, at, n);
	XXH3_state_t state;

	if (run.n == n)
		return XXH3_64bits(run.p, run.n);
	XXH3_64bits_reset(&state);
	for (uint64_t done = 0; done < n; done += run.n) {
		run = whole_run(s, at + done, n - done);
		XXH3_64bits_update(&state, run.p, run.n);
	}
	return XXH3_64bits_digest(&state);
}

static uint64_t *sums_of(const struct tier_source *s)
{
	uint64_t n = record_blocks(s->body_n), *sums = mem_alloc(n * sizeof(*sums));

	for (uint64_t i = 0; sums && i < n; i++) {
		uint64_t at = i * RECORD_BLOCK, left = s->body_n - at;

		sums[i] = block_sum(s, at, left < RECORD_BLOCK ? left : RECORD_BLOCK);
	}
	return sums;
}

/* The record whose body a head update may refer to: it has to be proved that the bytes are the same. */
static bool find_base(struct disk *d, const struct tier_source *s, struct record_header *h)
{
	struct index_slot found[INDEX_FOUND_MAX];
	unsigned n = index_find(&d->index, s->hash, false, found);
	struct record_header base;
	char bytes[sizeof(base)];

	for (unsigned i = 0; i < n; i++) {
		struct segment *seg;
		uint64_t at = (uint64_t)found[i].off8 * 8;
		bool right = false;

		if (found[i].kind == INDEX_HEAD || found[i].variant != s->variant)
			continue;
		seg = segment_get(&d->segments, found[i].seg);
		if (seg && at < seg->size && disk_read_at(d, seg, bytes, sizeof(bytes), at, true) == 0)
			right = record_read_header(bytes, seg->generation, seg->size - at, &base) == 0;
		segment_unref(&d->segments, &seg);
		if (right && base.lsn == found[i].lsn && base.key_hi == s->hash.hi && base.kind == RECORD_WHOLE &&
			base.body_n == h->body_n && base.sums_sum == h->sums_sum) {
			h->kind = RECORD_HEAD;
			h->base_lsn = base.lsn;
			return true;
		}
	}
	return false;
}

static int put_meta(struct appender *a, const struct tier_source *s, struct record_header *h)
{
	const struct record_parts parts = {s->key, s->vary_names, s->vary_values, s->head, s->tags};
	size_t n = sizeof(*h) + record_meta_n(h);
	char *p;
	int err;

	h->generation = a->seg->generation;
	/* Most fit into the buffer where they stand. */
	if (n <= APPEND_BUFFER - a->used) {
		record_write_meta(a->buf + a->used, h, &parts);
		a->used += n;
		return 0;
	}
	p = mem_alloc(n);
	if (!p)
		return -ENOMEM;
	record_write_meta(p, h, &parts);
	err = appender_bytes(a, p, n);
	mem_free(p);
	return err;
}

static int put_body(struct appender *a, const struct tier_source *s, const uint64_t *sums)
{
	struct slice run;
	int err = 0;

	for (uint64_t at = 0; !err && at < s->body_n; at += run.n) {
		run = whole_run(s, at, s->body_n - at);
		err = appender_bytes(a, run.p, run.n);
	}
	if (!err)
		err = appender_zeros(a, (size_t)(record_pad(s->body_n) - s->body_n));
	if (!err)
		err = appender_bytes(a, sums, record_blocks(s->body_n) * sizeof(*sums));
	return err;
}

static int append(struct appender *a, const struct tier_source *s, struct record_header *h, const uint64_t *sums,
	bool own_segment)
{
	struct pending p = {
		.hash = s->hash,
		.base_lsn = h->base_lsn,
		.slot = {.key = s->hash.lo, .lsn = s->lsn, .variant = s->variant},
		.replaces = s->replaces,
		.replaced_age = s->replaced_age,
	};
	int err = appender_begin(a, record_total(h), own_segment);

	p.slot.kind = h->kind == RECORD_HEAD ? INDEX_HEAD : INDEX_WHOLE;
	if (!err)
		err = put_meta(a, s, h);
	if (!err && h->kind == RECORD_WHOLE)
		err = put_body(a, s, sums);
	if (!err)
		err = appender_end(a, h, &p);
	if (!err && own_segment) {
		err = appender_flush(a);
		if (!err)
			appender_seal(a);
	}
	if (err)
		appender_fail(a, err);
	return err;
}

/* What failed is out of date at once: an older record must not stand in for it, now or after a restart. */
static void drop_source(struct disk *d, const struct tier_source *s)
{
	disk_add(&d->n.dropped_error, 1);
	if (index_drop_variant(&d->index, s->hash, s->variant, s->lsn) > 0 || s->replaces)
		disk_forget_before(&d->tier, s->hash, s->lsn);
}

/* A newer one was dropped, so this is not to be written; what it was to replace is older still. */
static bool drop_outdated(struct disk *d, const struct tier_source *s)
{
	uint64_t newer = disk_dropped_after(d, s->hash, s->lsn);

	if (newer == 0)
		return false;
	disk_add(&d->n.dropped_outdated, 1);
	if (s->replaces)
		disk_forget_before(&d->tier, s->hash, newer);
	return true;
}

static void write_source(struct disk *d, const struct tier_source *s)
{
	uint64_t *made = s->body ? NULL : sums_of(s);
	const uint64_t *sums = s->body ? disk_body_sums(s->body) : made;
	struct record_header h;
	struct appender *a = &d->log;
	int err = sums ? 0 : -ENOMEM;
	bool own = false;

	if (!err) {
		h = disk_header_of(d, s);
		h.sums_sum = XXH3_64bits(sums, record_blocks(s->body_n) * sizeof(*sums));
		if (s->is_refresh && (s->body || s->body_n > DISK_REFRESH_WHOLE_MAX)) {
			err = appender_flush(&d->log);
			if (err)
				appender_fail(&d->log, err);
			else if (find_base(d, s, &h))
				disk_add(&d->n.heads_written, 1);
			else if (s->body)
				err = -ESTALE; /* the body has gone, and with it what its head is for */
		}
	}
	if (!err && record_total(&h) > d->own_segment_from) {
		own = true;
		a = &d->own;
		err = appender_flush(&d->log);
		if (err)
			appender_fail(&d->log, err);
	}
	if (!err)
		err = append(a, s, &h, sums, own);
	if (err) {
		drop_source(d, s);
	} else {
		disk_add(&d->n.puts, 1);
		disk_add(&d->n.put_bytes, record_total(&h));
	}
	mem_free(made);
}

/* ---- The thread ---- */

static void finished(struct disk *d, unsigned n, uint64_t bytes)
{
	pthread_mutex_lock(&d->queue_mu);
	d->queue_n -= n;
	d->queue_bytes -= bytes;
	if (d->queue_n == 0)
		pthread_cond_broadcast(&d->queue_changed);
	pthread_mutex_unlock(&d->queue_mu);
}

/* Writes resting: drop at once what had been queued before the failure. */
static bool is_resting(struct disk *d)
{
	return clock_now().mono_ms < atomic_load_explicit(&d->retry_at_ms, memory_order_relaxed);
}

static void write_batch(struct disk *d, struct link *batch)
{
	unsigned n = 0;
	uint64_t bytes = 0, last_lsn = 0;
	int err;

	for (struct link *l; (l = link_take_first(batch));) {
		struct tier_source *s = CONTAINER_OF(l, struct tier_source, link);

		n++;
		bytes += disk_source_bytes(s);
		last_lsn = s->lsn;
		if (is_resting(d))
			drop_source(d, s);
		else if (!drop_outdated(d, s))
			write_source(d, s);
		s->on_release(s);
	}
	err = appender_flush(&d->log);
	if (err)
		appender_fail(&d->log, err);
	disk_raise(&d->written_lsn, last_lsn);
	finished(d, n, bytes);
}

static bool is_to_seal_locked(struct disk *d)
{
	return atomic_load(&d->is_given) && !d->is_sealed;
}

/* What it holds is older than what rules shall be kept for. */
static bool log_is_old(const struct disk *d)
{
	return d->log.seg && atomic_load(&d->log.seg->min_epoch) < atomic_load(&d->settle_up_to);
}

/* What was queued is written, and nothing more will be. */
static void seal_locked(struct disk *d)
{
	pthread_mutex_unlock(&d->queue_mu);
	appender_seal(&d->log);
	pthread_mutex_lock(&d->queue_mu);
	d->is_sealed = true;
	pthread_cond_broadcast(&d->queue_changed);
}

void *disk_writer(void *arg)
{
	struct disk *d = arg;

	pthread_mutex_lock(&d->queue_mu);
	for (;;) {
		struct link batch;
		struct disk_stream *st;

		while (link_is_empty(&d->queue) && link_is_empty(&d->streams) && !atomic_load(&d->stopping) &&
			!is_to_seal_locked(d) && !log_is_old(d))
			pthread_cond_wait(&d->queue_changed, &d->queue_mu);
		link_init(&batch);
		link_splice(&batch, &d->queue);
		st = disk_stream_take_locked(d);
		if (link_is_empty(&batch) && !st) {
			if (is_to_seal_locked(d)) {
				seal_locked(d);
			} else if (atomic_load(&d->stopping)) {
				break;
			} else {
				pthread_mutex_unlock(&d->queue_mu);
				appender_seal(&d->log);
				pthread_mutex_lock(&d->queue_mu);
			}
			continue;
		}
		pthread_mutex_unlock(&d->queue_mu);
		if (!link_is_empty(&batch))
			write_batch(d, &batch);
		if (st)
			disk_stream_go_on(st);
		pthread_mutex_lock(&d->queue_mu);
	}
	pthread_mutex_unlock(&d->queue_mu);
	appender_seal(&d->log);
	return NULL;
}
