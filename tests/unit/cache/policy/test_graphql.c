/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cache/policy/graphql.h"

static const char *name_of(enum graphql_kind k)
{
	return k == GRAPHQL_READS ? "reads" : k == GRAPHQL_CHANGES ? "changes" : "unknown";
}

static void documents_are_told_by_their_operations(void **state)
{
	(void)state;
	static const struct {
		const char *document;
		enum graphql_kind kind;
	} rows[] = {
		{"{ a }", GRAPHQL_READS},
		{"query { a }", GRAPHQL_READS},
		{"query Q($a: [Int!]! = [1, 2], $b: T = {x: \"}\"}) @d(a: {b: 1}) { a(b: $b) { c } }", GRAPHQL_READS},
		{"mutation { a }", GRAPHQL_CHANGES},
		{"subscription S { a }", GRAPHQL_CHANGES},
		{"mutation M($a: T = {x: 1}) { a }", GRAPHQL_CHANGES},
		{"\xef\xbb\xbf ,, # mutation { a }\r mutation,{ a }", GRAPHQL_CHANGES},
		{"# mutation { a }\n{ a }", GRAPHQL_READS},
		{"# mutation { a }\r{ a }", GRAPHQL_READS},
		{"# a\n# b", GRAPHQL_UNKNOWN},
		{"{ mutation }", GRAPHQL_READS},
		{"query mutation { subscription }", GRAPHQL_READS},
		{"mutation query { a }", GRAPHQL_CHANGES},
		{"mutations { a }", GRAPHQL_UNKNOWN},
		{"Mutation { a }", GRAPHQL_UNKNOWN},
		{"query A { a } mutation B { b }", GRAPHQL_CHANGES},
		{"mutation B { b } query A { a }", GRAPHQL_CHANGES},
		{"{ a } fragment F on T { b }", GRAPHQL_READS},
		{"fragment mutation on T { b } { a ...mutation }", GRAPHQL_READS},
		{"fragment F on T { b } mutation { a }", GRAPHQL_CHANGES},
		{"fragment F on T { b }", GRAPHQL_UNKNOWN},
		{"{ a(b: \"} mutation { c }\") }", GRAPHQL_READS},
		{"{ a(b: \"\\\"} mutation { c }\") }", GRAPHQL_READS},
		{"{ a(b: \"\\\\\") } mutation { c }", GRAPHQL_CHANGES},
		{"{ a(b: \"\"\"\"} mutation { c } \\\"\"\" } mutation { d }\"\"\") }", GRAPHQL_READS},
		{"{ a(b: \"\") } mutation { c }", GRAPHQL_CHANGES},
		{"{ a(b: \"\"\"\"\"\") } mutation { c }", GRAPHQL_CHANGES},
		{"{ a # } mutation { b }\n }", GRAPHQL_READS},
		{"\"of what it does\" mutation { a }", GRAPHQL_CHANGES},
		{"\"\"\"text\"\"\" query { a }", GRAPHQL_READS},
		{"", GRAPHQL_UNKNOWN},
		{"{ a", GRAPHQL_UNKNOWN},
		{"{ a } }", GRAPHQL_UNKNOWN},
		{"query", GRAPHQL_UNKNOWN},
		{"query Q", GRAPHQL_UNKNOWN},
		{"query Q(", GRAPHQL_UNKNOWN},
		{"(a) { b }", GRAPHQL_UNKNOWN},
		{"{ a } ; mutation { b }", GRAPHQL_UNKNOWN},
		{"{ a(b: \"c) }", GRAPHQL_UNKNOWN},
		{"{ a(b: \"c\n\") }", GRAPHQL_UNKNOWN},
		{"{ a(b: \"\"\"c) }", GRAPHQL_UNKNOWN},
		{"{ a(b: \"\\", GRAPHQL_UNKNOWN},
		{"type T { a: Int }", GRAPHQL_UNKNOWN},
		{"{ a } extend type T { b: Int }", GRAPHQL_UNKNOWN},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		enum graphql_kind got = graphql_document_kind(slice_of(rows[i].document));

		if (got != rows[i].kind)
			fail_msg("%s: %s, not %s", rows[i].document, name_of(got), name_of(rows[i].kind));
	}
	assert_int_equal(graphql_document_kind((struct slice){"{ a }\0mutation { b }", 20}), GRAPHQL_UNKNOWN);
}

/* "METHOD target", and fields behind it, each after a newline. */
static enum graphql_kind kind_of_request(const char *request, const char *body)
{
	char text[1024];
	const char *fields = strchr(request, '\n');
	struct http_head_limits limits = {.max_head = sizeof(text), .max_fields = 100};
	struct http_request r;
	struct http_error error;
	size_t scanned = 0;
	enum graphql_kind kind;

