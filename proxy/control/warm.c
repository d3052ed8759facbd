/* SPDX-License-Identifier: MIT */
#include "proxy/control/warm.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/ini/file.h"
#include "http/uri.h"
#include "proxy/control/print.h"
#include "proxy/control/talk.h"
#include "proxy/control/tell.h"
#include "proxy/init/links.h"

enum {
	PART_LINES = 4000,
	SITEMAP_BYTES = 50 << 20, /* as large as one may be, by sitemaps.org */
	SITEMAP_TIMEOUT_MS = 60000,
	POLL_US = 200000,
	BUSY_US = 1000000,
	BAR = 30,
};

/* ---- The order ---- */

struct order {
	struct control_order control;
	const char *cancel;
	bool lists, is_given /* a file or a sitemap, whatever is in it */;
	struct buf urls;     /* lines */
	struct buf sitemaps; /* texts, each with a NUL byte */
};

static int run(const struct word *self, int argc, char **argv);

enum { ARG_FILE = CONTROL_OWN, ARG_SITEMAP, ARG_CANCEL, ARG_LIST };
static const struct arg args[] = {CONTROL_ARGS,
	{"file", 'f', "FILE", "of URLs, one a line; - is standard input; may be given several times"},
	{"sitemap", '\0', "URL", "a sitemap, or an index of them, whose paths are fetched through the proxy"},
	{"cancel", '\0', "ID", "nothing more is fetched of that list"},
	{"list", '\0', NULL, "shows how far the lists are that the proxy has been given"}};

const struct word warm_word = {"warm", "[URL...]",
	"Has the running proxy fetch what is missing of a list of URLs, and shows how far it is; Ctrl-C cancels it",
	args, ARRAY_LEN(args), run, 0};

static int refuse(const char *what, const char *word)
{
	const struct args a = args_of(&warm_word, 0, NULL);

	return args_refuse(&a, what, word, NULL);
}

static int add_line(struct order *o, struct slice line)
{
	return buf_add_slice(&o->urls, line) || buf_add_char(&o->urls, '\n') ? refuse("these are too many URLs", "")
									     : 0;
}

/* ---- Files ---- */

static int add_file(struct order *o, const char *path)
{
	int err = file_read(strcmp(path, "-") == 0 ? "/dev/stdin" : path, &o->urls);

	if (err == -ENOBUFS)
		return refuse("these are too many URLs: ", path);
	if (err)
		fprintf(stderr, "memoproxy: warm: %s: %s\n", path, file_why(err));
	return err ? err : buf_add_char(&o->urls, '\n');
}

/* ---- Sitemaps ---- */

struct site {
	struct order *order;
	struct ask *ask;
};

/* A sitemap has the URLs of the site as its readers know it; the proxy knows their paths. */
static void on_page(void *arg, struct slice url)
{
	struct site *s = arg;
	struct slice scheme, authority, path;

	if (uri_split_absolute(url, &scheme, &authority, &path) && path.n > 0 && path.p[0] == '/' &&
		buf_add_slice(&s->order->urls, path) == 0)
		(void)buf_add_char(&s->order->urls, '\n');
}

static void on_sitemap(void *arg, struct slice url)
{
	struct site *s = arg;

	if (buf_add_slice(&s->order->sitemaps, url) == 0)
		(void)buf_add_char(&s->order->sitemaps, '\0');
}

static void on_either(void *arg, struct slice url)
{
	(void)arg;
	(void)url;
}

/* Why it can't be used, or NULL. */
static const char *read_sitemap(struct site *s, const struct answer *a)
{
	struct slice text = buf_slice(&a->body);
	bool is_index;

	if (a->status != 200)
		return "its status is not 200";
	if (a->is_cut)
		return "it is too large";
	if (!links_in_sitemap(text, &is_index, on_either, NULL))
		return "it is no sitemap";
	(void)links_in_sitemap(text, &is_index, is_index ? on_sitemap : on_page, s);
	return s->order->urls.err || s->order->sitemaps.err ? "with it there are too many URLs" : NULL;
}

static int add_sitemap(struct site *s, const char *url)
{
	struct answer a;
	const char *why;
	int err;

	answer_init(&a);
	err = ask_get(s->ask, url, false, &a);
	why = err == 0               ? read_sitemap(s, &a)
	      : err == -ECONNREFUSED ? a.why
	      : err == -EDQUOT       ? "there are too many sitemaps"
				     : strerror(-err);
	if (why)
		fprintf(stderr, "memoproxy: warm: %s: %s\n", url, why);
	err = why ? -EIO : 0;
	answer_fini(&a);
	return err;
}

