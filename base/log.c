/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum { LINE_BYTES = 2048, LIMIT_INTERVAL_MS = 1000 };

static _Atomic int current_level = LOG_LEVEL_INFO;

/* What log_allowed left out at the site whose line comes next on this thread. */
static _Thread_local uint64_t suppressed_before;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

static size_t put_prefix(char *line, size_t size, enum log_level level)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	struct timespec ts;
	struct tm tm;
	size_t n;
	int m;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
	m = snprintf(line + n, size - n, ".%03ldZ %s ", ts.tv_nsec / 1000000, names[level]);
	return n + (size_t)m;
}

static size_t appended(size_t at, size_t size, int n)
{
	if (n < 0)
		return at;
	return (size_t)n < size - at ? at + (size_t)n : size - 1;
}

/* What came from outside must not begin a line of its own or move a terminal's cursor. */
static void blank_control_bytes(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			p[i] = '?';
}

/* One write a line, so that lines of several threads do not mix; what stderr does not take is lost. */
static void write_line(const char *line, size_t n)
{
	ssize_t rc;

	do
		rc = write(STDERR_FILENO, line, n);
	while (rc < 0 && errno == EINTR);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[LINE_BYTES];
	uint64_t suppressed = suppressed_before;
	int saved_errno = errno;
	size_t n, text;
	va_list args;

	suppressed_before = 0;
	if (!log_enabled(level))
		return;
	n = text = put_prefix(line, sizeof(line), level);
	if (suppressed)
		n = appended(n, sizeof(line),
			snprintf(line + n, sizeof(line) - n, "(%llu like this left out) ",
				(unsigned long long)suppressed));
	va_start(args, fmt);
	n = appended(n, sizeof(line), vsnprintf(line + n, sizeof(line) - n, fmt, args));
	va_end(args);
	blank_control_bytes(line + text, n - text);
	line[n++] = '\n';
	write_line(line, n);
	errno = saved_errno;
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
