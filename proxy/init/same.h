/* SPDX-License-Identifier: MIT */
/* What differs between two responses that should be the same.
 * Thread: any. Bounds: SAME_PLACES_MAX places are named; no values are, which may be secrets. */
#ifndef PROXY_INIT_SAME_H
#define PROXY_INIT_SAME_H

#include <jansson.h>

#include "base/buf.h"
#include "http/fields.h"

enum { SAME_PLACES_MAX = 5 };

/* Appends the places that differ, as JSON pointers with `*` for all members of a list, separated by commas; returns how many there are. */
unsigned same_json(const json_t *a, const json_t *b, struct buf *out);
/* Appends the names of fields that differ, but for those that always may: Date, Age and what is about the connection. */
unsigned same_fields(const struct http_fields *a, const struct http_fields *b, struct buf *out);

#endif
