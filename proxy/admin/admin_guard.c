/* SPDX-License-Identifier: MIT */
/* Who may ask the admin side. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "http/uri.h"
#include "proxy/admin/admin_internal.h"

/* Why not, or NULL. */
static const char *refusal_of_token(struct slice token, const struct http_field *authorization)
{
	const struct slice scheme = SLICE_LIT("Bearer ");

	if (!authorization || !slice_starts_with_nocase(authorization->value, scheme))
		return "a bearer token is required";
	return slice_equal_secret(slice_trim(slice_from(authorization->value, scheme.n)), token)
		       ? NULL
		       : "that bearer token is not the one of [admin] token";
}

/* An address of this machine or `localhost`, to the letter: what only looks like one may be a name in anybody's DNS, which
 * a web page has made lead here. */
static bool is_loopback(struct slice authority)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr v6;
	struct in_addr v4;
	struct slice host;
	int port;

	if (!uri_authority_parse(authority, &host, &port))
		return false;
	if (slice_equal_nocase(host, SLICE_LIT("localhost")))
		return true;
	if (host.n > 2 && host.p[0] == '[')
		host = (struct slice){host.p + 1, host.n - 2};
	if (host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

const char *admin_refusal(const struct config_admin *a, const struct http_request *r, int *status)
{
	*status = 403;
	if (a->token.n && !slice_equal(r->path, SLICE_LIT("/healthz"))) {
		*status = 401;
		return refusal_of_token(a->token, http_fields_get(&r->fields, HF_AUTHORIZATION));
	}
	if (!a->token.n && r->host.n && !is_loopback(r->host))
		return "Host is not a loopback name";
	if (r->method == HTTP_POST && http_fields_are_of_page(&r->fields))
		return "requests from web pages are refused";
	return NULL;
}
