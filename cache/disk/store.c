/* SPDX-License-Identifier: MIT */
/* Opening and closing the disk tier. */
#include "cache/disk/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cache/disk/store_internal.h"

#define MIB ((uint64_t)1 << 20)
/* Lengths in a footer are 32 bits of eight bytes each; head and sums are in them. */
#define MAX_OBJECT_MAX ((uint64_t)31 << 30)

__attribute__((format(printf, 3, 4))) static int fail(char *error, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, DISK_ERROR_MAX, fmt, ap);
	va_end(ap);
	return err;
}

/* ---- Options ---- */

static uint64_t default_segment_bytes(uint64_t size)
{
	uint64_t n = size / 32 & ~(uint64_t)4095;

	if (n > 64 * MIB)
		return 64 * MIB;
	return n < MIB ? (size / 8 & ~(uint64_t)4095) : n;
}

/* CLOCK_MONOTONIC counts from the machine's start, of which the kernel's boot id is the name. */
static uint64_t kernel_clock_id(void)
{
	char id[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, id, sizeof(id)) : -1;
	uint64_t h;

	if (fd >= 0)
		close(fd);
	if (n > 0)
		h = hash64_of(id, (size_t)n);
	else if (getrandom(&h, sizeof(h), 0) != (ssize_t)sizeof(h))
		h = (uint64_t)getpid();
	return h;
}

static void default_to(unsigned *v, unsigned value)
{
	if (*v == 0)
		*v = value;
}

static int set_options(struct disk *d, const struct disk_options *o, char *error)
{
	struct disk_options *mine = &d->o;

	*mine = *o;
	if (mine->segment_bytes == 0)
		mine->segment_bytes = default_segment_bytes(o->size);
	if (mine->segment_bytes < 4096 || mine->segment_bytes % 4096 != 0 || mine->segment_bytes > o->size / 8)
		return fail(error, -EINVAL, "disk: size %llu is too small; at least 1M is needed",
			(unsigned long long)o->size);
	if (mine->max_object == 0 || mine->max_object > o->size / 4)
		mine->max_object = o->size / 4;
	if (mine->max_object > MAX_OBJECT_MAX)
		mine->max_object = MAX_OBJECT_MAX;
	if (mine->journal_bytes == 0)
		mine->journal_bytes = MIB;
	if (mine->journal_bytes < JOURNAL_BYTES_MIN)
		mine->journal_bytes = JOURNAL_BYTES_MIN;
	if (mine->journal_bytes > JOURNAL_BYTES_MAX)
		mine->journal_bytes = JOURNAL_BYTES_MAX;
	default_to(&mine->threads, 2);
	default_to(&mine->queue_max, 8192);
	default_to(&mine->reads_max, 4096);
	default_to(&mine->forgets_max, 65536);
	default_to(&mine->settle_rules, 262144);
	if (mine->queue_bytes == 0)
		mine->queue_bytes = 64 * MIB;
	if (mine->retry_ms == 0)
		mine->retry_ms = 5000;
	if (mine->clock_id == 0)
		mine->clock_id = kernel_clock_id();
	d->io = o->io ? o->io : &disk_io_real;
	d->own_segment_from = mine->segment_bytes / 16;
	return 0;
}

/* ---- The directory ---- */

static int lock_directory(struct disk *d, char *error)
{
	const char *path = d->o.path;
	int err;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return fail(error, -errno, "disk: can't make %s: %s", path, strerror(errno));
	d->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dir < 0)
		return fail(error, -errno, "disk: can't open %s: %s", path, strerror(errno));
	if (flock(d->dir, LOCK_EX | LOCK_NB) == 0)
		return 0;
	err = -errno;
	close(d->dir);
	d->dir = -1;
	if (err == -EWOULDBLOCK)
		return fail(error, -EBUSY, "disk: %s is in use by another process", path);
	return fail(error, err, "disk: can't lock %s: %s", path, strerror(-err));
}

/* Under a new name for the store, all that is there becomes foreign. */
static int start_empty(struct disk *d)
{
	struct disk_format f = {.magic = FORMAT_MAGIC, .major = FORMAT_MAJOR};
	int err;

	if (getrandom(&f.store, sizeof(f.store), 0) != (ssize_t)sizeof(f.store))
		return -EIO;
	f.sum = XXH3_64bits(&f, offsetof(struct disk_format, sum));
	err = secret_make(d->io, d->dir, f.store, d->secret);
	if (!err)
		err = io_save(d->io, d->dir, "FORMAT.new", &f, sizeof(f));
	if (!err)
		err = d->io->rename(d->io, d->dir, "FORMAT.new", "FORMAT");
	if (!err)
		err = d->io->sync_dir(d->io, d->dir);
	d->store = f.store;
	d->runs = 0;
	return err;
}

