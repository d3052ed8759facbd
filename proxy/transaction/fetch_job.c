/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/fetch_job.h"

#include <errno.h>
#include <event2/buffer.h>

#include "base/mem.h"
#include "proxy/request/origins.h"
#include "proxy/transaction/failure.h"
#include "proxy/transaction/worker.h"
#include "proxy/transaction/write_purges.h"

#define JOB_MAGIC 0x464a4f42u
/* What is read of a body that nobody wants before its connection is given up rather than drained. */
#define DROP_MAX (64 * 1024)

enum job_mode {
	JOB_ASKING,  /* no response yet */
	JOB_FLIGHT,  /* the body goes into the flight */
	JOB_PRIVATE, /* the body goes to the client */
	JOB_DROP,    /* the verdict is known, the body is not wanted */
};

struct fetch_job {
	unsigned magic;
	enum job_mode mode;
	struct worker *worker;
	struct link link;
	struct fetch *fetch;
	struct flight *flight;  /* NULL once it has ended, or when private from the start */
	struct flight *kept;    /* that takes a copy of a private response; else NULL */
	struct cache_hold hold; /* of invalidations, from when the upstream was asked */
	struct cache_asked asked;
	const struct fetch_job_client *client;
	void *client_arg;
	struct fetch_job **handle; /* the client's pointer to us, cleared when we end first; NULL without a client */
	struct snapshot *snapshot;
	unsigned upstream;                 /* index in the snapshot's configuration */
	struct write_purges *invalidation; /* of an unsafe method: what its success makes stale; else NULL */
	struct evbuffer *body;
	struct now request_time;
	int64_t start_us;
	unsigned route;
	uint64_t dropped_bytes;
	bool is_safe;
	bool was_sent; /* once the fetch has ended */
	enum fetch_cause cause;
	bool is_paused; /* by the flight: no more bytes until it resumes */
};

static struct fetch_job *fetch_job_of(void *arg)
{
	struct fetch_job *f = arg;

	CHECK(f->magic == JOB_MAGIC);
	return f;
}

static void forget_client(struct fetch_job *f)
{
	if (f->handle)
		*f->handle = NULL;
	f->handle = NULL;
	f->client = NULL;
	f->client_arg = NULL;
}

static void forget_kept(struct fetch_job *f)
{
	if (f->kept)
		flight_abandon(f->kept);
	flight_unref(&f->kept);
}

static void fetch_job_free(struct fetch_job *f)
{
	forget_client(f);
	if (f->flight)
		flight_on_resume(f->flight, NULL, NULL);
	link_remove(&f->link);
	f->worker->stats.fills_active--;
	flight_unref(&f->flight);
	forget_kept(f);
	cache_hold_end(f->worker->cache, &f->hold);
	snapshot_unref(&f->snapshot);
	write_purges_free(&f->invalidation);
	if (f->body)
		evbuffer_free(f->body);
	f->magic = 0;
	mem_free(f);
}

/* ---- Responses ---- */

/* An entity tag has quotes at least (RFC 9110 8.8.3): without any it would be equal to all others of that kind. */
static void drop_empty_etags(struct http_fields *fields)
{
	for (uint32_t i = fields->n; i > 0; i--)
		if (fields->v[i - 1].id == HF_ETAG && fields->v[i - 1].value.n == 0)
			http_fields_remove_at(fields, i - 1);
}

/* A 1xx has no content, so nothing that frames one (RFC 9110 15.2, 8.6). */
static void on_informational(void *arg, int status, struct http_fields *fields)
{
	struct fetch_job *f = fetch_job_of(arg);

	if (!f->client || http_fields_drop_hop_by_hop(fields))
		return;
	http_fields_remove(fields, HF_CONTENT_LENGTH);
	f->client->on_informational(f->client_arg, status, fields);
}

/* Hop-by-hop fields end here. But the Upgrade of a 426 is the response (RFC 9110 15.5.22), and Connection has to name it.
 * 0, -ENOBUFS or -ENOMEM. */
