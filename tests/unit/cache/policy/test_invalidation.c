/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cache/policy/invalidation.h"

static struct invalidation_table *table(unsigned max_rules)
{
	struct invalidation_table *t = NULL;

	assert_int_equal(invalidation_table_new(max_rules, &t), 0);
	return t;
}

#define FOLDED_AT_ONCE 32

static uint64_t purge(struct invalidation_table *t, enum purge_kind kind, const char *what, uint64_t user, bool soft)
{
	uint64_t seq = 0;

	invalidation_purge(t, &(struct purge){.kind = kind, .what = slice_of(what), .user = user, .soft = soft}, &seq);
	assert_int_equal(seq, invalidation_now(t));
	return seq;
}

static enum purge_state check_url(struct invalidation_table *t, const char *url, uint64_t epoch)
{
	struct purgeable set = {.url = slice_of(url)};
	_Atomic uint64_t checked = epoch;

	return invalidation_check(t, &set, epoch, &checked);
}

static void a_purged_url_is_invalid_for_what_was_fetched_before(void **state)
{
	struct invalidation_table *t = table(100);
	uint64_t before = invalidation_now(t);

	(void)state;
	assert_int_equal(check_url(t, "http://o/a", before), NOT_PURGED);
	purge(t, PURGE_URL, "http://o/a", 0, false);
	assert_int_equal(check_url(t, "http://o/a", before), PURGED_HARD);
	assert_int_equal(check_url(t, "http://o/a?x", before), NOT_PURGED);
	assert_int_equal(check_url(t, "http://o/", before), NOT_PURGED);
	assert_int_equal(check_url(t, "http://o/a", invalidation_now(t)), NOT_PURGED);
	invalidation_table_free(&t);
	assert_null(t);
}

/* RFC 3986 6.2.2: the spelling of a URL is neither here nor there, of what is purged as of what is stored. */
static const struct {
	enum purge_kind kind;
	const char *purged, *stored;
	bool is_named;
} spelling_rows[] = {
	{PURGE_URL, "http://o/users/joe", "http://o/users/%6aoe", true},
	{PURGE_URL, "http://o/users/%6aoe", "http://o/users/joe", true},
	{PURGE_URL, "http://o/users/%6Aoe", "http://o/users/j%6Fe", true},
	{PURGE_URL, "http://o/%7eann%2d1?a=%5f%2E", "http://o/~ann-1?a=_.", true},
	{PURGE_URL, "http://%6f/a", "http://o/a", true},
	{PURGE_URL, "http://o/caf%c3%a9%61", "http://o/caf%C3%A9a", true},
	/* What needs its escape is no other's. */
	{PURGE_URL, "http://o/a%2fb", "http://o/a/b", false},
	{PURGE_URL, "http://o/a%2Fb", "http://o/%61%2fb", true},
	{PURGE_URL, "http://o/a%3fb", "http://o/a?b", false},
	{PURGE_URL, "http://o/%40me", "http://o/@me", false},
	{PURGE_URL, "http://o/%256aoe", "http://o/%6aoe", false}, /* once */
	{PURGE_URL, "http://o/%4a", "http://o/j", false},
	{PURGE_URL, "http://o/%6", "http://o/%6a", false},
	{PURGE_PREFIX, "http://o/users/j", "http://o/users/%6aoe", true},
	{PURGE_PREFIX, "http://o/users/%6a", "http://o/users/joe", true},
	{PURGE_PREFIX, "http://o/users/%6a", "http://o/users/%6A%6fe/1", true},
	{PURGE_PREFIX, "http://o/%75sers/", "http://o/users/joe", true},
	{PURGE_PREFIX, "http://o/users/jo", "http://o/users/%6a", false},
	{PURGE_PREFIX, "http://o/users/%6aoe", "http://o/users/jo", false},
	/* A prefix that ends within an escape is taken as it is. */
	{PURGE_PREFIX, "http://o/users/%6", "http://o/users/%6aoe", true},
	{PURGE_PREFIX, "http://o/users/%6", "http://o/users/joe", false},
	{PURGE_PREFIX, "http://o/%75sers/%", "http://o/%75sers/%6aoe", true},
	{PURGE_PREFIX, "http://o/caf%c", "http://o/caf%C3%A9", true},
	/* Dot segments say nothing, where it is known that they are such. */
	{PURGE_URL, "http://o/a/./b", "http://o/a/b", true},
	{PURGE_URL, "http://o/a/x/%2e%2E/b?c", "http://o/a/b?c", true},
	{PURGE_URL, "http://o/a/..", "http://o/", true},
	{PURGE_URL, "http://o/base/../../../a", "http://o/a", true},
	{PURGE_URL, "http://o/a/b", "http://o/x/../a/b", true},
	{PURGE_URL, "http://o/a?x=/./b", "http://o/a?x=/b", false},
	{PURGE_URL, "http://o/a/...", "http://o/a/", false},
	{PURGE_URL, "http://o/a//b", "http://o/a/b", false},
	{PURGE_PREFIX, "http://o/x/../a/b", "http://o/a/bc", true},
	{PURGE_PREFIX, "http://o/a/.", "http://o/a/.well-known", true},
	{PURGE_PREFIX, "http://o/a/.", "http://o/a/b", false},
	{PURGE_PREFIX, "http://o/a/..", "http://o/b", false},
	{PURGE_PREFIX, "http://o/a/./b?c=", "http://o/a/b?c=1", true},
};

