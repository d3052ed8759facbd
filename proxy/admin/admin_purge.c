/* SPDX-License-Identifier: MIT */
/* purge. A call names any number of one kind; all of them are resolved before the first is made, so that a mistake purges nothing. */
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/json_text.h"
#include "proxy/record/purge_log.h"
#include "proxy/request/purge_list.h"

struct purging {
	struct admin_call *call;
	struct purge like; /* kind and softness of all */
	bool counts, is_dry;
	unsigned names;
	struct purge_list list;
	uint64_t sequence;
	/* of what is in memory, and for URLs also by their keys */
	struct cache_met met;
	unsigned met_of_keys;
	bool in_lower;
	struct tier_purging wait;
};

static const char not_noted[] = "the purge could not be noted";

static void purging_free(struct purging *p)
{
	purge_list_fini(&p->list);
	mem_free(p);
}

static void refuse(struct purging *p, int status, const char *why)
{
	admin_problem(p->call, status, why);
	purging_free(p);
}

/* ---- What is asked ---- */

/* A number with a unit, in ms; -1 where it is none, or longer than a purge is spread. */
static int64_t duration_of(struct slice s)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	size_t n = 0;
	unsigned long long v;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	if (!slice_to_u64((struct slice){s.p, n}, PURGE_SPREAD_MAX_MS + 1, &v))
		return -1;
	for (unsigned i = 0; i < ARRAY_LEN(units); i++)
		if (slice_equal(slice_from(s, n), slice_of(units[i].name)))
			return (int64_t)v * units[i].ms <= PURGE_SPREAD_MAX_MS ? (int64_t)v * units[i].ms : -1;
	return -1;
}

/* False: the call has been answered. */
static bool take_spread(struct admin_call *c, uint64_t *out)
{
	struct slice v;
	int64_t ms;

	*out = 0;
	if (!admin_parameter(c, "spread", &v))
		return true;
	ms = duration_of(v);
	if (ms < 0) {
		admin_problem(c, 400, "spread is a duration like 500ms, 30s, 10m or 2h, at most 24h");
		return false;
	}
	*out = purge_spread(clock_now().wall_ms, ms);
	return true;
}

static int kind_of(const struct admin_parameter *one)
{
	for (int i = 0; i < PURGE_KINDS_N; i++)
		if (slice_equal(one->name, slice_of(purge_kind_names[i])))
			return i;
	return -1;
}

/* Of what kind are the names, and how many? -1: of none, or of more than one kind. */
static int kind_asked(const struct admin_call *c, unsigned *names)
{
	int kind = -1;

	*names = 0;
	for (unsigned i = 0; i < c->parameters_n; i++) {
		int one = kind_of(&c->parameters[i]);

		if (one < 0)
			continue;
		if (*names > 0 && one != kind)
			return -1;
		kind = one;
		++*names;
	}
	return kind;
}

/* Taken literally, as a prefix is, it would purge nothing, and say that all is well. */
static int refuse_star(struct purge_list *l, struct slice prefix)
{
	bool is_shown = prefix.n <= 64;

	prefix.n--;
	for (size_t i = 0; i < prefix.n; i++)
		is_shown = is_shown && prefix.p[i] > ' ' && prefix.p[i] < 0x7F;
	snprintf(l->why, sizeof(l->why), "a prefix has no * at its end%s%.*s", is_shown ? ": " : "",
		is_shown ? (int)prefix.n : 0, prefix.p);
	return -EINVAL;
}

static int refuse_empty(struct purge_list *l)
{
	snprintf(l->why, sizeof(l->why), "an empty parameter");
	return -EINVAL;
}

