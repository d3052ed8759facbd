/* SPDX-License-Identifier: MIT */
/* Values that are addresses and URLs. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include "cache/policy/key.h"
#include "config/ini/ini.h"
#include "config/value.h"
#include "http/syntax.h"
#include "http/uri.h"

enum { ADDRESSES_MAX = 16 };

static bool is_loopback_v6(const struct in6_addr *a)
{
	return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

static bool set_v4(struct config_address *to, const char *host, uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (inet_pton(AF_INET, host, &sa.sin_addr) != 1)
		return false;
	memcpy(&to->sa, &sa, sizeof(sa));
	to->sa_bytes = sizeof(sa);
	to->is_loopback = ntohl(sa.sin_addr.s_addr) >> 24 == 127;
	return true;
}

static bool set_v6(struct config_address *to, const char *host, uint16_t port)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (inet_pton(AF_INET6, host, &sa.sin6_addr) != 1)
		return false;
	memcpy(&to->sa, &sa, sizeof(sa));
	to->sa_bytes = sizeof(sa);
	to->is_loopback = is_loopback_v6(&sa.sin6_addr);
	return true;
}

/* "127.0.0.1:80", "[::1]:80", "localhost:80" */
static bool read_address(struct slice text, struct config_address *to)
{
	char host[INET6_ADDRSTRLEN];
	const char *colon = memrchr(text.p, ':', text.n);
	unsigned long long port;
	size_t n = colon ? (size_t)(colon - text.p) : 0;
	bool bracketed = n > 2 && text.p[0] == '[' && text.p[n - 1] == ']';

	if (n == 0 || !slice_to_u64((struct slice){colon + 1, text.n - n - 1}, 65536, &port) || port == 0 ||
		port > 65535)
		return false;
	if (bracketed)
		n -= 2;
	if (n >= sizeof(host))
		return false;
	memcpy(host, text.p + bracketed, n);
	host[n] = '\0';
	if (bracketed)
		return set_v6(to, host, (uint16_t)port);
	return set_v4(to, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, (uint16_t)port);
}

static bool is_listed(const struct config_addresses *list, const struct config_address *a)
{
	for (unsigned i = 0; i < list->n; i++)
		if (list->v[i].sa_bytes == a->sa_bytes && memcmp(&list->v[i].sa, &a->sa, a->sa_bytes) == 0)
			return true;
	return false;
}

static int add_address(
	const struct value_source *s, struct slice item, struct config_addresses *list, struct config_address *to)
{
	if (!read_address(item, to))
		return value_refuse(s,
			"\"%s\" is not address:port, like 127.0.0.1:8080 or [::1]:8080, nor a word that may stand "
			"behind one (tls, proxy, purge)",
			report_shown(item).z);
	if (is_listed(list, to))
		return value_refuse(s, "\"%s\" stands there twice", report_shown(item).z);
	to->text = arena_copy(s->arena, item);
	if (!to->text.p)
		return -ENOMEM;
	list->n++;
	return 0;
}

/* "tls", "proxy" or "purge" after the address that it is about. False: it is no such word. */
static bool take_word(const struct value_source *s, struct slice item, struct config_address *before)
{
	if (s->option->section != SECTION_PROXY || !before)
		return false;
	if (slice_equal(item, SLICE_LIT("tls")))
		before->tls = true;
	else if (slice_equal(item, SLICE_LIT("proxy")))
		before->proxy_protocol = true;
	else if (slice_equal(item, SLICE_LIT("purge")))
		before->purge = true;
	else
		return false;
	return true;
}

int value_read_addresses(const struct value_source *s, void *to)
{
	struct config_addresses made = {0};
	struct slice rest = s->text, item;
	struct config_address *v = arena_alloc(s->arena, ADDRESSES_MAX * sizeof(*v));
	int rc = 0;

	if (!v)
		return -ENOMEM;
	made.v = v;
	while (rc == 0 && !value_is_word(s) && value_next(&rest, &item)) {
		if (take_word(s, item, made.n ? &v[made.n - 1] : NULL))
			continue;
		if (made.n == ADDRESSES_MAX)
			return value_refuse(s, "more than %d addresses", ADDRESSES_MAX);
		rc = add_address(s, item, &made, &v[made.n]);
	}
	if (rc == 0 && made.n == 0 && !value_is_word(s))
		return value_refuse(s, "an address is missing");
	if (rc == 0)
		*(struct config_addresses *)to = made;
	return rc;
}

/* ---- Networks ---- */

static bool read_host_address(struct slice text, struct config_network *to)
{
	char z[INET6_ADDRSTRLEN];

	if (text.n >= sizeof(z))
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	memset(to->address, 0, sizeof(to->address));
	if (inet_pton(AF_INET6, z, to->address) == 1)
		return true;
	memset(&to->address[10], 0xff, 2);
	return inet_pton(AF_INET, z, &to->address[12]) == 1;
}

static bool has_bits_after(const struct config_network *net)
{
	for (unsigned i = net->bits; i < 128; i++)
		if (net->address[i / 8] >> (7 - i % 8) & 1)
			return true;
	return false;
}

