/* SPDX-License-Identifier: MIT */
#include "http/date.h"

#include "http/syntax.h"

#define DAY_S 86400
#define MIN_S (-62167219200LL) /* 0000-01-01T00:00:00Z */
#define MAX_S 253402300799LL   /* 9999-12-31T23:59:59Z */

static const char days[7][10] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct civil {
	int year, month, day, hour, minute, second; /* month from 1 */
};

/* Days since 1970-01-01 in the Gregorian calendar. Years begin in March, so that a leap day is a year's last; an era is
 * 400 years, 146,097 days. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static struct civil civil_of(int64_t unix_s)
{
	int64_t day = unix_s / DAY_S, second = unix_s % DAY_S;
	if (second < 0) {
		second += DAY_S;
		day--;
	}
	int64_t z = day + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int month = (int)((5 * day_of_year + 2) / 153);
	struct civil c = {.day = (int)(day_of_year - (153 * month + 2) / 5 + 1)};
	c.month = month < 10 ? month + 3 : month - 9;
	c.year = (int)(year_of_era + era * 400) + (c.month <= 2);
	c.hour = (int)(second / 3600);
	c.minute = (int)(second / 60 % 60);
	c.second = (int)(second % 60);
	return c;
}

static int64_t seconds_of(const struct civil *c)
{
	return days_of(c->year, c->month, c->day) * DAY_S + c->hour * 3600 + c->minute * 60 + c->second;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool is_real(const struct civil *c)
{
	static const int length[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int last = length[c->month - 1] + (c->month == 2 && is_leap(c->year));
	return c->day >= 1 && c->day <= last && c->hour <= 23 && c->minute <= 59 && c->second <= 60;
}

/* Each of these takes what it is named for from the front of *s, or returns false and may have taken a part of it. */
static bool take_digits(struct slice *s, unsigned n, int *number)
{
	*number = 0;
	if (s->n < n)
		return false;
	for (unsigned i = 0; i < n; i++) {
		if (!http_char_is(s->p[i], HTTP_CH_DIGIT))
			return false;
		*number = *number * 10 + (s->p[i] - '0');
	}
	*s = slice_from(*s, n);
	return true;
}

static bool take_text(struct slice *s, struct slice text)
{
	if (!slice_starts_with_nocase(*s, text))
		return false;
	*s = slice_from(*s, text.n);
	return true;
}

static bool take_month(struct slice *s, int *month)
{
	for (*month = 1; *month <= 12; (*month)++) {
		if (take_text(s, (struct slice){months[*month - 1], 3}))
			return true;
	}
	return false;
}

static bool take_day_name(struct slice *s, bool whole)
{
	for (unsigned i = 0; i < ARRAY_LEN(days); i++) {
		if (take_text(s, (struct slice){days[i], whole ? strlen(days[i]) : 3}))
			return true;
	}
	return false;
}

static bool take_time(struct slice *s, struct civil *c)
{
	return take_digits(s, 2, &c->hour) && take_text(s, SLICE_LIT(":")) && take_digits(s, 2, &c->minute) &&
	       take_text(s, SLICE_LIT(":")) && take_digits(s, 2, &c->second);
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool read_imf(struct slice s, struct civil *c)
{
	return take_day_name(&s, false) && take_text(&s, SLICE_LIT(", ")) && take_digits(&s, 2, &c->day) &&
	       take_text(&s, SLICE_LIT(" ")) && take_month(&s, &c->month) && take_text(&s, SLICE_LIT(" ")) &&
	       take_digits(&s, 4, &c->year) && take_text(&s, SLICE_LIT(" ")) && take_time(&s, c) &&
	       take_text(&s, SLICE_LIT(" GMT")) && s.n == 0;
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static bool read_rfc850(struct slice s, struct civil *c)
{
	return take_day_name(&s, true) && take_text(&s, SLICE_LIT(", ")) && take_digits(&s, 2, &c->day) &&
	       take_text(&s, SLICE_LIT("-")) && take_month(&s, &c->month) && take_text(&s, SLICE_LIT("-")) &&
	       take_digits(&s, 2, &c->year) && take_text(&s, SLICE_LIT(" ")) && take_time(&s, c) &&
	       take_text(&s, SLICE_LIT(" GMT")) && s.n == 0;
}

/* Sun Nov  6 08:49:37 1994 */
static bool read_asctime(struct slice s, struct civil *c)
{
	if (!take_day_name(&s, false) || !take_text(&s, SLICE_LIT(" ")) || !take_month(&s, &c->month) ||
		!take_text(&s, SLICE_LIT(" ")))
		return false;
	if (!take_digits(&s, take_text(&s, SLICE_LIT(" ")) ? 1 : 2, &c->day))
		return false;
	return take_text(&s, SLICE_LIT(" ")) && take_time(&s, c) && take_text(&s, SLICE_LIT(" ")) &&
	       take_digits(&s, 4, &c->year) && s.n == 0;
}

static int full_year(const struct civil *c, int64_t now_s)
{
	struct civil limit = civil_of(now_s), candidate = *c;
	limit.year += 50;
	candidate.year += limit.year - limit.year % 100;
	if (seconds_of(&candidate) > seconds_of(&limit))
		candidate.year -= 100;
	return candidate.year;
}

bool http_date_parse(struct slice s, int64_t now_s, int64_t *unix_s)
{
	struct civil c;
	if (read_rfc850(s, &c))
		c.year = full_year(&c, now_s);
	else if (!read_imf(s, &c) && !read_asctime(s, &c))
		return false;
	if (!is_real(&c))
		return false;
	*unix_s = seconds_of(&c);
	return true;
}

static void put(char *out, int value, int digits)
{
	while (digits-- > 0) {
		out[digits] = (char)('0' + value % 10);
		value /= 10;
	}
}

void http_date_format(int64_t unix_s, char out[30])
{
	int64_t s = unix_s < MIN_S ? MIN_S : unix_s > MAX_S ? MAX_S : unix_s;
	struct civil c = civil_of(s);
	int64_t weekday = ((s - MIN_S) / DAY_S + 6) % 7; /* 0000-01-01 was a Saturday */
	memcpy(out, "Xxx, 00 Xxx 0000 00:00:00 GMT", 30);
	memcpy(out, days[weekday], 3);
	put(out + 5, c.day, 2);
	memcpy(out + 8, months[c.month - 1], 3);
	put(out + 12, c.year, 4);
	put(out + 17, c.hour, 2);
	put(out + 20, c.minute, 2);
	put(out + 23, c.second, 2);
}