static void spellings_of_one_url_are_purged_as_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(spelling_rows); i++) {
		for (int soft = 0; soft < 2; soft++) {
			struct invalidation_table *t = table(100);
			uint64_t before = invalidation_now(t);
			enum purge_state want = soft ? PURGED_SOFT : PURGED_HARD, got;

			purge(t, spelling_rows[i].kind, spelling_rows[i].purged, 0, soft);
			got = check_url(t, spelling_rows[i].stored, before);
			if (got != (spelling_rows[i].is_named ? want : NOT_PURGED))
				fail_msg("%s of %s: %d", spelling_rows[i].purged, spelling_rows[i].stored, got);
			assert_int_equal(check_url(t, spelling_rows[i].purged, before), want);
			assert_int_equal(check_url(t, "http://o/other%2d", before), NOT_PURGED);
			invalidation_table_free(&t);
		}
	}
}

/* What a checkpoint has that was written before spellings were one: the hash of the URL as it was written, and nothing else. */
static void rules_of_an_older_checkpoint_hold_for_what_they_named(void **state)
{
	static const struct {
		struct invalidation_rule rule;
		const char *url;
	} rows[] = {
		{{0xe201184de7fe811f, 5, 0, 0, 0}, "http://o/users/%6aoe"},
		{{0x18dc04e8042d4ae1, 5, 0, 18, 0}, "http://o/users/%6aoe"},
		{{0x7abf3cef4e96d0be, 5, 0, 0, 0}, "http://o/users/joe"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct invalidation_table *t = table(100);
		struct invalidation_rule rule = rows[i].rule;

		invalidation_import(t, &(struct invalidation_image){.rules = &rule, .rules_n = 1});
		invalidation_start_at(t, 10);
		assert_int_equal(check_url(t, rows[i].url, 4), PURGED_HARD);
		assert_int_equal(check_url(t, rows[i].url, 5), NOT_PURGED);
		assert_int_equal(
			check_url(t, "http://o/users/%6aoe2", 4), rule.prefix_n > 0 ? PURGED_HARD : NOT_PURGED);
		invalidation_table_free(&t);
	}
}

static void a_soft_purge_is_soft_until_a_hard_one_comes(void **state)
{
	struct invalidation_table *t = table(100);
	uint64_t before = invalidation_now(t);

	(void)state;
	purge(t, PURGE_PREFIX, "http://o/a", 0, true);
	assert_int_equal(check_url(t, "http://o/abc", before), PURGED_SOFT);
	purge(t, PURGE_URL, "http://o/abc", 0, false);
	assert_int_equal(check_url(t, "http://o/abc", before), PURGED_HARD);
	assert_int_equal(check_url(t, "http://o/abd", before), PURGED_SOFT);
	assert_int_equal(check_url(t, "http://o/b", before), NOT_PURGED);
	invalidation_table_free(&t);
}

static void tags_users_and_all_are_purged_too(void **state)
{
	struct invalidation_table *t = table(100);
	uint64_t tag = purge_tag_hash(SLICE_LIT("news")), before = invalidation_now(t);
	struct purgeable set = {.url = SLICE_LIT("http://o/a"), .tags = &tag, .tags_n = 1, .user = 7};
	struct purgeable other = {.url = SLICE_LIT("http://o/a"), .user = 8};
	_Atomic uint64_t checked = before;

	(void)state;
	purge(t, PURGE_TAG, "sport", 0, false);
	assert_int_equal(invalidation_check(t, &set, before, &checked), NOT_PURGED);
	purge(t, PURGE_TAG, "news", 0, false);
	assert_int_equal(invalidation_check(t, &set, before, &checked), PURGED_HARD);
	before = invalidation_now(t);
	purge(t, PURGE_USER, "", 7, false);
	assert_int_equal(invalidation_check(t, &set, before, &checked), PURGED_HARD);
	assert_int_equal(invalidation_check(t, &other, before, &checked), NOT_PURGED);
	before = invalidation_now(t);
	purge(t, PURGE_ALL, "", 0, true);
	assert_int_equal(invalidation_check(t, &other, before, &checked), PURGED_SOFT);
	purge(t, PURGE_ALL, "", 0, false);
	assert_int_equal(invalidation_check(t, &other, before, &checked), PURGED_HARD);
	invalidation_table_free(&t);
}

static void a_check_is_remembered_only_when_it_was_valid(void **state)
{
	struct invalidation_table *t = table(100);
	uint64_t before = invalidation_now(t);
	struct purgeable set = {.url = SLICE_LIT("http://o/a")};
	_Atomic uint64_t checked = before;

	(void)state;
	purge(t, PURGE_URL, "http://o/b", 0, false);
	assert_int_equal(invalidation_check(t, &set, before, &checked), NOT_PURGED);
	assert_int_equal(checked, invalidation_now(t));
	purge(t, PURGE_URL, "http://o/a", 0, false);
	assert_int_equal(invalidation_check(t, &set, before, &checked), PURGED_HARD);
	assert_int_equal(checked, invalidation_now(t) - 1);
	invalidation_table_free(&t);
}

static void a_full_table_invalidates_more_but_resurrects_nothing(void **state)
{
	struct invalidation_table *t = table(16);
	struct invalidation_stats stats;
	uint64_t epochs[200];
	char url[40];

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		epochs[i] = invalidation_now(t);
		snprintf(url, sizeof(url), "http://o/%u", i);
		purge(t, PURGE_URL, url, 0, false);
	}
	for (unsigned i = 0; i < 200; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		assert_int_equal(check_url(t, url, epochs[i]), PURGED_HARD);
	}
	assert_int_equal(check_url(t, "http://o/199", invalidation_now(t)), NOT_PURGED);
	invalidation_stats(t, &stats);
	assert_int_equal(stats.rules, 16);
	assert_int_equal(stats.rules_folded, 200 - 16);
	assert_int_equal(stats.floor_raised, 0);
	invalidation_table_free(&t);
}

