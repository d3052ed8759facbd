/* SPDX-License-Identifier: MIT */
/* Which origin gets the next request. */
#include <errno.h>

#include "base/hash.h"
#include "upstream/state.h"

static unsigned count_bits(unsigned bits)
{
	return (unsigned)__builtin_popcount(bits);
}

/* The nth of the bits that are set, from 0. */
static unsigned nth_bit(unsigned bits, unsigned n)
{
	while (n-- > 0)
		bits &= bits - 1;
	return (unsigned)__builtin_ctz(bits);
}

static unsigned next_turn(struct upstream_state *s, unsigned among)
{
	return nth_bit(among, atomic_fetch_add_explicit(&s->turn, 1, memory_order_relaxed) % count_bits(among));
}

/* Of those with the fewest the next in turn. */
static unsigned least_busy(struct upstream_state *s, unsigned among)
{
	unsigned fewest = UINT32_MAX, best = 0;

	for (unsigned i = 0; i < s->origins_n; i++) {
		unsigned n = atomic_load_explicit(&s->origins[i].active, memory_order_relaxed);

		if (!(among >> i & 1U) || n > fewest)
			continue;
		best = n < fewest ? 1U << i : best | 1U << i;
		fewest = n;
	}
	return next_turn(s, best);
}

/* Highest random weight: each origin draws a number for this key, the highest wins. An origin that leaves takes its own
 * keys along and no others, and gets the same ones when it is back. */
static unsigned highest_weight(const struct upstream_state *s, unsigned among, uint64_t hash)
{
	uint64_t highest = 0;
	unsigned best = nth_bit(among, 0);

	for (unsigned i = 0; i < s->origins_n; i++) {
		uint64_t drawn_from[2] = {hash, s->origins[i].seed};
		uint64_t weight = hash64_of(drawn_from, sizeof(drawn_from));

		if ((among >> i & 1U) && weight > highest) {
			highest = weight;
			best = i;
		}
	}
	return best;
}

static unsigned pick(struct upstream_state *s, const struct upstream_options *options, unsigned among, uint64_t hash)
{
	if (count_bits(among) == 1)
		return nth_bit(among, 0);
	switch (options->balance) {
	case UPSTREAM_LEAST_CONNECTIONS:
		return least_busy(s, among);
	case UPSTREAM_HASH:
		return highest_weight(s, among, hash);
	case UPSTREAM_ROUND_ROBIN:
		break;
	}
	return next_turn(s, among);
}

static unsigned first_back(const struct upstream_state *s, unsigned among)
{
	unsigned best = nth_bit(among, 0);
	int64_t soonest = INT64_MAX;

	for (unsigned i = 0; i < s->origins_n; i++) {
		int64_t until_ms = atomic_load(&s->origins[i].out_until_ms);

		if ((among >> i & 1U) && until_ms < soonest) {
			soonest = until_ms;
			best = i;
		}
	}
	return best;
}

/* False: it is not on trial, or another request won the trial. */
static bool claim_trial(struct origin_state *o, const struct upstream_options *options, int64_t now_ms)
{
	int64_t until_ms = atomic_load(&o->out_until_ms);

	return until_ms != 0 && until_ms <= now_ms &&
	       atomic_compare_exchange_strong(&o->out_until_ms, &until_ms, now_ms + options->fail_timeout_ms);
}

int balance_choose(struct upstream_state *s, const struct upstream_options *options, const struct balance_request *r,
	bool *is_probe)
{
	unsigned untried = ((s->origins_n < 32 ? 1U << s->origins_n : 0) - 1) & ~r->tried, usable = 0;

	*is_probe = false;
	if (untried == 0)
		return -ENOENT;
	if (s->origins_n == 1)
		return 0;
	for (unsigned i = 0; i < s->origins_n; i++) {
		bool on_trial = atomic_load(&s->origins[i].out_until_ms) != 0;

		if (!health_is_out(&s->origins[i], options, r->now_ms) && (!on_trial || r->may_probe))
			usable |= 1U << i;
	}
	usable &= untried;
	while (usable) {
		unsigned i = pick(s, options, usable, r->hash);

		if (atomic_load(&s->origins[i].out_until_ms) == 0)
			return (int)i;
		*is_probe = claim_trial(&s->origins[i], options, r->now_ms);
		if (*is_probe)
			return (int)i;
		usable &= ~(1U << i);
	}
	return (int)first_back(s, untried);
}
