/* SPDX-License-Identifier: MIT */
/* Responses that are written as they arrive: whole or not there, within all bounds, and large ones that are asked for stay. */
#include "disk_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "cache/disk/store_internal.h"

#define MIB ((size_t)1 << 20)
#define A "http://o/a"
#define B "http://o/b"

static int setup(void **state)
{
	static struct rig rig;

	drig_init(&rig);
	rig.o.size = 8 * MIB;
	drig_open(&rig);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	drig_fini(*state);
	return 0;
}

static int stream(struct rig *r, unsigned version, size_t n, bool is_known, bool is_whole)
{
	return drig_stream(r, &(struct response){.url = A, .version = version, .body_n = n}, is_known, 7001, is_whole);
}

/* The reclaimer closes what was removed in its own time. */
static void wait_for_bytes(struct rig *r, uint64_t at_most)
{
	while (drig_stats(r).bytes > at_most)
		sched_yield();
}

static void what_comes_in_pieces_is_found_byte_for_byte(void **state)
{
	static const size_t sizes[] = {0, 1, 7, 8, 65535, 65536, 65537, 131072, 300001, 1500000};
	struct rig *r = *state;

	for (unsigned i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
		assert_int_equal(stream(r, i, sizes[i / 2], i % 2, true), 0);
		assert_int_equal(drig_find(r, A), i);
		assert_int_equal(drig_find_by_message(r, A), i);
		assert_int_equal(drig_stats(r).objects, 1);
		drig_reopen(r);
		assert_int_equal(drig_find(r, A), i);
	}
}

static void a_file_ends_up_as_long_as_it_has_to_be(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 2; i++) {
		uint64_t before = drig_bytes(r, "seg-");

		assert_int_equal(
			drig_stream(r, &(struct response){.url = i ? A : B, .body_n = 1300000}, i, 5000, true), 0);
		assert_true(drig_bytes(r, "seg-") - before < 1300000 + 8192);
		assert_int_equal(drig_bytes(r, "seg-"), drig_stats(r).bytes);
	}
}

static void what_is_cut_leaves_nothing_and_takes_nothing_away(void **state)
{
	struct rig *r = *state;

	assert_int_equal(stream(r, 1, 100000, true, true), 0);
	uint64_t before = drig_bytes(r, "seg-");
	assert_int_equal(stream(r, 2, 900000, true, false), 0);
	assert_int_equal(stream(r, 3, 900000, false, false), 0);
	assert_int_equal(drig_bytes(r, "seg-"), before);
	wait_for_bytes(r, before);
	assert_int_equal(drig_find(r, A), 1);
}

static void it_takes_the_place_of_what_was_there_when_it_is_whole(void **state)
{
	struct rig *r = *state;
	struct tier_stream *st;
	const char *body;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 100});
	assert_int_equal(
		drig_stream_begin(r, &(struct response){.url = A, .version = 2, .body_n = 200000}, true, &st, &body),
		0);
	assert_int_not_equal(disk_stream_write(st, body, 200000), TIER_GAVE_UP);
	assert_int_equal(drig_find(r, A), 1);
	disk_stream_end(&st, TIER_END_WHOLE);
	assert_int_not_equal(drig_find(r, A), 1);
	disk_flush(r->d);
	assert_int_equal(drig_find(r, A), 2);
}

static void what_began_before_a_purge_is_not_found_after_it(void **state)
{
	struct rig *r = *state;
	struct tier_stream *st;
	const char *body;

	assert_int_equal(
		drig_stream_begin(r, &(struct response){.url = A, .version = 1, .body_n = 200000}, false, &st, &body),
		0);
	assert_int_not_equal(disk_stream_write(st, body, 200000), TIER_GAVE_UP);
	(void)drig_purge(r, PURGE_URL, A, false);
	disk_stream_end(&st, TIER_END_WHOLE);
	disk_flush(r->d);
	assert_int_equal(drig_find(r, A), -1);
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), -1);
}

/* Each has a segment of its own, in the order in which they began, and recovery reads them in that order. */
static void recovery_in_any_order_finds_what_was_there(void **state)
{
	static const unsigned orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	struct rig *r = *state;

	for (unsigned i = 0; i < ARRAY_LEN(orders); i++) {
		char url[40];
		const struct response responses[] = {
			{.url = url, .version = 1, .body_n = 100000, .names = "x", .values = "a"},
			{.url = url, .version = 2, .body_n = 100000},
			{.url = url, .version = 3, .body_n = 100000, .names = "x", .values = "b"},
		};
		struct tier_stream *st[3];
		const char *body;

		snprintf(url, sizeof(url), "http://h/order/%u", i);
		for (unsigned k = 0; k < 3; k++) {
			unsigned n = orders[i][k];

			assert_int_equal(drig_stream_begin(r, &responses[n], true, &st[n], &body), 0);
			assert_int_not_equal(disk_stream_write(st[n], body, 100000), TIER_GAVE_UP);
			disk_flush(r->d);
		}
		for (unsigned n = 0; n < 3; n++) {
			disk_stream_end(&st[n], TIER_END_WHOLE);
			disk_flush(r->d);
		}
	}
	for (unsigned round = 0; round < 2; round++, drig_reopen(r))
		for (unsigned i = 0; i < ARRAY_LEN(orders); i++) {
			char url[40];

			snprintf(url, sizeof(url), "http://h/order/%u", i);
			assert_int_equal(drig_find_variant(r, url, "a", NULL), -1);
			assert_int_equal(drig_find_variant(r, url, "", NULL), -1);
			assert_int_equal(drig_find_variant(r, url, "b", NULL), 3);
		}
}

