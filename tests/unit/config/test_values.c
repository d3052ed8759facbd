/* SPDX-License-Identifier: MIT */
/* Every type of value: what is taken and what it means, what is refused and why. */
#include "tests/unit/config/config_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static void durations_and_sizes_mean_what_the_table_says(void **state)
{
	static const struct {
		const char *ttl;
		int64_t ms;
	} durations[] = {{"0", 0}, {"0s", 0}, {"1ms", 1}, {"10s", 10000}, {"5m", 300000}, {"2h", 7200000},
		{"1d", 86400000}, {"3650d", INT64_C(315360000000)}, {"007s", 7000}, {"10 s", 10000}, {"off", -1}};
	static const struct {
		const char *max_body;
		uint64_t bytes;
	} sizes[] = {{"0", 0}, {"1", 1}, {"4096", 4096}, {"64K", 65536}, {"64k", 65536}, {"16M", 16777216},
		{"1m", 1048576}, {"3G", UINT64_C(3221225472)}, {"1024g", UINT64_C(1) << 40}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(durations); i++) {
		char text[100];
		struct config *c;

		snprintf(text, sizeof(text), "[defaults]\nttl = %s\n", durations[i].ttl);
		c = config_of(text);
		assert_int_equal(c->routes[0].rules.ttl_ms, durations[i].ms);
		config_unref(&c);
	}
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		char text[100];
		struct config *c;

		snprintf(text, sizeof(text), "[proxy]\nmax_body = %s\n", sizes[i].max_body);
		c = config_of(text);
		assert_int_equal(c->proxy.max_body_bytes, sizes[i].bytes);
		config_unref(&c);
	}
}

