#include "proxy/upgrade.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/inherit.h"

static char own_path[PATH_MAX];

struct upgrade {
	struct upgrade_options o;
	struct event *event;
	int ready_fd; /* ours to read */
	pid_t pid;
};

void upgrade_note_path(void)
{
	ssize_t n = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);

	own_path[n > 0 ? n : 0] = '\0';
}

/* What the child needs, made before the fork: after it only async-signal-safe calls are allowed, for there are threads. */
struct plan {
	char *const *argv;
	char **environment;
	int *from; /* the descriptors that become INHERIT_FIRST_FD and so on, the ready pipe last */
	int n;
	char variable[64];
};

static int make_plan(struct plan *p, const struct upgrade_options *o, int ready_fd)
{
	size_t count = 0, k = 0;

	while (environ[count])
		count++;
	p->argv = o->argv;
	p->n = (int)o->sockets_n + 1;
	p->environment = mem_zalloc((count + 2) * sizeof(char *));
	p->from = mem_zalloc((size_t)p->n * sizeof(int));
	if (!p->environment || !p->from)
		return -ENOMEM;
	snprintf(p->variable, sizeof(p->variable), INHERIT_VARIABLE "=%u", o->sockets_n);
	for (size_t i = 0; i < count; i++)
		p->environment[k++] = environ[i];
	p->environment[k] = p->variable;
	memcpy(p->from, o->sockets, o->sockets_n * sizeof(int));
	p->from[p->n - 1] = ready_fd;
	return 0;
}

static void free_plan(struct plan *p)
{
	mem_free(p->environment);
	mem_free(p->from);
}

/* Up first, out of each other's way, then down to where they are looked for. */
static void run_child(const struct plan *p)
{
	int first_free = INHERIT_FIRST_FD + p->n;

	for (int i = 0; i < p->n; i++) {
		p->from[i] = fcntl(p->from[i], F_DUPFD_CLOEXEC, first_free);
		if (p->from[i] < 0)
			_exit(126);
	}
	for (int i = 0; i < p->n; i++)
		if (dup2(p->from[i], INHERIT_FIRST_FD + i) < 0)
			_exit(126);
	(void)syscall(SYS_close_range, (unsigned)first_free, ~0U, 0U);
	execve(own_path, p->argv, p->environment);
	_exit(127);
}

static void on_news(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *u = arg;
	char byte;
	ssize_t n = read(fd, &byte, 1);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	event_del(u->event);
	if (n != 1)
		(void)waitpid(u->pid, NULL, 0); /* it has closed the pipe without a word: it is gone, or about to be */
	u->o.done(u->o.arg, n == 1 ? u->pid : 0);
}

static int start_child(struct upgrade *u, int write_fd)
{
	struct plan plan = {0};
	int err = make_plan(&plan, &u->o, write_fd);

	if (!err) {
		u->pid = fork();
		if (u->pid == 0)
			run_child(&plan);
		err = u->pid < 0 ? -errno : 0;
	}
	free_plan(&plan);
	return err;
}

int upgrade_begin(const struct upgrade_options *o, struct upgrade **out)
{
	struct upgrade *u = mem_zalloc(sizeof(*u));
	int fds[2], err;

	*out = NULL;
	if (!u)
		return -ENOMEM;
	u->o = *o;
	u->ready_fd = -1;
	err = own_path[0] == '\0' ? -ENOENT : pipe2(fds, O_CLOEXEC | O_NONBLOCK) ? -errno : 0;
	if (err)
		goto fail;
	u->ready_fd = fds[0];
	u->event = event_new(o->base, u->ready_fd, EV_READ | EV_PERSIST, on_news, u);
	err = u->event && event_add(u->event, NULL) == 0 ? start_child(u, fds[1]) : -ENOMEM;
	close(fds[1]);
	if (err)
		goto fail;
	*out = u;
	return 0;
fail:
	upgrade_free(&u);
	return err;
}

void upgrade_free(struct upgrade **up)
{
	struct upgrade *u = *up;

	*up = NULL;
	if (!u)
		return;
	if (u->event)
		event_free(u->event);
	if (u->ready_fd >= 0)
		close(u->ready_fd);
	mem_free(u);
}