static int read_format(struct disk *d)
{
	struct disk_format f;
	void *p = NULL;
	size_t n = 0;
	int err = io_load(d->io, d->dir, "FORMAT", 4096, &p, &n);

	if (!err)
		err = disk_format_read(p, n, &f);
	mem_free(p);
	if (!err)
		d->store = f.store;
	return err == -EFBIG || err == -ENODATA ? -EBADMSG : err;
}

static void replay_entry(const struct journal_entry *e, void *arg)
{
	struct disk *d = arg;
	struct purge p;

	if (e->kind == JOURNAL_FORGET)
		forgets_add(&d->forgets, e->a, e->b);
	else if (e->kind == JOURNAL_PURGE && purge_decode(e->purge, e->b, e->what, &p))
		invalidation_replay(d->o.invalidation, &p, e->a);
}

static void ignore_entry(const struct journal_entry *e, void *arg)
{
	(void)e;
	(void)arg;
}

/* -EBADMSG: nobody knows any more what was purged. Nothing is taken over unless all of it can be. */
static int restore(struct disk *d, uint64_t *last_journal)
{
	struct checkpoint c;
	struct invalidation_image image;
	int err = disk_best_checkpoint(d->io, d->dir, d->store, &c);

	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	err = disk_replay(d->io, d->dir, d->store, c.h.first_journal, ignore_entry, NULL, last_journal);
	if (!err && c.h.runs >= RUNS_MAX)
		err = -EBADMSG;
	if (!err) {
		image = (struct invalidation_image){
			c.h.floor_seq, c.h.all_hard_seq, c.h.all_soft_seq, c.rules, (unsigned)c.h.rules_n};
		invalidation_import(d->o.invalidation, &image);
		for (uint64_t i = 0; i < c.h.forgets_n; i++)
			forgets_add(&d->forgets, c.forgets[i].key, c.forgets[i].before_lsn);
		atomic_store(&d->forgets.floor_lsn, c.h.floor_lsn);
		d->runs = c.h.runs;
		atomic_store(&d->checkpoint_number, c.h.number);
		err = disk_replay(d->io, d->dir, d->store, c.h.first_journal, replay_entry, d, last_journal);
	}
	checkpoint_fini(&c);
	return err;
}

static int open_state(struct disk *d, char *error)
{
	uint64_t last_journal = 0;
	int err = read_format(d);
	bool is_new = err == -ENOENT;

	if (!err) {
		err = secret_load(d->io, d->dir, d->store, d->secret);
		if (err == -EBADMSG || err == -ENOENT)
			log_warn("disk: %s/secret is missing, or is not of what is stored there", d->o.path);
		if (err == -EPERM)
			return fail(error, err,
				"disk: %s/secret must be a file of this user's with mode 600; without it the disk tier "
				"starts empty",
				d->o.path);
	}
	if (!err)
		err = restore(d, &last_journal);
	if (is_new || err == -EBADMSG || err == -EPROTO) {
		if (!is_new) {
			log_warn("disk: %s holds what can't be trusted; the disk tier starts empty", d->o.path);
			disk_add(&d->n.started_empty, 1);
		}
		err = start_empty(d);
	}
	if (err)
		return fail(error, err, "disk: can't use %s: %s", d->o.path, strerror(-err));
	d->runs++;
	invalidation_start_at(d->o.invalidation, d->runs << RUN_SHIFT);
	d->next_lsn = d->runs << RUN_SHIFT;
	err = journal_init(&d->journal, d->io, d->dir, d->store, d->o.journal_bytes, last_journal + 1);
	if (err)
		return fail(error, err, "disk: can't write to %s: %s", d->o.path, strerror(-err));
	/* Before any number of this run is used. */
	err = disk_checkpoint(d);
	if (err)
		return fail(error, err, "disk: can't write to %s: %s", d->o.path, strerror(-err));
	return 0;
}

