/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_rows.h"

/* clang-format off */
#define NO(name, section, what, request, response, route, why) \
	{name, section, what, request, response, route, 0, POLICY_NOT_##why, 0, 0, 0, 0, 0}
#define YES(name, section, what, request, response, route, lifetime, source, use) \
	{name, section, what, request, response, route, 0, POLICY_STORE, lifetime, LIFETIME_##source, 0, 0, use}
#define RUN(rows) policy_rows_run(rows, ARRAY_LEN(rows))

#define LM "Date: @0\nLast-Modified: @-86400"  /* 8640 s of heuristic freshness */
#define AUTH "Authorization: Basic Zm9v"
#define COOKIE "Cookie: sid=a"
#define CC "Cache-Control: "

static void methods_decide_first(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		YES("get", "9111 3", "GET 200", NULL, CC "max-age=60", NULL, 60, MAX_AGE, 'F'),
		NO("head", "9110 9.3.2", "HEAD 200", NULL, CC "max-age=60", NULL, METHOD),
		NO("put", "9111 3", "PUT 200", NULL, CC "max-age=60", NULL, METHOD),
		NO("delete", "9111 3", "DELETE 200", NULL, CC "max-age=60", NULL, METHOD),
		NO("patch", "9111 3", "PATCH 200", NULL, CC "max-age=60", NULL, METHOD),
		NO("options", "9110 9.3.7", "OPTIONS 200", NULL, CC "max-age=60", NULL, METHOD),
		NO("trace", "9110 9.3.8", "TRACE 200", NULL, CC "max-age=60", NULL, METHOD),
		NO("connect", "9110 9.3.6", "CONNECT 200", NULL, CC "max-age=60", NULL, METHOD),
		NO("an unknown method", "9111 3", "FETCH 200", NULL, CC "max-age=60", NULL, METHOD),
		NO("methods are case-sensitive", "9110 9.1", "get 200", NULL, CC "max-age=60", NULL, METHOD),
		NO("post on a route that does not cache it", "route", "POST 200", NULL, CC "max-age=60", NULL, METHOD),
		YES("post on a route that does", "9110 9.3.3", "POST 200", NULL, CC "max-age=60", "post", 60, MAX_AGE, 'F'),
		YES("post with the route's ttl", "route", "POST 200", NULL, NULL, "post ttl=5", 5, ROUTE, 'F'),
		NO("post has no heuristic freshness", "9110 9.3.3", "POST 200", NULL, LM, "post", FRESH),
		NO("post is not stored for validation", "9110 13.1.2", "POST 200", NULL, CC "max-age=0\nETag: \"a\"", "post", FRESH),
		NO("post with no-cache", "9110 13.1.2", "POST 200", NULL, CC "max-age=9, no-cache\nETag: \"a\"", "post", FRESH),
		NO("query on a route that does not cache it", "route", "QUERY 200", NULL, CC "max-age=60", NULL, METHOD),
		YES("query on a route that does", "route", "QUERY 200", NULL, CC "max-age=60", "query", 60, MAX_AGE, 'F'),
		YES("query has heuristic freshness", "9111 4.2.2", "QUERY 200", NULL, LM, "query", 8640, HEURISTIC, 'F'),
		NO("a route that is off", "route", "GET 200", NULL, CC "max-age=60", "off", ROUTE),
		NO("a route that is off, with force", "route", "GET 200", NULL, NULL, "off force=9", ROUTE),
		YES("post that answers get", "9110 9.3.3", "POST 200", NULL,
			CC "max-age=60\nContent-Location: http://a.example/dir/page", NULL, 60, MAX_AGE, 'F'),
		YES("post that answers get, relative", "9110 8.7", "POST 201", NULL, CC "max-age=60\nContent-Location: page", NULL, 60, MAX_AGE, 'F'),
		YES("post that answers get, same document", "3986 5.2", "POST 200", NULL, CC "max-age=60\nContent-Location:", NULL, 60, MAX_AGE, 'F'),
		NO("post that answers another url", "9110 9.3.3", "POST 200", NULL, CC "max-age=60\nContent-Location: /other", NULL, METHOD),
		NO("post that answers get on another host", "9110 9.3.3", "POST 200", NULL, CC "max-age=60\nContent-Location: http://b.example/dir/page", NULL, METHOD),
		NO("post that answers get without a lifetime", "9110 9.3.3", "POST 200", NULL, LM "\nContent-Location: page", NULL, METHOD),
		NO("post that answers get, two locations", "9110 8.7", "POST 200", NULL, CC "max-age=60\nContent-Location: page\nContent-Location: page", NULL, METHOD),
		NO("post that fails and names itself", "9110 9.3.3", "POST 400", NULL, CC "max-age=60\nContent-Location: page", NULL, METHOD),
		NO("post that answers get, private", "9111 5.2.2.7", "POST 200", NULL, CC "max-age=60, private\nContent-Location: page", NULL, PRIVATE),
	};
	RUN(rows);
}

#define HEURISTIC(status) YES(status " is heuristically cacheable", "9110 15.1", "GET " status, NULL, LM, NULL, 8640, HEURISTIC, 'F')
#define NOT_HEURISTIC(status) NO(status " is not heuristically cacheable", "9110 15.1", "GET " status, NULL, LM, NULL, STATUS)
#define EXPLICIT(status) YES(status " with explicit freshness", "9111 3", "GET " status, NULL, CC "max-age=60", NULL, 60, MAX_AGE, 'F')
#define PUBLIC(status) YES(status " with public", "9111 5.2.2.9", "GET " status, NULL, LM "\n" CC "public", NULL, 8640, HEURISTIC, 'F')

static void statuses_decide_what_is_stored_without_a_lifetime(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		HEURISTIC("200"), HEURISTIC("203"), HEURISTIC("204"), HEURISTIC("300"), HEURISTIC("301"), HEURISTIC("308"),
		HEURISTIC("404"), HEURISTIC("405"), HEURISTIC("410"), HEURISTIC("414"), HEURISTIC("501"),
		NOT_HEURISTIC("201"), NOT_HEURISTIC("202"), NOT_HEURISTIC("205"), NOT_HEURISTIC("299"), NOT_HEURISTIC("302"),
		NOT_HEURISTIC("303"), NOT_HEURISTIC("307"), NOT_HEURISTIC("400"), NOT_HEURISTIC("401"), NOT_HEURISTIC("403"),
		NOT_HEURISTIC("406"), NOT_HEURISTIC("409"), NOT_HEURISTIC("416"), NOT_HEURISTIC("418"), NOT_HEURISTIC("451"),
		NOT_HEURISTIC("500"), NOT_HEURISTIC("502"), NOT_HEURISTIC("503"), NOT_HEURISTIC("504"), NOT_HEURISTIC("505"), NOT_HEURISTIC("599"),
		PUBLIC("201"), PUBLIC("302"), PUBLIC("403"), PUBLIC("500"), PUBLIC("599"),
		EXPLICIT("201"), EXPLICIT("202"), EXPLICIT("299"), EXPLICIT("302"), EXPLICIT("303"), EXPLICIT("307"), EXPLICIT("400"),
		EXPLICIT("401"), EXPLICIT("403"), EXPLICIT("404"), EXPLICIT("410"), EXPLICIT("416"), EXPLICIT("499"), EXPLICIT("500"), EXPLICIT("502"),
		EXPLICIT("503"), EXPLICIT("504"), EXPLICIT("599"),
		NO("206 unasked", "9111 3.3", "GET 206", NULL, CC "max-age=60\nContent-Range: bytes 0-1/9", NULL, PARTIAL),
		NO("206 unasked, forced", "9111 3.3", "GET 206", NULL, CC "max-age=60", "force=60", PARTIAL),
		NO("304 unasked", "9111 3", "GET 304", NULL, CC "max-age=60", NULL, PARTIAL),
		NO("226", "3229 10.4.1", "GET 226", NULL, CC "max-age=60", NULL, PARTIAL),
		NO("428", "6585 3", "GET 428", NULL, CC "max-age=60", NULL, STATUS),
		NO("429", "6585 4", "GET 429", NULL, CC "max-age=60, public", NULL, STATUS),
		NO("429 with the route's ttl", "6585 4", "GET 429", NULL, NULL, "t4xx=5", STATUS),
		NO("431", "6585 5", "GET 431", NULL, CC "max-age=60", NULL, STATUS),
		NO("511", "6585 6", "GET 511", NULL, CC "max-age=60", NULL, STATUS),
		NO("100", "9111 3", "GET 100", NULL, CC "max-age=60", NULL, STATUS),
		NO("103", "9111 3", "GET 103", NULL, CC "max-age=60", NULL, STATUS),
		NO("199", "9111 3", "GET 199", NULL, CC "max-age=60", NULL, STATUS),
		NO("600", "9110 15", "GET 600", NULL, CC "max-age=60", NULL, STATUS),
		NO("0", "9110 15", "GET 0", NULL, CC "max-age=60", NULL, STATUS),
		NO("a validator alone does not make 403 storable", "9111 3", "GET 403", NULL, "ETag: \"a\"", NULL, STATUS),
		NO("nor does no-cache", "9111 3", "GET 403", NULL, CC "no-cache", NULL, STATUS),
		NO("nor does must-revalidate", "9111 3", "GET 502", NULL, LM "\n" CC "must-revalidate", NULL, STATUS),
	};
	RUN(rows);
}

