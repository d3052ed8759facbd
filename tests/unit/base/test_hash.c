/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/hash.h"

/* Made with another implementation (OpenSSL's SIPHASH, c-rounds 1, d-rounds 3): key 00..0f, input 00.. of n bytes. */
static void known_responses(void **state)
{
	static const struct {
		size_t n;
		uint64_t is;
	} rows[] = {
		{0, 0xabac0158050fc4dc},
		{1, 0xc9f49bf37d57ca93},
		{2, 0x82cb9b024dc7d44d},
		{7, 0xd3927d989bb11140},
		{8, 0x369095118d299a8e},
		{9, 0x25a48eb36c063de4},
		{15, 0xd320d86d2a519956},
		{16, 0xcc4fdd1a7d908b66},
		{17, 0x9cf2689063dbd80c},
		{31, 0x2370dd1f8c21d1bc},
		{32, 0x81157b6c16a7b60d},
		{63, 0x9d199062b7bbb3a8},
		{64, 0xf17997ec4b4a6065},
	};
	unsigned char input[64];
	uint64_t key[2];

	(void)state;
	for (unsigned i = 0; i < sizeof(input); i++)
		input[i] = (unsigned char)i;
	memcpy(key, input, sizeof(key));
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(hash_keyed_with(key, input, rows[i].n), rows[i].is);
}

static void this_process_has_a_secret(void **state)
{
	static const uint64_t zero[2];

	(void)state;
	assert_int_not_equal(hash_keyed("a", 1), hash_keyed_with(zero, "a", 1));
	assert_int_equal(hash_keyed("a", 1), hash_keyed("a", 1));
	assert_int_not_equal(hash_keyed("a", 1), hash_keyed("b", 1));
}

/* What uthash hashes by is the same function. */
static void tables_are_keyed(void **state)
{
	unsigned h;

	(void)state;
	HASH_FUNCTION("/a", 2, h);
	assert_int_equal(h, (unsigned)hash_keyed("/a", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_responses),
		cmocka_unit_test(this_process_has_a_secret),
		cmocka_unit_test(tables_are_keyed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
