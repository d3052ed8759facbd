/* SPDX-License-Identifier: MIT */
/* What a response that goes to this client alone leaves in the cache. */
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
static bool keep_for_get(struct transaction *x, int status, const struct http_fields *fields, int64_t content_length)
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
	bool is_kept = false;

	get.method = HTTP_GET;
	get.method_token = SLICE_LIT("GET");
	get.framing = HTTP_BODY_NONE;
	asked.http = &get;
	target_init(&target);
	if (target_resolve(&target, x->target.snapshot, &asked, (struct slice){NULL, 0}) == 0 && target.is_cacheable) {
		struct cache_request r = target_cache_request(&target, x->worker->index);

		p.target_url = cache_key_url(&target.key);
		is_kept = is_as_get(&x->target, &target) && policy_post_answers_get(&p) &&
			  fetch_job_keep(x->job, &r, status, fields, content_length);
	}
	target_fini(&target);
	return is_kept;
}

static bool keep(struct transaction *x, int status, const struct http_fields *fields, int64_t content_length)
{
	if (x->kind != RESPONSE_PASS || !x->job || (x->whole_comes && status == 206) || !x->target.route->rules.cache)
		return false;
	if (x->client->method == HTTP_POST && !cache_takes_method(&x->target.route->rules, HTTP_POST) &&
		http_fields_get(fields, HF_CONTENT_LOCATION))
		return keep_for_get(x, status, fields, content_length);
	if (x->target.is_cacheable && x->client->method == HTTP_GET && (status == 200 || status == 206) &&
		http_fields_get(&x->target.sent.http.fields, HF_RANGE)) {
		struct cache_request r = target_cache_request(&x->target, x->worker->index);

		return fetch_job_keep(x->job, &r, status, fields, content_length);
	}
	return false;
}

/* What a response that nobody keeps says about the stored one: RFC 9111 4.3.3, and 4.3.5 for HEAD. */
static void tell_cache(struct transaction *x, int status, const struct http_fields *fields, bool is_kept)
{
	struct cache_request r = target_cache_request(&x->target, x->worker->index);

	if (!x->target.is_cacheable || x->kind != RESPONSE_PASS || !x->job)
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

bool transaction_keep(struct transaction *x, int status, struct http_fields *fields, int64_t content_length)
{
	bool is_kept = keep(x, status, fields, content_length);

	tell_cache(x, status, fields, is_kept);
	tell_of_passed(x, (struct cache_passed){.status = status, .response = fields});
	return is_kept;
}

void transaction_tell_failure(struct transaction *x, enum fetch_result result)
{
	switch (result) {
	case FETCH_REFUSED:
	case FETCH_TIMEOUT:
	case FETCH_BROKEN:
	case FETCH_BAD_RESPONSE:
		x->now = clock_now();
		tell_of_passed(x, (struct cache_passed){.status = failure_of_fetch(result).status,
					  .befalls_all = !fetch_job_was_sent(x->job)});
		return;
	default: /* the origin was not asked, or the client has left */
		return;
	}
}