static void must_understand_limits_storing_to_known_statuses(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		YES("200", "9111 5.2.2.3", "GET 200", NULL, CC "max-age=60, must-understand", NULL, 60, MAX_AGE, 'F'),
		YES("it overrides no-store", "9111 5.2.2.3", "GET 200", NULL, CC "max-age=60, must-understand, no-store", NULL, 60, MAX_AGE, 'F'),
		YES("404", "9111 5.2.2.3", "GET 404", NULL, CC "max-age=60, must-understand, no-store", NULL, 60, MAX_AGE, 'F'),
		YES("503", "9111 5.2.2.3", "GET 503", NULL, CC "max-age=60, must-understand, no-store", NULL, 60, MAX_AGE, 'F'),
		YES("308", "9111 5.2.2.3", "GET 308", NULL, CC "max-age=60, must-understand", NULL, 60, MAX_AGE, 'F'),
		YES("451", "7725 3", "GET 451", NULL, CC "max-age=60, must-understand", NULL, 60, MAX_AGE, 'F'),
		NO("299", "9111 5.2.2.3", "GET 299", NULL, CC "max-age=60, must-understand", NULL, STATUS),
		NO("306", "9110 15.4.7", "GET 306", NULL, CC "max-age=60, must-understand", NULL, STATUS),
		NO("418", "9110 15.5.19", "GET 418", NULL, CC "max-age=60, must-understand", NULL, STATUS),
		NO("599", "9111 5.2.2.3", "GET 599", NULL, CC "max-age=60, must-understand", NULL, STATUS),
		NO("599 with no-store", "9111 5.2.2.3", "GET 599", NULL, CC "max-age=60, must-understand, no-store", NULL, STATUS),
		NO("it does not override private", "9111 5.2.2.7", "GET 200", NULL, CC "max-age=60, must-understand, private", NULL, PRIVATE),
		NO("206 all the same", "9111 3.3", "GET 206", NULL, CC "max-age=60, must-understand", NULL, PARTIAL),
	};
	RUN(rows);
}

