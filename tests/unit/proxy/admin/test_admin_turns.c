/* SPDX-License-Identifier: MIT */
/* Calls that take long: they are made a little in a turn of the loop, and others are answered meanwhile. The worker is the test itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/record/purge_log.h"
#include "proxy/admin/admin.h"
#include "proxy/admin/page.h"
#include "proxy/request/origins.h"

enum { ROUTES = 2000, BYTES_MAX = 16 << 20, TURNS_MAX = 100000 };

struct rig {
	struct event_base *base;
	struct service service;
	struct worker worker;
	struct mailbox *mailboxes[1];
	struct admin *admin;
	struct sockaddr_in address;
	bool is_ended;
};

static void when_heard(const struct service *s, void (*fn)(void *arg), void *arg)
{
	(void)s;
	fn(arg);
}

static struct config *many_routes(void)
{
	struct buf text, errors;
	struct config *c = NULL;

	buf_init(&text, BYTES_MAX);
	buf_init(&errors, BYTES_MAX);
	for (unsigned i = 0; i < ROUTES; i++)
		buf_addf(&text, "[route route-%u]\nmatch = /%u/*\nttl = 1m\n", i, i);
	assert_int_equal(config_parse(buf_slice(&text), "test", &c, &errors), 0);
	buf_fini(&text);
	buf_fini(&errors);
	return c;
}

static void begin_service(struct rig *r)
{
	static const struct key_secret secret = {"of the tests"};
	struct origins_workers workers = {r->mailboxes, 1, &r->is_ended};
	struct config *c = many_routes();
	struct origins *origins;
	struct cache_options o = {
		.memory_bytes = 8 << 20,
		.max_object_bytes = 1 << 16,
		.shards = 2,
		.max_flights = 10,
		.max_markers = 10,
		.max_variants = 4,
		.max_invalidation_rules = 10,
		.mailboxes = r->mailboxes,
		.workers = 1,
	};

	r->mailboxes[0] = &r->worker.mailbox;
	assert_int_equal(mailbox_init(&r->worker.mailbox), 0);
	assert_int_equal(mailbox_init(&r->service.mailbox), 0);
	assert_int_equal(origins_new(&workers, c, &origins), 0);
	assert_int_equal(snapshot_new(c, origins, &secret, &r->service.snapshot), 0);
	assert_int_equal(cache_new(&o, &r->service.cache), 0);
	assert_int_equal(purge_log_new(&r->service.purge_log), 0);
	r->service.workers = &r->worker;
	r->service.workers_n = 1;
	r->service.when_heard = when_heard;
	r->worker.service = &r->service;
	r->worker.snapshot = r->service.snapshot;
	r->worker.routes = mem_zalloc(r->service.snapshot->config->routes_n * sizeof(*r->worker.routes));
	r->worker.askers = mem_zalloc(r->service.snapshot->config->upstreams_n * sizeof(*r->worker.askers));
	assert_non_null(r->worker.routes);
	assert_non_null(r->worker.askers);
}

static void begin(struct rig *r)
{
	socklen_t n = sizeof(r->address);
	struct admin_options o = {.service = &r->service, .fds_n = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)signal(SIGPIPE, SIG_IGN);
	memset(r, 0, sizeof(*r));
	r->base = o.base = event_base_new();
	assert_non_null(r->base);
	begin_service(r);
	r->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (struct sockaddr *)&r->address, sizeof(r->address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&r->address, &n), 0);
	o.fds = &fd;
	assert_int_equal(admin_start(&o, &r->admin), 0);
}

/* One turn of main's loop, and of the worker's. */
static void turn(struct rig *r)
{
	assert_true(event_base_loop(r->base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0);
	mailbox_deliver(&r->worker.mailbox);
	mailbox_deliver(&r->service.mailbox);
}

/* As the server does at its end: a gathering that is under way takes several messages. */
static void deliver_all(struct mailbox *mb)
{
	while (mailbox_deliver(mb))
		continue;
}

static void end(struct rig *r)
{
	admin_stop(r->admin);
	turn(r);
	deliver_all(&r->worker.mailbox);
	deliver_all(&r->service.mailbox);
	event_base_free(r->base);
	admin_free(&r->admin);
	snapshot_unref(&r->service.snapshot);
	deliver_all(&r->worker.mailbox);
	deliver_all(&r->service.mailbox);
	purge_log_free(&r->service.purge_log);
	cache_free(&r->service.cache);
	mem_free(r->worker.routes);
	mem_free(r->worker.askers);
	mailbox_fini(&r->worker.mailbox);
	mailbox_fini(&r->service.mailbox);
}

/* ---- Clients ---- */

static int ask(struct rig *r, const char *method, const char *target)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), size = 4 << 20;
	char head[256];
	int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", method,
		target, strcmp(method, "POST") == 0 ? "Content-Length: 0\r\n" : "");

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	assert_int_equal(connect(fd, (struct sockaddr *)&r->address, sizeof(r->address)), 0);
	assert_int_equal(write(fd, head, (size_t)n), n);
	return fd;
}

