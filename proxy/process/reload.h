/* SPDX-License-Identifier: MIT */
/* A new configuration for a running proxy: no connection and nothing of the cache is lost.
 * Thread: main. A mistake in the new file leaves the old configuration in force, whole. */
#ifndef PROXY_PROCESS_RELOAD_H
#define PROXY_PROCESS_RELOAD_H

#include "base/buf.h"

struct server;

/* Loads the file, and from the next request on each worker goes by it. 0, with warnings in `errors`; or negative errno with
 * lines in it that say why nothing changed. `later` gets the names of the keys that differ but count from the next start on only, as
 * "[section] key" and a newline each. */
int server_reload(struct server *s, struct buf *errors, struct buf *later) WARN_UNUSED;
/* What that would do: loads the file and changes nothing. The same, and `differs` gets the names of what it would change, an empty key for
 * a section that is new, gone or elsewhere among its like. */
int server_reload_try(struct server *s, struct buf *errors, struct buf *differs, struct buf *later) WARN_UNUSED;

#endif
