/* SPDX-License-Identifier: MIT */
/* /stats: the counters as JSON. */
#include <event2/event.h>

#include "proxy/connection/tls.h"
#include "proxy/record/access_log.h"
#include "proxy/admin/admin_health.h"
#include "proxy/admin/page.h"

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

/* Those that there were. */
static json_t *json_of_codes(const uint64_t codes[HTTP_STATUS_SLOTS])
{
	json_t *j = json_object();

	for (unsigned i = 0; i < HTTP_STATUS_SLOTS; i++)
		if (codes[i])
			json_object_set_new(j, http_status_slot_name(i), json_of_count(codes[i]));
	return j;
}

/* How many they are, how long they took in all, and of how many that was no more than so many seconds. */
static json_t *json_of_latency(const struct latency *l)
{
	json_t *le = json_object();
	uint64_t below = 0;
	char bound[32];

	for (unsigned i = 0; i < LATENCY_BOUNDS; i++) {
		below += l->buckets[i];
		snprintf(bound, sizeof(bound), "%.9g", (double)latency_bounds_us[i] / 1e6);
		json_object_set_new(le, bound, json_of_count(below));
	}
	return json_pack(
		"{s:I, s:f, s:o}", "count", (json_int_t)latency_count(l), "sum_s", (double)l->sum_us / 1e6, "le", le);
}

static json_t *json_of_latencies(const struct worker_stats *w)
{
	json_t *j = json_object();

	for (unsigned i = 0; i < RESPONSE_KINDS; i++)
		json_object_set_new(j, response_kind_name((enum response_kind)i), json_of_latency(&w->latency[i]));
	return j;
}

static json_t *json_of_origin(const struct upstream_stats *u)
{
	return json_pack("{s:o, s:o, s:o}", "codes", json_of_codes(u->codes), "first_byte",
		json_of_latency(&u->first_byte), "whole", json_of_latency(&u->whole));
}

