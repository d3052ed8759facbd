/* SPDX-License-Identifier: MIT */
/* refresh. */
#include <errno.h>

#include "base/mem.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/transaction/refresh.h"

/* Whatever made the refresh fail, what is stored stays. */
static json_t *refresh_failed(const struct refresh_result *r)
{
	const char *cause = fetch_cause_name(r->cause);
	char detail[160];
	json_t *j;

	if (r->upstream_status >= 500)
		snprintf(detail, sizeof(detail), "the upstream answered %d; what is stored stays", r->upstream_status);
	else
		snprintf(detail, sizeof(detail),
			"no response that could be used came from the upstream%s%s; what is stored stays",
			cause ? ": " : "", cause ? cause : "");
	j = admin_problem_new(r->status, detail);
	if (r->upstream_status)
		json_object_set_new(j, "upstream_status", json_integer(r->upstream_status));
	if (cause)
		json_object_set_new(j, "error", json_string(cause));
	return j;
}

struct refreshing {
	struct admin_call *call;
	json_t *hosts;
};

static void on_refreshed(void *arg, const struct refresh_result *r)
{
	struct refreshing *p = arg;
	int status = 200;
	json_t *j;

	if (r->stored) {
		j = json_pack("{s:i, s:b, s:f, s:f, s:s}", "status", r->status, "stored", 1, "lifetime_s",
			(double)r->lifetime_ms / 1000, "age_s", (double)r->age_ms / 1000, "source",
			admin_source_name(r->source));
	} else if (r->why != POLICY_STORE) {
		j = json_pack("{s:o, s:b, s:s, s:s}", "summary", admin_summary_of(r->config, r->route, r->why),
			"stored", 0, "reason", policy_reason(r->why)->token, "detail", policy_reason(r->why)->what);
		if (r->upstream_status)
			json_object_set_new(j, "status", json_integer(r->upstream_status));
	} else {
		status = r->status;
		j = refresh_failed(r);
	}
	admin_tell_hosts(j, p->hosts);
	admin_answer(p->call, status, j);
	mem_free(p);
}

void admin_refresh(struct admin_call *c)
{
	struct refreshing *p;
	struct admin_url l;
	struct slice url;

	if (!admin_take_url(c, &url, &l))
		return;
	p = mem_alloc(sizeof(*p));
	if (p)
		*p = (struct refreshing){c, admin_other_hosts(c, &l)};
	admin_url_fini(&l);
	if (p && refresh_start(c->service, url, on_refreshed, p) == 0)
		return;
	if (p)
		json_decref(p->hosts);
	mem_free(p);
	admin_problem(c, 503, "out of memory");
}
