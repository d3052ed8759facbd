/* SPDX-License-Identifier: MIT */
#include "proxy/front/bodies.h"

#include <errno.h>
#include <event2/buffer.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"

#define BODY_MAGIC 0x626f6479u
#define STEP_MIN 4096
#define STEP_MAX (256 * 1024) /* then an eighth of what is there, so that long ones don't move often */

struct bodies {
	pthread_mutex_t mu; /* the mailboxes' come after it */
	/* guarded by mu */
	size_t pool;   /* the bound on all but the one */
	size_t pooled; /* what they hold */
	bool has_one;
	struct link waiting; /* in the order of coming */
	/* atomic */
	_Atomic unsigned waiting_n;
};

struct body {
	uint32_t magic;
	struct body_port *port;
	void (*on_room)(void *arg);
	void *arg;
	size_t longest, n, cap;
	/* guarded by mu */
	struct link link; /* waiting, or granted; alone else */
	size_t granted;   /* bytes that it may take; cap is no more */
	size_t wanted;    /* what `granted` is to become */
	bool is_waiting, is_the_one;
	char bytes[];
};

static struct body *body_of(struct link *l)
{
	struct body *b = CONTAINER_OF(l, struct body, link);

	CHECK(b->magic == BODY_MAGIC);
	return b;
}

/* ---- All of them ---- */

int bodies_new(size_t most, size_t reserve, struct bodies **out)
{
	struct bodies *all = mem_zalloc(sizeof(*all));

	*out = all;
	if (!all)
		return -ENOMEM;
	pthread_mutex_init(&all->mu, NULL);
	link_init(&all->waiting);
	bodies_set_bounds(all, most, reserve);
	return 0;
}

void bodies_free(struct bodies **allp)
{
	struct bodies *all = *allp;

	*allp = NULL;
	if (!all)
		return;
	CHECK(all->pooled == 0 && !all->has_one);
	pthread_mutex_destroy(&all->mu);
	mem_free(all);
}

bool bodies_are_short(const struct bodies *all)
{
	return atomic_load_explicit(&all->waiting_n, memory_order_relaxed) > 0;
}

/* What it holds counts for the reserve from now on, and its room in the pool is free. */
static void become_the_one_locked(struct bodies *all, struct body *b)
{
	all->has_one = b->is_the_one = true;
	all->pooled -= b->granted;
	b->granted = b->wanted;
}

/* False: there is no room for what it wants. */
static bool grant_locked(struct bodies *all, struct body *b)
{
	size_t more = b->wanted - b->granted;

	if (b->is_the_one) {
		b->granted = b->wanted;
	} else if (all->pooled <= all->pool && more <= all->pool - all->pooled) {
		all->pooled += more;
		b->granted = b->wanted;
	} else if (!all->has_one) {
		become_the_one_locked(all, b);
	} else {
		return false;
	}
	return true;
}

static void stop_waiting_locked(struct bodies *all, struct body *b)
{
	link_remove(&b->link);
	b->is_waiting = false;
	atomic_fetch_sub_explicit(&all->waiting_n, 1, memory_order_relaxed);
}

/* Nobody is overtaken: a body that wants more than there is holds up those behind it. */
static void serve_waiting_locked(struct bodies *all)
{
	while (all->waiting.next != &all->waiting) {
		struct body *b = body_of(all->waiting.next);

		if (!grant_locked(all, b))
			return;
		stop_waiting_locked(all, b);
		link_append(&b->port->granted, &b->link);
		post_message(b->port->mailbox, &b->port->message);
	}
}

void bodies_set_bounds(struct bodies *all, size_t most, size_t reserve)
{
	pthread_mutex_lock(&all->mu);
	all->pool = most > reserve ? most - reserve : 0;
	serve_waiting_locked(all);
	pthread_mutex_unlock(&all->mu);
}

/* ---- A worker's message ---- */

static struct body *next_granted(struct body_port *p)
{
	struct body *b = NULL;

	pthread_mutex_lock(&p->bodies->mu);
	if (p->granted.next != &p->granted) {
		b = body_of(p->granted.next);
		link_remove(&b->link);
	}
	pthread_mutex_unlock(&p->bodies->mu);
	return b;
}

static void on_message(struct message *m)
{
	struct body_port *p = CONTAINER_OF(m, struct body_port, message);

	do {
		struct body *b = next_granted(p);

		if (!b)
			return;
		b->on_room(b->arg);
	} while (mailbox_takes_step(p->mailbox));
	post_message(p->mailbox, m);
}

