/* SPDX-License-Identifier: MIT */
/* /metrics: the counters in the Prometheus text format 0.0.4. */
#include <event2/event.h>

#include "proxy/connection/tls.h"
#include "proxy/record/access_log.h"
#include "proxy/record/metric_text.h"
#include "proxy/admin/page.h"
#include "proxy/request/origins.h"
#include "upstream/fetch.h"

/* ---- Plain ---- */

static struct metric metric_of(const char *group, const struct counter *k)
{
	return (struct metric){group, k->name, k->is_gauge ? "gauge" : "counter", k->help};
}

static void add_counters(struct page *p, unsigned row)
{
	struct buf *b = &p->text;
	const struct counted *counted = &p->counted;
	static const char *const names[GROUPS] = {"clients", "proxy", "cache", "invalidation"};

	(void)row;
	for (unsigned i = 0; i < counters_n; i++) {
		struct metric m = metric_of(names[counters[i].group], &counters[i]);

		metric_add_head(b, &m);
		metric_add_name(b, &m);
		metric_add_count(b, counter_value(&counters[i], counted));
	}
}

static void add_tier_count(void *arg, const struct tier_count *n)
{
	struct page *p = arg;
	const struct metric m = {
		cache_tier_name(p->call->service->cache), n->name, n->is_gauge ? "gauge" : "counter", n->help};

	metric_add_head(&p->text, &m);
	metric_add_name(&p->text, &m);
	metric_add_count(&p->text, n->value);
}

static void add_tier(struct page *p, unsigned row)
{
	(void)row;
	cache_tier_counts(p->call->service->cache, add_tier_count, p);
}

static void add_service(struct page *p, unsigned row)
{
	struct buf *b = &p->text;
	const struct admin_call *c = p->call;
	const struct service *s = c->service;
	const struct gate_stats *gate = &c->admin->gate_stats;
	static const struct metric info = {"build", "info", "gauge", "Always 1; the version is in the label"};
	const struct {
		struct metric m;
		double value;
	} rows[] = {
		{{"process", "uptime_seconds", "gauge", "Time since the start"},
			(double)(clock_now().mono_ms - s->started_mono_ms) / 1000},
		{{"process", "workers", "gauge", "Threads that serve clients"}, s->workers_n},
		{{"config", "reloads", "counter", "Configurations loaded since the start"}, (double)s->reloads},
		{{"config", "reloads_failed", "counter", "Configurations refused because of mistakes in them"},
			(double)s->reloads_failed},
		{{"admin", "refused", "counter", "Admin calls refused because too many were under way"},
			(double)c->admin->refused},
		{{"admin", "connections_refused", "counter",
			 "Operators' connections refused because there were too many"},
			(double)gate->refused_total_bound},
		{{"admin", "idle_evicted", "counter", "Operators' idle connections closed because there were too many"},
			(double)gate->idle_evicted},
		{{"access_log", "dropped", "counter", "Lines lost because the log took them too slowly"},
			s->access_log ? (double)access_log_dropped(s->access_log) : 0},
		{{"proxy", "hit_ratio", "gauge",
			 "Responses without an upstream request of their own (hit, stale, collapsed), of these and "
			 "miss, "
			 "revalidated and pass"},
			responses_hit_ratio(p->sum->worker.responses)},
	};

	(void)row;
	metric_add_head(b, &info);
	buf_addf(b, "memoproxy_build_info{version=\"%s\",libraries=\"libevent %s, %s\"} 1\n", MEMOPROXY_VERSION,
		event_get_version(), upstream_library());
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		metric_add_head(b, &rows[i].m);
		metric_add_name(b, &rows[i].m);
		metric_add_number(b, rows[i].value);
	}
}

/* ---- The process, by the names that Prometheus' client libraries have for these ---- */

