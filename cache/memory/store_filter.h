/* SPDX-License-Identifier: MIT */
/* Is a 200 what the route promises (store_if)? Thread: any. Private to cache/. */
#ifndef CACHE_MEMORY_STORE_FILTER_H
#define CACHE_MEMORY_STORE_FILTER_H

#include <stdbool.h>

#include "cache/memory/object.h"
#include "cache/policy/rules.h"
#include "http/fields.h"

/* By its head: false where no body could make up for it. */
bool store_filter_allows_head(const struct cache_rules *rules, int status, const struct http_fields *fields);
/* By its complete body. Costs what parsing it costs, on the caller's thread. */
bool store_filter_allows_body(const struct cache_rules *rules, const struct object *o);

#endif
