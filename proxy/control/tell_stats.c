/* SPDX-License-Identifier: MIT */
/* stats: whatever the admin side counts, but for what is 0. */
#include "proxy/control/tell.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "proxy/control/print.h"

enum { NAME_MAX = 192, DEPTH_MAX = 6 };

/* By hand rather than recursion: the depth is the document's. */
struct level {
	json_t *object;
	void *at;
	size_t name_n;
};

struct leaves {
	struct level levels[DEPTH_MAX];
	unsigned depth;
	char name[NAME_MAX];
	const json_t *value;
};

static bool is_nothing(const json_t *j)
{
	return json_is_null(j) || (json_is_number(j) && json_number_value(j) == 0) ||
	       (json_is_array(j) && json_array_size(j) == 0);
}

static void enter(struct leaves *l, json_t *object)
{
	l->levels[l->depth++] = (struct level){object, json_object_iter(object), strlen(l->name)};
}

/* The next value that is not nothing, its name with those of the objects it is in, dots between. */
static bool next_leaf(struct leaves *l)
{
	while (l->depth > 0) {
		struct level *top = &l->levels[l->depth - 1];
		json_t *value;

		l->name[top->name_n] = '\0';
		if (!top->at) {
			l->depth--;
			continue;
		}
		snprintf(l->name + top->name_n, NAME_MAX - top->name_n, "%s%s", top->name_n ? "." : "",
			json_object_iter_key(top->at));
		value = json_object_iter_value(top->at);
		top->at = json_object_iter_next(top->object, top->at);
		if (json_is_object(value) && l->depth < DEPTH_MAX) {
			enter(l, value);
		} else if (!is_nothing(value)) {
			l->value = value;
			return true;
		}
	}
	return false;
}

static unsigned widest(json_t *object)
{
	struct leaves l = {.depth = 0};
	size_t width = 0;

	enter(&l, object);
	while (next_leaf(&l))
		width = strlen(l.name) > width ? strlen(l.name) : width;
	return (unsigned)width;
}

static void tell_group(const char *title, json_t *object, FILE *to)
{
	unsigned width = widest(object);
	struct leaves l = {.depth = 0};

	if (width == 0)
		return;
	putc('\n', to);
	print_heading(to, title);
	enter(&l, object);
	while (next_leaf(&l)) {
		fputs("  ", to);
		print_line(to, (int)width, l.name, l.value);
	}
}

void tell_stats(const json_t *j, FILE *to)
{
	json_t *all = (json_t *)(uintptr_t)j, *value;
	const char *name;

	json_object_foreach(all, name, value)
	{
		if (!json_is_object(value) && !is_nothing(value))
			print_line(to, 20, name, value);
	}
	json_object_foreach(all, name, value)
	{
		if (json_is_object(value))
			tell_group(name, value, to);
	}
}
