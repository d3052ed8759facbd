/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_rows.h"

#include "cache/policy/credentials.h"

#define N(...)                                                \
	((struct slices){(const struct slice[]){__VA_ARGS__}, \
		sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice)})
#define S(s) SLICE_LIT(s)

/* "Authorization", "Cookie sid", "X-API-Key", or two of these with '+': what counts. Empty: nothing does. */
static const char *found(const struct cache_rules *rules, const char *request)
{
	static char text[200];
	static struct rows_exchange e; /* only its text is used */
	struct http_fields fields;
	struct cache_rules quick;
	struct credentials c, same;

	e.text_n = 0;
	rows_fields(&e, &fields, request);
	c = credentials_of(rules, &fields);
	/* As the configuration makes the rules: most names are spared the comparison. */
	quick = *rules;
	credentials_note_absent(&quick);
	same = credentials_of(&quick, &fields);
	assert_int_equal(c.has_authorization, same.has_authorization);
	assert_int_equal(c.has_other, same.has_other);
	assert_true(slice_equal(c.field, same.field));
	http_fields_fini(&fields);
	assert_int_equal(credentials_are_any(&c), c.has_authorization || c.has_other);
	snprintf(text, sizeof(text), "%s%s%.*s%s%.*s", c.has_authorization ? "Authorization" : "",
		c.has_authorization && c.has_other ? "+" : "", SLICE_ARG(c.field), c.cookie.n > 0 ? " " : "",
		SLICE_ARG(c.cookie));
	return text;
}

static void assert_found(const struct cache_rules *rules, const char *request, const char *expected)
{
	const char *got = found(rules, request);

	if (strcmp(got, expected) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", request, got, expected);
}

static struct cache_rules rules_with_key(void)
{
	static const struct slice names[] = {{"X-API-Key", 9}, {"Api-Key", 7}};
	struct cache_rules r = default_rules();

	r.credentials = (struct slices){names, ARRAY_LEN(names)};
	return r;
}

static void the_fields_that_are_named_count(void **state)
{
	(void)state;
	struct cache_rules r = rules_with_key();

	assert_found(&r, "Accept: a\nUser-Agent: b\nX-API-Keys: c", "");
	assert_found(&r, "X-API-Key: a", "X-API-Key");
	assert_found(&r, "x-api-KEY:", "x-api-KEY");
	assert_found(&r, "Accept: a\nApi-Key: b\nX-API-Key: c", "Api-Key");
	assert_found(&r, "Authorization: a", "Authorization");
	assert_found(&r, "X-API-Key: a\nauthorization: b", "Authorization+X-API-Key");
	r.credentials = N(S("User-Agent"));
	assert_found(&r, "X-API-Key: a", "");
	assert_found(&r, "User-Agent: a", "User-Agent");
}

/* An operator's list that forgets them must not share what they bring. */
static void authorization_and_cookies_always_count(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();

	assert_found(&r, "Authorization: a\nCookie: b=c", "Authorization+Cookie b");
}

static void each_cookie_counts_for_itself(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();

	r.shared_credentials = N(S("_ga"), S("_ga_*"), S("theme"));
	r.key_cookies = N(S("lang"));
	assert_found(&r, "Cookie: sid=a", "Cookie sid");
	assert_found(&r, "Cookie:", "");
	assert_found(&r, "Cookie: ;; ;", "");
	assert_found(&r, "Cookie: _ga=1; _ga_X1=2;lang=de ; theme=dark", "");
	assert_found(&r, "Cookie: _ga=1; _ga_X1=2; sid=a; uid=b", "Cookie sid");
	assert_found(&r, "Cookie: _ga=1\nCookie: sid=a", "Cookie sid");
	assert_found(&r, "Cookie: _gate=1", "Cookie _gate");
	assert_found(&r, "Cookie: _GA=1", "Cookie _GA");
	assert_found(&r, "Cookie: LANG=de", "Cookie LANG");
	assert_found(&r, "Cookie: sid", "Cookie"); /* a value without a name */
	assert_found(&r, "Cookie: =a", "Cookie");
	assert_found(&r, "Cookie: a b=c", "Cookie");
	assert_found(&r, "Cookie: _ga=1,sid=a", "Cookie _ga");
	assert_found(&r, "Cookie: _ga", "Cookie");
	assert_found(&r, "Cookie: lang=1,sid=a", "");
	assert_found(&r, "Cookie: _ga=1 sid=7", "Cookie _ga");
	assert_found(&r, "Cookie: _ga=1\tsid=7", "Cookie _ga");
	assert_found(&r, "Cookie: _ga=\xa0sid=7", "Cookie _ga");
	assert_found(&r, "Cookie: _ga=\"1; sid=a\"", "Cookie _ga");
}

static void what_is_keyed_does_not_count(void **state)
{
	(void)state;
	struct cache_rules r = rules_with_key();

	r.key_headers = N(S("x-api-key"), S("Cookie"));
	assert_found(&r, "X-API-Key: a\nCookie: sid=a", "");
	assert_found(&r, "Authorization: a", "Authorization");
	r.key_headers = N(S("Authorization"));
	assert_found(&r, "Authorization: a\nX-API-Key: a", "X-API-Key");
}

static void an_identity_is_keyed_where_the_scope_is_the_user(void **state)
{
	(void)state;
	struct cache_rules r = rules_with_key();

	r.user_from.name = S("Authorization");
	assert_found(&r, "Authorization: a", "Authorization");
	r.scope = CACHE_SCOPE_USER;
	assert_found(&r, "Authorization: a", "");
	assert_found(&r, "Authorization: a\nCookie: sid=a", "Cookie sid");
	r.user_from.name = S("sid");
	assert_found(&r, "Cookie: sid=a", "Cookie sid");
	r.user_from.is_cookie = true;
	assert_found(&r, "Cookie: sid=a", "");
	assert_found(&r, "Cookie: sid=a; role=b\nAuthorization: c", "Authorization+Cookie role");
	assert_found(&r, "sid: a", "");
}

static void what_is_known_not_to_matter_does_not_count(void **state)
{
	(void)state;
	struct cache_rules r = rules_with_key();

	r.shared_credentials = N(S("x-api-*"), S("AUTHORIZATION"));
	assert_found(&r, "X-API-Key: a\nAuthorization: b", "");
	assert_found(&r, "X-API-Key: a\nCookie: Authorization=b", "Cookie Authorization");
	r.shared_credentials = N(S("cookie"));
	assert_found(&r, "Cookie: sid=a", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fields_that_are_named_count),
		cmocka_unit_test(authorization_and_cookies_always_count),
		cmocka_unit_test(each_cookie_counts_for_itself),
		cmocka_unit_test(what_is_keyed_does_not_count),
		cmocka_unit_test(an_identity_is_keyed_where_the_scope_is_the_user),
		cmocka_unit_test(what_is_known_not_to_matter_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
