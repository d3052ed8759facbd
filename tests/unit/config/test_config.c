/* SPDX-License-Identifier: MIT */
/* Sections, inheritance, rules between keys, loading, references, and what options.def makes. */
#include "tests/unit/config/config_rig.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/ini/ini.h"
#include "config/options.h"

/* ---- Sections and inheritance ---- */

static void routes_inherit_from_defaults_wherever_these_stand(void **state)
{
	struct config *c =
		config_of("[route a]\nttl = 1s\n[defaults]\nttl = 2s\nttl_max = 9s\n[route b]\nttl_max = off\n");

	(void)state;
	assert_int_equal(c->routes_n, 3);
	assert_int_equal(c->routes[0].rules.ttl_ms, 1000);
	assert_int_equal(c->routes[0].rules.ttl_max_ms, 9000);
	assert_int_equal(c->routes[1].rules.ttl_ms, 2000);
	assert_int_equal(c->routes[1].rules.ttl_max_ms, -1);
	assert_int_equal(c->routes[2].rules.ttl_ms, 2000);
	config_unref(&c);
}

static void named_upstreams_inherit_all_but_the_url(void **state)
{
	struct config *c = config_of("[upstream b]\nurl = https://b\nretries = 3\n"
				     "[upstream]\nurl = http://a\nretries = 2\nstall_timeout = 5s\n");

	(void)state;
	assert_int_equal(c->upstreams_n, 2);
	assert_string_equal(c->upstreams[0].name.p, "default");
	assert_string_equal(c->upstreams[0].url.whole.p, "http://a");
	assert_int_equal(c->upstreams[0].retries, 2);
	assert_string_equal(c->upstreams[1].name.p, "b");
	assert_string_equal(c->upstreams[1].url.whole.p, "https://b");
	assert_int_equal(c->upstreams[1].retries, 3);
	assert_int_equal(c->upstreams[1].stall_timeout_ms, 5000);
	config_unref(&c);
}

static void mistakes_are_refused_with_their_line(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"[proxi]\nlisten = x\n", "t:1: no section is called [proxi]; is it [proxy]?\n"},
		{"[quux]\n", "t:1: no section is called [quux]\n"},
		{"[disk x]\npath = x\n", "t:1: [disk] has no name\n"},
		{"[disk]\nadmit = never\n", "t:2: admit: \"never\" is none of: always second_hit\n"},
		{"[proxy x]\n", "t:1: [proxy] has no name\n"},
		{"[route]\n", "t:1: a route needs a name, as in [route users]\n"},
		{"[route default]\n", "t:1: the name default is taken: set it up in [defaults]\n"},
		{"[upstream default]\nurl = http://h\n", "t:1: the name default is taken: set it up in [upstream]\n"},
		{"[upstream b]\nretries = 1\n", "t:1: [upstream b] needs a url\n"},
		{"[route a]\n[route a]\n", "t:2: [route a] again: it began at line 1\n"},
		{"[proxy]\nlissten = x\n", "t:2: no key is called lissten; is it listen?\n"},
		{"[proxy]\nListen = x\n", "t:2: no key is called Listen; is it listen?\n"},
		{"[proxy]\nquux = x\n", "t:2: no key is called quux\n"},
		{"[proxy]\nttl = 1s\n", "t:2: ttl does not belong here but in [defaults]\n"},
		{"[defaults]\nmatch = /x\n", "t:2: match does not belong here but in [route NAME]\n"},
		{"[defaults]\nttl_40 = 1s\n", "t:2: no key is called ttl_40; a status is written as in ttl_404"},
		{"[admin]\nlisten = 0.0.0.0:81\n", "t:2: listen: others can reach 0.0.0.0:81: set token"},
		{"[admin]\nlisten = 127.0.0.1:81 [::]:81\ntoken =\n",
			"t:2: listen: others can reach [::]:81: set token"},
		{"[admin]\nlisten = 127.0.0.1:8080\n", "t:2: listen: [proxy] listens on 127.0.0.1:8080 too\n"},
		{"[proxy]\nlisten = 127.0.0.1:8081\n", "t: listen: [proxy] listens on 127.0.0.1:8081 too\n"},
		{"[admin]\ntoken = hunter2\ntoken_file = x\n", "t:3: token_file: token is set too"},
		{"[admin]\ntoken_file = /nonexistent/t\n", "t:2: token_file: /nonexistent/t: No such file"},
		{"[admin]\ntokn = hunter2\n", "t:2: no key is called tokn; is it token?\n"},
		{"[admin]\ntoken hunter2\n", "t:2: neither \"[section]\" nor"},
		{"[admin]\ntoken = hunter2 # mine\n", "t:2: token: a comment needs a line of its own\n"},
		{"[admin]\nlisten = off\ntoken = \"hunter2\"\n", "t:3: token: values are not quoted\n"},
		{"[proxy]\nmax_body = 64M\nbody_memory = 16M\n", "t:3: body_memory: 16M is less than max_body, 64M\n"},
		{"[proxy]\nbody_memory = 8M\n", "t:2: body_memory: 8M is less than max_body, 16M\n"},
		{"[cache]\nmemory = 1M\nmax_object = 2M\n", "t:3: max_object: 2M is more than memory, 1M\n"},
		{"[route r]\nttl_min = 2s\nttl_max = 1s\n", "t:2: ttl_min: 2s is more than ttl_max, 1s\n"},
		{"[defaults]\nttl_max = 1s\n[route r]\nttl_min = 2s\n", "t:4: ttl_min: 2s is more than ttl_max, 1s\n"},
		{"[route r]\nscope = user\n", "t:2: scope: user needs user_from"},
		{"[route r]\nupstream = x\n", "t:2: upstream: there is no [upstream x]\n"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const char *errors = errors_of(slice_of(cases[i].text));

		if (strncmp(errors, cases[i].error, strlen(cases[i].error)) != 0 || strchr(errors, '\n')[1] != '\0')
			fail_msg("%s\n%s", cases[i].text, errors);
		assert_null(strstr(errors, "hunter2"));
	}
}