static void what_grows_too_large_is_given_up(void **state)
{
	struct rig *r = *state;

	assert_int_equal(r->d->max_object, 2 * MIB);
	assert_int_equal(stream(r, 1, 2 * MIB + 1, true, true), -EMSGSIZE);
	assert_int_equal(stream(r, 1, 2 * MIB + 1, false, true), 0);
	assert_int_equal(drig_find(r, A), -1);
	assert_int_equal(drig_stats(r).dropped_size, 2);
	assert_int_equal(drig_bytes(r, "seg-"), 0);
	assert_int_equal(stream(r, 2, 2 * MIB, false, true), 0);
	assert_int_equal(drig_find(r, A), 2);
}

static void second_hit_counts_for_them_too(void **state)
{
	struct rig *r = *state;

	drig_close(r);
	r->o.admit_second_hit = true;
	drig_open(r);
	assert_int_equal(stream(r, 1, 100000, false, true), -EPERM);
	assert_int_equal(stream(r, 2, 100000, false, true), 0);
	assert_int_equal(drig_find(r, A), 2);
}

/* ---- A device that hangs ---- */

static void a_hanging_device_bounds_what_waits_for_it(void **state)
{
	struct rig *r = *state;
	pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;
	struct tier_stream *st;
	enum tier_flow flow = TIER_FLOWS;
	const char *body;
	size_t full_at = 0, at = 0;

	drig_close(r);
	r->o.queue_bytes = MIB;
	drig_open(r);
	pthread_mutex_lock(&hold);
	r->io.hold = &hold;
	assert_int_equal(
		drig_stream_begin(r, &(struct response){.url = A, .version = 1, .body_n = 2 * MIB}, true, &st, &body),
		0);
	for (; at < 2 * MIB && flow != TIER_GAVE_UP; at += 4096) {
		flow = disk_stream_write(st, body + at, 4096);
		if (flow == TIER_IS_FULL && full_at == 0)
			full_at = at;
		assert_true(drig_stats(r).queue_bytes <= MIB);
	}
	assert_int_equal(flow, TIER_GAVE_UP);
	assert_true(full_at > 0 && full_at < 512 * 1024);
	assert_true(at <= MIB + 4096);
	assert_int_equal(drig_stats(r).dropped_queue, 1);
	disk_stream_end(&st, TIER_END_WHOLE);
	pthread_mutex_unlock(&hold);
	disk_flush(r->d);
	assert_int_equal(drig_find(r, A), -1);
	assert_int_equal(drig_stats(r).queue_bytes, 0);
	assert_int_equal(drig_bytes(r, "seg-"), 0);
}

static void who_waits_for_room_hears_of_it(void **state)
{
	struct rig *r = *state;
	struct tier_stream *st;
	const char *body;

	drig_close(r);
	r->o.queue_bytes = 512 * 1024;
	drig_open(r);
	atomic_store(&drig_rooms, 0);
	assert_int_equal(
		drig_stream_begin(r, &(struct response){.url = A, .version = 3, .body_n = 2 * MIB}, false, &st, &body),
		0);
	for (size_t at = 0; at < 2 * MIB; at += 8192) {
		unsigned before = atomic_load(&drig_rooms);
		enum tier_flow flow = disk_stream_write(st, body + at, 8192);

		assert_int_not_equal(flow, TIER_GAVE_UP);
		while (flow == TIER_IS_FULL && atomic_load(&drig_rooms) == before)
			sched_yield();
	}
	disk_stream_end(&st, TIER_END_WHOLE);
	disk_flush(r->d);
	assert_int_equal(drig_find(r, A), 3);
}

