/* SPDX-License-Identifier: MIT */
/* What is known of an upstream's origins, breaker and quota, as JSON for /stats.
 * Thread: main. */
#ifndef PROXY_ADMIN_ADMIN_HEALTH_H
#define PROXY_ADMIN_ADMIN_HEALTH_H

#include <jansson.h>

#include "proxy/request/target.h"

/* Adds "origins", "breaker" and, with quota_guard, "quota" to the upstream's object. */
void admin_add_health(json_t *j, const struct snapshot *s, unsigned upstream);

#endif
