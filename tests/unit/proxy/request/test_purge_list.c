/* SPDX-License-Identifier: MIT */
#include "tests/unit/proxy/request/request_rig.h"

#include <errno.h>

#include "base/mem.h"
#include "cache/policy/key_body.h"
#include "proxy/request/purge_list.h"

#define CONFIG                                                                        \
	"[proxy]\nlisten = 127.0.0.1:8080\n"                                          \
	"[upstream]\nurl = http://o.example\n"                                        \
	"[route a]\nhost = a.example\nmatch = /q*\nquery = sort\n"                    \
	"[route me]\nmatch = /me\nscope = user\nuser_from = cookie:s\n"               \
	"[route too]\nmatch = /too\nscope = user\nuser_from = cookie:s\n"             \
	"[route you]\nmatch = /you\nscope = user\nuser_from = header:Authorization\n" \
	"[route all]\nmatch = /*\nttl = 60s\n"

static const struct key_secret secret = {.bytes = {1}};

static struct snapshot *snapshot(void)
{
	struct snapshot *s = snapshot_of(CONFIG);

	s->secret = &secret;
	return s;
}

static void text_that_grows_is_that_of_each_purge(void **state)
{
	struct purge_list l;
	char tag[64];

	(void)state;
	purge_list_init(&l);
	for (int i = 0; i < 3000; i++) {
		snprintf(tag, sizeof(tag), "%.*s%d", i % 20, "a-tag-and-some-more-", i);
		assert_int_equal(purge_list_add(&l, &(struct purge){.kind = PURGE_TAG, .what = slice_of(tag)}), 0);
	}
	for (int i = 0; i < 3000; i++) {
		snprintf(tag, sizeof(tag), "%.*s%d", i % 20, "a-tag-and-some-more-", i);
		assert_true(slice_equal(l.v[i].what, slice_of(tag)));
	}
	purge_list_fini(&l);
}

static void a_url_is_added_as_each_route_keeps_it_and_a_prefix_as_it_is(void **state)
{
	struct snapshot *s = snapshot();
	struct purge_list l;

	(void)state;
	purge_list_init(&l);
	assert_int_equal(purge_list_add_url(
				 &l, s, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("/q?b&a"), .soft = true}),
		0);
	assert_int_equal(l.n, 2);
	assert_true(slice_equal(l.v[0].what, SLICE_LIT("http://o.example/q?b&a")));
	assert_true(slice_equal(l.v[1].what, SLICE_LIT("http://o.example/q?a&b")) && l.v[1].soft);
	assert_int_equal(
		purge_list_add_url(&l, s, &(struct purge){.kind = PURGE_PREFIX, .what = SLICE_LIT("/q?b&a")}), 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(
		purge_list_add_url(&l, s, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("q")}), -EINVAL);
	assert_non_null(strstr(l.why, "must be a path"));
	purge_list_fini(&l);
	snapshot_unref(&s);
}

static void an_identity_is_added_once_for_each_place_that_it_is_taken_from(void **state)
{
	struct snapshot *s = snapshot();
	struct purge_list l;

	(void)state;
	purge_list_init(&l);
	assert_int_equal(purge_list_add_user(&l, s, &(struct purge){.what = SLICE_LIT("abc")}), 0);
	assert_int_equal(l.n, 2);
	assert_true(l.v[0].user != l.v[1].user && l.v[0].kind == PURGE_USER && l.v[0].what.n == 0);
	purge_list_fini(&l);
	snapshot_unref(&s);
	s = snapshot_of("[upstream]\nurl = http://o.example\n[route all]\nmatch = *\n");
	assert_int_equal(purge_list_add_user(&l, s, &(struct purge){.what = SLICE_LIT("abc")}), -ENOENT);
	purge_list_fini(&l);
	snapshot_unref(&s);
}

static void too_much_is_refused_and_so_is_what_finds_no_memory(void **state)
{
	struct purge_list l;
	int err = 0;

	(void)state;
	purge_list_init(&l);
	while (!err)
		err = purge_list_add(&l, &(struct purge){.kind = PURGE_ALL});
	assert_int_equal(err, -ENOBUFS);
	assert_int_equal(l.n, PURGE_LIST_MAX);
	purge_list_fini(&l);
	mem_fail_at(1, true);
	assert_int_equal(purge_list_add(&l, &(struct purge){.kind = PURGE_TAG, .what = SLICE_LIT("t")}), -ENOMEM);
	mem_fail_at(0, false);
	assert_int_equal(l.n, 0);
	purge_list_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_that_grows_is_that_of_each_purge),
		cmocka_unit_test(a_url_is_added_as_each_route_keeps_it_and_a_prefix_as_it_is),
		cmocka_unit_test(an_identity_is_added_once_for_each_place_that_it_is_taken_from),
		cmocka_unit_test(too_much_is_refused_and_so_is_what_finds_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
