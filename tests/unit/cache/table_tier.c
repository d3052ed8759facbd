/* SPDX-License-Identifier: MIT */
#include "table_tier.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_OBJECT (2u << 20)
#define PURGE_MAX 16384 /* bytes of what one purge names */
#define FOUND_MAX 16
#define RUN_SHIFT 40

/* Memory that mem_fail_at does not fail: a test's faults are the cache's. */
static void *get(size_t n)
{
	void *p = calloc(1, n ? n : 1); /* allocated by libc, as said above */

	CHECK(p);
	return p;
}

struct bytes {
	_Atomic unsigned refs;
	uint64_t id;
	size_t n;
	char v[];
};

/* Listed as soon as it is put, so that it hides what it replaces; found once it is written. What it says does not change. */
struct record {
	struct tier_job job; /* while it waits to be written */
	struct table_tier *t;
	struct tier_source *source;
	_Atomic unsigned refs; /* the list's, the writer's, those of whoever has found it */
	struct record *next;   /* guarded by mu, and the rest of this */
	bool is_written;
	uint64_t lsn, epoch, user, part_first, part_total;
	struct hash128 hash;
	struct slice key, url, names, values, head; /* in `text` */
	char *text;
	int status;
	struct freshness freshness;
	uint64_t tags[64];
	unsigned tags_n;
	struct bytes *body;
};

struct table {
	struct record *first; /* the newest first; between two tiers they are nobody's */
	struct invalidation_image invalidation;
	uint64_t runs, scope_seq;
	unsigned char secret[TIER_SECRET_BYTES];
};

struct queue {
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t changed;
	struct link jobs;
	bool is_stopping;
	struct table_tier *t;
};

struct table_tier {
	struct tier tier;
	struct table_options o;
	struct table *tb;
	struct queue writes, reads;
	pthread_mutex_t mu;
	uint64_t next_lsn; /* guarded by mu, and the next two */
	unsigned queued;   /* puts and streams that have ended */
	bool is_given;
	_Atomic uint64_t hits, puts, dropped_queue;
};

struct table_body {
	struct tier_body pub;
	uint64_t id;
};

static struct table_tier *of(struct tier *t)
{
	return CONTAINER_OF(t, struct table_tier, tier);
}

/* ---- Records ---- */

static void bytes_unref(struct bytes *b)
{
	if (b && atomic_fetch_sub(&b->refs, 1) == 1)
		free(b); /* allocated by libc */
}

static void unref(struct record *r)
{
	if (atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	bytes_unref(r->body);
	free(r->text); /* allocated by libc */
	free(r);       /* allocated by libc */
}

static char *copy(char *to, struct slice s, struct slice *out)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	*out = (struct slice){to, s.n};
	return to + s.n;
}

static struct bytes *bytes_new(uint64_t id, size_t n)
{
	struct bytes *b = get(sizeof(*b) + n);

	atomic_init(&b->refs, 1);
	b->id = id;
	b->n = n;
	return b;
}

static struct record *record_new(const struct tier_source *s)
{
	struct record *r = get(sizeof(*r));
	char *at = r->text = get(s->key.n + s->vary_names.n + s->vary_values.n + s->head.n);

	CHECK(s->tags_n <= ARRAY_LEN(r->tags));
	atomic_init(&r->refs, 1);
	r->hash = s->hash;
	r->user = s->user;
	r->status = s->status;
	r->part_first = s->part_first;
	r->part_total = s->part_total;
	at = copy(at, s->key, &r->key);
	r->url = (struct slice){r->key.p + (s->url.p - s->key.p), s->url.n};
	at = copy(at, s->vary_names, &r->names);
	at = copy(at, s->vary_values, &r->values);
	(void)copy(at, s->head, &r->head);
	return r;
}

/* What may be set anew before a stream ends. */
static void settle(struct record *r, const struct tier_source *s)
{
	r->freshness = s->freshness;
	r->epoch = s->epoch;
	r->tags_n = s->tags_n;
	if (s->tags_n > 0)
		memcpy(r->tags, s->tags, s->tags_n * sizeof(*s->tags));
}

static bool is_key(const struct record *r, struct hash128 hash)
{
	return r->hash.lo == hash.lo && r->hash.hi == hash.hi;
}

/* What has no Vary serves every request (RFC 9111 4.1). */
static bool exclude(const struct record *r, struct slice names, struct slice values)
{
	return r->names.n == 0 || names.n == 0 || (slice_equal(r->names, names) && slice_equal(r->values, values));
}

