/* SPDX-License-Identifier: MIT */
/* ${NAMES} of the environment in values. */
#include <errno.h>
#include <stdlib.h>

#include "config/ini/reader.h"
#include "http/syntax.h"

static bool is_variable(struct slice s)
{
	if (s.n == 0 || s.n > INI_NAME_MAX || http_char_is(s.p[0], HTTP_CH_DIGIT))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!http_char_is(s.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT) && s.p[i] != '_')
			return false;
	return true;
}

static int refuse(struct ini *r, struct slice key, const char *what, struct slice name)
{
	report_at(r->report, r->line, "%.*s: ${%s}%s", SLICE_ARG(key), report_shown(name).z, what);
	return -EINVAL;
}

/* `inner` is what stands between the braces. */
static int add_variable(struct ini *r, struct slice key, struct slice inner, struct buf *out)
{
	const char *dash = memmem(inner.p, inner.n, ":-", 2);
	struct slice name = {inner.p, dash ? (size_t)(dash - inner.p) : inner.n}, value = {"", 0};
	char z[INI_NAME_MAX + 1];
	const char *set;

	if (!is_variable(name))
		return refuse(r, key, ": a variable's name is letters, digits and '_'; $${ stands for ${ itself", name);
	memcpy(z, name.p, name.n);
	z[name.n] = '\0';
	set = getenv(z);
	if (!set && !dash)
		return refuse(r, key, " is not set; ${NAME:-text} is the text where it is not", name);
	if (set)
		value = slice_of(set);
	if (dash && value.n == 0)
		value = (struct slice){dash + 2, inner.n - name.n - 2};
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7F)
			return refuse(r, key, " has a control character in it", name);
	return buf_add_slice(out, value);
}

static int expand(struct ini *r, struct slice key, struct slice value, struct buf *out)
{
	int rc = 0;

	while (value.n > 0 && rc == 0) {
		const char *close;
		size_t n = 1;

		if (slice_starts_with(value, SLICE_LIT("$${"))) {
			n = 3;
			rc = buf_add_str(out, "${");
		} else if (!slice_starts_with(value, SLICE_LIT("${"))) {
			rc = buf_add_char(out, value.p[0]);
		} else if (!(close = memchr(value.p, '}', value.n))) {
			report_at(r->report, r->line, "%.*s: ${ without }; $${ stands for ${ itself", SLICE_ARG(key));
			return -EINVAL;
		} else {
			n = (size_t)(close - value.p) + 1;
			rc = add_variable(r, key, (struct slice){value.p + 2, n - 3}, out);
		}
		value.p += n;
		value.n -= n;
	}
	return rc;
}

int ini_expand(struct ini *r, struct slice key, struct slice *value, bool *is_expanded)
{
	struct buf out;
	int rc;

	*is_expanded = slice_contains(*value, SLICE_LIT("${"));
	if (!*is_expanded)
		return 0;
	buf_init(&out, INI_BYTES_MAX - r->bytes);
	rc = expand(r, key, *value, &out);
	if (rc == -ENOBUFS) {
		report_at(r->report, r->line, "%.*s: all together is larger than %d bytes", SLICE_ARG(key),
			INI_BYTES_MAX);
		rc = -EINVAL;
	}
	if (rc == 0) {
		r->bytes += out.n;
		*value = slice_trim(arena_copy(r->arena, buf_slice(&out)));
		rc = value->p ? 0 : -ENOMEM;
	}
	buf_fini(&out);
	return rc;
}
