/* SPDX-License-Identifier: MIT */
/* Which bytes are text.
 * Thread: any; pure. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/slice.h"

/* Length of the well-formed character of two or more bytes that s, which is not empty, begins with (RFC 3629 4), or 0. */
size_t utf8_length(struct slice s);

#endif
