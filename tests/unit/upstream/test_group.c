/* SPDX-License-Identifier: MIT */
/* Several origins behind one upstream, over real sockets: balance, failover, checks, pauses, the breaker. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "rig.h"

#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

struct world {
	struct server servers[2];
	char urls[2][64];
	struct slice more[1];
	struct rig rig;
	struct seen seen;
};

static void answer_ok(struct conn *c)
{
	while (conn_read(c))
		conn_send(c, OK_2);
}

static void answer_sick(struct conn *c)
{
	while (conn_read(c))
		conn_send(c, strncmp(c->bytes, "GET /up ", 8) == 0 ? "HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n"
								   : OK_2);
}

static void answer_nothing(struct conn *c)
{
	if (conn_read(c))
		conn_reset(c);
}

static void answer_busy(struct conn *c)
{
	while (conn_read(c))
		conn_send(c, "HTTP/1.1 429 Slow Down\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n");
}

static void answer_503(struct conn *c)
{
	while (conn_read(c))
		conn_send(c, "HTTP/1.1 503 Later\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
}

static void prepare(struct world *w, script_fn *first, script_fn *second)
{
	server_start(&w->servers[0], first);
	server_start(&w->servers[1], second);
	rig_defaults(&w->rig, w->servers[0].port);
	snprintf(w->urls[1], sizeof(w->urls[1]), "http://127.0.0.1:%d", w->servers[1].port);
	w->more[0] = slice_of(w->urls[1]);
	w->rig.upstream.more_urls = w->more;
	w->rig.upstream.more_urls_n = 1;
	w->rig.upstream.max_fails = 1;
	w->rig.upstream.fail_timeout_ms = 60000;
	w->rig.upstream.health_interval_ms = 20;
	w->rig.upstream.health_timeout_ms = 1000;
}

static void begin(struct world *w)
{
	rig_open(&w->rig);
	seen_init(&w->seen, &w->rig);
}

static void end(struct world *w)
{
	seen_fini(&w->seen);
	rig_close(&w->rig);
	server_stop(&w->servers[0]);
	server_stop(&w->servers[1]);
}

static enum fetch_result fetch(struct world *w, const char *method)
{
	rig_fetch_again(&w->seen, method, "/x");
	return w->seen.result;
}

static void requests_alternate_and_connections_are_kept(void **state)
{
	static struct world w;

	(void)state;
	prepare(&w, answer_ok, answer_ok);
	begin(&w);
	for (int i = 0; i < 10; i++)
		assert_int_equal(fetch(&w, "GET"), FETCH_OK);
	assert_int_equal(w.servers[0].requests, 5);
	assert_int_equal(w.servers[1].requests, 5);
	assert_int_equal(w.servers[0].accepted, 1);
	assert_int_equal(w.servers[1].accepted, 1);
	end(&w);
}

static void a_reset_goes_to_the_other_origin_and_the_first_is_left_out(void **state)
{
	static struct world w;

	(void)state;
	prepare(&w, answer_nothing, answer_ok);
	begin(&w);
	for (int i = 0; i < 6; i++)
		assert_int_equal(fetch(&w, "GET"), FETCH_OK);
	assert_int_equal(w.servers[0].requests, 1);
	assert_int_equal(w.servers[1].requests, 6);
	assert_int_equal(rig_stats(&w.rig).failovers, 1);
	assert_int_equal(rig_stats(&w.rig).left_out, 1);
	end(&w);
}

static void a_post_that_may_have_arrived_is_not_sent_again(void **state)
{
	static struct world w;
	unsigned broken = 0;

	(void)state;
	prepare(&w, answer_nothing, answer_ok);
	begin(&w);
	for (int i = 0; i < 4; i++)
		broken += fetch(&w, "POST") == FETCH_BROKEN;
	assert_int_equal(broken, 1);
	assert_int_equal(w.servers[0].requests + w.servers[1].requests, 4);
	end(&w);
}

static void a_post_that_found_no_connection_goes_to_the_other_origin(void **state)
{
	static struct world w;

	(void)state;
	prepare(&w, answer_ok, answer_ok);
	w.rig.upstream.max_fails = 0;
	snprintf(w.urls[1], sizeof(w.urls[1]), "http://127.0.0.1:1"); /* nobody listens there */
	w.more[0] = slice_of(w.urls[1]);
	begin(&w);
	for (int i = 0; i < 6; i++)
		assert_int_equal(fetch(&w, "POST"), FETCH_OK);
	assert_int_equal(rig_stats(&w.rig).failovers, 3);
	assert_int_equal(rig_stats(&w.rig).left_out, 0);
	end(&w);
}