static int add_reading(struct purging *p, struct slice value)
{
	const struct snapshot *s = p->call->service->snapshot;
	struct purge one = p->like;

	one.what = value;
	switch (one.kind) {
	case PURGE_URL:
	case PURGE_PREFIX:
		return purge_list_add_url(&p->list, s, &one);
	case PURGE_TAG:
		return purge_list_add(&p->list, &one);
	case PURGE_USER:
		return purge_list_add_user(&p->list, s, &one);
	case PURGE_ALL:
		one.what = (struct slice){NULL, 0};
		return purge_list_add(&p->list, &one);
	}
	return -EINVAL;
}

/* A '+' is a blank or a plus, depending on who wrote it: a purge too many costs a fetch, one too few serves what should be gone. */
static int add_name(struct purging *p, const struct admin_parameter *given)
{
	int err;

	if (given->value.n == 0)
		return refuse_empty(&p->list);
	if (p->like.kind == PURGE_PREFIX && given->value.p[given->value.n - 1] == '*')
		return refuse_star(&p->list, given->value);
	err = add_reading(p, given->value);
	return err || given->other.p == given->value.p ? err : add_reading(p, given->other);
}

/* Which of them it is about, where there are several. */
static void refuse_name(struct purging *p, unsigned nth, int err)
{
	char why[400], which[32] = "";

	if (p->names > 1)
		snprintf(which, sizeof(which), "%s number %u: ", purge_kind_names[p->like.kind], nth);
	snprintf(why, sizeof(why), "%s%s", which,
		err == -EINVAL    ? p->list.why
		: err == -ENOENT  ? "no route has scope = user"
		: err == -ENOBUFS ? "that is too long, or too much for one call"
				  : not_noted);
	refuse(p, err == -EINVAL || err == -ENOENT || err == -ENOBUFS ? 400 : 503, why);
}

/* False: the call has been answered. */
static bool add_names(struct purging *p)
{
	const struct admin_call *c = p->call;
	unsigned nth = 0;

	for (unsigned i = 0; i < c->parameters_n; i++) {
		int err;

		if (kind_of(&c->parameters[i]) < 0)
			continue;
		nth++;
		err = add_name(p, &c->parameters[i]);
		if (err) {
			refuse_name(p, nth, err);
			return false;
		}
	}
	return true;
}

/* ---- What is met ---- */

/* The key of a GET for it without any field. Others may have the URL too: of users, of key_headers, of bodies. */
static void count_url(struct purging *p, struct slice url)
{
	const struct service *s = p->call->service;
	struct admin_url l;
	struct target t;
	const char *why;

	admin_url_init(&l);
	target_init(&t);
	if (admin_url_find(&l, s->snapshot, url, false, &why) == 0) {
		struct asked asked = admin_url_asked(&l);

		if (target_resolve(&t, s->snapshot, &asked, (struct slice){NULL, 0}) == 0 && t.has_key) {
			p->met_of_keys += cache_count_key(s->cache, &t.key, p->like.soft);
			p->in_lower = p->in_lower || cache_is_in_tier(s->cache, &t.key);
		}
	}
	target_fini(&t);
	admin_url_fini(&l);
}

static int count(struct purging *p)
{
	const struct admin_call *c = p->call;

	if (p->like.kind == PURGE_URL)
		for (unsigned i = 0; i < c->parameters_n; i++)
			if (kind_of(&c->parameters[i]) == PURGE_URL)
				count_url(p, c->parameters[i].value);
	return cache_count_met(c->service->cache, p->list.v, p->list.n, &p->met);
}

/* Exact where all of memory was looked at. Else the keys of URLs, which are looked up, or the share of a sample. */
static json_t *json_of_met(const struct purging *p)
{
	struct cache_stats stats;

	if (p->met.is_all)
		return json_pack("{s:i, s:s}", "met", (int)p->met.met, "count", "exact");
	if (p->like.kind == PURGE_URL)
		return json_pack("{s:i, s:s}", "met", (int)(p->met_of_keys > p->met.met ? p->met_of_keys : p->met.met),
			"count", "at least");
	cache_stats(p->call->service->cache, &stats);
	return json_pack("{s:i, s:s, s:i, s:I}", "met", (int)p->met.met, "count", "sampled", "looked_at",
		(int)p->met.looked_at, "of", (json_int_t)stats.objects);
}

