/* SPDX-License-Identifier: MIT */
/* May it be used (RFC 9111 4), now or in place of an error, and what do the request's own conditions make of it? */
#include "cache/policy/policy.h"

#include "http/date.h"
#include "http/etag.h"

#define SPARED_MS (24LL * 3600 * 1000)

int64_t policy_age_ms(const struct freshness *f, struct now now)
{
	int64_t resident_ms = now.mono_ms - f->received_mono_ms;
	return f->initial_age_ms + (resident_ms > 0 ? resident_ms : 0);
}

int64_t policy_ttl_ms(const struct freshness *f, struct now now)
{
	return f->lifetime_ms - policy_age_ms(f, now);
}

const char *policy_never_fresh(const struct freshness *f)
{
	if (f->flags & POLICY_NO_CACHE)
		return "no-cache";
	return f->lifetime_ms <= 0 ? "no-lifetime" : NULL;
}

int64_t policy_stale_window_ms(const struct freshness *f)
{
	int64_t ms = f->stale_while_revalidate_ms, unreachable_ms = f->stale_if_unreachable_s * INT64_C(1000);
	if (f->flags & (POLICY_NEVER_STALE | POLICY_NO_CACHE))
		return 0;
	if (f->stale_if_error_ms > ms)
		ms = f->stale_if_error_ms;
	return unreachable_ms > ms ? unreachable_ms : ms;
}

bool policy_pragma_no_cache(const struct http_fields *request)
{
	return !http_fields_get(request, HF_CACHE_CONTROL) &&
	       http_fields_has_token(request, HF_PRAGMA, SLICE_LIT("no-cache"));
}

/* How the request's directives (RFC 9111 5.2.1) bear on a stored response. */
struct wishes {
	bool validate;        /* it must not be used without asking first, fresh or not */
	bool no_stale;        /* max-age or min-fresh without max-stale: a stale one is not wanted */
	int64_t max_stale_ms; /* -1: not said */
};

static struct wishes wishes_of(const struct cache_control *cc, bool pragma_no_cache, int64_t age_ms, int64_t ttl_ms)
{
	struct wishes w = {.validate = pragma_no_cache, .max_stale_ms = -1};
	if (!cc)
		return (struct wishes){.max_stale_ms = -1};
	if (cc->max_stale != CC_ABSENT)
		w.max_stale_ms = cc->max_stale >= CC_DELTA_MAX ? INT64_MAX : cc->max_stale * 1000;
	if (cc->no_cache)
		w.validate = true;
	/* max-age=0 is a reload, in the very millisecond of storing too. */
	if (cc->max_age != CC_ABSENT && (cc->max_age == 0 || age_ms > cc->max_age * 1000))
		w.validate = true;
	/* What is stale already is a matter of max-stale, where that is said. */
	if (cc->min_fresh != CC_ABSENT && ttl_ms < cc->min_fresh * 1000 && (ttl_ms > 0 || w.max_stale_ms < 0))
		w.validate = true;
	w.no_stale = w.max_stale_ms < 0 && (cc->max_age != CC_ABSENT || cc->min_fresh != CC_ABSENT);
	return w;
}

struct policy_reuse policy_reuse(const struct freshness *f, const struct cache_control *request_cc,
	bool pragma_no_cache, bool soft_purged, struct now now)
{
	int64_t ttl_ms = policy_ttl_ms(f, now);
	bool is_fresh = ttl_ms > 0 && !soft_purged && !(f->flags & POLICY_NO_CACHE);
	int64_t staleness_ms = ttl_ms < 0 ? -ttl_ms : 0;
	struct wishes w = wishes_of(request_cc, pragma_no_cache, policy_age_ms(f, now), ttl_ms);
	if (w.validate)
		return (struct policy_reuse){POLICY_VALIDATE, is_fresh};
	if (is_fresh)
		return (struct policy_reuse){POLICY_FRESH, false};
	if ((f->flags & (POLICY_NEVER_STALE | POLICY_NO_CACHE)) || w.no_stale)
		return (struct policy_reuse){POLICY_VALIDATE, false};
	if (f->stale_while_revalidate_ms > 0 && staleness_ms <= f->stale_while_revalidate_ms &&
		!(soft_purged && f->flags & POLICY_AUTO_WINDOW))
		return (struct policy_reuse){POLICY_STALE_WHILE_REVALIDATE, false};
	if (w.max_stale_ms >= 0 && staleness_ms <= w.max_stale_ms)
		return (struct policy_reuse){POLICY_STALE_ALLOWED, false};
	return (struct policy_reuse){POLICY_VALIDATE, false};
}