static void no_store_and_private_forbid(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		NO("no-store", "9111 5.2.2.5", "GET 200", NULL, CC "no-store", NULL, NO_STORE),
		NO("no-store beside max-age", "9111 5.2.2.5", "GET 200", NULL, CC "max-age=60, no-store", NULL, NO_STORE),
		NO("no-store in any case", "9111 5.2", "GET 200", NULL, CC "max-age=60, No-StOrE", NULL, NO_STORE),
		NO("no-store on a second line", "9110 5.3", "GET 200", NULL, CC "max-age=60\n" CC "no-store", NULL, NO_STORE),
		NO("no-store beside Expires", "9111 5.2.2.5", "GET 200", NULL, "Expires: @60\nDate: @0\n" CC "no-store", NULL, NO_STORE),
		NO("no-store with an argument", "9111 5.2.2.5", "GET 200", NULL, CC "max-age=60, no-store=1", NULL, NO_STORE),
		YES("no-store in quotes is another directive's text", "9111 5.2", "GET 200", NULL, CC "max-age=60, x=\"no-store\"", NULL, 60, MAX_AGE, 'F'),
		NO("no-store wins over the route's ttl", "9111 5.2.2.5", "GET 200", NULL, CC "no-store", "ttl=60", NO_STORE),
		NO("no-store wins over ttl_min", "9111 5.2.2.5", "GET 200", NULL, CC "no-store, max-age=1", "min=60", NO_STORE),
		NO("private", "9111 5.2.2.7", "GET 200", NULL, CC "private, max-age=60", NULL, PRIVATE),
		NO("private in any case", "9111 5.2", "GET 200", NULL, CC "PRIVATE, max-age=60", NULL, PRIVATE),
		NO("private beside s-maxage", "9111 5.2.2.7", "GET 200", NULL, CC "private, s-maxage=60", NULL, PRIVATE),
		NO("private beside public", "9111 5.2.2.7", "GET 200", NULL, CC "private, public, max-age=60", NULL, PRIVATE),
		NO("private wins over the route's ttl", "9111 5.2.2.7", "GET 200", NULL, CC "private", "ttl=60", PRIVATE),
		YES("private for one field", "9111 5.2.2.7", "GET 200", NULL, CC "private=\"x-user\", max-age=60", NULL, 60, MAX_AGE, 'F'),
		NO("private for one field and in full", "9111 5.2.2.7", "GET 200", NULL, CC "private=\"x-user\", private, max-age=60", NULL, PRIVATE),
		NO("private with an unreadable list", "9111 5.2.2.7", "GET 200", NULL, CC "max-age=60, private=\"a b\"", NULL, PRIVATE),
		YES("no-cache is stored and validated", "9111 5.2.2.4", "GET 200", NULL, CC "no-cache\nETag: \"a\"", NULL, 0, NONE, 'V'),
		YES("no-cache without a validator too", "9111 5.2.2.4", "GET 200", NULL, CC "no-cache", NULL, 0, NONE, 'V'),
		YES("no-cache beside max-age", "9111 5.2.2.4", "GET 200", NULL, CC "max-age=60, no-cache", NULL, 60, MAX_AGE, 'V'),
		YES("no-cache for one field", "9111 5.2.2.4", "GET 200", NULL, CC "max-age=60, no-cache=\"x\"", NULL, 60, MAX_AGE, 'F'),
		YES("no-cache for two fields, two lines", "9111 5.2.2.4", "GET 200", NULL, CC "no-cache=\"x, y\"\n" CC "max-age=60", NULL, 60, MAX_AGE, 'F'),
		YES("no-cache for one field and in full", "9111 5.2.2.4", "GET 200", NULL, CC "max-age=60, no-cache=\"x\", no-cache", NULL, 60, MAX_AGE, 'V'),
		YES("Pragma in an answer means nothing", "9111 5.4", "GET 200", NULL, CC "max-age=60\nPragma: no-cache", NULL, 60, MAX_AGE, 'F'),
		NO("a request's no-store", "9111 5.2.1.5", "GET 200", CC "no-store", CC "max-age=60", "refresh", REQUEST_NO_STORE),
		NO("a request's no-store, any case", "9111 5.2.1.5", "GET 200", CC "max-age=5, NO-store", CC "max-age=60", "refresh", REQUEST_NO_STORE),
		NO("a request's no-store against force", "9111 5.2.1.5", "GET 200", CC "no-store", CC "max-age=60", "refresh force=5", REQUEST_NO_STORE),
		YES("a request's no-store where clients do not decide", "route", "GET 200", CC "no-store", CC "max-age=60", NULL, 60, MAX_AGE, 'F'),
		YES("a request's cookie prevents nothing", "9111 3", "GET 200", "Cookie: a=b", CC "max-age=60", NULL, 60, MAX_AGE, 'F'),
		YES("unknown directives are ignored", "9111 5.2.3", "GET 200", NULL, CC "foo, bar=\"x, y\", max-age=60", NULL, 60, MAX_AGE, 'F'),
	};
	RUN(rows);
}

static void credentials_need_the_upstreams_word(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		NO("max-age is not enough", "9111 3.5", "GET 200", AUTH, CC "max-age=60", NULL, AUTHORIZATION),
		NO("Expires is not enough", "9111 3.5", "GET 200", AUTH, "Date: @0\nExpires: @60", NULL, AUTHORIZATION),
		NO("heuristics are not", "9111 3.5", "GET 200", AUTH, LM, NULL, AUTHORIZATION),
		NO("the route's ttl is not", "9111 3.5", "GET 200", AUTH, NULL, "ttl=60", AUTHORIZATION),
		NO("force is not", "9111 3.5", "GET 200", AUTH, CC "max-age=60", "force=60", AUTHORIZATION),
		NO("proxy-revalidate is not", "9111 3.5", "GET 200", AUTH, CC "max-age=60, proxy-revalidate", NULL, AUTHORIZATION),
		NO("immutable is not", "9111 3.5", "GET 200", AUTH, CC "max-age=60, immutable", NULL, AUTHORIZATION),
		NO("no-cache is not", "9111 3.5", "GET 200", AUTH, CC "no-cache\nETag: \"a\"", NULL, AUTHORIZATION),
		YES("public is", "9111 3.5", "GET 200", AUTH, CC "max-age=60, public", NULL, 60, MAX_AGE, 'F'),
		YES("must-revalidate is", "9111 3.5", "GET 200", AUTH, CC "max-age=60, must-revalidate", NULL, 60, MAX_AGE, 'F'),
		YES("s-maxage is", "9111 3.5", "GET 200", AUTH, CC "s-maxage=60", NULL, 60, S_MAXAGE, 'F'),
		YES("public in a targeted field is", "9213 2.2", "GET 200", AUTH, "CDN-Cache-Control: public, max-age=60", NULL, 60, TARGETED, 'F'),
		YES("s-maxage in a targeted field is", "9213 2.2", "GET 200", AUTH, "CDN-Cache-Control: s-maxage=60", NULL, 60, TARGETED, 'F'),
		NO("public beside a targeted field is not", "9213 2.2", "GET 200", AUTH, CC "public\nCDN-Cache-Control: max-age=60", NULL, AUTHORIZATION),
		NO("private wins over public", "9111 3", "GET 200", AUTH, CC "max-age=60, public, private", NULL, PRIVATE),
		NO("Authorization that is not the identity", "9111 3.5", "GET 200", AUTH, CC "max-age=60", "scope=user", AUTHORIZATION),
		NO("private, and Authorization beside the identity", "9111 3", "GET 200", AUTH, CC "max-age=60, private", "scope=user", PRIVATE),
		YES("a user's own copy of something private", "route", "GET 200", NULL, CC "max-age=60, private", "scope=user", 60, MAX_AGE, 'F'),
		YES("private for a user, without a lifetime", "9111 3", "GET 201", NULL, CC "private\nETag: \"a\"", "scope=user", 0, NONE, 'V'),
		NO("no-store for a user", "9111 5.2.2.5", "GET 200", AUTH, CC "max-age=60, no-store", "scope=user", NO_STORE),
	};
	RUN(rows);
}

