/* SPDX-License-Identifier: MIT */
/* How long a fetch may take for what it is doing: one timer for all of its phases, put off lazily. */
#include "upstream/internal.h"

static void arm(struct fetch *f, int64_t now_ms)
{
	int64_t ms = f->deadline_ms > now_ms ? f->deadline_ms - now_ms : 0;
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	if (event_add(&f->timer, &tv) == 0)
		f->armed_ms = f->deadline_ms;
}

/* Progress moves the deadline on with every read; the event is touched only when it would come too late. */
void deadline_set(struct fetch *f, int64_t ms)
{
	int64_t now_ms;

	if (ms <= 0) {
		f->deadline_ms = 0;
		return;
	}
	now_ms = clock_mono_us() / 1000;
	f->deadline_ms = now_ms + ms;
	if (f->armed_ms == 0 || f->armed_ms > f->deadline_ms)
		arm(f, now_ms);
}

void deadline_stop(struct fetch *f)
{
	event_del(&f->timer);
	f->deadline_ms = 0;
	f->armed_ms = 0;
}

bool deadline_has_passed(struct fetch *f)
{
	int64_t now_ms = clock_mono_us() / 1000;

	f->armed_ms = 0;
	if (f->deadline_ms == 0)
		return false;
	if (f->deadline_ms <= now_ms)
		return true;
	arm(f, now_ms);
	return false;
}
