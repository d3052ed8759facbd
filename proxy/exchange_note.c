/* What an exchange leaves behind: counters and a line in the access log. */
#include "proxy/access_log.h"
#include "proxy/exchange_internal.h"

#define STATUS_CLIENT_GONE 499

static void note(struct exchange *x, int status)
{
	struct access_record record;
	uint16_t port;
	uint64_t whole = x->reply.content_length > 0 ? (uint64_t)x->reply.content_length : 0;

	x->worker->stats.answers[x->kind]++;
	if (!x->worker->access_log)
		return;
	record = (struct access_record){
		.http = x->http,
		.peer = gate_peer(x->gate, &port),
		.status = status,
		.body_bytes = x->reply.body == REPLY_EMPTY ? 0 : x->sent ? x->sent : whole,
		.kind = x->kind,
		.route = x->target.rules ? x->target.rules->route : (struct slice){NULL, 0},
		.total_us = clock_mono_us() - x->start_us,
		.upstream_us = x->upstream_us ? x->upstream_us - x->start_us : -1,
		.wall_ms = clock_now().wall_ms,
	};
	access_log_add(x->worker->access_log, &record);
}

void exchange_note_done(struct exchange *x)
{
	note(x, x->reply.status);
}

void exchange_note_gone(struct exchange *x)
{
	note(x, x->has_begun ? x->reply.status : STATUS_CLIENT_GONE);
}
