/* /stats as JSON and /metrics as Prometheus text, from one table of counters. */
#include "base/mem.h"
#include "proxy/access_log.h"
#include "proxy/admin_internal.h"

#define METRICS_MAX (1 << 20)

enum group { GROUP_CLIENT, GROUP_WORKER, GROUP_CACHE, GROUP_SCOPES, GROUPS };

struct counter {
	enum group group;
	size_t offset;
	const char *name;
	bool is_gauge;
	const char *help;
};

#define CLIENT(m, gauge, help) {GROUP_CLIENT, offsetof(struct gate_stats, m), #m, gauge, help}
#define WORKER(m, gauge, help) {GROUP_WORKER, offsetof(struct worker_stats, m), #m, gauge, help}
#define CACHE(m, gauge, help) {GROUP_CACHE, offsetof(struct cache_stats, m), #m, gauge, help}
#define SCOPES(m, gauge, help) {GROUP_SCOPES, offsetof(struct scope_stats, m), #m, gauge, help}

static const struct counter counters[] = {
	CLIENT(accepted, false, "Client connections accepted"),
	CLIENT(open, true, "Client connections open now"),
	CLIENT(refused_total_bound, false, "Client connections refused because max_connections was reached"),
	CLIENT(bad_requests, false, "Requests refused as malformed or too large"),
	CLIENT(header_timeouts, false, "Connections closed because a request head took too long"),
	CLIENT(body_timeouts, false, "Connections closed because a request body stalled"),
	CLIENT(idle_timeouts, false, "Connections closed because they were idle"),
	CLIENT(write_timeouts, false, "Connections closed because the client took no bytes"),
	CLIENT(bytes_in, false, "Bytes received from clients"),
	CLIENT(bytes_out, false, "Bytes sent to clients"),
	WORKER(requests, false, "Requests"),
	WORKER(aborted, false, "Answers cut short because the upstream broke off"),
	WORKER(clients_gone, false, "Clients that left before their answer was complete"),
	WORKER(background_fetches, false, "Fetches for stale answers, in the background"),
	WORKER(fills, false, "Fetches started"),
	WORKER(fills_active, true, "Fetches running now"),
	WORKER(invalidated_by_writes, false, "Invalidations caused by unsafe requests"),
	WORKER(body_bytes_out, false, "Body bytes sent to clients"),
	CACHE(entries, true, "Keys in memory"),
	CACHE(objects, true, "Stored answers in memory"),
	CACHE(bytes, true, "Bytes that the memory tier takes, bookkeeping included"),
	CACHE(memory_bytes, true, "Bound on these bytes"),
	CACHE(evicted_lru, false, "Answers evicted for want of memory"),
	CACHE(evicted_expired, false, "Expired answers removed"),
	CACHE(evicted_purged, false, "Purged answers removed"),
	CACHE(evicted_replaced, false, "Answers replaced by newer ones"),
	CACHE(refused_too_large, false, "Answers not stored because they are larger than max_object"),
	CACHE(refused_memory, false, "Answers not stored for want of memory"),
	CACHE(flights, true, "Fetches that others may join, now"),
	CACHE(waiters, true, "Requests that wait on such a fetch, now"),
	CACHE(flights_refused, false, "Requests refused because too many fetches ran"),
	CACHE(waiters_refused, false, "Requests refused because max_waiters was reached"),
	CACHE(markers, true, "Keys remembered as uncacheable or failed"),
	CACHE(markers_evicted, false, "Such marks dropped because there were too many"),
	CACHE(stored, false, "Answers stored"),
	CACHE(revalidated, false, "Stored answers that the upstream confirmed"),
	CACHE(collapsed, false, "Requests that joined another's fetch"),
	CACHE(released, false, "Waiters released because the answer was not to be shared"),
	CACHE(failures_remembered, false, "Failed fetches remembered"),
	CACHE(leader_timeouts, false, "Fetches that were silent for longer than coalesce_timeout"),
	CACHE(purges, false, "Invalidations"),
	SCOPES(seq, true, "Sequence number of the newest invalidation"),
	SCOPES(floor_seq, true, "Everything older than this is invalid"),
	SCOPES(rules, true, "Invalidation rules kept"),
	SCOPES(floor_raised, false, "Times the rule table was full and the floor was raised"),
};

