/* SPDX-License-Identifier: MIT */
#include "cache/policy/policy_facts.h"

#include <errno.h>

#include "http/date.h"

#define TARGETED_MAX 16384

bool policy_status_is_heuristic(int status)
{
	switch (status) {
	case 200:
	case 203:
	case 204:
	case 206:
	case 300:
	case 301:
	case 308:
	case 404:
	case 405:
	case 410:
	case 414:
	case 501:
		return true;
	default:
		return false;
	}
}

bool policy_may_validate(int status)
{
	return status >= 200 && status <= 299;
}

/* The name may be one that is not interned, hence not http_fields_join. */
static int join_lines(const struct http_fields *fields, struct slice name, struct buf *out)
{
	uint32_t i = 0;
	bool first = true;
	for (const struct http_field *line; (line = http_fields_find_next(fields, name, &i)) != NULL; first = false) {
		if (!first)
			buf_add_str(out, ", ");
		buf_add_slice(out, line->value);
	}
	return out->err;
}

/* RFC 9213 2.2: the first on the list that is valid and not empty. Out of memory counts as a field that forbids all:
 * what it would have said is not known. A targeted field's names in no-cache and private point nowhere: its text is gone
 * after this, so they apply to the whole response. */
static bool read_targeted(const struct policy_exchange *x, struct cache_control *cc)
{
	for (unsigned i = 0; i < x->rules->targeted.n; i++) {
		struct slice name = x->rules->targeted.v[i];
		if (!http_fields_find(x->response, name))
			continue;
		struct buf joined;
		buf_init(&joined, TARGETED_MAX);
		*cc = cache_control_none;
		int rc = join_lines(x->response, name, &joined);
		bool is_valid = rc == 0 && cache_control_of_targeted(cc, buf_slice(&joined));
		buf_fini(&joined);
		cc->no_cache_fields.n = cc->private_fields.n = 0;
		if (rc == -ENOMEM) {
			cc->no_store = true;
			return true;
		}
		if (is_valid)
			return true;
	}
	return false;
}

static int64_t wall_s(const struct policy_exchange *x)
{
	return x->response_time.wall_ms / 1000;
}

/* Repeated lines that differ: the earliest makes the response oldest, the latest makes Expires soonest. */
static void read_date(const struct policy_exchange *x, struct policy_facts *facts)
{
	uint32_t i = 0;
	int64_t date_s;
	bool found = false;
	facts->date_min_ms = facts->date_max_ms = wall_s(x) * 1000;
	for (const struct http_field *line; (line = http_fields_next(x->response, HF_DATE, &i)) != NULL;) {
		if (!http_date_parse(line->value, wall_s(x), &date_s))
			continue;
		int64_t ms = date_s * 1000;
		if (!found || ms < facts->date_min_ms)
			facts->date_min_ms = ms;
		if (!found || ms > facts->date_max_ms)
			facts->date_max_ms = ms;
		found = true;
	}
}

static void read_validators(const struct policy_exchange *x, struct policy_facts *facts)
{
	const struct http_field *etag = http_fields_get(x->response, HF_ETAG);
	const struct http_field *modified = http_fields_get(x->response, HF_LAST_MODIFIED);
	int64_t modified_s;
	facts->last_modified_ms = -1;
	if (modified && http_fields_count(x->response, HF_LAST_MODIFIED) == 1 &&
		http_date_parse(modified->value, wall_s(x), &modified_s) && modified_s >= 0)
		facts->last_modified_ms = modified_s * 1000;
	facts->has_validator =
		policy_may_validate(x->status) && ((etag && etag->value.n > 0) || facts->last_modified_ms >= 0);
}

/* RFC 9111 5.3: what is no date, and more than one of them, is a time in the past. */
static int64_t expires_lifetime(const struct policy_exchange *x, const struct policy_facts *facts)
{
	int64_t expires_s;
	const struct http_field *expires = http_fields_get(x->response, HF_EXPIRES);
	if (http_fields_count(x->response, HF_EXPIRES) != 1 || !http_date_parse(expires->value, wall_s(x), &expires_s))
		return 0;
	int64_t ms = expires_s * 1000 - facts->date_max_ms;
	return ms > 0 ? ms : 0;
}

/* RFC 9111 4.2.1. Seconds are at most CC_DELTA_MAX. */
static void read_explicit(const struct policy_exchange *x, struct policy_facts *facts)
{
	const struct cache_control *cc = &facts->cc;
	facts->explicit_ms = -1;
	facts->explicit_source = LIFETIME_NONE;
	if (cc->s_maxage != CC_ABSENT || cc->max_age != CC_ABSENT) {
		bool shared = cc->s_maxage != CC_ABSENT;
		facts->explicit_ms = (shared ? cc->s_maxage : cc->max_age) * 1000;
		facts->explicit_source = shared ? LIFETIME_S_MAXAGE : LIFETIME_MAX_AGE;
		if (facts->is_targeted)
			facts->explicit_source = LIFETIME_TARGETED;
	} else if (!facts->is_targeted && http_fields_get(x->response, HF_EXPIRES)) {
		facts->explicit_ms = expires_lifetime(x, facts);
		facts->explicit_source = LIFETIME_EXPIRES;
	}
	if (facts->explicit_ms > POLICY_DELTA_MAX_MS)
		facts->explicit_ms = POLICY_DELTA_MAX_MS;
}

