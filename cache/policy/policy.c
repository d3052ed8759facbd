/* SPDX-License-Identifier: MIT */
/* May it be stored (RFC 9111 3)? */
#include "cache/policy/policy.h"

#include "cache/policy/policy_facts.h"
#include "cache/policy/vary.h"
#include "http/uri.h"

#define URL_MAX 65536

static bool is_content_location(const struct policy_exchange *x)
{
	const struct http_field *location = http_fields_get(x->response, HF_CONTENT_LOCATION);
	if (!location || x->target_url.n == 0 || http_fields_count(x->response, HF_CONTENT_LOCATION) != 1)
		return false;
	struct buf url;
	buf_init(&url, URL_MAX);
	bool same =
		uri_resolve(x->target_url, location->value, &url) == 0 && slice_equal(buf_slice(&url), x->target_url);
	buf_fini(&url);
	return same;
}

bool policy_post_answers_get(const struct policy_exchange *x)
{
	struct policy_facts facts;
	if (x->method != HTTP_POST || cache_takes_method(x->rules, HTTP_POST) || x->status < 200 || x->status > 299 ||
		!is_content_location(x))
		return false;
	policy_read(x, &facts);
	return facts.explicit_ms > 0;
}

static enum policy_store judge_method(const struct policy_exchange *x)
{
	if (!x->rules->cache)
		return POLICY_NOT_ROUTE;
	switch (x->method) {
	case HTTP_GET:
		return POLICY_STORE;
	case HTTP_POST:
		return cache_takes_method(x->rules, HTTP_POST) || policy_post_answers_get(x) ? POLICY_STORE
											     : POLICY_NOT_METHOD;
	case HTTP_QUERY:
		return cache_takes_method(x->rules, HTTP_QUERY) ? POLICY_STORE : POLICY_NOT_METHOD;
	default:
		return POLICY_NOT_METHOD;
	}
}

/* RFC 9111 3.3, 3.4: parts need the whole; RFC 3229 10.4.1 for 226. RFC 6585 3 to 6: never stored by any cache. */
static enum policy_store judge_status(int status, bool is_part)
{
	switch (status) {
	case 206:
		return is_part ? POLICY_STORE : POLICY_NOT_PARTIAL;
	case 226:
	case 304:
		return POLICY_NOT_PARTIAL;
	case 426: /* about the connection, like the Upgrade field that it bears */
	case 428:
	case 429:
	case 431:
	case 511:
		return POLICY_NOT_STATUS;
	default:
		return status >= 200 && status <= 599 ? POLICY_STORE : POLICY_NOT_STATUS;
	}
}

bool policy_status_is_stored(int status)
{
	return judge_status(status, true) == POLICY_STORE;
}

/* Statuses whose caching requirements are met here (RFC 9111 5.2.2.3): those of RFC 9110 15 and the registered ones that
 * ask for nothing else than RFC 9111 does. */
static bool understands(int status)
{
	if (status >= 200 && status <= 206)
		return true;
	if (status >= 300 && status <= 308)
		return status != 304 && status != 306;
	if (status >= 400 && status <= 417)
		return true;
	if (status >= 500 && status <= 505)
		return true;
	return status == 421 || status == 422 || status == 451;
}

static bool request_forbids(const struct policy_exchange *x)
{
	struct cache_control cc;
	return x->rules->client_refresh && cache_control_of(&cc, x->request) && cc.no_store;
}

static enum policy_store judge_no_store(const struct policy_exchange *x, const struct policy_facts *facts)
{
	const struct cache_control *cc = &facts->cc;
	if (cc->must_understand)
		return understands(x->status) ? POLICY_STORE : POLICY_NOT_STATUS;
	return cc->no_store && !(facts->overrides & CACHE_OVERRIDE_NO_STORE) ? POLICY_NOT_NO_STORE : POLICY_STORE;
}

/* Where `private` would be overruled, were there no credential, that is the reason. */
static enum policy_store refusal_of_private(const struct policy_exchange *x, const struct policy_facts *facts)
{
	if (!(cache_overrides(x->rules) & CACHE_OVERRIDE_PRIVATE) || x->status >= 400)
		return POLICY_NOT_PRIVATE;
	return facts->has_authorization    ? POLICY_NOT_AUTHORIZATION
	       : x->request_has_credential ? POLICY_NOT_CREDENTIAL
					   : POLICY_NOT_PRIVATE;
}

