/* SPDX-License-Identifier: MIT */
#include "config/ini.h"

#include <errno.h>
#include <stdbool.h>

#include "base/hash.h"
#include "config/config.h"
#include "http/syntax.h"

enum { BUCKETS = 1024 };

struct reader {
	struct arena *arena;
	struct report *report;
	struct ini_section *sections, **sections_end;
	struct ini_section *section; /* the current one; NULL before the first and after a broken header */
	struct ini_entry **entries_end;
	unsigned sections_n, entries_n, line;
	bool skipping;                        /* keys belong to a section that was refused */
	bool full;                            /* a bound was reported: nothing more is read */
	struct ini_section *buckets[BUCKETS]; /* sections by their names */
};

static bool is_name(struct slice s, const char *also)
{
	if (s.n == 0 || s.n > INI_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!http_char_is(s.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT) && (s.p[i] == '\0' || !strchr(also, s.p[i])))
			return false;
	return true;
}

static struct ini_section **bucket_of(struct reader *r, struct slice name)
{
	return &r->buckets[hash64_of(name.p, name.n) % BUCKETS];
}

static const struct ini_section *find_section(struct reader *r, struct slice kind, struct slice name)
{
	for (const struct ini_section *s = *bucket_of(r, name); s; s = s->next_alike)
		if (slice_equal(s->kind, kind) && slice_equal(s->name, name))
			return s;
	return NULL;
}

static bool bound_reached(struct reader *r, unsigned n, unsigned max, const char *what)
{
	if (n < max)
		return false;
	report_at(r->report, r->line, "more than %u %s", max, what);
	r->full = true;
	return true;
}

static int add_section(struct reader *r, struct slice kind, struct slice name)
{
	struct ini_section *s;

	if (bound_reached(r, r->sections_n, INI_SECTIONS_MAX, "sections"))
		return 0;
	s = arena_alloc(r->arena, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct ini_section){.kind = kind, .name = name, .line = r->line, .next_alike = *bucket_of(r, name)};
	*bucket_of(r, name) = s;
	*r->sections_end = s;
	r->sections_end = &s->next;
	r->section = s;
	r->entries_end = &s->entries;
	r->sections_n++;
	r->entries_n = 0;
	r->skipping = false;
	return 0;
}

/* "[kind]" or "[kind name]" */
static int read_section(struct reader *r, struct slice line)
{
	struct slice inner, kind, name;
	const struct ini_section *before;

	r->skipping = true;
	if (line.p[line.n - 1] != ']') {
		report_at(r->report, r->line, "a section's line ends with ']'");
		return 0;
	}
	inner = slice_trim((struct slice){line.p + 1, line.n - 2});
	for (kind = inner, kind.n = 0; kind.n < inner.n && kind.p[kind.n] != ' ' && kind.p[kind.n] != '\t';)
		kind.n++;
	name = slice_trim((struct slice){inner.p + kind.n, inner.n - kind.n});
	if (!is_name(kind, "_") || (name.n > 0 && !is_name(name, "_-."))) {
		report_at(r->report, r->line,
			"a section's name is letters, digits, '_', '-' and '.', at most %d of them", INI_NAME_MAX);
		return 0;
	}
	before = find_section(r, kind, name);
	if (before) {
		report_at(r->report, r->line, "[%.*s] again: it began at line %u", SLICE_ARG(inner), before->line);
		return 0;
	}
	return add_section(r, kind, name);
}

static bool is_good_value(struct reader *r, struct slice key, struct slice value)
{
	for (size_t i = 1; i < value.n; i++) {
		if ((value.p[i] != '#' && value.p[i] != ';') || (value.p[i - 1] != ' ' && value.p[i - 1] != '\t'))
			continue;
		report_at(r->report, r->line, "%.*s: a comment needs a line of its own", SLICE_ARG(key));
		return false;
	}
	if (value.n > 0 && value.p[0] == '"') {
		report_at(r->report, r->line, "%.*s: values are not quoted", SLICE_ARG(key));
		return false;
	}
	return true;
}

static int add_entry(struct reader *r, struct slice key, struct slice value)
{
	struct ini_entry *e;

	for (e = r->section->entries; e; e = e->next) {
		if (!slice_equal(e->key, key))
			continue;
		report_at(r->report, r->line, "%.*s again: it was set at line %u", SLICE_ARG(key), e->line);
		return 0;
	}
	if (bound_reached(r, r->entries_n, INI_KEYS_MAX, "keys in a section"))
		return 0;
	e = arena_alloc(r->arena, sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = (struct ini_entry){.key = key, .value = value, .line = r->line};
	*r->entries_end = e;
	r->entries_end = &e->next;
	r->entries_n++;
	return 0;
}

/* What a line holds is not shown where it is not understood: it may be part of a secret. */
static int read_entry(struct reader *r, struct slice line)
{
	struct slice key, value;

	if (!slice_cut(line, '=', &key, &value)) {
		report_at(r->report, r->line, "neither \"[section]\" nor \"key = value\" nor a comment");
		return 0;
	}
	key = slice_trim(key);
	value = slice_trim(value);
	if (!is_name(key, "_")) {
		report_at(r->report, r->line, "a key is letters, digits and '_', at most %d of them", INI_NAME_MAX);
		return 0;
	}
	if (r->skipping || !is_good_value(r, key, value))
		return 0;
	if (!r->section) {
		report_at(r->report, r->line, "%.*s stands before the first [section]", SLICE_ARG(key));
		return 0;
	}
	return add_entry(r, key, value);
}

static bool is_text(struct slice line)
{
	for (size_t i = 0; i < line.n; i++)
		if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7F)
			return false;
	return true;
}

static int read_line(struct reader *r, struct slice line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (!is_text(line)) {
		report_at(r->report, r->line, "a control character");
		return 0;
	}
	line = slice_trim(line);
	if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
		return 0;
	return line.p[0] == '[' ? read_section(r, line) : read_entry(r, line);
}

int ini_read(struct slice text, struct arena *a, struct report *report, struct ini_section **out)
{
	struct reader r = {.arena = a, .report = report};
	int rc = 0;

	r.sections_end = &r.sections;
	if (text.n > CONFIG_FILE_MAX) {
		report_at(report, 0, "larger than %d bytes", CONFIG_FILE_MAX);
		text.n = 0;
	}
	if (slice_starts_with(text, SLICE_LIT("\xEF\xBB\xBF"))) {
		text.p += 3;
		text.n -= 3;
	}
	while (text.n > 0 && !r.full && rc == 0) {
		struct slice line;

		(void)slice_cut(text, '\n', &line, &text);
		r.line++;
		rc = read_line(&r, line);
	}
	*out = r.sections;
	return rc;
}

const struct ini_entry *ini_find(const struct ini_section *s, const char *key)
{
	for (const struct ini_entry *e = s ? s->entries : NULL; e; e = e->next)
		if (slice_equal(e->key, slice_of(key)))
			return e;
	return NULL;
}

const struct ini_section *ini_section_of(const struct ini_section *all, const char *kind, struct slice name)
{
	for (const struct ini_section *s = all; s; s = s->next)
		if (slice_equal(s->kind, slice_of(kind)) && slice_equal(s->name, name))
			return s;
	return NULL;
}

unsigned ini_line(const struct ini_section *s, const struct ini_section *inherited, const char *key)
{
	const struct ini_entry *e = ini_find(s, key);

	if (!e)
		e = ini_find(inherited, key);
	if (e)
		return e->line;
	return s ? s->line : inherited ? inherited->line : 0;
}
