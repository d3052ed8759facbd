/* SPDX-License-Identifier: MIT */
#include "proxy/process/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "proxy/control/control.h"
#include "proxy/control/warm.h"
#include "proxy/init/init.h"
#include "proxy/process/check.h"
#include "proxy/process/completion.h"

enum {
	OPT_TO,
	OPT_KEYS = 8, /* so many are keys of the file */
	OPT_CONFIG = OPT_KEYS,
	OPT_TEST,
	OPT_STRICT,
	OPT_CONNECT,
	OPT_DEMO,
	OPT_HELP_CONFIG,
	OPT_PRINT_CONFIG,
	OPT_HELP,
	OPT_VERSION,
	OPT_COUNT,
};

/* All options of the server. The first are keys of the file, which know what they take and their defaults. */
static const struct arg args[OPT_COUNT] = {
	[OPT_TO] = {"to", '\0', "URL", "the API; several are origins of the same content"},
	{"listen", '\0', "ADDRESS:PORT", "where clients connect"},
	{"admin", '\0', "ADDRESS:PORT", "where operators connect, or off"},
	{"ttl", '\0', "TIME", "how long responses live whose API says nothing: 30s, 5m"},
	{"memory", '\0', "SIZE", "all memory for stored responses: 256M, 2G"},
	{"disk", '\0', "FOLDER", "a folder for what a restart shall keep"},
	{"workers", '\0', "NUMBER", "threads that serve clients"},
	{"access-log", '\0', "FILE", "a line for each request; - is standard output"},
	[OPT_CONFIG] = {"config", 'c', "FILE", "the configuration"},
	[OPT_TEST] = {"test", 't', NULL, "check the configuration"},
	[OPT_STRICT] = {"strict", '\0', NULL, "with -t: a warning is exit status 3"},
	[OPT_CONNECT] = {"connect", '\0', NULL, "with -t: does the API answer?"},
	[OPT_DEMO] = {"demo", '\0', NULL, "serve a slow API that comes along, to try it"},
	[OPT_HELP_CONFIG] = {"help-config", '\0', NULL, "every key with its type, range, default and meaning"},
	[OPT_PRINT_CONFIG] = {"print-config", '\0', NULL, "an annotated proxy.ini with every default"},
	[OPT_HELP] = {"help", 'h', NULL, "the usage"},
	[OPT_VERSION] = {"version", 'V', NULL, "the version, and those of the libraries"},
};

static const struct {
	const char *section, *key, *named;
} keys[OPT_KEYS] = {
	{"upstream", "url", "memoproxy: --to"},
	{"proxy", "listen", "memoproxy: --listen"},
	{"admin", "listen", "memoproxy: --admin"},
	{"defaults", "ttl", "memoproxy: --ttl"},
	{"cache", "memory", "memoproxy: --memory"},
	{"disk", "path", "memoproxy: --disk"},
	{"proxy", "workers", "memoproxy: --workers"},
	{"proxy", "access_log", "memoproxy: --access-log"},
};

/* ---- The words ---- */

static int run_completion(const struct word *self, int argc, char **argv);

static const struct arg completion_args[] = {{"help", 'h', NULL, "this"}};
static const struct word completion_word = {"completion", "bash|zsh|fish",
	"Prints what makes that shell complete all of this", completion_args, ARRAY_LEN(completion_args),
	run_completion, 0};

enum { WORDS_MAX = 24 };

/* In the order of the usage. How many. */
static unsigned all_words(const struct word *words[WORDS_MAX])
{
	unsigned n = 0;

	words[n++] = &init_word;
	words[n++] = &check_word;
	for (unsigned i = 0; i < control_words_n; i++)
		words[n++] = &control_words[i];
	words[n++] = &warm_word;
	words[n++] = &disk_check_word;
	words[n++] = &completion_word;
	return n;
}

