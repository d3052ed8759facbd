/* SPDX-License-Identifier: MIT */
/* Calls that wait for their turn: in one turn of the loop one of them takes one step. So neither many of them nor a large one keep
 * others, whose heads are read meanwhile, or signals waiting. */
#include <errno.h>
#include <event2/event.h>

#include "proxy/admin/admin_internal.h"

static void run_next_soon(struct admin *a)
{
	static const struct timeval next_turn = {0, 0};

	(void)event_add(a->next_call, &next_turn);
}

static void on_next_call(evutil_socket_t fd, short what, void *arg)
{
	struct admin *a = arg;
	struct link *first = link_take_first(&a->waiting);
	struct admin_call *c;

	(void)fd;
	(void)what;
	if (!first)
		return;
	if (!link_is_empty(&a->waiting))
		run_next_soon(a);
	c = CONTAINER_OF(first, struct admin_call, link);
	if (c->is_gone)
		admin_call_free(c);
	else if (c->work)
		c->work->go_on(c);
	else
		a->begin(c);
}

void admin_wait_turn(struct admin_call *c)
{
	struct admin *a = c->admin;

	if (c->is_gone) {
		admin_call_free(c);
		return;
	}
	link_append(&a->waiting, &c->link);
	run_next_soon(a);
}

int admin_turns_init(struct admin *a, struct event_base *base)
{
	link_init(&a->waiting);
	a->next_call = event_new(base, -1, 0, on_next_call, a);
	return a->next_call ? 0 : -ENOMEM;
}

void admin_turns_fini(struct admin *a)
{
	struct link *first;

	while ((first = link_take_first(&a->waiting)))
		admin_call_free(CONTAINER_OF(first, struct admin_call, link));
	if (a->next_call)
		event_free(a->next_call);
	a->next_call = NULL;
}
