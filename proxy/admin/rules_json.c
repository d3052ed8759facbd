/* SPDX-License-Identifier: MIT */
/* A route's rules for /explain: a line of rules.def makes its member here. */
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/json_text.h"

#include "http/syntax.h"

static json_t *json_of_ms(int64_t ms)
{
	return ms < 0 ? json_null() : json_real((double)ms / 1000);
}

static json_t *json_of_names(const struct slices *names)
{
	json_t *j = json_array();

	for (unsigned i = 0; i < names->n; i++)
		json_array_append_new(j, json_text_of(names->v[i]));
	return j;
}

/* Is it what the line's default says, names between ", "? */
static bool is_default(const struct slices *names, const char *text)
{
	struct slice left = slice_of(text), one;

	for (unsigned i = 0; i < names->n; i++) {
		(void)slice_cut(left, ',', &one, &left);
		if (!slice_equal_nocase(slice_trim(one), names->v[i]))
			return false;
	}
	return left.n == 0;
}

static json_t *json_of_word(const char *words, unsigned index)
{
	for (; index > 0; index--)
		words = strchr(words, '|') + 1;
	return json_stringn(words, strcspn(words, "|"));
}

static json_t *json_of_words(const char *words, unsigned bits)
{
	json_t *j = json_array();

	for (unsigned i = 0; bits >> i; i++)
		if (bits >> i & 1U)
			json_array_append_new(j, json_of_word(words, i));
	return j;
}

static json_t *json_of_methods(unsigned methods)
{
	static const struct {
		enum http_method method;
		const char *name;
	} known[] = {{HTTP_GET, "GET"}, {HTTP_HEAD, "HEAD"}, {HTTP_POST, "POST"}, {HTTP_QUERY, "QUERY"}};
	json_t *j = json_array();

	for (unsigned i = 0; i < ARRAY_LEN(known); i++)
		if (methods >> known[i].method & 1U)
			json_array_append_new(j, json_string(known[i].name));
	return j;
}

static json_t *json_of_codings(unsigned codings)
{
	json_t *j = json_array();

	for (unsigned i = 0; i < CACHE_CODINGS; i++)
		if (codings >> i & 1U)
			json_array_append_new(j, json_text_of(cache_coding_name((enum cache_coding)i)));
	return j;
}

static json_t *json_of_query(const struct cache_query *q)
{
	static const char *const words[] = {"keep", "sort", "ignore", "only", "drop"};
	json_t *j = json_string(words[q->rule]);

	return q->names.n ? json_pack("{s:o}", words[q->rule], (json_decref(j), json_of_names(&q->names))) : j;
}

static json_t *json_of_user_from(const struct cache_user_from *u)
{
	return json_sprintf("%s:%.*s", u->is_cookie ? "cookie" : "header", SLICE_ARG(u->name));
}

/* As their keys end: "404", "5xx". */
static json_t *json_of_status_ttls(const struct cache_status_ttls *t)
{
	json_t *j = json_object();
	char name[16];

	for (unsigned i = 0; i < t->n; i++) {
		const struct cache_status_ttl *one = &t->v[i];

		if (one->low == one->high)
			snprintf(name, sizeof(name), "%u", one->low);
		else
			snprintf(name, sizeof(name), "%uxx", one->low / 100U);
		json_object_set_new(j, name, json_of_ms(one->ttl_ms));
	}
	return j;
}

static void set_names(json_t *j, const char *key, const struct slices *names, const char *text)
{
	if (!is_default(names, text))
		json_object_set_new(j, key, json_of_names(names));
}

#define SET(name, value) json_object_set_new(j, name, value)
#define SET_BOOL(key, m, text, words) SET(key, json_boolean(m));
#define SET_UINT(key, m, text, words) SET(key, json_integer(m));
#define SET_PERCENT(key, m, text, words) SET(key, json_integer(m));
#define SET_DURATION(key, m, text, words) SET(key "_s", json_of_ms(m));
#define SET_AHEAD(key, m, text, words)                       \
	if ((m).percent)                                     \
		SET(key, json_sprintf("%u%%", (m).percent)); \
	else                                                 \
		SET(key "_s", json_of_ms((m).ms));
#define SET_ENUM(key, m, text, words) SET(key, json_of_word(words, m));
#define SET_METHODS(key, m, text, words) SET(key, json_of_methods(m));
#define SET_WORDS(key, m, text, words) SET(key, json_of_words(words, m));
#define SET_CODINGS(key, m, text, words) SET(key, json_of_codings(m));
#define SET_FIELDS(key, m, text, words) set_names(j, key, &(m), text);
#define SET_PREFIXES(key, m, text, words) set_names(j, key, &(m), text);
#define SET_QUERY(key, m, text, words) SET(key, json_of_query(&(m)));
#define SET_USER_FROM(key, m, text, words) \
	if ((m).name.n)                    \
		SET(key, json_of_user_from(&(m)));
#define SET_STATUS_TTL(key, m, text, words) SET(key "_s", json_of_status_ttls(&(m)));

json_t *admin_json_of_rules(const struct cache_rules *r)
{
	json_t *j = json_object();

	SET("coalesce_timeout_ms", json_integer(r->coalesce_timeout_ms));
#define RULE(key, member, type, text, low, high, words, help) SET_##type(key, r->member, text, words)
#include "cache/policy/rules.def"
#undef RULE
	return j;
}