/* With as many rules as there may be, each further one costs what it names, and of all else a few of the oldest. */
static void a_full_table_loses_a_little_at_a_time(void **state)
{
	enum { MAX = 4096, OBJECTS = 20000 };
	struct invalidation_table *t = table(MAX);
	struct invalidation_stats stats;
	unsigned lost_at_once = 0, lost[2] = {0};
	char url[40];

	(void)state;
	for (unsigned i = 0; i < MAX; i++) {
		snprintf(url, sizeof(url), "http://o/first/%u", i);
		purge(t, PURGE_URL, url, 0, false);
	}
	for (unsigned i = 0; i < OBJECTS; i++) {
		snprintf(url, sizeof(url), "http://o/other/%u", i);
		assert_int_equal(check_url(t, url, 1), NOT_PURGED); /* nothing but what was named, up to the bound */
	}
	for (unsigned more = 0; more < 100; more++) {
		unsigned n = 0;

		snprintf(url, sizeof(url), "http://o/more/%u", more);
		purge(t, PURGE_URL, url, 0, false);
		for (unsigned i = 0; i < OBJECTS; i++) {
			snprintf(url, sizeof(url), "http://o/other/%u", i);
			n += check_url(t, url, 1) != NOT_PURGED;
		}
		assert_in_range(n, lost[0], OBJECTS / 100);
		lost_at_once = n - lost[0] > lost_at_once ? n - lost[0] : lost_at_once;
		lost[0] = n;
	}
	assert_in_range(lost_at_once, 1, OBJECTS / 1000);
	/* What was found valid in between, as the sweeper does, loses nothing. */
	for (unsigned i = 0; i < OBJECTS; i++) {
		snprintf(url, sizeof(url), "http://o/other/%u", i);
		lost[1] += check_url(t, url, MAX) != NOT_PURGED;
	}
	assert_int_equal(lost[1], 0);
	invalidation_stats(t, &stats);
	assert_in_range(stats.rules, MAX - FOLDED_AT_ONCE, MAX);
	assert_int_equal(stats.rules + stats.rules_folded, MAX + 100);
	/* Once nothing older is left, what was folded goes, too. */
	assert_true(invalidation_retire(t, invalidation_now(t), UINT_MAX));
	for (unsigned i = 0; i < OBJECTS; i++) {
		snprintf(url, sizeof(url), "http://o/other/%u", i);
		assert_int_equal(check_url(t, url, 1), NOT_PURGED);
	}
	invalidation_table_free(&t);
}

/* As many as the server keeps: as a cache of a million objects sees them that nobody asks for meanwhile. */
static void a_million_purges_lose_no_object_that_they_do_not_name(void **state)
{
	enum { MILLION = 1000000 };
	struct invalidation_table *t = table(1 << 20);
	struct invalidation_stats stats;
	unsigned lost = 0, kept = 0;
	int64_t began = clock_mono_us(), us[2]; /* told, not judged */
	char url[40];

	(void)state;
	for (unsigned i = 0; i < MILLION; i++) {
		snprintf(url, sizeof(url), "http://o/%u", 2 * i);
		purge(t, PURGE_URL, url, 0, false);
	}
	us[0] = clock_mono_us() - began;
	began = clock_mono_us();
	for (unsigned i = 0; i < MILLION; i++) { /* every other one is named */
		snprintf(url, sizeof(url), "http://o/%u", i);
		if (check_url(t, url, 1) == NOT_PURGED)
			kept += i % 2 == 0;
		else
			lost += i % 2 == 1;
	}
	us[1] = clock_mono_us() - began;
	assert_int_equal(lost, 0);
	assert_int_equal(kept, 0);
	invalidation_stats(t, &stats);
	assert_int_equal(stats.rules, MILLION);
	assert_in_range(stats.rules_bytes, 1, 64 << 20);
	print_message("%lld ns a purge, %lld ns a check, %llu MiB of rules\n", (long long)us[0] * 1000 / MILLION,
		(long long)us[1] * 1000 / MILLION, (unsigned long long)stats.rules_bytes >> 20);
	assert_true(invalidation_retire(t, invalidation_now(t), UINT_MAX));
	invalidation_stats(t, &stats);
	assert_int_equal(stats.rules, 0);
	assert_in_range(stats.rules_bytes, 0, 16 << 20);
	invalidation_table_free(&t);
}

