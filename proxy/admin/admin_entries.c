/* SPDX-License-Identifier: MIT */
/* entries: what is stored, in memory or on disk. */
#include <errno.h>

#include "base/mem.h"
#include "proxy/admin/admin_internal.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 10000
/* Heads that are read from disk for one call, at least: with a prefix most may be others'. */
#define READS_MIN 1000

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

json_t *admin_json_of(struct slice s)
{
	json_t *j = json_stringn(s.p ? s.p : "", s.n);

	return j ? j : json_string("(not UTF-8)");
}

/* ---- One entry ---- */

static json_t *json_of_both(const char *tier, struct slice url, int status, int64_t age_ms, int64_t ttl_ms,
	uint64_t body_bytes, enum policy_source source, bool soft_purged, bool for_all)
{
	return json_pack("{s:s, s:o, s:i, s:f, s:f, s:I, s:s, s:b, s:b}", "tier", tier, "url", admin_json_of(url),
		"status", status, "age_s", (double)age_ms / 1000, "ttl_s", (double)ttl_ms / 1000, "body_bytes",
		(json_int_t)body_bytes, "lifetime_source", admin_source_name(source), "soft_purged", soft_purged,
		"for_all", for_all);
}

static void set_whose(json_t *j, struct slice vary_names, uint64_t user)
{
	char text[20];

	if (vary_names.n)
		json_object_set_new(j, "vary", admin_json_of(vary_names));
	if (user) {
		snprintf(text, sizeof(text), "%016llx", (unsigned long long)user);
		json_object_set_new(j, "user", json_string(text));
	}
}

void admin_add_entry(const struct cache_entry_info *e, void *arg)
{
	json_t *j = json_of_both("memory", e->url, e->status, e->age_ms, e->ttl_ms, e->body_bytes, e->source,
		e->soft_purged, e->for_all);

	json_object_set_new(j, "memory_bytes", json_integer((json_int_t)e->total_bytes));
	json_object_set_new(j, "hits", json_integer((json_int_t)e->hits));
	json_object_set_new(j, "disk", json_boolean(e->on_disk));
	set_whose(j, e->vary_names, e->user);
	json_array_append_new(arg, j);
}

/* ---- Memory ---- */

static void set_disk_total(struct admin_call *c, json_t *j)
{
	struct cache_stats stats;

	cache_stats(c->service->cache, &stats);
	if (stats.has_tier)
		json_object_set_new(j, "disk_entries", json_integer((json_int_t)stats.tier.objects));
}

static void list_memory(struct admin_call *c, struct slice prefix, unsigned limit)
{
	json_t *entries = json_array(), *j;
	unsigned seen = cache_list(c->service->cache, prefix, limit, clock_now(), admin_add_entry, entries);

	j = json_pack("{s:i, s:o}", "matched", (int)seen, "entries", entries);
	set_disk_total(c, j);
	admin_answer(c, 200, j);
}

/* ---- Disk ---- */

struct browse {
	struct tier_listing listing;
	struct admin_call *call;
	struct buf prefix;
	json_t *entries; /* a reader's until the message, then ours */
};

static void free_browse(struct browse *b)
{
	json_decref(b->entries);
	buf_fini(&b->prefix);
	mem_free(b);
}

static void on_record(struct tier_listing *l, const struct tier_record_info *r)
{
	json_t *j = json_of_both("disk", r->url, r->status, policy_age_ms(&r->freshness, l->now),
		policy_ttl_ms(&r->freshness, l->now), r->body_n, (enum policy_source)r->freshness.source,
		r->soft_purged, r->freshness.flags & POLICY_FOR_ALL);

	json_object_set_new(j, "disk_bytes", json_integer((json_int_t)r->bytes));
	set_whose(j, r->vary_names, r->user);
	json_array_append_new(CONTAINER_OF(l, struct browse, listing)->entries, j);
}

static void on_browsed(struct message *m)
{
	struct tier_listing *l = CONTAINER_OF(m, struct tier_listing, message);
	struct browse *b = CONTAINER_OF(l, struct browse, listing);
	json_t *j = json_pack("{s:i, s:i, s:O}", "matched", (int)l->told, "read", (int)l->read, "entries", b->entries);
	char next[24];

	if (l->cursor.shard < TIER_CURSOR_END) {
		snprintf(next, sizeof(next), "%02x%016llx", l->cursor.shard, (unsigned long long)l->cursor.key);
		json_object_set_new(j, "next", json_string(next));
	}
	set_disk_total(b->call, j);
	cache_browse_end(b->call->service->cache);
	admin_answer(b->call, 200, j);
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

	if (b) {
		buf_init(&b->prefix, prefix.n + 1);
		b->entries = json_array();
		err = b->entries ? buf_add_slice(&b->prefix, prefix) : -ENOMEM;
	}
	if (!err) {
		b->call = c;
		b->listing = (struct tier_listing){.prefix = buf_slice(&b->prefix),
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
		admin_problem(c, 400, "there is no disk tier");
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

	if (admin_parameter(c, "limit", &v) &&
		(!slice_to_u64(v, LIMIT_MAX + 1, &limit) || limit > LIMIT_MAX || limit == 0))
		return "limit is a number from 1 to 10000";
	*e = (struct entries_call){.limit = (unsigned)limit};
	if (admin_parameter(c, "tier", &v)) {
		e->is_disk = slice_equal(v, SLICE_LIT("disk"));
		if (!e->is_disk && !slice_equal(v, SLICE_LIT("memory")))
			return "tier is memory or disk";
	}
	if (admin_parameter(c, "after", &v) && (!e->is_disk || !read_cursor(v, &e->from)))
		return "after is the `next` of an answer with tier=disk";
	return NULL;
}

static void list(struct admin_call *c, const struct entries_call *e, struct slice prefix)
{
	if (e->is_disk)
		list_disk(c, prefix, e->limit, e->from);
	else
		list_memory(c, prefix, e->limit);
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
