/* SPDX-License-Identifier: MIT */
/* What is on the device when the power goes: a name only once its directory is synced, an entry once its file is. */
#include "disk_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cache/disk/store_internal.h"

#define A "http://o/a"
#define B "http://o/b"
#define NAMES_MAX 64

/* ---- Files whose names are not on the device yet ---- */

static pthread_mutex_t names_mu = PTHREAD_MUTEX_INITIALIZER;
static char names[NAMES_MAX][64];
static unsigned names_n;
static struct disk_io below;
static _Atomic int sync_error;
static struct invalidation_table *sync_table;
static _Atomic uint64_t sync_waits_for; /* a number of sync_table; 0: none */

static void note_name(const char *name)
{
	pthread_mutex_lock(&names_mu);
	assert_true(names_n < NAMES_MAX);
	snprintf(names[names_n++], sizeof(names[0]), "%s", name);
	pthread_mutex_unlock(&names_mu);
}

static bool is_on_device(const char *name)
{
	bool is = true;

	pthread_mutex_lock(&names_mu);
	for (unsigned i = 0; i < names_n; i++)
		is = is && strcmp(names[i], name) != 0;
	pthread_mutex_unlock(&names_mu);
	return is;
}

static int p_open(const struct disk_io *io, int dir, const char *name, int flags)
{
	bool is_new = (flags & O_CREAT) && faccessat(dir, name, F_OK, 0) != 0;
	int fd = below.open(io, dir, name, flags);

	if (fd >= 0 && is_new)
		note_name(name);
	return fd;
}

static int p_sync_dir(const struct disk_io *io, int dir)
{
	int err = below.sync_dir(io, dir);

	if (!err) {
		pthread_mutex_lock(&names_mu);
		names_n = 0;
		pthread_mutex_unlock(&names_mu);
	}
	return err;
}

static int p_sync(const struct disk_io *io, int fd)
{
	int err = atomic_exchange(&sync_error, 0);
	uint64_t number = atomic_load(&sync_waits_for);

	for (unsigned i = 0; number && i < 5000 && invalidation_now(sync_table) < number; i++)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	if (number && invalidation_now(sync_table) < number)
		atomic_store(
			&sync_waits_for, 0); /* who waits in vain waits once; of all that sync meanwhile each waits */
	return err ? -err : below.sync(io, fd);
}

static int set_up(void **state)
{
	static struct rig r;

	drig_init(&r);
	names_n = 0;
	atomic_store(&sync_error, 0);
	below = r.io.io;
	r.io.io.open = p_open;
	r.io.io.sync_dir = p_sync_dir;
	r.io.io.sync = p_sync;
	*state = &r;
	return 0;
}

static int tear_down(void **state)
{
	atomic_store(&sync_waits_for, 0);
	drig_fini(*state);
	return 0;
}

/* Nothing has any effect any more, and what has no name on the device has none after it. */
static void cut_power(struct rig *r)
{
	char path[200];

	atomic_store(&r->io.is_dead, true);
	drig_close(r);
	for (unsigned i = 0; i < names_n; i++)
		if (strncmp(names[i], "seg-", 4) != 0) { /* the worst case: what may be purged is there */
			snprintf(path, sizeof(path), "%s/%s", r->path, names[i]);
			unlink(path);
		}
	names_n = 0;
	drig_heal(r);
	drig_open(r);
}

static void a_checkpoint_is_on_the_device_before_its_journals_go(void **state)
{
	struct rig *r = *state;

	r->o.journal_bytes = 1 << 20; /* no other checkpoint but ours */
	drig_open(r);
	for (unsigned i = 0; i < 3; i++) {
		drig_store(r, &(struct response){.url = A, .version = i, .body_n = 300});
		drig_store(r, &(struct response){.url = B, .version = i, .body_n = 300});
		drig_purge(r, PURGE_URL, A, false);
		assert_int_equal(disk_checkpoint(disk_of(r->d)), 0);
		cut_power(r);
		assert_int_equal(drig_stats(r).started_empty, 0);
		assert_int_equal(drig_find(r, B), i);
		assert_int_equal(drig_find(r, A), -1);
	}
}

/* ---- The journal by itself; this thread is the one that syncs ---- */

static void begin_journal(struct rig *r, struct journal *j, int *dir)
{
	*dir = open(r->path, O_RDONLY | O_DIRECTORY);
	assert_true(*dir >= 0);
	assert_int_equal(journal_init(j, &r->io.io, *dir, 1, 65536, 1), 0);
}

static uint64_t append(struct journal *j)
{
	const struct journal_entry e = {.kind = JOURNAL_FORGET, .a = 1, .b = 2, .what = {"", 0}};
	uint64_t ticket = 0;

	pthread_mutex_lock(&j->mu);
	assert_int_equal(journal_append_locked(j, &e, &ticket), 0);
	pthread_mutex_unlock(&j->mu);
	return ticket;
}

static void rotate(struct journal *j)
{
	uint64_t number;

	pthread_mutex_lock(&j->mu);
	assert_int_equal(journal_rotate_locked(j, &number), 0);
	pthread_mutex_unlock(&j->mu);
}

