/* SPDX-License-Identifier: MIT */
/* The syntax of proxy.ini, and nothing of its meaning: sections, keys, values and where they stand.
 *
 * A line is empty, a comment ('#' or ';' first), "[section]" or "[kind name]", or "key = value". Spaces around any of
 * these do not count. A value goes to the end of its line; it is not quoted, and '#' and ';' inside it are its own, but
 * after a space they are refused, because somebody meant a comment there. CRLF and a UTF-8 byte order mark are taken.
 *
 * Thread: one at a time. Borrows: the text; all slices point into it.
 * Bounds: CONFIG_FILE_MAX bytes, INI_SECTIONS_MAX, INI_KEYS_MAX a section. */
#ifndef CONFIG_INI_H
#define CONFIG_INI_H

#include "base/check.h"
#include "base/slice.h"
#include "base/arena.h"
#include "config/report.h"

enum { INI_SECTIONS_MAX = 10200, INI_KEYS_MAX = 200, INI_NAME_MAX = 64 };

struct ini_entry {
	struct slice key, value; /* value may be empty */
	struct slice old_key;    /* what the file says where that is an old name of `key` (renamed.c); else empty */
	unsigned line;
	struct ini_entry *next;
};

struct ini_section {
	struct slice kind, name; /* "[route users]": "route" and "users"; name is empty in "[cache]" */
	unsigned line;
	struct ini_entry *entries; /* in the order of the file */
	struct ini_section *next;
	struct ini_section *next_alike; /* for the reader: whose name has the same hash */
};

/* 0, also when mistakes were reported (the sections are then what could be read), or -ENOMEM. */
int ini_read(struct slice text, struct arena *a, struct report *r, struct ini_section **out) WARN_UNUSED;
/* The entry with that key, or NULL. s may be NULL. */
const struct ini_entry *ini_find(const struct ini_section *s, const char *key);
/* The section of that kind and name among all, or NULL. */
const struct ini_section *ini_section_of(const struct ini_section *all, const char *kind, struct slice name);
/* The line where that key is set in the section, else in `inherited` (may be NULL), else the section's own; 0: nowhere. */
unsigned ini_line(const struct ini_section *s, const struct ini_section *inherited, const char *key);

#endif
