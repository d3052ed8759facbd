/* SPDX-License-Identifier: MIT */
/* What is normalised, and why it may be (RFC 9111 4.1: only where the field's specification gives both forms one meaning):
 * - any field that is longer than NORMALISED_MAX: nothing, not even that its lines could be one;
 * - any other field: its lines are joined (RFC 9110 5.3);
 * - a field that is not known to hold one value only: no whitespace around the commas outside quoted strings;
 * - Accept-Encoding: names in lower case, sorted; codings that are refused only by not being accepted anyway go;
 * - Accept-Language: ranges in lower case, sorted; q-values in one form. Order has no meaning (RFC 9110 12.5.4). */
#include "cache/policy/vary.h"

#include <stdlib.h>

#include "base/hash.h"
#include "http/negotiate.h"
#include "http/syntax.h"

#define MEMBERS_MAX 64
/* A longer field is taken byte for byte: two that mean the same are two variants then, but nobody can have it taken apart and sorted
 * under a shard's lock. */
#define NORMALISED_MAX 512

/* ---- Names ---- */

struct names {
	struct slice v[VARY_NAMES_MAX];
	unsigned n;
};

static bool contains(const struct names *set, struct slice name)
{
	for (unsigned i = 0; i < set->n; i++) {
		if (slice_equal_nocase(set->v[i], name))
			return true;
	}
	return false;
}

/* Then Accept-Encoding had a part in it, whether or not the origin says so: no client gets a coding that it did not accept
 * because somebody else did. */
static bool is_coded(const struct http_fields *response)
{
	const struct http_field *coding = http_fields_get(response, HF_CONTENT_ENCODING);
	return coding && coding->value.n > 0 && !slice_equal_nocase(coding->value, SLICE_LIT("identity"));
}

/* "*", and what is no field name: nobody knows what selected this response. */
static enum vary_kind collect_names(const struct http_fields *response, struct names *set)
{
	uint32_t i = 0;
	set->n = 0;
	for (const struct http_field *line; (line = http_fields_next(response, HF_VARY, &i)) != NULL;) {
		struct slice rest = line->value, member;
		while (http_list_next(&rest, &member)) {
			if (slice_equal(member, SLICE_LIT("*")) || !http_is_token(member))
				return VARY_STAR;
			if (contains(set, member))
				continue;
			if (set->n == VARY_NAMES_MAX)
				return VARY_STAR;
			set->v[set->n++] = member;
		}
	}
	if (is_coded(response) && !contains(set, SLICE_LIT("accept-encoding"))) {
		if (set->n == VARY_NAMES_MAX)
			return VARY_STAR;
		set->v[set->n++] = SLICE_LIT("accept-encoding");
	}
	return set->n > 0 ? VARY_FIELDS : VARY_NONE;
}

enum vary_kind vary_names(const struct http_fields *response, struct buf *out)
{
	struct names set;
	enum vary_kind kind = collect_names(response, &set);
	if (kind != VARY_FIELDS)
		return kind;
	qsort(set.v, set.n, sizeof(set.v[0]), slice_compare_nocase);
	for (unsigned i = 0; i < set.n; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		buf_add_lower(out, set.v[i]);
	}
	return out->err ? VARY_STAR : VARY_FIELDS;
}

/* ---- Members with a weight (RFC 9110 12.4.2) ---- */

struct weighted {
	struct slice name;
	int q; /* thousandths */
};

struct weighted_list {
	struct weighted v[MEMBERS_MAX];
	unsigned n;
};

/* token [OWS ";" OWS "q=" qvalue]: anything else is not for us to interpret. */
static bool parse_weighted(struct slice member, struct weighted *out)
{
	struct slice weight;
	out->q = HTTP_Q_MAX;
	if (slice_cut(member, ';', &out->name, &weight)) {
		weight = slice_trim(weight);
		if (!slice_starts_with_nocase(weight, SLICE_LIT("q=")) ||
			!http_qvalue_parse(slice_from(weight, 2), &out->q))
			return false;
	}
	out->name = slice_trim(out->name);
	return http_is_token(out->name);
}

