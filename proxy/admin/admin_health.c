/* SPDX-License-Identifier: MIT */
#include "proxy/admin/admin_health.h"

#include <stdio.h>
#include <time.h>

#include "proxy/admin/admin_internal.h"
#include "proxy/admin/json_text.h"
#include "proxy/request/origins.h"
#include "upstream/fetch.h"

static const char *state_name(bool is_down, bool is_out)
{
	return is_down ? "down" : is_out ? "out" : "up";
}

static json_t *json_of_error(const struct upstream_error *e)
{
	char time[40];
	struct tm tm;
	time_t s = (time_t)(e->wall_ms / 1000);
	size_t n;

	if (!e->wall_ms)
		return json_null();
	n = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", gmtime_r(&s, &tm));
	snprintf(time + n, sizeof(time) - n, ".%03dZ", (int)(e->wall_ms % 1000));
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "time", time, "error", fetch_cause_name(e->cause), "detail",
		json_text_of(slice_of(e->detail)), "address",
		e->address[0] ? json_text_of(slice_of(e->address)) : json_null(), "request_id",
		e->id[0] ? json_text_of(slice_of(e->id)) : json_null());
}

static json_t *json_of_origins(const struct upstream_options *o, const struct upstream_health *h)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < h->origins_n; i++) {
		struct slice url = i == 0 ? o->url : o->more_urls[i - 1];

		json_array_append_new(
			all, json_pack("{s:o, s:s, s:i, s:i, s:o}", "url", json_text_of(url), "state",
				     state_name(h->origins[i].is_down, h->origins[i].is_out), "failures_in_a_row",
				     (int)h->origins[i].failures, "active", (int)h->origins[i].active, "last_error",
				     json_of_error(&h->origins[i].last_error)));
	}
	return all;
}

static json_t *json_of_quota(const struct upstream_health *h)
{
	return json_pack("{s:b, s:f, s:o, s:o}", "spared", h->is_spared, "pause_s", (double)h->paused_ms / 1000,
		"remaining", h->quota_remaining < 0 ? json_null() : json_integer(h->quota_remaining), "limit",
		h->quota_limit < 0 ? json_null() : json_integer(h->quota_limit));
}

void admin_add_health(json_t *j, const struct snapshot *s, unsigned upstream)
{
	const struct upstream_options *o = origins_options(s->origins, upstream);
	struct upstream_health h;

	if (!upstream_health(o, &h))
		return;
	json_object_set_new(j, "origins", json_of_origins(o, &h));
	json_object_set_new(j, "breaker",
		json_string(o->breaker_errors_percent == 0 ? "off"
			    : h.is_breaker_open            ? "open"
							   : "closed"));
	if (o->quota_guard)
		json_object_set_new(j, "quota", json_of_quota(&h));
}