struct upstream_counter {
	size_t offset;
	const char *name;
	bool is_gauge;
	const char *help;
};
#define UPSTREAM(m, gauge, help) {offsetof(struct upstream_stats, m), #m, gauge, help}
static const struct upstream_counter upstream_counters[] = {
	UPSTREAM(started, false, "Requests sent to the upstream"),
	UPSTREAM(ok, false, "Whole answers"),
	UPSTREAM(refused, false, "No connection"),
	UPSTREAM(timeouts, false, "Time-outs"),
	UPSTREAM(broken, false, "Answers that broke off"),
	UPSTREAM(bad_answers, false, "Answers that are not valid HTTP"),
	UPSTREAM(busy, false, "Requests refused because max_connections and queue were full"),
	UPSTREAM(cancelled, false, "Requests given up because nobody wanted them any more"),
	UPSTREAM(retries, false, "Second tries"),
	UPSTREAM(stale_connections, false, "Kept connections that were found unusable"),
	UPSTREAM(connections_opened, false, "Connections opened"),
	UPSTREAM(connections_reused, false, "Requests on a kept connection"),
	UPSTREAM(bytes_in, false, "Body bytes received"),
	UPSTREAM(active, true, "Requests running now"),
	UPSTREAM(queued, true, "Requests that wait for a connection now"),
};

static uint64_t at(const void *base, size_t offset)
{
	return *(const uint64_t *)(const void *)((const char *)base + offset);
}

struct report {
	struct admin_call *call;
	struct cache_stats cache;
	const struct collected *sum;
	const void *bases[GROUPS];
};

static void report_init(struct report *r, struct admin_call *c, const struct collected *sum)
{
	r->call = c;
	r->sum = sum;
	cache_stats(c->server->cache, &r->cache);
	r->bases[GROUP_CLIENT] = &sum->gate;
	r->bases[GROUP_WORKER] = &sum->worker;
	r->bases[GROUP_CACHE] = &r->cache;
	r->bases[GROUP_SCOPES] = &r->cache.scopes;
}

/* Answers without an upstream request, of all that the cache could have answered. */
static double hit_ratio(const struct worker_stats *w)
{
	uint64_t hits = w->answers[ANSWER_HIT] + w->answers[ANSWER_STALE] + w->answers[ANSWER_COLLAPSED];
	uint64_t all = hits + w->answers[ANSWER_MISS] + w->answers[ANSWER_REVALIDATED] + w->answers[ANSWER_PASS];

	return all ? (double)hits / (double)all : 0;
}

/* ---- JSON ---- */

static json_t *json_of_answers(const struct worker_stats *w)
{
	json_t *j = json_object();

	for (unsigned i = 0; i < ANSWER_KINDS; i++)
		json_object_set_new(j, answer_kind_name((enum answer_kind)i), json_integer((json_int_t)w->answers[i]));
	return j;
}

static json_t *json_of_upstreams(const struct report *r)
{
	const struct config *c = r->call->server->snapshot->config;
	json_t *all = json_object();

	for (unsigned i = 0; i < r->sum->upstreams_n; i++) {
		json_t *j = json_object();

		for (unsigned k = 0; k < ARRAY_LEN(upstream_counters); k++)
			json_object_set_new(j, upstream_counters[k].name,
			                    json_integer((json_int_t)at(&r->sum->upstreams[i], upstream_counters[k].offset)));
		json_object_set_new(j, "time_s", json_real((double)r->sum->upstreams[i].time_us / 1e6));
		json_object_set_new(all, c->upstreams[i].name.p, j);
	}
	return all;
}

