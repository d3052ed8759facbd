/* SPDX-License-Identifier: MIT */
/* POST /reload: answers once every worker goes by the new configuration. */
#include <errno.h>

#include "base/mem.h"
#include "proxy/admin/admin_internal.h"

#define TEXT_MAX (64 * 1024)

static json_t *json_of_lines(struct slice text)
{
	json_t *lines = json_array();

	while (text.n) {
		struct slice line;

		(void)slice_cut(text, '\n', &line, &text);
		json_array_append_new(lines, json_stringn(line.p, line.n));
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

static void refuse(struct admin_call *c, int err, const struct buf *errors)
{
	int status = err == -ENOMEM ? 503 : 422;
	json_t *j = admin_problem_new(status, "the configuration was not loaded; the old one stays in force");

	json_object_set_new(j, "errors", json_of_lines(buf_slice(errors)));
	admin_answer(c, status, j);
}

void admin_reload(struct admin_call *c)
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
		refuse(c, err ? err : -ENOMEM, &r->warnings);
		free_call(r);
	}
}
