/* SPDX-License-Identifier: MIT */
#include "tests/unit/proxy/request/request_rig.h"

#include "proxy/request/forward.h"

#define SITE "[proxy]\nlisten = 127.0.0.1:1\n[upstream]\nurl = http://o.example\n"
#define PLAIN SITE "[route all]\nmatch = /*\nttl = 60s\n"

static const char *value_of(const struct forward *f, const char *name)
{
	static char value[256];
	uint32_t i = 0;
	const struct http_field *field = http_fields_find_next(&f->fields, slice_of(name), &i);

	if (!field)
		return NULL;
	snprintf(value, sizeof(value), "%.*s", SLICE_ARG(field->value));
	return value;
}

static void has(const struct forward *f, const char *name, const char *value)
{
	const char *is = value_of(f, name);

	if (!value)
		assert_null(is);
	else if (!is)
		fail_msg("no %s", name);
	else
		assert_string_equal(is, value);
}

#define CONDITIONS                                                                                                   \
	"If-None-Match: \"1\"\r\nIf-Modified-Since: Tue, 14 Nov 2023 00:00:00 GMT\r\nRange: bytes=0-1\r\nIf-Range: " \
	"\"1\"\r\n"

/* A fetch for all is made without what one client has; a fetch for one with all of it. */
static void conditions_are_of_the_client_alone(void **state)
{
	struct snapshot *s = snapshot_of(PLAIN);
	struct forward f;
	struct request r;

	(void)state;
	forward_init(&f);
	request_begin(&r, s, "GET /a\r\nAccept: text/html\r\n" CONDITIONS);
	assert_int_equal(forward_build(&f, &(struct forward_options){.target = &r.target, .is_plain = true}), 0);
	has(&f, "Accept", "text/html");
	has(&f, "If-None-Match", NULL);
	has(&f, "If-Modified-Since", NULL);
	has(&f, "Range", NULL);
	has(&f, "If-Range", NULL);
	assert_int_equal(
		forward_build(&f, &(struct forward_options){.target = &r.target}), 0); /* the buffers serve again */
	has(&f, "If-None-Match", "\"1\"");
	has(&f, "If-Modified-Since", "Tue, 14 Nov 2023 00:00:00 GMT");
	has(&f, "Range", "bytes=0-1");
	has(&f, "If-Range", "\"1\"");
	request_end(&r);
	forward_fini(&f);
	snapshot_unref(&s);
}

static void what_is_stored_is_confirmed_by_its_validators(void **state)
{
	static const struct {
		const char *fields, *etag, *date;
	} rows[] = {
		{"ETag: W/\"1\"\r\n", "W/\"1\"", NULL},
		{"Last-Modified: Tue, 14 Nov 2023 00:00:00 GMT\r\n", NULL, "Tue, 14 Nov 2023 00:00:00 GMT"},
		{"ETag: \"1\"\r\nLast-Modified: Tue, 14 Nov 2023 00:00:00 GMT\r\n", "\"1\"",
			"Tue, 14 Nov 2023 00:00:00 GMT"},
		{"", NULL, NULL},
	};
	struct snapshot *s = snapshot_of(PLAIN);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct stored o;
		struct forward f;
		struct request r;

		stored_begin(&o, s, rows[i].fields, "abc");
		forward_init(&f);
		request_begin(&r, s, "GET /stored\r\nIf-None-Match: \"client's\"\r\n");
		assert_int_equal(
			forward_build(&f,
				&(struct forward_options){.target = &r.target, .is_plain = true, .stored = o.object}),
			0);
		has(&f, "If-None-Match", rows[i].etag);
		has(&f, "If-Modified-Since", rows[i].date);
		request_end(&r);
		forward_fini(&f);
		stored_end(&o);
	}
	snapshot_unref(&s);
}

static void a_tail_asks_for_the_rest(void **state)
{
	struct snapshot *s = snapshot_of(PLAIN);
	struct forward_options o = {.is_plain = true, .is_tail = true, .tail_from = UINT64_MAX};
	struct forward f;
	struct request r;

	(void)state;
	forward_init(&f);
	request_begin(&r, s, "GET /a\r\nRange: bytes=0-1\r\n");
	o.target = &r.target;
	assert_int_equal(forward_build(&f, &o), 0);
	has(&f, "Range", "bytes=18446744073709551615-");
	has(&f, "If-Range", NULL);
	o.tail_from = 7;
	o.tail_validator = SLICE_LIT("\"1\"");
	assert_int_equal(forward_build(&f, &o), 0);
	has(&f, "Range", "bytes=7-");
	has(&f, "If-Range", "\"1\"");
	request_end(&r);
	forward_fini(&f);
	snapshot_unref(&s);
}

/* What is coded here, or looked into, must come as it is. */
static void what_is_coded_here_is_asked_for_as_it_is(void **state)
{
	static const struct {
		const char *route, *request;
		bool is_plain;
		const char *wanted;
	} rows[] = {
		{"", "GET /a", true, "br"},
		{"compress = gzip\n", "GET /a", true, "identity"},
		{"compress = gzip\n", "GET /a", false, "br"},
		{"compress = gzip\n", "HEAD /a", false, "identity"},
		{"store_if = json\n", "GET /a", true, "identity"},
		{"etag = auto\n", "GET /a", true, "br"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		char config[256], request[64];
		struct snapshot *s;
		struct forward f;
		struct request r;

		snprintf(config, sizeof(config), PLAIN "%s", rows[i].route);
		snprintf(request, sizeof(request), "%s\r\nAccept-Encoding: br\r\n", rows[i].request);
		s = snapshot_of(config);
		forward_init(&f);
		request_begin(&r, s, request);
		assert_int_equal(
			forward_build(&f, &(struct forward_options){.target = &r.target, .is_plain = rows[i].is_plain}),
			0);
		has(&f, "Accept-Encoding", rows[i].wanted);
		request_end(&r);
		forward_fini(&f);
		snapshot_unref(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_are_of_the_client_alone),
		cmocka_unit_test(what_is_stored_is_confirmed_by_its_validators),
		cmocka_unit_test(a_tail_asks_for_the_rest),
		cmocka_unit_test(what_is_coded_here_is_asked_for_as_it_is),
	};

	return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
