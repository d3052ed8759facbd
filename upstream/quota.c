/* SPDX-License-Identifier: MIT */
/* What an upstream says about how much more it wants to be asked, and what follows from it. */
#include "http/date.h"
#include "http/sf.h"
#include "upstream/state.h"

/* How long the budget counts as low where no end was told. */
enum { LOW_DEFAULT_S = 60, FIELD_MAX = 4096 };
#define EPOCH_MIN_S 1000000000LL /* a reset time that is larger is a date, as some APIs send it, not a delay */

static int64_t at_most_max(int64_t s)
{
	return s < 0 ? 0 : s > QUOTA_MAX_S ? QUOTA_MAX_S : s;
}

/* One line of plain digits; -1: anything else. */
static int64_t number_of(const struct http_fields *fields, const char *name)
{
	const struct http_field *line;
	unsigned long long n;
	uint32_t i = 0;

	line = http_fields_find_next(fields, slice_of(name), &i);
	if (!line || !slice_to_u64(line->value, INT64_MAX / 1000, &n) ||
		http_fields_find_next(fields, slice_of(name), &i))
		return -1;
	return (int64_t)n;
}

/* RFC 9110 10.2.3: seconds or a date. */
static int64_t retry_after(const struct http_fields *fields, int64_t now_wall_s)
{
	const struct http_field *line = http_fields_get(fields, HF_RETRY_AFTER);
	unsigned long long n;
	int64_t at_s;

	if (!line || http_fields_count(fields, HF_RETRY_AFTER) != 1)
		return -1;
	if (slice_to_u64(line->value, QUOTA_MAX_S, &n))
		return (int64_t)n;
	return http_date_parse(line->value, now_wall_s, &at_s) ? at_most_max(at_s - now_wall_s) : -1;
}

/* ---- RateLimit as a structured field ---- */

static int64_t param_of(const struct sf_item *item, const char *key)
{
	struct sf_parser p;
	struct sf_item value;
	struct slice k;
	int64_t found = -1;

	sf_parser_init(&p, item->params);
	while (sf_param_next(&p, &k, &value) == 1)
		if (slice_equal(k, slice_of(key)))
			found = value.type == SF_INTEGER && value.integer >= 0 ? value.integer : -1;
	return found;
}

/* The quota (q) of the policy of that name. */
static int64_t policy_quota(const struct http_fields *fields, const struct sf_item *name)
{
	struct buf text;
	struct sf_parser p;
	struct sf_item item;
	int64_t q = -1;

	buf_init(&text, FIELD_MAX);
	if (http_fields_join(fields, HF_RATELIMIT_POLICY, &text) == 0 && sf_list_valid(buf_slice(&text))) {
		sf_parser_init(&p, buf_slice(&text));
		while (q < 0 && sf_list_next(&p, &item) == 1)
			if (slice_equal(item.text, name->text))
				q = param_of(&item, "q");
	}
	buf_fini(&text);
	return q;
}

/* a/b < c/d, where an unknown whole counts as a large one. */
static bool is_scarcer(int64_t a, int64_t b, int64_t c, int64_t d)
{
	double whole_b = b > 0 ? (double)b : 1e18, whole_d = d > 0 ? (double)d : 1e18;

	return (double)a / whole_b < (double)c / whole_d;
}

/* A list of policies: "default";r=50;t=30. The scarcest counts. */
static bool read_list(const struct http_fields *fields, struct slice value, struct quota_told *out)
{
	struct sf_parser p;
	struct sf_item item;
	bool any = false;

	if (!sf_list_valid(value))
		return false;
	sf_parser_init(&p, value);
	while (sf_list_next(&p, &item) == 1) {
		int64_t remaining = param_of(&item, "r"), limit;

		if (remaining < 0)
			continue;
		limit = policy_quota(fields, &item);
		if (any && !is_scarcer(remaining, limit, out->remaining, out->limit))
			continue;
		any = true;
		out->remaining = remaining;
		out->limit = limit;
		out->reset_s = param_of(&item, "t");
	}
	return any;
}

