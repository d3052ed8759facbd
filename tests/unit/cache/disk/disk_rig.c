/* SPDX-License-Identifier: MIT */
#include "disk_rig.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

/* ---- Faults ---- */

static struct faulty_io *faulty(const struct disk_io *io)
{
	return CONTAINER_OF((struct disk_io *)(uintptr_t)io, struct faulty_io, io);
}

/* 0: go on; 1: be short; else negative errno. */
static int verdict(struct faulty_io *f)
{
	long n = atomic_fetch_add(&f->calls, 1) + 1, at = atomic_load(&f->fail_at);

	if (atomic_load(&f->is_dead))
		return -EIO;
	if (at == 0 || n < at || (n > at && !atomic_load(&f->fail_after)))
		return 0;
	return atomic_load(&f->error) ? -atomic_load(&f->error) : 1;
}

#define REAL(call)                           \
	do {                                 \
		int v = verdict(faulty(io)); \
		if (v < 0)                   \
			return v;            \
		return disk_io_real.call;    \
	} while (0)

static int f_open(const struct disk_io *io, int dir, const char *name, int flags)
{
	REAL(open(io, dir, name, flags));
}

static int f_close(const struct disk_io *io, int fd)
{
	return disk_io_real.close(io, fd);
}

static ssize_t f_pread(const struct disk_io *io, int fd, void *p, size_t n, uint64_t at)
{
	int v = verdict(faulty(io));

	atomic_fetch_add(&faulty(io)->reads, 1);
	if (v < 0)
		return v;
	return disk_io_real.pread(io, fd, p, v > 0 && n > 1 ? n / 2 : n, at);
}

static ssize_t f_pread_nowait(const struct disk_io *io, int fd, void *p, size_t n, uint64_t at)
{
	int v = verdict(faulty(io));

	atomic_fetch_add(&faulty(io)->reads, 1);
	if (v < 0)
		return v;
	return disk_io_real.pread_nowait(io, fd, p, v > 0 && n > 1 ? n / 2 : n, at);
}

static ssize_t torn(struct faulty_io *f, const struct disk_io *io, int fd, const void *p, size_t n, uint64_t at)
{
	long left = atomic_load(&f->bytes_left);

	if (left < 0)
		return disk_io_real.pwrite(io, fd, p, n, at);
	left = atomic_fetch_sub(&f->bytes_left, (long)n);
	if (left >= (long)n)
		return disk_io_real.pwrite(io, fd, p, n, at);
	atomic_store(&f->bytes_left, 0);
	if (!atomic_exchange(&f->is_dead, true) && left > 0)
		(void)!disk_io_real.pwrite(io, fd, p, (size_t)left, at);
	return -EIO;
}

static ssize_t f_pwrite(const struct disk_io *io, int fd, const void *p, size_t n, uint64_t at)
{
	pthread_mutex_t *hold = faulty(io)->hold;
	int v = verdict(faulty(io));

	if (hold) {
		pthread_mutex_lock(hold);
		pthread_mutex_unlock(hold);
	}
	if (v < 0)
		return v;
	return torn(faulty(io), io, fd, p, v > 0 && n > 1 ? n / 2 : n, at);
}

static int f_allocate(const struct disk_io *io, int fd, uint64_t size)
{
	REAL(allocate(io, fd, size));
}

static int f_truncate(const struct disk_io *io, int fd, uint64_t size)
{
	REAL(truncate(io, fd, size));
}

static int f_sync(const struct disk_io *io, int fd)
{
	int v = verdict(faulty(io));

	(void)fd; /* no test cuts the power, and devices are slow */
	return v < 0 ? v : 0;
}

static int f_unlink(const struct disk_io *io, int dir, const char *name)
{
	REAL(unlink(io, dir, name));
}

static int f_rename(const struct disk_io *io, int dir, const char *from, const char *to)
{
	REAL(rename(io, dir, from, to));
}

static int f_size(const struct disk_io *io, int fd, uint64_t *size)
{
	REAL(size(io, fd, size));
}

static int f_is_private(const struct disk_io *io, int fd)
{
	REAL(is_private(io, fd));
}

static int f_list(const struct disk_io *io, int dir, bool (*each)(const char *name, void *arg), void *arg)
{
	REAL(list(io, dir, each, arg));
}

void drig_heal(struct rig *r)
{
	atomic_store(&r->io.fail_at, 0);
	atomic_store(&r->io.fail_after, false);
	atomic_store(&r->io.error, EIO);
	atomic_store(&r->io.bytes_left, -1);
	atomic_store(&r->io.is_dead, false);
}