static enum policy_store judge_credentials(const struct policy_exchange *x, const struct policy_facts *facts)
{
	const struct cache_control *cc = &facts->cc;
	bool is_users = x->rules->scope == CACHE_SCOPE_USER;
	bool is_open = cc->public_ || cc->s_maxage != CC_ABSENT;
	bool has_lifetime = facts->explicit_ms > 0 && !policy_no_cache_all(cc);
	bool has_another = facts->has_authorization || x->request_has_credential;
	/* `private` is a user's own only where nothing but the identity says who asks: it is no word about another credential. */
	if (policy_private_all(cc) && (!is_users || has_another) && !(facts->overrides & CACHE_OVERRIDE_PRIVATE))
		return refusal_of_private(x, facts);
	/* RFC 9111 3.5 */
	if (facts->has_authorization && !is_open && !cc->must_revalidate)
		return POLICY_NOT_AUTHORIZATION;
	if (x->request_has_credential && !is_open && !has_lifetime)
		return POLICY_NOT_CREDENTIAL;
	return POLICY_STORE;
}

bool policy_says_for_others(const struct policy_exchange *x)
{
	struct policy_facts facts;
	if (!x->request_has_authorization && !x->request_has_credential)
		return true;
	policy_read(x, &facts);
	return judge_credentials(x, &facts) == POLICY_STORE;
}

static enum policy_store judge_set_cookie(const struct policy_exchange *x, const struct policy_facts *facts)
{
	switch (x->rules->set_cookie) {
	case CACHE_COOKIE_STORE:
	case CACHE_COOKIE_STRIP:
		return POLICY_STORE;
	case CACHE_COOKIE_PASS:
		return http_fields_get(x->response, HF_SET_COOKIE) ? POLICY_NOT_SET_COOKIE : POLICY_STORE;
	case CACHE_COOKIE_AUTO:
		break;
	}
	/* To be kept for validation only is not what a response with a cookie was made for: a 304 would hand it to others. */
	bool is_meant_to_be_shared = (facts->explicit_ms > 0 && !policy_no_cache_all(&facts->cc)) ||
				     facts->overrides & CACHE_OVERRIDE_SET_COOKIE;
	return facts->has_set_cookie && !is_meant_to_be_shared ? POLICY_NOT_SET_COOKIE : POLICY_STORE;
}

static enum policy_store judge_vary(const struct policy_exchange *x)
{
	struct buf names;
	buf_init(&names, URL_MAX);
	enum vary_kind kind = vary_names(x->response, &names);
	buf_fini(&names);
	return kind == VARY_STAR ? POLICY_NOT_VARY_STAR : POLICY_STORE;
}

/* The last condition of RFC 9111 3, and whether anything could be done with it. */
static enum policy_store judge_use(
	const struct policy_exchange *x, const struct policy_facts *facts, const struct freshness *f)
{
	bool is_heuristic = policy_status_is_heuristic(x->status) || facts->cc.public_;
	bool is_users = x->rules->scope == CACHE_SCOPE_USER && policy_private_all(&facts->cc);
	if (f->source == LIFETIME_NONE && !is_heuristic && !is_users)
		return POLICY_NOT_STATUS;
	/* A POST can't be made conditional on what is stored (RFC 9110 13.1.2). */
	if (x->method == HTTP_POST && (facts->ttl_ms <= 0 || (f->flags & POLICY_NO_CACHE)))
		return POLICY_NOT_FRESH;
	if (facts->ttl_ms > 0 || facts->has_validator || (f->flags & POLICY_NO_CACHE))
		return POLICY_STORE;
	bool has_window = f->stale_while_revalidate_ms > 0 || f->stale_if_error_ms > 0;
	bool may_be_stale = f->source != LIFETIME_NONE && !(f->flags & POLICY_NEVER_STALE);
	if (has_window && may_be_stale)
		return POLICY_STORE;
	/* The route's ttl is for what is no error. */
	return x->status >= 400 ? POLICY_NOT_STATUS : POLICY_NOT_FRESH;
}

