/* SPDX-License-Identifier: MIT */
#include "proxy/request/sent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "http/syntax.h"
#include "http/uri.h"
#include "proxy/request/hops.h"

#define TEXT_MAX (128 * 1024)

void sent_init(struct sent *s)
{
	*s = (struct sent){0};
	http_request_init(&s->http);
	buf_init(&s->text, TEXT_MAX);
}

void sent_fini(struct sent *s)
{
	http_request_fini(&s->http);
	buf_fini(&s->text);
}

/* ---- Which fields pass ---- */

enum kind {
	ORDINARY, /* end to end: what Vary may name */
	OURS,     /* written by us, or between hops: never as it came */
	WORD,     /* what only a proxy may say: a client that says it lies, or means another proxy */
	OVERRIDE, /* lets a client choose another URL, host, method, scheme or address than those in the key: a response
	           * made for it must not be stored under the plain key, that is cache poisoning */
};

/* Of known names; what else begins as words do is one too. Hop-by-hop fields are filled in below. */
static uint8_t kind_of_id[HF_COUNT] = {
	[HF_HOST] = OURS,
	[HF_CONTENT_LENGTH] = OURS,
	[HF_EXPECT] = OURS,
	[HF_VIA] = OURS,
	[HF_X_FORWARDED_FOR] = OURS,
	[HF_X_FORWARDED_PROTO] = OURS,
	[HF_MAX_FORWARDS] = OURS,
	[HF_MEMOPROXY_DEBUG] = OURS, /* a secret of the operator's (trace.h) */
	[HF_PROXY] = OURS,           /* becomes HTTP_PROXY in CGI programs */
	[HF_FORWARDED] = OVERRIDE,
	[HF_X_FORWARDED] = OVERRIDE,
	[HF_X_HOST] = OVERRIDE,
	[HF_X_SCHEME] = OVERRIDE,
	[HF_X_URL_SCHEME] = OVERRIDE,
	[HF_X_REAL_IP] = OVERRIDE,
	[HF_X_CLIENT_IP] = OVERRIDE,
	[HF_X_CLUSTER_CLIENT_IP] = OVERRIDE,
	[HF_TRUE_CLIENT_IP] = OVERRIDE,
	[HF_CF_CONNECTING_IP] = OVERRIDE,
	[HF_FASTLY_CLIENT_IP] = OVERRIDE,
	[HF_CLIENT_IP] = OVERRIDE,
	[HF_FRONT_END_HTTPS] = OVERRIDE,
	[HF_X_ORIGINAL_URL] = OVERRIDE,
	[HF_X_ORIGINAL_URI] = OVERRIDE,
	[HF_X_ORIGINAL_HOST] = OVERRIDE,
	[HF_X_ORIGINAL_METHOD] = OVERRIDE,
	[HF_X_REWRITE_URL] = OVERRIDE,
	[HF_X_HTTP_METHOD_OVERRIDE] = OVERRIDE,
	[HF_X_HTTP_METHOD] = OVERRIDE,
	[HF_X_METHOD_OVERRIDE] = OVERRIDE,
	[HF_X_HTTP_HOST_OVERRIDE] = OVERRIDE,
};

static bool is_word(struct slice name)
{
	return slice_starts_with_nocase(name, SLICE_LIT("x-forwarded-"));
}

/* Whole families, each a server's own words to the program behind it: IIS and Symfony (x-original-), Next.js
 * (x-middleware-, x-invoke-, x-matched-), Envoy, balancers that end TLS (x-ssl-, ssl-client-, x-client-cert). */
static bool is_override_family(struct slice name)
{
	static const struct slice families[] = {
		{"x-original-", 11},
		{"x-middleware-", 13},
		{"x-invoke-", 9},
		{"x-envoy-", 8},
		{"x-ssl-", 6},
		{"ssl-client-", 11},
		{"x-client-cert", 13},
		{"x-rewrite-", 10},
		{"x-override-", 11},
		{"x-replaced-path", 14},
		{"x-prerender-", 12},
		{"x-nitro-", 8},
		{"x-astro-", 8},
		{"x-react-router-", 15},
		{"x-now-route-", 12},
		{"x-waws-", 7},
		{"x-appservice-", 13},
		{"x-ms-original-", 14},
		{"x-amzn-mtls-", 12},
	};

	if (name.n < 2 || (name.p[1] != '-' && ascii_lower(name.p[0]) != 's'))
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(families); i++)
		if (slice_starts_with_nocase(name, families[i]))
			return true;
	return false;
}

