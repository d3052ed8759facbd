/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/buffer.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/front/bodies.h"

#define KIB ((size_t)1024)
#define MOST (512 * KIB) /* of which the longest body has... */
#define LONGEST (128 * KIB)

struct room { /* a worker's, and what it was told */
	struct bodies *all;
	struct mailbox mailbox;
	struct body_port port;
	uint64_t bytes;
};

static void set_up(struct room *r)
{
	memset(r, 0, sizeof(*r));
	assert_int_equal(bodies_new(MOST, LONGEST, &r->all), 0);
	assert_int_equal(mailbox_init(&r->mailbox), 0);
	body_port_init(&r->port, r->all, &r->mailbox, &r->bytes);
}

static void tear_down(struct room *r)
{
	assert_int_equal(r->bytes, 0);
	assert_false(bodies_are_short(r->all));
	bodies_free(&r->all);
	mailbox_fini(&r->mailbox);
}

static void on_room(void *arg)
{
	++*(int *)arg;
}

static struct body *begin(struct room *r, int *told)
{
	struct body *b;

	assert_int_equal(body_new(&r->port, LONGEST, on_room, told, &b), 0);
	return b;
}

/* Adds n bytes in small pieces; what it could not is returned. */
static size_t job(struct body **b, size_t n)
{
	char piece[512];

	memset(piece, 'x', sizeof(piece));
	while (n > 0) {
		size_t some = n < sizeof(piece) ? n : sizeof(piece);
		int err = body_make_room(b, some);

		if (err == -EAGAIN)
			return n;
		assert_int_equal(err, 0);
		body_add(*b, piece, some);
		n -= some;
	}
	return 0;
}

#define BODIES 12

static void of_bodies_that_fill_it_one_after_the_other_is_finished(void **state)
{
	struct room r;
	struct body *b[BODIES];
	int told[BODIES] = {0};
	size_t left[BODIES];
	unsigned done = 0;

	(void)state;
	set_up(&r);
	for (unsigned i = 0; i < BODIES; i++)
		b[i] = begin(&r, &told[i]);
	for (unsigned i = 0; i < BODIES; i++)
		left[i] = LONGEST;
	for (unsigned turn = 0; turn < 10000 && done < BODIES; turn++) {
		for (unsigned i = 0; i < BODIES; i++) {
			size_t piece = left[i] < 2 * KIB ? left[i] : 2 * KIB;

			if (!b[i])
				continue;
			left[i] -= piece - job(&b[i], piece);
			assert_in_range(r.bytes, 0, MOST);
			if (left[i] == 0) {
				assert_int_equal(body_length(b[i]), LONGEST);
				body_free(&b[i]);
				done++;
			}
		}
		mailbox_deliver(&r.mailbox);
	}
	assert_int_equal(done, BODIES);
	tear_down(&r);
}

/* Four fill the pool and one more the reserve. */
static void fill_up(struct room *r, struct body *b[5], int told[5])
{
	for (unsigned i = 0; i < 5; i++) {
		b[i] = begin(r, &told[i]);
		(void)job(&b[i], i < 4 ? 96 * KIB : LONGEST);
	}
}

static void who_waits_is_told_in_the_order_of_coming(void **state)
{
	struct room r;
	struct body *b[5], *first, *second;
	int told[5] = {0}, first_told = 0, second_told = 0;

	(void)state;
	set_up(&r);
	fill_up(&r, b, told);
	first = begin(&r, &first_told);
	second = begin(&r, &second_told);
	assert_int_equal(job(&first, 64 * KIB), 64 * KIB);
	assert_int_equal(body_make_room(&second, 512), -EAGAIN);
	assert_true(bodies_are_short(r.all));
	assert_int_equal(body_make_room(&first, 512), -EAGAIN); /* asking again is no second place */
	body_free(&b[0]);
	mailbox_deliver(&r.mailbox);
	assert_int_equal(first_told, 1);
	assert_int_equal(second_told, 1);
	assert_int_equal(job(&first, 8 * KIB), 0);
	assert_int_equal(job(&second, 8 * KIB), 0);
	for (unsigned i = 1; i < 5; i++)
		body_free(&b[i]);
	body_free(&first);
	body_free(&second);
	tear_down(&r);
}