/* Those of the key (and that a variant excludes, where `names` is not NULL) leave the list. True: there were some. */
static bool drop_locked(
	struct table_tier *t, struct hash128 hash, const struct slice *names, const struct slice *values)
{
	bool any = false;

	for (struct record **at = &t->tb->first; *at;) {
		struct record *r = *at;

		if (!is_key(r, hash) || (names && !exclude(r, *names, *values))) {
			at = &r->next;
			continue;
		}
		any = true;
		*at = r->next;
		unref(r);
	}
	return any;
}

static void list_locked(struct table_tier *t, struct record *r)
{
	(void)drop_locked(t, r->hash, &r->names, &r->values);
	r->lsn = t->next_lsn++;
	r->next = t->tb->first;
	t->tb->first = r;
	atomic_fetch_add(&r->refs, 1);
	t->queued++;
}

/* ---- The two threads ---- */

static void post(struct queue *q, struct tier_job *job)
{
	pthread_mutex_lock(&q->mu);
	link_append(&q->jobs, &job->link);
	pthread_cond_signal(&q->changed);
	pthread_mutex_unlock(&q->mu);
}

static void *work(void *arg)
{
	struct queue *q = arg;

	pthread_mutex_lock(&q->mu);
	for (;;) {
		struct tier_job *job;
		struct link *first;

		while (link_is_empty(&q->jobs) && !q->is_stopping)
			pthread_cond_wait(&q->changed, &q->mu);
		first = link_take_first(&q->jobs);
		if (!first)
			break;
		job = CONTAINER_OF(first, struct tier_job, link);
		pthread_mutex_unlock(&q->mu);
		job->run(&q->t->tier, job);
		pthread_mutex_lock(&q->mu);
	}
	pthread_mutex_unlock(&q->mu);
	return NULL;
}

static void queue_start(struct queue *q, struct table_tier *t)
{
	q->t = t;
	link_init(&q->jobs);
	pthread_mutex_init(&q->mu, NULL);
	pthread_cond_init(&q->changed, NULL);
	CHECK(pthread_create(&q->thread, NULL, work, q) == 0);
}

/* After all that is in it. */
static void queue_stop(struct queue *q)
{
	pthread_mutex_lock(&q->mu);
	q->is_stopping = true;
	pthread_cond_signal(&q->changed);
	pthread_mutex_unlock(&q->mu);
	pthread_join(q->thread, NULL);
	pthread_mutex_destroy(&q->mu);
	pthread_cond_destroy(&q->changed);
}

/* ---- Writing ---- */

static void is_written(struct table_tier *t, struct record *r)
{
	pthread_mutex_lock(&t->mu);
	r->is_written = true;
	pthread_mutex_unlock(&t->mu);
	atomic_fetch_add(&t->puts, 1);
	r->source->on_release(r->source);
	pthread_mutex_lock(&t->mu);
	t->queued--;
	pthread_mutex_unlock(&t->mu);
	unref(r);
}

static void run_put(struct tier *tier, struct tier_job *job)
{
	struct record *r = CONTAINER_OF(job, struct record, job);
	struct tier_source *s = r->source;

	of(tier)->o.before_write();
	for (uint64_t at = 0; !s->body && at < r->body->n;) {
		struct slice run = s->body_at(s, at);

		memcpy(r->body->v + at, run.p, run.n);
		at += run.n;
	}
	is_written(of(tier), r);
}

/* Of a refresh of what is large: the bytes that are there. NULL: they are not. */
static struct bytes *find_bytes_locked(struct table_tier *t, const struct tier_body *b)
{
	uint64_t id = ((const struct table_body *)(const void *)b)->id;

	for (struct record *r = t->tb->first; r; r = r->next)
		if (r->body->id == id && r->is_written)
			return r->body;
	return NULL;
}

static int refuse_locked(struct table_tier *t, const struct tier_source *s)
{
	if (s->body_n != TIER_LENGTH_UNKNOWN && s->body_n > MAX_OBJECT)
		return -EMSGSIZE;
	return t->is_given ? -ESHUTDOWN : 0;
}