/* All on the second line of a section named first. */
static const struct {
	const char *section, *line, *error;
} refused[] = {
	{"defaults", "ttl = 5", "ttl: \"5\" needs a unit: ms, s, m, h or d"},
	{"defaults", "ttl = 5 minutes", "ttl: \"5 minutes\": the units are"},
	{"defaults", "ttl = 5S", "the units are"},
	{"defaults", "ttl =", "ttl: \"\" is not a duration"},
	{"defaults", "ttl = -5s", "is not a duration"},
	{"defaults", "ttl = 1.5s", "the units are"},
	{"defaults", "ttl = 3651d", "ttl: 3651d is not in 0 to 3650d"},
	{"defaults", "ttl = 9223372036854775807d", "is not in 0 to 3650d"},
	/* Each a little above 2^64 ms, or bytes. */
	{"defaults", "ttl = 213503982335d", "is not in 0 to 3650d"},
	{"defaults", "ttl = 18446744073709552s", "is not in 0 to 3650d"},
	{"proxy", "max_body = 17179869184G", "is not in 0 to 1024G"},
	{"defaults", "ttl = 99999999999999999999999999ms", "is not in 0 to 3650d"},
	{"defaults", "stale_if_error = off", "is not a duration"},
	{"proxy", "client_idle_timeout = 0", "client_idle_timeout: 0 is not in 1ms to 1d"},
	{"proxy", "max_body = 1T", "is not a size"},
	{"proxy", "max_body = 1KB", "is not a size"},
	{"proxy", "max_body = M", "is not a size"},
	{"proxy", "max_body = 18446744073709551616", "is not in 0 to 1024G"},
	{"proxy", "max_body = 9999999999999G", "is not in 0 to 1024G"},
	{"proxy", "max_header = 1023", "is not in 1K to 1M"},
	{"proxy", "workers = 0", "workers: 0 is not in 1 to 64"},
	{"proxy", "workers = 65", "is not in 1 to 64"},
	{"proxy", "workers = 4294967297", "is not in 1 to 64"},
	{"proxy", "workers = two", "workers: \"two\" is not a number or auto"},
	{"proxy", "workers = 2x", "is not a number"},
	{"proxy", "log_level = loud", "log_level: \"loud\" is none of: error warn info debug"},
	{"proxy", "log_level = INFO", "is none of"},
	{"proxy", "access_log =", "access_log: a path, - or off"},
	{"proxy", "listen =", "listen: an address is missing"},
	{"proxy", "listen = off", "listen: \"off\" is not address:port"},
	{"proxy", "listen = 127.0.0.1", "is not address:port"},
	{"proxy", "listen = 127.0.0.1:", "is not address:port"},
	{"proxy", "listen = :8080", "is not address:port"},
	{"proxy", "listen = 127.0.0.1:0", "is not address:port"},
	{"proxy", "listen = 127.0.0.1:65536", "is not address:port"},
	{"proxy", "listen = 127.0.0.1:99999999999999999999", "is not address:port"},
	{"proxy", "listen = 127.0.0.1:80x", "is not address:port"},
	{"proxy", "listen = 127.0.0.256:80", "is not address:port"},
	{"proxy", "listen = ::1:80", "is not address:port"},
	{"proxy", "listen = [::1]80", "is not address:port"},
	{"proxy", "listen = []:80", "is not address:port"},
	{"proxy", "listen = example.org:80", "is not address:port"},
	{"proxy", "listen = 127.0.0.1:80, 127.0.0.1:80", "stands there twice"},
	{"proxy", "listen = 127.0.0.1:80, localhost:80", "stands there twice"},
	{"cache", "coalesce = yes", "coalesce: \"yes\" is neither on nor off"},
	{"cache", "coalesce =", "is neither on nor off"},
	{"upstream", "url = 127.0.0.1:80", "not a URL"},
	{"upstream", "url =", "not a URL"},
	{"upstream", "url = ftp://h", "not a URL"},
	{"upstream", "url = http://", "host or port"},
	{"upstream", "url = http:///x", "host or port"},
	{"upstream", "url = http://h:x", "host or port"},
	{"upstream", "url = http://h:", "host or port"},
	{"upstream", "url = http://h:0", "host or port"},
	{"upstream", "url = http://h:65536", "host or port"},
	{"upstream", "url = http://h/a?b", "no query"},
	{"upstream", "url = http://h?b", "no query"},
	{"upstream", "url = http://h/#b", "not a URL"},
	{"upstream", "url = http://u:hunter2@h/", "url: a user name in it"},
	{"upstream", "url = http//u:hunter2@h/", "url: not a URL"},
	{"upstream", "url = http://h/a b", "not a URL"},
	{"upstream", "url = http://h/\xc3\xa4", "visible ASCII"},
	{"upstream", "url = http://a, http://a", "url: one stands there twice"},
	{"upstream", "url = http://a/x http://b/y", "url: all must have the same path"},
	{"upstream", "url = http://a http://u:hunter2@b", "url: a user name in it"},
	{"upstream", "balance = random", "is none of: round_robin least_connections hash"},
	{"upstream", "health_path = healthz", "health_path: \"healthz\" is not a path"},
	{"upstream", "breaker_errors = half", "breaker_errors: \"half\" is not a percentage like 10% or off"},
	{"upstream", "breaker_errors = 101%", "is not in 1% to 100%"},
	{"upstream", "quota_reserve = 5s", "is not a percentage"},
	{"defaults", "ttl_jitter = 101", "is not in 0% to 100%"},
	{"defaults", "refresh_ahead = 100%", "is not in 1% to 99%"},
	{"defaults", "refresh_ahead = 10", "needs a unit"},
	{"upstream", "http_version = 3", "is none of: auto 1.1 2"},
	{"upstream", "tls_ca = /nonexistent/ca.pem", "tls_ca: /nonexistent/ca.pem: No such file"},
	{"admin", "token = a\tb", "token: visible ASCII characters only"},
	{"admin", "token = hunter2 x", "token: visible ASCII characters only"},
	{"defaults", "methods =", "methods: a method is missing"},
	{"defaults", "methods = GET, PUT", "methods: \"PUT\": only GET, HEAD, POST and QUERY"},
	{"defaults", "methods = get", "only GET, HEAD, POST and QUERY"},
	{"defaults", "methods = GET GET", "stands there twice"},
	{"defaults", "key_headers = a:b", "key_headers: \"a:b\": not a name"},
	{"defaults", "key_headers = A, a", "stands there twice"},
	{"defaults", "shared_credentials = _ga, *", "a * can only stand at the end"},
	{"defaults", "shared_credentials = _*a", "a * can only stand at the end"},
	{"defaults", "shared_credentials = a:b*", "not a name"},
	{"defaults", "credentials = a:b", "not a name"},
	{"defaults", "query = some", "query: \"some\" is none of"},
	{"defaults", "query = only:", "query: names are missing"},
	{"defaults", "query = drop:a*b", "at the end of a name"},
	{"defaults", "user_from = X-User", "neither header:NAME nor cookie:NAME"},
	{"defaults", "user_from = header:", "neither header:NAME nor cookie:NAME"},
	{"defaults", "user_from = cookie:a b", "neither header:NAME nor cookie:NAME"},
	{"defaults", "upstream =", "upstream: a name is missing"},
	{"defaults", "upstream = nope", "upstream: there is no [upstream nope]"},
	{"defaults", "invalidates = users", "a path begins with '/'"},
	{"defaults", "invalidates = /users/{id}", "not in the route's match"},
	{"defaults", "ttl_404 = 5", "ttl_404: \"5\" needs a unit"},
	{"defaults", "ttl_604 = 5s", "no key is called ttl_604"},
	{"defaults", "ttl_1xx = 5s", "no key is called ttl_1xx"},
	{"defaults", "ttl_40x = 5s", "no key is called ttl_40x"},
	{"defaults", "ttl_NNN = 5s", "no key is called ttl_NNN"},
	{"defaults", "scope = user", "scope: user needs user_from"},
	{"route r", "match = users", "match: \"users\": a pattern begins with"},
	{"route r", "match =", "a pattern begins with"},
	{"route r", "host = a:80", "host: \"a:80\": a host is written without its port"},
	{"route r", "host = a*.b", "a * can only stand in front"},
	{"route r", "host = *", "a * can only stand in front"},
	{"route r", "host = a.", "without the final dot"},
	{"route r", "invalidates = /a*b", "invalidates: \"/a*b\": '*' can only stand at its end"},
};