/* Of one that met nothing: where is it seen how things are named? */
static const char *nothing_met(enum purge_kind kind)
{
	switch (kind) {
	case PURGE_URL:
	case PURGE_PREFIX:
		return "nothing that is stored is named so; /entries lists what is, as purges name it";
	case PURGE_TAG:
		return "nothing that is stored has the tag; tags are what the fields that tag_headers names say in a "
		       "response";
	case PURGE_USER:
		return "nothing is stored of that user; an identity is the value of what user_from names, as it is in "
		       "a request";
	case PURGE_ALL:
		break;
	}
	return "nothing is stored";
}

/* What is right and perhaps not meant, of a name that stands alone; or NULL. */
static const char *misreading_of(const struct purging *p)
{
	struct slice what = p->list.v[0].what;

	if (p->names > 1)
		return NULL;
	if (p->like.kind == PURGE_URL && what.n > 0 && what.p[what.n - 1] == '*')
		return "a * in a URL is itself; prefix= names all URLs that begin alike";
	if (p->like.kind == PURGE_TAG && (memchr(what.p, ',', what.n) || memchr(what.p, ' ', what.n)))
		return "that is one tag; for several give tag= several times";
	return NULL;
}

/* The tier under memory is not looked through but for URLs. */
static bool has_met_nothing(const struct purging *p, const char *tier)
{
	return p->met.met == 0 && p->met_of_keys == 0 && !p->in_lower &&
	       (p->like.kind == PURGE_URL || (!tier && p->met.is_all));
}

static void add_met(const struct purging *p, json_t *response)
{
	const char *tier = cache_tier_name(p->call->service->cache);

	json_object_set_new(response, "memory", json_of_met(p));
	if (p->like.kind == PURGE_URL && tier)
		json_object_set_new(response, tier, json_boolean(p->in_lower));
	if (has_met_nothing(p, tier) && !json_object_get(response, "note"))
		json_object_set_new(response, "note", json_string(nothing_met(p->like.kind)));
}

/* ---- The purge ---- */

/* One name as keys spell it, and what else it may have meant. An identity is not told. */
static void add_spelling(const struct purging *p, json_t *response)
{
	const struct purge_list *l = &p->list;

	if (p->names > 1)
		json_object_set_new(response, "names", json_integer(p->names));
	if (p->names > 1 || p->like.kind == PURGE_USER || p->like.kind == PURGE_ALL)
		return;
	json_object_set_new(response, purge_kind_names[p->like.kind], json_text_of(l->v[0].what));
	if (l->n > 1)
		json_object_set_new(response, "also", json_text_of(l->v[1].what));
}

static void answer(struct purging *p, int err)
{
	const char *misreading = misreading_of(p);
	json_t *response;

	if (err) {
		refuse(p, 503, not_noted);
		return;
	}
	response = json_pack("{s:s, s:b}", p->is_dry ? "would_purge" : "purged", purge_kind_names[p->like.kind], "soft",
		p->like.soft);
	if (p->like.spread != 0)
		json_object_set_new(response, "spread_s", json_real((double)purge_spread_ms(p->like.spread) / 1000));
	if (!p->is_dry)
		json_object_set_new(response, "sequence", json_integer((json_int_t)p->sequence));
	add_spelling(p, response);
	if (misreading)
		json_object_set_new(response, "note", json_string(misreading));
	if (p->counts || p->is_dry)
		add_met(p, response);
	admin_answer(p->call, 200, response);
	purging_free(p);
}

static void on_purged(struct message *m)
{
	struct purging *p = CONTAINER_OF(m, struct purging, wait.message);

	cache_purge_end(p->call->service->cache);
	answer(p, p->wait.err);
}