static void who_leaves_while_it_waits_takes_nothing(void **state)
{
	struct room r;
	struct body *b[5], *leaves, *stays;
	int told[5] = {0}, leaves_told = 0, stays_told = 0;

	(void)state;
	set_up(&r);
	fill_up(&r, b, told);
	leaves = begin(&r, &leaves_told);
	stays = begin(&r, &stays_told);
	assert_int_equal(body_make_room(&leaves, 64 * KIB), -EAGAIN);
	assert_int_equal(body_make_room(&stays, 512), -EAGAIN);
	body_free(&leaves);
	body_free(&b[1]);
	mailbox_deliver(&r.mailbox);
	assert_int_equal(leaves_told, 0);
	assert_int_equal(stays_told, 1);
	/* Told, and gone before the message: the room is there again. */
	body_free(&b[2]);
	assert_int_equal(job(&stays, 16 * KIB), 0);
	body_free(&stays);
	body_free(&b[0]);
	body_free(&b[3]);
	body_free(&b[4]);
	mailbox_deliver(&r.mailbox);
	tear_down(&r);
}

static void more_room_by_a_reload_serves_who_waits(void **state)
{
	struct room r;
	struct body *b[5], *waits;
	int told[5] = {0}, waits_told = 0;

	(void)state;
	set_up(&r);
	fill_up(&r, b, told);
	waits = begin(&r, &waits_told);
	assert_int_equal(body_make_room(&waits, 512), -EAGAIN);
	bodies_set_bounds(r.all, 2 * MOST, LONGEST);
	mailbox_deliver(&r.mailbox);
	assert_int_equal(waits_told, 1);
	bodies_set_bounds(r.all, LONGEST / 2, LONGEST); /* less than there is: nothing ends, one at a time goes on */
	assert_int_equal(job(&waits, 512), 0);
	assert_int_equal(body_make_room(&waits, 64 * KIB), -EAGAIN);
	for (unsigned i = 0; i < 5; i++)
		body_free(&b[i]);
	mailbox_deliver(&r.mailbox);
	assert_int_equal(job(&waits, LONGEST - 512), 0);
	body_free(&waits);
	tear_down(&r);
}

static void its_bytes_count_until_the_last_buffer_is_gone(void **state)
{
	struct room r;
	int told = 0;
	struct body *b;
	struct evbuffer *to = evbuffer_new(), *copy = evbuffer_new();

	(void)state;
	set_up(&r);
	b = begin(&r, &told);
	assert_int_equal(job(&b, LONGEST), 0);
	assert_int_equal(body_pass_on(&b, to), 0);
	assert_null(b);
	assert_int_equal(evbuffer_get_contiguous_space(to), LONGEST); /* nobody needs to copy it */
	assert_int_equal(evbuffer_add_buffer_reference(copy, to), 0);
	evbuffer_free(to);
	assert_int_equal(r.bytes, LONGEST);
	evbuffer_free(copy);
	tear_down(&r);
}

/* ---- Several workers ---- */

static void *work(void *arg)
{
	struct room *shared = arg;
	struct room r = {.all = shared->all};
	struct body *b[8];
	int told = 0;

	assert_int_equal(mailbox_init(&r.mailbox), 0);
	body_port_init(&r.port, r.all, &r.mailbox, &r.bytes);
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 8; i++) {
			b[i] = begin(&r, &told);
			(void)job(&b[i], LONGEST / (i + 1));
		}
		mailbox_deliver(&r.mailbox);
		for (unsigned i = 0; i < 8; i++) {
			(void)job(&b[i], LONGEST - body_length(b[i]));
			body_free(&b[i]);
		}
		mailbox_deliver(&r.mailbox);
	}
	assert_int_equal(r.bytes, 0);
	mailbox_fini(&r.mailbox);
	return NULL;
}

static void workers_share_it(void **state)
{
	struct room r;
	pthread_t threads[3];

	(void)state;
	set_up(&r);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, &r), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	tear_down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_bodies_that_fill_it_one_after_the_other_is_finished),
		cmocka_unit_test(who_waits_is_told_in_the_order_of_coming),
		cmocka_unit_test(who_leaves_while_it_waits_takes_nothing),
		cmocka_unit_test(more_room_by_a_reload_serves_who_waits),
		cmocka_unit_test(its_bytes_count_until_the_last_buffer_is_gone),
		cmocka_unit_test(workers_share_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
