/* SPDX-License-Identifier: MIT */
#include "disk_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
	static struct rig rig;

	drig_init(&rig);
	drig_open(&rig);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	drig_fini(*state);
	return 0;
}

#define A "http://o/a"
#define B "http://o/b"

static void what_was_put_is_found_byte_for_byte(void **state)
{
	struct rig *r = *state;
	static const size_t sizes[] = {0, 1, 7, 8, 1000, 65535, 65536, 65537, 200000, 262144};

	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		drig_store(r, &(struct response){.url = A, .version = i, .body_n = sizes[i]});
		assert_int_equal(drig_find(r, A), i);
		assert_int_equal(drig_find_by_message(r, A), i);
	}
	assert_int_equal(drig_find(r, B), -1);
	assert_int_equal(drig_stats(r).objects, 1);
}

static void an_absent_key_costs_no_io(void **state)
{
	struct rig *r = *state;
	long reads = atomic_load(&r->io.reads);

	assert_int_equal(drig_find(r, B), -1);
	assert_int_equal(atomic_load(&r->io.reads), reads);
	assert_int_equal(drig_stats(r).absent, 1);
}

static void a_body_beyond_the_whole_is_streamed_in_verified_blocks(void **state)
{
	struct rig *r = *state;

	drig_close(r);
	r->o.size = 8 << 20;
	drig_open(r);
	drig_store(r, &(struct response){.url = A, .version = 3, .body_n = 1000001});
	assert_int_equal(drig_find(r, A), 3);
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), 3);
}

static void too_large_a_body_is_refused(void **state)
{
	struct rig *r = *state;

	assert_int_equal(drig_put(r, &(struct response){.url = A, .body_n = 300000}), -EMSGSIZE);
	assert_int_equal(drig_stats(r).dropped_size, 1);
}

static void a_restart_finds_what_was_there_before(void **state)
{
	struct rig *r = *state;
	char url[40];

	for (unsigned i = 0; i < 500; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		assert_int_equal(drig_put(r, &(struct response){.url = url, .version = i, .body_n = 200}), 0);
	}
	disk_flush(r->d);
	drig_reopen(r);
	assert_int_equal(drig_stats(r).objects, 500);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		assert_int_equal(drig_find(r, url), i);
	}
}

static void the_newest_wins_after_a_restart_too(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 50; i++)
		drig_store(r, &(struct response){.url = A, .version = i, .body_n = 3000});
	assert_int_equal(drig_find(r, A), 49);
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), 49);
}

static void variants_live_side_by_side_and_eight_at_most(void **state)
{
	struct rig *r = *state;
	char values[8];

	for (unsigned i = 0; i < 10; i++) {
		snprintf(values, sizeof(values), "v%u", i);
		drig_store(r, &(struct response){.url = A, .version = i, .body_n = 10, .names = "x", .values = values});
	}
	assert_int_equal(drig_stats(r).objects, 8);
	assert_int_equal(drig_stats(r).dropped_variants, 2);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 10; i++) {
			snprintf(values, sizeof(values), "v%u", i);
			assert_int_equal(drig_find_variant(r, A, values, NULL), i < 2 ? -1 : (int)i);
		}
		drig_reopen(r);
	}
}

static void expect_only(struct rig *r, const char *url, const char *values, int version)
{
	static const char *const all[] = {"", "de", "fr"};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		assert_int_equal(drig_find_variant(r, url, all[i], NULL), strcmp(all[i], values) == 0 ? version : -1);
}

/* RFC 9111 4.1: a response without Vary is for all who ask, so it and those with one are never both there. */
static void a_response_without_vary_and_those_with_one_exclude_each_other(void **state)
{
	struct rig *r = *state;
	const char *plain = "http://o/plain", *varied = "http://o/varied", *streamed = "http://o/streamed";
	struct response a = {.url = plain, .version = 1, .body_n = 70000, .names = "accept-language", .values = "de"};

	drig_store(r, &a);
	a.version = 2;
	a.values = "fr";
	drig_store(r, &a);
	a.refresh = a.is_new_head = true;
	drig_store(r, &a); /* a head with its body elsewhere */
	drig_store(r, &(struct response){.url = plain, .version = 4, .body_n = 100});
	drig_store(r, &(struct response){.url = varied, .version = 1, .body_n = 100});
	a = (struct response){.url = varied, .version = 2, .body_n = 100, .names = "accept-language", .values = "de"};
	drig_store(r, &a);
	drig_store(r, &(struct response){.url = streamed, .version = 1, .body_n = 100});
	a.url = streamed;
	assert_int_equal(drig_stream(r, &a, false, 50, true), 0);
	for (unsigned run = 0; run < 3; run++, drig_reopen(r)) {
		expect_only(r, plain, "", 4);
		expect_only(r, varied, "de", 2);
		expect_only(r, streamed, "de", 2);
	}
}

