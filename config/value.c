/* SPDX-License-Identifier: MIT */
#include "config/value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "http/syntax.h"

/* What the environment has may be a secret that stands here by mistake. */
static int refuse_unseen(const struct value_source *s)
{
	struct buf takes;

	buf_init(&takes, 256);
	(void)option_describe(s->option, &takes);
	report_at(s->report, s->line, "%.*s: what the environment has for it is not valid here (%.*s)",
		SLICE_ARG(s->key), SLICE_ARG(buf_slice(&takes)));
	buf_fini(&takes);
	return -EINVAL;
}

int value_refuse(const struct value_source *s, const char *fmt, ...)
{
	char text[400];
	va_list args;

	if (s->is_expanded)
		return refuse_unseen(s);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	report_at(s->report, s->line, "%.*s: %s", SLICE_ARG(s->key), text);
	return -EINVAL;
}

bool value_is_word(const struct value_source *s)
{
	return s->option->words && slice_equal(s->text, slice_of(s->option->words));
}

bool value_next(struct slice *rest, struct slice *item)
{
	while (rest->n > 0 && strchr(", \t", rest->p[0])) {
		rest->p++;
		rest->n--;
	}
	*item = (struct slice){rest->p, 0};
	while (item->n < rest->n && (rest->p[item->n] == '\0' || !strchr(", \t", rest->p[item->n])))
		item->n++;
	rest->p += item->n;
	rest->n -= item->n;
	return item->n > 0;
}

unsigned value_count(struct slice list)
{
	struct slice item;
	unsigned n = 0;

	while (value_next(&list, &item))
		n++;
	return n;
}

/* ---- Numbers ---- */

struct unit {
	const char *name;
	int64_t n;
};

/* Digits, then the rest. False without digits; saturates. */
static bool take_number(struct slice text, int64_t *number, struct slice *rest)
{
	struct slice digits = {text.p, 0};
	unsigned long long n = 0;

	while (digits.n < text.n && http_char_is(text.p[digits.n], HTTP_CH_DIGIT))
		digits.n++;
	*rest = slice_trim(slice_from(text, digits.n));
	if (!slice_to_u64(digits, INT64_MAX, &n))
		return false;
	*number = (int64_t)n;
	return true;
}

/* n in units, saturating; false when the unit is none of these. */
static bool scale(int64_t n, struct slice unit, const struct unit *units, unsigned units_n, int64_t *out)
{
	for (unsigned i = 0; i < units_n; i++) {
		if (!slice_equal(slice_of(units[i].name), unit))
			continue;
		*out = n > INT64_MAX / units[i].n ? INT64_MAX : n * units[i].n;
		return true;
	}
	return false;
}

static bool is_in_range(const struct value_source *s, int64_t n)
{
	return n >= s->option->low && n <= s->option->high;
}

int value_read_uint(const struct value_source *s, void *to)
{
	int64_t n = 0;
	struct slice rest;

	if (value_is_word(s)) {
		*(unsigned *)to = 0;
		return 0;
	}
	if (!take_number(s->text, &n, &rest) || rest.n > 0)
		return value_refuse(s, "\"%s\" is not a number%s%s", report_shown(s->text).z,
			s->option->words ? " or " : "", s->option->words ? s->option->words : "");
	if (!is_in_range(s, n))
		return value_refuse(s, "%s is not in %lld to %lld", report_shown(s->text).z, (long long)s->option->low,
			(long long)s->option->high);
	*(unsigned *)to = (unsigned)n;
	return 0;
}

/* "10/s", "600/m", "5000/h" */
int value_read_rate(const struct value_source *s, void *to)
{
	static const struct {
		const char *unit;
		unsigned seconds;
	} units[] = {{"/s", 1}, {"/m", 60}, {"/h", 3600}};
	int64_t n = 0;
	struct slice rest;

	*(struct config_rate *)to = (struct config_rate){0};
	if (value_is_word(s))
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(units) && take_number(s->text, &n, &rest); i++) {
		if (!slice_equal(rest, slice_of(units[i].unit)))
			continue;
		if (!is_in_range(s, n))
			return value_refuse(s, "%s is not in %lld to %lld requests", report_shown(s->text).z,
				(long long)s->option->low, (long long)s->option->high);
		*(struct config_rate *)to = (struct config_rate){(unsigned)n, units[i].seconds};
		return 0;
	}
	return value_refuse(s, "\"%s\" is not a rate like 10/s, 600/m or 5000/h, or off", report_shown(s->text).z);
}

int value_read_percent(const struct value_source *s, void *to)
{
	int64_t n = 0;
	struct slice rest;

	if (value_is_word(s)) {
		*(unsigned *)to = 0;
		return 0;
	}
	if (!take_number(s->text, &n, &rest) || (rest.n > 0 && !slice_equal(rest, SLICE_LIT("%"))))
		return value_refuse(s, "\"%s\" is not a percentage like 10%%%s%s", report_shown(s->text).z,
			s->option->words ? " or " : "", s->option->words ? s->option->words : "");
	if (!is_in_range(s, n))
		return value_refuse(s, "%s is not in %lld%% to %lld%%", report_shown(s->text).z,
			(long long)s->option->low, (long long)s->option->high);
	*(unsigned *)to = (unsigned)n;
	return 0;
}