	snprintf(text, sizeof(text), "%.*s HTTP/1.1\r\nHost: h%s\r\n\r\n", (int)strcspn(request, "\n"), request,
		fields ? fields : "");
	for (char *p = text; *p; p++) /* each line of fields gets its CR */
		if (*p == '\n' && p[-1] != '\r') {
			memmove(p + 1, p, strlen(p) + 1);
			*p++ = '\r';
		}
	http_request_init(&r);
	if (http_request_parse(text, strlen(text), &limits, &scanned, &r, &error) != HTTP_PARSE_DONE)
		fail_msg("%s", text);
	kind = graphql_kind_of(&r, slice_of(body));
	http_request_fini(&r);
	return kind;
}

struct request_row {
	const char *request, *body;
	enum graphql_kind kind;
};

static void expect_kinds(const struct request_row *rows, size_t n)
{
	for (unsigned i = 0; i < n; i++) {
		enum graphql_kind got = kind_of_request(rows[i].request, rows[i].body);
		if (got != rows[i].kind)
			fail_msg("%s, %s: %s, not %s", rows[i].request, rows[i].body, name_of(got),
				name_of(rows[i].kind));
	}
}

static void requests_are_told_by_url_and_body(void **state)
{
	(void)state;
	static const struct request_row rows[] = {
		{"POST /g", "{\"query\": \"{ a }\"}", GRAPHQL_READS},
		{"POST /g", "{\"operationName\": \"A\", \"query\": \"query A { a } mutation B { b }\"}",
			GRAPHQL_CHANGES},
		{"POST /g", "{\"query\": \"mutation { a }\", \"variables\": {}}", GRAPHQL_CHANGES},
		{"POST /g", "{\"query\": \"mu\\u0074ation { a }\"}", GRAPHQL_CHANGES},
		{"POST /g", "{\"variables\": {\"query\": \"mutation { a }\"}, \"query\": \"{ a }\"}", GRAPHQL_READS},
		{"POST /g", "{\"query\": \"{ a }\", \"Query\": \"mutation { a }\"}", GRAPHQL_CHANGES},
		{"POST /g", "{\"query\": \"{ a }\", \"query\": \"mutation { a }\"}", GRAPHQL_UNKNOWN},
		{"POST /g", "{\"query\": \"{ a }\\u0000\"}", GRAPHQL_UNKNOWN},
		{"POST /g", "[{\"query\": \"{ a }\"}, {\"query\": \"{ b }\"}]", GRAPHQL_READS},
		{"POST /g", "[{\"query\": \"{ a }\"}, {\"query\": \"mutation { b }\"}]", GRAPHQL_CHANGES},
		{"POST /g", "[{\"query\": \"{ a }\"}, 1]", GRAPHQL_UNKNOWN},
		{"POST /g", "[]", GRAPHQL_UNKNOWN},
		{"POST /g", "[[{\"query\": \"{ a }\"}]]", GRAPHQL_UNKNOWN},
		{"POST /g", "{\"extensions\": {\"persistedQuery\": {\"sha256Hash\": \"x\"}}}", GRAPHQL_UNKNOWN},
		{"POST /g", "{\"query\": null, \"id\": \"x\"}", GRAPHQL_UNKNOWN},
		{"POST /g", "{\"query\": [\"mutation { a }\"]}", GRAPHQL_UNKNOWN},
		{"POST /g", "{\"query\": \"{ a }\"", GRAPHQL_UNKNOWN},
		{"POST /g", "{\"query\": \"{ a }\"} x", GRAPHQL_UNKNOWN},
		{"POST /g", "", GRAPHQL_UNKNOWN},
		{"POST /g", "{ a }", GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/json; charset=utf-8", "{\"query\": \"{ a }\"}", GRAPHQL_READS},
		{"POST /g\nContent-Type: application/vnd.x+JSON", "{\"query\": \"{ a }\"}", GRAPHQL_READS},
		{"POST /g\nContent-Type: application/graphql", "{ a }", GRAPHQL_READS},
		{"POST /g\nContent-Type: application/graphql", "mutation { a }", GRAPHQL_CHANGES},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "variables=1&query=%7B+a+%7D",
			GRAPHQL_READS},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query=mutation%7Ba%7D", GRAPHQL_CHANGES},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a}&qu%65ry=mutation{a}",
			GRAPHQL_CHANGES},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "id=1", GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: multipart/form-data; boundary=b", "{\"query\": \"{ a }\"}", GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: text/plain", "{\"query\": \"{ a }\"}", GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Encoding: gzip", "{\"query\": \"{ a }\"}", GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/json\nContent-Type: application/graphql", "{\"query\": \"{ a }\"}",
			GRAPHQL_UNKNOWN},
		{"POST /g?query=mutation%20%7Ba%7D", "{\"query\": \"{ a }\"}", GRAPHQL_CHANGES},
		{"POST /g?query=%7Ba%7D", "{\"query\": \"{ a }\"}", GRAPHQL_READS},
		{"QUERY /g", "{\"query\": \"mutation { a }\"}", GRAPHQL_CHANGES},
		{"GET /g", "", GRAPHQL_READS},
		{"GET /g?extensions=x&id=1", "", GRAPHQL_READS},
		{"GET /g?query=%7Ba%7D&operationName=A", "", GRAPHQL_READS},
		{"GET /g?query=mutation%7Ba%7D", "", GRAPHQL_CHANGES},
		{"GET /g?x=1&query=mutation+M{a}", "", GRAPHQL_CHANGES},
		{"GET /g?query=words", "", GRAPHQL_UNKNOWN},
		{"GET /g?query", "", GRAPHQL_UNKNOWN},
		{"HEAD /g?query=mutation%7Ba%7D", "", GRAPHQL_CHANGES},
	};

	expect_kinds(rows, ARRAY_LEN(rows));
}

static void what_another_parser_may_see_is_unknown(void **state)
{
	(void)state;
	static const struct request_row rows[] = {
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a}&%20query=mutation{x}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a}&+query+=mutation{x}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a}&query[]=mutation{x}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a}&query%5B0%5D=mutation{x}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a}&query%00x=mutation{x}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a}&%EF%BB%BFQuery=mutation{x}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "x=1;query=mutation{x}&query={a}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a}%23;query=mutation{x}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a}&x=1;%71uery=mutation{x}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a};", GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query=mutation{a}&x=;", GRAPHQL_CHANGES},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded",
			"query={a}&queryId=7&my-query=1&query_id=2&a[query]=3", GRAPHQL_READS},
		{"POST /g\nContent-Type: application/x-www-form-urlencoded", "query={a}&x=%3B", GRAPHQL_READS},
		{"POST /g", "{\"query\": \"{ a }\", \"query \": \"mutation { x }\"}", GRAPHQL_UNKNOWN},
		{"POST /g", "[{\"query\": \"{ a }\", \"\\u0009Query\": \"mutation { x }\"}]", GRAPHQL_UNKNOWN},
		{"POST /g", "{\"query\": \"{ a }\", \"queryId\": \"mutation { x }\"}", GRAPHQL_READS},
		{"POST /g\nContent-Type: application/json; charset=utf-16", "{\"query\": \"{ a }\"}", GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/json;x=1; CharSet=utf-7", "{\"query\": \"{ a }\"}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/json;charset=utf-8;charset=utf-16", "{\"query\": \"{ a }\"}",
			GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/json; charset=\"UTF-8\"", "{\"query\": \"{ a }\"}", GRAPHQL_READS},
		{"POST /g\nContent-Type: application/json; charset=", "{\"query\": \"{ a }\"}", GRAPHQL_UNKNOWN},
		{"POST /g\nContent-Type: application/json; x=utf-16", "{\"query\": \"{ a }\"}", GRAPHQL_READS},
		{"GET /g?query={a}&%20query=mutation{x}", "", GRAPHQL_UNKNOWN},
		{"GET /g?x=1;query=mutation{x}", "", GRAPHQL_UNKNOWN},
		{"GET /g?x=1;y=2", "", GRAPHQL_READS},
		{"GET /g?query[]=mutation{x}", "", GRAPHQL_UNKNOWN},
	};

	expect_kinds(rows, ARRAY_LEN(rows));
}

/* Every beginning of a document, and every byte of it changed: no crash, and no query of what was a mutation's whole. */
static void no_document_is_read_past_its_end(void **state)
{
	(void)state;
	static const char whole[] =
		"query Q($a: T = {b: \"c\\\"\"}) { d(e: \"\"\"f\\\"\"\" \"\"\") } # g\nmutation { h }";

	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		char *copy = malloc(n + 1); /* so that a sanitizer sees what is read behind it */

		memcpy(copy, whole, n);
		(void)graphql_document_kind((struct slice){copy, n});
		free(copy);
	}
	assert_int_equal(graphql_document_kind((struct slice){whole, sizeof(whole) - 1}), GRAPHQL_CHANGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_are_told_by_their_operations),
		cmocka_unit_test(requests_are_told_by_url_and_body),
		cmocka_unit_test(what_another_parser_may_see_is_unknown),
		cmocka_unit_test(no_document_is_read_past_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