static void all_mistakes_of_a_file_are_reported(void **state)
{
	const char *errors =
		errors_of(SLICE_LIT("[proxy]\nworkers = 0\nfoo = 1\n[route r]\nttl = x\nmatch = x\n[nope]\n"));

	(void)state;
	assert_non_null(strstr(errors, "t:2: "));
	assert_non_null(strstr(errors, "t:3: "));
	assert_non_null(strstr(errors, "t:5: "));
	assert_non_null(strstr(errors, "t:6: "));
	assert_non_null(strstr(errors, "t:7: "));
}

static void good_combinations_are_taken(void **state)
{
	static const char *const texts[] = {
		"[admin]\nlisten = 0.0.0.0:81\ntoken = x\n",
		"[admin]\nlisten = off\n",
		"[defaults]\nscope = user\nuser_from = header:X-User\n[route r]\nscope = shared\n",
		"[proxy]\nlisten = 127.0.0.1:8081\n[admin]\nlisten = 127.0.0.1:8082\n",
		"[route r]\nttl_min = 1s\nttl_max = 1s\n",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		struct config *c = config_of(texts[i]);

		config_unref(&c);
	}
}

static void a_small_memory_makes_the_default_of_max_object_smaller(void **state)
{
	struct config *c = config_of("[cache]\nmemory = 1M\n");

	(void)state;
	assert_int_equal(c->cache.max_object_bytes, 1 << 20);
	config_unref(&c);
}

static void a_large_max_body_makes_the_default_of_body_memory_larger(void **state)
{
	struct config *c = config_of("[proxy]\nmax_body = 1G\n");

	(void)state;
	assert_int_equal(c->proxy.body_memory_bytes, 1 << 30);
	config_unref(&c);
}

static void sections_have_bounds(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 1000000);
	for (unsigned i = 0; i < CONFIG_UPSTREAMS_MAX; i++)
		buf_addf(&text, "[upstream u%u]\nurl = http://h\n", i);
	assert_string_equal(errors_of(buf_slice(&text)), "t: more than 63 sections [upstream NAME]\n");
	buf_reset(&text);
	for (unsigned i = 0; i <= CONFIG_ROUTES_MAX; i++)
		buf_addf(&text, "[route r%u]\n", i);
	assert_string_equal(errors_of(buf_slice(&text)), "t: more than 10000 sections [route NAME]\n");
	buf_fini(&text);
}

/* ---- Loading and references ---- */

static void make_file(char *path, const char *text)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int load(const char *path, struct config **c, const char *expected_error)
{
	struct buf errors;
	int rc;

	buf_init(&errors, 10000);
	rc = config_load(&(const struct config_source){.path = path, .demo = true}, c, &errors);
	assert_int_equal(buf_add_char(&errors, '\0'), 0);
	if (expected_error && !strstr(errors.p, expected_error))
		fail_msg("%s", errors.p);
	buf_fini(&errors);
	return rc;
}

