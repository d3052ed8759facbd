/* SPDX-License-Identifier: MIT */
#include "config/router.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/routing/globs.h"
#include "config/routing/pattern_symbols.h"

/* Of patterns of paths: that of the routes without a host, then one for each host. */
enum { ROOT_ANY_HOST, ROOT_HOSTS, SLOTS_MAX = 65 };

struct router {
	uint32_t routes_n; /* without the last */
	struct tree hosts; /* read from their ends; of "*.suffix" SYMBOL_RUN is the last */
	struct globs *paths, *queries;
	struct globs *
		decoded; /* the paths as a server sees them that decodes; the same as `paths` if no pattern has escapes that count */
};

/* ---- Building ---- */

struct host_key {
	struct tree_key key;
	uint32_t route;
};

struct maker {
	struct router *r;
	struct arena *arena;
	const struct config_route *routes;
	struct host_key *hosts;
	uint32_t hosts_n;
	struct glob *globs;
	uint32_t globs_n;
	struct glob_queries queries;
	unsigned slots_n;
};

static const uint16_t anything[] = {SYMBOL_RUN};

static int reverse_host(struct arena *a, struct slice host, struct symbols *out)
{
	uint16_t *v = arena_alloc(a, host.n * sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < host.n; i++)
		v[i] = (unsigned char)host.p[host.n - 1 - i];
	if (host.n > 0 && host.p[0] == '*')
		v[host.n - 1] = SYMBOL_RUN;
	*out = (struct symbols){v, (unsigned)host.n};
	return 0;
}

static int by_host(const void *one, const void *two)
{
	const struct host_key *a = one, *b = two;
	int order = symbols_compare(a->key.symbols, b->key.symbols);

	if (order)
		return order;
	return a->route < b->route ? -1 : a->route > b->route;
}

static int collect_hosts(struct maker *m)
{
	int err = 0;

	for (uint32_t i = 0; i < m->r->routes_n; i++)
		m->hosts_n += m->routes[i].hosts.n;
	m->hosts = mem_alloc(m->hosts_n * sizeof(*m->hosts) + 1);
	if (!m->hosts)
		return -ENOMEM;
	m->hosts_n = 0;
	for (uint32_t i = 0; i < m->r->routes_n; i++)
		for (unsigned k = 0; k < m->routes[i].hosts.n && !err; k++) {
			struct host_key *h = &m->hosts[m->hosts_n++];

			*h = (struct host_key){.route = i};
			err = reverse_host(m->arena, m->routes[i].hosts.v[k], &h->key.symbols);
		}
	if (!err && m->hosts_n)
		qsort(m->hosts, m->hosts_n, sizeof(*m->hosts), by_host);
	return err;
}

static int make_hosts(struct maker *m)
{
	struct tree_key *keys = mem_alloc(m->hosts_n * sizeof(*keys) + 1);
	int err;

	if (!keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->hosts_n; i++)
		keys[i] = m->hosts[i].key;
	err = tree_build(&m->r->hosts, m->arena, keys, m->hosts_n, 1, false);
	mem_free(keys);
	return err;
}

static void add_glob(struct maker *m, uint32_t route, uint32_t root)
{
	const struct pattern *match = m->routes[route].match;
	struct glob *g = &m->globs[m->globs_n++];

	*g = (struct glob){.symbols = {anything, 1}, .root = root, .route = route};
	if (match) {
		g->symbols = pattern_path(match);
		g->has_query = pattern_query(match, &g->query);
	}
}

/* A host's root is the place of the first route that names it, in the order of hosts. */
static int collect_globs(struct maker *m)
{
	uint32_t first = 0;

	m->globs = mem_alloc((m->r->routes_n + m->hosts_n) * sizeof(*m->globs) + 1);
	m->queries.v = mem_alloc(2 * (m->r->routes_n + m->hosts_n) * sizeof(*m->queries.v) + 1);
	if (!m->globs || !m->queries.v)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->r->routes_n; i++)
		if (m->routes[i].hosts.n == 0)
			add_glob(m, i, ROOT_ANY_HOST);
	for (uint32_t i = 0; i < m->hosts_n; i++) {
		if (symbols_compare(m->hosts[first].key.symbols, m->hosts[i].key.symbols) != 0)
			first = i;
		add_glob(m, m->hosts[i].route, ROOT_HOSTS + first);
	}
	return 0;
}

static bool has_encoded(struct symbols s)
{
	for (unsigned i = 0; i < s.n; i++)
		if (s.v[i] < SYMBOL_RUN && s.v[i] & SYMBOL_ENCODED)
			return true;
	return false;
}

