/* SPDX-License-Identifier: MIT */
#include "proxy/demo/demo_data.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"

struct demo_data {
	json_t *items[DEMO_KINDS]; /* arrays, in the order of ids */
	json_int_t last_id[DEMO_KINDS];
};

static const struct demo_schema schemas[DEMO_KINDS] = {
	[DEMO_USERS] = {"users", "user", -1, NULL, {"name", "username", "email", "city"}},
	[DEMO_POSTS] = {"posts", "post", DEMO_USERS, "userId", {"title", "body"}},
	[DEMO_COMMENTS] = {"comments", "comment", DEMO_POSTS, "postId", {"name", "email", "body"}},
};

const struct demo_schema *demo_schema(enum demo_kind kind)
{
	return &schemas[kind];
}

/* ---- Reading ---- */

static json_int_t id_of(const json_t *item)
{
	return json_integer_value(json_object_get(item, "id"));
}

/* The array's size when there is none. */
static size_t index_of(const struct demo_data *d, enum demo_kind kind, json_int_t id)
{
	size_t n = json_array_size(d->items[kind]), i = 0;

	while (i < n && id_of(json_array_get(d->items[kind], i)) != id)
		i++;
	return i;
}

json_t *demo_find(const struct demo_data *d, enum demo_kind kind, json_int_t id)
{
	return json_incref(json_array_get(d->items[kind], index_of(d, kind, id)));
}

static json_int_t parent_id_of(enum demo_kind kind, const json_t *item)
{
	const char *field = schemas[kind].parent_field;

	return field ? json_integer_value(json_object_get(item, field)) : 0;
}

