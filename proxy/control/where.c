/* SPDX-License-Identifier: MIT */
#include "proxy/control/where.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "config/config.h"

enum { ERRORS_MAX = 64 << 10 };

/* Who listens on all addresses is reached on this machine. */
static void write_url(const struct config_address *a, struct where *w)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (a->sa.ss_family == AF_INET6) {
		struct sockaddr_in6 sa;

		memcpy(&sa, &a->sa, sizeof(sa));
		if (IN6_IS_ADDR_UNSPECIFIED(&sa.sin6_addr))
			sa.sin6_addr = in6addr_loopback;
		inet_ntop(AF_INET6, &sa.sin6_addr, host, sizeof(host));
		snprintf(w->url, sizeof(w->url), "http://[%s]:%u", host, ntohs(sa.sin6_port));
	} else {
		struct sockaddr_in sa;

		memcpy(&sa, &a->sa, sizeof(sa));
		if (sa.sin_addr.s_addr == htonl(INADDR_ANY))
			sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		inet_ntop(AF_INET, &sa.sin_addr, host, sizeof(host));
		snprintf(w->url, sizeof(w->url), "http://%s:%u", host, ntohs(sa.sin_port));
	}
}

static int take(const struct config_admin *admin, struct where *w)
{
	if (admin->listen.n == 0) {
		fprintf(stderr, "%s: [admin] listen is off: nobody can ask that proxy (--admin says where else)\n",
			w->said_by);
		return -EINVAL;
	}
	write_url(&admin->listen.v[0], w);
	if (admin->token.n == 0)
		return 0;
	return buf_addf(&w->authorization, "Authorization: Bearer %.*s", SLICE_ARG(admin->token)) ||
			       buf_add_char(&w->authorization, '\0')
		       ? -ENOMEM
		       : 0;
}

int where_find(const char *file, const char *admin, struct where *w)
{
	const struct config_option option = {"memoproxy: --admin", "admin", "listen", admin};
	const struct config_source from = {.path = file ? file : config_default_path(),
		.options = &option,
		.options_n = admin ? 1 : 0,
		.admin_only = true};
	struct config *config;
	struct buf errors;
	int rc;

	w->url[0] = '\0';
	w->said_by = admin ? "--admin" : from.path ? from.path : "no file, so the default; --admin says another";
	buf_init(&w->authorization, WHERE_TOKEN_MAX);
	buf_init(&errors, ERRORS_MAX);
	rc = config_load(&from, &config, &errors);
	fprintf(stderr, "%.*s", SLICE_ARG(buf_slice(&errors)));
	buf_fini(&errors);
	if (rc == 0) {
		rc = take(&config->admin, w);
		config_unref(&config);
	}
	return rc;
}

void where_fini(struct where *w)
{
	buf_fini(&w->authorization);
}
