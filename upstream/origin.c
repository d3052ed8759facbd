/* SPDX-License-Identifier: MIT */
/* One origin: its URL, and an easy handle turned towards it. */
#include <errno.h>

#include "base/mem.h"
#include "http/uri.h"
#include "upstream/internal.h"

/* scheme://authority/ only: the target is set by itself (request.c), so that libcurl parses a URL once and rewrites none. */
static int set_url(struct origin *o)
{
	struct slice scheme, authority, rest;
	struct buf text;
	int rc;

	if (!uri_split_absolute(o->text, &scheme, &authority, &rest))
		return -EINVAL;
	o->is_https = slice_equal_nocase(scheme, SLICE_LIT("https"));
	o->url = curl_url();
	if (!o->url)
		return -ENOMEM;
	buf_init(&text, 4096);
	buf_add_slice(&text, scheme);
	buf_add_str(&text, "://");
	buf_add_slice(&text, authority);
	buf_add(&text, "/", 2);
	rc = text.err;
	if (rc == 0 && curl_url_set(o->url, CURLUPART_URL, text.p, CURLU_DISALLOW_USER) != CURLUE_OK)
		rc = -EINVAL;
	buf_fini(&text);
	return rc;
}

/* As CURLOPT_RESOLVE takes it: "-host:port". */
static int set_forget(struct origin *o)
{
	char *host = NULL, *port = NULL;
	struct buf text;
	int rc = -ENOMEM;

	buf_init(&text, 4096);
	if (curl_url_get(o->url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		curl_url_get(o->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
		rc = buf_addf(&text, "-%s:%s", host, port);
	if (rc == 0) {
		o->forget.data = mem_strndup(text.p, text.n);
		rc = o->forget.data ? 0 : -ENOMEM;
	}
	curl_free(host);
	curl_free(port);
	buf_fini(&text);
	return rc;
}

/* Over plain TCP version 2 is spoken only where it is known to be understood: no Upgrade. */
long origin_http_version(const struct origin *o)
{
	switch (o->u->options->http_version) {
	case UPSTREAM_HTTP_2:
		return o->is_https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
	case UPSTREAM_HTTP_AUTO:
		return o->is_https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
	case UPSTREAM_HTTP_1_1:
		break;
	}
	return CURL_HTTP_VERSION_1_1;
}

int origin_init(struct origin *o, struct upstream *u, struct slice url)
{
	int rc;

	*o = (struct origin){.u = u, .text = url};
	rc = set_url(o);
	return rc < 0 ? rc : set_forget(o);
}

void origin_fini(struct origin *o)
{
	if (o->url)
		curl_url_cleanup(o->url);
	mem_free(o->forget.data);
}

void origin_forget_name(struct origin *o)
{
	o->forgets_name = true;
}

/* libcurl drops it when the transfer begins. */
static int apply_forget(struct fetch *f)
{
	bool forgets = f->o->forgets_name;

	if (!forgets && !f->forgets_name)
		return 0;
	f->o->forgets_name = false;
	f->forgets_name = forgets;
	return curl_easy_setopt(f->easy, CURLOPT_RESOLVE, forgets ? &f->o->forget : NULL);
}

int origin_apply(struct fetch *f)
{
	int bad = 0;

	if (apply_forget(f))
		return -ENOMEM;
	if (f->applied == f->o)
		return 0;
	bad |= curl_easy_setopt(f->easy, CURLOPT_CURLU, f->o->url);
	f->applied = bad ? NULL : f->o;
	return bad ? -ENOMEM : 0;
}