static bool parse_list(const struct http_fields *fields, enum http_field_id id, struct weighted_list *list)
{
	uint32_t i = 0;
	list->n = 0;
	for (const struct http_field *line; (line = http_fields_next(fields, id, &i)) != NULL;) {
		struct slice rest = line->value, member;
		while (http_list_next(&rest, &member)) {
			if (list->n == MEMBERS_MAX || !parse_weighted(member, &list->v[list->n]))
				return false;
			list->n++;
		}
	}
	return true;
}

static int compare_weighted(const void *left, const void *right)
{
	const struct weighted *a = left, *b = right;
	int by_name = slice_compare_nocase(&a->name, &b->name);
	return by_name != 0 ? by_name : (a->q > b->q) - (a->q < b->q);
}

/* The same name twice has no defined weight (the same weight twice is one). */
static bool has_conflict(const struct weighted_list *sorted)
{
	for (unsigned i = 1; i < sorted->n; i++) {
		if (slice_equal_nocase(sorted->v[i - 1].name, sorted->v[i].name) &&
			sorted->v[i - 1].q != sorted->v[i].q)
			return true;
	}
	return false;
}

static bool list_has(const struct weighted_list *list, struct slice name)
{
	for (unsigned i = 0; i < list->n; i++) {
		if (slice_equal_nocase(list->v[i].name, name))
			return true;
	}
	return false;
}

/* RFC 9110 8.4.1.3 and 8.4.1.1: x-gzip and x-compress are to be taken as equal to the names without "x-". */
static void unify_codings(struct weighted_list *list)
{
	for (unsigned i = 0; i < list->n; i++) {
		struct slice *name = &list->v[i].name;
		if (slice_equal_nocase(*name, SLICE_LIT("x-gzip")) ||
			slice_equal_nocase(*name, SLICE_LIT("x-compress")))
			*name = slice_from(*name, 2);
	}
}

/* A refused coding is one that is not listed, unless "*" would let it in; identity is acceptable unless refused
 * (RFC 9110 12.5.3). */
static void drop_refused_codings(struct weighted_list *list)
{
	if (list_has(list, SLICE_LIT("*")))
		return;
	unsigned kept = 0;
	for (unsigned i = 0; i < list->n; i++) {
		if (list->v[i].q > 0 || slice_equal_nocase(list->v[i].name, SLICE_LIT("identity")))
			list->v[kept++] = list->v[i];
	}
	list->n = kept;
}

static void add_list(struct buf *out, const struct weighted_list *sorted)
{
	for (unsigned i = 0; i < sorted->n; i++) {
		const struct weighted *member = &sorted->v[i];
		if (i > 0 && compare_weighted(member, member - 1) == 0)
			continue;
		if (i > 0)
			buf_add_char(out, ',');
		buf_add_lower(out, member->name);
		if (member->q != HTTP_Q_MAX) {
			buf_add_str(out, ";q=");
			buf_add_u64(out, (unsigned)member->q);
		}
	}
}

/* False, and nothing written, when the field is not what its grammar says. */
static bool add_weighted(struct buf *out, const struct http_fields *request, enum http_field_id id)
{
	struct weighted_list list;
	if (!parse_list(request, id, &list))
		return false;
	if (id == HF_ACCEPT_ENCODING)
		unify_codings(&list);
	qsort(list.v, list.n, sizeof(list.v[0]), compare_weighted);
	if (has_conflict(&list))
		return false;
	if (id == HF_ACCEPT_ENCODING)
		drop_refused_codings(&list);
	add_list(out, &list);
	return true;
}

/* ---- Any other field ---- */

/* Fields whose commas, if any, are part of one value. */
static bool holds_one_value(enum http_field_id id)
{
	switch (id) {
	case HF_AUTHORIZATION:
	case HF_PROXY_AUTHORIZATION:
	case HF_COOKIE:
	case HF_USER_AGENT:
	case HF_REFERER:
	case HF_HOST:
	case HF_ORIGIN:
	case HF_FROM:
	case HF_DATE:
	case HF_IF_MODIFIED_SINCE:
	case HF_IF_UNMODIFIED_SINCE:
	case HF_IF_RANGE:
	case HF_ACCEPT_DATETIME:
	case HF_CONTENT_TYPE:
	case HF_CONTENT_LOCATION:
	case HF_CONTENT_DISPOSITION:
	case HF_X_API_KEY:
	case HF_X_CSRF_TOKEN:
		return true;
	default:
		return false;
	}
}

