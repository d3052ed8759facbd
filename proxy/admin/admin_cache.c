/* SPDX-License-Identifier: MIT */
/* purge, refresh. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/transaction/refresh.h"

/* ---- purge ---- */

struct purging {
	struct admin_call *call;
	struct purge purge;
	uint64_t sequence;
	json_t *told; /* what was purged, as keys spell it */
	/* of what is in memory, and for a URL also by its key: before, then how many of those */
	struct cache_sample sample, of_key;
	bool has_key, in_lower;
	unsigned looked_at, met, met_of_key;
	struct tier_purging wait;
};

static const char not_noted[] = "the purge could not be noted";

/* Each of these says whether it was purged; if not, it has answered the call. */
static bool purge_as(struct purging *p, struct slice what)
{
	p->purge.what = what;
	if (cache_purge_note(p->call->service->cache, &p->purge, 1, &p->sequence, &p->wait)) {
		admin_problem(p->call, 503, not_noted);
		return false;
	}
	if (what.n > 0)
		json_array_append_new(p->told, admin_json_of(what));
	return true;
}

static bool purge_as_others_keep_it(struct purging *p, const struct admin_url *l)
{
	struct buf url;
	unsigned i = 0;
	int next;

	buf_init(&url, CACHE_KEY_MAX);
	while ((next = admin_url_next(l, p->call->service->snapshot, &i, &url)) > 0)
		if (!admin_is_told(p->told, buf_slice(&url)) && !purge_as(p, buf_slice(&url)))
			break;
	buf_fini(&url);
	if (next < 0)
		admin_problem(p->call, 503, not_noted);
	return next == 0;
}

static bool purge_by_url(struct purging *p, struct slice value)
{
	bool is_prefix = p->purge.kind == PURGE_PREFIX, is_done;
	struct admin_url l;

	if (!admin_find_location(p->call, value, is_prefix, &l))
		return false;
	is_done = purge_as(p, buf_slice(&l.url)) && (is_prefix || purge_as_others_keep_it(p, &l));
	admin_url_fini(&l);
	return is_done;
}

static int by_user(const void *one, const void *two)
{
	uint64_t a = ((const struct purge *)one)->user, b = ((const struct purge *)two)->user;

	return a < b ? -1 : a > b;
}

/* The identity as each route with scope = user would know it, once each. Returns how many, or negative errno; v has room. */
static int find_users(const struct snapshot *s, struct slice identity, bool soft, struct purge *v)
{
	const struct config *config = s->config;
	int n = 0, kept = 0;

	for (unsigned i = 0; i < config->routes_n; i++) {
		const struct cache_rules *rules = &config->routes[i].rules;
		int err;

		if (rules->scope != CACHE_SCOPE_USER)
			continue;
		v[n] = (struct purge){.kind = PURGE_USER, .soft = soft};
		err = cache_user_hash(rules, s->secret, identity, &v[n++].user);
		if (err)
			return err;
	}
	qsort(v, (size_t)n, sizeof(*v), by_user);
	for (int i = 0; i < n; i++)
		if (kept == 0 || v[i].user != v[kept - 1].user)
			v[kept++] = v[i];
	return kept;
}

/* Routes may take identities from different places: the name is purged in each of them. It is a secret, and is not told. */
static bool purge_user(struct purging *p, struct slice identity)
{
	const struct service *s = p->call->service;
	struct purge *v = mem_alloc(s->snapshot->config->routes_n * sizeof(*v));
	int n = v ? find_users(s->snapshot, identity, p->purge.soft, v) : -ENOMEM;
	int err = n > 0 ? cache_purge_note(s->cache, v, (unsigned)n, &p->sequence, &p->wait) : n;

	mem_free(v);
	if (n == 0)
		admin_problem(p->call, 400, "no route has scope = user");
	else if (err)
		admin_problem(p->call, 503, not_noted);
	return n > 0 && !err;
}

static bool purge_given(struct purging *p, struct slice value)
{
	switch (p->purge.kind) {
	case PURGE_URL:
	case PURGE_PREFIX:
		return purge_by_url(p, value);
	case PURGE_TAG:
		return purge_as(p, value);
	case PURGE_USER:
		return purge_user(p, value);
	case PURGE_ALL:
		return purge_as(p, (struct slice){NULL, 0});
	}
	return false;
}

