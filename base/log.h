/* SPDX-License-Identifier: MIT */
/* The error log: one line an event on stderr (or journald behind it), never a secret.
 * Thread: any. Bounds: a line is cut at 2 KiB. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) (log_enabled(LOG_LEVEL_DEBUG) ? log_line(LOG_LEVEL_DEBUG, __VA_ARGS__) : (void)0)

/* At most one line a second for each site; the next line that passes says how many were left out.
 *     static struct log_limit limit;
 *     if (log_allowed(&limit)) log_warn(...); */
struct log_limit {
	_Atomic int64_t next_ms;
	_Atomic uint64_t suppressed;
};
bool log_allowed(struct log_limit *limit);

#endif
