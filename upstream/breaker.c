/* SPDX-License-Identifier: MIT */
/* The circuit breaker: a share of failures in a window opens it, one request that goes well closes it. */
#include "upstream/state.h"

void breaker_init(struct breaker *b)
{
	pthread_mutex_init(&b->mu, NULL);
}

void breaker_fini(struct breaker *b)
{
	pthread_mutex_destroy(&b->mu);
}

bool breaker_is_open(const struct breaker *b, const struct upstream_options *o, int64_t now_ms)
{
	return o->breaker_errors_percent > 0 && atomic_load(&b->open_until_ms) > now_ms;
}

/* Whoever moves the end on is the probe; a probe that never comes back is followed by another in breaker_open. */
enum breaker_say breaker_admit(struct breaker *b, const struct upstream_options *o, int64_t now_ms)
{
	int64_t until_ms = atomic_load(&b->open_until_ms);

	if (o->breaker_errors_percent == 0 || until_ms == 0)
		return BREAKER_CLOSED;
	if (until_ms > now_ms ||
		!atomic_compare_exchange_strong(&b->open_until_ms, &until_ms, now_ms + o->breaker_open_ms))
		return BREAKER_OPEN;
	return BREAKER_PROBE;
}

void breaker_forget_probe(struct breaker *b, int64_t now_ms)
{
	pthread_mutex_lock(&b->mu);
	if (atomic_load(&b->open_until_ms))
		atomic_store(&b->open_until_ms, now_ms);
	pthread_mutex_unlock(&b->mu);
}

static void clear_locked(struct breaker *b)
{
	for (unsigned i = 0; i < BREAKER_SLOTS; i++)
		b->slots[i].total = b->slots[i].errors = 0;
}

static void count_locked(struct breaker *b, int64_t number, bool failed)
{
	unsigned i = (unsigned)(number % BREAKER_SLOTS);

	if (b->slots[i].number != number) {
		b->slots[i].number = number;
		b->slots[i].total = b->slots[i].errors = 0;
	}
	b->slots[i].total++;
	b->slots[i].errors += failed;
}

static bool is_too_much_locked(const struct breaker *b, const struct upstream_options *o, int64_t number)
{
	uint64_t total = 0, errors = 0;

	for (unsigned i = 0; i < BREAKER_SLOTS; i++) {
		if (b->slots[i].number <= number - BREAKER_SLOTS || b->slots[i].number > number)
			continue;
		total += b->slots[i].total;
		errors += b->slots[i].errors;
	}
	return total >= o->breaker_requests && errors * 100 >= total * o->breaker_errors_percent;
}

/* What was under way when it opened says nothing about now: while it is open only the probe counts, and the window begins
 * anew with its response. */
static bool note_locked(
	struct breaker *b, const struct upstream_options *o, bool failed, bool was_probe, int64_t now_ms)
{
	int64_t slot_ms = o->breaker_window_ms >= BREAKER_SLOTS ? o->breaker_window_ms / BREAKER_SLOTS : 1;
	int64_t number = now_ms / slot_ms;

	if (atomic_load(&b->open_until_ms) != 0) {
		if (!was_probe)
			return false;
		clear_locked(b);
		atomic_store(&b->open_until_ms, failed ? now_ms + o->breaker_open_ms : 0);
		return failed;
	}
	count_locked(b, number, failed);
	if (!failed || !is_too_much_locked(b, o, number))
		return false;
	atomic_store(&b->open_until_ms, now_ms + o->breaker_open_ms);
	return true;
}

bool breaker_note(struct breaker *b, const struct upstream_options *o, bool failed, bool was_probe, int64_t now_ms)
{
	bool opened;

	if (o->breaker_errors_percent == 0)
		return false;
	pthread_mutex_lock(&b->mu);
	opened = note_locked(b, o, failed, was_probe, now_ms);
	pthread_mutex_unlock(&b->mu);
	return opened;
}
