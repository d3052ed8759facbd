/* SPDX-License-Identifier: MIT */
/* Is a 200 what the route promises (store_if)? Thread: any. Private to cache/. */
#ifndef CACHE_MEMORY_STORE_FILTER_H
#define CACHE_MEMORY_STORE_FILTER_H

#include <stdbool.h>

#include "base/check.h"
#include "cache/policy/rules.h"
#include "http/fields.h"

/* By its head: false where no body could make up for it. */
bool store_filter_allows_head(const struct cache_rules *rules, int status, const struct http_fields *fields);
/* By its body, which is looked at as it comes: in a fixed number of bytes, whatever is in it. */
struct store_filter;
/* Is a body with that status looked at? */
bool store_filter_looks(const struct cache_rules *rules, int status);
/* *out is NULL where every body is taken. 0 or -ENOMEM. */
int store_filter_begin(const struct cache_rules *rules, int status, struct store_filter **out) WARN_UNUSED;
void store_filter_feed(struct store_filter *f, const void *p, size_t n);
/* What was fed, and no more, is all of the body. */
bool store_filter_allows(const struct store_filter *f);
void store_filter_free(struct store_filter **f);

#endif
