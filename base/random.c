/* SPDX-License-Identifier: MIT */
#include "base/random.h"

#include <sys/random.h>

#include "base/check.h"

void random_bytes(void *p, size_t n)
{
	CHECK(n <= 256 && getrandom(p, n, 0) == (ssize_t)n);
}
