/* SPDX-License-Identifier: MIT */
#include "proxy/control/print.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

void print_text(FILE *to, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	for (; *p; p++) {
		/* U+0080 to U+009F, which some terminals take for escape sequences, are 0xC2 and that byte. */
		bool is_c1 = *p == 0xC2 && p[1] >= 0x80 && p[1] <= 0x9F;

		putc(*p < ' ' || *p == 0x7F || is_c1 ? '?' : *p, to);
		p += is_c1;
	}
}

static bool is_styled(FILE *to)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(to)) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

void print_heading(FILE *to, const char *text)
{
	bool is_bold = is_styled(to);

	fputs(is_bold ? "\033[1m" : "", to);
	print_text(to, text);
	fputs(is_bold ? "\033[0m\n" : "\n", to);
}

static int put(const char *text, size_t n, void *to)
{
	return fwrite(text, 1, n, to) == n ? 0 : -1;
}

void print_value(FILE *to, const json_t *j)
{
	if (json_is_string(j))
		print_text(to, json_string_value(j));
	else
		(void)json_dump_callback(j, put, to, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6) | JSON_ENSURE_ASCII);
}

void print_line(FILE *to, int width, const char *name, const json_t *j)
{
	if (!j || json_is_null(j))
		return;
	print_text(to, name);
	fprintf(to, "%*s  ", width > (int)strlen(name) ? width - (int)strlen(name) : 0, "");
	print_value(to, j);
	putc('\n', to);
}

struct print_short print_seconds(double s)
{
	static const struct {
		double s;
		const char *unit;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
	struct print_short out;
	double size = s < 0 ? -s : s;
	unsigned i = 0;

	/* From 100 of a unit on the next one says enough. */
	while (i < ARRAY_LEN(units) - 1 && size < 100 * units[i + 1].s)
		i++;
	snprintf(out.z, sizeof(out.z), "%.0f%s", s / units[i].s, units[i].unit);
	return out;
}

struct print_short print_bytes(double n)
{
	static const char units[] = "\0KMGT";
	struct print_short out;
	unsigned i = 0;

	for (; n >= 1024 && i < sizeof(units) - 2; i++)
		n /= 1024;
	snprintf(out.z, sizeof(out.z), i && n < 10 ? "%.1f%c" : "%.0f%c", n, units[i]);
	return out;
}
