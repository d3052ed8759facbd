/* SPDX-License-Identifier: MIT */
/* The direct way: a response to a head that the gate has just read, put together where the gate's responses of this turn are, without
 * evhttp. */
#include "proxy/front/gate_internal.h"

static struct gate *gate_at(const struct transport *t)
{
	return CONTAINER_OF(t, struct gate, transport);
}

static int begin(struct transport *t, const struct transport_head *head)
{
	struct gate *g = gate_at(t);

	gate_end_head(g, head, g->closes_direct);
	return head->text->err ? head->text->err : gate_say(g, head->text->p, head->text->n);
}

static int add(struct transport *t, const void *p, size_t n)
{
	return gate_say(gate_at(t), p, n);
}

static int add_reference(
	struct transport *t, const void *p, size_t n, void (*done)(const void *p, size_t n, void *arg), void *arg)
{
	return gate_say_by_reference(gate_at(t), p, n, done, arg);
}

/* It goes with the others of this turn. */
static void end(struct transport *t)
{
	(void)t;
}

/* What was said can't be taken back: a body that can't follow ends the connection, short of its length. */
static void cut(struct transport *t)
{
	gate_at(t)->closes_direct = true;
}

static size_t unsent(const struct transport *t)
{
	return gate_unsent(gate_at(t));
}

/* No informational, room and body: what is answered here is at hand, and asked for without content. */
const struct transport_ops gate_direct_ops = {
	.begin = begin,
	.add = add,
	.add_reference = add_reference,
	.flush = end,
	.end = end,
	.refuse = cut,
	.abort = cut,
	.unsent = unsent,
	.close_after = cut,
};
