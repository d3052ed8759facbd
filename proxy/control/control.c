/* SPDX-License-Identifier: MIT */
#include "proxy/control/control.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "http/syntax.h"
#include "proxy/control/tell.h"
#include "proxy/control/where.h"
#include "proxy/init/ask.h"

enum { URL_MAX = WHERE_URL_MAX + CONTROL_FORM_MAX };

/* ---- The commands ---- */

/* An option that is not one of CONTROL_ARGS is a parameter of the endpoint, under its own name, with _ for -. */
static const struct arg purge_args[] = {CONTROL_ARGS,
	{"url", '\0', "URL", "one URL, with its query; a path or an absolute URL"},
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
	void (*tell)(const json_t *j, FILE *to);
} calls[] = {
	[PURGE] = {true, "/purge", NULL, tell_purge},
	[REFRESH] = {true, "/refresh", "url", tell_refresh},
	[EXPLAIN] = {false, "/explain", "url", tell_explain},
	[ENTRIES] = {false, "/entries", NULL, tell_entries},
	[STATS] = {false, "/stats", NULL, tell_stats},
	[RELOAD] = {true, "/reload", NULL, tell_reload},
	[CHECK] = {true, "/reload", NULL, tell_check},
};

static int run(const struct word *self, int argc, char **argv);

#define WORD(name, left, help, args, what)                         \
	{                                                          \
		name, left, help, args, ARRAY_LEN(args), run, what \
	}
