/* SPDX-License-Identifier: MIT */
/* entries: what is stored, in memory or on disk. */
#include <errno.h>

#include "base/mem.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/json_text.h"

#define LIMIT_DEFAULT 100
#define TEXT_MAX (256 << 20)
/* Heads that are read from disk for one call, at least: with a prefix most may be others'. */
#define READS_MIN 1000
/* One call about memory ends after so many entries and chains of the index, or so much text; and one turn of the loop after so many
 * of these, or of responses. */
#define LOOKS_MAX 1000000
#define TEXT_ENOUGH (16 << 20)
#define LOOKS_A_TURN 1024
#define TOLD_A_TURN 32

const char *admin_source_name(enum policy_source s)
{
	static const char *const names[] = {
		[LIFETIME_NONE] = "none",
		[LIFETIME_TARGETED] = "CDN-Cache-Control",
		[LIFETIME_S_MAXAGE] = "s-maxage",
		[LIFETIME_MAX_AGE] = "max-age",
		[LIFETIME_EXPIRES] = "Expires",
		[LIFETIME_HEURISTIC] = "heuristic",
		[LIFETIME_ROUTE] = "route",
		[LIFETIME_ROUTE_FORCE] = "route (forced)",
	};
	return (unsigned)s < ARRAY_LEN(names) ? names[s] : "none";
}

void admin_url_problem(struct admin_call *c, int err, const char *why)
{
	if (err == -ENOBUFS)
		admin_problem(c, 400, "the url is too long");
	else if (err == -EINVAL)
		admin_problem(c, 400, why);
	else
		admin_problem(c, 503, "out of memory");
}

bool admin_find_location(struct admin_call *c, struct slice what, bool is_prefix, struct admin_url *l)
{
	const char *why = "";
	int err;

	admin_url_init(l);
	err = admin_url_find(l, c->service->snapshot, what, is_prefix, &why);
	if (!err)
		return true;
	admin_url_problem(c, err, why);
	admin_url_fini(l);
	return false;
}

/* ---- One entry ---- */

static json_t *json_of_both(const char *tier, struct slice url, int status, int64_t age_ms, int64_t ttl_ms,
	uint64_t body_bytes, enum policy_source source, bool soft_purged, bool for_all)
{
	return json_pack("{s:s, s:o, s:i, s:f, s:f, s:I, s:s, s:b, s:b}", "tier", tier, "url", json_text_of(url),
		"status", status, "age_s", (double)age_ms / 1000, "ttl_s", (double)ttl_ms / 1000, "body_bytes",
		(json_int_t)body_bytes, "lifetime_source", admin_source_name(source), "soft_purged", soft_purged,
		"for_all", for_all);
}

static void set_whose(json_t *j, struct slice vary_names, uint64_t user)
{
	char text[20];

	if (vary_names.n)
		json_object_set_new(j, "vary", json_text_of(vary_names));
	if (user) {
		snprintf(text, sizeof(text), "%016llx", (unsigned long long)user);
		json_object_set_new(j, "user", json_string(text));
	}
}

static json_t *json_of_entry(const struct cache_entry_info *e)
{
	json_t *j = json_of_both("memory", e->url, e->status, e->age_ms, e->ttl_ms, e->body_bytes, e->source,
		e->soft_purged, e->for_all);

	json_object_set_new(j, "memory_bytes", json_integer((json_int_t)e->total_bytes));
	json_object_set_new(j, "hits", json_integer((json_int_t)e->hits));
	json_object_set_new(j, "disk", json_boolean(e->in_lower));
	if (e->answers)
		json_object_set_new(j, "answers", json_true());
	set_whose(j, e->vary_names, e->user);
	return j;
}

void admin_add_entry(const struct cache_entry_info *e, void *arg)
{
	json_array_append_new(arg, json_of_entry(e));
}

/* ---- What both tiers' answers are made of ---- */

/* In the turns of the loop, or of a reader, that a listing takes. */
struct listed {
	struct buf prefix, text;
	struct json_text json;
};

