/* SPDX-License-Identifier: MIT */
/* The table of keys that options.def makes, looked up by section and key.
 * Thread: any; it is constant. */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/slice.h"
#include "config/config.h"

enum option_section {
	SECTION_PROXY,
	SECTION_ADMIN,
	SECTION_UPSTREAM,
	SECTION_CACHE,
	SECTION_DISK,
	SECTION_WARM,
	SECTION_MATCH, /* keys of [route NAME] that can't be inherited */
	SECTION_ROUTE, /* keys of [defaults] and [route NAME] */
	SECTION_COUNT,
};

/* Each has a reader in value.c and the type of its member in options.c. */
enum option_type {
	TYPE_ADDRESSES,
	TYPE_NETWORKS,
	TYPE_UINT,
	TYPE_PERCENT,
	TYPE_AHEAD,
	TYPE_RATE,
	TYPE_DURATION,
	TYPE_SIZE,
	TYPE_BOOL,
	TYPE_ENUM,
	TYPE_LOG,
	TYPE_SECRET,
	TYPE_PATH,
	TYPE_URL,
	TYPE_NAME,
	TYPE_PATTERN,
	TYPE_PATTERNS,
	TYPE_HOSTS,
	TYPE_METHODS,
	TYPE_CODINGS,
	TYPE_WORDS,
	TYPE_FIELDS,
	TYPE_PREFIXES,
	TYPE_QUERY,
	TYPE_USER_FROM,
	TYPE_STATUS_TTL,
	TYPE_PAGES,
	TYPE_COUNT,
};

struct option {
	enum option_section section;
	const char *key;
	enum option_type type;
	size_t offset; /* in the section's struct */
	const char *default_text;
	int64_t low, high;
	const char *words, *help;
};

extern const struct option options[];
extern const unsigned options_n;

/* The option of that key, ttl_404 and the like included, or NULL. */
const struct option *option_find(enum option_section section, struct slice key);
/* "ttl_404", "ttl_5xx": the statuses that it is about. False for any other key. */
bool option_status_range(struct slice key, uint16_t *low, uint16_t *high);
/* The known key nearest to this one among those sections (bits 1u << section), or NULL when none is near. */
const char *option_nearest(unsigned sections, struct slice key);
/* "[proxy]" and the like, of the section where a key stands. */
const char *option_section_title(enum option_section section);

/* Is `word` among the '|'-separated words? Its index, or -ENOENT. */
int option_word_index(const char *words, struct slice word);

/* "90s", "2m"; "10K": the largest unit that fits without a rest. */
struct option_text {
	char z[32];
};
struct option_text option_duration_text(int64_t ms);
struct option_text option_size_text(int64_t bytes);
/* "duration, 1ms to 1d", "combined, json": what values it takes; out's error. */
int option_describe(const struct option *o, struct buf *out);

#endif
