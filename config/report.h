/* SPDX-License-Identifier: MIT */
/* The list of mistakes in one configuration file, each with its line, in the order of lines.
 * Thread: one at a time. Borrows: the file's name and the buffer that receives the text.
 * Bounds: CONFIG_ERRORS_MAX lines, then one that says how many more there are; as many warnings. */
#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include "base/buf.h"
#include "base/slice.h"
#include "config/config.h"

enum { REPORT_LINES_MAX = 2 * CONFIG_ERRORS_MAX };

struct report {
	const char *file;
	struct buf *out;
	unsigned errors; /* all of them, those left out too */
	unsigned warnings;
	/* what stands at the end of `out`, in the order of the file's lines */
	unsigned lines_n;
	struct report_line {
		unsigned line;
		size_t n; /* bytes */
	} lines[REPORT_LINES_MAX];
};

/* Appends "file:line: text"; line 0 is the file as a whole. */
void report_at(struct report *r, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Appends "file:line: warning: text": nothing is wrong with the file, but somebody should look at it. */
void report_warning(struct report *r, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Says how many were left out; to be called once at the end. */
void report_end(struct report *r);

/* A value to be shown in an error: cut, and without control characters. */
struct shown {
	char z[64];
};
struct shown report_shown(struct slice s);

#endif
