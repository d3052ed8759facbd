/* SPDX-License-Identifier: MIT */
/* The response of its own fetch job that is for one client alone, or of which it is not known yet whether it is. */
#include <errno.h>

#include "proxy/transaction/transaction_internal.h"

static void on_informational(void *arg, int status, const struct http_fields *fields)
{
	struct transport *t = transaction_of(arg)->transport;

	t->ops->informational(t, status, fields);
}

static struct slice value_of(const struct http_fields *fields, enum http_field_id id)
{
	const struct http_field *f = http_fields_get(fields, id);

	return f ? f->value : (struct slice){"", 0};
}

/* A flight asks without the client's condition. Where its response turns out to be for this client alone, the condition is looked
 * at here: what the client has already need not be sent, nor fetched to its end. */
static bool is_not_modified(const struct transaction *x, int status, const struct http_fields *fields)
{
	return x->kind == RESPONSE_MISS && x->client->method == HTTP_GET && status == 200 &&
	       policy_is_not_modified(&x->target.sent.http.fields, value_of(fields, HF_ETAG),
		       value_of(fields, HF_LAST_MODIFIED), (struct slice){"", 0});
}

static void drop_content(struct http_fields *fields)
{
	for (uint32_t i = fields->n; i > 0; i--)
		if (!response_is_in_304(fields->v[i - 1].id))
			http_fields_remove_at(fields, i - 1);
}

/* The whole is for this client alone, which wants a part (or its origin sends parts to whoever asks for the whole): it is asked
 * for that. But only once, as it may lead again. */
static bool goes_for_part(struct transaction *x, int status)
{
	bool goes = x->kind == RESPONSE_MISS && (status == 200 || status == 206 || status == 416) &&
		    transaction_asks_for_part(x) && !x->goes_for_part;

	x->goes_for_part |= goes;
	return goes;
}

/* Only the part itself is of use while the whole may still come: an origin that knows no ranges, or has too much to do, is not asked
 * again, and the range waits on. */
static bool waits_on(struct transaction *x, int status)
{
	if (!x->is_overdue)
		return false;
	if (status == 206) {
		transaction_go_on_alone(x);
		return false;
	}
	fetch_job_release(&x->job);
	x->is_overdue = false;
	return true;
}

static void could_not_compose(struct transaction *x, int err)
{
	transaction_problem(x, err == -ENOMEM ? failure_no_memory()
					      : failure_caused(failure_of(502, "the upstream's head is too large"),
							FETCH_CAUSE_HEAD_SIZE));
}

static void on_private_head(
	void *arg, int status, struct http_fields *fields, int64_t content_length, enum policy_store why)
{
	struct transaction *x = transaction_of(arg);
	bool has_it = is_not_modified(x, status, fields);
	int err;

	x->now = clock_now();
	x->upstream_us = clock_mono_us();
	if (waits_on(x, status))
		return;
	if (!has_it && goes_for_part(x, status)) {
		fetch_job_release(&x->job); /* the flight says so to all who wait for it, and so to this one */
		return;
	}
	transaction_stop_waiting(x);
	x->cache_status.forward_status = status;
	x->cache_status.shows_forms = x->target.route->rules.compress != 0;
	if (x->kind == RESPONSE_PASS)
		why = transaction_keep(x, status, fields, content_length);
	x->cache_status.detail = transaction_why_not(x, why);
	x->cache_status.stored = why == POLICY_STORE;
	if (has_it) {
		drop_content(fields);
		status = 304;
		content_length = -1;
	}
	trace(x, "the upstream answered %d: %s", status,
		why == POLICY_STORE ? "stored, as far as is known" : policy_reason(why)->token);
	err = response_from_fields(
		&x->response, &x->target.sent.http, status, fields, content_length, x->now, &x->cache_status);
	if (err) {
		fetch_job_release(&x->job);
		could_not_compose(x, err);
		return;
	}
	/* The request is answered whole at once where no body follows. */
	if (x->response.body == RESPONSE_EMPTY)
		fetch_job_release(&x->job);
	transaction_send(x);
}

static enum fetch_write on_private_body(void *arg, const void *p, size_t n)
{
	return transaction_stream(transaction_of(arg), p, n);
}

static void on_private_end(void *arg, enum fetch_result result)
{
	struct transaction *x = transaction_of(arg);
	enum fetch_cause cause = fetch_job_cause(x->job);

	if (!x->has_begun)
		transaction_tell_failure(x, result);
	fetch_job_release(&x->job);
	if (result == FETCH_OK && x->has_begun)
		transaction_finish(x);
	else if (x->has_begun)
		transaction_abort(x, cause);
	else if (x->is_overdue)
		x->is_overdue = false; /* the whole may still come */
	else
		transaction_problem(x, failure_of_fetch(result, cause));
}

const struct fetch_job_client transaction_private = {
	on_informational, on_private_head, on_private_body, on_private_end};
