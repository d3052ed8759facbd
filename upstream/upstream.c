/* SPDX-License-Identifier: MIT */
/* One [upstream]: its bounds and its origins, and easy handles that are set up for it once. */
#include "upstream/internal.h"

#include <errno.h>

#include "base/mem.h"

enum { BUFFER_BYTES = 32768, TEXT_KEPT_MAX = 65536 };

static int init_origins(struct upstream *u)
{
	const struct upstream_options *o = u->options;
	unsigned n = 1 + o->more_urls_n;

	if (n > UPSTREAM_URLS_MAX)
		return -EINVAL;
	u->origins = mem_zalloc(n * sizeof(*u->origins));
	if (!u->origins)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		int rc = origin_init(&u->origins[i], u, i == 0 ? o->url : o->more_urls[i - 1]);

		u->origins[i].state = &u->state->origins[i];
		u->origins_n = i + 1;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static struct upstream_counts *counts_of(const struct upstream_loop *l, struct slice name)
{
	for (unsigned i = 0; l && i < l->upstreams_n; i++)
		if (slice_equal(l->upstreams[i].options->name, name))
			return l->upstreams[i].counts;
	return NULL;
}

static int take_counts(struct upstream *u, const struct upstream_loop *before)
{
	u->counts = counts_of(before, u->options->name);
	if (!u->counts)
		u->counts = mem_zalloc(sizeof(*u->counts));
	if (!u->counts)
		return -ENOMEM;
	u->counts->refs++;
	u->stats = &u->counts->stats;
	return 0;
}

static void leave_counts(struct upstream *u)
{
	if (u->counts && --u->counts->refs == 0)
		mem_free(u->counts);
}

int upstream_init(struct upstream *u, struct upstream_loop *l, const struct upstream_options *options, unsigned loops,
	const struct upstream_loop *before)
{
	int rc;

	*u = (struct upstream){.options = options, .l = l};
	u->waiter = (struct places_waiter){.mailbox = &l->mailbox, .message.on_message = dispatch_on_place};
	link_init(&u->waiter.link);
	link_init(&u->running);
	link_init(&u->queue);
	link_init(&u->withheld);
	link_init(&u->unused);
	u->share = loops > 0 ? options->max_connections / loops : options->max_connections;
	if (u->share == 0)
		u->share = 1;
	rc = upstream_state_get(options, &u->state);
	if (rc == 0)
		places_set_most(&u->state->places, options->max_connections);
	if (rc == 0)
		rc = take_counts(u, before);
	if (rc == 0)
		rc = init_origins(u);
	if (rc == 0 && options->tls_ca.n > 0) {
		u->tls_ca = mem_strndup(options->tls_ca.p, options->tls_ca.n);
		rc = u->tls_ca ? 0 : -ENOMEM;
	}
	return rc;
}

static int on_lookup(void *resolver, void *reserved, void *arg)
{
	struct fetch *f = arg;

	(void)resolver;
	(void)reserved;
	f->is_looking_up = true;
	return 0;
}

/* What libcurl must not do of its own accord, and the chunks which it leaves framed for us to check. */
static int set_manners(CURL *e)
{
	int bad = 0;

	bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	/* Else giving up a fetch whose name is being looked up would wait for the resolver: the whole loop, for as long as DNS is silent. */
	bad |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_PROXY, "");
	bad |= curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	bad |= curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	bad |= curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	bad |= curl_easy_setopt(e, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	bad |= curl_easy_setopt(e, CURLOPT_HTTP_TRANSFER_DECODING, 0L);
	bad |= curl_easy_setopt(e, CURLOPT_HEADER, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_NOPROGRESS, 1L);
	return bad;
}

static int set_callbacks(struct fetch *f)
{
	CURL *e = f->easy;
	int bad = 0;

	bad |= curl_easy_setopt(e, CURLOPT_PRIVATE, f);
	bad |= curl_easy_setopt(e, CURLOPT_RESOLVER_START_FUNCTION, on_lookup);
	bad |= curl_easy_setopt(e, CURLOPT_RESOLVER_START_DATA, f);
	bad |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->error);
	bad |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, origin_response_on_header);
	bad |= curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
	bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, origin_response_on_body);
	bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
	bad |= curl_easy_setopt(e, CURLOPT_READFUNCTION, request_on_read);
	bad |= curl_easy_setopt(e, CURLOPT_READDATA, f);
	bad |= curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, connection_on_request);
	bad |= curl_easy_setopt(e, CURLOPT_PREREQDATA, f);
	bad |= curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, connection_on_progress);
	bad |= curl_easy_setopt(e, CURLOPT_XFERINFODATA, f);
	bad |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, connection_on_open);
	bad |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, f);
	bad |= curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, connection_on_close);
	bad |= curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, f->l);
	return bad;
}

