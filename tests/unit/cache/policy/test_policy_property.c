/* SPDX-License-Identifier: MIT */
/* Seeded random responses against a naive oracle: it collects every lifetime and every age that some reader could find in the
 * fields that count, and policy must not hold a response for fresher than the strictest of them allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_rows.h"

#include "http/date.h"

#define ROUNDS 60000

static uint64_t state;

static unsigned pick(unsigned n)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(state >> 33) % n;
}

/* Some directive values are numbers, some are nothing that RFC 9111 knows. */
static const char *const numbers[] = {
	"0", "1", "60", "600", "3600", "99999999999", "007", "\"60\"", "-1", "1.5", "x", "", "+9", "60x", "0x9", "1 2"};
static const char *const dates[] = {"@0", "@-60", "@-600", "@-3600", "@60", "@600", "@3600", "@-100000000", "0", "-1",
	"", "Mon, 01 Jan 2024 00:00:00 CET", "Monday, 01-Jan-24 00:05:00 GMT", "now", "@60, @600"};
static const char *const directives[] = {"max-age", "s-maxage", "MAX-AGE", "foo"};
static const char *const flags[] = {
	"public", "no-cache", "no-store", "private", "must-revalidate", "immutable", "bar=\"x, y\""};
static const char *const date_fields[] = {"Date", "Expires", "Last-Modified"};

static void add_cache_control(char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "Cache-Control: ");
	unsigned members = 1 + pick(3);
	for (unsigned i = 0; i < members; i++) {
		const char *comma = i ? ", " : "";
		if (pick(4) == 0)
			n += (size_t)snprintf(out + n, size - n, "%s%s", comma, flags[pick(ARRAY_LEN(flags))]);
		else
			n += (size_t)snprintf(out + n, size - n, "%s%s=%s", comma,
				directives[pick(ARRAY_LEN(directives))], numbers[pick(ARRAY_LEN(numbers))]);
	}
}

static void random_response(char *out, size_t size)
{
	size_t n = 0;
	unsigned lines = 1 + pick(6);
	for (unsigned i = 0; i < lines; i++) {
		char line[256];
		unsigned kind = pick(8);
		if (kind < 3)
			add_cache_control(line, sizeof(line));
		else if (kind == 3)
			snprintf(line, sizeof(line), "Age: %s", numbers[pick(ARRAY_LEN(numbers))]);
		else
			snprintf(line, sizeof(line), "%s: %s", date_fields[pick(3)], dates[pick(ARRAY_LEN(dates))]);
		n += (size_t)snprintf(out + n, size - n, "%s%s", i ? "\n" : "", line);
	}
}

/* ---- The oracle: scans text for digits, knows nothing of policy ---- */

struct readings {
	bool any_directive, any_shared, any_unreadable, any_unreadable_shared;
	double least[2]; /* of max-age, of s-maxage */
	unsigned expires_n;
	double expires, heuristic;
	double age, apparent_age; /* Age as it came, and how long before arrival the earliest Date is */
};

static bool all_digits(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
	}
	return n > 0;
}

static void read_directive(struct readings *r, const char *p, size_t n)
{
	bool shared = strncasecmp(p, "s-maxage", 8) == 0;
	if (!shared && strncasecmp(p, "max-age", 7) != 0)
		return;
	const char *v = p + (shared ? 9 : 8);
	size_t vn = n - (size_t)(v - p);
	if (vn >= 2 && v[0] == '"' && v[vn - 1] == '"') {
		v++;
		vn -= 2;
	}
	bool seen = shared ? r->any_shared : r->any_directive;
	*(shared ? &r->any_shared : &r->any_directive) = true;
	if (!all_digits(v, vn)) {
		*(shared ? &r->any_unreadable_shared : &r->any_unreadable) = true;
		return;
	}
	double seconds = atof(v);
	if (!seen || seconds < r->least[shared])
		r->least[shared] = seconds;
}

static void read_directives(struct readings *r, struct slice value)
{
	char text[256];
	snprintf(text, sizeof(text), "%.*s", SLICE_ARG(value));
	for (char *p = text; *p;) {
		p += strspn(p, " ,");
		size_t n = strcspn(p, ",");
		if (strncmp(p, "bar=", 4) == 0)
			n = strlen("bar=\"x, y\"");
		while (n > 0 && p[n - 1] == ' ')
			n--;
		read_directive(r, p, n);
		p += strcspn(p + n, ",") + n;
	}
}

struct date_range {
	double least, most;
	unsigned n;
};

