/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "base/arena.h"
#include "config/build.h"
#include "config/file.h"

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

static int parse_into(struct config *c, struct slice text, struct report *report)
{
	struct build b = {.config = c, .report = report};
	struct ini_section *sections;
	int rc = ini_read(text, c->arena, report, &sections);

	b.sections = sections;
	if (rc == 0)
		rc = build_config(&b);
	report_end(report);
	if (rc == 0 && report->errors > 0)
		rc = -EINVAL;
	return rc;
}

int config_parse(struct slice text, const char *name, struct config **out, struct buf *errors)
{
	struct report report = {.file = name, .out = errors};
	struct config *c = config_new();
	int rc = c ? parse_into(c, text, &report) : -ENOMEM;

	*out = NULL;
	if (rc == -ENOMEM)
		buf_addf(errors, "%s: no memory to read it\n", name);
	if (rc == 0)
		*out = c;
	else if (c)
		config_free(c);
	return rc;
}

int config_load(const char *path, struct config **out, struct buf *errors)
{
	struct buf text;
	int rc;

	*out = NULL;
	buf_init(&text, CONFIG_FILE_MAX);
	rc = file_read(path, &text);
	if (rc == 0)
		rc = config_parse(buf_slice(&text), path, out, errors);
	else if (rc == -ENOBUFS)
		buf_addf(errors, "%s: larger than %d bytes\n", path, CONFIG_FILE_MAX);
	else
		buf_addf(errors, "%s: %s%s\n", path, strerror(-rc),
			rc == -ENOENT ? " (memoproxy --print-config writes one)" : "");
	buf_fini(&text);
	return rc == -ENOBUFS ? -EINVAL : rc;
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
