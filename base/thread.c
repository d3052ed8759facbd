/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int thread_start(pthread_t *t, void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;
	int err;

#ifdef MEMOPROXY_HOOKS
	CHECK(!getenv("MEMOPROXY_NO_THREADS"));
#endif
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(t, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer makes a thread's signal state at its first call that may block, without a guard: a signal that arrives meanwhile
 * is handled by a state that is thrown away, and lost. So main has it before it handles any. */
__attribute__((constructor)) static void make_signal_state(void)
{
	usleep(0);
}
#endif