static void add_process(struct page *p, unsigned row)
{
	struct buf *b = &p->text;
	const struct process_facts *f = &p->process;
	const struct {
		struct metric m;
		double value; /* below 0: not known */
	} rows[] = {
		{{NULL, "process_cpu_seconds_total", "counter", "Processor time of the process, user and system"},
			f->cpu_s},
		{{NULL, "process_resident_memory_bytes", "gauge", "Memory that the process has in RAM"},
			(double)f->resident_bytes},
		{{NULL, "process_virtual_memory_bytes", "gauge", "Address space of the process"},
			(double)f->virtual_bytes},
		{{NULL, "process_open_fds", "gauge", "Open file descriptors"}, (double)f->open_files},
		{{NULL, "process_max_fds", "gauge", "Bound on open file descriptors"}, (double)f->max_files},
		{{NULL, "process_start_time_seconds", "gauge", "Start of the process, since 1970"},
			(double)p->call->service->started_wall_ms / 1000},
	};

	(void)row;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].value < 0)
			continue;
		metric_add_head(b, &rows[i].m);
		metric_add_name(b, &rows[i].m);
		metric_add_number(b, rows[i].value);
	}
}

static void add_certificates(struct page *p, unsigned row)
{
	static const struct metric m = {"tls", "certificate_expiry_timestamp_seconds", "gauge",
		"When the first certificate of those that listeners with tls send ends to be valid, since 1970"};
	struct buf *b = &p->text;

	(void)row;
	metric_add_head(b, &m);
	if (!p->call->service->tls)
		return;
	metric_add_name(b, &m);
	buf_add_char(b, '{');
	metric_add_label(b, "certificate", p->sum->snapshot->config->proxy.tls_certificate);
	buf_addf(b, "} %lld\n", (long long)tls_expiry_s(p->call->service->tls));
}

/* ---- By status ---- */

/* `label` is that of what the counters are of, or NULL. Without `zeros` only those that have counted something: of many routes each
 * knows few. */
static void add_codes(struct buf *b, const struct metric *m, const char *label, struct slice value,
	const uint64_t codes[HTTP_STATUS_SLOTS], bool zeros)
{
	for (unsigned i = 0; i < HTTP_STATUS_SLOTS; i++) {
		if (!zeros && codes[i] == 0)
			continue;
		metric_add_name(b, m);
		buf_add_char(b, '{');
		if (label) {
			metric_add_label(b, label, value);
			buf_add_char(b, ',');
		}
		metric_add_label(b, "code", slice_of(http_status_slot_name(i)));
		buf_add_char(b, '}');
		metric_add_count(b, codes[i]);
	}
}

static void add_all_codes(struct page *p, unsigned row)
{
	static const struct metric m = {"proxy", "responses", "counter",
		"Responses to clients by status; a rare one counts for its class, as 4xx; 499: the client left first"};

	(void)row;
	metric_add_head(&p->text, &m);
	add_codes(&p->text, &m, NULL, SLICE_LIT(""), p->sum->worker.codes, true);
}

/* ---- By how the cache was used ---- */

static void add_kind(struct buf *b, enum response_kind k)
{
	metric_add_label(b, "cache", slice_of(response_kind_name(k)));
}

static void add_responses(struct page *p, unsigned row)
{
	struct buf *b = &p->text;
	static const struct metric m = {"proxy", "answers", "counter", "Responses by how the cache was used"};

	(void)row;
	metric_add_head(b, &m);
	for (enum response_kind k = 0; k < RESPONSE_KINDS; k++) {
		metric_add_name(b, &m);
		buf_add_char(b, '{');
		add_kind(b, k);
		buf_add_char(b, '}');
		metric_add_count(b, p->sum->worker.responses[k]);
	}
}

static void add_latency(struct page *p, unsigned row)
{
	static const struct metric m = {"request", "duration_seconds", "histogram",
		"From the end of a request's head until the last byte of its response is with the kernel; clients that "
		"left are not in it"};

	(void)row;
	metric_add_head(&p->text, &m);
	for (enum response_kind k = 0; k < RESPONSE_KINDS; k++)
		metric_add_histogram(
			&p->text, &m, "cache", slice_of(response_kind_name(k)), &p->sum->worker.latency[k]);
}

/* ---- Routes: the head of what they have, and a row for each that [admin] metrics_routes lets in ---- */

