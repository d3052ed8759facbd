/* SPDX-License-Identifier: MIT */
#include "base/args.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "base/nearest.h"

enum { FIRST = 256 }; /* what getopt_long returns for the table's first option: no letter */

int args_refuse(const struct args *a, const char *what, const char *word, const char *near)
{
	fprintf(stderr, "%s: %s%s%s%s%s (%s shows the usage)\n", a->who, what, word, near ? "; is it " : "",
		near ? near : "", near ? "?" : "", a->how);
	return -EINVAL;
}

/* "--nam=value", of which the value may be a secret. */
static int refuse_name(const struct args *a, const char *option)
{
	const char *names[ARGS_MAX], *nearest;
	char shown[64], near[68];

	for (unsigned i = 0; i < a->n; i++)
		names[i] = a->table[i].name;
	snprintf(shown, sizeof(shown), "%.*s", (int)strcspn(option, "="), option);
	nearest = nearest_word(slice_of(shown + strspn(shown, "-")), names, a->n);
	snprintf(near, sizeof(near), "--%s", nearest ? nearest : "");
	return args_refuse(a, "no option is called ", shown, nearest ? near : NULL);
}

static int refuse(const struct args *a, int how)
{
	const char *option = a->argv[optind - 1];

	if (how == ':')
		return args_refuse(a, "a value is missing after ", option, NULL);
	if (optopt >= FIRST) /* a known one, with a value that it does not take */
		return args_refuse(a, "no value belongs to --", a->table[optopt - FIRST].name, NULL);
	if (optopt > 0)
		return args_refuse(a, "no option is called -", (char[]){(char)optopt, '\0'}, NULL);
	return refuse_name(a, option);
}

static void make_options(const struct args *a, struct option *options, char *letters)
{
	unsigned n = 0;

	letters[n++] = ':';
	for (unsigned i = 0; i < a->n; i++) {
		const struct arg *one = &a->table[i];

		options[i] =
			(struct option){one->name, one->value ? required_argument : no_argument, NULL, FIRST + (int)i};
		if (!one->letter)
			continue;
		letters[n++] = one->letter;
		if (one->value)
			letters[n++] = ':';
	}
	letters[n] = '\0';
	options[a->n] = (struct option){NULL, 0, NULL, 0};
}

int args_next(struct args *a)
{
	struct option options[ARGS_MAX + 1];
	char letters[2 * ARGS_MAX + 2];
	int option;

	CHECK(a->n <= ARGS_MAX);
	make_options(a, options, letters);
	opterr = 0;
	option = getopt_long(a->argc, a->argv, letters, options, NULL);
	a->value = optarg;
	if (option == -1)
		return ARGS_END;
	if (option == ':' || option == '?')
		return refuse(a, option);
	for (unsigned i = 0; i < a->n; i++)
		if (option == FIRST + (int)i || option == a->table[i].letter)
			return (int)i;
	return -EINVAL;
}

struct args args_of(const struct word *w, int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv, .table = w->args, .n = w->args_n};

	snprintf(a.who, sizeof(a.who), "memoproxy: %s", w->name);
	snprintf(a.how, sizeof(a.how), "memoproxy %s --help", w->name);
	return a;
}

int args_left(const struct args *a, char ***left)
{
	*left = a->argv + optind;
	return a->argc - optind;
}

void args_print(const struct arg *table, unsigned n, FILE *to)
{
	for (unsigned i = 0; i < n; i++) {
		char left[64], letter[8] = "";

		if (table[i].letter)
			snprintf(letter, sizeof(letter), "-%c, ", table[i].letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, table[i].name, table[i].value ? " " : "",
			table[i].value ? table[i].value : "");
		fprintf(to, "  %-28s %s\n", left, table[i].help);
	}
}

void args_usage(const struct word *w, FILE *to)
{
	fprintf(to, "usage: memoproxy %s%s%s%s\n%s.\n", w->name, *w->arguments ? " " : "", w->arguments,
		w->args_n ? " [OPTION]..." : "", w->help);
	args_print(w->args, w->args_n, to);
}
