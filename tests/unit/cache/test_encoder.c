/* SPDX-License-Identifier: MIT */
/* Long bodies are compressed by threads of their own. */
#include "rig.h"

#include <stdlib.h>
#include <time.h>
#include <zlib.h>

#include "cache/memory/encoder.h"

#define ALL_CODINGS ((1U << CACHE_BR) | (1U << CACHE_ZSTD) | (1U << CACHE_GZIP))
#define TEXT_FIELDS "Cache-Control: max-age=1000\r\nContent-Type: text/plain\r\nETag: \"1\"\r\n"

static void begin(struct rig *g, uint64_t memory_bytes)
{
	g->o.memory_bytes = memory_bytes;
	g->o.max_object_bytes = 4 << 20;
	g->rules.compress = ALL_CODINGS;
	rig_restart(g);
}

/* Text that takes a while. */
static char *text_of(size_t n)
{
	char *p = malloc(n + 1);
	uint32_t x = 1;

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = "0123456789abcdef"[x >> 28];
	}
	p[n] = '\0';
	return p;
}

static void wait_until_made(struct rig *g, uint64_t n)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	struct cache_stats s = rig_stats(g);

	for (unsigned i = 0; i < 60000 && (s.encodings_made < n || s.encodings_waiting > 0); i++) {
		nanosleep(&moment, NULL);
		s = rig_stats(g);
	}
	assert_int_equal(s.encodings_made, n);
}

static int64_t us_of(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void gzip_is(struct slice coded, const char *text, size_t n)
{
	char *out = malloc(n + 1);
	z_stream z = {.next_in = (Bytef *)(uintptr_t)coded.p, .avail_in = (uInt)coded.n, .next_out = (Bytef *)out};

	assert_non_null(out);
	z.avail_out = (uInt)n + 1;
	assert_int_equal(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, n);
	assert_memory_equal(out, text, n);
	inflateEnd(&z);
	free(out);
}

static void is_encoded(struct rig *g, const char *target, const char *text)
{
	struct ask a;
	struct slice coded;

	assert_int_equal(ask_for(g, &a, target, NULL), CACHE_HIT);
	for (unsigned c = 0; c < CACHE_CODINGS; c++)
		assert_true(object_encoded(a.out.object, (enum cache_coding)c, &coded));
	assert_true(object_encoded(a.out.object, CACHE_GZIP, &coded));
	gzip_is(coded, text, strlen(text));
	ask_fini(&a);
}

static void a_short_body_is_encoded_at_once_and_a_long_one_elsewhere(void **state)
{
	struct rig *g = *state;
	char *brief = text_of(2000), *text = text_of(2 << 20);
	int64_t mine, all;

	begin(g, 64 << 20);
	rig_store(g, "GET /brief", NULL, TEXT_FIELDS, brief);
	is_encoded(g, "GET /brief", brief);
	mine = us_of(CLOCK_THREAD_CPUTIME_ID);
	all = us_of(CLOCK_PROCESS_CPUTIME_ID);
	rig_store(g, "GET /long", NULL, TEXT_FIELDS, text);
	mine = us_of(CLOCK_THREAD_CPUTIME_ID) - mine;
	assert_int_equal(rig_verdict(g, "GET /long", NULL), CACHE_HIT); /* it serves meanwhile */
	wait_until_made(g, 1);
	all = us_of(CLOCK_PROCESS_CPUTIME_ID) - all;
	assert_true(4 * mine < all);
	is_encoded(g, "GET /long", text);
	free(brief);
	free(text);
}

/* A worker whose responses end all at once goes on soon: what is beyond its share of the moment is made elsewhere. */
static void a_worker_encodes_a_bounded_amount_at_once(void **state)
{
	struct rig *g = *state;
	char *text = text_of(16 * 1024), target[32];
	unsigned own = ENCODER_AT_ONCE_BYTES / (16 * 1024), all = 40;

	begin(g, 64 << 20);
	for (unsigned i = 0; i < all; i++) {
		snprintf(target, sizeof(target), "GET /%u", i);
		rig_store(g, target, NULL, TEXT_FIELDS, text);
		if (i < own)
			is_encoded(g, target, text);
	}
	wait_until_made(g, all - own);
	for (unsigned i = 0; i < all; i++) {
		snprintf(target, sizeof(target), "GET /%u", i);
		is_encoded(g, target, text);
	}
	g->now.mono_ms += ENCODER_MOMENT_MS;
	rig_store(g, "GET /later", NULL, TEXT_FIELDS, text);
	is_encoded(g, "GET /later", text);
	assert_int_equal(rig_stats(g).encodings_made, all - own);
	free(text);
}

static void what_there_is_no_room_for_is_left_as_it_is_and_counted(void **state)
{
	struct rig *g = *state;
	char *text = text_of(200000);
	struct slice coded;
	struct ask a;

	begin(g, 1 << 20); /* an eighth of it waits at most */
	rig_store(g, "GET /a", NULL, TEXT_FIELDS, text);
	assert_int_equal(rig_stats(g).encodings_dropped, 1);
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_HIT);
	assert_false(object_encoded(a.out.object, CACHE_GZIP, &coded));
	rig_body_is(a.out.object, text);
	ask_fini(&a);
	free(text);
}

static void a_successor_after_a_304_has_what_was_not_made_yet(void **state)
{
	struct rig *g = *state;
	char *text = text_of(2 << 20);
	struct ask a;

	begin(g, 64 << 20);
	rig_store(g, "GET /a", NULL, TEXT_FIELDS, text);
	g->now.mono_ms += 2000000;
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_answer(g, a.out.flight, 304, TEXT_FIELDS, 0, NULL), FLIGHT_REVALIDATED);
	ask_fini(&a);
	wait_until_made(g, 1);
	is_encoded(g, "GET /a", text);
	free(text);
}

/* Replaced before their turn came: their bytes go, and nobody's time with them. */
static void what_nobody_wants_any_more_is_not_encoded(void **state)
{
	struct rig *g = *state;
	char *text = text_of(1 << 20);
	struct cache_stats s;
	const struct timespec moment = {.tv_nsec = 1000000};
	uint64_t seq;

	begin(g, 64 << 20);
	for (unsigned i = 0; i < 6; i++) {
		rig_store(g, "GET /a", NULL, TEXT_FIELDS, text);
		assert_int_equal(cache_purge_soon(g->c, &(struct purge){.kind = PURGE_ALL}, &seq), 0);
		assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD); /* which drops it */
	}
	for (unsigned i = 0; i < 60000 && rig_stats(g).encodings_waiting > 0; i++)
		nanosleep(&moment, NULL);
	s = rig_stats(g);
	assert_int_equal(s.encodings_waiting, 0);
	assert_in_range(s.encodings_made, 0, 3);
	free(text);
}

static void the_end_comes_while_others_wait(void **state)
{
	struct rig *g = *state;
	char *text = text_of(1 << 20), target[32];

	begin(g, 64 << 20);
	for (unsigned i = 0; i < 7; i++) {
		snprintf(target, sizeof(target), "GET /%u", i);
		rig_store(g, target, NULL, TEXT_FIELDS, text);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_short_body_is_encoded_at_once_and_a_long_one_elsewhere),
		RIG_TEST(a_worker_encodes_a_bounded_amount_at_once),
		RIG_TEST(what_there_is_no_room_for_is_left_as_it_is_and_counted),
		RIG_TEST(a_successor_after_a_304_has_what_was_not_made_yet),
		RIG_TEST(what_nobody_wants_any_more_is_not_encoded),
		RIG_TEST(the_end_comes_while_others_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