static int put(struct tier *tier, struct tier_source *s)
{
	struct table_tier *t = of(tier);
	struct record *r = record_new(s);
	int err;

	settle(r, s);
	r->source = s;
	pthread_mutex_lock(&t->mu);
	err = refuse_locked(t, s);
	if (!err && t->o.queue_max > 0 && t->queued >= t->o.queue_max) {
		atomic_fetch_add(&t->dropped_queue, 1);
		err = -ENOBUFS;
	}
	if (!err && s->body) {
		r->body = find_bytes_locked(t, s->body);
		if (r->body)
			atomic_fetch_add(&r->body->refs, 1);
		else
			err = -EIO;
	} else if (!err) {
		r->body = bytes_new(t->next_lsn, (size_t)s->body_n);
	}
	/* A drop outdates what is queued for the key, whatever its variant: what that was to renew is out of date as well. */
	if (err)
		s->forget_before = drop_locked(t, s->hash, NULL, NULL) ? t->next_lsn++ : 0;
	else
		list_locked(t, r);
	pthread_mutex_unlock(&t->mu);
	if (err) {
		unref(r);
		return err;
	}
	r->job.run = run_put;
	post(&t->writes, &r->job);
	return 0;
}

static uint64_t drop(struct tier *tier, struct hash128 hash, const struct slice *names, const struct slice *values)
{
	struct table_tier *t = of(tier);
	uint64_t number = 0;

	pthread_mutex_lock(&t->mu);
	if (drop_locked(t, hash, names, values))
		number = t->next_lsn++;
	pthread_mutex_unlock(&t->mu);
	return number;
}

static uint64_t drop_put(struct tier *tier, struct hash128 hash, struct slice names, struct slice values)
{
	return drop(tier, hash, &names, &values);
}

static uint64_t retire(struct tier *tier, struct hash128 hash)
{
	return drop(tier, hash, NULL, NULL);
}

/* What is dropped is out of the table, so out of the next run's as well. */
static void forget_before(struct tier *tier, struct hash128 hash, uint64_t number)
{
	(void)tier;
	(void)hash;
	(void)number;
}

/* ---- Writing as it arrives ---- */

struct stream {
	struct tier_stream pub;
	struct tier_job job; /* of its end, when nothing is stored */
	struct record *r;
	char *v;
	size_t n, cap;
	bool has_failed;
};

static int stream_begin(
	struct tier *tier, struct tier_source *s, void (*on_room)(struct tier_source *s), struct tier_stream **out)
{
	struct table_tier *t = of(tier);
	struct stream *st;
	int err;

	(void)on_room; /* it is never full */
	*out = NULL;
	pthread_mutex_lock(&t->mu);
	err = refuse_locked(t, s);
	pthread_mutex_unlock(&t->mu);
	if (err)
		return err;
	st = get(sizeof(*st));
	st->pub.tier = tier;
	st->r = record_new(s);
	st->r->source = s;
	*out = &st->pub;
	return 0;
}

static enum tier_flow stream_write(struct tier_stream *pub, const void *p, size_t n)
{
	struct stream *st = CONTAINER_OF(pub, struct stream, pub);

	if (st->has_failed || n > MAX_OBJECT - st->n) {
		st->has_failed = true;
		return TIER_GAVE_UP;
	}
	if (st->n + n > st->cap) {
		st->cap = 2 * (st->n + n);
		st->v = realloc(st->v, st->cap); /* allocated by libc */
		CHECK(st->v);
	}
	memcpy(st->v + st->n, p, n);
	st->n += n;
	return TIER_FLOWS;
}

static void stream_free(struct stream *st)
{
	free(st->v); /* allocated by libc */
	free(st);    /* allocated by libc */
}

static void run_stream(struct tier *tier, struct tier_job *job)
{
	of(tier)->o.before_write();
	is_written(of(tier), CONTAINER_OF(job, struct record, job));
}

static void run_cut(struct tier *tier, struct tier_job *job)
{
	struct stream *st = CONTAINER_OF(job, struct stream, job);
	struct table_tier *t = of(tier);

	st->r->source->on_release(st->r->source);
	unref(st->r);
	stream_free(st);
	pthread_mutex_lock(&t->mu);
	t->queued--;
	pthread_mutex_unlock(&t->mu);
}