static void a_purge_reaches_what_lies_there_and_survives_a_restart(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 10});
	drig_store(r, &(struct response){.url = B, .version = 1, .body_n = 10, .tag = "t"});
	drig_purge(r, PURGE_URL, A, false);
	assert_int_equal(drig_find(r, A), -1);
	assert_int_equal(drig_find(r, B), 1);
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), -1);
	assert_int_equal(drig_find(r, B), 1);
	drig_purge(r, PURGE_TAG, "t", false);
	drig_reopen(r);
	assert_int_equal(drig_find(r, B), -1);
	drig_store(r, &(struct response){.url = B, .version = 2, .body_n = 10, .tag = "t"});
	drig_reopen(r);
	assert_int_equal(drig_find(r, B), 2);
}

static void many_purges_of_one_call_share_a_sync_and_survive_a_restart(void **state)
{
	struct rig *r = *state;
	enum { N = 2000 };
	struct purge *v = calloc(N, sizeof(*v));
	char(*names)[24] = calloc(N, sizeof(*names));
	uint64_t seq, syncs = drig_stats(r).journal_syncs;

	assert_true(v && names);
	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 10, .tag = "tag-0"});
	drig_store(r, &(struct response){.url = B, .version = 1, .body_n = 10, .tag = "tag-1999"});
	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "tag-%d", i);
		v[i] = (struct purge){.kind = PURGE_TAG, .what = slice_of(names[i])};
	}
	assert_int_equal(disk_purge(r->d, v, N, true, &seq), 0);
	/* One, or a second where the syncer was just looking whether there is something. */
	assert_in_range(drig_stats(r).journal_syncs - syncs, 1, 2);
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), -1);
	assert_int_equal(drig_find(r, B), -1);
	free(v);
	free(names);
}

/* Its segment has no live record, so it goes before those that are older. */
static void what_was_replaced_does_not_come_back_after_its_successor_was_purged_and_reclaimed(void **state)
{
	struct rig *r = *state;
	char url[40];

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 1000, .tag = "first"});
	drig_store(r, &(struct response){.url = B, .version = 1, .body_n = 1000});
	drig_store(r, &(struct response){.url = A, .version = 2, .body_n = 150000, .tag = "second"});
	drig_purge(r, PURGE_TAG, "second", false);
	assert_int_equal(drig_find(r, A), -1);
	for (unsigned i = 0; drig_stats(r).reclaimed_segments == 0 && i < 3000; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		drig_store(r, &(struct response){.url = url, .version = i, .body_n = 1000});
	}
	assert_int_equal(drig_stats(r).reclaimed_segments, 1);
	drig_reopen(r);
	assert_int_equal(drig_find(r, B), 1);
	assert_int_equal(drig_find(r, A), -1);
	drig_store(r, &(struct response){.url = A, .version = 3, .body_n = 1000});
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), 3);
}

static void a_purge_before_the_index_is_read_counts_without_being_looked_up(void **state)
{
	struct rig *r = *state;
	uint64_t seq;

	for (unsigned i = 0; i < 20; i++) {
		drig_store(r, &(struct response){.url = A, .version = i, .body_n = 10});
		assert_int_equal(disk_purge(r->d, &(struct purge){.kind = PURGE_PREFIX, .what = SLICE_LIT("http://o/")},
					 1, false, &seq),
			0);
		drig_reopen(r); /* many times: checkpoints in turn */
		assert_int_equal(drig_find(r, A), -1);
	}
}

static void a_fetch_from_before_a_purge_brings_nothing_back(void **state)
{
	struct rig *r = *state;
	struct disk_stats s;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 10});
	/* drig_put notes its epoch when it is called: as a fetch that had begun then. */
	assert_int_equal(drig_put(r, &(struct response){.url = A, .version = 2, .body_n = 10}), 0);
	drig_purge(r, PURGE_ALL, "", false);
	disk_flush(r->d);
	assert_int_equal(drig_find(r, A), -1);
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), -1);
	s = drig_stats(r);
	assert_int_equal(s.purged_reads, 1);
	assert_int_equal(s.objects, 0);
}

