/* Counters of one worker, written by its own thread only and collected by letter, so that none needs a lock.
 * Thread: the worker's. */
#ifndef PROXY_STATS_H
#define PROXY_STATS_H

#include <stdint.h>

#include "proxy/gate.h"
#include "upstream/fetch.h"

enum answer_kind { ANSWER_HIT, ANSWER_STALE, ANSWER_REVALIDATED, ANSWER_MISS, ANSWER_COLLAPSED, ANSWER_PASS, ANSWER_ERROR, ANSWER_KINDS };
const char *answer_kind_name(enum answer_kind k);

struct worker_stats {
	uint64_t requests;
	uint64_t answers[ANSWER_KINDS];
	uint64_t aborted;          /* replies cut because the upstream broke off */
	uint64_t clients_gone;
	uint64_t background_fetches;
	uint64_t fills, fills_active;
	uint64_t invalidated_by_writes;
	uint64_t body_bytes_out;
};

#endif
