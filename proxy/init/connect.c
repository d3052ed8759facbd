/* SPDX-License-Identifier: MIT */
#include "proxy/init/connect.h"

#include <errno.h>

#include "proxy/init/ask.h"
#include "proxy/init/discover.h"

enum { URL_BYTES_MAX = 8192 };

static int connect_to(struct ask *ask, const struct config_upstream *u, const struct config_url *url, FILE *to)
{
	struct answer a;
	struct buf text;
	int rc;

	answer_init(&a);
	buf_init(&text, URL_BYTES_MAX);
	rc = discover_url(url, u->health_path.n > 0 ? u->health_path : SLICE_LIT("/"), &text);
	if (rc == 0)
		rc = ask_get(ask, text.p, false, &a);
	if (rc == -ECONNREFUSED)
		fprintf(to, "%.*s: warning: url: %.*s does not answer: %s\n", SLICE_ARG(u->place),
			SLICE_ARG(url->whole), a.why);
	else if (rc == 0)
		fprintf(to, "%.*s: url: %.*s answers: %d in %lld ms\n", SLICE_ARG(u->place), SLICE_ARG(url->whole),
			a.status, (long long)a.time_ms);
	buf_fini(&text);
	answer_fini(&a);
	return rc == -ECONNREFUSED ? 1 : rc;
}

static int connect_upstream(const struct config_upstream *u, FILE *to)
{
	const struct ask_options o = {
		.tls_ca = u->tls_ca.p,
		.tls_verify = u->tls_verify,
		.plain_http2 = u->http_version == CONFIG_HTTP_2,
		.connect_timeout_ms = u->connect_timeout_ms,
		.timeout_ms = u->connect_timeout_ms + u->first_byte_timeout_ms,
		.calls_max = CONFIG_URLS_MAX,
	};
	struct ask *ask;
	int rc = ask_new(&o, &ask), silent = 0;

	for (const struct config_url *url = &u->url; url && rc >= 0; url = url->next) {
		rc = connect_to(ask, u, url, to);
		silent += rc > 0;
	}
	ask_free(&ask);
	return rc < 0 ? rc : silent;
}

int connect_to_all(const struct config *c, FILE *to)
{
	int silent = 0;

	for (unsigned i = 0; i < c->upstreams_n; i++) {
		int rc = connect_upstream(&c->upstreams[i], to);

		if (rc < 0)
			return rc;
		silent += rc;
	}
	return silent;
}
