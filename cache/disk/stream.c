/* SPDX-License-Identifier: MIT */
/* Putting responses as they arrive: pieces on their way to the writer, which gives each such response a segment of its own.
 * A file of these is no segment before its header, which is the last that is written. */
#include "cache/disk/stream.h"

#include <errno.h>

#include "base/log.h"
#include "base/mem.h"

#define PIECE TIER_BLOCK
_Static_assert(PIECE == RECORD_BLOCK, "a piece has one sum");
#define GROW_MIN_MAX ((uint64_t)1 << 20)
#define GROW_MAX ((uint64_t)16 << 20)

struct piece {
	struct link link;
	size_t n;
	char bytes[PIECE];
};

enum stream_end { STREAM_OPEN, STREAM_WHOLE, STREAM_CUT };

struct disk_stream {
	struct tier_stream pub;
	struct disk *d;
	struct tier_source *source;
	void (*on_room)(struct tier_source *s);
	struct record_header shape; /* set once: lengths only, of all but the body */
	/* the feeder's, until the end */
	struct piece *filling;
	uint64_t fed;
	/* atomic */
	_Atomic bool has_failed;
	/* guarded by queue_mu */
	struct link link; /* of those that have something to be done; alone: it has not */
	bool wants_room;
	struct link pieces;
	unsigned pieces_n;
	enum stream_end end;
	/* the writer's */
	struct segment *seg;
	uint64_t reserved; /* of d->streams_bytes */
	uint64_t body_at, written;
	uint64_t *sums;
	size_t sums_n, sums_cap;
};

/* ---- Feeding ---- */

static unsigned full_at(const struct disk *d)
{
	uint64_t n = d->o.queue_bytes / 4 / PIECE;

	return n > 0 ? (unsigned)n : 1;
}

static int refuse(struct disk *d, const struct tier_source *s)
{
	int err = disk_refuse(d, s);

	if (err)
		return err;
	pthread_mutex_lock(&d->queue_mu);
	if (atomic_load(&d->stopping) || atomic_load(&d->is_given))
		err = -ESHUTDOWN;
	else if (d->streams_n >= DISK_STREAMS_MAX)
		err = -ENOBUFS;
	else
		d->streams_n++;
	pthread_mutex_unlock(&d->queue_mu);
	if (err == -ENOBUFS)
		disk_add(&d->n.dropped_queue, 1);
	return err;
}

int disk_stream_begin(
	struct tier *t, struct tier_source *s, void (*on_room)(struct tier_source *s), struct tier_stream **out)
{
	struct disk *d = disk_of(t);
	struct disk_stream *st;
	int err;

	CHECK(!s->body);
	*out = NULL;
	s->variant = record_variant(s->vary_names, s->vary_values);
	s->is_refresh = false;
	err = refuse(d, s);
	if (err)
		return err;
	st = mem_zalloc(sizeof(*st));
	if (!st) {
		pthread_mutex_lock(&d->queue_mu);
		d->streams_n--;
		pthread_mutex_unlock(&d->queue_mu);
		return -ENOMEM;
	}
	st->pub.tier = t;
	st->d = d;
	st->source = s;
	st->on_room = on_room;
	st->shape = disk_header_of(d, s);
	link_init(&st->link);
	link_init(&st->pieces);
	*out = &st->pub;
	return 0;
}

static void list_locked(struct disk_stream *st)
{
	struct disk *d = st->d;

	if (!link_is_empty(&st->link))
		return;
	link_append(&d->streams, &st->link);
	pthread_cond_broadcast(&d->queue_changed);
}

static struct piece *new_piece(struct disk_stream *st)
{
	struct disk *d = st->d;
	struct piece *p = NULL;
	bool has_room;

	pthread_mutex_lock(&d->queue_mu);
	has_room = d->queue_bytes + PIECE <= d->o.queue_bytes;
	if (has_room)
		d->queue_bytes += PIECE;
	pthread_mutex_unlock(&d->queue_mu);
	if (!has_room)
		return NULL;
	p = mem_alloc(sizeof(*p));
	if (p) {
		p->n = 0;
		return p;
	}
	pthread_mutex_lock(&d->queue_mu);
	d->queue_bytes -= PIECE;
	pthread_mutex_unlock(&d->queue_mu);
	return NULL;
}

static void queue_locked(struct disk_stream *st)
{
	link_append(&st->pieces, &st->filling->link);
	st->pieces_n++;
	st->filling = NULL;
	list_locked(st);
}

/* True: there is enough for the writer to write. */
static bool queue_piece(struct disk_stream *st)
{
	struct disk *d = st->d;
	bool is_full;

	pthread_mutex_lock(&d->queue_mu);
	queue_locked(st);
	is_full = st->pieces_n >= full_at(d) || d->queue_bytes > d->o.queue_bytes / 2;
	st->wants_room = is_full;
	pthread_mutex_unlock(&d->queue_mu);
	return is_full;
}