static void other_credentials_need_the_upstreams_word(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		NO("the route's ttl is not", "route", "GET 200", COOKIE, NULL, "ttl=60", CREDENTIAL),
		NO("nor beside a validator", "route", "GET 200", COOKIE, "ETag: \"a\"", "ttl=60", CREDENTIAL),
		NO("nor a window", "route", "GET 200", COOKIE, NULL, "ttl=60 swr=60 sie=60", CREDENTIAL),
		NO("heuristics are not", "route", "GET 200", COOKIE, LM, NULL, CREDENTIAL),
		NO("force is not", "route", "GET 200", COOKIE, NULL, "force=60", CREDENTIAL),
		NO("force over a lifetime of 0 is not", "route", "GET 200", COOKIE, CC "max-age=0", "force=60", CREDENTIAL),
		NO("ttl_min over a lifetime of 0 is not", "route", "GET 200", COOKIE, CC "max-age=0", "min=60", CREDENTIAL),
		NO("an error's ttl is not", "route", "GET 404", COOKIE, NULL, "t404=60", CREDENTIAL),
		NO("must-revalidate is not", "route", "GET 200", COOKIE, CC "must-revalidate\nETag: \"a\"", "ttl=60", CREDENTIAL),
		NO("no-cache is not", "route", "GET 200", COOKIE, CC "no-cache\nETag: \"a\"", NULL, CREDENTIAL),
		NO("no-cache beside a lifetime is not", "route", "GET 200", COOKIE, CC "no-cache, max-age=9\nETag: \"a\"", NULL, CREDENTIAL),
		NO("Expires in the past is not", "route", "GET 200", COOKIE, "Date: @0\nExpires: @-9\nETag: \"a\"", NULL, CREDENTIAL),
		NO("private", "9111 3", "GET 200", COOKIE, CC "max-age=60, private", NULL, PRIVATE),
		YES("max-age is", "9111 3", "GET 200", COOKIE, CC "max-age=60", NULL, 60, MAX_AGE, 'F'),
		YES("Expires is", "9111 3", "GET 200", COOKIE, "Date: @0\nExpires: @60", NULL, 60, EXPIRES, 'F'),
		YES("s-maxage is", "9111 3", "GET 200", COOKIE, CC "s-maxage=60", NULL, 60, S_MAXAGE, 'F'),
		YES("a targeted field is", "9213 2.2", "GET 200", COOKIE, "CDN-Cache-Control: max-age=60", NULL, 60, TARGETED, 'F'),
		YES("an error's own lifetime is", "9111 3", "GET 404", COOKIE, CC "max-age=60", NULL, 60, MAX_AGE, 'F'),
		YES("public is, for the route's ttl", "9111 5.2.2.9", "GET 200", COOKIE, CC "public", "ttl=60", 60, ROUTE, 'F'),
		YES("public is, for heuristics", "9111 4.2.2", "GET 200", COOKIE, CC "public\n" LM, NULL, 8640, HEURISTIC, 'F'),
		YES("force does not lengthen it", "route", "GET 200", COOKIE, CC "max-age=9", "force=60", 9, MAX_AGE, 'F'),
		YES("nor does ttl_min", "route", "GET 200", COOKIE, CC "max-age=9", "min=60", 9, MAX_AGE, 'F'),
		YES("ttl_max shortens it", "route", "GET 200", COOKIE, CC "max-age=90", "max=60", 60, MAX_AGE, 'F'),
		NO("force lengthens nothing of Authorization's", "route", "GET 200", AUTH, CC "public, max-age=0", "force=60", FRESH),
		NO("must-revalidate does not let the ttl count", "9111 3.5", "GET 200", AUTH, CC "must-revalidate", "ttl=60", FRESH),
		YES("public lets it count", "9111 3.5", "GET 200", AUTH, CC "public", "ttl=60", 60, ROUTE, 'F'),
		NO("both", "9111 3.5", "GET 200", AUTH "\n" COOKIE, CC "max-age=60", NULL, AUTHORIZATION),
		NO("both, of which one is let through", "route", "GET 200", AUTH "\n" COOKIE, CC "must-revalidate", "ttl=60", CREDENTIAL),
		YES("both let through", "route", "GET 200", AUTH "\n" COOKIE, CC "max-age=60, must-revalidate", NULL, 60, MAX_AGE, 'F'),
		NO("a user's, by the route's ttl", "route", "GET 200", COOKIE, NULL, "scope=user ttl=60", CREDENTIAL),
		NO("a user's, private without a lifetime", "route", "GET 200", COOKIE, CC "private", "scope=user ttl=60", PRIVATE),
		NO("a user's, private with a lifetime", "route", "GET 200", COOKIE, CC "private, max-age=9", "scope=user", PRIVATE),
		NO("a user's Authorization, by the route's ttl", "route", "GET 200", AUTH, NULL, "scope=user ttl=60", AUTHORIZATION),
	};
	RUN(rows);
}