static void stream_end(struct tier_stream **pub, enum tier_end how)
{
	struct stream *st = CONTAINER_OF(*pub, struct stream, pub);
	struct table_tier *t = of(st->pub.tier);
	bool is_stored = how == TIER_END_WHOLE && !st->has_failed;
	struct record *r = st->r;

	*pub = NULL;
	pthread_mutex_lock(&t->mu);
	if (is_stored && !t->is_given) {
		settle(r, r->source);
		r->body = bytes_new(t->next_lsn, st->n);
		if (st->n > 0)
			memcpy(r->body->v, st->v, st->n);
		list_locked(t, r);
	} else {
		if (how == TIER_END_WHOLE)
			(void)drop_locked(t, r->hash, &r->names, &r->values);
		is_stored = false;
		t->queued++;
	}
	pthread_mutex_unlock(&t->mu);
	r->job.run = run_stream;
	st->job.run = run_cut;
	post(&t->writes, is_stored ? &r->job : &st->job);
	if (is_stored)
		stream_free(st);
}

/* ---- Reading ---- */

struct found {
	struct tier_object pub;
	struct record *r;
	struct table_body large;
};

/* Those of the key that count, the newest first, each with a reference; none while one waits to be written. */
static unsigned find(struct table_tier *t, struct hash128 hash, struct record *out[FOUND_MAX])
{
	bool waits = false;
	unsigned n = 0;

	pthread_mutex_lock(&t->mu);
	for (struct record *r = t->tb->first; r && !t->is_given; r = r->next) {
		if (!is_key(r, hash))
			continue;
		waits = waits || !r->is_written;
		if (n < FOUND_MAX)
			out[n++] = r;
	}
	n = waits ? 0 : n;
	for (unsigned i = 0; i < n; i++)
		atomic_fetch_add(&out[i]->refs, 1);
	pthread_mutex_unlock(&t->mu);
	return n;
}

static void unref_all(struct record *const *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		unref(v[i]);
}

static bool may_have(struct tier *tier, struct hash128 hash)
{
	struct record *found[FOUND_MAX];
	unsigned n = find(of(tier), hash, found);

	unref_all(found, n);
	return n > 0;
}

static bool holds(struct tier *tier, struct hash128 hash, struct slice names, struct slice values)
{
	struct record *found[FOUND_MAX];
	unsigned n = find(of(tier), hash, found);
	bool has = false;

	for (unsigned i = 0; i < n; i++)
		has = has || (slice_equal(found[i]->names, names) && slice_equal(found[i]->values, values));
	unref_all(found, n);
	return has;
}

static bool is_newest(struct tier *tier, struct hash128 hash, uint64_t lsn)
{
	struct record *found[FOUND_MAX];
	unsigned n = find(of(tier), hash, found);
	bool is = false;

	for (unsigned i = 0; i < n; i++)
		is = is || found[i]->lsn == lsn;
	unref_all(found, n);
	return is;
}

static struct tier_object *object_of(struct record *r, uint64_t whole_max)
{
	struct found *f = get(sizeof(*f));

	atomic_fetch_add(&r->refs, 1);
	f->r = r;
	f->pub = (struct tier_object){.key = r->key,
		.url = r->url,
		.vary_names = r->names,
		.vary_values = r->values,
		.head = r->head,
		.status = r->status,
		.freshness = r->freshness,
		.epoch = r->epoch,
		.user = r->user,
		.lsn = r->lsn,
		.tags = r->tags,
		.tags_n = r->tags_n,
		.body_n = r->body->n,
		.part_first = r->part_first,
		.part_total = r->part_total};
	f->large = (struct table_body){{sizeof(f->large), r->body->n}, r->body->id};
	if (r->body->n <= whole_max)
		f->pub.body = (struct slice){r->body->v, r->body->n};
	else
		f->pub.large = &f->large.pub;
	return &f->pub;
}

static void object_free(struct tier *tier, struct tier_object **o)
{
	struct found *f;

	(void)tier;
	if (!*o)
		return;
	f = CONTAINER_OF(*o, struct found, pub);
	unref(f->r);
	free(f); /* allocated by libc */
	*o = NULL;
}

static enum tier_verdict judge(struct table_tier *t, struct tier_lookup *l, struct record *r)
{
	const struct purgeable purgeable = {r->url, r->tags, r->tags_n, r->user};
	_Atomic uint64_t checked = r->epoch;
	enum purge_state state = invalidation_check(t->o.invalidation, &purgeable, r->epoch, &checked);
	struct tier_object *o;

	if (state == PURGED_HARD || !slice_equal(r->key, l->key))
		return TIER_MISS;
	o = object_of(r, l->whole_max ? l->whole_max : TIER_BODY_WHOLE_MAX);
	if (l->accepts && !l->accepts(l, o)) {
		object_free(&t->tier, &o);
		return TIER_MISS;
	}
	if (state == NOT_PURGED)
		o->epoch = atomic_load(&checked);
	l->object = o;
	return state == PURGED_SOFT ? TIER_SOFT : TIER_HIT;
}

