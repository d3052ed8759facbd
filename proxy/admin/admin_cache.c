/* SPDX-License-Identifier: MIT */
/* purge, refresh, explain. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/syntax.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/transaction/refresh.h"

/* 1 or 0, or -EINVAL for anything else. */
static int flag(const struct admin_call *c, const char *name)
{
	struct slice v;

	if (!admin_parameter(c, name, &v))
		return 0;
	return slice_equal(v, SLICE_LIT("1")) ? 1 : slice_equal(v, SLICE_LIT("0")) ? 0 : -EINVAL;
}

/* As admin_find_location, of the parameter `url`. */
static bool take_url(struct admin_call *c, struct slice *url, struct admin_url *l)
{
	if (admin_parameter(c, "url", url))
		return admin_find_location(c, *url, false, l);
	admin_problem(c, 400, "url is missing");
	return false;
}

#define HOSTS_TOLD_MAX 32

static bool is_told(const json_t *list, struct slice s)
{
	size_t i;
	json_t *one;

	json_array_foreach(list, i,
		one) if (slice_equal(s, (struct slice){json_string_value(one), json_string_length(one)})) return true;
	return false;
}

/* A path names no host: those whose clients another route serves. Empty where the path says it all. */
static json_t *other_hosts(const struct admin_call *c, const struct admin_url *l)
{
	json_t *hosts = json_array();
	const struct config_route *r;
	unsigned i = 0;

	while ((r = admin_url_next_by_host(l, c->service->snapshot, &i)))
		for (unsigned k = 0; k < r->hosts.n && json_array_size(hosts) < HOSTS_TOLD_MAX; k++)
			if (!is_told(hosts, r->hosts.v[k]))
				json_array_append_new(hosts, admin_json_of(r->hosts.v[k]));
	return hosts;
}

/* `hosts` is taken. */
static void tell_hosts(json_t *j, json_t *hosts)
{
	if (j && json_array_size(hosts) > 0)
		json_object_set(j, "hosts", hosts);
	json_decref(hosts);
}

/* ---- purge ---- */

struct purging {
	struct admin_call *call;
	struct purge purge;
	uint64_t sequence;
	json_t *told; /* what was purged, as keys spell it */
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
		if (!is_told(p->told, buf_slice(&url)) && !purge_as(p, buf_slice(&url)))
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

static void purging_free(struct purging *p)
{
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
	if (!purge_given(p, given->value) || (given->other.p != given->value.p && !purge_given(p, given->other))) {
		purging_free(p);
		return;
	}
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
	int soft = flag(c, "soft");
	struct purge p = {.soft = soft == 1};
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
	else if (soft < 0)
		admin_problem(c, 400, "soft is 0 or 1");
	else if (p.kind == PURGE_ALL && flag(c, "all") != 1)
		admin_problem(c, 400, "all is 1");
	else if (given->value.n == 0)
		admin_problem(c, 400, "an empty parameter");
	else if (p.kind == PURGE_PREFIX && given->value.p[given->value.n - 1] == '*')
		refuse_star(c, given->value);
	else
		purge(c, p, given);
}

/* One sentence for people, or two. */
static json_t *summary_of(enum policy_store why)
{
	const char *remedy = policy_store_remedy(why);

	return json_sprintf(
		"Not cached: %s.%s%s%s", policy_store_what(why), *remedy ? " " : "", remedy, *remedy ? "." : "");
}

/* ---- refresh ---- */

/* Whatever made the refresh fail, what is stored stays. */
static json_t *refresh_failed(const struct refresh_result *r)
{
	char detail[64] = "the refresh failed; what is stored stays";
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
		j = json_pack("{s:o, s:b, s:s, s:s}", "summary", summary_of(r->why), "stored", 0, "reason",
			policy_store_name(r->why), "detail", policy_store_what(r->why));
		if (r->upstream_status)
			json_object_set_new(j, "status", json_integer(r->upstream_status));
	} else {
		status = r->status;
		j = refresh_failed(r);
	}
	tell_hosts(j, p->hosts);
	admin_answer(p->call, status, j);
	mem_free(p);
}

