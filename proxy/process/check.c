/* SPDX-License-Identifier: MIT */
#include "proxy/process/check.h"

#include <stdlib.h>

#include "cache/disk/store.h"
#include "proxy/connection/tls.h"
#include "proxy/control/control.h"
#include "proxy/init/connect.h"

enum { ERRORS_MAX = 64 << 10, EXIT_WARNED = 3 };

/* ---- The configuration ---- */

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

static void tell_result(const char *file, unsigned warnings, FILE *to)
{
	if (warnings)
		fprintf(to, "%s: no errors, %u warning%s\n", file, warnings, warnings == 1 ? "" : "s");
	else
		fprintf(to, "%s: the configuration is fine\n", file);
}

int check_config(const struct config_source *source, bool strict, bool connect, FILE *to)
{
	struct config *config;
	struct buf errors;
	unsigned warnings = 0;
	int err, silent = 0;

	buf_init(&errors, ERRORS_MAX);
	err = config_load(source, &config, &errors);
	fprintf(stderr, "%.*s", SLICE_ARG(buf_slice(&errors)));
	if (!err) {
		err = check_tls(&config->proxy);
		warnings = config->warnings;
		if (!err && connect)
			silent = connect_to_all(config, stderr);
		config_unref(&config);
	}
	buf_fini(&errors);
	if (err || silent < 0)
		return EXIT_FAILURE;
	warnings += (unsigned)silent;
	tell_result(config_source_name(source), warnings, to);
	return strict && warnings ? EXIT_WARNED : EXIT_SUCCESS;
}

/* ---- check ---- */

static const struct arg args[] = {CONTROL_ARGS};

/* The program's standard output is the admin side's answer where that is asked for. */
static int check(const struct control_order *o)
{
	const struct config_source source = {.path = o->file ? o->file : config_default_path(), .is_check = true};
	int status = source.path ? check_config(&source, false, false, o->json ? stderr : stdout) : EXIT_SUCCESS;

	return status ? status : control_check(o, source.path);
}

static int run_check(const struct word *self, int argc, char **argv)
{
	struct args a = args_of(self, argc, argv);
	struct control_order o = {.file = NULL};
	char **left;
	int option;

	while ((option = args_next(&a)) >= 0) {
		if (option == CONTROL_HELP) {
			args_usage(self, stdout);
			return EXIT_SUCCESS;
		}
		control_take(&o, option, a.value);
	}
	if (option == ARGS_END && args_left(&a, &left) > 0)
		option = args_refuse(&a, "this belongs to no option: ", left[0], NULL);
	return option == ARGS_END ? check(&o) : ARGS_EXIT;
}

const struct word check_word = {"check", "", "Checks the file as -t does, and whether the running proxy goes by it",
	args, ARRAY_LEN(args), run_check, 0};

/* ---- disk-check ---- */

static const struct arg disk_args[] = {{"help", 'h', NULL, "this"}};

static int run_disk_check(const struct word *self, int argc, char **argv)
{
	struct args a = args_of(self, argc, argv);
	int option = args_next(&a), n;
	char **left;

	if (option >= 0) {
		args_usage(self, stdout);
		return EXIT_SUCCESS;
	}
	n = args_left(&a, &left);
	if (option == ARGS_END && n == 0)
		option = args_refuse(&a, "a directory is missing", "", NULL);
	else if (option == ARGS_END && n > 1)
		option = args_refuse(&a, "one directory is enough: ", left[1], NULL);
	if (option != ARGS_END)
		return ARGS_EXIT;
	return disk_check(left[0], stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct word disk_check_word = {"disk-check", "PATH", "Verifies a disk tier's directory that no process uses",
	disk_args, ARRAY_LEN(disk_args), run_disk_check, 0};
