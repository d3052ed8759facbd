/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

static int64_t read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts); /* fails for unknown clocks and bad pointers only */
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct now clock_now(void)
{
	return (struct now){read_us(CLOCK_MONOTONIC) / 1000, read_us(CLOCK_REALTIME) / 1000};
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}
