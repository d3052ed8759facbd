/* SPDX-License-Identifier: MIT */
/* The places of max_connections: taken and given back by all loops of an upstream. */
#include "upstream/state.h"

void places_init(struct places *p)
{
	pthread_mutex_init(&p->mu, NULL);
	link_init(&p->waiting);
	p->most = p->taken = 0;
}

void places_fini(struct places *p)
{
	pthread_mutex_destroy(&p->mu);
}

/* False: nobody waits. */
static bool hand_on_locked(struct places *p)
{
	struct link *first = link_take_first(&p->waiting);
	struct places_waiter *w;

	if (!first)
		return false;
	w = CONTAINER_OF(first, struct places_waiter, link);
	w->is_waiting = false;
	w->given++;
	post_message(w->mailbox, &w->message);
	return true;
}

/* After a reload more may be taken than there are. */
static void give_locked(struct places *p)
{
	if (p->taken > p->most || !hand_on_locked(p))
		p->taken--;
}

void places_set_most(struct places *p, unsigned most)
{
	pthread_mutex_lock(&p->mu);
	p->most = most;
	while (p->taken < p->most && hand_on_locked(p))
		p->taken++;
	pthread_mutex_unlock(&p->mu);
}

static bool take_locked(struct places *p)
{
	bool has = p->taken < p->most;

	p->taken += has;
	return has;
}

bool places_take(struct places *p)
{
	bool has;

	pthread_mutex_lock(&p->mu);
	has = take_locked(p);
	pthread_mutex_unlock(&p->mu);
	return has;
}

bool places_take_or_wait(struct places *p, struct places_waiter *w)
{
	bool has;

	pthread_mutex_lock(&p->mu);
	has = take_locked(p);
	if (!has && !w->is_waiting) {
		w->is_waiting = true;
		link_append(&p->waiting, &w->link);
	}
	pthread_mutex_unlock(&p->mu);
	return has;
}

void places_force(struct places *p)
{
	pthread_mutex_lock(&p->mu);
	p->taken++;
	pthread_mutex_unlock(&p->mu);
}

void places_give(struct places *p)
{
	pthread_mutex_lock(&p->mu);
	give_locked(p);
	pthread_mutex_unlock(&p->mu);
}

unsigned places_collect(struct places *p, struct places_waiter *w)
{
	unsigned given;

	pthread_mutex_lock(&p->mu);
	given = w->given;
	w->given = 0;
	pthread_mutex_unlock(&p->mu);
	return given;
}

void places_forget(struct places *p, struct places_waiter *w)
{
	pthread_mutex_lock(&p->mu);
	if (w->is_waiting)
		link_remove(&w->link);
	w->is_waiting = false;
	for (; w->given > 0; w->given--)
		give_locked(p);
	pthread_mutex_unlock(&p->mu);
}