static void a_soft_purge_makes_it_stale_and_no_more(void **state)
{
	struct rig *r = *state;
	bool soft = false;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 10});
	drig_purge(r, PURGE_PREFIX, "http://o", true);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(drig_find_variant(r, A, "", &soft), 1);
		assert_true(soft);
		drig_reopen(r);
	}
}

static void a_forgotten_key_stays_away_and_may_come_anew(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 10});
	drig_store(r, &(struct response){.url = B, .version = 1, .body_n = 10});
	drig_forget(r->d, drig_hash(A));
	assert_int_equal(drig_find(r, A), -1);
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), -1);
	assert_int_equal(drig_find(r, B), 1);
	drig_store(r, &(struct response){.url = A, .version = 2, .body_n = 10});
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), 2);
}

static void many_purges_go_over_into_checkpoints_and_old_journals_go(void **state)
{
	struct rig *r = *state;
	char url[80];

	for (unsigned i = 0; i < 400; i++) {
		snprintf(url, sizeof(url), "http://o/a-rather-long-path-to-be-purged/%u", i);
		if (i % 40 == 0)
			drig_store(r, &(struct response){.url = url, .version = 1, .body_n = 10});
		drig_purge(r, PURGE_URL, url, false);
	}
	drig_reopen(r);
	assert_true(drig_files(r, "journal.") <= 2);
	for (unsigned i = 0; i < 400; i += 40) {
		snprintf(url, sizeof(url), "http://o/a-rather-long-path-to-be-purged/%u", i);
		assert_int_equal(drig_find(r, url), -1);
	}
}

static void after_a_304_a_small_response_is_written_again(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 100});
	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 100, .refresh = true, .is_new_head = true});
	assert_int_equal(drig_stats(r).heads_written, 0);
	assert_true(drig_has_new_head(r, A));
	drig_reopen(r);
	assert_true(drig_has_new_head(r, A));
	assert_int_equal(drig_find(r, A), 1);
}

static void after_a_304_only_the_head_of_a_large_one_is(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 100000});
	for (unsigned i = 0; i < 2; i++) {
		drig_store(r, &(struct response){
				      .url = A, .version = 1, .body_n = 100000, .refresh = true, .is_new_head = true});
		assert_int_equal(drig_stats(r).heads_written, 1);
		assert_int_equal(drig_stats(r).objects, 1);
		assert_true(drig_has_new_head(r, A));
		assert_int_equal(drig_find(r, A), 1);
		drig_reopen(r);
		assert_true(drig_has_new_head(r, A));
		assert_int_equal(drig_find(r, A), 1);
	}
	drig_store(r, &(struct response){.url = A, .version = 2, .body_n = 100000});
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), 2);
	assert_false(drig_has_new_head(r, A));
}

/* Who read the record before, and comes to use it now, has the head that was there before the 304. */
static void what_was_read_before_a_304_counts_no_more(void **state)
{
	struct rig *r = *state;
	uint64_t before;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 100000});
	assert_int_equal(drig_find(r, A), 1);
	before = drig_lsn;
	assert_true(disk_is_newest(r->d, drig_hash(A), before));
	drig_store(
		r, &(struct response){.url = A, .version = 1, .body_n = 100000, .refresh = true, .is_new_head = true});
	assert_int_equal(drig_stats(r).heads_written, 1);
	assert_false(disk_is_newest(r->d, drig_hash(A), before));
	assert_int_equal(drig_find(r, A), 1);
	assert_true(disk_is_newest(r->d, drig_hash(A), drig_lsn));
}

static void a_head_never_goes_with_another_body(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 100000});
	drig_store(r, &(struct response){.url = A, .version = 2, .body_n = 100000, .refresh = true});
	assert_int_equal(drig_stats(r).heads_written, 0);
	assert_int_equal(drig_find(r, A), 2);
}

static void the_directory_belongs_to_one_process(void **state)
{
	struct rig *r = *state;
	struct rig other = *r;

	other.d = NULL;
	assert_int_equal(drig_try_open(&other), -EBUSY);
	assert_non_null(strstr(other.error, "in use by another process"));
}

