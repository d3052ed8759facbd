/* SPDX-License-Identifier: MIT */
#include "proxy/control/talk.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "http/syntax.h"

enum { URL_MAX = WHERE_URL_MAX + CONTROL_FORM_MAX };

/* ---- Forms ---- */

static void add_encoded(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (http_char_is(s.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT) || (s.p[i] && strchr("-._~/", s.p[i])))
			buf_add_char(out, s.p[i]);
		else
			buf_addf(out, "%%%02X", (unsigned char)s.p[i]);
}

void form_add(struct buf *form, const char *name, struct slice value)
{
	if (form->n > 0)
		buf_add_char(form, '&');
	for (; *name; name++)
		buf_add_char(form, *name == '-' ? '_' : *name);
	buf_add_char(form, '=');
	add_encoded(form, value.p ? value : SLICE_LIT("1"));
}

/* ---- What goes wrong ---- */

int talk_say(const struct talk *t, int status, const char *what, const char *more)
{
	fprintf(stderr, "%s: %s%s\n", t->who, what, more);
	return status;
}

static int unreachable(const struct talk *t)
{
	fprintf(stderr, "%s: no proxy answers at %s (%s): %s\n", t->who, t->where.url, t->where.said_by, t->answer.why);
	return CONTROL_UNREACHABLE;
}

static int is_elsewhere(const struct talk *t)
{
	fprintf(stderr,
		"%s: what answers at %s (%s) is no memoproxy's admin side: is that the address that [admin] listen "
		"names?\n",
		t->who, t->where.url, t->where.said_by);
	return CONTROL_UNREACHABLE;
}

static int status_of_errno(const struct talk *t, int err)
{
	switch (err) {
	case 0:
		return t->answer.is_cut
			       ? talk_say(t, CONTROL_REFUSED, "the answer is too large; --limit asks for less", "")
			       : CONTROL_DONE;
	case -ENOBUFS:
		return talk_say(t, CONTROL_USAGE, "that is too long to be asked", "");
	case -ECONNREFUSED:
		return unreachable(t);
	case -EPROTO:
		return is_elsewhere(t);
	default:
		return talk_say(t, CONTROL_REFUSED, strerror(-err), "");
	}
}

/* ---- Calls ---- */

/* Of the status that it answers with: a parameter is a mistake of who calls. */
static int status_of(int status)
{
	return status < 400 ? CONTROL_DONE : status == 400 ? CONTROL_USAGE : CONTROL_REFUSED;
}

static int read_answer(struct talk *t, int err, json_t **out)
{
	int status = status_of_errno(t, err);

	if (status != CONTROL_DONE)
		return status;
	*out = json_loadb(t->answer.body.p ? t->answer.body.p : "", t->answer.body.n, 0, NULL);
	if (json_is_object(*out))
		return status_of(t->answer.status);
	json_decref(*out);
	*out = NULL;
	return talk_say(t, CONTROL_UNREACHABLE, "what answers there is no memoproxy: ", t->where.url);
}

int talk_post(struct talk *t, const char *path, struct slice form, json_t **out)
{
	char url[WHERE_URL_MAX + 32];

	*out = NULL;
	snprintf(url, sizeof(url), "%s%s", t->where.url, path);
	return read_answer(t, ask_post(t->ask, url, form, true, &t->answer), out);
}

int talk_get(struct talk *t, const char *path, struct slice query, json_t **out)
{
	struct buf url;
	int err;

	*out = NULL;
	buf_init(&url, URL_MAX);
	buf_addf(&url, "%s%s%s", t->where.url, path, query.n > 0 ? "?" : "");
	buf_add_slice(&url, query);
	err = buf_add_char(&url, '\0');
	if (!err)
		err = ask_get(t->ask, url.p, true, &t->answer);
	buf_fini(&url);
	return read_answer(t, err, out);
}

/* ---- Begin and end ---- */

/* Asked without the token and before anything is changed: whatever else listens there, the API behind the proxy's own listener for one, is
 * to learn no secret and get no POST, and its answer is not to be taken for one. */
static bool is_admin_side(const struct answer *a)
{
	const struct http_field *f = http_fields_find(&a->fields, SLICE_LIT("WWW-Authenticate"));
	json_t *j;
	const char *status;
	bool is;

	if (a->status == 401)
		return f && slice_equal(f->value, SLICE_LIT(CONFIG_ADMIN_CHALLENGE));
	j = json_loadb(a->body.p ? a->body.p : "", a->body.n, 0, NULL);
	status = json_string_value(json_object_get(j, "status"));
	is = a->status == 200 && status && strcmp(status, "alive") == 0 &&
	     !http_fields_find(&a->fields, SLICE_LIT("Cache-Status"));
	json_decref(j);
	return is;
}

static int find_admin_side(struct talk *t)
{
	char url[WHERE_URL_MAX + 16];
	int err;

	snprintf(url, sizeof(url), "%s/healthz", t->where.url);
	err = ask_get(t->ask, url, false, &t->answer);
	return err ? err : is_admin_side(&t->answer) ? 0 : -EPROTO;
}

int talk_begin(struct talk *t, const struct control_order *o, const char *who)
{
	int err;

	*t = (struct talk){.who = who};
	answer_init(&t->answer);
	if (where_find(o->file, o->admin, &t->where))
		return CONTROL_USAGE;
	t->field = t->where.authorization.p;
	err = ask_new(&(struct ask_options){.fields = &t->field,
			      .fields_n = t->where.authorization.n > 0,
			      .connect_timeout_ms = CONTROL_CONNECT_MS,
			      .timeout_ms = CONTROL_TIMEOUT_MS,
			      .calls_max = UINT_MAX,
			      .body_max = CONTROL_BODY_MAX},
		&t->ask);
	if (!err)
		err = find_admin_side(t);
	return status_of_errno(t, err);
}

void talk_end(struct talk *t)
{
	ask_free(&t->ask);
	where_fini(&t->where);
	answer_fini(&t->answer);
}
