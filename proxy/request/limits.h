/* SPDX-License-Identifier: MIT */
/* How fast a client may ask (`client_rate`): a bucket for each client and route, which all workers share.
 * A bucket is one number, the time at which it is full again. Its table is of sets that hash to one cache line each; a bucket
 * that finds its set full takes the place of the one that is full soonest, so of one that has long been idle if there is such.
 * Thread: any, without a lock. Two workers that make a bucket or drive one out in the same instant may let a few requests
 * more or fewer through; a bucket that is there is exact. Owns: its table. Bounds: LIMITS_BUCKETS, 16 bytes each. */
#ifndef PROXY_REQUEST_LIMITS_H
#define PROXY_REQUEST_LIMITS_H

#include "base/buf.h"
#include "base/check.h"
#include "config/config.h"
#include "http/message.h"

enum { LIMITS_BUCKETS = 262144 };

struct limits;

/* 0 or -ENOMEM. */
int limits_new(struct limits **out) WARN_UNUSED;
void limits_free(struct limits **l);
/* The client of a route with client_rate, as a number that tells it from others: by the field or cookie that client_rate_by
 * names, where the request has it, else by its address (16 bytes), IPv6 by the first 8. A changed rate begins with full buckets. */
uint64_t limits_client(const struct config_route *route, const struct http_fields *fields, const uint8_t *address);
/* Takes a request out of the client's bucket. 0: it may be answered; else in how many ms the next one may come. *is_early: another
 * bucket that was not full yet has made room for it. */
int64_t limits_take(
	struct limits *l, uint64_t client, const struct config_route *route, int64_t now_ms, bool *is_early);
/* RateLimit-Policy and RateLimit of a refusal that lasts for so many seconds (draft-ietf-httpapi-ratelimit-headers-10). `to`'s
 * error. */
int limits_add_fields(struct buf *to, const struct config_route *route, unsigned wait_s);

#endif