/* clang-format off */
static const struct slice override_names[] = {
#define NAME(s) {(s), sizeof(s) - 1}
	/* the URL: frameworks' rewriting and mounting */
	NAME("base-url"),
	NAME("request-uri"),
	NAME("x-base-url"),
	NAME("x-http-destinationurl"),
	NAME("x-http-path-override"),
	NAME("x-matched-path"),
	NAME("x-nextjs-data"),
	NAME("x-path-info"),
	NAME("x-proxy-url"),
	NAME("x-request-uri"),
	NAME("x-script-name"),
	NAME("x-uri"),
	NAME("x-accel-mapping"),
	NAME("x-sendfile-type"),
	NAME("x-nuxt-no-ssr"),
	/* the host */
	NAME("x-backend-host"),
	NAME("x-forward-host"),
	NAME("x-host-override"),
	NAME("x-http-host"),
	NAME("x-server-name"),
	NAME("disguised-host"),
	NAME("fastly-host"),
	NAME("true-client-host"),
	NAME("x-port"),
	/* the method */
	NAME("http-method-override"),
	NAME("method-override"),
	NAME("x-request-method"),
	/* the scheme */
	NAME("cf-visitor"),
	NAME("cloudfront-forwarded-proto"),
	NAME("x-arr-ssl"),
	NAME("x-forward-proto"),
	NAME("x-https"),
	NAME("fly-forwarded-proto"),
	NAME("x-http-scheme"),
	NAME("x-proto"),
	NAME("x-protocol"),
	/* who asks, from where */
	NAME("cf-connecting-ipv6"),
	NAME("cf-pseudo-ipv4"),
	NAME("fly-client-ip"),
	NAME("azure-clientip"),
	NAME("cdn-real-ip"),
	NAME("x-arr-clientcert"),
	NAME("x-cf-connecting-ip"),
	NAME("x-true-client-ip"),
	NAME("x-user-ip"),
	NAME("x-vercel-forwarded-for"),
	NAME("forwarded-for"),
	NAME("forwarded-for-ip"),
	NAME("proxy-client-ip"),
	NAME("remote-addr"),
	NAME("remote-user"),
	NAME("wl-proxy-client-ip"),
	NAME("wl-proxy-ssl"),
	NAME("x-appengine-user-ip"),
	NAME("x-authenticated-user"),
	NAME("x-azure-clientip"),
	NAME("x-azure-socketip"),
	NAME("x-client-dn"),
	NAME("x-client-verify"),
	NAME("x-coming-from"),
	NAME("x-forward-for"),
	NAME("x-ip"),
	NAME("x-originating-ip"),
	NAME("x-proxyuser-ip"),
	NAME("x-real-ip-address"),
	NAME("x-remote-addr"),
	NAME("x-remote-ip"),
	NAME("x-remote-user"),
	NAME("x-webauth-user"),
#undef NAME
};
/* clang-format on */

/* Names of one length are a chain: 0 ends it, else it goes on at [link - 1]. */
#define OVERRIDE_NAME_MAX 31
static uint8_t first_of_length[OVERRIDE_NAME_MAX + 1], next_of_length[ARRAY_LEN(override_names)];
_Static_assert(ARRAY_LEN(override_names) < 255, "links are bytes");

/* Before main, so that no reader needs a lock or a once-flag. */
__attribute__((constructor)) static void build_tables(void)
{
	for (unsigned id = 1; id < HF_COUNT; id++) {
		struct slice name = http_field_name((enum http_field_id)id);

		if (http_field_is_hop_by_hop((enum http_field_id)id))
			kind_of_id[id] = OURS;
		else if (kind_of_id[id] == ORDINARY && is_word(name))
			kind_of_id[id] = WORD;
	}
	for (unsigned i = 0; i < ARRAY_LEN(override_names); i++) {
		uint8_t *first = &first_of_length[override_names[i].n];

		CHECK(override_names[i].n <= OVERRIDE_NAME_MAX);
		next_of_length[i] = *first;
		*first = (uint8_t)(i + 1);
	}
}

static bool is_override_name(struct slice name)
{
	unsigned link = name.n <= OVERRIDE_NAME_MAX ? first_of_length[name.n] : 0;

	for (; link; link = next_of_length[link - 1])
		if (slice_equal_nocase(override_names[link - 1], name))
			return true;
	return is_override_family(name);
}