static void what_is_acknowledged_is_in_a_file_whose_name_is_on_the_device(void **state)
{
	struct rig *r = *state;
	struct journal j;
	int dir;

	begin_journal(r, &j, &dir);
	for (unsigned i = 0; i < 3; i++) {
		char name[JOURNAL_NAME_MAX];
		uint64_t ticket;

		rotate(&j);
		ticket = append(&j);
		(void)journal_work(&j, 0);
		assert_int_equal(journal_wait(&j, ticket, ticket), 0);
		journal_name(j.number, name);
		assert_true(is_on_device(name));
	}
	journal_fini(&j);
	close(dir);
}

static void who_waits_hears_of_a_sync_that_failed_at_a_rotation(void **state)
{
	struct rig *r = *state;
	uint64_t early, late;
	struct journal j;
	int dir;

	begin_journal(r, &j, &dir);
	early = append(&j);
	rotate(&j);
	late = append(&j);
	atomic_store(&sync_error, EIO);
	rotate(&j); /* syncs the first file, for the second takes its place as the old one */
	(void)journal_work(&j, 0);
	assert_int_equal(journal_wait(&j, early, early), -EIO);
	assert_int_equal(journal_wait(&j, late, late), -EIO);
	late = append(&j);
	(void)journal_work(&j, 0);
	assert_int_equal(journal_wait(&j, late, late), 0);
	assert_int_equal(journal_wait(&j, early, early), -EIO); /* a later sync does not make it good */
	journal_cover(&j, early);                               /* a checkpoint does */
	assert_int_equal(journal_wait(&j, early, early), 0);
	journal_fini(&j);
	close(dir);
}

static void who_waits_hears_of_a_sync_that_failed(void **state)
{
	struct rig *r = *state;
	uint64_t early, late;
	struct journal j;
	int dir;

	begin_journal(r, &j, &dir);
	early = append(&j);
	atomic_store(&sync_error, EIO);
	assert_true(journal_work(&j, 0)); /* a checkpoint is due */
	assert_int_equal(journal_wait(&j, early, early), -EIO);
	late = append(&j);
	(void)journal_work(&j, 0);
	assert_int_equal(journal_wait(&j, late, late), 0);
	assert_int_equal(journal_wait(&j, early, early), -EIO);
	assert_int_equal(journal_wait(&j, early, late), -EIO); /* one of those that are waited for together */
	journal_cover(&j, early);
	assert_int_equal(journal_wait(&j, early, late), 0);
	journal_fini(&j);
	close(dir);
}

/* The device is busy with the first of them until the last has been noted. */
static void purges_that_are_made_together_wait_for_the_device_together(void **state)
{
	enum { TOGETHER = 100 };
	struct purge v[TOGETHER];
	struct rig *r = *state;
	uint64_t seq, syncs;

	drig_open(r);
	for (unsigned i = 0; i < TOGETHER; i++)
		v[i] = (struct purge){.kind = PURGE_USER, .user = i + 1};
	syncs = drig_stats(r).journal_syncs;
	sync_table = r->invalidation;
	atomic_store(&sync_waits_for, invalidation_now(r->invalidation) + TOGETHER);
	assert_int_equal(disk_purge(r->d, v, TOGETHER, true, &seq), 0);
	assert_in_range(drig_stats(r).journal_syncs - syncs, 1, 10);
	assert_int_equal(seq, invalidation_now(r->invalidation));
}

static void count_entry(const struct journal_entry *e, void *arg)
{
	(void)e;
	++*(unsigned *)arg;
}

/* Of the current file, as a start would find it. */
static unsigned entries_in(struct rig *r, const struct journal *j)
{
	uint64_t last;
	unsigned n = 0;

	assert_int_equal(disk_replay(&r->io.io, j->dir, j->store, j->number, count_entry, &n, &last), 0);
	return n;
}

/* ---- Those who are told by a message ---- */

struct waiter {
	struct tier_purging p;
	unsigned told;
};

static void on_told(struct message *m)
{
	CONTAINER_OF(m, struct waiter, p.message)->told++;
}

static int wait_for(struct journal *j, struct waiter *w, struct mailbox *mb, uint64_t first, uint64_t last)
{
	*w = (struct waiter){.p = {.reply_to = mb, .message.on_message = on_told, .first = first, .last = last}};
	return journal_wait_for(j, &w->p);
}

