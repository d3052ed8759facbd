/* SPDX-License-Identifier: MIT */
/* Pausing, cancelling, queueing, running out of memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rig.h"

#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

enum { GO = 1, BIG = 1 << 20, MANY = 6 };

struct world {
	struct server server;
	struct rig rig;
	struct seen seen, other;
};

static void open_world(struct world *w, script_fn *script, unsigned connections, unsigned queue)
{
	server_start(&w->server, script);
	rig_defaults(&w->rig, w->server.port);
	w->rig.upstream.max_connections = connections;
	w->rig.upstream.queue_max = queue;
	rig_open(&w->rig);
	seen_init(&w->seen, &w->rig);
	seen_init(&w->other, &w->rig);
}

static void close_world(struct world *w)
{
	seen_fini(&w->seen);
	seen_fini(&w->other);
	rig_close(&w->rig);
	server_stop(&w->server);
}

static void send_chunks(struct conn *c)
{
	char chunk[1100];

	conn_send(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (unsigned i = 0; i < BIG / 1024; i++) {
		int n = snprintf(chunk, sizeof(chunk), "400\r\n");

		memset(chunk + n, 'a' + (int)(i % 26), 1024);
		memcpy(chunk + n + 1024, "\r\n", 2);
		conn_send_n(c, chunk, (size_t)n + 1026);
	}
	conn_send(c, "0\r\n\r\n");
}

static void send_length(struct conn *c)
{
	char piece[1024];

	conn_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
	for (unsigned i = 0; i < BIG / 1024; i++) {
		memset(piece, 'a' + (int)(i % 26), sizeof(piece));
		conn_send_n(c, piece, sizeof(piece));
	}
}

static void big(struct conn *c)
{
	while (conn_read(c)) {
		if (strstr(c->bytes, "/chunked"))
			send_chunks(c);
		else if (strstr(c->bytes, "/length"))
			send_length(c);
		else
			conn_send(c, OK_2);
	}
}

static void check_big(const struct seen *s)
{
	assert_int_equal(s->result, FETCH_OK);
	assert_int_equal(s->body.n, BIG);
	for (unsigned i = 0; i < BIG; i++) {
		if (s->body.p[i] != (char)('a' + i / 1024 % 26))
			fail_msg("byte %u is wrong", i);
	}
}

/* Resumes from outside whenever it has paused. */
static void pump(struct seen *s)
{
	unsigned seen_pauses = 0;

	while (s->ends == 0) {
		event_base_loop(s->rig->base, EVLOOP_ONCE);
		if (s->fetch && s->pauses > seen_pauses) {
			seen_pauses = s->pauses;
			rig_turn(s->rig);
			fetch_resume(s->fetch);
		}
	}
}

static void a_paused_body_goes_on_where_it_stopped(void **state)
{
	static const char *const targets[] = {"/chunked", "/length"};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct world w;
		struct fetch_request q = rig_request("GET", targets[i % 2]);

		open_world(&w, big, 2, 0);
		w.seen.pause_each = 3;
		w.seen.resume_at_once = i < 2;
		assert_int_equal(rig_start(&w.seen, &q), 0);
		if (i < 2)
			rig_wait(&w.seen);
		else
			pump(&w.seen);
		check_big(&w.seen);
		assert_true(w.seen.pauses > 10);
		rig_fetch(&w.other, "GET", "/"); /* pausing did not spoil the connection */
		assert_int_equal(w.other.result, FETCH_OK);
		assert_true(w.other.reused);
		close_world(&w);
	}
}

static bool paused_once(const struct seen *s)
{
	return s->pauses > 0;
}

static void run_until_paused(struct seen *s)
{
	while (!paused_once(s) && s->ends == 0)
		event_base_loop(s->rig->base, EVLOOP_ONCE);
	assert_int_equal(s->ends, 0);
}

static void while_paused_nothing_stalls(void **state)
{
	struct world w;
	struct fetch_request q = rig_request("GET", "/length");
	struct timeval tv = {0, 60000};

	(void)state;
	open_world(&w, big, 2, 0);
	rig_close(&w.rig);
	w.rig.upstream.stall_timeout_ms = 20;
	rig_open(&w.rig);
	w.seen.pause_each = 1;
	assert_int_equal(rig_start(&w.seen, &q), 0);
	run_until_paused(&w.seen);
	/* Three times the stall time-out, by the same clock that would have ended it. */
	event_base_loopexit(w.rig.base, &tv);
	event_base_dispatch(w.rig.base);
	assert_int_equal(w.seen.ends, 0);
	w.seen.pause_each = 0;
	fetch_resume(w.seen.fetch);
	rig_wait(&w.seen);
	check_big(&w.seen);
	close_world(&w);
}

