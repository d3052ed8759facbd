/* SPDX-License-Identifier: MIT */
/* Parts of responses (206) on disk: read again they are the parts that they were. */
#include "tier_rig.h"

#include <string.h>

#define FIELDS "ETag: \"1\"\r\nCache-Control: max-age=60\r\n"
#define TARGET "GET /p"

/* As a transaction does with the response to a Range request that it passed on. */
static void store_part(
	struct tiers *t, const char *range, const char *content_range, const char *fields, const char *body)
{
	char line[100], head[300];
	struct flight *f;
	struct ask a;

	snprintf(line, sizeof(line), "Range: bytes=%s\r\n", range);
	snprintf(head, sizeof(head), "Content-Range: bytes %s\r\n%s", content_range, fields);
	ask_init(&t->g, &a, TARGET, line);
	assert_int_equal(tiers_look_up(t, &a), CACHE_PASS);
	f = cache_keep(t->g.c, &a.r, rig_asked(&t->g), t->g.now);
	assert_non_null(f);
	assert_int_equal(rig_answer(&t->g, f, 206, head, (int64_t)strlen(body), NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(f, body, strlen(body)), FLIGHT_BODY_OK);
	flight_end(f, true, t->g.now);
	flight_unref(&f);
	ask_fini(&a);
	tiers_written(t);
}

static void has_part(struct tiers *t, const char *range, uint64_t first, uint64_t total, const char *body)
{
	uint64_t got_first, got_total;
	char line[100];
	struct ask a;

	snprintf(line, sizeof(line), "Range: bytes=%s\r\n", range);
	ask_init(&t->g, &a, TARGET, line);
	assert_int_equal(tiers_look_up(t, &a), CACHE_HIT);
	assert_int_equal(object_status(a.out.object), total ? 206 : 200);
	assert_int_equal(object_part(a.out.object, &got_first, &got_total), total > 0);
	if (total) {
		assert_int_equal(got_first, first);
		assert_int_equal(got_total, total);
	}
	rig_body_is(a.out.object, body);
	ask_fini(&a);
}

static enum cache_forward forward_of(struct tiers *t, const char *fields, enum cache_verdict wanted)
{
	enum cache_forward forward;
	struct ask a;

	ask_init(&t->g, &a, TARGET, fields);
	assert_int_equal(tiers_look_up(t, &a), wanted);
	forward = a.out.forward;
	if (a.out.flight)
		flight_abandon(a.out.flight);
	ask_fini(&a);
	return forward;
}

static void a_part_comes_back_as_the_part_it_was(void **state)
{
	struct tiers *t = *state;

	store_part(t, "10-14", "10-14/100", FIELDS, "ABCDE");
	for (int i = 0; i < 2; i++) {
		tiers_restart(t);
		has_part(t, "11-13", 10, 100, "ABCDE");
	}
	tiers_restart(t);
	assert_int_equal(forward_of(t, "Range: bytes=9-13\r\n", CACHE_PASS), CACHE_FWD_PARTIAL);
	assert_int_equal(forward_of(t, NULL, CACHE_LEAD), CACHE_FWD_PARTIAL);
}

static void a_part_from_disk_is_combined_with_the_next(void **state)
{
	struct tiers *t = *state;

	store_part(t, "10-14", "10-14/20", FIELDS, "ABCDE");
	tiers_restart(t);
	store_part(t, "15-19", "15-19/20", FIELDS, "FGHIJ");
	tiers_restart(t);
	has_part(t, "10-19", 10, 20, "ABCDEFGHIJ");
	store_part(t, "0-9", "0-9/20", FIELDS, "abcdefghij");
	tiers_restart(t);
	has_part(t, "0-19", 0, 0, "abcdefghijABCDEFGHIJ"); /* all of it: the whole */
	tiers_restart(t);
	tiers_disk_has(t, TARGET, NULL, "abcdefghijABCDEFGHIJ");
}

static void parts_with_other_validators_or_none_replace_each_other(void **state)
{
	struct tiers *t = *state;

	store_part(t, "10-14", "10-14/20", FIELDS, "ABCDE");
	tiers_restart(t);
	store_part(t, "15-19", "15-19/20", "ETag: \"2\"\r\nCache-Control: max-age=60\r\n", "fghij");
	tiers_restart(t);
	assert_int_equal(forward_of(t, "Range: bytes=10-14\r\n", CACHE_PASS), CACHE_FWD_PARTIAL);
	has_part(t, "15-19", 15, 20, "fghij");
}

static void a_whole_response_takes_the_parts_place_on_disk(void **state)
{
	struct tiers *t = *state;
	struct ask a;

	store_part(t, "10-14", "10-14/20", FIELDS, "ABCDE");
	tiers_restart(t);
	ask_init(&t->g, &a, TARGET, NULL);
	assert_int_equal(tiers_look_up(t, &a), CACHE_LEAD);
	assert_int_equal(rig_answer(&t->g, a.out.flight, 200, FIELDS, 5, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, "whole", 5), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, t->g.now);
	ask_fini(&a);
	tiers_written(t);
	assert_int_equal(rig_stats(&t->g).tier.objects, 1);
	tiers_restart(t);
	has_part(t, "1-2", 0, 0, "whole");
}

static void a_purge_reaches_a_part(void **state)
{
	struct tiers *t = *state;
	uint64_t seq;

	store_part(t, "10-14", "10-14/20", FIELDS, "ABCDE");
	tiers_restart(t);
	assert_int_equal(
		cache_purge_soon(t->g.c, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/p")}, &seq), 0);
	assert_int_equal(forward_of(t, "Range: bytes=10-14\r\n", CACHE_PASS), CACHE_FWD_URI_MISS);
}

/* The rest of it is fetched. */
static void with_a_part_in_memory_the_disk_is_not_asked(void **state)
{
	struct tiers *t = *state;
	struct ask a;

	atomic_store(&tiers_device.is_cold, true);
	tiers_restart(t);
	store_part(t, "0-4", "0-4/20", FIELDS, "ABCDE");
	assert_int_equal(ask_for(&t->g, &a, TARGET, NULL), CACHE_LEAD);
	flight_abandon(a.out.flight);
	ask_fini(&a);
	tiers_restart(t); /* and it is there to be asked */
	assert_int_equal(ask_for(&t->g, &a, TARGET, NULL), CACHE_LOWER);
	(void)tiers_look_up(t, &a);
	if (a.out.flight)
		flight_abandon(a.out.flight);
	ask_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TIERS_TEST(a_part_comes_back_as_the_part_it_was),
		TIERS_TEST(a_part_from_disk_is_combined_with_the_next),
		TIERS_TEST(parts_with_other_validators_or_none_replace_each_other),
		TIERS_TEST(a_whole_response_takes_the_parts_place_on_disk),
		TIERS_TEST(a_purge_reaches_a_part),
		TIERS_TEST(with_a_part_in_memory_the_disk_is_not_asked),
	};

	return TIERS_RUN_OVER_BOTH(tests);
}
