/* SPDX-License-Identifier: MIT */
/* Files of a configuration that another one names. */
#include <errno.h>
#include <glob.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "config/ini/file.h"
#include "config/ini/reader.h"

enum { PATH_BYTES_MAX = 8192 };

struct ini_text {
	struct buf text;
	struct ini_text *next;
};

int ini_file_text(struct ini *r, const char *path, struct slice *out)
{
	struct ini_text *t = mem_zalloc(sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	t->next = r->texts;
	r->texts = t;
	buf_init(&t->text, INI_BYTES_MAX - r->bytes);
	rc = file_read(path, &t->text);
	if (rc)
		return rc;
	*out = buf_slice(&t->text);
	r->bytes += out->n;
	return 0;
}

void ini_free_texts(struct ini *r)
{
	while (r->texts) {
		struct ini_text *t = r->texts;

		r->texts = t->next;
		buf_fini(&t->text);
		mem_free(t);
	}
}

/* ---- include ---- */

/* Something else than a file may never end. */
static const char *why_not_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return strerror(errno);
	return S_ISREG(st.st_mode) ? NULL : "not a file";
}

static int include_file(struct ini *r, const char *path, unsigned line, ini_lines_reader *read)
{
	const char *why = why_not_file(path);
	struct slice name, text;
	int rc;

	if (!why && ++r->files > INI_FILES_MAX) {
		report_at(r->report, line, "include: more than %d files", INI_FILES_MAX);
		r->full = true;
		return 0;
	}
	name = arena_copy(r->arena, slice_of(path));
	if (!name.p)
		return -ENOMEM;
	rc = why ? 0 : ini_file_text(r, path, &text);
	if (rc == -ENOMEM)
		return rc;
	if (rc == -ENOBUFS)
		report_at(r->report, line, "include: all files together are larger than %d bytes", INI_BYTES_MAX);
	else if (why || rc)
		report_at(r->report, line, "include: %s: %s", name.p, why ? why : strerror(-rc));
	return why || rc ? 0 : read(r, text, name.p);
}

static bool is_pattern(struct slice value)
{
	for (size_t i = 0; i < value.n; i++)
		if (strchr("*?[", value.p[i]))
			return true;
	return false;
}

/* The files' names, absolute or beside the file that names them, whose folder may have characters in its name that mean
 * something to glob. */
static int add_path(const struct ini *r, struct slice value, struct buf *out)
{
	const char *slash = strrchr(r->name, '/');
	bool escapes = is_pattern(value);

	if (value.p[0] != '/')
		for (const char *c = r->name; slash && c <= slash; c++) {
			if (escapes && strchr("*?[\\", *c))
				buf_add_char(out, '\\');
			buf_add_char(out, *c);
		}
	buf_add_slice(out, value);
	return buf_add_char(out, '\0');
}

/* A folder that is not there has no files. */
static int on_folder(const char *path, int err)
{
	(void)path;
	return err != ENOENT && err != ENOTDIR;
}

/* Each begins in the section in which `include` stands. */
static int include_each(struct ini *r, char *const *paths, size_t n, unsigned line, ini_lines_reader *read)
{
	struct ini_section *section = r->section;
	bool skipping = r->skipping;
	int rc = 0;

	r->depth++;
	for (size_t i = 0; i < n && !r->full && rc == 0; i++) {
		rc = include_file(r, paths[i], line, read);
		r->section = section;
		r->skipping = skipping;
	}
	r->depth--;
	return rc;
}

static int include_pattern(
	struct ini *r, const char *pattern, struct slice value, unsigned line, ini_lines_reader *read)
{
	glob_t found;
	int rc = glob(pattern, 0, on_folder, &found);

	if (rc == GLOB_NOSPACE)
		return -ENOMEM;
	if (rc == GLOB_NOMATCH)
		report_warning(r->report, line, "include: no file is called %s", report_shown(value).z);
	else if (rc)
		report_at(r->report, line, "include: %s: a folder can't be read", report_shown(value).z);
	if (rc)
		return 0;
	rc = include_each(r, found.gl_pathv, found.gl_pathc, line, read);
	globfree(&found);
	return rc;
}

int ini_include(struct ini *r, struct slice value, ini_lines_reader *read)
{
	const char *name = r->name;
	unsigned line_of_its = r->line_of_its, line = r->line;
	struct buf path;
	bool is_expanded;
	int rc = ini_expand(r, SLICE_LIT("include"), &value, &is_expanded);

	if (rc)
		return rc == -EINVAL ? 0 : rc;
	if (value.n == 0 || r->depth == INI_DEPTH_MAX) {
		report_at(r->report, line,
			value.n ? "include: more than %d files deep: does one include itself?"
				: "include: a file's name is missing, as in include = routes/*.ini",
			INI_DEPTH_MAX);
		return 0;
	}
	buf_init(&path, PATH_BYTES_MAX);
	if (add_path(r, value, &path) == 0)
		rc = is_pattern(value) ? include_pattern(r, path.p, value, line, read)
				       : include_each(r, &path.p, 1, line, read);
	else if (path.err == -ENOBUFS)
		report_at(r->report, line, "include: longer than %d bytes", PATH_BYTES_MAX);
	else
		rc = path.err;
	buf_fini(&path);
	r->name = name;
	r->line_of_its = line_of_its;
	return rc ? rc : report_source(r->report, r->line + 1, name, line_of_its + 1);
}