static void a_fetch_can_be_cancelled_at_any_time(void **state)
{
	struct world w;
	struct fetch_request q = rig_request("GET", "/length");

	(void)state;
	open_world(&w, big, 1, 4);
	assert_int_equal(rig_start(&w.seen, &q), 0);
	assert_int_equal(rig_start(&w.other, &q), 0);
	assert_int_equal(rig_stats(&w.rig).queued, 1);
	fetch_cancel(&w.other.fetch); /* queued */
	assert_null(w.other.fetch);
	fetch_cancel(&w.seen.fetch); /* just begun */
	w.seen.pause_each = 1;
	assert_int_equal(rig_start(&w.seen, &q), 0);
	run_until_paused(&w.seen);
	fetch_resume(w.seen.fetch);
	fetch_cancel(&w.seen.fetch); /* paused, and about to go on */
	assert_int_equal(w.seen.ends + w.other.ends, 0);
	assert_int_equal(rig_stats(&w.rig).cancelled, 3);
	assert_int_equal(rig_stats(&w.rig).active, 0);
	w.seen.pause_each = 0;
	rig_fetch(&w.seen, "GET", "/");
	assert_int_equal(w.seen.result, FETCH_OK);
	close_world(&w);
}

static void a_handler_can_end_its_own_fetch(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, big, 1, 4);
	w.seen.refuse_head = true;
	rig_fetch(&w.seen, "GET", "/length");
	assert_int_equal(w.seen.result, FETCH_CANCELLED);
	w.other.cancel_body = true;
	rig_fetch(&w.other, "GET", "/chunked");
	assert_int_equal(w.other.result, FETCH_CANCELLED);
	assert_int_equal(w.other.ends, 1);
	assert_int_equal(rig_stats(&w.rig).cancelled, 2);
	close_world(&w);
}

/* After a pause the body is offered from another call of libcurl, which reports a refusal in another way. */
static void a_handler_can_end_its_own_fetch_after_a_pause(void **state)
{
	struct world w;
	struct fetch_request q = rig_request("GET", "/length");

	(void)state;
	open_world(&w, big, 1, 0);
	w.seen.pause_each = 1;
	assert_int_equal(rig_start(&w.seen, &q), 0);
	run_until_paused(&w.seen);
	w.seen.cancel_body = true;
	fetch_resume(w.seen.fetch);
	rig_wait(&w.seen);
	assert_int_equal(w.seen.result, FETCH_CANCELLED);
	assert_int_equal(rig_stats(&w.rig).active, 0);
	close_world(&w);
}

static void other_fetches_can_be_started_and_cancelled_from_callbacks(void **state)
{
	struct world w;
	struct fetch_request q = rig_request("GET", "/length");
	struct seen third;

	(void)state;
	open_world(&w, big, 3, 0);
	seen_init(&third, &w.rig);
	third.pause_each = 1; /* so that it can't end first */
	assert_int_equal(rig_start(&third, &q), 0);
	assert_int_equal(rig_start(&w.seen, &q), 0);
	w.seen.start_other = &w.other;
	w.seen.cancel_other = &third;
	rig_wait(&w.seen);
	rig_wait(&w.other);
	check_big(&w.seen);
	assert_true(seen_body_is(&w.other, "ok"));
	assert_int_equal(third.ends, 0);
	assert_null(third.fetch);
	assert_int_equal(rig_stats(&w.rig).cancelled, 1);
	seen_fini(&third);
	close_world(&w);
}

static void wait_for_go(struct conn *c)
{
	while (conn_read(c)) {
		server_wait(c->server, GO);
		conn_send(c, OK_2);
	}
}

static void requests_past_the_limit_wait_in_order_and_then_are_refused(void **state)
{
	struct world w;
	struct seen many[MANY];

	(void)state;
	open_world(&w, wait_for_go, 1, MANY - 1);
	for (unsigned i = 0; i < MANY; i++) {
		char target[8];
		struct fetch_request q;

		snprintf(target, sizeof(target), "/%u", i);
		q = rig_request("GET", target);
		seen_init(&many[i], &w.rig);
		assert_int_equal(rig_start(&many[i], &q), 0);
		memset(target, 'x', sizeof(target)); /* the request was copied */
	}
	{
		struct fetch_request q = rig_request("GET", "/more");

		assert_int_equal(rig_start(&w.seen, &q), -EBUSY);
		assert_null(w.seen.fetch);
	}
	assert_int_equal(rig_stats(&w.rig).active, 1);
	assert_int_equal(rig_stats(&w.rig).queued, MANY - 1);
	assert_int_equal(rig_stats(&w.rig).busy, 1);
	server_raise(&w.server, GO);
	for (unsigned i = 0; i < MANY; i++) {
		rig_wait(&many[i]);
		assert_int_equal(many[i].result, FETCH_OK);
		assert_true(i == 0 || many[i].queued);
		assert_true(i + 1 == MANY || many[i + 1].ends == 0);
		seen_fini(&many[i]);
	}
	assert_string_equal(strtok(w.server.last, " ") ? strtok(NULL, " ") : "", "/5");
	assert_int_equal(atomic_load(&w.server.accepted), 1);
	close_world(&w);
}