/* The patterns of paths as a server compares them that decodes. False in *differs: they are what they were. */
static int decode_globs(struct maker *m, bool *differs)
{
	*differs = false;
	for (uint32_t i = 0; i < m->globs_n; i++) {
		struct symbols from = m->globs[i].symbols;
		uint16_t *v;

		if (!has_encoded(from))
			continue;
		v = arena_alloc(m->arena, from.n * sizeof(*v));
		if (!v)
			return -ENOMEM;
		for (unsigned k = 0; k < from.n; k++)
			v[k] = from.v[k] & SYMBOL_BITS_DECODED;
		m->globs[i].symbols.v = v;
		*differs = true;
	}
	return 0;
}

static int make_globs(struct maker *m)
{
	struct router *r = m->r;
	uint32_t roots_n = ROOT_HOSTS + m->hosts_n;
	bool differs;
	int err = globs_new(m->arena, m->globs, m->globs_n, roots_n, m->slots_n, &m->queries, &r->paths);

	r->decoded = r->paths;
	if (!err)
		err = decode_globs(m, &differs);
	if (!err && differs)
		err = globs_new(m->arena, m->globs, m->globs_n, roots_n, m->slots_n, &m->queries, &r->decoded);
	if (!err)
		err = globs_new(
			m->arena, m->queries.v, m->queries.n, m->queries.roots_n, m->slots_n, NULL, &r->queries);
	return err;
}

static unsigned slots_for(unsigned workers)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned threads = workers ? workers : processors > 0 ? (unsigned)processors : 1;

	return threads < SLOTS_MAX ? threads + 1 : SLOTS_MAX; /* main looks, too */
}

int router_new(
	struct arena *a, const struct config_route *routes, unsigned routes_n, unsigned workers, struct router **out)
{
	struct maker m = {.arena = a, .routes = routes, .slots_n = slots_for(workers)};
	int err;

	*out = m.r = arena_alloc(a, sizeof(*m.r));
	if (!m.r)
		return -ENOMEM;
	m.r->routes_n = routes_n - 1;
	err = collect_hosts(&m);
	if (!err)
		err = make_hosts(&m);
	if (!err)
		err = collect_globs(&m);
	if (!err)
		err = make_globs(&m);
	mem_free(m.hosts);
	mem_free(m.globs);
	mem_free(m.queries.v);
	return err;
}

/* ---- Looking ---- */

/* Without the port and the final dot of a fully qualified name; or several, which an origin may drop as well. */
static struct slice bare_host(struct slice host)
{
	bool bracketed = host.n > 0 && host.p[0] == '[';
	const char *end = host.n > 0 ? memchr(host.p, bracketed ? ']' : ':', host.n) : NULL;

	if (end)
		host.n = (size_t)(end - host.p) + bracketed;
	while (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	return host;
}

/* A label, as far as it goes; false: the host is another. At a run all is taken, and there must be something. */
static bool pass_host_label(const struct tree_node *node, struct slice *host, uint64_t *steps)
{
	for (unsigned i = 0; i < node->label_n; i++) {
		(*steps)++;
		if (host->n == 0)
			return false;
		if (node->label[i] == SYMBOL_RUN)
			host->n = 0;
		else if ((unsigned char)ascii_lower(host->p[--host->n]) != node->label[i])
			return false;
	}
	return true;
}

static void look_in_host(struct globs_search *paths, const struct tree_node *node)
{
	if (node->keys_n > 0)
		globs_look(paths, ROOT_HOSTS + node->keys);
}

/* In all hosts that this one is: "*.example.org" is every host below example.org, not that itself. */
static void look_in_hosts(const struct router *r, struct slice host, struct globs_search *paths)
{
	const struct tree *t = &r->hosts;
	uint32_t at = 0;

	while (at != TREE_NONE) {
		const struct tree_node *node = &t->nodes[at];
		uint32_t run;

		if (!pass_host_label(node, &host, &paths->found->steps))
			return;
		if (host.n == 0) {
			look_in_host(paths, node);
			return;
		}
		run = tree_child(t, node, SYMBOL_RUN);
		if (run != TREE_NONE)
			look_in_host(paths, &t->nodes[run]);
		at = tree_child(t, node, (unsigned char)ascii_lower(host.p[host.n - 1]));
	}
}

struct router_found router_look(const struct router *r, const struct router_asked *asked)
{
	struct globs_found found = {.route = r->routes_n};
	struct globs_search queries = {.g = r->queries, .text = asked->query, .bits = SYMBOL_BITS, .found = &found};
	struct globs_search paths = {
		.g = asked->is_decoded ? r->decoded : r->paths,
		.text = asked->path,
		.bits = asked->is_decoded ? SYMBOL_BITS_DECODED : SYMBOL_BITS,
		.found = &found,
		.queries = asked->has_query ? &queries : NULL,
	};

	globs_look(&paths, ROOT_ANY_HOST);
	if (r->hosts.nodes_n > 0)
		look_in_hosts(r, bare_host(asked->host), &paths);
	globs_end(&paths);
	globs_end(&queries);
	return (struct router_found){found.route, found.steps};
}
