/* SPDX-License-Identifier: MIT */
/* From sections of text to struct config. Private to config/.
 * Thread: one at a time. Borrows: all that struct build points to. */
#ifndef CONFIG_BUILD_H
#define CONFIG_BUILD_H

#include "config/config.h"
#include "config/ini/ini.h"
#include "config/options.h"
#include "config/ini/report.h"

struct build {
	struct config *config;
	struct report *report;
	struct ini_section *sections;
	const struct ini_section *defaults;        /* NULL: there is none */
	const struct ini_section **route_sections; /* of each route but the last */
	bool is_check;                             /* as in struct config_source */
	bool told_of_upstream;                     /* that there is none */
};

/* Fills the config. 0, also when mistakes were reported, or -ENOMEM. */
int build_config(struct build *b) WARN_UNUSED;
/* [admin] alone. */
int build_admin(struct build *b) WARN_UNUSED;

/* places.c: of a section, in the order of its keys, after the section's own. 0 or -ENOMEM. */
int places_of(struct build *b, const struct ini_section *s, struct config_places *to) WARN_UNUSED;

/* print.c: texts of proxy.ini for the demonstration. */
extern const char config_demo_upstream[], config_demo_routes[];

/* validate.c: rules between keys, each for a part that was read without mistakes. They report to b->report. */
int validate_admin(struct build *b, const struct ini_section *s) WARN_UNUSED;
void validate_upstream(struct build *b, const struct config_upstream *u, const struct ini_section *s);
void validate_cache(struct build *b, const struct ini_section *s);
void validate_bodies(struct build *b, const struct ini_section *s);
void validate_route(struct build *b, const struct config_route *r, const struct ini_section *s);
void validate_proxy(struct build *b, const struct ini_section *s);
void validate_listeners(struct build *b);
/* renamed.c: before keys are looked up, and after all was read without a mistake. */
int take_new_names(struct build *b) WARN_UNUSED; /* 0 or -ENOMEM */
void warn_of_old_names(struct build *b);
/* warn*.c: after all was read without a mistake. */
void warn_of_parts(struct build *b);
void warn_of_routes(struct build *b);
void warn_of_matches(struct build *b);
void warn_of_files(struct build *b);

#endif
