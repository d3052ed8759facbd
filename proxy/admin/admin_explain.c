/* SPDX-License-Identifier: MIT */
/* explain: what would a request get, and why is it not cached? */
#include <errno.h>

#include "cache/policy/credentials.h"
#include "http/syntax.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/json_text.h"

#define CREDENTIAL_MAX 192
#define SENTENCE_MAX 1024

bool admin_take_url(struct admin_call *c, struct slice *url, struct admin_url *l)
{
	const char *why;

	if (!admin_parameter(c, "url", url) && !admin_parameter(c, "path", url)) {
		admin_problem(c, 400, "url is missing");
		return false;
	}
	if (!admin_find_location(c, *url, false, l))
		return false;
	if (admin_url_check_served(l, &why) == 0)
		return true;
	admin_url_problem(c, -EINVAL, why);
	admin_url_fini(l);
	return false;
}

/* ---- Hosts ---- */

#define HOSTS_TOLD_MAX 32

bool admin_is_told(const json_t *list, struct slice s)
{
	size_t i;
	json_t *one;

	json_array_foreach(list, i,
		one) if (slice_equal(s, (struct slice){json_string_value(one), json_string_length(one)})) return true;
	return false;
}

json_t *admin_other_hosts(const struct admin_call *c, const struct admin_url *l)
{
	json_t *hosts = json_array();
	const struct config_route *r;
	unsigned i = 0;

	while ((r = admin_url_next_by_host(l, c->service->snapshot, &i)))
		for (unsigned k = 0; k < r->hosts.n && json_array_size(hosts) < HOSTS_TOLD_MAX; k++)
			if (!admin_is_told(hosts, r->hosts.v[k]))
				json_array_append_new(hosts, json_text_of(r->hosts.v[k]));
	return hosts;
}

void admin_tell_hosts(json_t *j, json_t *hosts)
{
	if (j && json_array_size(hosts) > 0)
		json_object_set(j, "hosts", hosts);
	json_decref(hosts);
}

/* ---- The summary ---- */

/* " (my.ini:12)": where the key is set for the route, or would be; else empty. */
static void add_place(struct buf *to, const struct config *c, const struct config_route *r, const char *key)
{
	const struct config_place *p = *key ? config_place_of(c, r, key) : NULL;

	if (p && p->line)
		buf_addf(to, " (%s:%u)", p->file, p->line);
	else if (p)
		buf_addf(to, " (%s)", p->file);
}

static json_t *sentence(struct buf *text)
{
	json_t *j = text->err ? json_string("Not cached.") : json_text_of(buf_slice(text));

	buf_fini(text);
	return j;
}

static void add_reason(struct buf *to, const struct config *c, const struct config_route *r, enum policy_store why)
{
	const char *remedy = policy_reason(why)->remedy;

	buf_addf(to, "Not cached: %s.", policy_reason(why)->what);
	if (!*remedy)
		return;
	buf_addf(to, " %s", remedy);
	add_place(to, c, r, policy_reason(why)->key);
	buf_add_char(to, '.');
}

json_t *admin_summary_of(const struct config *c, const struct config_route *r, enum policy_store why)
{
	struct buf text;

	buf_init(&text, SENTENCE_MAX);
	add_reason(&text, c, r, why);
	return sentence(&text);
}

struct explained {
	const struct config *config;
	const struct config_route *route;
	const struct target *target;
	struct cache_sight sight;
	bool in_lower; /* the tier under memory has something, as far as is known without reading */
	enum policy_store why;
	char credential[CREDENTIAL_MAX];
};

static void add_seconds(struct buf *to, int64_t ms)
{
	buf_addf(to, "%lld s", (long long)((ms < 0 ? -ms : ms) / 1000));
}

/* It is confirmed before each use, whatever its age. */
static void add_never_fresh(struct buf *to, const struct explained *e)
{
	const struct freshness *f = &e->sight.freshness;
	const char *key = "override";

	buf_add_str(to, "Not cached: it is stored, but ");
	if (f->source != LIFETIME_NONE || f->flags & POLICY_NO_CACHE) {
		buf_add_str(to, "the origin says no-cache or a lifetime of 0, so it is asked each time. "
				"ttl_force, or ttl with override = no-cache, would answer from the cache");
	} else {
		key = e->sight.status < 400 ? "ttl" : "ttl_NNN";
		buf_addf(
			to, "nothing gives it a lifetime, so the origin is asked each time. %s would give it one", key);
	}
	add_place(to, e->config, e->route, key);
}

