/* SPDX-License-Identifier: MIT */
/* What an exchange leaves behind: counters, and a line in the access log once the client has the last byte or has left. */
#include "base/mem.h"
#include "proxy/transaction/exchange_internal.h"

#define PARTING_MAGIC 0x50415254u

/* What is left of an exchange while the client takes the last of its reply. The gate's callbacks own it. */
struct parting {
	unsigned magic;
	struct worker *worker;
	struct transport *transport;
	struct snapshot *snapshot;
	unsigned route; /* in the snapshot */
	enum answer_kind kind;
	int status;
	uint64_t body_bytes; /* handed over */
	int64_t start_us, upstream_us;
};

static struct parting *parting_of(void *arg)
{
	struct parting *p = arg;

	CHECK(p->magic == PARTING_MAGIC);
	return p;
}

static void fill_parting(struct parting *p, struct exchange *x)
{
	*p = (struct parting){
		.magic = PARTING_MAGIC,
		.worker = x->worker,
		.transport = x->transport,
		.snapshot = snapshot_ref(x->target.snapshot ? x->target.snapshot : x->worker->snapshot),
		.route = x->target.rules ? x->target.rules->route_index : x->worker->snapshot->config->routes_n - 1,
		.kind = x->kind,
		.status = x->reply.status,
		.body_bytes = x->sent,
		.start_us = x->start_us,
		.upstream_us = x->upstream_us ? x->upstream_us - x->start_us : -1,
	};
}

/* The bytes that the client's socket has taken. */
static uint64_t body_bytes_sent(const struct parting *p)
{
	uint64_t unsent = p->transport->ops->unsent(p->transport);

	return p->body_bytes > unsent ? p->body_bytes - unsent : 0;
}

static void note(const struct parting *p, int status, uint64_t body_bytes)
{
	const struct worker_answer a = {
		.transport = p->transport,
		.snapshot = p->snapshot,
		.route = p->route,
		.kind = p->kind,
		.status = status,
		.body_bytes = body_bytes,
		.total_us = clock_mono_us() - p->start_us,
		.upstream_us = p->upstream_us,
	};

	worker_note_answer(p->worker, &a);
}

static void parting_free(struct parting *p)
{
	snapshot_unref(&p->snapshot);
	p->magic = 0;
	mem_free(p);
}

static void on_complete(void *arg)
{
	struct parting *p = parting_of(arg);

	note(p, p->status, p->body_bytes);
	parting_free(p);
}

static void on_gone(void *arg)
{
	struct parting *p = parting_of(arg);

	p->worker->stats.clients_gone++;
	note(p, STATUS_CLIENT_GONE, body_bytes_sent(p));
	parting_free(p);
}

void exchange_part(struct exchange *x)
{
	struct parting *p = mem_alloc(sizeof(*p));

	if (!p) {
		exchange_note_now(x);
		exchange_free(x);
		return;
	}
	fill_parting(p, x);
	exchange_free(x);
	transport_on_complete(p->transport, on_complete, p);
	transport_on_gone(p->transport, on_gone, p);
}

static void note_at_once(struct exchange *x, bool is_gone)
{
	struct parting p;

	fill_parting(&p, x);
	if (is_gone)
		note(&p, STATUS_CLIENT_GONE, body_bytes_sent(&p));
	else
		note(&p, p.status, p.body_bytes); /* what is buffered still goes out */
	snapshot_unref(&p.snapshot);
}

void exchange_note_now(struct exchange *x)
{
	note_at_once(x, false);
}

void exchange_note_gone(struct exchange *x)
{
	note_at_once(x, true);
}
