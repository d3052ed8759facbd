/* SPDX-License-Identifier: MIT */
#include "http/fields.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/syntax.h"

#define FIELDS_FIRST_CAP 32
/* Fields of no known name that the Connection lines of one message may nominate. */
#define NOMINATED_MAX 256

static const struct slice names[HF_COUNT] = {
	[HF_OTHER] = {"", 0},
#define X(id, name) [HF_##id] = {name, sizeof(name) - 1},
#include "http/names.def"
#undef X
};

/* Open addressing; never changed once main runs. */
#define SLOTS 1024
static uint8_t slots[SLOTS];
_Static_assert(HF_COUNT <= 250, "ids are kept in bytes and the table is at most a quarter full");

/* Known names differ in length, in both ends or in the middle; case is folded by the 0x20 bit (other characters are
 * mixed up by that, but a name found is compared in full). */
static inline unsigned slot_of(struct slice name)
{
	unsigned first = (unsigned char)name.p[0] | 0x20u, last = (unsigned char)name.p[name.n - 1] | 0x20u;
	unsigned middle = (unsigned char)name.p[name.n / 2] | 0x20u, third = (unsigned char)name.p[name.n / 3] | 0x20u;
	unsigned h = (unsigned)name.n | first << 6 | last << 12 | middle << 18 | third << 24;
	return (h * 0x9E3779B1u) >> 22;
}
_Static_assert(SLOTS == 1u << (32 - 22), "slot_of keeps as many bits as the table has slots");

/* Before main, so that no reader needs a lock or a once-flag. */
__attribute__((constructor)) static void build_slots(void)
{
	for (unsigned id = 1; id < HF_COUNT; id++) {
		unsigned i = slot_of(names[id]);
		while (slots[i] != 0)
			i = (i + 1) % SLOTS;
		slots[i] = (uint8_t)id;
	}
}

static inline bool same_name(struct slice a, struct slice b)
{
	return a.n == b.n && (memcmp(a.p, b.p, a.n) == 0 || slice_equal_nocase(a, b));
}

enum http_field_id http_field_id_of(struct slice name)
{
	if (name.n == 0)
		return HF_OTHER;
	for (unsigned i = slot_of(name); slots[i] != 0; i = (i + 1) % SLOTS) {
		if (same_name(names[slots[i]], name))
			return (enum http_field_id)slots[i];
	}
	return HF_OTHER;
}

struct slice http_field_name(enum http_field_id id)
{
	CHECK(id < HF_COUNT);
	return names[id];
}

void http_fields_init(struct http_fields *f)
{
	*f = (struct http_fields){0};
}

void http_fields_fini(struct http_fields *f)
{
	mem_free(f->v);
	http_fields_init(f);
}

void http_fields_clear(struct http_fields *f)
{
	f->n = 0;
}

static int grow(struct http_fields *f)
{
	if (f->n >= HTTP_FIELDS_MAX)
		return -ENOBUFS;
	uint32_t cap = f->cap == 0 ? FIELDS_FIRST_CAP : f->cap * 2;
	if (cap > HTTP_FIELDS_MAX)
		cap = HTTP_FIELDS_MAX;
	struct http_field *v = mem_realloc(f->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	f->v = v;
	f->cap = cap;
	return 0;
}

static int append(struct http_fields *f, struct slice name, struct slice value, enum http_field_id id)
{
	if (f->n == f->cap) {
		int rc = grow(f);
		if (rc < 0)
			return rc;
	}
	f->v[f->n++] = (struct http_field){name, value, id};
	return 0;
}

int http_fields_add(struct http_fields *f, struct slice name, struct slice value)
{
	return append(f, name, value, http_field_id_of(name));
}

int http_fields_add_id(struct http_fields *f, enum http_field_id id, struct slice value)
{
	CHECK(id != HF_OTHER);
	return append(f, http_field_name(id), value, id);
}

int http_fields_reserve(struct http_fields *f, uint32_t n)
{
	int rc = n > HTTP_FIELDS_MAX - f->n ? -ENOBUFS : 0;
	while (rc == 0 && f->cap - f->n < n)
		rc = grow(f);
	return rc;
}

void http_fields_remove(struct http_fields *f, enum http_field_id id)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < f->n; i++) {
		if (f->v[i].id != id)
			f->v[kept++] = f->v[i];
	}
	f->n = kept;
}

void http_fields_remove_at(struct http_fields *f, uint32_t i)
{
	CHECK(i < f->n);
	f->n--;
	memmove(&f->v[i], &f->v[i + 1], (f->n - i) * sizeof(*f->v));
}

const struct http_field *http_fields_next(const struct http_fields *f, enum http_field_id id, uint32_t *i)
{
	while (*i < f->n) {
		const struct http_field *field = &f->v[(*i)++];
		if (field->id == id)
			return field;
	}
	return NULL;
}

const struct http_field *http_fields_get(const struct http_fields *f, enum http_field_id id)
{
	uint32_t i = 0;
	return http_fields_next(f, id, &i);
}

const struct http_field *http_fields_find_next(const struct http_fields *f, struct slice name, uint32_t *i)
{
	enum http_field_id id = http_field_id_of(name);
	if (id != HF_OTHER)
		return http_fields_next(f, id, i);
	while (*i < f->n) {
		const struct http_field *field = &f->v[(*i)++];
		if (field->id == HF_OTHER && same_name(field->name, name))
			return field;
	}
	return NULL;
}

const struct http_field *http_fields_find(const struct http_fields *f, struct slice name)
{
	uint32_t i = 0;
	return http_fields_find_next(f, name, &i);
}

unsigned http_fields_count(const struct http_fields *f, enum http_field_id id)
{
	unsigned count = 0;
	for (uint32_t i = 0; i < f->n; i++)
		count += f->v[i].id == id;
	return count;
}