static int init_listed(struct listed *l, struct slice prefix)
{
	buf_init(&l->prefix, prefix.n + 1);
	buf_init(&l->text, TEXT_MAX);
	json_text_begin(&l->json, &l->text);
	json_text_open_array(&l->json, "entries");
	return buf_add_slice(&l->prefix, prefix);
}

static void fini_listed(struct listed *l)
{
	buf_fini(&l->prefix);
	buf_fini(&l->text);
}

static void answer_listed(struct admin_call *c, struct listed *l, const struct tier_cursor *next)
{
	struct cache_stats stats;
	char after[24];

	cache_stats(c->service->cache, &stats);
	if (stats.has_tier)
		json_text_add(&l->json, "disk_entries", json_integer((json_int_t)stats.tier.objects));
	if (next->shard < TIER_CURSOR_END) {
		snprintf(after, sizeof(after), "%02x%016llx", next->shard, (unsigned long long)next->key);
		json_text_add(&l->json, "next", json_string(after));
	}
	json_text_close(&l->json);
	admin_answer_made(c, "application/json", &l->text);
}

/* ---- Memory ---- */

struct walk {
	struct admin_work work;
	struct cache_listing listing;
	struct listed listed;
	unsigned limit, told, looked;
};

static void free_walk(struct admin_work *work)
{
	struct walk *w = CONTAINER_OF(work, struct walk, work);

	fini_listed(&w->listed);
	mem_free(w);
}

static void on_entry(const struct cache_entry_info *e, void *arg)
{
	struct walk *w = arg;

	json_text_add(&w->listed.json, NULL, json_of_entry(e));
}

static bool is_done(const struct walk *w)
{
	return w->listing.cursor.shard >= TIER_CURSOR_END || w->told >= w->limit || w->looked >= LOOKS_MAX ||
	       w->listed.text.n >= TEXT_ENOUGH || w->listed.text.err;
}

static void go_on(struct admin_call *c)
{
	struct walk *w = CONTAINER_OF(c->work, struct walk, work);

	w->listing.limit = w->limit - w->told < TOLD_A_TURN ? w->limit - w->told : TOLD_A_TURN;
	cache_list(c->service->cache, &w->listing, LOOKS_A_TURN);
	w->told += w->listing.told;
	w->looked += w->listing.looked;
	if (!is_done(w)) {
		admin_wait_turn(c);
		return;
	}
	json_text_close(&w->listed.json);
	json_text_add(&w->listed.json, "matched", json_integer(w->told));
	json_text_add(&w->listed.json, "looked", json_integer(w->looked));
	answer_listed(c, &w->listed, &w->listing.cursor);
}

static void list_memory(struct admin_call *c, struct slice prefix, unsigned limit, struct tier_cursor from)
{
	struct walk *w = mem_zalloc(sizeof(*w));

	if (!w || init_listed(&w->listed, prefix) != 0) {
		if (w)
			free_walk(&w->work);
		admin_problem(c, 503, "out of memory");
		return;
	}
	w->work = (struct admin_work){go_on, free_walk};
	w->limit = limit;
	w->listing = (struct cache_listing){
		.prefix = buf_slice(&w->listed.prefix), .now = clock_now(), .each = on_entry, .arg = w, .cursor = from};
	c->work = &w->work;
	go_on(c);
}

/* ---- Disk ---- */

struct browse {
	struct tier_listing listing;
	struct admin_call *call;
	struct listed listed; /* a reader's until the message, then ours */
};

static void free_browse(struct browse *b)
{
	fini_listed(&b->listed);
	mem_free(b);
}

static void on_record(struct tier_listing *l, const struct tier_record_info *r)
{
	json_t *j = json_of_both("disk", r->url, r->status, policy_age_ms(&r->freshness, l->now),
		policy_ttl_ms(&r->freshness, l->now), r->body_n, (enum policy_source)r->freshness.source,
		r->soft_purged, r->freshness.flags & POLICY_FOR_ALL);

	json_object_set_new(j, "disk_bytes", json_integer((json_int_t)r->bytes));
	set_whose(j, r->vary_names, r->user);
	json_text_add(&CONTAINER_OF(l, struct browse, listing)->listed.json, NULL, j);
}

