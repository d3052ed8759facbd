/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/failure.h"

#include <errno.h>

static const char too_late[] = "the upstream did not answer in time";
static const char too_many[] = "too many requests are waiting for the upstream";
static const char no_response[] = "the upstream could not be reached or broke off";

struct failure failure_of(int status, const char *detail)
{
	return (struct failure){status, status == 503 ? 1 : -1, detail};
}

struct failure failure_no_memory(void)
{
	return failure_of(503, "out of memory");
}

struct failure failure_of_fetch(enum fetch_result result)
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

struct failure failure_of_start(int err)
{
	switch (err) {
	case -EBUSY:
		return failure_of(503, too_many);
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

struct failure failure_of_flight(int status)
{
	return failure_of(status, status == 504   ? too_late
				  : status == 503 ? "the upstream has too much to do, or is given a pause"
						  : no_response);
}