static void look_up(struct table_tier *t, struct tier_lookup *l)
{
	struct record *found[FOUND_MAX];
	unsigned n = find(t, l->hash, found);

	l->verdict = TIER_MISS;
	l->object = NULL;
	for (unsigned i = 0; i < n && l->verdict == TIER_MISS; i++)
		l->verdict = judge(t, l, found[i]);
	unref_all(found, n);
	if (l->verdict != TIER_MISS)
		atomic_fetch_add(&t->hits, 1);
}

static void run_lookup(struct tier *tier, struct tier_job *job)
{
	struct tier_lookup *l = CONTAINER_OF(job, struct tier_lookup, job);

	of(tier)->o.before_read();
	look_up(of(tier), l);
	(void)post_message(l->reply_to, &l->message);
}

static enum tier_verdict get_one(struct tier *tier, struct tier_lookup *l)
{
	if (may_have(tier, l->hash) && l->reply_to && !of(tier)->o.is_at_hand()) {
		l->job.run = run_lookup;
		post(&of(tier)->reads, &l->job);
		return TIER_PENDING;
	}
	look_up(of(tier), l);
	return l->verdict;
}

/* ---- Large bodies ---- */

static bool body_is_there(struct tier *tier, const struct tier_body *b)
{
	struct table_tier *t = of(tier);
	bool is;

	pthread_mutex_lock(&t->mu);
	is = find_bytes_locked(t, b) != NULL;
	pthread_mutex_unlock(&t->mu);
	return is;
}

static void body_lose(struct tier *tier, struct tier_body *b)
{
	(void)tier;
	(void)b;
	CHECK(!"what is in memory can be read");
}

static int body_ref(struct tier *tier, struct tier_hold *h, const struct tier_body *b)
{
	struct table_tier *t = of(tier);
	struct bytes *bytes;

	pthread_mutex_lock(&t->mu);
	bytes = find_bytes_locked(t, b);
	if (bytes)
		atomic_fetch_add(&bytes->refs, 1);
	pthread_mutex_unlock(&t->mu);
	*h = (struct tier_hold){b, bytes};
	return bytes ? 0 : -ESTALE;
}

static void body_unref(struct tier *tier, struct tier_hold *h)
{
	(void)tier;
	bytes_unref(h->place);
	h->place = NULL;
}

static void read_block(struct tier_read *r)
{
	const struct bytes *b = r->hold->place;
	size_t left = b->n - (size_t)r->offset, n = left < TIER_BLOCK ? left : TIER_BLOCK;

	memcpy(r->buffer, b->v + r->offset, n);
	r->bytes = (struct slice){r->buffer, n};
	r->err = 0;
}

static void run_read(struct tier *tier, struct tier_job *job)
{
	struct tier_read *r = CONTAINER_OF(job, struct tier_read, job);

	of(tier)->o.before_read();
	read_block(r);
	(void)post_message(r->reply_to, &r->message);
}

static int read_one(struct tier *tier, struct tier_read *r)
{
	if (r->reply_to && !of(tier)->o.is_at_hand()) {
		r->job.run = run_read;
		post(&of(tier)->reads, &r->job);
		return -EINPROGRESS;
	}
	read_block(r);
	return 0;
}

/* ---- Invalidation, looking at it ---- */

static int purge(struct tier *tier, const struct purge *v, unsigned n, bool wait, uint64_t *seq)
{
	(void)wait; /* what the next run is to know is taken at closing */
	for (unsigned i = 0; i < n; i++)
		if (v[i].what.n > PURGE_MAX)
			return -EMSGSIZE;
	for (unsigned i = 0; i < n; i++)
		invalidation_purge(of(tier)->o.invalidation, &v[i], seq);
	return 0;
}

static int purge_note(struct tier *tier, const struct purge *v, unsigned n, uint64_t *seq, struct tier_purging *p)
{
	(void)p;
	return purge(tier, v, n, true, seq);
}

static int purge_wait(struct tier *tier, struct tier_purging *p)
{
	(void)tier;
	(void)p;
	return 0;
}

