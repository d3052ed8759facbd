/* SPDX-License-Identifier: MIT */
/* A growable byte buffer that can't be made without a maximum.
 * Thread: one at a time. Owns: its bytes. Bounds: max, given at init; going past it is -ENOBUFS and changes nothing. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

#include "base/check.h"
#include "base/slice.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
	size_t max;
	int err; /* first error since init or reset (sticky): 0, -ENOMEM or -ENOBUFS. Appends after an error do nothing */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);  /* frees the bytes; the buffer is as after buf_init */
void buf_reset(struct buf *b); /* length 0, error cleared, storage kept */
/* What does not fit into what is allocated. */
int buf_add_growing(struct buf *b, const void *p, size_t n);
/* All return 0 or the sticky error; callers that append several things check b->err once at the end. */
static inline int buf_add(struct buf *b, const void *p, size_t n)
{
	if (b->err || n == 0 || n > b->cap - b->n)
		return buf_add_growing(b, p, n);
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}
static inline int buf_add_slice(struct buf *b, struct slice s)
{
	return buf_add(b, s.p, s.n);
}
static inline int buf_add_str(struct buf *b, const char *z)
{
	return buf_add(b, z, strlen(z));
}
static inline int buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}
int buf_add_lower(struct buf *b, struct slice s); /* its letters in lower case */
int buf_add_u64(struct buf *b, unsigned long long v);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for n more bytes and returns where they go (then add to b->n), or NULL. */
char *buf_reserve(struct buf *b, size_t n);
static inline struct slice buf_slice(const struct buf *b)
{
	return (struct slice){b->p, b->n};
}

#endif
