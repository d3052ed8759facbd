/* SPDX-License-Identifier: MIT */
/* The words and options of the command line, as tables: from one of them come its reading, what is said of a misspelt option, the
 * usage and the shells' completions.
 * Thread: main (getopt_long has its state). Borrows: argv and the tables. Bounds: ARGS_MAX options of a word. */
#ifndef BASE_ARGS_H
#define BASE_ARGS_H

#include <stdio.h>

#include "base/check.h"

enum { ARGS_MAX = 40, ARGS_EXIT = 2 /* the exit status of a command line that is not understood */ };

/* One option. */
struct arg {
	const char *name; /* without its dashes */
	char letter;      /* a name of one letter beside it; 0: it has none */
	const char *
		value; /* what it takes, for the usage and for completion: "FILE", "FOLDER", words with | between; NULL: nothing */
	const char *help; /* a line, without a full stop */
};

/* A word that stands first on the command line and has options of its own. */
struct word {
	const char *name, *arguments; /* what else it takes, for the usage: "URL [PATH...]"; empty: options alone */
	const char *help;
	const struct arg *args;
	unsigned args_n;
	/* argv[0] is the word. The exit status of the program. */
	int (*run)(const struct word *self, int argc, char **argv);
	int what; /* its own, for words that share `run` */
};

enum { ARGS_NAME_MAX = 64 };

struct args {
	int argc;
	char **argv;
	char who[ARGS_NAME_MAX]; /* what a refusal begins with: "memoproxy: init" */
	char how[ARGS_NAME_MAX]; /* and where it says the usage is shown: "memoproxy init --help" */
	const struct arg *table;
	unsigned n;
	const char *value; /* of the option that was read last */
};

/* Of a word. */
struct args args_of(const struct word *w, int argc, char **argv);
/* The next option's index in the table, ARGS_END, or -EINVAL after a sentence on standard error, in which no value stands. */
enum { ARGS_END = -1 };
int args_next(struct args *a) WARN_UNUSED;
/* Behind the options, once args_next said ARGS_END: how many, and *left. */
int args_left(const struct args *a, char ***left);
/* A sentence on standard error, with the nearest known word where `near` is one. Returns -EINVAL. */
int args_refuse(const struct args *a, const char *what, const char *word, const char *near);
/* What `memoproxy WORD --help` says. */
void args_usage(const struct word *w, FILE *to);
/* Two columns: "  -o, --output FILE   where to". */
void args_print(const struct arg *table, unsigned n, FILE *to);

#endif