static void files_are_loaded_or_the_reason_is_said(void **state)
{
	char path[] = "/tmp/test_config_XXXXXX";
	struct config *c;

	(void)state;
	make_file(path, "[proxy]\nworkers = 3");
	assert_int_equal(load(path, &c, NULL), 0);
	assert_int_equal(c->proxy.workers, 3);
	config_unref(&c);
	assert_null(c);
	unlink(path);
	assert_int_equal(load(path, &c, "No such file"), -ENOENT);
	assert_null(c);
	assert_int_equal(load("/tmp", &c, "/tmp: Is a directory"), -EISDIR);
	assert_int_equal(load("/dev/zero", &c, "/dev/zero: larger than 8388608 bytes"), -EINVAL);
}

static void a_token_file_holds_one_line(void **state)
{
	static const struct {
		const char *content, *token; /* NULL: refused */
	} cases[] = {
		{"hunter2", "hunter2"},
		{"hunter2\n", "hunter2"},
		{" hunter2 \r\n\n", "hunter2"},
		{"", NULL},
		{"\n", NULL},
		{"hunter2\nhunter2\n", NULL},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		char path[] = "/tmp/test_config_XXXXXX", text[100];

		make_file(path, cases[i].content);
		snprintf(text, sizeof(text), "[admin]\nlisten = 0.0.0.0:81\ntoken_file = %s\n", path);
		if (cases[i].token) {
			struct config *c = config_of(text);

			assert_string_equal(c->admin.token.p, cases[i].token);
			config_unref(&c);
		} else {
			const char *errors = errors_of(slice_of(text));

			assert_non_null(strstr(errors, "t:3: token_file: one line"));
			assert_null(strstr(errors, "hunter2"));
		}
		unlink(path);
	}
}

static void the_last_reference_frees(void **state)
{
	struct config *c = config_of("[route r]\nmatch = /{x}\ninvalidates = /{x}\n"), *second = config_ref(c),
		      *none = NULL;

	(void)state;
	config_unref(&c);
	assert_null(c);
	assert_int_equal(atomic_load(&second->refs), 1);
	assert_string_equal(second->routes[0].rules.route.p, "r");
	config_unref(&second); /* and the sanitizer sees that nothing is left */
	config_unref(&none);
}

static void no_memory_at_any_allocation_is_an_error_without_a_leak(void **state)
{
	static const char text[] =
		"[proxy]\nlisten = 127.0.0.1:1 [::1]:1\n[admin]\ntoken = x\n[upstream b]\nurl = http://b/\n"
		"[defaults]\nttl_404 = 1s\nquery = only:a,b\nuser_from = header:x\n"
		"[route r]\nmatch = /{x}\nhost = a b\ninvalidates = /{x} /y*\nupstream = b\n"
		"[route s]\nmatch = /a*%2f*/{x}/b?*c*\n";
	unsigned long n;
	int rc = -ENOMEM;

	(void)state;
	for (n = 1; rc != 0; n++) {
		struct config *c;
		struct buf errors;

		buf_init(&errors, 1000);
		mem_fail_at(n, 0);
		rc = config_parse(slice_of(text), "t", &c, &errors);
		mem_fail_at(0, 0);
		if (rc) {
			assert_int_equal(rc, -ENOMEM);
			assert_null(c);
			assert_true(slice_starts_with(buf_slice(&errors), SLICE_LIT("t: no memory")));
		} else {
			config_unref(&c);
		}
		buf_fini(&errors);
	}
	assert_in_range(n, 50, 1000);
}

/* ---- What options.def makes ---- */

static char *printed(void (*print)(FILE *))
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	print(f);
	fclose(f);
	return text;
}

static struct buf file_text(const char *path)
{
	struct buf text;
	FILE *f = fopen(path, "r");
	char bytes[4096];
	size_t n;

	if (!f)
		fail_msg("%s: %s; tests run from the top of the tree", path, strerror(errno));
	buf_init(&text, INI_BYTES_MAX);
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		buf_add(&text, bytes, n);
	fclose(f);
	buf_add_char(&text, '\0');
	return text;
}

static void proxy_ini_is_what_options_def_makes(void **state)
{
	char *text = printed(config_print_ini);
	struct buf file = file_text("proxy.ini");

	(void)state;
	if (strcmp(file.p, text) != 0)
		fail_msg("proxy.ini differs from what config_print_ini() makes: make it anew");
	buf_fini(&file);
	free(text); /* allocated by open_memstream */
}

