/* SPDX-License-Identifier: MIT */
/* A process that ends at any byte it writes, calls that fail one after the other, and files that were spoilt: a cache may
 * forget, it may not lie. */
#include "disk_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define URLS 8

/* What may be found: for each URL the versions put, and the lowest that no purge that was answered has removed. */
struct model {
	int newest[URLS];
	int oldest_allowed[URLS];
};

static const char *url_of(unsigned i)
{
	static const char *const urls[URLS] = {"http://o/a/0", "http://o/a/1", "http://o/a/2", "http://o/a/3",
		"http://o/b/4", "http://o/b/5", "http://o/b/6", "http://o/b/7"};

	return urls[i];
}

static void put_one(struct rig *r, struct model *m, unsigned i, size_t body_n)
{
	m->newest[i]++;
	(void)drig_put(r, &(struct response){.url = url_of(i), .version = (unsigned)m->newest[i], .body_n = body_n});
	disk_flush(r->d);
}

static void stream_one(struct rig *r, struct model *m, unsigned i, size_t body_n, bool is_known)
{
	m->newest[i]++;
	(void)drig_stream(r, &(struct response){.url = url_of(i), .version = (unsigned)m->newest[i], .body_n = body_n},
		is_known, 20000, true);
}

static void purge_some(struct rig *r, struct model *m, bool prefix)
{
	struct slice what = prefix ? SLICE_LIT("http://o/a/") : slice_of(url_of(5));
	uint64_t seq;

	if (disk_purge(r->d, &(struct purge){.kind = prefix ? PURGE_PREFIX : PURGE_URL, .what = what}, 1, true, &seq) !=
		0)
		return; /* not acknowledged */
	for (unsigned i = 0; i < URLS; i++)
		if (prefix ? i < 4 : i == 5)
			m->oldest_allowed[i] = m->newest[i] + 1;
}

/* Touches all there is: puts, replacements, large bodies at once and as they arrive, head updates, purges, forgetting, sealing. */
static void scenario(struct rig *r, struct model *m)
{
	for (unsigned i = 0; i < URLS; i++)
		put_one(r, m, i, 100 + 50 * i);
	purge_some(r, m, true);
	put_one(r, m, 1, 3000);
	put_one(r, m, 6, 70000);
	(void)drig_put(r, &(struct response){.url = url_of(6),
				  .version = (unsigned)m->newest[6],
				  .body_n = 70000,
				  .refresh = true,
				  .is_new_head = true});
	disk_flush(r->d);
	drig_forget(r->d, drig_hash(url_of(7)));
	for (unsigned i = 0; i < 40; i++)
		put_one(r, m, i % 5, 3500);
	stream_one(r, m, 5, 70000, true);
	stream_one(r, m, 6, 140000, false);
	purge_some(r, m, false);
	put_one(r, m, 2, 10);
}

static void check_model(struct rig *r, const struct model *m)
{
	for (unsigned i = 0; i < URLS; i++) {
		int found = drig_find(r, url_of(i)); /* compares every byte with that version's */

		if (found == -1)
			continue;
		assert_true(found <= m->newest[i]);
		assert_true(found >= m->oldest_allowed[i]);
	}
	assert_true(drig_bytes(r, "seg-") <= r->o.size);
}

/* Runs the scenario with a fault armed, then restarts healthy. False when the fault did not come. */
static bool run(long fail_at, int error, bool after, long bytes)
{
	struct rig r;
	struct model m = {0};
	bool came;

	drig_init(&r);
	if (bytes >= 0)
		drig_open(&r); /* the crash comes while it serves */
	atomic_store(&r.io.calls, 0);
	atomic_store(&r.io.error, error);
	atomic_store(&r.io.fail_after, after);
	atomic_store(&r.io.fail_at, fail_at);
	atomic_store(&r.io.bytes_left, bytes);
	if (r.d || drig_try_open(&r) == 0) {
		disk_wait_ready(r.d);
		scenario(&r, &m);
		check_model(&r, &m);
		drig_close(&r);
	}
	came = fail_at > 0 ? atomic_load(&r.io.calls) >= fail_at : atomic_load(&r.io.is_dead);
	drig_heal(&r);
	drig_open(&r);
	check_model(&r, &m);
	put_one(&r, &m, 3, 500);
	assert_int_equal(drig_find(&r, url_of(3)), m.newest[3]);
	drig_reopen(&r);
	check_model(&r, &m);
	assert_int_equal(drig_find(&r, url_of(3)), m.newest[3]);
	drig_fini(&r);
	return came;
}

/* TSan looks at the threads, which do the same wherever the fault comes, and takes ten times as long. */
#ifdef __SANITIZE_THREAD__
#define COARSER 13
#else
#define COARSER 1
#endif

static long step_or(long n)
{
	const char *v = getenv("DISK_CRASH_STEP");

	return v ? strtol(v, NULL, 10) : n * COARSER;
}