static void rules_retire_when_nothing_older_is_left(void **state)
{
	struct invalidation_table *t = table(1000);
	struct invalidation_stats stats;
	uint64_t middle = 0;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		char url[40];

		snprintf(url, sizeof(url), "http://o/%u", i);
		purge(t, i % 2 ? PURGE_URL : PURGE_PREFIX, url, 0, false);
		if (i == 249)
			middle = invalidation_now(t);
	}
	assert_true(invalidation_retire(t, middle, UINT_MAX));
	invalidation_stats(t, &stats);
	assert_int_equal(stats.rules, 250);
	assert_int_equal(check_url(t, "http://o/400", middle), PURGED_HARD);
	assert_true(invalidation_retire(t, invalidation_now(t), UINT_MAX));
	invalidation_stats(t, &stats);
	assert_int_equal(stats.rules, 0);
	assert_int_equal(stats.floor_raised, 0);
	invalidation_table_free(&t);
}

static void without_memory_a_purge_still_invalidates(void **state)
{
	struct invalidation_table *t = table(1000);
	struct invalidation_stats stats;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		char url[40];
		uint64_t before = invalidation_now(t), seq;

		snprintf(url, sizeof(url), "http://o/%u", i);
		mem_fail_at(1, 1);
		invalidation_purge(t, &(struct purge){.kind = PURGE_URL, .what = slice_of(url)}, &seq);
		mem_fail_at(0, 0);
		assert_int_equal(check_url(t, url, before), PURGED_HARD);
		assert_int_equal(check_url(t, "http://o/other", before), NOT_PURGED);
	}
	invalidation_stats(t, &stats);
	assert_true(stats.rules_folded > 0);
	invalidation_table_free(&t);
}

/* ---- Against a model that keeps every purge in a list ---- */

/* As it is written, and with the escapes gone that are not needed. */
struct spellings {
	char v[2][24];
};

struct purge_note {
	enum purge_kind kind;
	char what[24];
	struct spellings names;
	uint64_t user, seq;
	bool soft;
};

static uint32_t dice = 12345;
static unsigned roll(unsigned n)
{
	dice = dice * 1664525u + 1013904223u;
	return (dice >> 8) % n;
}

static void random_name(char *out)
{
	static const char *const bits[] = {"a", "b", "/", "a", "b", "%61", "%2f", "%2F", "%6"};
	unsigned n = 1 + roll(6);

	for (unsigned i = 0; i < n; i++)
		out += sprintf(out, "%s", bits[roll(ARRAY_LEN(bits))]);
}

static void spell(const char *name, struct spellings *out)
{
	unsigned c;
	char *to = out->v[1];

	snprintf(out->v[0], sizeof(out->v[0]), "%s", name);
	for (; *name; name++) {
		bool decodes = *name == '%' && isxdigit((unsigned char)name[1]) && isxdigit((unsigned char)name[2]) &&
			       sscanf(name, "%%%2x", &c) == 1 && isalnum((int)c);

		*to++ = decodes ? (char)c : *name;
		name += decodes ? 2 : 0;
	}
	*to = '\0';
}

static bool names(const struct purge_note *p, const struct spellings *url)
{
	bool in = false;

	for (unsigned i = 0; i < 4 && !in; i++) {
		const char *a = p->names.v[i / 2], *b = url->v[i % 2];

		in = strncasecmp(a, b, p->kind == PURGE_URL ? sizeof(p->names.v[0]) : strlen(a)) == 0;
	}
	return in;
}

static enum purge_state model_check(const struct purge_note *notes, unsigned n, const struct spellings *url,
	const char *tag, uint64_t user, uint64_t epoch)
{
	enum purge_state state = NOT_PURGED;

	for (unsigned i = 0; i < n; i++) {
		const struct purge_note *p = &notes[i];
		bool in =
			p->seq > epoch &&
			(p->kind == PURGE_ALL || ((p->kind == PURGE_URL || p->kind == PURGE_PREFIX) && names(p, url)) ||
				(p->kind == PURGE_TAG && strcmp(p->what, tag) == 0) ||
				(p->kind == PURGE_USER && p->user == user));

		if (!in)
			continue;
		if (!p->soft)
			return PURGED_HARD;
		state = PURGED_SOFT;
	}
	return state;
}

#define ROUNDS 1000
struct response {
	char url[24], tag[24];
	struct spellings names;
	uint64_t tag_hash, user, epoch;
	_Atomic uint64_t checked;
};

static void random_purge(struct invalidation_table *t, struct purge_note *p)
{
	*p = (struct purge_note){.kind = (enum purge_kind)roll(4), .soft = roll(2), .user = 1 + roll(5)};
	if (roll(100) == 0)
		p->kind = PURGE_ALL;
	random_name(p->what);
	spell(p->what, &p->names);
	invalidation_purge(t,
		&(struct purge){.kind = p->kind, .what = slice_of(p->what), .user = p->user, .soft = p->soft}, &p->seq);
}

