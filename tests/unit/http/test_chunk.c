/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include "http/chunk.h"

/* Feeds pieces of `step` bytes, each without a byte to spare; body gets the data. Returns what the last call said. */
static enum chunk_result decode(
	enum chunk_strictness how, struct slice in, size_t step, char *body, size_t *body_n, size_t *used)
{
	struct chunk_decoder d;
	enum chunk_result rc = CHUNK_MORE;
	chunk_decoder_init(&d, how);
	*body_n = *used = 0;
	while (rc == CHUNK_MORE && *used < in.n) {
		size_t n = in.n - *used < step ? in.n - *used : step, at = 0;
		struct slice piece = exact_copy((struct slice){in.p + *used, n});
		do {
			size_t consumed;
			struct slice data;
			rc = chunk_decode(&d, piece.p + at, n - at, &consumed, &data);
			at += consumed;
			if (rc == CHUNK_DATA) {
				memcpy(body + *body_n, data.p, data.n);
				*body_n += data.n;
			}
		} while (rc == CHUNK_DATA);
		if (rc == CHUNK_MORE)
			EXPECT_INT("all consumed", at, n);
		*used += at;
		free_copy(piece);
		EXPECT_INT("complete at the end only", chunk_is_complete(&d), rc == CHUNK_END);
	}
	return rc;
}

