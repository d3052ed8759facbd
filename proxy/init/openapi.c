/* SPDX-License-Identifier: MIT */
#include "proxy/init/openapi.h"

#include <stdio.h>

#include "base/buf.h"
#include "http/syntax.h"
#include "http/uri.h"

enum { PATH_BYTES_MAX = 2000 };

bool openapi_is(const json_t *document)
{
	return (json_object_get(document, "openapi") || json_object_get(document, "swagger")) &&
	       json_is_object(json_object_get(document, "paths"));
}

/* ---- References: {"$ref": "#/components/parameters/id"} ---- */

static const json_t *step(const json_t *at, struct slice name)
{
	char z[200];
	size_t n = 0;

	for (size_t i = 0; i < name.n && n + 1 < sizeof(z); i++) {
		bool is_escape = name.p[i] == '~' && i + 1 < name.n;

		z[n++] = is_escape ? (name.p[++i] == '1' ? '/' : '~') : name.p[i];
	}
	z[n] = '\0';
	return json_object_get(at, z);
}

static const json_t *resolved(const json_t *document, const json_t *value)
{
	for (unsigned i = 0; i < OPENAPI_STEPS_MAX; i++) {
		const char *ref = json_string_value(json_object_get(value, "$ref"));
		struct slice rest, name;

		if (!ref)
			return value;
		if (strncmp(ref, "#/", 2) != 0)
			return NULL;
		rest = slice_of(ref + 2);
		for (value = document; value && rest.n > 0;) {
			(void)slice_cut(rest, '/', &name, &rest);
			value = step(value, name);
		}
	}
	return NULL;
}

/* ---- Examples of parameters ---- */

static bool add_scalar(const json_t *value, struct buf *out)
{
	char number[40] = "";
	struct slice s = {json_string_value(value), json_string_length(value)};

	if (json_is_integer(value))
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
	if (!json_is_string(value))
		s = slice_of(number);
	for (size_t i = 0; i < s.n; i++)
		if (http_char_is(s.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT) || strchr("-._~", s.p[i]))
			buf_add_char(out, s.p[i]);
		else
			buf_addf(out, "%%%02X", (unsigned char)s.p[i]);
	return s.n > 0;
}

static const json_t *first_example(const json_t *examples)
{
	const char *name;
	json_t *one;

	json_object_foreach((json_t *)(uintptr_t)examples, name, one) return json_object_get(one, "value");
	return json_array_get(examples, 0);
}

/* A number is worth a try: 1 is often there. */
static bool add_example(const json_t *document, const json_t *parameter, struct buf *out)
{
	const json_t *schema = resolved(document, json_object_get(parameter, "schema"));
	const json_t *places[] = {json_object_get(parameter, "example"), json_object_get(parameter, "x-example"),
		first_example(json_object_get(parameter, "examples")), json_object_get(schema, "example"),
		first_example(json_object_get(schema, "examples")), json_object_get(parameter, "default"),
		json_object_get(schema, "default"), json_array_get(json_object_get(parameter, "enum"), 0),
		json_array_get(json_object_get(schema, "enum"), 0)};
	const char *type = json_string_value(json_object_get(schema ? schema : parameter, "type"));

	for (unsigned i = 0; i < ARRAY_LEN(places); i++)
		if (places[i] && add_scalar(places[i], out))
			return true;
	if (type && strcmp(type, "integer") == 0)
		return buf_add_char(out, '1') == 0;
	return false;
}

static bool is_true(const json_t *value)
{
	return json_is_true(value) || (json_is_string(value) && strcmp(json_string_value(value), "true") == 0);
}

static bool is_in(const json_t *parameter, const char *place)
{
	const char *in = json_string_value(json_object_get(parameter, "in"));

	return in && strcmp(in, place) == 0;
}

/* ---- One path ---- */

struct reader {
	const json_t *document, *item, *get;
	void (*each)(void *arg, const struct openapi_route *r);
	void *arg;
	char base[PATH_BYTES_MAX];
};

