/* SPDX-License-Identifier: MIT */
/* Lifetime and age of a response (RFC 9111 4.2). The order of sources is told in policy.h. */
#include "cache/policy/coarse.h"
#include "cache/policy/policy_facts.h"

#define STRETCH_MAX_MS (24LL * 3600 * 1000)
#define HEURISTIC_MAX_MS (24LL * 3600 * 1000)

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* RFC 9111 5.1: of a list the first member counts; what is not plain digits is ignored. */
static int64_t age_value_ms(const struct http_fields *response)
{
	const struct http_field *line = http_fields_get(response, HF_AGE);
	if (!line)
		return 0;
	struct slice first, others;
	unsigned long long seconds;
	(void)slice_cut(line->value, ',', &first, &others);
	if (!slice_to_u64(slice_trim(first), (unsigned long long)CC_DELTA_MAX, &seconds))
		return 0;
	return (int64_t)seconds * 1000;
}

/* corrected_initial_age, RFC 9111 4.2.3. Dates are whole seconds, so the time of receipt is cut to one too: with its
 * milliseconds, each response would seem half a second old at birth. */
static int64_t initial_age_ms(const struct policy_exchange *x, const struct policy_facts *facts)
{
	int64_t received_ms = x->response_time.wall_ms / 1000 * 1000;
	int64_t apparent_ms = larger(0, received_ms - facts->date_min_ms);
	int64_t delay_ms = larger(0, x->response_time.mono_ms - x->request_time.mono_ms);
	return smaller(larger(apparent_ms, age_value_ms(x->response) + delay_ms), POLICY_DELTA_MAX_MS);
}

/* -1: the route says nothing about that status. */
static int64_t status_ttl(const struct cache_rules *rules, int status)
{
	for (unsigned i = 0; i < rules->status_ttl.n; i++) {
		if (rules->status_ttl.v[i].low <= status && status <= rules->status_ttl.v[i].high)
			return rules->status_ttl.v[i].ttl_ms;
	}
	return -1;
}

/* RFC 9111 4.2.2. -1: the route wants none, or there is no Last-Modified before Date. */
static int64_t heuristic_ms(const struct cache_rules *rules, const struct policy_facts *facts)
{
	int64_t since_ms = facts->date_min_ms - facts->last_modified_ms;
	if (rules->heuristic == 0 || facts->last_modified_ms < 0 || since_ms <= 0)
		return -1;
	return smaller(
		since_ms * rules->heuristic / 100, rules->ttl_max_ms >= 0 ? rules->ttl_max_ms : HEURISTIC_MAX_MS);
}

static enum policy_source choose(const struct policy_exchange *x, const struct policy_facts *facts, int64_t *ms)
{
	const struct cache_rules *rules = x->rules;
	bool is_heuristic = policy_status_is_heuristic(x->status) || facts->cc.public_;
	if (facts->is_forced) {
		*ms = rules->ttl_force_ms;
		return LIFETIME_ROUTE_FORCE;
	}
	*ms = facts->explicit_ms;
	if (*ms >= 0)
		return facts->explicit_source;
	*ms = 0;
	if (!facts->route_may_give)
		return LIFETIME_NONE;
	*ms = status_ttl(rules, x->status);
	if (*ms >= 0)
		return LIFETIME_ROUTE;
	*ms = is_heuristic && x->status < 400 ? rules->ttl_ms : -1;
	if (*ms >= 0)
		return LIFETIME_ROUTE;
	*ms = is_heuristic && x->method != HTTP_POST ? heuristic_ms(rules, facts) : -1;
	if (*ms >= 0)
		return LIFETIME_HEURISTIC;
	*ms = 0;
	return LIFETIME_NONE;
}

static bool runs_from_receipt(enum policy_source source)
{
	return source == LIFETIME_ROUTE || source == LIFETIME_ROUTE_FORCE;
}

/* `age_ms` is what the response has behind it when it arrives. */
static int64_t clamp(
	const struct policy_exchange *x, const struct policy_facts *facts, int64_t lifetime_ms, int64_t age_ms)
{
	const struct cache_rules *rules = x->rules;
	if (rules->ttl_min_ms >= 0 && x->status < 400 && facts->route_may_raise)
		lifetime_ms = larger(lifetime_ms, age_ms + smaller(rules->ttl_min_ms, POLICY_DELTA_MAX_MS));
	if (rules->ttl_max_ms >= 0)
		lifetime_ms = smaller(lifetime_ms, age_ms + smaller(rules->ttl_max_ms, POLICY_DELTA_MAX_MS));
	return lifetime_ms;
}

static int64_t stretched(const struct policy_exchange *x, uint16_t flags, int64_t lifetime_ms, int64_t age_ms)
{
	int64_t left_ms = lifetime_ms - age_ms;
	if (x->stretch <= 1 || left_ms <= 0 || (flags & (POLICY_NEVER_STALE | POLICY_NO_CACHE)))
		return lifetime_ms;
	return lifetime_ms + smaller(left_ms * (x->stretch - 1), STRETCH_MAX_MS);
}

