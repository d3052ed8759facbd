/* SPDX-License-Identifier: MIT */
/* What a response that goes to this client alone leaves in the cache. */
#include "cache/policy/credentials.h"
#include "proxy/transaction/hit.h"
#include "proxy/transaction/transaction_internal.h"

/* Was the origin sent what a GET that may be cached would have sent, beside the body? Fields that are left out of that, and
 * parameters that the query rule drops, could have changed the response. */
static bool is_as_get(const struct target *post, const struct target *get)
{
	return post->sent.http.fields.n == get->sent.http.fields.n &&
	       slice_equal(buf_slice(&post->path), buf_slice(&get->path));
}

/* RFC 9110 9.3.3: a response to POST that says it is what GET would give. What the body did to it is the origin's word. */
static enum policy_store keep_for_get(
	struct transaction *x, int status, const struct http_fields *fields, int64_t content_length)
{
	struct http_request get = *x->client;
	struct asked asked = hit_asked(x->transport);
	struct policy_exchange p = {
		.method = HTTP_POST,
		.request = &x->target.sent.http.fields,
		.status = status,
		.response = fields,
		.request_time = x->now,
		.response_time = x->now,
		.rules = &x->target.route->rules,
	};
	struct target target;
	enum policy_store why = POLICY_NOT_METHOD;

	get.method = HTTP_GET;
	get.method_token = SLICE_LIT("GET");
	get.framing = HTTP_BODY_NONE;
	asked.http = &get;
	target_init(&target);
	if (target_resolve(&target, x->target.snapshot, &asked, (struct slice){NULL, 0}) == 0 && target.is_cacheable) {
		struct cache_request r = target_cache_request(&target, x->worker->index);

		p.target_url = cache_key_url(&target.key);
		if (is_as_get(&x->target, &target) && policy_post_answers_get(&p))
			why = fetch_job_keep(x->job, &r, status, fields, content_length);
	}
	target_fini(&target);
	return why;
}

/* It passed because an earlier response could not be shared: what is true of this one? What can't be seen by its head is as before. */
static enum policy_store judge_passed(const struct transaction *x, int status, const struct http_fields *fields)
{
	const struct cache_rules *rules = &x->target.route->rules;
	const struct http_fields *request = &x->target.sent.http.fields;
	struct credentials bears = credentials_of(rules, request);
	struct policy_exchange p = {
		.method = x->client->method == HTTP_HEAD ? HTTP_GET : x->client->method,
		.target_url = cache_key_url(&x->target.key),
		.request = request,
		.request_has_authorization = bears.has_authorization,
		.request_has_credential = bears.has_other,
		.status = status,
		.response = fields,
		.request_time = fetch_job_request_time(x->job),
		.response_time = x->now,
		.rules = rules,
	};
	struct freshness unused;
	enum policy_store why = policy_store(&p, &unused);

	return why == POLICY_STORE ? x->why : why;
}

/* Is it a range that the cache may keep what comes of? */
static bool may_keep_part(const struct transaction *x, int status)
{
	return x->target.is_cacheable && x->client->method == HTTP_GET && (status == 200 || status == 206) &&
	       http_fields_get(&x->target.sent.http.fields, HF_RANGE);
}

static enum policy_store keep(
	struct transaction *x, int status, const struct http_fields *fields, int64_t content_length)
{
	const struct cache_rules *rules = &x->target.route->rules;

	if (!x->job || !rules->cache)
		return x->why;
	if (x->client->method == HTTP_POST && !cache_takes_method(rules, HTTP_POST) &&
		http_fields_get(fields, HF_CONTENT_LOCATION))
		return keep_for_get(x, status, fields, content_length);
	if (may_keep_part(x, status) && !(x->whole_comes && status == 206)) {
		struct cache_request r = target_cache_request(&x->target, x->worker->index);

		return fetch_job_keep(x->job, &r, status, fields, content_length);
	}
	return x->cache_status.forward == CACHE_FWD_MISS ? judge_passed(x, status, fields) : x->why;
}

/* What a response that nobody keeps says about the stored one: RFC 9111 4.3.3, and 4.3.5 for HEAD. */
static void tell_cache(struct transaction *x, int status, const struct http_fields *fields, bool is_kept)
{
	struct cache_request r = target_cache_request(&x->target, x->worker->index);

	if (!x->target.is_cacheable || !x->job)
		return;
	if (x->client->method == HTTP_HEAD)
		cache_saw_head(x->worker->cache, &r, fetch_job_asked(x->job), status, fields,
			fetch_job_request_time(x->job), x->now);
	else if (x->client->method == HTTP_GET && !is_kept)
		cache_saw_response(x->worker->cache, &r, fetch_job_asked(x->job), status, fields, x->now);
}

/* What others are to make of it: see cache_saw_passed. */
static void tell_of_passed(struct transaction *x, struct cache_passed p)
{
	struct cache_request r = target_cache_request(&x->target, x->worker->index);

	if (!x->target.is_cacheable || x->kind != RESPONSE_PASS || !x->job)
		return;
	p.request_time = fetch_job_request_time(x->job);
	p.now = x->now;
	cache_saw_passed(x->worker->cache, &r, fetch_job_asked(x->job), &p);
}

enum policy_store transaction_keep(
	struct transaction *x, int status, struct http_fields *fields, int64_t content_length)
{
	enum policy_store why = keep(x, status, fields, content_length);

	tell_cache(x, status, fields, why == POLICY_STORE);
	tell_of_passed(x, (struct cache_passed){.status = status, .response = fields});
	return why;
}

void transaction_tell_failure(struct transaction *x, enum fetch_result result)
{
	switch (result) {
	case FETCH_REFUSED:
	case FETCH_TIMEOUT:
	case FETCH_BROKEN:
	case FETCH_BAD_RESPONSE:
		x->now = clock_now();
		tell_of_passed(
			x, (struct cache_passed){.status = failure_of_fetch(result, fetch_job_cause(x->job)).status,
				   .cause = fetch_job_cause(x->job),
				   .befalls_all = !fetch_job_was_sent(x->job)});
		return;
	default: /* the origin was not asked, or the client has left */
		return;
	}
}