static int run_completion(const struct word *self, int argc, char **argv)
{
	const struct word *words[WORDS_MAX];
	unsigned n = all_words(words);
	struct args a = args_of(self, argc, argv);
	int option = args_next(&a);
	char **left;

	if (option >= 0) {
		args_usage(self, stdout);
		return EXIT_SUCCESS;
	}
	if (option == ARGS_END && args_left(&a, &left) == 1 &&
		completion_print(left[0], &(struct completion){args, OPT_COUNT, words, n}, stdout))
		return EXIT_SUCCESS;
	if (option == ARGS_END)
		(void)args_refuse(&a, "one shell is wanted, bash, zsh or fish", "", NULL);
	return ARGS_EXIT;
}

void command_usage(FILE *to)
{
	const struct word *words[WORDS_MAX];
	unsigned n = all_words(words);

	fputs("usage: memoproxy --to URL [--listen ADDRESS:PORT] [--ttl TIME] ...   serve an API, without a file\n"
	      "       memoproxy [-c FILE]               serve what ./" CONFIG_HERE " says, or else " CONFIG_SYSTEM "\n"
	      "       memoproxy --demo                  serve a slow API that comes along, to try it\n"
	      "       memoproxy -t [-c FILE] [--strict] [--connect]   check the configuration. --strict: a warning is "
	      "exit status 3;\n"
	      "                                         --connect: does the API answer?\n"
	      "       memoproxy COMMAND ...             one of those below; COMMAND --help says more\n"
	      "       memoproxy --help-config           every key with its type, range, default and meaning\n"
	      "       memoproxy --print-config          an annotated proxy.ini with every default\n"
	      "       memoproxy -V | -h\n"
	      "\n"
	      "Commands:\n",
		to);
	for (unsigned i = 0; i < n; i++) {
		char word[40];

		snprintf(word, sizeof(word), "%s %s", words[i]->name, words[i]->arguments);
		fprintf(to, "  %-26s %s\n", word, words[i]->help);
	}
	fputs("\nOptions that stand in for keys of the file, and replace what it says:\n", to);
	for (unsigned i = 0; i < OPT_KEYS; i++) {
		char option[40];

		snprintf(option, sizeof(option), "--%s %s", args[i].name, args[i].value);
		fprintf(to, "  %-26s %s ([%s] %s)\n", option, args[i].help, keys[i].section, keys[i].key);
	}
}

/* ---- What is not understood ---- */

static const struct args of_server = {.who = "memoproxy", .how = "memoproxy -h", .table = args, .n = OPT_COUNT};

static int refuse(const char *what, const char *word, const char *before_near, const char *near)
{
	char whole[128];

	snprintf(whole, sizeof(whole), "%s%s", before_near, near ? near : "");
	return args_refuse(&of_server, what, word, near ? whole : NULL);
}

static const struct word *find_word(const char *name)
{
	const struct word *words[WORDS_MAX];
	unsigned n = all_words(words);

	for (unsigned i = 0; i < n; i++)
		if (strcmp(words[i]->name, name) == 0)
			return words[i];
	return NULL;
}

static int refuse_word(const char *word)
{
	const struct word *words[WORDS_MAX];
	unsigned n = all_words(words);
	const char *names[OPT_COUNT + WORDS_MAX], *near;

	if (find_word(word))
		return refuse("a command stands first, as in memoproxy ", word, "", NULL);
	for (unsigned i = 0; i < n; i++)
		names[i] = words[i]->name;
	near = nearest_word(slice_of(word), names, n);
	if (near)
		return refuse("no command is called ", word, "", near);
	if (strstr(word, "://"))
		return refuse("no command is called ", word, "--to ", word);
	for (unsigned i = 0; i < OPT_COUNT; i++)
		names[i] = args[i].name;
	return refuse("no command is called ", word, "--", nearest_word(slice_of(word), names, OPT_COUNT));
}

/* ---- What is understood ---- */

