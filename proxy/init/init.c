/* SPDX-License-Identifier: MIT */
#include "proxy/init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/init/discover.h"
#include "proxy/init/study.h"
#include "proxy/init/write.h"

enum { TEXT_MAX = 1 << 20, ERRORS_MAX = 64 << 10, CONNECT_TIMEOUT_MS = 5000, TIMEOUT_MS = 30000 };

struct order {
	struct buf url;
	const char *file; /* NULL: standard output */
	bool force, insecure;
	const char *fields[INIT_FIELDS_MAX];
	unsigned fields_n;
	char *const *paths;
	unsigned paths_n;
};

/* ---- The order ---- */

static int run_init(const struct word *self, int argc, char **argv);

enum { OPT_OUTPUT, OPT_FORCE, OPT_HEADER, OPT_INSECURE, OPT_HELP };

static const struct arg args[] = {
	{"output", 'o', "FILE", "where to, in place of standard output; a file that is there is not touched"},
	{"force", '\0', NULL, "but replaced"},
	{"header", 'H', "'NAME: VALUE'", "sent with each call, a credential for example; it is not written down"},
	{"insecure", 'k', NULL, "whatever certificate the API has"},
	{"help", 'h', NULL, "this"},
};

const struct word init_word = {"init", "URL [PATH...]",
	"Asks an API the paths given, or those that it names itself, and writes a proxy.ini of what it says", args,
	ARRAY_LEN(args), run_init, 0};

static int refuse(const char *what, const char *word)
{
	const struct args a = args_of(&init_word, 0, NULL);

	return args_refuse(&a, what, word, NULL);
}

static int take(struct order *o, int option, const char *value)
{
	switch (option) {
	case OPT_OUTPUT:
		o->file = value;
		break;
	case OPT_FORCE:
		o->force = true;
		break;
	case OPT_INSECURE:
		o->insecure = true;
		break;
	case OPT_HEADER:
		if (o->fields_n == INIT_FIELDS_MAX)
			return refuse("too many headers", "");
		o->fields[o->fields_n++] = value;
		break;
	}
	return 0;
}

/* 0, 1 when help was asked for, or -EINVAL after a sentence. */
static int read_order(int argc, char **argv, struct order *o)
{
	struct args a = args_of(&init_word, argc, argv);
	char **left;
	int option, err = 0, n;

	while (!err && (option = args_next(&a)) != ARGS_END) {
		if (option == OPT_HELP)
			return 1;
		err = option < 0 ? option : take(o, option, a.value);
	}
	if (err)
		return err;
	n = args_left(&a, &left);
	if (n == 0)
		return refuse("the API's URL is missing", "");
	o->paths = left + 1;
	o->paths_n = (unsigned)(n - 1);
	return config_url_add(left[0], &o->url) || buf_add_char(&o->url, '\0') ? refuse("the URL is too long", "") : 0;
}

/* ---- What is there already ---- */

static int refuse_file(const char *file, int err)
{
	if (err == -EEXIST)
		fprintf(stderr, "memoproxy: init: %s is there already; --force replaces it\n", file);
	else
		fprintf(stderr, "memoproxy: init: %s: %s\n", file, strerror(-err));
	return err;
}

static int write_all(int fd, struct slice text)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text.p += n;
		text.n -= (size_t)n;
	}
	return 0;
}

/* Whole or not at all. */
static int write_file(const struct order *o, struct slice text)
{
	char beside[PATH_MAX];
	const char *path = o->file;
	int fd, err;

	if (o->force) {
		if (snprintf(beside, sizeof(beside), "%s.new", o->file) >= (int)sizeof(beside))
			return refuse_file(o->file, -ENAMETOOLONG);
		path = beside;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (o->force ? O_TRUNC : O_EXCL), 0644);
	if (fd < 0)
		return refuse_file(path, -errno);
	err = write_all(fd, text);
	if (close(fd) != 0 && !err)
		err = -errno;
	if (!err && o->force && rename(path, o->file) != 0)
		err = -errno;
	if (err)
		(void)unlink(path);
	return err ? refuse_file(path, err) : 0;
}

/* ---- Doing it ---- */

/* What the URL says is read as a file's would be; so there is a route that says nothing, too. */
static int load(const struct order *o, struct config **out)
{
	const struct config_option said[] = {{"memoproxy: init", "upstream", "url", o->url.p}};
	const struct config_source from = {.options = said, .options_n = ARRAY_LEN(said)};
	struct buf errors;
	int rc;

	buf_init(&errors, ERRORS_MAX);
	rc = config_load(&from, out, &errors);
	fprintf(stderr, "%.*s", SLICE_ARG(buf_slice(&errors)));
	buf_fini(&errors);
	return rc;
}

static int take_paths(const struct order *o, struct found *found)
{
	for (unsigned i = 0; i < o->paths_n; i++) {
		char path[PATTERN_MAX];

		snprintf(path, sizeof(path), "%s%s", o->paths[i][0] == '/' ? "" : "/", o->paths[i]);
		if (!found_path(found, slice_of(path)))
			return refuse("this is no path of a URL, or there are too many: ", o->paths[i]);
	}
	return 0;
}