/* ---- The directory ---- */

void drig_init(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	log_set_level(LOG_LEVEL_ERROR);
	r->io.io = (struct disk_io){f_open, f_close, f_pread, f_pread_nowait, f_pwrite, f_allocate, f_truncate, f_sync,
		f_sync, f_unlink, f_rename, f_size, f_is_private, f_list};
	drig_heal(r);
	snprintf(r->path, sizeof(r->path), "%s/disk-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(r->path));
	r->o = (struct disk_options){
		.path = r->path,
		.size = 1 << 20,
		.segment_bytes = 65536,
		.journal_bytes = 4096,
		.retry_ms = 1,
		.clock_id = 77,
		.io = &r->io.io,
	};
}

/* Calls each for the files whose names begin so, in the order of names. */
static void each_file(const struct rig *r, const char *prefix, void (*each)(const char *path, void *arg), void *arg)
{
	struct dirent **v = NULL;
	int n = scandir(r->path, &v, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char path[400];

		snprintf(path, sizeof(path), "%s/%s", r->path, v[i]->d_name);
		if (v[i]->d_name[0] != '.' && strncmp(v[i]->d_name, prefix, strlen(prefix)) == 0)
			each(path, arg);
		free(v[i]); /* allocated by libc */
	}
	free(v); /* allocated by libc */
}

static void remove_one(const char *path, void *arg)
{
	(void)arg;
	unlink(path);
}

static void add_bytes(const char *path, void *arg)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return; /* reclaimed since it was listed */
	*(uint64_t *)arg += (uint64_t)st.st_size;
}

static void add_one(const char *path, void *arg)
{
	(void)path;
	++*(unsigned *)arg;
}

static void note_first(const char *path, void *arg)
{
	char *first = arg;

	if (!first[0])
		snprintf(first, 400, "%s", path);
}

uint64_t drig_bytes(const struct rig *r, const char *prefix)
{
	uint64_t n = 0;

	each_file(r, prefix, add_bytes, &n);
	return n;
}

unsigned drig_files(const struct rig *r, const char *prefix)
{
	unsigned n = 0;

	each_file(r, prefix, add_one, &n);
	return n;
}

bool drig_file(const struct rig *r, const char *prefix, char *path, size_t n)
{
	char first[400] = "";

	each_file(r, prefix, note_first, first);
	snprintf(path, n, "%s", first);
	return first[0] != '\0';
}

int drig_try_open(struct rig *r)
{
	int err;

	assert_null(r->d);
	assert_int_equal(invalidation_table_new(1000, &r->invalidation), 0);
	r->o.invalidation = r->invalidation;
	err = disk_open(&r->o, &r->d, r->error);
	if (err) {
		assert_null(r->d);
		assert_true(r->error[0] != '\0');
		invalidation_table_free(&r->invalidation);
	}
	return err;
}

void drig_open(struct rig *r)
{
	int err = drig_try_open(r);

	if (err)
		fail_msg("%s (%d)", r->error, err);
	disk_wait_ready(r->d);
}

void drig_wait_room(struct rig *r)
{
	while (drig_stats(r).bytes > r->o.size - 3 * r->o.segment_bytes)
		sched_yield();
}

void drig_close(struct rig *r)
{
	disk_close(&r->d);
	invalidation_table_free(&r->invalidation);
}

void drig_reopen(struct rig *r)
{
	drig_close(r);
	drig_heal(r);
	drig_open(r);
}

void drig_fini(struct rig *r)
{
	drig_close(r);
	each_file(r, "", remove_one, NULL);
	rmdir(r->path);
}

/* ---- Responses ---- */

struct held {
	struct tier_source s;
	char key[200], head[200], names[64], values[64];
	uint64_t tag;
	char body[];
};

static size_t make_key(const char *url, char out[200])
{
	return (size_t)snprintf(out, 200, "G%s%c", url, 0);
}

void drig_forget(struct tier *t, struct hash128 hash)
{
	disk_forget_before(t, hash, disk_retire(t, hash));
}

struct hash128 drig_hash(const char *url)
{
	char key[200];

	return hash128_of(key, make_key(url, key));
}

static void fill_body(char *p, size_t n, const char *url, unsigned version)
{
	uint64_t x = hash64_of(url, strlen(url)) ^ ((uint64_t)version << 32) ^ n;

	for (size_t i = 0; i < n; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		p[i] = (char)(x >> 56);
	}
}

