/* SPDX-License-Identifier: MIT */
#include "cache/memory/encoder.h"

#include <errno.h>
#include <pthread.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cache/memory/encodings.h"

struct job {
	struct link link; /* of those that wait */
	struct object *object;
	unsigned codings;
	uint64_t bytes;
};

/* What a worker has encoded itself. */
struct at_once {
	int64_t since_ms;
	size_t bytes;
};

struct encoder {
	/* set once */
	unsigned threads_max, workers;
	uint64_t bytes_max;
	/* guarded by mu */
	pthread_mutex_t mu;
	pthread_cond_t more;
	struct link waiting;
	unsigned jobs_n; /* waiting and under way */
	uint64_t bytes;  /* of these */
	pthread_t threads[ENCODER_THREADS_MAX];
	unsigned threads_n;
	bool is_ending;
	uint64_t made, dropped;
	struct at_once at_once[];
};

int encoder_new(unsigned workers, uint64_t bytes_max, struct encoder **out)
{
	unsigned threads = (workers + 3) / 4;
	struct encoder *e = mem_zalloc(sizeof(*e) + workers * sizeof(e->at_once[0]));

	*out = e;
	if (!e)
		return -ENOMEM;
	e->threads_max = threads < 1 ? 1 : threads > ENCODER_THREADS_MAX ? ENCODER_THREADS_MAX : threads;
	e->workers = workers;
	e->bytes_max = bytes_max;
	link_init(&e->waiting);
	pthread_mutex_init(&e->mu, NULL);
	pthread_cond_init(&e->more, NULL);
	return 0;
}

static struct job *take_first_locked(struct encoder *e)
{
	struct link *first = link_take_first(&e->waiting);

	return first ? CONTAINER_OF(first, struct job, link) : NULL;
}

static void free_job(struct job *j)
{
	object_unref(&j->object);
	mem_free(j);
}

/* Whether anybody else has use for them: whoever was evicted or replaced while it waited only keeps bytes from others. A
 * successor after a 304 shares what is to be made. */
static bool is_wanted(const struct job *j)
{
	return atomic_load_explicit(&j->object->refs, memory_order_relaxed) > 1 ||
	       encodings_are_shared(object_encodings(j->object));
}

static void encode(const struct job *j)
{
	encodings_make(object_encodings(j->object), j->object->entry->shard, object_body_at(j->object, 0), j->codings);
}

static void *run(void *arg)
{
	struct encoder *e = arg;
	struct job *j;

	pthread_mutex_lock(&e->mu);
	while (!e->is_ending) {
		uint64_t bytes;
		bool done;

		j = take_first_locked(e);
		if (!j) {
			pthread_cond_wait(&e->more, &e->mu);
			continue;
		}
		pthread_mutex_unlock(&e->mu);
		done = is_wanted(j);
		if (done)
			encode(j);
		bytes = j->bytes;
		free_job(j);
		pthread_mutex_lock(&e->mu);
		e->jobs_n--;
		e->bytes -= bytes;
		e->made += done;
	}
	pthread_mutex_unlock(&e->mu);
	return NULL;
}

static bool add_locked(struct encoder *e, struct job *j)
{
	if (e->is_ending || e->jobs_n >= ENCODER_JOBS || j->bytes > e->bytes_max - e->bytes)
		return false;
	if (e->threads_n < e->threads_max && e->threads_n <= e->jobs_n)
		e->threads_n += thread_start(&e->threads[e->threads_n], run, e) == 0;
	if (e->threads_n == 0)
		return false;
	e->jobs_n++;
	e->bytes += j->bytes;
	link_append(&e->waiting, &j->link);
	pthread_cond_signal(&e->more);
	return true;
}

bool encoder_allows_at_once(struct encoder *e, unsigned worker, int64_t now_ms, size_t n)
{
	struct at_once *a = &e->at_once[worker];
	bool allowed;

	CHECK(worker < e->workers);
	pthread_mutex_lock(&e->mu);
	if (now_ms < a->since_ms || now_ms - a->since_ms >= ENCODER_MOMENT_MS)
		*a = (struct at_once){.since_ms = now_ms};
	allowed = n <= ENCODER_AT_ONCE_BYTES - a->bytes;
	a->bytes += allowed ? n : 0;
	pthread_mutex_unlock(&e->mu);
	return allowed;
}

void encoder_give(struct encoder *e, struct object *o, unsigned codings)
{
	struct job *j = mem_zalloc(sizeof(*j));
	bool taken = false;

	if (j)
		*j = (struct job){.object = object_ref(o), .codings = codings, .bytes = object_body_at(o, 0).n};
	pthread_mutex_lock(&e->mu);
	if (j)
		taken = add_locked(e, j);
	e->dropped += !taken;
	pthread_mutex_unlock(&e->mu);
	if (j && !taken)
		free_job(j);
}

void encoder_stats(struct encoder *e, struct encoder_stats *out)
{
	pthread_mutex_lock(&e->mu);
	*out = (struct encoder_stats){.waiting = e->jobs_n, .made = e->made, .dropped = e->dropped};
	pthread_mutex_unlock(&e->mu);
}

void encoder_free(struct encoder **ep)
{
	struct encoder *e = *ep;
	struct job *j;

	*ep = NULL;
	if (!e)
		return;
	pthread_mutex_lock(&e->mu);
	e->is_ending = true;
	pthread_cond_broadcast(&e->more);
	pthread_mutex_unlock(&e->mu);
	for (unsigned i = 0; i < e->threads_n; i++)
		pthread_join(e->threads[i], NULL);
	while ((j = take_first_locked(e)))
		free_job(j);
	pthread_cond_destroy(&e->more);
	pthread_mutex_destroy(&e->mu);
	mem_free(e);
}
