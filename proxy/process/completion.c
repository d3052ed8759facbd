/* SPDX-License-Identifier: MIT */
#include "proxy/process/completion.h"

#include <string.h>

/* What stands for a value says how it is completed. */
enum kind { FILES, FOLDERS, WORDS, ANYTHING };

static enum kind kind_of(const char *value)
{
	if (strchr(value, '|'))
		return WORDS;
	if (strcmp(value, "FOLDER") == 0 || strcmp(value, "PATH") == 0)
		return FOLDERS;
	return strcmp(value, "FILE") == 0 ? FILES : ANYTHING;
}

/* "memory|disk" as "memory disk". */
static void print_words(const char *value, FILE *to)
{
	for (; *value; value++)
		putc(*value == '|' ? ' ' : *value, to);
}

/* Inside of single quotes; `special` are characters that the shell's completion wants a backslash before. */
static void print_quoted(const char *text, const char *quote, const char *special, FILE *to)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs(quote, to);
		else
			fprintf(to, "%s%c", strchr(special, *text) ? "\\" : "", *text);
	}
}

/* ---- bash ---- */

static void bash_names(const struct arg *args, unsigned n, FILE *to)
{
	for (unsigned i = 0; i < n; i++)
		fprintf(to, "%s--%s", i ? " " : "", args[i].name);
}

static void bash_reply(const char *value, FILE *to)
{
	switch (kind_of(value)) {
	case FILES:
		fputs("_memoproxy_files -f", to);
		break;
	case FOLDERS:
		fputs("_memoproxy_files -d", to);
		break;
	case WORDS:
		fputs("mapfile -t COMPREPLY < <(compgen -W '", to);
		print_words(value, to);
		fputs("' -- \"$cur\")", to);
		break;
	case ANYTHING:
		putc(':', to);
		break;
	}
}

/* A case for each option with a value, by its word and the option before the cursor. */
static void bash_values(const char *word, const struct arg *args, unsigned n, FILE *to)
{
	for (unsigned i = 0; i < n; i++) {
		if (!args[i].value)
			continue;
		fprintf(to, "\t'%s --%s'", word, args[i].name);
		if (args[i].letter)
			fprintf(to, " | '%s -%c'", word, args[i].letter);
		fputs(") ", to);
		bash_reply(args[i].value, to);
		fputs("; return ;;\n", to);
	}
}

static void print_bash(const struct completion *c, FILE *to)
{
	fputs("# memoproxy(8) in bash; made by: memoproxy completion bash\n"
	      "_memoproxy_files() {\n"
	      "\tcompopt -o filenames 2>/dev/null\n"
	      "\tmapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n"
	      "}\n"
	      "_memoproxy() {\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} word= options\n"
	      "\tCOMPREPLY=()\n"
	      "\t((COMP_CWORD < 2)) || word=${COMP_WORDS[1]}\n"
	      "\tcase $word in\n",
		to);
	for (unsigned i = 0; i < c->words_n; i++) {
		fprintf(to, "\t%s) options='", c->words[i]->name);
		bash_names(c->words[i]->args, c->words[i]->args_n, to);
		fputs("' ;;\n", to);
	}
	fputs("\t*) word= options='", to);
	bash_names(c->args, c->args_n, to);
	fputs("' ;;\n\tesac\n\tcase \"$word $before\" in\n", to);
	bash_values("", c->args, c->args_n, to);
	for (unsigned i = 0; i < c->words_n; i++)
		bash_values(c->words[i]->name, c->words[i]->args, c->words[i]->args_n, to);
	fputs("\tesac\n"
	      "\tif [[ $cur == -* ]]; then\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tif ((COMP_CWORD == 1)); then\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -W '",
		to);
	for (unsigned i = 0; i < c->words_n; i++)
		fprintf(to, "%s%s", i ? " " : "", c->words[i]->name);
	fputs("' -- \"$cur\")\n\t\treturn\n\tfi\n\tcase $word in\n", to);
	for (unsigned i = 0; i < c->words_n; i++) {
		if (kind_of(c->words[i]->arguments) == ANYTHING)
			continue;
		fprintf(to, "\t%s) ", c->words[i]->name);
		bash_reply(c->words[i]->arguments, to);
		fputs(" ;;\n", to);
	}
	fputs("\tesac\n}\ncomplete -F _memoproxy memoproxy\n", to);
}

/* ---- zsh ---- */

static void zsh_action(const char *value, FILE *to)
{
	switch (kind_of(value)) {
	case FILES:
		fputs("_files", to);
		break;
	case FOLDERS:
		fputs("_files -/", to);
		break;
	case WORDS:
		putc('(', to);
		print_words(value, to);
		putc(')', to);
		break;
	case ANYTHING:
		putc(' ', to);
		break;
	}
}

