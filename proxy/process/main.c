/* SPDX-License-Identifier: MIT */
/* memoproxy: what the command line asks for. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "proxy/process/check.h"
#include "proxy/process/command.h"
#include "proxy/process/server.h"

static int serve(const struct command *c, char **argv)
{
	log_init();
	event_set_mem_functions(malloc, realloc, free); /* no calloc: see base/mem.c */
	return server_run(&c->source, argv);
}

int main(int argc, char **argv)
{
	static struct command c;
	int err = command_parse(argc, argv, &c);

	if (err)
		return err == -EINVAL ? ARGS_EXIT : EXIT_FAILURE;
	switch (c.what) {
	case COMMAND_SERVE:
		return serve(&c, argv);
	case COMMAND_CHECK:
		return check_config(&c.source, c.strict, c.connect, stdout);
	case COMMAND_WORD:
		return c.word->run(c.word, argc - 1, argv + 1);
	case COMMAND_HELP:
		command_usage(stdout);
		break;
	case COMMAND_VERSION:
		printf("memoproxy %s (libevent %s, %s)\n", MEMOPROXY_VERSION, event_get_version(), upstream_library());
		break;
	case COMMAND_HELP_CONFIG:
		config_print_reference(stdout);
		break;
	case COMMAND_PRINT_CONFIG:
		config_print_ini(stdout);
		break;
	}
	return EXIT_SUCCESS;
}
