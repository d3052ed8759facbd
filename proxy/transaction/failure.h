/* SPDX-License-Identifier: MIT */
/* What becomes of a fetch that brought no response: one place says what status and words a client gets for it, and what
 * others who wait for the same are told.
 * Thread: any; pure. */
#ifndef PROXY_TRANSACTION_FAILURE_H
#define PROXY_TRANSACTION_FAILURE_H

#include "upstream/fetch.h"

/* Why a client gets a problem (RFC 9457) instead of a response. */
struct failure {
	int status;
	int retry_after_s;  /* -1: the client is not told when to come back */
	const char *detail; /* a constant, in which nothing needs escaping */
	const char *error;  /* a proxy error type of RFC 9209 (2.3), for Proxy-Status and the log */
};

/* What only this moment's load or memory was in the way of (503) may be asked for again in a second. Its error is that the request can't
 * be served as it is (below 500), a loop (508), or that the proxy decided by itself. */
struct failure failure_of(int status, const char *detail);
struct failure failure_no_memory(void);
/* The same, as an upstream was in the way: an enum fetch_cause; 0: it is not known which. */
struct failure failure_caused(struct failure f, unsigned cause);
/* A fetch that ended so; and one that could not be started, of fetch_job_start's error. */
struct failure failure_of_fetch(enum fetch_result result, unsigned cause);
struct failure failure_of_start(int err);
enum fetch_cause failure_cause_of_start(int err); /* for the flight */
/* A flight keeps no more of a failure than a status and a cause: this is what it is told, and what those who waited for it say. A status
 * below 500 is of one client's request: others hear that there was no response. */
int failure_for_flight(struct failure f);
struct failure failure_of_flight(int status, unsigned cause);

#endif