/* What a restart leaves: all responses, as from disk, and what was exported. */
static void restart(struct invalidation_table **t, unsigned max_rules)
{
	struct invalidation_image image;
	struct invalidation_table *next = table(max_rules);

	assert_int_equal(invalidation_export(*t, &image), 0);
	invalidation_import(next, &image);
	invalidation_start_at(next, invalidation_now(*t) + roll(3));
	mem_free(image.rules);
	invalidation_table_free(t);
	*t = next;
}

static void agrees_with_a_naive_model(unsigned max_rules, bool exact)
{
	static struct purge_note notes[ROUNDS];
	static struct response responses[64];
	struct invalidation_table *t = table(max_rules);

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct response *fresh = &responses[roll(64)];

		random_name(fresh->url);
		spell(fresh->url, &fresh->names);
		random_name(fresh->tag);
		fresh->tag_hash = purge_tag_hash(slice_of(fresh->tag));
		fresh->user = roll(6);
		fresh->epoch = invalidation_now(t);
		fresh->checked = fresh->epoch;
		random_purge(t, &notes[round]);
		if (roll(50) == 0) {
			uint64_t oldest = invalidation_now(t);

			for (unsigned i = 0; i < 64; i++)
				if (responses[i].epoch && responses[i].epoch < oldest)
					oldest = responses[i].epoch;
			(void)invalidation_retire(t, oldest, exact ? UINT_MAX : 1 + roll(300));
		}
		if (roll(100) == 0)
			restart(&t, max_rules);
		for (unsigned i = 0; i < 64; i++) {
			struct response *a = &responses[i];
			struct purgeable set = {
				.url = slice_of(a->url), .tags = &a->tag_hash, .tags_n = 1, .user = a->user};
			enum purge_state want, got;

			if (!a->epoch)
				continue;
			want = model_check(notes, round + 1, &a->names, a->tag, a->user, a->epoch);
			got = invalidation_check(t, &set, a->epoch, &a->checked);
			if (exact)
				assert_int_equal(got, want);
			else
				assert_true(got >= want);
		}
	}
	invalidation_table_free(&t);
}

static void any_sequence_agrees_with_a_naive_model(void **state)
{
	(void)state;
	agrees_with_a_naive_model(100000, true);
}

static void a_bounded_table_is_never_more_permissive_than_the_model(void **state)
{
	(void)state;
	for (unsigned max_rules = 1; max_rules < 200; max_rules += 1 + max_rules / 2)
		agrees_with_a_naive_model(max_rules, false);
}

static void rules_for_others_leave_a_response_valid_however_many(void **state)
{
	int64_t cost[2]; /* told, not judged */
	unsigned sizes[2] = {100, 100000};

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct invalidation_table *t = table(200000);
		struct purgeable set = {.url = SLICE_LIT("http://origin.example/api/v1/users/12345/orders/678?page=3")};
		int64_t start;

		for (unsigned i = 0; i < sizes[k]; i++) {
			char what[64];

			snprintf(what, sizeof(what), "http://origin.example/api/v2/%.*s%u", (int)(i % 10), "abcdefghij",
				i);
			purge(t, i % 2 ? PURGE_URL : PURGE_PREFIX, what, 0, false);
		}
		start = clock_mono_us();
		for (unsigned i = 0; i < 100000; i++) {
			_Atomic uint64_t checked = 1;

			assert_int_equal(invalidation_check(t, &set, 1, &checked), NOT_PURGED);
		}
		cost[k] = clock_mono_us() - start;
		print_message("%u rules: %lld ns a full check\n", sizes[k], (long long)cost[k] / 100);
		invalidation_table_free(&t);
	}
}

static uint64_t purge_prefix(struct invalidation_table *t, const char *url, size_t n)
{
	uint64_t seq;

	invalidation_purge(t, &(struct purge){.kind = PURGE_PREFIX, .what = (struct slice){url, n}}, &seq);
	return seq;
}

/* However many lengths are in use: with a bound on them, one more would have to be cut, to nothing in the end, which is all. */
static void a_prefix_of_any_length_covers_what_begins_with_it_and_nothing_else(void **state)
{
	enum { LONGEST = 16384 };
	static char in_use[LONGEST + 2], other[LONGEST + 2];
	struct invalidation_table *t = table(100000);
	_Atomic uint64_t checked;
	struct purgeable rest;
	uint64_t begin = invalidation_now(t), before;

	(void)state;
	memset(in_use, 'a', sizeof(in_use) - 1);
	memset(other, 'b', sizeof(other) - 1);
	for (size_t n = 1; n <= LONGEST; n += n < 700 ? 1 : 613) {
		before = invalidation_now(t);
		purge_prefix(t, in_use, n);
		in_use[n - 1] = '\0'; /* one byte shorter */
		assert_int_equal(check_url(t, in_use, before), NOT_PURGED);
		in_use[n - 1] = 'a';
		assert_int_equal(check_url(t, other, begin), NOT_PURGED);
	}
	for (size_t n = 1; n <= LONGEST; n += 311) {
		checked = before = invalidation_now(t);
		rest = (struct purgeable){.url = {other, n}};
		assert_int_equal(invalidation_check(t, &rest, begin, &checked), NOT_PURGED);
		purge_prefix(t, other, n); /* of a length that was there, or not */
		assert_int_equal(invalidation_check(t, &rest, begin, &checked), PURGED_HARD);
		rest.url.n++;
		assert_int_equal(invalidation_check(t, &rest, before, &checked), PURGED_HARD);
		rest.url.n -= 2;
		assert_int_equal(invalidation_check(t, &rest, before, &checked), NOT_PURGED);
	}
	before = invalidation_now(t);
	purge_prefix(t, other, LONGEST + 1); /* no key has such a URL */
	assert_int_equal(check_url(t, "b", before), NOT_PURGED);
	invalidation_table_free(&t);
}

