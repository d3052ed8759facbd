/* SPDX-License-Identifier: MIT */
/* A user's bound beside a plain list of what was stored in which order, and what it looks at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cache/memory/users.h"

#define ENTRIES 300
#define USERS 40
#define MAX 6

static struct memory m;
static struct invalidation_table *invalidation;
static struct entry *entries[ENTRIES];
static unsigned order[ENTRIES], order_n; /* the model: oldest first */
static uint32_t dice = 5;

static uint32_t roll(uint32_t n)
{
	dice = dice * 1664525u + 1013904223u;
	return (dice >> 4) % n;
}

static struct entry *make(unsigned i, uint64_t user)
{
	char bytes[16];
	struct cache_key key = {.url_n = 1, .user = user, .place = i};
	struct entry *e;

	key.bytes.p = bytes;
	key.bytes.n = (size_t)snprintf(bytes, sizeof(bytes), "%u", i);
	e = entry_new(&m.shards[0], &key);
	assert_non_null(e);
	return e;
}

static void begin(uint64_t memory)
{
	memset(&m, 0, sizeof(m));
	assert_int_equal(invalidation_table_new(10, &invalidation), 0);
	assert_int_equal(memory_init(&m, memory, 1, 4, 10, invalidation), 0);
}

static void end(unsigned n, struct entry **made)
{
	for (unsigned i = 0; i < n; i++)
		entry_unref(&made[i]);
	memory_fini(&m);
	invalidation_table_free(&invalidation);
}

/* All users in a few slots. */
static uint64_t user_of(unsigned i)
{
	return (uint64_t)(i % USERS % 3) << 32 | (i % USERS + 1);
}

static bool model_remove(unsigned i)
{
	for (unsigned k = 0; k < order_n; k++)
		if (order[k] == i) {
			memmove(&order[k], &order[k + 1], (--order_n - k) * sizeof(order[0]));
			return true;
		}
	return false;
}

/* Whose turn it is to go: ENTRIES: nobody's. */
static unsigned model_note(unsigned i, unsigned max)
{
	unsigned n = 0, oldest = ENTRIES;

	model_remove(i);
	order[order_n++] = i;
	for (unsigned k = 0; k < order_n; k++)
		if (user_of(order[k]) == user_of(i)) {
			oldest = n == 0 ? order[k] : oldest;
			n++;
		}
	if (n <= max)
		return ENTRIES;
	model_remove(oldest);
	return oldest;
}

static void the_oldest_of_a_user_goes_as_in_a_plain_list(void **state)
{
	(void)state;
	begin(1 << 20);
	for (unsigned i = 0; i < ENTRIES; i++)
		entries[i] = make(i, user_of(i));
	for (unsigned round = 0; round < 30000; round++) {
		unsigned i = roll(ENTRIES), wanted;
		struct entry *over = NULL;

		if (roll(4) == 0) {
			model_remove(i);
			users_forget_locked(entries[i]);
			continue;
		}
		wanted = model_note(i, MAX);
		users_note_locked(entries[i], MAX, &over);
		assert_ptr_equal(over, wanted < ENTRIES ? entries[wanted] : NULL);
	}
	for (unsigned i = 0; i < ENTRIES; i++)
		users_forget_locked(entries[i]);
	for (unsigned i = 0; i < m.user_slots_n; i++)
		assert_null(m.shards[0].users[i]);
	end(ENTRIES, entries);
}

#define MANY 20000

static void a_store_looks_at_the_same_few_however_many_the_user_has(void **state)
{
	static struct entry *many[MANY];

	(void)state;
	begin(256 << 20);
	for (unsigned i = 0; i < MANY; i++) {
		struct entry *over = NULL;

		many[i] = make(i, 7);
		assert_in_range(users_note_locked(many[i], MANY / 2, &over), 0, 3);
		assert_ptr_equal(over, i >= MANY / 2 ? many[i - MANY / 2] : NULL);
	}
	for (unsigned i = MANY / 2; i < MANY; i += 100) {
		struct entry *over = NULL;

		assert_in_range(users_note_locked(many[i], MANY / 2, &over), 0, 3);
		assert_null(over);
	}
	end(MANY, many);
}

static void there_are_as_many_slots_as_users(void **state)
{
	static struct entry *many[MANY];
	unsigned looked = 0;

	(void)state;
	begin((uint64_t)MANY * 4096);
	for (unsigned i = 0; i < MANY; i++) {
		struct entry *over = NULL;

		many[i] = make(i, (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15) | 1);
		looked += users_note_locked(many[i], 3, &over);
	}
	assert_in_range(looked, MANY, 4 * MANY);
	end(MANY, many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_of_a_user_goes_as_in_a_plain_list),
		cmocka_unit_test(a_store_looks_at_the_same_few_however_many_the_user_has),
		cmocka_unit_test(there_are_as_many_slots_as_users),
	};

	return cmocka_run_group_tests_name("users", tests, NULL, NULL);
}