static int clean(struct http_fields *fields, int status)
{
	const struct http_field *upgrade = status == 426 ? http_fields_get(fields, HF_UPGRADE) : NULL;
	struct slice wanted = upgrade ? upgrade->value : (struct slice){NULL, 0};
	int err = http_fields_drop_hop_by_hop(fields);

	drop_empty_etags(fields);
	if (err || !upgrade)
		return err;
	err = http_fields_add_id(fields, HF_UPGRADE, wanted);
	return err ? err : http_fields_add_id(fields, HF_CONNECTION, SLICE_LIT("upgrade"));
}

/* True: go on reading. */
static bool begin_private(
	struct fetch_job *f, int status, struct http_fields *fields, int64_t content_length, enum policy_store why)
{
	if (f->client) {
		f->mode = JOB_PRIVATE;
		f->client->on_head(f->client_arg, status, fields, content_length, why);
		if (!f->client)
			f->mode = JOB_DROP;
		return true;
	}
	f->mode = JOB_DROP;
	return !f->is_safe || content_length == 0;
}

static struct flight_response answer_of(
	const struct fetch_job *f, int status, struct http_fields *fields, int64_t content_length)
{
	return (struct flight_response){
		.status = status,
		.fields = fields,
		.content_length = content_length,
		.request_time = f->request_time,
		.now = clock_now(),
		.stretch = upstream_stretch(origins_loop(f->snapshot->origins, f->worker->index), f->upstream),
	};
}

enum policy_store fetch_job_keep(struct fetch_job *f, const struct cache_request *r, int status,
	const struct http_fields *fields, int64_t content_length)
{
	struct http_fields copy;
	struct flight_response response = answer_of(f, status, &copy, content_length);
	enum policy_store why = POLICY_NOT_NO_ROOM;
	int err = 0;

	f->kept = cache_keep(f->worker->cache, r, &f->asked, response.now);
	if (!f->kept)
		return why;
	http_fields_init(&copy); /* the cache strips its own; the client gets all */
	for (uint32_t i = 0; i < fields->n && !err; i++)
		err = http_fields_add(&copy, fields->v[i].name, fields->v[i].value);
	if (err)
		flight_abandon(f->kept);
	if (err || flight_response(f->kept, &response, &why) != FLIGHT_STORES)
		flight_unref(&f->kept);
	http_fields_fini(&copy);
	return f->kept ? POLICY_STORE : why;
}

/* The copy never holds up the client's. */
static void keep_body(struct fetch_job *f, const void *p, size_t n)
{
	if (f->kept && flight_body(f->kept, p, n) == FLIGHT_BODY_NOBODY)
		flight_unref(&f->kept);
}

/* What the write itself makes stale does not count against its own response; what others purge meanwhile does: up to
 * `before` the check sees it, and later purges keep the response's sequence from passing them. What was asked before has been
 * purged, so among responses this one counts as asked now. */
static void invalidate(struct fetch_job *f, int status, const struct http_fields *fields)
{
	struct cache *c = f->worker->cache;
	uint64_t before = cache_sequence(c), after;
	bool is_current = !cache_was_purged(c, write_purges_url(f->invalidation), f->asked.sequence);

	after = write_purges_apply(f->invalidation, f->worker, f->snapshot, status, fields, before);
	if (is_current)
		f->asked = (struct cache_asked){after, cache_ask(c).order};
}

static bool begin_flight(struct fetch_job *f, int status, struct http_fields *fields, int64_t content_length)
{
	struct flight_response response = answer_of(f, status, fields, content_length);
	enum policy_store why = POLICY_STORE;

	switch (flight_response(f->flight, &response, &why)) {
	case FLIGHT_STORES:
		f->mode = JOB_FLIGHT;
		return true;
	case FLIGHT_REVALIDATED: /* the client, a waiter like any other, hears of it from the flight */
		forget_client(f);
		flight_unref(&f->flight);
		f->mode = JOB_DROP;
		return true;
	case FLIGHT_PRIVATE:
		flight_unref(&f->flight);
		return begin_private(f, status, fields, content_length, why);
	}
	return false;
}

static bool on_head(void *arg, int status, struct http_fields *fields, int64_t content_length)
{
	struct fetch_job *f = fetch_job_of(arg);

	if (clean(fields, status))
		return false;
	if (f->invalidation && status < 400)
		invalidate(f, status, fields);
	if (f->flight)
		return begin_flight(f, status, fields, content_length);
	return begin_private(f, status, fields, content_length, POLICY_STORE);
}

