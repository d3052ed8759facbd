/* SPDX-License-Identifier: MIT */
/* What the parts of the reader of proxy.ini share. Private to config/ini/. */
#ifndef CONFIG_INI_READER_H
#define CONFIG_INI_READER_H

#include "config/ini/ini.h"

enum { INI_BUCKETS = 1024 };

struct ini {
	struct arena *arena;
	struct report *report;
	struct ini_section *sections, **sections_end;
	struct ini_section *section; /* the current one; NULL before the first and after a broken header */
	unsigned sections_n;
	unsigned line;                            /* the current one, of all that were read */
	const char *name;                         /* of the text that it is in */
	unsigned line_of_its;                     /* its number there */
	unsigned source;                          /* number of the current one */
	unsigned depth, files;                    /* of includes */
	size_t bytes;                             /* read so far, and made of the environment */
	bool skipping;                            /* keys belong to a section that was refused */
	bool full;                                /* a bound was reported: nothing more is read */
	struct ini_text *texts;                   /* of files */
	struct ini_section *buckets[INI_BUCKETS]; /* sections by their names */
};

/* Reads the lines of a text where the reader stands. 0 or -ENOMEM. */
typedef int ini_lines_reader(struct ini *r, struct slice text, const char *name);

/* include.c: a file's text, which lives as long as the reader. 0, -ENOMEM, or the negative errno of reading it. */
int ini_file_text(struct ini *r, const char *path, struct slice *text) WARN_UNUSED;
void ini_free_texts(struct ini *r);
/* Has the files read that the value of `include` names. 0, also when a mistake was reported, or -ENOMEM. */
int ini_include(struct ini *r, struct slice value, ini_lines_reader *read) WARN_UNUSED;
/* expand.c: the value with what the environment has for its ${NAMES}. 0, -EINVAL when a mistake was reported, or -ENOMEM. */
int ini_expand(struct ini *r, struct slice key, struct slice *value, bool *is_expanded) WARN_UNUSED;

#endif
