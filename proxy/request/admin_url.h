/* SPDX-License-Identifier: MIT */
/* What an operator means by url= and prefix=: a path as a client would ask it, or an absolute URL, of an origin or with the host
 * that a route or an upstream goes by; brought to the
 * spelling of keys and purges, by the same rules that requests go through.
 * Thread: one at a time. Owns: its buffers. Borrows: the snapshot. */
#ifndef PROXY_REQUEST_ADMIN_URL_H
#define PROXY_REQUEST_ADMIN_URL_H

#include "http/message.h"
#include "proxy/request/target.h"

struct admin_url {
	const struct config_route *route;
	unsigned upstream;
	struct buf spelled, why;     /* what it was looked for by, and what was wrong with that */
	struct buf url;              /* as in keys */
	struct buf head;             /* a GET for it, as a client would send it */
	struct http_request request; /* parsed from `head` */
	bool is_path;                /* no more than that was given */
	bool is_unserved;            /* an upstream's, and no route leads there: to be purged, no more */
	bool is_tls; /* the scheme that it is asked by: what the URL says or else the listeners leave, http where they are of both kinds */
};

void admin_url_init(struct admin_url *l);
void admin_url_fini(struct admin_url *l);
/* 0; -EINVAL with *why a sentence, which lives as long as l or longer; -ENOMEM; -ENOBUFS when it is too long. `is_prefix`: taken literally, no
 * query rule, and `request` is not filled. */
int admin_url_find(
	struct admin_url *l, const struct snapshot *s, struct slice what, bool is_prefix, const char **why) WARN_UNUSED;
/* Routes with a host keep queries by rules of their own, and a path names no host: the URL as the next other route that may serve its path
 * would have it, most often the same. *i is 0 at first. 1, 0 when there is none left, -ENOMEM or -ENOBUFS. */
int admin_url_next(const struct admin_url *l, const struct snapshot *s, unsigned *i, struct buf *out) WARN_UNUSED;
/* Of a path alone: the next route with a host that its clients are given in place of l->route. *i is 0 at first. NULL: no other. */
const struct config_route *admin_url_next_by_host(const struct admin_url *l, const struct snapshot *s, unsigned *i);
/* What a client with this Host asks by this scheme, path and query. 0, -EINVAL, -ENOMEM or -ENOBUFS. */
int admin_url_find_on(struct admin_url *l, const struct snapshot *s, struct slice scheme, struct slice host,
	struct slice path_query) WARN_UNUSED;

/* 0, or -EINVAL with *why where no client's request has this URL. */
int admin_url_check_served(const struct admin_url *l, const char **why) WARN_UNUSED;
/* For target_find; nobody asks. */
struct asked admin_url_asked(const struct admin_url *l);
/* Are there listeners of this kind? */
bool admin_url_has_listener(const struct snapshot *s, bool is_tls);

#endif