/* Empty members stay: only a list's own specification says that they mean nothing. */
static void add_without_space(struct buf *out, struct slice value)
{
	for (;;) {
		size_t n = http_length_before(value, ',');
		buf_add_slice(out, slice_trim((struct slice){value.p, n}));
		if (n == value.n)
			return;
		buf_add_char(out, ',');
		value = slice_from(value, n + 1);
	}
}

static void add_generic(struct buf *out, const struct http_fields *request, struct slice name)
{
	bool exact = holds_one_value(http_field_id_of(name)), first = true;
	uint32_t i = 0;
	for (const struct http_field *line; (line = http_fields_find_next(request, name, &i)) != NULL; first = false) {
		if (!first)
			buf_add_str(out, exact ? ", " : ",");
		if (exact)
			buf_add_slice(out, line->value);
		else
			add_without_space(out, line->value);
	}
}

/* ---- Values: for each name '-' (absent), or a letter for the form and 4 bytes of length and the value ---- */

static void write_length(struct buf *out, size_t at, size_t n)
{
	for (unsigned i = 0; i < 4; i++)
		out->p[at + i] = (char)(unsigned char)(n >> (24 - 8 * i));
}

/* Bytes of all lines with a separator between them; *is_there: there is at least one. */
static size_t raw_length(const struct http_fields *request, struct slice name, bool *is_there)
{
	size_t n = 0;
	uint32_t i = 0;
	*is_there = false;
	for (const struct http_field *line; (line = http_fields_find_next(request, name, &i)) != NULL;) {
		n += line->value.n + *is_there;
		*is_there = true;
	}
	return n;
}

/* No value holds a line feed. */
static void add_raw(struct buf *out, const struct http_fields *request, struct slice name)
{
	bool first = true;
	uint32_t i = 0;
	for (const struct http_field *line; (line = http_fields_find_next(request, name, &i)) != NULL; first = false) {
		if (!first)
			buf_add_char(out, '\n');
		buf_add_slice(out, line->value);
	}
}

/* Is `stored` what add_raw would write? Compares no more than it has to, and copies nothing. */
static bool is_raw(struct slice stored, const struct http_fields *request, struct slice name, size_t length)
{
	uint32_t i = 0;
	if (stored.n != length + 5 || stored.p[0] != '#')
		return false;
	stored = (struct slice){stored.p + 5, length};
	for (const struct http_field *line; (line = http_fields_find_next(request, name, &i)) != NULL;) {
		struct slice value = line->value;
		if (value.n > stored.n || !slice_equal(value, (struct slice){stored.p, value.n}))
			return false;
		stored = slice_from(stored, value.n);
		if (stored.n == 0)
			continue;
		if (stored.p[0] != '\n')
			return false;
		stored = slice_from(stored, 1);
	}
	return stored.n == 0;
}

static int add_value(struct buf *out, const struct http_fields *request, struct slice name)
{
	enum http_field_id id = http_field_id_of(name);
	bool is_there;
	size_t length = raw_length(request, name, &is_there), at = out->n;
	if (!is_there)
		return buf_add_char(out, '-');
	buf_add(out, length > NORMALISED_MAX ? "#\0\0\0\0" : "=\0\0\0\0", 5);
	if (length > NORMALISED_MAX) {
		add_raw(out, request, name);
		if (out->err == 0)
			write_length(out, at + 1, length);
		return out->err;
	}
	bool is_weighted = id == HF_ACCEPT_ENCODING || id == HF_ACCEPT_LANGUAGE;
	if (!is_weighted || !add_weighted(out, request, id)) {
		add_generic(out, request, name);
		if (out->err == 0 && is_weighted)
			out->p[at] = '~';
	}
	if (out->err == 0)
		write_length(out, at + 1, out->n - at - 5);
	return out->err;
}

static bool next_name(struct slice *names, struct slice *name)
{
	return http_list_next(names, name);
}