static unsigned routes_shown(const struct page *p)
{
	unsigned most = p->sum->snapshot->config->admin.metrics_routes;

	return p->sum->routes_n < most ? p->sum->routes_n : most;
}

static unsigned head_and_routes(const struct page *p)
{
	return routes_shown(p) + 1;
}

static void add_left_out(struct page *p, unsigned row)
{
	static const struct metric m = {
		"metrics", "routes_left_out", "gauge", "Routes without series of their own, because of metrics_routes"};

	(void)row;
	metric_add_head(&p->text, &m);
	metric_add_name(&p->text, &m);
	metric_add_count(&p->text, p->sum->routes_n - routes_shown(p));
}

static void add_route(struct page *p, const struct metric *m, unsigned route)
{
	metric_add_name(&p->text, m);
	buf_add_char(&p->text, '{');
	metric_add_label(&p->text, "route", p->sum->snapshot->config->routes[route].rules.route);
}

static void add_route_responses(struct page *p, unsigned row)
{
	static const struct metric m = {"route", "answers", "counter", "Responses by route and how the cache was used"};
	struct buf *b = &p->text;

	if (row == 0) {
		metric_add_head(b, &m);
		return;
	}
	for (enum response_kind k = 0; k < RESPONSE_KINDS; k++) {
		add_route(p, &m, row - 1);
		buf_add_char(b, ',');
		add_kind(b, k);
		buf_add_char(b, '}');
		metric_add_count(b, p->sum->routes[row - 1].responses[k]);
	}
}

static void add_route_codes(struct page *p, unsigned row)
{
	static const struct metric m = {"route", "responses", "counter",
		"Responses to clients by route and status; what was never sent is left out"};

	if (row == 0)
		metric_add_head(&p->text, &m);
	else
		add_codes(&p->text, &m, "route", p->sum->snapshot->config->routes[row - 1].rules.route,
			p->sum->routes[row - 1].codes, false);
}

static void add_route_ratio(struct page *p, unsigned row)
{
	static const struct metric m = {"route", "hit_ratio", "gauge", "memoproxy_proxy_hit_ratio of the route"};

	if (row == 0) {
		metric_add_head(&p->text, &m);
		return;
	}
	add_route(p, &m, row - 1);
	buf_addf(&p->text, "} %.17g\n", responses_hit_ratio(p->sum->routes[row - 1].responses));
}

static void add_route_saved(struct page *p, unsigned row)
{
	static const struct metric m = {"route", "upstream_saved_seconds", "counter",
		"Estimate of the upstream's time that the cache saved: each hit, stale and collapsed response counts "
		"for "
		"the moving average of how long fetches for its route took"};

	if (row == 0) {
		metric_add_head(&p->text, &m);
		return;
	}
	add_route(p, &m, row - 1);
	buf_add_char(&p->text, '}');
	metric_add_seconds(&p->text, p->sum->routes[row - 1].saved_us);
}

/* One of a route's counters: its head, or that of a route. */
static void add_route_count(struct page *p, unsigned row, const struct metric *m, uint64_t n)
{
	if (row == 0) {
		metric_add_head(&p->text, m);
		return;
	}
	add_route(p, m, row - 1);
	buf_add_char(&p->text, '}');
	metric_add_count(&p->text, n);
}

static void add_route_denied(struct page *p, unsigned row)
{
	static const struct metric m = {"route", "denied", "counter", "Requests answered 403 because of allow or deny"};

	add_route_count(p, row, &m, row > 0 ? p->sum->routes[row - 1].denied : 0);
}

static void add_route_limited(struct page *p, unsigned row)
{
	static const struct metric m = {"route", "limited", "counter", "Requests answered 429 because of client_rate"};

	add_route_count(p, row, &m, row > 0 ? p->sum->routes[row - 1].limited : 0);
}

/* ---- Upstreams ---- */

static void add_upstream(struct buf *b, const struct metric *m, struct slice name)
{
	metric_add_name(b, m);
	buf_add_char(b, '{');
	metric_add_label(b, "upstream", name);
	buf_add_char(b, '}');
}

