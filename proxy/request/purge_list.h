/* SPDX-License-Identifier: MIT */
/* Purges that were asked for together: what an operator names, as the cache keeps it.
 * Thread: one at a time. Owns: the purges and their text. Bounds: PURGE_LIST_MAX purges and PURGE_LIST_TEXT bytes of what they name. */
#ifndef PROXY_REQUEST_PURGE_LIST_H
#define PROXY_REQUEST_PURGE_LIST_H

#include "proxy/request/snapshot.h"

#define PURGE_LIST_MAX 65536
#define PURGE_LIST_TEXT (8u << 20)

struct purge_list {
	struct purge *v;
	unsigned n, cap;
	struct buf text; /* of all `what` */
	char why[320];   /* what -EINVAL is about, a sentence */
};

void purge_list_init(struct purge_list *l);
void purge_list_fini(struct purge_list *l);
/* Each of these adds what makes up one name, or on an error perhaps a part of it: 0, -ENOMEM, -ENOBUFS when it is too much,
 * or names more than CACHE_KEY_MAX bytes: nothing that is stored does. */
int purge_list_add(struct purge_list *l, const struct purge *p) WARN_UNUSED;
/* p->kind is URL or PREFIX: p->what is resolved as a client's request would be, and added as every route keeps it. Also -EINVAL, with
 * `why`. */
int purge_list_add_url(struct purge_list *l, const struct snapshot *s, const struct purge *p) WARN_UNUSED;
/* The same of a URL as a client asks it by this scheme and Host: p->what is not read. */
int purge_list_add_asked(struct purge_list *l, const struct snapshot *s, struct slice scheme, struct slice host,
	struct slice path_query, const struct purge *p) WARN_UNUSED;
/* p->kind is USER and p->what an identity, which is a secret: it is added as each route with scope = user knows it. Also -ENOENT: none
 * does. */
int purge_list_add_user(struct purge_list *l, const struct snapshot *s, const struct purge *p) WARN_UNUSED;

#endif
