/* SPDX-License-Identifier: MIT */
#include "proxy/record/purge_log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

struct purge_log {
	pthread_mutex_t mu;
	/* guarded by mu */
	uint64_t n; /* calls so far; call `id` is at (id - 1) % PURGE_LOG_MAX */
	struct purge_logged calls[PURGE_LOG_MAX];
};

int purge_log_new(struct purge_log **out)
{
	struct purge_log *log = mem_zalloc(sizeof(*log));

	*out = log;
	if (!log)
		return -ENOMEM;
	pthread_mutex_init(&log->mu, NULL);
	return 0;
}

void purge_log_free(struct purge_log **log)
{
	if (!*log)
		return;
	pthread_mutex_destroy(&(*log)->mu);
	mem_free(*log);
	*log = NULL;
}

static struct purge_logged *call_at(struct purge_log *log, uint64_t id)
{
	return &log->calls[(id - 1) % PURGE_LOG_MAX];
}

static uint64_t oldest_id(const struct purge_log *log)
{
	return log->n > PURGE_LOG_MAX ? log->n - PURGE_LOG_MAX + 1 : 1;
}

uint64_t purge_log_begin(struct purge_log *log, const struct purge *what, unsigned names, bool is_method,
	const char *who, uint64_t after)
{
	struct purge_logged call = {
		.first = after + 1,
		.last = UINT64_MAX,
		.at_ms = clock_now().wall_ms,
		.spread_ms = purge_spread_ms(what->spread),
		.kind = what->kind,
		.soft = what->soft,
		.is_method = is_method,
		.is_under_way = true,
		.names = names,
	};
	struct slice shown = utf8_beginning(what->what, sizeof(call.what) - 1);

	snprintf(call.who, sizeof(call.who), "%s", who ? who : "");
	if (shown.n > 0)
		memcpy(call.what, shown.p, shown.n);
	pthread_mutex_lock(&log->mu);
	call.id = ++log->n;
	*call_at(log, call.id) = call;
	pthread_mutex_unlock(&log->mu);
	return call.id;
}

void purge_log_end(struct purge_log *log, uint64_t id, uint64_t last)
{
	struct purge_logged *call;

	pthread_mutex_lock(&log->mu);
	call = call_at(log, id);
	if (call->id == id) {
		call->last = last;
		call->is_under_way = false;
	}
	pthread_mutex_unlock(&log->mu);
}

/* Numbers grow from call to call, but for calls that began at once, of which the newest is taken. */
void purge_log_met(void *arg, uint64_t seq)
{
	struct purge_log *log = arg;
	uint64_t low, high;

	pthread_mutex_lock(&log->mu);
	low = oldest_id(log);
	high = log->n + 1;
	while (low < high) { /* the last call whose first number is not above it */
		uint64_t mid = low + (high - low) / 2;

		if (call_at(log, mid)->first <= seq)
			low = mid + 1;
		else
			high = mid;
	}
	if (low > oldest_id(log) && call_at(log, low - 1)->last >= seq)
		call_at(log, low - 1)->met++;
	pthread_mutex_unlock(&log->mu);
}

unsigned purge_log_read(struct purge_log *log, uint64_t before, struct purge_logged *out, unsigned max)
{
	unsigned n = 0;

	pthread_mutex_lock(&log->mu);
	if (before > log->n + 1)
		before = log->n + 1;
	for (uint64_t id = before; id > oldest_id(log) && n < max; id--)
		out[n++] = *call_at(log, id - 1);
	pthread_mutex_unlock(&log->mu);
	return n;
}