static enum tier_flow give_up(struct disk_stream *st, _Atomic uint64_t *why)
{
	if (!atomic_exchange(&st->has_failed, true))
		disk_add(why, 1);
	return TIER_GAVE_UP;
}

static struct disk_stream *stream_of(struct tier_stream *st)
{
	return CONTAINER_OF(st, struct disk_stream, pub);
}

enum tier_flow disk_stream_write(struct tier_stream *stream, const void *p, size_t n)
{
	struct disk_stream *st = stream_of(stream);
	struct disk *d = st->d;
	const char *at = p;
	bool is_full = false;

	if (atomic_load(&d->is_given))
		return give_up(st, &d->n.dropped_queue);
	if (atomic_load(&st->has_failed))
		return TIER_GAVE_UP;
	if (n > d->o.max_object || st->fed > d->o.max_object - n)
		return give_up(st, &d->n.dropped_size);
	for (size_t run; n > 0; n -= run, at += run) {
		struct piece *to = st->filling;

		if (!to)
			to = st->filling = new_piece(st);
		if (!to)
			return give_up(st, &d->n.dropped_queue);
		run = PIECE - to->n < n ? PIECE - to->n : n;
		memcpy(to->bytes + to->n, at, run);
		to->n += run;
		st->fed += run;
		if (to->n == PIECE)
			is_full = queue_piece(st);
	}
	return is_full ? TIER_IS_FULL : TIER_FLOWS;
}

/* Takes a number whether or not the stream is stored, as each put does. */
static void end_locked(struct disk_stream *st, bool is_whole)
{
	struct disk *d = st->d;

	if (st->filling)
		queue_locked(st);
	if (is_whole) {
		st->source->lsn = d->next_lsn++;
		atomic_fetch_add(&d->ending[st->source->hash.lo & (PUT_SLOTS - 1)], 1);
	}
	st->end = is_whole ? STREAM_WHOLE : STREAM_CUT;
	d->queue_n++;
	list_locked(st);
}

void disk_stream_end(struct tier_stream **stream, enum tier_end how)
{
	struct disk_stream *st = stream_of(*stream);
	bool is_whole = how == TIER_END_WHOLE;
	struct disk *d = st->d;
	struct hash128 hash = st->source->hash;
	uint32_t variant = st->source->variant;
	uint64_t lsn;

	*stream = NULL;
	if (how == TIER_END_SLOW)
		disk_add(&d->n.dropped_slow, 1);
	st->source->replaces = is_whole && disk_may_come(d, hash);
	st->source->replaced_age = st->source->replaces ? disk_age_of(d, hash) : 0;
	if (is_whole && st->source->body_n != TIER_LENGTH_UNKNOWN)
		CHECK(st->source->body_n == st->fed || atomic_load(&st->has_failed));
	pthread_mutex_lock(&d->queue_mu);
	end_locked(st, is_whole);
	lsn = st->source->lsn;
	pthread_mutex_unlock(&d->queue_mu);
	/* From here on the writer may have freed st. The record that it replaces is out of date even if it is not stored. */
	if (is_whole)
		(void)index_drop_variant(&d->index, hash, variant, lsn);
}

/* ---- Writing: the segment ---- */

/* Leaves the reclaimer room for the records that reclaim copies; -ENOSPC after some seconds without room. */
static int with_room(struct disk_stream *st, uint64_t size, int (*take)(struct disk_stream *st, uint64_t size))
{
	struct disk *d = st->d;
	uint64_t more = size - (st->seg ? st->seg->size : 0);

	for (unsigned tries = 0;; tries++) {
		int err = take(st, size);

		if (err != -ENOSPC || tries == 3 || atomic_load(&d->stopping))
			return err;
		if (!atomic_load(&d->is_ready))
			tries = 0;
		segments_wait_room(&d->segments, more, d->o.segment_bytes);
	}
}

/* Responses may be under way for long, as slow as their clients: the files that they hold meanwhile must leave room for stored ones. */
static bool is_within_share(const struct disk_stream *st, uint64_t size)
{
	return st->d->streams_bytes - st->reserved + size <= st->d->o.size / 2;
}

static void note_reserved(struct disk_stream *st, uint64_t size)
{
	st->d->streams_bytes += size - st->reserved;
	st->reserved = size;
}

static int begin(struct disk_stream *st, uint64_t size)
{
	int err = is_within_share(st, size) ? 0 : -ENOBUFS;

	if (!err)
		err = segment_begin(&st->d->segments, size, st->d->o.segment_bytes, &st->seg);
	if (!err)
		note_reserved(st, size);
	return err;
}

