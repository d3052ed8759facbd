/* SPDX-License-Identifier: MIT */
#include "proxy/request/problem.h"

#include "http/message.h"
#include "http/negotiate.h"

/* Where either does, a program reads it more likely than a person: browsers name text/html before all else. */
static bool prefers_html(const struct http_fields *request)
{
	int html = http_accept_q(request, SLICE_LIT("text/html"));

	return html > http_accept_q(request, SLICE_LIT("application/problem+json")) &&
	       html > http_accept_q(request, SLICE_LIT("application/json"));
}

/* As text, and as an attribute's value between double quotes. */
static void add_html(struct buf *to, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		switch (s.p[i]) {
		case '&':
			buf_add_str(to, "&amp;");
			break;
		case '<':
			buf_add_str(to, "&lt;");
			break;
		case '>':
			buf_add_str(to, "&gt;");
			break;
		case '"':
			buf_add_str(to, "&quot;");
			break;
		case '\'':
			buf_add_str(to, "&#39;");
			break;
		default:
			buf_add_char(to, s.p[i]);
		}
}

/* ---- The operator's files ---- */

static const struct config_page *page_for(const struct response_problem *p, bool is_html)
{
	for (unsigned i = 0; p->pages && i < p->pages->n; i++) {
		const struct config_page *page = &p->pages->v[i];

		if (page->is_html == is_html && page->low <= p->status && p->status <= page->high)
			return page;
	}
	return NULL;
}

/* An id is a token: in JSON nothing of it needs escaping. */
static void add_page(struct buf *to, const struct config_page *page, struct slice id)
{
	static const char mark[] = "{{id}}";
	struct slice text = page->text;
	const char *at = text.n ? memmem(text.p, text.n, mark, sizeof(mark) - 1) : NULL;
	size_t before = at ? (size_t)(at - text.p) : text.n;

	buf_add(to, text.p, before);
	if (!at)
		return;
	if (page->is_html)
		add_html(to, id);
	else
		buf_add_slice(to, id);
	at += sizeof(mark) - 1;
	buf_add(to, at, text.n - (size_t)(at - text.p));
}

/* ---- Ours ---- */

static void add_own_html(struct buf *to, const struct response_problem *p)
{
	const char *reason = http_reason(p->status);

	buf_addf(to,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>%d %s</title>\n<h1>%d "
		"%s</h1>\n<p>",
		p->status, reason, p->status, reason);
	add_html(to, slice_of(p->detail));
	buf_add_str(to, "</p>\n");
	if (p->id.n) {
		buf_add_str(to, "<p>Request <code>");
		add_html(to, p->id);
		buf_add_str(to, "</code></p>\n");
	}
	buf_add_str(to, "</html>\n");
}

/* RFC 9457 3.1: of a problem that is no more than its status the type is about:blank, and its title the status's. */
static void add_own_json(struct buf *to, const struct response_problem *p)
{
	buf_addf(to, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\",\"error\":\"%s\"",
		http_reason(p->status), p->status, p->detail, p->error);
	if (p->id.n)
		buf_addf(to, ",\"id\":\"%.*s\"", SLICE_ARG(p->id));
	buf_add_str(to, "}\n");
}

struct slice problem_body(struct buf *to, const struct response_problem *p, const struct http_fields *request)
{
	bool is_html = prefers_html(request);
	const struct config_page *page = page_for(p, is_html);

	if (page)
		add_page(to, page, p->id);
	else if (is_html)
		add_own_html(to, p);
	else
		add_own_json(to, p);
	return is_html ? SLICE_LIT("text/html; charset=utf-8")
	       : page  ? SLICE_LIT("application/json")
		       : SLICE_LIT("application/problem+json");
}
