/* SPDX-License-Identifier: MIT */
#include "proxy/admin/json_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define FLAGS (JSON_INDENT(2) | JSON_REAL_PRECISION(JSON_TEXT_DIGITS))

static void new_line(struct json_text *t, unsigned depth)
{
	buf_add_char(t->out, '\n');
	for (unsigned i = 0; i < depth; i++)
		buf_add_str(t->out, "  ");
}

static void open(struct json_text *t, char opens, char closes)
{
	CHECK(t->depth < JSON_TEXT_DEPTH);
	buf_add_char(t->out, opens);
	t->closes[t->depth] = closes;
	t->has_any[t->depth++] = false;
}

static void begin_member(struct json_text *t)
{
	if (t->has_any[t->depth - 1])
		buf_add_char(t->out, ',');
	t->has_any[t->depth - 1] = true;
}

/* No string in it holds a line feed as it is. */
static void add_lines(struct json_text *t, struct slice text, unsigned depth)
{
	while (text.n > 0) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;

		new_line(t, depth);
		buf_add(t->out, text.p, n);
		n += end != NULL;
		text = slice_from(text, n);
	}
}

static void add_text(struct json_text *t, const char *text, bool is_named)
{
	struct slice all = slice_of(text);

	if (!is_named) {
		begin_member(t);
		add_lines(t, all, t->depth);
	} else if (all.n > 4) { /* "{\n", the member, indented by one, "\n}"; or nothing, "{}" */
		begin_member(t);
		add_lines(t, (struct slice){all.p + 2, all.n - 4}, t->depth - 1);
	}
}

void json_text_begin(struct json_text *t, struct buf *out)
{
	*t = (struct json_text){.out = out};
	open(t, '{', '}');
}

static void open_member(struct json_text *t, const char *name, char opens, char closes)
{
	begin_member(t);
	new_line(t, t->depth);
	buf_addf(t->out, "\"%s\": ", name);
	open(t, opens, closes);
}

void json_text_open_array(struct json_text *t, const char *name)
{
	open_member(t, name, '[', ']');
}

void json_text_open_object(struct json_text *t, const char *name)
{
	open_member(t, name, '{', '}');
}

void json_text_add(struct json_text *t, const char *name, json_t *j)
{
	json_t *whole = name ? json_object() : json_incref(j);
	char *text;

	if (name)
		json_object_set(whole, name, j);
	text = j && whole ? json_dumps(whole, FLAGS) : NULL;
	if (text)
		add_text(t, text, name != NULL);
	else if (!t->out->err)
		t->out->err = -ENOMEM;
	free(text); /* allocated by jansson */
	json_decref(whole);
	json_decref(j);
}

void json_text_close(struct json_text *t)
{
	t->depth--;
	if (t->has_any[t->depth])
		new_line(t, t->depth);
	buf_add_char(t->out, t->closes[t->depth]);
	if (t->depth == 0)
		buf_add_char(t->out, '\n');
}

json_t *json_text_of(struct slice s)
{
	json_t *j = s.n > 0 ? json_stringn(s.p, s.n) : json_string("");
	struct buf text;

	if (j || s.n == 0)
		return j;
	buf_init(&text, 3 * s.n);
	while (s.n > 0)
		buf_add_slice(&text, utf8_take(&s));
	if (!text.err)
		j = json_stringn(text.p, text.n);
	buf_fini(&text);
	return j;
}
