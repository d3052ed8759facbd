/* SPDX-License-Identifier: MIT */
#include "cache/policy/key.h"

#include <errno.h>

#include "cache/policy/credentials.h"
#include "cache/policy/key_body.h"

void cache_key_init(struct cache_key *k)
{
	*k = (struct cache_key){0};
	buf_init(&k->bytes, CACHE_KEY_MAX);
}

void cache_key_fini(struct cache_key *k)
{
	buf_fini(&k->bytes);
	cache_key_init(k);
}

static char class_of(enum http_method m)
{
	switch (m) {
	case HTTP_GET:
	case HTTP_HEAD:
		return 'G';
	case HTTP_POST:
		return 'P';
	case HTTP_QUERY:
		return 'Q';
	default:
		return '-';
	}
}

static void add_u32(struct buf *out, size_t v)
{
	const unsigned char bytes[] = {
		(unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v};
	buf_add(out, bytes, sizeof(bytes));
}

static void add_part(struct buf *out, struct slice s)
{
	add_u32(out, s.n);
	buf_add_slice(out, s);
}

static void add_name(struct buf *out, struct slice name)
{
	add_u32(out, name.n);
	buf_add_lower(out, name);
}

/* A count is written in front of what it counts once that is known. Returns where it goes. */
static size_t begin_count(struct buf *out)
{
	size_t at = out->n;
	add_u32(out, 0);
	return at;
}

static void end_count(struct buf *out, size_t at, size_t count)
{
	if (out->err)
		return;
	for (unsigned i = 0; i < 4; i++)
		out->p[at + i] = (char)(unsigned char)(count >> (24 - 8 * i));
}

/* Every line for itself: joining them is a list's business, and this may be no list. Returns how many have a value. */
static size_t add_lines(struct buf *out, const struct http_fields *fields, struct slice name)
{
	size_t at = begin_count(out), count = 0, valued = 0;
	uint32_t i = 0;
	for (const struct http_field *line; (line = http_fields_find_next(fields, name, &i)) != NULL; count++) {
		add_part(out, line->value);
		valued += line->value.n > 0;
	}
	end_count(out, at, count);
	return valued;
}

/* Every pair of that name, whole, in order: readers differ on whether the first or the last counts (RFC 6265 5.4).
 * Returns how many of them have a value. */
static size_t add_cookie(struct buf *out, const struct http_fields *fields, struct slice name)
{
	size_t at = begin_count(out), count = 0, valued = 0;
	uint32_t i = 0;
	for (const struct http_field *line; (line = http_fields_next(fields, HF_COOKIE, &i)) != NULL;) {
		struct slice rest = line->value, pair, before, value;
		while (cookie_next(&rest, &pair)) {
			if (!slice_equal(cookie_name(pair), name))
				continue;
			add_part(out, pair);
			count++;
			valued += slice_cut(pair, '=', &before, &value) && value.n > 0;
		}
	}
	end_count(out, at, count);
	return valued;
}

static void add_headers_and_cookies(struct buf *out, const struct cache_rules *rules, const struct http_fields *fields)
{
	for (unsigned i = 0; i < rules->key_headers.n; i++) {
		buf_add_char(out, 'h');
		add_name(out, rules->key_headers.v[i]);
		add_lines(out, fields, rules->key_headers.v[i]);
	}
	for (unsigned i = 0; i < rules->key_cookies.n; i++) {
		buf_add_char(out, 'c');
		add_part(out, rules->key_cookies.v[i]);
		add_cookie(out, fields, rules->key_cookies.v[i]);
	}
}

/* What a body means depends on the fields that describe it, so they belong to the key with it. */
static void add_body(struct buf *out, const struct cache_rules *rules, const struct cache_key_input *in)
{
	unsigned char digest[KEY_DIGEST_BYTES];
	const struct http_fields *fields = &in->http->fields;
	bool is_json =
		http_media_type_is_json(http_media_type(fields, NULL)) && !http_fields_get(fields, HF_CONTENT_ENCODING);
	bool canonical = rules->json_body_key && is_json && key_json_digest(in->body, digest);
	if (!canonical)
		key_digest(in->body, digest);
	buf_add_char(out, canonical ? 'j' : 'b');
	add_lines(out, fields, http_field_name(HF_CONTENT_TYPE));
	add_lines(out, fields, http_field_name(HF_CONTENT_ENCODING));
	add_lines(out, fields, http_field_name(HF_CONTENT_LANGUAGE));
	buf_add(out, digest, sizeof(digest));
}

/* The identity is often a credential: only its keyed hash leaves this function. `digest` is the key's part, *user its
 * short form (never 0, which means shared). */
static int hash_user(const struct cache_rules *rules, const struct key_secret *secret, const struct http_fields *fields,
	unsigned char *digest, uint64_t *user)
{
	struct buf identity;
	buf_init(&identity, CACHE_KEY_MAX);
	buf_add_char(&identity, rules->user_from.is_cookie ? 'c' : 'h');
	size_t valued;
	if (rules->user_from.is_cookie) {
		add_part(&identity, rules->user_from.name);
		valued = add_cookie(&identity, fields, rules->user_from.name);
	} else {
		add_name(&identity, rules->user_from.name);
		valued = add_lines(&identity, fields, rules->user_from.name);
	}
	int rc = identity.err;
	if (rc == 0 && (valued == 0 || !key_identity_digest(secret, buf_slice(&identity), digest)))
		rc = -ENOKEY;
	if (rc == 0) {
		memcpy(user, digest, sizeof(*user));
		*user += *user == 0;
	}
	buf_fini(&identity);
	return rc;
}

static int add_user(struct cache_key *k, const struct cache_rules *rules, const struct cache_key_input *in)
{
	unsigned char digest[KEY_DIGEST_BYTES];
	int rc = hash_user(rules, in->secret, &in->http->fields, digest, &k->user);
	if (rc < 0)
		return rc;
	buf_add_char(&k->bytes, 'u');
	return buf_add(&k->bytes, digest, sizeof(digest));
}

/* As the one request line would that bears this identity: the same function hashes both. */
int cache_user_hash(
	const struct cache_rules *rules, const struct key_secret *secret, struct slice identity, uint64_t *user)
{
	unsigned char digest[KEY_DIGEST_BYTES];
	struct http_fields fields;
	struct buf cookie;
	http_fields_init(&fields);
	buf_init(&cookie, CACHE_KEY_MAX);
	buf_add_slice(&cookie, rules->user_from.name);
	buf_add_char(&cookie, '=');
	buf_add_slice(&cookie, identity);
	int rc = cookie.err;
	if (rc == 0 && rules->user_from.is_cookie)
		rc = http_fields_add_id(&fields, HF_COOKIE, buf_slice(&cookie));
	else if (rc == 0)
		rc = http_fields_add(&fields, rules->user_from.name, identity);
	if (rc == 0)
		rc = hash_user(rules, secret, &fields, digest, user);
	http_fields_fini(&fields);
	buf_fini(&cookie);
	return rc;
}

/* What the origin is told of where it was asked. The URL has a Host in it too, but as purges spell it. */
static void add_where(struct buf *out, const struct cache_key_input *in)
{
	if (in->host.n > 0) {
		buf_add_char(out, 'o');
		add_part(out, in->host);
	}
	if (in->is_https)
		buf_add_char(out, 's');
}

static bool take_part(struct slice *rest, struct slice *part)
{
	const unsigned char *p = (const unsigned char *)rest->p;
	size_t n;

	if (rest->n < 4)
		return false;
	n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	*rest = slice_from(*rest, 4);
	if (rest->n < n)
		return false;
	*part = (struct slice){rest->p, n};
	*rest = slice_from(*rest, n);
	return true;
}

static bool takes(struct slice *rest, char letter)
{
	bool is = rest->n > 0 && rest->p[0] == letter;

	if (is)
		*rest = slice_from(*rest, 1);
	return is;
}

/* Between "//" and what comes next. */
static bool has_authority(struct slice url, struct slice host)
{
	const char *at = memmem(url.p, url.n, "//", 2);
	struct slice rest = at ? slice_from(url, (size_t)(at + 2 - url.p)) : url;

	return at && slice_starts_with(rest, host) &&
	       (rest.n == host.n || rest.p[host.n] == '/' || rest.p[host.n] == '?');
}

bool cache_key_is_of_url(struct slice key, size_t url_end)
{
	const size_t before = url_end + 1 + sizeof(((struct cache_rules *)0)->trust);
	struct slice rest = key.n > before ? slice_from(key, before) : (struct slice){"", 0}, part;

	if (key.p[0] != 'G' || !takes(&rest, 'x') || !take_part(&rest, &part))
		return false;
	if (takes(&rest, 'o') &&
		!(take_part(&rest, &part) && has_authority((struct slice){key.p + 1, url_end - 1}, part)))
		return false;
	(void)takes(&rest, 's');
	return rest.n == 0;
}

int cache_key_build(struct cache_key *k, const struct cache_rules *rules, const struct cache_key_input *in)
{
	const struct http_request *http = in->http;
	char class = class_of(http->method);
	buf_reset(&k->bytes);
	k->user = 0;
	k->hash = (struct hash128){0};
	k->url_off = 1;
	k->url_n = 0;
	buf_add_char(&k->bytes, class);
	int rc = cache_key_url_build(&k->bytes, rules, in);
	if (rc < 0)
		return rc;
	k->url_n = k->bytes.n - k->url_off;
	buf_add_char(&k->bytes, '\0');
	buf_add(&k->bytes, &rules->trust, sizeof(rules->trust));
	buf_add_char(&k->bytes, 'x');
	add_part(&k->bytes, in->extra);
	add_where(&k->bytes, in);
	add_headers_and_cookies(&k->bytes, rules, &http->fields);
	if (class == 'P' || class == 'Q')
		add_body(&k->bytes, rules, in);
	rc = rules->scope == CACHE_SCOPE_USER ? add_user(k, rules, in) : 0;
	if (rc < 0)
		return rc;
	if (k->bytes.err)
		return k->bytes.err;
	k->hash = hash128_of(k->bytes.p, k->bytes.n);
	k->place = hash_keyed(k->bytes.p, k->bytes.n);
	return 0;
}
