/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/record/access_line.h"
#include "proxy/record/access_log.h"

/* 2026-03-01T12:34:56.789Z */
#define WALL_MS 1772368496789

static char folder[64], path[96], other[96];

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/access_log.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	snprintf(other, sizeof(other), "%s/log.1", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	unlink(other);
	return rmdir(folder);
}

/* ---- A request to log ---- */

struct sample {
	struct http_request http;
	struct access_record record;
};

static void sample_init(struct sample *s, const char *target)
{
	memset(s, 0, sizeof(*s));
	http_request_init(&s->http);
	s->http.method_token = SLICE_LIT("GET");
	s->http.target = slice_of(target);
	s->http.host = SLICE_LIT("api.example");
	s->http.minor = 1;
	s->record = (struct access_record){
		.http = &s->http,
		.peer = "192.0.2.7",
		.status = 200,
		.body_bytes = 1234,
		.kind = RESPONSE_HIT,
		.route = SLICE_LIT("users"),
		.total_us = 130456,
		.upstream_us = 123789,
		.wall_ms = WALL_MS,
	};
}

static void sample_field(struct sample *s, const char *name, struct slice value)
{
	assert_int_equal(http_fields_add(&s->http.fields, slice_of(name), value), 0);
}

static const char *line_of(const struct sample *s, enum config_log_format format)
{
	static char line[ACCESS_LINE_MAX + 1];
	size_t n = access_line_format(format, &s->record, line);

	assert_in_range(n, 1, ACCESS_LINE_MAX);
	line[n] = '\0';
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
	return line;
}

/* ---- Lines ---- */

static void combined_line_has_the_usual_fields_and_ours(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s, "/users?page=2");
	sample_field(&s, "Referer", SLICE_LIT("http://a.example/"));
	sample_field(&s, "User-Agent", SLICE_LIT("curl/7.88.1 (x y)"));
	sample_field(&s, "X-Request-ID", SLICE_LIT("0af7-65_1"));
	assert_string_equal(line_of(&s, CONFIG_LOG_COMBINED),
		"192.0.2.7 - - [01/Mar/2026:12:34:56 +0000] \"GET /users?page=2 HTTP/1.1\" 200 1234 "
		"\"http://a.example/\" \"curl/7.88.1 (x y)\" "
		"cache=hit route=users upstream=0.123 total=0.130 id=0af7-65_1\n");
	http_request_fini(&s.http);
}

static void a_line_tells_of_an_error_where_there_was_one(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s, "/");
	s.record.error = "dns_timeout";
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_COMBINED), " id=- error=dns_timeout\n"));
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_JSON), ",\"error\":\"dns_timeout\"}"));
	s.record.error = NULL;
	assert_null(strstr(line_of(&s, CONFIG_LOG_COMBINED), "error="));
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_JSON), ",\"error\":null}"));
	http_request_fini(&s.http);
}

static void combined_line_has_dashes_for_what_is_not_there(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s, "/");
	s.record.http = NULL;
	s.record.peer = NULL;
	s.record.route = (struct slice){0};
	s.record.upstream_us = -1;
	s.record.total_us = 12;
	s.record.status = 400;
	s.record.kind = RESPONSE_ERROR;
	assert_string_equal(line_of(&s, CONFIG_LOG_COMBINED),
		"- - - [01/Mar/2026:12:34:56 +0000] \"-\" 400 1234 \"-\" \"-\" "
		"cache=error route=- upstream=- total=0.000 id=-\n");
	http_request_fini(&s.http);
}

static void date_follows_the_second(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s, "/");
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_COMBINED), "12:34:56 "));
	s.record.wall_ms = WALL_MS + 210;
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_COMBINED), "12:34:56 "));
	s.record.wall_ms = WALL_MS + 211;
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_COMBINED), "12:34:57 "));
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_JSON), "T12:34:57.000Z"));
	s.record.wall_ms = WALL_MS;
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_JSON), "T12:34:56.789Z"));
	http_request_fini(&s.http);
}

static void space_in_a_route_does_not_end_its_value(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s, "/");
	s.record.route = SLICE_LIT("my route");
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_COMBINED), " route=my_route upstream="));
	http_request_fini(&s.http);
}

struct escape_row {
	struct slice in;
	const char *combined, *json;
};