void admin_refresh(struct admin_call *c)
{
	struct refreshing *p;
	struct admin_url l;
	struct slice url;

	if (!take_url(c, &url, &l))
		return;
	p = mem_alloc(sizeof(*p));
	if (p)
		*p = (struct refreshing){c, other_hosts(c, &l)};
	admin_url_fini(&l);
	if (p && refresh_start(c->service, url, on_refreshed, p) == 0)
		return;
	if (p)
		json_decref(p->hosts);
	mem_free(p);
	admin_problem(c, 503, "out of memory");
}

/* ---- explain ---- */

#define CREDENTIAL_MAX 192

/* The fields of the request that is asked about: "Name: value", one a line. Borrows the text. */
static int add_fields(struct http_fields *to, struct slice text)
{
	struct slice line, name, value;
	int err = 0;

	while (text.n > 0 && !err) {
		(void)slice_cut(text, '\n', &line, &text);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (!http_field_line_split(line, &name, &value))
			return -EINVAL;
		err = http_fields_add(to, name, value);
	}
	return err;
}

static void explain(struct admin_call *c, const struct admin_url *l, struct target *t)
{
	const struct config *config = c->service->snapshot->config;
	json_t *stored = json_array();
	enum policy_store why_not = target_why_not(t);
	char credential[CREDENTIAL_MAX];
	json_t *j;

	if (t->has_key)
		cache_peek(c->service->cache, &t->key, clock_now(), admin_add_entry, stored);
	j = json_pack("{s:o, s:s, s:o, s:o, s:b, s:o, s:o}", "url", admin_json_of(buf_slice(&l->url)), "scheme",
		l->is_tls ? "https" : "http", "route", admin_json_of(l->route->rules.route), "upstream",
		admin_json_of(config->upstreams[l->upstream].name), "cacheable", t->is_cacheable, "rules",
		admin_json_of_rules(&l->route->rules), "memory", stored);
	if (j && why_not != POLICY_STORE)
		json_object_set_new(j, "why_not", json_string(policy_store_what(why_not)));
	target_explain_credential(t, credential, sizeof(credential));
	if (j && *credential)
		json_object_set_new(j, "credential", json_string(credential));
	if (j && cache_tier_name(c->service->cache))
		json_object_set_new(
			j, "disk", json_boolean(t->has_key && cache_is_in_tier(c->service->cache, &t->key)));
	tell_hosts(j, other_hosts(c, l));
	admin_answer(c, 200, j);
}

/* By which scheme a client would ask: what `scheme` says, where it says something. False for another word. */
static bool take_scheme(const struct admin_call *c, struct admin_url *l)
{
	struct slice v;

	if (!admin_parameter(c, "scheme", &v))
		return true;
	l->is_tls = slice_equal(v, SLICE_LIT("https"));
	return l->is_tls || slice_equal(v, SLICE_LIT("http"));
}

/* The request that is asked about: as a client would make it. 0, or what is wrong, and why. */
static int take_request(const struct admin_call *c, struct admin_url *l, const char **why)
{
	struct slice headers;
	int err = 0;

	*why = "headers are lines of \"Name: value\"";
	if (admin_parameter(c, "headers", &headers))
		err = add_fields(&l->request.fields, headers);
	if (err || take_scheme(c, l))
		return err;
	*why = "scheme is http or https";
	return -EINVAL;
}

void admin_explain(struct admin_call *c)
{
	struct admin_url l;
	struct target t;
	struct asked asked;
	struct slice url;
	const char *why;
	int err;

	if (!take_url(c, &url, &l))
		return;
	target_init(&t);
	err = take_request(c, &l, &why);
	asked = admin_url_asked(&l);
	if (!err)
		err = target_resolve(&t, c->service->snapshot, &asked, (struct slice){NULL, 0});
	if (err)
		admin_url_problem(c, err, why);
	else
		explain(c, &l, &t);
	target_fini(&t);
	admin_url_fini(&l);
}
