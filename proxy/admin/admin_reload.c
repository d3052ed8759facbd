/* SPDX-License-Identifier: MIT */
/* POST /reload: answers once every worker goes by the new configuration; or says what that would change. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/mem.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/json_text.h"

#define TEXT_MAX (64 * 1024)

static json_t *json_of_lines(struct slice text)
{
	json_t *lines = json_array();

	while (text.n) {
		struct slice line;

		(void)slice_cut(text, '\n', &line, &text);
		json_array_append_new(lines, json_text_of(line));
	}
	return lines;
}

struct reload_call {
	struct admin_call *call;
	struct buf later, warnings;
};

static void free_call(struct reload_call *r)
{
	buf_fini(&r->later);
	buf_fini(&r->warnings);
	mem_free(r);
}

/* Messages keep their order: the workers took the new configuration before they answered this. */
static void on_all_told(void *arg, struct collected *sum)
{
	struct reload_call *r = arg;
	unsigned routes = r->call->service->snapshot->config->routes_n - 1; /* the default one has no section */

	collected_free(&sum);
	admin_answer(r->call, 200,
		json_pack("{s:b, s:i, s:i, s:o, s:o}", "reloaded", 1, "routes", (int)routes, "upstreams",
			(int)r->call->service->snapshot->config->upstreams_n, "needs_restart",
			json_of_lines(buf_slice(&r->later)), "warnings", json_of_lines(buf_slice(&r->warnings))));
	free_call(r);
}

static void refuse(struct admin_call *c, int err, const struct buf *errors, const char *what)
{
	int status = err == -ENOMEM ? 503 : 422;
	json_t *j = admin_problem_new(status, what);

	json_object_set_new(j, "errors", json_of_lines(buf_slice(errors)));
	admin_answer(c, status, j);
}

static void reload(struct admin_call *c)
{
	struct reload_call *r;
	int err;

	r = mem_zalloc(sizeof(*r));
	if (!r) {
		admin_problem(c, 503, "out of memory");
		return;
	}
	r->call = c;
	buf_init(&r->later, TEXT_MAX);
	buf_init(&r->warnings, TEXT_MAX);
	err = c->admin->o.reload(c->admin->o.owner, &r->warnings, &r->later); /* with an error: what is wrong */
	if (err || collect_start(c->service, on_all_told, r)) {
		refuse(c, err ? err : -ENOMEM, &r->warnings,
			"the configuration was not loaded; the old one stays in force");
		free_call(r);
	}
}

/* ---- Only to see ---- */

static json_t *json_of_file(const char *file)
{
	char path[PATH_MAX];

	return json_text_of(slice_of(realpath(file, path) ? path : file));
}

static void try(struct admin_call *c)
{
	const struct admin_options *o = &c->admin->o;
	struct buf warnings, differs, later;
	json_t *j;
	int err;

	buf_init(&warnings, TEXT_MAX);
	buf_init(&differs, TEXT_MAX);
	buf_init(&later, TEXT_MAX);
	err = o->reload_try(o->owner, &warnings, &differs, &later);
	if (err) {
		refuse(c, err, &warnings, "the configuration has mistakes and would not be loaded");
	} else {
		j = json_pack("{s:b, s:o, s:o, s:o}", "in_force", differs.n == 0 && later.n == 0, "differs",
			json_of_lines(buf_slice(&differs)), "needs_restart", json_of_lines(buf_slice(&later)),
			"warnings", json_of_lines(buf_slice(&warnings)));
		if (j && o->file)
			json_object_set_new(j, "file", json_of_file(o->file));
		admin_answer(c, 200, j);
	}
	buf_fini(&warnings);
	buf_fini(&differs);
	buf_fini(&later);
}

void admin_reload(struct admin_call *c)
{
	if (admin_flag(c, "dry_run"))
		try(c);
	else
		reload(c);
}
