/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/trace.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "proxy/transaction/transaction_internal.h"

enum { TEXT_MAX = 1024 };

bool trace_is_wanted(const struct snapshot *s, const struct http_request *client)
{
	const struct config_proxy *p = &s->config->proxy;
	const struct http_field *f;

	if (!s->traces)
		return false;
	if (p->log_level == LOG_LEVEL_DEBUG)
		return true;
	f = http_fields_get(&client->fields, HF_MEMOPROXY_DEBUG);
	return f && slice_equal_secret(f->value, p->debug_header);
}

void trace_line(struct transaction *x, const char *fmt, ...)
{
	const struct log_field id = {"id", transaction_id(x)};
	char text[TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_trace(&id, 1, "trace: %s", text);
}

void trace_target(struct transaction *x)
{
	const struct target *t = &x->target;

	if (!x->is_traced)
		return;
	trace_line(x, "%.*s %.*s: route %.*s, upstream %.*s", SLICE_ARG(x->client->method_token),
		SLICE_ARG(x->client->target), SLICE_ARG(t->route->rules.route), SLICE_ARG(t->upstream->name));
	if (t->has_key && t->is_cacheable)
		trace_line(x, "the cache is asked for key %016llx%016llx", (unsigned long long)t->key.hash.hi,
			(unsigned long long)t->key.hash.lo);
	else
		trace_line(x, "the cache is not asked: %s", policy_reason(target_why_not(t))->token);
}

void trace_verdict(struct transaction *x, const struct cache_result *found)
{
	static const char *const says[] = {
		[CACHE_HIT] = "a fresh response is stored",
		[CACHE_STALE] = "a stale response is stored that may be used",
		[CACHE_JOIN] = "the same is being fetched: wait for that",
		[CACHE_LOWER] = "it may be on disk: wait for that",
		[CACHE_LEAD] = "fetch it for all",
		[CACHE_PASS] = "fetch it for this client alone",
		[CACHE_ONLY_CACHED] = "nothing is stored, and only-if-cached was asked for",
		[CACHE_FAILED] = "the upstream failed a moment ago",
		[CACHE_BUSY] = "too many wait",
	};
	const char *forward = response_forward_name(found->forward);
	const char *why = found->verdict == CACHE_PASS ? policy_reason(found->why)->token : NULL;

	if (x->is_traced)
		trace_line(x, "%s%s%s%s%s%s", says[found->verdict], forward ? "; fwd=" : "", forward ? forward : "",
			why ? "; reason=" : "", why ? why : "",
			found->flight && (found->verdict == CACHE_HIT || found->verdict == CACHE_STALE)
				? "; it is fetched anew in the background"
				: "");
}

void trace_flight(struct transaction *x, const struct flight_view *view)
{
	static const char *const says[] = {
		[FLIGHT_WAITING] = "waits",
		[FLIGHT_RESPONSE] = "the response is for all",
		[FLIGHT_RELEASED] = "the response is not for sharing",
		[FLIGHT_RETRY] = "what it waited for does not answer it: look again",
		[FLIGHT_STALE] = "the fetch failed, and what is stored stands in",
		[FLIGHT_FAILED] = "the fetch failed",
	};
	const char *cause = fetch_cause_name(view->cause);
	const char *why = view->verdict == POLICY_STORE ? NULL : policy_reason(view->verdict)->token;

	if (x->is_traced)
		trace_line(x, "%s (status %d%s%s%s%s)", says[view->phase], view->status, cause ? "; error=" : "",
			cause ? cause : "", why ? "; not stored: " : "", why ? why : "");
}