/* Compares all members that keys set, through the table, as far as they hold no pointers. */
static void assert_same(enum option_section section, const void *a, const void *b)
{
	static const size_t bytes[TYPE_COUNT] = {[TYPE_UINT] = sizeof(unsigned),
		[TYPE_DURATION] = sizeof(int64_t),
		[TYPE_SIZE] = sizeof(uint64_t),
		[TYPE_BOOL] = sizeof(bool),
		[TYPE_ENUM] = sizeof(int),
		[TYPE_METHODS] = sizeof(unsigned),
		[TYPE_WORDS] = sizeof(unsigned)};

	for (unsigned i = 0; i < options_n; i++)
		if (options[i].section == section &&
			memcmp((const char *)a + options[i].offset, (const char *)b + options[i].offset,
				bytes[options[i].type]) != 0)
			fail_msg("%s differs", options[i].key);
}

static void assert_same_settings(const struct config *a, const struct config *b)
{
	assert_same(SECTION_PROXY, &a->proxy, &b->proxy);
	assert_same(SECTION_ADMIN, &a->admin, &b->admin);
	assert_same(SECTION_CACHE, &a->cache, &b->cache);
	assert_same(SECTION_UPSTREAM, &a->upstreams[0], &b->upstreams[0]);
	assert_same(SECTION_ROUTE, &a->routes[a->routes_n - 1], &b->routes[b->routes_n - 1]);
	assert_string_equal(a->proxy.listen.v[0].text.p, b->proxy.listen.v[0].text.p);
	assert_string_equal(a->admin.listen.v[0].text.p, b->admin.listen.v[0].text.p);
	assert_string_equal(a->upstreams[0].url.whole.p, b->upstreams[0].url.whole.p);
}

static void proxy_ini_is_the_defaults_and_the_demonstrations_routes(void **state)
{
	struct buf file = file_text("proxy.ini");
	struct config *c = config_of(file.p), *defaults = config_of("");

	(void)state;
	assert_same_settings(c, defaults);
	assert_string_equal(c->proxy.listen.v[0].text.p, "127.0.0.1:8080");
	assert_string_equal(c->admin.listen.v[0].text.p, "127.0.0.1:8081");
	assert_string_equal(c->upstreams[0].url.whole.p, "http://127.0.0.1:8082");
	assert_int_equal(c->routes_n, 5);
	config_unref(&c);
	config_unref(&defaults);
	buf_fini(&file);
}

/* "#key = default" lines count as keys when their '#' goes; "# text" lines do not. */
static void the_defaults_shown_in_proxy_ini_are_the_defaults(void **state)
{
	struct buf file = file_text("proxy.ini");
	struct config *c, *defaults = config_of("");
	unsigned keys = 0, expected = 0;

	(void)state;
	for (char *p = file.p; *p; p++)
		if (*p == '#' && (p == file.p || p[-1] == '\n') && p[1] >= 'a' && p[1] <= 'z') {
			*p = ' ';
			keys++;
		}
	for (unsigned i = 0; i < options_n; i++)
		expected += options[i].section != SECTION_MATCH && options[i].type != TYPE_URL;
	assert_int_equal(keys, expected);
	c = config_of(file.p);
	assert_same_settings(c, defaults);
	config_unref(&c);
	config_unref(&defaults);
	buf_fini(&file);
}

static void no_key_stands_twice_in_a_section(void **state)
{
	(void)state;
	for (unsigned i = 0; i < options_n; i++)
		for (unsigned j = 0; j < i; j++)
			if (options[i].section == options[j].section && strcmp(options[i].key, options[j].key) == 0)
				fail_msg("%s", options[i].key);
}

static void the_reference_names_every_key_with_its_default(void **state)
{
	char *text = printed(config_print_reference);

	(void)state;
	for (unsigned i = 0; i < options_n; i++) {
		char line[1024];

		snprintf(line, sizeof(line), "\n  %s = %s    (", options[i].key, options[i].default_text);
		if (!strstr(text, line))
			fail_msg("%s", line);
		assert_non_null(strstr(text, option_section_title(options[i].section)));
	}
	assert_non_null(strstr(text, "client_idle_timeout = 60s    (duration, 1ms to 1d)\n"));
	free(text); /* allocated by open_memstream */
}

/* What is said of a file: the first of these, at that line; NULL: nothing at all. */
static void assert_warning(const char *text, const char *expected)
{
	const char *got = warnings_of(text);

	if (expected ? strncmp(got, expected, strlen(expected)) != 0 || strchr(got, '\n')[1] != '\0' : *got)
		fail_msg("\"%s\", not \"%s\", of\n%s", got, expected ? expected : "", text);
}

