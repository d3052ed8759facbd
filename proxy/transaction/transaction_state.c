/* SPDX-License-Identifier: MIT */
/* A transaction as such: how it is made and freed, and what its other files ask of it. */
#include "base/mem.h"
#include "proxy/transaction/hit.h"
#include "proxy/transaction/transaction_internal.h"

struct transaction *transaction_new(struct worker *w, struct transport *t)
{
	struct transaction *x = mem_zalloc(sizeof(*x));

	if (!x)
		return NULL;
	x->magic = TRANSACTION_MAGIC;
	x->worker = w;
	x->transport = t;
	x->client = t->request;
	x->start_us = t->start_us;
	target_init(&x->target);
	response_init(&x->response);
	link_init(&x->range);
	link_append(&w->transactions, &x->link);
	w->transactions_n++;
	w->stats.in_flight++;
	w->stats.requests++;
	return x;
}

void transaction_stop_waiting(struct transaction *x)
{
	link_remove(&x->range);
	if (x->is_waiting)
		flight_leave(&x->waiter);
	x->is_waiting = false;
	x->is_overdue = false;
	flight_unref(&x->flight);
}

void transaction_go_on_alone(struct transaction *x)
{
	transaction_stop_waiting(x);
	x->whole_comes = true;
	x->kind = RESPONSE_PASS;
	x->why = POLICY_NOT_RANGE;
	x->cache_status = (struct cache_status){.forward = x->cache_status.forward};
}

void transaction_free(struct transaction *x)
{
	transport_on_gone(x->transport, NULL, NULL);
	transport_on_room(x->transport, NULL, NULL);
	transaction_stop_waiting(x);
	fetch_job_detach(&x->job);
	if (x->purge)
		*x->purge = NULL;
	body_reader_free(&x->reader);
	object_unref(&x->object);
	link_remove(&x->link);
	x->worker->transactions_n--;
	x->worker->stats.in_flight--;
	target_fini(&x->target);
	response_fini(&x->response);
	x->magic = 0;
	mem_free(x);
}

bool transaction_asks_for_part(const struct transaction *x)
{
	return x->client->method == HTTP_GET && http_fields_get(&x->target.sent.http.fields, HF_RANGE);
}

const char *transaction_why_not(struct transaction *x, enum policy_store why)
{
	switch (why) {
	case POLICY_STORE:
		return NULL;
	case POLICY_NOT_AUTHORIZATION:
	case POLICY_NOT_CREDENTIAL:
		target_explain_credential(&x->target, x->detail, sizeof(x->detail));
		return x->detail;
	default:
		return policy_reason(why)->token;
	}
}

void transaction_flush(struct transaction *x, uint64_t n)
{
	x->sent += n;
	x->worker->stats.body_bytes_out += n;
	x->transport->ops->flush(x->transport);
}
