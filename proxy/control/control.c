/* SPDX-License-Identifier: MIT */
#include "proxy/control/control.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/control/talk.h"
#include "proxy/control/tell.h"

/* ---- The commands ---- */

/* An option that is not one of CONTROL_ARGS is a parameter of the endpoint, under its own name, with _ for -. */
static const struct arg purge_args[] = {CONTROL_ARGS,
	{"url", '\0', "URL", "as URL behind the options: with its query; a path or an absolute URL"},
	{"prefix", '\0', "URL", "all URLs that begin so"}, {"tag", '\0', "TAG", "all responses with this tag"},
	{"user", '\0', "IDENTITY", "all responses of this user, on routes with scope = user"},
	{"all", '\0', NULL, "everything"}, {"soft", '\0', NULL, "makes stale instead of absent"},
	{"dry-run", '\0', NULL, "says what would be met, and purges nothing"},
	{"spread", '\0', "DURATION", "like 10m: each URL goes at a time of its own within it"}};
static const struct arg refresh_args[] = {CONTROL_ARGS};
static const struct arg explain_args[] = {CONTROL_ARGS, {"method", '\0', "METHOD", "of the request, instead of GET"},
	{"header", 'H', "'NAME: VALUE'", "of the request; may be given several times"},
	{"body", '\0', "TEXT", "of the request"},
	{"scheme", '\0', "http|https", "https: as a client of a tls listener"}};
static const struct arg entries_args[] = {CONTROL_ARGS, {"prefix", '\0', "URL", "URLs that begin so"},
	{"tier", '\0', "memory|disk", "where they are stored (default: memory)"},
	{"limit", '\0', "NUMBER", "how many at most, up to 10000 (default: 100)"},
	{"after", '\0', "MARK", "goes on where the answer that named the mark left off"}};
static const struct arg plain_args[] = {CONTROL_ARGS};

enum { PURGE, REFRESH, EXPLAIN, ENTRIES, STATS, RELOAD, CHECK };

static const struct call {
	bool is_post;
	const char *path;
	const char *left; /* the parameter that stands behind the options; NULL: none does */
	bool is_needed;   /* exactly once; else as often as one likes */
	void (*tell)(const json_t *j, FILE *to);
} calls[] = {
	[PURGE] = {true, "/purge", "url", false, tell_purge},
	[REFRESH] = {true, "/refresh", "url", true, tell_refresh},
	[EXPLAIN] = {false, "/explain", "url", true, tell_explain},
	[ENTRIES] = {false, "/entries", NULL, false, tell_entries},
	[STATS] = {false, "/stats", NULL, false, tell_stats},
	[RELOAD] = {true, "/reload", NULL, false, tell_reload},
	[CHECK] = {true, "/reload", NULL, false, tell_check},
};

static int run(const struct word *self, int argc, char **argv);

#define WORD(name, left, help, args, what)                         \
	{                                                          \
		name, left, help, args, ARRAY_LEN(args), run, what \
	}
const struct word control_words[] = {
	WORD("purge", "[URL...]",
		"Makes stored responses of the running proxy unusable: of URLs, or of several --prefix, --tag or "
		"--user, or --all",
		purge_args, PURGE),
	WORD("refresh", "URL", "Fetches a URL now, and replaces what the running proxy has stored of it", refresh_args,
		REFRESH),
	WORD("explain", "URL", "Says whether the running proxy answers a request from its cache, or why not",
		explain_args, EXPLAIN),
	WORD("entries", "", "Lists what the running proxy has stored", entries_args, ENTRIES),
	WORD("stats", "", "Shows what the running proxy has counted, but for what is 0", plain_args, STATS),
	WORD("reload", "", "Has the running proxy read its configuration anew", plain_args, RELOAD),
};
const unsigned control_words_n = ARRAY_LEN(control_words);

/* ---- What is asked ---- */

void control_take(struct control_order *o, int option, const char *value)
{
	if (option == CONTROL_FILE)
		o->file = value;
	else if (option == CONTROL_ADMIN)
		o->admin = value;
	else if (option == CONTROL_JSON)
		o->json = true;
}