static enum fetch_write flight_takes(struct fetch_job *f, const void *p, size_t n)
{
	if (f->is_paused)
		return FETCH_WRITE_PAUSE;
	switch (flight_body(f->flight, p, n)) {
	case FLIGHT_BODY_PAUSE:
		f->is_paused = true;
		return FETCH_WRITE_TAKEN;
	case FLIGHT_BODY_NOBODY:
		return FETCH_WRITE_CANCEL;
	default:
		return FETCH_WRITE_TAKEN;
	}
}

static enum fetch_write private_takes(struct fetch_job *f, const void *p, size_t n)
{
	enum fetch_write how = FETCH_WRITE_TAKEN;

	if (f->client)
		how = f->client->on_body(f->client_arg, p, n);
	else if (f->is_safe)
		how = FETCH_WRITE_CANCEL;
	if (how == FETCH_WRITE_TAKEN)
		keep_body(f, p, n);
	return how;
}

static enum fetch_write on_body(void *arg, const void *p, size_t n)
{
	struct fetch_job *f = fetch_job_of(arg);

	switch (f->mode) {
	case JOB_FLIGHT:
		return flight_takes(f, p, n);
	case JOB_PRIVATE:
		return private_takes(f, p, n);
	default:
		forget_kept(f);
		f->dropped_bytes += n;
		return f->is_safe && f->dropped_bytes > DROP_MAX ? FETCH_WRITE_CANCEL : FETCH_WRITE_TAKEN;
	}
}

static void on_end(void *arg, enum fetch_result result, const char *detail)
{
	struct fetch_job *f = fetch_job_of(arg);

	(void)detail;
	f->was_sent = fetch_was_sent(f->fetch);
	f->cause = fetch_cause_of(f->fetch);
	f->fetch = NULL;
	if (result == FETCH_OK && f->is_safe)
		snapshot_note_fetch(f->snapshot, f->route, clock_mono_us() - f->start_us);
	if (f->flight)
		flight_note_cause(f->flight, f->cause);
	if (f->kept)
		flight_end(f->kept, result == FETCH_OK, clock_now());
	if (f->flight && f->mode == JOB_FLIGHT)
		flight_end(f->flight, result == FETCH_OK, clock_now());
	else if (f->flight && result == FETCH_CANCELLED)
		flight_abandon(f->flight);
	else if (f->flight && !f->was_sent && result != FETCH_NO_MEMORY)
		flight_fail_for_all(f->flight, failure_for_flight(failure_of_fetch(result, f->cause)), clock_now());
	else if (f->flight)
		flight_fail(f->flight, failure_for_flight(failure_of_fetch(result, f->cause)), clock_now());
	else if (f->client)
		f->client->on_end(f->client_arg, result);
	fetch_job_free(f);
}

static const struct fetch_handler handler = {on_informational, on_head, on_body, on_end};

static void on_flight_resume(void *arg)
{
	struct fetch_job *f = fetch_job_of(arg);

	f->is_paused = false;
	if (f->fetch)
		fetch_resume(f->fetch);
}

/* ---- Start ---- */

static int take_body(struct fetch_job *f, struct evbuffer *body)
{
	if (!body)
		return 0;
	f->body = evbuffer_new();
	/* By reference: the request may have to be made again, by itself, when this fetch's response is for others. */
	if (!f->body || evbuffer_add_buffer_reference(f->body, body))
		return -ENOMEM;
	return 0;
}

static int start_fetch(struct fetch_job *f, const struct fetch_job_request *r)
{
	const struct target *t = r->target;
	struct forward *forward = &f->worker->forward;
	struct forward_options options = {
		.target = t,
		.is_plain = r->flight != NULL,
		.stored = r->flight ? flight_stored(r->flight) : NULL,
	};
	struct fetch_request request = {
		.upstream = t->upstream_index,
		.hash = t->has_key ? t->key.hash.lo : hash64_of(t->path.p, t->path.n),
		.method = t->sent.http.method,
		.method_token = t->sent.http.method_token,
		.target = buf_slice(&t->path),
		.host = t->sent.http.host,
		.fields = &forward->fields,
		.id = r->id,
		.is_traced = r->is_traced,
		/* Its client knows what to do with one. */
		.takes_part = r->client && !options.stored && http_fields_get(&t->sent.http.fields, HF_RANGE),
	};
	struct upstream_loop *loop;
	int err;

	options.is_tail = r->flight && flight_tail(r->flight, &options.tail_from, &options.tail_validator);
	err = forward_build(forward, &options);

	if (err)
		return err;
	if (f->body) {
		request.has_body = true;
		request.body.n = evbuffer_get_length(f->body);
		request.body.p = (const char *)evbuffer_pullup(f->body, -1);
		if (request.body.n && !request.body.p)
			return -ENOMEM;
	}
	loop = origins_loop(t->snapshot->origins, f->worker->index);
	return loop ? fetch_start(loop, &request, &handler, f, &f->fetch) : -ENOMEM;
}

