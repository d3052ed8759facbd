/* SPDX-License-Identifier: MIT */
/* Sending bodies that lie in the lower tier: one verified block after the other, as fast as the client takes them. */
#include <errno.h>

#include "proxy/transaction/transaction_internal.h"

/* Unsent bytes from which no further block is read: with the one being read a response holds two. */
#define UNSENT_MAX TIER_BLOCK
/* Less than that is copied, so that a small range does not keep a whole block. */
#define COPY_MAX (TIER_BLOCK / 2)

bool transaction_needs_lower(const struct transaction *x)
{
	return x->object && object_body_is_in_lower(x->object) &&
	       (x->response.body == RESPONSE_PARTS || (x->response.body == RESPONSE_OBJECT && x->response.length > 0));
}

/* ---- What is to be sent: one range, or several, each behind its head ---- */

static struct response_part part_at(const struct transaction *x, unsigned i)
{
	const struct response *r = &x->response;

	return r->body == RESPONSE_PARTS ? r->parts[i] : (struct response_part){0, 0, r->offset, (uint64_t)r->length};
}

static unsigned parts_n(const struct transaction *x)
{
	return x->response.body == RESPONSE_PARTS ? x->response.parts_n : 1;
}

static void skip_what_is_done(struct transaction *x)
{
	while (x->part < parts_n(x) && x->part_begun && x->part_sent == part_at(x, x->part).length) {
		x->part++;
		x->part_sent = 0;
		x->part_begun = false;
	}
}

/* ---- Sending ---- */

static void drop_block(const void *p, size_t n, void *arg)
{
	(void)p;
	(void)n;
	body_block_unref(arg);
}

static int add_run(struct transaction *x, struct slice run)
{
	struct transport *t = x->transport;
	struct body_block *block;

	if (run.n < COPY_MAX)
		return t->ops->add(t, run.p, run.n);
	block = body_reader_block(x->reader);
	if (t->ops->add_reference(t, run.p, run.n, drop_block, block) == 0)
		return 0;
	body_block_unref(block);
	return -ENOMEM;
}

/* The part's head, when it is due, and what is at hand of its bytes. *n: how many were added. 0, -EINPROGRESS or what is wrong. */
static int add_next(struct transaction *x, uint64_t *n)
{
	struct transport *t = x->transport;
	struct response_part part = part_at(x, x->part);
	struct slice run = {"", 0};
	int err = 0;

	if (!x->part_begun && part.head_n > 0) {
		if (t->ops->add(t, x->response.part_heads.p + part.head_off, part.head_n))
			return -ENOMEM;
		*n += part.head_n;
	}
	x->part_begun = true;
	if (x->part_sent == part.length)
		return 0;
	err = body_reader_at(x->reader, part.offset + x->part_sent, &run);
	if (err)
		return err;
	if (run.n > part.length - x->part_sent)
		run.n = (size_t)(part.length - x->part_sent);
	if (add_run(x, run))
		return -ENOMEM;
	x->part_sent += run.n;
	*n += run.n;
	return 0;
}

static int send_next(struct transaction *x)
{
	uint64_t n = 0;
	int err = add_next(x, &n);

	if (n > 0)
		transaction_flush(x, n);
	return err;
}

enum pump transaction_pump_lower(struct transaction *x)
{
	int err;

	for (skip_what_is_done(x); x->part < parts_n(x); skip_what_is_done(x)) {
		if (x->transport->ops->room(x->transport, UNSENT_MAX) == 0)
			return PUMP_NO_ROOM;
		err = send_next(x);
		if (err)
			return err == -EINPROGRESS ? PUMP_WAITS : PUMP_BROKEN;
	}
	return PUMP_ALL_SENT;
}

int transaction_first_block(const struct transaction *x)
{
	struct slice run;

	return body_reader_at(x->reader, part_at(x, 0).offset, &run);
}
