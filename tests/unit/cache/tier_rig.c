/* SPDX-License-Identifier: MIT */
#include "tier_rig.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

struct tiers_device tiers_device;
static bool is_over_table;

int tiers_over_disk(void **state)
{
	(void)state;
	is_over_table = false;
	return 0;
}

int tiers_over_table(void **state)
{
	(void)state;
	is_over_table = true;
	return 0;
}

/* ---- The device ---- */

static bool is_at_hand(void)
{
	if (atomic_load(&tiers_device.is_cold))
		return false;
	atomic_fetch_add(&tiers_device.reads, 1);
	return true;
}

static void before_read(void)
{
	atomic_fetch_add(&tiers_device.reads, 1);
}

static void before_write(void)
{
	while (atomic_load(&tiers_device.is_held))
		sched_yield();
	if (!atomic_exchange(&tiers_device.writes_wait, false))
		return;
	sem_post(&tiers_device.writer_is_there);
	while (sem_wait(&tiers_device.writer_may_go) != 0)
		;
}

static ssize_t counted_read(const struct disk_io *io, int fd, void *p, size_t n, uint64_t at)
{
	before_read();
	return disk_io_real.pread(io, fd, p, n, at);
}

static ssize_t read_at_once(const struct disk_io *io, int fd, void *p, size_t n, uint64_t at)
{
	return is_at_hand() ? disk_io_real.pread(io, fd, p, n, at) : -EAGAIN;
}

static ssize_t slow_write(const struct disk_io *io, int fd, const void *p, size_t n, uint64_t at)
{
	if (n >= 192) /* records, not what the reclaimer prepares */
		before_write();
	return disk_io_real.pwrite(io, fd, p, n, at);
}

static int no_sync(const struct disk_io *io, int fd)
{
	(void)io;
	(void)fd;
	return 0;
}

static void begin_device(void)
{
	struct tiers_device *d = &tiers_device;

	memset(d, 0, sizeof(*d));
	d->io = disk_io_real;
	d->io.pread = counted_read;
	d->io.pread_nowait = read_at_once;
	d->io.pwrite = slow_write;
	d->io.sync = d->io.sync_dir = no_sync;
	sem_init(&d->writer_is_there, 0, 0);
	sem_init(&d->writer_may_go, 0, 0);
}

/* ---- A process's life ---- */

static void open_tier(struct tiers *t)
{
	const struct table_options o = {
		cache_invalidation(t->g.c), t->o.queue_max, is_at_hand, before_read, before_write};
	char error[DISK_ERROR_MAX];

	t->o.invalidation = cache_invalidation(t->g.c);
	if (t->table)
		t->tier = table_open(t->table, &o);
	else if (disk_open(&t->o, &t->tier, error) != 0)
		fail_msg("%s", error);
	cache_set_tier(t->g.c, t->tier);
	memcpy(t->g.secret.bytes, t->tier->secret, sizeof(t->g.secret.bytes));
	while (!rig_stats(&t->g).tier.is_ready)
		usleep(100);
}

void tiers_begin(struct tiers *t)
{
	memset(t, 0, sizeof(*t));
	log_set_level(LOG_LEVEL_ERROR);
	begin_device();
	if (is_over_table)
		t->table = table_new();
	snprintf(t->path, sizeof(t->path), "%s/tiers-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(t->path));
	t->o = (struct disk_options){.path = t->path, .size = 8 << 20, .clock_id = 77, .io = &tiers_device.io};
	rig_begin(&t->g);
	open_tier(t);
}

/* As another process: what was in memory is gone. */
void tiers_restart(struct tiers *t)
{
	rig_end(&t->g);
	rig_start(&t->g);
	open_tier(t);
	atomic_store(&tiers_device.reads, 0);
}

void tiers_end(struct tiers *t)
{
	const struct dirent *e;
	DIR *d;

	rig_end(&t->g);
	if (t->table)
		table_free(&t->table);
	d = opendir(t->path);
	assert_non_null(d);
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	assert_int_equal(rmdir(t->path), 0);
}

int tiers_set_up(void **state)
{
	static struct tiers t;

	tiers_begin(&t);
	*state = &t;
	return 0;
}

int tiers_tear_down(void **state)
{
	tiers_end(*state);
	return 0;
}

void tiers_written(struct tiers *t)
{
	while (rig_stats(&t->g).tier.queue > 0)
		usleep(100);
}

struct disk_stats tiers_counts(struct tiers *t)
{
	struct disk_stats s = {0};

	if (t->table) {
		struct table_counts n = table_counts(t->tier);

		s.hits = n.hits;
		s.puts = n.puts;
		s.dropped_queue = n.dropped_queue;
	} else {
		disk_stats(t->tier, &s);
	}
	return s;
}

void tiers_wait_for_message(struct tiers *t)
{
	struct pollfd p = {.fd = t->g.mailboxes[0].event_fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 20000), 1);
}

static void wait_at(struct tiers *t, struct ask *a)
{
	struct waiter w;

	waiter_join(&w, a, 0);
	while (waiter_look(&w).phase == FLIGHT_WAITING) {
		tiers_wait_for_message(t);
		rig_deliver(&t->g);
	}
	flight_leave(&w.w);
	rig_deliver(&t->g);
}

enum cache_verdict tiers_look_up(struct tiers *t, struct ask *a)
{
	enum cache_verdict v = ask_lookup(&t->g, a);

	for (; v == CACHE_LOWER; v = ask_lookup(&t->g, a)) {
		a->r.skip_lower = a->out.leads_read;
		wait_at(t, a);
	}
	return v;
}

void tiers_store(struct tiers *t, const char *target, const char *request_fields, const char *fields, const char *body)
{
	struct ask a;

	ask_init(&t->g, &a, target, request_fields);
	assert_int_equal(tiers_look_up(t, &a), CACHE_LEAD);
	assert_int_equal(rig_answer(&t->g, a.out.flight, 200, fields, (int64_t)strlen(body), NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, body, strlen(body)), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, t->g.now);
	ask_fini(&a);
	tiers_written(t);
}

enum cache_verdict tiers_verdict(struct tiers *t, const char *target, const char *fields, bool *from_lower)
{
	enum cache_verdict v;
	struct ask a;

	ask_init(&t->g, &a, target, fields);
	v = tiers_look_up(t, &a);
	if (from_lower)
		*from_lower = a.out.from_lower;
	if (a.out.flight && v != CACHE_JOIN)
		flight_abandon(a.out.flight);
	ask_fini(&a);
	return v;
}

void tiers_disk_has(struct tiers *t, const char *target, const char *fields, const char *body)
{
	struct ask a;

	ask_init(&t->g, &a, target, fields);
	assert_int_equal(tiers_look_up(t, &a), CACHE_HIT);
	rig_body_is(a.out.object, body);
	assert_true(a.out.from_lower || a.r.skip_lower);
	ask_fini(&a);
}