static void what_was_retired_is_below_the_exported_floor(void **state)
{
	struct invalidation_table *t = table(100), *other = table(100);
	struct invalidation_image image;
	uint64_t before = invalidation_now(t), after;

	(void)state;
	purge(t, PURGE_URL, "http://o/a", 0, false);
	purge(t, PURGE_URL, "http://o/b", 0, true);
	after = invalidation_now(t);
	assert_true(invalidation_retire(t, after, UINT_MAX)); /* nothing older is left here, so the rules go */
	assert_int_equal(check_url(t, "http://o/a", before), NOT_PURGED);
	assert_int_equal(invalidation_export(t, &image), 0);
	assert_int_equal(image.rules_n, 0);
	invalidation_import(other, &image);
	invalidation_start_at(other, after + 1);
	assert_int_equal(check_url(other, "http://o/a", before), PURGED_HARD); /* a file may have it still */
	assert_int_equal(check_url(other, "http://o/b", before), PURGED_HARD);
	assert_int_equal(check_url(other, "http://o/a", after), NOT_PURGED);
	mem_free(image.rules);
	invalidation_table_free(&t);
	invalidation_table_free(&other);
}

/* Hard and soft of one rule are two numbers: the one never keeps the other out. */
static void an_import_brings_both_kinds_of_a_rule(void **state)
{
	for (int soft_first = 0; soft_first < 2; soft_first++) {
		struct invalidation_table *t = table(100), *other = table(100);
		struct invalidation_image image;
		uint64_t epochs[2];

		(void)state;
		/* The table has one kind already, with a number above all that comes. */
		invalidation_start_at(other, 1000);
		purge(other, PURGE_URL, "http://o/a", 0, !soft_first);
		epochs[0] = invalidation_now(t);
		purge(t, PURGE_URL, "http://o/a", 0, soft_first);
		epochs[1] = invalidation_now(t);
		purge(t, PURGE_URL, "http://o/a", 0, !soft_first);
		assert_int_equal(invalidation_export(t, &image), 0);
		assert_int_equal(image.rules_n, 1);
		invalidation_import(other, &image);
		mem_free(image.rules);
		if (!soft_first) /* there is a soft one at 1001; the hard one came with the import */
			assert_int_equal(check_url(other, "http://o/a", epochs[0]), PURGED_HARD);
		assert_int_equal(invalidation_export(other, &image), 0);
		assert_int_equal(image.rules_n, 1);
		assert_true(image.rules[0].hard_seq > epochs[0] && image.rules[0].soft_seq > epochs[0]);
		assert_int_equal(soft_first ? image.rules[0].hard_seq : image.rules[0].soft_seq, 1001);
		mem_free(image.rules);
		/* An older number changes nothing. */
		invalidation_replay(other, &(struct purge){.kind = PURGE_URL, .what = slice_of("http://o/zzz")}, 5);
		assert_int_equal(check_url(other, "http://o/zzz", 4), PURGED_HARD);
		invalidation_table_free(&t);
		invalidation_table_free(&other);
	}
}

/* ---- Purges that are spread ---- */

#define MANY 1000

static uint64_t spread_purge(struct invalidation_table *t, enum purge_kind kind, const char *what, bool soft,
	int64_t began_ago_ms, int64_t span_ms)
{
	struct purge p = {.kind = kind, .what = slice_of(what), .soft = soft};
	uint64_t seq = 0;

	p.spread = purge_spread(clock_now().wall_ms - began_ago_ms, span_ms);
	invalidation_purge(t, &p, &seq);
	return seq;
}

static enum purge_state check_nth(struct invalidation_table *t, unsigned i, uint64_t epoch, uint64_t *checked)
{
	uint64_t tag = purge_tag_hash(SLICE_LIT("t"));
	_Atomic uint64_t found = epoch;
	struct purgeable set = {.tags = &tag, .tags_n = 1};
	enum purge_state state;
	char url[40];

	snprintf(url, sizeof(url), "http://o/a/%u", i);
	set.url = slice_of(url);
	state = invalidation_check(t, &set, epoch, &found);
	*checked = found;
	return state;
}

static const struct {
	enum purge_kind kind;
	const char *what;
} spread_rows[] = {{PURGE_TAG, "t"}, {PURGE_PREFIX, "http://o/a/"}, {PURGE_ALL, ""}};

