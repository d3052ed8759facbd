/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mailbox.h"
#include "base/mem.h"

struct note {
	struct message message;
	struct mailbox *mb;
	int delivered;
	int post_again; /* times that on_message posts the note anew */
	bool post_again_said;
};

static struct note *order[8];
static int n_order;

static void on_note(struct message *message)
{
	struct note *note = CONTAINER_OF(message, struct note, message);

	note->delivered++;
	if (n_order < (int)ARRAY_LEN(order))
		order[n_order++] = note;
	if (note->post_again > 0) {
		note->post_again--;
		note->post_again_said = post_message(note->mb, message);
	}
}

static bool is_readable(const struct mailbox *mb)
{
	struct pollfd p = {.fd = mb->event_fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static int set_up(void **state)
{
	static struct mailbox mb;

	n_order = 0;
	*state = &mb;
	return mailbox_init(&mb);
}

static int tear_down(void **state)
{
	mailbox_fini(*state);
	return 0;
}

static void letters_are_delivered_once_in_the_order_of_posting(void **state)
{
	struct mailbox *mb = *state;
	struct note a = {.message.on_message = on_note}, b = a, c = a;

	assert_false(is_readable(mb));
	assert_true(post_message(mb, &b.message));
	assert_true(post_message(mb, &a.message));
	assert_true(post_message(mb, &c.message));
	assert_true(is_readable(mb));
	mailbox_deliver(mb);
	assert_int_equal(n_order, 3);
	assert_ptr_equal(order[0], &b);
	assert_ptr_equal(order[1], &a);
	assert_ptr_equal(order[2], &c);
	assert_false(is_readable(mb));
	mailbox_deliver(mb);
	assert_int_equal(n_order, 3);
}

static void letter_posted_twice_before_delivery_is_queued_once(void **state)
{
	struct mailbox *mb = *state;
	struct note a = {.message.on_message = on_note};

	assert_true(post_message(mb, &a.message));
	assert_false(post_message(mb, &a.message));
	mailbox_deliver(mb);
	assert_int_equal(a.delivered, 1);
	assert_true(post_message(mb, &a.message));
	mailbox_deliver(mb);
	assert_int_equal(a.delivered, 2);
}

static void eventfd_is_written_only_when_the_queue_was_empty(void **state)
{
	struct mailbox *mb = *state;
	struct note a = {.message.on_message = on_note}, b = a;
	uint64_t written = 0;

	post_message(mb, &a.message);
	post_message(mb, &b.message);
	assert_int_equal(read(mb->event_fd, &written, sizeof(written)), sizeof(written));
	assert_int_equal(written, 1);
	/* Delivery does not depend on the descriptor being readable. */
	mailbox_deliver(mb);
	assert_int_equal(a.delivered + b.delivered, 2);
}

static void letter_posted_again_by_its_own_delivery_waits_for_the_next(void **state)
{
	struct mailbox *mb = *state;
	struct note a = {.message.on_message = on_note, .mb = mb, .post_again = 1};

	post_message(mb, &a.message);
	mailbox_deliver(mb);
	assert_int_equal(a.delivered, 1);
	assert_true(a.post_again_said);
	assert_true(is_readable(mb));
	mailbox_deliver(mb);
	assert_int_equal(a.delivered, 2);
	assert_false(is_readable(mb));
}

/* Whatever comes at once, a delivery takes so many steps; what is posted meanwhile stays behind what was there. */
static void a_delivery_leaves_what_it_has_no_steps_for(void **state)
{
	static struct note notes[2 * MAILBOX_STEPS + 1];
	struct mailbox *mb = *state;

	for (unsigned i = 0; i < ARRAY_LEN(notes); i++) {
		notes[i] = (struct note){.message.on_message = on_note, .mb = mb, .post_again = i == 0};
		post_message(mb, &notes[i].message);
	}
	for (unsigned turn = 1; turn <= 2; turn++) {
		assert_true(mailbox_deliver(mb));
		assert_true(is_readable(mb));
		for (unsigned i = 0; i < ARRAY_LEN(notes); i++)
			assert_int_equal(notes[i].delivered, i < turn * MAILBOX_STEPS);
	}
	n_order = 0;
	assert_false(mailbox_deliver(mb)); /* the first one again, posted in the first turn */
	assert_int_equal(n_order, 2);
	assert_ptr_equal(order[0], &notes[2 * MAILBOX_STEPS]);
	assert_ptr_equal(order[1], &notes[0]);
	assert_false(is_readable(mb));
}

static unsigned pieces;

static void on_long_work(struct message *message)
{
	struct note *note = CONTAINER_OF(message, struct note, message);

	do
		pieces++;
	while (mailbox_takes_step(note->mb));
	note->delivered++;
}

/* One message that takes all steps leaves the next for the next delivery, which has as many again. */
static void a_messages_further_steps_count(void **state)
{
	struct mailbox *mb = *state;
	struct note a = {.message.on_message = on_long_work, .mb = mb}, b = a;

	pieces = 0;
	post_message(mb, &a.message);
	post_message(mb, &b.message);
	assert_true(mailbox_deliver(mb));
	assert_int_equal(pieces, MAILBOX_STEPS);
	assert_int_equal(b.delivered, 0);
	assert_false(mailbox_deliver(mb));
	assert_int_equal(pieces, 2 * MAILBOX_STEPS);
	assert_int_equal(b.delivered, 1);
}

static void free_note(struct message *message)
{
	mem_free(CONTAINER_OF(message, struct note, message));
	n_order++;
}

static void letter_may_be_freed_by_its_delivery(void **state)
{
	struct mailbox *mb = *state;

	for (int i = 0; i < 3; i++) {
		struct note *note = mem_zalloc(sizeof(*note));

		assert_non_null(note);
		note->message.on_message = free_note;
		post_message(mb, &note->message);
	}
	mailbox_deliver(mb);
	assert_int_equal(n_order, 3);
}

/* --- Several posters, one owner. Every poster counts up a number in a message of its own and one in a message that all
 * share; `written` is what was there before the post, which the delivery must see. --- */

enum { POSTERS = 4, POSTS = 20000 };

struct counter {
	struct message message;
	_Atomic int written;
	int plain; /* written by the one poster before it first posts: what a post publishes */
	int seen;
};

struct herd {
	struct mailbox mb;
	struct counter own[POSTERS], shared;
};

struct poster {
	pthread_t thread;
	struct herd *herd;
	struct counter *own;
};

static void on_counter(struct message *message)
{
	struct counter *counter = CONTAINER_OF(message, struct counter, message);

	counter->seen = atomic_load_explicit(&counter->written, memory_order_relaxed);
	CHECK(counter->plain == 42);
}

static void *post_many(void *arg)
{
	struct poster *poster = arg;
	struct counter *shared = &poster->herd->shared;

	poster->own->plain = 42;
	for (int i = 0; i < POSTS; i++) {
		atomic_fetch_add_explicit(&poster->own->written, 1, memory_order_relaxed);
		post_message(&poster->herd->mb, &poster->own->message);
		atomic_fetch_add_explicit(&shared->written, 1, memory_order_relaxed);
		post_message(&poster->herd->mb, &shared->message);
	}
	return NULL;
}

static bool all_seen(const struct herd *herd)
{
	for (int i = 0; i < POSTERS; i++)
		if (herd->own[i].seen != POSTS)
			return false;
	return herd->shared.seen == POSTERS * POSTS;
}

/* The last post of each poster must reach the owner: a lost wake-up ends in the poll's timeout, and in failure. */
static void no_post_of_many_threads_is_lost(void **state)
{
	static struct herd herd;
	struct poster posters[POSTERS];
	bool woken = true;

	(void)state;
	assert_int_equal(mailbox_init(&herd.mb), 0);
	herd.shared.message.on_message = on_counter;
	herd.shared.plain = 42;
	for (int i = 0; i < POSTERS; i++) {
		herd.own[i].message.on_message = on_counter;
		posters[i] = (struct poster){.herd = &herd, .own = &herd.own[i]};
		assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
	}
	while (woken && !all_seen(&herd)) {
		struct pollfd p = {.fd = herd.mb.event_fd, .events = POLLIN};

		woken = poll(&p, 1, 30000) == 1;
		mailbox_deliver(&herd.mb);
	}
	for (int i = 0; i < POSTERS; i++)
		pthread_join(posters[i].thread, NULL);
	assert_true(woken);
	assert_true(all_seen(&herd));
	mailbox_fini(&herd.mb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(letters_are_delivered_once_in_the_order_of_posting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(letter_posted_twice_before_delivery_is_queued_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(eventfd_is_written_only_when_the_queue_was_empty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			letter_posted_again_by_its_own_delivery_waits_for_the_next, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_delivery_leaves_what_it_has_no_steps_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_messages_further_steps_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(letter_may_be_freed_by_its_delivery, set_up, tear_down),
		cmocka_unit_test(no_post_of_many_threads_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
