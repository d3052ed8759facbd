/* SPDX-License-Identifier: MIT */
/* The time, read once a loop turn and passed as a parameter from there on.
 * Thread: any. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct now {
	int64_t mono_ms; /* CLOCK_MONOTONIC: for intervals, ages and deadlines */
	int64_t wall_ms; /* CLOCK_REALTIME since 1970: for HTTP dates only */
};

struct now clock_now(void);
/* CLOCK_MONOTONIC in microseconds, for latency figures. */
int64_t clock_mono_us(void);

#endif