/* ---- The call ---- */

static int tell(const struct talk *t, const struct control_order *o, const struct call *c, int status, const json_t *j)
{
	if (o->json)
		(void)fwrite(t->answer.body.p, 1, t->answer.body.n, stdout);
	else if (status != CONTROL_DONE)
		tell_problem(j, t->who, stderr);
	else
		c->tell(j, stdout);
	if (fflush(stdout) != 0 && status == CONTROL_DONE)
		return talk_say(t, CONTROL_REFUSED, "standard output: ", strerror(errno));
	return status;
}

/* The exit status, and *out where an answer came; for json_decref. */
static int call(const struct control_order *o, unsigned what, const char *who, const struct buf *form, json_t **out)
{
	const struct call *c = &calls[what];
	struct talk t;
	int status = talk_begin(&t, o, who);

	*out = NULL;
	if (status == CONTROL_DONE && form->err)
		status = talk_say(&t, CONTROL_USAGE, "that is too long to be asked", "");
	else if (status == CONTROL_DONE)
		status = c->is_post ? talk_post(&t, c->path, buf_slice(form), out)
				    : talk_get(&t, c->path, buf_slice(form), out);
	if (*out)
		status = tell(&t, o, c, status, *out);
	talk_end(&t);
	return status;
}

/* ---- One command ---- */

/* 0, 1 where help was given, or -EINVAL after a sentence. */
static int read_order(const struct word *self, struct args *a, struct control_order *o, struct buf *form)
{
	const struct call *c = &calls[self->what];
	char **left;
	int option, n, most;

	while ((option = args_next(a)) >= 0) {
		if (option == CONTROL_HELP) {
			args_usage(self, stdout);
			return 1;
		}
		if (option < CONTROL_OWN)
			control_take(o, option, a->value);
		else
			form_add(
				form, self->args[option].name, a->value ? slice_of(a->value) : (struct slice){NULL, 0});
	}
	if (option != ARGS_END)
		return option;
	n = args_left(a, &left);
	most = !c->left ? 0 : c->is_needed ? 1 : n;
	if (c->is_needed && n == 0)
		return args_refuse(a, "a URL is missing", "", NULL);
	if (n > most)
		return args_refuse(a, "this belongs to no option: ", left[most], NULL);
	for (int i = 0; i < n; i++)
		form_add(form, c->left, slice_of(left[i]));
	if (self->what == PURGE) /* who types it wants to know */
		form_add(form, "count", (struct slice){NULL, 0});
	return 0;
}

static int run(const struct word *self, int argc, char **argv)
{
	struct args a = args_of(self, argc, argv);
	struct control_order o = {.file = NULL};
	struct buf form;
	json_t *answer = NULL;
	int rc, status = CONTROL_USAGE;

	buf_init(&form, CONTROL_FORM_MAX);
	rc = read_order(self, &a, &o, &form);
	if (rc == 0)
		status = call(&o, self->what, a.who, &form, &answer);
	json_decref(answer);
	buf_fini(&form);
	return rc == 1 ? CONTROL_DONE : status;
}

/* ---- check ---- */

static bool is_same_file(const char *file, const json_t *answer)
{
	const char *theirs = json_string_value(json_object_get(answer, "file"));
	char path[PATH_MAX];

	return !file || (theirs && realpath(file, path) && strcmp(path, theirs) == 0);
}

int control_check(const struct control_order *o, const char *file)
{
	json_t *answer;
	struct buf form;
	int status;

	buf_init(&form, CONTROL_FORM_MAX);
	form_add(&form, "dry_run", (struct slice){NULL, 0});
	status = call(o, CHECK, "memoproxy: check", &form, &answer);
	buf_fini(&form);
	if (status == CONTROL_DONE && !is_same_file(file, answer)) {
		fprintf(stderr, "memoproxy: check: the running proxy does not go by %s\n", file);
		status = CONTROL_DIFFERS;
	} else if (status == CONTROL_DONE && !json_is_true(json_object_get(answer, "in_force"))) {
		status = CONTROL_DIFFERS;
	}
	json_decref(answer);
	return status;
}