static void waiting_too_long_is_busy(void **state)
{
	struct world w;
	struct fetch_request q = rig_request("GET", "/");

	(void)state;
	open_world(&w, wait_for_go, 1, 1);
	rig_close(&w.rig);
	w.rig.upstream.queue_timeout_ms = 50;
	rig_open(&w.rig);
	assert_int_equal(rig_start(&w.seen, &q), 0);
	assert_int_equal(rig_start(&w.other, &q), 0);
	rig_wait(&w.other);
	assert_int_equal(w.other.result, FETCH_BUSY);
	assert_int_equal(w.seen.ends, 0);
	server_raise(&w.server, GO);
	rig_wait(&w.seen);
	assert_int_equal(w.seen.result, FETCH_OK);
	close_world(&w);
}

static void a_loop_can_be_freed_with_fetches_in_every_state(void **state)
{
	struct world w;
	struct fetch_request q = rig_request("GET", "/length");
	struct seen queued;

	(void)state;
	open_world(&w, big, 2, 4);
	seen_init(&queued, &w.rig);
	w.seen.pause_each = 1;
	assert_int_equal(rig_start(&w.seen, &q), 0);
	run_until_paused(&w.seen);
	assert_int_equal(rig_start(&w.other, &q), 0);
	assert_int_equal(rig_start(&queued, &q), 0);
	fetch_resume(w.seen.fetch);
	upstream_loop_free(&w.rig.loop);
	assert_null(w.rig.loop);
	assert_int_equal(w.seen.ends + w.other.ends + queued.ends, 0);
	seen_fini(&queued);
	close_world(&w);
}

static void running_out_of_memory_ends_in_an_error_and_no_leak(void **state)
{
	struct server server;
	bool was_whole = false;

	(void)state;
	server_start(&server, big);
	for (unsigned long nth = 1; !was_whole && nth < 200; nth++) {
		struct fetch_request q = rig_request("GET", "/length");
		struct rig r;
		struct seen s;
		int rc;

		rig_defaults(&r, server.port);
		r.upstream.retries = 0;
		r.upstream.tls_ca = SLICE_LIT("/nowhere");
		r.base = event_base_new();
		r.watchdog = NULL;
		r.options = (struct upstream_loop_options){r.base, &r.upstream, 1, 1, 65536, NULL};
		seen_init(&s, &r);
		assert_non_null(buf_reserve(&s.body, BIG));
		assert_non_null(buf_reserve(&s.fields, 4096));
		mem_fail_at(nth, 0);
		rc = upstream_loop_new(&r.options, &r.loop);
		if (rc == 0)
			rc = rig_start(&s, &q);
		while (rc == 0 && s.ends == 0)
			event_base_loop(r.base, EVLOOP_ONCE);
		mem_fail_at(0, 0);
		if (rc < 0)
			assert_int_equal(rc, -ENOMEM);
		else
			assert_true(s.result != FETCH_BAD_RESPONSE && s.result != FETCH_BUSY);
		was_whole = rc == 0 && s.result == FETCH_OK;
		assert_true(nth > 3 || !was_whole);
		upstream_loop_free(&r.loop);
		event_base_free(r.base);
		seen_fini(&s);
	}
	assert_true(was_whole);
	server_stop(&server);
}

/* A rig of its own for `other`, with a loop on the same base. */
static void open_second(struct world *w, struct rig *second, const struct upstream_loop *before)
{
	*second = w->rig;
	second->options.before = before;
	assert_int_equal(upstream_loop_new(&second->options, &second->loop), 0);
	w->other.rig = second;
}