static void bad_values_are_refused_with_line_key_and_reason(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
		char text[200];
		const char *errors;
		unsigned lines = 0;

		snprintf(text, sizeof(text), "[%s]\n%s\n", refused[i].section, refused[i].line);
		errors = errors_of(slice_of(text));
		for (const char *c = errors; *c; c++)
			lines += *c == '\n';
		if (lines != 1 || strncmp(errors, "t:2: ", 5) != 0 || !strstr(errors, refused[i].error))
			fail_msg("%s: %s", refused[i].line, errors);
		assert_null(strstr(errors, "hunter2"));
	}
}

static void values_in_errors_are_cut_and_clean(void **state)
{
	struct buf text;
	const char *errors;

	(void)state;
	buf_init(&text, 2000);
	buf_add_str(&text, "[proxy]\nlog_level = \xC3\xA4\x1B");
	text.n--; /* no escape after all: the syntax refuses it before values are looked at */
	for (unsigned i = 0; i < 1000; i++)
		buf_add_char(&text, 'x');
	errors = errors_of(buf_slice(&text));
	assert_non_null(strstr(errors, "\"??xxx"));
	assert_non_null(strstr(errors, "xxx...\""));
	assert_true(strlen(errors) < 200);
	buf_fini(&text);
}

static void addresses_become_socket_addresses(void **state)
{
	static const struct {
		const char *text;
		int family;
		uint16_t port;
		bool is_loopback;
	} cases[] = {
		{"127.0.0.1:80", AF_INET, 80, true},
		{"127.9.9.9:80", AF_INET, 80, true},
		{"localhost:81", AF_INET, 81, true},
		{"[::1]:82", AF_INET6, 82, true},
		{"[::ffff:127.0.0.1]:82", AF_INET6, 82, true},
		{"0.0.0.0:65535", AF_INET, 65535, false},
		{"[::]:1", AF_INET6, 1, false},
		{"10.127.0.1:80", AF_INET, 80, false},
		{"[::ffff:10.0.0.1]:82", AF_INET6, 82, false},
	};
	struct buf text;
	struct config *c;

	(void)state;
	buf_init(&text, 1000);
	buf_add_str(&text, "[proxy]\nlisten = ");
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		buf_addf(&text, "%s ", cases[i].text);
	buf_add_char(&text, '\0');
	c = config_of(text.p);
	assert_int_equal(c->proxy.listen.n, ARRAY_LEN(cases));
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const struct config_address *a = &c->proxy.listen.v[i];
		const struct sockaddr_in *in = (const void *)&a->sa;

		assert_int_equal(a->sa.ss_family, cases[i].family);
		assert_int_equal(a->sa_bytes, cases[i].family == AF_INET ? sizeof(*in) : sizeof(struct sockaddr_in6));
		assert_int_equal(ntohs(in->sin_port), cases[i].port); /* at the same place in both families */
		assert_int_equal(a->is_loopback, cases[i].is_loopback);
		assert_string_equal(a->text.p, cases[i].text);
	}
	config_unref(&c);
	buf_fini(&text);
}