int vary_values(struct slice names, const struct http_fields *request, struct buf *out)
{
	struct slice name;
	while (next_name(&names, &name)) {
		int rc = add_value(out, request, name);
		if (rc < 0)
			return rc;
	}
	return out->err;
}

/* ---- Matching ---- */

/* Takes the stored value of one name. False at the end and for bytes that vary_values did not write. */
static bool take_value(struct slice *values, struct slice *value)
{
	size_t n = 1;
	if (values->n == 0)
		return false;
	if (values->p[0] != '-') {
		if (values->n < 5)
			return false;
		for (unsigned i = 1; i <= 4; i++)
			n = i == 1 ? (unsigned char)values->p[i] : n << 8 | (unsigned char)values->p[i];
		if (n > values->n - 5)
			return false;
		n += 5;
	}
	*value = (struct slice){values->p, n};
	*values = slice_from(*values, n);
	return true;
}

/* The language that this request wants most, named exactly and above all others: what a server that has it would select too
 * (RFC 9110 12.5.4; RFC 4647 3.4, without falling back to shorter tags, since a better one may exist that we have not seen). */
static struct slice best_language_of(const struct http_fields *request)
{
	static const struct slice none = {"", 0};
	struct weighted_list list;
	const struct weighted *best = NULL;
	if (!parse_list(request, HF_ACCEPT_LANGUAGE, &list))
		return none;
	for (unsigned i = 0; i < list.n; i++)
		if (!best || list.v[i].q > best->q)
			best = &list.v[i];
	if (!best || best->q == 0 || slice_equal(best->name, SLICE_LIT("*")))
		return none;
	for (unsigned i = 0; i < list.n; i++)
		if (&list.v[i] != best && (list.v[i].q == best->q || slice_equal_nocase(list.v[i].name, best->name)))
			return none;
	return best->name;
}

/* What is too long to be normalised is compared where it is. */
static int add_wanted(struct buf *out, const struct http_fields *request, struct slice name)
{
	bool is_there;
	if (raw_length(request, name, &is_there) > NORMALISED_MAX)
		return buf_add(out, "#\0\0\0\0", 5);
	return add_value(out, request, name);
}

void vary_wants_init(struct vary_wants *w, const struct http_fields *request)
{
	w->request = request;
	w->names_n = 0; /* the rest is learnt with names */
	w->best_language = (struct slice){"", 0};
}

static bool knows(const struct vary_wants *w, struct slice names)
{
	return slice_equal(names, (struct slice){w->names, w->names_n});
}

/* False: it has more than there is room for. */
static bool learn(struct vary_wants *w, struct slice names)
{
	struct slice rest = names, name;
	/* Its capacity is its maximum, so it never asks for memory. */
	w->values = (struct buf){.p = w->room, .cap = sizeof(w->room), .max = sizeof(w->room)};
	w->best_language = (struct slice){"", 0};
	w->names_n = 0;
	while (next_name(&rest, &name)) {
		if (add_wanted(&w->values, w->request, name) != 0)
			return false;
		if (http_field_id_of(name) == HF_ACCEPT_LANGUAGE)
			w->best_language = best_language_of(w->request);
	}
	/* Longer ones are learnt again each time. */
	if (names.n <= sizeof(w->names)) {
		memcpy(w->names, names.p, names.n);
		w->names_n = names.n;
	}
	return true;
}

static bool is_wanted(const struct vary_wants *w, struct slice name, struct slice stored, struct slice wanted,
	struct slice content_language)
{
	bool is_there;
	if (wanted.p[0] == '#')
		return is_raw(stored, w->request, name, raw_length(w->request, name, &is_there));
	if (slice_equal(stored, wanted))
		return true;
	return w->best_language.n > 0 && http_field_id_of(name) == HF_ACCEPT_LANGUAGE &&
	       slice_equal_nocase(slice_trim(content_language), w->best_language);
}

bool vary_wants_match(struct vary_wants *w, struct slice names, struct slice values, struct slice content_language)
{
	struct slice name, stored, wanted, all;
	if (!knows(w, names) && !learn(w, names))
		return false;
	all = buf_slice(&w->values);
	while (next_name(&names, &name))
		if (!take_value(&values, &stored) || !take_value(&all, &wanted) ||
			!is_wanted(w, name, stored, wanted, content_language))
			return false;
	return values.n == 0;
}