static unsigned each_counter(const struct page *p)
{
	(void)p;
	return upstream_counters_n;
}

/* Of one counter those of all upstreams, which are not many. */
static void add_upstreams(struct page *p, unsigned row)
{
	struct buf *b = &p->text;
	const struct collected *sum = p->sum;
	struct metric m = metric_of("upstream", &upstream_counters[row]);

	metric_add_head(b, &m);
	for (unsigned i = 0; i < sum->upstreams_n; i++) {
		add_upstream(b, &m, sum->snapshot->config->upstreams[i].name);
		metric_add_count(b, upstream_counter_value(&upstream_counters[row], &sum->upstreams[i]));
	}
}

static void add_upstream_seconds(struct page *p, unsigned row)
{
	static const struct metric seconds = {"upstream", "seconds", "counter", "Time spent waiting for the upstream"};
	struct buf *b = &p->text;
	const struct collected *sum = p->sum;

	(void)row;
	metric_add_head(b, &seconds);
	for (unsigned i = 0; i < sum->upstreams_n; i++) {
		add_upstream(b, &seconds, sum->snapshot->config->upstreams[i].name);
		metric_add_seconds(b, (uint64_t)sum->upstreams[i].time_us);
	}
}

/* ---- Upstreams: the head of what they have, and a row for each ---- */

static unsigned head_and_upstreams(const struct page *p)
{
	return p->sum->upstreams_n + 1;
}

static struct slice upstream_name(const struct page *p, unsigned row)
{
	return p->sum->snapshot->config->upstreams[row - 1].name;
}

static void add_asker_codes(struct page *p, unsigned row)
{
	static const struct metric m = {"upstream", "responses", "counter",
		"Responses to clients of the upstream's routes, by status, whether it was asked or not"};

	if (row == 0)
		metric_add_head(&p->text, &m);
	else
		add_codes(&p->text, &m, "upstream", upstream_name(p, row), p->sum->askers[row - 1].codes, true);
}

static void add_origin_codes(struct page *p, unsigned row)
{
	static const struct metric m = {
		"origin", "responses", "counter", "Responses of the upstream's origins, by status"};

	if (row == 0)
		metric_add_head(&p->text, &m);
	else
		add_codes(&p->text, &m, "upstream", upstream_name(p, row), p->sum->upstreams[row - 1].codes, true);
}

static void add_first_byte(struct page *p, unsigned row)
{
	static const struct metric m = {"origin", "first_byte_seconds", "histogram",
		"From when a fetch had a place among max_connections to the first line of its response, connecting and "
		"retries "
		"included"};

	if (row == 0)
		metric_add_head(&p->text, &m);
	else
		metric_add_histogram(
			&p->text, &m, "upstream", upstream_name(p, row), &p->sum->upstreams[row - 1].first_byte);
}

static void add_whole(struct page *p, unsigned row)
{
	static const struct metric m = {"origin", "response_duration_seconds", "histogram",
		"The same to the last byte, of whole responses; where a client takes one slowly that is not stored, "
		"its time is "
		"in it"};

	if (row == 0)
		metric_add_head(&p->text, &m);
	else
		metric_add_histogram(
			&p->text, &m, "upstream", upstream_name(p, row), &p->sum->upstreams[row - 1].whole);
}

/* ---- What is known of the upstreams ---- */

static void add_origin_gauge(struct buf *b, const struct metric *m, const struct collected *sum,
	int64_t (*value_of)(const struct upstream_health *h, unsigned origin))
{
	struct upstream_health h;

	metric_add_head(b, m);
	for (unsigned i = 0; i < sum->upstreams_n; i++) {
		const struct upstream_options *o = origins_options(sum->snapshot->origins, i);

		if (!upstream_health(o, &h))
			continue;
		for (unsigned k = 0; k < h.origins_n; k++) {
			metric_add_name(b, m);
			buf_add_char(b, '{');
			metric_add_label(b, "upstream", sum->snapshot->config->upstreams[i].name);
			buf_add_char(b, ',');
			metric_add_label(b, "origin", k == 0 ? o->url : o->more_urls[k - 1]);
			buf_addf(b, "} %lld\n", (long long)value_of(&h, k));
		}
	}
}

