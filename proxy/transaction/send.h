/* SPDX-License-Identifier: MIT */
/* A response's body, as far as it is at hand, to a transport.
 * Thread: the worker. Owns: nothing; what is referred to keeps its object. */
#ifndef PROXY_TRANSACTION_SEND_H
#define PROXY_TRANSACTION_SEND_H

#include "proxy/front/transport.h"
#include "proxy/request/response_head.h"

/* n bytes of the object's body, which are in memory, from there on. 0 or -ENOMEM: then some may have been added. */
int send_run(struct transport *t, struct object *o, uint64_t from, uint64_t n) WARN_UNUSED;
/* Is all of the response's body at hand, so that send_body can add it? */
bool send_is_whole(const struct response *r, const struct object *o);
/* 0 or -ENOMEM. */
int send_body(struct transport *t, const struct response *r, struct object *o) WARN_UNUSED;
/* Content bytes of a response that is whole. */
uint64_t send_body_n(const struct response *r);

#endif