static void who_waits_for_a_message_is_told_once_what_the_device_says(void **state)
{
	struct rig *r = *state;
	struct waiter w[3];
	struct mailbox mb;
	struct journal j;
	uint64_t one, two, three;
	int dir;

	begin_journal(r, &j, &dir);
	assert_int_equal(mailbox_init(&mb), 0);
	one = append(&j);
	assert_int_equal(wait_for(&j, &w[0], &mb, one, one), -EINPROGRESS);
	mailbox_deliver(&mb);
	assert_int_equal(w[0].told, 0); /* not before it is there */
	(void)journal_work(&j, 0);
	two = append(&j);
	assert_int_equal(wait_for(&j, &w[1], &mb, one, two), -EINPROGRESS);
	assert_int_equal(wait_for(&j, &w[2], &mb, one, one), 0);
	atomic_store(&sync_error, EIO);
	(void)journal_work(&j, 0);
	mailbox_deliver(&mb);
	assert_int_equal(w[0].told + w[1].told, 2);
	assert_int_equal(w[0].p.err, 0);
	assert_int_equal(w[1].p.err, -EIO);
	two = append(&j);
	three = append(&j);
	assert_int_equal(wait_for(&j, &w[1], &mb, two, two), -EINPROGRESS);
	assert_int_equal(wait_for(&j, &w[2], &mb, three, three), -EINPROGRESS);
	journal_cover(&j, two); /* a checkpoint has it */
	mailbox_deliver(&mb);
	assert_int_equal(w[1].told, 1);
	assert_int_equal(w[1].p.err, 0);
	assert_int_equal(w[2].told, 0);
	journal_stop(&j);
	mailbox_deliver(&mb);
	assert_int_equal(w[2].told, 1);
	assert_int_equal(w[2].p.err, -EIO);
	mailbox_fini(&mb);
	journal_fini(&j);
	close(dir);
}

/* Each by a call of its own; the device is busy with the first until the last has come. */
static void purges_of_many_calls_wait_for_the_device_together(void **state)
{
	enum { CALLS = 100 };
	static struct waiter w[CALLS];
	struct rig *r = *state;
	struct mailbox mb;
	uint64_t syncs;
	unsigned told = 0;
	char url[32];

	drig_open(r);
	assert_int_equal(mailbox_init(&mb), 0);
	syncs = drig_stats(r).journal_syncs;
	sync_table = r->invalidation;
	atomic_store(&sync_waits_for, invalidation_now(r->invalidation) + CALLS);
	for (unsigned i = 0; i < CALLS; i++) {
		struct purge p = {
			.kind = PURGE_URL, .what = {url, (size_t)snprintf(url, sizeof(url), "http://o/%u", i)}};
		uint64_t seq;

		w[i] = (struct waiter){.p = {.reply_to = &mb, .message.on_message = on_told}};
		assert_int_equal(disk_purge_note(r->d, &p, 1, &seq, &w[i].p), 0);
		w[i].told = disk_purge_wait(r->d, &w[i].p) == 0;
	}
	for (unsigned i = 0; i < 5000 && told < CALLS; i++, told = 0) {
		mailbox_deliver(&mb);
		for (unsigned k = 0; k < CALLS; k++)
			told += w[k].told;
		if (told == CALLS)
			break;
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
	assert_int_equal(told, CALLS);
	assert_in_range(drig_stats(r).journal_syncs - syncs, 1, 10);
	for (unsigned i = 0; i < CALLS; i++)
		assert_int_equal(w[i].p.err, 0);
	mailbox_fini(&mb);
}

/* What is held back while the device is busy is written in its order, and what could not be written fails all who wait. */
static void what_is_held_back_while_the_device_is_busy_is_journalled_in_order(void **state)
{
	const struct journal_entry e = {.kind = JOURNAL_FORGET, .a = 1, .b = 2, .what = {"", 0}};
	struct rig *r = *state;
	uint64_t tickets[3], at;
	struct journal j;
	int dir;

	begin_journal(r, &j, &dir);
	pthread_mutex_lock(&j.mu);
	j.is_syncing = true; /* as if another thread were at it */
	at = j.at;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(journal_append_held_locked(&j, &e, &tickets[i]), 0);
	assert_int_equal(j.held_entries, 3);
	assert_int_equal(j.at, at + 3 * journal_entry_bytes(&e));
	pthread_mutex_unlock(&j.mu);
	(void)append(&j); /* who does not wait finds it written: all before it, too */
	assert_int_equal(j.held_entries, 0);
	assert_int_equal(entries_in(r, &j), 4);
	pthread_mutex_lock(&j.mu);
	assert_int_equal(journal_append_held_locked(&j, &e, &tickets[0]), 0);
	j.is_syncing = false;
	pthread_mutex_unlock(&j.mu);
	assert_int_equal(entries_in(r, &j), 4);
	(void)journal_work(&j, 0);
	assert_int_equal(entries_in(r, &j), 5);
	assert_int_equal(journal_wait(&j, tickets[0], tickets[0]), 0);
	journal_fini(&j);
	close(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		CASE(a_checkpoint_is_on_the_device_before_its_journals_go),
		CASE(what_is_acknowledged_is_in_a_file_whose_name_is_on_the_device),
		CASE(who_waits_hears_of_a_sync_that_failed_at_a_rotation),
		CASE(who_waits_hears_of_a_sync_that_failed),
		CASE(purges_that_are_made_together_wait_for_the_device_together),
		CASE(who_waits_for_a_message_is_told_once_what_the_device_says),
		CASE(purges_of_many_calls_wait_for_the_device_together),
		CASE(what_is_held_back_while_the_device_is_busy_is_journalled_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
