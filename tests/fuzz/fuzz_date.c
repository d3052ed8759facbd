/* SPDX-License-Identifier: MIT */
/* What is read as a date and written again is read as the same second. */
#include "base/check.h"
#include "http/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t now = 0, first, second;
	char text[30];
	if (size < sizeof(uint32_t))
		return 0;
	uint32_t seed;
	memcpy(&seed, data, sizeof(seed));
	now = seed;
	struct slice s = {(const char *)data + sizeof(seed), size - sizeof(seed)};
	http_date_format((int64_t)((uint64_t)seed * 0x9E3779B97F4A7C15ULL), text);
	CHECK(http_date_parse((struct slice){text, 29}, now, &first));
	if (!http_date_parse(s, now, &first))
		return 0;
	http_date_format(first, text);
	CHECK(http_date_parse((struct slice){text, 29}, now, &second));
	CHECK(first == second || first == 253402300800LL); /* the leap second that ends the year 9999 */
	return 0;
}
