/* SPDX-License-Identifier: MIT */
/* The demonstration's users, posts and comments: the same after every start, changed in memory only.
 * Thread: one at a time. Owns: all items; what demo_find and demo_list return is the caller's reference.
 * Bounds: DEMO_ITEMS_MAX items of a kind. */
#ifndef PROXY_DEMO_DEMO_DATA_H
#define PROXY_DEMO_DEMO_DATA_H

#include <jansson.h>
#include <stdbool.h>

#include "base/check.h"
#include "base/slice.h"

enum { DEMO_ITEMS_MAX = 1000 };

enum demo_kind { DEMO_USERS, DEMO_POSTS, DEMO_COMMENTS, DEMO_KINDS };

struct demo_schema {
	const char *plural, *singular;
	int parent;               /* an enum demo_kind, or -1 */
	const char *parent_field; /* names the parent's id; NULL without parent */
	const char *fields[5];    /* the other members, all text; NULL ends them */
};

struct demo_data;

const struct demo_schema *demo_schema(enum demo_kind kind);

int demo_data_new(struct demo_data **out) WARN_UNUSED;
void demo_data_free(struct demo_data **data);

/* NULL: there is none. Release with json_decref. */
json_t *demo_find(const struct demo_data *d, enum demo_kind kind, json_int_t id);
/* A new array of the items of that parent, or of all when parent_id is 0. NULL: no memory. */
json_t *demo_list(const struct demo_data *d, enum demo_kind kind, json_int_t parent_id);

/* A sentence about what is wrong with the members of `body`, or NULL. A new item needs its parent's id. */
const char *demo_check(const struct demo_data *d, enum demo_kind kind, const json_t *body, bool needs_parent);
/* A member that `body` lacks is that of the item before when `keep`, else empty. `body` was checked. 0, -ENOSPC or -ENOMEM;
 * *id is the new item's. */
int demo_insert(struct demo_data *d, enum demo_kind kind, const json_t *body, json_int_t *id) WARN_UNUSED;
int demo_replace(struct demo_data *d, enum demo_kind kind, json_int_t id, const json_t *body, bool keep) WARN_UNUSED;
/* With its children. -ENOENT when there is none. */
int demo_remove(struct demo_data *d, enum demo_kind kind, json_int_t id) WARN_UNUSED;

#endif