/* Takes up to ttl_jitter percent from what is left, so that responses stored together do not expire together. It never adds. */
static int64_t jittered(const struct policy_exchange *x, int64_t lifetime_ms, int64_t age_ms)
{
	int64_t left_ms = lifetime_ms - age_ms, percent = smaller(x->rules->ttl_jitter, 100);
	if (left_ms <= 0 || percent == 0)
		return lifetime_ms;
	/* At most 2^31 s of a lifetime: 2^41 ms by 2^32 would not fit. */
	int64_t part = (int64_t)((uint64_t)percent * x->jitter >> 16); /* percent, in 2^-16 */
	return lifetime_ms - (left_ms / 100 * part >> 16);
}

/* What a request with a credential brought was stored by the upstream's word (judge_credentials). */
static bool is_for_all(const struct policy_exchange *x, const struct policy_facts *facts)
{
	const struct cache_control *cc = &facts->cc;
	if (policy_private_all(cc))
		return false;
	if (facts->has_authorization || x->request_has_credential)
		return true;
	return !facts->is_forced && !facts->is_overruled &&
	       (cc->public_ || cc->s_maxage != CC_ABSENT || facts->explicit_ms > 0);
}

static uint16_t flags_of(const struct policy_exchange *x, const struct policy_facts *facts)
{
	const struct cache_control *cc = &facts->cc;
	bool no_cache = policy_no_cache_all(cc) && !(facts->overrides & CACHE_OVERRIDE_NO_CACHE);
	bool s_maxage = cc->s_maxage != CC_ABSENT && !facts->is_forced;
	bool is_private =
		x->rules->scope == CACHE_SCOPE_USER && (policy_private_all(cc) || x->request_has_authorization);
	unsigned flags = 0;
	if (no_cache)
		flags |= POLICY_NO_CACHE;
	if (no_cache || s_maxage || cc->must_revalidate || cc->proxy_revalidate)
		flags |= POLICY_NEVER_STALE;
	if (cc->immutable)
		flags |= POLICY_IMMUTABLE;
	if (is_private)
		flags |= POLICY_PRIVATE;
	if (is_for_all(x, facts))
		flags |= POLICY_FOR_ALL;
	return (uint16_t)flags;
}

/* Rounded up, for what is short is meant. */
static uint32_t whole_seconds(int64_t ms)
{
	int64_t s = ms > 0 ? (ms + 999) / 1000 : 0;
	return s < UINT32_MAX ? (uint32_t)s : UINT32_MAX;
}

/* The upstream's window, else the route's, else `auto_ms`. */
static int64_t window_ms(int64_t upstream_s, int64_t route_ms, int64_t auto_ms)
{
	if (upstream_s != CC_ABSENT)
		return upstream_s * 1000;
	return smaller(route_ms < 0 ? auto_ms : route_ms, POLICY_DELTA_MAX_MS);
}

/* Where neither says anything: what was never fresh is to be asked for each time, and an error is its response, too. */
static void fill_windows(const struct policy_exchange *x, const struct policy_facts *facts, struct freshness *out)
{
	int64_t fresh_ms = larger(0, out->lifetime_ms - out->initial_age_ms);

	if (facts->cc.stale_while_revalidate == CC_ABSENT && x->rules->stale_while_revalidate_ms < 0)
		out->flags |= POLICY_AUTO_WINDOW;
	out->stale_while_revalidate_ms = window_ms(facts->cc.stale_while_revalidate,
		x->rules->stale_while_revalidate_ms, smaller(fresh_ms, POLICY_AUTO_REVALIDATE_MS));
	out->stale_if_error_ms = window_ms(
		facts->cc.stale_if_error, x->rules->stale_if_error_ms, fresh_ms > 0 ? POLICY_AUTO_ERROR_MS : 0);
}

static void fill_lifetime(const struct policy_exchange *x, struct policy_facts *facts, struct freshness *out)
{
	int64_t lifetime_ms, age_ms = out->initial_age_ms;
	enum policy_source source = choose(x, facts, &lifetime_ms);
	lifetime_ms = smaller(lifetime_ms, POLICY_DELTA_MAX_MS);
	facts->ttl_ms = lifetime_ms;
	out->source = (uint8_t)source;
	if (source == LIFETIME_NONE)
		return;
	if (runs_from_receipt(source))
		lifetime_ms += age_ms;
	lifetime_ms = stretched(x, out->flags, lifetime_ms, age_ms);
	if (source != LIFETIME_ROUTE_FORCE) {
		int64_t given_ms = lifetime_ms;
		lifetime_ms = clamp(x, facts, lifetime_ms, age_ms);
		if (lifetime_ms > given_ms && source == facts->explicit_source)
			out->flags &= (uint16_t)~POLICY_FOR_ALL;
	}
	if (lifetime_ms > age_ms)
		facts->ttl_ms = larger(facts->ttl_ms, lifetime_ms - age_ms);
	out->lifetime_ms = jittered(x, lifetime_ms, age_ms);
}

static uint8_t fetch_time(const struct policy_exchange *x)
{
	return coarse_of((uint64_t)larger(1, x->response_time.mono_ms - x->request_time.mono_ms));
}

void policy_fill(const struct policy_exchange *x, struct policy_facts *facts, struct freshness *out)
{
	*out = (struct freshness){
		.initial_age_ms = initial_age_ms(x, facts),
		.received_mono_ms = x->response_time.mono_ms,
		.received_wall_ms = x->response_time.wall_ms,
		.stale_if_unreachable_s = whole_seconds(x->rules->stale_if_unreachable_ms),
		.flags = flags_of(x, facts),
		.fetch_time = fetch_time(x),
	};
	fill_lifetime(x, facts, out);
	fill_windows(x, facts, out);
}