static void zsh_option(const struct arg *a, const char *dashes, const char *name, FILE *to)
{
	fprintf(to, " \\\n\t\t'%s%s[", dashes, name);
	print_quoted(a->help, "'\\''", "[]:\\", to);
	putc(']', to);
	if (a->value) {
		fputs(":value:", to);
		zsh_action(a->value, to);
	}
	putc('\'', to);
}

static void zsh_options(const struct arg *args, unsigned n, FILE *to)
{
	fputs("_arguments", to);
	for (unsigned i = 0; i < n; i++) {
		zsh_option(&args[i], "--", args[i].name, to);
		if (args[i].letter)
			zsh_option(&args[i], "-", (char[]){args[i].letter, '\0'}, to);
	}
}

static void print_zsh(const struct completion *c, FILE *to)
{
	fputs("#compdef memoproxy\n"
	      "# memoproxy(8) in zsh; made by: memoproxy completion zsh\n"
	      "_memoproxy() {\n"
	      "\tlocal -a commands\n"
	      "\tcommands=(",
		to);
	for (unsigned i = 0; i < c->words_n; i++) {
		fprintf(to, "\n\t\t'%s:", c->words[i]->name);
		print_quoted(c->words[i]->help, "'\\''", ":\\", to);
		putc('\'', to);
	}
	fputs("\n\t)\n"
	      "\tif ((CURRENT == 2)) && [[ $words[2] != -* ]]; then\n"
	      "\t\t_describe command commands\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tcase $words[2] in\n",
		to);
	for (unsigned i = 0; i < c->words_n; i++) {
		fprintf(to, "\t%s)\n\t\tshift words\n\t\t((CURRENT--))\n\t\t", c->words[i]->name);
		zsh_options(c->words[i]->args, c->words[i]->args_n, to);
		if (*c->words[i]->arguments) {
			fputs(" \\\n\t\t'*:argument:", to);
			zsh_action(c->words[i]->arguments, to);
			putc('\'', to);
		}
		fputs("\n\t\t;;\n", to);
	}
	fputs("\t*)\n\t\t", to);
	zsh_options(c->args, c->args_n, to);
	fputs("\n\t\t;;\n\tesac\n}\n"
	      "if [[ $funcstack[1] == _memoproxy ]]; then\n"
	      "\t_memoproxy \"$@\"\n"
	      "else\n"
	      "\tcompdef _memoproxy memoproxy\n"
	      "fi\n",
		to);
}

/* ---- fish ---- */

static void fish_value(const char *value, FILE *to)
{
	switch (kind_of(value)) {
	case FILES:
		fputs(" -r -F", to);
		break;
	case FOLDERS:
		fputs(" -x -a '(__fish_complete_directories)'", to);
		break;
	case WORDS:
		fputs(" -x -a '", to);
		print_words(value, to);
		putc('\'', to);
		break;
	case ANYTHING:
		fputs(" -x", to);
		break;
	}
}

static void fish_options(const char *when, const char *word, const struct arg *args, unsigned n, FILE *to)
{
	for (unsigned i = 0; i < n; i++) {
		fprintf(to, "complete -c memoproxy -n '%s%s' -l %s", when, word, args[i].name);
		if (args[i].letter)
			fprintf(to, " -s %c", args[i].letter);
		if (args[i].value)
			fish_value(args[i].value, to);
		fputs(" -d '", to);
		print_quoted(args[i].help, "\\'", "\\", to);
		fputs("'\n", to);
	}
}

static void print_fish(const struct completion *c, FILE *to)
{
	fputs("# memoproxy(8) in fish; made by: memoproxy completion fish\n"
	      "set -g __memoproxy_commands",
		to);
	for (unsigned i = 0; i < c->words_n; i++)
		fprintf(to, " %s", c->words[i]->name);
	fputs("\ncomplete -c memoproxy -f\n", to);
	for (unsigned i = 0; i < c->words_n; i++) {
		fprintf(to, "complete -c memoproxy -n __fish_is_first_token -a %s -d '", c->words[i]->name);
		print_quoted(c->words[i]->help, "\\'", "\\", to);
		fputs("'\n", to);
	}
	fish_options("not __fish_seen_subcommand_from $__memoproxy_commands", "", c->args, c->args_n, to);
	for (unsigned i = 0; i < c->words_n; i++) {
		const struct word *w = c->words[i];

		fish_options("__fish_seen_subcommand_from ", w->name, w->args, w->args_n, to);
		if (kind_of(w->arguments) == ANYTHING)
			continue;
		fprintf(to, "complete -c memoproxy -n '__fish_seen_subcommand_from %s'", w->name);
		fish_value(w->arguments, to);
		putc('\n', to);
	}
}

bool completion_print(const char *shell, const struct completion *c, FILE *to)
{
	if (strcmp(shell, "bash") == 0)
		print_bash(c, to);
	else if (strcmp(shell, "zsh") == 0)
		print_zsh(c, to);
	else if (strcmp(shell, "fish") == 0)
		print_fish(c, to);
	else
		return false;
	return true;
}
