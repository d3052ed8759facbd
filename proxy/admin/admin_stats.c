/* SPDX-License-Identifier: MIT */
/* /stats: the counters as JSON. */
#include "base/mem.h"
#include "proxy/record/access_log.h"
#include "proxy/admin/admin_health.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/counters.h"

static json_t *json_of_count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *json_of_responses(const uint64_t responses[RESPONSE_KINDS])
{
	json_t *j = json_object();

	for (unsigned i = 0; i < RESPONSE_KINDS; i++)
		json_object_set_new(j, response_kind_name((enum response_kind)i), json_of_count(responses[i]));
	return j;
}

/* How long responses took in all, and how many they are: the mean is theirs to divide; /metrics has the distribution. */
static json_t *json_of_latency(const struct worker_stats *w)
{
	json_t *j = json_object();

	for (unsigned i = 0; i < RESPONSE_KINDS; i++)
		json_object_set_new(j, response_kind_name((enum response_kind)i),
			json_pack("{s:I, s:f}", "count", (json_int_t)latency_count(&w->latency[i]), "sum_s",
				(double)w->latency[i].sum_us / 1e6));
	return j;
}

static json_t *json_of_upstreams(const struct collected *sum)
{
	const struct config *c = sum->snapshot->config;
	json_t *all = json_object();

	for (unsigned i = 0; i < sum->upstreams_n; i++) {
		json_t *j = json_object();

		for (unsigned k = 0; k < upstream_counters_n; k++)
			json_object_set_new(j, upstream_counters[k].name,
				json_of_count(upstream_counter_value(&upstream_counters[k], &sum->upstreams[i])));
		json_object_set_new(j, "time_s", json_real((double)sum->upstreams[i].time_us / 1e6));
		admin_add_health(j, sum->snapshot, i);
		json_object_set_new(all, c->upstreams[i].name.p, j);
	}
	return all;
}

static json_t *json_of_routes(const struct collected *sum)
{
	const struct snapshot *s = sum->snapshot;
	json_t *all = json_object();

	for (unsigned i = 0; i < sum->routes_n; i++) {
		const struct route_stats *r = &sum->routes[i];

		json_object_set_new(all, s->config->routes[i].rules.route.p,
			json_pack("{s:f, s:f, s:f, s:o}", "hit_ratio", responses_hit_ratio(r->responses),
				"upstream_saved_s", (double)r->saved_us / 1e6, "mean_fetch_s",
				(double)atomic_load(&s->fetch_us[i]) / 1e6, "answers",
				json_of_responses(r->responses)));
	}
	return all;
}

static double saved_s(const struct collected *sum)
{
	uint64_t us = 0;

	for (unsigned i = 0; i < sum->routes_n; i++)
		us += sum->routes[i].saved_us;
	return (double)us / 1e6;
}

static void add_groups(json_t *j, const struct counted *counted)
{
	static const char *const names[GROUPS] = {"clients", "requests", "cache", "invalidation", "disk"};
	json_t *groups[GROUPS];

	for (unsigned g = 0; g < GROUPS; g++)
		if (counted->bases[g])
			json_object_set_new(j, names[g], groups[g] = json_object());
	for (unsigned i = 0; i < counters_n; i++)
		if (counted->bases[counters[i].group])
			json_object_set_new(groups[counters[i].group], counters[i].name,
				json_of_count(counter_value(&counters[i], counted)));
}

static void on_stats(void *arg, const struct collected *sum)
{
	struct admin_call *c = arg;
	struct service *s = c->service;
	struct counted counted;
	json_t *j = json_object();

	counted_init(&counted, s, sum);
	json_object_set_new(j, "version", json_string(MEMOPROXY_VERSION));
	json_object_set_new(j, "uptime_s", json_real((double)(clock_now().mono_ms - s->started_mono_ms) / 1000));
	json_object_set_new(j, "workers", json_integer(s->workers_n));
	json_object_set_new(j, "reloads", json_of_count(s->reloads));
	json_object_set_new(j, "reloads_failed", json_of_count(s->reloads_failed));
	json_object_set_new(j, "admin_refused", json_of_count(c->admin->refused));
	json_object_set_new(j, "admin_connections_refused", json_of_count(c->admin->gate_stats.refused_total_bound));
	json_object_set_new(j, "admin_idle_evicted", json_of_count(c->admin->gate_stats.idle_evicted));
	json_object_set_new(j, "hit_ratio", json_real(responses_hit_ratio(sum->worker.responses)));
	json_object_set_new(j, "upstream_saved_s", json_real(saved_s(sum)));
	json_object_set_new(j, "answers", json_of_responses(sum->worker.responses));
	json_object_set_new(j, "latency", json_of_latency(&sum->worker));
	add_groups(j, &counted);
	json_object_set_new(j, "upstreams", json_of_upstreams(sum));
	json_object_set_new(j, "routes", json_of_routes(sum));
	json_object_set_new(
		j, "access_log_dropped", json_of_count(s->access_log ? access_log_dropped(s->access_log) : 0));
	admin_answer(c, 200, j);
}

void admin_stats(struct admin_call *c)
{
	admin_collect(c, on_stats);
}