/* ---- What was met ---- */

/* The key of a GET for it without any field. Others may have the URL too: of users, of key_headers, of bodies. */
static void sample_url(struct purging *p)
{
	struct cache *cache = p->call->service->cache;
	struct admin_url l;
	struct target t;
	struct slice url;
	const char *why;

	if (!admin_parameter(p->call, "url", &url))
		return;
	admin_url_init(&l);
	target_init(&t);
	if (admin_url_find(&l, p->call->service->snapshot, url, false, &why) == 0) {
		struct asked asked = admin_url_asked(&l);

		p->has_key = target_resolve(&t, p->call->service->snapshot, &asked, (struct slice){NULL, 0}) == 0 &&
			     t.has_key;
	}
	if (p->has_key) {
		cache_sample_take(cache, &t.key, &p->of_key);
		p->in_lower = cache_is_in_tier(cache, &t.key);
	}
	target_fini(&t);
	admin_url_fini(&l);
}

static void look_before(struct purging *p)
{
	cache_sample_take(p->call->service->cache, NULL, &p->sample);
	p->looked_at = p->sample.n;
	sample_url(p);
}

static void look_after(struct purging *p)
{
	p->met = cache_sample_end(&p->sample);
	p->met_of_key = cache_sample_end(&p->of_key);
}

/* Exact where all of memory was looked at. Else a URL's key, which is looked up, or the share of a sample. */
static json_t *json_of_met(const struct purging *p)
{
	struct cache_stats stats;

	if (p->sample.is_all)
		return json_pack("{s:i, s:s}", "met", (int)p->met, "count", "exact");
	if (p->purge.kind == PURGE_URL)
		return json_pack("{s:i, s:s}", "met", (int)(p->has_key ? p->met_of_key : p->met), "count", "at least");
	cache_stats(p->call->service->cache, &stats);
	return json_pack("{s:i, s:s, s:i, s:I}", "met", (int)p->met, "count", "sampled", "looked_at", (int)p->looked_at,
		"of", (json_int_t)stats.objects);
}

static void add_met(const struct purging *p, json_t *response)
{
	bool is_url = p->purge.kind == PURGE_URL;
	const char *tier = cache_tier_name(p->call->service->cache);

	json_object_set_new(response, "memory", json_of_met(p));
	if (is_url && tier)
		json_object_set_new(response, tier, json_boolean(p->in_lower));
	if (p->met > 0 || p->met_of_key > 0 || p->in_lower || (!is_url && (tier || !p->sample.is_all)))
		return;
	json_object_set_new(response, "note",
		json_string("nothing that is stored is named so; /entries lists what is, as purges name it"));
}

static void purging_free(struct purging *p)
{
	(void)cache_sample_end(&p->sample);
	(void)cache_sample_end(&p->of_key);
	json_decref(p->told);
	mem_free(p);
}

static void purge_answer(struct purging *p, int err)
{
	const char *kind = purge_kind_names[p->purge.kind];
	json_t *response;

	if (err) {
		admin_problem(p->call, 503, not_noted);
	} else {
		response = json_pack(
			"{s:s, s:b, s:I}", "purged", kind, "soft", p->purge.soft, "sequence", (json_int_t)p->sequence);
		if (json_array_size(p->told) > 0)
			json_object_set(response, kind, json_array_get(p->told, 0));
		if (json_array_size(p->told) > 1)
			json_object_set(response, "also", json_array_get(p->told, 1));
		add_met(p, response);
		admin_answer(p->call, 200, response);
	}
	purging_free(p);
}

static void on_purged(struct message *m)
{
	struct purging *p = CONTAINER_OF(m, struct purging, wait.message);

	cache_purge_end(p->call->service->cache);
	purge_answer(p, p->wait.err);
}

/* A '+' is a blank or a plus, depending on who wrote it: a purge too many costs a fetch, one too few serves what should be gone.
 * While it waits for the device other calls are taken, and their purges wait for it together. */
