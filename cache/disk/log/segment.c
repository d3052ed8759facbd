/* SPDX-License-Identifier: MIT */
#include "cache/disk/log/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

/* ---- Life of the table ---- */

int segments_init(struct segments *t, const struct disk_io *io, int dir, uint64_t capacity)
{
	pthread_condattr_t attr;

	t->io = io;
	t->dir = dir;
	t->capacity = capacity;
	t->next_id = 1;
	pthread_mutex_init(&t->mu, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

static struct segment *slot_at(struct segments *t, uint32_t slot)
{
	struct segment *chunk = NULL;

	if (slot / SEGMENT_CHUNK < SEGMENT_CHUNKS)
		chunk = atomic_load_explicit(&t->chunks[slot / SEGMENT_CHUNK], memory_order_acquire);
	return chunk ? &chunk[slot % SEGMENT_CHUNK] : NULL;
}

void segments_fini(struct segments *t)
{
	for (uint32_t i = 0; i < t->slots_n; i++) {
		struct segment *s = slot_at(t, i);

		if (s->state != SEGMENT_FREE && s->fd >= 0)
			(void)t->io->close(t->io, s->fd);
	}
	for (unsigned i = 0; i < SEGMENT_CHUNKS; i++)
		mem_free(atomic_load(&t->chunks[i]));
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->mu);
}

/* A slot that nobody uses. NULL without memory, or when there are four million of them. */
static struct segment *free_slot_locked(struct segments *t)
{
	struct segment *chunk;
	uint32_t n = t->slots_n;

	for (uint32_t i = 0; i < n; i++)
		if (slot_at(t, i)->state == SEGMENT_FREE)
			return slot_at(t, i);
	if (n / SEGMENT_CHUNK >= SEGMENT_CHUNKS)
		return NULL;
	if (n % SEGMENT_CHUNK == 0) {
		chunk = mem_zalloc(SEGMENT_CHUNK * sizeof(*chunk));
		if (!chunk)
			return NULL;
		for (uint32_t i = 0; i < SEGMENT_CHUNK; i++)
			chunk[i].slot = n + i;
		atomic_store_explicit(&t->chunks[n / SEGMENT_CHUNK], chunk, memory_order_release);
	}
	t->slots_n++;
	return slot_at(t, n);
}

static void fill_in(struct segment *s, int fd, uint64_t id, uint64_t generation, uint64_t size, uint64_t min)
{
	s->fd = fd;
	s->id = id;
	s->generation = generation;
	s->size = size;
	s->is_linked = true;
	atomic_store_explicit(&s->min_epoch, min, memory_order_relaxed);
	atomic_store_explicit(&s->min_lsn, min, memory_order_relaxed);
	atomic_store_explicit(&s->live, 0, memory_order_relaxed);
}

/* ---- Room ---- */

static int reserve(struct segments *t, uint64_t size, uint64_t spare, struct segment **out, uint64_t *id)
{
	int err = 0;

	pthread_mutex_lock(&t->mu);
	if (size + spare > t->capacity || t->allocated > t->capacity - size - spare)
		err = -ENOSPC;
	*out = err ? NULL : free_slot_locked(t);
	if (!err && !*out)
		err = -ENOMEM;
	if (!err) {
		(*out)->state = SEGMENT_ACTIVE;
		(*out)->fd = -1;
		(*out)->age = *id = t->next_id++;
		(*out)->waits = false;
		t->allocated += size;
		t->count++;
	}
	pthread_mutex_unlock(&t->mu);
	return err;
}

/* ---- The end of a file: it counts until nothing of it is left on the device ---- */

static void release(struct segments *t, struct segment *s)
{
	pthread_mutex_lock(&t->mu);
	s->state = SEGMENT_FREE;
	t->allocated -= s->size;
	t->going -= s->size;
	t->count--;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mu);
}

/* False: the file is still there. */
static bool remove_file(struct segments *t, uint64_t id)
{
	static struct log_limit limit;
	char name[SEGMENT_NAME_MAX];
	int err;

	segment_name(id, name);
	err = t->io->unlink(t->io, t->dir, name);
	if (!err || err == -ENOENT)
		return true;
	atomic_fetch_add(&t->unlink_errors, 1);
	if (log_allowed(&limit))
		log_warn("disk: can't remove %s: %s", name, strerror(-err));
	return false;
}

/* Nobody uses it any more. A file that can't be removed is made empty, which no start takes for a segment; one that can't
 * be made empty either keeps its bytes, and is tried again. */