/* "10.0.0.0/8", "::1" */
static const char *read_network(struct slice text, struct config_network *to)
{
	struct slice host, digits;
	bool has_bits = slice_cut(text, '/', &host, &digits), is_v4 = !memchr(host.p, ':', host.n);
	unsigned long long bits = 128, most = is_v4 ? 32 : 128;

	if (!read_host_address(host, to))
		return "not an address or network like 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32";
	if (has_bits && (!slice_to_u64(digits, 1000, &bits) || bits > most))
		return "the number of bits after the / is not valid";
	to->bits = has_bits && is_v4 ? (unsigned)bits + 96 : (unsigned)bits;
	return has_bits_after(to) ? "the address has bits set beyond those that count" : NULL;
}

int value_read_networks(const struct value_source *s, void *to)
{
	struct config_networks made = {0};
	struct slice rest = s->text, item;
	struct config_network *v = arena_alloc(s->arena, CONFIG_LIST_MAX * sizeof(*v));

	if (!v)
		return -ENOMEM;
	made.v = v;
	while (value_next(&rest, &item)) {
		const char *why;

		if (made.n == CONFIG_LIST_MAX)
			return value_refuse(s, "more than %d networks", CONFIG_LIST_MAX);
		why = read_network(item, &v[made.n++]);
		if (why)
			return value_refuse(s, "\"%s\": %s", report_shown(item).z, why);
	}
	*(struct config_networks *)to = made;
	return 0;
}

/* ---- URL ---- */

static const char *why_not_authority(struct slice authority)
{
	struct slice host;
	int port;

	if (memchr(authority.p, '@', authority.n))
		return "a user name in it would not be sent";
	if (!uri_authority_parse(authority, &host, &port) || port == 0 || authority.p[authority.n - 1] == ':')
		return "its host or port is not valid";
	return NULL;
}

static const char *why_not_base(struct slice base)
{
	if (base.n > 0 && base.p[0] != '/')
		return "it can hold a path but no query";
	if (memchr(base.p, '?', base.n))
		return "it can hold a path but no query";
	return http_all_of(base, HTTP_CH_TARGET) ? NULL : "visible ASCII characters only; percent-encode others";
}

/* "http://A:80" is "http://a" (RFC 9110 4.2.3): keys, purges and Host know one spelling. */
static int copy_normal(struct arena *arena, struct slice text, struct slice *whole)
{
	struct buf normal;
	int rc;

	buf_init(&normal, INI_BYTES_MAX);
	rc = cache_origin_add(&normal, text);
	if (rc == 0)
		*whole = arena_copy(arena, buf_slice(&normal));
	buf_fini(&normal);
	return rc || !whole->p ? -ENOMEM : 0;
}

/* Errors never show the URL: somebody may have put a password in it. */
static int read_url(const struct value_source *s, struct slice text, struct config_url *url)
{
	struct slice scheme, authority, base;
	const char *why;

	if (!uri_split_absolute(text, &scheme, &authority, &base) ||
		!(slice_equal_nocase(scheme, SLICE_LIT("http")) || slice_equal_nocase(scheme, SLICE_LIT("https"))))
		return value_refuse(s, "not a URL like http://127.0.0.1:3000 or https://api.example.org/v1");
	why = why_not_authority(authority);
	if (!why)
		why = why_not_base(base);
	if (why)
		return value_refuse(s, "%s", why);
	while (text.p[text.n - 1] == '/')
		text.n--;
	if (copy_normal(s->arena, text, &url->whole))
		return -ENOMEM;
	url->is_https = scheme.n == 5;
	CHECK(uri_split_absolute(url->whole, &url->scheme, &url->authority, &url->base));
	return 0;
}

/* The target is made once, with the first one's path, whichever origin it goes to. */
static int check_further_url(const struct value_source *s, const struct config_url *first, const struct config_url *url)
{
	if (!slice_equal(url->base, first->base))
		return value_refuse(s, "all must have the same path");
	for (; first != url; first = first->next)
		if (slice_equal(first->whole, url->whole))
			return value_refuse(s, "one stands there twice");
	return 0;
}

/* A comma can be part of a URL: only at the end of a word does it separate. */
static bool next_url(struct slice *rest, struct slice *item)
{
	*rest = slice_trim(*rest);
	*item = (struct slice){rest->p, 0};
	while (item->n < rest->n && item->p[item->n] != ' ' && item->p[item->n] != '\t')
		item->n++;
	rest->p += item->n;
	rest->n -= item->n;
	if (item->n > 0 && rest->n > 0 && item->p[item->n - 1] == ',')
		item->n--;
	return item->n > 0;
}

int value_read_url(const struct value_source *s, void *to)
{
	struct slice rest = s->text, item = s->text;
	struct config_url first = {0}, *url = &first;
	unsigned n = 1;
	int rc;

	if (s->line == 0) { /* the default: none */
		*(struct config_url *)to = first;
		return 0;
	}
	(void)next_url(&rest, &item);
	rc = read_url(s, item, url);
	while (rc == 0 && next_url(&rest, &item)) {
		if (++n > CONFIG_URLS_MAX)
			return value_refuse(s, "more than %d URLs", CONFIG_URLS_MAX);
		url->next = arena_alloc(s->arena, sizeof(*url));
		if (!url->next)
			return -ENOMEM;
		url = url->next;
		*url = (struct config_url){0};
		rc = read_url(s, item, url);
		if (rc == 0)
			rc = check_further_url(s, &first, url);
	}
	if (rc == 0)
		*(struct config_url *)to = first;
	return rc;
}
