/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/failure.h"

#include <errno.h>

static const char too_late[] = "the upstream did not answer in time";
static const char too_many[] = "too many requests are waiting for the upstream";
static const char no_response[] = "the upstream could not be reached or broke off";

static const char *error_of(int status)
{
	return status < 500 || status == 505 ? "http_request_error"
	       : status == 508               ? "proxy_loop_detected"
					     : "proxy_internal_response";
}

struct failure failure_of(int status, const char *detail)
{
	return (struct failure){status, status == 503 ? 1 : -1, detail, error_of(status)};
}

struct failure failure_caused(struct failure f, unsigned cause)
{
	const char *error = fetch_cause_name(cause);

	if (error)
		f.error = error;
	return f;
}

struct failure failure_no_memory(void)
{
	return failure_caused(failure_of(503, "out of memory"), FETCH_CAUSE_INTERNAL);
}

static struct failure failure_of_result(enum fetch_result result)
{
	switch (result) {
	case FETCH_TIMEOUT:
		return failure_of(504, too_late);
	case FETCH_BUSY:
		return failure_of(503, too_many);
	case FETCH_NO_MEMORY:
		return failure_no_memory();
	case FETCH_WITHHELD:
		return failure_of(503, "the upstream is given a pause");
	case FETCH_BAD_RESPONSE:
		return failure_of(502, "the upstream's answer is not valid HTTP");
	default:
		return failure_of(502, no_response);
	}
}

struct failure failure_of_fetch(enum fetch_result result, unsigned cause)
{
	return failure_caused(failure_of_result(result), cause);
}

enum fetch_cause failure_cause_of_start(int err)
{
	return err == -EBUSY ? FETCH_CAUSE_LIMIT : FETCH_CAUSE_INTERNAL;
}

struct failure failure_of_start(int err)
{
	switch (err) {
	case -EBUSY:
		return failure_caused(failure_of(503, too_many), FETCH_CAUSE_LIMIT);
	case -ENOBUFS:
		return failure_of(431, "the request's fields are too large to forward");
	default:
		return failure_no_memory();
	}
}

int failure_for_flight(struct failure f)
{
	return f.status < 500 ? 502 : f.status;
}

struct failure failure_of_flight(int status, unsigned cause)
{
	return failure_caused(
		failure_of(status, status == 504   ? too_late
				   : status == 503 ? "the upstream has too much to do, or is given a pause"
						   : no_response),
		cause);
}