static void add_upstream_gauge(struct buf *b, const struct metric *m, const struct collected *sum,
	int64_t (*value_of)(const struct upstream_health *h))
{
	struct upstream_health h;

	metric_add_head(b, m);
	for (unsigned i = 0; i < sum->upstreams_n; i++) {
		if (!upstream_health(origins_options(sum->snapshot->origins, i), &h) || value_of(&h) < 0)
			continue;
		add_upstream(b, m, sum->snapshot->config->upstreams[i].name);
		buf_addf(b, " %lld\n", (long long)value_of(&h));
	}
}

static int64_t is_origin_up(const struct upstream_health *h, unsigned origin)
{
	return !h->origins[origin].is_down && !h->origins[origin].is_out;
}

static int64_t origin_failures(const struct upstream_health *h, unsigned origin)
{
	return h->origins[origin].failures;
}

static int64_t origin_active(const struct upstream_health *h, unsigned origin)
{
	return h->origins[origin].active;
}

static int64_t is_breaker_open(const struct upstream_health *h)
{
	return h->is_breaker_open;
}

static int64_t is_spared(const struct upstream_health *h)
{
	return h->is_spared;
}

static int64_t quota_remaining(const struct upstream_health *h)
{
	return h->quota_remaining;
}

/* ---- Origins ---- */

static const struct {
	struct metric m;
	int64_t (*value_of)(const struct upstream_health *h, unsigned origin);
} origin_gauges[] = {
	{{"upstream", "origin_up", "gauge", "1: the origin is asked; 0: it is left out for now"}, is_origin_up},
	{{"upstream", "origin_failures_in_a_row", "gauge", "Requests that the origin failed last"}, origin_failures},
	{{"upstream", "origin_active", "gauge", "Requests that the origin has now"}, origin_active},
};

static const struct {
	struct metric m;
	int64_t (*value_of)(const struct upstream_health *h);
} upstream_gauges[] = {
	{{"upstream", "breaker_open", "gauge", "1: the circuit breaker is open"}, is_breaker_open},
	{{"upstream", "spared", "gauge", "1: the quota guard keeps calls for true misses"}, is_spared},
	{{"upstream", "quota_remaining", "gauge", "Calls that the upstream said are left"}, quota_remaining},
};

static unsigned each_gauge(const struct page *p)
{
	(void)p;
	return ARRAY_LEN(origin_gauges) + ARRAY_LEN(upstream_gauges);
}

static void add_health(struct page *p, unsigned row)
{
	unsigned i = row - ARRAY_LEN(origin_gauges);

	if (row < ARRAY_LEN(origin_gauges))
		add_origin_gauge(&p->text, &origin_gauges[row].m, p->sum, origin_gauges[row].value_of);
	else
		add_upstream_gauge(&p->text, &upstream_gauges[i].m, p->sum, upstream_gauges[i].value_of);
}

static const struct page_part parts[] = {
	{add_service, NULL},
	{add_process, NULL},
	{add_certificates, NULL},
	{add_responses, NULL},
	{add_all_codes, NULL},
	{add_latency, NULL},
	{add_left_out, NULL},
	{add_route_responses, head_and_routes},
	{add_route_codes, head_and_routes},
	{add_route_ratio, head_and_routes},
	{add_route_saved, head_and_routes},
	{add_route_denied, head_and_routes},
	{add_route_limited, head_and_routes},
	{add_counters, NULL},
	{add_tier, NULL},
	{add_upstreams, each_counter},
	{add_upstream_seconds, NULL},
	{add_asker_codes, head_and_upstreams},
	{add_origin_codes, head_and_upstreams},
	{add_first_byte, head_and_upstreams},
	{add_whole, head_and_upstreams},
	{add_health, each_gauge},
};

static const struct page_kind metrics = {"text/plain; version=0.0.4; charset=utf-8", parts, ARRAY_LEN(parts)};

void admin_metrics(struct admin_call *c)
{
	page_start(c, &metrics);
}
