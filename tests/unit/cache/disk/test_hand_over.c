/* SPDX-License-Identifier: MIT */
/* One process gives the directory up and goes on, another takes it: here two tiers of one process, each with its own
 * invalidation table, as two processes have. */
#include "disk_rig.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define A "http://o/a"
#define B "http://o/b"

static void begin(struct rig *old)
{
	drig_init(old);
	old->o.size = 4 << 20;
	drig_open(old);
}

/* The other process: the same directory. */
static void take_over(const struct rig *old, struct rig *new)
{
	drig_init(new);
	assert_int_equal(rmdir(new->path), 0);
	snprintf(new->path, sizeof(new->path), "%s", old->path);
	new->o.size = old->o.size;
	drig_open(new);
}

static void end(struct rig *old, struct rig *new)
{
	drig_close(old);
	drig_fini(new);
}

static void what_is_queued_is_written_and_the_other_finds_it(void **state)
{
	struct rig old, new;
	char url[40];

	(void)state;
	begin(&old);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		assert_int_equal(drig_put(&old, &(struct response){.url = url, .version = i, .body_n = 2000}), 0);
	}
	disk_hand_over(old.d);
	take_over(&old, &new);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		assert_int_equal(drig_find(&new, url), i);
		assert_int_equal(drig_find(&old, url), -1);
	}
	end(&old, &new);
}

static void who_gave_it_up_writes_nothing_more(void **state)
{
	struct rig old, new;
	uint64_t seq;

	(void)state;
	begin(&old);
	drig_store(&old, &(struct response){.url = A, .version = 1, .body_n = 100});
	disk_hand_over(old.d);
	disk_hand_over(old.d); /* a second time does nothing */
	take_over(&old, &new);
	assert_int_equal(drig_put(&old, &(struct response){.url = B, .version = 1, .body_n = 100}), -ESHUTDOWN);
	assert_int_equal(
		drig_put(&old, &(struct response){.url = A, .version = 1, .body_n = 100, .refresh = true}), -ESHUTDOWN);
	assert_int_equal(
		disk_purge(old.d, &(struct purge){.kind = PURGE_URL, .what = slice_of(A)}, 1, true, &seq), -ESHUTDOWN);
	assert_int_equal(disk_purge(old.d, &(struct purge){.kind = PURGE_URL, .what = slice_of(A)}, 1, false, &seq), 0);
	drig_forget(old.d, drig_hash(A));
	disk_flush(old.d);
	assert_int_equal(drig_find(&new, A), 1);
	drig_close(&old);
	drig_reopen(&new);
	assert_int_equal(drig_find(&new, A), 1);
	assert_int_equal(drig_find(&new, B), -1);
	drig_fini(&new);
}

static void what_was_found_before_is_read_to_its_end(void **state)
{
	struct rig old, new;
	struct tier_lookup l = {.hash = drig_hash(B), .now = clock_now(), .key = {"G" B, sizeof("G" B)}};
	char *buffer = test_malloc(TIER_BLOCK), url[40];
	struct tier_hold hold;
	struct tier_read b = {.hold = &hold, .buffer = buffer};

	(void)state;
	begin(&old);
	drig_store(&old, &(struct response){.url = B, .version = 1, .body_n = 600000});
	assert_int_equal(disk_get(old.d, &l), TIER_HIT);
	assert_int_equal(disk_body_ref(old.d, &hold, l.object->large), 0);
	disk_hand_over(old.d);
	take_over(&old, &new);
	for (unsigned i = 0; disk_may_have(new.d, l.hash) && i < 5000; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		drig_store(&new, &(struct response){.url = url, .version = i, .body_n = 3000});
	}
	assert_int_equal(drig_find(&new, B), -1);
	for (b.offset = 0; b.offset < 600000; b.offset += b.bytes.n) {
		assert_int_equal(disk_body_read(old.d, &b), 0);
		assert_int_equal(b.err, 0); /* each block is verified */
	}
	disk_body_unref(old.d, &hold);
	disk_object_free(old.d, &l.object);
	test_free(buffer);
	end(&old, &new);
}

static void a_purge_before_it_holds_in_the_other(void **state)
{
	struct rig old, new;
	uint64_t seq;

	(void)state;
	begin(&old);
	drig_store(&old, &(struct response){.url = A, .version = 1, .body_n = 100});
	assert_int_equal(disk_purge(old.d, &(struct purge){.kind = PURGE_URL, .what = slice_of(A)}, 1, false, &seq), 0);
	disk_hand_over(old.d);
	take_over(&old, &new);
	assert_int_equal(drig_find(&new, A), -1);
	assert_true(invalidation_now(new.invalidation) > seq);
	end(&old, &new);
}

static void what_nobody_took_starts_empty(void **state)
{
	struct rig old, new;
	uint64_t seq;

	(void)state;
	begin(&old);
	drig_store(&old, &(struct response){.url = A, .version = 1, .body_n = 100});
	disk_hand_over(old.d);
	assert_int_equal(disk_disown(old.d), 0);
	assert_int_equal(disk_purge(old.d, &(struct purge){.kind = PURGE_URL, .what = slice_of(A)}, 1, true, &seq), 0);
	take_over(&old, &new);
	assert_int_equal(drig_find(&new, A), -1);
	assert_int_equal(drig_stats(&new).recovered_objects, 0);
	assert_int_equal(disk_disown(old.d), -EWOULDBLOCK);
	end(&old, &new);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_queued_is_written_and_the_other_finds_it),
		cmocka_unit_test(who_gave_it_up_writes_nothing_more),
		cmocka_unit_test(what_was_found_before_is_read_to_its_end),
		cmocka_unit_test(a_purge_before_it_holds_in_the_other),
		cmocka_unit_test(what_nobody_took_starts_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