static void set_cookie_needs_explicit_freshness(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		YES("max-age", "9111 7.3", "GET 200", NULL, "Set-Cookie: a=b\n" CC "max-age=60", NULL, 60, MAX_AGE, 'F'),
		YES("s-maxage", "9111 7.3", "GET 200", NULL, "Set-Cookie: a=b\n" CC "s-maxage=60", NULL, 60, S_MAXAGE, 'F'),
		YES("Expires", "9111 7.3", "GET 200", NULL, "Set-Cookie: a=b\nDate: @0\nExpires: @60", NULL, 60, EXPIRES, 'F'),
		YES("a targeted field", "9213 2.2", "GET 200", NULL, "Set-Cookie: a=b\nCDN-Cache-Control: max-age=60", NULL, 60, TARGETED, 'F'),
		NO("heuristics", "route", "GET 200", NULL, "Set-Cookie: a=b\n" LM, NULL, SET_COOKIE),
		NO("public with heuristics", "route", "GET 200", NULL, "Set-Cookie: a=b\n" LM "\n" CC "public", NULL, SET_COOKIE),
		NO("the route's ttl", "route", "GET 200", NULL, "Set-Cookie: a=b", "ttl=60", SET_COOKIE),
		NO("the route's force", "route", "GET 200", NULL, "Set-Cookie: a=b", "force=60", SET_COOKIE),
		NO("force over no-store", "route", "GET 200", NULL, "Set-Cookie: a=b\n" CC "max-age=9, no-store", "force=60", NO_STORE),
		YES("force does not lengthen it", "route", "GET 200", NULL, "Set-Cookie: a=b\n" CC "max-age=9", "force=60", 9, MAX_AGE, 'F'),
		YES("nor does ttl_min", "route", "GET 200", NULL, "Set-Cookie: a=b\n" CC "max-age=9", "min=60", 9, MAX_AGE, 'F'),
		YES("ttl_max shortens it", "route", "GET 200", NULL, "Set-Cookie: a=b\n" CC "max-age=90", "max=60", 60, MAX_AGE, 'F'),
		NO("max-age=0 and a validator", "route", "GET 200", NULL, "Set-Cookie: a=b\n" CC "max-age=0\nETag: \"a\"", NULL, SET_COOKIE),
		NO("max-age=0 and ttl_min", "route", "GET 200", NULL, "Set-Cookie: a=b\n" CC "max-age=0", "min=60", SET_COOKIE),
		NO("no-cache and a validator", "route", "GET 200", NULL, "Set-Cookie: a=b\n" CC "no-cache, max-age=9\nETag: \"a\"", NULL, SET_COOKIE),
		NO("an error's ttl", "route", "GET 404", NULL, "Set-Cookie: a=b", "t404=60", SET_COOKIE),
		YES("no-cache for that field strips it", "9111 5.2.2.4", "GET 200", NULL, "Set-Cookie: a=b\n" CC "no-cache=\"set-cookie\"", "ttl=60", 60, ROUTE, 'F'),
		YES("private for that field strips it", "9111 5.2.2.7", "GET 200", NULL, "Set-Cookie: a=b\n" LM "\n" CC "private=\"Set-Cookie\"", NULL, 8640, HEURISTIC, 'F'),
		YES("store", "route", "GET 200", NULL, "Set-Cookie: a=b", "cookie=store ttl=60", 60, ROUTE, 'F'),
		YES("store and force", "route", "GET 200", NULL, "Set-Cookie: a=b\n" CC "no-store", "cookie=store force=60", 60, ROUTE_FORCE, 'F'),
		YES("strip", "route", "GET 200", NULL, "Set-Cookie: a=b\n" LM, "cookie=strip", 8640, HEURISTIC, 'F'),
		NO("pass", "route", "GET 200", NULL, "Set-Cookie: a=b\n" CC "max-age=60", "cookie=pass", SET_COOKIE),
		YES("pass without a cookie", "route", "GET 200", NULL, CC "max-age=60", "cookie=pass", 60, MAX_AGE, 'F'),
		NO("store does not excuse private", "9111 5.2.2.7", "GET 200", NULL, "Set-Cookie: a=b\n" CC "private, max-age=9", "cookie=store", PRIVATE),
	};
	RUN(rows);
}

static void what_can_be_of_no_use_is_not_stored(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		NO("nothing at all", "9111 3", "GET 200", NULL, NULL, NULL, FRESH),
		NO("a Date only", "9111 3", "GET 200", NULL, "Date: @0", NULL, FRESH),
		NO("public only", "9111 5.2.2.9", "GET 200", NULL, CC "public", NULL, FRESH),
		NO("must-revalidate only", "9111 3", "GET 200", NULL, CC "must-revalidate", NULL, FRESH),
		NO("max-age=0", "9111 3", "GET 200", NULL, CC "max-age=0", NULL, FRESH),
		NO("Expires in the past", "9111 5.3", "GET 200", NULL, "Date: @0\nExpires: @-9", NULL, FRESH),
		YES("an ETag", "9111 4.3", "GET 200", NULL, "ETag: \"a\"", NULL, 0, NONE, 'V'),
		YES("a weak ETag", "9111 4.3", "GET 200", NULL, "ETag: W/\"a\"", NULL, 0, NONE, 'V'),
		NO("an empty ETag", "9110 8.8.3", "GET 200", NULL, "ETag:", NULL, FRESH),
		YES("Last-Modified after Date", "9111 4.3", "GET 200", NULL, "Date: @0\nLast-Modified: @9", NULL, 0, NONE, 'V'),
		NO("a Last-Modified that is no date", "9110 8.8.2", "GET 200", NULL, "Last-Modified: yesterday", NULL, FRESH),
		NO("two Last-Modified", "9110 5.3", "GET 200", NULL, "Last-Modified: @-9000\nLast-Modified: @-9000", NULL, FRESH),
		YES("max-age=0 and an ETag", "9111 4.3", "GET 200", NULL, CC "max-age=0\nETag: \"a\"", NULL, 0, MAX_AGE, 'V'),
		YES("max-age=0 and stale-while-revalidate", "5861 3", "GET 200", NULL, CC "max-age=0, stale-while-revalidate=9", NULL, 0, MAX_AGE, 'W'),
		YES("max-age=0 and stale-if-error", "5861 4", "GET 200", NULL, CC "max-age=0, stale-if-error=9", NULL, 0, MAX_AGE, 'V'),
		NO("s-maxage=0 may not be stale", "9111 5.2.2.10", "GET 200", NULL, CC "s-maxage=0, stale-if-error=9", NULL, FRESH),
		NO("must-revalidate may not be stale", "9111 5.2.2.2", "GET 200", NULL, CC "max-age=0, must-revalidate, stale-if-error=9", NULL, FRESH),
		NO("no lifetime, but the route's window", "route", "GET 200", NULL, NULL, "swr=60 sie=60", FRESH),
		NO("an error for validation only", "9110 13.2.1", "GET 404", NULL, "ETag: \"a\"", NULL, STATUS),
		NO("a redirect for validation only", "9110 13.2.1", "GET 301", NULL, CC "max-age=0\nLast-Modified: @-9", NULL, FRESH),
		NO("an error without anything", "9111 3", "GET 404", NULL, NULL, NULL, STATUS),
		NO("an error with the route's ttl for answers", "route", "GET 404", NULL, NULL, "ttl=60", STATUS),
		NO("vary star", "9111 4.1", "GET 200", NULL, CC "max-age=60\nVary: *", NULL, VARY_STAR),
		NO("vary star behind an empty line", "9111 4.1", "GET 200", NULL, CC "max-age=60\nVary:\nVary: *", NULL, VARY_STAR),
		NO("vary star behind an empty member", "9111 4.1", "GET 200", NULL, CC "max-age=60\nVary: , *", NULL, VARY_STAR),
		NO("vary star behind a name", "9111 4.1", "GET 200", NULL, CC "max-age=60\nVary: accept, *", NULL, VARY_STAR),
		NO("vary star, forced", "9111 4.1", "GET 200", NULL, "Vary: *", "force=60", VARY_STAR),
		YES("vary", "9111 4.1", "GET 200", NULL, CC "max-age=60\nVary: Accept", NULL, 60, MAX_AGE, 'F'),
	};
	RUN(rows);
}