/* The parameter of that name (NULL: any) after *i, of the operation, then of the path. */
static const json_t *next_parameter(const struct reader *r, const char *in, struct slice name, size_t *i)
{
	const json_t *own = json_object_get(r->get, "parameters"), *shared = json_object_get(r->item, "parameters");

	for (size_t n = json_array_size(own); *i < n + json_array_size(shared);) {
		size_t k = (*i)++;
		const json_t *p = resolved(r->document, k < n ? json_array_get(own, k) : json_array_get(shared, k - n));
		const char *its = json_string_value(json_object_get(p, "name"));

		if (its && is_in(p, in) && (name.n == 0 || slice_equal(slice_of(its), name)))
			return p;
	}
	return NULL;
}

static bool add_path_example(const struct reader *r, struct slice path, struct buf *out)
{
	bool is_whole = true;

	while (path.n > 0 && is_whole) {
		const char *close = path.p[0] == '{' ? memchr(path.p, '}', path.n) : NULL;
		size_t n = close ? (size_t)(close - path.p) + 1 : 1, i = 0;

		if (close)
			is_whole = add_example(
				r->document, next_parameter(r, "path", (struct slice){path.p + 1, n - 2}, &i), out);
		else
			buf_add_char(out, path.p[0]);
		path.p += n;
		path.n -= n;
	}
	return is_whole;
}

static bool add_query_example(const struct reader *r, struct buf *out)
{
	const json_t *p;
	size_t i = 0;
	char sign = '?';

	while ((p = next_parameter(r, "query", SLICE_LIT(""), &i)) != NULL) {
		if (!is_true(json_object_get(p, "required")))
			continue;
		buf_add_char(out, sign);
		(void)add_scalar(json_object_get(p, "name"), out);
		buf_add_char(out, '=');
		if (!add_example(r->document, p, out))
			return false;
		sign = '&';
	}
	return true;
}

static bool has_writes(const json_t *item)
{
	return json_object_get(item, "post") || json_object_get(item, "put") || json_object_get(item, "patch") ||
	       json_object_get(item, "delete");
}

static bool needs_credential(const struct reader *r)
{
	const json_t *own = json_object_get(r->get, "security");

	return json_array_size(own ? own : json_object_get(r->document, "security")) > 0;
}

static void read_path(struct reader *r, const char *path)
{
	struct openapi_route route = {.reads = r->get, .writes = has_writes(r->item)};
	struct buf whole, example;

	buf_init(&whole, PATH_BYTES_MAX);
	buf_init(&example, PATH_BYTES_MAX);
	buf_add_str(&whole, r->base);
	buf_add_str(&whole, path);
	buf_add_str(&example, r->base);
	if (r->get && add_path_example(r, slice_of(path), &example) && add_query_example(r, &example) && !example.err)
		route.example = buf_slice(&example);
	route.path = buf_slice(&whole);
	route.needs_credential = r->get && needs_credential(r);
	route.summary = json_string_value(json_object_get(r->get, "summary"));
	if (!whole.err)
		r->each(r->arg, &route);
	buf_fini(&whole);
	buf_fini(&example);
}

/* basePath of Swagger; the path of the first server, whose host is not looked at. */
static void read_base(struct reader *r)
{
	const char *base = json_string_value(json_object_get(r->document, "basePath"));
	const char *server =
		json_string_value(json_object_get(json_array_get(json_object_get(r->document, "servers"), 0), "url"));
	struct slice scheme, authority, path;

	path = slice_of(base ? base : server ? server : "");
	if (!base && uri_split_absolute(path, &scheme, &authority, &path) && path.n == 0)
		return;
	while (path.n > 0 && path.p[path.n - 1] == '/')
		path.n--;
	if (path.n > 0 && path.p[0] == '/' && path.n < sizeof(r->base) && !memchr(path.p, '{', path.n))
		memcpy(r->base, path.p, path.n);
}

void openapi_each(const json_t *document, void (*each)(void *arg, const struct openapi_route *r), void *arg)
{
	struct reader r = {.document = document, .each = each, .arg = arg};
	const char *path;
	json_t *item;
	unsigned n = 0;

	read_base(&r);
	json_object_foreach(json_object_get(document, "paths"), path, item)
	{
		r.item = resolved(document, item);
		r.get = json_object_get(r.item, "get");
		if (path[0] == '/' && n++ < OPENAPI_ROUTES_MAX)
			read_path(&r, path);
	}
}
