/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>

#include "base/hash.h"
#include "base/mem.h"
#include "config/ini/reader.h"
#include "http/syntax.h"

static bool is_name(struct slice s, const char *also)
{
	if (s.n == 0 || s.n > INI_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!http_char_is(s.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT) && (s.p[i] == '\0' || !strchr(also, s.p[i])))
			return false;
	return true;
}

static struct ini_section **bucket_of(struct ini *r, struct slice name)
{
	return &r->buckets[hash64_of(name.p, name.n) % INI_BUCKETS];
}

static struct ini_section *find_section(struct ini *r, struct slice kind, struct slice name)
{
	for (struct ini_section *s = *bucket_of(r, name); s; s = s->next_alike)
		if (slice_equal(s->kind, kind) && slice_equal(s->name, name))
			return s;
	return NULL;
}

static bool bound_reached(struct ini *r, unsigned n, unsigned max, const char *what)
{
	if (n < max)
		return false;
	report_at(r->report, r->line, "more than %u %s", max, what);
	r->full = true;
	return true;
}

static ini_lines_reader read_lines;

static void enter_section(struct ini *r, struct ini_section *s)
{
	s->line = r->line;
	s->source = r->source;
	r->section = s;
	r->skipping = false;
}

static int add_section(struct ini *r, struct slice kind, struct slice name)
{
	struct ini_section *s;

	if (bound_reached(r, r->sections_n, INI_SECTIONS_MAX, "sections"))
		return 0;
	s = arena_alloc(r->arena, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct ini_section){.kind = kind, .name = name, .next_alike = *bucket_of(r, name)};
	s->entries_end = &s->entries;
	*bucket_of(r, name) = s;
	*r->sections_end = s;
	r->sections_end = &s->next;
	r->sections_n++;
	enter_section(r, s);
	return 0;
}

/* "[kind]" or "[kind name]" */
static int read_section(struct ini *r, struct slice line)
{
	struct slice inner, kind, name;
	struct ini_section *before;

	r->skipping = true;
	if (line.p[line.n - 1] != ']') {
		report_at(r->report, r->line, "a section's line ends with ']'");
		return 0;
	}
	inner = slice_trim((struct slice){line.p + 1, line.n - 2});
	for (kind = inner, kind.n = 0; kind.n < inner.n && kind.p[kind.n] != ' ' && kind.p[kind.n] != '\t';)
		kind.n++;
	name = slice_trim(slice_from(inner, kind.n));
	if (!is_name(kind, "_") || (name.n > 0 && !is_name(name, "_-."))) {
		report_at(r->report, r->line,
			"a section's name is letters, digits, '_', '-' and '.', at most %d of them", INI_NAME_MAX);
		return 0;
	}
	before = find_section(r, kind, name);
	if (!before)
		return add_section(r, kind, name);
	if (before->source == r->source)
		report_at(r->report, r->line, "[%.*s] again: it began at %s", SLICE_ARG(inner),
			report_place(r->report, before->line, r->line).z);
	else
		enter_section(r, before);
	return 0;
}

static bool is_good_value(struct ini *r, struct slice key, struct slice value)
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

static struct ini_entry *entry_of(struct ini_section *s, struct slice key)
{
	struct ini_entry *e = s->entries;

	while (e && !slice_equal(e->key, key))
		e = e->next;
	return e;
}

static int append_entry(struct ini *r, struct ini_entry **out)
{
	struct ini_section *s = r->section;

	*out = NULL;
	if (bound_reached(r, s->entries_n, INI_KEYS_MAX, "keys in a section"))
		return 0;
	*out = arena_alloc(r->arena, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	*s->entries_end = *out;
	s->entries_end = &(*out)->next;
	s->entries_n++;
	return 0;
}

static int add_entry(struct ini *r, struct slice key, struct slice value)
{
	struct ini_entry *e = entry_of(r->section, key);
	bool is_expanded;
	int rc = ini_expand(r, key, &value, &is_expanded);

	if (rc)
		return rc == -EINVAL ? 0 : rc;
	if (e && e->source == r->source) {
		report_at(r->report, r->line, "%.*s again: it was set at %s", SLICE_ARG(key),
			report_place(r->report, e->line, r->line).z);
		return 0;
	}
	if (!e)
		rc = append_entry(r, &e);
	if (e)
		*e = (struct ini_entry){.key = key,
			.value = value,
			.is_expanded = is_expanded,
			.line = r->line,
			.source = r->source,
			.next = e->next};
	return rc;
}

/* What a line holds is not shown where it is not understood: it may be part of a secret. */
static int read_entry(struct ini *r, struct slice line)
{
	struct slice key, value;
	bool is_include;

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
	is_include = slice_equal(key, SLICE_LIT("include"));
	if ((r->skipping && !is_include) || !is_good_value(r, key, value))
		return 0;
	if (is_include)
		return ini_include(r, value, read_lines);
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

static int read_line(struct ini *r, struct slice line)
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

static int read_lines(struct ini *r, struct slice text, const char *name)
{
	int rc = report_source(r->report, r->line + 1, name, 1);

	r->name = name;
	r->line_of_its = 0;
	if (slice_starts_with(text, SLICE_LIT("\xEF\xBB\xBF"))) {
		text.p += 3;
		text.n -= 3;
	}
	while (text.n > 0 && !r->full && rc == 0) {
		struct slice line;

		(void)slice_cut(text, '\n', &line, &text);
		r->line++;
		r->line_of_its++;
		rc = read_line(r, line);
	}
	return rc;
}

/* ---- Sources ---- */

struct ini *ini_new(struct arena *a, struct report *report)
{
	struct ini *r = mem_zalloc(sizeof(*r));

	if (!r)
		return NULL;
	r->arena = a;
	r->report = report;
	r->sections_end = &r->sections;
	return r;
}

void ini_free(struct ini **i)
{
	if (*i)
		ini_free_texts(*i);
	mem_free(*i);
	*i = NULL;
}

static void begin_source(struct ini *r)
{
	r->source++;
	r->section = NULL;
	r->skipping = false;
}

int ini_read_text(struct ini *r, struct slice text, const char *name)
{
	begin_source(r);
	if (text.n > INI_BYTES_MAX - r->bytes) {
		report_at(r->report, 0, "larger than %d bytes", INI_BYTES_MAX);
		return 0;
	}
	r->bytes += text.n;
	return read_lines(r, text, name);
}

int ini_read_file(struct ini *r, const char *path)
{
	struct slice text;
	int rc;

	begin_source(r);
	rc = ini_file_text(r, path, &text);
	return rc ? rc : read_lines(r, text, path);
}

int ini_read_option(struct ini *r, const char *option, const char *kind, const char *key, const char *value)
{
	struct ini_section *s = find_section(r, slice_of(kind), SLICE_LIT(""));
	int rc;

	begin_source(r);
	rc = report_source(r->report, ++r->line, option, 0);
	if (rc)
		return rc;
	if (!is_text(slice_of(value))) {
		report_at(r->report, r->line, "a control character");
		return 0;
	}
	r->section = s;
	if (!s)
		rc = add_section(r, slice_of(kind), SLICE_LIT(""));
	return rc || !r->section ? rc : add_entry(r, slice_of(key), slice_trim(slice_of(value)));
}

struct ini_section *ini_sections(struct ini *r)
{
	return r->sections;
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