/* A dictionary, as earlier drafts had it: limit=100, remaining=50, reset=30. */
static bool read_dictionary(struct slice value, struct quota_told *out)
{
	struct quota_told t = *out;
	struct sf_parser p;
	struct sf_item item;
	struct slice key;

	if (!sf_dict_valid(value))
		return false;
	sf_parser_init(&p, value);
	while (sf_dict_next(&p, &key, &item) == 1) {
		int64_t n = item.type == SF_INTEGER && item.integer >= 0 ? item.integer : -1;

		if (slice_equal(key, SLICE_LIT("remaining")))
			t.remaining = n;
		else if (slice_equal(key, SLICE_LIT("limit")))
			t.limit = n;
		else if (slice_equal(key, SLICE_LIT("reset")))
			t.reset_s = n;
	}
	if (t.remaining < 0)
		return false;
	*out = t;
	return true;
}

static bool read_structured(const struct http_fields *fields, struct quota_told *out)
{
	struct buf text;
	bool any;

	if (!http_fields_get(fields, HF_RATELIMIT))
		return false;
	buf_init(&text, FIELD_MAX);
	any = http_fields_join(fields, HF_RATELIMIT, &text) == 0 &&
	      (read_list(fields, buf_slice(&text), out) || read_dictionary(buf_slice(&text), out));
	buf_fini(&text);
	return any;
}

/* ---- A field for each number ---- */

static bool read_triple(
	const struct http_fields *fields, const char *const names[3], int64_t now_wall_s, struct quota_told *out)
{
	int64_t remaining = number_of(fields, names[0]);

	if (remaining < 0)
		return false;
	out->remaining = remaining;
	out->limit = number_of(fields, names[1]);
	out->reset_s = number_of(fields, names[2]);
	if (out->reset_s >= EPOCH_MIN_S)
		out->reset_s = at_most_max(out->reset_s - now_wall_s);
	return true;
}

void quota_read(int status, const struct http_fields *fields, int64_t now_wall_s, struct quota_told *out)
{
	static const char *const names[][3] = {
		{"RateLimit-Remaining", "RateLimit-Limit", "RateLimit-Reset"},
		{"X-RateLimit-Remaining", "X-RateLimit-Limit", "X-RateLimit-Reset"},
		{"X-Rate-Limit-Remaining", "X-Rate-Limit-Limit", "X-Rate-Limit-Reset"},
	};
	bool any;

	*out = (struct quota_told){-1, -1, -1, -1};
	any = read_structured(fields, out);
	for (unsigned i = 0; i < ARRAY_LEN(names) && !any; i++)
		any = read_triple(fields, names[i], now_wall_s, out);
	if (any && out->reset_s != -1)
		out->reset_s = at_most_max(out->reset_s);
	if (status == 429 || status == 503)
		out->retry_after_s = retry_after(fields, now_wall_s);
	if (status == 429 && out->retry_after_s < 0)
		out->retry_after_s = out->reset_s;
}

/* ---- What follows ---- */

void quota_init(struct quota *q)
{
	atomic_init(&q->remaining, -1);
	atomic_init(&q->limit, -1);
}

static void note_budget(struct quota *q, const struct upstream_options *o, const struct quota_told *t, int64_t now_ms)
{
	int64_t limit = t->limit > 0 ? t->limit : atomic_load(&q->limit);
	int64_t reset_s = t->reset_s >= 0 ? t->reset_s : LOW_DEFAULT_S;

	if (limit < t->remaining)
		limit = t->remaining;
	atomic_store(&q->remaining, t->remaining);
	atomic_store(&q->limit, limit);
	if ((double)t->remaining * 100 <= (double)limit * o->quota_reserve_percent)
		atomic_store(&q->spare_until_ms, now_ms + reset_s * 1000);
	else if (atomic_load(&q->spare_until_ms))
		atomic_store(&q->spare_until_ms, 0);
}

void quota_note(struct quota *q, const struct upstream_options *o, const struct quota_told *t, int64_t now_ms)
{
	if (!o->quota_guard)
		return;
	if (t->remaining >= 0)
		note_budget(q, o, t, now_ms);
	/* A response that was under way does not shorten the pause that another asked for. */
	if (t->retry_after_s > 0 && now_ms + t->retry_after_s * 1000 > atomic_load(&q->blocked_until_ms))
		atomic_store(&q->blocked_until_ms, now_ms + t->retry_after_s * 1000);
}

bool quota_is_low(const struct quota *q, const struct upstream_options *o, int64_t now_ms)
{
	return o->quota_guard && atomic_load_explicit(&q->spare_until_ms, memory_order_relaxed) > now_ms;
}

bool quota_is_blocked(const struct quota *q, const struct upstream_options *o, int64_t now_ms)
{
	return o->quota_guard && atomic_load_explicit(&q->blocked_until_ms, memory_order_relaxed) > now_ms;
}
