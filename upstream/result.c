/* SPDX-License-Identifier: MIT */
/* What a fetch comes to: its name, its counter, and what is decided of it before libcurl is done. */
#include "upstream/internal.h"

const char *fetch_result_name(enum fetch_result r)
{
	static const char *const names[] = {
		[FETCH_OK] = "ok",
		[FETCH_REFUSED] = "refused",
		[FETCH_TIMEOUT] = "timeout",
		[FETCH_BROKEN] = "broken",
		[FETCH_BAD_RESPONSE] = "bad answer",
		[FETCH_BUSY] = "busy",
		[FETCH_CANCELLED] = "cancelled",
		[FETCH_NO_MEMORY] = "no memory",
		[FETCH_WITHHELD] = "withheld",
	};
	return (unsigned)r < ARRAY_LEN(names) ? names[r] : "unknown";
}

void result_count(struct upstream_stats *s, enum fetch_result result)
{
	switch (result) {
	case FETCH_OK:
		s->ok++;
		break;
	case FETCH_REFUSED:
		s->refused++;
		break;
	case FETCH_TIMEOUT:
		s->timeouts++;
		break;
	case FETCH_BROKEN:
		s->broken++;
		break;
	case FETCH_BAD_RESPONSE:
		s->bad_answers++;
		break;
	case FETCH_BUSY:
		s->busy++;
		break;
	case FETCH_CANCELLED:
		s->cancelled++;
		break;
	case FETCH_WITHHELD:
		s->withheld++;
		break;
	case FETCH_NO_MEMORY:
		break;
	}
}

void result_judge(struct fetch *f, enum fetch_result verdict, const char *detail)
{
	if (f->has_verdict)
		return;
	f->has_verdict = true;
	f->verdict = verdict;
	f->verdict_detail = detail;
}
