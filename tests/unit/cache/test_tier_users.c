/* SPDX-License-Identifier: MIT */
/* Users' responses on disk: each is its user's, whatever else is there, before and after a restart. */
#include "tier_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/policy/key_body.h"

#define PRIVATE "Cache-Control: private, max-age=86400\r\n" /* reclaim goes by the clock, and a run may take long */
#define ANN "X-User: ann\r\n"
#define BOB "X-User: bob\r\n"
#define GET_A "GET /a"

static void by_user(struct tiers *t, bool is_cookie, const char *name)
{
	t->g.rules.scope = CACHE_SCOPE_USER;
	t->g.rules.user_from.is_cookie = is_cookie;
	t->g.rules.user_from.name = slice_of(name);
}

static int set_up(void **state)
{
	struct tiers *t;

	tiers_set_up(state);
	t = *state;
	by_user(t, false, "X-User");
	return 0;
}

static void store_both(struct tiers *t)
{
	rig_store(&t->g, GET_A, ANN, PRIVATE, "ann's");
	rig_store(&t->g, GET_A, BOB, PRIVATE, "bob's");
	tiers_written(t);
}

static void is_absent(struct tiers *t, const char *fields)
{
	assert_int_equal(tiers_verdict(t, GET_A, fields, NULL), CACHE_LEAD);
}

static void each_users_response_comes_back_to_that_user_after_a_restart(void **state)
{
	struct tiers *t = *state;

	store_both(t);
	for (int i = 0; i < 3; i++) {
		tiers_restart(t);
		tiers_disk_has(t, GET_A, ANN, "ann's");
		tiers_disk_has(t, GET_A, BOB, "bob's");
		is_absent(t, "X-User: eve\r\n");
	}
}

static void nobody_else_gets_it_whatever_the_route_has_become(void **state)
{
	struct tiers *t = *state;

	store_both(t);
	tiers_restart(t);
	t->g.rules.scope = CACHE_SCOPE_SHARED;
	is_absent(t, NULL);
	is_absent(t, ANN);
	by_user(t, true, "X-User");
	is_absent(t, "Cookie: X-User=ann\r\n" ANN);
	by_user(t, false, "X-Other");
	is_absent(t, "X-Other: ann\r\n" ANN);
	by_user(t, false, "X-User");
	is_absent(t, "X-User: ann\r\nX-User: bob\r\n");
	is_absent(t, "X-User: Ann\r\n");
	tiers_disk_has(t, GET_A, ANN, "ann's");
}

static void a_shared_response_is_none_of_a_users(void **state)
{
	struct tiers *t = *state;

	t->g.rules.scope = CACHE_SCOPE_SHARED;
	rig_store(&t->g, GET_A, ANN, "Cache-Control: max-age=60\r\n", "everybody's");
	tiers_written(t);
	by_user(t, false, "X-User");
	is_absent(t, ANN);
	tiers_restart(t);
	is_absent(t, ANN);
}

static void purge_ann(struct tiers *t)
{
	uint64_t user, seq;

	assert_int_equal(cache_user_hash(&t->g.rules, &t->g.secret, SLICE_LIT("ann"), &user), 0);
	assert_int_equal(cache_purge_soon(t->g.c, &(struct purge){.kind = PURGE_USER, .user = user}, &seq), 0);
}

static void a_purge_by_user_reaches_what_is_on_disk_only_and_outlives_the_process(void **state)
{
	struct tiers *t = *state;

	store_both(t);
	tiers_restart(t);
	purge_ann(t);
	is_absent(t, ANN);
	tiers_disk_has(t, GET_A, BOB, "bob's");
	tiers_restart(t);
	is_absent(t, ANN);
	rig_store(&t->g, GET_A, ANN, PRIVATE, "ann's new one");
	tiers_written(t);
	tiers_restart(t);
	tiers_disk_has(t, GET_A, ANN, "ann's new one");
}

static void the_bound_on_a_users_entries_is_one_of_memory(void **state)
{
	struct tiers *t = *state;

	t->g.rules.max_entries_per_user = 2;
	rig_store(&t->g, "GET /1", ANN, PRIVATE, "1");
	rig_store(&t->g, "GET /2", ANN, PRIVATE, "2");
	rig_store(&t->g, "GET /3", ANN, PRIVATE, "3");
	rig_store(&t->g, "GET /3", BOB, PRIVATE, "bob's 3");
	tiers_written(t);
	assert_int_equal(rig_stats(&t->g).objects, 3);
	tiers_disk_has(t, "GET /1", ANN, "1");
	tiers_disk_has(t, "GET /2", ANN, "2");
	assert_int_equal(rig_stats(&t->g).objects, 3);
}

