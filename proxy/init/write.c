/* SPDX-License-Identifier: MIT */
#include "proxy/init/write.h"

#include "config/options.h"
#include "proxy/init/shape.h"

#define SOME_TTL "30s"

/* ---- Comments ---- */

static void add_size(struct buf *out, const struct study *s)
{
	const char *more = s->is_cut ? "more than " : "";

	if (s->bytes >= 10240)
		buf_addf(out, "%s%zu KiB", more, s->bytes / 1024);
	else
		buf_addf(out, "%s%zu bytes", more, s->bytes);
}

static void add_asked(struct buf *out, const struct route *r)
{
	const struct study *s = &r->study;

	if (r->summary.n > 0) {
		buf_add_str(out, "# ");
		for (size_t i = 0; i < r->summary.n && i < 100; i++)
			buf_add_char(out, r->summary.p[i] >= ' ' && r->summary.p[i] <= '~' ? r->summary.p[i] : ' ');
		buf_add_char(out, '\n');
	}
	if (r->example.n == 0) {
		buf_add_str(out, "# Not asked: its document has no example of the names in the path.\n");
		return;
	}
	buf_addf(out, "# GET %.*s: ", SLICE_ARG(r->example));
	if (s->status == 0) {
		buf_addf(out, "no response (%s)\n", s->why);
		return;
	}
	buf_addf(out, "%d, %s%s", s->status, s->type, s->type[0] ? ", " : "");
	add_size(out, s);
	buf_addf(out, ", %lld ms\n", (long long)s->time_ms);
}

static void add_lifetime(struct buf *out, const struct study *s)
{
	if (s->says[0])
		buf_addf(out, "# It says: %s\n", s->says);
	if (s->not_stored)
		buf_addf(out, "# By that it is not stored (%s).\n", s->not_stored);
	else if (s->is_guess)
		buf_addf(out, "# Of a lifetime it says nothing; a tenth of the time since Last-Modified is %s.\n",
			option_duration_text(s->lifetime_ms / 1000 * 1000).z);
	else if (s->lifetime_ms > 0)
		buf_addf(out, "# By that it lives %s, and needs no ttl here.\n",
			option_duration_text(s->lifetime_ms / 1000 * 1000).z);
	else if (s->is_explicit)
		buf_add_str(out, "# By that it has to be asked for each time. If only a framework says so, ttl_force "
				 "is for you.\n");
	else
		buf_add_str(out, "# Of a lifetime it says nothing.\n");
}

static void add_differences(struct buf *out, const struct study *s)
{
	bool is_kept = s->is_explicit && s->lifetime_ms > 0 && !s->not_stored;
	const char *then = is_kept ? "the API says itself for how long one may stand for the other"
				   : "it is not cached here until you know that one may stand for the other";

	if (s->status_differs)
		buf_addf(out, "# A second, equal call had another status: %s.\n", then);
	else if (s->body_differs && s->places[0])
		buf_addf(out, "# Two equal calls differ, at %s: %s.\n", s->places, then);
	else if (s->body_differs)
		buf_addf(out, "# Two equal calls differ in their bytes: %s.\n", then);
	if (s->fields[0])
		buf_addf(out, "# Fields that differ between two equal calls: %s\n", s->fields);
}

static void add_readers(struct buf *out, const struct study *s, const char *credential)
{
	const char *name = credential ? credential : "Authorization";

	if (s->vary[0])
		buf_addf(out, "# Vary: %s: one response for each value of these fields is kept.\n", s->vary);
	if (s->cookies[0])
		buf_addf(out, "# It sets a cookie (%s), which is not stored; set_cookie says more.\n", s->cookies);
	if (s->need == CREDENTIAL_MISSING)
		buf_addf(out, "# It wants a credential (%d%s%s); ask again with --header 'NAME: VALUE'.\n", s->status,
			s->scheme[0] ? ", " : "", s->scheme);
	else if (s->need == CREDENTIAL_NEEDED)
		buf_addf(out, "# Without %s it is refused%s%s%s.\n", name, s->scheme[0] ? " (" : "", s->scheme,
			s->scheme[0] ? ")" : "");
	else if (s->need == CREDENTIAL_CHANGES)
		buf_addf(out, "# Without %s the response is another one.\n", name);
	else if (s->need == CREDENTIAL_SAME)
		buf_addf(out, "# Without %s the response is the same.\n", name);
}

/* ---- Keys ---- */

static bool is_personal(const struct route *r)
{
	enum credential_need need = r->study.need;

	return need == CREDENTIAL_MISSING || need == CREDENTIAL_NEEDED || need == CREDENTIAL_CHANGES ||
	       (r->has_security && need != CREDENTIAL_SAME);
}

static void add_ttl(struct buf *out, const struct route *r)
{
	const struct study *s = &r->study;
	bool is_unsure = s->status != 200 || s->status_differs || s->body_differs || is_personal(r);

	if (s->is_private && !is_personal(r))
		buf_add_str(out, "# If a framework says private of everything, and the response is the same for all:\n"
				 "#ttl_force = " SOME_TTL "\n#override = private\n");
	else if (s->is_private || s->not_stored)
		buf_addf(out, "%s", s->is_no_store ? "#ttl_force = " SOME_TTL "\n" : "");
	else if (s->is_explicit && s->lifetime_ms == 0)
		buf_add_str(out, "#ttl_force = " SOME_TTL "\n");
	else if (!s->is_explicit)
		buf_addf(out, "%sttl = " SOME_TTL "\n", is_unsure || s->is_guess ? "#" : "");
}

