/* SPDX-License-Identifier: MIT */
/* The syntax of proxy.ini, and nothing of its meaning: sections, keys, values and where they stand.
 *
 * A line is empty, a comment ('#' or ';' first), "[section]" or "[kind name]", or "key = value". Spaces around any of
 * these do not count. A value goes to the end of its line; it is not quoted, and '#' and ';' inside it are its own, but
 * after a space they are refused, because somebody meant a comment there. CRLF and a UTF-8 byte order mark are taken.
 *
 * "include = PATTERN" is no key: the files of that name, in which * and ? stand for others, are read where it stands, in the order of
 * their names, each as if its lines stood there; after them the section goes on. In values ${NAME} is the environment's, ${NAME:-text}
 * is the text where that is unset or empty, and $${ is ${ itself.
 *
 * Several sources are read one after the other, and what a later one says replaces what an earlier one said.
 *
 * Thread: one at a time. Owns: the text of files, to which slices point until ini_free. Borrows: other texts, arena, report.
 * Bounds: INI_BYTES_MAX bytes in all, INI_SECTIONS_MAX, INI_KEYS_MAX a section, INI_FILES_MAX included files, INI_DEPTH_MAX deep. */
#ifndef CONFIG_INI_INI_H
#define CONFIG_INI_INI_H

#include "base/arena.h"
#include "base/check.h"
#include "base/slice.h"
#include "config/ini/report.h"

enum {
	INI_BYTES_MAX = 8 << 20,
	INI_SECTIONS_MAX = 10200,
	INI_KEYS_MAX = 200,
	INI_NAME_MAX = 64,
	INI_FILES_MAX = 1000,
	INI_DEPTH_MAX = 8,
};

struct ini_entry {
	struct slice key, value; /* value may be empty */
	struct slice old_key;    /* what the file says where that is an old name of `key` (renamed.c); else empty */
	bool is_expanded;        /* something of the environment is in it, which may be a secret */
	unsigned line;           /* as struct report counts them */
	unsigned source;         /* 1 is what was read first */
	struct ini_entry *next;
};

struct ini_section {
	struct slice kind, name; /* "[route users]": "route" and "users"; name is empty in "[cache]" */
	unsigned line;
	unsigned source;           /* that opened it last */
	struct ini_entry *entries; /* in the order of the file */
	struct ini_section *next;
	/* for the reader */
	struct ini_section *next_alike; /* whose name has the same hash */
	struct ini_entry **entries_end;
	unsigned entries_n;
};

struct ini;

/* NULL when there is no memory. */
struct ini *ini_new(struct arena *a, struct report *r);
void ini_free(struct ini **i); /* takes NULL too */

/* One more source: a text, a file with those that it includes, or one key, as an option of the command line says it. The name is what
 * errors call it, and lives as long as the report. 0, also when mistakes were reported (then that was read which could be), or -ENOMEM;
 * of ini_read_file also the negative errno of reading the file itself, -ENOBUFS when it is too large, and nothing is reported. */
int ini_read_text(struct ini *i, struct slice text, const char *name) WARN_UNUSED;
int ini_read_file(struct ini *i, const char *path) WARN_UNUSED;
int ini_read_option(
	struct ini *i, const char *option, const char *kind, const char *key, const char *value) WARN_UNUSED;

/* In the order in which they were first opened; NULL: none. */
struct ini_section *ini_sections(struct ini *i);

/* The entry with that key, or NULL. s may be NULL. */
const struct ini_entry *ini_find(const struct ini_section *s, const char *key);
/* The section of that kind and name among all, or NULL. */
const struct ini_section *ini_section_of(const struct ini_section *all, const char *kind, struct slice name);
/* The line where that key is set in the section, else in `inherited` (may be NULL), else the section's own; 0: nowhere. */
unsigned ini_line(const struct ini_section *s, const struct ini_section *inherited, const char *key);

#endif