static enum kind kind_of(enum http_field_id id, struct slice name)
{
	if (id != HF_OTHER)
		return (enum kind)kind_of_id[id];
	if (is_word(name))
		return WORD;
	return is_override_name(name) ? OVERRIDE : ORDINARY;
}

static bool is_keyed(const struct config_route *route, struct slice name)
{
	if (route->rules.scope == CACHE_SCOPE_USER && !route->rules.user_from.is_cookie &&
		slice_equal_nocase(route->rules.user_from.name, name))
		return true;
	return slices_have_nocase(&route->rules.key_headers, name);
}

/* In the key already, or allowed by the operator. */
static bool is_named(const struct config_route *route, struct slice name)
{
	return is_keyed(route, name) || slices_have_nocase(&route->forward_headers, name);
}

/* CGI, WSGI, Rack and PHP make '_' of '-', and some servers of every other such character too: X_Forwarded_Host then is
 * X-Forwarded-Host to the program. */
static bool has_twin(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!http_char_is(name.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT) && name.p[i] != '-')
			return true;
	return false;
}

#define TWIN_MAX 128 /* no name that means anything to us is as long */

/* With underscore_headers = pass: what could be taken for a field that we write, strip or key does not go. */
static bool twin_passes(const struct sent_terms *terms, struct slice name)
{
	char bytes[TWIN_MAX];
	struct slice twin = {bytes, name.n};
	enum http_field_id id;
	enum kind kind;

	if (name.n > sizeof(bytes))
		return false;
	for (size_t i = 0; i < name.n; i++)
		bytes[i] = http_char_is(name.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT) ? name.p[i] : '-';
	id = http_field_id_of(twin);
	kind = kind_of(id, twin);
	if (kind == OURS || kind == WORD || is_keyed(terms->route, twin))
		return false;
	if (terms->is_cacheable && slices_have_nocase(&terms->route->rules.credentials, twin))
		return false;
	return !terms->is_cacheable || (id == HF_OTHER && kind == ORDINARY);
}

static bool passes(const struct sent_terms *terms, const struct http_field *f)
{
	enum kind kind;

	if (f->id == HF_OTHER && has_twin(f->name))
		return is_named(terms->route, f->name) ||
		       (terms->route->underscore_headers == CONFIG_UNDERSCORE_PASS && twin_passes(terms, f->name));
	kind = kind_of(f->id, f->name);
	if (kind == WORD || (kind == OVERRIDE && terms->is_cacheable))
		return is_named(terms->route, f->name);
	return kind != OURS;
}

/* These two name nothing that has to be taken out. */
static bool says_nothing(struct slice connection)
{
	return slice_equal(connection, SLICE_LIT("keep-alive")) ||
	       slice_equal_nocase(connection, SLICE_LIT("keep-alive")) ||
	       slice_equal_nocase(connection, SLICE_LIT("close"));
}

/* What the client's own list of fields holds of what is to be composed. */
struct given {
	bool via, forwarded_for, max_forwards, connection;
};

static int copy_passing(
	struct sent *s, const struct http_fields *in, const struct sent_terms *terms, struct given *given)
{
	int err = http_fields_reserve(&s->http.fields, in->n);

	for (uint32_t i = 0; i < in->n && !err; i++) {
		const struct http_field *f = &in->v[i];

		given->via |= f->id == HF_VIA;
		given->max_forwards |= f->id == HF_MAX_FORWARDS;
		given->forwarded_for |= f->id == HF_X_FORWARDED_FOR;
		/* It stays in the list until below, where it says which more to drop. */
		if (f->id == HF_CONNECTION ? says_nothing(f->value) : !passes(terms, f)) {
			s->underscores_dropped += f->id == HF_OTHER && has_twin(f->name);
			continue;
		}
		given->connection |= f->id == HF_CONNECTION;
		http_fields_append(&s->http.fields, f);
	}
	return err || !given->connection ? err : http_fields_drop_hop_by_hop(&s->http.fields);
}

/* ---- Our own fields ---- */

