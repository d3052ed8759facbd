/* One origin: its URL, its share of connections, and easy handles that are set up for it once. */
#include <errno.h>

#include "base/mem.h"
#include "http/uri.h"
#include "upstream/internal.h"

enum { BUFFER_BYTES = 32768, TEXT_KEPT_MAX = 65536 };

struct origin *origin_choose(struct upstream_loop *l, const struct fetch_request *r)
{
	return r->upstream < l->origins_n ? &l->origins[r->upstream] : NULL;
}

/* scheme://authority/: the target goes its own way, so that libcurl parses a URL once and rewrites none. */
static int set_url(struct origin *o)
{
	struct slice scheme, authority, rest;
	struct buf text;
	int rc;

	if (!uri_split_absolute(o->options->url, &scheme, &authority, &rest))
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

int origin_init(struct origin *o, struct upstream_loop *l, const struct upstream_options *options, unsigned loops)
{
	int rc;

	*o = (struct origin){.options = options, .l = l};
	TAILQ_INIT(&o->running);
	TAILQ_INIT(&o->queue);
	TAILQ_INIT(&o->unused);
	o->share = loops > 0 ? options->max_connections / loops : options->max_connections;
	if (o->share == 0)
		o->share = 1;
	rc = set_url(o);
	if (rc < 0)
		return rc;
	if (options->tls_ca.n > 0) {
		o->tls_ca = mem_strndup(options->tls_ca.p, options->tls_ca.n);
		if (!o->tls_ca)
			return -ENOMEM;
	}
	return 0;
}

/* Over plain TCP version 2 is spoken only where it is known to be understood: no Upgrade. */
static long version_of(const struct origin *o)
{
	switch (o->options->http_version) {
	case UPSTREAM_HTTP_2:
		return o->is_https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
	case UPSTREAM_HTTP_AUTO:
		return o->is_https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
	case UPSTREAM_HTTP_1_1:
		break;
	}
	return CURL_HTTP_VERSION_1_1;
}

/* What libcurl must not do of its own accord, and the chunks which it leaves framed for us to check. */
static int set_manners(CURL *e)
{
	int bad = 0;

	bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
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
	bad |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->error);
	bad |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, answer_on_header);
	bad |= curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
	bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, answer_on_body);
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

static int set_connection(const struct origin *o, CURL *e)
{
	const struct upstream_options *options = o->options;
	int bad = 0;

	bad |= curl_easy_setopt(e, CURLOPT_CURLU, o->url);
	bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, version_of(o));
	bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
	bad |= curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
	if (!o->is_https)
		return bad;
	bad |= curl_easy_setopt(e, CURLOPT_SHARE, o->l->tls_sessions);
	bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, options->tls_verify ? 1L : 0L);
	bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, options->tls_verify ? 2L : 0L);
	if (o->tls_ca)
		bad |= curl_easy_setopt(e, CURLOPT_CAINFO, o->tls_ca);
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

static struct fetch *fetch_new(struct origin *o)
{
	struct fetch *f = mem_zalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->l = o->l;
	f->o = o;
	event_assign(&f->timer, o->l->base, -1, 0, fetch_on_timer, f);
	http_response_head_init(&f->head, o->l->max_head_bytes);
	buf_init(&f->text, 0);
	f->easy = curl_easy_init();
	if (!f->easy || set_manners(f->easy) || set_callbacks(f) || set_connection(o, f->easy)) {
		fetch_free(f);
		return NULL;
	}
	return f;
}

struct fetch *origin_take_fetch(struct origin *o)
{
	struct fetch *f = TAILQ_FIRST(&o->unused);

	if (f) {
		TAILQ_REMOVE(&o->unused, f, link);
		o->unused_n--;
	} else {
		f = fetch_new(o);
	}
	if (f)
		f->magic = FETCH_MAGIC;
	return f;
}

/* Kept for the next request, but no more of them than there can be at work, and none with a huge text. */
void origin_release_fetch(struct fetch *f)
{
	struct origin *o = f->o;

	f->magic = 0;
	f->state = FETCH_UNUSED;
	f->arg = NULL;
	f->body = (struct slice){NULL, 0};
	if (o->unused_n >= o->share || f->text.cap > TEXT_KEPT_MAX) {
		fetch_free(f);
		return;
	}
	TAILQ_INSERT_HEAD(&o->unused, f, link);
	o->unused_n++;
}

static void free_list(struct fetch_list *list)
{
	struct fetch *f;

	while ((f = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, f, link);
		fetch_leave_multi(f);
		fetch_free(f);
	}
}

void origin_fini(struct origin *o)
{
	free_list(&o->queue);
	free_list(&o->running);
	free_list(&o->unused);
	if (o->url)
		curl_url_cleanup(o->url);
	mem_free(o->tls_ca);
}