static const struct escape_row escape_rows[] = {
	{{"plain ~!#'", 10}, "plain ~!#'", "plain ~!#'"}, {{"a\"b", 3}, "a\\x22b", "a\\\"b"},
	{{"a\\b", 3}, "a\\x5Cb", "a\\\\b"}, {{"a\r\nb", 4}, "a\\x0D\\x0Ab", "a\\u000d\\u000ab"},
	{{"\t\x1b[2J\x7f", 6}, "\\x09\\x1B[2J\\x7F", "\\u0009\\u001b[2J\\u007f"}, {{"a\0b", 3}, "a\\x00b", "a\\u0000b"},
	{{"\xc3\xa9", 2}, "\\xC3\\xA9", "\xc3\xa9"}, {{"\xe2\x82\xac", 3}, "\\xE2\\x82\\xAC", "\xe2\x82\xac"},
	{{"\xf0\x9f\x98\x80", 4}, "\\xF0\\x9F\\x98\\x80", "\xf0\x9f\x98\x80"}, {{"\xff", 1}, "\\xFF", "\\u00ff"},
	{{"\xc3", 1}, "\\xC3", "\\u00c3"},                                                 /* cut off */
	{{"\xe2\x82", 2}, "\\xE2\\x82", "\\u00e2\\u0082"},                                 /* cut off */
	{{"\xc3(", 2}, "\\xC3(", "\\u00c3("},                                              /* no continuation */
	{{"\xc0\xaf", 2}, "\\xC0\\xAF", "\\u00c0\\u00af"},                                 /* overlong '/' */
	{{"\xe0\x80\xaf", 3}, "\\xE0\\x80\\xAF", "\\u00e0\\u0080\\u00af"},                 /* overlong */
	{{"\xed\xa0\x80", 3}, "\\xED\\xA0\\x80", "\\u00ed\\u00a0\\u0080"},                 /* surrogate */
	{{"\xf4\x90\x80\x80", 4}, "\\xF4\\x90\\x80\\x80", "\\u00f4\\u0090\\u0080\\u0080"}, /* past U+10FFFF */
	{{"\xc2\x9b", 2}, "\\xC2\\x9B", "\\u009b"},                                        /* C1: CSI */
};

static void every_outside_byte_is_escaped(void **state)
{
	char expected[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(escape_rows); i++) {
		const struct escape_row *row = &escape_rows[i];
		struct sample s;

		sample_init(&s, "/");
		sample_field(&s, "User-Agent", row->in);
		snprintf(expected, sizeof(expected), " \"%s\" cache=", row->combined);
		assert_non_null(strstr(line_of(&s, CONFIG_LOG_COMBINED), expected));
		snprintf(expected, sizeof(expected), ",\"user_agent\":\"%s\",", row->json);
		assert_non_null(strstr(line_of(&s, CONFIG_LOG_JSON), expected));
		http_request_fini(&s.http);
	}
}

static void json_line_has_every_member(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s, "/users?page=2");
	sample_field(&s, "Referer", SLICE_LIT("http://a.example/"));
	sample_field(&s, "User-Agent", SLICE_LIT("curl"));
	sample_field(&s, "X-Request-ID", SLICE_LIT("abc"));
	sample_field(&s, "traceparent", SLICE_LIT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
	assert_string_equal(line_of(&s, CONFIG_LOG_JSON),
		"{\"time\":\"2026-03-01T12:34:56.789Z\",\"client\":\"192.0.2.7\",\"method\":\"GET\","
		"\"target\":\"/users?page=2\",\"status\":200,\"bytes\":1234,\"cache\":\"hit\",\"route\":\"users\","
		"\"upstream_ms\":123.789,\"total_ms\":130.456,\"request_id\":\"abc\","
		"\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\","
		"\"referer\":\"http://a.example/\",\"user_agent\":\"curl\",\"host\":\"api.example\",\"error\":null}\n");
	http_request_fini(&s.http);
}

static void json_line_of_any_bytes_can_be_parsed(void **state)
{
	char bytes[5000];
	struct sample s;
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		json_t *j;

		for (size_t i = 0; i < sizeof(bytes); i++) {
			seed = seed * 1103515245 + 12345;
			bytes[i] = (char)(seed >> 16);
		}
		sample_init(&s, "/");
		s.http.target = (struct slice){bytes, (size_t)(seed >> 8) % sizeof(bytes) + 1};
		s.record.http = round % 10 ? &s.http : NULL;
		sample_field(&s, "User-Agent", s.http.target);
		j = json_loads(line_of(&s, CONFIG_LOG_JSON), JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		assert_non_null(j);
		assert_int_equal(json_object_size(j), 16);
		json_decref(j);
		http_request_fini(&s.http);
	}
}