static void there_is_a_bound_of_them(void **state)
{
	struct rig *r = *state;
	struct tier_stream *st[DISK_STREAMS_MAX], *one_more;
	const char *body;

	for (unsigned i = 0; i < DISK_STREAMS_MAX; i++)
		assert_int_equal(
			drig_stream_begin(r, &(struct response){.url = A, .version = i}, true, &st[i], &body), 0);
	assert_int_equal(drig_stream_begin(r, &(struct response){.url = B}, true, &one_more, &body), -ENOBUFS);
	for (unsigned i = 0; i < DISK_STREAMS_MAX; i++)
		disk_stream_end(&st[i], i == 7 ? TIER_END_WHOLE : TIER_END_CUT);
	disk_flush(r->d);
	assert_int_equal(drig_find(r, A), 7);
	assert_int_equal(stream(r, 8, 10, true, true), 0);
}

static void those_that_still_arrive_hold_no_more_than_half_of_the_room(void **state)
{
	static const char *const urls[] = {"http://o/0", "http://o/1", "http://o/2"};
	struct rig *r = *state;
	struct tier_stream *st[3];
	const char *body;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 1000});
	for (unsigned i = 0; i < 3; i++) {
		const struct response a = {.url = urls[i], .version = i, .body_n = 1500000};

		assert_int_equal(drig_stream_begin(r, &a, i != 1, &st[i], &body), 0);
		assert_int_not_equal(
			disk_stream_write(st[i], body, a.body_n), TIER_GAVE_UP); /* queued, not written yet */
		while (drig_stats(r).queue_bytes > (i + 1) * 65536)              /* the last piece of each */
			sched_yield();
	}
	for (unsigned i = 0; i < 3; i++)
		disk_stream_end(&st[i], TIER_END_WHOLE);
	disk_flush(r->d);
	assert_int_equal(drig_find(r, urls[0]), 0);
	assert_int_equal(drig_find(r, urls[1]), 1);
	assert_int_equal(drig_find(r, urls[2]), -1);
	assert_int_equal(drig_find(r, A), 1);
	assert_int_equal(drig_stats(r).dropped_error, 1);
	assert_int_equal(drig_stats(r).write_errors, 0);
	assert_int_equal(
		drig_stream(r, &(struct response){.url = urls[2], .version = 2, .body_n = 1500000}, true, 50000, true),
		0);
	assert_int_equal(drig_find(r, urls[2]), 2);
}

/* ---- Room ---- */

static void capacity_is_exact_while_they_grow(void **state)
{
	struct rig *r = *state;
	char url[40];
	unsigned found = 0;

	for (unsigned i = 0; i < 60; i++) {
		const struct response a = {.url = url, .version = i, .body_n = 100000 + (i * 7919) % 900000};

		snprintf(url, sizeof(url), "http://o/%u", i);
		assert_int_equal(drig_stream(r, &a, i % 2, 30000, i % 5 != 4), 0);
		assert_true(drig_bytes(r, "seg-") <= r->o.size);
		assert_true(drig_stats(r).bytes <= r->o.size);
		found += drig_find(r, url) == (int)i;
	}
	assert_int_equal(found, 48);
	assert_true(drig_stats(r).reclaimed_segments > 20);
	assert_int_equal(drig_stats(r).dropped_error, 0);
}

static void write_small_ones(struct rig *r, unsigned n, const char *asked)
{
	char url[40];

	for (unsigned i = 0; i < n; i++) {
		snprintf(url, sizeof(url), "http://o/s/%u", i);
		drig_store(r, &(struct response){.url = url, .version = i, .body_n = 3000});
		if (asked && i % 50 == 0)
			assert_int_equal(drig_find(r, asked), 1);
	}
}

static void a_large_one_that_is_asked_for_outlives_those_that_are_not(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 900000});
	drig_store(r, &(struct response){.url = B, .version = 1, .body_n = 900000});
	write_small_ones(r, 8000, A);
	assert_int_equal(drig_find(r, A), 1);
	assert_int_equal(drig_find(r, B), -1);
	assert_true(drig_stats(r).spared_segments > 1);
	assert_int_equal(drig_stats(r).reinserted_bytes, 0);
	drig_wait_room(r);
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), 1);
	/* Not asked for any more: it goes as well. */
	write_small_ones(r, 8000, NULL);
	assert_false(disk_may_have(r->d, drig_hash(A)));
}

static void room_comes_though_all_that_is_large_is_asked_for(void **state)
{
	struct rig *r = *state;
	char url[40];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		drig_store(r, &(struct response){.url = url, .version = i, .body_n = 1000000});
		for (unsigned k = i < 8 ? 0 : i - 8; k <= i; k++) {
			snprintf(url, sizeof(url), "http://o/%u", k);
			(void)drig_find(r, url);
		}
		assert_int_equal(drig_stats(r).dropped_error, 0);
		assert_true(drig_bytes(r, "seg-") <= r->o.size);
	}
	assert_int_equal(drig_stats(r).puts, 40);
}

