/* SPDX-License-Identifier: MIT */
/* Where the keys of a section stand, kept after the files have been read. */
#include <errno.h>

#include "config/build.h"

/* Sections are most often of one file: its name is kept once for each. */
static int place_at(struct build *b, unsigned line, const char *before, struct config_place *to)
{
	const char *file = report_locate(b->report, &line);

	to->line = line;
	to->file = before && strcmp(before, file) == 0 ? before : arena_copy(b->config->arena, slice_of(file)).p;
	return to->file ? 0 : -ENOMEM;
}

static const char *lasting_key(struct slice key)
{
	const struct option *o = option_find(SECTION_ROUTE, key);

	o = o ? o : option_find(SECTION_MATCH, key);
	return o ? o->key : "";
}

int places_of(struct build *b, const struct ini_section *s, struct config_places *to)
{
	unsigned n = 1;
	struct config_place *v;
	int rc;

	for (const struct ini_entry *e = s->entries; e; e = e->next)
		n++;
	v = arena_alloc(b->config->arena, n * sizeof(*v));
	if (!v)
		return -ENOMEM;
	v[0].key = "";
	rc = place_at(b, s->line, NULL, &v[0]);
	n = 1;
	for (const struct ini_entry *e = s->entries; e && rc == 0; e = e->next, n++) {
		v[n].key = lasting_key(e->key);
		rc = place_at(b, e->line, v[n - 1].file, &v[n]);
	}
	*to = (struct config_places){v, n};
	return rc;
}

static const struct config_place *find(const struct config_places *places, const char *key)
{
	for (unsigned i = 0; i < places->n; i++)
		if (strcmp(places->v[i].key, key) == 0)
			return &places->v[i];
	return NULL;
}

const struct config_place *config_place_of(const struct config *c, const struct config_route *r, const char *key)
{
	const struct config_place *p = find(&r->places, key);

	p = p ? p : find(&c->defaults_places, key);
	return p ? p : find(&r->places, "");
}