bool vary_matches(
	struct slice names, struct slice values, struct slice content_language, const struct http_fields *request)
{
	struct vary_wants w;
	vary_wants_init(&w, request);
	return vary_wants_match(&w, names, values, content_language);
}

/* ---- Hashes ---- */

static uint64_t both(uint64_t a, uint64_t b)
{
	uint64_t v[2] = {a, b};

	return hash_keyed(v, sizeof(v));
}

/* 0 says that there is none. */
static uint32_t short_of(uint64_t h)
{
	return (uint32_t)h ? (uint32_t)h : 1;
}

static uint64_t hash_of_lines(struct slice raw)
{
	uint64_t h = '#';
	struct slice line;

	while (slice_cut(raw, '\n', &line, &raw))
		h = both(h, hash_keyed(line.p, line.n));
	return both(h, hash_keyed(line.p, line.n));
}

/* The same of a request's. */
static uint64_t hash_of_field(const struct http_fields *request, struct slice name)
{
	uint64_t h = '#';
	uint32_t i = 0;

	for (const struct http_field *line; (line = http_fields_find_next(request, name, &i)) != NULL;)
		h = both(h, hash_keyed(line->value.p, line->value.n));
	return h;
}

static uint64_t hash_of_stored(struct slice v)
{
	return v.p[0] == '#' ? hash_of_lines(slice_from(v, 5)) : hash_keyed(v.p, v.n);
}

static uint64_t hash_of_language(struct slice language)
{
	char lower[NORMALISED_MAX];

	for (size_t i = 0; i < language.n; i++)
		lower[i] = (char)(language.p[i] | (language.p[i] >= 'A' && language.p[i] <= 'Z' ? 0x20 : 0));
	return both('l', hash_keyed(lower, language.n));
}

/* `language`: of Accept-Language; 0: as its value says. */
static uint64_t hash_of_values(struct slice names, struct slice values, uint64_t language)
{
	uint64_t h = hash_keyed(names.p, names.n);
	struct slice name, value;

	while (next_name(&names, &name) && take_value(&values, &value))
		h = both(
			h, language && http_field_id_of(name) == HF_ACCEPT_LANGUAGE ? language : hash_of_stored(value));
	return h;
}

uint32_t vary_hash(struct slice names, struct slice values)
{
	return short_of(hash_of_values(names, values, 0));
}

static bool has_language(struct slice names)
{
	struct slice name;

	while (next_name(&names, &name))
		if (http_field_id_of(name) == HF_ACCEPT_LANGUAGE)
			return true;
	return false;
}

uint32_t vary_hash_by_language(struct slice names, struct slice values, struct slice content_language)
{
	struct slice language = slice_trim(content_language);

	/* A longer one is no request's: Accept-Language is compared as it came then. */
	if (language.n == 0 || language.n > NORMALISED_MAX || !has_language(names))
		return 0;
	return short_of(hash_of_values(names, values, hash_of_language(language)));
}

static uint64_t hash_of_wanted(const struct vary_wants *w, struct slice names, uint64_t language)
{
	uint64_t h = hash_keyed(names.p, names.n);
	struct slice all = buf_slice(&w->values), name, wanted;

	while (next_name(&names, &name) && take_value(&all, &wanted)) {
		if (language && http_field_id_of(name) == HF_ACCEPT_LANGUAGE)
			h = both(h, language);
		else if (wanted.p[0] == '#')
			h = both(h, hash_of_field(w->request, name));
		else
			h = both(h, hash_keyed(wanted.p, wanted.n));
	}
	return h;
}

unsigned vary_wants_hashes(struct vary_wants *w, struct slice names, uint32_t out[2])
{
	if (!knows(w, names) && !learn(w, names))
		return 0;
	out[0] = short_of(hash_of_wanted(w, names, 0));
	if (w->best_language.n == 0 || w->best_language.n > NORMALISED_MAX)
		return 1;
	out[1] = short_of(hash_of_wanted(w, names, hash_of_language(w->best_language)));
	return 2;
}
