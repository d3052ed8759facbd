/* SPDX-License-Identifier: MIT */
#include "config/report.h"

#include <stdarg.h>
#include <stdio.h>

#include "config/config.h"

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

	vsnprintf(text, sizeof(text), fmt, args);
	if (line)
		buf_addf(r->out, "%s:%u: %s%s\n", r->file, line, kind, text);
	else
		buf_addf(r->out, "%s: %s%s\n", r->file, kind, text);
	if (!r->out->err)
		sort_in(r, line, r->out->n - from);
}

void report_at(struct report *r, unsigned line, const char *fmt, ...)
{
	va_list args;

	if (++r->errors > CONFIG_ERRORS_MAX)
		return;
	va_start(args, fmt);
	add_line(r, line, "", fmt, args);
	va_end(args);
}

void report_warning(struct report *r, unsigned line, const char *fmt, ...)
{
	va_list args;

	if (++r->warnings > CONFIG_ERRORS_MAX)
		return;
	va_start(args, fmt);
	add_line(r, line, "warning: ", fmt, args);
	va_end(args);
}

void report_end(struct report *r)
{
	if (r->errors > CONFIG_ERRORS_MAX)
		buf_addf(r->out, "%s: and %u more\n", r->file, r->errors - CONFIG_ERRORS_MAX);
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
