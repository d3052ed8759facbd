/* SPDX-License-Identifier: MIT */
/* memoproxy: what the command line asks for. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "cache/disk/store.h"
#include "proxy/connection/tls.h"
#include "proxy/init/connect.h"
#include "proxy/init/init.h"
#include "proxy/process/command.h"
#include "proxy/process/server.h"

#define ERRORS_MAX (64 * 1024)

enum { EXIT_WARNED = 3 };

static int check_tls(const struct config_proxy *p)
{
	struct tls *tls = NULL;
	char why[TLS_WHY_MAX];
	bool needed = false;
	int err;

	for (unsigned i = 0; i < p->listen.n; i++)
		needed = needed || p->listen.v[i].tls;
	if (!needed)
		return 0;
	err = tls_new(p->tls_certificate.p, p->tls_key.p, &tls, why);
	if (err)
		fprintf(stderr, "memoproxy: TLS: %s\n", why);
	tls_free(&tls);
	return err;
}

static void tell_result(const char *file, unsigned warnings)
{
	if (warnings)
		printf("%s: no errors, %u warning%s\n", file, warnings, warnings == 1 ? "" : "s");
	else
		printf("%s: the configuration is fine\n", file);
}

static int check_config(const struct command *c)
{
	struct config *config;
	struct buf errors;
	unsigned warnings = 0;
	int err, silent = 0;

	buf_init(&errors, ERRORS_MAX);
	err = config_load(&c->source, &config, &errors);
	fprintf(stderr, "%.*s", SLICE_ARG(buf_slice(&errors)));
	if (!err) {
		err = check_tls(&config->proxy);
		warnings = config->warnings;
		if (!err && c->connect)
			silent = connect_to_all(config, stderr);
		config_unref(&config);
	}
	buf_fini(&errors);
	if (err || silent < 0)
		return EXIT_FAILURE;
	warnings += (unsigned)silent;
	tell_result(config_source_name(&c->source), warnings);
	return c->strict && warnings ? EXIT_WARNED : EXIT_SUCCESS;
}

static int serve(const struct command *c, char **argv)
{
	event_set_mem_functions(malloc, realloc, free); /* no calloc: see base/mem.c */
	return server_run(&c->source, argv);
}

int main(int argc, char **argv)
{
	static struct command c;

	if (command_parse(argc, argv, &c))
		return EXIT_FAILURE;
	switch (c.what) {
	case COMMAND_SERVE:
		return serve(&c, argv);
	case COMMAND_CHECK:
		return check_config(&c);
	case COMMAND_DISK_CHECK:
		return disk_check(c.path, stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	case COMMAND_INIT:
		return init_run(argc - 1, argv + 1);
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
