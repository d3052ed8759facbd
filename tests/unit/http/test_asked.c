/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include "http/asked.h"

static const struct {
	const char *section;
	enum http_method method;
	const char *request[3];
	int status;
	const char *response[3];
	bool asked;
} rows[] = {
	{"9110 15.4.5: 304 to nothing", HTTP_GET, {NULL}, 304, {NULL}, false},
	{"9110 15.4.5: 304 to nothing, HEAD", HTTP_HEAD, {NULL}, 304, {NULL}, false},
	{"9110 15.4.5: 304 to nothing, POST", HTTP_POST, {NULL}, 304, {NULL}, false},
	{"9110 13.1.2", HTTP_GET, {"If-None-Match: \"a\""}, 304, {NULL}, true},
	{"9110 13.1.3", HTTP_GET, {"If-Modified-Since: x"}, 304, {NULL}, true},
	{"9110 13.1.1: no 304 for If-Match", HTTP_GET, {"If-Match: \"a\""}, 304, {NULL}, false},
	{"9110 14.2: no 304 for Range", HTTP_GET, {"Range: bytes=0-1"}, 304, {NULL}, false},
	{"9110 13.1.5", HTTP_GET, {"Range: bytes=0-1", "If-Range: \"a\""}, 304, {NULL}, true},
	{"9110 15.5.13: 412 to nothing", HTTP_GET, {"Accept: */*"}, 412, {NULL}, false},
	{"9110 15.5.13: 412 to nothing, PUT", HTTP_PUT, {NULL}, 412, {NULL}, false},
	{"9110 13.1.1", HTTP_PUT, {"If-Match: \"a\""}, 412, {NULL}, true},
	{"9110 13.1.4", HTTP_GET, {"If-Unmodified-Since: x"}, 412, {NULL}, true},
	{"9110 13.1.2: 304 is due", HTTP_GET, {"If-None-Match: \"a\""}, 412, {NULL}, false},
	{"9110 13.1.3: 304 is due", HTTP_HEAD, {"If-Modified-Since: x"}, 412, {NULL}, false},
	{"9110 13.1.2: a write", HTTP_PUT, {"If-None-Match: *"}, 412, {NULL}, true},
	{"4918 10.4", HTTP_PUT, {"If: (<urn:a>)"}, 412, {NULL}, true},
	{"4918 10.6", HTTP_OTHER, {"overwrite: F"}, 412, {NULL}, true},
	{"servers' own", HTTP_GET, {"x-goog-if-generation-match: 1"}, 412, {NULL}, true},
	{"servers' own", HTTP_PUT, {"X-Amz-Copy-Source-If-None-Match: \"a\""}, 412, {NULL}, true},
	{"no condition", HTTP_GET, {"X-Iffy: 1", "Notify-If: 1"}, 412, {NULL}, false},
	{"9110 15.3.7: 206 to nothing", HTTP_GET, {NULL}, 206, {"Content-Range: bytes 0-3/9"}, false},
	{"9110 15.3.7: parts to nothing", HTTP_GET, {NULL}, 206, {"Content-Type: multipart/byteranges; boundary=a"},
		false},
	{"9110 14.2", HTTP_GET, {"Range: bytes=0-3"}, 206, {"Content-Range: bytes 0-3/9"}, true},
	{"9110 14.2, HEAD", HTTP_HEAD, {"Range: bytes=0-3"}, 206, {"Content-Range: bytes 0-3/9"}, true},
	{"servers' own", HTTP_GET, {"x-ms-range: bytes=0-3"}, 206, {"Content-Range: bytes 0-3/9"}, true},
	{"pages of a list", HTTP_GET, {NULL}, 206, {"Content-Range: 0-14/*"}, true},
	{"an API's word", HTTP_GET, {NULL}, 206, {NULL}, true},
	{"nothing known of the method", HTTP_POST, {NULL}, 206, {"Content-Range: bytes 0-3/9"}, true},
	{"9110 15.5.17: 416 to nothing", HTTP_GET, {NULL}, 416, {"Content-Range: bytes */9"}, false},
	{"9110 15.5.17: it need not say the length", HTTP_GET, {NULL}, 416, {NULL}, false},
	{"9110 15.5.17: nor to HEAD", HTTP_HEAD, {NULL}, 416, {NULL}, false},
	{"9110 15.5.17", HTTP_GET, {"Range: x=9-"}, 416, {NULL}, true},
	{"nothing known of the method", HTTP_POST, {NULL}, 416, {NULL}, true},
	{"9110 15.5.17", HTTP_GET, {"Range: bytes=9-"}, 416, {"Content-Range: bytes */9"}, true},
	{"pages of a list", HTTP_GET, {NULL}, 416, {"Content-Range: */9"}, true},
	{"anything else", HTTP_GET, {NULL}, 200, {"Content-Range: bytes 0-3/9"}, true},
	{"anything else", HTTP_GET, {NULL}, 428, {NULL}, true},
};

static void responses_to_conditions_and_ranges_need_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_fields request, response;
		unsigned asked;

		fields_from(&request, rows[i].request);
		fields_from(&response, rows[i].response);
		asked = http_asked(rows[i].method, &request);
		EXPECT_INT(rows[i].section, http_was_asked_for(asked, rows[i].method, rows[i].status, &response),
			rows[i].asked);
		http_fields_fini(&request);
		http_fields_fini(&response);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(responses_to_conditions_and_ranges_need_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