static const struct {
	const char *row;
	struct slice in;
	enum chunk_result rc;
	const char *body;
	size_t left; /* bytes behind the end */
} body_rows[] = {
	{"7.1 last chunk", ROW("0\r\n\r\n"), CHUNK_END, "", 0},
	{"7.1 pipelined bytes stay", ROW("0\r\n\r\nGET /"), CHUNK_END, "", 5},
	{"7.1 two chunks", ROW("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"), CHUNK_END, "abc0123456789", 0},
	{"7.1 lower and upper case, zeros", ROW("0000000000000003\r\nabc\r\n00a\r\n0123456789\r\n000\r\n\r\n"),
		CHUNK_END, "abc0123456789", 0},
	{"7.1.1 extensions", ROW("1;a\r\nx\r\n1;a=b;c=\"d\\\"e;\"\r\ny\r\n0;z\r\n\r\n"), CHUNK_END, "xy", 0},
	{"7.1.1 BWS", ROW("1 ;\ta\t= b ; c=\"d\" ;e\r\nx\r\n0\r\n\r\n"), CHUNK_END, "x", 0},
	{"7.1.2 trailers are dropped", ROW("1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n"), CHUNK_END, "x", 0},
	{"cut in the size", ROW("1"), CHUNK_MORE, "", 0},
	{"cut in the data", ROW("5\r\nab"), CHUNK_MORE, "ab", 0},
	{"cut before the end", ROW("1\r\nx\r\n0\r\n\r"), CHUNK_MORE, "x", 0},
	{"empty size", ROW("\r\n\r\n"), CHUNK_BAD, "", 0},
	{"plus", ROW("+1\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"minus", ROW("-1\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"0x", ROW("0x1\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"space before", ROW(" 1\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"space after", ROW("1 \r\nx\r\n"), CHUNK_BAD, "", 0},
	{"tab after", ROW("1\t\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"junk after", ROW("1 x\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"underscore", ROW("1_0\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"17 digits", ROW("00000000000000001\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"too large", ROW("8000000000000000\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"largest", ROW("7fffffffffffffff\r\nx"), CHUNK_MORE, "x", 0},
	{"bare LF", ROW("1\nx\r\n"), CHUNK_BAD, "", 0},
	{"bare CR", ROW("1\rx\r\n"), CHUNK_BAD, "", 0},
	{"LF after data", ROW("1\r\nx\n0\r\n\r\n"), CHUNK_BAD, "x", 0},
	{"data too long", ROW("1\r\nxy\r\n"), CHUNK_BAD, "x", 0},
	{"data too short", ROW("2\r\nx\r\n0\r\n\r\n"), CHUNK_BAD, "x\r", 0},
	{"blank line before size", ROW("1\r\nx\r\n\r\n0\r\n\r\n"), CHUNK_BAD, "x", 0},
	{"NUL in the size", ROW("1\0\r\nx"), CHUNK_BAD, "", 0},
	{"empty extension", ROW("1;\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"extension without name", ROW("1;=a\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"extension without value", ROW("1;a=\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"space after a name", ROW("1;a \r\nx\r\n"), CHUNK_BAD, "", 0},
	{"LF in an extension", ROW("1;a\nb\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"CR in a quoted extension", ROW("1;a=\"\r\n\"\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"open quote", ROW("1;a=\"b\r\nx\r\n"), CHUNK_BAD, "", 0},
	{"bad trailer name", ROW("0\r\nA b: c\r\n\r\n"), CHUNK_BAD, "", 0},
	{"folded trailer", ROW("0\r\n A: b\r\n\r\n"), CHUNK_BAD, "", 0},
	{"space before the colon", ROW("0\r\nA : b\r\n\r\n"), CHUNK_BAD, "", 0},
	{"trailer without name", ROW("0\r\n: b\r\n\r\n"), CHUNK_BAD, "", 0},
	{"trailer without colon", ROW("0\r\nA\r\n\r\n"), CHUNK_BAD, "", 0},
	{"NUL in a trailer", ROW("0\r\nA: \0\r\n\r\n"), CHUNK_BAD, "", 0},
	{"bare LF in trailers", ROW("0\r\nA: b\n\r\n"), CHUNK_BAD, "", 0},
	{"bare LF at the end", ROW("0\r\n\n"), CHUNK_BAD, "", 0},
	{"bare CR at the end", ROW("0\r\n\rx"), CHUNK_BAD, "", 0},
};

static void chunked_bodies_are_decoded_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(body_rows); i++) {
		for (size_t step = 1; step <= body_rows[i].in.n; step++) {
			char body[64];
			size_t body_n, used;
			EXPECT_INT(body_rows[i].row, decode(CHUNK_STRICT, body_rows[i].in, step, body, &body_n, &used),
				body_rows[i].rc);
			EXPECT_SLICE(body_rows[i].row, ((struct slice){body, body_n}), slice_of(body_rows[i].body));
			if (body_rows[i].rc == CHUNK_END)
				EXPECT_INT(body_rows[i].row, body_rows[i].in.n - used, body_rows[i].left);
		}
	}
}

static void padded_sizes_are_read_where_that_is_asked_for(void **state)
{
	static const struct {
		struct slice in;
		enum chunk_result strict, padded;
	} rows[] = {
		{ROW("2  \r\nok\r\n0 \r\n\r\n"), CHUNK_BAD, CHUNK_END},
		{ROW("2\t;a=b\r\nok\r\n0\r\n\r\n"), CHUNK_END, CHUNK_END},
		{ROW(" 2\r\nok\r\n0\r\n\r\n"), CHUNK_BAD, CHUNK_BAD},
		{ROW("2 2\r\nok\r\n0\r\n\r\n"), CHUNK_BAD, CHUNK_BAD},
		{ROW("2 \nok\r\n0\r\n\r\n"), CHUNK_BAD, CHUNK_BAD},
	};
	char body[64];
	size_t body_n, used;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (size_t step = 1; step <= rows[i].in.n; step++) {
			assert_int_equal(decode(CHUNK_STRICT, rows[i].in, step, body, &body_n, &used), rows[i].strict);
			assert_int_equal(decode(CHUNK_PADDED, rows[i].in, step, body, &body_n, &used), rows[i].padded);
			if (rows[i].padded == CHUNK_END)
				EXPECT_SLICE("body", ((struct slice){body, body_n}), slice_of("ok"));
		}
	}
}

/* `head`, then `unit` over and over until the response is not MORE; returns the bytes taken. */
static size_t feed_until_refused(struct slice head, struct slice unit)
{
	struct chunk_decoder d;
	size_t total = 0, consumed;
	struct slice data;
	chunk_decoder_init(&d, CHUNK_STRICT);
	assert_int_equal(chunk_decode(&d, head.p, head.n, &consumed, &data), CHUNK_MORE);
	for (;;) {
		enum chunk_result rc = chunk_decode(&d, unit.p, unit.n, &consumed, &data);
		total += consumed;
		if (rc == CHUNK_BAD) {
			assert_int_equal(chunk_decode(&d, unit.p, unit.n, &consumed, &data), CHUNK_BAD);
			assert_int_equal(consumed, 0);
			return total;
		}
		assert_true(rc == CHUNK_MORE && total < 100000);
	}
}

static void extensions_and_trailers_are_bounded(void **state)
{
	(void)state;
	EXPECT_INT("one long extension", feed_until_refused(BYTES("1;"), BYTES("a")), CHUNK_EXTENSIONS_MAX);
	EXPECT_INT("one long trailer", feed_until_refused(BYTES("0\r\n"), BYTES("a")), CHUNK_TRAILERS_MAX);
	EXPECT_INT("many trailers", feed_until_refused(BYTES("0\r\n"), BYTES("a:b\r\n")), CHUNK_TRAILERS_MAX);
}

static void extensions_of_all_chunks_count_together(void **state)
{
	struct chunk_decoder d;
	unsigned chunks = 0;
	enum chunk_result rc;
	(void)state;
	chunk_decoder_init(&d, CHUNK_STRICT);
	do {
		static const struct slice in = ROW("1;abcdefg\r\nx\r\n");
		size_t at = 0, consumed;
		struct slice data;
		do {
			rc = chunk_decode(&d, in.p + at, in.n - at, &consumed, &data);
			at += consumed;
		} while (rc == CHUNK_DATA);
		chunks++;
	} while (rc == CHUNK_MORE && chunks < 10000);
	EXPECT_INT("refused", rc, CHUNK_BAD);
	EXPECT_INT("after", chunks, CHUNK_EXTENSIONS_MAX / 8 + 1);
}

static void a_piece_is_given_back_with_the_decoder_from_before(void **state)
{
	static const struct slice in = ROW("5\r\nhello\r\n");
	struct chunk_decoder d, before;
	struct slice first, again;
	size_t consumed;

	(void)state;
	chunk_decoder_init(&d, CHUNK_PADDED);
	before = d;
	assert_int_equal(chunk_decode(&d, in.p, in.n, &consumed, &first), CHUNK_DATA);
	d = before;
	assert_int_equal(chunk_decode(&d, in.p, in.n, &consumed, &again), CHUNK_DATA);
	assert_true(again.p == first.p && again.n == first.n && consumed == 8);
	assert_false(chunk_is_complete(&d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunked_bodies_are_decoded_or_refused),
		cmocka_unit_test(padded_sizes_are_read_where_that_is_asked_for),
		cmocka_unit_test(a_piece_is_given_back_with_the_decoder_from_before),
		cmocka_unit_test(extensions_and_trailers_are_bounded),
		cmocka_unit_test(extensions_of_all_chunks_count_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