static int say_no_answer(const struct discovery *d, const char *why)
{
	fprintf(stderr, "memoproxy: init: %.*s does not answer: %s\n", SLICE_ARG(d->api->whole), why);
	return -ECONNREFUSED;
}

static int study_all(struct discovery *d, const struct cache_rules *rules)
{
	bool any = d->found->n == 0;
	int rc = 0;

	for (unsigned i = 0; i < d->found->n && rc == 0; i++) {
		rc = study(d, rules, &d->found->v[i]);
		any = any || d->found->v[i].study.status || !d->found->v[i].example.n;
	}
	if (rc == -EDQUOT)
		rc = 0;
	return rc || any ? rc : say_no_answer(d, d->found->v[0].study.why);
}

static int look(const struct order *o, struct discovery *d, const struct cache_rules *rules)
{
	char why[ASK_WHY_MAX] = "";
	int rc = o->paths_n > 0 ? take_paths(o, d->found) : discover(d, why);

	if (rc == -ECONNREFUSED)
		return say_no_answer(d, why);
	if (rc == 0)
		rc = study_all(d, rules);
	found_sort(d->found);
	return rc;
}

/* The text has to be one that -t takes: if it is not, that is our mistake. */
static int check(const struct buf *text)
{
	const struct config_source from = {.text = buf_slice(text), .name = "init"};
	struct config *config;
	struct buf errors;
	int rc;

	buf_init(&errors, ERRORS_MAX);
	rc = config_load(&from, &config, &errors);
	fprintf(stderr, "%.*s", SLICE_ARG(buf_slice(&errors)));
	config_unref(&config);
	buf_fini(&errors);
	return rc;
}

static void tell_result(const struct order *o, const struct draft *d)
{
	fprintf(stderr, "memoproxy: init: %u calls, %u routes", d->calls, d->found->n);
	if (d->found->n > 0 && d->kept == 0)
		fputs(", none of which is answered from the cache as the file stands: its comments say what each needs",
			stderr);
	else if (d->found->n > 0)
		fprintf(stderr, ", %u of them answered from the cache as the file stands", d->kept);
	if (o->file)
		fprintf(stderr, "; now: memoproxy -t -c %s", o->file);
	putc('\n', stderr);
}

static int write_result(const struct order *o, const struct discovery *d)
{
	char name[64] = "";
	struct draft draft = {
		.url = o->url.p,
		.document = d->document,
		.tls_verify = !o->insecure,
		.calls = ask_calls(d->ask),
		.found = d->found,
	};
	struct buf text;
	int rc;

	if (o->fields_n > 0) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(o->fields[0], ":"), o->fields[0]);
		draft.credential = name;
	}
	buf_init(&text, TEXT_MAX);
	rc = write_ini(&draft, &text);
	if (rc == 0)
		rc = check(&text);
	if (rc == 0)
		rc = o->file ? write_file(o, buf_slice(&text)) : write_all(STDOUT_FILENO, buf_slice(&text));
	buf_fini(&text);
	if (rc == 0)
		tell_result(o, &draft);
	return rc;
}

static int run(const struct order *o, const struct config *config)
{
	const struct ask_options options_of_calls = {
		.fields = o->fields,
		.fields_n = o->fields_n,
		.tls_verify = !o->insecure,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.timeout_ms = TIMEOUT_MS,
		.calls_max = INIT_CALLS_MAX,
	};
	struct found found;
	struct discovery d = {.api = &config->upstreams[0].url, .with_fields = o->fields_n > 0, .found = &found};
	int rc = found_init(&found);

	if (rc)
		return rc;
	rc = ask_new(&options_of_calls, &d.ask);
	if (rc == -EINVAL)
		refuse("--header takes 'NAME: VALUE'", "");
	if (rc == 0)
		rc = look(o, &d, &config->routes[config->routes_n - 1].rules);
	if (rc == 0)
		rc = write_result(o, &d);
	ask_free(&d.ask);
	found_fini(&found);
	return rc;
}

/* The exit status. */
static int obey(const struct order *o)
{
	struct config *config;
	int rc = 0;

	if (o->file && !o->force && access(o->file, F_OK) == 0)
		rc = refuse_file(o->file, -EEXIST);
	if (rc == 0)
		rc = load(o, &config);
	if (rc == 0) {
		rc = run(o, config);
		config_unref(&config);
	}
	if (rc == -ENOMEM)
		fputs("memoproxy: init: no memory\n", stderr);
	return rc == -EINVAL ? ARGS_EXIT : rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_init(const struct word *self, int argc, char **argv)
{
	struct order o = {.file = NULL};
	int rc, status = ARGS_EXIT;

	buf_init(&o.url, PATTERN_MAX);
	rc = read_order(argc, argv, &o);
	if (rc == 1)
		args_usage(self, stdout);
	if (rc >= 0)
		status = rc == 0 ? obey(&o) : EXIT_SUCCESS;
	buf_fini(&o.url);
	return status;
}
