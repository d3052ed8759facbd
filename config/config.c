/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/arena.h"
#include "config/build.h"
#include "config/ini/ini.h"

static void free_route(const struct config_route *r)
{
	struct pattern *match = r->match;

	pattern_free(&match);
	for (unsigned i = 0; i < r->invalidates.n; i++) {
		struct pattern_template *t = r->invalidates.v[i];
		pattern_template_free(&t);
	}
}

static void config_free(struct config *c)
{
	for (unsigned i = 0; i < c->routes_n; i++)
		free_route(&c->routes[i]);
	arena_free(&c->arena);
	mem_free(c);
}

static struct config *config_new(void)
{
	struct config *c = mem_zalloc(sizeof(*c));

	if (!c)
		return NULL;
	c->arena = arena_new();
	if (!c->arena) {
		mem_free(c);
		return NULL;
	}
	atomic_init(&c->refs, 1);
	return c;
}

/* ---- What it is read from ---- */

/* The demonstration's API takes the place of an [upstream] url that no file names; without a file its routes count, too. */
static int read_demo(struct ini *ini, const struct config_source *from)
{
	int rc = ini_read_text(ini, slice_of(config_demo_upstream), "memoproxy: --demo");

	if (rc == 0 && !from->path && !from->name)
		rc = ini_read_text(ini, slice_of(config_demo_routes), "memoproxy: --demo");
	return rc;
}

static void say_why_not(const char *path, int err, struct buf *errors)
{
	if (err == -ENOBUFS)
		buf_addf(errors, "%s: larger than %d bytes\n", path, INI_BYTES_MAX);
	else
		buf_addf(errors, "%s: %s%s\n", path, strerror(-err),
			err == -ENOENT ? " (memoproxy init URL writes one; memoproxy --to URL serves without)" : "");
}

static int read_sources(struct ini *ini, const struct config_source *from, struct buf *errors)
{
	int rc = from->demo ? read_demo(ini, from) : 0;

	if (rc == 0 && from->path) {
		rc = ini_read_file(ini, from->path);
		if (rc && rc != -ENOMEM)
			say_why_not(from->path, rc, errors);
	}
	if (rc == 0 && from->text.n > 0)
		rc = ini_read_text(ini, from->text, from->name);
	for (unsigned i = 0; i < from->options_n && rc == 0; i++) {
		const struct config_option *o = &from->options[i];

		rc = ini_read_option(ini, o->option, o->section, o->key, o->value);
	}
	return rc == -ENOBUFS ? -EINVAL : rc;
}

static int read_into(struct config *c, const struct config_source *from, struct report *report)
{
	struct build b = {.config = c, .report = report, .is_check = from->is_check};
	struct ini *ini = ini_new(c->arena, report);
	int rc = ini ? read_sources(ini, from, report->out) : -ENOMEM;
	unsigned elsewhere = from->admin_only ? report->errors : 0;

	if (rc == 0) {
		b.sections = ini_sections(ini);
		rc = from->admin_only ? build_admin(&b) : build_config(&b);
		report_end(report);
		c->warnings = report->warnings;
	}
	if (rc == 0 && report->errors > elsewhere)
		rc = -EINVAL;
	ini_free(&ini);
	return rc;
}

int config_load(const struct config_source *from, struct config **out, struct buf *errors)
{
	struct report report = {.file = config_source_name(from), .out = errors};
	struct config *c = config_new();
	int rc = c ? read_into(c, from, &report) : -ENOMEM;

	*out = NULL;
	if (rc == -ENOMEM)
		buf_addf(errors, "%s: no memory to read it\n", report.file);
	report_fini(&report);
	if (rc == 0)
		*out = c;
	else if (c)
		config_free(c);
	return rc;
}

const char *config_default_path(void)
{
	static const char *const paths[] = {CONFIG_HERE, CONFIG_SYSTEM};

	for (unsigned i = 0; i < ARRAY_LEN(paths); i++)
		if (access(paths[i], F_OK) == 0)
			return paths[i];
	return NULL;
}

const char *config_source_name(const struct config_source *from)
{
	return from->path ? from->path : from->name ? from->name : "memoproxy";
}

int config_parse(struct slice text, const char *name, struct config **out, struct buf *errors)
{
	const struct config_source from = {.text = text, .name = name, .demo = true, .path = NULL};

	return config_load(&from, out, errors);
}

int config_url_add(const char *typed, struct buf *out)
{
	if (!strstr(typed, "://"))
		buf_add_str(out, typed[0] == ':' ? "http://localhost" : "http://");
	return buf_add_str(out, typed);
}

struct config *config_ref(struct config *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void config_unref(struct config **c)
{
	struct config *gone = *c;

	*c = NULL;
	if (gone && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
		config_free(gone);
}
