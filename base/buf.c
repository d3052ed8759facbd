/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"

enum { FIRST_CAPACITY = 128 };

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
	mem_free(b->p);
	buf_init(b, b->max);
}

void buf_reset(struct buf *b)
{
	b->n = 0;
	b->err = 0;
}

static int fail(struct buf *b, int err)
{
	b->err = err;
	return err;
}

/* Doubles, but not past max, so that the bound also holds for what is allocated. */
static int grow(struct buf *b, size_t need)
{
	size_t cap = b->cap > FIRST_CAPACITY / 2 ? b->cap : FIRST_CAPACITY / 2;
	char *p;

	cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
	if (cap < need)
		cap = need;
	if (cap > b->max)
		cap = b->max;
	p = mem_realloc(b->p, cap);
	if (!p)
		return fail(b, -ENOMEM);
	b->p = p;
	b->cap = cap;
	return 0;
}

char *buf_reserve(struct buf *b, size_t n)
{
	if (b->err)
		return NULL;
	if (b->n > b->max || n > b->max - b->n) {
		b->err = -ENOBUFS;
		return NULL;
	}
	/* `!b->p`: even room for nothing is somewhere. */
	if ((!b->p || n > b->cap - b->n) && grow(b, b->n + n))
		return NULL;
	return b->p + b->n;
}

int buf_add_growing(struct buf *b, const void *p, size_t n)
{
	char *to;

	if (n == 0)
		return b->err;
	to = buf_reserve(b, n);
	if (!to)
		return b->err;
	memcpy(to, p, n);
	b->n += n;
	return 0;
}

int buf_add_lower(struct buf *b, struct slice s)
{
	char *to = buf_reserve(b, s.n);

	if (!to)
		return b->err;
	for (size_t i = 0; i < s.n; i++)
		to[i] = ascii_lower(s.p[i]);
	b->n += s.n;
	return 0;
}

int buf_add_u64(struct buf *b, unsigned long long v)
{
	char digits[SLICE_U64_DIGITS];

	return buf_add_slice(b, slice_of_u64(digits, v));
}

/* vsnprintf writes a NUL that max does not count; one byte more than max would be needed for it, so what is formatted
 * goes through memory of its own when it is long. */
static int add_long(struct buf *b, size_t n, const char *fmt, va_list args)
{
	char *text;

	if (b->n > b->max || n > b->max - b->n)
		return fail(b, -ENOBUFS);
	text = mem_alloc(n + 1);
	if (!text)
		return fail(b, -ENOMEM);
	vsnprintf(text, n + 1, fmt, args);
	buf_add(b, text, n);
	mem_free(text);
	return b->err;
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
	char text[256];
	va_list args;
	int n;

	if (b->err)
		return b->err;
	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	CHECK(n >= 0); /* a format of ours is wrong */
	if ((size_t)n < sizeof(text))
		return buf_add(b, text, (size_t)n);
	va_start(args, fmt);
	n = add_long(b, (size_t)n, fmt, args);
	va_end(args);
	return n;
}
