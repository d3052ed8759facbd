/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/thread.h"

static bool is_blocked(int signal)
{
	sigset_t now;

	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	return sigismember(&now, signal);
}

static void *note_blocked(void *arg)
{
	*(bool *)arg = is_blocked(SIGTERM) && is_blocked(SIGPIPE);
	return NULL;
}

static void signals_are_not_a_threads(void **state)
{
	bool were_blocked = false;
	pthread_t t;

	(void)state;
	assert_int_equal(thread_start(&t, note_blocked, &were_blocked), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_true(were_blocked);
	assert_false(is_blocked(SIGTERM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_are_not_a_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