static void add_unconfirmed(struct buf *to, const struct explained *e, int64_t ttl_ms)
{
	const struct cache_sight *s = &e->sight;

	if (s->reuse.by_request) {
		buf_add_str(to, "Not cached: the request's Cache-Control asks the origin, whatever is stored. "
				"client_refresh = off would "
				"not listen to it");
		add_place(to, e->config, e->route, "client_refresh");
	} else if (s->is_soft_purged) {
		buf_add_str(to, "Not cached: what is stored was purged softly, so the origin is asked about it");
	} else if (policy_never_fresh(&s->freshness)) {
		add_never_fresh(to, e);
	} else {
		buf_add_str(to, "Not cached: what is stored expired ");
		add_seconds(to, ttl_ms);
		buf_add_str(to, " ago, so the origin is asked about it");
	}
	buf_add_char(to, '.');
}

static void add_answer(struct buf *to, const struct explained *e, struct now now)
{
	const struct cache_sight *s = &e->sight;
	int64_t ttl_ms = policy_ttl_ms(&s->freshness, now);

	switch (s->reuse.use) {
	case POLICY_FRESH:
		buf_addf(to, "Cached: memory answers with %d, fresh for ", s->status);
		add_seconds(to, ttl_ms);
		break;
	case POLICY_STALE_WHILE_REVALIDATE:
	case POLICY_STALE_ALLOWED:
		buf_addf(to, "Cached: memory answers with %d, stale for ", s->status);
		add_seconds(to, ttl_ms);
		if (s->reuse.use == POLICY_STALE_WHILE_REVALIDATE)
			buf_add_str(to, ", while a new one is fetched");
		break;
	case POLICY_VALIDATE:
		add_unconfirmed(to, e, ttl_ms);
		return;
	}
	buf_add_char(to, '.');
}

/* Nothing that memory has answers. What is known of the last response counts more than what its request bears. */
static void add_absence(struct buf *to, const struct explained *e)
{
	const struct cache_sight *s = &e->sight;

	if (s->passes != POLICY_STORE) {
		add_reason(to, e->config, e->route, s->passes);
	} else if (*e->credential) {
		buf_addf(to, "Not cached: the request bears a credential, and %s. %s",
			s->is_withheld ? "the origin did not say that what is stored is for such requests"
				       : "only what the origin says is for all is stored for it",
			e->credential);
		add_place(to, e->config, e->route, "shared_credentials");
		buf_add_char(to, '.');
	} else if (e->in_lower && !s->is_stored) {
		buf_add_str(to, "Cached: on disk, unless it expired or was purged, or is another variant: that is "
				"known when it is read.");
	} else if (s->is_part) {
		buf_add_str(to, "Not cached: only a part is stored.");
	} else if (s->is_stored) {
		buf_add_str(to, "Not cached: only other variants are stored (see vary in memory).");
	} else {
		buf_add_str(to, "Not cached: nothing is stored for it now. Ask for it: the detail of "
				"Cache-Status, and the answer to POST /refresh, say why a response is not stored.");
	}
}

/* /explain knows no client, so it can't say who is kept out. */
static void add_who_is_kept_out(struct buf *to, const struct explained *e)
{
	if (e->route->deny.n > 0) {
		buf_add_str(to, " Clients that deny names");
		add_place(to, e->config, e->route, "deny");
		buf_add_str(to, " get 403.");
	}
	if (e->route->allow.n > 0) {
		buf_add_str(to, " Clients that allow does not name");
		add_place(to, e->config, e->route, "allow");
		buf_add_str(to, " get 403.");
	}
}

static json_t *summary(const struct explained *e, struct now now)
{
	struct buf text;

	buf_init(&text, SENTENCE_MAX);
	if (e->why != POLICY_STORE)
		add_reason(&text, e->config, e->route, e->why);
	else if (e->sight.is_answer)
		add_answer(&text, e, now);
	else
		add_absence(&text, e);
	add_who_is_kept_out(&text, e);
	return sentence(&text);
}

/* ---- The response ---- */

/* Of the tier that answers; NULL: none does, the origin is asked. */
static json_t *tier_of(const struct cache *c, const struct explained *e)
{
	if (e->sight.is_answer && e->sight.reuse.use != POLICY_VALIDATE)
		return json_string("memory");
	if (e->in_lower && !e->sight.is_stored && e->sight.passes == POLICY_STORE && !*e->credential)
		return json_string(cache_tier_name(c));
	return json_null();
}

static json_t *key_of(const struct cache_key *k)
{
	return json_sprintf("%016llx%016llx", (unsigned long long)k->hash.hi, (unsigned long long)k->hash.lo);
}