static void capacity_is_exact_while_all_of_it_is_written_over(void **state)
{
	struct rig *r = *state;
	char url[40];
	uint64_t put = 0;

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		put += drig_put(r, &(struct response){.url = url, .version = i, .body_n = (i * 37) % 9000}) == 0;
		if (i % 16 == 0) {
			disk_flush(r->d);
			assert_true(drig_bytes(r, "seg-") <= r->o.size);
			assert_true(drig_stats(r).bytes <= r->o.size);
		}
	}
	disk_flush(r->d);
	assert_int_equal(drig_find(r, url), 2999);
	assert_true(put > 2900);
	assert_true(drig_stats(r).reclaimed_segments > 10);
	assert_true(drig_stats(r).objects > 50);
	drig_reopen(r);
	assert_true(drig_bytes(r, "seg-") <= r->o.size);
	assert_int_equal(drig_find(r, url), 2999);
}

static void what_is_read_while_its_segment_goes_still_counts_and_still_reads(void **state)
{
	struct rig *r = *state;
	struct tier_lookup l = {.hash = drig_hash(B), .now = clock_now(), .key = {"G" B, sizeof("G" B)}};
	char *buffer = test_malloc(TIER_BLOCK), url[40], path[400];
	struct tier_hold hold;
	struct tier_read b = {.hold = &hold, .buffer = buffer};
	uint64_t on_disk;

	drig_close(r);
	r->o.size = 4 << 20;
	drig_open(r);
	drig_store(r, &(struct response){.url = B, .version = 1, .body_n = 600000});
	assert_true(drig_file(r, "seg-", path, sizeof(path)));
	assert_true(drig_bytes(r, strrchr(path, '/') + 1) >= 600000);
	assert_int_equal(disk_get(r->d, &l), TIER_HIT);
	assert_int_equal(disk_body_ref(r->d, &hold, l.object->large), 0);
	for (unsigned i = 0; disk_may_have(r->d, l.hash) && i < 5000; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		drig_store(r, &(struct response){.url = url, .version = i, .body_n = 3000});
	}
	assert_int_equal(drig_find(r, B), -1);
	/* It leaves the index first, and the directory after that. */
	while (access(path, F_OK) == 0)
		sched_yield();
	on_disk = drig_bytes(r, "seg-");
	assert_true(drig_stats(r).bytes >= on_disk + 600000);
	assert_true(drig_stats(r).bytes <= r->o.size);
	assert_int_equal(disk_body_read(r->d, &b), 0);
	assert_int_equal(b.err, 0);
	assert_int_equal(b.bytes.n, TIER_BLOCK);
	disk_body_unref(r->d, &hold);
	disk_object_free(r->d, &l.object);
	test_free(buffer);
}

static void what_was_hit_survives_the_reclaim_of_its_segment(void **state)
{
	struct rig *r = *state;
	char url[40];
	unsigned kept = 0;

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		assert_int_equal(drig_put(r, &(struct response){.url = url, .version = i, .body_n = 1000}), 0);
		disk_flush(r->d);
		for (unsigned k = 0; k < 5; k++) {
			snprintf(url, sizeof(url), "http://o/%u", k);
			kept += drig_find(r, url) == (int)k;
		}
	}
	assert_true(drig_stats(r).reinserted >= 5);
	assert_true(drig_stats(r).reclaimed_segments > 30);
	assert_true(kept >= 5 * 2990);
	drig_wait_room(r);
	drig_reopen(r);
	assert_int_equal(drig_find(r, "http://o/0"), 0);
	drig_purge(r, PURGE_ALL, "", false);
	drig_reopen(r);
	assert_int_equal(drig_find(r, "http://o/0"), -1);
}

static void a_full_queue_drops_and_what_it_would_have_replaced_goes(void **state)
{
	struct rig *r = *state;
	unsigned dropped = 0;

	drig_close(r);
	r->o.queue_max = 1;
	drig_open(r);
	for (unsigned i = 0; i < 5000; i++) {
		int err = drig_put(r, &(struct response){.url = A, .version = i, .body_n = 100});
		int found;

		if (err) {
			assert_int_equal(err, -ENOBUFS);
			dropped++;
			found = drig_find(r, A);
			assert_int_equal(found, -1);
		}
	}
	disk_flush(r->d);
	assert_true(dropped > 0);
	assert_int_equal(drig_stats(r).dropped_queue, dropped);
}

