/* SPDX-License-Identifier: MIT */
/* Puts that are dropped: what they would have replaced does not come back, not after a restart either. */
#include "cache/disk/store_internal.h"
#include "disk_rig.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <unistd.h>

#define A "http://o/a"
#define OTHER "http://o/other"

static struct response version(const char *url, unsigned v)
{
	return (struct response){.url = url, .version = v, .body_n = 300};
}

/* The writer waits in its next write until it may go on. */
static _Atomic bool writes_wait, pieces_wait; /* pieces: of what streams */
static sem_t writer_is_there, writer_may_go;
static ssize_t (*write_on)(const struct disk_io *io, int fd, const void *p, size_t n, uint64_t at);

static ssize_t slow_write(const struct disk_io *io, int fd, const void *p, size_t n, uint64_t at)
{
	if (atomic_exchange(&writes_wait, false) || (n >= TIER_BLOCK && atomic_exchange(&pieces_wait, false))) {
		sem_post(&writer_is_there);
		while (sem_wait(&writer_may_go) != 0)
			;
	}
	return write_on(io, fd, p, n, at);
}

static int set_up(void **state)
{
	static struct rig r;

	drig_init(&r);
	write_on = r.io.io.pwrite;
	r.io.io.pwrite = slow_write;
	sem_init(&writer_is_there, 0, 0);
	sem_init(&writer_may_go, 0, 0);
	r.o.queue_max = 3;
	drig_open(&r);
	*state = &r;
	return 0;
}

static int tear_down(void **state)
{
	sem_post(&writer_may_go); /* of a test that failed: the writer may still wait */
	sem_post(&writer_may_go);
	drig_fini(*state);
	sem_destroy(&writer_is_there);
	sem_destroy(&writer_may_go);
	return 0;
}

static void put(struct rig *r, struct response a, int wanted)
{
	assert_int_equal(drig_put(r, &a), wanted);
}

static void block_writer(struct rig *r)
{
	atomic_store(&writes_wait, true);
	put(r, version(OTHER, 1), 0);
	while (sem_wait(&writer_is_there) != 0)
		;
}

static void let_writer_go(struct rig *r)
{
	sem_post(&writer_may_go);
	disk_flush(r->d);
}

static void is_gone_for_good(struct rig *r, const char *url)
{
	assert_int_equal(drig_find(r, url), -1);
	for (int i = 0; i < 2; i++) {
		drig_reopen(r);
		assert_int_equal(drig_find(r, url), -1);
	}
}

static void what_a_dropped_put_outdates_is_gone_after_a_restart_too(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 300});
	block_writer(r);
	put(r, version(OTHER, 2), 0);
	put(r, version(OTHER, 3), 0);
	put(r, version(A, 2), -ENOBUFS);
	assert_int_equal(drig_find(r, A), -1);
	let_writer_go(r);
	is_gone_for_good(r, A);
	assert_int_equal(drig_find(r, OTHER), 3);
	drig_store(r, &(struct response){.url = A, .version = 3, .body_n = 300});
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), 3);
}

static void a_dropped_renewal_takes_what_it_would_have_renewed_along(void **state)
{
	struct response renewed = version(A, 1);
	struct rig *r = *state;

	drig_store(r, &renewed);
	block_writer(r);
	put(r, version(OTHER, 2), 0);
	put(r, version(OTHER, 3), 0);
	renewed.refresh = renewed.is_new_head = true;
	put(r, renewed, -ENOBUFS);
	let_writer_go(r);
	is_gone_for_good(r, A);
}

static void what_is_queued_and_outdated_by_a_dropped_put_is_never_written(void **state)
{
	struct rig *r = *state;
	uint64_t puts;

	block_writer(r);
	put(r, version(OTHER, 2), 0);
	put(r, version(A, 1), 0);
	put(r, version(A, 2), -ENOBUFS);
	puts = drig_stats(r).puts;
	let_writer_go(r);
	assert_int_equal(drig_stats(r).puts, puts + 2); /* both of OTHER */
	is_gone_for_good(r, A);
}

/* 1 lies in the log, 2 is queued and has taken it out of the index, 3 is dropped. */
static void a_dropped_put_outdates_what_the_queued_one_was_to_replace(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 300});
	block_writer(r);
	put(r, version(OTHER, 2), 0);
	put(r, version(A, 2), 0);
	put(r, version(A, 3), -ENOBUFS);
	let_writer_go(r);
	is_gone_for_good(r, A);
}

static void *put_too_large(void *arg)
{
	const struct response a = {.url = A, .version = 2, .body_n = 1 << 20};

	return (void *)(intptr_t)drig_put(arg, &a);
}

