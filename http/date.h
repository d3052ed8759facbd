/* SPDX-License-Identifier: MIT */
/* HTTP dates (RFC 9110 5.6.7) to and from seconds since 1970.
 * Thread: any. */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

/* IMF-fixdate, rfc850-date or asctime-date, letters in any case, exact otherwise: GMT only, days that the calendar has,
 * second 60 allowed (it is the next minute's first). The day name must be one, but need not be that date's. A two-digit
 * year is the latest that puts the date no more than 50 years after now_s (wall clock, seconds). False: not a date. */
bool http_date_parse(struct slice s, int64_t now_s, int64_t *unix_s) WARN_UNUSED;

/* IMF-fixdate and a NUL: "Sun, 06 Nov 1994 08:49:37 GMT". Times outside of the years 0 to 9999 become the nearest in
 * them. */
void http_date_format(int64_t unix_s, char out[30]);

#endif