static void loops_share_max_connections_and_no_place_stands_free(void **state)
{
	struct world w;
	struct rig second;
	struct fetch_request q = rig_request("GET", "/");

	(void)state;
	open_world(&w, wait_for_go, 2, 1);
	open_second(&w, &second, NULL);
	for (int i = 0; i < 2; i++) {
		struct seen third;

		seen_init(&third, &w.rig);
		w.seen.ends = w.other.ends = 0;
		w.other.queued = false;
		assert_int_equal(rig_start(&w.seen, &q), 0);
		assert_int_equal(rig_start(&third, &q), 0);
		assert_int_equal(rig_start(&w.other, &q), 0);
		assert_int_equal(rig_stats(&w.rig).active, 2); /* one loop may have all places */
		assert_int_equal(rig_stats(&second).active, 0);
		assert_int_equal(rig_stats(&second).queued, 1);
		server_raise(&w.server, GO);
		rig_wait(&w.other); /* by a place that another loop gave back */
		rig_wait(&w.seen);
		rig_wait(&third);
		assert_true(w.other.result == FETCH_OK && w.other.queued);
		seen_fini(&third);
	}
	upstream_loop_free(&second.loop);
	close_world(&w);
}

static void a_loop_that_ends_gives_its_places_to_others(void **state)
{
	struct world w;
	struct rig second;
	struct fetch_request q = rig_request("GET", "/");
	struct seen queued;

	(void)state;
	open_world(&w, wait_for_go, 1, 1);
	open_second(&w, &second, NULL);
	seen_init(&queued, &w.rig);
	assert_int_equal(rig_start(&w.seen, &q), 0);
	assert_int_equal(rig_start(&queued, &q), 0);
	assert_int_equal(rig_start(&w.other, &q), 0);
	upstream_loop_free(&w.rig.loop);
	server_raise(&w.server, GO);
	rig_wait(&w.other);
	assert_int_equal(w.other.result, FETCH_OK);
	upstream_loop_free(&second.loop);
	seen_fini(&queued);
	close_world(&w);
}

static void a_place_given_to_a_loop_that_ends_is_not_lost(void **state)
{
	struct world w;
	struct rig second;
	struct fetch_request q = rig_request("GET", "/");

	(void)state;
	open_world(&w, wait_for_go, 1, 1);
	open_second(&w, &second, NULL);
	assert_int_equal(rig_start(&w.seen, &q), 0);
	assert_int_equal(rig_start(&w.other, &q), 0);
	fetch_cancel(&w.seen.fetch);
	upstream_loop_free(&second.loop); /* before it has heard of its place */
	assert_int_equal(rig_start(&w.seen, &q), 0);
	assert_int_equal(rig_stats(&w.rig).active, 1);
	server_raise(&w.server, GO);
	rig_wait(&w.seen);
	assert_int_equal(w.seen.result, FETCH_OK);
	close_world(&w);
}

static void the_next_loop_goes_on_with_the_counters(void **state)
{
	struct world w;
	struct rig second;
	struct fetch_request q = rig_request("GET", "/");

	(void)state;
	open_world(&w, wait_for_go, 2, 1);
	assert_int_equal(rig_start(&w.seen, &q), 0);
	open_second(&w, &second, w.rig.loop);
	assert_int_equal(rig_start(&w.other, &q), 0);
	assert_int_equal(rig_stats(&second).started, 2);
	assert_int_equal(rig_stats(&second).active, 2);
	server_raise(&w.server, GO);
	rig_wait(&w.seen); /* on the old one */
	rig_wait(&w.other);
	upstream_loop_free(&w.rig.loop);
	assert_int_equal(rig_stats(&second).ok, 2);
	assert_int_equal(rig_stats(&second).active, 0);
	upstream_loop_free(&second.loop);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_paused_body_goes_on_where_it_stopped),
		cmocka_unit_test(while_paused_nothing_stalls),
		cmocka_unit_test(a_fetch_can_be_cancelled_at_any_time),
		cmocka_unit_test(a_handler_can_end_its_own_fetch),
		cmocka_unit_test(a_handler_can_end_its_own_fetch_after_a_pause),
		cmocka_unit_test(other_fetches_can_be_started_and_cancelled_from_callbacks),
		cmocka_unit_test(requests_past_the_limit_wait_in_order_and_then_are_refused),
		cmocka_unit_test(waiting_too_long_is_busy),
		cmocka_unit_test(a_loop_can_be_freed_with_fetches_in_every_state),
		cmocka_unit_test(running_out_of_memory_ends_in_an_error_and_no_leak),
		cmocka_unit_test(loops_share_max_connections_and_no_place_stands_free),
		cmocka_unit_test(a_loop_that_ends_gives_its_places_to_others),
		cmocka_unit_test(a_place_given_to_a_loop_that_ends_is_not_lost),
		cmocka_unit_test(the_next_loop_goes_on_with_the_counters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
