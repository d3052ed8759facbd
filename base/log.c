/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

/* Of a line's room FIELDS_ROOM is the fields', however long the message is. */
enum { LINE_BYTES = 2048, FIELDS_ROOM = 768, LIMIT_INTERVAL_MS = 1000 };

static _Atomic int current_level = LOG_LEVEL_INFO, current_format = LOG_TEXT;
static bool is_journal; /* set once, before there are threads */

/* What log_allowed left out at the site whose line comes next on this thread. */
static _Thread_local uint64_t suppressed_before;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

void log_set_format(enum log_format format)
{
	atomic_store_explicit(&current_format, (int)format, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* A line as it grows. `room` leaves place for what ends it. */
struct line {
	enum log_format format;
	size_t n, room;
	char text[LINE_BYTES];
};

static size_t room_left(const struct line *l)
{
	return l->room - l->n;
}

static void put(struct line *l, const char *p, size_t n)
{
	if (n > room_left(l))
		n = room_left(l);
	memcpy(l->text + l->n, p, n);
	l->n += n;
}

static void put_str(struct line *l, const char *z)
{
	put(l, z, strlen(z));
}

/* What came from outside must not begin a line of its own, move a terminal's cursor, or make JSON of it that is none. */
static size_t printable(struct slice s, bool is_json)
{
	unsigned char c = (unsigned char)s.p[0];

	if (c < 0x20 || c == 0x7f)
		return 0;
	return c < 0x80 || !is_json ? 1 : utf8_length(s);
}

/* `escapes`: between quotes. `keep` bytes of the room stay free. */
static void put_value(struct line *l, struct slice s, bool escapes, size_t keep)
{
	while (s.n) {
		size_t n = printable(s, l->format == LOG_JSON);
		bool is_escaped = escapes && (s.p[0] == '"' || s.p[0] == '\\');

		if (room_left(l) < keep + (n ? n : 1) + is_escaped)
			return;
		if (is_escaped)
			put(l, "\\", 1);
		put(l, n ? s.p : "?", n ? n : 1);
		s = slice_from(s, n ? n : 1);
	}
}

/* ,"name":"value" */
static void put_member(struct line *l, const char *name, struct slice value, size_t keep)
{
	if (room_left(l) < keep + strlen(name) + 16)
		return;
	put_str(l, l->n && l->text[l->n - 1] != '{' ? ",\"" : "\"");
	put_str(l, name);
	put_str(l, "\":\"");
	put_value(l, value, true, keep + 1);
	put(l, "\"", 1);
}

static bool needs_quotes(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == ' ' || s.p[i] == '"' || s.p[i] == '=')
			return true;
	return false;
}

static void put_pair(struct line *l, const struct log_field *f)
{
	bool quotes = needs_quotes(f->value);

	if (room_left(l) < strlen(f->name) + 16)
		return;
	put(l, " ", 1);
	put_str(l, f->name);
	put_str(l, quotes ? "=\"" : "=");
	put_value(l, f->value, quotes, quotes);
	if (quotes)
		put(l, "\"", 1);
}

/* ---- The parts of a line ---- */

static void put_priority(struct line *l, enum log_level level)
{
	static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};

	if (is_journal)
		put_str(l, priorities[level]);
}

/* Of now, in UTC; empty for the journal. */
static size_t time_of(char *text, size_t size)
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	if (is_journal)
		return 0;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(text + n, size - n, ".%03ldZ", ts.tv_nsec / 1000000);
}

