/* SPDX-License-Identifier: MIT */
#include "proxy/connection/admission.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "proxy/connection/peer.h"

struct address_count {
	uint8_t key[16];
	unsigned n;
	UT_hash_handle hh;
};

struct admission {
	_Atomic unsigned total, per_address; /* the bounds */
	_Atomic unsigned inside;
	pthread_mutex_t mu;
	struct address_count *addresses; /* guarded by mu */
};

int admission_new(unsigned total, unsigned per_address, struct admission **out)
{
	struct admission *a = mem_zalloc(sizeof(*a));

	*out = a;
	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->mu, NULL);
	admission_set_bounds(a, total, per_address);
	return 0;
}

void admission_free(struct admission **ap)
{
	struct admission *a = *ap;

	*ap = NULL;
	if (!a)
		return;
	CHECK(!a->addresses && atomic_load(&a->inside) == 0);
	pthread_mutex_destroy(&a->mu);
	mem_free(a);
}

void admission_set_bounds(struct admission *a, unsigned total, unsigned per_address)
{
	atomic_store(&a->total, total);
	atomic_store(&a->per_address, per_address);
}

bool admission_enter(struct admission *a)
{
	if (atomic_fetch_add(&a->inside, 1) < atomic_load(&a->total))
		return true;
	atomic_fetch_sub(&a->inside, 1);
	return false;
}

void admission_leave(struct admission *a)
{
	CHECK(atomic_fetch_sub(&a->inside, 1) > 0);
}

static void make_key(const struct peer *p, uint8_t key[16])
{
	static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};
	bool is_v4 = memcmp(p->address, v4_prefix, sizeof(v4_prefix)) == 0;

	memset(key, 0, 16);
	memcpy(key, p->address, is_v4 ? 16 : 8);
}

static struct address_count *find_locked(struct admission *a, const uint8_t key[16])
{
	struct address_count *c;

	HASH_FIND(hh, a->addresses, key, 16, c);
	return c;
}

static struct address_count *add_locked(struct admission *a, const uint8_t key[16])
{
	struct address_count *c = mem_zalloc(sizeof(*c));
	bool hash_ok = true;

	if (!c)
		return NULL;
	memcpy(c->key, key, sizeof(c->key));
	HASH_ADD(hh, a->addresses, key, sizeof(c->key), c);
	if (hash_ok)
		return c;
	mem_free(c);
	return NULL;
}

/* Counted without a bound too: one may be set while the client is here. */
bool admission_enter_address(struct admission *a, const struct peer *p)
{
	unsigned most = atomic_load(&a->per_address);
	struct address_count *c;
	uint8_t key[16];
	bool is_in;

	make_key(p, key);
	pthread_mutex_lock(&a->mu);
	c = find_locked(a, key);
	if (!c)
		c = add_locked(a, key);
	is_in = c && (most == 0 || c->n < most);
	if (is_in)
		c->n++;
	pthread_mutex_unlock(&a->mu);
	return is_in;
}

void admission_leave_address(struct admission *a, const struct peer *p)
{
	struct address_count *c;
	uint8_t key[16];

	make_key(p, key);
	pthread_mutex_lock(&a->mu);
	c = find_locked(a, key);
	CHECK(c && c->n > 0);
	if (--c->n == 0) {
		HASH_DELETE(hh, a->addresses, c);
		mem_free(c);
	}
	pthread_mutex_unlock(&a->mu);
}
