/* SPDX-License-Identifier: MIT */
/* Files that can't be removed: what they take stays counted until it is there no more. */
#include "disk_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static _Atomic bool no_unlink, no_truncate, no_allocate;

static int f_unlink(const struct disk_io *io, int dir, const char *name)
{
	(void)io;
	return atomic_load(&no_unlink) ? -EPERM : disk_io_real.unlink(&disk_io_real, dir, name);
}

static int f_truncate(const struct disk_io *io, int fd, uint64_t size)
{
	(void)io;
	return atomic_load(&no_truncate) ? -EIO : disk_io_real.truncate(&disk_io_real, fd, size);
}

static int f_allocate(const struct disk_io *io, int fd, uint64_t size)
{
	int err = disk_io_real.allocate(&disk_io_real, fd, size);

	(void)io;
	return atomic_load(&no_allocate) ? -EIO : err;
}

static int set_up(void **state)
{
	static struct rig r;

	atomic_store(&no_unlink, false);
	atomic_store(&no_truncate, false);
	atomic_store(&no_allocate, false);
	drig_init(&r);
	r.io.io.unlink = f_unlink;
	r.io.io.truncate = f_truncate;
	r.io.io.allocate = f_allocate;
	drig_open(&r);
	*state = &r;
	return 0;
}

static int tear_down(void **state)
{
	drig_fini(*state);
	return 0;
}

/* More than all of the capacity; some may be dropped. */
static void fill(struct rig *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char url[40];

		snprintf(url, sizeof(url), "http://o/%u", i);
		(void)drig_put(r, &(struct response){.url = url, .version = i, .body_n = 3000});
		disk_flush(r->d);
	}
}

/* The reclaimer may be at it, between any two looks: of one moment, what is counted is what is there. */
static void is_counted_exactly(struct rig *r)
{
	uint64_t counted = 0, there = 1;

	for (int i = 0; i < 6000 && counted != there; i++) {
		counted = drig_stats(r).bytes;
		there = drig_bytes(r, "seg-");
		if (counted != there)
			usleep(5000);
	}
	assert_int_equal(counted, there);
	assert_true(counted <= r->o.size);
}

static void files_that_can_only_be_emptied_take_no_room(void **state)
{
	struct rig *r = *state;

	atomic_store(&no_unlink, true);
	fill(r, 600);
	assert_true(drig_stats(r).unlink_errors > 3);
	assert_true(drig_stats(r).reclaimed_segments > 3);
	is_counted_exactly(r);
	assert_int_equal(drig_stats(r).write_errors, 0);
	drig_reopen(r); /* they can't be removed yet */
	is_counted_exactly(r);
	atomic_store(&no_unlink, false);
	drig_reopen(r);
	is_counted_exactly(r);
	for (int i = 0; i < 6000 && drig_stats(r).segments != drig_files(r, "seg-"); i++)
		usleep(5000); /* an emptied file takes no room and may be there a moment longer */
	assert_int_equal(drig_stats(r).segments, drig_files(r, "seg-"));
	assert_true(drig_find(r, "http://o/599") == 599);
}

static void files_that_cannot_even_be_emptied_keep_their_room_until_they_can(void **state)
{
	struct rig *r = *state;
	uint64_t reclaimed;

	atomic_store(&no_unlink, true);
	atomic_store(&no_truncate, true);
	fill(r, 300);
	is_counted_exactly(r);
	reclaimed = drig_stats(r).reclaimed_segments;
	assert_true(reclaimed > 0 && reclaimed <= 6); /* it is no use to go on */
	atomic_store(&no_unlink, false);
	atomic_store(&no_truncate, false);
	is_counted_exactly(r);
	fill(r, 600);
	assert_true(drig_stats(r).reclaimed_segments > reclaimed);
	is_counted_exactly(r);
	assert_int_equal(drig_find(r, "http://o/599"), 599);
}

static void what_was_reclaimed_but_not_removed_does_not_come_back(void **state)
{
	struct rig *r = *state;

	drig_store(r, &(struct response){.url = "http://o/old", .version = 1, .body_n = 3000});
	atomic_store(&no_unlink, true);
	fill(r, 600);
	assert_int_equal(drig_find(r, "http://o/old"), -1);
	drig_reopen(r);
	assert_int_equal(drig_find(r, "http://o/old"), -1);
}

static void a_file_that_failed_to_be_made_and_cannot_be_removed_is_counted(void **state)
{
	struct rig *r = *state;

	atomic_store(&no_allocate, true);
	atomic_store(&no_unlink, true);
	atomic_store(&no_truncate, true);
	fill(r, 1);
	assert_true(drig_stats(r).write_errors > 0);
	assert_int_equal(drig_stats(r).bytes, r->o.segment_bytes);
	is_counted_exactly(r);
	atomic_store(&no_unlink, false);
	while (drig_stats(r).bytes > 0)
		usleep(5000);
	is_counted_exactly(r);
}

static void a_foreign_file_that_cannot_be_removed_is_counted(void **state)
{
	struct rig *r = *state;
	char path[400];
	int fd;

	drig_close(r);
	snprintf(path, sizeof(path), "%s/seg-00000000000000aa", r->path);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 100000), 0);
	close(fd);
	atomic_store(&no_unlink, true);
	atomic_store(&no_truncate, true);
	drig_open(r);
	assert_int_equal(drig_stats(r).foreign_files, 1);
	assert_int_equal(drig_stats(r).bytes, 100000);
	atomic_store(&no_unlink, false);
	while (drig_stats(r).bytes > 0)
		usleep(5000);
	is_counted_exactly(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		CASE(files_that_can_only_be_emptied_take_no_room),
		CASE(files_that_cannot_even_be_emptied_keep_their_room_until_they_can),
		CASE(what_was_reclaimed_but_not_removed_does_not_come_back),
		CASE(a_file_that_failed_to_be_made_and_cannot_be_removed_is_counted),
		CASE(a_foreign_file_that_cannot_be_removed_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