/* ---- Flags, names, stripping ---- */

static unsigned flags_of(const char *request, const char *response, const char *route)
{
	struct rows_exchange e;
	struct freshness f = {0};
	rows_exchange_init(&e, "GET 200", request, response, route, 0);
	assert_int_equal(policy_store(&e.x, &f), POLICY_STORE);
	rows_exchange_fini(&e);
	return f.flags;
}

static void flags_say_how_it_may_be_used(void **state)
{
	(void)state;
	static const struct {
		const char *request, *response, *route;
		unsigned flags;
	} rows[] = {
		{NULL, CC "max-age=9", NULL, POLICY_FOR_ALL},
		{NULL, CC "max-age=9, no-cache", NULL, POLICY_NO_CACHE | POLICY_NEVER_STALE | POLICY_FOR_ALL},
		{NULL, CC "max-age=9, no-cache=\"a\"", NULL, POLICY_FOR_ALL},
		{NULL, CC "max-age=9, must-revalidate", NULL, POLICY_NEVER_STALE | POLICY_FOR_ALL},
		{NULL, CC "max-age=9, proxy-revalidate", NULL, POLICY_NEVER_STALE | POLICY_FOR_ALL},
		{NULL, CC "s-maxage=9", NULL, POLICY_NEVER_STALE | POLICY_FOR_ALL},
		{NULL, CC "max-age=9, immutable", NULL, POLICY_IMMUTABLE | POLICY_FOR_ALL},
		{NULL, "Expires: @9\nDate: @0", NULL, POLICY_FOR_ALL},
		{NULL, CC "public", "ttl=9", POLICY_FOR_ALL},
		{NULL, NULL, "ttl=9", 0},
		{NULL, LM, NULL, 0},
		{NULL, CC "max-age=0\nETag: \"a\"", NULL, 0},
		{NULL, CC "max-age=9", "force=60", 0},
		{NULL, CC "max-age=9, public", "force=60", 0},
		{NULL, CC "max-age=9", "min=60", 0},
		{NULL, CC "max-age=9", "min=5", POLICY_FOR_ALL},
		{NULL, CC "max-age=9", "max=5", POLICY_FOR_ALL},
		{COOKIE, CC "max-age=9", "force=60 min=60", POLICY_FOR_ALL},
		{AUTH, CC "max-age=9, public", NULL, POLICY_FOR_ALL},
		{AUTH, CC "max-age=9, must-revalidate", NULL, POLICY_NEVER_STALE | POLICY_FOR_ALL},
		{AUTH, CC "max-age=9, public", "scope=user", POLICY_PRIVATE | POLICY_FOR_ALL},
		{NULL, CC "max-age=9, private", "scope=user", POLICY_PRIVATE},
		{NULL, CC "max-age=9", "scope=user", POLICY_FOR_ALL},
		{NULL, CC "no-cache, no-store", "force=9", 0},
		{NULL, CC "s-maxage=1", "force=9", 0},
		{NULL, CC "s-maxage=1, must-revalidate", "force=9", POLICY_NEVER_STALE},
		{NULL, "CDN-Cache-Control: max-age=9, must-revalidate, immutable", NULL,
			POLICY_NEVER_STALE | POLICY_IMMUTABLE | POLICY_FOR_ALL},
		{NULL, CC "must-revalidate\nCDN-Cache-Control: max-age=9", NULL, POLICY_FOR_ALL},
		{NULL, CC "public\nCDN-Cache-Control: stale-if-error=9", "ttl=9", 0},
	};
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned flags = flags_of(rows[i].request, rows[i].response, rows[i].route);
		if (flags != rows[i].flags)
			fail_msg("%s: flags %u, not %u", rows[i].response, flags, rows[i].flags);
	}
}

#define RAILS CC "max-age=0, private, must-revalidate\nETag: \"a\""
#define EXPRESS CC "no-cache\nPragma: no-cache\nExpires: -1\nETag: \"a\""

