/* SPDX-License-Identifier: MIT */
/* Keys by the names that they had in the version before: they count as if written by the new one, and a warning names that. */
#include <errno.h>

#include "config/build.h"

struct renamed {
	const char *kind, *old, *now_kind, *now;
};

static const struct renamed renamed[] = {
	{"cache", "hit_road", "cache", "fast_path"},
	{"cache", "warm_file", "warm", "file"},
	{"cache", "warm_rate", "warm", "rate"},
	/* Moved, and not renamed. (After those, so that these are not found for them.) */
	{"warm", "warm_file", "warm", "file"},
	{"warm", "warm_rate", "warm", "rate"},
};

static const struct renamed *renamed_of(struct slice kind, struct slice old)
{
	for (unsigned i = 0; i < ARRAY_LEN(renamed); i++)
		if (slice_equal(kind, slice_of(renamed[i].kind)) && slice_equal(old, slice_of(renamed[i].old)))
			return &renamed[i];
	return NULL;
}

/* Made where there is none; NULL: no memory. */
static struct ini_section *section_of(struct build *b, const struct ini_section *from, const char *kind)
{
	struct ini_section **at = &b->sections;

	while (*at && !(slice_equal((*at)->kind, slice_of(kind)) && (*at)->name.n == 0))
		at = &(*at)->next;
	if (!*at) {
		*at = arena_alloc(b->config->arena, sizeof(**at));
		if (*at)
			**at = (struct ini_section){.kind = slice_of(kind), .line = from->line, .source = from->source};
	}
	return *at;
}

/* *has_gone: to another section, and *e is the next one. 0 or -ENOMEM. */
static int take_new_name(struct build *b, const struct ini_section *s, struct ini_entry **e, bool *has_gone)
{
	const struct renamed *r = renamed_of(s->kind, (*e)->key);
	struct ini_entry *moved = *e, **end;
	const struct ini_entry *twice;
	struct ini_section *to;

	*has_gone = false;
	if (!r)
		return 0;
	to = section_of(b, s, r->now_kind);
	if (!to)
		return -ENOMEM;
	twice = ini_find(to, r->now);
	if (twice)
		report_at(b->report, moved->line, "%.*s is the old name of %s, which is set at %s",
			SLICE_ARG(moved->key), r->now, report_place(b->report, twice->line, moved->line).z);
	moved->old_key = moved->key;
	moved->key = slice_of(r->now);
	*has_gone = to != s;
	if (*has_gone) {
		*e = moved->next;
		moved->next = NULL;
		for (end = &to->entries; *end; end = &(*end)->next)
			;
		*end = moved;
	}
	return 0;
}

int take_new_names(struct build *b)
{
	int rc = 0;

	for (struct ini_section *s = b->sections; s && !rc; s = s->next)
		for (struct ini_entry **e = &s->entries; *e && !rc;) {
			bool has_gone;

			rc = take_new_name(b, s, e, &has_gone);
			if (!rc && !has_gone)
				e = &(*e)->next;
		}
	return rc;
}

void warn_of_old_names(struct build *b)
{
	for (const struct ini_section *s = b->sections; s; s = s->next)
		for (const struct ini_entry *e = s->entries; e; e = e->next)
			if (e->old_key.n > 0)
				report_warning(b->report, e->line,
					"%.*s: now called %.*s in [%.*s]; the next version does not know the old name",
					SLICE_ARG(e->old_key), SLICE_ARG(e->key), SLICE_ARG(s->kind));
}