static void a_crash_at_any_byte_leaves_only_what_is_true(void **state)
{
	long bytes = 0;

	(void)state;
	/* Every byte of the first records, purge and their frames, then in strides that are no multiple of anything. */
	for (; bytes < 1500; bytes += step_or(7))
		assert_true(run(0, EIO, false, bytes));
	while (run(0, EIO, false, bytes))
		bytes += 997 * COARSER;
	assert_true(bytes > 100000);
}

static void a_crash_at_every_byte_of_the_last_frames_leaves_only_what_is_true(void **state)
{
	static const long frames[] = {2500, 2900};

	(void)state;
	for (long bytes = frames[0]; bytes < frames[1]; bytes += step_or(3))
		assert_true(run(0, EIO, false, bytes));
}

static void each_call_in_turn(int error, bool after, long stride)
{
	long n = 1;

	while (run(n, error, after, -1))
		n += stride * COARSER;
	assert_true(n > 100);
}

static void no_call_that_fails_with_eio_does_harm(void **state)
{
	(void)state;
	each_call_in_turn(EIO, false, 1);
}

static void no_device_that_stays_broken_does_harm(void **state)
{
	(void)state;
	each_call_in_turn(EIO, true, 3);
}

static void no_device_that_stays_full_does_harm(void **state)
{
	(void)state;
	each_call_in_turn(ENOSPC, true, 3);
}

static void no_short_read_or_write_does_harm(void **state)
{
	(void)state;
	each_call_in_turn(0, false, 2);
}

static void interrupted_calls_go_on(void **state)
{
	(void)state;
	each_call_in_turn(EINTR, false, 5);
}

/* ---- Spoilt files ---- */

static unsigned long long rng = 88172645463325252ull;

static unsigned random_below(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)(rng % n);
}

static void spoil(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	if (random_below(4) == 0) {
		assert_int_equal(ftruncate(fd, random_below((unsigned)st.st_size + 1)), 0);
	} else {
		for (unsigned i = 0, n = 1 + random_below(20); i < n && st.st_size > 0; i++) {
			off_t at = random_below((unsigned)(random_below(2)     ? st.st_size
							   : st.st_size < 2000 ? st.st_size
									       : 2000));
			unsigned char c = 0;

			assert_int_equal(pread(fd, &c, 1, at), 1);
			c ^= (unsigned char)(1 << random_below(8));
			assert_int_equal(pwrite(fd, &c, 1, at), 1);
		}
	}
	close(fd);
}

static void no_spoilt_file_makes_a_wrong_byte_or_brings_a_purged_one_back(void **state)
{
	static const char *const kinds[] = {"seg-", "journal.", "ckpt.A", "ckpt.B", "FORMAT", "seg-0000000000000002"};

	(void)state;
	for (unsigned i = 0; i < 120 / COARSER; i++) {
		struct rig r;
		struct model m = {0};
		char path[400];

		drig_init(&r);
		drig_open(&r);
		scenario(&r, &m);
		if (i % 2)
			drig_close(&r);
		if (drig_file(&r, kinds[i % ARRAY_LEN(kinds)], path, sizeof(path)))
			spoil(path);
		if (r.d)
			check_model(&r, &m); /* spoilt under its feet */
		drig_reopen(&r);
		check_model(&r, &m);
		put_one(&r, &m, 0, 100);
		assert_int_equal(drig_find(&r, url_of(0)), m.newest[0]);
		drig_fini(&r);
	}
}

static void a_directory_that_vanishes_is_a_miss_and_no_more(void **state)
{
	struct rig r;
	struct model m = {0};
	char command[300];

	(void)state;
	drig_init(&r);
	drig_open(&r);
	scenario(&r, &m);
	snprintf(command, sizeof(command), "rm -rf %s", r.path);
	assert_int_equal(system(command), 0);
	for (unsigned i = 0; i < 400; i++)
		put_one(&r, &m, i % URLS, 4000);
	check_model(&r, &m);
	drig_close(&r);
	assert_int_equal(mkdir(r.path, 0700), 0);
	drig_open(&r);
	check_model(&r, &m);
	drig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crash_at_any_byte_leaves_only_what_is_true),
		cmocka_unit_test(a_crash_at_every_byte_of_the_last_frames_leaves_only_what_is_true),
		cmocka_unit_test(no_call_that_fails_with_eio_does_harm),
		cmocka_unit_test(no_device_that_stays_broken_does_harm),
		cmocka_unit_test(no_device_that_stays_full_does_harm),
		cmocka_unit_test(no_short_read_or_write_does_harm),
		cmocka_unit_test(interrupted_calls_go_on),
		cmocka_unit_test(no_spoilt_file_makes_a_wrong_byte_or_brings_a_purged_one_back),
		cmocka_unit_test(a_directory_that_vanishes_is_a_miss_and_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
