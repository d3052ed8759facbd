/* SPDX-License-Identifier: MIT */
/* A fetch job by itself, as fetch_job.h promises it: to a client that the test is. */
#include "tests/unit/proxy/transaction/transaction_rig.h"

#include <errno.h>
#include <event2/buffer.h>

#include "proxy/transaction/fetch_job.h"

struct job {
	struct rig g;
	struct recorder *r; /* whose request it is */
	struct target target;
	struct fetch_job *job;
	/* What the client heard. */
	unsigned interims, heads, ends;
	int status;
	int64_t content_length;
	enum policy_store why;
	bool has_connection;
	char body[64];
	size_t body_n;
	enum fetch_result result;
	/* What it says. */
	enum fetch_write how;
	bool releases;
};

static void on_informational(void *arg, int status, const struct http_fields *fields)
{
	struct job *j = arg;

	(void)fields;
	j->interims++;
	j->status = status;
}

static void on_head(void *arg, int status, struct http_fields *fields, int64_t content_length, enum policy_store why)
{
	struct job *j = arg;

	j->heads++;
	j->status = status;
	j->content_length = content_length;
	j->why = why;
	j->has_connection = http_fields_get(fields, HF_CONNECTION) != NULL;
	if (j->releases)
		fetch_job_release(&j->job);
}

static enum fetch_write on_body(void *arg, const void *p, size_t n)
{
	struct job *j = arg;

	if (j->how != FETCH_WRITE_TAKEN)
		return j->how;
	assert_true(j->body_n + n <= sizeof(j->body));
	memcpy(j->body + j->body_n, p, n);
	j->body_n += n;
	return FETCH_WRITE_TAKEN;
}

static void on_end(void *arg, enum fetch_result result)
{
	struct job *j = arg;

	j->ends++;
	j->result = result;
}

static const struct fetch_job_client client = {on_informational, on_head, on_body, on_end};

static void job_begin(struct job *j, const char *request, const char *body)
{
	struct asked asked;

	memset(j, 0, sizeof(*j));
	rig_begin(&j->g, NULL);
	j->r = rig_client(&j->g, request, body);
	asked = (struct asked){.http = &j->r->request, .peer = "192.0.2.7"};
	target_init(&j->target);
	assert_int_equal(target_resolve(&j->target, j->g.service.snapshot, &asked, (struct slice){NULL, 0}), 0);
}

static void job_end(struct job *j)
{
	target_fini(&j->target);
	rig_end(&j->g);
}

static int job_start(struct job *j, bool has_client)
{
	const struct fetch_job_request r = {
		.worker = &j->g.workers[0],
		.target = &j->target,
		.body = evbuffer_get_length(j->r->request_body) ? j->r->request_body : NULL,
		.client = has_client ? &client : NULL,
		.client_arg = has_client ? j : NULL,
	};

	return fetch_job_start(&r, &j->job);
}

static void a_response_goes_to_its_client_as_it_comes(void **state)
{
	struct job j;

	(void)state;
	job_begin(&j, "GET /a", NULL);
	assert_int_equal(job_start(&j, true), 0);
	assert_int_equal(j.heads + j.ends, 0); /* nothing from inside the call */
	fake_informational(fake_fetch(0), 103, "");
	assert_int_equal(j.interims, 1);
	fake_head(fake_fetch(0), 200, "Content-Length: 6\r\nConnection: x-hop\r\nX-Hop: 1\r\n");
	assert_int_equal(j.status, 200);
	assert_int_equal(j.content_length, 6);
	assert_false(j.has_connection);
	fake_body_text(fake_fetch(0), "abc");
	assert_int_equal(j.body_n, 3);
	fake_body_text(fake_fetch(0), "def");
	fake_end(fake_fetch(0), FETCH_OK);
	assert_memory_equal(j.body, "abcdef", 6);
	assert_int_equal(j.ends, 1);
	assert_int_equal(j.result, FETCH_OK);
	assert_null(j.job); /* cleared, as the job ended first */
	job_end(&j);
}

static void a_pause_keeps_the_order(void **state)
{
	struct job j;

	(void)state;
	job_begin(&j, "GET /a", NULL);
	assert_int_equal(job_start(&j, true), 0);
	fake_head(fake_fetch(0), 200, "Content-Length: 6\r\n");
	j.how = FETCH_WRITE_PAUSE;
	fake_body_text(fake_fetch(0), "abc");
	fake_body_text(fake_fetch(0), "def");
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(&j.g);
	assert_int_equal(j.body_n, 0);
	assert_int_equal(j.ends, 0);
	j.how = FETCH_WRITE_TAKEN;
	fetch_job_resume(j.job);
	assert_int_equal(j.body_n, 0); /* not from inside the call */
	rig_turn(&j.g);
	assert_memory_equal(j.body, "abcdef", 6);
	assert_int_equal(j.ends, 1);
	job_end(&j);
}