/* Else what was just stored would go before those that were kept when room was made for it. */
static void what_is_written_after_one_was_kept_is_younger(void **state)
{
	struct rig *r = *state;
	struct segments *t = &disk_of(r->d)->segments;
	struct segment *gone, *kept, *next;
	uint64_t kept_id;
	bool is_dead;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 300000});
	drig_store(r, &(struct response){.url = B, .version = 2, .body_n = 300000});
	gone = segments_victim(t, &is_dead);
	kept = segments_victim(t, &is_dead);
	kept_id = kept->id;
	segment_retire(t, gone);
	segment_unref(t, &gone);
	wait_for_bytes(r, 400000);
	segment_stay(t, kept, SEGMENT_IS_YOUNG);
	segment_unref(t, &kept);
	drig_store(r,
		&(struct response){.url = "http://o/c", .version = 3, .body_n = 300000}); /* in the slot that is free */
	next = segments_victim(t, &is_dead);
	assert_int_equal(next->id, kept_id);
	segment_stay(t, next, SEGMENT_IS_YOUNG);
	segment_unref(t, &next);
}

static void one_that_was_purged_is_not_kept(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 900000});
	assert_int_equal(drig_find(r, A), 1);
	(void)drig_purge(r, PURGE_URL, A, false);
	write_small_ones(r, 4000, NULL);
	assert_int_equal(drig_stats(r).spared_segments, 0);
	assert_false(disk_may_have(r->d, drig_hash(A)));
}

/* ---- What a crash leaves ---- */

static bool crash_at(long bytes, bool is_known)
{
	struct rig r;
	bool came;
	int found;

	drig_init(&r);
	r.o.size = 8 * MIB;
	drig_open(&r);
	drig_store(&r, &(struct response){.url = A, .version = 1, .body_n = 100});
	atomic_store(&r.io.bytes_left, bytes);
	(void)stream(&r, 2, 200000, is_known, true);
	assert_int_not_equal(drig_find(&r, A), 1); /* a newer one had come */
	came = atomic_load(&r.io.is_dead);
	drig_reopen(&r);
	found = drig_find(&r, A); /* which compares every byte */
	assert_true(found == -1 || found == 1 || found == 2);
	assert_true(came || found == 2);
	assert_int_equal(drig_stats(&r).bad_records, 0);
	assert_int_equal(stream(&r, 3, 200000, !is_known, true), 0);
	assert_int_equal(drig_find(&r, A), 3);
	drig_fini(&r);
	return came;
}

/* In strides through the body, at every byte through what comes after it. */
static void a_crash_at_any_byte_leaves_it_whole_or_not_at_all(void **state)
{
	(void)state;
	for (int is_known = 0; is_known < 2; is_known++) {
		long bytes = 0;

		for (; bytes < 199500; bytes += 20011)
			assert_true(crash_at(bytes, is_known));
		while (crash_at(bytes, is_known))
			bytes += 13;
		assert_true(bytes > 200400);
	}
}

static void damage_to_the_files_own_header_makes_it_no_segment(void **state)
{
	struct rig *r = *state;
	char path[400];
	int fd;

	assert_int_equal(stream(r, 1, 200000, true, true), 0);
	drig_close(r);
	assert_true(drig_file(r, "seg-", path, sizeof(path)));
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\0\0\0\0", 4, 0), 4);
	close(fd);
	drig_open(r);
	assert_int_equal(drig_find(r, A), -1);
	assert_int_equal(drig_bytes(r, "seg-"), 0);
	assert_int_equal(drig_stats(r).bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_comes_in_pieces_is_found_byte_for_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_ends_up_as_long_as_it_has_to_be, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_cut_leaves_nothing_and_takes_nothing_away, setup, teardown),
		cmocka_unit_test_setup_teardown(it_takes_the_place_of_what_was_there_when_it_is_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(what_began_before_a_purge_is_not_found_after_it, setup, teardown),
		cmocka_unit_test_setup_teardown(recovery_in_any_order_finds_what_was_there, setup, teardown),
		cmocka_unit_test_setup_teardown(what_grows_too_large_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(second_hit_counts_for_them_too, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hanging_device_bounds_what_waits_for_it, setup, teardown),
		cmocka_unit_test_setup_teardown(who_waits_for_room_hears_of_it, setup, teardown),
		cmocka_unit_test_setup_teardown(there_is_a_bound_of_them, setup, teardown),
		cmocka_unit_test_setup_teardown(
			those_that_still_arrive_hold_no_more_than_half_of_the_room, setup, teardown),
		cmocka_unit_test_setup_teardown(capacity_is_exact_while_they_grow, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_large_one_that_is_asked_for_outlives_those_that_are_not, setup, teardown),
		cmocka_unit_test_setup_teardown(room_comes_though_all_that_is_large_is_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_written_after_one_was_kept_is_younger, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_was_purged_is_not_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(damage_to_the_files_own_header_makes_it_no_segment, setup, teardown),
		cmocka_unit_test(a_crash_at_any_byte_leaves_it_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
