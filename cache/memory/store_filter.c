/* SPDX-License-Identifier: MIT */
#include "cache/memory/store_filter.h"

#include <jansson.h>
#include <string.h>

static bool is_guarded(const struct cache_rules *rules, int status)
{
	return rules->store_if != CACHE_STORE_ANY && (status == 200 || status == 206);
}

bool store_filter_allows_head(const struct cache_rules *rules, int status, const struct http_fields *fields)
{
	/* A part, or what is coded, can't be looked into. */
	return !is_guarded(rules, status) || (status == 200 && http_media_type_is_json(http_media_type(fields, NULL)) &&
						     !http_fields_get(fields, HF_CONTENT_ENCODING));
}

struct reading {
	const struct object *o;
	uint64_t at;
};

static size_t read_more(void *to, size_t n, void *arg)
{
	struct reading *r = arg;
	struct slice run = object_body_at(r->o, r->at);

	if (run.n > n)
		run.n = n;
	if (run.n > 0)
		memcpy(to, run.p, run.n);
	r->at += run.n;
	return run.n;
}

bool store_filter_allows_body(const struct cache_rules *rules, const struct object *o)
{
	struct reading r = {.o = o};
	json_error_t error;
	json_t *root;
	bool allows;

	if (!is_guarded(rules, object_status(o)))
		return true;
	root = json_load_callback(read_more, &r, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	allows = root != NULL;
	if (root && rules->store_if == CACHE_STORE_GRAPHQL)
		allows = json_is_object(root) && !json_object_get(root, "errors");
	json_decref(root);
	return allows;
}