static int note(struct purging *p)
{
	const struct service *s = p->call->service;
	struct purge first = p->list.v[0];
	uint64_t id;
	int err;

	if (first.kind == PURGE_USER) /* the identity is a secret */
		first.what = (struct slice){NULL, 0};
	id = purge_log_begin(s->purge_log, &first, p->names, false, p->call->transport->peer, cache_sequence(s->cache));
	err = cache_purge_note(s->cache, p->list.v, p->list.n, &p->sequence, &p->wait);
	purge_log_end(s->purge_log, id, p->sequence);
	return err;
}

/* While it waits for the device other calls are taken, and their purges wait for it together. */
static void purge(struct purging *p)
{
	struct cache *cache = p->call->service->cache;
	int err = p->counts || p->is_dry ? count(p) : 0;

	p->wait.reply_to = &p->call->service->mailbox;
	p->wait.message.on_message = on_purged;
	if (!err && !p->is_dry)
		err = note(p);
	if (!err && !p->is_dry)
		err = cache_purge_wait(cache, &p->wait);
	if (err != -EINPROGRESS)
		answer(p, err);
}

void admin_purge(struct admin_call *c)
{
	uint64_t spread;
	unsigned names;
	int kind = kind_asked(c, &names);
	struct purging *p;

	if (!take_spread(c, &spread))
		return;
	if (kind < 0) {
		admin_problem(c, 400, "give exactly one of " PURGE_KINDS_IN_WORDS);
		return;
	}
	if (kind == PURGE_ALL && !admin_flag(c, "all")) {
		admin_problem(c, 400, "all has to be 1: all=1");
		return;
	}
	p = mem_zalloc(sizeof(*p));
	if (!p) {
		admin_problem(c, 503, not_noted);
		return;
	}
	p->call = c;
	p->counts = admin_flag(c, "count");
	p->is_dry = admin_flag(c, "dry_run");
	p->names = names;
	p->like = (struct purge){.kind = (enum purge_kind)kind, .soft = admin_flag(c, "soft"), .spread = spread};
	purge_list_init(&p->list);
	if (add_names(p))
		purge(p);
}

/* ---- The log ---- */

static json_t *json_of_logged(const struct purge_logged *l)
{
	json_t *j = json_pack("{s:I, s:f, s:s, s:s, s:s, s:b, s:i}", "id", (json_int_t)l->id, "time_s",
		(double)l->at_ms / 1000, "from", l->who, "by", l->is_method ? "PURGE" : "admin", "purged",
		purge_kind_names[l->kind], "soft", l->soft, "names", (int)l->names);

	if (l->what[0])
		json_object_set_new(j, "first", json_text_of(slice_of(l->what)));
	if (l->spread_ms > 0)
		json_object_set_new(j, "spread_s", json_real((double)l->spread_ms / 1000));
	if (!l->is_under_way)
		json_object_set_new(j, "sequence", json_integer((json_int_t)l->last));
	json_object_set_new(j, "met", json_integer((json_int_t)l->met));
	return j;
}

void admin_purges(struct admin_call *c)
{
	unsigned long long limit = 100, before = UINT64_MAX;
	struct purge_logged *v;
	struct slice text;
	json_t *list;
	unsigned n;

	if (admin_parameter(c, "limit", &text))
		(void)slice_to_u64(text, PURGE_LOG_MAX, &limit); /* as its rule says */
	if (admin_parameter(c, "before", &text) && !slice_to_u64(text, UINT64_MAX, &before)) {
		admin_problem(c, 400, "before is the id of a purge");
		return;
	}
	v = mem_alloc(limit * sizeof(*v));
	if (!v) {
		admin_problem(c, 503, "out of memory");
		return;
	}
	n = purge_log_read(c->service->purge_log, before, v, (unsigned)limit);
	list = json_array();
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, json_of_logged(&v[i]));
	mem_free(v);
	admin_answer(c, 200, json_pack("{s:o}", "purges", list));
}
