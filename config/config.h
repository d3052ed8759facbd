/* SPDX-License-Identifier: MIT */
/* The configuration, as read from proxy.ini: every key has its line in options.def.
 * Thread: a loaded configuration never changes; any thread reads it, takes and drops references.
 * Owns: all that its members point to, until the last reference goes. Every slice here is followed by a NUL byte.
 * Bounds: those of config/ini/ini.h, CONFIG_ROUTES_MAX, CONFIG_UPSTREAMS_MAX, CONFIG_LIST_MAX. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/slice.h"
#include "cache/policy/rules.h"
#include "config/routing/pattern.h"
#include "http/message.h"

enum {
	CONFIG_ROUTES_MAX = 10000,
	CONFIG_UPSTREAMS_MAX = 64,
	CONFIG_URLS_MAX = 16,  /* of one upstream */
	CONFIG_LIST_MAX = 128, /* members of a list */
};

#define CONFIG_HERE "proxy.ini"
#define CONFIG_SYSTEM "/etc/memoproxy/proxy.ini"

enum config_log_format { CONFIG_LOG_COMBINED, CONFIG_LOG_JSON };
enum config_proxy_status { CONFIG_PROXY_STATUS_OFF, CONFIG_PROXY_STATUS_ERROR, CONFIG_PROXY_STATUS_FULL };
enum config_http_version { CONFIG_HTTP_AUTO, CONFIG_HTTP_1_1, CONFIG_HTTP_2 };
enum config_balance { CONFIG_ROUND_ROBIN, CONFIG_LEAST_CONNECTIONS, CONFIG_BALANCE_HASH };
enum config_host_header { CONFIG_HOST_UPSTREAM, CONFIG_HOST_CLIENT };
enum config_via { CONFIG_VIA_ON, CONFIG_VIA_OFF, CONFIG_VIA_REQUEST, CONFIG_VIA_RESPONSE };
enum config_underscore { CONFIG_UNDERSCORE_DROP, CONFIG_UNDERSCORE_PASS };

struct config_address {
	struct slice text; /* as written */
	struct sockaddr_storage sa;
	socklen_t sa_bytes;
	bool is_loopback;
	bool tls;            /* the word tls stands after it */
	bool proxy_protocol; /* the word proxy */
	bool purge;          /* the word purge */
};

struct config_addresses {
	const struct config_address *v;
	unsigned n; /* 0: off */
};

/* IPv4 as ::ffff:a.b.c.d, with 96 bits more. Bits after the first `bits` are 0. */
struct config_network {
	uint8_t address[16];
	unsigned bits;
};

struct config_networks {
	const struct config_network *v;
	unsigned n;
};

struct config_proxy {
	struct config_addresses listen;
	unsigned workers;                                      /* 0: one a processor */
	unsigned max_connections, max_connections_per_address; /* the latter 0: no bound */
	struct slice tls_certificate, tls_key;                 /* paths; set when a listener has tls */
	struct config_networks proxy_trusted, trusted_proxies, purge_from;
	enum config_via via;
	uint64_t max_body_bytes, max_header_bytes;
	uint64_t body_memory_bytes; /* of all request bodies; never less than max_body_bytes */
	int64_t client_header_timeout_ms, client_body_timeout_ms, client_idle_timeout_ms, client_write_timeout_ms;
	uint64_t client_body_rate; /* bytes a second; 0: no least rate */
	int64_t shutdown_grace_ms;
	struct slice access_log; /* a path, "-" is standard output; empty: off */
	enum config_log_format access_log_format;
	enum config_proxy_status proxy_status;
	enum log_level log_level;
	struct slice debug_header; /* a secret; empty: no request is traced by it */
	enum log_format log_format;
};

/* The WWW-Authenticate by which commands know the admin side. */
#define CONFIG_ADMIN_CHALLENGE "Bearer realm=\"memoproxy\""
struct config_admin {
	struct config_addresses listen;
	struct slice token; /* a secret; of `token` or `token_file`; empty: none is asked for */
	struct slice token_file;
	unsigned metrics_routes; /* that /metrics shows by themselves; 0: none */
};

struct config_url {
	struct slice whole; /* scheme://authority[/base] as keys spell it (cache_origin_add), no final '/' */
	struct slice scheme, authority, base; /* the parts of it; base may be empty */
	bool is_https;
	struct config_url *next; /* a further origin of the same upstream, with the same path; or NULL */
};

