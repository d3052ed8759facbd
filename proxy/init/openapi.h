/* SPDX-License-Identifier: MIT */
/* An OpenAPI document (2.0 is Swagger's) as routes.
 * Thread: any. Bounds: OPENAPI_ROUTES_MAX paths; references within the document only, OPENAPI_STEPS_MAX one after the other. */
#ifndef PROXY_INIT_OPENAPI_H
#define PROXY_INIT_OPENAPI_H

#include <jansson.h>
#include <stdbool.h>

#include "base/slice.h"

enum { OPENAPI_ROUTES_MAX = 200, OPENAPI_STEPS_MAX = 8 };

struct openapi_route {
	struct slice path; /* "/users/{id}", with the base path or the server's */
	struct slice
		example; /* the same with examples in place of names, and the query that is required; empty: one is missing */
	bool reads, writes; /* has GET; has one of the others */
	bool needs_credential;
	const char *summary; /* of GET; or NULL */
};

/* Is it one? */
bool openapi_is(const json_t *document);
/* With each path of it. What the callback is given lives until it returns. */
void openapi_each(const json_t *document, void (*each)(void *arg, const struct openapi_route *r), void *arg);

#endif
