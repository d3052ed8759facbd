/* SPDX-License-Identifier: MIT */
#include "config/options.h"

#include <errno.h>
#include <string.h>

#include "base/nearest.h"

#define STRUCT_PROXY struct config_proxy
#define STRUCT_ADMIN struct config_admin
#define STRUCT_UPSTREAM struct config_upstream
#define STRUCT_CACHE struct config_cache
#define STRUCT_DISK struct config_disk
#define STRUCT_WARM struct config_warm
#define STRUCT_MATCH struct config_route
#define STRUCT_ROUTE struct config_route

#define MEMBER_ADDRESSES struct config_addresses
#define MEMBER_NETWORKS struct config_networks
#define MEMBER_UINT unsigned
#define MEMBER_PERCENT unsigned
#define MEMBER_AHEAD struct cache_ahead
#define MEMBER_RATE struct config_rate
#define MEMBER_DURATION int64_t
#define MEMBER_SIZE uint64_t
#define MEMBER_BOOL bool
#define MEMBER_LOG struct slice
#define MEMBER_SECRET struct slice
#define MEMBER_PATH struct slice
#define MEMBER_URL struct config_url
#define MEMBER_NAME struct slice
#define MEMBER_PATTERN struct slice
#define MEMBER_PATTERNS struct slices
#define MEMBER_HOSTS struct slices
#define MEMBER_METHODS unsigned
#define MEMBER_CODINGS unsigned
#define MEMBER_WORDS unsigned
#define MEMBER_FIELDS struct slices
#define MEMBER_PREFIXES struct slices
#define MEMBER_QUERY struct cache_query
#define MEMBER_USER_FROM struct cache_user_from
#define MEMBER_STATUS_TTL struct cache_status_ttls
#define MEMBER_PAGES struct config_pages