/* The longest line there can be: every value is full. */
static void long_values_are_cut_between_characters(void **state)
{
	static char plain[3000], euro[3000], bad[3000];
	struct sample s;
	const char *line;
	json_t *j;

	(void)state;
	memset(plain, 'a', sizeof(plain));
	memset(bad, '\xff', sizeof(bad));
	for (size_t i = 0; i < sizeof(euro); i += 3)
		memcpy(euro + i, "\xe2\x82\xac", 3);
	sample_init(&s, "/");
	s.http.target = s.http.method_token = s.http.host = s.record.route = (struct slice){plain, sizeof(plain)};
	sample_field(&s, "User-Agent", (struct slice){euro, sizeof(euro)});
	sample_field(&s, "Referer", (struct slice){bad, sizeof(bad)});
	sample_field(&s, "traceparent", (struct slice){bad, sizeof(bad)});
	line = line_of(&s, CONFIG_LOG_JSON);
	j = json_loads(line, 0, NULL);
	assert_non_null(j);
	assert_int_equal(json_string_length(json_object_get(j, "target")), ACCESS_VALUE_MAX);
	assert_int_equal(json_string_length(json_object_get(j, "user_agent")), ACCESS_VALUE_MAX / 3 * 3);
	assert_int_equal(json_string_length(json_object_get(j, "referer")), ACCESS_VALUE_MAX / 6 * 2);
	json_decref(j);
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_COMBINED), " total=0.130 id=-\n"));
	http_request_fini(&s.http);
}

static void an_escape_that_just_fits_is_whole(void **state)
{
	static char value[ACCESS_VALUE_MAX + 1];
	struct sample s;
	const char *text;

	(void)state;
	memset(value, 'a', sizeof(value));
	for (size_t before = ACCESS_VALUE_MAX - 4; before <= ACCESS_VALUE_MAX - 3; before++) {
		json_t *j;
		bool fits = before + 4 <= ACCESS_VALUE_MAX;

		value[before] = '\x1b'; /* \x1B takes 4, \u001b 6 */
		sample_init(&s, "/");
		sample_field(&s, "User-Agent", (struct slice){value, before + 1});
		text = line_of(&s, CONFIG_LOG_COMBINED);
		assert_int_equal(strstr(text, "a\\x1B\" cache=") != NULL, fits);
		assert_int_equal(strstr(text, "aa\" cache=") != NULL, !fits);
		http_request_fini(&s.http);
		value[before] = 'a';
		value[before - 2] = '\x1b';
		sample_init(&s, "/");
		sample_field(&s, "User-Agent", (struct slice){value, before - 1});
		j = json_loads(line_of(&s, CONFIG_LOG_JSON), 0, NULL);
		assert_int_equal(json_string_length(json_object_get(j, "user_agent")), before - 2 + fits);
		json_decref(j);
		http_request_fini(&s.http);
		value[before - 2] = 'a';
	}
}

static void credentials_are_never_in_a_line(void **state)
{
	struct sample s;

	(void)state;
	sample_init(&s, "/?token=kept");
	sample_field(&s, "Authorization", SLICE_LIT("Bearer s3cret"));
	sample_field(&s, "Proxy-Authorization", SLICE_LIT("Basic s3cret"));
	sample_field(&s, "Cookie", SLICE_LIT("sid=s3cret"));
	assert_null(strstr(line_of(&s, CONFIG_LOG_COMBINED), "s3cret"));
	assert_non_null(strstr(line_of(&s, CONFIG_LOG_COMBINED), "token=kept"));
	assert_null(strstr(line_of(&s, CONFIG_LOG_JSON), "s3cret"));
	http_request_fini(&s.http);
}

