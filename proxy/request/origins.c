/* SPDX-License-Identifier: MIT */
#include "proxy/request/origins.h"

#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/mailbox.h"
#include "upstream/fetch.h"

#define ORIGIN_HEAD_MAX (64 * 1024)
#define BREAKER_SLOW_ALONE_PERCENT 50 /* of breaker_errors, where breaker_slow is set and that is not */

struct origins_part {
	struct message message; /* to the worker: free your loop */
	struct origins *whole;
	struct upstream_loop *loop; /* the worker's */
};

struct origins {
	_Atomic unsigned refs;
	_Atomic unsigned parts_left; /* that have not freed their loop */
	/* set once */
	struct origins_workers workers;
	struct config *config; /* whose strings the options borrow */
	struct upstream_options *options;
	struct slice *urls; /* what the options' more_urls point into */
	unsigned parts_n;
	struct origins_part parts[];
};

static unsigned count_more(const struct config_url *url)
{
	unsigned n = 0;

	while ((url = url->next) != NULL)
		n++;
	return n;
}

static void fill_guards(struct upstream_options *to, const struct config_upstream *from)
{
	to->max_fails = from->max_fails;
	to->fail_timeout_ms = from->fail_timeout_ms;
	to->fail_on_5xx = from->fail_on_5xx;
	to->health_path = from->health_path;
	to->health_interval_ms = from->health_interval_ms;
	to->health_timeout_ms = from->health_timeout_ms;
	to->breaker_errors_percent = from->breaker_errors        ? from->breaker_errors
				     : from->breaker_slow_ms > 0 ? BREAKER_SLOW_ALONE_PERCENT
								 : 0;
	to->breaker_requests = from->breaker_requests;
	to->breaker_window_ms = from->breaker_window_ms;
	to->breaker_open_ms = from->breaker_open_ms;
	to->breaker_slow_ms = from->breaker_slow_ms > 0 ? from->breaker_slow_ms : 0;
	to->quota_guard = from->quota_guard;
	to->quota_reserve_percent = from->quota_reserve;
	to->quota_stretch = from->quota_stretch;
}

/* `urls` has room for the further ones. */
static void fill_options(struct upstream_options *to, const struct config_upstream *from, struct slice *urls)
{
	unsigned n = 0;

	for (const struct config_url *url = from->url.next; url; url = url->next)
		urls[n++] = url->whole;
	*to = (struct upstream_options){
		.name = from->name,
		.url = from->url.whole,
		.more_urls = urls,
		.more_urls_n = n,
		.balance = from->balance == CONFIG_LEAST_CONNECTIONS ? UPSTREAM_LEAST_CONNECTIONS
			   : from->balance == CONFIG_BALANCE_HASH    ? UPSTREAM_HASH
								     : UPSTREAM_ROUND_ROBIN,
		.connect_timeout_ms = from->connect_timeout_ms,
		.first_byte_timeout_ms = from->first_byte_timeout_ms,
		.stall_timeout_ms = from->stall_timeout_ms,
		.dns_ttl_ms = from->dns_ttl_ms,
		.connection_max_age_ms = from->connection_max_age_ms > 0 ? from->connection_max_age_ms : 0,
		.max_connections = from->max_connections,
		.queue_max = from->queue,
		.queue_timeout_ms = from->queue_timeout_ms,
		.retries = from->retries,
		.http_version = from->http_version == CONFIG_HTTP_1_1 ? UPSTREAM_HTTP_1_1
				: from->http_version == CONFIG_HTTP_2 ? UPSTREAM_HTTP_2
								      : UPSTREAM_HTTP_AUTO,
		.tls_ca = from->tls_ca,
		.tls_verify = from->tls_verify,
	};
	fill_guards(to, from);
}

static int make_options(struct origins *o, const struct config *config)
{
	unsigned more = 0;

	for (unsigned i = 0; i < config->upstreams_n; i++)
		more += count_more(&config->upstreams[i].url);
	o->options = mem_zalloc(config->upstreams_n * sizeof(*o->options));
	o->urls = mem_zalloc((more + 1) * sizeof(*o->urls));
	if (!o->options || !o->urls)
		return -ENOMEM;
	more = 0;
	for (unsigned i = 0; i < config->upstreams_n; i++) {
		fill_options(&o->options[i], &config->upstreams[i], o->urls + more);
		more += o->options[i].more_urls_n;
	}
	return 0;
}

static void origins_free(struct origins *o)
{
	mem_free(o->urls);
	mem_free(o->options);
	mem_free(o);
}

static void free_part(struct origins_part *p)
{
	struct origins *o = p->whole;

	upstream_loop_free(&p->loop);
	if (atomic_fetch_sub(&o->parts_left, 1) != 1)
		return;
	config_unref(&o->config);
	origins_free(o);
}

/* On the worker. */
static void on_last_reference(struct message *m)
{
	free_part(CONTAINER_OF(m, struct origins_part, message));
}

int origins_new(const struct origins_workers *workers, struct config *config, struct origins **out)
{
	struct origins *o = mem_zalloc(sizeof(*o) + workers->n * sizeof(o->parts[0]));

	*out = NULL;
	if (!o)
		return -ENOMEM;
	if (make_options(o, config)) {
		origins_free(o);
		return -ENOMEM;
	}
	o->workers = *workers;
	o->config = config_ref(config);
	o->parts_n = workers->n;
	for (unsigned i = 0; i < o->parts_n; i++)
		o->parts[i] = (struct origins_part){.message.on_message = on_last_reference, .whole = o};
	atomic_init(&o->refs, 1);
	atomic_init(&o->parts_left, o->parts_n);
	*out = o;
	return 0;
}

struct origins *origins_ref(struct origins *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

/* Once the workers have ended nobody reads messages: main frees the loops itself, before the workers' event bases go. */
void origins_unref(struct origins **op)
{
	struct origins *o = *op;
	unsigned n;

	*op = NULL;
	if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
		return;
	n = o->parts_n; /* the last part takes `o` along */
	for (unsigned i = 0; i < n; i++) {
		if (*o->workers.are_ended || !o->workers.mailboxes[i])
			free_part(&o->parts[i]);
		else
			post_message(o->workers.mailboxes[i], &o->parts[i].message);
	}
}

int origins_open(struct origins *o, unsigned worker, struct event_base *base, const struct upstream_loop *before)
{
	struct origins_part *p = &o->parts[worker];
	struct upstream_loop_options options = {
		.base = base,
		.upstreams = o->options,
		.upstreams_n = o->config->upstreams_n,
		.loops = o->parts_n,
		.before = before,
		.max_head_bytes = ORIGIN_HEAD_MAX,
	};

	return p->loop ? 0 : upstream_loop_new(&options, &p->loop);
}

void origins_renew(struct origins *o, unsigned worker)
{
	if (o->parts[worker].loop)
		upstream_loop_renew(o->parts[worker].loop);
}

const struct upstream_options *origins_options(const struct origins *o, unsigned upstream)
{
	return &o->options[upstream];
}

struct upstream_loop *origins_loop(const struct origins *o, unsigned worker)
{
	return o->parts[worker].loop;
}
