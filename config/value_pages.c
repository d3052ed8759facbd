/* SPDX-License-Identifier: MIT */
/* Pages for the proxy's own errors: statuses, and the file that answers them. */
#include <errno.h>

#include "config/ini/file.h"
#include "config/value.h"

/* "404", "4xx" */
static bool read_status(struct slice s, struct config_page *to)
{
	unsigned long long n;

	if (s.n != 3 || s.p[0] < '4' || s.p[0] > '5')
		return false;
	if (s.p[1] == 'x' && s.p[2] == 'x') {
		to->low = (uint16_t)((s.p[0] - '0') * 100);
		to->high = (uint16_t)(to->low + 99);
		return true;
	}
	if (!slice_to_u64(s, 599, &n))
		return false;
	to->low = to->high = (uint16_t)n;
	return true;
}

static bool ends_with(struct slice s, const char *end)
{
	size_t n = strlen(end);

	return s.n > n && memcmp(s.p + s.n - n, end, n) == 0;
}

static int read_file(const struct value_source *s, struct config_page *to)
{
	struct buf text;
	int rc;

	buf_init(&text, CONFIG_PAGE_MAX);
	rc = file_read_regular(to->path.p, &text);
	if (rc == 0) {
		to->text = arena_copy(s->arena, buf_slice(&text));
		rc = to->text.p ? 0 : -ENOMEM;
	}
	buf_fini(&text);
	if (rc && rc != -ENOMEM)
		return value_refuse(
			s, "%s: %s", report_shown(to->path).z, rc == -ENOBUFS ? "larger than 64K" : file_why(rc));
	return rc;
}

static int read_page(const struct value_source *s, struct slice path, struct config_page *to)
{
	to->is_html = ends_with(path, ".html");
	if (!to->is_html && !ends_with(path, ".json"))
		return value_refuse(
			s, "\"%s\": a status (404, 5xx) or a path that ends with .html or .json", report_shown(path).z);
	to->path = arena_copy(s->arena, path);
	return to->path.p ? read_file(s, to) : -ENOMEM;
}

int value_read_pages(const struct value_source *s, void *to)
{
	unsigned n = value_count(s->text), from = 0, at = 0; /* from: the first that has no file yet */
	struct slice text = s->text, item;
	struct config_page *v;
	int rc;

	if (n > CONFIG_LIST_MAX)
		return value_refuse(s, "%u items; %d at most", n, CONFIG_LIST_MAX);
	v = arena_alloc(s->arena, (n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	while (value_next(&text, &item)) {
		v[at] = (struct config_page){0};
		if (read_status(item, &v[at])) {
			at++;
			continue;
		}
		if (at == from)
			return value_refuse(s, "\"%s\": before a file stand its statuses, as in 502 503 FILE",
				report_shown(item).z);
		rc = read_page(s, item, &v[from]);
		if (rc)
			return rc;
		for (; ++from < at;)
			v[from] = (struct config_page){
				v[from].low, v[from].high, v[from - 1].is_html, v[from - 1].path, v[from - 1].text};
	}
	if (at != from)
		return value_refuse(s, "after statuses stands their file, as in 502 503 /etc/memoproxy/down.html");
	*(struct config_pages *)to = (struct config_pages){v, at};
	return 0;
}
