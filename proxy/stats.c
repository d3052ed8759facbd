#include "proxy/stats.h"

const char *answer_kind_name(enum answer_kind k)
{
	static const char *const names[ANSWER_KINDS] = {
		[ANSWER_HIT] = "hit",           [ANSWER_STALE] = "stale", [ANSWER_REVALIDATED] = "revalidated", [ANSWER_MISS] = "miss",
		[ANSWER_COLLAPSED] = "collapsed", [ANSWER_PASS] = "pass",   [ANSWER_ERROR] = "error",
	};

	return (unsigned)k < ANSWER_KINDS ? names[k] : "unknown";
}
