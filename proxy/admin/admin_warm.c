/* SPDX-License-Identifier: MIT */
/* warm, warmups. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "proxy/admin/admin.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/json_text.h"
#include "proxy/admin/warm.h"

/* What is mistyped is told to who typed it. */
static json_t *json_of_added(struct admin_call *c, struct slice lines, uint64_t id)
{
	char first[WARM_WHY_MAX];
	unsigned wrong = warm_check(c->admin->warm, lines, first);
	json_t *j = json_pack("{s:I}", "id", (json_int_t)id);

	if (j && wrong > 0) {
		json_object_set_new(j, "no_urls", json_integer(wrong));
		json_object_set_new(j, "first", json_text_of(slice_of(first)));
	}
	return j;
}

static void answer_added(struct admin_call *c, int err, struct slice lines, uint64_t id)
{
	if (err == -EINVAL)
		admin_problem(c, 400, "give url, urls or cancel");
	else if (err == -EMSGSIZE)
		admin_problem(c, 400, "that are too many");
	else if (err == -EBUSY)
		admin_problem(c, 503, "too many lists wait");
	else if (err)
		admin_problem(c, 503, "out of memory");
	else
		admin_answer(c, 200, json_of_added(c, lines, id));
}

static void add(struct admin_call *c)
{
	struct buf lines;
	uint64_t id = 0;
	int err;

	buf_init(&lines, WARM_TEXT);
	for (unsigned i = 0; i < c->parameters_n; i++) {
		buf_add_slice(&lines, c->parameters[i].value);
		buf_add_char(&lines, '\n');
	}
	err = lines.err ? lines.err : warm_add(c->admin->warm, buf_slice(&lines), c->transport->peer, &id);
	answer_added(c, err, buf_slice(&lines), id);
	buf_fini(&lines);
}

void admin_warm(struct admin_call *c)
{
	unsigned long long id;
	struct slice v;

	if (!admin_parameter(c, "cancel", &v)) {
		add(c);
		return;
	}
	if (c->parameters_n > 1)
		admin_problem(c, 400, "cancel stands alone");
	else if (!slice_to_u64(v, UINT64_MAX, &id))
		admin_problem(c, 400, "cancel is the id of a list");
	else if (!warm_cancel(c->admin->warm, id))
		admin_problem(c, 404, "there is no such list, or it is through");
	else
		admin_answer(c, 200, json_pack("{s:I, s:b}", "id", (json_int_t)id, "cancelled", 1));
}

void admin_warmups(struct admin_call *c)
{
	admin_answer(c, 200, warm_json(c->admin->warm));
}

static void add_file(struct admin *a, const char *path, unsigned most, const char *from)
{
	uint64_t id;
	int err = warm_add_file(a->warm, path, most, from, &id);

	/* That of the run before is there from the second run on, and may be empty. */
	if (err && !(most > 0 && (err == -ENOENT || err == -EINVAL)))
		log_warn("warm: %s: %s", path,
			err == -EINVAL     ? "it names no URL"
			: err == -EMSGSIZE ? "it is too long"
			: err == -ENOTSUP  ? "it is not a file"
					   : strerror(-err));
}

void admin_warm_at_start(struct admin *a)
{
	const struct config *config = a->service->snapshot->config;
	char path[PATH_MAX];

	if (config->warm.top > 0 && config->disk.path.n > 0 &&
		snprintf(path, sizeof(path), "%.*s/" WARM_TOP_FILE, SLICE_ARG(config->disk.path)) < PATH_MAX)
		add_file(a, path, config->warm.top, "last-run");
	if (config->warm.file.n > 0)
		add_file(a, config->warm.file.p, 0, "file");
}
