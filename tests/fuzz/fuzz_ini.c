/* SPDX-License-Identifier: MIT */
/* Configuration text: never a crash or leak; what is taken can be asked for routes, what is refused says why. */
#include <errno.h>

#include "config/config.h"

enum { ERRORS_MAX = 65536 };

static void ask(const struct config *c, const uint8_t *data, size_t n)
{
	struct slice path = {(const char *)data, n < 200 ? n : 200};
	struct pattern_captures captures;
	const struct config_route *r = config_route_for(c, path, path, true, path);
	struct buf out;

	config_route_captures(r, path, true, path, &captures);
	buf_init(&out, ERRORS_MAX);
	for (unsigned i = 0; i < r->invalidates.n; i++)
		CHECK(pattern_expand(r->invalidates.v[i], &captures, &out) == 0 || out.err == -ENOBUFS);
	buf_fini(&out);
	(void)config_route_decoded(c, path, path, true, path);
	CHECK(r->upstream < c->upstreams_n && r == &c->routes[r->rules.route_index]);
}

/* What is taken may still be worth a warning, and nothing else is said of it. */
static void check_warnings(struct slice text)
{
	while (text.n > 0) {
		const char *end = memchr(text.p, '\n', text.n);

		CHECK(end);
		CHECK(memmem(text.p, (size_t)(end - text.p), ": warning: ", 11));
		text.n -= (size_t)(end + 1 - text.p);
		text.p = end + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct config *c;
	struct buf errors;
	int rc;

	buf_init(&errors, ERRORS_MAX);
	rc = config_parse((struct slice){(const char *)data, n}, "fuzz", &c, &errors);
	CHECK((rc == 0) == (c != NULL));
	CHECK(rc == 0 || errors.n > 0);
	if (c) {
		check_warnings(buf_slice(&errors));
		ask(c, data, n);
	}
	config_unref(&c);
	buf_fini(&errors);
	return 0;
}
