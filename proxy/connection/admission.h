/* SPDX-License-Identifier: MIT */
/* How many clients may be here at once: in all, and from one address.
 * Thread: any. Owns: the count of each address.
 * Bounds: it is one itself; its table holds one entry an address with a connection, so at most `total` of them. */
#ifndef PROXY_CONNECTION_ADMISSION_H
#define PROXY_CONNECTION_ADMISSION_H

#include <stdbool.h>

#include "base/check.h"

struct admission;
struct peer;

/* total: at least 1. per_address 0: no such bound. 0 or -ENOMEM. */
int admission_new(unsigned total, unsigned per_address, struct admission **out) WARN_UNUSED;
/* Nobody is inside any more. */
void admission_free(struct admission **a);
/* From now on; whoever is inside stays. */
void admission_set_bounds(struct admission *a, unsigned total, unsigned per_address);

/* False: there are too many. Each that is true needs its leave. */
bool admission_enter(struct admission *a) WARN_UNUSED;
void admission_leave(struct admission *a);
/* The same for the client's address, IPv6 by its first 64 bits: a subscriber has that many. False also when there is no
 * memory to count it. */
bool admission_enter_address(struct admission *a, const struct peer *p) WARN_UNUSED;
void admission_leave_address(struct admission *a, const struct peer *p);

#endif
