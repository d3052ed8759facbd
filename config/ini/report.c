/* SPDX-License-Identifier: MIT */
#include "config/ini/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

void report_fini(struct report *r)
{
	mem_free(r->sources);
	r->sources = NULL;
	r->sources_n = r->sources_room = 0;
}

int report_source(struct report *r, unsigned first, const char *name, unsigned line_of_its)
{
	unsigned room = r->sources_room ? 2 * r->sources_room : 8;
	struct report_source *more;

	if (r->sources_n == r->sources_room) {
		more = mem_realloc(r->sources, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->sources = more;
		r->sources_room = room;
	}
	r->sources[r->sources_n++] = (struct report_source){name, first, line_of_its};
	return 0;
}

const char *report_locate(const struct report *r, unsigned *line)
{
	unsigned i = r->sources_n;

	while (i > 0 && r->sources[i - 1].first > *line)
		i--;
	if (i == 0)
		return r->file;
	if (r->sources[i - 1].line_of_its == 0)
		*line = 0;
	else
		*line += r->sources[i - 1].line_of_its - r->sources[i - 1].first;
	return r->sources[i - 1].name;
}

const char *report_file_of(const struct report *r, unsigned line)
{
	return report_locate(r, &line);
}

struct place report_file_and_line(const struct report *r, unsigned line)
{
	const char *file = report_locate(r, &line);
	struct place out;

	if (line == 0)
		snprintf(out.z, sizeof(out.z), "%s", file);
	else
		snprintf(out.z, sizeof(out.z), "%s:%u", file, line);
	return out;
}

struct place report_place(const struct report *r, unsigned line, unsigned at)
{
	unsigned line_of_its = line;
	const char *file = report_locate(r, &line_of_its), *here = report_locate(r, &at);
	struct place out;

	if (line_of_its == 0 || strcmp(file, here) != 0)
		return report_file_and_line(r, line);
	snprintf(out.z, sizeof(out.z), "line %u", line_of_its);
	return out;
}

static void reverse(char *p, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		char c = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = c;
	}
}

/* The file is read in several passes: what was said last goes before what is said of later lines. `n`: its bytes. */
static void sort_in(struct report *r, unsigned line, size_t n)
{
	unsigned i = r->lines_n;
	size_t passed = 0;
	char *end = r->out->p + r->out->n;

	if (i == REPORT_LINES_MAX)
		return;
	for (; i > 0 && r->lines[i - 1].line > line; i--) {
		passed += r->lines[i - 1].n;
		r->lines[i] = r->lines[i - 1];
	}
	r->lines[i] = (struct report_line){line, n};
	r->lines_n++;
	reverse(end - n - passed, passed);
	reverse(end - n, n);
	reverse(end - n - passed, passed + n);
}

static void add_line(struct report *r, unsigned line, const char *kind, const char *fmt, va_list args)
{
	char text[512];
	size_t from = r->out->n;
	unsigned line_of_its = line;
	const char *file = report_locate(r, &line_of_its);

	vsnprintf(text, sizeof(text), fmt, args);
	if (line_of_its)
		buf_addf(r->out, "%s:%u: %s%s\n", file, line_of_its, kind, text);
	else
		buf_addf(r->out, "%s: %s%s\n", file, kind, text);
	if (!r->out->err)
		sort_in(r, line, r->out->n - from);
}

void report_at(struct report *r, unsigned line, const char *fmt, ...)
{
	va_list args;

	if (++r->errors > REPORT_ERRORS_MAX)
		return;
	va_start(args, fmt);
	add_line(r, line, "", fmt, args);
	va_end(args);
}

void report_warning(struct report *r, unsigned line, const char *fmt, ...)
{
	va_list args;

	if (++r->warnings > REPORT_ERRORS_MAX)
		return;
	va_start(args, fmt);
	add_line(r, line, "warning: ", fmt, args);
	va_end(args);
}

void report_end(struct report *r)
{
	if (r->errors > REPORT_ERRORS_MAX)
		buf_addf(r->out, "%s: and %u more\n", r->file, r->errors - REPORT_ERRORS_MAX);
	else if (r->errors == 0 && r->warnings > REPORT_ERRORS_MAX)
		buf_addf(r->out, "%s: warning: and %u more\n", r->file, r->warnings - REPORT_ERRORS_MAX);
}

struct shown report_shown(struct slice s)
{
	struct shown out = {""};
	size_t room = sizeof(out.z) - sizeof("...");
	size_t n = s.n < room ? s.n : room;

	for (size_t i = 0; i < n; i++)
		out.z[i] = s.p[i] >= ' ' && s.p[i] <= '~' ? s.p[i] : '?';
	if (s.n > room)
		memcpy(out.z + room, "...", sizeof("..."));
	return out;
}