/* A duration, or a percentage of the lifetime, whose sign tells the two apart. */
int value_read_ahead(const struct value_source *s, void *to)
{
	struct cache_ahead *ahead = to;
	struct slice rest;
	int64_t n = 0, ms = -1;
	int rc;

	if (take_number(s->text, &n, &rest) && slice_equal(rest, SLICE_LIT("%"))) {
		if (n < 1 || n > 99)
			return value_refuse(s, "%s is not in 1%% to 99%%", report_shown(s->text).z);
		*ahead = (struct cache_ahead){-1, (unsigned)n};
		return 0;
	}
	rc = value_read_duration(s, &ms);
	if (rc == 0)
		*ahead = (struct cache_ahead){ms, 0};
	return rc;
}

int value_duration(const struct value_source *s, struct slice text, int64_t *ms)
{
	static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	struct slice rest;
	int64_t n = 0;

	if (!take_number(text, &n, &rest))
		return value_refuse(s, "\"%s\" is not a duration like 500ms, 10s, 5m, 2h or 1d%s%s",
			report_shown(text).z, s->option->words ? ", or " : "",
			s->option->words ? s->option->words : "");
	if (rest.n == 0 && n != 0)
		return value_refuse(s, "\"%s\" needs a unit: ms, s, m, h or d", report_shown(text).z);
	*ms = 0;
	if (rest.n > 0 && !scale(n, rest, units, ARRAY_LEN(units), ms))
		return value_refuse(s, "\"%s\": the units are ms, s, m, h and d", report_shown(text).z);
	if (!is_in_range(s, *ms))
		return value_refuse(s, "%s is not in %s to %s", report_shown(text).z,
			option_duration_text(s->option->low).z, option_duration_text(s->option->high).z);
	return 0;
}

int value_read_duration(const struct value_source *s, void *to)
{
	if (value_is_word(s)) {
		*(int64_t *)to = -1;
		return 0;
	}
	return value_duration(s, s->text, to);
}

int value_read_size(const struct value_source *s, void *to)
{
	static const struct unit units[] = {{"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"k", 1 << 10},
		{"m", 1 << 20}, {"g", 1 << 30}};
	struct slice rest;
	int64_t n = 0;

	if (!take_number(s->text, &n, &rest) || !scale(n, rest, units, ARRAY_LEN(units), &n))
		return value_refuse(s, "\"%s\" is not a size like 4096, 64K, 16M or 1G", report_shown(s->text).z);
	if (!is_in_range(s, n))
		return value_refuse(s, "%s is not in %s to %s", report_shown(s->text).z,
			option_size_text(s->option->low).z, option_size_text(s->option->high).z);
	*(uint64_t *)to = (uint64_t)n;
	return 0;
}

/* ---- Words and texts ---- */

int value_read_bool(const struct value_source *s, void *to)
{
	int index = option_word_index("off|on", s->text);

	if (index < 0)
		return value_refuse(s, "\"%s\" is neither on nor off", report_shown(s->text).z);
	*(bool *)to = index == 1;
	return 0;
}

static int refuse_word(const struct value_source *s, struct slice word)
{
	char words[128] = "";

	snprintf(words, sizeof(words), "%s", s->option->words);
	for (char *bar = words; (bar = strchr(bar, '|')) != NULL;)
		*bar = ' ';
	return value_refuse(s, "\"%s\" is none of: %s", report_shown(word).z, words);
}

int value_read_enum(const struct value_source *s, void *to)
{
	int index = option_word_index(s->option->words, s->text);

	if (index < 0)
		return refuse_word(s, s->text);
	memcpy(to, &index, sizeof(index)); /* every enum is an int wide: options.c checks it */
	return 0;
}

int value_read_words(const struct value_source *s, void *to)
{
	struct slice rest = s->text, item;
	unsigned bits = 0;

	if (slice_equal(s->text, SLICE_LIT("off")))
		rest.n = 0;
	else if (slice_trim(rest).n == 0)
		return value_refuse(s, "a word is missing, or off");
	while (value_next(&rest, &item)) {
		int index = option_word_index(s->option->words, item);

		if (index < 0)
			return refuse_word(s, item);
		bits |= 1U << index;
	}
	*(unsigned *)to = bits;
	return 0;
}

static int copy(const struct value_source *s, struct slice text, void *to)
{
	struct slice made = arena_copy(s->arena, text);

	*(struct slice *)to = made;
	return made.p ? 0 : -ENOMEM;
}

int value_read_log(const struct value_source *s, void *to)
{
	if (s->text.n == 0)
		return value_refuse(s, "a path, - or off");
	return copy(s, value_is_word(s) ? (struct slice){"", 0} : s->text, to);
}

int value_read_path(const struct value_source *s, void *to)
{
	return copy(s, s->text, to);
}

bool value_is_secret(struct slice token)
{
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			return false;
	return true;
}

int value_read_secret(const struct value_source *s, void *to)
{
	if (!value_is_secret(s->text))
		return value_refuse(s, "visible ASCII characters only");
	return copy(s, s->text, to);
}

int value_read_name(const struct value_source *s, void *to)
{
	if (s->text.n == 0)
		return value_refuse(s, "a name is missing");
	return copy(s, s->text, to);
}
