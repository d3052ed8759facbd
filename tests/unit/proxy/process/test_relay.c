/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/mem.h"
#include "proxy/process/relay.h"

/* Messages from the disk's new holder wait until its cache can take them: more than are kept become one purge of all. */
#define MANY 12000

/* ---- A cache that notes what it is told ---- */

struct told {
	enum purge_kind kind;
	char what[64];
	uint64_t user;
	bool soft, is_forget;
};

static struct told told[2 * MANY + RELAY_WAITING_MAX];
static unsigned told_n;

static void note(struct told t, struct slice what)
{
	assert_true(told_n < ARRAY_LEN(told) && what.n < sizeof(t.what));
	if (what.n > 0)
		memcpy(t.what, what.p, what.n);
	told[told_n++] = t;
}

/* In place of the cache's own: the archive's is not linked. */
void cache_purge_as_told(struct cache *c, const struct purge *p)
{
	(void)c;
	note((struct told){.kind = p->kind, .user = p->user, .soft = p->soft}, p->what);
}

void cache_forget_as_told(struct cache *c, struct slice key, uint64_t user)
{
	(void)c;
	note((struct told){.user = user, .is_forget = true}, key);
}

/* ---- Two ends ---- */

struct pair {
	struct event_base *base;
	struct relay *old, *new;
};

static int setup(void **state)
{
	struct pair *p = mem_zalloc(sizeof(*p));
	int fds[2];

	told_n = 0;
	p->base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_int_equal(relay_new(p->base, &p->old), 0);
	assert_int_equal(relay_new(p->base, &p->new), 0);
	assert_int_equal(relay_open(p->old, fds[0]), 0);
	assert_int_equal(relay_open(p->new, fds[1]), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	relay_free(&p->old);
	relay_free(&p->new);
	event_base_free(p->base);
	mem_free(p);
	return 0;
}

static void say_purge(struct relay *r, unsigned i, bool soft)
{
	char url[32];

	snprintf(url, sizeof(url), "http://o/%u", i);
	relay_purge(r, &(struct purge){.kind = PURGE_URL, .what = slice_of(url), .soft = soft});
}

static void what_is_said_is_heard_as_it_was_said(void **state)
{
	struct pair *p = *state;

	relay_purge(p->old, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/a"), .soft = true});
	relay_purge(p->old, &(struct purge){.kind = PURGE_PREFIX, .what = SLICE_LIT("http://o/")});
	relay_purge(p->old, &(struct purge){.kind = PURGE_USER, .user = 7, .soft = true});
	relay_forget(p->old, SLICE_LIT("not before both serve"), 9, false);
	relay_forget(p->old, SLICE_LIT("key"), 9, true);
	relay_purge(p->old, &(struct purge){.kind = PURGE_ALL});
	relay_look(p->new);
	assert_int_equal(told_n, 5);
	assert_true(told[0].kind == PURGE_URL && told[0].soft && strcmp(told[0].what, "http://o/a") == 0);
	assert_true(told[1].kind == PURGE_PREFIX && !told[1].soft && strcmp(told[1].what, "http://o/") == 0);
	assert_true(told[2].kind == PURGE_USER && told[2].soft && told[2].user == 7);
	assert_true(told[3].is_forget && told[3].user == 9 && strcmp(told[3].what, "key") == 0);
	assert_true(told[4].kind == PURGE_ALL && !told[4].soft && told[4].what[0] == '\0');
}

static void of_what_was_not_here_is_told_while_both_serve(void **state)
{
	struct pair *p = *state;

	relay_forget(p->new, SLICE_LIT("before"), 9, false);
	relay_both_serve(p->new);
	relay_forget(p->new, SLICE_LIT("key"), 9, false);
	relay_look(p->old);
	assert_int_equal(told_n, 1);
	assert_true(told[0].is_forget && strcmp(told[0].what, "key") == 0);
}

/* ---- While the directory changes hands ---- */

struct speech {
	struct relay **relay;
	unsigned n;
};

/* The old process: purges, and then the directory. What does not fit into the socket is said while it ends. */
static void *speak_and_go(void *arg)
{
	const struct speech *s = arg;

	for (unsigned i = 0; i < s->n; i++)
		say_purge(*s->relay, i, i % 2);
	relay_say(*s->relay, RELAY_HAS_DISK);
	relay_free(s->relay);
	return NULL;
}

static void ask_while_purges_come(struct pair *p, unsigned n)
{
	struct speech speech = {&p->old, n};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, speak_and_go, &speech), 0);
	assert_int_equal(relay_ask_for_disk(p->new), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(told_n, 0); /* there is no cache yet to take them */
	relay_look(p->new);
}

static void purges_of_the_handing_over_are_kept_in_order(void **state)
{
	struct pair *p = *state;

	ask_while_purges_come(p, 100);
	assert_int_equal(told_n, 100);
	for (unsigned i = 0; i < 100; i++) {
		char url[32];

		snprintf(url, sizeof(url), "http://o/%u", i);
		assert_string_equal(told[i].what, url);
		assert_int_equal(told[i].soft, i % 2);
	}
}

static void more_than_are_kept_become_a_purge_of_everything(void **state)
{
	struct pair *p = *state;

	ask_while_purges_come(p, MANY);
	assert_in_range(told_n, 1, MANY - 1);
	assert_true(told[told_n - 1].kind == PURGE_ALL && !told[told_n - 1].soft);
	relay_look(p->new); /* once */
	assert_true(told[told_n - 1].kind == PURGE_ALL && told[told_n - 2].kind == PURGE_URL);
}

/* ---- Who waits until all of it is heard ---- */

static unsigned heard, told_when_heard;

static void on_heard(void *arg)
{
	(void)arg;
	heard++;
	told_when_heard = told_n;
}

/* Nobody reads while it is said: more than waits is lost, and made up for by a purge of everything, before which nothing is heard. */
static void a_question_that_finds_no_room_is_asked_later(void **state)
{
	struct pair *p = *state;

	heard = told_when_heard = 0;
	for (unsigned i = 0; i < RELAY_WAITING_MAX + MANY / 2; i++)
		say_purge(p->old, i % 10, false);
	relay_when_heard(p->old, on_heard, NULL);
	assert_int_equal(heard, 0);
	while (heard == 0) {
		relay_look(p->new);
		assert_int_equal(event_base_loop(p->base, EVLOOP_ONCE), 0); /* its tick says what waits */
	}
	assert_int_equal(heard, 1);
	assert_int_equal(told[told_when_heard - 1].kind, PURGE_ALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_said_is_heard_as_it_was_said, setup, teardown),
		cmocka_unit_test_setup_teardown(of_what_was_not_here_is_told_while_both_serve, setup, teardown),
		cmocka_unit_test_setup_teardown(purges_of_the_handing_over_are_kept_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_are_kept_become_a_purge_of_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(a_question_that_finds_no_room_is_asked_later, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
