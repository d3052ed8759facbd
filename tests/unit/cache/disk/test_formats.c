/* SPDX-License-Identifier: MIT */
/* The decoders of everything on disk: what is right comes back, and no cut or flipped byte goes unnoticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>

#include "base/mem.h"
#include "cache/disk/log/checkpoint.h"
#include "cache/disk/log/journal.h"
#include "cache/disk/log/record.h"
#include "cache/disk/log/segment.h"
#include "cache/disk/store_internal.h"

/* ---- Records ---- */

#define BODY_N 70000u

static struct record_header sample_header(void)
{
	struct freshness f = {.lifetime_ms = 60000,
		.initial_age_ms = 5,
		.received_mono_ms = 1000,
		.received_wall_ms = 1700000000000,
		.stale_while_revalidate_ms = 10000,
		.stale_if_unreachable_s = 3600,
		.flags = POLICY_IMMUTABLE | POLICY_FOR_ALL,
		.source = 2};
	struct record_header h = {.magic = RECORD_MAGIC,
		.kind = RECORD_WHOLE,
		.status = 200,
		.generation = 99,
		.lsn = 7,
		.epoch = 3,
		.body_n = BODY_N,
		.key_n = 11,
		.url_off = 1,
		.url_n = 10,
		.names_n = 3,
		.values_n = 4,
		.tags_n = 1,
		.head_n = 9};

	record_set_freshness(&h, &f, 5);
	return h;
}

static char *sample_record(struct record_header *h, size_t *n)
{
	static const uint64_t tag = 12345;
	const struct record_parts parts = {
		SLICE_LIT("Ghttp://o/a"), SLICE_LIT("abc"), SLICE_LIT("wxyz"), SLICE_LIT("HTTP/1.1 "), &tag};
	uint64_t sums[2];
	char *p, *body;

	*h = sample_header();
	*n = record_total(h);
	p = test_calloc(1, *n);
	body = p + sizeof(*h) + record_meta_n(h);
	for (unsigned i = 0; i < BODY_N; i++)
		body[i] = (char)(i * 31 + i / 256);
	sums[0] = XXH3_64bits(body, RECORD_BLOCK);
	sums[1] = XXH3_64bits(body + RECORD_BLOCK, BODY_N - RECORD_BLOCK);
	h->sums_sum = XXH3_64bits(sums, sizeof(sums));
	memcpy(body + record_pad(BODY_N), sums, sizeof(sums));
	record_write_meta(p, h, &parts);
	return p;
}

static bool record_reads(const char *p, size_t n)
{
	struct record_header h;
	struct record_meta m;

	return record_read_header(p, 99, n, &h) == 0 && record_read_meta(&h, p + sizeof(h), &m) == 0 &&
	       record_body_is_right(&h, p + sizeof(h) + record_meta_n(&h));
}

static void a_record_comes_back_as_it_was(void **state)
{
	struct record_header h, back;
	struct record_meta m;
	size_t n;
	char *p = sample_record(&h, &n);

	(void)state;
	assert_true(record_reads(p, n));
	assert_int_equal(record_read_header(p, 99, n, &back), 0);
	assert_memory_equal(&h, &back, sizeof(h));
	assert_int_equal(record_read_meta(&back, p + sizeof(back), &m), 0);
	assert_true(slice_equal(m.url, SLICE_LIT("http://o/a")));
	assert_true(slice_equal(m.values, SLICE_LIT("wxyz")));
	assert_true(slice_equal(m.head, SLICE_LIT("HTTP/1.1 ")));
	assert_int_equal(m.tags[0], 12345);
	assert_int_equal(record_read_header(p, 98, n, &back), -EBADMSG);
	test_free(p);
}

static void a_part_that_does_not_lie_in_its_whole_is_not_valid(void **state)
{
	const struct {
		uint64_t first, total;
		int wanted;
	} rows[] = {{0, 0, 0}, {100, BODY_N + 100, 0}, {0, BODY_N + 1, 0}, {1, 0, -EBADMSG},
		{100, BODY_N + 99, -EBADMSG}, {UINT64_MAX, UINT64_MAX, -EBADMSG}, {UINT64_MAX, 5, -EBADMSG}};
	struct record_header h, back;
	size_t n;
	char *p = sample_record(&h, &n);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		h.part_first = rows[i].first;
		h.part_total = rows[i].total;
		record_sign(&h);
		memcpy(p, &h, sizeof(h));
		assert_int_equal(record_read_header(p, 99, n, &back), rows[i].wanted);
	}
	test_free(p);
}

