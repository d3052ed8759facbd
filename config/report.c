/* SPDX-License-Identifier: MIT */
#include "config/report.h"

#include <stdarg.h>
#include <stdio.h>

#include "config/config.h"

static void add_line(struct report *r, unsigned line, const char *kind, const char *fmt, va_list args)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, args);
	if (line)
		buf_addf(r->out, "%s:%u: %s%s\n", r->file, line, kind, text);
	else
		buf_addf(r->out, "%s: %s%s\n", r->file, kind, text);
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
