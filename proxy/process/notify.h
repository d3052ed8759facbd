/* SPDX-License-Identifier: MIT */
/* Telling a service manager how it goes: sd_notify's protocol, a datagram to the socket that NOTIFY_SOCKET names.
 * Thread: main. Without NOTIFY_SOCKET nothing happens. */
#ifndef PROXY_PROCESS_NOTIFY_H
#define PROXY_PROCESS_NOTIFY_H

/* "READY=1", "STOPPING=1" and the like, lines separated by newlines. */
void notify_state(const char *state);
/* A reload begins; READY=1 ends it. */
void notify_reloading(void);
/* The main process of the service is another one now. */
void notify_main_pid(long pid);

#endif