json_t *demo_list(const struct demo_data *d, enum demo_kind kind, json_int_t parent_id)
{
	json_t *list = json_array(), *item;
	size_t i;

	if (!list)
		return NULL;
	json_array_foreach(d->items[kind], i, item)
	{
		if (parent_id && parent_id_of(kind, item) != parent_id)
			continue;
		if (json_array_append(list, item)) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* ---- Changing ---- */

static bool has_field(const struct demo_schema *s, const char *name)
{
	for (const char *const *f = s->fields; *f; f++)
		if (!strcmp(*f, name))
			return true;
	return false;
}

static const char *check_parent(const struct demo_data *d, const struct demo_schema *s, const json_t *id)
{
	enum demo_kind parent = (enum demo_kind)s->parent;

	if (!json_is_integer(id))
		return "the parent's id must be a number";
	if (index_of(d, parent, json_integer_value(id)) == json_array_size(d->items[parent]))
		return "there is no such parent";
	return NULL;
}

const char *demo_check(const struct demo_data *d, enum demo_kind kind, const json_t *body, bool needs_parent)
{
	const struct demo_schema *s = &schemas[kind];
	const char *name;
	json_t *value;

	if (!json_is_object(body))
		return "the body must be a JSON object";
	if (s->parent_field && needs_parent && !json_object_get(body, s->parent_field))
		return "the parent's id is missing";
	json_object_foreach((json_t *)body, name, value)
	{
		const char *fault = NULL;

		if (!strcmp(name, "id"))
			continue; /* given by us */
		if (s->parent_field && !strcmp(name, s->parent_field))
			fault = check_parent(d, s, value);
		else if (!has_field(s, name))
			fault = "a member is not known";
		else if (!json_is_string(value))
			fault = "every member but ids must be a string";
		if (fault)
			return fault;
	}
	return NULL;
}

/* The new value of a member: of the body, else of the item before (may be NULL), else empty text. A new reference. */
static json_t *member_of(const json_t *body, const json_t *before, const char *name)
{
	json_t *value = json_object_get(body, name);

	if (!value)
		value = json_object_get(before, name);
	return value ? json_incref(value) : json_string("");
}

/* Members always come in the schema's order, so that equal items are equal bytes. */
static json_t *build_item(enum demo_kind kind, json_int_t id, const json_t *body, const json_t *before)
{
	const struct demo_schema *s = &schemas[kind];
	json_t *item = json_object();
	int bad = !item || json_object_set_new(item, "id", json_integer(id));

	if (!bad && s->parent_field)
		bad = json_object_set_new(item, s->parent_field, member_of(body, before, s->parent_field));
	for (const char *const *f = s->fields; !bad && *f; f++)
		bad = json_object_set_new(item, *f, member_of(body, before, *f));
	if (bad) {
		json_decref(item);
		return NULL;
	}
	return item;
}

int demo_insert(struct demo_data *d, enum demo_kind kind, const json_t *body, json_int_t *id)
{
	json_t *item;

	if (json_array_size(d->items[kind]) >= DEMO_ITEMS_MAX)
		return -ENOSPC;
	item = build_item(kind, d->last_id[kind] + 1, body, NULL);
	if (!item || json_array_append_new(d->items[kind], item))
		return -ENOMEM;
	*id = ++d->last_id[kind];
	return 0;
}

int demo_replace(struct demo_data *d, enum demo_kind kind, json_int_t id, const json_t *body, bool keep)
{
	size_t i = index_of(d, kind, id);
	const json_t *before = json_array_get(d->items[kind], i);
	json_t *item;

	if (!before)
		return -ENOENT;
	item = build_item(kind, id, body, keep ? before : NULL);
	return item && json_array_set_new(d->items[kind], i, item) == 0 ? 0 : -ENOMEM;
}

static void remove_children(struct demo_data *d, enum demo_kind parent, json_int_t id);

int demo_remove(struct demo_data *d, enum demo_kind kind, json_int_t id)
{
	if (json_array_remove(d->items[kind], index_of(d, kind, id)))
		return -ENOENT;
	remove_children(d, kind, id);
	return 0;
}

/* At most two levels deep: comments have no children. */
static void remove_children(struct demo_data *d, enum demo_kind parent, json_int_t id)
{
	for (unsigned kind = 0; kind < DEMO_KINDS; kind++) {
		size_t i = json_array_size(d->items[kind]);

		if (schemas[kind].parent != (int)parent)
			continue;
		while (i-- > 0) { /* from the end, so that removing does not move what is still to be seen */
			json_t *item = json_array_get(d->items[kind], i);
			json_int_t child_id = id_of(item);

			if (parent_id_of((enum demo_kind)kind, item) != id)
				continue;
			json_array_remove(d->items[kind], i);
			remove_children(d, (enum demo_kind)kind, child_id);
		}
	}
}

/* ---- The first data ---- */

static const char *const first_names[] = {
	"Ada", "Barbara", "Claude", "Dorothy", "Edsger", "Frances", "Grace", "Hedy", "Ivan", "Joan"};
static const char *const last_names[] = {
	"Moreau", "Lindqvist", "Okafor", "Tanaka", "Silva", "Novak", "Haddad", "Keller", "Rossi", "Dubois"};
static const char *const cities[] = {
	"Lyon", "Uppsala", "Lagos", "Kyoto", "Porto", "Brno", "Amman", "Bern", "Torino", "Namur"};
static const char *const words[] = {"cache", "river", "letter", "orbit", "window", "garden", "signal", "harbour",
	"engine", "winter", "market", "bridge", "lantern", "forest", "number", "mirror", "compass", "violin", "paper",
	"thunder"};

enum { USERS = 10, POSTS_OF_USER = 5, COMMENTS_OF_POST = 4, SENTENCE_BYTES = 128 };

/* Five words that depend on nothing but the number. */
static void put_sentence(char to[SENTENCE_BYTES], unsigned number)
{
	size_t n = 0;

	for (unsigned i = 0; i < 5; i++) {
		number = number * 1103515245u + 12345u;
		n += (size_t)snprintf(
			to + n, SENTENCE_BYTES - n, "%s%s", i ? " " : "", words[(number >> 16) % ARRAY_LEN(words)]);
	}
}

static int insert_new(struct demo_data *d, enum demo_kind kind, json_t *item)
{
	json_int_t id;
	int rc = item ? demo_insert(d, kind, item, &id) : -ENOMEM;

	json_decref(item);
	return rc;
}

static int insert_user(struct demo_data *d, unsigned i)
{
	char name[64], username[16], email[64];

	snprintf(username, sizeof(username), "user%u", i + 1);
	snprintf(name, sizeof(name), "%s %s", first_names[i], last_names[i]);
	snprintf(email, sizeof(email), "user%u@example.com", i + 1);
	return insert_new(d, DEMO_USERS,
		json_pack("{ss ss ss ss}", "name", name, "username", username, "email", email, "city", cities[i]));
}

static int insert_post(struct demo_data *d, unsigned i)
{
	char title[SENTENCE_BYTES], body[SENTENCE_BYTES];

	put_sentence(title, i);
	put_sentence(body, i + 1000);
	return insert_new(d, DEMO_POSTS,
		json_pack("{si ss ss}", "userId", (int)(i / POSTS_OF_USER) + 1, "title", title, "body", body));
}

static int insert_comment(struct demo_data *d, unsigned i)
{
	char body[SENTENCE_BYTES], email[64];
	unsigned user = i * 7 % USERS;

	put_sentence(body, i + 5000);
	snprintf(email, sizeof(email), "user%u@example.com", user + 1);
	return insert_new(d, DEMO_COMMENTS,
		json_pack("{si ss ss ss}", "postId", (int)(i / COMMENTS_OF_POST) + 1, "name", first_names[user],
			"email", email, "body", body));
}

static int fill(struct demo_data *d)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < USERS; i++)
		rc = insert_user(d, i);
	for (unsigned i = 0; !rc && i < USERS * POSTS_OF_USER; i++)
		rc = insert_post(d, i);
	for (unsigned i = 0; !rc && i < USERS * POSTS_OF_USER * COMMENTS_OF_POST; i++)
		rc = insert_comment(d, i);
	return rc;
}

int demo_data_new(struct demo_data **out)
{
	struct demo_data *d = mem_zalloc(sizeof(*d));
	int rc = d ? 0 : -ENOMEM;

	*out = NULL;
	for (unsigned kind = 0; !rc && kind < DEMO_KINDS; kind++)
		rc = (d->items[kind] = json_array()) ? 0 : -ENOMEM;
	if (!rc)
		rc = fill(d);
	if (rc) {
		demo_data_free(&d);
		return rc;
	}
	*out = d;
	return 0;
}

void demo_data_free(struct demo_data **dp)
{
	struct demo_data *d = *dp;

	if (!d)
		return;
	for (unsigned kind = 0; kind < DEMO_KINDS; kind++)
		json_decref(d->items[kind]);
	mem_free(d);
	*dp = NULL;
}
