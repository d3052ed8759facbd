/* SPDX-License-Identifier: MIT */
/* What differs between two configurations: what a reload needs to know.
 * Thread: any; both are only read. */
#ifndef CONFIG_DIFF_H
#define CONFIG_DIFF_H

#include "config/config.h"

/* Calls `each` for every key of [proxy], [admin] and [cache] whose value differs, in the order of options.def. */
void config_diff(const struct config *a, const struct config *b,
	void (*each)(void *arg, const char *section, const char *key), void *arg);
/* The same [upstream] sections in the same order, every key of them. */
bool config_same_upstreams(const struct config *a, const struct config *b);

#endif