static void half_of_the_keys_have_gone_after_half_of_the_span(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2 * ARRAY_LEN(spread_rows); k++) {
		bool soft = k % 2;
		struct invalidation_table *t = table(100);
		uint64_t before = invalidation_now(t), checked, seq;
		unsigned gone = 0;

		/* Of hours, so that what the test takes is nothing to it. */
		seq = spread_purge(t, spread_rows[k / 2].kind, spread_rows[k / 2].what, soft, 36000000, 72000000);
		for (unsigned i = 0; i < MANY; i++) {
			enum purge_state found = check_nth(t, i, before, &checked);

			assert_true(found == NOT_PURGED || found == (soft ? PURGED_SOFT : PURGED_HARD));
			gone += found != NOT_PURGED;
			/* What is still to go may not be found valid at that number, or it would never go. */
			assert_true(checked < seq);
			assert_int_equal(check_nth(t, i, before, &checked), found);
			assert_int_equal(check_nth(t, i, seq, &checked), NOT_PURGED);
		}
		assert_in_range(gone, MANY * 2 / 5, MANY * 3 / 5);
		assert_int_equal(check_url(t, "http://o/b", seq), NOT_PURGED);
		invalidation_table_free(&t);
	}
}

static struct invalidation_stats stats_of(struct invalidation_table *t)
{
	struct invalidation_stats s;

	invalidation_stats(t, &s);
	return s;
}

/* Far enough from now for whoever looks for spans that are over. */
static struct now later(void)
{
	struct now now = clock_now();

	now.mono_ms += 10000;
	return now;
}

static void at_the_end_of_its_span_it_is_a_purge_like_others(void **state)
{
	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(spread_rows); k++) {
		struct invalidation_table *t = table(100);
		uint64_t before = invalidation_now(t), checked;

		spread_purge(t, spread_rows[k].kind, spread_rows[k].what, false, 60000, 60000);
		assert_int_equal(stats_of(t).spreads, 1);
		assert_int_equal(check_nth(t, 1, before, &checked), PURGED_HARD);
		for (unsigned i = 0; i < 100; i++)
			invalidation_end_spreads(t, later());
		assert_int_equal(stats_of(t).spreads, 0);
		assert_int_equal(stats_of(t).rules, spread_rows[k].kind == PURGE_ALL ? 0 : 1);
		for (unsigned i = 0; i < MANY; i++)
			assert_int_equal(check_nth(t, i, before, &checked), PURGED_HARD);
		/* And goes as they do. */
		assert_true(invalidation_retire(t, invalidation_now(t), UINT_MAX));
		assert_int_equal(stats_of(t).rules, 0);
		invalidation_table_free(&t);
	}
}

static void it_neither_undoes_nor_puts_off_an_earlier_purge_of_the_same(void **state)
{
	struct invalidation_table *t = table(100);
	uint64_t first = invalidation_now(t), second, checked;

	(void)state;
	purge(t, PURGE_TAG, "t", 0, false);
	second = invalidation_now(t);
	spread_purge(t, PURGE_TAG, "t", false, 3600000, 3600000);
	spread_purge(t, PURGE_TAG, "t", false, 0, 72000000);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(check_nth(t, i, first, &checked), PURGED_HARD);
		assert_int_equal(check_nth(t, i, second, &checked), PURGED_HARD);
	}
	for (unsigned i = 0; i < 100; i++)
		invalidation_end_spreads(t, later());
	assert_int_equal(stats_of(t).spreads, 1);
	assert_int_equal(check_nth(t, 0, first, &checked), PURGED_HARD);
	/* Nor an older number a newer one. */
	spread_purge(t, PURGE_TAG, "t", false, 3600000, 3600000);
	second = invalidation_now(t);
	purge(t, PURGE_TAG, "t", 0, false);
	for (unsigned i = 0; i < 100; i++)
		invalidation_end_spreads(t, later());
	assert_int_equal(check_nth(t, 0, second, &checked), PURGED_HARD);
	invalidation_table_free(&t);
}

static void no_retirement_takes_one_whose_span_is_not_over(void **state)
{
	struct invalidation_table *t = table(100), *next = table(100);
	struct invalidation_image image;
	uint64_t before = invalidation_now(t), checked;
	unsigned gone = 0, still = 0;

	(void)state;
	spread_purge(t, PURGE_PREFIX, "http://o/a/", false, 36000000, 72000000);
	spread_purge(t, PURGE_ALL, "", true, 0, 72000000);
	assert_true(invalidation_retire(t, before, UINT_MAX));
	assert_int_equal(stats_of(t).spreads, 2);
	/* Another process, or the next run, makes of it what this one does. */
	assert_int_equal(invalidation_export(t, &image), 0);
	invalidation_import(next, &image);
	invalidation_start_at(next, invalidation_now(t));
	assert_int_equal(stats_of(next).spreads, 2);
	assert_int_equal(stats_of(next).rules, 0);
	for (unsigned i = 0; i < MANY; i++) {
		enum purge_state found = check_nth(t, i, before, &checked);

		gone += found == PURGED_HARD;
		still += found == NOT_PURGED;
		assert_int_equal(check_nth(next, i, before, &checked), found);
	}
	assert_true(gone > 0 && still > 0);
	invalidation_table_free(&next);
	/* Who does not know of spans purges at once: nothing comes back. */
	next = table(100);
	for (unsigned i = 0; i < image.rules_n; i++)
		image.rules[i].lengths = 0;
	invalidation_import(next, &image);
	invalidation_start_at(next, invalidation_now(t));
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(check_nth(next, i, before, &checked), PURGED_HARD);
	mem_free(image.rules);
	invalidation_table_free(&t);
	invalidation_table_free(&next);
}