static bool names_set_cookie(const struct cc_fields *fields)
{
	for (unsigned i = 0; i < fields->n; i++) {
		if (http_field_id_of(fields->v[i]) == HF_SET_COOKIE)
			return true;
	}
	return false;
}

/* policy_strip_fields goes by Cache-Control, so what it says of Set-Cookie counts under a targeted field too. */
static bool stores_set_cookie(const struct policy_exchange *x)
{
	if (!http_fields_get(x->response, HF_SET_COOKIE))
		return false;
	struct cache_control cc;
	return !cache_control_of(&cc, x->response) ||
	       (!names_set_cookie(&cc.no_cache_fields) && !names_set_cookie(&cc.private_fields));
}

static bool is_forced(const struct policy_exchange *x, const struct policy_facts *facts)
{
	return x->rules->ttl_force_ms >= 0 && facts->route_may_raise && x->status < 400 &&
	       (policy_status_is_heuristic(x->status) || facts->explicit_ms >= 0);
}

/* What `override` names, of a response that ttl or ttl_force are for. A request's credential, other than an Authorization that is named,
 * leaves nothing of it: `private`, say, is then no word about who may have what anybody gets. */
static unsigned named_overrides(const struct policy_exchange *x, const struct policy_facts *facts)
{
	unsigned named = cache_overrides(x->rules);

	if (x->status >= 400 || x->request_has_credential ||
		(x->request_has_authorization && !(named & CACHE_OVERRIDE_AUTHORIZATION)) ||
		(!policy_status_is_heuristic(x->status) && facts->explicit_ms < 0))
		return 0;
	return named;
}

/* A lifetime of 0 says what no-cache does: ttl stands in for both. */
static bool drops_lifetime(const struct policy_exchange *x, const struct policy_facts *facts)
{
	return facts->overrides & CACHE_OVERRIDE_NO_CACHE && facts->explicit_ms == 0 && x->rules->ttl_ms >= 0;
}

/* RFC 9111 3.5 */
static bool says_for_others(const struct cache_control *cc)
{
	return cc->public_ || cc->s_maxage != CC_ABSENT || cc->must_revalidate;
}

static bool is_overruled(const struct policy_facts *facts)
{
	const struct cache_control *cc = &facts->cc;
	unsigned said = (policy_private_all(cc) ? CACHE_OVERRIDE_PRIVATE : 0U) |
			(cc->no_store ? CACHE_OVERRIDE_NO_STORE : 0U) |
			(policy_no_cache_all(cc) || facts->explicit_ms == 0 ? CACHE_OVERRIDE_NO_CACHE : 0U) |
			(facts->has_set_cookie ? CACHE_OVERRIDE_SET_COOKIE : 0U);

	return said & facts->overrides;
}

static void read_overrides(const struct policy_exchange *x, struct policy_facts *facts)
{
	bool has_credential = x->request_has_credential;

	facts->overrides = named_overrides(x, facts);
	facts->has_authorization = x->request_has_authorization && !(facts->overrides & CACHE_OVERRIDE_AUTHORIZATION);
	has_credential |= facts->has_authorization;
	facts->route_may_raise =
		!has_credential && (!facts->has_set_cookie || x->rules->set_cookie != CACHE_COOKIE_AUTO ||
					   facts->overrides & CACHE_OVERRIDE_SET_COOKIE);
	facts->route_may_give = !has_credential || facts->cc.public_;
	facts->is_forced = is_forced(x, facts);
	if (facts->is_forced && !x->rules->override)
		facts->overrides = CACHE_OVERRIDE_NO_STORE | CACHE_OVERRIDE_NO_CACHE;
	facts->is_overruled = is_overruled(facts) || (x->request_has_authorization && !facts->has_authorization &&
							     !says_for_others(&facts->cc));
	if (!facts->is_forced && drops_lifetime(x, facts)) {
		facts->explicit_ms = -1;
		facts->explicit_source = LIFETIME_NONE;
	}
}

void policy_read(const struct policy_exchange *x, struct policy_facts *facts)
{
	*facts = (struct policy_facts){0};
	facts->is_targeted = read_targeted(x, &facts->cc);
	if (!facts->is_targeted)
		(void)cache_control_of(&facts->cc, x->response);
	read_date(x, facts);
	read_validators(x, facts);
	read_explicit(x, facts);
	facts->has_set_cookie = stores_set_cookie(x);
	read_overrides(x, facts);
}
