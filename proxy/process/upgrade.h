/* SPDX-License-Identifier: MIT */
/* Another program takes over without a connection being refused: this process starts its own path again, which may be a new
 * version by now, with the listening sockets passed on; once that one is ready this one finishes what it has and ends.
 * If the new one can't start, all stays as it was.
 * Thread: main. Bounds: one upgrade at a time. */
#ifndef PROXY_PROCESS_UPGRADE_H
#define PROXY_PROCESS_UPGRADE_H

#include <sys/types.h>

#include "proxy/process/relay.h"

struct event_base;
struct upgrade;

struct upgrade_options {
	struct event_base *base;
	char *const *argv;
	const int *sockets; /* that the new process gets */
	unsigned sockets_n;
	struct relay *relay; /* with nobody at its other end yet: the new process will be */
	/* From the loop, once: the new process serves, or (pid 0) it ended before it did. The upgrade is to be freed then. */
	void (*done)(void *arg, pid_t pid);
	void *arg;
};

/* To be called at start, before a new version can take the file's place. */
void upgrade_note_path(void);
/* 0, or negative errno when it can't even be begun. */
int upgrade_begin(const struct upgrade_options *o, struct upgrade **out) WARN_UNUSED;
/* What the new process said: that it serves, or nothing any more. */
void upgrade_on_word(struct upgrade *u, enum relay_word word);
/* Ends the new process, which does not serve yet, at once, and waits until it is gone. */
void upgrade_cancel(struct upgrade *u);
void upgrade_free(struct upgrade **u);

#endif