static void on_browsed(struct message *m)
{
	struct tier_listing *l = CONTAINER_OF(m, struct tier_listing, message);
	struct browse *b = CONTAINER_OF(l, struct browse, listing);
	struct json_text *t = &b->listed.json;

	json_text_close(t);
	json_text_add(t, "matched", json_integer(l->told));
	json_text_add(t, "read", json_integer(l->read));
	cache_browse_end(b->call->service->cache);
	answer_listed(b->call, &b->listed, &l->cursor);
	free_browse(b);
}

static bool hex(const char *p, unsigned n, uint64_t *out)
{
	static const char digits[] = "0123456789abcdef";

	*out = 0;
	for (unsigned i = 0; i < n; i++) {
		const char *at = p[i] ? strchr(digits, p[i]) : NULL;

		if (!at)
			return false;
		*out = *out << 4 | (uint64_t)(at - digits);
	}
	return true;
}

/* As `next` said it. */
static bool read_cursor(struct slice s, struct tier_cursor *c)
{
	uint64_t shard;

	if (s.n != 18 || !hex(s.p, 2, &shard) || !hex(s.p + 2, 16, &c->key))
		return false;
	c->shard = (unsigned)shard;
	return true;
}

static void list_disk(struct admin_call *c, struct slice prefix, unsigned limit, struct tier_cursor from)
{
	struct browse *b = mem_zalloc(sizeof(*b));
	int err = b ? 0 : -ENOMEM;

	if (b)
		err = init_listed(&b->listed, prefix);
	if (!err) {
		b->call = c;
		b->listing = (struct tier_listing){.prefix = buf_slice(&b->listed.prefix),
			.limit = limit,
			.reads_max = limit > READS_MIN ? limit : READS_MIN,
			.now = clock_now(),
			.each = on_record,
			.reply_to = &c->service->mailbox,
			.message.on_message = on_browsed,
			.cursor = from};
		err = cache_browse_tier(c->service->cache, &b->listing);
	}
	if (!err)
		return;
	if (b)
		free_browse(b);
	if (err == -ENODEV)
		admin_problem(c, 400, "there is no disk tier: [disk] path is not set");
	else
		admin_problem(c, 503, err == -EAGAIN ? "the disk tier is being read in" : "too many reads wait");
}

/* ---- The call ---- */

struct entries_call {
	unsigned limit;
	bool is_disk;
	struct tier_cursor from;
};

/* NULL: all is well. */
static const char *read_parameters(struct admin_call *c, struct entries_call *e)
{
	unsigned long long limit = LIMIT_DEFAULT;
	struct slice v;

	if (admin_parameter(c, "limit", &v))
		(void)slice_to_u64(v, ADMIN_ENTRIES_MAX, &limit);
	*e = (struct entries_call){.limit = (unsigned)limit};
	e->is_disk = admin_parameter(c, "tier", &v) && slice_equal(v, SLICE_LIT("disk"));
	if (admin_parameter(c, "after", &v) && !read_cursor(v, &e->from))
		return "after is the `next` of an answer";
	return NULL;
}

static void list(struct admin_call *c, const struct entries_call *e, struct slice prefix)
{
	if (e->is_disk)
		list_disk(c, prefix, e->limit, e->from);
	else
		list_memory(c, prefix, e->limit, e->from);
}

void admin_entries(struct admin_call *c)
{
	struct entries_call e;
	const char *why = read_parameters(c, &e);
	struct admin_url l;
	struct slice v;

	if (why) {
		admin_problem(c, 400, why);
	} else if (!admin_parameter(c, "prefix", &v)) {
		list(c, &e, (struct slice){"", 0});
	} else if (admin_find_location(c, v, true, &l)) {
		list(c, &e, buf_slice(&l.url));
		admin_url_fini(&l);
	}
}