static void end_file(struct segments *t, struct segment *s)
{
	bool is_gone = !s->is_linked || remove_file(t, s->id);

	if (!is_gone && s->fd >= 0)
		is_gone = t->io->truncate(t->io, s->fd, 0) == 0;
	if (is_gone) {
		if (s->fd >= 0)
			(void)t->io->close(t->io, s->fd);
		release(t, s);
		return;
	}
	pthread_mutex_lock(&t->mu);
	t->going -= s->size;
	s->next_closing = t->stuck;
	t->stuck = s;
	t->stuck_n++;
	pthread_mutex_unlock(&t->mu);
}

/* Ends what was begun in a slot whose `size` bytes are counted; fd -1: there is no file. */
static void give_up(struct segments *t, struct segment *s, int fd, uint64_t id, uint64_t size)
{
	s->fd = fd;
	s->id = id;
	s->size = size;
	s->is_linked = fd >= 0;
	pthread_mutex_lock(&t->mu);
	s->state = SEGMENT_GOING;
	t->going += size;
	pthread_mutex_unlock(&t->mu);
	end_file(t, s);
}

/* ---- New segments ---- */

/* On failure too *fd may be open: then there is a file to be given up. */
static int make_file(struct segments *t, uint64_t id, uint64_t size, bool has_header, uint64_t *generation, int *fd)
{
	struct segment_header h = {.store = t->store, .id = id, .size = size};
	char name[SEGMENT_NAME_MAX];
	int err;

	*fd = -1;
	if (getrandom(&h.generation, sizeof(h.generation), 0) != (ssize_t)sizeof(h.generation))
		return -EIO;
	segment_write_header(&h);
	segment_name(id, name);
	err = t->io->open(t->io, t->dir, name, O_RDWR | O_CREAT | O_EXCL);
	if (err < 0)
		return err;
	*fd = err;
	err = t->io->allocate(t->io, *fd, size);
	if (!err && has_header)
		err = io_write_all(t->io, *fd, &h, sizeof(h), 0);
	*generation = h.generation;
	return err;
}

int segment_create_as(struct segments *t, uint64_t size, uint64_t spare, bool has_header, struct segment **out)
{
	uint64_t id = 0, generation = 0;
	int err = reserve(t, size, spare, out, &id), fd;

	if (err)
		return err;
	err = make_file(t, id, size, has_header, &generation, &fd);
	if (err) {
		give_up(t, *out, fd, id, size);
		*out = NULL;
		return err == -ENOSPC ? -EDQUOT : err;
	}
	fill_in(*out, fd, id, generation, size, UINT64_MAX);
	atomic_store_explicit(&(*out)->refs, 2, memory_order_release);
	return 0;
}

int segment_create(struct segments *t, uint64_t size, uint64_t spare, struct segment **out)
{
	return segment_create_as(t, size, spare, true, out);
}

void segments_wait_room(struct segments *t, uint64_t wanted, uint64_t spare)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_mutex_lock(&t->mu);
	t->wanted = wanted;
	pthread_cond_broadcast(&t->changed);
	while (!t->stopping && t->allocated + wanted + spare > t->capacity)
		if (pthread_cond_timedwait(&t->changed, &t->mu, &until) != 0)
			break;
	pthread_mutex_unlock(&t->mu);
}

static int adopt_open(struct segments *t, int fd, uint64_t id, struct segment_header *h)
{
	char bytes[sizeof(*h)];
	uint64_t size = 0;
	int err = t->io->size(t->io, fd, &size);

	if (!err && size < sizeof(*h) + sizeof(struct segment_trailer))
		err = -EBADMSG;
	if (!err)
		err = io_read_all(t->io, fd, bytes, sizeof(bytes), 0);
	if (!err)
		err = segment_read_header(bytes, t->store, size, h);
	return !err && h->id != id ? -EBADMSG : err;
}

int segment_adopt(struct segments *t, const char *name, uint64_t id, struct segment **out)
{
	struct segment_header h;
	int fd = t->io->open(t->io, t->dir, name, O_RDWR), err;

	if (fd < 0)
		return fd;
	err = adopt_open(t, fd, id, &h);
	if (err)
		goto fail;
	pthread_mutex_lock(&t->mu);
	*out = free_slot_locked(t);
	if (*out) {
		(*out)->state = SEGMENT_LOADING;
		fill_in(*out, fd, id, h.generation, h.size, 0);
		(*out)->age = id;
		(*out)->waits = false;
		t->allocated += h.size;
		t->count++;
		if (id >= t->next_id)
			t->next_id = id + 1;
		atomic_store_explicit(&(*out)->refs, 1, memory_order_release);
	}
	pthread_mutex_unlock(&t->mu);
	if (*out)
		return 0;
	err = -ENOMEM;
fail:
	(void)t->io->close(t->io, fd);
	return err;
}