static void freshness_comes_back_with_all_its_windows(void **state)
{
	struct record_header h = sample_header();
	struct freshness f;

	(void)state;
	record_freshness(&h, 5, (struct now){1500, 1700000000500}, &f);
	assert_int_equal(f.lifetime_ms, 60000);
	assert_int_equal(f.stale_if_unreachable_s, 3600);
	assert_int_equal(policy_stale_window_ms(&f), 3600000);
	/* The clock was set back: only validation is left, so it is older than all windows. */
	record_freshness(&h, 6, (struct now){1500, 1600000000000}, &f);
	assert_true(-policy_ttl_ms(&f, (struct now){1500, 1600000000000}) > 3600000);
}

static void a_record_cut_anywhere_is_not_valid(void **state)
{
	struct record_header h;
	size_t n;
	char *p = sample_record(&h, &n);

	(void)state;
	for (size_t cut = 0; cut < n; cut += cut < 600 ? 1 : 97) {
		struct record_header back;

		assert_int_equal(record_read_header(p, 99, cut, &back), -EBADMSG);
	}
	test_free(p);
}

static void a_flipped_bit_anywhere_in_a_record_is_seen(void **state)
{
	struct record_header h;
	size_t n, zeros;
	char *p = sample_record(&h, &n);

	(void)state;
	zeros = sizeof(h) + record_meta_n(&h) + BODY_N;
	for (size_t i = 0; i < n; i += i < 600 || i > n - 600 ? 1 : 61) {
		p[i] = (char)(p[i] ^ (1 << i % 8));
		if (i < zeros || i >= zeros + record_pad(BODY_N) - BODY_N) /* what pads the body is nobody's */
			assert_false(record_reads(p, n));
		p[i] = (char)(p[i] ^ (1 << i % 8));
	}
	assert_true(record_reads(p, n));
	test_free(p);
}

static void lengths_that_lie_do_not_get_through_though_they_are_signed(void **state)
{
	static const size_t at[] = {offsetof(struct record_header, key_n), offsetof(struct record_header, url_off),
		offsetof(struct record_header, url_n), offsetof(struct record_header, names_n),
		offsetof(struct record_header, values_n), offsetof(struct record_header, tags_n),
		offsetof(struct record_header, head_n)};
	struct record_header good = sample_header(), h, back;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(at); i++) {
		uint32_t huge = UINT32_MAX - i;

		h = good;
		memcpy((char *)&h + at[i], &huge, sizeof(huge));
		record_sign(&h);
		assert_int_equal(record_read_header(&h, 99, 1 << 30, &back), -EBADMSG);
	}
	for (unsigned shift = 30; shift < 64; shift++) {
		h = good;
		h.body_n = (uint64_t)1 << shift | 5;
		record_sign(&h);
		assert_int_equal(record_read_header(&h, 99, 1 << 30, &back), -EBADMSG);
	}
}

static int64_t ttl_after(const struct record_header *h, uint64_t clock_id, int64_t mono_ms, int64_t wall_ms)
{
	struct now now = {mono_ms, wall_ms};
	struct freshness f;

	record_freshness(h, clock_id, now, &f);
	return policy_ttl_ms(&f, now);
}

static void age_goes_by_the_monotonic_clock_while_it_is_the_same_one(void **state)
{
	struct record_header h = sample_header();

	(void)state;
	assert_int_equal(ttl_after(&h, 5, 11000, 1700000010000), 60000 - 5 - 10000);
	assert_int_equal(ttl_after(&h, 5, 11000, 1), 60000 - 5 - 10000);
	assert_int_equal(ttl_after(&h, 5, 11000, 1900000000000), 60000 - 5 - 10000);
}

static void after_a_boot_it_goes_by_the_wall_and_a_clock_set_back_leaves_only_validation(void **state)
{
	struct record_header h = sample_header();

	(void)state;
	assert_int_equal(ttl_after(&h, 6, 50, 1700000010000), 60000 - 5 - 10000);
	assert_int_equal(ttl_after(&h, 6, 50, 1700000000000 - 1000), 60000 - 5);
	assert_true(ttl_after(&h, 6, 50, 1600000000000) < -10000);
	assert_true(ttl_after(&h, 6, 50, INT64_MIN) < -10000);
	assert_true(ttl_after(&h, 6, 50, 1700009990000) < 0);
	h.lifetime_ms = INT64_MAX;
	assert_true(ttl_after(&h, 6, 50, 5) < 0);
}