/* Has it a lifetime, of the API or of what add_ttl writes? */
static bool is_kept(const struct route *r)
{
	const struct study *s = &r->study;
	bool is_unsure = s->status_differs || s->body_differs || is_personal(r);

	if (s->status != 200 || s->not_stored || s->is_private)
		return false;
	return s->lifetime_ms > 0 || (!s->is_explicit && !is_unsure);
}

static void add_scope(struct buf *out, const struct route *r, const char *credential)
{
	if (!is_personal(r) && !r->study.is_private)
		return;
	buf_addf(out,
		"# What requests with a credential bring is shared only where the API says so. To keep it for each "
		"user:\n"
		"#scope = user\n#user_from = header:%s\n",
		credential ? credential : "Authorization");
}

/* "/users" of "/users/{id}". */
static struct slice list_of(struct slice pattern)
{
	const char *brace = memchr(pattern.p, '{', pattern.n);

	if (brace)
		pattern.n = (size_t)(brace - pattern.p) - 1;
	return pattern;
}

static bool has_items(const struct found *f, struct slice list)
{
	for (unsigned i = 0; i < f->n; i++) {
		struct slice p = f->v[i].pattern;

		if (p.n > list.n + 2 && slice_starts_with(p, list) && p.p[list.n] == '/' && p.p[list.n + 1] == '{')
			return true;
	}
	return false;
}

/* A write purges its own URL by itself; a list shows what was written, too. */
static void add_invalidates(struct buf *out, const struct draft *d, const struct route *r)
{
	struct slice list = list_of(r->pattern);
	bool is_changed = r->has_methods ? r->writes : has_items(d->found, list);

	if (is_changed && list.n > 1 && !memchr(list.p, '*', list.n) && !memchr(list.p, '?', list.n))
		buf_addf(out, "invalidates = %.*s, %.*s?*\n", SLICE_ARG(list), SLICE_ARG(list));
}

static bool has_name(struct slice text, struct slice name)
{
	char line[100];
	int n = snprintf(line, sizeof(line), "\n[route %.*s]\n", SLICE_ARG(name));

	return slice_contains(text, (struct slice){line, (size_t)n});
}

static void add_name(struct buf *out, struct slice pattern)
{
	struct buf name;
	size_t n;

	buf_init(&name, 60);
	if (shape_name(pattern, &name))
		buf_reset(&name);
	n = name.n;
	for (unsigned i = 2; has_name(buf_slice(out), buf_slice(&name)) && i < 1000; i++) {
		name.n = n;
		buf_addf(&name, "-%u", i);
	}
	buf_addf(out, "[route %.*s]\n", SLICE_ARG(buf_slice(&name)));
	buf_fini(&name);
}

/* What does not exist, or answers no GET, is no route. */
static bool is_route(const struct route *r)
{
	int status = r->study.status;

	return r->is_template || (status >= 200 && status < 400) || status == 401 || status == 403;
}

static void add_route(struct buf *out, const struct draft *d, const struct route *r)
{
	buf_add_char(out, '\n');
	add_asked(out, r);
	if (!is_route(r))
		return;
	if (r->study.status == 200)
		add_lifetime(out, &r->study);
	add_differences(out, &r->study);
	add_readers(out, &r->study, d->credential);
	add_name(out, r->pattern);
	buf_addf(out, "match = %.*s\n", SLICE_ARG(r->pattern));
	add_ttl(out, r);
	add_scope(out, r, d->credential);
	add_invalidates(out, d, r);
}

static void add_head(struct buf *out, const struct draft *d)
{
	buf_addf(out,
		"# Written by memoproxy init, which has asked %s %u times. Look it through; then\n"
		"#     memoproxy -t -c FILE && memoproxy -c FILE\n"
		"# checks and serves it. All keys: memoproxy --help-config\n",
		d->url, d->calls);
	if (d->document[0])
		buf_addf(out, "# The routes are those of %s and of links.\n", d->document);
	buf_addf(out,
		"\n[proxy]\n# Where clients connect; 0.0.0.0:8080 for all addresses of this machine.\nlisten = "
		"127.0.0.1:8080\n"
		"\n[upstream]\nurl = %s\n%s"
		"\n[defaults]\n# What is stored answers for so long in place of errors of the API.\nstale_if_error = "
		"1h\n"
		"# How long what no route is for lives, where the API does not say it.\n#ttl = " SOME_TTL "\n",
		d->url, d->tls_verify ? "" : "tls_verify = off\n");
}

int write_ini(struct draft *d, struct buf *out)
{
	add_head(out, d);
	d->kept = 0;
	for (unsigned i = 0; i < d->found->n; i++) {
		add_route(out, d, &d->found->v[i]);
		d->kept += is_kept(&d->found->v[i]);
	}
	if (d->found->n == 0)
		buf_add_str(out, "\n# No routes were found: name some paths after the URL, or write routes as here:\n"
				 "#[route users]\n#match = /users/{id}\n#ttl = " SOME_TTL "\n");
	if (d->found->left_out > 0)
		buf_addf(out, "\n# There are %u more paths than the %d above.\n", d->found->left_out, FOUND_MAX);
	return out->err;
}