static int write_footer(
	struct segments *t, struct segment *s, struct segment_trailer *trailer, const struct footer_entry *entries)
{
	uint64_t at = s->size - sizeof(*trailer), n = trailer->entries * sizeof(*entries);
	int err;

	segment_write_trailer(trailer, entries);
	CHECK(trailer->end + n <= at);
	err = io_write_all(t->io, s->fd, entries, n, at - n);
	return err ? err : io_write_all(t->io, s->fd, trailer, sizeof(*trailer), at);
}

int segment_write_footer(
	struct segments *t, struct segment *s, const struct footer_entry *entries, uint32_t n, uint64_t end)
{
	struct segment_trailer trailer = {
		.generation = s->generation,
		.entries = n,
		.end = end,
		.min_epoch = atomic_load(&s->min_epoch),
		.min_lsn = atomic_load(&s->min_lsn),
	};

	return write_footer(t, s, &trailer, entries);
}

int segment_settle(struct segments *t, struct segment *s, const struct segment_trailer *of,
	const struct footer_entry *entries, uint64_t epoch)
{
	struct segment_trailer trailer = *of;
	int err;

	trailer.magic = SETTLED_MAGIC;
	trailer.generation = s->generation;
	trailer.min_epoch = epoch;
	err = write_footer(t, s, &trailer, entries);
	if (!err)
		err = t->io->sync(t->io, s->fd);
	if (!err)
		atomic_store(&s->min_epoch, epoch);
	return err;
}

int segment_seal(struct segments *t, struct segment *s, const struct footer_entry *entries, uint32_t n, uint64_t end)
{
	int err = segment_write_footer(t, s, entries, n, end);

	segment_set_sealed(t, s);
	return err;
}

static void lower(_Atomic uint64_t *min, uint64_t v)
{
	if (v < atomic_load_explicit(min, memory_order_relaxed))
		atomic_store_explicit(min, v, memory_order_release);
}

void segment_note(struct segment *s, uint64_t epoch, uint64_t lsn)
{
	lower(&s->min_epoch, epoch);
	lower(&s->min_lsn, lsn);
}

void segment_set_sealed(struct segments *t, struct segment *s)
{
	pthread_mutex_lock(&t->mu);
	s->state = SEGMENT_SEALED;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mu);
}

/* ---- References ---- */

struct segment *segment_get(struct segments *t, uint32_t slot)
{
	struct segment *s = slot_at(t, slot);
	uint32_t refs = s ? atomic_load_explicit(&s->refs, memory_order_relaxed) : 0;

	while (refs > 0)
		if (atomic_compare_exchange_weak_explicit(
			    &s->refs, &refs, refs + 1, memory_order_acquire, memory_order_relaxed))
			return s;
	return NULL;
}

/* To close an unlinked file frees its blocks, which may take milliseconds: never where the last reference was. */
void segment_unref(struct segments *t, struct segment **s)
{
	struct segment *gone = *s;

	*s = NULL;
	if (!gone || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_lock(&t->mu);
	gone->next_closing = t->closing;
	t->closing = gone;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mu);
}

void segment_count(struct segments *t, uint32_t slot, int change)
{
	struct segment *s = slot_at(t, slot);

	if (s)
		atomic_fetch_add_explicit(&s->live, change, memory_order_relaxed);
}

/* ---- Going ---- */

void segment_retire(struct segments *t, struct segment *s)
{
	struct segment *of_log = s;

	pthread_mutex_lock(&t->mu);
	s->state = SEGMENT_GOING;
	t->going += s->size;
	pthread_mutex_unlock(&t->mu);
	s->is_linked = !remove_file(t, s->id);
	atomic_fetch_add(&t->reclaimed, 1);
	segment_unref(t, &of_log);
}

static struct segment *take_stuck(struct segments *t)
{
	struct segment *s;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&t->mu);
	s = now.tv_sec >= t->stuck_again_s ? t->stuck : NULL;
	if (s) {
		t->stuck = NULL;
		t->stuck_n = 0;
		t->stuck_again_s = now.tv_sec + 1;
		for (const struct segment *each = s; each; each = each->next_closing)
			t->going += each->size;
	}
	pthread_mutex_unlock(&t->mu);
	return s;
}

void segments_close_left(struct segments *t)
{
	struct segment *s;

	pthread_mutex_lock(&t->mu);
	while ((s = t->closing)) {
		t->closing = s->next_closing;
		pthread_mutex_unlock(&t->mu);
		end_file(t, s);
		pthread_mutex_lock(&t->mu);
	}
	pthread_mutex_unlock(&t->mu);
	for (struct segment *next, *left = take_stuck(t); left; left = next) {
		next = left->next_closing;
		end_file(t, left);
	}
}

