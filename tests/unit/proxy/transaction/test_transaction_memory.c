/* SPDX-License-Identifier: MIT */
/* Each allocation of a miss and of a hit fails once, and then it and all after it: every client has a whole right response, an
 * error that says so, or one that is cut; and the next request finds all in order. */
#include "tests/unit/proxy/transaction/transaction_rig.h"

#include <stdio.h>

#include "base/mem.h"

#define TEXT "the quick brown fox jumps over the lazy dog"

enum { TRIES_MAX = 2000 };

struct scene {
	const char *name;
	const char *stored; /* asked and stored before: a request; NULL: nothing */
	const char *requests[3];
	const char *fields; /* of the responses */
	int status;         /* of a right response to the first */
};

static const struct scene scenes[] = {
	{"a hit", "GET /a", {"GET /a"}, "ETag: \"1\"\r\n", 200},
	{"a hit that is not modified", "GET /a", {"GET /a\r\nIf-None-Match: \"1\"\r\n"}, "ETag: \"1\"\r\n", 304},
	{"parts of a hit", "GET /a", {"GET /a\r\nRange: bytes=0-1, 4-5\r\n"}, "ETag: \"1\"\r\n", 206},
	{"a miss", NULL, {"GET /a"}, "ETag: \"1\"\r\n", 200},
	{"a variant", "GET /a\r\nAccept-Language: de\r\n", {"GET /a\r\nAccept-Language: en\r\n"},
		"Vary: Accept-Language\r\n", 200},
	{"a herd", NULL, {"GET /a", "GET /a", "GET /a"}, "", 200},
	{"an answer for one", NULL, {"GET /a", "GET /a"},
		"Cache-Control: private\r\nSet-Cookie: a=b\r\nConnection: x-a, x-b, x-c, x-d\r\nX-A: 1\r\n", 200},
	{"a write", "GET /a", {"POST /a"}, "Connection: x-a, x-b\r\nX-A: 1\r\n", 200},
	{"a stale answer", "GET /a", {"GET /a"},
		"Age: 20\r\nETag: \"1\"\r\nCache-Control: max-age=10, stale-while-revalidate=100\r\n", 200},
};

static void answer_all(struct rig *g, const char *fields)
{
	for (unsigned n = 0; n < fake_fetches(); n++) {
		struct fetch *f = fake_fetch(n);
		char all[512];

		if (f->state != FAKE_RUNNING)
			continue;
		snprintf(all, sizeof(all), "%sContent-Length: %zu\r\n", fields, strlen(TEXT));
		fake_head(f, 200, all);
		rig_turn(g);
		fake_body_text(f, TEXT);
		rig_turn(g);
		fake_end(f, FETCH_OK);
		rig_turn(g);
	}
}

static void ended_well(const struct scene *s, const struct recorder *r, unsigned long at)
{
	bool is_error = r->how == RECORDER_REFUSED || r->status == 503;

	if (r->how == RECORDER_ABORTED || (is_error && r->how != RECORDER_OPEN))
		return;
	if (!recorder_is_done(r) || r->status != s->status)
		fail_msg("%s, allocation %lu: %d, %.*s", s->name, at, r->status, SLICE_ARG(buf_slice(&r->calls)));
	recorder_got((struct recorder *)(uintptr_t)r, s->status, s->status == 200 ? TEXT : NULL);
}

/* True: that allocation was made. */
static bool play(const struct scene *s, unsigned long at, int sticky)
{
	unsigned from, n = 0;
	unsigned long made;
	struct rig g;

	rig_begin(&g, NULL);
	if (s->stored)
		rig_store(&g, s->stored, s->fields, TEXT);
	from = g.clients_n;
	for (; n < ARRAY_LEN(s->requests) && s->requests[n]; n++)
		rig_client(&g, s->requests[n], NULL);
	made = mem_alloc_count();
	mem_fail_at(at, sticky);
	for (unsigned i = 0; i < n; i++)
		rig_begin_client(&g, g.clients[from + i], i % RIG_WORKERS, RIG_AS_GATE);
	rig_turn(&g);
	answer_all(&g, s->fields);
	made = mem_alloc_count() - made;
	mem_fail_at(0, 0);
	rig_turn(&g);
	answer_all(&g, s->fields);
	for (unsigned i = from; i < g.clients_n; i++)
		ended_well(s, g.clients[i], at);
	rig_ask(&g, "GET /b");
	answer_all(&g, "");
	recorder_got(g.clients[g.clients_n - 1], 200, TEXT);
	rig_end(&g);
	return made >= at;
}

static void sweep(int sticky)
{
	for (unsigned i = 0; i < ARRAY_LEN(scenes); i++) {
		unsigned long at = 1;

		while (play(&scenes[i], at, sticky)) {
			at++;
			assert_true(at < TRIES_MAX);
		}
	}
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	sweep(0);
}

static void memory_may_be_gone_from_any_moment_on(void **state)
{
	(void)state;
	sweep(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_may_fail),
		cmocka_unit_test(memory_may_be_gone_from_any_moment_on),
	};

	return cmocka_run_group_tests_name("transaction_memory", tests, NULL, NULL);
}