static bool has_begun(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static unsigned turns_until_begun(struct rig *r, int fd)
{
	unsigned n = 0;

	for (; !has_begun(fd); n++) {
		assert_true(n < TURNS_MAX);
		turn(r);
	}
	return n;
}

/* All of the response, to its end, with a NUL behind. */
static void take(struct rig *r, int fd, struct buf *out)
{
	ssize_t n;

	buf_init(out, BYTES_MAX);
	for (unsigned turns = 0; turns < TURNS_MAX; turns++) {
		char *to = buf_reserve(out, 65536);

		assert_non_null(to);
		n = recv(fd, to, 65535, MSG_DONTWAIT);
		if (n == 0)
			break;
		assert_true(n > 0 || errno == EAGAIN);
		out->n += n > 0 ? (size_t)n : 0;
		turn(r);
	}
	buf_add_char(out, '\0');
	assert_int_equal(out->err, 0);
	close(fd);
}

static void is_200_with(struct rig *r, int fd, const char *text)
{
	struct buf b;

	take(r, fd, &b);
	assert_true(slice_starts_with(buf_slice(&b), SLICE_LIT("HTTP/1.1 200 ")));
	assert_non_null(strstr(b.p, text));
	buf_fini(&b);
}

static const char *const large[] = {"/metrics", "/stats"};

/* ---- The tests ---- */

/* A purge that comes while the text is being made is answered before it. */
static void a_purge_is_answered_while_a_large_page_is_made(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	for (unsigned i = 0; i < ARRAY_LEN(large); i++) {
		int page = ask(&r, "GET", large[i]), purge;

		for (unsigned k = 0; k < 10; k++) /* its head is read, the counters are gathered, it has begun */
			turn(&r);
		assert_false(has_begun(page));
		purge = ask(&r, "POST", "/purge?tag=t");
		(void)turns_until_begun(&r, purge);
		assert_false(has_begun(page));
		is_200_with(&r, purge, "\"purged\": \"tag\"");
		is_200_with(&r, page, "route-1999\"");
	}
	end(&r);
}

/* At least a turn for each PAGE_ROWS routes. */
static void a_turn_makes_a_bounded_number_of_rows(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	for (unsigned i = 0; i < ARRAY_LEN(large); i++) {
		int page = ask(&r, "GET", large[i]);

		assert_in_range(turns_until_begun(&r, page), ROUTES / PAGE_ROWS, 20 * ROUTES / PAGE_ROWS);
		is_200_with(&r, page, "route-0\"");
	}
	end(&r);
}

/* Also of those that are added up in a later turn, and with the worker's clients told apart. */
static void each_route_has_its_own_counters(void **state)
{
	unsigned ok = http_status_slot(200), teapot = http_status_slot(418);
	struct rig r;
	struct buf b;

	(void)state;
	begin(&r);
	r.worker.routes[0].codes[ok] = 7;
	r.worker.routes[ROUTES - 1].codes[teapot] = 5;
	r.worker.routes[ROUTES].responses[RESPONSE_HIT] = 3; /* the default route */
	r.worker.askers[0].codes[teapot] = 5;
	take(&r, ask(&r, "GET", "/metrics"), &b);
	assert_non_null(strstr(b.p, "\nmemoproxy_route_responses_total{route=\"route-0\",code=\"200\"} 7\n"));
	assert_null(strstr(b.p, "{route=\"route-1\",code="));
	assert_non_null(strstr(b.p, "\nmemoproxy_route_responses_total{route=\"route-1999\",code=\"4xx\"} 5\n"));
	assert_non_null(strstr(b.p, "\nmemoproxy_route_answers_total{route=\"default\",cache=\"hit\"} 3\n"));
	assert_non_null(strstr(b.p, "\nmemoproxy_upstream_responses_total{upstream=\"default\",code=\"4xx\"} 5\n"));
	buf_fini(&b);
	end(&r);
}

/* A worker that goes by another configuration than the sums are of: all is asked anew, and no counter of it is 0 for once. */
static void what_a_reload_overtakes_is_gathered_anew(void **state)
{
	struct snapshot other;
	struct rig r;
	int page;

	(void)state;
	begin(&r);
	r.worker.routes[5].codes[http_status_slot(200)] = 7;
	r.worker.snapshot = &other;
	page = ask(&r, "GET", "/metrics");
	for (unsigned i = 0; i < 1000; i++)
		turn(&r);
	assert_false(has_begun(page));
	r.worker.snapshot = r.service.snapshot;
	is_200_with(&r, page, "\nmemoproxy_route_responses_total{route=\"route-5\",code=\"200\"} 7\n");
	end(&r);
}

/* Neither a client that leaves nor the end of the admin side leaves anything behind. */
static void what_nobody_waits_for_any_more_is_given_up(void **state)
{
	struct rig r;
	struct buf b;
	int left[2];

	(void)state;
	begin(&r);
	for (unsigned turns = 1; turns < 30; turns += 7) {
		int page = ask(&r, "GET", "/stats");

		for (unsigned i = 0; i < turns; i++)
			turn(&r);
		close(page);
	}
	take(&r, ask(&r, "GET", "/entries"), &b);
	assert_non_null(strstr(b.p, "\"entries\": [],"));
	buf_fini(&b);
	left[0] = ask(&r, "GET", "/stats");
	for (unsigned i = 0; i < 10; i++)
		turn(&r);
	left[1] = ask(&r, "GET", "/metrics");
	turn(&r);
	end(&r);
	close(left[0]);
	close(left[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_purge_is_answered_while_a_large_page_is_made),
		cmocka_unit_test(a_turn_makes_a_bounded_number_of_rows),
		cmocka_unit_test(each_route_has_its_own_counters),
		cmocka_unit_test(what_a_reload_overtakes_is_gathered_anew),
		cmocka_unit_test(what_nobody_waits_for_any_more_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