void segment_discard(struct segments *t, const char *name, uint64_t id)
{
	uint64_t size = 0;
	struct segment *s;
	int fd;

	if (remove_file(t, id))
		return;
	fd = t->io->open(t->io, t->dir, name, O_RDWR);
	if (fd >= 0 && t->io->size(t->io, fd, &size) == 0 && size > 0) {
		pthread_mutex_lock(&t->mu);
		s = free_slot_locked(t);
		if (s) {
			t->allocated += size;
			t->count++;
			atomic_store_explicit(&s->min_epoch, UINT64_MAX, memory_order_relaxed);
			atomic_store_explicit(&s->min_lsn, UINT64_MAX, memory_order_relaxed);
			s->state = SEGMENT_GOING;
		}
		pthread_mutex_unlock(&t->mu);
		if (s) {
			give_up(t, s, fd, id, size);
			return;
		}
	}
	if (fd >= 0)
		(void)t->io->close(t->io, fd);
}

/* ---- Choosing and reading ---- */

struct segment *segments_victim(struct segments *t, bool *is_dead)
{
	struct segment *best = NULL;

	*is_dead = false;
	pthread_mutex_lock(&t->mu);
	for (uint32_t i = 0; i < t->slots_n; i++) {
		struct segment *s = slot_at(t, i);
		bool dead;

		if (s->state != SEGMENT_SEALED)
			continue;
		dead = !s->waits && atomic_load_explicit(&s->live, memory_order_relaxed) <= 0;
		if (!best || (dead && !*is_dead) || (dead == *is_dead && s->age < best->age)) {
			best = s;
			*is_dead = dead;
		}
	}
	if (best) {
		best->state = SEGMENT_GOING;
		atomic_fetch_add_explicit(&best->refs, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&t->mu);
	return best;
}

struct segment *segments_unsettled(struct segments *t, uint64_t epoch)
{
	struct segment *best = NULL;

	pthread_mutex_lock(&t->mu);
	for (uint32_t i = 0; i < t->slots_n; i++) {
		struct segment *s = slot_at(t, i);

		if (s->state == SEGMENT_SEALED && atomic_load(&s->min_epoch) < epoch &&
			(!best || atomic_load(&s->min_epoch) < atomic_load(&best->min_epoch)))
			best = s;
	}
	if (best)
		atomic_fetch_add_explicit(&best->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&t->mu);
	return best;
}

void segment_stay(struct segments *t, struct segment *s, enum segment_stay how)
{
	pthread_mutex_lock(&t->mu);
	if (how == SEGMENT_IS_YOUNG)
		s->age = t->next_id++; /* a number of its own: what is written next is younger */
	s->waits = s->waits || how == SEGMENT_WAITS;
	s->state = SEGMENT_SEALED;
	pthread_mutex_unlock(&t->mu);
}

uint64_t segment_age(struct segments *t, uint32_t slot)
{
	const struct segment *s = slot_at(t, slot);

	return s ? atomic_load(&s->age) : 0;
}

int segment_load_footer(
	struct segments *t, struct segment *s, struct segment_trailer *trailer, struct footer_entry **entries)
{
	char bytes[sizeof(*trailer)];
	uint64_t at = s->size - sizeof(bytes), n;
	int err = io_read_all(t->io, s->fd, bytes, sizeof(bytes), at);

	*entries = NULL;
	if (!err)
		err = segment_read_trailer(bytes, s->generation, s->size, trailer);
	if (err)
		return err;
	n = trailer->entries * sizeof(**entries);
	*entries = mem_alloc(n);
	if (!*entries)
		return -ENOMEM;
	err = io_read_all(t->io, s->fd, *entries, n, at - n);
	if (!err && !footer_is_right(trailer, *entries))
		err = -EBADMSG;
	if (err) {
		mem_free(*entries);
		*entries = NULL;
	}
	return err;
}

void segments_oldest(struct segments *t, uint64_t *epoch, uint64_t *lsn)
{
	*epoch = UINT64_MAX;
	*lsn = UINT64_MAX;
	pthread_mutex_lock(&t->mu);
	for (uint32_t i = 0; i < t->slots_n; i++) {
		struct segment *s = slot_at(t, i);
		uint64_t e, l;

		if (s->state == SEGMENT_FREE)
			continue;
		e = atomic_load_explicit(&s->min_epoch, memory_order_acquire);
		l = atomic_load_explicit(&s->min_lsn, memory_order_acquire);
		*epoch = e < *epoch ? e : *epoch;
		*lsn = l < *lsn ? l : *lsn;
	}
	pthread_mutex_unlock(&t->mu);
}