static void only_a_short_token_is_a_request_id(void **state)
{
	static char id[130];
	static const char *const bad[] = {"a b", "a\"b", "a,b", "a/b", "\xc3\xa9", ""};
	struct sample s;

	(void)state;
	memset(id, 'x', sizeof(id));
	sample_init(&s, "/");
	assert_int_equal(access_request_id(&s.http).n, 0);
	assert_int_equal(access_request_id(NULL).n, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		http_fields_clear(&s.http.fields);
		sample_field(&s, "X-Request-Id", slice_of(bad[i]));
		assert_int_equal(access_request_id(&s.http).n, 0);
	}
	http_fields_clear(&s.http.fields);
	sample_field(&s, "x-request-id", (struct slice){id, 128});
	assert_int_equal(access_request_id(&s.http).n, 128);
	http_fields_clear(&s.http.fields);
	sample_field(&s, "x-request-id", (struct slice){id, 129});
	assert_int_equal(access_request_id(&s.http).n, 0);
	http_request_fini(&s.http);
}

/* ---- Files ---- */

static struct access_log *open_log(const char *name)
{
	struct access_log *log;

	assert_int_equal(access_log_open(slice_of(name), CONFIG_LOG_COMBINED, &log), 0);
	return log;
}

static void add(struct access_log *log, const char *target)
{
	struct sample s;

	sample_init(&s, target);
	access_log_add(log, &s.record);
	http_request_fini(&s.http);
}

