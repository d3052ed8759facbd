/* SPDX-License-Identifier: MIT */
/* What a transaction leaves behind: counters, and a line in the access log once the client has the last byte or has left. */
#include "base/mem.h"
#include "proxy/record/access_line.h"
#include "proxy/transaction/transaction_internal.h"

#define PENDING_LOG_MAGIC 0x50415254u

/* What is left of a transaction while the client takes the last of its response. The gate's callbacks own it. */
struct pending_log {
	unsigned magic;
	struct worker *worker;
	struct transport *transport;
	struct snapshot *snapshot;
	unsigned route; /* in the snapshot */
	enum response_kind kind;
	int status;
	uint64_t body_bytes; /* handed over */
	int64_t start_us, upstream_us;
	uint64_t id;
	const char *error;
};

static struct pending_log *pending_log_of(void *arg)
{
	struct pending_log *p = arg;

	CHECK(p->magic == PENDING_LOG_MAGIC);
	return p;
}

static void note_pending(struct pending_log *p, struct transaction *x)
{
	*p = (struct pending_log){
		.magic = PENDING_LOG_MAGIC,
		.worker = x->worker,
		.transport = x->transport,
		.snapshot = snapshot_ref(x->target.snapshot ? x->target.snapshot : x->worker->snapshot),
		.route = x->target.route ? x->target.route->rules.route_index
					 : x->worker->snapshot->config->routes_n - 1,
		.kind = x->kind,
		.status = x->response.status,
		.body_bytes = x->sent,
		.start_us = x->start_us,
		.upstream_us = x->upstream_us ? x->upstream_us - x->start_us : -1,
		.id = x->id,
		.error = x->error,
	};
}

struct slice transaction_id(struct transaction *x)
{
	if (!x->id)
		x->id = worker_new_id(x->worker);
	return access_id(x->client, x->id, x->id_text);
}

/* The bytes that the client's socket has taken. */
static uint64_t body_bytes_sent(const struct pending_log *p)
{
	uint64_t unsent = p->transport->ops->unsent(p->transport);

	return p->body_bytes > unsent ? p->body_bytes - unsent : 0;
}

static void note(const struct pending_log *p, bool is_gone)
{
	const struct worker_response a = {
		.transport = p->transport,
		.snapshot = p->snapshot,
		.route = p->route,
		.kind = p->kind,
		.status = is_gone ? STATUS_CLIENT_GONE : p->status,
		.body_bytes = is_gone ? body_bytes_sent(p) : p->body_bytes, /* what is buffered still goes out */
		.total_us = clock_mono_us() - p->start_us,
		.upstream_us = p->upstream_us,
		.id = p->id,
		.error = p->error,
	};

	worker_note_response(p->worker, &a);
}

static void pending_log_free(struct pending_log *p)
{
	p->worker->stats.in_flight--;
	snapshot_unref(&p->snapshot);
	p->magic = 0;
	mem_free(p);
}

static void on_complete(void *arg)
{
	struct pending_log *p = pending_log_of(arg);

	note(p, false);
	pending_log_free(p);
}

static void on_gone(void *arg)
{
	struct pending_log *p = pending_log_of(arg);

	p->worker->stats.clients_gone++;
	note(p, true);
	pending_log_free(p);
}

void transaction_leave(struct transaction *x)
{
	struct pending_log *p = mem_alloc(sizeof(*p));

	if (!p) {
		transaction_note(x, false);
		transaction_free(x);
		return;
	}
	note_pending(p, x);
	p->worker->stats.in_flight++; /* takes over from the transaction */
	transaction_free(x);
	transport_on_complete(p->transport, on_complete, p);
	transport_on_gone(p->transport, on_gone, p);
}

void transaction_note(struct transaction *x, bool is_gone)
{
	struct pending_log p;

	note_pending(&p, x);
	note(&p, is_gone);
	snapshot_unref(&p.snapshot);
}
