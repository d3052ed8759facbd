/* SPDX-License-Identifier: MIT */
/* The short way through the gate. What the socket of a plain connection has is read by one call into memory that all
 * gates of the listener share, responses of the fast path are put together in memory of the same kind, and one call sends
 * them. Only what can't be answered or sent at once moves to the connection's own buffers. */
#include "proxy/front/gate_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* ---- The clock ---- */

static void on_turn_end(evutil_socket_t fd, short what, void *arg)
{
	struct front *l = arg;

	(void)fd;
	(void)what;
	l->clock_is_read = false;
}

/* ---- Steps ---- */

static void end_turn(struct front *l)
{
	static const struct timeval next_turn = {0, 0};

	(void)event_add(&l->turn, &next_turn); /* without memory for it: the next step does */
}

/* The first of a turn may cost more than there is: else it would never come. */
static void pay(struct front *l, const struct gate *g)
{
	uint64_t cost = g->phase == GATE_WHOLE ? 1 + g->body_bytes / GATE_STEP_BYTES : 1;

	l->steps_left -= cost < l->steps_left ? (unsigned)cost : l->steps_left;
}

/* By way of their own event, for each may end while another is served. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct front *l = arg;
	struct link *first;

	(void)fd;
	(void)what;
	for (l->steps_left = GATE_STEPS_PER_TURN; l->steps_left > 0 && (first = link_take_first(&l->behind));) {
		struct gate *g = CONTAINER_OF(first, struct gate, behind);

		pay(l, g);
		g->has_step = true;
		gate_schedule(g);
	}
	if (l->steps_left < GATE_STEPS_PER_TURN)
		end_turn(l);
}

bool gate_has_step(const struct gate *g)
{
	return g->has_step || (g->l->steps_left > 0 && link_is_empty(&g->l->behind));
}

bool gate_takes_step(struct gate *g)
{
	struct front *l = g->l;

	if (!event_pending(&l->turn, EV_TIMEOUT, NULL))
		end_turn(l);
	if (!gate_has_step(g)) {
		if (link_is_empty(&g->behind))
			link_append(&l->behind, &g->behind);
		return false;
	}
	if (!g->has_step)
		pay(l, g);
	g->has_step = false;
	return true;
}

void gate_clock_init(struct front *l)
{
	event_assign(&l->turn_end, l->base, -1, 0, on_turn_end, l);
	event_assign(&l->turn, l->base, -1, 0, on_turn, l);
	link_init(&l->behind);
	l->steps_left = GATE_STEPS_PER_TURN;
}

void gate_clock_fini(struct front *l)
{
	event_del(&l->turn_end);
	event_del(&l->turn);
	l->clock_is_stopped = true;
}

/* Read once for all connections that are ready in one turn of the loop: an event that is made active now runs behind them. */
void gate_touch(struct gate *g)
{
	struct front *l = g->l;

	if (!l->clock_is_read) {
		l->now_us = clock_mono_us();
		l->now = (struct now){l->now_us / 1000, clock_now().wall_ms};
		if (!l->clock_is_stopped) {
			l->clock_is_read = true;
			event_active(&l->turn_end, EV_TIMEOUT, 1);
		}
	}
	g->now_ms = l->now.mono_ms;
}

struct now gate_now(const struct gate *g)
{
	return g->l->now;
}

/* ---- The socket ---- */

/* The C library's recv and send are points where a thread can be cancelled, which costs two atomic operations a call in a
 * program of several threads. Nothing here is ever cancelled. */
ssize_t gate_receive(struct gate *g, void *p, size_t n)
{
#ifdef SYS_recvfrom
	return syscall(SYS_recvfrom, g->fd, p, n, 0, NULL, NULL);
#else
	return recv(g->fd, p, n, 0);
#endif
}

static ssize_t transmit(evutil_socket_t fd, const void *p, size_t n)
{
#ifdef SYS_sendto
	return syscall(SYS_sendto, fd, p, n, MSG_NOSIGNAL, NULL, 0);
#else
	return send(fd, p, n, MSG_NOSIGNAL);
#endif
}

/* ---- Reading ---- */

/* What was read and not taken goes where later bytes will follow it. */
void gate_keep_ahead(struct gate *g)
{
	struct slice *ahead = &g->l->ahead;

	if (ahead->n > 0 && evbuffer_add(g->in, ahead->p, ahead->n) != 0)
		g->broken = true;
	ahead->n = 0;
}

bool gate_is_quick(const struct gate_options *o)
{
	return !o->tls && !o->proxy_protocol;
}

/* In the bufferevent's place, which asks how much there is to read and keeps it in a buffer of its own. */
void gate_begin_quick(struct gate *g, event_callback_fn on_readable)
{
	if (!gate_is_quick(g->o))
		return;
	g->is_quick = true;
	g->fd = bufferevent_getfd(g->sock);
	event_assign(&g->readable, g->l->base, g->fd, EV_READ | EV_PERSIST, on_readable, g);
	if (event_add(&g->readable, NULL) != 0)
		g->broken = true;
	bufferevent_disable(g->sock, EV_READ);
}

/* Before the descriptor is closed: its number may be another connection's soon. */
void gate_end_quick(struct gate *g)
{
	if (g->is_quick)
		event_del(&g->readable);
}

void gate_hold_back(struct gate *g, bool full)
{
	g->holds_back = full;
	if (!g->is_quick)
		(full ? bufferevent_disable : bufferevent_enable)(g->sock, EV_READ);
	else if (full)
		event_del(&g->readable);
	else if (event_add(&g->readable, NULL) != 0)
		g->broken = true;
}

/* ---- Answering ---- */

int gate_keep_said(struct gate *g)
{
	struct front *l = g->l;
	int err = l->said_n > 0 ? evbuffer_add(g->out, l->said, l->said_n) : 0;

	l->said_n = 0;
	if (err)
		g->broken = true;
	return err ? -ENOMEM : 0;
}

int gate_say(struct gate *g, const void *p, size_t n)
{
	struct front *l = g->l;

	if (g->is_quick && n <= sizeof(l->said) - l->said_n && evbuffer_get_length(g->out) == 0) {
		memcpy(l->said + l->said_n, p, n);
		l->said_n += n;
		return 0;
	}
	return gate_keep_said(g) || evbuffer_add(g->out, p, n) ? -ENOMEM : 0;
}

int gate_say_by_reference(
	struct gate *g, const void *p, size_t n, void (*done)(const void *p, size_t n, void *arg), void *arg)
{
	return gate_keep_said(g) || evbuffer_add_reference(g->out, p, n, done, arg) ? -ENOMEM : 0;
}

/* Returns how much of it the socket took. */
static size_t send_at_once(struct gate *g, const char *p, size_t n)
{
	ssize_t sent = transmit(g->fd, p, n);

	if (sent < 0) {
		g->broken = errno != EAGAIN && errno != EINTR;
		return 0;
	}
	g->o->stats->bytes_out += (uint64_t)sent;
	return (size_t)sent;
}

void gate_send_said(struct gate *g)
{
	struct front *l = g->l;
	size_t sent;

	if (evbuffer_get_length(g->sock_out) > 0) {
		(void)gate_keep_said(g);
		return;
	}
	sent = send_at_once(g, l->said, l->said_n);
	g->progress_ms = g->now_ms;
	l->said_n -= sent;
	if (l->said_n == 0)
		return;
	memmove(l->said, l->said + sent, l->said_n);
	(void)gate_keep_said(g);
}