static struct fetch_job *fetch_job_new(const struct fetch_job_request *r)
{
	struct fetch_job *f = mem_zalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->magic = JOB_MAGIC;
	f->worker = r->worker;
	f->snapshot = snapshot_ref(r->target->snapshot);
	f->upstream = r->target->upstream_index;
	f->flight = r->flight;
	f->client = r->client;
	f->client_arg = r->client_arg;
	/* A method that the route caches is safe by the operator's word. */
	f->is_safe =
		(http_method_is_safe(r->target->sent.http.method) && !r->target->is_write) || r->target->is_cacheable;
	f->request_time = clock_now();
	f->start_us = clock_mono_us();
	f->route = r->target->route->rules.route_index;
	cache_hold_begin(r->worker->cache, &f->hold);
	f->asked = f->hold.asked;
	link_append(&r->worker->jobs, &f->link);
	r->worker->stats.fills++;
	r->worker->stats.fills_active++;
	return f;
}

int fetch_job_start(const struct fetch_job_request *r, struct fetch_job **out)
{
	struct flight *flight = r->flight;
	struct fetch_job *f = fetch_job_new(r);
	int err = -ENOMEM;

	*out = NULL;
	if (f) {
		err = take_body(f, r->body);
		if (!err && !f->is_safe)
			err = write_purges_new(r->target, &f->invalidation);
		if (!err)
			err = start_fetch(f, r);
	}
	if (!err) {
		if (f->flight)
			flight_on_resume(f->flight, on_flight_resume, f);
		*out = f;
		f->handle = r->client ? out : NULL;
		return 0;
	}
	if (flight)
		flight_note_cause(flight, failure_cause_of_start(err));
	if (flight && err == -EBUSY)
		flight_fail_for_all(flight, 503, clock_now());
	else if (flight)
		flight_fail(flight, failure_for_flight(failure_of_start(err)), clock_now());
	if (f)
		fetch_job_free(f);
	else
		flight_unref(&flight);
	return err;
}

void fetch_job_detach(struct fetch_job **fp)
{
	struct fetch_job *f = *fp;

	if (!f)
		return;
	forget_client(f);
	/* A write goes on: what it changed must still be invalidated. A flight goes on: others may wait. */
	if (f->flight || !f->is_safe)
		return;
	if (f->mode == JOB_PRIVATE || f->mode == JOB_ASKING) {
		fetch_cancel(&f->fetch);
		fetch_job_free(f);
	}
}

void fetch_job_release(struct fetch_job **fp)
{
	forget_client(*fp);
}

void fetch_job_resume(struct fetch_job *f)
{
	if (f->fetch)
		fetch_resume(f->fetch);
}

bool fetch_job_was_sent(const struct fetch_job *f)
{
	return f->was_sent;
}

enum fetch_cause fetch_job_cause(const struct fetch_job *f)
{
	return f->cause;
}

const struct cache_asked *fetch_job_asked(const struct fetch_job *f)
{
	return &f->asked;
}

struct now fetch_job_request_time(const struct fetch_job *f)
{
	return f->request_time;
}

void fetch_job_cancel_all(struct worker *w)
{
	while (w->jobs.next != &w->jobs) {
		struct fetch_job *f = CONTAINER_OF(w->jobs.next, struct fetch_job, link);

		if (f->flight && f->mode == JOB_FLIGHT)
			flight_end(f->flight, false, clock_now());
		else if (f->flight)
			flight_abandon(f->flight);
		fetch_cancel(&f->fetch);
		fetch_job_free(f);
	}
}
