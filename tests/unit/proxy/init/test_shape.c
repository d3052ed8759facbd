/* SPDX-License-Identifier: MIT */
/* Paths as patterns: what is an identity, what a template's names become, and which pattern stands first. */
#include "proxy/init/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/routing/pattern.h"

typedef int shaper(struct slice text, struct buf *out);

static void assert_shaped(shaper *shape, const char *text, const char *expected)
{
	struct buf out;

	buf_init(&out, 1000);
	assert_int_equal(shape(slice_of(text), &out), 0);
	if (!slice_equal(buf_slice(&out), slice_of(expected)))
		fail_msg("%s is %.*s, not %s", text, SLICE_ARG(buf_slice(&out)), expected);
	buf_fini(&out);
}

static void identities_are_folded(void **state)
{
	static const char *const cases[][2] = {
		{"/", "/"},
		{"/users", "/users"},
		{"/users/", "/users/"},
		{"/users/7", "/users/{id}"},
		{"/users/7/posts/8", "/users/{id}/posts/{id2}"},
		{"/1/2/3/4/5/6/7/8/9", "/{id}/{id2}/{id3}/{id4}/{id5}/{id6}/{id7}/{id8}/*"},
		{"/2024-11-29", "/{id}"},
		{"/6f9619ff-8b86-d011-b42d-00c04fc964ff", "/{id}"},
		{"/507f1f77bcf86cd799439011", "/{id}"},
		{"/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/{id}"},
		{"/v1/x2", "/v1/x2"},
		{"/me", "/me"},
		{"/deadbeef", "/deadbeef"},
		{"/ab12", "/ab12"},
		{"/a-long-name-without-any-number", "/a-long-name-without-any-number"},
		{"/report.2024", "/report.2024"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		assert_shaped(shape_fold, cases[i][0], cases[i][1]);
}

static void templates_become_patterns(void **state)
{
	static const char *const cases[][2] = {
		{"/users/{id}", "/users/{id}"},
		{"/users/{user-id}", "/users/{user_id}"},
		{"/{a}/{a}", "/{a}/{a_2}"},
		{"/{}/{1}", "/*/{part1}"},
		{"/{name}.{format}", "/*.*"},
		{"/x{?page,size}", "/x"},
		{"/x?y={z}", "/x"},
		{"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/*"},
		{"/{aVeryLongNameThatNobodyShouldGiveToAParameter}", "/{aVeryLongNameThatNobodyS}"},
		{"/{open", "/{open"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct pattern *p = NULL;
		const char *why;

		assert_shaped(shape_template, cases[i][0], cases[i][1]);
		if (!strstr(cases[i][1], "{open"))
			assert_int_equal(pattern_compile(slice_of(cases[i][1]), &p, &why), 0);
		pattern_free(&p);
	}
}

static void routes_have_names(void **state)
{
	(void)state;
	assert_shaped(shape_name, "/", "root");
	assert_shaped(shape_name, "/users/{id}/posts", "users-id-posts");
	assert_shaped(shape_name, "/{a}*", "a");
	assert_shaped(shape_name, "/a_b.c", "a_b-c");
}

/* Sorted, no pattern hides one behind it. */
static void what_stands_first_hides_nothing(void **state)
{
	static const char *const sorted[] = {"/", "/users", "/users/", "/users/me", "/users/me/*", "/users/{id}",
		"/users/{id}/posts", "/users/{id}/*", "/users/*", "/{x}"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(sorted); i++)
		for (unsigned k = 0; k < ARRAY_LEN(sorted); k++) {
			int order = shape_compare(slice_of(sorted[i]), slice_of(sorted[k]));

			if ((order > 0) - (order < 0) != (i > k) - (i < k))
				fail_msg("%s and %s", sorted[i], sorted[k]);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identities_are_folded),
		cmocka_unit_test(templates_become_patterns),
		cmocka_unit_test(routes_have_names),
		cmocka_unit_test(what_stands_first_hides_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