static void override_names_what_the_route_may_overrule(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		NO("private against force", "route", "GET 200", NULL, RAILS, "force=9", PRIVATE),
		YES("private, overruled by force", "route", "GET 200", NULL, RAILS, "force=9 override=private", 9, ROUTE_FORCE, 'F'),
		YES("private, overruled for ttl", "route", "GET 200", NULL, CC "private", "ttl=9 override=private", 9, ROUTE, 'F'),
		YES("the origin's lifetime stays", "route", "GET 200", NULL, CC "private, max-age=5", "ttl=9 override=private", 5, MAX_AGE, 'F'),
		YES("a lifetime of 0 too", "route", "GET 200", NULL, RAILS, "ttl=9 override=private", 0, MAX_AGE, 'V'),
		YES("but under no-cache", "route", "GET 200", NULL, RAILS, "ttl=9 override=private,no-cache", 9, ROUTE, 'F'),
		YES("which is nothing without ttl", "route", "GET 200", NULL, EXPRESS, "override=no-cache", 0, EXPIRES, 'V'),
		YES("no-cache, without it", "route", "GET 200", NULL, EXPRESS, "ttl=9", 0, EXPIRES, 'V'),
		YES("no-cache, overruled for ttl", "route", "GET 200", NULL, EXPRESS, "ttl=9 override=no-cache", 9, ROUTE, 'F'),
		YES("no-cache, by force alone", "route", "GET 200", NULL, EXPRESS, "force=9", 9, ROUTE_FORCE, 'F'),
		YES("no-cache, not named", "route", "GET 200", NULL, EXPRESS, "force=9 override=private", 9, ROUTE_FORCE, 'V'),
		NO("no-store, not named", "route", "GET 200", NULL, CC "no-store", "force=9 override=private", NO_STORE),
		YES("no-store, named", "route", "GET 200", NULL, CC "no-store", "ttl=9 override=no-store", 9, ROUTE, 'F'),
		NO("nothing without a ttl", "route", "GET 200", NULL, CC "no-store, max-age=9", "override=no-store", NO_STORE),
		NO("nothing without a ttl", "route", "GET 200", NULL, CC "private, max-age=9", "override=private", PRIVATE),
		NO("a client's no-store", "route", "GET 200", CC "no-store", NULL, "ttl=9 override=no-store refresh", REQUEST_NO_STORE),
		NO("no error", "route", "GET 404", NULL, CC "private", "ttl=9 t404=9 override=private", PRIVATE),
		NO("no redirect of a visitor", "route", "GET 302", NULL, CC "private", "ttl=9 override=private", PRIVATE),
		NO("private of a cookie", "route", "GET 200", COOKIE, CC "private, max-age=9", "force=9 override=private,no-store", CREDENTIAL),
		NO("private of a token", "route", "GET 200", AUTH, RAILS, "force=9 override=private", AUTHORIZATION),
		NO("authorization alone", "route", "GET 200", AUTH, CC "max-age=9", "force=9", AUTHORIZATION),
		YES("authorization, overruled", "route", "GET 200", AUTH, NULL, "ttl=9 override=authorization", 9, ROUTE, 'F'),
		YES("authorization, by force", "route", "GET 200", AUTH, CC "max-age=1", "force=9 override=authorization", 9, ROUTE_FORCE, 'F'),
		NO("private of a token, authorization overruled", "route", "GET 200", AUTH, RAILS, "force=9 override=authorization", PRIVATE),
		YES("both", "route", "GET 200", AUTH, RAILS, "force=9 override=authorization,private", 9, ROUTE_FORCE, 'F'),
		NO("not what a cookie beside it brings", "route", "GET 200", AUTH "\n" COOKIE, NULL, "ttl=9 override=authorization,private", AUTHORIZATION),
		NO("nor a 401", "route", "GET 401", AUTH, CC "max-age=9", "ttl=9 t4xx=9 override=authorization", AUTHORIZATION),
		NO("a cookie that is set", "route", "GET 200", NULL, "Set-Cookie: a=b", "ttl=9", SET_COOKIE),
		YES("overruled", "route", "GET 200", NULL, "Set-Cookie: a=b", "ttl=9 override=set-cookie", 9, ROUTE, 'F'),
		YES("by force", "route", "GET 200", NULL, "Set-Cookie: a=b\n" CC "max-age=1", "force=9 override=set-cookie", 9, ROUTE_FORCE, 'F'),
		NO("not where set_cookie says pass", "route", "GET 200", NULL, "Set-Cookie: a=b", "cookie=pass ttl=9 override=set-cookie", SET_COOKIE),
		NO("never Vary: *", "route", "GET 200", NULL, "Vary: *", "force=9 override=private,no-store,no-cache,authorization,set-cookie", VARY_STAR),
	};
	RUN(rows);
}

/* What was stored against the origin's word is not shown to who bears a credential. */
static void what_is_overruled_is_not_for_all(void **state)
{
	(void)state;
	assert_int_equal(flags_of(NULL, CC "private, max-age=9", "ttl=9 override=private"), 0);
	assert_int_equal(flags_of(NULL, CC "no-store, max-age=9", "ttl=9 override=no-store"), 0);
	assert_int_equal(flags_of(NULL, CC "no-cache, max-age=9", "ttl=9 override=no-cache"), 0);
	assert_int_equal(flags_of(NULL, CC "public, max-age=0", "ttl=9 override=no-cache"), 0);
	assert_int_equal(flags_of(NULL, CC "max-age=9\nSet-Cookie: a=b", "ttl=9 override=set-cookie"), 0);
	assert_int_equal(flags_of(AUTH, CC "max-age=9", "ttl=9 override=authorization"), 0);
	assert_int_equal(flags_of(AUTH, CC "max-age=9, public", "ttl=9 override=authorization"), POLICY_FOR_ALL);
	assert_int_equal(flags_of(NULL, CC "max-age=9", "ttl=9 override=private,no-store"), POLICY_FOR_ALL);
}

static void every_verdict_has_a_name(void **state)
{
	(void)state;
	for (unsigned s = POLICY_STORE; s < POLICY_STORES_N; s++) {
		const char *name = policy_reason((enum policy_store)s)->token;
		assert_non_null(name);
		assert_true(name[0] != '\0');
		for (unsigned other = 0; other < s; other++)
			assert_string_not_equal(name, policy_reason((enum policy_store)other)->token);
	}
}

