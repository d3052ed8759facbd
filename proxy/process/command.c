/* SPDX-License-Identifier: MIT */
#include "proxy/process/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"

#define HERE "proxy.ini"
#define SYSTEM "/etc/memoproxy/proxy.ini"

/* Options that are keys of the file come from this table alone; each is one of its keys, which knows what it takes and its default. */
static const struct {
	const char *name, *section, *key, *value, *help;
} keys[] = {
	{"to", "upstream", "url", "URL", "the API; several are origins of the same content"},
	{"listen", "proxy", "listen", "ADDRESS:PORT", "where clients connect"},
	{"admin", "admin", "listen", "ADDRESS:PORT", "where operators connect, or off"},
	{"ttl", "defaults", "ttl", "TIME", "how long responses live whose API says nothing: 30s, 5m"},
	{"memory", "cache", "memory", "SIZE", "all memory for stored responses: 256M, 2G"},
	{"disk", "disk", "path", "FOLDER", "a folder for what a restart shall keep"},
	{"workers", "proxy", "workers", "NUMBER", "threads that serve clients"},
	{"access-log", "proxy", "access_log", "FILE", "a line for each request; - is standard output"},
};

enum { OPT_KEYS = 256, OPT_DEMO = 512, OPT_HELP_CONFIG, OPT_PRINT_CONFIG, OPT_STRICT, OPT_CONNECT };

static const struct option others[] = {
	{"config", required_argument, NULL, 'c'},
	{"test", no_argument, NULL, 't'},
	{"strict", no_argument, NULL, OPT_STRICT},
	{"connect", no_argument, NULL, OPT_CONNECT},
	{"demo", no_argument, NULL, OPT_DEMO},
	{"help-config", no_argument, NULL, OPT_HELP_CONFIG},
	{"print-config", no_argument, NULL, OPT_PRINT_CONFIG},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
};

static const char *const words[] = {"disk-check", "init"};

enum { NAMES = ARRAY_LEN(keys) + ARRAY_LEN(others) };

void command_usage(FILE *to)
{
	fputs("usage: memoproxy --to URL [--listen ADDRESS:PORT] [--ttl TIME] ...   serve an API, without a file\n"
	      "       memoproxy [-c FILE]               serve what ./" HERE " says, or else " SYSTEM "\n"
	      "       memoproxy --demo                  serve a slow API that comes along, to try it\n"
	      "       memoproxy -t [-c FILE] [--strict] [--connect]   check the configuration. --strict: a warning is "
	      "exit status 3;\n"
	      "                                         --connect: does the API answer?\n"
	      "       memoproxy init URL [PATH...]      ask an API a few paths and write a proxy.ini; init --help says "
	      "more\n"
	      "       memoproxy --help-config           every key with its type, range, default and meaning\n"
	      "       memoproxy --print-config          an annotated proxy.ini with every default\n"
	      "       memoproxy disk-check PATH         verify a disk tier's directory that no process uses\n"
	      "       memoproxy -V | -h\n"
	      "\n"
	      "Options that stand in for keys of the file, and replace what it says:\n",
		to);
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
		char option[40];

		snprintf(option, sizeof(option), "--%s %s", keys[i].name, keys[i].value);
		fprintf(to, "  %-24s %s ([%s] %s)\n", option, keys[i].help, keys[i].section, keys[i].key);
	}
}

/* ---- What is not understood ---- */

static int refuse(const char *what, const char *word, const char *near, const char *dashes)
{
	fprintf(stderr, "memoproxy: %s %s%s%s%s%s (memoproxy -h shows the usage)\n", what, word, near ? "; is it " : "",
		near ? dashes : "", near ? near : "", near ? "?" : "");
	return -EINVAL;
}

static void all_names(const char *names[NAMES])
{
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		names[i] = keys[i].name;
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		names[ARRAY_LEN(keys) + i] = others[i].name;
}

/* "--nam=value", of which the value may be a secret. */
static int refuse_option(const char *option)
{
	const char *names[NAMES];
	char shown[64];
	struct slice name = {option, strcspn(option, "=")};

	all_names(names);
	snprintf(shown, sizeof(shown), "%.*s", SLICE_ARG(name));
	while (name.n > 0 && name.p[0] == '-') {
		name.p++;
		name.n--;
	}
	return refuse("no option is called", shown, nearest_word(name, names, NAMES), "--");
}

