/* SPDX-License-Identifier: MIT */
/* memoproxy: the command line. */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "cache/disk/store.h"
#include "config/config.h"
#include "proxy/process/privacy.h"
#include "proxy/process/server.h"
#include "proxy/front/tls.h"

#define ERRORS_MAX (64 * 1024)

static void usage(FILE *to)
{
	fputs("usage: memoproxy [-c proxy.ini] [--demo]   serve in the foreground\n"
	      "       memoproxy -t [-c proxy.ini]         check the configuration\n"
	      "       memoproxy --help-config             every key with its type, range, default and meaning\n"
	      "       memoproxy --print-config            an annotated proxy.ini with every default\n"
	      "       memoproxy disk-check PATH           verify a disk tier's directory that no process uses\n"
	      "       memoproxy -V | -h\n",
		to);
}

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

static void warn(const char *sentence)
{
	fprintf(stderr, "memoproxy: warning: %s\n", sentence);
}

static int check_config(const char *path)
{
	struct config *config;
	struct buf errors;
	int err;

	buf_init(&errors, ERRORS_MAX);
	err = config_load(path, &config, &errors);
	fprintf(stderr, "%.*s", SLICE_ARG(buf_slice(&errors)));
	if (!err) {
		err = check_tls(&config->proxy);
		privacy_look(config, path, warn);
		config_unref(&config);
	}
	if (!err)
		printf("%s: the configuration is fine\n", path);
	buf_fini(&errors);
	return err ? 1 : 0;
}

static int check_disk(const char *path)
{
	return disk_check(path, stdout) ? 1 : 0;
}

enum { OPT_DEMO = 256, OPT_HELP_CONFIG, OPT_PRINT_CONFIG };

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"demo", no_argument, NULL, OPT_DEMO},
		{"help-config", no_argument, NULL, OPT_HELP_CONFIG},
		{"print-config", no_argument, NULL, OPT_PRINT_CONFIG},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{"config", required_argument, NULL, 'c'},
		{"test", no_argument, NULL, 't'},
		{NULL, 0, NULL, 0},
	};
	const char *path = "proxy.ini";
	bool check = false, demo = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:tVh", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case 't':
			check = true;
			break;
		case 'V':
			printf("memoproxy %s (libevent %s, %s)\n", MEMOPROXY_VERSION, event_get_version(),
				upstream_library());
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		case OPT_DEMO:
			demo = true;
			break;
		case OPT_HELP_CONFIG:
			config_print_reference(stdout);
			return 0;
		case OPT_PRINT_CONFIG:
			config_print_ini(stdout);
			return 0;
		default:
			usage(stderr);
			return 1;
		}
	}
	if (argc == 3 && strcmp(argv[1], "disk-check") == 0)
		return check_disk(argv[2]);
	if (optind < argc) {
		usage(stderr);
		return 1;
	}
	if (check)
		return check_config(path);
	event_set_mem_functions(malloc, realloc, free); /* no calloc: see base/mem.c */
	return server_run(path, demo, argv);
}