static void settings_that_can_not_count_are_told_of(void **state)
{
	(void)state;
	assert_warning("", NULL);
	assert_warning("[route a]\nmatch = /a\nttl_force = 1h\n", NULL);
	assert_warning("[route a]\nmatch = /a\ncache = off\nttl_force = 1h\n", "t:4: warning: ttl_force: ");
	assert_warning("[route a]\nmatch = /a\ncache = off\nttl_force = off\n", NULL);
	assert_warning(
		"[route a]\nmatch = /a\nscope = user\nuser_from = cookie:a\ncache = off\n", "t:3: warning: scope: ");
	assert_warning("[route a]\nmatch = /a\nuser_from = cookie:a\n", "t:3: warning: user_from: ");
	assert_warning("[route a]\nmatch = /a\nuser_from = cookie:a\nscope = user\n", NULL);
	assert_warning(
		"[route a]\nmatch = /a\nuser_from = header:Connection\nscope = user\n", "t:3: warning: user_from: ");
	/* What [defaults] says is for those routes where it counts. */
	assert_warning("[defaults]\nttl_force = 1h\n[route a]\nmatch = /a\ncache = off\n", NULL);
	assert_warning("[defaults]\nttl_force = 1h\ncache = off\n[route a]\nmatch = /a\ncache = on\n", NULL);
	assert_warning("[defaults]\nttl_force = 1h\ncache = off\n[route a]\nmatch = /a\netag = auto\n",
		"t:2: warning: ttl_force: ");
	assert_warning("[defaults]\nuser_from = cookie:a\n[route a]\nmatch = /a\nscope = user\n", NULL);
	assert_warning(
		"[defaults]\nuser_from = cookie:a\n[route a]\nmatch = /a\nttl = 1h\n", "t:2: warning: user_from: ");
	assert_warning(
		"[route a]\nmatch = /a\noverride = private\n", "t:3: warning: override: has no effect without ttl");
	assert_warning(
		"[route a]\nmatch = /a\noverride = private\ncache = off\n", "t:3: warning: override: has no effect");
	assert_warning("[route a]\nmatch = /a\noverride = private, no-store, no-cache\nttl = 1h\n", NULL);
	assert_warning("[route a]\nmatch = /a\noverride = off\n", NULL);
	assert_warning("[route a]\nmatch = /a\noverride = authorization\nttl = 1h\nkey_headers = Authorization\n",
		"t:3: warning: override: authorization has no effect");
	assert_warning("[route a]\nmatch = /a\noverride = authorization\nttl = 1h\nscope = user\nuser_from = "
		       "header:authorization\n",
		"t:3: warning: override: authorization has no effect");
	assert_warning("[route a]\nmatch = /a\noverride = authorization\nttl = 1h\n", NULL);
	assert_warning("[route a]\nmatch = /a\noverride = authorization, private\nttl = 1h\n",
		"t:3: warning: override: with private");
	assert_warning("[route a]\nmatch = /a\noverride = set-cookie\nttl = 1h\nset_cookie = pass\n",
		"t:3: warning: override: set-cookie");
}

static void a_key_by_its_old_name_counts_and_is_told_of(void **state)
{
	struct config *c = config_of("[cache]\nhit_road = off\n");

	(void)state;
	assert_false(c->cache.fast_path);
	config_unref(&c);
	assert_warning("[cache]\nhit_road = off\n", "t:2: warning: hit_road: now called fast_path");
	assert_warning("[cache]\nfast_path = off\n", NULL);
}

static void a_key_that_has_moved_counts_where_it_is_now(void **state)
{
	struct config *c = config_of("[cache]\nwarm_rate = 7\nmemory = 32M\nwarm_file = /urls\n[disk]\npath = /d\n");

	(void)state;
	assert_int_equal(c->warm.rate, 7);
	assert_true(slice_equal(c->warm.file, SLICE_LIT("/urls")));
	assert_int_equal(c->cache.memory_bytes, 32 << 20);
	config_unref(&c);
	assert_warning("[cache]\nwarm_rate = 7\n",
		"t:2: warning: warm_rate: now called rate in [warm]; the next version does not");
	assert_warning("[warm]\nrate = 7\n", NULL);
	c = config_of("[warm]\ntop = 100\n[cache]\nwarm_rate = 7\n");
	assert_int_equal(c->warm.top, 100);
	assert_int_equal(c->warm.rate, 7);
	config_unref(&c);
	assert_string_equal(errors_of(SLICE_LIT("[warm]\nrate = 5\n[cache]\nwarm_rate = 7\n")),
		"t:4: warm_rate is the old name of rate, which is set at line 2\n");
	assert_warning("[warm]\ntop = 5\n", "t:2: warning: top: has no effect: [disk] has no path");
	assert_warning("[admin]\nlisten = off\n[warm]\nfile = /urls\n",
		"t:4: warning: file: has no effect: [admin] listen is off");
}