static int grow(struct disk_stream *st, uint64_t size)
{
	int err = is_within_share(st, size) ? 0 : -ENOBUFS;

	if (!err)
		err = segment_grow(&st->d->segments, st->seg, size, st->d->o.segment_bytes);
	if (!err)
		note_reserved(st, size);
	return err;
}

static int put(struct disk_stream *st, const void *p, size_t n, uint64_t at)
{
	int err = io_write_all(st->d->io, st->seg->fd, p, n, at);

	if (!err)
		disk_add(&st->d->n.written_bytes, n);
	return err;
}

/* Of a file whose record has so long a body. */
static uint64_t file_bytes(const struct disk_stream *st, uint64_t body_n)
{
	struct record_header h = st->shape;

	h.body_n = body_n;
	return (sizeof(struct segment_header) + record_total(&h) + sizeof(struct footer_entry) +
		       sizeof(struct segment_trailer) + 4095) &
	       ~(uint64_t)4095;
}

/* How much room is taken in advance where the length is not known. */
static uint64_t grow_min(const struct disk *d)
{
	return d->o.segment_bytes < GROW_MIN_MAX ? d->o.segment_bytes : GROW_MIN_MAX;
}

static int put_head(struct disk_stream *st, struct record_header *h)
{
	const struct tier_source *s = st->source;
	const struct record_parts parts = {s->key, s->vary_names, s->vary_values, s->head, s->tags};
	size_t n = sizeof(*h) + record_meta_n(h);
	char *p = mem_alloc(n);
	int err;

	if (!p)
		return -ENOMEM;
	h->generation = st->seg->generation;
	h->sums_sum = XXH3_64bits(st->sums, st->sums_n * sizeof(*st->sums));
	record_write_meta(p, h, &parts);
	err = put(st, p, n, sizeof(struct segment_header));
	mem_free(p);
	return err;
}

static int begin_file(struct disk_stream *st)
{
	bool is_known = st->source->body_n != TIER_LENGTH_UNKNOWN;

	st->body_at = sizeof(struct segment_header) + sizeof(st->shape) + record_meta_n(&st->shape);
	return with_room(st, file_bytes(st, is_known ? st->source->body_n : grow_min(st->d)), begin);
}

/* The room taken in advance grows with the bytes that have come. */
static int make_room(struct disk_stream *st, uint64_t body_n)
{
	uint64_t size = file_bytes(st, body_n), step = st->seg->size / 4, least = grow_min(st->d);

	if (size <= st->seg->size)
		return 0;
	step = step < least ? least : step > GROW_MAX ? GROW_MAX : step & ~(uint64_t)4095;
	return with_room(st, size + step, grow);
}

/* ---- Writing: the record ---- */