struct config_upstream {
	struct slice name; /* "default" for the one without a name */
	struct config_url url;
	struct slice place; /* where that is set: "proxy.ini:4" */
	int64_t connect_timeout_ms, first_byte_timeout_ms, stall_timeout_ms;
	int64_t dns_ttl_ms, connection_max_age_ms /* -1: off */;
	unsigned max_connections; /* in all workers together */
	unsigned queue;           /* requests that wait for a connection, per worker */
	int64_t queue_timeout_ms;
	unsigned retries;
	enum config_balance balance;
	unsigned max_fails; /* 0: never left out */
	int64_t fail_timeout_ms;
	bool fail_on_5xx;
	struct slice health_path; /* empty: no checks */
	int64_t health_interval_ms, health_timeout_ms;
	unsigned breaker_errors, breaker_requests; /* percent, 0: no breaker; a number */
	int64_t breaker_window_ms, breaker_open_ms, breaker_slow_ms /* -1: off */;
	bool quota_guard;
	unsigned quota_reserve, quota_stretch; /* percent; a factor */
	enum config_http_version http_version;
	enum config_host_header host_header;
	struct slice tls_ca; /* path; empty: the system's */
	bool tls_verify;
};

struct config_cache {
	uint64_t memory_bytes, max_object_bytes;
	bool coalesce, fast_path;
	int64_t coalesce_timeout_ms; /* -1: auto */
	unsigned max_waiters;
	int64_t failure_memory_ms, pass_memory_ms;
};

enum config_admit { CONFIG_ADMIT_ALWAYS, CONFIG_ADMIT_SECOND_HIT };

struct config_disk {
	struct slice path;                     /* empty: off */
	uint64_t size_bytes, max_object_bytes; /* the latter 0: no bound of its own */
	unsigned threads;
	enum config_admit admit;
};

struct config_warm {
	struct slice file; /* empty: none */
	unsigned top, rate;
};

struct config_rate {
	unsigned requests, seconds; /* so many in so long; 0: any */
};

struct config_invalidates {
	struct pattern_template *const *v;
	unsigned n;
};

/* One route with [defaults] merged in. Durations of -1 are "off": not set. */
/* Where a key is set; `key` is empty for the line of the section itself. */
struct config_place {
	const char *key, *file;
	unsigned line; /* 0: it has none, as an option of the command line */
};

struct config_places {
	const struct config_place *v;
	unsigned n;
};

enum { CONFIG_PAGE_MAX = 64 * 1024 };

struct config_page { /* for the proxy's own errors of these statuses */
	uint16_t low, high;
	bool is_html; /* else JSON */
	struct slice path, text;
};
struct config_pages { /* the first that fits counts */
	const struct config_page *v;
	unsigned n;
};

struct config_route {
	struct cache_rules rules; /* its name and index too */
	struct slice match_text;
	struct pattern *match; /* NULL: every path */
	struct slices hosts;   /* lower case; exact or "*.suffix"; none: every host */
	struct slice upstream_name;
	unsigned upstream; /* index */
	struct config_pages error_pages;
	struct slices forward_headers; /* request fields that go upstream although they are not in the key */
	enum config_underscore underscore_headers;
	struct config_networks allow, deny; /* of clients */
	struct config_rate client_rate;
	unsigned client_burst;                 /* at least 1, if there is a rate */
	struct cache_user_from client_rate_by; /* without a name: by address */
	struct slices invalidates_text;
	struct config_invalidates invalidates; /* compiled against match: pattern_expand them with its captures */
	struct config_places places;           /* of its section; none for the default route */
};

struct config {
	struct config_proxy proxy;
	struct config_admin admin;
	struct config_cache cache;
	struct config_disk disk;
	struct config_warm warm;
	const struct config_upstream
		*upstreams; /* the one without a name first, if it has a url; each route has one of them */
	unsigned upstreams_n;
	unsigned warnings;                 /* that were made when it was read */
	const struct config_route *routes; /* in the file's order, then the default route, which is last */
	unsigned routes_n;                 /* at least 1 */
	const struct config_route **routes_by_name;
	bool is_restricted;                 /* a route has `allow` or `deny` */
	const struct config_route *slowest; /* of those with `client_rate`; NULL: none has one */
	struct config_places defaults_places;
	const struct router *router; /* of the routes: config_route_for looks in it */
	/* private */
	_Atomic unsigned refs;
	struct arena *arena;
};

