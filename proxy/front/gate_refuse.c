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

static void write_problem(struct gate *g, const struct http_error *e)
{
	char date[30], text[256];
	int n = evutil_snprintf(text, sizeof(text), "{\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}\n",
		http_reason(e->status), e->status, e->reason);

	if (n < 0 || (size_t)n >= sizeof(text))
		n = 0;
	http_date_format(clock_now().wall_ms / 1000, date);
	evbuffer_add_printf(g->out,
		"HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: application/problem+json\r\n"
		"Content-Length: %d\r\nConnection: close\r\n%s\r\n",
		e->status, http_reason(e->status), date, n,
		e->status == 405   ? "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY\r\n"
		: e->status == 503 ? "Retry-After: 1\r\n"
				   : "");
	if (g->view.method != HTTP_HEAD || g->phase == GATE_HEAD)
		evbuffer_add(g->out, text, (size_t)n);
}

/* Answers in evhttp's place, which knows of no request now, and closes. Earlier responses are in the buffers already. */
void gate_refuse(struct gate *g, struct http_error e)
{
	g->o->stats->bad_requests++;
	gate_drop_body(g);
	write_problem(g, &e);
	if (g->phase == GATE_HEAD) { /* the view may be half a request, and of bytes that are about to go */
		struct http_fields fields = g->view.fields;
		http_fields_clear(&fields);
		g->view = (struct http_request){.fields = fields};
	}
	if (g->o->on_refused)
		g->o->on_refused(g->o->arg, g, &e);
	g->linger = true;
	gate_close(g);
}
