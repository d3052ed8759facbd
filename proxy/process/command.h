/* SPDX-License-Identifier: MIT */
/* The command line, as the user wrote it.
 * Thread: main. Borrows: argv. Bounds: COMMAND_OPTIONS_MAX keys, COMMAND_TO_MAX bytes of URLs. */
#ifndef PROXY_PROCESS_COMMAND_H
#define PROXY_PROCESS_COMMAND_H

#include "base/args.h"
#include "base/check.h"
#include "config/config.h"

enum { COMMAND_OPTIONS_MAX = 16, COMMAND_TO_MAX = 4096 };

enum command_do {
	COMMAND_SERVE,
	COMMAND_CHECK, /* -t */
	COMMAND_WORD,  /* which reads the rest by itself */
	COMMAND_HELP,
	COMMAND_VERSION,
	COMMAND_HELP_CONFIG,
	COMMAND_PRINT_CONFIG,
};

struct command {
	enum command_do what;
	struct config_source source;
	const struct word *word; /* of COMMAND_WORD */
	bool strict, connect;    /* of COMMAND_CHECK */
	/* private */
	struct config_option options[COMMAND_OPTIONS_MAX];
	struct buf to; /* the URLs of --to, as a list, with a NUL byte */
};

/* 0 and *out, which stays where it is. After a sentence on standard error: -EINVAL, it is not understood; -ENOENT, there is nothing
 * to serve. */
int command_parse(int argc, char **argv, struct command *out) WARN_UNUSED;
void command_usage(FILE *to);

#endif