static void see(struct admin_call *c, const struct target *t, struct now now, json_t *stored, struct explained *e)
{
	struct cache_request r = target_cache_request(t, 0);

	e->why = target_why_not(t);
	if (e->why == POLICY_STORE && policy_is_for_origin(&t->sent.http.fields))
		e->why = POLICY_NOT_PRECONDITION;
	target_explain_credential(t, e->credential, sizeof(e->credential));
	if (!t->has_key)
		return;
	cache_see(c->service->cache, &r, now, &e->sight, admin_add_entry, stored);
	e->in_lower = cache_is_in_tier(c->service->cache, &t->key);
}

static void explain(struct admin_call *c, const struct admin_url *l, const struct target *t)
{
	struct explained e = {.config = c->service->snapshot->config, .route = t->route, .target = t};
	json_t *stored = json_array(), *j;
	struct now now = clock_now();

	see(c, t, now, stored, &e);
	j = json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "summary", summary(&e, now), "url",
		json_text_of(buf_slice(&l->url)), "scheme", l->is_tls ? "https" : "http", "method",
		json_text_of(t->sent.http.method_token), "route", json_text_of(t->route->rules.route), "upstream",
		json_text_of(t->upstream->name), "cacheable", t->is_cacheable, "tier", tier_of(c->service->cache, &e),
		"rules", admin_json_of_rules(&t->route->rules), "memory", stored);
	if (j && t->has_key)
		json_object_set_new(j, "key", key_of(&t->key));
	if (j && e.why != POLICY_STORE)
		json_object_set_new(j, "why_not", json_string(policy_reason(e.why)->what));
	if (j && (e.why != POLICY_STORE || e.sight.passes != POLICY_STORE))
		json_object_set_new(
			j, "reason", json_string(policy_reason(e.why != POLICY_STORE ? e.why : e.sight.passes)->token));
	if (j && *e.credential)
		json_object_set_new(j, "credential", json_string(e.credential));
	if (j && cache_tier_name(c->service->cache))
		json_object_set_new(j, "disk", json_boolean(e.in_lower));
	admin_tell_hosts(j, admin_other_hosts(c, l));
	admin_answer(c, 200, j);
}

/* ---- The request that is asked about ---- */

/* "Name: value", one a line. Borrows the text. */
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

static int take_fields(const struct admin_call *c, struct http_fields *to)
{
	int err = 0;

	for (unsigned i = 0; i < c->parameters_n && !err; i++)
		if (slice_equal(c->parameters[i].name, SLICE_LIT("header")) ||
			slice_equal(c->parameters[i].name, SLICE_LIT("headers")))
			err = add_fields(to, c->parameters[i].value);
	return err;
}

/* By which scheme a client would ask: what `scheme` says, where it says something. */
static void take_scheme(const struct admin_call *c, struct admin_url *l)
{
	struct slice v;

	if (admin_parameter(c, "scheme", &v))
		l->is_tls = slice_equal(v, SLICE_LIT("https"));
}

static bool take_method(const struct admin_call *c, struct http_request *r)
{
	struct slice v;

	if (!admin_parameter(c, "method", &v))
		return true;
	r->method = http_method_of(v);
	r->method_token = v;
	return http_is_token(v);
}

static struct slice take_body(const struct admin_call *c, struct http_request *r)
{
	struct slice body = {NULL, 0};

	if (admin_parameter(c, "body", &body)) {
		r->framing = HTTP_BODY_LENGTH;
		r->content_length = body.n;
	}
	return body;
}

/* As a client would make it. 0, or what is wrong, and why. */
static int take_request(const struct admin_call *c, struct admin_url *l, const char **why)
{
	int err = take_fields(c, &l->request.fields);

	*why = "a header is \"Name: value\"";
	if (err)
		return err;
	take_scheme(c, l);
	*why = "method is a name, as in GET";
	return take_method(c, &l->request) ? 0 : -EINVAL;
}

void admin_explain(struct admin_call *c)
{
	struct admin_url l;
	struct target t;
	struct asked asked;
	struct slice url, body;
	const char *why;
	int err;

	if (!admin_take_url(c, &url, &l))
		return;
	target_init(&t);
	err = take_request(c, &l, &why);
	body = take_body(c, &l.request);
	asked = admin_url_asked(&l);
	if (!err)
		err = target_resolve(&t, c->service->snapshot, &asked, body);
	if (err)
		admin_url_problem(c, err, why);
	else
		explain(c, &l, &t);
	target_fini(&t);
	admin_url_fini(&l);
}
