/* SPDX-License-Identifier: MIT */
/* Which origins answer: what requests (passive) and checks (active) tell of them. */
#include "upstream/state.h"

void health_ok(struct origin_state *o)
{
	/* Mostly there is nothing to change, and other threads have the line in their caches. */
	if (atomic_load_explicit(&o->failures, memory_order_relaxed))
		atomic_store(&o->failures, 0);
	if (atomic_load_explicit(&o->out_until_ms, memory_order_relaxed))
		atomic_store(&o->out_until_ms, 0);
}

bool health_failed(struct origin_state *o, const struct upstream_options *options, int64_t now_ms)
{
	unsigned n = atomic_fetch_add(&o->failures, 1) + 1;

	if (options->max_fails == 0 || n < options->max_fails)
		return false;
	return atomic_exchange(&o->out_until_ms, now_ms + options->fail_timeout_ms) == 0;
}

void health_leave_out(struct origin_state *o, int64_t until_ms)
{
	atomic_store(&o->out_until_ms, until_ms);
}

void health_forget_try(struct origin_state *o, int64_t now_ms)
{
	if (atomic_load(&o->out_until_ms))
		atomic_store(&o->out_until_ms, now_ms);
}

/* One good check brings it back; down it goes after as many bad ones as max_fails says. */
bool health_checked(struct origin_state *o, const struct upstream_options *options, bool is_ok)
{
	unsigned fails = options->max_fails ? options->max_fails : 1;

	if (!is_ok)
		return atomic_fetch_add(&o->check_failures, 1) + 1 >= fails && !atomic_exchange(&o->is_down, true);
	atomic_store(&o->check_failures, 0);
	if (!atomic_exchange(&o->is_down, false))
		return false;
	health_ok(o);
	return true;
}

bool health_claim_check(struct origin_state *o, const struct upstream_options *options, int64_t now_ms)
{
	int64_t due_ms = atomic_load(&o->next_check_ms);

	return now_ms >= due_ms &&
	       atomic_compare_exchange_strong(&o->next_check_ms, &due_ms, now_ms + options->health_interval_ms);
}

bool health_is_out(const struct origin_state *o, const struct upstream_options *options, int64_t now_ms)
{
	return (options->health_path.n > 0 && atomic_load(&o->is_down)) || atomic_load(&o->out_until_ms) > now_ms;
}
