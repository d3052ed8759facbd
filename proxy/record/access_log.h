/* SPDX-License-Identifier: MIT */
/* The access log: one line a request, buffered and written off the loops; dropped with a counter rather than waited for.
 * Thread: access_log_add from any worker; the writer is a thread of its own. Owns: the file and the ring.
 * Bounds: ACCESS_LOG_RING bytes; a line that does not fit is dropped and counted. access_line.h: what a line holds. */
#ifndef PROXY_RECORD_ACCESS_LOG_H
#define PROXY_RECORD_ACCESS_LOG_H

#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"
#include "config/config.h"
#include "http/message.h"
#include "proxy/record/stats.h"

#define ACCESS_LOG_RING (1024 * 1024)

struct access_log;

struct access_record {
	const struct http_request *http; /* NULL: there was no valid head */
	const char *peer;
	int status; /* 499: the client left first */
	uint64_t body_bytes;
	enum response_kind kind;
	struct slice route;
	int64_t total_us, upstream_us; /* -1: no upstream was asked */
	int64_t wall_ms;
	const char *
		error; /* a proxy error type (RFC 9209) where the proxy answered itself or cut the response; else NULL */
	uint64_t id;   /* stands in where the client gave no X-Request-ID; 0: nothing does */
};

/* path: a file, or "-" for standard output. 0, -ENOMEM or what open(2) says: -ENXIO for a FIFO without a reader. */
int access_log_open(struct slice path, enum config_log_format format, struct access_log **out) WARN_UNUSED;
/* From now on lines of this format go to `path`; what is buffered still goes to the old file. An empty path: nothing is
 * logged until the next call. 0, -ENOMEM or what open(2) says; then all stays as it was. Main. */
int access_log_configure(struct access_log *log, struct slice path, enum config_log_format format) WARN_UNUSED;
/* Writes what is buffered, then ends the writer; a pipe that takes nothing is given a second. Nobody adds any more. */
void access_log_close(struct access_log **log);
/* For USR1: the writer opens the path again before its next line; when that fails, it keeps the old file and says so in
 * the error log. Async-signal unsafe; any thread. */
void access_log_reopen(struct access_log *log);
void access_log_add(struct access_log *log, const struct access_record *r);
/* Lines lost because the buffer was full or a write failed; any thread. */
uint64_t access_log_dropped(const struct access_log *log);

#endif
