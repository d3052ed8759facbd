/* SPDX-License-Identifier: MIT */
#include "proxy/record/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "proxy/record/access_line.h"

/* Two halves: workers fill one while the writer empties the other. A worker formats on its own stack and holds the lock
 * for one memcpy; the writer holds it to swap pointers, never while it writes. */
enum {
	HALF_BYTES = ACCESS_LOG_RING / 2,
	WAKE_BYTES = HALF_BYTES / 2,
	FLUSH_MS = 200,        /* a line waits at most so long for others */
	CLOSE_GRACE_MS = 1000, /* at the end, for a reader that takes nothing */
};

/* Where lines go. */
struct log_file {
	char *path; /* NULL: standard output */
	int fd;
};

struct access_log {
	/* set once */
	pthread_t thread;

	/* the writer's own */
	struct log_file at;
	bool is_file; /* writing to it does not wait for a reader */
	bool is_torn; /* the last line written lacks its end */
	char *back;

	pthread_mutex_t mu;
	pthread_cond_t wake;
	/* guarded by mu */
	char *front;
	size_t front_bytes;
	bool is_idle; /* the writer waits for a first line */
	bool wants_reopen, wants_move, is_closing;
	struct log_file next; /* where wants_move says to go */
	size_t move_at;       /* what is in front from there on goes there */

	/* atomic */
	_Atomic uint64_t dropped;
	_Atomic int format; /* enum config_log_format; -1: off */
};

/* ---- The file ---- */

static void look_at_file(struct access_log *log)
{
	struct stat st;

	log->is_file = fstat(log->at.fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* O_NONBLOCK: opening a FIFO without a reader is an error rather than a wait. */
static int open_path(const char *path)
{
	int fd;

	do
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static void reopen(struct access_log *log)
{
	int fd;

	if (!log->at.path)
		return;
	fd = open_path(log->at.path);
	if (fd < 0) {
		log_error("access log %s: opening it again: %s; the old file is kept", log->at.path, strerror(-fd));
		return;
	}
	close(log->at.fd);
	log->at.fd = fd;
	log->is_torn = false;
	look_at_file(log);
}

static int log_file_open(struct log_file *p, struct slice path)
{
	*p = (struct log_file){NULL, STDOUT_FILENO};
	if (slice_equal(path, SLICE_LIT("-")))
		return 0;
	p->path = mem_strndup(path.p, path.n);
	p->fd = p->path ? open_path(p->path) : -ENOMEM;
	if (p->fd >= 0)
		return 0;
	mem_free(p->path);
	p->path = NULL;
	return p->fd;
}

static void log_file_close(struct log_file *p)
{
	if (p->path)
		close(p->fd);
	mem_free(p->path);
	p->path = NULL;
}

static void move_to(struct access_log *log, struct log_file next)
{
	log_file_close(&log->at);
	log->at = next;
	log->is_torn = false;
	look_at_file(log);
}

/* ---- Writing ---- */

static void drop_lines(struct access_log *log, const char *p, size_t n, int err)
{
	static struct log_limit limit;
	uint64_t lines = 0;

	for (const char *end = p + n; p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++)
		lines++;
	atomic_fetch_add_explicit(&log->dropped, lines, memory_order_relaxed);
	if (log_allowed(&limit))
		log_error("access log %s: %s; %llu lines dropped so far", log->at.path ? log->at.path : "-",
			strerror(-err), (unsigned long long)access_log_dropped(log));
}

/* True when a pipe or terminal takes bytes; false when it is not waited for any longer. */
static bool wait_writable(struct access_log *log)
{
	int64_t closing_ms = 0;

	for (;;) {
		struct pollfd pfd = {.fd = log->at.fd, .events = POLLOUT};
		bool wants_reopen, is_closing;

		if (poll(&pfd, 1, FLUSH_MS) > 0)
			return true; /* an error shows when it is written to */
		pthread_mutex_lock(&log->mu);
		wants_reopen = log->wants_reopen || log->wants_move;
		is_closing = log->is_closing;
		pthread_mutex_unlock(&log->mu);
		if (is_closing && closing_ms == 0)
			closing_ms = clock_now().mono_ms;
		if (wants_reopen || (is_closing && clock_now().mono_ms - closing_ms >= CLOSE_GRACE_MS))
			return false;
	}
}

/* A pipe that polls as writable takes PIPE_BUF bytes without waiting. Standard output may be shared with other programs,
 * so it is not made non-blocking. */
static ssize_t write_some(struct access_log *log, const char *p, size_t n)
{
	ssize_t rc;

	if (!log->is_file && !wait_writable(log))
		return -ETIMEDOUT;
	rc = write(log->at.fd, p, log->is_file || n < PIPE_BUF ? n : PIPE_BUF);
	return rc < 0 ? -errno : rc;
}

static int write_all(struct access_log *log, const char **p, size_t *n)
{
	while (*n) {
		ssize_t rc = write_some(log, *p, *n);

		if (rc == -EINTR || rc == -EAGAIN)
			continue;
		if (rc < 0)
			return (int)rc;
		log->is_torn = rc > 0 ? (*p)[rc - 1] != '\n' : log->is_torn;
		*p += rc;
		*n -= (size_t)rc;
	}
	return 0;
}

static void write_lines(struct access_log *log, const char *p, size_t n)
{
	const char *newline = "\n";
	size_t newline_n = n && log->is_torn ? 1 : 0;
	int err = write_all(log, &newline, &newline_n);

	if (!err)
		err = write_all(log, &p, &n);
	if (err)
		drop_lines(log, p, n, err);
}

/* ---- The writer ---- */

struct batch {
	const char *p;
	size_t n, move_at;
	bool reopen, move, last;
	struct log_file next;
};

static struct timespec monotonic_in(int64_t ms)
{
	int64_t at_ms = clock_now().mono_ms + ms;

	return (struct timespec){.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};
}

static bool is_urgent_locked(const struct access_log *log)
{
	return log->wants_reopen || log->wants_move || log->is_closing || log->front_bytes >= WAKE_BYTES;
}

static void wait_for_lines_locked(struct access_log *log)
{
	struct timespec deadline;

	while (!is_urgent_locked(log) && log->front_bytes == 0) {
		log->is_idle = true;
		pthread_cond_wait(&log->wake, &log->mu);
	}
	log->is_idle = false;
	deadline = monotonic_in(FLUSH_MS);
	while (!is_urgent_locked(log))
		if (pthread_cond_timedwait(&log->wake, &log->mu, &deadline) == ETIMEDOUT)
			return;
}

static struct batch take_batch(struct access_log *log)
{
	struct batch b;
	char *front;

	pthread_mutex_lock(&log->mu);
	wait_for_lines_locked(log);
	front = log->front;
	b = (struct batch){
		.p = front,
		.n = log->front_bytes,
		.move_at = log->wants_move ? log->move_at : log->front_bytes,
		.reopen = log->wants_reopen,
		.move = log->wants_move,
		.last = log->is_closing,
		.next = log->next,
	};
	log->front = log->back;
	log->front_bytes = 0;
	log->wants_reopen = log->wants_move = false;
	pthread_mutex_unlock(&log->mu);
	log->back = front;
	return b;
}

static void *writer_main(void *arg)
{
	struct access_log *log = arg;
	struct batch b;

	do {
		b = take_batch(log);
		if (b.reopen)
			reopen(log);
		write_lines(log, b.p, b.move_at);
		if (b.move)
			move_to(log, b.next);
		write_lines(log, b.p + b.move_at, b.n - b.move_at);
	} while (!b.last);
	return NULL;
}

/* ---- Public ---- */

static void free_log(struct access_log *log)
{
	log_file_close(&log->at);
	mem_free(log->front);
	mem_free(log->back);
	mem_free(log);
}

static void init_lock(struct access_log *log)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&log->mu, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&log->wake, &attr);
	pthread_condattr_destroy(&attr);
}

static void fini_lock(struct access_log *log)
{
	pthread_cond_destroy(&log->wake);
	pthread_mutex_destroy(&log->mu);
}

int access_log_open(struct slice path, enum config_log_format format, struct access_log **out)
{
	struct access_log *log;
	int rc;

	*out = NULL;
	if (path.n == 0 || memchr(path.p, '\0', path.n))
		return -EINVAL;
	log = mem_zalloc(sizeof(*log));
	if (!log)
		return -ENOMEM;
	atomic_init(&log->format, (int)format);
	log->front = mem_alloc(HALF_BYTES);
	log->back = mem_alloc(HALF_BYTES);
	rc = log->front && log->back ? log_file_open(&log->at, path) : -ENOMEM;
	if (rc)
		goto fail_log;
	look_at_file(log);
	init_lock(log);
	rc = thread_start(&log->thread, writer_main, log);
	if (rc)
		goto fail_lock;
	*out = log;
	return 0;
fail_lock:
	fini_lock(log);
fail_log:
	free_log(log);
	return rc;
}

static void tell_writer(struct access_log *log, bool *what)
{
	pthread_mutex_lock(&log->mu);
	*what = true;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->mu);
}

