/* SPDX-License-Identifier: MIT */
/* Listening sockets that came with the process: from systemd (LISTEN_PID, LISTEN_FDS), or from the memoproxy that this one
 * takes over from (upgrade.h). They serve the addresses they listen on; addresses without one are opened as ever.
 * Thread: main, at start. Owns: sockets that nobody has taken. */
#ifndef PROXY_PROCESS_INHERIT_H
#define PROXY_PROCESS_INHERIT_H

#include "base/check.h"
#include "config/config.h"

/* Set by upgrade.c: how many sockets follow from descriptor 3 on; the one after them leads to the old process (relay.h). */
#define INHERIT_VARIABLE "MEMOPROXY_UPGRADE"
#define INHERIT_FIRST_FD 3

struct inherited {
	int *fds; /* -1: taken */
	unsigned n;
	int relay_fd;    /* -1: no upgrade, or taken */
	bool is_upgrade; /* another memoproxy passed them, and listens on them until this one serves */
};

/* Reads and clears the environment's variables. 0, -ENOMEM, or -EINVAL after a sentence on standard error. */
int inherited_init(struct inherited *in) WARN_UNUSED;
/* Takes the next socket that listens on this address; -ENOENT: there is none. */
int inherited_take(struct inherited *in, const struct config_address *a);
/* After an upgrade: does a socket that nobody has taken have this port? Then it is set to allow another one beside it
 * (SO_REUSEPORT), as the process before still listens there. */
bool inherited_makes_way(struct inherited *in, const struct config_address *a);
/* Sockets that nobody has taken. After an upgrade they are closed, as the configuration gave their address up; else they are an
 * error, for systemd would let clients wait there. 0, or -EINVAL after a sentence on standard error. */
int inherited_check(struct inherited *in) WARN_UNUSED;
void inherited_fini(struct inherited *in);

#endif
