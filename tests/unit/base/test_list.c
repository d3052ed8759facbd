/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

static void first_is_taken_first(void **state)
{
	struct link head, a, b, c;

	(void)state;
	link_init(&head);
	assert_true(link_is_empty(&head));
	assert_null(link_take_first(&head));
	link_append(&head, &b);
	link_append(&head, &c);
	link_prepend(&head, &a);
	assert_ptr_equal(link_take_first(&head), &a);
	assert_true(link_is_empty(&a));
	link_remove(&b);
	link_remove(&b); /* alone: nothing happens */
	assert_ptr_equal(link_take_first(&head), &c);
	assert_true(link_is_empty(&head));
	link_prepend(&head, &a);
	assert_ptr_equal(head.prev, &a);
}

static void all_are_taken_in_their_order(void **state)
{
	struct link head, to, v[3];

	(void)state;
	link_init(&head);
	for (unsigned i = 0; i < 3; i++)
		link_append(&head, &v[i]);
	link_init(&to);
	link_splice(&to, &head);
	assert_true(link_is_empty(&head));
	assert_ptr_equal(to.prev, &v[2]);
	for (unsigned i = 0; i < 3; i++)
		assert_ptr_equal(link_take_first(&to), &v[i]);
	assert_true(link_is_empty(&to));
	link_init(&to);
	link_splice(&to, &head);
	assert_true(link_is_empty(&to));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_is_taken_first),
		cmocka_unit_test(all_are_taken_in_their_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
