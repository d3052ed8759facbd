/* SPDX-License-Identifier: MIT */
/* The error log: one line an event on stderr (or journald behind it), never a secret.
 * Thread: any. Bounds: a line is cut at 2 KiB; one of JSON stays an object. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_format { LOG_TEXT, LOG_JSON };

/* Looks where stderr leads. Where that is the journal (JOURNAL_STREAM of systemd.exec(5) names its device and inode), lines begin with
 * the journal's priority, "<3>" to "<7>" (sd-daemon(3)), in place of a time and a level: it has both by itself. Once, before
 * there are threads; without it a line bears its time. */
void log_init(void);
void log_set_level(enum log_level level);
/* TEXT: time, level, message, then name=value of each field. JSON: an object with time, level, message, and each field by its name. */
void log_set_format(enum log_format format);
bool log_enabled(enum log_level level);

/* What a machine may want to know of an event beside its message; name: a word that stays, value: any bytes; an empty one is left out. */
struct log_field {
	const char *name;
	struct slice value;
};
void log_event(enum log_level level, const struct log_field *fields, unsigned n, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* At the level of debug, whatever level is set: for the one request that an operator asked to be told of. */
void log_trace(const struct log_field *fields, unsigned n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_line(level, ...) log_event(level, NULL, 0, __VA_ARGS__)
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