static int note_sum(struct disk_stream *st, const struct piece *p)
{
	size_t cap = st->sums_cap ? 2 * st->sums_cap : 64;
	uint64_t *v;

	if (st->sums_n == st->sums_cap) {
		v = mem_realloc(st->sums, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		st->sums = v;
		st->sums_cap = cap;
	}
	st->sums[st->sums_n++] = XXH3_64bits(p->bytes, p->n);
	return 0;
}

static int write_piece(struct disk_stream *st, const struct piece *p)
{
	int err = st->seg ? 0 : begin_file(st);

	if (!err)
		err = make_room(st, st->written + p->n);
	if (!err)
		err = note_sum(st, p);
	if (!err)
		err = put(st, p->bytes, p->n, st->body_at + st->written);
	if (!err)
		st->written += p->n;
	return err;
}

static int put_sums(struct disk_stream *st)
{
	static const char zeros[8];
	uint64_t padded = record_pad(st->written);
	int err = put(st, zeros, (size_t)(padded - st->written), st->body_at + st->written);

	return err ? err : put(st, st->sums, st->sums_n * sizeof(*st->sums), st->body_at + padded);
}

static int finish_file(struct disk_stream *st, struct record_header *h)
{
	struct segments *t = &st->d->segments;
	uint64_t total = record_total(h), at = sizeof(struct segment_header);
	struct footer_entry entry = footer_entry_of(h, at, total);
	int err = segment_trim(t, st->seg, file_bytes(st, h->body_n));

	segment_note(st->seg, h->epoch, h->lsn);
	if (!err)
		err = put_head(st, h);
	return err ? err : segment_finish(t, st->seg, &entry, at + total);
}

static void into_index(struct disk_stream *st, const struct record_header *h)
{
	struct disk *d = st->d;
	uint64_t n8 = record_total(h) / 8;
	struct index_slot slot = {
		.key = h->key_lo,
		.lsn = h->lsn,
		.variant = h->variant,
		.seg = st->seg->slot,
		.off8 = sizeof(struct segment_header) / 8,
		.len8 = n8 < INDEX_LONG ? (uint16_t)n8 : INDEX_LONG,
		.kind = INDEX_WHOLE,
	};

	if (disk_index_add(d, st->source->hash, &slot, 0, st->source->replaced_age) != 0)
		disk_forget_before(&d->tier, st->source->hash, disk_dropped_after(d, st->source->hash, h->lsn));
	disk_add(&d->n.puts, 1);
	disk_add(&d->n.put_bytes, record_total(h));
	segment_set_sealed(&d->segments, st->seg);
	segment_unref(&d->segments, &st->seg);
}

static int commit(struct disk_stream *st)
{
	int err = st->seg ? 0 : begin_file(st); /* its body is empty */
	struct record_header h;

	if (!err)
		err = make_room(st, st->written);
	if (!err)
		err = put_sums(st);
	if (err)
		return err;
	h = disk_header_of(st->d, st->source);
	h.body_n = st->written;
	err = finish_file(st, &h);
	if (!err)
		into_index(st, &h);
	return err;
}

/* ---- The writer's turn ---- */

static void unref_segment(struct disk_stream *st)
{
	struct segments *t = &st->d->segments;

	if (!st->seg)
		return;
	segment_retire(t, st->seg);
	segment_unref(t, &st->seg);
	note_reserved(st, 0);
}

static void fail(struct disk_stream *st, int err)
{
	if (!atomic_exchange(&st->has_failed, true))
		disk_add(&st->d->n.dropped_error, 1);
	if (err != -ENOSPC &&
		err != -ENOBUFS) /* that there was no room within the capacity is not the device's fault */
		disk_rest(st->d, err);
}

static void free_piece(struct disk_stream *st, struct piece *p)
{
	struct disk *d = st->d;
	bool has_room;

	mem_free(p);
	pthread_mutex_lock(&d->queue_mu);
	d->queue_bytes -= PIECE;
	st->pieces_n--;
	has_room = st->wants_room && st->pieces_n <= full_at(d) / 2;
	if (has_room)
		st->wants_room = false;
	pthread_mutex_unlock(&d->queue_mu);
	if (has_room)
		st->on_room(st->source);
}

static void write_pieces(struct disk_stream *st, struct link *pieces)
{
	for (struct link *l; (l = link_take_first(pieces));) {
		struct piece *p = CONTAINER_OF(l, struct piece, link);
		int err = atomic_load(&st->has_failed) ? 0 : write_piece(st, p);

		if (err)
			fail(st, err);
		free_piece(st, p);
	}
	/* The file is of no use to anybody. */
	if (atomic_load(&st->has_failed))
		unref_segment(st);
}

static void end(struct disk_stream *st, enum stream_end how)
{
	struct disk *d = st->d;
	struct tier_source *s = st->source;
	int err = 0;

	if (how == STREAM_WHOLE && !atomic_load(&st->has_failed))
		err = commit(st);
	if (err)
		fail(st, err);
	if (how == STREAM_WHOLE && atomic_load(&st->has_failed) &&
		(disk_outdate(d, s->hash, s->variant, s->lsn) || s->replaces))
		disk_forget_before(&d->tier, s->hash, s->lsn);
	if (how == STREAM_WHOLE)
		atomic_fetch_sub(&d->ending[s->hash.lo & (PUT_SLOTS - 1)], 1);
	unref_segment(st);
	note_reserved(st, 0);
	mem_free(st->sums);
	mem_free(st);
	s->on_release(s);
	pthread_mutex_lock(&d->queue_mu);
	d->streams_n--;
	if (--d->queue_n == 0)
		pthread_cond_broadcast(&d->queue_changed);
	pthread_mutex_unlock(&d->queue_mu);
}

struct disk_stream *disk_stream_take_locked(struct disk *d)
{
	struct link *first = link_take_first(&d->streams);

	return first ? CONTAINER_OF(first, struct disk_stream, link) : NULL;
}

void disk_stream_go_on(struct disk_stream *st)
{
	struct disk *d = st->d;
	enum stream_end how;
	struct link pieces;

	link_init(&pieces);
	pthread_mutex_lock(&d->queue_mu);
	link_splice(&pieces, &st->pieces);
	/* More may have come since st was taken out of the list; then it is in the list again, and must live until its next turn. */
	how = link_is_empty(&st->link) ? st->end : STREAM_OPEN;
	pthread_mutex_unlock(&d->queue_mu);
	/* A file without a header is no segment to the process that has the directory now. */
	if (atomic_load(&d->is_given))
		(void)give_up(st, &d->n.dropped_queue);
	write_pieces(st, &pieces);
	if (how != STREAM_OPEN)
		end(st, how);
}
