/* SPDX-License-Identifier: MIT */
#include "proxy/request/limits.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/hash.h"
#include "cache/policy/credentials.h"

enum { WAYS = 4, TRIES = 4 };

struct bucket {
	_Atomic uint64_t client; /* 0: free */
	_Atomic int64_t full_us; /* when it is full again, of CLOCK_MONOTONIC */
};

struct set {
	struct bucket ways[WAYS];
};

struct limits {
	struct set sets[LIMITS_BUCKETS / WAYS];
};

int limits_new(struct limits **out)
{
	*out = mem_zalloc(sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void limits_free(struct limits **l)
{
	mem_free(*l);
	*l = NULL;
}

/* ---- Who it is ---- */

static struct slice cookie_value(const struct http_fields *fields, struct slice name)
{
	uint32_t i = 0;

	for (const struct http_field *line; (line = http_fields_next(fields, HF_COOKIE, &i)) != NULL;) {
		struct slice rest = line->value, pair, before, value;

		while (cookie_next(&rest, &pair))
			if (slice_equal(cookie_name(pair), name) && slice_cut(pair, '=', &before, &value))
				return value;
	}
	return (struct slice){"", 0};
}

static struct slice credential_of(const struct cache_user_from *by, const struct http_fields *fields)
{
	const struct http_field *f;

	if (by->name.n > 0 && by->is_cookie)
		return cookie_value(fields, by->name);
	f = by->name.n > 0 ? http_fields_find(fields, by->name) : NULL;
	return f ? f->value : (struct slice){"", 0};
}

uint64_t limits_client(const struct config_route *route, const struct http_fields *fields, const uint8_t *address)
{
	static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};
	struct slice credential = credential_of(&route->client_rate_by, fields);
	struct slice name = route->rules.route;
	struct {
		uint64_t route, has_credential, rate, burst, who[2];
	} key = {hash64_of(name.p, name.n), credential.n > 0,
		(uint64_t)route->client_rate.requests << 32 | route->client_rate.seconds, route->client_burst, {0}};
	uint64_t client;

	if (credential.n > 0)
		key.who[0] = hash_keyed(credential.p, credential.n);
	else if (address)
		memcpy(key.who, address, memcmp(address, v4_prefix, sizeof(v4_prefix)) == 0 ? 16 : 8);
	client = hash_keyed(&key, sizeof(key));
	return client ? client : 1;
}

/* ---- Its bucket ---- */

static struct bucket *find(struct set *s, uint64_t client)
{
	for (unsigned i = 0; i < WAYS; i++)
		if (atomic_load_explicit(&s->ways[i].client, memory_order_relaxed) == client)
			return &s->ways[i];
	return NULL;
}

static struct bucket *soonest_full(struct set *s)
{
	struct bucket *first = &s->ways[0];

	for (unsigned i = 1; i < WAYS; i++)
		if (atomic_load_explicit(&s->ways[i].full_us, memory_order_relaxed) <
			atomic_load_explicit(&first->full_us, memory_order_relaxed))
			first = &s->ways[i];
	return first;
}

/* NULL: others make buckets in this set all the time. */
static struct bucket *find_or_make(struct set *s, uint64_t client, int64_t now_us, bool *is_early)
{
	struct bucket *b = find(s, client);

	for (unsigned i = 0; !b && i < TRIES; i++) {
		struct bucket *victim = soonest_full(s);
		uint64_t before = atomic_load_explicit(&victim->client, memory_order_relaxed);
		int64_t full_us = atomic_load_explicit(&victim->full_us, memory_order_relaxed);

		if (atomic_compare_exchange_strong(&victim->client, &before, client)) {
			*is_early = full_us > now_us;
			if (*is_early)
				atomic_store_explicit(&victim->full_us, now_us, memory_order_relaxed);
			return victim;
		}
		b = find(s, client);
	}
	return b;
}

int64_t limits_take(struct limits *l, uint64_t client, const struct config_route *route, int64_t now_ms, bool *is_early)
{
	int64_t now_us = now_ms * 1000,
		each_us = (int64_t)route->client_rate.seconds * 1000000 / route->client_rate.requests;
	int64_t room_us = (route->client_burst - 1) * each_us; /* how much may be missing for one more to fit */
	struct bucket *b;
	int64_t full_us;

	*is_early = false;
	b = find_or_make(&l->sets[client % ARRAY_LEN(l->sets)], client, now_us, is_early);
	if (!b)
		return 0;
	full_us = atomic_load_explicit(&b->full_us, memory_order_relaxed);
	for (;;) {
		int64_t from_us = full_us > now_us ? full_us : now_us;

		if (from_us - now_us > room_us)
			return (from_us - now_us - room_us + 999) / 1000;
		if (atomic_compare_exchange_weak_explicit(
			    &b->full_us, &full_us, from_us + each_us, memory_order_relaxed, memory_order_relaxed))
			return 0;
	}
}

int limits_add_fields(struct buf *to, const struct config_route *route, unsigned wait_s)
{
	struct slice name = route->rules.route;

	buf_addf(to, "RateLimit-Policy: \"%.*s\";q=%u;w=%u\r\n", SLICE_ARG(name), route->client_rate.requests,
		route->client_rate.seconds);
	return buf_addf(to, "RateLimit: \"%.*s\";r=0;t=%u\r\n", SLICE_ARG(name), wait_s);
}
