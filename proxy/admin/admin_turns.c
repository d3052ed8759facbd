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
	struct admin_call *c = a->first;

	(void)fd;
	(void)what;
	if (!c)
		return;
	a->first = c->next;
	if (!a->first)
		a->last = &a->first;
	else
		run_next_soon(a);
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
	c->next = NULL;
	*a->last = c;
	a->last = &c->next;
	run_next_soon(a);
}

int admin_turns_init(struct admin *a, struct event_base *base)
{
	a->last = &a->first;
	a->next_call = event_new(base, -1, 0, on_next_call, a);
	return a->next_call ? 0 : -ENOMEM;
}

void admin_turns_fini(struct admin *a)
{
	while (a->first) {
		struct admin_call *c = a->first;

		a->first = c->next;
		admin_call_free(c);
	}
	a->last = &a->first;
	if (a->next_call)
		event_free(a->next_call);
	a->next_call = NULL;
}
