/* SPDX-License-Identifier: MIT */
#include "cache/policy/credentials.h"

#include "http/syntax.h"

/* ---- Cookies ---- */

bool cookie_next(struct slice *rest, struct slice *pair)
{
	if (rest->n == 0)
		return false;
	(void)slice_cut(*rest, ';', pair, rest);
	*pair = slice_trim(*pair);
	return true;
}

struct slice cookie_name(struct slice pair)
{
	struct slice name, value;

	(void)slice_cut(pair, '=', &name, &value);
	return slice_trim(name);
}

/* ---- Names ---- */

static bool has_cookie(const struct slices *names, struct slice name)
{
	for (unsigned i = 0; i < names->n; i++)
		if (slice_equal(names->v[i], name))
			return true;
	return false;
}

/* "_ga_*" is every name that begins so. */
static bool fits(struct slice pattern, struct slice name, bool any_case)
{
	if (pattern.n > 0 && pattern.p[pattern.n - 1] == '*') {
		pattern.n--;
		if (name.n > pattern.n)
			name.n = pattern.n;
	}
	return any_case ? slice_equal_nocase(pattern, name) : slice_equal(pattern, name);
}

static bool is_shared(const struct cache_rules *rules, struct slice name, bool is_field)
{
	for (unsigned i = 0; i < rules->shared_credentials.n; i++)
		if (fits(rules->shared_credentials.v[i], name, is_field))
			return true;
	return false;
}

/* A pattern is for cookies and for fields of one's own; that all cookies, or Authorization, do not matter has to be said by name. */
static bool is_shared_field(const struct cache_rules *rules, const struct http_field *f)
{
	if (f->id == HF_COOKIE || f->id == HF_AUTHORIZATION)
		return slices_have_nocase(&rules->shared_credentials, f->name);
	return is_shared(rules, f->name, true);
}

/* ---- Fields ---- */

static bool is_keyed_field(const struct cache_rules *rules, struct slice name)
{
	bool is_identity = rules->scope == CACHE_SCOPE_USER && !rules->user_from.is_cookie &&
			   slice_equal_nocase(rules->user_from.name, name);

	return is_identity || slices_have_nocase(&rules->key_headers, name);
}

static bool is_keyed_cookie(const struct cache_rules *rules, struct slice name)
{
	bool is_identity = rules->scope == CACHE_SCOPE_USER && rules->user_from.is_cookie &&
			   slice_equal(rules->user_from.name, name);

	return is_identity || has_cookie(&rules->key_cookies, name);
}

/* Some readers end a cookie at a comma (RFC 2109 did) or at white space, and quotes change where others do: what follows could
 * be another cookie. None of these may stand in one (RFC 6265 4.1.1), so such a pair is not one of those that are known not to
 * matter. */
static bool is_harmless(const struct cache_rules *rules, struct slice pair, struct slice name)
{
	for (size_t i = 0; i < pair.n; i++)
		if (pair.p[i] <= ' ' || pair.p[i] == ',' || pair.p[i] == '"' || (unsigned char)pair.p[i] >= 0x7f)
			return false;
	/* Without a = it is no name. */
	return memchr(pair.p, '=', pair.n) && is_shared(rules, name, false);
}

bool cookie_is_shared(const struct cache_rules *rules, struct slice pair)
{
	return is_harmless(rules, pair, cookie_name(pair));
}

static void look_at_cookies(struct credentials *c, const struct cache_rules *rules, const struct http_field *f)
{
	struct slice rest = f->value, pair;

	while (!c->has_other && cookie_next(&rest, &pair)) {
		struct slice name = cookie_name(pair);

		if (pair.n == 0 || is_keyed_cookie(rules, name) || is_harmless(rules, pair, name))
			continue;
		c->has_other = true;
		c->field = f->name;
		/* Without a = the text is no name but a value (RFC 6265bis 5.6), and is told to nobody. */
		c->cookie = memchr(pair.p, '=', pair.n) && http_is_token(name) ? name : (struct slice){"", 0};
	}
}

/* Of a name: its length, as far as that goes, and its first letter, in whichever case. */
static unsigned kind_of_name(struct slice name)
{
	return (unsigned)(name.n & 7) << 5 | (name.n > 0 ? (unsigned char)name.p[0] & 31u : 0);
}

void credentials_note_absent(struct cache_rules *rules)
{
	for (unsigned i = 0; i < ARRAY_LEN(rules->no_credential); i++)
		rules->no_credential[i] = ~UINT64_C(0);
	for (unsigned i = 0; i < rules->credentials.n; i++) {
		unsigned kind = kind_of_name(rules->credentials.v[i]);

		rules->no_credential[kind / 64] &= ~(UINT64_C(1) << kind % 64);
	}
}

static bool is_absent(const struct cache_rules *rules, struct slice name)
{
	unsigned kind = kind_of_name(name);

	return rules->no_credential[kind / 64] >> kind % 64 & 1;
}

/* Asked of each field of most requests. */
static bool is_credential(const struct cache_rules *rules, const struct http_field *f)
{
	if (f->id == HF_AUTHORIZATION || f->id == HF_COOKIE)
		return true;
	return !is_absent(rules, f->name) && slices_have_nocase(&rules->credentials, f->name);
}

struct credentials credentials_of(const struct cache_rules *rules, const struct http_fields *request)
{
	struct credentials c = {0};

	for (uint32_t i = 0; i < request->n; i++) {
		const struct http_field *f = &request->v[i];

		if (!is_credential(rules, f) || is_keyed_field(rules, f->name) || is_shared_field(rules, f))
			continue;
		if (f->id == HF_AUTHORIZATION) {
			c.has_authorization = true;
		} else if (f->id == HF_COOKIE) {
			look_at_cookies(&c, rules, f);
		} else if (!c.has_other) {
			c.has_other = true;
			c.field = f->name;
			c.cookie = (struct slice){"", 0};
		}
	}
	return c;
}
