/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include "http/cache_control.h"

/* One directive as text, so that a row can say what it expects: "max-age=5 no-store". */
static void describe(const struct cache_control *cc, char *out, size_t n)
{
	const struct {
		const char *name;
		bool is_set;
	} flags[] = {
		{"no-store", cc->no_store},
		{"no-cache", cc->no_cache},
		{"private", cc->private_},
		{"public", cc->public_},
		{"must-revalidate", cc->must_revalidate},
		{"proxy-revalidate", cc->proxy_revalidate},
		{"must-understand", cc->must_understand},
		{"immutable", cc->immutable},
		{"no-transform", cc->no_transform},
		{"only-if-cached", cc->only_if_cached},
	};
	const struct {
		const char *name;
		int64_t seconds;
	} deltas[] = {
		{"max-age", cc->max_age},
		{"s-maxage", cc->s_maxage},
		{"swr", cc->stale_while_revalidate},
		{"sie", cc->stale_if_error},
		{"max-stale", cc->max_stale},
		{"min-fresh", cc->min_fresh},
	};
	*out = '\0';
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (flags[i].is_set)
			snprintf(out + strlen(out), n - strlen(out), " %s", flags[i].name);
	}
	for (size_t i = 0; i < ARRAY_LEN(deltas); i++) {
		if (deltas[i].seconds != CC_ABSENT)
			snprintf(out + strlen(out), n - strlen(out), " %s=%lld", deltas[i].name,
				(long long)deltas[i].seconds);
	}
	/* Set, and for no field at all: no response may have it so. */
	if (cc->no_cache && !cc->no_cache_fields.is_unqualified && cc->no_cache_fields.n == 0)
		snprintf(out + strlen(out), n - strlen(out), " nc:none");
	if (cc->private_ && !cc->private_fields.is_unqualified && cc->private_fields.n == 0)
		snprintf(out + strlen(out), n - strlen(out), " p:none");
	for (unsigned i = 0; i < cc->no_cache_fields.n; i++)
		snprintf(out + strlen(out), n - strlen(out), " nc:%.*s", SLICE_ARG(cc->no_cache_fields.v[i]));
	for (unsigned i = 0; i < cc->private_fields.n; i++)
		snprintf(out + strlen(out), n - strlen(out), " p:%.*s", SLICE_ARG(cc->private_fields.v[i]));
}

static const struct {
	const char *row;
	const char *lines[3];
	const char *want;
} directive_rows[] = {
	{"nothing", {""}, ""},
	{"5.2.1, 5.2.2 all flags",
		{"no-store, no-cache, private, public, must-revalidate, proxy-revalidate",
			"must-understand, immutable, no-transform, only-if-cached"},
		" no-store no-cache private public must-revalidate proxy-revalidate must-understand immutable"
		" no-transform only-if-cached"},
	{"all deltas", {"max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4, max-stale=5, min-fresh=6"},
		" max-age=1 s-maxage=2 swr=3 sie=4 max-stale=5 min-fresh=6"},
	{"5.2 names in any case", {"MAX-Age=5,No-STORE"}, " no-store max-age=5"},
	{"several lines", {"max-age=5", "no-store", "x"}, " no-store max-age=5"},
	{"5.2.3 unknown ones are skipped", {"foo, bar=1, baz=\"x\", max-age=5"}, " max-age=5"},
	{"empty members", {" , ,max-age=5,,"}, " max-age=5"},
	{"whitespace around commas", {"\tmax-age=5 \t,  no-store "}, " no-store max-age=5"},
	{"no comma, no second directive", {"max-age=5 no-store"}, " max-age=0"},
	{"a prefix is not a name", {"max-ages=5, xmax-age=5, no-stored"}, ""},
	/* quoted strings */
	{"5.2 quoted value", {"max-age=\"5\""}, " max-age=5"},
	{"inside another's string", {"x=\"max-age=5, no-store\", max-age=7"}, " max-age=7"},
	{"an escaped quote does not end it", {"x=\"a\\\", no-store, b\", max-age=7"}, " max-age=7"},
	{"an escaped backslash does", {"x=\"a\\\\\", no-store, max-age=7"}, " no-store max-age=7"},
	{"open string: the strict ones count", {"x=\"a, no-store, max-age=7, public"}, " no-store max-age=0"},
	{"open string: what came before counts", {"max-age=7, public, x=\"a"}, " public max-age=7"},
	{"open string, next line", {"x=\"a", "max-age=7"}, " max-age=7"},
	/* delta-seconds, 1.2.2 and 4.2.1 */
	{"zero", {"max-age=0"}, " max-age=0"},
	{"leading zeros", {"max-age=007"}, " max-age=7"},
	{"2^31 - 1", {"max-age=2147483647"}, " max-age=2147483647"},
	{"2^31", {"max-age=2147483648"}, " max-age=2147483648"},
	{"beyond", {"max-age=99999999999"}, " max-age=2147483648"},
	{"far beyond", {"max-age=99999999999999999999999999999"}, " max-age=2147483648"},
	{"negative", {"max-age=-5"}, " max-age=0"},
	{"signed", {"max-age=+5"}, " max-age=0"},
	{"fractional", {"max-age=5.5"}, " max-age=0"},
	{"hexadecimal", {"max-age=0x5"}, " max-age=0"},
	{"letters behind", {"max-age=5s"}, " max-age=0"},
	{"single quotes", {"max-age='5'"}, " max-age=0"},
	{"no value", {"max-age"}, " max-age=0"},
	{"empty value", {"max-age="}, " max-age=0"},
	{"empty string", {"max-age=\"\""}, " max-age=0"},
	{"space in the string", {"max-age=\" 5\""}, " max-age=0"},
	{"escape in the string", {"max-age=\"\\5\""}, " max-age=0"},
	{"space before =", {"max-age =5"}, " max-age=0"},
	{"space after =", {"max-age= 5"}, " max-age=0"},
	{"two values", {"max-age=5=6"}, " max-age=0"},
	{"string and more", {"max-age=\"5\"6"}, " max-age=0"},
	{"s-maxage too", {"s-maxage=x, max-age=5"}, " max-age=5 s-maxage=0"},
	/* duplicates, 4.2.1: the stalest */
	{"larger first", {"max-age=9, max-age=5"}, " max-age=5"},
	{"smaller first", {"max-age=5", "max-age=9"}, " max-age=5"},
	{"an invalid one", {"max-age=9, max-age=x"}, " max-age=0"},
	/* requests, 5.2.1 */
	{"max-stale without value", {"max-stale"}, " max-stale=2147483648"},
	{"max-stale invalid", {"max-stale=x"}, ""},
	{"max-stale twice", {"max-stale, max-stale=3"}, " max-stale=3"},
	{"min-fresh invalid", {"min-fresh=x"}, " min-fresh=2147483648"},
	{"min-fresh without value", {"min-fresh"}, " min-fresh=2147483648"},
	{"min-fresh twice", {"min-fresh=7, min-fresh=3"}, " min-fresh=7"},
	/* qualified forms, 5.2.2.4, 5.2.2.7 */
	{"field names", {"no-cache=\"Set-Cookie, x\", private=\"y\""}, " no-cache private nc:Set-Cookie nc:x p:y"},
	{"one as a token", {"private=x"}, " private p:x"},
	{"on two lines", {"private=\"x\"", "private=\"y\""}, " private p:x p:y"},
	{"with and without", {"private=\"x\", private"}, " private"},
	{"without and with", {"no-cache, no-cache=\"x\""}, " no-cache"},
	{"empty list", {"private=\"\""}, " private"},
	{"not names", {"no-cache=\"a b\""}, " no-cache"},
	{"escapes", {"private=\"a\\b\""}, " private"},
	{"too many", {"private=\"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\""}, " private"},
	{"bad syntax", {"private= x, no-cache =y"}, " no-cache private"},
	/* flags with something behind them */
	{"strict flags stand", {"no-store=1, must-revalidate x, no-transform=\"y\""},
		" no-store must-revalidate no-transform"},
	{"lenient flags with an argument stand", {"public=1, immutable=\"x\""}, " public immutable"},
	{"lenient flags malformed do not", {"public x, immutable=, only-if-cached =1, must-understand\"\""}, ""},
};