/* Readers write through the offset alone; here the compiler sees that the member is what they take it for. */
#define IS_TYPE(m, type) __builtin_types_compatible_p(__typeof__(m), type)
#define MEMBER_ENUM void
#define OPTION(section, key, member, type, text, low, high, words, help)                                   \
	_Static_assert(TYPE_##type == TYPE_ENUM ? sizeof(((STRUCT_##section *)0)->member) == sizeof(int)   \
						: IS_TYPE(((STRUCT_##section *)0)->member, MEMBER_##type), \
		key ": the member's type");
#include "config/options.def"
#undef OPTION

const struct option options[] = {
#define OPTION(section, key, member, type, text, low, high, words, help) \
	{SECTION_##section, key, TYPE_##type, offsetof(STRUCT_##section, member), text, low, high, words, help},
#include "config/options.def"
#undef OPTION
};
const unsigned options_n = ARRAY_LEN(options);

bool option_status_range(struct slice key, uint16_t *low, uint16_t *high)
{
	struct slice status = slice_from(key, 4);
	unsigned long long n;

	if (key.n != 7 || !slice_starts_with(key, SLICE_LIT("ttl_")) || status.p[0] < '2' || status.p[0] > '5')
		return false;
	if (status.p[1] == 'x' && status.p[2] == 'x') {
		*low = (uint16_t)((status.p[0] - '0') * 100);
		*high = (uint16_t)(*low + 99);
		return true;
	}
	if (!slice_to_u64(status, 999, &n))
		return false;
	*low = *high = (uint16_t)n;
	return true;
}

const struct option *option_find(enum option_section section, struct slice key)
{
	uint16_t low, high;
	bool is_status = option_status_range(key, &low, &high);

	for (unsigned i = 0; i < options_n; i++) {
		const struct option *o = &options[i];

		if (o->section != section)
			continue;
		if (o->type == TYPE_STATUS_TTL ? is_status : slice_equal(slice_of(o->key), key))
			return o;
	}
	return NULL;
}

const char *option_nearest(unsigned sections, struct slice key)
{
	struct nearest nearest;

	nearest_init(&nearest, key);
	for (unsigned i = 0; i < options_n; i++)
		if (sections >> options[i].section & 1U)
			nearest_consider(&nearest, options[i].key);
	return nearest.best;
}

const char *option_section_title(enum option_section section)
{
	static const char *const titles[SECTION_COUNT] = {
		[SECTION_PROXY] = "[proxy]",
		[SECTION_ADMIN] = "[admin]",
		[SECTION_UPSTREAM] = "[upstream]",
		[SECTION_CACHE] = "[cache]",
		[SECTION_DISK] = "[disk]",
		[SECTION_WARM] = "[warm]",
		[SECTION_MATCH] = "[route NAME]",
		[SECTION_ROUTE] = "[defaults]",
	};
	return titles[section];
}

int option_word_index(const char *words, struct slice word)
{
	int index = 0;

	for (const char *at = words; at; index++) {
		const char *bar = strchr(at, '|');
		struct slice one = bar ? (struct slice){at, (size_t)(bar - at)} : slice_of(at);

		if (slice_equal(one, word))
			return index;
		at = bar ? bar + 1 : NULL;
	}
	return -ENOENT;
}

/* ---- What is shown of an option ---- */

struct unit {
	int64_t n;
	const char *name;
};

static struct option_text in_units(int64_t n, const struct unit *units, unsigned units_n)
{
	struct option_text out;
	unsigned i = 0;

	while (i + 1 < units_n && (n == 0 || n % units[i].n != 0))
		i++;
	snprintf(out.z, sizeof(out.z), "%lld%s", (long long)(n / units[i].n), n ? units[i].name : "");
	return out;
}

struct option_text option_duration_text(int64_t ms)
{
	static const struct unit units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
	return in_units(ms, units, ARRAY_LEN(units));
}

struct option_text option_size_text(int64_t bytes)
{
	static const struct unit units[] = {{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}, {1, ""}};
	return in_units(bytes, units, ARRAY_LEN(units));
}

static void describe_range(const struct option *o, struct buf *out)
{
	switch (o->type) {
	case TYPE_UINT:
		buf_addf(out, "number, %lld to %lld", (long long)o->low, (long long)o->high);
		break;
	case TYPE_PERCENT:
		buf_addf(out, "percent, %lld to %lld", (long long)o->low, (long long)o->high);
		break;
	case TYPE_AHEAD:
		buf_addf(out, "duration, %s to %s, or percent, 1%% to 99%%", option_duration_text(o->low).z,
			option_duration_text(o->high).z);
		break;
	case TYPE_SIZE:
		buf_addf(out, "size, %s to %s", option_size_text(o->low).z, option_size_text(o->high).z);
		break;
	default:
		buf_addf(out, "duration, %s to %s", option_duration_text(o->low).z, option_duration_text(o->high).z);
	}
}

static void describe_words(const char *words, struct buf *out)
{
	for (const char *c = words; *c; c++)
		buf_add_str(out, *c == '|' ? ", " : (char[]){*c, '\0'});
}

int option_describe(const struct option *o, struct buf *out)
{
	static const char *const names[TYPE_COUNT] = {
		[TYPE_ADDRESSES] = "list of address:port",
		[TYPE_NETWORKS] = "list of addresses or address/bits",
		[TYPE_BOOL] = "on, off",
		[TYPE_LOG] = "path or -",
		[TYPE_SECRET] = "text",
		[TYPE_PATH] = "path",
		[TYPE_URL] = "list of URLs",
		[TYPE_NAME] = "name",
		[TYPE_PATTERN] = "pattern",
		[TYPE_PATTERNS] = "list of patterns",
		[TYPE_HOSTS] = "list of hosts",
		[TYPE_METHODS] = "list of methods",
		[TYPE_CODINGS] = "list of gzip, br, zstd",
		[TYPE_FIELDS] = "list of names",
		[TYPE_PREFIXES] = "list of names, with * at the end of beginnings",
		[TYPE_QUERY] = "keep, sort, ignore, only:LIST or drop:LIST",
		[TYPE_RATE] = "requests/s, /m or /h",
		[TYPE_USER_FROM] = "header:NAME or cookie:NAME",
		[TYPE_PAGES] = "list of statuses and a path",
	};

	if (o->type == TYPE_ENUM) {
		describe_words(o->words, out);
		return out->err;
	}
	if (o->type == TYPE_WORDS) {
		buf_add_str(out, "list of ");
		describe_words(o->words, out);
		buf_add_str(out, ", or off");
		return out->err;
	}
	if (names[o->type])
		buf_add_str(out, names[o->type]);
	else
		describe_range(o, out);
	if (o->words)
		buf_addf(out, ", or %s", o->words);
	return out->err;
}