static bool is_address(struct slice s)
{
	char text[64];
	unsigned char bytes[16];

	if (s.n == 0 || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* The client's own list goes on only as far as it holds addresses: it is input that nobody vouches for. */
static void add_forwarded_for(struct buf *b, const struct http_fields *in, const char *peer)
{
	const struct http_field *f;
	struct slice rest, member;
	uint32_t i = 0;

	while ((f = http_fields_next(in, HF_X_FORWARDED_FOR, &i))) {
		rest = f->value;
		while (http_list_next(&rest, &member)) {
			if (!is_address(member))
				continue;
			buf_add_slice(b, member);
			buf_add(b, ", ", 2);
		}
	}
	buf_add_str(b, peer);
}

static void add_via(struct buf *b, const struct http_request *r)
{
	struct slice own = hops_via(r->minor);
	const struct http_field *f;
	uint32_t i = 0, n = 0;

	while ((f = http_fields_next(&r->fields, HF_VIA, &i))) {
		if (n++)
			buf_add(b, ", ", 2);
		buf_add_slice(b, f->value);
	}
	if (own.n && n)
		buf_add(b, ", ", 2);
	buf_add_slice(b, own);
}

/* The one that was checked when the request came (RFC 9110 7.6.2). */
static void add_max_forwards(struct buf *b, const struct http_request *r)
{
	int64_t left = hops_left(r);

	if (left > 0)
		buf_addf(b, "%lld", (long long)left - 1);
}

/* Composed first, for the text may move while it grows; the usual value is there already, or needs nothing composed. */
static int add_own(struct sent *s, const struct asked *a, const struct given *given)
{
	struct http_fields *fields = &s->http.fields;
	const struct http_fields *in = &a->http->fields;
	struct slice name = http_field_name(HF_X_FORWARDED_FOR);
	bool has_list = a->peer && given->forwarded_for &&
			!(given->connection && http_fields_has_token(in, HF_CONNECTION, name));
	struct slice via = hops_via(a->http->minor);
	struct slice list = a->peer ? slice_of(a->peer) : (struct slice){NULL, 0};
	struct slice forwards;
	size_t from = s->text.n, middle, end;
	int err = 0;

	if (given->via)
		add_via(&s->text, a->http);
	middle = s->text.n;
	if (has_list)
		add_forwarded_for(&s->text, in, a->peer);
	end = s->text.n;
	if (given->max_forwards)
		add_max_forwards(&s->text, a->http);
	if (s->text.err)
		return s->text.err;
	forwards = slice_from(buf_slice(&s->text), end);
	if (given->via)
		via = (struct slice){s->text.p + from, middle - from};
	if (has_list)
		list = (struct slice){s->text.p + middle, end - middle};
	if (via.n > 0)
		err = http_fields_add_id(fields, HF_VIA, via);
	if (!err && a->peer)
		err = http_fields_add_id(fields, HF_X_FORWARDED_FOR, list);
	if (!err)
		err = http_fields_add_id(
			fields, HF_X_FORWARDED_PROTO, a->is_tls ? SLICE_LIT("https") : SLICE_LIT("http"));
	if (!err)
		err = http_fields_add_id(fields, HF_CDN_LOOP, hops_cdn_loop());
	if (!err && forwards.n > 0)
		err = http_fields_add_id(fields, HF_MAX_FORWARDS, forwards);
	return err;
}

/* ---- Host ---- */

int sent_host_add(struct buf *out, struct slice host, struct slice scheme)
{
	struct slice name;
	int port;

	if (!uri_authority_parse(host, &name, &port))
		return buf_add_slice(out, host); /* no parser lets it through */
	buf_add_lower(out, name);
	if (port >= 0 && port != uri_default_port(scheme)) {
		buf_add_char(out, ':');
		buf_add_u64(out, (unsigned)port);
	}
	return out->err;
}

/* ---- All of it ---- */

int sent_make(struct sent *s, const struct asked *a, const struct sent_terms *terms)
{
	struct http_fields fields = s->http.fields;
	struct given given = {0};
	size_t host_n = 0;
	int err = 0;

	s->http = *a->http;
	s->http.fields = fields;
	s->http.host = (struct slice){NULL, 0};
	s->public_host = a->http->host;
	s->is_tls = a->is_tls;
	http_fields_clear(&s->http.fields);
	buf_reset(&s->text);
	s->underscores_dropped = 0;
	if (terms->host_from_client && a->http->host.n) {
		err = sent_host_add(&s->text, a->http->host, a->is_tls ? SLICE_LIT("https") : SLICE_LIT("http"));
		host_n = s->text.n;
	}
	if (!err)
		err = copy_passing(s, &a->http->fields, terms, &given);
	if (!err)
		err = add_own(s, a, &given);
	if (host_n)
		s->http.host = (struct slice){s->text.p, host_n};
	return err == -ENOBUFS ? -EMSGSIZE : err;
}