static void urls_are_made_canonical_and_split(void **state)
{
	static const struct {
		const char *text, *whole, *authority;
		bool is_https;
	} cases[] = {
		{"http://h", "http://h", "h", false},
		{"HTTP://Host.Example:3000/", "http://host.example:3000", "host.example:3000", false},
		{"https://h/Base/v1//", "https://h/Base/v1", "h", true},
		{"http://[::1]:80/x", "http://[::1]/x", "[::1]", false},
		{"https://h:443", "https://h", "h", true},
		{"https://h:80/x", "https://h:80/x", "h:80", true},
		{"http://h:081", "http://h:81", "h:81", false},
		{"http://[FE80::1]", "http://[fe80::1]", "[fe80::1]", false},
		{"http://h/a%20;b,c", "http://h/a%20;b,c", "h", false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		char text[200];
		struct config *c;

		snprintf(text, sizeof(text), "[upstream]\nurl = %s\n", cases[i].text);
		c = config_of(text);
		assert_string_equal(c->upstreams[0].url.whole.p, cases[i].whole);
		assert_int_equal(c->upstreams[0].url.whole.n, strlen(cases[i].whole));
		assert_true(slice_equal(c->upstreams[0].url.authority, slice_of(cases[i].authority)));
		assert_int_equal(c->upstreams[0].url.is_https, cases[i].is_https);
		config_unref(&c);
	}
}

static void several_urls_are_a_list_in_their_order(void **state)
{
	struct config *c = config_of("[upstream]\nurl = http://a/x,y, https://b/x,y http://c/x,y\n");
	const struct config_url *url = &c->upstreams[0].url;

	(void)state;
	assert_string_equal(url->whole.p, "http://a/x,y");
	assert_string_equal(url->next->whole.p, "https://b/x,y");
	assert_string_equal(url->next->next->whole.p, "http://c/x,y");
	assert_null(url->next->next->next);
	config_unref(&c);
}

static void percentages_and_times_ahead_are_told_apart(void **state)
{
	struct config *c = config_of("[upstream]\nbreaker_errors = 50%\nquota_reserve = 5\n"
				     "[route a]\nmatch = /a\nrefresh_ahead = 10%\nttl_jitter = 20%\n"
				     "[route b]\nmatch = /b\nrefresh_ahead = 2s\n");

	(void)state;
	assert_int_equal(c->upstreams[0].breaker_errors, 50);
	assert_int_equal(c->upstreams[0].quota_reserve, 5);
	assert_int_equal(c->routes[0].rules.refresh_ahead.percent, 10);
	assert_int_equal(c->routes[0].rules.ttl_jitter, 20);
	assert_int_equal(c->routes[1].rules.refresh_ahead.ms, 2000);
	assert_int_equal(c->routes[1].rules.refresh_ahead.percent, 0);
	assert_int_equal(c->routes[2].rules.refresh_ahead.ms, -1);
	config_unref(&c);
}

static void assert_names(struct slices names, const char *joined)
{
	struct buf text;

	buf_init(&text, 1000);
	for (unsigned i = 0; i < names.n; i++)
		buf_addf(&text, "%s|", names.v[i].p);
	if (!slice_equal(buf_slice(&text), slice_of(joined)))
		fail_msg("%.*s", SLICE_ARG(buf_slice(&text)));
	buf_fini(&text);
}

static void lists_and_rules_are_read_whole(void **state)
{
	struct config *c = config_of("[route r]\nmatch = /a,b/*\nhost = A.b, *.C.d\nmethods = GET,QUERY POST\n"
				     "query = only:a, b*\nkey_headers = Accept-Language,X-A\nkey_cookies = s\n"
				     "credentials = X-A, B\nshared_credentials = _ga, _ga*, X-B\n"
				     "forward_headers = X-Forwarded-Host\nscope = user\nuser_from = cookie:sid\n"
				     "set_cookie = strip\nclient_refresh = off\ntag_headers =\ntargeted = A B\n"
				     "max_entries_per_user = 5\ncache = off\njson_body_key = on\n"
				     "heuristic = 25%\ncompress = zstd, gzip\netag = auto\nstore_if = graphql\n");
	const struct config_route *r = &c->routes[0];

	(void)state;
	assert_string_equal(r->match_text.p, "/a,b/*");
	assert_non_null(r->match);
	assert_names(r->hosts, "a.b|*.c.d|");
	assert_int_equal(r->rules.methods, 1U << HTTP_GET | 1U << HTTP_QUERY | 1U << HTTP_POST);
	assert_int_equal(r->rules.query.rule, CACHE_QUERY_ONLY);
	assert_names(r->rules.query.names, "a|b*|");
	assert_names(r->rules.key_headers, "Accept-Language|X-A|");
	assert_names(r->rules.key_cookies, "s|");
	assert_names(r->forward_headers, "X-Forwarded-Host|");
	assert_names(r->rules.credentials, "X-A|B|");
	assert_true(r->rules.no_credential[0] != 0); /* not every name is compared */
	assert_names(r->rules.shared_credentials, "_ga|_ga*|X-B|");
	assert_int_equal(r->rules.scope, CACHE_SCOPE_USER);
	assert_true(r->rules.user_from.is_cookie);
	assert_string_equal(r->rules.user_from.name.p, "sid");
	assert_int_equal(r->rules.set_cookie, CACHE_COOKIE_STRIP);
	assert_int_equal(r->rules.max_entries_per_user, 5);
	assert_false(r->rules.client_refresh);
	assert_false(r->rules.cache);
	assert_int_equal(r->rules.heuristic, 25);
	assert_true(r->rules.json_body_key);
	assert_int_equal(r->rules.compress, 1U << CACHE_ZSTD | 1U << CACHE_GZIP);
	assert_int_equal(r->rules.etag, CACHE_ETAG_AUTO);
	assert_int_equal(r->rules.store_if, CACHE_STORE_GRAPHQL);
	assert_names(r->rules.tag_headers, "");
	assert_names(r->rules.targeted, "A|B|");
	config_unref(&c);
}

static void lists_have_a_bound(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 10000);
	buf_add_str(&text, "[defaults]\nkey_headers = ");
	for (unsigned i = 0; i <= CONFIG_LIST_MAX; i++)
		buf_addf(&text, "n%u,", i);
	assert_non_null(strstr(errors_of(buf_slice(&text)), "key_headers: 129 items; 128 at most"));
	buf_reset(&text);
	buf_add_str(&text, "[proxy]\nlisten = ");
	for (unsigned i = 1; i <= 17; i++)
		buf_addf(&text, "127.0.0.1:%u ", i);
	assert_non_null(strstr(errors_of(buf_slice(&text)), "listen: more than 16 addresses"));
	buf_fini(&text);
}

