/* SPDX-License-Identifier: MIT */
/* How much more is written than what is put, while the store is full and everything goes on. Counted at the table of file
 * functions, so headers, footers, journals and what reclaim keeps are all in it. */
#include "disk_rig.h"

#include <stdio.h>

static _Atomic uint64_t written;

static ssize_t counted_write(const struct disk_io *io, int fd, const void *p, size_t n, uint64_t at)
{
	ssize_t rc = disk_io_real.pwrite(io, fd, p, n, at);

	if (rc > 0)
		atomic_fetch_add(&written, (uint64_t)rc);
	return rc;
}

#define BODY 3000

/* New responses all the time; `is_hot`: each is asked for again, so that all are worth keeping. Returns the bytes that an
 * origin sent. */
static uint64_t churn(struct rig *r, unsigned from, unsigned n, bool is_hot)
{
	uint64_t bytes = 0;
	char url[40];

	for (unsigned i = from; i < from + n; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		drig_store(r, &(struct response){.url = url, .version = i, .body_n = BODY});
		bytes += strlen(url) + BODY;
		if (is_hot)
			assert_int_equal(drig_find(r, url), (int)i);
	}
	return bytes;
}

static double amplification(bool is_hot)
{
	struct rig r;
	uint64_t before, put, more;

	drig_init(&r);
	r.io.io.pwrite = counted_write;
	r.o.size = 4 << 20;
	r.o.segment_bytes = 128 << 10;
	drig_open(&r);
	(void)churn(&r, 0, 4000, is_hot); /* full, three times over */
	before = atomic_load(&written);
	put = churn(&r, 4000, 6000, is_hot);
	more = atomic_load(&written) - before;
	if (is_hot)
		assert_true(drig_stats(&r).reinserted > 0);
	drig_fini(&r);
	print_message("%s: %.3f\n", is_hot ? "all hot" : "none hot", (double)more / (double)put);
	return (double)more / (double)put;
}

static void what_nobody_asks_for_is_written_about_once(void **state)
{
	(void)state;
	assert_true(amplification(false) <= 1.2);
}

static void what_reclaim_keeps_stays_within_its_bound(void **state)
{
	(void)state;
	assert_true(amplification(true) <= 1.6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_asks_for_is_written_about_once),
		cmocka_unit_test(what_reclaim_keeps_stays_within_its_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
