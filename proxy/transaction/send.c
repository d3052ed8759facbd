/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/send.h"

#include <errno.h>

/* Up to here bytes are copied behind their head: one buffer, one iovec, cheaper than a reference and its callback. */
#define COPY_MAX 4096

static void drop_object(const void *p, size_t n, void *arg)
{
	struct object *o = arg;

	(void)p;
	(void)n;
	object_unref(&o);
}

/* Bytes that live as long as the object, unless its body may still move. */
static int add_bytes(struct transport *t, struct object *o, struct slice run)
{
	struct object *mine;

	if (run.n <= COPY_MAX || !object_body_is_stable(o))
		return t->ops->add(t, run.p, run.n);
	mine = object_ref(o);
	if (t->ops->add_reference(t, run.p, run.n, drop_object, mine) == 0)
		return 0;
	object_unref(&mine);
	return -ENOMEM;
}

int send_run(struct transport *t, struct object *o, uint64_t from, uint64_t n)
{
	while (n) {
		struct slice run = object_body_at(o, from);

		if (run.n > n)
			run.n = n;
		if (run.n == 0 || add_bytes(t, o, run))
			return -ENOMEM;
		from += run.n;
		n -= run.n;
	}
	return 0;
}

bool send_is_whole(const struct response *r, const struct object *o)
{
	bool is_in_lower = o && object_body_is_in_lower(o);

	switch (r->body) {
	case RESPONSE_EMPTY:
	case RESPONSE_BYTES:
		return true;
	case RESPONSE_PARTS:
		return !is_in_lower;
	case RESPONSE_OBJECT:
		/* A length that was not known when the head was made is not in it, though the body may be complete by now. */
		return r->length >= 0 && object_body_is_stable(o) && (!is_in_lower || r->length == 0);
	case RESPONSE_STREAM:
		return false;
	}
	return false;
}

static int send_parts(struct transport *t, const struct response *r, struct object *o)
{
	for (unsigned i = 0; i < r->parts_n; i++)
		if (t->ops->add(t, r->part_heads.p + r->parts[i].head_off, r->parts[i].head_n) ||
			send_run(t, o, r->parts[i].offset, r->parts[i].length))
			return -ENOMEM;
	return 0;
}

int send_body(struct transport *t, const struct response *r, struct object *o)
{
	switch (r->body) {
	case RESPONSE_BYTES:
		return t->ops->add(t, r->bytes.p, r->bytes.n);
	case RESPONSE_OBJECT:
		return send_run(t, o, r->offset, (uint64_t)r->length);
	case RESPONSE_PARTS:
		return send_parts(t, r, o);
	default:
		return 0;
	}
}

uint64_t send_body_n(const struct response *r)
{
	return r->body == RESPONSE_EMPTY || r->content_length < 0 ? 0 : (uint64_t)r->content_length;
}