static int refuse_word(const char *word)
{
	const char *names[NAMES];
	const char *near = nearest_word(slice_of(word), words, ARRAY_LEN(words));

	all_names(names);
	if (near)
		return refuse("no command is called", word, near, "");
	if (strstr(word, "://"))
		return refuse("no command is called", word, word, "--to ");
	return refuse("no command is called", word, nearest_word(slice_of(word), names, NAMES), "--");
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
	static const char *const named[] = {"memoproxy: --to", "memoproxy: --listen", "memoproxy: --admin",
		"memoproxy: --ttl", "memoproxy: --memory", "memoproxy: --disk", "memoproxy: --workers",
		"memoproxy: --access-log"};
	struct config_option *to = NULL;

	_Static_assert(ARRAY_LEN(named) == ARRAY_LEN(keys), "a name for each");
	_Static_assert(ARRAY_LEN(keys) <= COMMAND_OPTIONS_MAX, "room for each");
	if (i == 0 && add_to(c, value))
		return -EINVAL;
	for (unsigned k = 0; k < c->source.options_n; k++)
		if (c->options[k].option == named[i])
			to = &c->options[k];
	if (!to)
		to = &c->options[c->source.options_n++];
	*to = (struct config_option){named[i], keys[i].section, keys[i].key, i == 0 ? c->to.p : value};
	return 0;
}

static int take(struct command *c, int option, char *const *argv)
{
	switch (option) {
	case 'c':
		c->source.path = optarg;
		return 0;
	case 't':
		c->what = COMMAND_CHECK;
		return 0;
	case 'V':
		c->what = COMMAND_VERSION;
		return 0;
	case 'h':
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
	case ':':
		return refuse("a value is missing after", argv[optind - 1], NULL, "");
	case '?':
		if (optopt > 0 && optopt < OPT_KEYS)
			return refuse("no option is called", (char[]){'-', (char)optopt, '\0'}, NULL, "");
		return refuse_option(argv[optind - 1]);
	default:
		return set_key(c, (unsigned)(option - OPT_KEYS), optarg);
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
	if (access(HERE, F_OK) == 0)
		c->source.path = HERE;
	else if (access(SYSTEM, F_OK) == 0)
		c->source.path = SYSTEM;
	if (c->source.path)
		return 0;
	fputs("memoproxy: nothing says what to serve: there is no ./" HERE " and no " SYSTEM ". One of these does:\n"
	      "  memoproxy --to http://localhost:3000    serves that API\n"
	      "  memoproxy init http://localhost:3000 -o proxy.ini    asks it, and writes a file\n"
	      "  memoproxy --demo                        serves one that comes along\n",
		stderr);
	return -EINVAL;
}

static int finish(struct command *c, int words_n, char *const *left)
{
	if (words_n == 2 && strcmp(left[0], words[0]) == 0) {
		c->what = COMMAND_DISK_CHECK;
		c->path = left[1];
		return 0;
	}
	if (words_n == 1 && strcmp(left[0], words[0]) == 0)
		return refuse("a directory is missing after", left[0], NULL, "");
	if (words_n > 0)
		return refuse_word(left[0]);
	if ((c->strict || c->connect) && c->what != COMMAND_CHECK)
		return refuse("without -t there is no", c->strict ? "--strict" : "--connect", NULL, "");
	if (c->source.demo && has_to(c))
		return refuse("--demo brings an API along and takes no", "--to", NULL, "");
	return c->what == COMMAND_SERVE || c->what == COMMAND_CHECK ? find_file(c) : 0;
}

int command_parse(int argc, char **argv, struct command *c)
{
	struct option options[NAMES + 1] = {{NULL, 0, NULL, 0}};
	int option, err = 0;

	memset(c, 0, sizeof(*c));
	buf_init(&c->to, COMMAND_TO_MAX);
	if (argc > 1 && strcmp(argv[1], words[1]) == 0) {
		c->what = COMMAND_INIT;
		return 0;
	}
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		options[i] = (struct option){keys[i].name, required_argument, NULL, OPT_KEYS + (int)i};
	memcpy(&options[ARRAY_LEN(keys)], others, sizeof(others));
	opterr = 0;
	while (!err && (option = getopt_long(argc, argv, ":c:tVh", options, NULL)) != -1)
		err = take(c, option, argv);
	c->source.options = c->options;
	c->source.is_check = c->what == COMMAND_CHECK;
	return err ? err : finish(c, argc - optind, argv + optind);
}
