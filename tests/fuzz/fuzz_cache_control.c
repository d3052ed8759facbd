/* SPDX-License-Identifier: MIT */
/* Lines that LF separates, as Cache-Control and as a targeted field. More directives never make a delta larger. */
#include "base/check.h"
#include "http/cache_control.h"

static void check(const struct cache_control *cc)
{
	const int64_t deltas[] = {cc->max_age, cc->s_maxage, cc->stale_while_revalidate, cc->stale_if_error,
		cc->max_stale, cc->min_fresh};
	for (unsigned i = 0; i < ARRAY_LEN(deltas); i++)
		CHECK(deltas[i] >= CC_ABSENT && deltas[i] <= CC_DELTA_MAX);
	CHECK(cc->no_cache_fields.n <= CC_FIELDS_MAX && cc->private_fields.n <= CC_FIELDS_MAX);
	CHECK(cc->no_cache || cc->no_cache_fields.n == 0);
	CHECK(cc->private_ || cc->private_fields.n == 0);
	for (unsigned i = 0; i < cc->private_fields.n; i++)
		CHECK(cc->private_fields.v[i].n > 0);
}

static bool grew(int64_t before, int64_t after)
{
	return before != CC_ABSENT && after > before;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cache_control cc;
	struct slice rest = {(const char *)data, size};
	if (size == 0)
		return 0;
	if (cache_control_of_targeted(&cc, rest))
		check(&cc);
	cc = cache_control_none;
	while (rest.n > 0) {
		struct cache_control before = cc;
		const char *lf = memchr(rest.p, '\n', rest.n);
		size_t n = lf ? (size_t)(lf - rest.p) : rest.n, taken = lf ? n + 1 : n;
		cache_control_add(&cc, (struct slice){rest.p, n});
		rest = slice_from(rest, taken);
		check(&cc);
		CHECK(!grew(before.max_age, cc.max_age) && !grew(before.s_maxage, cc.s_maxage));
		CHECK(!grew(before.stale_if_error, cc.stale_if_error) && !grew(before.max_stale, cc.max_stale));
		CHECK((!before.no_store || cc.no_store) && (!before.private_ || cc.private_));
	}
	return 0;
}