static bool is_down(struct world *w, unsigned i)
{
	struct upstream_health h;

	assert_true(upstream_health(&w->rig.upstream, &h));
	return h.origins[i].is_down;
}

static void a_sick_origin_is_found_by_its_checks(void **state)
{
	static struct world w;

	(void)state;
	prepare(&w, answer_ok, answer_sick);
	w.rig.upstream.health_path = SLICE_LIT("/up");
	begin(&w);
	while (!is_down(&w, 1))
		assert_int_equal(event_base_loop(w.rig.base, EVLOOP_ONCE), 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(fetch(&w, "GET"), FETCH_OK);
	assert_true(server_was_asked(&w.servers[1], "GET /up HTTP/1.1\r\n"));
	assert_false(is_down(&w, 0));
	assert_int_equal(rig_stats(&w.rig).started, 6); /* checks are no requests */
	assert_true(rig_stats(&w.rig).health_failures > 0);
	end(&w);
}

static void a_loop_ends_in_the_middle_of_a_check(void **state)
{
	static struct world w;

	(void)state;
	prepare(&w, conn_wait_eof, conn_wait_eof);
	w.rig.upstream.health_path = SLICE_LIT("/up");
	begin(&w);
	while (w.servers[0].accepted == 0)
		rig_turn(&w.rig);
	end(&w);
}

static void a_pause_that_is_asked_for_is_kept(void **state)
{
	static struct world w;

	(void)state;
	prepare(&w, answer_busy, answer_busy);
	w.rig.upstream.quota_guard = true;
	begin(&w);
	assert_int_equal(fetch(&w, "GET"), FETCH_OK);
	assert_int_equal(w.seen.status, 429);
	assert_true(upstream_is_spared(w.rig.loop, 0));
	for (int i = 0; i < 5; i++)
		assert_int_equal(fetch(&w, i % 2 ? "GET" : "POST"), FETCH_WITHHELD);
	assert_in_range(upstream_retry_after_s(w.rig.loop, 0), 1, 2);
	assert_int_equal(w.servers[0].requests + w.servers[1].requests, 1);
	assert_int_equal(rig_stats(&w.rig).withheld, 5);
	end(&w);
}

static void a_503_with_retry_after_leaves_that_origin_out_alone(void **state)
{
	static struct world w;

	(void)state;
	prepare(&w, answer_503, answer_ok);
	w.rig.upstream.quota_guard = true;
	begin(&w);
	for (int i = 0; i < 6; i++)
		assert_int_equal(fetch(&w, "GET"), FETCH_OK);
	assert_int_equal(w.servers[0].requests, 1);
	assert_false(upstream_is_spared(w.rig.loop, 0));
	end(&w);
}

static void withheld_fetches_can_be_cancelled_and_left_behind(void **state)
{
	static struct world w;
	struct seen a;
	struct fetch_request q = rig_request("GET", "/x");

	(void)state;
	prepare(&w, answer_busy, answer_busy);
	w.rig.upstream.quota_guard = true;
	begin(&w);
	assert_int_equal(fetch(&w, "GET"), FETCH_OK);
	seen_init(&a, &w.rig);
	assert_int_equal(rig_start(&a, &q), 0);
	fetch_cancel(&a.fetch);
	rig_turn(&w.rig);
	assert_int_equal(a.ends, 0);
	assert_int_equal(rig_start(&a, &q), 0);
	end(&w); /* with one of them still there */
	seen_fini(&a);
}

static void the_breaker_opens_and_withholds(void **state)
{
	static struct world w;

	(void)state;
	prepare(&w, answer_nothing, answer_nothing);
	w.rig.upstream.breaker_errors_percent = 50;
	w.rig.upstream.breaker_requests = 3;
	w.rig.upstream.breaker_window_ms = 60000;
	w.rig.upstream.breaker_open_ms = 60000;
	begin(&w);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fetch(&w, "GET"), FETCH_BROKEN);
	assert_int_equal(rig_stats(&w.rig).breaker_opened, 1);
	assert_int_equal(fetch(&w, "GET"), FETCH_WITHHELD);
	assert_in_range(upstream_retry_after_s(w.rig.loop, 0), 59, 60);
	end(&w);
}

