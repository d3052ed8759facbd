/* SPDX-License-Identifier: MIT */
#include "proxy/process/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/process/inherit.h"

static char own_path[PATH_MAX];

struct upgrade {
	struct upgrade_options o;
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
	int *from; /* the descriptors that become INHERIT_FIRST_FD and so on, the relay last */
	int n;
	char variable[64];
};

static int make_plan(struct plan *p, const struct upgrade_options *o, int relay_fd)
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
	p->from[p->n - 1] = relay_fd;
	return 0;
}

static void free_plan(struct plan *p)
{
	mem_free(p->environment);
	mem_free(p->from);
}

/* First up, out of each other's way, then down to the numbers where the new process looks for them. */
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

void upgrade_on_word(struct upgrade *u, enum relay_word word)
{
	if (word == RELAY_END)
		(void)waitpid(u->pid, NULL, 0); /* it has closed its end without READY: it is gone, or about to be */
	if (word == RELAY_END || word == RELAY_READY)
		u->o.done(u->o.arg, word == RELAY_READY ? u->pid : 0);
}

static int start_child(struct upgrade *u, int relay_fd)
{
	struct plan plan = {0};
	int err = make_plan(&plan, &u->o, relay_fd);

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
	err = own_path[0] == '\0' ? -ENOENT : socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) ? -errno : 0;
	if (err)
		goto fail;
	err = relay_open(o->relay, fds[0]); /* from here on it hears of all purges */
	if (!err)
		err = start_child(u, fds[1]);
	close(fds[1]);
	if (err)
		goto fail;
	*out = u;
	return 0;
fail:
	mem_free(u);
	return err;
}

/* Not by TERM: it may be waiting for this process. */
void upgrade_cancel(struct upgrade *u)
{
	(void)kill(u->pid, SIGKILL);
	(void)waitpid(u->pid, NULL, 0);
}

void upgrade_free(struct upgrade **u)
{
	mem_free(*u);
	*u = NULL;
}
