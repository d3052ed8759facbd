/* SPDX-License-Identifier: MIT */
#include "proxy/request/snapshot.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "proxy/request/origins.h"

int snapshot_new(struct config *config, struct origins *origins, const struct key_secret *secret, struct snapshot **out)
{
	struct snapshot *s = mem_zalloc(sizeof(*s) + config->routes_n * sizeof(s->fetch_us[0]));

	if (!s) {
		origins_unref(&origins);
		config_unref(&config);
		return -ENOMEM;
	}
	s->config = config;
	s->secret = secret;
	s->traces = config->proxy.log_level == LOG_LEVEL_DEBUG || config->proxy.debug_header.n > 0;
	s->origins = origins;
	atomic_init(&s->refs, 1);
	*out = s;
	return 0;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void snapshot_unref(struct snapshot **sp)
{
	struct snapshot *s = *sp;

	*sp = NULL;
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	origins_unref(&s->origins);
	config_unref(&s->config);
	mem_free(s);
}

void snapshot_inherit(struct snapshot *to, const struct snapshot *from)
{
	for (unsigned i = 0; i < to->config->routes_n; i++) {
		const struct config_route *r = config_route_named(from->config, to->config->routes[i].rules.route);

		if (r)
			atomic_store_explicit(&to->fetch_us[i], atomic_load(&from->fetch_us[r->rules.route_index]),
				memory_order_relaxed);
	}
}

/* An eighth of the way to the new figure. Two workers may overwrite each other's step: it is an estimate. */
void snapshot_note_fetch(struct snapshot *s, unsigned route, int64_t us)
{
	int64_t before = atomic_load_explicit(&s->fetch_us[route], memory_order_relaxed);

	atomic_store_explicit(&s->fetch_us[route], before ? before + (us - before) / 8 : us, memory_order_relaxed);
}