/* 1 is being written when 2 begins to be put, and in the index before that is dropped. */
static void a_dropped_put_outdates_what_is_written_just_then(void **state)
{
	struct rig *r = *state;
	struct disk *d = disk_of(r->d);
	pthread_t putting;
	void *err;

	atomic_store(&writes_wait, true);
	put(r, version(A, 1), 0);
	while (sem_wait(&writer_is_there) != 0)
		;
	pthread_mutex_lock(&d->queue_mu);
	assert_int_equal(pthread_create(&putting, NULL, put_too_large, r), 0);
	while (atomic_load(&d->n.dropped_size) == 0)
		sched_yield();
	sem_post(&writer_may_go);
	while (!index_has(&d->index, drig_hash(A)))
		sched_yield();
	pthread_mutex_unlock(&d->queue_mu);
	pthread_join(putting, &err);
	assert_int_equal((intptr_t)err, -EMSGSIZE);
	is_gone_for_good(r, A);
}

static void what_a_failed_write_outdates_is_gone_after_a_restart_too(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 300});
	atomic_store(&r->io.bytes_left, 100); /* of the next write, then nothing has any effect */
	put(r, version(A, 2), 0);
	disk_flush(r->d);
	assert_true(drig_stats(r).write_errors > 0);
	drig_heal(r);
	is_gone_for_good(r, A);
}

static void what_is_dropped_while_writing_rests_is_outdated_as_well(void **state)
{
	struct rig *r = *state;

	drig_close(r);
	r->o.retry_ms = 3600000;
	drig_open(r);
	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 300});
	atomic_store(&r->io.fail_at, atomic_load(&r->io.calls) + 1);
	put(r, version(OTHER, 1), 0);
	disk_flush(r->d);
	drig_heal(r);
	put(r, version(A, 2), -EIO);
	is_gone_for_good(r, A);
}

static void what_is_not_admitted_forgets_nothing_that_is_not_there(void **state)
{
	struct rig *r = *state;
	uint64_t forgets;

	forgets = drig_stats(r).forgets;
	block_writer(r);
	put(r, version(OTHER, 2), 0);
	put(r, version(OTHER, 3), 0);
	for (unsigned i = 0; i < 100; i++) {
		char url[40];

		snprintf(url, sizeof(url), "http://o/new/%u", i);
		put(r, version(url, 1), -ENOBUFS);
	}
	let_writer_go(r);
	assert_int_equal(drig_stats(r).forgets, forgets);
}

static void rules_stay_while_older_responses_wait_to_be_written(void **state)
{
	struct rig *r = *state;
	uint64_t oldest;

	drig_store(r, &(struct response){.url = OTHER, .version = 1, .body_n = 300});
	oldest = disk_oldest_epoch(r->d);
	assert_true(oldest > 0);
	block_writer(r);
	assert_int_equal(disk_oldest_epoch(r->d), 0); /* nobody knows what is under way */
	let_writer_go(r);
	assert_true(disk_oldest_epoch(r->d) >= oldest);
}

/* 1 is queued and written, and comes into the index, while 2, which is large and has all come, is still being written. */
static void an_older_record_is_not_found_while_a_newer_one_is_being_written(void **state)
{
	struct response large = {.url = A, .version = 2, .body_n = TIER_BLOCK + 1000};
	struct tier_stream *st;
	struct rig *r = *state;
	const char *body;

	block_writer(r);
	put(r, version(A, 1), 0);
	atomic_store(&pieces_wait, true);
	assert_int_equal(drig_stream_begin(r, &large, false, &st, &body), 0);
	assert_int_equal(disk_stream_write(st, body, large.body_n), TIER_FLOWS);
	disk_stream_end(&st, TIER_END_WHOLE);
	sem_post(&writer_may_go);
	while (sem_wait(&writer_is_there) != 0)
		;
	assert_int_equal(drig_stats(r).puts, 2); /* the first is there, by itself */
	assert_int_equal(drig_find(r, A), -1);
	let_writer_go(r);
	assert_int_equal(drig_find(r, A), 2);
}

/* What was to be forgotten could not be journalled, nor a checkpoint be written; then the device works again, for the end. */
static void what_could_not_be_journalled_is_in_the_last_checkpoint(void **state)
{
	struct rig *r = *state;

	drig_close(r);
	r->o.retry_ms = 3600000;
	drig_open(r);
	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 300});
	atomic_store(&r->io.bytes_left, 100);
	put(r, version(A, 2), 0);
	disk_flush(r->d);
	while (drig_stats(r).checkpoint_errors == 0)
		usleep(100);
	drig_heal(r);
	is_gone_for_good(r, A);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		CASE(what_a_dropped_put_outdates_is_gone_after_a_restart_too),
		CASE(a_dropped_renewal_takes_what_it_would_have_renewed_along),
		CASE(what_is_queued_and_outdated_by_a_dropped_put_is_never_written),
		CASE(a_dropped_put_outdates_what_the_queued_one_was_to_replace),
		CASE(a_dropped_put_outdates_what_is_written_just_then),
		CASE(what_a_failed_write_outdates_is_gone_after_a_restart_too),
		CASE(what_is_dropped_while_writing_rests_is_outdated_as_well),
		CASE(what_is_not_admitted_forgets_nothing_that_is_not_there),
		CASE(rules_stay_while_older_responses_wait_to_be_written),
		CASE(an_older_record_is_not_found_while_a_newer_one_is_being_written),
		CASE(what_could_not_be_journalled_is_in_the_last_checkpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
