/* SPDX-License-Identifier: MIT */
/* warm, warmups. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/warm.h"

static void answer_added(struct admin_call *c, int err, uint64_t id)
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
		admin_answer(c, 200, json_pack("{s:I}", "id", (json_int_t)id));
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
	buf_fini(&lines);
	answer_added(c, err, id);
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

void admin_warm_at_start(struct admin *a)
{
	struct slice file = a->service->snapshot->config->cache.warm_file;
	uint64_t id;
	int err = file.n ? warm_add_file(a->warm, file.p, &id) : 0;

	if (err)
		log_warn("warm_file: %s: %s", file.p,
			err == -EINVAL     ? "it names no URL"
			: err == -EMSGSIZE ? "it is too long"
					   : strerror(-err));
}