static void single_statuses_come_before_their_class(void **state)
{
	struct config *c = config_of("[defaults]\nttl_4xx = 1s\nttl_404 = 2s\nttl_5xx = 3s\nttl_503 = 4s\n"
				     "[route r]\nttl_4xx = 10s\nttl_503 = off\nttl_410 = 11s\n");
	static const struct cache_status_ttl of_r[] = {
		{404, 404, 2000}, {410, 410, 11000}, {500, 599, 3000}, {400, 499, 10000}};
	static const struct cache_status_ttl of_defaults[] = {
		{404, 404, 2000}, {503, 503, 4000}, {400, 499, 1000}, {500, 599, 3000}};

	(void)state;
	assert_int_equal(c->routes[0].rules.status_ttl.n, 4);
	assert_int_equal(c->routes[1].rules.status_ttl.n, 4);
	for (unsigned i = 0; i < 4; i++) {
		const struct cache_status_ttl *a = &c->routes[0].rules.status_ttl.v[i],
					      *b = &c->routes[1].rules.status_ttl.v[i];

		assert_int_equal(a->low, of_r[i].low);
		assert_int_equal(a->high, of_r[i].high);
		assert_int_equal(a->ttl_ms, of_r[i].ttl_ms);
		assert_int_equal(b->low, of_defaults[i].low);
		assert_int_equal(b->high, of_defaults[i].high);
		assert_int_equal(b->ttl_ms, of_defaults[i].ttl_ms);
	}
	config_unref(&c);
}