enum policy_store policy_store(const struct policy_exchange *x, struct freshness *out)
{
	struct policy_facts facts;
	enum policy_store verdict = judge_method(x);
	if (verdict == POLICY_STORE)
		verdict = judge_status(x->status, x->is_part);
	if (verdict != POLICY_STORE)
		return verdict;
	policy_read(x, &facts);
	verdict = request_forbids(x) ? POLICY_NOT_REQUEST_NO_STORE : judge_no_store(x, &facts);
	if (verdict == POLICY_STORE)
		verdict = judge_credentials(x, &facts);
	if (verdict == POLICY_STORE)
		verdict = judge_set_cookie(x, &facts);
	if (verdict == POLICY_STORE)
		verdict = judge_vary(x);
	if (verdict != POLICY_STORE)
		return verdict;
	struct freshness f;
	policy_fill(x, &facts, &f);
	verdict = judge_use(x, &facts, &f);
	if (verdict == POLICY_STORE)
		*out = f;
	return verdict;
}

bool policy_status_is_of_one_client(int status)
{
	switch (status) {
	case 407:
	case 408:
	case 417:
	case 421:
	case 425:
	case 426: /* its Upgrade field goes no further than one hop */
	case 428:
	case 431:
	case 511:
		return true;
	default:
		return false;
	}
}

enum policy_share policy_share_error(const struct policy_exchange *x)
{
	struct policy_facts facts;
	bool is_troubled = x->status == 429 || x->status >= 500;

	if (!x->rules->share_errors || x->status < 300 || x->status == 304 || policy_status_is_of_one_client(x->status))
		return POLICY_SHARE_NOT;
	policy_read(x, &facts);
	if (request_forbids(x) || x->request_has_authorization || x->request_has_credential || facts.cc.no_store ||
		judge_credentials(x, &facts) != POLICY_STORE || http_fields_get(x->response, HF_SET_COOKIE) ||
		judge_set_cookie(x, &facts) != POLICY_STORE || judge_vary(x) != POLICY_STORE)
		return POLICY_SHARE_NOT;
	/* What its origin calls outdated at once is not shown to those who come later. */
	return is_troubled && !policy_no_cache_all(&facts.cc) && facts.explicit_ms != 0 ? POLICY_SHARE_MOMENT
											: POLICY_SHARE_WAITERS;
}

bool policy_refresh(const struct policy_exchange *x, struct freshness *out)
{
	struct policy_facts facts;
	policy_read(x, &facts);
	policy_fill(x, &facts, out);
	if (judge_no_store(x, &facts) == POLICY_STORE && judge_credentials(x, &facts) == POLICY_STORE &&
		judge_set_cookie(x, &facts) == POLICY_STORE && judge_vary(x) == POLICY_STORE)
		return true;
	out->lifetime_ms = 0;
	out->source = LIFETIME_NONE;
	out->flags |= POLICY_NO_CACHE | POLICY_NEVER_STALE;
	out->flags &= (uint16_t)~POLICY_FOR_ALL;
	return false;
}

/* ---- Fields that are not stored ---- */

/* Without them the stored response would be another one, or would be used otherwise. */
static bool describes_message(enum http_field_id id)
{
	switch (id) {
	case HF_VARY:
	case HF_CACHE_CONTROL:
	case HF_CDN_CACHE_CONTROL:
	case HF_DATE:
	case HF_EXPIRES:
	case HF_AGE:
	case HF_CONTENT_TYPE:
	case HF_CONTENT_ENCODING:
	case HF_CONTENT_LENGTH:
		return true;
	default:
		return false;
	}
}

static bool is_listed(const struct cc_fields *names, const struct http_field *field)
{
	for (unsigned i = 0; i < names->n; i++) {
		if (slice_equal_nocase(names->v[i], field->name))
			return !describes_message(field->id);
	}
	return false;
}

int policy_strip_fields(struct http_fields *response, const struct cache_rules *rules)
{
	struct cache_control cc;
	bool strip_cookies = rules->set_cookie != CACHE_COOKIE_STORE;
	(void)cache_control_of(&cc, response);
	int rc = http_fields_drop_hop_by_hop(response);
	if (rc < 0)
		return rc;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < response->n; i++) {
		const struct http_field *field = &response->v[i];
		bool is_cookie =
			field->id == HF_SET_COOKIE || slice_equal_nocase(field->name, SLICE_LIT("Set-Cookie2"));
		if ((is_cookie && strip_cookies) || is_listed(&cc.no_cache_fields, field) ||
			(rules->scope != CACHE_SCOPE_USER && is_listed(&cc.private_fields, field)))
			continue;
		response->v[kept++] = *field;
	}
	response->n = kept;
	return 0;
}
