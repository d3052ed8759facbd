/* SPDX-License-Identifier: MIT */
/* How a request begins: what it is about, and what is answered whatever the cache has. */
#include "proxy/transaction/transaction.h"

#include <errno.h>
#include <event2/buffer.h>

#include "base/log.h"
#include "proxy/request/hops.h"
#include "proxy/request/tags.h"
#include "proxy/transaction/hit.h"
#include "proxy/request/limits.h"
#include "proxy/transaction/transaction_internal.h"

static void on_gone(void *arg)
{
	struct transaction *x = transaction_of(arg);

	x->worker->stats.clients_gone++;
	transaction_note(x, true);
	transaction_free(x);
}

void transaction_drop_all(struct worker *w)
{
	while (w->transactions.next != &w->transactions)
		transaction_free(CONTAINER_OF(w->transactions.next, struct transaction, link));
}

static struct slice request_body(struct transaction *x)
{
	struct evbuffer *b = x->transport->ops->body(x->transport);
	size_t n = evbuffer_get_length(b);

	if (x->client->framing == HTTP_BODY_NONE || x->client->method == HTTP_HEAD || n == 0)
		return (struct slice){NULL, 0};
	return (struct slice){(const char *)evbuffer_pullup(b, -1), n};
}

/* It would go round until something is full, or wait for itself. */
static void answer_loop(struct transaction *x)
{
	static struct log_limit limit;

	x->worker->stats.loops++;
	if (log_allowed(&limit))
		log_warn("a request came back: the url of upstream %.*s leads to this proxy",
			SLICE_ARG(x->target.snapshot->config->upstreams[x->target.upstream_index].name));
	transaction_problem(
		x, failure_of(508, "the request has been here before: the upstream leads back to this proxy"));
}

static void answer_denied(struct transaction *x)
{
	struct route_stats *route =
		worker_route_stats(x->worker, x->target.snapshot, x->target.route->rules.route_index);

	if (route)
		route->denied++;
	transaction_problem(x, failure_of(403, "this address may not ask for this"));
}

/* RFC 6585 4 */
static void answer_limited(struct transaction *x)
{
	const struct config_route *r = x->target.limited_by;
	struct route_stats *route = worker_route_stats(x->worker, x->target.snapshot, r->rules.route_index);
	unsigned wait_s = (unsigned)((x->transport->wait_ms + 999) / 1000);
	struct failure why = failure_of(429, "this client asks too often");
	int err;

	if (route)
		route->limited++;
	why.retry_after_s = (int)wait_s;
	err = transaction_make_problem(x, why);
	if (!err)
		err = limits_add_fields(&x->response.head, r, wait_s);
	if (err)
		transaction_problem(x, failure_no_memory());
	else
		transaction_send(x);
}

/* RFC 9110 7.6.2: at 0 whoever has it answers. */
static void answer_options(struct transaction *x)
{
	struct http_fields none = {0};

	x->kind = RESPONSE_PASS;
	x->cache_status.detail = policy_reason(POLICY_NOT_METHOD)->token;
	if (response_from_fields(&x->response, &x->target.sent.http, 200, &none, 0, x->now, &x->cache_status)) {
		transaction_problem(x, failure_no_memory());
		return;
	}
	x->response.body = RESPONSE_EMPTY;
	transaction_send(x);
}

/* What is answered whatever the cache has: true. */
static bool answer_refused(struct transaction *x)
{
	hit_charge(x->worker, &x->target, x->transport, x->now);
	if (x->target.is_denied)
		answer_denied(x);
	else if (x->transport->is_limited)
		answer_limited(x);
	else if (tags_cannot_be_judged(&x->target.sent.http, &x->target.route->rules))
		transaction_problem(
			x, failure_of(412,
				   "the entity tag was made by the proxy (etag = auto): the origin can't judge it"));
	else if (hops_were_here(&x->client->fields))
		answer_loop(x);
	else if (hops_left(x->client) == 0)
		answer_options(x);
	else if (x->client->method == HTTP_HEAD && http_request_has_content(x->client)) /* RFC 9110 9.3.2 */
		transaction_problem(x, failure_of(400, "a HEAD request with content can't be passed on"));
	else
		return false;
	return true;
}

static void answer_unresolved(struct transaction *x, int err)
{
	if (err == -ENOBUFS)
		transaction_problem(x, failure_of(414, "the target is too long"));
	else if (err == -EMSGSIZE)
		transaction_problem(x, failure_of(431, "the request's fields are too many to forward"));
	else
		transaction_problem(x, failure_no_memory());
}

void transaction_begin(void *arg, struct transport *t)
{
	struct worker *w = arg;
	struct transaction *x = transaction_new(w, t);
	struct hit_attempt first;
	struct asked asked = hit_asked(t);
	int err;

	if (!x) {
		hit_drop(&w->attempt);
		t->ops->refuse(t);
		return;
	}
	transport_on_gone(t, on_gone, x);
	x->is_traced = trace_is_wanted(w->snapshot, t->request);
	if (hit_take(w, t, &x->target, &first)) {
		x->now = first.now;
		err = target_complete(&x->target);
	} else {
		x->now = clock_now();
		err = target_resolve(&x->target, w->snapshot, &asked, request_body(x));
	}
	w->stats.ambiguous_paths += !err && x->target.is_ambiguous && !x->target.is_denied;
	w->stats.underscore_fields += err ? 0 : x->target.sent.underscores_dropped;
	if (!err)
		trace_target(x);
	if (err) {
		hit_drop(&first);
		answer_unresolved(x, err);
	} else if (transaction_purge(x) || answer_refused(x)) {
		hit_drop(&first);
	} else if (first.has_looked) {
		transaction_act(x, first.found);
	} else {
		transaction_decide(x, false);
	}
}