static struct slice body_at(const struct tier_source *s, uint64_t offset)
{
	struct held *h = CONTAINER_OF((struct tier_source *)(uintptr_t)s, struct held, s);
	uint64_t left = s->body_n - offset;

	return (struct slice){h->body + offset, left < 50000 ? left : 50000};
}

static void on_release(struct tier_source *s)
{
	mem_free(CONTAINER_OF(s, struct held, s));
}

static void fill_source(struct rig *r, struct held *h, const struct response *a)
{
	int64_t ms = a->lifetime_ms ? a->lifetime_ms : 3600000;
	struct now now = clock_now();

	h->s = (struct tier_source){
		.key = {h->key, make_key(a->url, h->key)},
		.hash = drig_hash(a->url),
		.url = {h->key + 1, strlen(a->url)},
		.status = 200,
		.freshness = {.lifetime_ms = ms,
			.stale_if_error_ms = a->stale_ms,
			.received_mono_ms = now.mono_ms,
			.received_wall_ms = now.wall_ms},
		.epoch = invalidation_now(r->invalidation),
		.body_n = a->body_n,
		.body_at = body_at,
		.on_release = on_release,
	};
	snprintf(h->names, sizeof(h->names), "%s", a->names ? a->names : "");
	snprintf(h->values, sizeof(h->values), "%s", a->values ? a->values : "");
	snprintf(h->head, sizeof(h->head), "HTTP/1.1 200 OK\r\nX-Version: %u %zu\r\n%s", a->version, a->body_n,
		a->is_new_head ? "X-New: 1\r\n" : "");
	h->s.vary_names = slice_of(h->names);
	h->s.vary_values = slice_of(h->values);
	h->s.head = slice_of(h->head);
	if (a->tag) {
		h->tag = purge_tag_hash(slice_of(a->tag));
		h->s.tags = &h->tag;
		h->s.tags_n = 1;
	}
	fill_body(h->body, a->body_n, a->url, a->version);
}

_Atomic unsigned drig_rooms;

static void on_room(struct tier_source *s)
{
	(void)s;
	atomic_fetch_add(&drig_rooms, 1);
}

int drig_stream_begin(
	struct rig *r, const struct response *a, bool is_known, struct tier_stream **st, const char **body)
{
	struct held *h = mem_zalloc(sizeof(*h) + a->body_n);
	int err;

	assert_non_null(h);
	fill_source(r, h, a);
	h->s.body_at = NULL;
	h->s.body_n = is_known ? a->body_n : TIER_LENGTH_UNKNOWN;
	*body = h->body;
	err = disk_stream_begin(r->d, &h->s, on_room, st);
	if (err)
		mem_free(h);
	return err;
}

int drig_stream(struct rig *r, const struct response *a, bool is_known, size_t feed, bool is_whole)
{
	struct tier_stream *st;
	const char *body;
	int err = drig_stream_begin(r, a, is_known, &st, &body);
	size_t n = is_whole ? a->body_n : a->body_n / 2;

	if (err)
		return err;
	for (size_t at = 0; at < n; at += feed)
		if (disk_stream_write(st, body + at, n - at < feed ? n - at : feed) == TIER_GAVE_UP)
			break;
	disk_stream_end(&st, is_whole ? TIER_END_WHOLE : TIER_END_CUT);
	disk_flush(r->d);
	return 0;
}

int drig_put(struct rig *r, const struct response *a)
{
	struct held *h = mem_zalloc(sizeof(*h) + a->body_n);
	int err;

	assert_non_null(h);
	fill_source(r, h, a);
	err = a->refresh ? disk_refresh(r->d, &h->s) : disk_put(r->d, &h->s);
	if (err) {
		disk_forget_before(r->d, h->s.hash, h->s.forget_before);
		mem_free(h);
	}
	return err;
}

void drig_store(struct rig *r, const struct response *a)
{
	assert_int_equal(drig_put(r, a), 0);
	disk_flush(r->d);
}

struct finding {
	struct tier_lookup l;
	char key[200];
	const char *values;
	bool delivered;
};

static bool accepts(struct tier_lookup *l, const struct tier_object *o)
{
	const struct finding *f = CONTAINER_OF(l, struct finding, l);

	return slice_equal(o->vary_values, slice_of(f->values));
}