static void assert_left(const char *response, const char *route, const char *names)
{
	struct rows_exchange e;
	char left[256] = "";
	rows_exchange_init(&e, "GET 200", NULL, response, route, 0);
	assert_int_equal(policy_strip_fields(&e.response, &e.rules), 0);
	for (uint32_t i = 0; i < e.response.n; i++) {
		strncat(left, i ? "," : "", sizeof(left) - strlen(left) - 1);
		strncat(left, e.response.v[i].name.p, e.response.v[i].name.n);
	}
	assert_string_equal(left, names);
	rows_exchange_fini(&e);
}

static void fields_that_are_not_to_be_stored_are_stripped(void **state)
{
	(void)state;
	assert_left("A: 1\nB: 2", NULL, "A,B");
	assert_left("A: 1\nConnection: close, b\nB: 2\nC: 3", NULL, "A,C");
	assert_left("Keep-Alive: 1\nProxy-Authenticate: x\nProxy-Authentication-Info: y\nA: 1\nTransfer-Encoding: chunked", NULL, "A");
	assert_left("A: 1\nB: 2\n" CC "no-cache=\"a\"", NULL, "B,Cache-Control");
	assert_left("A: 1\na: 3\nB: 2\nC: 3\n" CC "no-cache=\"A, b\"", NULL, "C,Cache-Control");
	assert_left("A: 1\nB: 2\n" CC "private=\"b\"", NULL, "A,Cache-Control");
	assert_left("A: 1\nB: 2\n" CC "private=\"b\"", "scope=user", "A,B,Cache-Control");
	assert_left("A: 1\n" CC "private=\"a\"\nB: 2\n" CC "no-cache=\"b\"", NULL, "Cache-Control,Cache-Control");
	assert_left("Vary: A\nDate: @0\n" CC "no-cache=\"vary, date, cache-control\"", NULL, "Vary,Date,Cache-Control");
	assert_left("Expires: @0\nAge: 1\nContent-Type: a/b\nContent-Encoding: gzip\nContent-Length: 1\n" CC "no-cache=\"Expires, Age, Content-Type, Content-Encoding, Content-Length\"", NULL, "Expires,Age,Content-Type,Content-Encoding,Content-Length,Cache-Control");
	assert_left("Content-Encoding: gzip\nA: 1\n" CC "private=\"content-encoding, a\"", NULL, "Content-Encoding,Cache-Control");
	assert_left("CDN-Cache-Control: max-age=9\n" CC "no-cache=\"cdn-cache-control\"", NULL, "CDN-Cache-Control,Cache-Control");
	assert_left("Set-Cookie: a\nA: 1\nSet-Cookie: b", "cookie=store", "Set-Cookie,A,Set-Cookie");
	assert_left("Set-Cookie: a\nA: 1\nSet-Cookie2: b", NULL, "A");
	assert_left("Set-Cookie: a\nA: 1\nSet-Cookie2: b", "cookie=strip", "A");
	assert_left("Set-Cookie: a\nA: 1\n" CC "no-cache=\"set-cookie\"", "cookie=store", "A,Cache-Control");
}

/* clang-format on */

static void a_post_that_responses_get_says_so(void **state)
{
	(void)state;
	struct rows_exchange e;
	const char *response = "Cache-Control: max-age=60\nContent-Location: /dir/page";
	rows_exchange_init(&e, "POST 200", NULL, response, NULL, 0);
	assert_true(policy_post_answers_get(&e.x));
	e.rules.methods |= 1U << HTTP_POST;
	assert_false(policy_post_answers_get(&e.x));
	e.rules.methods = 0;
	e.x.target_url = SLICE_LIT("");
	assert_false(policy_post_answers_get(&e.x));
	rows_exchange_fini(&e);
	rows_exchange_init(&e, "GET 200", NULL, response, NULL, 0);
	assert_false(policy_post_answers_get(&e.x));
	rows_exchange_fini(&e);
}

static void refresh_of_what_may_no_longer_be_stored_is_to_be_validated(void **state)
{
	(void)state;
	static const struct {
		const char *response, *route;
		bool usable;
	} rows[] = {
		{"Cache-Control: max-age=60", NULL, true},
		{"Cache-Control: max-age=60, no-store", NULL, false},
		{"Cache-Control: max-age=60, private", NULL, false},
		{"Cache-Control: max-age=60, private", "scope=user", true},
		{"Cache-Control: max-age=60\nVary: *", NULL, false},
		{"Cache-Control: max-age=60, no-store", "force=60", true},
		{"Last-Modified: @-90000\nSet-Cookie: a=b", NULL, false},
	};
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct rows_exchange e;
		struct freshness f;
		rows_exchange_init(&e, "GET 200", NULL, rows[i].response, rows[i].route, 0);
		assert_int_equal(policy_refresh(&e.x, &f), rows[i].usable);
		assert_int_equal(policy_reuse(&f, NULL, false, false, rows_at(1)).use,
			rows[i].usable ? POLICY_FRESH : POLICY_VALIDATE);
		assert_int_equal(policy_stale_if_error(&f, 0, false, rows_at(1)), false);
		rows_exchange_fini(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods_decide_first),
		cmocka_unit_test(statuses_decide_what_is_stored_without_a_lifetime),
		cmocka_unit_test(must_understand_limits_storing_to_known_statuses),
		cmocka_unit_test(no_store_and_private_forbid),
		cmocka_unit_test(credentials_need_the_upstreams_word),
		cmocka_unit_test(other_credentials_need_the_upstreams_word),
		cmocka_unit_test(set_cookie_needs_explicit_freshness),
		cmocka_unit_test(what_can_be_of_no_use_is_not_stored),
		cmocka_unit_test(flags_say_how_it_may_be_used),
		cmocka_unit_test(override_names_what_the_route_may_overrule),
		cmocka_unit_test(what_is_overruled_is_not_for_all),
		cmocka_unit_test(every_verdict_has_a_name),
		cmocka_unit_test(fields_that_are_not_to_be_stored_are_stripped),
		cmocka_unit_test(a_post_that_responses_get_says_so),
		cmocka_unit_test(refresh_of_what_may_no_longer_be_stored_is_to_be_validated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
