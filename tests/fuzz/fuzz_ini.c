/* SPDX-License-Identifier: MIT */
/* Configuration text: never a crash or leak; what is taken can be asked for routes, what is refused says why. */
#include <errno.h>

#include "config/config.h"

enum { ERRORS_MAX = 65536 };

static void ask(const struct config *c, const uint8_t *data, size_t n)
{
	struct slice path = {(const char *)data, n < 200 ? n : 200};
	struct pattern_captures captures;
	const struct config_route *r = config_route_for(c, path, path, true, path, &captures);
	struct buf out;

	buf_init(&out, ERRORS_MAX);
	for (unsigned i = 0; i < r->invalidates.n; i++)
		CHECK(pattern_expand(r->invalidates.v[i], &captures, &out) == 0 || out.err == -ENOBUFS);
	buf_fini(&out);
	CHECK(r->upstream < c->upstreams_n && r == &c->routes[r->index]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct config *c;
	struct buf errors;
	int rc;

	buf_init(&errors, ERRORS_MAX);
	rc = config_parse((struct slice){(const char *)data, n}, "fuzz", &c, &errors);
	CHECK((rc == 0) == (c != NULL) && (rc == 0) == (errors.n == 0));
	if (c)
		ask(c, data, n);
	config_unref(&c);
	buf_fini(&errors);
	return 0;
}
