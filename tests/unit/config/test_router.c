/* SPDX-License-Identifier: MIT */
/* The table of all routes: against one route after the other, each tried in every way; and what it costs. */
#include "tests/unit/config/config_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/router.h"

/* ---- The oracle: routes in the order of the file, each by its plain meaning ---- */

/* A character of a text or a pattern. */
struct sign {
	int value;     /* the byte; ENCODED, if it is written as an escape and means something else then */
	bool is_slash; /* one that bounds a segment */
};

enum { ENCODED = 1000, STAR = 2000, SEGMENT = 2001, SIGNS_MAX = 40000 };

static int hex(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static struct sign sign_at(const char *s, size_t n, size_t *taken)
{
	int high = n > 2 && s[0] == '%' ? hex(s[1]) : -1, low = high >= 0 ? hex(s[2]) : -1, byte = high * 16 + low;

	*taken = low >= 0 ? 3 : 1;
	if (low < 0)
		return (struct sign){(unsigned char)s[0], s[0] == '/'};
	if (byte <= ' ' || byte > '~' || strchr("%:/?#[]@!$&'()*+,;=", byte))
		byte += ENCODED;
	return (struct sign){byte, false};
}

static unsigned signs_of_text(const char *s, size_t n, struct sign *out)
{
	unsigned count = 0;
	size_t taken;

	for (size_t i = 0; i < n; i += taken)
		out[count++] = sign_at(s + i, n - i, &taken);
	return count;
}

static unsigned signs_of_pattern(const char *s, size_t n, struct sign *out)
{
	unsigned count = 0;
	size_t taken;

	for (size_t i = 0; i < n; i += taken) {
		if (s[i] == '*') {
			out[count++] = (struct sign){STAR, false};
			taken = 1;
		} else if (s[i] == '{') {
			out[count++] = (struct sign){SEGMENT, false};
			taken = (size_t)(strchr(s + i, '}') - (s + i)) + 1;
		} else {
			out[count++] = sign_at(s + i, n - i, &taken);
		}
	}
	return count;
}

static bool is_equal(struct sign pattern, struct sign text, bool is_decoded)
{
	return is_decoded ? pattern.value % ENCODED == text.value % ENCODED : pattern.value == text.value;
}

/* can[t]: what has been read of the pattern can be what has been read of the text when t signs of it are. */
static void read_one(bool *can, struct sign p, const struct sign *text, unsigned n, bool is_decoded)
{
	static bool next[SIGNS_MAX + 1];

	memset(next, 0, n + 1);
	for (unsigned t = 0, end; t <= n; t++) {
		if (p.value == STAR) {
			next[t] = can[t] || (t > 0 && next[t - 1]);
		} else if (!can[t]) {
			continue;
		} else if (p.value == SEGMENT) {
			for (end = t; end < n && !text[end].is_slash;)
				end++;
			if (end > t)
				next[end] = true;
		} else if (t < n && is_equal(p, text[t], is_decoded)) {
			next[t + 1] = true;
		}
	}
	memcpy(can, next, n + 1);
}

static bool glob_fits(const char *pattern, size_t pattern_n, struct slice s, bool is_decoded)
{
	static struct sign text[SIGNS_MAX];
	static bool can[SIGNS_MAX + 1];
	struct sign signs[PATTERN_MAX];
	unsigned signs_n = signs_of_pattern(pattern, pattern_n, signs), n = signs_of_text(s.p, s.n, text);

	memset(can, 0, n + 1);
	can[0] = true;
	for (unsigned i = 0; i < signs_n; i++)
		read_one(can, signs[i], text, n, is_decoded);
	return can[n];
}

static bool match_fits(struct slice match, const struct router_asked *a)
{
	const char *mark = memchr(match.p, '?', match.n);
	size_t path_n = mark ? (size_t)(mark - match.p) : match.n;

	if (!glob_fits(match.p, path_n, a->path, a->is_decoded))
		return false;
	return !mark || (a->has_query && glob_fits(mark + 1, match.n - path_n - 1, a->query, false));
}

/* The hosts of these tests have neither ports nor final dots nor capitals, but where a row says so. */
static bool host_fits(const struct slices *hosts, struct slice host)
{
	for (unsigned i = 0; i < hosts->n; i++) {
		struct slice one = hosts->v[i];
		bool is_suffix = one.p[0] == '*';

		one.p += is_suffix;
		one.n -= is_suffix;
		if (is_suffix ? host.n > one.n && memcmp(host.p + host.n - one.n, one.p, one.n) == 0
			      : slice_equal(one, host))
			return true;
	}
	return hosts->n == 0;
}

static unsigned oracle(const struct config *c, const struct router_asked *a)
{
	for (unsigned i = 0; i + 1 < c->routes_n; i++)
		if (host_fits(&c->routes[i].hosts, a->host) && match_fits(c->routes[i].match_text, a))
			return i;
	return c->routes_n - 1;
}

/* ---- Random routes and requests ---- */

static uint32_t seed;

static unsigned next_random(unsigned n)
{
	seed = seed * 1664525U + 1013904223U;
	return (seed >> 8) % n;
}

static const char *one_of(const char *const *v, unsigned n)
{
	return v[next_random(n)];
}
#define ONE_OF(v) one_of(v, ARRAY_LEN(v))

/* Few letters, so that much fits; what is written in several ways; what ends and begins alike. */
static const char *const bits[] = {"a", "b", "ab", "aa", "/", "/a", "/ab", "a/", "/b/", "//", "a/a", "aab", "%61",
	"%62b", "%2f", "%2Fa", "/%2f", "%40", "@", "%20", ".", ";", "c", "%", "%4", "%%41"};
static const char *const stars[] = {"*", "*/", "/*", "*a*", "*b", "*ab*b"};

/* Those at the end of `bits` can't stand in a pattern. */
static const char *pattern_bit(void)
{
	return one_of(bits, ARRAY_LEN(bits) - 3);
}

static void add_pattern(char *to)
{
	unsigned names = 0;

	strcpy(to, next_random(3) ? "/" : "*");
	for (unsigned n = next_random(6); n > 0; n--) {
		size_t end = strlen(to);

		if (next_random(3) == 0 && to[end - 1] == '/' && names < 4)
			sprintf(to + end, "{n%u}%s", names++, n > 1 ? "/" : "");
		else if (next_random(3) == 0)
			strcat(to, ONE_OF(stars));
		else
			strcat(to, pattern_bit());
	}
}

/* A {name} must be followed by a slash, or nothing. */
static void mend_names(char *pattern)
{
	for (char *p = pattern; (p = strchr(p, '}')); p++)
		if (p[1] && p[1] != '/')
			p[1] = '/';
}

static void add_query(char *to)
{
	static const char *const queries[] = {
		"?", "?*", "?a=1", "?a=1*", "?*b=2", "?*a=1*b=2*", "?*%61*", "?a", "?**aa*a"};

	strcat(to, ONE_OF(queries));
}

static const char *const hosts[] = {"a.test", "b.test", "x.a.test", "y.x.a.test", "test", "b", "xtest", "a"};
static const char *const host_lists[] = {
	"a.test", "b.test, a.test", "*.test", "*.a.test", "*.a.test, test", "*.x.a.test", "b"};

static void add_route(char *to, unsigned i)
{
	char pattern[200];

	to += sprintf(to, "[route r%u]\n", i);
	if (next_random(4) == 0)
		to += sprintf(to, "host = %s\n", ONE_OF(host_lists));
	if (next_random(12) == 0)
		return;
	add_pattern(pattern);
	mend_names(pattern);
	if (next_random(4) == 0)
		add_query(pattern);
	sprintf(to, "match = %s\n", pattern);
}

static struct config *random_routes(void)
{
	static char text[64 * 1024];
	unsigned n = next_random(8) ? 1 + next_random(12) : 60;

	text[0] = '\0';
	for (unsigned i = 0; i < n; i++)
		add_route(text + strlen(text), i);
	return config_of(text);
}

static void random_text(char *to, unsigned bits_n)
{
	to[0] = '\0';
	for (unsigned i = 0; i < bits_n; i++)
		to += strlen(strcpy(to, ONE_OF(bits)));
}

static struct router_asked random_request(char *path, char *query)
{
	struct router_asked a = {
		.host = slice_of(ONE_OF(hosts)), .has_query = next_random(2), .is_decoded = next_random(3) == 0};

	path[0] = '/';
	random_text(path + 1, next_random(200) ? next_random(9) : 2000);
	a.path = next_random(50) ? slice_of(path) : SLICE_LIT("*");
	random_text(query, next_random(5));
	if (next_random(2))
		strcpy(query, next_random(2) ? "a=1" : "xaa=1b=2");
	a.query = a.has_query ? slice_of(query) : (struct slice){NULL, 0};
	return a;
}

#ifdef __SANITIZE_THREAD__
enum { TABLES = 300 }; /* it has one thread */
#else
enum { TABLES = 3000 };
#endif

static void the_table_finds_what_one_route_after_the_other_does(void **state)
{
	static char path[SIGNS_MAX], query[SIGNS_MAX];
	unsigned by_name = 0, asked = 0;

	(void)state;
	seed = 20261129;
	for (unsigned i = 0; i < TABLES; i++) {
		struct config *c = random_routes();

		for (unsigned k = 0; k < 25; k++) {
			struct router_asked a = random_request(path, query);
			unsigned expected = oracle(c, &a);
			struct router_found found = router_look(c->router, &a);

			asked++;
			by_name += expected + 1 < c->routes_n;
			if (found.route != expected)
				fail_msg("%u: %.*s %.*s?%.*s%s: route %u (%s), not %u (%s)", i, SLICE_ARG(a.host),
					SLICE_ARG(a.path), SLICE_ARG(a.query), a.is_decoded ? " decoded" : "", expected,
					c->routes[expected].match_text.p, found.route,
					c->routes[found.route].match_text.p);
		}
		config_unref(&c);
	}
	assert_in_range(by_name, asked / 5, asked - asked / 5); /* or the inputs prove nothing */
}

/* ---- What a look costs ---- */

enum { LONG = 30000, LINES_MAX = 4 << 20 };

/* A route a line: "match", with %u for the number. */
static struct config *routes_of(const char *match, unsigned n)
{
	char *text = mem_alloc(LINES_MAX), *to = text;
	struct config *c;

	assert_non_null(text);
	to += sprintf(to, "[proxy]\nworkers = 1\n");
	for (unsigned i = 0; i < n; i++) {
		to += sprintf(to, "[route r%u]\nmatch = ", i);
		for (const char *p = match; *p; p++)
			if (*p == '#')
				to += sprintf(to, "%u", i);
			else
				*to++ = *p;
		*to++ = '\n';
	}
	*to = '\0';
	assert_true(to - text < LINES_MAX);
	c = config_of(text);
	mem_free(text);
	return c;
}

static struct router_found look(const struct config *c, struct slice path)
{
	return router_look(c->router, &(struct router_asked){.host = SLICE_LIT("h"), .path = path});
}

/* All routes' matches written one behind the other, and again, as far as it goes. */
static struct slice long_path(const char *piece, unsigned routes_n)
{
	static char path[LONG + 100];
	size_t n = 0;

	for (unsigned i = 0; n < LONG; i++)
		for (const char *p = piece; *p; p++)
			n += (size_t)(*p == '#' ? sprintf(path + n, "%u", i % routes_n) : (path[n] = *p, 1));
	return (struct slice){path, n};
}

static void a_look_costs_the_same_at_ten_routes_and_at_ten_thousand(void **state)
{
	static const struct {
		const char *match, *path;
	} rows[] = {
		{"/api/v1/things-#/*", "/api/v1/things-7/list"},
		{"/api/{x}/things-#/{id}", "/api/v1/things-7/list"},
		{"/things-#/{id}/posts/{post}", "/things-7/12345/posts/999"},
		{"*.kind-#", "/some/where/a.kind-7"},
		{"/static/*/kind-#/*.css", "/static/v3/kind-7/a.css"},
		{"*/kind-#/{x}/*", "/static/kind-7/a/b"},
		{"/search?kind=#", "/search"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config *few = routes_of(rows[i].match, 10), *many = routes_of(rows[i].match, CONFIG_ROUTES_MAX);
		struct router_found a = look(few, slice_of(rows[i].path)), b = look(many, slice_of(rows[i].path));
		bool is_search = strchr(rows[i].match, '?') != NULL;

		assert_int_equal(a.route, is_search ? 10 : 7);
		assert_int_equal(b.route, is_search ? CONFIG_ROUTES_MAX : 7);
		if (b.steps > a.steps + 4)
			fail_msg("%s: %lu, then %lu", rows[i].match, (unsigned long)a.steps, (unsigned long)b.steps);
		assert_in_range(a.steps, 1, 8 * strlen(rows[i].path));
		config_unref(&few);
		config_unref(&many);
	}
}

/* Each is a thousand routes, and a path that goes into as many of them as can be. */
static void no_path_costs_more_than_its_length_and_the_parts_that_stand_in_it(void **state)
{
	static const struct {
		const char *match, *piece;
	} rows[] = {
		{"*/x#/*", "/x#"},
		{"*/x#/*", "/x/x"},
		{"*a#b*c#d*e#f*g", "a#bc#de#f"},
		{"*a#b*c*d*e*g", "a#bc"},
		{"*/x#/*/end", "/x#/end"},
		{"*/x#/*/end/{id}", "/x#/end/1"},
		{"*/x#/{a}/{b}/{c}/{d}/*z", "/x#"},
		{"*/{a}/{b}/{c}/x#/{d}/z", "/x#"},
		{"*/{a}/*/{b}/*/{c}/*/x#", "/a"},
		{"/a*/a*/a*/a*/a*/a*/x#", "/a"},
		{"*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab#", "a"},
		{"*a*aa*aaa*aaaa*aaaaa*x#", "a"},
		{"*%2f%2f#%2f*%2f*x", "%2f%2f#"},
		{"*a#*?*b#*c#*z", "a#b#c#"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config *c = routes_of(rows[i].match, 1000);
		struct slice path = long_path(rows[i].piece, 1000);
		struct router_asked asked = {.host = SLICE_LIT("h"), .path = path, .query = path, .has_query = true};

		for (unsigned decoded = 0; decoded < 2; decoded++) {
			uint64_t steps;

			asked.is_decoded = decoded;
			steps = router_look(c->router, &asked).steps;
			if (steps > 8 * path.n + 16 * 1000)
				fail_msg("%s: %lu for %zu", rows[i].match, (unsigned long)steps, path.n);
		}
		config_unref(&c);
	}
}

/* Each pattern begins like the next, for a host and for all of them: what is found first does not begin first. */
static void patterns_that_begin_alike_cost_no_more_than_they_are(void **state)
{
	enum { ALIKE = 1000 };
	static char as[ALIKE + 2];
	char *text = mem_alloc(LINES_MAX), *to = text;
	struct router_found found;
	struct config *c;

	(void)state;
	assert_non_null(text);
	memset(as, 'a', ALIKE + 1);
	for (int i = 1; i <= ALIKE; i++)
		to += sprintf(to, "[route a%d]\nmatch = /%.*s*x\n[route h%d]\nhost = h\nmatch = /%.*s*y\n", i, i, as, i,
			i, as);
	c = config_of(text);
	mem_free(text);
	as[0] = '/';
	found = look(c, slice_of(as));
	assert_int_equal(found.route, 2 * ALIKE);
	assert_in_range(found.steps, 2 * ALIKE, 8 * ALIKE + 8 * 2 * ALIKE);
	as[ALIKE] = 'y';
	assert_int_equal(look(c, slice_of(as)).route, 1);
	config_unref(&c);
}

/* One in 15,000 labels, against as many hosts as a file may name. */
static void no_host_costs_more_than_the_longest_that_a_route_names(void **state)
{
	char *text = mem_alloc(LINES_MAX), *to = text;
	struct router_found found;
	static char host[LONG];
	struct config *c;

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < 1000; i++)
		to += sprintf(to, "[route r%u]\nhost = *.h%u.a.a.a.a.a.a\n", i, i);
	c = config_of(text);
	mem_free(text);
	for (unsigned i = 0; i < LONG; i++)
		host[i] = i % 2 ? 'a' : '.';
	found = router_look(c->router, &(struct router_asked){.host = {host, LONG}, .path = SLICE_LIT("/")});
	assert_int_equal(found.route, 1000);
	assert_in_range(found.steps, 1, 100);
	config_unref(&c);
}

/* ---- Threads ---- */

enum { THREADS = 8, LOOKS = 10000 };

struct asked {
	const char *path, *query;
	uint32_t route;
};

struct many {
	const struct config *c;
	const struct asked *rows;
	unsigned n;
};

static void *look_again_and_again(void *arg)
{
	const struct many *m = arg;

	for (unsigned i = 0; i < LOOKS; i++) {
		const struct asked *a = &m->rows[i % m->n];

		if (router_look(m->c->router, &(struct router_asked){.path = slice_of(a->path),
						      .query = slice_of(a->query),
						      .has_query = a->query[0] != 0})
				.route != a->route)
			return arg;
	}
	return NULL;
}

/* One worker: there are two slots. */
static void look_with_many_threads(const struct many *m)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_again_and_again, (void *)(uintptr_t)m), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
}

