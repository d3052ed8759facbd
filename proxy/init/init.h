/* SPDX-License-Identifier: MIT */
/* `memoproxy init URL [PATH...]`: asks an API a few paths and writes a proxy.ini of what it says.
 * Thread: main; it blocks. Bounds: INIT_CALLS_MAX calls. */
#ifndef PROXY_INIT_INIT_H
#define PROXY_INIT_INIT_H

#include "base/args.h"

enum { INIT_CALLS_MAX = 400, INIT_FIELDS_MAX = 16 };

extern const struct word init_word;

#endif