void access_log_close(struct access_log **logp)
{
	struct access_log *log = *logp;

	if (!log)
		return;
	tell_writer(log, &log->is_closing);
	pthread_join(log->thread, NULL);
	fini_lock(log);
	free_log(log);
	*logp = NULL;
}

int access_log_configure(struct access_log *log, struct slice path, enum config_log_format format)
{
	struct log_file next, overtaken = {0};
	int rc;

	if (path.n == 0) {
		atomic_store(&log->format, -1);
		return 0;
	}
	rc = log_file_open(&next, path);
	if (rc)
		return rc;
	pthread_mutex_lock(&log->mu);
	if (log->wants_move)
		overtaken = log->next;
	log->next = next;
	log->wants_move = true;
	log->move_at = log->front_bytes;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->mu);
	log_file_close(&overtaken);
	atomic_store(&log->format, (int)format);
	return 0;
}

void access_log_reopen(struct access_log *log)
{
	tell_writer(log, &log->wants_reopen);
}

void access_log_add(struct access_log *log, const struct access_record *r)
{
	int format = atomic_load_explicit(&log->format, memory_order_relaxed);
	char line[ACCESS_LINE_MAX];
	bool fits, wake = false;
	size_t n;

	if (format < 0)
		return;
	n = access_line_format((enum config_log_format)format, r, line);
	pthread_mutex_lock(&log->mu);
	fits = n <= HALF_BYTES - log->front_bytes;
	if (fits) {
		bool was_urgent = is_urgent_locked(log);

		memcpy(log->front + log->front_bytes, line, n);
		log->front_bytes += n;
		wake = log->is_idle || (!was_urgent && is_urgent_locked(log));
		log->is_idle = false;
	}
	pthread_mutex_unlock(&log->mu);
	if (wake)
		pthread_cond_signal(&log->wake);
	if (!fits)
		atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
}

uint64_t access_log_dropped(const struct access_log *log)
{
	return atomic_load_explicit(&log->dropped, memory_order_relaxed);
}