static void force_is_told_of_where_requests_bear_a_credential(void **state)
{
	(void)state;
	static const char *const without[] = {
		"key_cookies = sid", "key_headers = Cookie", "shared_credentials = si*", "shared_credentials = cookie"};
	const char *both = warnings_of("[route a]\nmatch = /a\nttl_force = 1h\nuser_from = cookie:sid\n");

	assert_non_null(strstr(both, "t:3: warning: ttl_force: "));
	assert_non_null(strstr(both, "t:4: warning: user_from: "));
	for (unsigned i = 0; i < ARRAY_LEN(without); i++) {
		char text[200];

		snprintf(text, sizeof(text), "[route a]\nmatch = /a\nttl_force = 1h\nuser_from = cookie:sid\n%s\n",
			without[i]);
		assert_warning(text, "t:4: warning: user_from: ");
	}
	assert_non_null(strstr(warnings_of("[route a]\nttl_force = 1h\nuser_from = header:x-api-key\n"), "ttl_force"));
	assert_warning(
		"[route a]\nmatch = /a\nttl_force = 1h\nuser_from = header:X-Theme\n", "t:4: warning: user_from: ");
	assert_non_null(
		strstr(warnings_of("[route a]\nttl_force = 1h\nuser_from = header:X-Theme\ncredentials = X-Theme\n"),
			"ttl_force"));
}

static void posts_that_may_be_writes_are_told_of(void **state)
{
	(void)state;
	assert_warning("[route a]\nmatch = /a\nmethods = GET, POST\n", "t:3: warning: methods: ");
	assert_warning("[defaults]\nmethods = GET, POST\n", "t:2: warning: methods: ");
	assert_warning("[route a]\nmatch = /a\nmethods = GET, POST\nstore_if = graphql\n", NULL);
	assert_warning("[route a]\nmatch = /a\nmethods = GET, POST\njson_body_key = on\n", NULL);
	assert_warning("[route a]\nmatch = /a\nmethods = GET, POST\ncache = off\n", NULL);
	assert_warning("[route a]\nmatch = /a\nmethods = GET, QUERY\n", NULL);
}

/* One test a warning: what brings it, and the nearest that does not. */
static void keys_that_do_nothing_are_told_of(void **state)
{
	static const struct {
		const char *kind, *key, *with; /* `with` makes it count */
	} cases[] = {
		{"proxy", "access_log_format = json", "access_log = -"},
		{"proxy", "proxy_trusted = 10.0.0.0/8", "listen = 127.0.0.1:80 proxy"},
		{"proxy", "tls_certificate = /none", NULL},
		{"proxy", "tls_key = /none", NULL},
		{"disk", "size = 2G", "path = /nowhere/at/all"},
		{"disk", "max_object = 2M", "path = /nowhere/at/all"},
		{"disk", "threads = 3", "path = /nowhere/at/all"},
		{"disk", "admit = second_hit", "path = /nowhere/at/all"},
		{"upstream", "balance = hash", "url = http://a http://b"},
		{"upstream", "max_fails = 2", "url = http://a http://b"},
		{"upstream", "fail_timeout = 2s", "url = http://a http://b"},
		{"upstream", "max_fails = 2", "health_path = /"},
		{"upstream", "fail_on_5xx = on", "url = http://a http://b"},
		{"upstream", "fail_on_5xx = on", "breaker_errors = 50%"},
		{"upstream", "health_interval = 2s", "health_path = /"},
		{"upstream", "health_timeout = 3s", "health_path = /"},
		{"upstream", "breaker_requests = 2", "breaker_errors = 50%"},
		{"upstream", "breaker_window = 2s", "breaker_errors = 50%"},
		{"upstream", "breaker_open = 2s", "breaker_errors = 50%"},
		{"upstream", "breaker_open = 2s", "breaker_slow = 2s"},
		{"upstream", "quota_reserve = 2%", "quota_guard = on"},
		{"upstream", "quota_stretch = 2", "quota_guard = on"},
		{"upstream", "tls_verify = on", "url = http://a https://b"},
		{"upstream", "tls_ca = /dev/null", "url = https://a"},
		{"defaults", "max_entries_per_user = 2", "scope = user\nuser_from = cookie:a"},
		{"defaults", "json_body_key = on", "methods = GET, QUERY"},
		{"defaults", "refresh_ahead_hits = 3", "refresh_ahead = 10%"},
		{"defaults", "ttl_force = 2h\nttl_max = 1h", NULL},
		{"defaults", "ttl = 1h\ncache = off", NULL},
		{"defaults", "ttl_404 = 1h\ncache = off", NULL},
		{"defaults", "heuristic = 1%\ncache = off", NULL},
		{"defaults", "ttl_min = 1h\ncache = off", NULL},
		{"defaults", "ttl_max = 1h\ncache = off", NULL},
		{"defaults", "ttl_jitter = 1%\ncache = off", NULL},
		{"defaults", "stale_if_error = 1h\ncache = off", NULL},
		{"defaults", "stale_if_unreachable = 1h\ncache = off", NULL},
		{"defaults", "stale_while_revalidate = 1h\ncache = off", NULL},
		{"defaults", "refresh_ahead = 10%\ncache = off", NULL},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		char text[300], told[100];
		int n = (int)strcspn(cases[i].key, " ");

		snprintf(text, sizeof(text), "[%s]\n%s\n", cases[i].kind, cases[i].key);
		snprintf(told, sizeof(told), "t:2: warning: %.*s: has no effect", n, cases[i].key);
		assert_warning(text, told);
		snprintf(text, sizeof(text), "[%s]\n%s\n%s\n", cases[i].kind, cases[i].key,
			cases[i].with ? cases[i].with : "");
		if (cases[i].with)
			assert_warning(text, NULL);
	}
	assert_warning("[admin]\nlisten = off\ntoken = x\n", "t:3: warning: token: has no effect: listen is off");
	assert_warning("[defaults]\nttl = off\nstale_if_error = 0\ncache = off\n", NULL);
	assert_warning("[defaults]\nttl = 1h\ncache = off\n[route a]\nmatch = /a\ncache = on\n", NULL);
	assert_warning("[defaults]\nttl = 1h\n[route a]\nmatch = /a\ncache = off\n", NULL);
}

