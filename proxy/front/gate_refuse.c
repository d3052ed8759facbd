/* SPDX-License-Identifier: MIT */
/* Refusing a request: the gate answers it, lets its body go, and closes. */
#include "proxy/front/gate_internal.h"

#include "http/date.h"

void gate_end_wait(struct gate *g)
{
	if (!g->room_wait_ms)
		return;
	g->room_wait_ms = 0;
	g->o->stats->bodies_waiting--;
}

void gate_drop_body(struct gate *g)
{
	if (g->o)
		gate_end_wait(g);
	body_free(&g->body);
}

/* RFC 9110 15.5.6 */
static const char *allow(const struct http_error *e)
{
	return e->status == 405 ? "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY\r\n" : "";
}

/* For who has no words of its own. */
static void add_own_words(struct gate *g, const struct http_error *e, bool has_body)
{
	char date[30], text[256];
	int n = evutil_snprintf(text, sizeof(text),
		"{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}\n", http_reason(e->status),
		e->status, e->reason);

	if (n < 0 || (size_t)n >= sizeof(text))
		n = 0;
	http_date_format(clock_now().wall_ms / 1000, date);
	evbuffer_add_printf(g->out,
		"HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n%s%s"
		"Connection: close\r\n\r\n",
		e->status, http_reason(e->status), date, n, e->status == 503 ? "Retry-After: 1\r\n" : "", allow(e));
	if (has_body)
		evbuffer_add(g->out, text, (size_t)n);
}

static void write_refusal(struct gate *g, const struct http_error *e, const struct gate_refusal *r, bool has_body)
{
	if (!r->head.n) {
		add_own_words(g, e, has_body);
		return;
	}
	evbuffer_add(g->out, r->head.p, r->head.n);
	evbuffer_add_printf(g->out, "%sConnection: close\r\n\r\n", allow(e));
	if (has_body)
		evbuffer_add(g->out, r->body.p, r->body.n);
}

/* Answers in evhttp's place, which knows of no request now, and closes. Earlier responses are in the buffers already. */
void gate_refuse(struct gate *g, struct http_error e)
{
	struct gate_refusal refusal = {0};
	bool has_body = g->view.method != HTTP_HEAD || g->phase == GATE_HEAD;

	g->o->stats->bad_requests++;
	gate_drop_body(g);
	if (g->phase == GATE_HEAD) { /* the view may be half a request, and of bytes that are about to go */
		struct http_fields fields = g->view.fields;
		http_fields_clear(&fields);
		g->view = (struct http_request){.fields = fields};
	}
	if (g->o->on_refused)
		g->o->on_refused(g->o->arg, g, &e, &refusal);
	write_refusal(g, &e, &refusal, has_body);
	g->linger = true;
	gate_close(g);
}
