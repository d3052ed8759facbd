/* SPDX-License-Identifier: MIT */
/* What is on disk, listed some at a time. */
#include "disk_rig.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define N 300

struct listing {
	struct tier_listing l;
	struct mailbox mb;
	bool came;
	unsigned seen[N]; /* how often each was told of */
	unsigned soft;
};

static int set_up(void **state)
{
	static struct rig r;

	drig_init(&r);
	r.o.size = 8 << 20;
	drig_open(&r);
	*state = &r;
	return 0;
}

static int tear_down(void **state)
{
	drig_fini(*state);
	return 0;
}

static void fill(struct rig *r)
{
	for (unsigned i = 0; i < N; i++) {
		char url[40];

		snprintf(url, sizeof(url), "http://o/%s/%u", i % 2 ? "odd" : "even", i);
		drig_store(r, &(struct response){.url = url, .version = i, .body_n = 10 + i});
	}
}

static void each(struct tier_listing *l, const struct tier_record_info *info)
{
	struct listing *g = CONTAINER_OF(l, struct listing, l);
	char url[40] = "";
	unsigned i = N;

	assert_true(info->url.n < sizeof(url));
	memcpy(url, info->url.p, info->url.n);
	assert_int_equal(sscanf(url, url[9] == 'o' ? "http://o/odd/%u" : "http://o/even/%u", &i), 1);
	assert_true(i < N);
	assert_int_equal(info->body_n, 10 + i);
	assert_int_equal(info->status, 200);
	assert_true(policy_ttl_ms(&info->freshness, l->now) > 3000000);
	g->seen[i]++;
	g->soft += info->soft_purged;
}

static void on_message(struct message *m)
{
	CONTAINER_OF(CONTAINER_OF(m, struct tier_listing, message), struct listing, l)->came = true;
}

static void browse(struct rig *r, struct listing *g)
{
	g->came = false;
	assert_int_equal(disk_browse(r->d, &g->l), 0);
	while (!g->came) {
		struct pollfd p = {.fd = g->mb.event_fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 20000), 1);
		mailbox_deliver(&g->mb);
	}
}

/* All pages of it; returns how many. */
static unsigned browse_all(struct rig *r, struct listing *g, const char *prefix, unsigned limit, unsigned reads_max)
{
	unsigned pages = 0;

	memset(g, 0, sizeof(*g));
	assert_int_equal(mailbox_init(&g->mb), 0);
	g->l = (struct tier_listing){.prefix = slice_of(prefix),
		.limit = limit,
		.reads_max = reads_max,
		.now = clock_now(),
		.each = each,
		.reply_to = &g->mb,
		.message.on_message = on_message};
	while (g->l.cursor.shard < TIER_CURSOR_END) {
		browse(r, g);
		assert_true(g->l.told <= limit && g->l.read <= reads_max && g->l.told <= g->l.read);
		pages++;
	}
	mailbox_fini(&g->mb);
	return pages;
}

static unsigned count_of(const struct listing *g, unsigned first, unsigned step)
{
	unsigned n = 0;

	for (unsigned i = first; i < N; i += step)
		n += g->seen[i];
	return n;
}

static void each_record_is_listed_once_whatever_the_pages_are(void **state)
{
	const unsigned limits[] = {1, 7, 100, 1000};
	struct rig *r = *state;
	struct listing g;

	fill(r);
	for (unsigned k = 0; k < ARRAY_LEN(limits); k++) {
		unsigned pages = browse_all(r, &g, "", limits[k], 1000);

		assert_true(pages >= N / limits[k] && pages <= N / limits[k] + 1);
		for (unsigned i = 0; i < N; i++)
			assert_int_equal(g.seen[i], 1);
	}
	drig_reopen(r);
	assert_int_equal(browse_all(r, &g, "", 1000, 1000), 1);
	assert_int_equal(count_of(&g, 0, 1), N);
}

static void a_prefix_chooses_and_reads_are_bounded(void **state)
{
	struct rig *r = *state;
	struct listing g;

	fill(r);
	assert_true(browse_all(r, &g, "http://o/odd/", 1000, 50) >= N / 50);
	assert_int_equal(count_of(&g, 1, 2), N / 2);
	assert_int_equal(count_of(&g, 0, 2), 0);
}

static void what_was_purged_or_replaced_is_not_listed(void **state)
{
	struct rig *r = *state;
	struct listing g;

	fill(r);
	drig_purge(r, PURGE_PREFIX, "http://o/odd/", false);
	drig_purge(r, PURGE_URL, "http://o/even/4", true);
	drig_store(r, &(struct response){.url = "http://o/even/2", .version = 99, .body_n = 12});
	browse_all(r, &g, "", 1000, 1000);
	assert_int_equal(count_of(&g, 1, 2), 0);
	assert_int_equal(count_of(&g, 0, 2), N / 2);
	assert_int_equal(g.seen[2], 1);
	assert_int_equal(g.soft, 1);
}

static void records_that_cannot_be_read_are_left_out(void **state)
{
	struct rig *r = *state;
	struct listing g;

	fill(r);
	atomic_store(&r->io.fail_at, atomic_load(&r->io.calls) + 1);
	atomic_store(&r->io.fail_after, true);
	browse_all(r, &g, "", 1000, 1000);
	assert_int_equal(count_of(&g, 0, 1), 0);
	drig_heal(r);
	browse_all(r, &g, "", 1000, 1000);
	assert_int_equal(count_of(&g, 0, 1), N);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		CASE(each_record_is_listed_once_whatever_the_pages_are),
		CASE(a_prefix_chooses_and_reads_are_bounded),
		CASE(what_was_purged_or_replaced_is_not_listed),
		CASE(records_that_cannot_be_read_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
