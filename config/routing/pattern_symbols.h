/* SPDX-License-Identifier: MIT */
/* A compiled pattern as what it is made of, for the table that looks for all of them at once. Private to config/.
 * Thread: any. Borrows: the pattern. */
#ifndef CONFIG_ROUTING_PATTERN_SYMBOLS_H
#define CONFIG_ROUTING_PATTERN_SYMBOLS_H

#include "config/routing/pattern.h"
#include "config/routing/symbols.h"

struct symbols pattern_path(const struct pattern *p);
/* False: every query fits, and none. */
bool pattern_query(const struct pattern *p, struct symbols *query);

#endif
