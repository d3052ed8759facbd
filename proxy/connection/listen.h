/* SPDX-License-Identifier: MIT */
/* Listening sockets. Thread: main. */
#ifndef PROXY_CONNECTION_LISTEN_H
#define PROXY_CONNECTION_LISTEN_H

#include "base/check.h"
#include "config/config.h"

/* Opens n sockets on the address, all with SO_REUSEPORT so that each worker accepts on its own; port 0 picks one port for
 * all. 0 and fds, or negative errno: -EADDRINUSE also when another process listens there with SO_REUSEPORT. */
int listen_open(const struct config_address *a, unsigned n, int *fds) WARN_UNUSED;
/* The same on a port where others listen with SO_REUSEPORT that are ours, or will end. */
int listen_open_beside(const struct config_address *a, unsigned n, int *fds) WARN_UNUSED;
/* One socket for one loop. */
int listen_open_one(const struct config_address *a, int *fd) WARN_UNUSED;
/* "127.0.0.1:8080" as bound. */
void listen_name(int fd, char *out, size_t n);

#endif
