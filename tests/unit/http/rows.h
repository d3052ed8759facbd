/* SPDX-License-Identifier: MIT */
/* What the table-driven tests of this folder share: each row is a sentence, and a failure names its row. */
#ifndef TESTS_HTTP_ROWS_H
#define TESTS_HTTP_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/fields.h"

/* A literal with all its bytes, NUL too. */
#define BYTES(s) ((struct slice){(s), sizeof(s) - 1})
/* The same as an initializer in a static table. */
#define ROW(s)                     \
	{                          \
		(s), sizeof(s) - 1 \
	}

#define EXPECT_SLICE(row, got, want)                                                                           \
	do {                                                                                                   \
		struct slice got_ = (got), want_ = (want);                                                     \
		if (!slice_equal(got_, want_))                                                                 \
			fail_msg("%s: got \"%.*s\", want \"%.*s\"", (row), SLICE_ARG(got_), SLICE_ARG(want_)); \
	} while (0)

#define EXPECT_INT(row, got, want)                                               \
	do {                                                                     \
		long long got_ = (long long)(got), want_ = (long long)(want);    \
		if (got_ != want_)                                               \
			fail_msg("%s: got %lld, want %lld", (row), got_, want_); \
	} while (0)

/* A copy without a byte to spare on either side, so that the address sanitizer sees a read past it. */
static inline struct slice exact_copy(struct slice s)
{
	char *p = malloc(s.n ? s.n : 1);
	assert_non_null(p);
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return (struct slice){p, s.n};
}

static inline void free_copy(struct slice s)
{
	free((char *)s.p);
}

/* Fields from "Name: value" strings, up to a NULL. */
static inline void fields_from(struct http_fields *f, const char *const *lines)
{
	http_fields_init(f);
	for (; *lines; lines++) {
		const char *colon = strchr(*lines, ':');
		assert_non_null(colon);
		struct slice name = {*lines, (size_t)(colon - *lines)};
		assert_int_equal(http_fields_add(f, name, slice_trim(slice_of(colon + 1))), 0);
	}
}

#endif
