/* May it be used (RFC 9111 4), now or in place of an error, and what do the request's own conditions make of it? */
#include "cache/policy.h"

#include "http/date.h"

int64_t policy_age_ms(const struct freshness *f, struct now now)
{
	int64_t resident_ms = now.mono_ms - f->received_mono_ms;
	return f->initial_age_ms + (resident_ms > 0 ? resident_ms : 0);
}

int64_t policy_ttl_ms(const struct freshness *f, struct now now)
{
	return f->lifetime_ms - policy_age_ms(f, now);
}

bool policy_pragma_no_cache(const struct http_fields *request)
{
	return !http_fields_get(request, HF_CACHE_CONTROL) &&
	       http_fields_has_token(request, HF_PRAGMA, SLICE_LIT("no-cache"));
}

/* How the request's directives (RFC 9111 5.2.1) bear on a stored answer. */
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
	if (f->stale_while_revalidate_ms > 0 && staleness_ms <= f->stale_while_revalidate_ms)
		return (struct policy_reuse){POLICY_STALE_WHILE_REVALIDATE, false};
	if (w.max_stale_ms >= 0 && staleness_ms <= w.max_stale_ms)
		return (struct policy_reuse){POLICY_STALE_ALLOWED, false};
	return (struct policy_reuse){POLICY_VALIDATE, false};
}

bool policy_stale_if_error(const struct freshness *f, int status, bool soft_purged, struct now now)
{
	int64_t ttl_ms = policy_ttl_ms(f, now);
	bool is_error = status == 0 || status == 500 || (status >= 502 && status <= 504);
	if (!is_error || (f->flags & POLICY_NO_CACHE) || f->stale_if_error_ms <= 0)
		return false;
	if (ttl_ms > 0 && !soft_purged)
		return true; /* not stale: a client's reload brought the error about */
	int64_t staleness_ms = ttl_ms < 0 ? -ttl_ms : 0;
	return !(f->flags & POLICY_NEVER_STALE) && staleness_ms <= f->stale_if_error_ms;
}

/* ---- The request's conditions (RFC 9110 13) ---- */

/* [ "W/" ] DQUOTE *etagc DQUOTE (RFC 9110 8.8.3): a backslash escapes nothing there, so a list of tags is not a list of
 * quoted strings. Takes one from the front of *rest. */
static bool take_etag(struct slice *rest, bool *is_weak, struct slice *opaque)
{
	struct slice s = *rest;
	*is_weak = s.n >= 2 && s.p[0] == 'W' && s.p[1] == '/';
	if (*is_weak)
		s = (struct slice){s.p + 2, s.n - 2};
	const char *end = s.n >= 2 && s.p[0] == '"' ? memchr(s.p + 1, '"', s.n - 1) : NULL;
	if (!end)
		return false;
	size_t n = (size_t)(end - s.p) + 1;
	*opaque = (struct slice){s.p, n};
	*rest = (struct slice){s.p + n, s.n - n};
	return true;
}

/* After something that is no tag nothing is looked at: where the next one begins can't be known. */
static bool line_matches(struct slice rest, bool weakly, bool is_weak, struct slice opaque)
{
	bool other_weak;
	struct slice other;
	for (;;) {
		while (rest.n > 0 && (rest.p[0] == ',' || rest.p[0] == ' ' || rest.p[0] == '\t'))
			rest = (struct slice){rest.p + 1, rest.n - 1};
		if (!take_etag(&rest, &other_weak, &other))
			return false;
		if (slice_equal(other, opaque) && (weakly || (!is_weak && !other_weak)))
			return true;
	}
}

/* RFC 9110 8.8.3.2 and 13.1.1: "*" is for any representation that there is. */
static bool any_etag_matches(const struct http_fields *request, enum http_field_id id, struct slice etag, bool weakly)
{
	bool is_weak;
	struct slice rest = etag, opaque;
	bool has_etag = take_etag(&rest, &is_weak, &opaque) && rest.n == 0;
	uint32_t i = 0;
	for (const struct http_field *line; (line = http_fields_next(request, id, &i)) != NULL;) {
		if (slice_equal(slice_trim(line->value), SLICE_LIT("*")))
			return true;
		if (has_etag && line_matches(line->value, weakly, is_weak, opaque))
			return true;
	}
	return false;
}

/* A condition with a date: one line, one valid date, or it is ignored (RFC 9110 13.1.3, 13.1.4). Two-digit years (RFC
 * 9110 5.6.7) are read as seen from the stored answer's Date: there is no clock here. */
static bool date_of(const struct http_fields *request, enum http_field_id id, int64_t now_s, int64_t *out_s)
{
	const struct http_field *line = http_fields_get(request, id);
	return line && http_fields_count(request, id) == 1 && http_date_parse(line->value, now_s, out_s);
}

int policy_condition(
	const struct http_fields *request, struct slice etag, struct slice last_modified, struct slice date)
{
	int64_t date_s = 0, modified_s = 0, condition_s;
	bool has_date = http_date_parse(date, 0, &date_s);
	bool has_modified = http_date_parse(last_modified, date_s, &modified_s);
	if (http_fields_get(request, HF_IF_MATCH)) {
		if (!any_etag_matches(request, HF_IF_MATCH, etag, false))
			return 412;
	} else if (has_modified && date_of(request, HF_IF_UNMODIFIED_SINCE, date_s, &condition_s)) {
		if (modified_s > condition_s)
			return 412;
	}
	if (http_fields_get(request, HF_IF_NONE_MATCH))
		return any_etag_matches(request, HF_IF_NONE_MATCH, etag, true) ? 304 : 200;
	if ((has_modified || has_date) && date_of(request, HF_IF_MODIFIED_SINCE, date_s, &condition_s))
		return (has_modified ? modified_s : date_s) <= condition_s ? 304 : 200;
	return 200;
}