static void put_json(struct line *l, enum log_level level, struct slice message, const struct log_field *fields,
	unsigned n, uint64_t suppressed)
{
	char text[40];
	size_t time_n = time_of(text, sizeof(text));

	l->room -= 1;
	put(l, "{", 1);
	if (time_n)
		put_member(l, "time", (struct slice){text, time_n}, 0);
	put_member(l, "level", slice_of(level_names[level]), 0);
	put_member(l, "message", message, n ? FIELDS_ROOM : 64);
	if (suppressed) {
		put(l, text,
			(size_t)snprintf(text, sizeof(text), ",\"left_out\":%llu", (unsigned long long)suppressed));
	}
	for (unsigned i = 0; i < n; i++)
		if (fields[i].value.n)
			put_member(l, fields[i].name, fields[i].value, 0);
	l->room += 1;
	put(l, "}", 1);
}

static void put_text(struct line *l, enum log_level level, struct slice message, const struct log_field *fields,
	unsigned n, uint64_t suppressed)
{
	char text[64];
	size_t time_n = time_of(text, sizeof(text));

	if (time_n) {
		put(l, text, time_n);
		put(l, " ", 1);
		put_str(l, level_names[level]);
		put(l, " ", 1);
	}
	if (suppressed)
		put(l, text,
			(size_t)snprintf(
				text, sizeof(text), "(%llu like this left out) ", (unsigned long long)suppressed));
	put_value(l, message, false, n ? FIELDS_ROOM : 0);
	for (unsigned i = 0; i < n; i++)
		if (fields[i].value.n)
			put_pair(l, &fields[i]);
}

/* One write a line, so that lines of several threads do not mix; what stderr does not take is lost. */
static void write_line(const char *line, size_t n)
{
	ssize_t rc;

	do
		rc = write(STDERR_FILENO, line, n);
	while (rc < 0 && errno == EINTR);
}

static void say(enum log_level level, const struct log_field *fields, unsigned n, uint64_t suppressed, const char *fmt,
	va_list args)
{
	char message[LINE_BYTES];
	struct line l = {
		.format = (enum log_format)atomic_load_explicit(&current_format, memory_order_relaxed),
		.room = LINE_BYTES - 1,
	};
	int m = vsnprintf(message, sizeof(message), fmt, args);
	struct slice text = {message, m < 0 ? 0 : (size_t)m < sizeof(message) ? (size_t)m : sizeof(message) - 1};

	put_priority(&l, level);
	if (l.format == LOG_JSON)
		put_json(&l, level, text, fields, n, suppressed);
	else
		put_text(&l, level, text, fields, n, suppressed);
	l.text[l.n++] = '\n';
	write_line(l.text, l.n);
}

/* Of log_allowed a moment ago: for this line and no other. */
static uint64_t take_suppressed(void)
{
	uint64_t n = suppressed_before;

	suppressed_before = 0;
	return n;
}

void log_event(enum log_level level, const struct log_field *fields, unsigned n, const char *fmt, ...)
{
	uint64_t suppressed = take_suppressed();
	int saved_errno = errno;
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	say(level, fields, n, suppressed, fmt, args);
	va_end(args);
	errno = saved_errno;
}

void log_trace(const struct log_field *fields, unsigned n, const char *fmt, ...)
{
	int saved_errno = errno;
	va_list args;

	va_start(args, fmt);
	say(LOG_LEVEL_DEBUG, fields, n, 0, fmt, args);
	va_end(args);
	errno = saved_errno;
}

/* "device:inode", both in decimal. */
static bool names_this(const char *stream, const struct stat *st)
{
	char text[64];

	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
	return strcmp(stream, text) == 0;
}

void log_init(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;

	is_journal = stream && fstat(STDERR_FILENO, &st) == 0 && names_this(stream, &st);
}

bool log_allowed(struct log_limit *limit)
{
	int64_t now_ms = clock_now().mono_ms;
	int64_t next_ms = atomic_load(&limit->next_ms);

	if (now_ms < next_ms ||
		!atomic_compare_exchange_strong(&limit->next_ms, &next_ms, now_ms + LIMIT_INTERVAL_MS)) {
		atomic_fetch_add(&limit->suppressed, 1);
		return false;
	}
	suppressed_before = atomic_exchange(&limit->suppressed, 0);
	return true;
}