static void compare_stream(struct rig *r, struct tier_object *o, const char *want)
{
	char *buffer = test_malloc(TIER_BLOCK);
	struct tier_hold hold;
	struct tier_read b = {.hold = &hold, .buffer = buffer};
	bool is_there = disk_body_ref(r->d, &hold, o->large) == 0;

	for (b.offset = 0; is_there && b.offset < o->body_n; b.offset += b.bytes.n) {
		assert_int_equal(disk_body_read(r->d, &b), 0);
		if (b.err)
			break; /* an aborted transfer, never a wrong byte */
		assert_memory_equal(b.bytes.p, want + b.offset, b.bytes.n);
	}
	disk_body_unref(r->d, &hold);
	test_free(buffer);
}

_Thread_local uint64_t drig_epoch, drig_lsn;

static int compare(struct rig *r, struct tier_object *o, const char *url)
{
	unsigned version = 0;
	size_t body_n = 0;
	char head[200], *want;

	assert_true(o->head.n < sizeof(head));
	memcpy(head, o->head.p, o->head.n);
	head[o->head.n] = '\0';
	assert_int_equal(sscanf(head, "HTTP/1.1 200 OK\r\nX-Version: %u %zu", &version, &body_n), 2);
	assert_int_equal(body_n, o->body_n);
	assert_true(slice_equal(o->url, slice_of(url)));
	assert_int_equal(o->status, 200);
	drig_epoch = o->epoch;
	drig_lsn = o->lsn;
	want = test_malloc(body_n + 1);
	fill_body(want, body_n, url, version);
	if (o->body.p)
		assert_memory_equal(o->body.p, want, body_n);
	else
		compare_stream(r, o, want);
	test_free(want);
	return (int)version;
}

static void prepare(struct finding *f, const char *url, const char *values)
{
	memset(f, 0, sizeof(*f));
	f->l.key = (struct slice){f->key, make_key(url, f->key)};
	f->l.hash = drig_hash(url);
	f->l.now = clock_now();
	f->values = values;
	f->l.accepts = values ? accepts : NULL;
}

int drig_find_variant(struct rig *r, const char *url, const char *values, bool *soft)
{
	struct finding f;
	int version;

	prepare(&f, url, values);
	if (disk_get(r->d, &f.l) == TIER_MISS) {
		assert_null(f.l.object);
		return -1;
	}
	assert_int_not_equal(f.l.verdict, TIER_PENDING);
	if (soft)
		*soft = f.l.verdict == TIER_SOFT;
	version = compare(r, f.l.object, url);
	disk_object_free(r->d, &f.l.object);
	return version;
}

int drig_find(struct rig *r, const char *url)
{
	return drig_find_variant(r, url, NULL, NULL);
}

static void on_message(struct message *message)
{
	CONTAINER_OF(message, struct finding, l.message)->delivered = true;
}

int drig_find_by_message(struct rig *r, const char *url)
{
	struct finding f;
	struct mailbox mb;
	int version = -1;

	prepare(&f, url, NULL);
	assert_int_equal(mailbox_init(&mb), 0);
	f.l.reply_to = &mb;
	f.l.message.on_message = on_message;
	if (disk_get(r->d, &f.l) == TIER_PENDING)
		while (!f.delivered) {
			struct pollfd p = {.fd = mb.event_fd, .events = POLLIN};

			assert_int_equal(poll(&p, 1, 20000), 1);
			mailbox_deliver(&mb);
		}
	mailbox_fini(&mb);
	if (f.l.object) {
		version = compare(r, f.l.object, url);
		disk_object_free(r->d, &f.l.object);
	}
	return version;
}

bool drig_has_new_head(struct rig *r, const char *url)
{
	struct finding f;
	bool has;

	prepare(&f, url, NULL);
	assert_int_equal(disk_get(r->d, &f.l), TIER_HIT);
	has = memmem(f.l.object->head.p, f.l.object->head.n, "X-New", 5) != NULL;
	disk_object_free(r->d, &f.l.object);
	return has;
}

uint64_t drig_purge(struct rig *r, enum purge_kind kind, const char *what, bool soft)
{
	uint64_t seq = 0;

	assert_int_equal(
		disk_purge(r->d, &(struct purge){.kind = kind, .what = slice_of(what), .soft = soft}, 1, true, &seq),
		0);
	return seq;
}

struct disk_stats drig_stats(struct rig *r)
{
	struct disk_stats s;

	disk_stats(r->d, &s);
	return s;
}