static int adopt_segments(struct disk *d, char *error)
{
	struct id_list ids;
	int err = disk_list(d->io, d->dir, segment_name_read, &ids);

	for (size_t i = 0; !err && i < ids.n; i++) {
		char name[SEGMENT_NAME_MAX];
		struct segment *s;
		int bad;

		segment_name(ids.v[i], name);
		bad = segment_adopt(&d->segments, name, ids.v[i], &s);
		if (bad == -EBADMSG || bad == -ENODATA) {
			disk_add(&d->n.foreign_files, 1);
			segment_discard(&d->segments, name, ids.v[i]);
		} else if (bad) {
			log_warn("disk: %s is left out: %s", name, strerror(-bad));
		}
		if (ids.v[i] >= d->segments.next_id)
			d->segments.next_id = ids.v[i] + 1;
	}
	mem_free(ids.v);
	return err ? fail(error, err, "disk: can't list %s: %s", d->o.path, strerror(-err)) : 0;
}

/* ---- Threads ---- */

enum { STARTED_WRITER = 1, STARTED_RECLAIMER = 2, STARTED_JOURNAL_SYNCER = 4 };

static int start_threads(struct disk *d)
{
	int err = thread_start(&d->writer, disk_writer, d);

	if (err)
		return err;
	d->started |= STARTED_WRITER;
	err = thread_start(&d->journal_syncer, disk_journal_syncer, d);
	if (err)
		return err;
	d->started |= STARTED_JOURNAL_SYNCER;
	for (; d->readers_n < d->o.threads; d->readers_n++) {
		err = thread_start(&d->readers[d->readers_n], disk_reader, d);
		if (err)
			return err;
	}
	err = thread_start(&d->reclaimer, disk_reclaimer, d);
	if (err)
		return err;
	d->started |= STARTED_RECLAIMER;
	return 0;
}

static void stop_threads(struct disk *d)
{
	pthread_mutex_lock(&d->queue_mu);
	atomic_store(&d->stopping, true);
	pthread_cond_broadcast(&d->queue_changed);
	pthread_mutex_unlock(&d->queue_mu);
	pthread_mutex_lock(&d->segments.mu);
	d->segments.stopping = true;
	pthread_cond_broadcast(&d->segments.changed);
	pthread_mutex_unlock(&d->segments.mu);
	disk_jobs_stop(d);
	for (unsigned i = 0; i < d->readers_n; i++)
		pthread_join(d->readers[i], NULL);
	if (d->started & STARTED_WRITER)
		pthread_join(d->writer, NULL);
	if (d->started & STARTED_RECLAIMER)
		pthread_join(d->reclaimer, NULL);
	if (d->journal.scratch)
		journal_stop(&d->journal);
	if (d->started & STARTED_JOURNAL_SYNCER)
		pthread_join(d->journal_syncer, NULL);
}

/* ---- Life ---- */

static void count_in_segment(void *arg, uint32_t slot, int change)
{
	struct disk *d = arg;

	segment_count(&d->segments, slot, change);
}

/* Was a later put of the key dropped, or the key forgotten? Then a record that is written only now comes too late. */
static bool is_outdated(void *arg, struct hash128 hash, uint64_t lsn)
{
	struct disk *d = arg;

	return disk_dropped_after(d, hash, lsn) > 0 || forgets_covers(&d->forgets, hash.lo, lsn);
}

static int init_parts(struct disk *d)
{
	int err = segments_init(&d->segments, d->io, d->dir, d->o.size);

	pthread_mutex_init(&d->queue_mu, NULL);
	pthread_cond_init(&d->queue_changed, NULL);
	link_init(&d->queue);
	link_init(&d->streams);
	pthread_mutex_init(&d->jobs_mu, NULL);
	pthread_cond_init(&d->jobs_changed, NULL);
	link_init(&d->jobs);
	if (!err)
		err = index_init(
			&d->index, record_variant((struct slice){"", 0}, (struct slice){"", 0}), count_in_segment, d);
	if (!err)
		err = forgets_init(&d->forgets, d->o.forgets_max);
	if (!err)
		err = appender_init(&d->log, d, false);
	if (!err)
		err = appender_init(&d->own, d, false);
	if (!err)
		err = appender_init(&d->kept, d, true);
	d->index.is_outdated = is_outdated;
	d->dropped = mem_zalloc(PUT_SLOTS * sizeof(*d->dropped));
	d->queued = mem_zalloc(PUT_SLOTS * sizeof(*d->queued));
	d->ending = mem_zalloc(PUT_SLOTS * sizeof(*d->ending));
	d->ghosts = mem_zalloc(GHOST_SLOTS * sizeof(*d->ghosts));
	d->readers = mem_zalloc(d->o.threads * sizeof(*d->readers));
	return err || (d->dropped && d->queued && d->ending && d->ghosts && d->readers) ? err : -ENOMEM;
}

