#include "config/report.h"

#include <stdarg.h>
#include <stdio.h>

#include "config/config.h"

void report_at(struct report *r, unsigned line, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (++r->errors > CONFIG_ERRORS_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (line)
		buf_addf(r->out, "%s:%u: %s\n", r->file, line, text);
	else
		buf_addf(r->out, "%s: %s\n", r->file, text);
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