static long seconds(int64_t ms)
{
	return (long)((ms + 999) / 1000);
}

static int set_connection(const struct upstream *u, CURL *e)
{
	const struct upstream_options *options = u->options;
	bool any_https = false;
	int bad = 0;

	for (unsigned i = 0; i < u->origins_n; i++)
		any_https |= u->origins[i].is_https;
	bad |= curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, seconds(options->dns_ttl_ms));
	bad |= curl_easy_setopt(e, CURLOPT_MAXLIFETIME_CONN, seconds(options->connection_max_age_ms));
	bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
	bad |= curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
	if (!any_https)
		return bad;
	bad |= curl_easy_setopt(e, CURLOPT_SHARE, u->l->tls_sessions);
	bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, options->tls_verify ? 1L : 0L);
	bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, options->tls_verify ? 2L : 0L);
	if (u->tls_ca)
		bad |= curl_easy_setopt(e, CURLOPT_CAINFO, u->tls_ca);
	return bad;
}

static void fetch_free(struct fetch *f)
{
	event_del(&f->timer);
	if (f->easy)
		curl_easy_cleanup(f->easy);
	http_response_head_fini(&f->head);
	buf_fini(&f->text);
	mem_free(f->lines);
	f->magic = 0;
	mem_free(f);
}

static struct fetch *fetch_new(struct upstream *u)
{
	struct fetch *f = mem_zalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->l = u->l;
	f->u = u;
	event_assign(&f->timer, u->l->base, -1, 0, u->l->steps->timer, f);
	http_response_head_init(&f->head, u->l->max_head_bytes);
	buf_init(&f->text, 0);
	f->easy = curl_easy_init();
	if (!f->easy || set_manners(f->easy) || set_callbacks(f) || set_connection(u, f->easy)) {
		fetch_free(f);
		return NULL;
	}
	return f;
}

struct fetch *upstream_take_fetch(struct upstream *u)
{
	struct fetch *f = fetch_take_first(&u->unused);

	if (f)
		u->unused_n--;
	else
		f = fetch_new(u);
	if (f)
		f->magic = FETCH_MAGIC;
	return f;
}

/* Fetches are kept for later requests, but no more of them than can be at work, and none with a huge text. */
void upstream_release_fetch(struct fetch *f)
{
	struct upstream *u = f->u;

	f->magic = 0;
	f->state = FETCH_UNUSED;
	f->arg = NULL;
	f->body = (struct slice){NULL, 0};
	if (u->unused_n >= u->share || f->text.cap > TEXT_KEPT_MAX) {
		fetch_free(f);
		return;
	}
	link_prepend(&u->unused, &f->link);
	u->unused_n++;
}

static void free_list(struct link *list)
{
	struct fetch *f;

	while ((f = fetch_take_first(list))) {
		connection_leave(f);
		dispatch_leave_place(f);
		fetch_free(f);
	}
}

void upstream_fini(struct upstream *u)
{
	if (u->state)
		places_forget(&u->state->places, &u->waiter);
	free_list(&u->withheld);
	free_list(&u->queue);
	free_list(&u->running);
	free_list(&u->unused);
	for (unsigned i = 0; i < u->origins_n; i++)
		origin_fini(&u->origins[i]);
	upstream_state_unref(&u->state);
	leave_counts(u);
	mem_free(u->origins);
	mem_free(u->tls_ca);
}
