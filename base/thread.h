/* SPDX-License-Identifier: MIT */
/* Starting threads that no signal interrupts: signals belong to main, and a peer that left is EPIPE.
 * Thread: any. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

#include "base/check.h"

/* As pthread_create, with all signals blocked in the new thread. 0 or negative errno. */
int thread_start(pthread_t *t, void *(*run)(void *arg), void *arg) WARN_UNUSED;

#endif