/* Those that an index names are put behind it. */
static int add_sitemaps(struct order *o)
{
	const struct ask_options options = {.tls_verify = true,
		.connect_timeout_ms = CONTROL_CONNECT_MS,
		.timeout_ms = SITEMAP_TIMEOUT_MS,
		.calls_max = WARM_SITEMAPS + 1, /* and the index */
		.body_max = SITEMAP_BYTES};
	struct site s = {.order = o};
	int err = o->sitemaps.n > 0 ? ask_new(&options, &s.ask) : 0;

	for (size_t at = 0; !err && at < o->sitemaps.n;) {
		char url[PATH_MAX];

		snprintf(url, sizeof(url), "%s", o->sitemaps.p + at);
		at += strlen(o->sitemaps.p + at) + 1;
		err = add_sitemap(&s, url);
	}
	ask_free(&s.ask);
	return err;
}

/* ---- How far it is ---- */

struct counts {
	double urls, fetched, there, not_stored, failed, seconds;
	char first_failed[512];
};

static double number(const json_t *j, const char *name)
{
	return json_number_value(json_object_get(j, name));
}

static void add_counts(struct counts *to, const json_t *list)
{
	const char *first = json_string_value(json_object_get(list, "first_failed"));

	to->fetched += number(list, "fetched");
	to->there += number(list, "there");
	to->not_stored += number(list, "not_stored");
	to->failed += number(list, "failed");
	to->seconds += number(list, "seconds");
	if (first && !to->first_failed[0])
		snprintf(to->first_failed, sizeof(to->first_failed), "%s", first);
}

static double done_of(const struct counts *c)
{
	return c->fetched + c->there + c->not_stored + c->failed;
}

static void tell_counts(const struct counts *c, FILE *to)
{
	fprintf(to, "%.0f of %.0f: %.0f fetched, %.0f there already, %.0f not stored, %.0f failed", done_of(c), c->urls,
		c->fetched, c->there, c->not_stored, c->failed);
}

/* On a terminal alone, and always the same line. */
static void show(const struct counts *c)
{
	int full = c->urls > 0 ? (int)(BAR * done_of(c) / c->urls) : 0;

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K[%.*s%*s] ", full, "##############################", BAR - full, "");
	tell_counts(c, stderr);
	fflush(stderr);
}

static void tell_end(const struct order *o, const struct counts *c, bool is_cancelled)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (o->control.json) {
		json_t *j = json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:b}", "urls", (json_int_t)c->urls, "fetched",
			(json_int_t)c->fetched, "there", (json_int_t)c->there, "not_stored", (json_int_t)c->not_stored,
			"failed", (json_int_t)c->failed, "seconds", c->seconds, "cancelled", is_cancelled);

		if (j && c->first_failed[0])
			json_object_set_new(j, "first_failed", json_string(c->first_failed));
		(void)json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
		putchar('\n');
		json_decref(j);
		return;
	}
	fputs(is_cancelled ? "Cancelled at " : "Warmed ", stdout);
	tell_counts(c, stdout);
	puts(".");
	if (c->first_failed[0]) {
		fputs("The first that failed: ", stdout);
		print_text(stdout, c->first_failed);
		putchar('\n');
	}
}

/* ---- The lists ---- */

/* By this command's own user, or by another's call: then the rest of the URLs is not given. */
enum { NOT_CANCELLED, TO_BE_CANCELLED, CANCELLED };
static volatile sig_atomic_t cancelling;

static void on_interrupt(int signal)
{
	(void)signal;
	cancelling = TO_BE_CANCELLED;
}

/* As many lines from *at on as a call takes. */
static int take_part(struct slice lines, size_t *at, struct buf *form)
{
	size_t begin = *at, end = *at;
	unsigned n = 0;

	while (end < lines.n && n < PART_LINES) {
		const char *newline = memchr(lines.p + end, '\n', lines.n - end);
		size_t next = newline ? (size_t)(newline - lines.p) + 1 : lines.n;

		if (3 * (next - begin) > CONTROL_FORM_MAX - 64 && end > begin)
			break;
		end = next;
		n++;
	}
	*at = end;
	buf_reset(form);
	form_add(form, "urls", (struct slice){lines.p + begin, end - begin});
	return form->err;
}

static bool says_something(struct slice lines)
{
	struct slice line;

	while (lines.n > 0) {
		(void)slice_cut(lines, '\n', &line, &lines);
		line = slice_trim(line);
		if (line.n > 0 && line.p[0] != '#' && line.p[0] != '\r')
			return true;
	}
	return false;
}

