/* SPDX-License-Identifier: MIT */
/* What an exchange leaves behind: counters, and a line in the access log once the client has the last byte or has left. */
#include "base/mem.h"
#include "proxy/record/access_log.h"
#include "proxy/transaction/exchange_internal.h"

#define PARTING_MAGIC 0x50415254u
#define STATUS_CLIENT_GONE 499 /* no status of HTTP: nginx's word for it, which log readers know */

/* What is left of an exchange while the client takes the last of its reply. The gate's callbacks own it. */
struct parting {
	unsigned magic;
	struct worker *worker;
	struct gate *gate;
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
		.gate = x->gate,
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
	uint64_t unsent = gate_unsent(p->gate);

	return p->body_bytes > unsent ? p->body_bytes - unsent : 0;
}

static void note(const struct parting *p, int status, uint64_t body_bytes)
{
	struct worker_answer a = {
		.snapshot = p->snapshot,
		.route = p->route,
		.kind = p->kind,
		.total_us = clock_mono_us() - p->start_us,
		.is_cut = status == STATUS_CLIENT_GONE,
	};
	struct access_record record;
	uint16_t port;

	worker_note_answer(p->worker, &a);
	if (!p->worker->access_log)
		return;
	record = (struct access_record){
		.http = gate_request(p->gate),
		.peer = gate_peer(p->gate, &port),
		.status = status,
		.body_bytes = body_bytes,
		.kind = p->kind,
		.route = p->snapshot->rules[p->route].route,
		.total_us = a.total_us,
		.upstream_us = p->upstream_us,
		.wall_ms = clock_now().wall_ms,
		.id = worker_request_id(p->worker),
	};
	access_log_add(p->worker->access_log, &record);
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
	gate_on_complete(p->gate, on_complete, p);
	gate_on_gone(p->gate, on_gone, p);
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