static void on_stats(void *arg, const struct collected *sum)
{
	static const char *const names[GROUPS] = {"clients", "requests", "cache", "invalidation"};
	struct admin_call *c = arg;
	struct server *s = c->server;
	struct report r;
	json_t *groups[GROUPS], *j = json_object();

	report_init(&r, c, sum);
	json_object_set_new(j, "version", json_string(MEMOPROXY_VERSION));
	json_object_set_new(j, "uptime_s", json_real((double)(clock_now().mono_ms - s->started_mono_ms) / 1000));
	json_object_set_new(j, "workers", json_integer(s->workers_n));
	json_object_set_new(j, "hit_ratio", json_real(hit_ratio(&sum->worker)));
	json_object_set_new(j, "answers", json_of_answers(&sum->worker));
	for (unsigned g = 0; g < GROUPS; g++)
		json_object_set_new(j, names[g], groups[g] = json_object());
	for (unsigned i = 0; i < ARRAY_LEN(counters); i++)
		json_object_set_new(groups[counters[i].group], counters[i].name,
		                    json_integer((json_int_t)at(r.bases[counters[i].group], counters[i].offset)));
	json_object_set_new(j, "upstreams", json_of_upstreams(&r));
	json_object_set_new(j, "access_log_dropped",
	                    json_integer(s->access_log ? (json_int_t)access_log_dropped(s->access_log) : 0));
	admin_answer(c, 200, j);
}

/* ---- Prometheus text format 0.0.4 ---- */

static void add_head(struct buf *b, const char *group, const char *name, bool is_gauge, const char *help)
{
	const char *suffix = is_gauge ? "" : "_total";

	buf_addf(b, "# HELP memoproxy_%s_%s%s %s.\n# TYPE memoproxy_%s_%s%s %s\n", group, name, suffix, help, group, name, suffix,
	         is_gauge ? "gauge" : "counter");
}

static void add_counters(struct buf *b, const struct report *r)
{
	static const char *const names[GROUPS] = {"clients", "proxy", "cache", "invalidation"};

	for (unsigned i = 0; i < ARRAY_LEN(counters); i++) {
		const struct counter *k = &counters[i];

		add_head(b, names[k->group], k->name, k->is_gauge, k->help);
		buf_addf(b, "memoproxy_%s_%s%s %llu\n", names[k->group], k->name, k->is_gauge ? "" : "_total",
		         (unsigned long long)at(r->bases[k->group], k->offset));
	}
}

static void add_answers(struct buf *b, const struct worker_stats *w)
{
	add_head(b, "proxy", "answers", false, "Answers by how the cache was used");
	for (unsigned i = 0; i < ANSWER_KINDS; i++)
		buf_addf(b, "memoproxy_proxy_answers_total{cache=\"%s\"} %llu\n", answer_kind_name((enum answer_kind)i),
		         (unsigned long long)w->answers[i]);
}

static void add_upstreams(struct buf *b, const struct report *r)
{
	const struct config *c = r->call->server->snapshot->config;

	for (unsigned k = 0; k < ARRAY_LEN(upstream_counters); k++) {
		const struct upstream_counter *u = &upstream_counters[k];

		add_head(b, "upstream", u->name, u->is_gauge, u->help);
		for (unsigned i = 0; i < r->sum->upstreams_n; i++)
			buf_addf(b, "memoproxy_upstream_%s%s{upstream=\"%s\"} %llu\n", u->name, u->is_gauge ? "" : "_total",
			         c->upstreams[i].name.p, (unsigned long long)at(&r->sum->upstreams[i], u->offset));
	}
	add_head(b, "upstream", "seconds", false, "Time spent waiting for the upstream");
	for (unsigned i = 0; i < r->sum->upstreams_n; i++)
		buf_addf(b, "memoproxy_upstream_seconds_total{upstream=\"%s\"} %.6f\n", c->upstreams[i].name.p,
		         (double)r->sum->upstreams[i].time_us / 1e6);
}

static void on_metrics(void *arg, const struct collected *sum)
{
	struct admin_call *c = arg;
	struct report r;
	struct buf b;

	report_init(&r, c, sum);
	buf_init(&b, METRICS_MAX);
	add_answers(&b, &sum->worker);
	add_counters(&b, &r);
	add_upstreams(&b, &r);
	if (b.err)
		admin_problem(c, 503, "out of memory");
	else
		admin_answer_text(c, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&b));
	buf_fini(&b);
}

static void collect(struct admin_call *c, void (*done)(void *arg, const struct collected *sum))
{
	if (!admin_defer(c))
		return;
	if (collect_start(c->server, done, c))
		admin_problem(c, 503, "out of memory");
}

void admin_stats(struct admin_call *c)
{
	collect(c, on_stats);
}

void admin_metrics(struct admin_call *c)
{
	collect(c, on_metrics);
}
