/* SPDX-License-Identifier: MIT */
#include "proxy/init/discover.h"

#include <errno.h>

#include "http/uri.h"
#include "proxy/init/document.h"
#include "proxy/init/links.h"
#include "proxy/init/openapi.h"

enum { URL_BYTES_MAX = 8192 };

int discover_url(const struct config_url *api, struct slice path, struct buf *out)
{
	buf_reset(out);
	buf_add_slice(out, api->whole);
	buf_add_slice(out, path);
	return buf_add_char(out, '\0');
}

/* 0 with any status; *out is then to be looked at. */
static int get(struct discovery *d, struct slice path, struct answer *out)
{
	struct buf url;
	int rc;

	buf_init(&url, URL_BYTES_MAX);
	rc = discover_url(d->api, path, &url);
	if (rc == 0)
		rc = ask_get(d->ask, url.p, d->with_fields, out);
	buf_fini(&url);
	return rc;
}

static bool is_type(const struct answer *a, const char *word)
{
	struct slice type = http_media_type(&a->fields, NULL);

	return slice_contains(type, slice_of(word));
}

/* ---- Links ---- */

struct base {
	struct discovery *d;
	struct buf url; /* of the document that the links are in, with a NUL byte */
};

static bool is_asset(struct slice path)
{
	static const char *const ends[] = {".css", ".js", ".png", ".svg", ".ico", ".jpg", ".jpeg", ".gif", ".webp",
		".woff", ".woff2", ".map", ".webmanifest", ".html", ".htm"};

	for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
		if (slice_ends_with_nocase(path, slice_of(ends[i])))
			return true;
	return false;
}

/* A page may lead to what GET should not do, and does. */
static bool does_something(struct slice path)
{
	static const char *const words[] = {
		"logout", "log-out", "signout", "sign-out", "unsubscribe", "delete", "remove"};

	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (slice_contains(path, slice_of(words[i])))
			return true;
	return false;
}

/* What is behind the API's own URL. */
static void on_absolute(struct discovery *d, struct slice url)
{
	struct slice path = {url.p + d->api->whole.n, 0}, bare, query;

	if (!slice_starts_with(url, d->api->whole))
		return;
	path.n = url.n - d->api->whole.n;
	(void)slice_cut(path, '?', &bare, &query);
	if (bare.n < 2 || bare.p[0] != '/' || is_asset(bare) || does_something(path))
		return;
	if (memchr(path.p, '{', path.n))
		(void)found_template(d->found, path);
	else
		(void)found_path(d->found, path);
}

static void on_link(void *arg, struct slice reference)
{
	struct base *b = arg;
	struct buf url;

	buf_init(&url, URL_BYTES_MAX);
	if (uri_resolve((struct slice){b->url.p, b->url.n - 1}, reference, &url) == 0)
		on_absolute(b->d, buf_slice(&url));
	buf_fini(&url);
}

static void read_links(
	struct discovery *d, struct slice path, const struct answer *a, const json_t *json, bool any_path)
{
	struct base b = {.d = d};
	bool is_index; /* whose sitemaps are not gone through: a few paths are enough */

	buf_init(&b.url, URL_BYTES_MAX);
	if (discover_url(d->api, path, &b.url) == 0) {
		if (json)
			links_in_json(json, any_path, on_link, &b);
		else if (is_type(a, "html"))
			links_in_html(buf_slice(&a->body), on_link, &b);
		else if (is_type(a, "xml"))
			(void)links_in_sitemap(buf_slice(&a->body), &is_index, on_link, &b);
	}
	buf_fini(&b.url);
}

static json_t *json_of(const struct answer *a)
{
	return http_media_type_is_json(http_media_type(&a->fields, NULL)) ? document_read_json(buf_slice(&a->body))
									  : NULL;
}

/* ---- Where to look ---- */

static void on_route(void *arg, const struct openapi_route *from)
{
	struct discovery *d = arg;
	struct slice base = d->api->base, path = from->path, example = from->example;
	bool is_below = base.n > 0 && slice_starts_with(path, base);
	struct route *r;

	if (is_below) { /* the API's URL has the document's base in it */
		path = slice_from(path, base.n);
		if (example.n > 0)
			example = slice_from(example, base.n);
	}
	if (!from->reads)
		return;
	r = found_template(d->found, path);
	if (!r)
		return;
	r->has_methods = true;
	r->writes = r->writes || from->writes;
	r->has_security = r->has_security || from->needs_credential;
	if (r->example.n == 0 && example.n > 0)
		r->example = arena_copy(d->found->arena, example);
	if (from->summary)
		r->summary = arena_copy(d->found->arena, slice_of(from->summary));
}