static void second_hit_admits_what_comes_twice(void **state)
{
	struct rig *r = *state;

	drig_close(r);
	r->o.admit_second_hit = true;
	drig_open(r);
	assert_int_equal(drig_put(r, &(struct response){.url = A, .version = 1, .body_n = 100}), -EPERM);
	drig_store(r, &(struct response){.url = A, .version = 2, .body_n = 100});
	drig_store(r, &(struct response){.url = A, .version = 3, .body_n = 100});
	assert_int_equal(drig_find(r, A), 3);
}

/* One bit near the end of what was written last: within the body, or the sums. */
static void flip_near_the_end(struct rig *r, size_t body_n)
{
	static char bytes[8 << 20];
	char path[400];
	ssize_t n;
	int fd;

	assert_true(drig_file(r, "seg-", path, sizeof(path)));
	fd = open(path, O_RDWR);
	n = pread(fd, bytes, sizeof(bytes), 0);
	while (n > 0 && bytes[n - 1] == 0)
		n--;
	n -= (ssize_t)(body_n / 2);
	bytes[n] = (char)(bytes[n] ^ 4);
	assert_int_equal(pwrite(fd, bytes + n, 1, n), 1);
	close(fd);
}

static void a_flipped_bit_in_a_body_is_a_miss_and_is_counted(void **state)
{
	static const size_t sizes[] = {300, 60000, 262000};
	struct rig *r = *state;

	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		drig_fini(r);
		drig_init(r);
		r->o.size = 64 << 20;
		r->o.segment_bytes = 8 << 20; /* one segment, not sealed */
		drig_open(r);
		drig_store(r, &(struct response){.url = A, .version = 1, .body_n = sizes[i]});
		flip_near_the_end(r, sizes[i]);
		assert_int_equal(drig_find_by_message(r, A), -1);
		assert_int_equal(drig_stats(r).bad_records, 1);
		assert_int_equal(drig_stats(r).objects, 0);
		assert_int_equal(drig_find(r, A), -1);
	}
}

static void another_format_starts_empty(void **state)
{
	struct rig *r = *state;
	char path[400];
	int fd;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 100});
	drig_close(r);
	assert_true(drig_file(r, "FORMAT", path, sizeof(path)));
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "\7", 1, 8), 1);
	close(fd);
	drig_open(r);
	assert_int_equal(drig_find(r, A), -1);
	assert_int_equal(drig_stats(r).started_empty, 1);
	assert_int_equal(drig_stats(r).bytes, 0);
	assert_int_equal(drig_bytes(r, "seg-"), 0);
}

static void a_check_says_what_is_there_and_what_is_spoilt(void **state)
{
	struct rig *r = *state;
	char path[400], text[4096] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");
	int fd;

	for (unsigned i = 0; i < 5; i++)
		drig_store(r, &(struct response){.url = A, .version = i, .body_n = 100});
	assert_int_equal(disk_check(r->path, out), -EBUSY);
	drig_close(r);
	assert_int_equal(disk_check(r->path, out), 0);
	assert_true(drig_file(r, "seg-", path, sizeof(path)));
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "?", 1, 64 + 300), 1);
	close(fd);
	assert_int_equal(disk_check(r->path, out), -EBADMSG);
	fclose(out);
	assert_non_null(strstr(text, "5 records: 0 not valid"));
	assert_non_null(strstr(text, "5 records: 1 not valid"));
	drig_open(r);
}

static void what_was_hit_and_may_still_stand_in_when_stale_survives_a_reclaim(void **state)
{
	struct rig *r = *state;
	char url[40];
	struct now now;

	drig_store(
		r, &(struct response){.url = A, .version = 1, .body_n = 1000, .lifetime_ms = 1, .stale_ms = 3600000});
	drig_store(r, &(struct response){.url = B, .version = 1, .body_n = 1000, .lifetime_ms = 1});
	for (now = clock_now(); clock_now().mono_ms < now.mono_ms + 3;) /* both are stale now */
		;
	for (unsigned i = 0; drig_stats(r).reclaimed_segments < 40 && i < 20000; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		drig_store(r, &(struct response){.url = url, .version = i, .body_n = 1000});
		assert_int_equal(drig_find(r, A), 1);
		(void)drig_find(r, B);
	}
	assert_int_equal(drig_find(r, B), -1);
	assert_true(drig_stats(r).reinserted > 0);
}

