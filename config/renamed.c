/* SPDX-License-Identifier: MIT */
/* Keys by the names that they had in the version before: they count as if written by the new one, and a warning names that. */
#include "config/build.h"

static const struct {
	const char *kind, *old, *now;
} renamed[] = {
	{"cache", "hit_road", "fast_path"},
};

static const char *new_name(const struct ini_section *s, struct slice key)
{
	for (unsigned i = 0; i < ARRAY_LEN(renamed); i++)
		if (slice_equal(s->kind, slice_of(renamed[i].kind)) && slice_equal(key, slice_of(renamed[i].old)))
			return renamed[i].now;
	return NULL;
}

static void take_new_name(struct build *b, const struct ini_section *s, struct ini_entry *e)
{
	const char *now = new_name(s, e->key);
	const struct ini_entry *twice = now ? ini_find(s, now) : NULL;

	if (twice)
		report_at(b->report, e->line, "%.*s is the old name of %s, which is set at line %u", SLICE_ARG(e->key),
			now, twice->line);
	if (!now)
		return;
	e->old_key = e->key;
	e->key = slice_of(now);
}

void take_new_names(struct build *b)
{
	for (const struct ini_section *s = b->sections; s; s = s->next)
		for (struct ini_entry *e = s->entries; e; e = e->next)
			take_new_name(b, s, e);
}

void warn_of_old_names(struct build *b)
{
	for (const struct ini_section *s = b->sections; s; s = s->next)
		for (const struct ini_entry *e = s->entries; e; e = e->next)
			if (e->old_key.n > 0)
				report_warning(b->report, e->line,
					"%.*s: now called %.*s; the next version does not know the old name",
					SLICE_ARG(e->old_key), SLICE_ARG(e->key));
}