static void what_can_only_count_in_part_is_told_of(void **state)
{
	(void)state;
	assert_warning(
		"[defaults]\nttl_429 = 1h\n", "t:2: warning: ttl_429: has no effect: a response with that status");
	assert_warning("[defaults]\nttl_304 = 1h\n", "t:2: warning: ttl_304: has no effect");
	assert_warning("[defaults]\nttl_4xx = 1h\nttl_206 = 1h\nttl_599 = 1h\n", NULL);
	assert_warning("[disk]\npath = /nowhere/at/all\nsize = 8M\nmax_object = 3M\n",
		"t:4: warning: max_object: no more than a quarter of size is written, 2M");
	assert_warning("[disk]\npath = /nowhere/at/all\nsize = 8M\nmax_object = 2M\n", NULL);
}

static void what_the_upstream_without_a_name_says_may_count_for_another(void **state)
{
	static const char named[] = "[upstream]\nurl = http://a\nbalance = hash\n"
				    "[upstream b]\nurl = http://b http://c\n"
				    "[route a]\nmatch = /a\nupstream = b\n";

	(void)state;
	assert_warning(named, NULL);
	assert_warning("[upstream]\nurl = http://a http://b\n[upstream b]\nurl = http://b\nbalance = hash\n"
		       "[route a]\nmatch = /a\nupstream = b\n",
		"t:5: warning: balance: has no effect");
	assert_warning("[upstream b]\nurl = http://b\n", "t:2: warning: url: no route asks this upstream");
}

static void matches_in_other_words_are_told_of(void **state)
{
	(void)state;
	assert_warning("[route a]\nmatch = /a/:id/b\n",
		"t:2: warning: match: :id stands for itself; one segment of the path is {id}");
	assert_warning("[route a]\nmatch = /a/b:c\n", NULL);
	assert_warning("[route a]\nmatch = /a/:1\n", NULL);
	assert_warning("[route a]\nmatch = /a/**\n", "t:2: warning: match: ** is the same as *");
	assert_warning("[route a]\nttl = 1s\n", "t:1: warning: [route a] has no match and takes every request");
	assert_warning("[route a]\nhost = a\n", NULL);
}

