/* SPDX-License-Identifier: MIT */
/* A JSON object written member by member, as jansson prints a whole one with an indent of two: so that a large one is made in steps.
 * Thread: one at a time. Borrows: the buffer, whose maximum bounds it, and whose `err` says if something is missing. */
#ifndef PROXY_ADMIN_JSON_TEXT_H
#define PROXY_ADMIN_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

#define JSON_TEXT_DIGITS 15 /* of a fraction: so few that 0.3 is not 0.29999999999999999 */
#define JSON_TEXT_DEPTH 4

struct json_text {
	struct buf *out;
	unsigned depth;
	char closes[JSON_TEXT_DEPTH];
	bool has_any[JSON_TEXT_DEPTH];
};

/* Opens the outermost object. */
void json_text_begin(struct json_text *t, struct buf *out);
/* An array or an object, of that name, which is plain; its members follow until json_text_close. */
void json_text_open_array(struct json_text *t, const char *name);
void json_text_open_object(struct json_text *t, const char *name);
/* Takes j; NULL: there was no memory for it. In an array the name is NULL. A name that is not UTF-8 is left out with its value, as jansson
 * does. */
void json_text_add(struct json_text *t, const char *name, json_t *j);
/* What was opened last; a newline follows the outermost object. */
void json_text_close(struct json_text *t);

/* A string. Bytes that are no UTF-8 become U+FFFD: jansson would refuse all of it. NULL: no memory. */
json_t *json_text_of(struct slice s);

#endif
