/* SPDX-License-Identifier: MIT */
#include "proxy/init/links.h"

#include <expat.h>
#include <stdio.h>

#include "base/check.h"
#include "http/syntax.h"

enum { DEPTH_MAX = 100, REFERENCE_MAX = 2000 };

struct walk {
	links_each *each;
	void *arg;
	bool any_path;
	unsigned n, most, depth;
};

static void tell(struct walk *w, struct slice reference)
{
	if (w->n < w->most && reference.n > 0 && reference.n <= REFERENCE_MAX &&
		http_all_of(reference, HTTP_CH_TARGET)) {
		w->n++;
		w->each(w->arg, reference);
	}
}

/* ---- JSON ---- */

static bool names_links(const char *key)
{
	static const char *const names[] = {
		"href", "url", "uri", "self", "link", "path", "next", "first", "last", "@id"};
	struct slice s = slice_of(key);

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(key, names[i]) == 0)
			return true;
	return slice_ends_with_nocase(s, SLICE_LIT("_url")) || slice_ends_with_nocase(s, SLICE_LIT("href"));
}

static void walk_json(struct walk *w, const json_t *value, const char *key)
{
	const char *name;
	const json_t *member;
	size_t i;

	if (w->depth == DEPTH_MAX || w->n == w->most)
		return;
	w->depth++;
	if (json_is_object(value)) {
		json_object_foreach((json_t *)(uintptr_t)value, name, member)
		{
			if (w->any_path && name[0] == '/')
				tell(w, slice_of(name));
			walk_json(w, member, name);
		}
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, member) walk_json(w, member, key);
	} else if (json_is_string(value)) {
		struct slice s = {json_string_value(value), json_string_length(value)};
		bool is_path = s.n > 0 && s.p[0] == '/' && (w->any_path || names_links(key));

		if (is_path || slice_starts_with(s, SLICE_LIT("http://")) ||
			slice_starts_with(s, SLICE_LIT("https://")))
			tell(w, s);
	}
	w->depth--;
}

void links_in_json(const json_t *document, bool any_path, links_each *each, void *arg)
{
	struct walk w = {.each = each, .arg = arg, .any_path = any_path, .most = LINKS_MAX};

	walk_json(&w, document, "");
}

static const json_t *list_of(const json_t *document)
{
	const json_t *found = NULL, *member;
	const char *name;

	if (json_is_array(document))
		return document;
	json_object_foreach((json_t *)(uintptr_t)document, name, member)
	{
		if (!json_is_array(member) || !json_is_object(json_array_get(member, 0)))
			continue;
		if (found)
			return NULL; /* which of them? */
		found = member;
	}
	return found;
}

struct slice links_first_id(const json_t *document, char digits[24])
{
	static const char *const names[] = {"id", "_id", "uuid"};
	const json_t *first = json_array_get(list_of(document), 0);

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		const json_t *id = json_object_get(first, names[i]);

		if (json_is_string(id))
			return (struct slice){json_string_value(id), json_string_length(id)};
		if (json_is_integer(id)) {
			snprintf(digits, 24, "%lld", (long long)json_integer_value(id));
			return slice_of(digits);
		}
	}
	return (struct slice){"", 0};
}

/* ---- HTML ---- */

void links_in_html(struct slice text, links_each *each, void *arg)
{
	struct walk w = {.each = each, .arg = arg, .most = LINKS_MAX};
	const char *at = text.n ? text.p : "", *end = at + text.n, *close;

	while ((at = memmem(at, (size_t)(end - at), "href=", 5)) != NULL) {
		at += 5;
		if (at == end || (*at != '"' && *at != '\''))
			continue;
		close = memchr(at + 1, *at, (size_t)(end - at - 1));
		if (!close)
			return;
		tell(&w, (struct slice){at + 1, (size_t)(close - at) - 1});
		at = close;
	}
}

/* ---- Sitemaps ---- */

struct sitemap {
	struct walk walk;
	bool is_in_loc, is_index, is_one;
	char text[REFERENCE_MAX + 1];
	size_t n;
};

/* With a namespace's prefix or without one. */
static bool is_called(const char *name, const char *what)
{
	const char *colon = strrchr(name, ':');

	return strcmp(colon ? colon + 1 : name, what) == 0;
}

static void on_start(void *arg, const char *name, const char **attributes)
{
	struct sitemap *s = arg;

	(void)attributes;
	s->is_index = s->is_index || is_called(name, "sitemapindex");
	s->is_one = s->is_one || s->is_index || is_called(name, "urlset");
	s->is_in_loc = is_called(name, "loc");
	s->n = 0;
}

static void on_text(void *arg, const char *text, int n)
{
	struct sitemap *s = arg;

	if (!s->is_in_loc || (size_t)n > REFERENCE_MAX - s->n)
		return;
	memcpy(s->text + s->n, text, (size_t)n);
	s->n += (size_t)n;
}

static void on_end(void *arg, const char *name)
{
	struct sitemap *s = arg;
	struct slice text = {s->text, s->n};

	(void)name;
	while (text.n > 0 && strchr(" \t\r\n", text.p[text.n - 1]))
		text.n--;
	while (text.n > 0 && strchr(" \t\r\n", text.p[0])) {
		text.p++;
		text.n--;
	}
	if (s->is_in_loc)
		tell(&s->walk, text);
	s->is_in_loc = false;
}

bool links_in_sitemap(struct slice text, bool *is_index, links_each *each, void *arg)
{
	struct sitemap s = {.walk = {.each = each, .arg = arg, .most = SITEMAP_MAX}};
	XML_Parser parser = XML_ParserCreate(NULL);
	bool is_whole;

	*is_index = false;
	if (!parser)
		return false;
	XML_SetUserData(parser, &s);
	XML_SetElementHandler(parser, on_start, on_end);
	XML_SetCharacterDataHandler(parser, on_text);
	is_whole = XML_Parse(parser, text.p, (int)text.n, XML_TRUE) == XML_STATUS_OK;
	XML_ParserFree(parser);
	*is_index = s.is_index;
	return is_whole && s.is_one;
}