/* ---- Segments ---- */

static void segment_headers_and_trailers_notice_every_flip(void **state)
{
	struct segment_header h = {.store = 1, .id = 2, .generation = 3, .size = 65536}, hb;
	struct footer_entry e[2] = {{.off8 = 8, .n8 = 30, .kind = 1}, {.off8 = 38, .n8 = 30, .kind = 1}};
	struct segment_trailer t = {.generation = 3, .entries = 2, .end = 544}, tb;
	unsigned char bytes[64];

	(void)state;
	segment_write_header(&h);
	segment_write_trailer(&t, e);
	assert_int_equal(segment_read_header(&h, 1, 65536, &hb), 0);
	assert_int_equal(segment_read_header(&h, 2, 65536, &hb), -EBADMSG);
	assert_int_equal(segment_read_header(&h, 1, 65535, &hb), -EBADMSG);
	assert_int_equal(segment_read_trailer(&t, 3, 65536, &tb), 0);
	assert_int_equal(segment_read_trailer(&t, 4, 65536, &tb), -EBADMSG);
	assert_true(footer_is_right(&t, e));
	for (unsigned i = 0; i < 64 * 8; i++) {
		memcpy(bytes, &h, 64);
		bytes[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_int_equal(segment_read_header(bytes, 1, 65536, &hb), -EBADMSG);
		memcpy(bytes, &t, 64);
		bytes[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_int_equal(segment_read_trailer(bytes, 3, 65536, &tb), -EBADMSG);
	}
	for (unsigned i = 0; i < sizeof(e) * 8; i++) {
		((unsigned char *)e)[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_false(footer_is_right(&t, e));
		((unsigned char *)e)[i / 8] ^= (unsigned char)(1 << i % 8);
	}
}

static void names_are_read_strictly(void **state)
{
	char name[SEGMENT_NAME_MAX];
	uint64_t id;

	(void)state;
	segment_name(0xabc123, name);
	assert_true(segment_name_read(name, &id));
	assert_int_equal(id, 0xabc123);
	assert_false(segment_name_read("seg-", &id));
	assert_false(segment_name_read("seg-0000000000000000", &id));
	assert_false(segment_name_read("seg-000000000000000G", &id));
	assert_false(segment_name_read("seg-00000000000000012", &id));
	assert_false(segment_name_read("seg-ffffffffffffffff", &id));
	assert_false(journal_name_read("journal.1", &id));
}

/* ---- Journals ---- */

struct seen {
	unsigned n;
	uint64_t sum;
};

static void on_entry(const struct journal_entry *e, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->sum += e->a + e->what.n;
}

static size_t sample_journal(char *p, size_t n, struct journal_header *h, size_t ends[3])
{
	static const char *const what[] = {"http://o/one", "", "http://o/three-is-longer"};
	size_t at = sizeof(*h);

	memset(p, 0, n);
	*h = (struct journal_header){.store = 1, .number = 5, .generation = 9, .size = n};
	journal_write_header(h);
	memcpy(p, h, sizeof(*h));
	for (unsigned i = 0; i < 3; i++) {
		struct journal_entry e = {.kind = JOURNAL_PURGE, .a = i + 1, .what = slice_of(what[i])};

		journal_write_entry(p + at, &e, h->generation, i);
		at += journal_entry_bytes(&e);
		ends[i] = at;
	}
	return at;
}

static void a_journal_cut_short_by_a_crash_loses_its_last_entry_only(void **state)
{
	char p[4096];
	struct journal_header h;
	size_t ends[3], n = sample_journal(p, sizeof(p), &h, ends);
	struct seen s = {0};

	(void)state;
	assert_int_equal(journal_scan(p, sizeof(p), &h, on_entry, &s), JOURNAL_CLEAN);
	assert_int_equal(s.n, 3);
	for (size_t cut = n; cut-- > sizeof(h);) {
		unsigned whole = cut >= ends[1] ? 2 : cut >= ends[0];
		enum journal_end end;

		p[cut] = 0;
		s = (struct seen){0};
		end = journal_scan(p, sizeof(p), &h, on_entry, &s);
		assert_true(end == JOURNAL_TORN || end == JOURNAL_CLEAN);
		assert_int_equal(s.n, whole);
	}
}

static void any_flip_in_a_journal_is_damage_or_changes_nothing(void **state)
{
	char p[4096];
	struct journal_header h, back;
	size_t ends[3], n = sample_journal(p, sizeof(p), &h, ends);

	(void)state;
	for (size_t i = 0; i < sizeof(p) * 8; i++) {
		struct seen s = {0};
		bool header = journal_read_header(p, sizeof(p), 1, 5, &back) == 0;

		assert_true(header);
		p[i / 8] = (char)(p[i / 8] ^ (1 << i % 8));
		if (i / 8 < sizeof(h))
			assert_int_equal(journal_read_header(p, sizeof(p), 1, 5, &back), -EBADMSG);
		else if (i / 8 < n || i / 8 == n + 31)
			assert_int_equal(journal_scan(p, sizeof(p), &h, on_entry, &s), JOURNAL_DAMAGED);
		else if (journal_scan(p, sizeof(p), &h, on_entry, &s) != JOURNAL_DAMAGED)
			assert_int_equal(s.n, 3);
		p[i / 8] = (char)(p[i / 8] ^ (1 << i % 8));
	}
	assert_int_equal(journal_read_header(p, sizeof(p) - 8, 1, 5, &back), -EBADMSG);
}

/* ---- Checkpoints ---- */

static void a_checkpoint_comes_back_and_notices_every_flip_and_cut(void **state)
{
	struct invalidation_rule rules[] = {{1, 2, 3, 4, 0}, {5, 6, 7, 8, 0}};
	struct forgotten forgets[] = {{1, 2}, {3, 4}, {5, 6}};
	struct checkpoint c = {.h = {.store = 1, .number = 2, .runs = 3, .rules_n = 2, .forgets_n = 3},
				  .rules = rules,
				  .forgets = forgets},
			  back;
	unsigned char *p;
	size_t n;

	(void)state;
	assert_int_equal(checkpoint_write(&c, (void **)&p, &n), 0);
	assert_int_equal(checkpoint_read(p, n, 1, &back), 0);
	assert_memory_equal(back.rules, rules, sizeof(rules));
	assert_memory_equal(back.forgets, forgets, sizeof(forgets));
	checkpoint_fini(&back);
	assert_int_equal(checkpoint_read(p, n, 2, &back), -EBADMSG);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(checkpoint_read(p, cut, 1, &back), -EBADMSG);
	for (size_t i = 0; i < n * 8; i++) {
		p[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_int_equal(checkpoint_read(p, n, 1, &back), -EBADMSG);
		p[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	mem_free(p);
}

static void a_format_of_another_major_is_told_from_a_spoilt_one(void **state)
{
	struct disk_format f = {.magic = FORMAT_MAGIC, .major = FORMAT_MAJOR, .store = 8}, back;

	(void)state;
	f.sum = XXH3_64bits(&f, offsetof(struct disk_format, sum));
	assert_int_equal(disk_format_read(&f, sizeof(f), &back), 0);
	assert_int_equal(disk_format_read(&f, sizeof(f) - 1, &back), -EBADMSG);
	f.store++;
	assert_int_equal(disk_format_read(&f, sizeof(f), &back), -EBADMSG);
	f.major++;
	f.sum = XXH3_64bits(&f, offsetof(struct disk_format, sum));
	assert_int_equal(disk_format_read(&f, sizeof(f), &back), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_comes_back_as_it_was),
		cmocka_unit_test(a_part_that_does_not_lie_in_its_whole_is_not_valid),
		cmocka_unit_test(freshness_comes_back_with_all_its_windows),
		cmocka_unit_test(a_record_cut_anywhere_is_not_valid),
		cmocka_unit_test(a_flipped_bit_anywhere_in_a_record_is_seen),
		cmocka_unit_test(lengths_that_lie_do_not_get_through_though_they_are_signed),
		cmocka_unit_test(age_goes_by_the_monotonic_clock_while_it_is_the_same_one),
		cmocka_unit_test(after_a_boot_it_goes_by_the_wall_and_a_clock_set_back_leaves_only_validation),
		cmocka_unit_test(segment_headers_and_trailers_notice_every_flip),
		cmocka_unit_test(names_are_read_strictly),
		cmocka_unit_test(a_journal_cut_short_by_a_crash_loses_its_last_entry_only),
		cmocka_unit_test(any_flip_in_a_journal_is_damage_or_changes_nothing),
		cmocka_unit_test(a_checkpoint_comes_back_and_notices_every_flip_and_cut),
		cmocka_unit_test(a_format_of_another_major_is_told_from_a_spoilt_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
