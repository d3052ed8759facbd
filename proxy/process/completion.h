/* SPDX-License-Identifier: MIT */
/* Scripts by which shells complete the command line, made of its own tables.
 * Thread: main. */
#ifndef PROXY_PROCESS_COMPLETION_H
#define PROXY_PROCESS_COMPLETION_H

#include <stdbool.h>

#include "base/args.h"

struct completion {
	const struct arg *args; /* where no word is given */
	unsigned args_n;
	const struct word *const *words;
	unsigned words_n;
};

/* False: no such shell. */
bool completion_print(const char *shell, const struct completion *c, FILE *to);

#endif