static double count_urls(struct slice lines)
{
	struct slice line;
	double n = 0;

	while (lines.n > 0) {
		(void)slice_cut(lines, '\n', &line, &lines);
		n += says_something(line);
	}
	return n;
}

enum progress { LIST_IS_GONE, LIST_RUNS, LIST_IS_CANCELLED, LIST_IS_THROUGH };

static enum progress progress_of(const json_t *list)
{
	const char *state = json_string_value(json_object_get(list, "state"));

	if (!state)
		return LIST_IS_GONE;
	return strcmp(state, "through") == 0     ? LIST_IS_THROUGH
	       : strcmp(state, "cancelled") == 0 ? LIST_IS_CANCELLED
						 : LIST_RUNS;
}

static const json_t *list_of(const json_t *answer, json_int_t id)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(answer, "lists"), i,
		one) if (json_integer_value(json_object_get(one, "id")) == id) return one;
	return NULL;
}

static int told(const struct talk *t, int status, json_t *answer)
{
	if (answer)
		tell_problem(answer, t->who, stderr);
	json_decref(answer);
	return status;
}

static void cancel(struct talk *t, json_int_t id)
{
	char form[40];
	json_t *answer;

	snprintf(form, sizeof(form), "cancel=%lld", (long long)id);
	if (talk_post(t, "/warm", slice_of(form), &answer) == CONTROL_DONE || t->answer.status == 404)
		cancelling = CANCELLED; /* or the list is through meanwhile */
	json_decref(answer);
}

/* Until the list is through; its counts are added. */
static int follow(struct talk *t, json_int_t id, struct counts *counts)
{
	for (;;) {
		struct counts now = *counts;
		json_t *answer;
		int status;
		const json_t *list;
		enum progress progress;

		if (cancelling == TO_BE_CANCELLED)
			cancel(t, id);
		status = talk_get(t, "/warmups", (struct slice){"", 0}, &answer);
		if (status != CONTROL_DONE)
			return told(t, status, answer);
		list = list_of(answer, id);
		progress = progress_of(list);
		add_counts(&now, list);
		json_decref(answer);
		if (progress == LIST_IS_GONE)
			return talk_say(
				t, CONTROL_REFUSED, "the proxy has been started anew, and has forgotten the list", "");
		if (progress != LIST_RUNS) {
			if (progress == LIST_IS_CANCELLED)
				cancelling = CANCELLED;
			*counts = now;
			return CONTROL_DONE;
		}
		show(&now);
		(void)usleep(POLL_US);
	}
}

/* Lines that are no URLs of the proxy. */
static void tell_wrong(const struct talk *t, const json_t *answer)
{
	const char *first = json_string_value(json_object_get(answer, "first"));
	double n = number(answer, "no_urls");

	if (!first)
		return;
	fprintf(stderr, "%s: no URL of this proxy: ", t->who);
	print_text(stderr, first);
	if (n > 1)
		fprintf(stderr, "; and %.0f more", n - 1);
	fputc('\n', stderr);
}

static int give(struct talk *t, const struct buf *form, json_int_t *id)
{
	for (;;) {
		json_t *answer;
		int status = talk_post(t, "/warm", buf_slice(form), &answer);

		if (status == CONTROL_REFUSED && t->answer.status == 503 && !cancelling) {
			json_decref(answer); /* others' lists are before it */
			(void)usleep(BUSY_US);
			continue;
		}
		if (status != CONTROL_DONE)
			return told(t, status, answer);
		*id = json_integer_value(json_object_get(answer, "id"));
		tell_wrong(t, answer);
		json_decref(answer);
		return CONTROL_DONE;
	}
}

static int warm(struct talk *t, const struct order *o, struct counts *counts)
{
	struct slice lines = buf_slice(&o->urls);
	int status = CONTROL_DONE;
	struct buf form;
	size_t at = 0;

	buf_init(&form, CONTROL_FORM_MAX);
	counts->urls = count_urls(lines);
	while (at < lines.n && status == CONTROL_DONE && !cancelling) {
		size_t from = at;
		json_int_t id = 0;

		if (take_part(lines, &at, &form))
			status = talk_say(t, CONTROL_USAGE, "that is too long to be asked", "");
		else if (says_something((struct slice){lines.p + from, at - from}))
			status = give(t, &form, &id);
		else
			continue;
		if (status == CONTROL_DONE)
			status = follow(t, id, counts);
	}
	buf_fini(&form);
	return status;
}

/* ---- What is asked besides ---- */