/* null: not known */
static json_t *json_if_known(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

static json_t *json_of_process(const struct page *p)
{
	const struct process_facts *f = &p->process;

	return json_pack("{s:f, s:o, s:o, s:o, s:o, s:f}", "cpu_s", f->cpu_s, "resident_bytes",
		json_if_known(f->resident_bytes), "virtual_bytes", json_if_known(f->virtual_bytes), "open_fds",
		json_if_known(f->open_files), "max_fds", json_if_known(f->max_files), "start_s",
		(double)p->call->service->started_wall_ms / 1000);
}

static json_t *json_of_certificates(const struct page *p)
{
	struct slice path = p->sum->snapshot->config->proxy.tls_certificate;
	struct tls *tls = p->call->service->tls;

	json_t *all = json_object(), *name = tls ? json_text_of(path) : NULL;

	if (name)
		json_object_set_new(all, json_string_value(name), json_integer((json_int_t)tls_expiry_s(tls)));
	json_decref(name);
	return all;
}

static unsigned each_upstream(const struct page *p)
{
	return p->sum->upstreams_n;
}

static void add_upstream(struct page *p, unsigned row)
{
	json_t *j = json_object();

	for (unsigned k = 0; k < upstream_counters_n; k++)
		json_object_set_new(j, upstream_counters[k].name,
			json_of_count(upstream_counter_value(&upstream_counters[k], &p->sum->upstreams[row])));
	json_object_set_new(j, "time_s", json_real((double)p->sum->upstreams[row].time_us / 1e6));
	json_object_set_new(j, "codes", json_of_codes(p->sum->askers[row].codes));
	json_object_set_new(j, "origin", json_of_origin(&p->sum->upstreams[row]));
	admin_add_health(j, p->sum->snapshot, row);
	json_text_add(&p->json, p->sum->snapshot->config->upstreams[row].name.p, j);
}

static unsigned each_route(const struct page *p)
{
	return p->sum->routes_n;
}

static void add_route(struct page *p, unsigned row)
{
	const struct snapshot *s = p->sum->snapshot;
	const struct route_stats *r = &p->sum->routes[row];

	json_text_add(&p->json, s->config->routes[row].rules.route.p,
		json_pack("{s:f, s:f, s:f, s:o, s:o, s:o, s:o}", "hit_ratio", responses_hit_ratio(r->responses),
			"upstream_saved_s", (double)r->saved_us / 1e6, "mean_fetch_s",
			(double)atomic_load(&s->fetch_us[row]) / 1e6, "answers", json_of_responses(r->responses),
			"codes", json_of_codes(r->codes), "denied", json_of_count(r->denied), "limited",
			json_of_count(r->limited)));
}

static double saved_s(const struct collected *sum)
{
	uint64_t us = 0;

	for (unsigned i = 0; i < sum->routes_n; i++)
		us += sum->routes[i].saved_us;
	return (double)us / 1e6;
}

static void add_groups(struct page *p, unsigned row)
{
	static const char *const names[GROUPS] = {"clients", "requests", "cache", "invalidation"};

	(void)row;
	for (unsigned g = 0; g < GROUPS; g++) {
		json_t *j = json_object();

		for (unsigned i = 0; j && i < counters_n; i++)
			if (counters[i].group == g)
				json_object_set_new(
					j, counters[i].name, json_of_count(counter_value(&counters[i], &p->counted)));
		json_text_add(&p->json, names[g], j);
	}
}

static void add_tier_count(void *arg, const struct tier_count *n)
{
	json_object_set_new(arg, n->name, json_of_count(n->value));
}

static void add_tier(struct page *p, unsigned row)
{
	struct cache *cache = p->call->service->cache;
	json_t *j = json_object();

	(void)row;
	cache_tier_counts(cache, add_tier_count, j);
	if (cache_tier_name(cache))
		json_text_add(&p->json, cache_tier_name(cache), j);
	else
		json_decref(j);
}

static void add_service(struct page *p, unsigned row)
{
	const struct service *s = p->call->service;
	const struct admin *a = p->call->admin;
	struct json_text *t = &p->json;

	(void)row;
	json_text_begin(t, &p->text);
	json_text_add(t, "version", json_string(MEMOPROXY_VERSION));
	json_text_add(t, "libraries", json_sprintf("libevent %s, %s", event_get_version(), upstream_library()));
	json_text_add(t, "uptime_s", json_real((double)(clock_now().mono_ms - s->started_mono_ms) / 1000));
	json_text_add(t, "workers", json_integer(s->workers_n));
	json_text_add(t, "reloads", json_of_count(s->reloads));
	json_text_add(t, "reloads_failed", json_of_count(s->reloads_failed));
	json_text_add(t, "admin_refused", json_of_count(a->refused));
	json_text_add(t, "admin_connections_refused", json_of_count(a->gate_stats.refused_total_bound));
	json_text_add(t, "admin_idle_evicted", json_of_count(a->gate_stats.idle_evicted));
	json_text_add(t, "hit_ratio", json_real(responses_hit_ratio(p->sum->worker.responses)));
	json_text_add(t, "upstream_saved_s", json_real(saved_s(p->sum)));
	json_text_add(t, "answers", json_of_responses(p->sum->worker.responses));
	json_text_add(t, "codes", json_of_codes(p->sum->worker.codes));
	json_text_add(t, "latency", json_of_latencies(&p->sum->worker));
	json_text_add(t, "process", json_of_process(p));
	json_text_add(t, "certificates", json_of_certificates(p));
}

static void open_upstreams(struct page *p, unsigned row)
{
	(void)row;
	json_text_open_object(&p->json, "upstreams");
}

static void open_routes(struct page *p, unsigned row)
{
	(void)row;
	json_text_close(&p->json);
	json_text_open_object(&p->json, "routes");
}

static void end(struct page *p, unsigned row)
{
	const struct access_log *log = p->call->service->access_log;

	(void)row;
	json_text_close(&p->json);
	json_text_add(&p->json, "access_log_dropped", json_of_count(log ? access_log_dropped(log) : 0));
	json_text_close(&p->json);
}

static const struct page_part parts[] = {
	{add_service, NULL},
	{add_groups, NULL},
	{add_tier, NULL},
	{open_upstreams, NULL},
	{add_upstream, each_upstream},
	{open_routes, NULL},
	{add_route, each_route},
	{end, NULL},
};

static const struct page_kind stats = {"application/json", parts, ARRAY_LEN(parts)};

void admin_stats(struct admin_call *c)
{
	page_start(c, &stats);
}