static void more_threads_than_slots_wait_for_each_other(void **state)
{
	static const struct asked rows[] = {{"/a/x7/b", "", 7}, {"/a/x70/b/c", "", 70}, {"/x/x/x12/", "", 12},
		{"/x", "", 100}, {"/x3/x2/x1/", "", 1}};
	struct config *c = routes_of("*/x#/*", 100);

	(void)state;
	look_with_many_threads(&(struct many){c, rows, ARRAY_LEN(rows)});
	config_unref(&c);
}

/* A look may need a slot for paths and one for queries, and meets what needs one of queries before what needs one of paths, or after. */
static void who_waits_for_a_slot_holds_none_that_another_waits_for(void **state)
{
	static const struct asked rows[] = {
		{"/a/b/c", "q=1", 0}, {"/d/e/c", "q=1", 3}, {"/a/b/z", "q=2", 1}, {"/d/e/z", "q=1", 2}};
	struct config *c = config_of("[proxy]\nworkers = 1\n[route a]\nmatch = /a/*?*q*1*\n[route b]\nmatch = /a/b*/z\n"
				     "[route c]\nmatch = /d/*/z\n[route d]\nmatch = /d/e/*?*q*1*\n");

	(void)state;
	look_with_many_threads(&(struct many){c, rows, ARRAY_LEN(rows)});
	config_unref(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_finds_what_one_route_after_the_other_does),
		cmocka_unit_test(a_look_costs_the_same_at_ten_routes_and_at_ten_thousand),
		cmocka_unit_test(no_path_costs_more_than_its_length_and_the_parts_that_stand_in_it),
		cmocka_unit_test(patterns_that_begin_alike_cost_no_more_than_they_are),
		cmocka_unit_test(more_threads_than_slots_wait_for_each_other),
		cmocka_unit_test(who_waits_for_a_slot_holds_none_that_another_waits_for),
		cmocka_unit_test(no_host_costs_more_than_the_longest_that_a_route_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