static void tell_lists(const json_t *answer)
{
	const json_t *list;
	size_t i;

	json_array_foreach(json_object_get(answer, "lists"), i, list)
	{
		struct counts c = {.urls = number(list, "urls")};

		add_counts(&c, list);
		printf("%.0f ", number(list, "id"));
		print_value(stdout, json_object_get(list, "state"));
		putchar(' ');
		tell_counts(&c, stdout);
		putchar('\n');
	}
	if (json_array_size(json_object_get(answer, "lists")) == 0)
		puts("The proxy has been given no lists.");
}

static int ask_of_lists(struct talk *t, const struct order *o)
{
	json_t *answer;
	struct buf form;
	int status;

	buf_init(&form, CONTROL_FORM_MAX);
	if (o->cancel)
		form_add(&form, "cancel", slice_of(o->cancel));
	status = o->cancel ? talk_post(t, "/warm", buf_slice(&form), &answer)
			   : talk_get(t, "/warmups", (struct slice){"", 0}, &answer);
	buf_fini(&form);
	if (status != CONTROL_DONE)
		return told(t, status, answer);
	if (o->control.json)
		(void)fwrite(t->answer.body.p, 1, t->answer.body.n, stdout);
	else if (o->cancel)
		printf("Cancelled %s.\n", o->cancel);
	else
		tell_lists(answer);
	json_decref(answer);
	return status;
}

/* ---- The command ---- */

/* 0, 1 where help was given, or -EINVAL or another errno after a sentence. */
static int take(struct order *o, int option, const char *value)
{
	switch (option) {
	case CONTROL_HELP:
		args_usage(&warm_word, stdout);
		return 1;
	case ARG_FILE:
		o->is_given = true;
		return add_file(o, value);
	case ARG_SITEMAP:
		o->is_given = true;
		return buf_add(&o->sitemaps, value, strlen(value) + 1);
	case ARG_CANCEL:
		o->cancel = value;
		return 0;
	case ARG_LIST:
		o->lists = true;
		return 0;
	default:
		control_take(&o->control, option, value);
		return 0;
	}
}

static int read_order(int argc, char **argv, struct order *o)
{
	struct args a = args_of(&warm_word, argc, argv);
	char **left;
	int option, err = 0, n;

	while (!err && (option = args_next(&a)) != ARGS_END)
		err = option < 0 ? option : take(o, option, a.value);
	if (err)
		return err;
	n = args_left(&a, &left);
	for (int i = 0; i < n && !err; i++)
		err = add_line(o, slice_of(left[i]));
	if (!err)
		err = add_sitemaps(o);
	if (!err && (o->lists || o->cancel) && (o->lists == (o->cancel != NULL) || o->urls.n > 0))
		err = refuse("--list and --cancel stand alone", "");
	if (!err && !o->lists && !o->cancel && !o->is_given && !says_something(buf_slice(&o->urls)))
		err = refuse("a URL, --file or --sitemap is missing", "");
	return err;
}

static int obey(const struct order *o)
{
	struct counts counts = {.urls = 0};
	struct talk t;
	int status = talk_begin(&t, &o->control, "memoproxy: warm");
	const struct sigaction interrupt = {.sa_handler = on_interrupt};

	if (status == CONTROL_DONE && (o->lists || o->cancel)) {
		status = ask_of_lists(&t, o);
	} else if (status == CONTROL_DONE) {
		(void)sigaction(SIGINT, &interrupt, NULL);
		(void)sigaction(SIGTERM, &interrupt, NULL);
		status = warm(&t, o, &counts);
		if (status == CONTROL_DONE)
			tell_end(o, &counts, cancelling != NOT_CANCELLED);
		if (status == CONTROL_DONE && (cancelling || counts.failed > 0))
			status = CONTROL_REFUSED;
	}
	if (fflush(stdout) != 0 && status == CONTROL_DONE)
		status = talk_say(&t, CONTROL_REFUSED, "standard output: ", strerror(errno));
	talk_end(&t);
	return status;
}

static int run(const struct word *self, int argc, char **argv)
{
	struct order o = {.cancel = NULL};
	int err, status;

	(void)self;
	buf_init(&o.urls, WARM_URLS_BYTES);
	buf_init(&o.sitemaps, WARM_URLS_BYTES);
	err = read_order(argc, argv, &o);
	status = err == 1 ? CONTROL_DONE : err == -EINVAL ? CONTROL_USAGE : err ? CONTROL_REFUSED : obey(&o);
	buf_fini(&o.urls);
	buf_fini(&o.sitemaps);
	return status;
}