int http_fields_join(const struct http_fields *f, enum http_field_id id, struct buf *out)
{
	bool first = true;
	uint32_t i = 0;
	for (const struct http_field *line; (line = http_fields_next(f, id, &i)) != NULL;) {
		if (!first)
			buf_add_str(out, ", ");
		buf_add_slice(out, line->value);
		first = false;
	}
	return out->err;
}

bool http_list_next(struct slice *rest, struct slice *member)
{
	return http_split_next(rest, ',', member);
}

struct slice http_media_type(const struct http_fields *f, struct slice *parameters)
{
	const struct http_field *field = http_fields_get(f, HF_CONTENT_TYPE);
	struct slice type = {"", 0}, behind = type;
	if (field && http_fields_count(f, HF_CONTENT_TYPE) == 1)
		(void)slice_cut(field->value, ';', &type, &behind);
	if (parameters)
		*parameters = behind;
	return slice_trim(type);
}

bool http_media_type_is_json(struct slice type)
{
	return slice_ends_with_nocase(type, SLICE_LIT("/json")) || slice_ends_with_nocase(type, SLICE_LIT("+json"));
}

bool http_fields_are_of_page(const struct http_fields *request)
{
	const struct http_field *site = http_fields_find(request, SLICE_LIT("Sec-Fetch-Site"));

	return http_fields_get(request, HF_ORIGIN) || (site && !slice_equal(site->value, SLICE_LIT("none")));
}

bool http_fields_has_token(const struct http_fields *f, enum http_field_id id, struct slice token)
{
	uint32_t i = 0;
	for (const struct http_field *line; (line = http_fields_next(f, id, &i)) != NULL;) {
		struct slice rest = line->value, member, parameters;
		while (http_list_next(&rest, &member)) {
			(void)slice_cut(member, ';', &member, &parameters);
			if (slice_equal_nocase(slice_trim(member), token))
				return true;
		}
	}
	return false;
}

bool http_field_is_hop_by_hop(enum http_field_id id)
{
	switch (id) {
	case HF_CONNECTION:
	case HF_KEEP_ALIVE:
	case HF_PROXY_CONNECTION:
	case HF_TE:
	case HF_TRANSFER_ENCODING:
	case HF_UPGRADE:
	case HF_HTTP2_SETTINGS:
	case HF_TRAILER:            /* we drop trailer fields, so their announcement goes too */
	case HF_PROXY_AUTHENTICATE: /* not to be stored (RFC 9111 3.1), and between us and whoever sent it only */
	case HF_PROXY_AUTHENTICATION_INFO:
	case HF_PROXY_AUTHORIZATION:
		return true;
	default:
		return false;
	}
}

/* Fields that Connection can't take away: it must not name what is meant for all recipients (RFC 9110 7.6.1), and a peer
 * that names these anyway changes framing, routing, identity or what a cache may do with the message. */
static bool is_end_to_end(enum http_field_id id)
{
	switch (id) {
	case HF_HOST:
	case HF_CONTENT_LENGTH:
	case HF_CONTENT_TYPE:
	case HF_CONTENT_ENCODING:
	case HF_CONTENT_RANGE:
	case HF_CACHE_CONTROL:
	case HF_CDN_CACHE_CONTROL:
	case HF_SURROGATE_CONTROL:
	case HF_PRAGMA:
	case HF_EXPIRES:
	case HF_DATE:
	case HF_AGE:
	case HF_VARY:
	case HF_ETAG:
	case HF_LAST_MODIFIED:
	case HF_AUTHORIZATION:
	case HF_COOKIE:
	case HF_SET_COOKIE:
		return true;
	default:
		return false;
	}
}

struct nominations {
	uint64_t known[(HF_COUNT + 63) / 64]; /* a bit for each id */
	uint32_t n;
	struct slice other[NOMINATED_MAX]; /* sorted once all are in */
};

static int nominate(struct nominations *set, struct slice name)
{
	enum http_field_id id = http_field_id_of(name);
	if (id != HF_OTHER) {
		if (!is_end_to_end(id))
			set->known[id / 64] |= 1ULL << (id % 64);
		return 0;
	}
	if (slice_equal_nocase(name, SLICE_LIT("close")))
		return 0;
	if (set->n == NOMINATED_MAX)
		return -ENOBUFS;
	set->other[set->n++] = name;
	return 0;
}

static int nominate_all(struct nominations *set, const struct http_fields *f)
{
	uint32_t i = 0;
	for (const struct http_field *line; (line = http_fields_next(f, HF_CONNECTION, &i)) != NULL;) {
		struct slice rest = line->value, member;
		while (http_list_next(&rest, &member)) {
			int rc = nominate(set, member);
			if (rc < 0)
				return rc;
		}
	}
	qsort(set->other, set->n, sizeof(set->other[0]), slice_compare_nocase);
	return 0;
}

static bool is_nominated(const struct nominations *set, const struct http_field *field)
{
	if (field->id != HF_OTHER)
		return (set->known[field->id / 64] >> (field->id % 64) & 1) != 0;
	return set->n > 0 &&
	       bsearch(&field->name, set->other, set->n, sizeof(set->other[0]), slice_compare_nocase) != NULL;
}

int http_fields_drop_hop_by_hop(struct http_fields *f)
{
	struct nominations set;
	memset(set.known, 0, sizeof(set.known));
	set.n = 0;
	int rc = nominate_all(&set, f);
	if (rc < 0)
		return rc;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < f->n; i++) {
		if (!http_field_is_hop_by_hop(f->v[i].id) && !is_nominated(&set, &f->v[i]))
			f->v[kept++] = f->v[i];
	}
	f->n = kept;
	return 0;
}