static void purge(struct admin_call *c, struct purge purge, const struct admin_parameter *given)
{
	struct purging *p = mem_zalloc(sizeof(*p));
	int err;

	if (!p) {
		admin_problem(c, 503, not_noted);
		return;
	}
	*p = (struct purging){.call = c, .purge = purge, .told = json_array()};
	p->wait.reply_to = &c->service->mailbox;
	p->wait.message.on_message = on_purged;
	look_before(p);
	if (!purge_given(p, given->value) || (given->other.p != given->value.p && !purge_given(p, given->other))) {
		purging_free(p);
		return;
	}
	look_after(p);
	err = cache_purge_wait(c->service->cache, &p->wait);
	if (err != -EINPROGRESS)
		purge_answer(p, err);
}

/* Taken literally, as a prefix is, it would purge nothing, and say that all is well. */
static void refuse_star(struct admin_call *c, struct slice prefix)
{
	char why[128];
	bool is_shown = prefix.n <= 64;

	prefix.n--;
	for (size_t i = 0; i < prefix.n; i++)
		is_shown = is_shown && prefix.p[i] > ' ' && prefix.p[i] < 0x7F;
	snprintf(why, sizeof(why), "a prefix has no * at its end%s%.*s", is_shown ? ": " : "",
		is_shown ? (int)prefix.n : 0, prefix.p);
	admin_problem(c, 400, why);
}

void admin_purge(struct admin_call *c)
{
	const struct admin_parameter *given = NULL, *one;
	struct purge p = {.soft = admin_flag(c, "soft")};
	unsigned n = 0;

	for (unsigned i = 0; i < PURGE_KINDS_N; i++) {
		one = admin_parameter_find(c, purge_kind_names[i]);
		if (!one)
			continue;
		n++;
		p.kind = (enum purge_kind)i;
		given = one;
	}
	if (n != 1)
		admin_problem(c, 400, "give exactly one of " PURGE_KINDS_IN_WORDS);
	else if (p.kind == PURGE_ALL && !admin_flag(c, "all"))
		admin_problem(c, 400, "all has to be 1: all=1");
	else if (given->value.n == 0)
		admin_problem(c, 400, "an empty parameter");
	else if (p.kind == PURGE_PREFIX && given->value.p[given->value.n - 1] == '*')
		refuse_star(c, given->value);
	else
		purge(c, p, given);
}

/* ---- refresh ---- */

/* Whatever made the refresh fail, what is stored stays. */
static json_t *refresh_failed(const struct refresh_result *r)
{
	char detail[96] = "no response that could be used came from the upstream; what is stored stays";
	json_t *j;

	if (r->upstream_status >= 500)
		snprintf(detail, sizeof(detail), "the upstream answered %d; what is stored stays", r->upstream_status);
	j = admin_problem_new(r->status, detail);
	if (r->upstream_status)
		json_object_set_new(j, "upstream_status", json_integer(r->upstream_status));
	return j;
}

struct refreshing {
	struct admin_call *call;
	json_t *hosts;
};

static void on_refreshed(void *arg, const struct refresh_result *r)
{
	struct refreshing *p = arg;
	int status = 200;
	json_t *j;

	if (r->stored) {
		j = json_pack("{s:i, s:b, s:f, s:f, s:s}", "status", r->status, "stored", 1, "lifetime_s",
			(double)r->lifetime_ms / 1000, "age_s", (double)r->age_ms / 1000, "source",
			admin_source_name(r->source));
	} else if (r->why != POLICY_STORE) {
		j = json_pack("{s:o, s:b, s:s, s:s}", "summary", admin_summary_of(r->config, r->route, r->why),
			"stored", 0, "reason", policy_reason(r->why)->token, "detail", policy_reason(r->why)->what);
		if (r->upstream_status)
			json_object_set_new(j, "status", json_integer(r->upstream_status));
	} else {
		status = r->status;
		j = refresh_failed(r);
	}
	admin_tell_hosts(j, p->hosts);
	admin_answer(p->call, status, j);
	mem_free(p);
}

void admin_refresh(struct admin_call *c)
{
	struct refreshing *p;
	struct admin_url l;
	struct slice url;

	if (!admin_take_url(c, &url, &l))
		return;
	p = mem_alloc(sizeof(*p));
	if (p)
		*p = (struct refreshing){c, admin_other_hosts(c, &l)};
	admin_url_fini(&l);
	if (p && refresh_start(c->service, url, on_refreshed, p) == 0)
		return;
	if (p)
		json_decref(p->hosts);
	mem_free(p);
	admin_problem(c, 503, "out of memory");
}