/* Whatever allocation fails, the fetch ends or is refused, and nothing is left behind. */
static void no_memory_anywhere_leaks_nothing(void **state)
{
	static struct world w;
	struct fetch_request q = rig_request("GET", "/x");

	(void)state;
	for (unsigned long n = 1; n < 60; n++) {
		prepare(&w, answer_ok, answer_ok);
		w.rig.upstream.health_path = SLICE_LIT("/up");
		w.rig.upstream.breaker_errors_percent = 50;
		w.rig.base = event_base_new();
		w.rig.options = (struct upstream_loop_options){w.rig.base, &w.rig.upstream, 1, 1, 65536, NULL};
		w.rig.watchdog = evtimer_new(w.rig.base, NULL, NULL);
		mem_fail_at(n, 1);
		if (upstream_loop_new(&w.rig.options, &w.rig.loop) == 0) {
			struct fetch *f;

			seen_init(&w.seen, &w.rig);
			if (rig_start(&w.seen, &q) == 0) {
				f = w.seen.fetch;
				for (int i = 0; i < 20 && w.seen.ends == 0; i++)
					rig_turn(&w.rig);
				if (w.seen.ends == 0)
					fetch_cancel(&f);
			}
			seen_fini(&w.seen);
		}
		mem_fail_at(0, 0);
		rig_close(&w.rig);
		server_stop(&w.servers[0]);
		server_stop(&w.servers[1]);
	}
}

static void of_three_origins_the_third_is_asked_when_two_are_dead(void **state)
{
	static struct world w;
	struct server third;
	struct slice more[2];
	char url[64];

	(void)state;
	prepare(&w, answer_nothing, answer_nothing);
	server_start(&third, answer_ok);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", third.port);
	more[0] = w.more[0];
	more[1] = slice_of(url);
	w.rig.upstream.more_urls = more;
	w.rig.upstream.more_urls_n = 2;
	/* None is left out: what was tried is all that keeps it from being asked again. */
	w.rig.upstream.max_fails = 1000;
	w.rig.upstream.retries = 2;
	w.rig.upstream.balance = UPSTREAM_HASH; /* each key has its own order of the three */
	begin(&w);
	for (uint64_t hash = 0; hash < 32; hash++) {
		struct fetch_request q = rig_request("GET", "/x");

		q.hash = hash;
		seen_fini(&w.seen);
		seen_init(&w.seen, &w.rig);
		assert_int_equal(rig_start(&w.seen, &q), 0);
		rig_wait(&w.seen);
		assert_int_equal(w.seen.result, FETCH_OK);
	}
	assert_int_equal(third.requests, 32);
	end(&w);
	server_stop(&third);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_alternate_and_connections_are_kept),
		cmocka_unit_test(a_reset_goes_to_the_other_origin_and_the_first_is_left_out),
		cmocka_unit_test(a_post_that_may_have_arrived_is_not_sent_again),
		cmocka_unit_test(a_post_that_found_no_connection_goes_to_the_other_origin),
		cmocka_unit_test(a_sick_origin_is_found_by_its_checks),
		cmocka_unit_test(a_loop_ends_in_the_middle_of_a_check),
		cmocka_unit_test(a_pause_that_is_asked_for_is_kept),
		cmocka_unit_test(a_503_with_retry_after_leaves_that_origin_out_alone),
		cmocka_unit_test(withheld_fetches_can_be_cancelled_and_left_behind),
		cmocka_unit_test(the_breaker_opens_and_withholds),
		cmocka_unit_test(no_memory_anywhere_leaks_nothing),
		cmocka_unit_test(of_three_origins_the_third_is_asked_when_two_are_dead),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