static void fini_parts(struct disk *d)
{
	appender_fini(&d->log);
	appender_fini(&d->own);
	appender_fini(&d->kept);
	journal_fini(&d->journal);
	segments_fini(&d->segments);
	index_fini(&d->index);
	forgets_fini(&d->forgets);
	pthread_mutex_destroy(&d->queue_mu);
	pthread_cond_destroy(&d->queue_changed);
	pthread_mutex_destroy(&d->jobs_mu);
	pthread_cond_destroy(&d->jobs_changed);
	mem_free(d->dropped);
	mem_free(d->queued);
	mem_free(d->ending);
	mem_free(d->ghosts);
	mem_free(d->readers);
	explicit_bzero(d->secret, sizeof(d->secret));
	close(d->dir); /* and with it the lock */
}

int disk_start(const struct disk_options *o, struct disk **out, char error[DISK_ERROR_MAX])
{
	struct disk *d = mem_zalloc(sizeof(*d));
	int err;

	*out = NULL;
	error[0] = '\0';
	if (!d)
		return fail(error, -ENOMEM, "disk: out of memory");
	err = set_options(d, o, error);
	if (!err)
		err = lock_directory(d, error);
	if (err) {
		mem_free(d);
		return err;
	}
	err = init_parts(d);
	if (err)
		fail(error, err, "disk: out of memory");
	if (!err)
		err = open_state(d, error);
	d->segments.store = d->store;
	if (!err)
		err = adopt_segments(d, error);
	if (!err) {
		err = start_threads(d);
		if (err)
			fail(error, err, "disk: can't start a thread: %s", strerror(-err));
	}
	if (err) {
		stop_threads(d);
		fini_parts(d);
		mem_free(d);
		return err;
	}
	*out = d;
	return 0;
}

void disk_close(struct tier **t)
{
	struct disk *gone;

	if (!*t)
		return;
	gone = disk_of(*t);
	stop_threads(gone);
	CHECK(gone->streams_n == 0);
	fini_parts(gone);
	mem_free(gone);
	*t = NULL;
}

/* ---- To another process ---- */

/* Those who wait for what was journalled are told before the thread that syncs it ends. */
static void give_journal(struct disk *d)
{
	uint64_t last;

	pthread_mutex_lock(&d->journal.mu);
	d->journal.is_given = true;
	last = d->journal.appended;
	pthread_mutex_unlock(&d->journal.mu);
	if (journal_wait(&d->journal, last, last) != 0)
		log_warn("disk: the last purges before it was handed over may not outlive a crash");
}

static void join_while_leaving(struct disk *d)
{
	atomic_store(&d->leaving, true);
	pthread_mutex_lock(&d->segments.mu);
	d->segments.stopping = true;
	pthread_cond_broadcast(&d->segments.changed);
	pthread_mutex_unlock(&d->segments.mu);
	journal_stop(&d->journal);
	pthread_join(d->reclaimer, NULL);
	pthread_join(d->journal_syncer, NULL);
	d->started &= ~(unsigned)(STARTED_RECLAIMER | STARTED_JOURNAL_SYNCER);
}

/* The writer stays, to discard pieces that streams still bring, and so do the readers, which may read what they have open: no
 * process overwrites anything in a segment. */
void disk_hand_over(struct tier *t)
{
	struct disk *d = disk_of(t);

	pthread_mutex_lock(&d->queue_mu);
	if (atomic_exchange(&d->is_given, true)) {
		pthread_mutex_unlock(&d->queue_mu);
		return;
	}
	pthread_cond_broadcast(&d->queue_changed);
	while (!d->is_sealed)
		pthread_cond_wait(&d->queue_changed, &d->queue_mu);
	pthread_mutex_unlock(&d->queue_mu);
	give_journal(d);
	join_while_leaving(d);
	(void)flock(d->dir, LOCK_UN);
}

int disk_disown(struct tier *t)
{
	struct disk *d = disk_of(t);
	int err;

	if (flock(d->dir, LOCK_EX | LOCK_NB) != 0)
		return -errno;
	err = d->io->unlink(d->io, d->dir, "FORMAT");
	if (!err)
		err = d->io->sync_dir(d->io, d->dir);
	(void)flock(d->dir, LOCK_UN);
	if (err == -ENOENT)
		err = 0;
	if (!err)
		atomic_store(&d->is_disowned, true);
	return err;
}

/* ---- Looking at it ---- */

void disk_wait_ready(struct tier *t)
{
	struct disk *d = disk_of(t);

	pthread_mutex_lock(&d->segments.mu);
	while (!atomic_load(&d->is_ready))
		pthread_cond_wait(&d->segments.changed, &d->segments.mu);
	pthread_mutex_unlock(&d->segments.mu);
}
