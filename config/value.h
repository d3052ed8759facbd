/* SPDX-License-Identifier: MIT */
/* From a value's text to its member: one reader for each type of option.
 * Thread: one at a time. Owns: nothing; what is made goes into the arena. */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/slice.h"
#include "base/arena.h"
#include "config/options.h"
#include "config/ini/report.h"

struct value_source {
	const struct option *option;
	struct slice key, text;
	unsigned line;    /* 0: the default */
	bool is_expanded; /* something of the environment is in it: it is not shown */
	struct arena *arena;
	struct report *report;
};

/* Writes the member at `to`. 0; -EINVAL, reported with its line; or -ENOMEM. */
typedef int value_reader(const struct value_source *s, void *to);

/* For readers: reports "key: <text>" at the value's line and returns -EINVAL. Never shows the value by itself. */
int value_refuse(const struct value_source *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Is it the word that the option takes beside its usual values? */
bool value_is_word(const struct value_source *s);
/* Members of a list, separated by commas and spaces. Start with *rest = the text; false at the end. */
bool value_next(struct slice *rest, struct slice *item);
unsigned value_count(struct slice list); /* how many it would give */

/* value.c */
value_reader value_read_uint, value_read_percent, value_read_ahead, value_read_duration, value_read_size,
	value_read_bool, value_read_enum, value_read_words;
value_reader value_read_log, value_read_secret, value_read_path, value_read_name;
/* value_list.c */
value_reader value_read_pattern, value_read_patterns, value_read_hosts, value_read_methods, value_read_fields,
	value_read_prefixes, value_read_codings;
value_reader value_read_query, value_read_user_from, value_read_status_ttl;
/* value_pages.c; reads the files */
value_reader value_read_pages;
/* value_net.c */
value_reader value_read_rate;
value_reader value_read_addresses, value_read_networks, value_read_url;

/* "10s" and the like in ms; for durations that are not members of their own. */
int value_duration(const struct value_source *s, struct slice text, int64_t *ms) WARN_UNUSED;
bool value_is_secret(struct slice token); /* could it be sent as a bearer token? */

#endif
