#include "proxy/origins.h"

#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/server.h"

#define ANSWER_HEAD_MAX (64 * 1024)

struct origins_part {
	struct mail mail; /* to the worker: free your loop */
	struct origins *whole;
	struct upstream_loop *loop; /* the worker's */
};

struct origins {
	_Atomic unsigned refs;
	_Atomic unsigned parts_left; /* that have not freed their loop */
	/* set once */
	struct server *server;
	struct config *config; /* whose strings the options borrow */
	struct upstream_options *options;
	unsigned parts_n;
	struct origins_part parts[];
};

static void fill_options(struct upstream_options *to, const struct config_upstream *from)
{
	*to = (struct upstream_options){
		.name = from->name,
		.url = from->url.whole,
		.connect_timeout_ms = from->connect_timeout_ms,
		.first_byte_timeout_ms = from->first_byte_timeout_ms,
		.stall_timeout_ms = from->stall_timeout_ms,
		.max_connections = from->max_connections,
		.queue_max = from->queue,
		.retries = from->retries,
		.http_version = from->http_version == CONFIG_HTTP_1_1 ? UPSTREAM_HTTP_1_1
		                : from->http_version == CONFIG_HTTP_2 ? UPSTREAM_HTTP_2
		                                                      : UPSTREAM_HTTP_AUTO,
		.tls_ca = from->tls_ca,
		.tls_verify = from->tls_verify,
	};
}

static void free_part(struct origins_part *p)
{
	struct origins *o = p->whole;

	upstream_loop_free(&p->loop);
	if (atomic_fetch_sub(&o->parts_left, 1) != 1)
		return;
	config_unref(&o->config);
	mem_free(o->options);
	mem_free(o);
}

/* On the worker. */
static void on_last_reference(struct mail *m)
{
	free_part(CONTAINER_OF(m, struct origins_part, mail));
}

int origins_new(struct server *s, struct config *config, struct origins **out)
{
	struct origins *o = mem_zalloc(sizeof(*o) + s->workers_n * sizeof(o->parts[0]));

	*out = NULL;
	if (!o)
		return -ENOMEM;
	o->options = mem_zalloc(config->upstreams_n * sizeof(*o->options));
	if (!o->options) {
		mem_free(o);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < config->upstreams_n; i++)
		fill_options(&o->options[i], &config->upstreams[i]);
	o->server = s;
	o->config = config_ref(config);
	o->parts_n = s->workers_n;
	for (unsigned i = 0; i < o->parts_n; i++)
		o->parts[i] = (struct origins_part){.mail.on_mail = on_last_reference, .whole = o};
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

/* Once the workers have ended nobody reads letters: main frees the loops itself, before the workers' event bases go. */
void origins_unref(struct origins **op)
{
	struct origins *o = *op;
	unsigned n;

	*op = NULL;
	if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
		return;
	n = o->parts_n; /* the last part takes `o` along */
	for (unsigned i = 0; i < n; i++) {
		if (o->server->is_ended)
			free_part(&o->parts[i]);
		else
			post_mail(&o->server->workers[i].mailbox, &o->parts[i].mail);
	}
}

int origins_open(struct origins *o, struct worker *w)
{
	struct origins_part *p = &o->parts[w->index];
	struct upstream_loop_options options = {
		.base = w->base,
		.upstreams = o->options,
		.upstreams_n = o->config->upstreams_n,
		.loops = o->parts_n,
		.max_head_bytes = ANSWER_HEAD_MAX,
	};

	return p->loop ? 0 : upstream_loop_new(&options, &p->loop);
}

struct upstream_loop *origins_loop(const struct origins *o, const struct worker *w)
{
	return o->parts[w->index].loop;
}
