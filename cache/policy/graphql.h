/* SPDX-License-Identifier: MIT */
/* What a GraphQL request asks for: may its response be stored, or does it change something?
 * Thread: any; no state. Bounds: GRAPHQL_BODY_MAX; a longer body is not looked into. */
#ifndef CACHE_POLICY_GRAPHQL_H
#define CACHE_POLICY_GRAPHQL_H

#include "http/message.h"

#define GRAPHQL_BODY_MAX (1024 * 1024)

enum graphql_kind {
	GRAPHQL_READS,   /* queries only, or a GET or HEAD without a document */
	GRAPHQL_CHANGES, /* a mutation or a subscription among its operations, whichever operationName chooses */
	GRAPHQL_UNKNOWN, /* nobody can tell: no document, a stored one's name, not GraphQL */
};

/* Of a request with this body (empty: none): the `query` of the URL, which some servers prefer, and that of the body: JSON, a
 * list of such, a form, or the document itself (application/graphql). */
enum graphql_kind graphql_kind_of(const struct http_request *request, struct slice body);
/* Of one document. */
enum graphql_kind graphql_document_kind(struct slice document);

#endif