void body_port_init(struct body_port *p, struct bodies *all, struct mailbox *mailbox, uint64_t *bytes)
{
	*p = (struct body_port){.bodies = all, .mailbox = mailbox, .message.on_message = on_message, .bytes = bytes};
	link_init(&p->granted);
}

/* ---- One ---- */

int body_new(struct body_port *port, size_t longest, void (*on_room)(void *arg), void *arg, struct body **out)
{
	struct body *b = mem_zalloc(sizeof(*b));

	*out = b;
	if (!b)
		return -ENOMEM;
	b->magic = BODY_MAGIC;
	b->port = port;
	b->longest = longest;
	b->on_room = on_room;
	b->arg = arg;
	link_init(&b->link);
	return 0;
}

static size_t next_cap(const struct body *b, size_t least)
{
	size_t step = b->cap < STEP_MIN ? STEP_MIN : b->cap < STEP_MAX ? b->cap : STEP_MAX;
	size_t cap = b->cap + (step > b->cap / 8 ? step : b->cap / 8);

	if (cap < least)
		cap = least;
	return cap < b->longest ? cap : b->longest;
}

static void wait_locked(struct bodies *all, struct body *b)
{
	link_remove(&b->link);
	link_append(&all->waiting, &b->link);
	b->is_waiting = true;
	atomic_fetch_add_explicit(&all->waiting_n, 1, memory_order_relaxed);
}

/* What it may grow to, `least` at least. Who waits is on a list and must not move; who got room is on none any more. */
static int ask(struct body *b, size_t least, size_t *cap)
{
	struct bodies *all = b->port->bodies;
	bool others_wait;

	pthread_mutex_lock(&all->mu);
	others_wait = all->waiting.next != &all->waiting && !b->is_the_one;
	if (!b->is_waiting && least > b->granted) {
		b->wanted = next_cap(b, least);
		if (others_wait || !grant_locked(all, b))
			wait_locked(all, b);
	}
	if (!b->is_waiting)
		link_remove(&b->link);
	*cap = b->is_waiting ? 0 : b->granted;
	pthread_mutex_unlock(&all->mu);
	return *cap ? 0 : -EAGAIN;
}

static int grow(struct body **bp, size_t cap)
{
	struct body *b = mem_realloc(*bp, sizeof(*b) + cap);

	if (!b)
		return -ENOMEM;
	*bp = b;
	link_init(&b->link);
	if (b->port)
		*b->port->bytes += cap - b->cap;
	b->cap = cap;
	return 0;
}

int body_make_room(struct body **bp, size_t n)
{
	struct body *b = *bp;
	size_t cap = 0;
	int err = 0;

	CHECK(n <= b->longest - b->n);
	if (n <= b->cap - b->n)
		return 0;
	if (b->port)
		err = ask(b, b->n + n, &cap);
	else
		cap = next_cap(b, b->n + n);
	return err ? err : grow(bp, cap);
}

void body_take(struct body *b, struct evbuffer *from, size_t n)
{
	CHECK(n <= b->cap - b->n && evbuffer_remove(from, b->bytes + b->n, n) == (int)n);
	b->n += n;
}

void body_add(struct body *b, const void *p, size_t n)
{
	CHECK(n <= b->cap - b->n);
	memcpy(b->bytes + b->n, p, n);
	b->n += n;
}

size_t body_length(const struct body *b)
{
	return b->n;
}

static void unref_body(const void *p, size_t n, void *arg)
{
	struct body *b = arg;

	(void)p;
	(void)n;
	body_free(&b);
}

int body_pass_on(struct body **bp, struct evbuffer *to)
{
	struct body *b = *bp;

	if (evbuffer_add_reference(to, b->bytes, b->n, unref_body, b) != 0)
		return -ENOMEM;
	*bp = NULL;
	return 0;
}

static void give_back(struct body *b)
{
	struct bodies *all = b->port->bodies;

	pthread_mutex_lock(&all->mu);
	if (b->is_waiting)
		stop_waiting_locked(all, b);
	else
		link_remove(&b->link);
	if (b->is_the_one)
		all->has_one = false;
	else
		all->pooled -= b->granted;
	serve_waiting_locked(all);
	pthread_mutex_unlock(&all->mu);
	*b->port->bytes -= b->cap;
}

void body_free(struct body **bp)
{
	struct body *b = *bp;

	*bp = NULL;
	if (!b)
		return;
	if (b->port)
		give_back(b);
	b->magic = 0;
	mem_free(b);
}
