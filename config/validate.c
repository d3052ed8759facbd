/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <unistd.h>

#include "config/build.h"
#include "config/ini/file.h"
#include "config/value.h"
#include "http/syntax.h"

enum { TOKEN_FILE_MAX = 4096 };

/* ---- [admin] ---- */

static struct slice trim_lines(struct slice s)
{
	while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
		s.n--;
	return slice_trim(s);
}

static int take_token(struct build *b, struct slice token, unsigned line)
{
	if (token.n == 0 || !value_is_secret(token)) {
		report_at(b->report, line, "token_file: one line of visible ASCII characters is wanted in it");
		return 0;
	}
	b->config->admin.token = arena_copy(b->config->arena, token);
	return b->config->admin.token.p ? 0 : -ENOMEM;
}

static int read_token_file(struct build *b, unsigned line)
{
	const char *path = b->config->admin.token_file.p;
	struct buf text;
	int rc;

	buf_init(&text, TOKEN_FILE_MAX);
	rc = file_read_regular(path, &text);
	if (rc == 0)
		rc = take_token(b, trim_lines(buf_slice(&text)), line);
	else if (rc != -ENOMEM)
		report_at(b->report, line, "token_file: %s: %s", report_shown(slice_of(path)).z, file_why(rc));
	buf_fini(&text);
	return rc == -ENOMEM ? rc : 0;
}

static void check_admin_is_guarded(struct build *b, const struct ini_section *s)
{
	const struct config_admin *admin = &b->config->admin;

	for (unsigned i = 0; i < admin->listen.n && admin->token.n == 0; i++) {
		if (admin->listen.v[i].is_loopback)
			continue;
		report_at(b->report, ini_line(s, NULL, "listen"),
			"listen: others can reach %.*s: set token or token_file, or listen on a loopback address",
			SLICE_ARG(admin->listen.v[i].text));
		return;
	}
}

int validate_admin(struct build *b, const struct ini_section *s)
{
	struct config_admin *admin = &b->config->admin;
	unsigned line = ini_line(s, NULL, "token_file");
	unsigned errors = b->report->errors;

	if (admin->token.n > 0 && admin->token_file.n > 0)
		report_at(b->report, line, "token_file: token is set too; one of them is enough");
	else if (admin->token_file.n > 0 && read_token_file(b, line))
		return -ENOMEM;
	if (b->report->errors == errors)
		check_admin_is_guarded(b, s);
	return 0;
}

/* ---- [proxy] ---- */

/* What is in the files is looked at where they are loaded. */
static void check_readable(struct build *b, const struct ini_section *s, const char *key, struct slice path)
{
	unsigned line = ini_line(s, NULL, key);

	if (path.n == 0)
		report_at(b->report, line, "%s: a listener with tls needs it", key);
	else if (access(path.p, R_OK) != 0)
		report_at(b->report, line, "%s: %s: %s", key, report_shown(path).z, strerror(errno));
}

void validate_proxy(struct build *b, const struct ini_section *s)
{
	const struct config_proxy *p = &b->config->proxy;
	bool tls = false;

	for (unsigned i = 0; i < p->listen.n; i++)
		tls = tls || p->listen.v[i].tls;
	if (!tls)
		return;
	check_readable(b, s, "tls_certificate", p->tls_certificate);
	check_readable(b, s, "tls_key", p->tls_key);
}

/* ---- The others ---- */

void validate_upstream(struct build *b, const struct config_upstream *u, const struct ini_section *s)
{
	const struct ini_entry *set = ini_find(s, "tls_ca"); /* an inherited one was looked at where it is set */

	if (set && u->tls_ca.n > 0 && access(u->tls_ca.p, R_OK) != 0)
		report_at(b->report, set->line, "tls_ca: %s: %s", report_shown(u->tls_ca).z, strerror(errno));
	if (u->health_path.n > 0 && (u->health_path.p[0] != '/' || !http_all_of(u->health_path, HTTP_CH_TARGET)))
		report_at(b->report, ini_line(s, NULL, "health_path"),
			"health_path: \"%s\" is not a path that begins with /", report_shown(u->health_path).z);
}

/* A small memory makes the default of max_object smaller; what the file says itself is not changed silently. */
void validate_cache(struct build *b, const struct ini_section *s)
{
	struct config_cache *cache = &b->config->cache;

	if (cache->max_object_bytes <= cache->memory_bytes)
		return;
	if (ini_find(s, "max_object"))
		report_at(b->report, ini_line(s, NULL, "max_object"), "max_object: %s is more than memory, %s",
			option_size_text((int64_t)cache->max_object_bytes).z,
			option_size_text((int64_t)cache->memory_bytes).z);
	else
		cache->max_object_bytes = cache->memory_bytes;
}

/* The default of body_memory grows with max_body; what the file says itself is not changed silently. */
void validate_bodies(struct build *b, const struct ini_section *s)
{
	struct config_proxy *p = &b->config->proxy;

	if (p->body_memory_bytes >= p->max_body_bytes)
		return;
	if (s && ini_find(s, "body_memory"))
		report_at(b->report, ini_line(s, NULL, "body_memory"), "body_memory: %s is less than max_body, %s",
			option_size_text((int64_t)p->body_memory_bytes).z,
			option_size_text((int64_t)p->max_body_bytes).z);
	else
		p->body_memory_bytes = p->max_body_bytes;
}

void validate_route(struct build *b, const struct config_route *r, const struct ini_section *s)
{
	if (r->rules.scope == CACHE_SCOPE_USER && r->rules.user_from.name.n == 0)
		report_at(b->report, ini_line(s, b->defaults, "scope"),
			"scope: user needs user_from = header:NAME or cookie:NAME");
	if (r->rules.memory_idle_ms >= 0 && b->config->disk.path.n == 0)
		report_at(b->report, ini_line(s, b->defaults, "memory_idle"),
			"memory_idle: needs [disk] path: without it what leaves memory is lost");
	if (r->rules.ttl_min_ms >= 0 && r->rules.ttl_max_ms >= 0 && r->rules.ttl_min_ms > r->rules.ttl_max_ms)
		report_at(b->report, ini_line(s, b->defaults, "ttl_min"), "ttl_min: %s is more than ttl_max, %s",
			option_duration_text(r->rules.ttl_min_ms).z, option_duration_text(r->rules.ttl_max_ms).z);
}

static bool is_same_address(const struct config_address *a, const struct config_address *b)
{
	return a->sa_bytes == b->sa_bytes && memcmp(&a->sa, &b->sa, a->sa_bytes) == 0;
}

void validate_listeners(struct build *b)
{
	const struct config_addresses *proxy = &b->config->proxy.listen, *admin = &b->config->admin.listen;

	for (unsigned i = 0; i < proxy->n; i++)
		for (unsigned j = 0; j < admin->n; j++)
			if (is_same_address(&proxy->v[i], &admin->v[j]))
				report_at(b->report,
					ini_line(ini_section_of(b->sections, "admin", SLICE_LIT("")), NULL, "listen"),
					"listen: [proxy] listens on %.*s too", SLICE_ARG(admin->v[j].text));
}