static void a_users_response_that_reclaim_copies_stays_the_users(void **state)
{
	struct tiers *t = *state;
	char body[8001], target[20];
	uint64_t reclaimed = 0;

	t->o.size = 1 << 20;
	t->o.segment_bytes = 65536;
	t->g.now = clock_now();
	tiers_restart(t);
	store_both(t);
	tiers_restart(t);
	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	for (unsigned i = 0; i < 400; i++) {
		snprintf(target, sizeof(target), "GET /%u", i);
		rig_store(&t->g, target, "X-User: eve\r\n", PRIVATE, body);
		tiers_written(t);
		if (i % 20 > 0)
			continue;
		while (tiers_counts(t).bytes >
			t->o.size - 3 * t->o.segment_bytes) /* the reclaimer has work, and Ann's is in memory only */
			usleep(100);
		reclaimed += tiers_counts(t).reclaimed_segments;
		tiers_restart(t);
		is_absent(t, "X-User: eve\r\n");
		tiers_disk_has(t, GET_A, ANN, "ann's");
	}
	assert_true(reclaimed > 20);
}

/* ---- The secret ---- */

static void secret_path(const struct tiers *t, char out[100])
{
	snprintf(out, 100, "%s/secret", t->path);
}

static void digest_of_ann(const struct tiers *t, unsigned char out[KEY_DIGEST_BYTES])
{
	assert_true(key_identity_digest(&t->g.secret, SLICE_LIT("ann"), out));
}

static void the_secret_is_a_private_file_and_the_same_after_a_restart(void **state)
{
	unsigned char before[KEY_DIGEST_BYTES], after[KEY_DIGEST_BYTES];
	struct tiers *t = *state;
	struct stat st;
	char path[100];

	secret_path(t, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 64);
	digest_of_ann(t, before);
	tiers_restart(t);
	digest_of_ann(t, after);
	assert_memory_equal(before, after, sizeof(before));
}

static void write_at(const char *path, off_t at, const char *bytes)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, strlen(bytes), at), (ssize_t)strlen(bytes));
	close(fd);
}

static void without_a_valid_secret_the_store_starts_empty_with_another(void **state)
{
	unsigned char before[KEY_DIGEST_BYTES], after[KEY_DIGEST_BYTES];
	struct tiers *t = *state;
	char path[100];

	secret_path(t, path);
	for (int how = 0; how < 4; how++) {
		store_both(t);
		digest_of_ann(t, before);
		if (how == 0)
			unlink(path);
		else if (how == 1)
			assert_int_equal(truncate(path, 40), 0);
		else if (how == 2)
			write_at(path, 30, "damage");
		else
			write_at(path, 64, "more");
		tiers_restart(t);
		digest_of_ann(t, after);
		assert_memory_not_equal(before, after, sizeof(before));
		is_absent(t, ANN);
		assert_int_equal(rig_stats(&t->g).tier.objects, 0);
	}
}

/* The cache of the rig runs on without a disk. */
static void refuses(struct tiers *t, const char *path)
{
	char error[DISK_ERROR_MAX] = "";

	rig_end(&t->g);
	rig_start(&t->g);
	t->o.invalidation = cache_invalidation(t->g.c);
	assert_int_equal(disk_open(&t->o, &t->tier, error), -EPERM);
	assert_non_null(strstr(error, path));
}

static void a_secret_that_others_could_know_is_refused(void **state)
{
	struct tiers *t = *state;
	char path[100], elsewhere[110];

	store_both(t);
	secret_path(t, path);
	chmod(path, 0640);
	refuses(t, path);
	chmod(path, 0600);
	snprintf(elsewhere, sizeof(elsewhere), "%s-else", path);
	assert_int_equal(rename(path, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, path), 0);
	refuses(t, path);
	assert_int_equal(rename(elsewhere, path), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
		refuses(t, path);
		assert_int_equal(chown(path, 0, (gid_t)-1), 0);
	}
	tiers_restart(t);
	tiers_disk_has(t, GET_A, ANN, "ann's");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tiers_tear_down)
		CASE(each_users_response_comes_back_to_that_user_after_a_restart),
		CASE(nobody_else_gets_it_whatever_the_route_has_become),
		CASE(a_shared_response_is_none_of_a_users),
		CASE(a_purge_by_user_reaches_what_is_on_disk_only_and_outlives_the_process),
		CASE(the_bound_on_a_users_entries_is_one_of_memory),
	};
	const struct CMUnitTest of_the_disk[] = {
		CASE(a_users_response_that_reclaim_copies_stays_the_users),
		CASE(the_secret_is_a_private_file_and_the_same_after_a_restart),
		CASE(without_a_valid_secret_the_store_starts_empty_with_another),
		CASE(a_secret_that_others_could_know_is_refused),
	};

	return TIERS_RUN_OVER_BOTH(tests) + TIERS_RUN_OVER_DISK(of_the_disk);
}