static int add_to(struct command *c, const char *url)
{
	if (c->to.n > 0)
		c->to.p[c->to.n - 1] = ' ';
	if (config_url_add(url, &c->to) == 0 && buf_add_char(&c->to, '\0') == 0)
		return 0;
	fputs("memoproxy: --to: too many URLs\n", stderr);
	return -EINVAL;
}

static int set_key(struct command *c, unsigned i, const char *value)
{
	struct config_option *to = NULL;

	_Static_assert(ARRAY_LEN(keys) <= COMMAND_OPTIONS_MAX, "room for each");
	if (i == OPT_TO && add_to(c, value))
		return -EINVAL;
	for (unsigned k = 0; k < c->source.options_n; k++)
		if (c->options[k].option == keys[i].named)
			to = &c->options[k];
	if (!to)
		to = &c->options[c->source.options_n++];
	*to = (struct config_option){keys[i].named, keys[i].section, keys[i].key, i == OPT_TO ? c->to.p : value};
	return 0;
}

static int take(struct command *c, int option, const char *value)
{
	switch (option) {
	case OPT_CONFIG:
		c->source.path = value;
		return 0;
	case OPT_TEST:
		c->what = COMMAND_CHECK;
		return 0;
	case OPT_VERSION:
		c->what = COMMAND_VERSION;
		return 0;
	case OPT_HELP:
		c->what = COMMAND_HELP;
		return 0;
	case OPT_DEMO:
		c->source.demo = true;
		return 0;
	case OPT_STRICT:
		c->strict = true;
		return 0;
	case OPT_CONNECT:
		c->connect = true;
		return 0;
	case OPT_HELP_CONFIG:
		c->what = COMMAND_HELP_CONFIG;
		return 0;
	case OPT_PRINT_CONFIG:
		c->what = COMMAND_PRINT_CONFIG;
		return 0;
	default:
		return option < 0 ? option : set_key(c, (unsigned)option, value);
	}
}

static bool has_to(const struct command *c)
{
	return c->to.n > 0;
}

/* The file that counts where none is named. */
static int find_file(struct command *c)
{
	if (c->source.path || c->source.demo || has_to(c))
		return 0;
	c->source.path = config_default_path();
	if (c->source.path)
		return 0;
	fputs("memoproxy: nothing says what to serve: there is no ./" CONFIG_HERE " and no " CONFIG_SYSTEM
	      ". One of these does:\n"
	      "  memoproxy --to http://localhost:3000    serves that API\n"
	      "  memoproxy init http://localhost:3000 -o proxy.ini    asks it, and writes a file\n"
	      "  memoproxy --demo                        serves one that comes along\n",
		stderr);
	return -ENOENT;
}

static int finish(struct command *c, const char *left)
{
	if (left)
		return refuse_word(left);
	if ((c->strict || c->connect) && c->what != COMMAND_CHECK)
		return refuse("without -t there is no ", c->strict ? "--strict" : "--connect", "", NULL);
	if (c->source.demo && has_to(c))
		return refuse("--demo brings an API along and takes no ", "--to", "", NULL);
	return c->what == COMMAND_SERVE || c->what == COMMAND_CHECK ? find_file(c) : 0;
}

int command_parse(int argc, char **argv, struct command *c)
{
	struct args a = of_server;
	char **left;
	int option, err = 0;

	memset(c, 0, sizeof(*c));
	buf_init(&c->to, COMMAND_TO_MAX);
	c->word = argc > 1 ? find_word(argv[1]) : NULL;
	if (c->word) {
		c->what = COMMAND_WORD;
		return 0;
	}
	a.argc = argc;
	a.argv = argv;
	if (argc > 1 && argv[1][0] != '-' && argv[1][0])
		return refuse_word(argv[1]); /* its options are its own */
	while (!err && (option = args_next(&a)) != ARGS_END)
		err = take(c, option, a.value);
	c->source.options = c->options;
	c->source.is_check = c->what == COMMAND_CHECK;
	return err ? err : finish(c, args_left(&a, &left) > 0 ? left[0] : NULL);
}
