/* SPDX-License-Identifier: MIT */
/* One call to the admin side: how it is answered, and its parameters. */
#include <event2/buffer.h>
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/date.h"
#include "http/uri.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/json_text.h"

#define HEAD_MAX 1024
#define ANSWER_MAX (16 << 20)

/* ---- Responses ---- */

void admin_call_free(struct admin_call *c)
{
	c->admin->calls--;
	if (c->work)
		c->work->free(c->work);
	buf_fini(&c->text);
	mem_free(c->parameters);
	mem_free(c);
}

static void make_head(struct buf *head, int status, const char *more, const char *content_type, size_t n)
{
	char date[30];

	http_date_format(clock_now().wall_ms / 1000, date);
	buf_init(head, HEAD_MAX);
	buf_addf(head,
		"HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nCache-Control: no-store\r\n"
		"X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\n%s",
		status, http_reason(status), date, content_type, n, more);
}

static void free_sent(const void *p, size_t n, void *arg)
{
	struct buf *b = arg;

	(void)p;
	(void)n;
	buf_fini(b);
	mem_free(b);
}

/* Not copied: it may be large. */
static int add_taken(struct transport *t, struct buf *body)
{
	struct buf *sent = mem_alloc(sizeof(*sent));
	int err;

	if (!sent)
		return -ENOMEM;
	*sent = *body;
	err = t->ops->add_reference(t, sent->p, sent->n, free_sent, sent);
	if (err)
		mem_free(sent);
	else
		buf_init(body, 0);
	return err;
}

/* The body is copied, or taken where it is `taken`. */
static void respond(struct transport *t, int status, const char *more, const char *content_type, struct slice body,
	struct buf *taken)
{
	struct buf head;
	int err;

	make_head(&head, status, more, content_type, body.n);
	err = head.err ? head.err : t->ops->begin(t, &(struct transport_head){status, &head, false});
	if (!err && t->request->method != HTTP_HEAD && body.n)
		err = taken ? add_taken(t, taken) : t->ops->add(t, body.p, body.n);
	if (err)
		t->ops->refuse(t);
	else
		t->ops->end(t);
	buf_fini(&head);
}

void admin_respond(struct transport *t, int status, const char *more, const char *content_type, struct slice body)
{
	respond(t, status, more, content_type, body, NULL);
}

static void send_response(struct admin_call *c, int status, const char *content_type, struct slice body)
{
	const char *more = status == 401   ? "WWW-Authenticate: " CONFIG_ADMIN_CHALLENGE "\r\n"
			   : status == 405 ? c->allow
					   : "";

	transport_on_gone(c->transport, NULL, NULL);
	admin_respond(c->transport, status, more, content_type, body);
}

void admin_answer_text(struct admin_call *c, const char *content_type, struct slice text)
{
	if (!c->is_gone)
		send_response(c, 200, content_type, text);
	admin_call_free(c);
}

void admin_answer_made(struct admin_call *c, const char *content_type, struct buf *text)
{
	if (text->err) {
		admin_problem(c, 503, "out of memory");
		return;
	}
	if (!c->is_gone) {
		transport_on_gone(c->transport, NULL, NULL);
		respond(c->transport, 200, "", content_type, buf_slice(text), text);
	}
	admin_call_free(c);
}

static int add_dumped(const char *text, size_t n, void *to)
{
	return buf_add(to, text, n) ? -1 : 0;
}

void admin_answer(struct admin_call *c, int status, json_t *json)
{
	struct buf text;
	int failed;

	buf_init(&text, ANSWER_MAX);
	failed = json_dump_callback(json, add_dumped, &text, JSON_INDENT(2) | JSON_REAL_PRECISION(JSON_TEXT_DIGITS));
	buf_add_char(&text, '\n'); /* a terminal's prompt stands on a line of its own */
	if (c->is_gone)
		;
	else if (failed || text.err)
		send_response(c, 503, "application/problem+json", SLICE_LIT("{}\n"));
	else
		send_response(
			c, status, status < 400 ? "application/json" : "application/problem+json", buf_slice(&text));
	buf_fini(&text);
	json_decref(json);
	admin_call_free(c);
}

json_t *admin_problem_new(int status, const char *detail)
{
	return json_pack("{s:s, s:s, s:i, s:o}", "type", "about:blank", "title", http_reason(status), "status", status,
		"detail", json_text_of(slice_of(detail)));
}

