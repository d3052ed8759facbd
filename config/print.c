/* SPDX-License-Identifier: MIT */
/* What options.def says, for people. */
#include <string.h>

#include "config/build.h"

#define DEMO_URL_LINE "url = http://127.0.0.1:8082\n"

enum { DESCRIPTION_MAX = 256, COLUMNS = 110 };

/* One sentence, words wrapped, each line behind `lead`; '|' begins a new line. */
static void print_wrapped(FILE *to, const char *lead, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t word = strcspn(text, " |");

		if (column == 0 || column + 1 + word > COLUMNS) {
			fprintf(to, "%s%s%.*s", column ? "\n" : "", lead, (int)word, text);
			column = strlen(lead) + word;
		} else {
			fprintf(to, " %.*s", (int)word, text);
			column += 1 + word;
		}
		text += word;
		if (*text == '|') {
			fputc('\n', to);
			column = 0;
		}
		text += *text != '\0';
	}
	fputc('\n', to);
}

static void print_values(FILE *to, const struct option *o)
{
	struct buf text;

	buf_init(&text, DESCRIPTION_MAX);
	if (option_describe(o, &text) == 0)
		fprintf(to, "%.*s", SLICE_ARG(buf_slice(&text)));
	buf_fini(&text);
}

static void print_option_reference(FILE *to, const struct option *o)
{
	fprintf(to, "  %s = %s    (", o->key, o->default_text);
	print_values(to, o);
	fputs(")\n", to);
	print_wrapped(to, "      ", o->help);
}

void config_print_reference(FILE *to)
{
	fputs("Durations are a number and ms, s, m, h or d; sizes a number and K, M or G (powers of 1024).\n"
	      "Lists are separated by commas or spaces. Below: key = default (values).\n",
		to);
	for (unsigned i = 0; i < options_n; i++) {
		if (i == 0 || options[i].section != options[i - 1].section)
			fprintf(to, "\n%s\n", option_section_title(options[i].section));
		print_option_reference(to, &options[i]);
	}
}

/* ---- proxy.ini ---- */

static const char ini_head[] =
	"# memoproxy's configuration. What stands behind a # without a space is a key with its default: take the\n"
	"# # away to change it. memoproxy -t checks the file; SIGHUP or POST /reload loads it anew.\n"
	"#\n"
	"# Durations are a number and ms, s, m, h or d; sizes a number and K, M or G (powers of 1024). Lists are\n"
	"# separated by commas or spaces. A comment has a line of its own. Paths of files are relative to the\n"
	"# directory in which memoproxy was started.\n";

static const char upstream_note[] = "# [upstream NAME] sets up another origin for routes to name; it needs a url, and "
				    "takes what it does not set from here.\n";

static const char defaults_note[] = "# What every route begins with, and what requests that no route matches get.\n";

const char config_demo_upstream[] = "[upstream]\n" DEMO_URL_LINE;

const char config_demo_routes[] =
	"# Routes. The first one in the file that matches wins; it takes what it does not set "
	"from [defaults]. These are for\n"
	"# the API of `memoproxy --demo`: users hardly change, comments do all the time, and "
	"a change to a post shows at once.\n"
	"\n"
	"[route users]\n"
	"match = /users*\n"
	"ttl = 10m\n"
	"stale_while_revalidate = 1m\n"
	"stale_if_error = 1h\n"
	"invalidates = /users*\n"
	"\n"
	"[route post]\n"
	"match = /posts/{id}\n"
	"ttl = 1m\n"
	"invalidates = /posts/{id}, /posts, /posts?*\n"
	"\n"
	"[route posts]\n"
	"match = /posts*\n"
	"ttl = 30s\n"
	"query = sort\n"
	"invalidates = /posts*\n"
	"\n"
	"[route comments]\n"
	"match = /comments*\n"
	"ttl = 5s\n"
	"query = sort\n"
	"invalidates = /comments*\n";

static void print_option_ini(FILE *to, const struct option *o)
{
	fputc('\n', to);
	print_wrapped(to, "# ", o->help);
	fputs("# (", to);
	print_values(to, o);
	if (o->type == TYPE_URL) { /* has no default: without one there is nothing to serve */
		fputs(")\n" DEMO_URL_LINE, to);
		return;
	}
	fprintf(to, ")\n#%s =%s%s\n", o->type == TYPE_STATUS_TTL ? "ttl_404" : o->key, *o->default_text ? " " : "",
		o->default_text);
}

static void print_section_ini(FILE *to, enum option_section section)
{
	if (section == SECTION_UPSTREAM)
		fputs(upstream_note, to);
	if (section == SECTION_ROUTE)
		fputs(defaults_note, to);
	fprintf(to, "%s\n", option_section_title(section));
	for (unsigned i = 0; i < options_n; i++)
		if (options[i].section == section)
			print_option_ini(to, &options[i]);
	fputc('\n', to);
}

/* The keys of a route alone stand before the routes, as comments that no uncommenting by accident makes a key of. */
static void print_match_keys(FILE *to)
{
	for (unsigned i = 0; i < options_n; i++) {
		if (options[i].section != SECTION_MATCH)
			continue;
		fprintf(to, "# %s =%s%s\n", options[i].key, *options[i].default_text ? " " : "",
			options[i].default_text);
		print_wrapped(to, "#     ", options[i].help);
	}
	fputs("#\n", to);
}

void config_print_ini(FILE *to)
{
	fprintf(to, "%s\n", ini_head);
	for (unsigned i = 0; i < SECTION_COUNT; i++)
		if (i != SECTION_MATCH)
			print_section_ini(to, (enum option_section)i);
	fputs("# A [route NAME] takes all keys of [defaults] and these:\n#\n", to);
	print_match_keys(to);
	fputs(config_demo_routes, to);
}
