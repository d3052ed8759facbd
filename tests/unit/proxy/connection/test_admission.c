/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/connection/admission.h"
#include "proxy/connection/peer.h"

static struct peer v4(uint8_t last)
{
	struct peer p;
	peer_from_v4((const uint8_t[]){192, 0, 2, last}, 1, &p);
	return p;
}

static struct peer v6(uint8_t eighth, uint8_t last)
{
	struct peer p;
	peer_from_v6((const uint8_t[16]){0x20, 0x01, 0x0d, 0xb8, [7] = eighth, [15] = last}, 1, &p);
	return p;
}

static void as_many_as_the_bound_come_in(void **state)
{
	struct admission *a;

	(void)state;
	assert_int_equal(admission_new(2, 0, &a), 0);
	assert_true(admission_enter(a));
	assert_true(admission_enter(a));
	assert_false(admission_enter(a));
	admission_leave(a);
	assert_true(admission_enter(a));
	admission_set_bounds(a, 1, 0);
	admission_leave(a);
	assert_false(admission_enter(a));
	admission_leave(a);
	assert_true(admission_enter(a));
	admission_leave(a);
	admission_free(&a);
	assert_null(a);
}

static void each_address_has_its_own_bound(void **state)
{
	struct peer one = v4(1), two = v4(2), net = v6(1, 1), same_net = v6(1, 2), other_net = v6(2, 1);
	struct admission *a;

	(void)state;
	assert_int_equal(admission_new(100, 1, &a), 0);
	assert_true(admission_enter_address(a, &one));
	assert_false(admission_enter_address(a, &one));
	assert_true(admission_enter_address(a, &two));
	assert_true(admission_enter_address(a, &net));
	assert_false(admission_enter_address(a, &same_net));
	assert_true(admission_enter_address(a, &other_net));
	admission_leave_address(a, &one);
	assert_true(admission_enter_address(a, &one));
	admission_set_bounds(a, 100, 0);
	assert_true(admission_enter_address(a, &one));
	admission_leave_address(a, &one);
	admission_leave_address(a, &one);
	admission_leave_address(a, &two);
	admission_leave_address(a, &net);
	admission_leave_address(a, &other_net);
	admission_free(&a);
}

static void out_of_memory_is_a_refusal(void **state)
{
	struct peer one = v4(1);
	struct admission *a;

	(void)state;
	for (unsigned long n = 1; n < 10; n++) {
		mem_fail_at(n, 1);
		if (admission_new(100, 1, &a) == 0) {
			if (admission_enter_address(a, &one))
				admission_leave_address(a, &one);
			admission_free(&a);
		}
		mem_fail_at(0, 0);
	}
}

static void *come_and_go(void *arg)
{
	struct admission *a = arg;

	for (unsigned i = 0; i < 20000; i++) {
		struct peer p = v4((uint8_t)(i % 3));
		if (!admission_enter(a))
			continue;
		if (admission_enter_address(a, &p))
			admission_leave_address(a, &p);
		admission_leave(a);
	}
	return NULL;
}

static void threads_come_and_go(void **state)
{
	struct admission *a;
	pthread_t threads[4];

	(void)state;
	assert_int_equal(admission_new(3, 2, &a), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, a), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 3; i++)
		assert_true(admission_enter(a));
	assert_false(admission_enter(a));
	for (unsigned i = 0; i < 3; i++)
		admission_leave(a);
	admission_free(&a); /* with all addresses gone */
}

static void networks_contain_addresses(void **state)
{
	struct config_network v[] = {
		{{[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2}, 120},
		{{0x20, 0x01, 0x0d, 0xb8}, 33},
	};
	struct config_networks n = {v, 2};
	struct peer in = v4(77), out, six = v6(1, 1), beyond;

	(void)state;
	peer_from_v4((const uint8_t[]){192, 0, 3, 1}, 1, &out);
	peer_from_v6((const uint8_t[16]){0x20, 0x01, 0x0d, 0xb8, 0x80}, 1, &beyond);
	assert_true(peer_is_in(&in, &n));
	assert_false(peer_is_in(&out, &n));
	assert_true(peer_is_in(&six, &n));
	assert_false(peer_is_in(&beyond, &n));
	v[0] = (struct config_network){{[10] = 0xff, [11] = 0xff}, 96}; /* 0.0.0.0/0 */
	assert_true(peer_is_in(&out, &n));
	assert_false(peer_is_in(&beyond, &n));
	v[1].bits = 128;
	assert_false(peer_is_in(&six, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_the_bound_come_in),
		cmocka_unit_test(each_address_has_its_own_bound),
		cmocka_unit_test(out_of_memory_is_a_refusal),
		cmocka_unit_test(threads_come_and_go),
		cmocka_unit_test(networks_contain_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
