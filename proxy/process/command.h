/* SPDX-License-Identifier: MIT */
/* The command line, as the user wrote it.
 * Thread: main. Borrows: argv. Bounds: COMMAND_OPTIONS_MAX keys, COMMAND_TO_MAX bytes of URLs. */
#ifndef PROXY_PROCESS_COMMAND_H
#define PROXY_PROCESS_COMMAND_H

#include "base/check.h"
#include "config/config.h"

enum { COMMAND_OPTIONS_MAX = 16, COMMAND_TO_MAX = 4096 };

enum command_do {
	COMMAND_SERVE,
	COMMAND_CHECK, /* -t */
	COMMAND_DISK_CHECK,
	COMMAND_INIT, /* with arguments of its own */
	COMMAND_HELP,
	COMMAND_VERSION,
	COMMAND_HELP_CONFIG,
	COMMAND_PRINT_CONFIG,
};

struct command {
	enum command_do what;
	struct config_source source;
	const char *path;     /* of COMMAND_DISK_CHECK */
	bool strict, connect; /* of COMMAND_CHECK */
	/* private */
	struct config_option options[COMMAND_OPTIONS_MAX];
	struct buf to; /* the URLs of --to, as a list, with a NUL byte */
};

/* 0 and *out, which stays where it is, or -EINVAL after a sentence on standard error. */
int command_parse(int argc, char **argv, struct command *out) WARN_UNUSED;
void command_usage(FILE *to);

#endif