/* A key as an option of the command line says it. */
struct config_option {
	const char *option; /* what errors call it: "memoproxy: --to" */
	const char *section, *key, *value;
};

/* What a configuration is read from; what a later one of these says replaces what an earlier one said. */
struct config_source {
	bool demo;         /* the demonstration's API, and without a file and a text its routes */
	const char *path;  /* of a file; NULL: none */
	struct slice text; /* in place of a file */
	const char *name;  /* of that text, in errors; NULL: there is none */
	const struct config_option *options;
	unsigned options_n;
	bool is_check; /* warn also of what a start would find by itself, as folders that are missing */
	/* Fills [admin] alone. Mistakes elsewhere, a variable that is not set for one, stand in `errors` and are no failure. */
	bool admin_only;
};

/* Reads and checks it. 0 and *out with one reference, or negative errno: -ENOENT, -EACCES and the like when the file can't
 * be read, -EINVAL for mistakes, -ENOMEM. On failure `errors` holds lines "file:line: what is wrong", each ended by
 * a newline; never a secret. With 0 it may hold lines "file:line: warning: ...". Paths in the file are relative to the working
 * directory, but for those of `include`. */
int config_load(const struct config_source *from, struct config **out, struct buf *errors) WARN_UNUSED;
/* The file that counts where none is named: ./proxy.ini or else /etc/memoproxy/proxy.ini. NULL: neither is there. */
const char *config_default_path(void);
/* What lines about all of it begin with: the file's path, or the program's name. */
const char *config_source_name(const struct config_source *from);
/* The same for text in memory, over the demonstration's [upstream] url; `name` stands in for the file's name in errors. */
int config_parse(struct slice text, const char *name, struct config **out, struct buf *errors) WARN_UNUSED;

/* Appends a URL as people type it: without a scheme it is http, and ":3000" is a port of this machine. out's error. */
int config_url_add(const char *typed, struct buf *out) WARN_UNUSED;

struct config *config_ref(struct config *c);
void config_unref(struct config **c); /* clears *c */

/* The first route in the file whose host and match fit, else the default route; never NULL. Allocates nothing. `host` is
 * a Host value, port included or not. */
const struct config_route *config_route_for(
	const struct config *c, struct slice host, struct slice path, bool has_query, struct slice query);
/* What the {names} of the route stand for in what it was found for: slices of the path. */
void config_route_captures(const struct config_route *r, struct slice path, bool has_query, struct slice query,
	struct pattern_captures *out);
/* The same for a server that decodes the path before it looks for a handler: `%40` is then `@`, and `%2f` is `/` (but bounds no
 * {segment}). The query is matched as ever. */
const struct config_route *config_route_decoded(
	const struct config *c, struct slice host, struct slice path, bool has_query, struct slice query);

/* Of two routes, either of which may be NULL, the one whose client_rate lets fewer through; `a` where both let as many. NULL: neither
 * has one. */
const struct config_route *config_route_slower(const struct config_route *a, const struct config_route *b);

/* An address of 16 bytes, IPv4 as ::ffff:a.b.c.d. */
bool config_networks_hold(const struct config_networks *networks, const uint8_t address[16]);
/* Is the client there kept out of the route? `deny` counts before `allow`; without both nobody is. */
bool config_route_refuses(const struct config_route *r, const uint8_t address[16]);
/* Or out of any route at all? */
bool config_refuses(const struct config *c, const uint8_t address[16]);

/* By name, which a NUL byte follows; "default" is the last. NULL when there is none. */
const struct config_route *config_route_named(const struct config *c, struct slice name);
/* By name; an empty one is "default", too. NULL when there is none. */
const struct config_upstream *config_upstream_named(const struct config *c, struct slice name);

/* Where that key is set for the route, in its section or in [defaults]; else where its section begins. NULL: nowhere. */
const struct config_place *config_place_of(const struct config *c, const struct config_route *r, const char *key);

/* All sections and keys with type, range, default and meaning. */
void config_print_reference(FILE *to);
/* The annotated proxy.ini: every key with its default in a comment, and the routes of the demonstration. */
void config_print_ini(FILE *to);

#endif