static struct date_range dates_of(const struct rows_exchange *e, enum http_field_id id)
{
	struct date_range d = {0};
	uint32_t i = 0;
	int64_t s;
	for (const struct http_field *line; (line = http_fields_next(&e->response, id, &i)) != NULL;) {
		if (!http_date_parse(line->value, ROWS_T0_S, &s))
			continue;
		double at = (double)(s - ROWS_T0_S);
		d.least = d.n == 0 || at < d.least ? at : d.least;
		d.most = d.n == 0 || at > d.most ? at : d.most;
		d.n++;
	}
	return d;
}

static struct readings read_all(const struct rows_exchange *e)
{
	struct readings r = {0};
	uint32_t i = 0;
	for (const struct http_field *line; (line = http_fields_next(&e->response, HF_CACHE_CONTROL, &i)) != NULL;)
		read_directives(&r, line->value);
	struct date_range date = dates_of(e, HF_DATE), expires = dates_of(e, HF_EXPIRES);
	struct date_range modified = dates_of(e, HF_LAST_MODIFIED);
	r.expires_n = http_fields_count(&e->response, HF_EXPIRES);
	r.expires = expires.n ? expires.least - date.most : 0;
	r.heuristic = modified.n ? (date.least - modified.most) / 10 : 0;
	const struct http_field *age = http_fields_get(&e->response, HF_AGE);
	if (age && all_digits(age->value.p, age->value.n)) {
		char text[64];
		snprintf(text, sizeof(text), "%.*s", SLICE_ARG(age->value));
		r.age = atof(text);
	}
	r.apparent_age = date.n ? -date.least : 0;
	return r;
}

/* The lifetime that the strictest reading allows. */
static double bound(const struct readings *r)
{
	if (r->any_shared)
		return r->any_unreadable_shared ? 0 : r->least[1];
	if (r->any_directive)
		return r->any_unreadable ? 0 : r->least[0];
	if (r->expires_n)
		return r->expires_n > 1 ? 0 : r->expires;
	return r->heuristic < 86400 ? r->heuristic : 86400;
}

static bool says(const struct rows_exchange *e, const char *word)
{
	uint32_t i = 0;
	for (const struct http_field *line; (line = http_fields_next(&e->response, HF_CACHE_CONTROL, &i)) != NULL;) {
		if (memmem(line->value.p, line->value.n, word, strlen(word)))
			return true;
	}
	return false;
}

static void check(const char *response, double delay_s, double at_s)
{
	struct rows_exchange e;
	struct freshness f;
	rows_exchange_init(&e, "GET 200", NULL, response, NULL, delay_s);
	enum policy_store store = policy_store(&e.x, &f);
	bool forbidden = says(&e, "no-store") || says(&e, "private");
	if (forbidden && store == POLICY_STORE)
		fail_msg("stored: %s", response);
	if (store == POLICY_STORE) {
		struct readings r = read_all(&e);
		bool is_used = rows_reuse(&e, &f, false, rows_at(at_s)).use == POLICY_FRESH;
		double age = r.age + delay_s > r.apparent_age ? r.age + delay_s : r.apparent_age;
		age += at_s;
		if (is_used && (age >= bound(&r) + 0.001 || says(&e, "no-cache")))
			fail_msg("held for fresh at age %g of at most %g: %s", age, bound(&r), response);
		if (policy_age_ms(&f, rows_at(at_s)) < (int64_t)(at_s * 1000) - 1)
			fail_msg("younger than its time here: %s", response);
	}
	rows_exchange_fini(&e);
}

static void no_response_is_held_for_fresher_than_any_reading_allows(void **unused)
{
	(void)unused;
	static const double times[] = {0, 0.5, 1, 5, 59, 60, 61, 599, 600, 3599, 3600, 86400};
	state = 20240101;
	for (unsigned i = 0; i < ROUNDS; i++) {
		char response[2048];
		random_response(response, sizeof(response));
		check(response, times[pick(5)], times[pick(ARRAY_LEN(times))]);
	}
}

/* Whatever the fields say, time only makes a response older, and a later look never finds it fresh again. */
static void no_response_becomes_fresh_again(void **unused)
{
	(void)unused;
	state = 42;
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		char response[2048];
		struct rows_exchange e;
		struct freshness f;
		random_response(response, sizeof(response));
		rows_exchange_init(&e, "GET 200", NULL, response, "ttl=30 swr=60 jitter=20:123456789", pick(5));
		if (policy_store(&e.x, &f) == POLICY_STORE) {
			double early = pick(4000), late = early + pick(4000);
			bool fresh_early = policy_ttl_ms(&f, rows_at(early)) > 0;
			bool fresh_late = policy_ttl_ms(&f, rows_at(late)) > 0;
			assert_true(fresh_early || !fresh_late);
			assert_true(policy_age_ms(&f, rows_at(late)) >= policy_age_ms(&f, rows_at(early)));
		}
		rows_exchange_fini(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_response_is_held_for_fresher_than_any_reading_allows),
		cmocka_unit_test(no_response_becomes_fresh_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