static void what_finds_no_room_among_those_that_are_spread_is_purged_at_once(void **state)
{
	struct invalidation_table *t = table(20000);
	uint64_t before = invalidation_now(t);
	char tag[24];

	(void)state;
	for (unsigned i = 0; i < 8192; i++) {
		snprintf(tag, sizeof(tag), "tag-%u", i);
		spread_purge(t, PURGE_TAG, tag, false, 0, 72000000);
	}
	assert_int_equal(stats_of(t).spreads, 8192);
	spread_purge(t, PURGE_URL, "http://o/one-more", false, 0, 72000000);
	assert_int_equal(stats_of(t).spreads_at_once, 1);
	assert_int_equal(check_url(t, "http://o/one-more", before), PURGED_HARD);
	assert_int_equal(check_url(t, "http://o/other", before), NOT_PURGED);
	invalidation_table_free(&t);
	t = table(100);
	mem_fail_at(1, true);
	spread_purge(t, PURGE_URL, "http://o/a", false, 0, 72000000);
	mem_fail_at(0, false);
	assert_int_equal(check_url(t, "http://o/a", 1), PURGED_HARD);
	invalidation_table_free(&t);
}

static void a_purge_is_read_as_it_was_written(void **state)
{
	const struct purge rows[] = {
		{.kind = PURGE_URL, .what = SLICE_LIT("http://o/a"), .spread = purge_spread(1700000000000, 60000)},
		{.kind = PURGE_USER, .user = 77, .soft = true, .spread = purge_spread(1700000000000, 1)},
		{.kind = PURGE_USER, .user = 77},
		{.kind = PURGE_ALL, .spread = purge_spread(1700000000000, PURGE_SPREAD_MAX_MS)},
		{.kind = PURGE_TAG, .what = SLICE_LIT("t"), .soft = true},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct purge_coded c = purge_encode(&rows[i]);
		struct purge p;

		assert_true(purge_decode(c.code, c.number, c.what, &p));
		assert_true(p.kind == rows[i].kind && p.soft == rows[i].soft && p.user == rows[i].user &&
			    p.spread == rows[i].spread && slice_equal(p.what, rows[i].what));
	}
	assert_int_equal(purge_spread_ms(rows[0].spread), 60000);
	assert_int_equal(purge_spread_ms(rows[1].spread), 100);
	assert_int_equal(purge_spread_ms(rows[3].spread), PURGE_SPREAD_MAX_MS);
	assert_int_equal(purge_spread(1, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_purged_url_is_invalid_for_what_was_fetched_before),
		cmocka_unit_test(spellings_of_one_url_are_purged_as_one),
		cmocka_unit_test(rules_of_an_older_checkpoint_hold_for_what_they_named),
		cmocka_unit_test(a_soft_purge_is_soft_until_a_hard_one_comes),
		cmocka_unit_test(tags_users_and_all_are_purged_too),
		cmocka_unit_test(a_check_is_remembered_only_when_it_was_valid),
		cmocka_unit_test(a_full_table_invalidates_more_but_resurrects_nothing),
		cmocka_unit_test(a_full_table_loses_a_little_at_a_time),
		cmocka_unit_test(a_million_purges_lose_no_object_that_they_do_not_name),
		cmocka_unit_test(rules_retire_when_nothing_older_is_left),
		cmocka_unit_test(without_memory_a_purge_still_invalidates),
		cmocka_unit_test(any_sequence_agrees_with_a_naive_model),
		cmocka_unit_test(a_bounded_table_is_never_more_permissive_than_the_model),
		cmocka_unit_test(rules_for_others_leave_a_response_valid_however_many),
		cmocka_unit_test(a_prefix_of_any_length_covers_what_begins_with_it_and_nothing_else),
		cmocka_unit_test(what_was_retired_is_below_the_exported_floor),
		cmocka_unit_test(an_import_brings_both_kinds_of_a_rule),
		cmocka_unit_test(half_of_the_keys_have_gone_after_half_of_the_span),
		cmocka_unit_test(at_the_end_of_its_span_it_is_a_purge_like_others),
		cmocka_unit_test(it_neither_undoes_nor_puts_off_an_earlier_purge_of_the_same),
		cmocka_unit_test(no_retirement_takes_one_whose_span_is_not_over),
		cmocka_unit_test(what_finds_no_room_among_those_that_are_spread_is_purged_at_once),
		cmocka_unit_test(a_purge_is_read_as_it_was_written),
	};

	return cmocka_run_group_tests_name("invalidation", tests, NULL, NULL);
}