void admin_problem(struct admin_call *c, int status, const char *detail)
{
	admin_answer(c, status, admin_problem_new(status, detail));
}

void admin_collect(struct admin_call *c, void (*done)(void *arg, struct collected *sum))
{
	if (collect_start(c->service, done, c))
		admin_problem(c, 503, "out of memory");
}

/* ---- Parameters ---- */

static const struct admin_parameter *find_parameter(const struct admin_call *c, struct slice name)
{
	for (unsigned i = 0; i < c->parameters_n; i++)
		if (slice_equal(c->parameters[i].name, name))
			return &c->parameters[i];
	return NULL;
}

const struct admin_parameter *admin_parameter_find(const struct admin_call *c, const char *name)
{
	return find_parameter(c, slice_of(name));
}

bool admin_parameter(const struct admin_call *c, const char *name, struct slice *value)
{
	const struct admin_parameter *p = admin_parameter_find(c, name);

	*value = p ? p->value : (struct slice){NULL, 0};
	return p != NULL;
}

/* There is room for it: read_parameters. */
static struct slice decode(struct admin_call *c, struct slice encoded, int (*how)(struct slice s, struct buf *out))
{
	size_t off = c->text.n;

	CHECK(how(encoded, &c->text) == 0);
	return slice_from(buf_slice(&c->text), off);
}

/* Parameters are a form's: what encodes them writes a blank as '+'. By hand people write URLs as they are, with a '+' that is one. */
static void decode_value(struct admin_call *c, struct slice encoded, struct admin_parameter *to)
{
	bool is_url = slice_equal(to->name, SLICE_LIT("url")) || slice_equal(to->name, SLICE_LIT("prefix")) ||
		      slice_equal(to->name, SLICE_LIT("path")) || slice_equal(to->name, SLICE_LIT("urls"));

	to->value = to->other = decode(c, encoded, is_url ? uri_decode : uri_decode_form);
	if (encoded.n && memchr(encoded.p, '+', encoded.n))
		to->other = decode(c, encoded, is_url ? uri_decode_form : uri_decode);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* A purge of something else than what was meant is worse than a refusal. */
static bool is_encoded(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '%' && (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])))
			return false;
	return true;
}

static const char *add_parameters(struct admin_call *c, struct slice query)
{
	struct uri_param p;
	bool at_end = false;

	while (query.n && uri_query_next(&query, &at_end, &p)) {
		struct admin_parameter *to = &c->parameters[c->parameters_n];

		if (p.whole.n == 0)
			continue;
		if (!is_encoded(p.name) || !is_encoded(p.value))
			return "a % that is not followed by two hexadecimal digits; write %25 for the sign itself";
		to->name = decode(c, p.name, uri_decode_form);
		decode_value(c, p.value, to);
		if (memchr(to->name.p, '\0', to->name.n) || memchr(to->value.p, '\0', to->value.n))
			return "a parameter holds a NUL byte";
		c->parameters_n++;
	}
	return NULL;
}

static unsigned count_parameters(struct slice s)
{
	unsigned n = s.n > 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '&';
	return n;
}

/* Anything else would be read as one odd parameter. */
static bool is_form(const struct http_fields *fields)
{
	struct slice type = http_media_type(fields, NULL);

	return type.n == 0 || slice_equal_nocase(type, SLICE_LIT("application/x-www-form-urlencoded"));
}

const char *admin_read_parameters(struct admin_call *c)
{
	struct evbuffer *body = c->transport->ops->body(c->transport);
	size_t n = evbuffer_get_length(body);
	struct slice query = c->http->has_query ? c->http->query : (struct slice){NULL, 0}, form = {NULL, 0};
	const char *why = NULL;
	unsigned most;

	if (c->http->framing != HTTP_BODY_NONE && n > 0) {
		if (!is_form(&c->http->fields))
			return "a body here is a form: application/x-www-form-urlencoded";
		form = (struct slice){(const char *)evbuffer_pullup(body, -1), n};
	}
	most = count_parameters(query) + count_parameters(form);
	if (most == 0)
		return NULL;
	if (most > ADMIN_PARAMETERS_MAX)
		return "too many parameters";
	c->parameters = mem_alloc(most * sizeof(*c->parameters));
	/* Room for all, in both readings: decoding never grows, so nothing moves from here on. */
	if (!c->parameters || !buf_reserve(&c->text, 2 * (query.n + form.n)))
		return "the parameters are too long";
	why = add_parameters(c, query);
	return why ? why : add_parameters(c, form);
}
