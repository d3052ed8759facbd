/* SPDX-License-Identifier: MIT */
/* What differs between two configurations: what a reload needs to know.
 * Thread: any; both are only read. */
#ifndef CONFIG_DIFF_H
#define CONFIG_DIFF_H

#include "config/config.h"

/* Calls `each` for every key whose value differs, section by section, in the order of options.def. An inherited value differs where it
 * is used, and where it is set. Of a route or upstream that is new, gone, or at another place among the others the first alone, with an
 * empty key, and nothing of those behind it. */
void config_diff(const struct config *a, const struct config *b,
	void (*each)(void *arg, const char *section, const char *key), void *arg);
/* The same [upstream] sections in the same order, every key of them. */
bool config_same_upstreams(const struct config *a, const struct config *b);

#endif
