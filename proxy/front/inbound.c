/* SPDX-License-Identifier: MIT */
#include "proxy/front/inbound.h"

#include <event2/buffer.h>

#include "base/log.h"
#include "proxy/connection/admission.h"
#include "proxy/front/gate.h"

/* ---- Who ---- */

static void know_peer(struct inbound *c, const struct peer *p)
{
	c->peer = *p;
	peer_text(p, c->peer_text);
}

void inbound_read_peer(struct inbound *c, int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);
	struct peer p;

	if (getpeername(fd, (struct sockaddr *)&ss, &n) == 0 && peer_from_sockaddr((const struct sockaddr *)&ss, &p))
		know_peer(c, &p);
}

/* ---- Whether ---- */

bool inbound_admit(struct inbound *c, const struct gate_options *o)
{
	static struct log_limit limit;

	if (!o->admission)
		return true;
	c->admitted = admission_enter(o->admission);
	if (c->admitted)
		return true;
	o->stats->refused_total_bound++;
	if (log_allowed(&limit))
		log_warn("max_connections is reached: further connections are refused");
	return false;
}

bool inbound_admit_address(struct inbound *c, const struct gate_options *o)
{
	static struct log_limit limit;

	if (!o->admission || !c->peer_text[0])
		return true;
	c->admitted_address = admission_enter_address(o->admission, &c->peer);
	if (c->admitted_address)
		return true;
	o->stats->refused_address_bound++;
	if (log_allowed(&limit))
		log_warn("max_connections_per_address is reached by %s: its further connections are refused",
			c->peer_text);
	return false;
}

void inbound_leave(struct inbound *c, const struct gate_options *o)
{
	if (c->admitted_address)
		admission_leave_address(o->admission, &c->peer);
	if (c->admitted)
		admission_leave(o->admission);
	c->admitted = c->admitted_address = false;
}

/* ---- The PROXY protocol ---- */

static void note_refused(const struct inbound *c, const struct gate_options *o, const char *why)
{
	static struct log_limit limit;

	o->stats->proxy_refused++;
	if (log_allowed(&limit))
		log_warn("PROXY protocol: connection from %s closed: %s", c->peer_text, why);
}

bool inbound_is_trusted(const struct inbound *c, const struct gate_options *o)
{
	if (peer_is_in(&c->peer, o->trusted))
		return true;
	note_refused(c, o, "its address is not in proxy_trusted");
	return false;
}

enum proxy_header_parse inbound_read_header(struct inbound *c, const struct gate_options *o, struct evbuffer *input)
{
	enum proxy_header_parse got = PROXY_HEADER_BAD;
	size_t n = evbuffer_get_length(input);
	struct proxy_header header;
	const char *p;

	if (n > PROXY_HEADER_MAX)
		n = PROXY_HEADER_MAX;
	p = (const char *)evbuffer_pullup(input, (ev_ssize_t)n);
	if (p || n == 0)
		got = proxy_header_parse(p, n, &header);
	if (got == PROXY_HEADER_BAD)
		note_refused(c, o, "its header is malformed");
	if (got != PROXY_HEADER_DONE)
		return got;
	evbuffer_drain(input, header.bytes);
	if (header.has_source)
		know_peer(c, &header.source);
	return got;
}