static uint64_t oldest_epoch(struct tier *tier)
{
	struct table_tier *t = of(tier);
	uint64_t oldest = UINT64_MAX;

	pthread_mutex_lock(&t->mu);
	for (struct record *r = t->tb->first; r; r = r->next)
		oldest = r->epoch < oldest ? r->epoch : oldest;
	if (t->queued > 0)
		oldest = 0;
	pthread_mutex_unlock(&t->mu);
	return oldest;
}

static int list(struct tier *tier, struct tier_listing *l)
{
	(void)tier;
	(void)l;
	return -EBUSY; /* no test of the cache lists */
}

static void stats(struct tier *tier, struct tier_stats *out)
{
	struct table_tier *t = of(tier);

	*out = (struct tier_stats){.is_ready = true};
	pthread_mutex_lock(&t->mu);
	for (struct record *r = t->tb->first; r; r = r->next)
		out->objects += r->is_written;
	out->queue = t->queued;
	pthread_mutex_unlock(&t->mu);
}

static void counts(struct tier *tier, void (*each)(void *arg, const struct tier_count *n), void *arg)
{
	struct table_counts n = table_counts(tier);

	each(arg, &(struct tier_count){"hits", n.hits, false, "Lookups that found a response in the table"});
	each(arg, &(struct tier_count){"puts", n.puts, false, "Responses that were put into the table"});
	each(arg, &(struct tier_count){
			  "dropped_queue", n.dropped_queue, false, "Responses not put because too many waited"});
}

struct table_counts table_counts(struct tier *tier)
{
	struct table_tier *t = of(tier);

	return (struct table_counts){atomic_load(&t->hits), atomic_load(&t->puts), atomic_load(&t->dropped_queue)};
}

/* ---- Its end ---- */

static void hand_over(struct tier *tier)
{
	struct table_tier *t = of(tier);

	pthread_mutex_lock(&t->mu);
	t->is_given = true;
	pthread_mutex_unlock(&t->mu);
}

static void clear(struct table *tb)
{
	while (tb->first) {
		struct record *r = tb->first;

		tb->first = r->next;
		unref(r);
	}
}

static int disown(struct tier *tier)
{
	struct table_tier *t = of(tier);

	pthread_mutex_lock(&t->mu);
	clear(t->tb);
	pthread_mutex_unlock(&t->mu);
	return 0;
}

static void close_one(struct tier **tier)
{
	struct table_tier *t = of(*tier);
	struct table *tb = t->tb;

	queue_stop(&t->reads);
	queue_stop(&t->writes);
	mem_free(tb->invalidation.rules);
	CHECK(invalidation_export(t->o.invalidation, &tb->invalidation) == 0);
	pthread_mutex_destroy(&t->mu);
	free(t); /* allocated by libc */
	*tier = NULL;
}

static const struct tier_ops operations = {
	.may_have = may_have,
	.holds = holds,
	.is_newest = is_newest,
	.get = get_one,
	.object_free = object_free,
	.body_is_there = body_is_there,
	.body_lose = body_lose,
	.body_ref = body_ref,
	.body_unref = body_unref,
	.read = read_one,
	.put = put,
	.refresh = put,
	.drop_put = drop_put,
	.retire = retire,
	.forget_before = forget_before,
	.stream_begin = stream_begin,
	.stream_write = stream_write,
	.stream_end = stream_end,
	.purge = purge,
	.purge_note = purge_note,
	.purge_wait = purge_wait,
	.oldest_epoch = oldest_epoch,
	.list = list,
	.stats = stats,
	.counts = counts,
	.hand_over = hand_over,
	.disown = disown,
	.close = close_one,
};

struct table *table_new(void)
{
	return get(sizeof(struct table));
}

void table_free(struct table **tb)
{
	clear(*tb);
	mem_free((*tb)->invalidation.rules);
	free(*tb); /* allocated by libc */
	*tb = NULL;
}

struct tier *table_open(struct table *tb, const struct table_options *o)
{
	struct table_tier *t = get(sizeof(*t));

	t->tier = (struct tier){&operations, "table", MAX_OBJECT, tb->secret};
	t->o = *o;
	t->tb = tb;
	pthread_mutex_init(&t->mu, NULL);
	if (tb->runs > 0)
		invalidation_import(o->invalidation, &tb->invalidation);
	tb->runs++;
	invalidation_start_at(o->invalidation, tb->runs << RUN_SHIFT);
	t->next_lsn = tb->runs << RUN_SHIFT;
	queue_start(&t->writes, t);
	queue_start(&t->reads, t);
	return &t->tier;
}
