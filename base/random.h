/* SPDX-License-Identifier: MIT */
/* Numbers that nobody can guess.
 * Thread: any. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>

/* n is at most 256: the kernel gives so many in one piece, waiting only while the machine starts. */
void random_bytes(void *p, size_t n);

#endif