static void hidden_routes_are_told_of_and_no_others(void **state)
{
	static const struct {
		const char *first, *second;
		int told; /* 1: hidden, 2: the same, 0: neither */
	} cases[] = {
		{"match = *", "match = /a", 1},
		{"match = /*", "match = /a/{x}", 1},
		{"match = /a", "match = /a", 2},
		{"match = /a/{x}", "match = /a/{y}", 2},
		{"match = /a/{x}", "match = /a/b", 1},
		{"match = /a/b", "match = /a/{x}", 0},
		{"match = /a/{x}", "match = /a/*", 0},
		{"match = /a/{x}/{y}", "match = /a/*/b", 0},
		{"match = /a/*", "match = /a/{x}/b", 1},
		{"match = /a/*/c", "match = /a/{x}/b/c", 1},
		{"match = /a/*/c", "match = /a/{x}", 0},
		{"match = /a*b*c", "match = /abbc*c", 1},
		{"match = /a*b", "match = /a*", 0},
		{"match = /{x}", "match = /*", 0},
		{"match = /{x}", "match = /a*", 0},
		{"match = /a%2fb", "match = /a%2Fb", 2},
		{"match = /a/b", "match = /a%2fb", 0},
		{"match = /%61", "match = /a", 2},
		{"match = /a", "match = /a?x=1", 1},
		{"match = /a?x=1", "match = /a", 0},
		{"match = /a?*", "match = /a?x=1", 1},
		{"match = /a?*x=1*", "match = /a?b&x=1", 1},
		{"match = /a?*", "match = /a", 0},
		{"match = *", "match = /a\nhost = h", 1},
		{"match = *\nhost = h", "match = /a", 0},
		{"match = *\nhost = h", "match = /a\nhost = h", 1},
		{"match = *\nhost = h", "match = /a\nhost = h i", 0},
		{"match = *\nhost = *.x", "match = /a\nhost = a.x *.b.x", 1},
		{"match = *\nhost = *.x", "match = /a\nhost = x", 0},
		{"match = *\nhost = a.x", "match = /a\nhost = *.x", 0},
		{"match = *\nhost = i h", "match = *\nhost = h i", 2},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		char text[300];
		const char *got;

		snprintf(text, sizeof(text), "[route a]\n%s\n[route b]\n%s\n", cases[i].first, cases[i].second);
		got = warnings_of(text);
		if (!!strstr(got, "never used") != (cases[i].told > 0) ||
			!!strstr(got, "the same as that of [route a] (line 2)") != (cases[i].told == 2))
			fail_msg("%s\n%s", text, got);
	}
	/* One of them takes it; neither an earlier one that does not, nor one behind, matters. */
	assert_warning(
		"[route a]\nmatch = /b\n[route b]\nmatch = /a/*\n[route c]\nmatch = /a/{x}/c\n[route d]\nmatch = *\n",
		"t:6: warning: match: [route b] (line 4) stands before it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes_inherit_from_defaults_wherever_these_stand),
		cmocka_unit_test(named_upstreams_inherit_all_but_the_url),
		cmocka_unit_test(mistakes_are_refused_with_their_line),
		cmocka_unit_test(all_mistakes_of_a_file_are_reported),
		cmocka_unit_test(good_combinations_are_taken),
		cmocka_unit_test(a_small_memory_makes_the_default_of_max_object_smaller),
		cmocka_unit_test(a_large_max_body_makes_the_default_of_body_memory_larger),
		cmocka_unit_test(sections_have_bounds),
		cmocka_unit_test(files_are_loaded_or_the_reason_is_said),
		cmocka_unit_test(a_token_file_holds_one_line),
		cmocka_unit_test(the_last_reference_frees),
		cmocka_unit_test(no_memory_at_any_allocation_is_an_error_without_a_leak),
		cmocka_unit_test(proxy_ini_is_what_options_def_makes),
		cmocka_unit_test(proxy_ini_is_the_defaults_and_the_demonstrations_routes),
		cmocka_unit_test(the_defaults_shown_in_proxy_ini_are_the_defaults),
		cmocka_unit_test(no_key_stands_twice_in_a_section),
		cmocka_unit_test(settings_that_can_not_count_are_told_of),
		cmocka_unit_test(a_key_by_its_old_name_counts_and_is_told_of),
		cmocka_unit_test(a_key_that_has_moved_counts_where_it_is_now),
		cmocka_unit_test(force_is_told_of_where_requests_bear_a_credential),
		cmocka_unit_test(posts_that_may_be_writes_are_told_of),
		cmocka_unit_test(keys_that_do_nothing_are_told_of),
		cmocka_unit_test(what_can_only_count_in_part_is_told_of),
		cmocka_unit_test(what_the_upstream_without_a_name_says_may_count_for_another),
		cmocka_unit_test(matches_in_other_words_are_told_of),
		cmocka_unit_test(hidden_routes_are_told_of_and_no_others),
		cmocka_unit_test(the_reference_names_every_key_with_its_default),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
