/* SPDX-License-Identifier: MIT */
/* A new response that finds no memory on its way to the disk: the older one there does not come back. */
#include "tier_rig.h"

#include "base/mem.h"

#define FRESH "Cache-Control: max-age=60\r\n"

/* Leads a fetch of the URL by force, and has its nth allocation while the response is stored fail. */
static void replace_with_fault(struct tiers *t, const char *target, unsigned long nth)
{
	struct ask a;

	ask_init(&t->g, &a, target, NULL);
	cache_refresh(t->g.c, &a.r, t->g.now, &a.out);
	assert_int_equal(a.out.verdict, CACHE_LEAD);
	assert_int_equal(rig_answer(&t->g, a.out.flight, 200, FRESH, 3, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, "new", 3), FLIGHT_BODY_OK);
	mem_fail_at(nth, 0);
	flight_end(a.out.flight, true, t->g.now);
	tiers_written(t);
	mem_fail_at(0, 0);
	ask_fini(&a);
}

/* True: the new one. False: neither; the old one would be wrong. */
static bool has_new_one(struct tiers *t, const char *target)
{
	struct ask a;
	bool has;

	ask_init(&t->g, &a, target, NULL);
	has = tiers_look_up(t, &a) == CACHE_HIT;
	if (has)
		assert_int_equal(object_body_at(a.out.object, 0).p[0], 'n');
	else
		assert_int_equal(a.out.verdict, CACHE_LEAD);
	if (a.out.flight)
		flight_abandon(a.out.flight);
	ask_fini(&a);
	return has;
}

static void the_older_one_is_gone_whatever_allocation_failed(void **state)
{
	struct tiers *t = *state;
	unsigned drops = 0;

	for (unsigned long nth = 1; nth <= 12; nth++) {
		char target[20];

		snprintf(target, sizeof(target), "GET /%lu", nth);
		rig_store(&t->g, target, NULL, FRESH, "old");
		tiers_written(t);
		tiers_restart(t);
		tiers_disk_has(t, target, NULL, "old");
		replace_with_fault(t, target, nth);
		drops += has_new_one(t, target);
		tiers_restart(t);
		drops -= has_new_one(t, target);
	}
	assert_true(drops > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TIERS_TEST(the_older_one_is_gone_whatever_allocation_failed),
	};

	return TIERS_RUN_OVER_BOTH(tests);
}