static const char *text_of(const char *name)
{
	static char text[65536];
	FILE *f = fopen(name, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = '\0';
	return text;
}

static unsigned long long count_lines(const char *name)
{
	FILE *f = fopen(name, "r");
	unsigned long long n = 0;
	int c;

	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

/* Returns when somebody writes to the file or has written to it since `watch_writes`. */
static int watch_writes(const char *name)
{
	int fd = inotify_init1(IN_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(inotify_add_watch(fd, name, IN_MODIFY) >= 0);
	return fd;
}

static void wait_for_write(int watch)
{
	char event[256];

	assert_true(read(watch, event, sizeof(event)) > 0);
	close(watch);
}

static void closing_writes_what_is_buffered_in_order(void **state)
{
	struct access_log *log = open_log(path);
	struct stat st;

	(void)state;
	add(log, "/1");
	add(log, "/2");
	access_log_close(&log);
	assert_null(log);
	assert_int_equal(count_lines(path), 2);
	assert_true(strstr(text_of(path), "GET /1 ") < strstr(text_of(path), "GET /2 "));
	log = open_log(path); /* appends */
	add(log, "/3");
	access_log_close(&log);
	assert_int_equal(count_lines(path), 3);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777 & ~0640, 0);
}

static void one_line_is_written_without_a_second(void **state)
{
	struct access_log *log = open_log(path);
	int watch = watch_writes(path);

	(void)state;
	add(log, "/alone");
	wait_for_write(watch);
	assert_non_null(strstr(text_of(path), "GET /alone "));
	assert_int_equal(access_log_dropped(log), 0);
	access_log_close(&log);
}

static void after_a_reopen_lines_go_to_the_new_file(void **state)
{
	struct access_log *log = open_log(path);
	int watch = watch_writes(path);

	(void)state;
	add(log, "/before");
	wait_for_write(watch);
	assert_int_equal(rename(path, other), 0);
	access_log_reopen(log);
	add(log, "/after");
	access_log_close(&log);
	assert_non_null(strstr(text_of(other), "GET /before "));
	assert_int_equal(count_lines(other), 1);
	assert_non_null(strstr(text_of(path), "GET /after "));
	assert_int_equal(count_lines(path), 1);
}

static void failed_reopen_keeps_the_old_file(void **state)
{
	struct access_log *log = open_log(path);

	(void)state;
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	access_log_reopen(log);
	add(log, "/kept");
	access_log_close(&log);
	assert_int_equal(rmdir(path), 0);
	assert_non_null(strstr(text_of(other), "GET /kept "));
}

static void new_configuration_moves_lines_and_a_bad_one_does_not(void **state)
{
	struct access_log *log = open_log(path);

	(void)state;
	add(log, "/first");
	assert_int_equal(access_log_configure(log, slice_of(folder), CONFIG_LOG_JSON), -EISDIR);
	add(log, "/second");
	assert_int_equal(access_log_configure(log, slice_of(path), CONFIG_LOG_JSON), 0); /* overtaken by the next */
	assert_int_equal(access_log_configure(log, slice_of(other), CONFIG_LOG_JSON), 0);
	add(log, "/third");
	assert_int_equal(access_log_configure(log, (struct slice){0}, CONFIG_LOG_JSON), 0);
	add(log, "/not/logged");
	access_log_close(&log);
	assert_int_equal(count_lines(path), 2);
	assert_int_equal(count_lines(other), 1); /* each where the configuration of its time says */
	assert_non_null(strstr(text_of(other), "/third"));
	assert_non_null(strstr(text_of(path), "\"GET /second HTTP/1.1\""));
}

static void bad_path_fails_at_start_with_its_errno(void **state)
{
	char missing[128];
	struct access_log *log;

	(void)state;
	snprintf(missing, sizeof(missing), "%s/no/log", folder);
	assert_int_equal(access_log_open(slice_of(missing), CONFIG_LOG_JSON, &log), -ENOENT);
	assert_null(log);
	assert_int_equal(access_log_open(slice_of(folder), CONFIG_LOG_JSON, &log), -EISDIR);
	assert_int_equal(access_log_open((struct slice){"", 0}, CONFIG_LOG_JSON, &log), -EINVAL);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(access_log_open(slice_of(path), CONFIG_LOG_JSON, &log), -ENXIO);
}

static void opening_without_memory_fails_and_leaks_nothing(void **state)
{
	struct access_log *log = NULL;
	int rc = -ENOMEM;

	(void)state;
	for (unsigned long nth = 1; rc; nth++) {
		assert_true(nth < 20);
		mem_fail_at(nth, 0);
		rc = access_log_open(slice_of(path), CONFIG_LOG_JSON, &log);
		mem_fail_at(0, 0);
		assert_true(rc == 0 || rc == -ENOMEM);
	}
	access_log_close(&log);
}

static void dash_is_standard_output(void **state)
{
	int saved = dup(STDOUT_FILENO), fd;
	struct access_log *log;

	(void)state;
	fflush(stdout);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0);
	log = open_log("-");
	add(log, "/out");
	access_log_reopen(log);
	access_log_close(&log);
	assert_true(write(STDOUT_FILENO, "still open\n", 11) == 11);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(fd);
	assert_non_null(strstr(text_of(path), "GET /out "));
	assert_non_null(strstr(text_of(path), "\nstill open\n"));
}

/* ---- Trouble ---- */

/* A FIFO whose reader takes nothing: the writer is stuck, adding is not, and nothing is lost uncounted. */
static void lines_are_dropped_and_counted_while_the_file_blocks(void **state)
{
	unsigned long long added = 0, got = 0;
	struct access_log *log;
	struct sample s;
	size_t line_bytes;
	char chunk[4096];
	int reader;
	ssize_t n;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(reader >= 0);
	log = open_log(path);
	while (access_log_dropped(log) == 0) {
		add(log, "/x");
		added++;
		assert_true(added < 100000);
	}
	sample_init(&s, "/x");
	line_bytes = strlen(line_of(&s, CONFIG_LOG_COMBINED));
	http_request_fini(&s.http);
	assert_true(added * line_bytes > ACCESS_LOG_RING / 2); /* nothing was dropped before a half was full */
	access_log_close(&log);                                /* ends although nobody reads */
	while ((n = read(reader, chunk, sizeof(chunk))) > 0)
		for (ssize_t i = 0; i < n; i++)
			got += chunk[i] == '\n';
	close(reader);
	assert_true(got > 0);
	assert_true(got < added);
}

/* The same, but the reader comes back: what was not counted as dropped arrives, line by line. */
static void every_line_arrives_or_is_counted(void **state)
{
	unsigned long long added = 0, got = 0;
	struct access_log *log;
	bool is_start = true;
	int reader;
	FILE *f;
	char line[512];

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(reader >= 0);
	log = open_log(path);
	for (; access_log_dropped(log) < 100; added++)
		add(log, "/x");
	assert_int_equal(fcntl(reader, F_SETFL, 0), 0); /* reading waits from here on */
	f = fdopen(reader, "r");
	assert_non_null(f);
	while (got < added - access_log_dropped(log)) {
		assert_non_null(fgets(line, sizeof(line), f));
		assert_true(is_start && strncmp(line, "192.0.2.7 - - [", 15) == 0);
		is_start = strchr(line, '\n') != NULL;
		got += is_start;
	}
	access_log_close(&log);
	assert_null(fgets(line, sizeof(line), f));
	fclose(f);
}

static void reader_that_left_costs_lines_but_no_signal(void **state)
{
	struct access_log *log;
	int reader;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	log = open_log(path);
	close(reader);
	for (unsigned i = 0; access_log_dropped(log) == 0; i++) {
		add(log, "/x");
		sched_yield();
	}
	access_log_close(&log);
}

static int saved_stderr = -1;

static int silence(void **state)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	saved_stderr = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
	return make_folder(state);
}

