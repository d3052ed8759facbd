/* SPDX-License-Identifier: MIT */
/* The registry of states: a list under a mutex, looked at when a loop is made or freed. */
#include "upstream/state.h"

#include <errno.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"

enum { IDENTITY_MAX = 1 << 20 };

static pthread_mutex_t registry_mu = PTHREAD_MUTEX_INITIALIZER;
static struct link registry = {&registry, &registry}; /* guarded by registry_mu */

static struct slice url_at(const struct upstream_options *o, unsigned i)
{
	return i == 0 ? o->url : o->more_urls[i - 1];
}

static int spell_identity(const struct upstream_options *o, struct buf *to)
{
	buf_add_slice(to, o->name);
	buf_add_char(to, '\0');
	for (unsigned i = 0; i <= o->more_urls_n; i++) {
		buf_add_slice(to, url_at(o, i));
		buf_add_char(to, '\0');
	}
	return to->err;
}

static struct upstream_state *find_locked(const struct buf *identity)
{
	for (const struct link *l = registry.next; l != &registry; l = l->next) {
		struct upstream_state *s = CONTAINER_OF(l, struct upstream_state, link);

		if (slice_equal((struct slice){s->identity, s->identity_n}, buf_slice(identity)))
			return s;
	}
	return NULL;
}

static struct upstream_state *make_locked(const struct upstream_options *o, const struct buf *identity)
{
	unsigned n = 1 + o->more_urls_n;
	struct upstream_state *s = mem_zalloc(sizeof(*s) + n * sizeof(s->origins[0]));

	if (!s)
		return NULL;
	s->identity = mem_alloc(identity->n);
	if (!s->identity) {
		mem_free(s);
		return NULL;
	}
	memcpy(s->identity, identity->p, identity->n);
	s->identity_n = identity->n;
	s->origins_n = n;
	for (unsigned i = 0; i < n; i++)
		s->origins[i].seed = hash64_of(url_at(o, i).p, url_at(o, i).n);
	breaker_init(&s->breaker);
	quota_init(&s->quota);
	places_init(&s->places);
	pthread_mutex_init(&s->errors_mu, NULL);
	link_append(&registry, &s->link);
	return s;
}

int upstream_state_get(const struct upstream_options *o, struct upstream_state **out)
{
	struct buf identity;
	int rc;

	*out = NULL;
	buf_init(&identity, IDENTITY_MAX);
	rc = spell_identity(o, &identity);
	if (rc == 0) {
		pthread_mutex_lock(&registry_mu);
		*out = find_locked(&identity);
		if (!*out)
			*out = make_locked(o, &identity);
		if (*out)
			(*out)->refs++;
		pthread_mutex_unlock(&registry_mu);
		rc = *out ? 0 : -ENOMEM;
	}
	buf_fini(&identity);
	return rc;
}

void upstream_state_unref(struct upstream_state **sp)
{
	struct upstream_state *s = *sp;
	bool is_last;

	*sp = NULL;
	if (!s)
		return;
	pthread_mutex_lock(&registry_mu);
	is_last = --s->refs == 0;
	if (is_last)
		link_remove(&s->link);
	pthread_mutex_unlock(&registry_mu);
	if (!is_last)
		return;
	breaker_fini(&s->breaker);
	places_fini(&s->places);
	pthread_mutex_destroy(&s->errors_mu);
	mem_free(s->identity);
	mem_free(s);
}