static bool read_document(struct discovery *d, const char *path, const struct answer *a)
{
	json_t *document = document_read(buf_slice(&a->body));
	bool is_one = openapi_is(document);

	if (is_one) {
		snprintf(d->document, sizeof(d->document), "%s", path);
		openapi_each(document, on_route, d);
	}
	json_decref(document);
	return is_one;
}

static int look_for_document(struct discovery *d, struct answer *a)
{
	static const char *const places[] = {"/openapi.json", "/openapi.yaml", "/openapi.yml", "/swagger.json",
		"/swagger.yaml", "/v3/api-docs", "/v2/api-docs", "/api-docs", "/api/openapi.json", "/docs/openapi.json",
		"/swagger/v1/swagger.json", "/.well-known/openapi.json"};

	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		int rc = get(d, slice_of(places[i]), a);

		if (rc == -ENOMEM)
			return rc;
		if (rc == 0 && a->status == 200 && !is_type(a, "html") && read_document(d, places[i], a))
			return 0;
	}
	return 0;
}

static int look_at_sitemap(struct discovery *d, struct answer *a)
{
	int rc = get(d, SLICE_LIT("/sitemap.xml"), a);

	if (rc == 0 && a->status == 200 && is_type(a, "xml"))
		read_links(d, SLICE_LIT("/sitemap.xml"), a, NULL, false);
	return rc == -ENOMEM ? rc : 0;
}

/* json-server's: an object whose members are what the API has. */
static int look_at_db(struct discovery *d, struct answer *a)
{
	int rc = get(d, SLICE_LIT("/db"), a);
	json_t *db = rc == 0 && a->status == 200 ? json_of(a) : NULL, *member;
	const char *name;

	json_object_foreach(db, name, member)
	{
		char path[100];

		snprintf(path, sizeof(path), "/%s", name);
		if (json_is_array(member) || json_is_object(member))
			(void)found_path(d->found, slice_of(path));
	}
	json_decref(db);
	return rc == -ENOMEM ? rc : 0;
}

/* A list leads to one of what it lists. */
static void look_at_items(struct discovery *d, struct slice path, const json_t *json)
{
	char digits[24];
	struct slice id = links_first_id(json, digits), bare, query;

	(void)slice_cut(path, '?', &bare, &query);
	if (id.n > 0)
		(void)found_item(d->found, bare, id);
}

static int visit(struct discovery *d, struct route *r, struct answer *a)
{
	struct slice path = r->example;
	json_t *json;
	int rc = get(d, path, a);

	r->is_visited = true;
	json = rc == 0 && a->status == 200 ? json_of(a) : NULL;
	if (json) {
		read_links(d, path, a, json, false);
		look_at_items(d, path, json);
	}
	json_decref(json);
	return rc == -ECONNREFUSED ? 0 : rc;
}

/* The routes grow while they are gone through; what they name is gone through as well. */
static int look_around(struct discovery *d, struct answer *a)
{
	int rc = 0;

	do {
		for (unsigned i = 0; i < d->found->n && rc == 0; i++)
			if (d->found->v[i].example.n > 0 && !d->found->v[i].is_visited)
				rc = visit(d, &d->found->v[i], a);
	} while (rc == 0 && found_derive(d->found) > 0);
	return rc == -EDQUOT ? 0 : rc;
}

static int look_at_root(struct discovery *d, struct answer *a, char why[ASK_WHY_MAX])
{
	int rc = get(d, SLICE_LIT("/"), a);
	json_t *json;

	if (rc) {
		snprintf(why, ASK_WHY_MAX, "%s", a->why);
		return rc;
	}
	json = a->status == 200 ? json_of(a) : NULL;
	read_links(d, SLICE_LIT("/"), a, json, true);
	if (json)
		(void)found_path(d->found, SLICE_LIT("/"));
	json_decref(json);
	return 0;
}

int discover(struct discovery *d, char why[ASK_WHY_MAX])
{
	struct answer a;
	int rc;

	answer_init(&a);
	rc = look_at_root(d, &a, why);
	if (rc == 0)
		rc = look_for_document(d, &a);
	if (rc == 0)
		rc = look_at_sitemap(d, &a);
	if (rc == 0 && d->found->n == 0)
		rc = look_at_db(d, &a);
	if (rc == 0)
		rc = look_around(d, &a);
	answer_fini(&a);
	return rc;
}