bool policy_stale_if_error(const struct freshness *f, int status, bool soft_purged, struct now now)
{
	int64_t ttl_ms = policy_ttl_ms(f, now);
	bool is_error = status == 0 || status == 500 || (status >= 502 && status <= 504);
	int64_t window_ms = f->stale_if_error_ms;
	if (status == 0 && f->stale_if_unreachable_s * INT64_C(1000) > window_ms)
		window_ms = f->stale_if_unreachable_s * INT64_C(1000);
	if (!is_error || (f->flags & POLICY_NO_CACHE) || window_ms <= 0)
		return false;
	if (ttl_ms > 0 && !soft_purged)
		return true; /* not stale: a client's reload brought the error about */
	int64_t staleness_ms = ttl_ms < 0 ? -ttl_ms : 0;
	return !(f->flags & POLICY_NEVER_STALE) && staleness_ms <= window_ms;
}

bool policy_stale_if_spared(const struct freshness *f, struct now now)
{
	int64_t window_ms = f->stale_if_error_ms > 0 ? f->stale_if_error_ms : SPARED_MS;
	return !(f->flags & (POLICY_NEVER_STALE | POLICY_NO_CACHE)) && -policy_ttl_ms(f, now) <= window_ms;
}

/* ---- The request's conditions (RFC 9110 13) ---- */

/* Two-digit years (RFC 9110 5.6.7) are read as seen from 2038, so that all dates here are read alike without a clock. */
static bool parse_date(struct slice s, int64_t *out_s)
{
	return http_date_parse(s, INT32_MAX, out_s);
}

/* A condition with a date: one line, one valid date, or it is ignored (RFC 9110 13.1.3, 13.1.4). */
static bool date_of(const struct http_fields *request, enum http_field_id id, int64_t *out_s)
{
	const struct http_field *line = http_fields_get(request, id);
	return line && http_fields_count(request, id) == 1 && parse_date(line->value, out_s);
}

bool policy_is_for_origin(const struct http_fields *request)
{
	return http_fields_get(request, HF_IF_MATCH) || http_fields_get(request, HF_IF_UNMODIFIED_SINCE);
}

bool policy_has_condition(const struct http_fields *request)
{
	return http_fields_get(request, HF_IF_NONE_MATCH) || http_fields_get(request, HF_IF_MODIFIED_SINCE);
}

bool policy_is_not_modified(
	const struct http_fields *request, struct slice etag, struct slice last_modified, struct slice date)
{
	int64_t date_s = 0, modified_s = 0, condition_s;
	bool has_date = parse_date(date, &date_s);
	bool has_modified = parse_date(last_modified, &modified_s);
	enum etag_condition if_none_match = etag_if_none_match(request, etag);
	if (if_none_match != ETAG_NO_CONDITION)
		return if_none_match == ETAG_MATCHES;
	if ((has_modified || has_date) && date_of(request, HF_IF_MODIFIED_SINCE, &condition_s))
		return (has_modified ? modified_s : date_s) <= condition_s;
	return false;
}

struct slice policy_strong_validator(struct slice etag, struct slice last_modified, struct slice date)
{
	int64_t date_s, modified_s;
	if (etag_is_strong(etag))
		return etag;
	/* RFC 9110 8.8.2.2 */
	bool is_strong = etag.n == 0 && parse_date(date, &date_s) && parse_date(last_modified, &modified_s) &&
			 modified_s < date_s;
	return is_strong ? last_modified : (struct slice){"", 0};
}

static struct slice value_in(const struct http_fields *fields, enum http_field_id id)
{
	const struct http_field *f = http_fields_get(fields, id);
	return f ? f->value : (struct slice){"", 0};
}

struct slice policy_strong_validator_of(const struct http_fields *response)
{
	return policy_strong_validator(
		value_in(response, HF_ETAG), value_in(response, HF_LAST_MODIFIED), value_in(response, HF_DATE));
}

bool policy_if_range(
	const struct http_fields *request, struct slice etag, struct slice last_modified, struct slice date)
{
	const struct http_field *condition = http_fields_get(request, HF_IF_RANGE);
	if (!condition)
		return true;
	if (http_fields_count(request, HF_IF_RANGE) != 1)
		return false;
	if (etag_is_valid(condition->value))
		return etag_strong_equal(condition->value, etag);
	/* A date counts beside an entity tag too. */
	struct slice strong = policy_strong_validator((struct slice){"", 0}, last_modified, date);
	return strong.n > 0 && slice_equal(condition->value, strong);
}