static void directives_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(directive_rows); i++) {
		struct cache_control cc;
		struct http_fields f;
		char got[512];
		struct slice copies[3];
		http_fields_init(&f);
		size_t n = 0;
		for (; n < 3 && directive_rows[i].lines[n]; n++) {
			copies[n] = exact_copy(slice_of(directive_rows[i].lines[n]));
			assert_int_equal(http_fields_add_id(&f, HF_CACHE_CONTROL, copies[n]), 0);
		}
		assert_true(cache_control_of(&cc, &f));
		describe(&cc, got, sizeof(got));
		EXPECT_SLICE(directive_rows[i].row, slice_of(got), slice_of(directive_rows[i].want));
		http_fields_fini(&f);
		while (n > 0)
			free_copy(copies[--n]);
	}
}

static void a_missing_field_has_no_directives(void **state)
{
	struct cache_control cc;
	struct http_fields f;
	char got[64];
	(void)state;
	fields_from(&f, (const char *const[]){"CDN-Cache-Control: no-store", NULL});
	assert_false(cache_control_of(&cc, &f));
	describe(&cc, got, sizeof(got));
	EXPECT_SLICE("none", slice_of(got), BYTES(""));
	http_fields_fini(&f);
}

static void targeted_fields_are_dictionaries(void **state)
{
	static const struct {
		const char *value;
		bool found;
		const char *want;
	} rows[] = {
		{"max-age=60, no-store", true, " no-store max-age=60"},
		{"max-age=60;x=1, s-maxage=5", true, " max-age=60 s-maxage=5"},
		{"foo, bar=(1 2)", true, ""},
		{"", false, ""},
		{" ", false, ""},
		{"max-age=60,", false, ""},
		{"max-age=60 no-store", false, ""},
		{"MAX-AGE=60", false, ""},
		{"max-age=60, x=\"open", false, ""},
		{"max-age=60, max-age=90", true, " max-age=90"},
		{"no-store, no-store=?0", true, ""},
		{"max-age=-1", true, " max-age=0"},
		{"max-age=\"60\"", true, " max-age=0"},
		{"max-age=1.5", true, " max-age=0"},
		{"max-age", true, " max-age=0"},
		{"max-age=999999999999", true, " max-age=2147483648"},
		{"private=\"a, b\"", true, " private p:a p:b"},
		{"private=\"a\", private", true, " private"},
		{"no-cache=\"a\", no-cache=\"b\"", true, " no-cache nc:b"},
		{"no-cache, no-cache=\"a\"", true, " no-cache nc:a"},
		{"private=\"a\", private=\"b\"", true, " private p:b"},
		{"private, private=\"a\"", true, " private p:a"},
		{"no-cache=(\"a\")", true, " no-cache"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cache_control cc;
		char got[256];
		struct slice copy = exact_copy(slice_of(rows[i].value));
		EXPECT_INT(rows[i].value, cache_control_of_targeted(&cc, copy), rows[i].found);
		describe(&cc, got, sizeof(got));
		EXPECT_SLICE(rows[i].value, slice_of(got), slice_of(rows[i].want));
		free_copy(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directives_are_read),
		cmocka_unit_test(a_missing_field_has_no_directives),
		cmocka_unit_test(targeted_fields_are_dictionaries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