static void letting_go_ends_what_is_safe_and_not_what_writes(void **state)
{
	static const struct {
		const char *request;
		enum fake_state after;
	} rows[] = {{"GET /a", FAKE_CANCELLED}, {"PROPFIND /a", FAKE_CANCELLED}, {"POST /a", FAKE_RUNNING},
		{"DELETE /a", FAKE_RUNNING}, {"BREW /a", FAKE_RUNNING}};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		struct job j;

		job_begin(&j, rows[i / 2].request, NULL);
		assert_int_equal(job_start(&j, true), 0);
		if (i % 2)
			fake_head(fake_fetch(0), 200, "Content-Length: 6\r\n");
		fetch_job_detach(&j.job);
		assert_null(j.job);
		assert_int_equal(fake_fetch(0)->state, rows[i / 2].after);
		if (rows[i / 2].after == FAKE_RUNNING)
			fake_end(fake_fetch(0), FETCH_OK);
		assert_int_equal(j.ends, 0); /* it is told nothing any more */
		assert_int_equal(j.g.workers[0].stats.fills_active, 0);
		job_end(&j);
	}
}

static void who_needs_no_more_hears_no_more(void **state)
{
	struct job j;

	(void)state;
	job_begin(&j, "GET /a", NULL);
	j.releases = true;
	assert_int_equal(job_start(&j, true), 0);
	fake_head(fake_fetch(0), 200, "Content-Length: 6\r\n");
	assert_null(j.job);
	fake_body_text(fake_fetch(0), "abcdef");
	fake_end(fake_fetch(0), FETCH_OK);
	assert_int_equal(j.body_n, 0);
	assert_int_equal(j.ends, 0);
	job_end(&j);
}

/* What nobody wants is read only so far as it costs less than another connection. */
static void what_nobody_wants_is_read_to_a_bound(void **state)
{
	static char piece[16384];
	struct job j;
	unsigned n = 0;

	(void)state;
	job_begin(&j, "GET /a", NULL);
	j.releases = true;
	assert_int_equal(job_start(&j, true), 0);
	fake_head(fake_fetch(0), 200, "Transfer-Encoding: chunked\r\n");
	while (fake_fetch(0)->state == FAKE_RUNNING && n++ < 100)
		fake_body(fake_fetch(0), piece, sizeof(piece));
	assert_int_equal(fake_fetch(0)->result, FETCH_CANCELLED);
	assert_in_range(n, 2, 10);
	job_end(&j);
}

static void content_outlives_its_request(void **state)
{
	struct job j;

	(void)state;
	job_begin(&j, "POST /a\r\nContent-Length: 5\r\n", "hello");
	assert_int_equal(job_start(&j, true), 0);
	assert_string_equal(fake_fetch(0)->body, "hello");
	fake_end(fake_fetch(0), FETCH_TIMEOUT);
	assert_int_equal(j.heads, 0);
	assert_int_equal(j.ends, 1);
	assert_int_equal(j.result, FETCH_TIMEOUT);
	assert_int_equal(evbuffer_get_length(j.r->request_body), 5); /* for another try */
	job_end(&j);
}

static void what_cannot_start_calls_nobody(void **state)
{
	struct job j;

	(void)state;
	job_begin(&j, "GET /a", NULL);
	fake_upstream.start_error = -EBUSY;
	assert_int_equal(job_start(&j, true), -EBUSY);
	assert_null(j.job);
	assert_int_equal(j.ends, 0);
	assert_int_equal(j.g.workers[0].stats.fills_active, 0);
	job_end(&j);
}

static void a_worker_that_stops_tells_its_clients_nothing(void **state)
{
	struct job j;

	(void)state;
	job_begin(&j, "POST /a", NULL);
	assert_int_equal(job_start(&j, true), 0);
	fetch_job_cancel_all(&j.g.workers[0]);
	assert_int_equal(fake_fetch(0)->state, FAKE_CANCELLED);
	assert_null(j.job);
	assert_int_equal(j.ends, 0);
	job_end(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_response_goes_to_its_client_as_it_comes),
		cmocka_unit_test(a_pause_keeps_the_order),
		cmocka_unit_test(letting_go_ends_what_is_safe_and_not_what_writes),
		cmocka_unit_test(who_needs_no_more_hears_no_more),
		cmocka_unit_test(what_nobody_wants_is_read_to_a_bound),
		cmocka_unit_test(content_outlives_its_request),
		cmocka_unit_test(what_cannot_start_calls_nobody),
		cmocka_unit_test(a_worker_that_stops_tells_its_clients_nothing),
	};

	return cmocka_run_group_tests_name("fill", tests, NULL, NULL);
}