static int unsilence(void **state)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	return remove_folder(state);
}

/* A file size limit stands for a full disk: a short write, then an error; then there is room again. */
static void full_disk_costs_lines_and_later_lines_begin_anew(void **state)
{
	struct rlimit before, small;
	struct access_log *log = open_log(path);
	const char *text, *after;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 200; /* one line and part of the second */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	add(log, "/first");
	add(log, "/second");
	add(log, "/third");
	while (access_log_dropped(log) < 2)
		sched_yield();
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	add(log, "/later");
	access_log_close(&log);
	text = text_of(path);
	assert_non_null(strstr(text, "GET /first "));
	assert_null(strstr(text, "GET /third "));
	after = strstr(text, "GET /later ");
	assert_non_null(after);
	while (after > text && after[-1] != '\n')
		after--;
	assert_int_equal(strncmp(after, "192.0.2.7 - - [", 15), 0);
	assert_int_equal(after - text, 201); /* right after the torn line, which got its newline */
}

/* ---- Threads ---- */

enum { ADDERS = 4, LINES_EACH = 3000 };

static void *add_many(void *arg)
{
	struct access_log *log = arg;

	for (int i = 0; i < LINES_EACH; i++)
		add(log, "/from/a/thread");
	return NULL;
}

static void lines_of_four_threads_do_not_mix(void **state)
{
	struct access_log *log = open_log(path);
	pthread_t threads[ADDERS];
	unsigned long long lines = 0, dropped;
	char line[512];
	FILE *f;

	(void)state;
	for (int i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, log), 0);
	for (int i = 0; i < 50; i++)
		access_log_reopen(log);
	for (int i = 0; i < ADDERS; i++)
		pthread_join(threads[i], NULL);
	dropped = access_log_dropped(log);
	access_log_close(&log);
	f = fopen(path, "r");
	assert_non_null(f);
	for (; fgets(line, sizeof(line), f); lines++) {
		assert_int_equal(strncmp(line, "192.0.2.7 - - [", 15), 0);
		assert_non_null(strstr(line, " id=-\n"));
	}
	fclose(f);
	assert_int_equal(lines + dropped, ADDERS * LINES_EACH);
	assert_true(lines > 0);
}

#define FILE_TEST(t) cmocka_unit_test_setup_teardown(t, make_folder, remove_folder)
#define QUIET_TEST(t) cmocka_unit_test_setup_teardown(t, silence, unsilence)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(combined_line_has_the_usual_fields_and_ours),
		cmocka_unit_test(combined_line_has_dashes_for_what_is_not_there),
		cmocka_unit_test(a_line_tells_of_an_error_where_there_was_one),
		cmocka_unit_test(date_follows_the_second),
		cmocka_unit_test(space_in_a_route_does_not_end_its_value),
		cmocka_unit_test(every_outside_byte_is_escaped),
		cmocka_unit_test(json_line_has_every_member),
		cmocka_unit_test(json_line_of_any_bytes_can_be_parsed),
		cmocka_unit_test(long_values_are_cut_between_characters),
		cmocka_unit_test(an_escape_that_just_fits_is_whole),
		cmocka_unit_test(credentials_are_never_in_a_line),
		cmocka_unit_test(only_a_short_token_is_a_request_id),
		FILE_TEST(closing_writes_what_is_buffered_in_order),
		FILE_TEST(one_line_is_written_without_a_second),
		FILE_TEST(after_a_reopen_lines_go_to_the_new_file),
		QUIET_TEST(failed_reopen_keeps_the_old_file),
		FILE_TEST(new_configuration_moves_lines_and_a_bad_one_does_not),
		FILE_TEST(bad_path_fails_at_start_with_its_errno),
		FILE_TEST(opening_without_memory_fails_and_leaks_nothing),
		FILE_TEST(dash_is_standard_output),
		QUIET_TEST(lines_are_dropped_and_counted_while_the_file_blocks),
		QUIET_TEST(every_line_arrives_or_is_counted),
		QUIET_TEST(reader_that_left_costs_lines_but_no_signal),
		QUIET_TEST(full_disk_costs_lines_and_later_lines_begin_anew),
		FILE_TEST(lines_of_four_threads_do_not_mix),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