/* The hash alone never decides. */
static void what_has_another_key_is_not_found_by_its_hash(void **state)
{
	struct tier_lookup l = {.hash = drig_hash(A), .now = clock_now(), .key = {"G" B, sizeof("G" B)}};
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 300});
	assert_int_equal(disk_get(r->d, &l), TIER_MISS);
	assert_null(l.object);
	l.key = (struct slice){"G" A, sizeof("G" A)};
	assert_int_equal(disk_get(r->d, &l), TIER_HIT);
	disk_object_free(r->d, &l.object);
}

static void what_is_larger_than_the_queue_is_written_when_it_is_alone(void **state)
{
	struct rig *r = *state;

	drig_close(r);
	r->o.queue_bytes = 1000;
	drig_open(r);
	for (unsigned i = 0; i < 3; i++) {
		drig_store(r, &(struct response){.url = A, .version = i, .body_n = 5000});
		assert_int_equal(drig_find(r, A), i);
	}
}

static void the_oldest_epoch_is_known_after_a_restart(void **state)
{
	struct rig *r = *state;
	uint64_t oldest;

	drig_purge(r, PURGE_TAG, "x", false);
	drig_store(r, &(struct response){.url = A, .version = 1, .body_n = 300});
	assert_int_equal(drig_find(r, A), 1);
	oldest = disk_oldest_epoch(r->d);
	assert_true(oldest > 0 && oldest <= drig_epoch);
	for (unsigned i = 0; i < 5; i++) {
		drig_purge(r, PURGE_TAG, "y", false);
		drig_store(r, &(struct response){.url = B, .version = i, .body_n = 300});
	}
	for (unsigned i = 0; i < 2; i++) {
		drig_reopen(r);
		assert_int_equal(disk_oldest_epoch(r->d), oldest);
	}
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(what_was_put_is_found_byte_for_byte),
		CASE(an_absent_key_costs_no_io),
		CASE(a_body_beyond_the_whole_is_streamed_in_verified_blocks),
		CASE(too_large_a_body_is_refused),
		CASE(a_restart_finds_what_was_there_before),
		CASE(the_newest_wins_after_a_restart_too),
		CASE(variants_live_side_by_side_and_eight_at_most),
		CASE(a_response_without_vary_and_those_with_one_exclude_each_other),
		CASE(a_purge_reaches_what_lies_there_and_survives_a_restart),
		CASE(many_purges_of_one_call_share_a_sync_and_survive_a_restart),
		CASE(what_was_replaced_does_not_come_back_after_its_successor_was_purged_and_reclaimed),
		CASE(a_purge_before_the_index_is_read_counts_without_being_looked_up),
		CASE(a_fetch_from_before_a_purge_brings_nothing_back),
		CASE(a_soft_purge_makes_it_stale_and_no_more),
		CASE(a_forgotten_key_stays_away_and_may_come_anew),
		CASE(many_purges_go_over_into_checkpoints_and_old_journals_go),
		CASE(after_a_304_a_small_response_is_written_again),
		CASE(after_a_304_only_the_head_of_a_large_one_is),
		CASE(what_was_read_before_a_304_counts_no_more),
		CASE(a_head_never_goes_with_another_body),
		CASE(the_directory_belongs_to_one_process),
		CASE(capacity_is_exact_while_all_of_it_is_written_over),
		CASE(what_is_read_while_its_segment_goes_still_counts_and_still_reads),
		CASE(what_was_hit_survives_the_reclaim_of_its_segment),
		CASE(a_full_queue_drops_and_what_it_would_have_replaced_goes),
		CASE(second_hit_admits_what_comes_twice),
		CASE(a_flipped_bit_in_a_body_is_a_miss_and_is_counted),
		CASE(another_format_starts_empty),
		CASE(a_check_says_what_is_there_and_what_is_spoilt),
		CASE(what_was_hit_and_may_still_stand_in_when_stale_survives_a_reclaim),
		CASE(what_has_another_key_is_not_found_by_its_hash),
		CASE(what_is_larger_than_the_queue_is_written_when_it_is_alone),
		CASE(the_oldest_epoch_is_known_after_a_restart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