static void words_after_an_address_mark_it(void **state)
{
	struct config *c = config_of("[proxy]\nlisten = 127.0.0.1:1 proxy, 127.0.0.1:2, [::1]:3\n");

	(void)state;
	assert_int_equal(c->proxy.listen.n, 3);
	assert_true(c->proxy.listen.v[0].proxy_protocol);
	assert_false(c->proxy.listen.v[0].tls);
	assert_false(c->proxy.listen.v[1].proxy_protocol);
	assert_false(c->proxy.listen.v[2].proxy_protocol);
	assert_string_equal(c->proxy.listen.v[0].text.p, "127.0.0.1:1");
	config_unref(&c);
	assert_non_null(
		strstr(errors_of(SLICE_LIT("[proxy]\nlisten = proxy 127.0.0.1:1\n")), "\"proxy\" is not address:port"));
	assert_non_null(
		strstr(errors_of(SLICE_LIT("[admin]\nlisten = 127.0.0.1:1 proxy\n")), "\"proxy\" is not address:port"));
	assert_non_null(strstr(
		errors_of(SLICE_LIT("[proxy]\nlisten = 127.0.0.1:1 tls\n")), "tls_key: a listener with tls needs it"));
	assert_non_null(
		strstr(errors_of(SLICE_LIT("[proxy]\nlisten = 127.0.0.1:1 tls proxy\ntls_certificate = /none.pem\n")),
			":3: tls_certificate: /none.pem: No such file"));
}

static void networks_are_addresses_with_bits(void **state)
{
	struct config *c = config_of("[proxy]\nproxy_trusted = 10.0.0.0/8, 192.0.2.7, 0.0.0.0/0 2001:db8::/32 ::1\n");
	const struct config_network *v = c->proxy.proxy_trusted.v;
	static const char *const bad[] = {"10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0/8", "x", "/8", "10.0.0.0/",
		"10.0.0.0/ 8", "10.0.0.0/-1", "1.2.3.4:5"};

	(void)state;
	assert_int_equal(c->proxy.proxy_trusted.n, 5);
	assert_int_equal(v[0].bits, 104);
	assert_memory_equal(v[0].address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\0", 16);
	assert_int_equal(v[1].bits, 128);
	assert_int_equal(v[2].bits, 96);
	assert_int_equal(v[3].bits, 32);
	assert_memory_equal(v[3].address, "\x20\x01\x0d\xb8\0\0\0\0", 8);
	config_unref(&c);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		char text[100];
		int n = snprintf(text, sizeof(text), "[proxy]\nproxy_trusted = %s\n", bad[i]);
		assert_non_null(strstr(errors_of((struct slice){text, (size_t)n}), "proxy_trusted: \""));
	}
}

static void a_rate_is_so_many_in_a_time(void **state)
{
	struct config *c = config_of("[defaults]\nclient_rate = 600/m\n[route a]\nmatch = /a\nclient_rate = 10/s\n"
				     "client_burst = 20\n[route b]\nmatch = /b\nclient_rate = off\n");
	static const char *const bad[] = {"10", "10/d", "/s", "-1/s", "0/s", "1000001/s", "10/s x"};

	(void)state;
	assert_int_equal(c->routes[0].client_rate.requests, 10);
	assert_int_equal(c->routes[0].client_rate.seconds, 1);
	assert_int_equal(c->routes[0].client_burst, 20);
	assert_int_equal(c->routes[1].client_rate.requests, 0);
	assert_int_equal(c->routes[2].client_rate.seconds, 60);
	assert_int_equal(c->routes[2].client_burst, 600);
	config_unref(&c);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		char text[100];
		int n = snprintf(text, sizeof(text), "[defaults]\nclient_rate = %s\n", bad[i]);
		assert_non_null(strstr(errors_of((struct slice){text, (size_t)n}), "client_rate: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_and_sizes_mean_what_the_table_says),
		cmocka_unit_test(bad_values_are_refused_with_line_key_and_reason),
		cmocka_unit_test(values_in_errors_are_cut_and_clean),
		cmocka_unit_test(addresses_become_socket_addresses),
		cmocka_unit_test(words_after_an_address_mark_it),
		cmocka_unit_test(networks_are_addresses_with_bits),
		cmocka_unit_test(a_rate_is_so_many_in_a_time),
		cmocka_unit_test(urls_are_made_canonical_and_split),
		cmocka_unit_test(several_urls_are_a_list_in_their_order),
		cmocka_unit_test(percentages_and_times_ahead_are_told_apart),
		cmocka_unit_test(lists_and_rules_are_read_whole),
		cmocka_unit_test(lists_have_a_bound),
		cmocka_unit_test(single_statuses_come_before_their_class),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
