/* SPDX-License-Identifier: MIT */
/* The list of mistakes in one configuration, each with its file and line, in the order in which they were read.
 *
 * A line's number counts all lines that were read, of whatever file; report_source says of which file they are from that line on.
 * Thread: one at a time. Borrows: the buffer that receives the text, and the sources' names.
 * Bounds: REPORT_ERRORS_MAX lines, then one that says how many more there are; as many warnings. */
#ifndef CONFIG_INI_REPORT_H
#define CONFIG_INI_REPORT_H

#include "base/buf.h"
#include "base/check.h"
#include "base/slice.h"

enum { REPORT_ERRORS_MAX = 20, REPORT_LINES_MAX = 2 * REPORT_ERRORS_MAX };

/* From `first` on, until the next of these. */
struct report_source {
	const char *name;
	unsigned first; /* of all lines */
	unsigned
		line_of_its; /* the line of the source that this is; 0: it has no lines, as an option of the command line */
};

struct report {
	const char *file; /* what line 0 is about; and, without sources, all lines */
	struct buf *out;
	unsigned errors, warnings; /* all of them, those left out too */
	/* what stands at the end of `out`, in the order of lines */
	unsigned lines_n;
	struct report_line {
		unsigned line;
		size_t n; /* bytes */
	} lines[REPORT_LINES_MAX];
	struct report_source *sources; /* owned; report_fini */
	unsigned sources_n, sources_room;
};

void report_fini(struct report *r);
/* The lines from `first` on are those of the source, where the first of them is number line_of_its. 0 or -ENOMEM. */
int report_source(struct report *r, unsigned first, const char *name, unsigned line_of_its) WARN_UNUSED;

/* Appends "file:line: text"; line 0 is the file as a whole. */
void report_at(struct report *r, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Appends "file:line: warning: text": nothing is wrong with the file, but somebody should look at it. */
void report_warning(struct report *r, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Says how many were left out; to be called once at the end. */
void report_end(struct report *r);

/* The file that the line is of, and *line as that counts its lines; 0 where it has none. */
const char *report_locate(const struct report *r, unsigned *line);
/* The file alone. */
const char *report_file_of(const struct report *r, unsigned line);

/* A text to be shown in an error. */
struct shown {
	char z[64];
};
/* Cut, and without control characters. */
struct shown report_shown(struct slice s);
struct place {
	char z[300];
};
/* "proxy.ini:7", or the name alone where it has no lines. */
struct place report_file_and_line(const struct report *r, unsigned line);
/* The same, said at line `at`: "line 7" if it is in that file. */
struct place report_place(const struct report *r, unsigned line, unsigned at);

#endif