const struct word control_words[] = {
	WORD("purge", "",
		"Makes stored responses of the running proxy unusable: several --url, --prefix, --tag or --user, or "
		"--all",
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

static void add_encoded(struct buf *out, const char *s)
{
	for (; *s; s++)
		if (http_char_is(*s, HTTP_CH_ALPHA | HTTP_CH_DIGIT) || strchr("-._~", *s))
			buf_add_char(out, *s);
		else
			buf_addf(out, "%%%02X", (unsigned char)*s);
}

static void add_parameter(struct buf *form, const char *name, const char *value)
{
	if (form->n > 0)
		buf_add_char(form, '&');
	for (; *name; name++)
		buf_add_char(form, *name == '-' ? '_' : *name);
	buf_add_char(form, '=');
	add_encoded(form, value ? value : "1");
}

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

struct conversation {
	const struct control_order *order;
	const struct call *call;
	const char *who;
	struct where where;
	struct answer answer;
};

static int say(const struct conversation *c, int status, const char *what, const char *more)
{
	fprintf(stderr, "%s: %s%s\n", c->who, what, more);
	return status;
}

static int unreachable(const struct conversation *c)
{
	fprintf(stderr, "%s: no proxy answers at %s (%s): %s\n", c->who, c->where.url, c->where.said_by, c->answer.why);
	return CONTROL_UNREACHABLE;
}

static int is_elsewhere(const struct conversation *c)
{
	fprintf(stderr,
		"%s: what answers at %s (%s) is no memoproxy's admin side: is that the address that [admin] listen "
		"names?\n",
		c->who, c->where.url, c->where.said_by);
	return CONTROL_UNREACHABLE;
}

/* Of the status that it answers with: a parameter is a mistake of who calls. */
static int status_of(int status)
{
	return status < 400 ? CONTROL_DONE : status == 400 ? CONTROL_USAGE : CONTROL_REFUSED;
}

static int tell(const struct conversation *c, json_t **out)
{
	json_t *j = json_loadb(c->answer.body.p ? c->answer.body.p : "", c->answer.body.n, 0, NULL);
	int status = status_of(c->answer.status);

	*out = j;
	if (!json_is_object(j))
		return say(c, CONTROL_UNREACHABLE, "what answers there is no memoproxy: ", c->where.url);
	if (c->order->json)
		(void)fwrite(c->answer.body.p, 1, c->answer.body.n, stdout);
	else if (status != CONTROL_DONE)
		tell_problem(j, c->who, stderr);
	else
		c->call->tell(j, stdout);
	return status;
}

static int send_to(struct conversation *c, struct ask *ask, const struct buf *form)
{
	struct buf url;
	int rc;

	buf_init(&url, URL_MAX);
	buf_addf(&url, "%s%s", c->where.url, c->call->path);
	if (!c->call->is_post && form->n > 0) {
		buf_add_char(&url, '?');
		buf_add_slice(&url, buf_slice(form));
	}
	rc = buf_add_char(&url, '\0');
	if (rc == 0)
		rc = c->call->is_post ? ask_post(ask, url.p, buf_slice(form), true, &c->answer)
				      : ask_get(ask, url.p, true, &c->answer);
	buf_fini(&url);
	return rc;
}

/* Asked without the token and before anything is changed: whatever else listens there, the API behind the proxy's own listener for one, is
 * to learn no secret and get no POST, and its answer is not to be taken for one. */
static bool is_admin_side(const struct answer *a)
{
	const struct http_field *f = http_fields_find(&a->fields, SLICE_LIT("WWW-Authenticate"));
	json_t *j;
	const char *status;
	bool is;

	if (a->status == 401)
		return f && slice_equal(f->value, SLICE_LIT(CONFIG_ADMIN_CHALLENGE));
	j = json_loadb(a->body.p ? a->body.p : "", a->body.n, 0, NULL);
	status = json_string_value(json_object_get(j, "status"));
	is = a->status == 200 && status && strcmp(status, "alive") == 0 &&
	     !http_fields_find(&a->fields, SLICE_LIT("Cache-Status"));
	json_decref(j);
	return is;
}

static int find_admin_side(struct conversation *c, struct ask *ask)
{
	char url[WHERE_URL_MAX + 16];
	int rc;

	snprintf(url, sizeof(url), "%s/healthz", c->where.url);
	rc = ask_get(ask, url, false, &c->answer);
	return rc ? rc : is_admin_side(&c->answer) ? 0 : -EPROTO;
}

/* The exit status, and *out where an answer came; for json_decref. */
static int converse(struct conversation *c, const struct buf *form, json_t **out)
{
	const char *const fields[] = {c->where.authorization.p};
	const struct ask_options options = {
		.fields = fields,
		.fields_n = c->where.authorization.n > 0,
		.connect_timeout_ms = CONTROL_CONNECT_MS,
		.timeout_ms = CONTROL_TIMEOUT_MS,
		.calls_max = 2,
		.body_max = CONTROL_BODY_MAX,
	};
	struct ask *ask;
	int rc = form->err ? form->err : ask_new(&options, &ask);

	if (rc == 0) {
		rc = find_admin_side(c, ask);
		if (rc == 0)
			rc = send_to(c, ask, form);
		ask_free(&ask);
	}
	if (rc == -ENOBUFS)
		return say(c, CONTROL_USAGE, "that is too long to be asked", "");
	if (rc == -ECONNREFUSED)
		return unreachable(c);
	if (rc == -EPROTO)
		return is_elsewhere(c);
	if (rc)
		return say(c, CONTROL_REFUSED, strerror(-rc), "");
	if (c->answer.is_cut)
		return say(c, CONTROL_REFUSED, "the answer is too large; --limit asks for less", "");
	return tell(c, out);
}

static int call(const struct control_order *o, unsigned what, const char *who, const struct buf *form, json_t **out)
{
	struct conversation c = {.order = o, .call = &calls[what], .who = who};
	int status = CONTROL_USAGE;

	*out = NULL;
	answer_init(&c.answer);
	if (where_find(o->file, o->admin, &c.where) == 0)
		status = converse(&c, form, out);
	where_fini(&c.where);
	answer_fini(&c.answer);
	if (fflush(stdout) != 0 && status == CONTROL_DONE)
		return say(&c, CONTROL_REFUSED, "standard output: ", strerror(errno));
	return status;
}

/* ---- One command ---- */

/* 0, 1 where help was given, or -EINVAL after a sentence. */
static int read_order(const struct word *self, struct args *a, struct control_order *o, struct buf *form)
{
	const struct call *c = &calls[self->what];
	char **left;
	int option, n;

	while ((option = args_next(a)) >= 0) {
		if (option == CONTROL_HELP) {
			args_usage(self, stdout);
			return 1;
		}
		if (option < CONTROL_OWN)
			control_take(o, option, a->value);
		else
			add_parameter(form, self->args[option].name, a->value);
	}
	if (option != ARGS_END)
		return option;
	n = args_left(a, &left);
	if (c->left && n == 0)
		return args_refuse(a, "a URL is missing", "", NULL);
	if (n > (c->left ? 1 : 0))
		return args_refuse(a, "this belongs to no option: ", left[c->left ? 1 : 0], NULL);
	if (c->left)
		add_parameter(form, c->left, left[0]);
	if (self->what == PURGE) /* who types it wants to know */
		add_parameter(form, "count", NULL);
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

	return !file || !theirs || (realpath(file, path) && strcmp(path, theirs) == 0);
}

int control_check(const struct control_order *o, const char *file)
{
	json_t *answer;
	struct buf form;
	int status;

	buf_init(&form, CONTROL_FORM_MAX);
	add_parameter(&form, "dry_run", NULL);
	status = call(o, CHECK, "memoproxy: check", &form, &answer);
	buf_fini(&form);
	if (status == CONTROL_DONE && !is_same_file(file, answer)) {
		fprintf(stderr, "memoproxy: check: that is another file than %s\n", file);
		status = CONTROL_DIFFERS;
	} else if (status == CONTROL_DONE && !json_is_true(json_object_get(answer, "in_force"))) {
		status = CONTROL_DIFFERS;
	}
	json_decref(answer);
	return status;
}
