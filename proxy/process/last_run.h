/* SPDX-License-Identifier: MIT */
/* What the next start is to warm up: the URLs that spared the API the most time in this run, in a file in the disk tier's directory
 * ([warm] top). What was in the list before and is not in memory any more fills up what is left of it, so that a short run does not
 * end it.
 * Thread: main; the workers may serve meanwhile. Bounds: [warm] top URLs, WARM_TEXT bytes. */
#ifndef PROXY_PROCESS_LAST_RUN_H
#define PROXY_PROCESS_LAST_RUN_H

struct cache;
struct config;

/* Before the directory is given away or closed. A failure is told in the log, and leaves the list as it was. */
void last_run_keep(struct cache *c, const struct config *config);

#endif
