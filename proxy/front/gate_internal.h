/* SPDX-License-Identifier: MIT */
/* What gate*.c share: the state of one connection and the steps that move it on.
 *
 *      socket bufferevent  <->  gate  <->  filter bufferevent  <->  evhttp
 *
 * The filter is a shell: its filter functions never move a byte. The gate puts whole canonical requests into the filter's
 * input and takes responses from its output, both from its own handlers. evhttp's write callback is run only when what it
 * wrote has left the socket's buffer, so evhttp's end of a response means that the kernel has all of it.
 *
 *      [PROXY] -> [HANDSHAKE] -> HEAD                  what comes before the first request
 *      HEAD -> [TURN] -> [BODY] -> RESPONSE -> DRAIN -> HEAD        a request served through evhttp
 *      HEAD -> HEAD                                    a response of the fast path
 *      any  -> CLOSING -> [LINGER] -> DEAD             the last bytes go out, then the client gets time to read them
 *
 * evhttp knows of a request in RESPONSE only, and has it whole. Every free of the connection is the gate's, from its own
 * handlers (gate_end), but for the front's end and evhttp being out of memory. What is said to evhttp is said
 * in gate_evhttp.c alone.
 *
 * Over TLS the socket's bufferevent moves ciphertext: what it reads is decrypted to `in`, what is in `out` is encrypted to
 * `wire`. After the PROXY protocol without TLS `in` is the socket's own input. All others are read by the gate itself
 * (gate_quick.c). Without TLS `out` goes to the socket as it is.
 *
 * Thread: the connection's worker. */
#ifndef PROXY_FRONT_GATE_INTERNAL_H
#define PROXY_FRONT_GATE_INTERNAL_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "http/chunk.h"
#include "http/message.h"
#include "proxy/front/bodies.h"
#include "proxy/front/front.h"
#include "proxy/front/gate.h"
#include "proxy/front/gate_evhttp.h"
#include "proxy/front/inbound.h"
#include "proxy/front/transport.h"

#define GATE_MAGIC 0x67617465u
#define GATE_READ_AHEAD (64 * 1024) /* held back beyond a head while a response is under way */
#define GATE_HITS_PER_TURN 64       /* then other connections get their turn */
#define GATE_ACCEPTS_PER_TURN 32    /* then connections that are open get theirs; the others wait in the kernel */
#define GATE_STEPS_PER_TURN \
	32 /* requests begun that are no hits, and idle connections ended; hits go before the others */
#define GATE_STEP_BYTES (16 * 1024) /* a larger body costs a step for each so many bytes: it may have to be parsed */
#define GATE_READ_MAX (16 * 1024)   /* from one connection, before others get their turn */
#define GATE_SAID_MAX (64 * 1024)   /* responses of the fast path put together to be sent by one call */
#define GATE_PAUSE_MS 100           /* accepting, for want of descriptors */
#define GATE_LINGER_MS 2000         /* how long a client may go on sending after our last byte */
#define GATE_LINGER_BYTES (16 * 1024 * 1024)
#define GATE_LOOK_MS 1000 /* between two looks whether a client that sends no more is still there */

enum gate_phase {
	GATE_PROXY,     /* the PROXY protocol's header is awaited */
	GATE_HANDSHAKE, /* TLS begins */
	GATE_HEAD,      /* evhttp is idle; a request head is awaited */
	GATE_TURN,      /* the head is in `head`, no hit; others that came before it are begun first */
	GATE_BODY,      /* its body is being read */
	GATE_WHOLE,     /* its body is here, and large; others that came before it are handed over first */
	GATE_RESPONSE,  /* evhttp has the request; its response is not finished */
	GATE_DRAIN,     /* evhttp is done; the response's last bytes are in the socket's buffer */
	GATE_CLOSING,   /* what is buffered goes out, then the connection ends */
	GATE_LINGER,    /* our side is shut down; what the client still sends is dropped */
	GATE_DEAD,      /* given back to evhttp to be freed */
};

struct front { /* shared by its gates */
	struct evhttp *http;
	const struct gate_options *o;
	struct event_base *base;
	struct link gates; /* those that came last stand first */
	unsigned refs;     /* one a gate, one for the installation */
	unsigned inside;   /* gates that found a place (most_open) */
	unsigned accepted; /* since it was last put off */
	struct event more; /* accepting goes on */
	bool draining;
	/* Makes a gate for a connection whose socket comes soon; NULL: no memory. */
	struct gate *(*accept)(struct front *l);

	/* The time of this turn of the loop. */
	struct now now;
	int64_t now_us;
	struct event turn_end;
	struct event turn;   /* the next turn of the loop begins */
	unsigned steps_left; /* of this turn */
	struct link behind;  /* gates that wait for a step, by their `behind` */
	bool clock_is_read, clock_is_stopped;
	char *head; /* of the request that is being read (gate_in.c); a gate takes it where that lasts, and leaves its own */
	size_t head_cap;
	/* gate_quick.c: of the gate whose handler runs; empty when it returns. */
	struct slice ahead; /* of `read`: not taken yet. `in` is empty as long as there is some */
	size_t said_n;      /* of `said`. `out` is empty as long as there is some */
	char read[GATE_READ_MAX];
	char said[GATE_SAID_MAX];
};

struct gate {
	uint32_t magic;
	enum gate_phase phase;
	struct transport transport; /* of the request that is being answered */
	struct front *l;
	struct link link; /* of the front's gates */
	const struct gate_options *o;
	struct bufferevent *sock, *filter;
	struct evbuffer *sock_out, *filter_out; /* of these two */
	struct evbuffer *in;                    /* what the client says */
	struct evbuffer
		*out; /* what it is told; without TLS empty between handlers: it goes to the socket and its buffer */
	struct tls_stream *tls;
	struct evbuffer *wire; /* `out` as it goes over TLS; empty between handlers */
	struct event work;     /* activated to flush and go on */
	struct event readable; /* is_quick: in place of the bufferevent's own */
	evutil_socket_t fd;    /* is_quick */
	struct event timer;
	struct link behind;          /* in the listener's */
	int64_t now_ms, timer_at_ms; /* timer_at_ms 0: not armed */

	/* The request being read or served. */
	struct http_request view; /* points into `head` while phase is TURN, BODY, RESPONSE or DRAIN */
	char *head;
	size_t head_cap;
	size_t scanned;        /* parser's progress in an incomplete head */
	int64_t head_start_ms; /* first byte of the head, 0: none yet */
	int64_t head_done_us;
	struct body *body;   /* decoded so far; NULL: nothing yet, or evhttp has it */
	uint64_t body_most;  /* max_body as it was when the body began */
	uint64_t body_left;  /* of a Content-Length */
	uint64_t body_bytes; /* decoded so far, dropped ones included */
	struct chunk_decoder chunk;
	int64_t body_ms;                       /* when its last byte came */
	int64_t room_wait_ms;                  /* since when it has waited for memory; 0: it does not */
	int64_t body_slow_us, body_pressed_us; /* gate_body.c: until when what came is enough */

	/* The response. */
	size_t wants_room_below;       /* the mark at which there was none; 0: nobody waits for room */
	struct gate_response response; /* of a request in RESPONSE */

	int64_t idle_since_ms, progress_ms, linger_ms;
	int64_t looked_ms; /* whether the client is there (gate_timer.c), or since when it sends no more */
	uint64_t lingered;
	size_t input_seen; /* bytes of the socket's input that bytes_in has counted */

	struct inbound inbound;

	bool set_up;         /* evhttp has given the socket */
	bool is_quick;       /* the gate reads the socket itself; what the fast path says is sent without a buffer */
	bool is_inside;      /* counted in the listener's */
	bool has_step;       /* it has waited for it */
	bool at_once;        /* closing must not wait for the client */
	bool in_is_own;      /* else it is the socket's input */
	bool told_end;       /* TLS: close_notify was sent, or is not to be */
	bool read_eof;       /* the client sends no more */
	bool was_probed;     /* it was sent something for its absence to show, for this request */
	bool broken;         /* the socket failed: nothing can be sent */
	bool close_after;    /* no further request on this connection */
	bool closes_direct;  /* nor after the response of the direct way */
	bool close_idle;     /* nor is one waited for, when none has begun */
	bool linger;         /* closing must leave the client time to read */
	bool reset;          /* closing must look like a failure (a response that was cut) */
	bool response_begun; /* part of the final head is written */
	bool holds_back;     /* reading from the socket is off */
};

static inline struct gate *gate_from(void *arg)
{
	struct gate *g = arg;

	CHECK(g->magic == GATE_MAGIC);
	return g;
}

/* gate_on_work soon. */
static inline void gate_schedule(struct gate *g)
{
	event_active(&g->work, EV_TIMEOUT, 1);
}

/* gate_on_work in the next turn of the loop, after others had theirs. */
static inline void gate_schedule_later(struct gate *g)
{
	static const struct timeval next_turn = {0, 0};

	(void)event_add(&g->work, &next_turn);
}

/* It may have closed one direction only (RFC 9112 9.6), or be gone: gate_timer.c. */
static inline void gate_note_end(struct gate *g)
{
	if (!g->read_eof)
		g->looked_ms = g->now_ms;
	g->read_eof = true;
}

/* To CLOSING. */
static inline void gate_close(struct gate *g)
{
	g->phase = GATE_CLOSING;
	g->transport.on_room.fn = NULL;
}

/* From here on each file uses those that come after it, and gate_listen.c, which has front.h, all of them. */

/* gate.c: the handlers. They go as far as the bytes allow; the gate may be dead after each. */
void gate_on_work(evutil_socket_t fd, short what, void *arg);
void gate_on_timer(evutil_socket_t fd, short what, void *arg);
void gate_on_readable(struct bufferevent *sock, void *arg);
void gate_on_writable(struct bufferevent *sock, void *arg);
void gate_on_socket_event(struct bufferevent *sock, short what, void *arg);

/* gate_begin.c: true when the next step can be tried */
void gate_set_up(struct gate *g, event_callback_fn on_readable); /* once the filter has its socket */
bool gate_read_proxy_header(struct gate *g);
bool gate_handshake(struct gate *g);
void gate_count_out(struct gate *g); /* of all that need not outlive it; `o` is NULL after this */

/* gate_timer.c */
void gate_arm_timer(struct gate *g);
bool gate_time_is_up(struct gate *g); /* the timer fired: ends what is late. False: the gate is dead */

/* gate_in.c: true when something was taken from the input and the next step can be tried */
bool gate_read_head(struct gate *g);
void gate_drop_long_head(struct gate *g); /* once the view is not looked at any more */

/* gate_body.c */
void gate_begin_body(struct gate *g);
bool gate_read_body(struct gate *g); /* true: as of gate_read_head */
int64_t gate_body_deadline(const struct gate *g);
void gate_body_is_late(struct gate *g);

/* gate_direct.c */
extern const struct transport_ops gate_direct_ops;

/* gate_evhttp.c: gate_evhttp.h */

/* gate_refuse.c */
void gate_refuse(struct gate *g, struct http_error e);
void gate_end_wait(struct gate *g); /* its body's, for memory */
void gate_drop_body(struct gate *g);

/* gate_out.c */
/* Adds to the head's text what it says of the connection, and its last line. */
void gate_end_head(const struct gate *g, const struct transport_head *head, bool closes);
void gate_send(struct gate *g);    /* writes `out`, the rest to the socket's buffer; sets broken */
void gate_decrypt(struct gate *g); /* what the socket has read to `in` */
void gate_check_room(struct gate *g);
void gate_on_socket_output(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg);
void gate_forget_callbacks(struct gate *g);                                /* the transport's: its user hears no more */
void gate_fill_transport(struct gate *g, const struct transport_ops *ops); /* for a request that is whole */

/* gate_quick.c */
void gate_clock_init(struct front *l);
void gate_clock_fini(struct front *l);
void gate_touch(struct gate *g); /* takes the time of this turn of the loop */
bool gate_has_step(const struct gate *g);
/* For what takes longer than a hit. False: this turn has none left, or others wait; then gate_on_work runs when it is the gate's. */
bool gate_takes_step(struct gate *g) WARN_UNUSED;
bool gate_is_quick(const struct gate_options *o);
void gate_begin_quick(struct gate *g, event_callback_fn on_readable);
ssize_t gate_receive(struct gate *g, void *p, size_t n); /* as recv */
void gate_end_quick(struct gate *g);
void gate_hold_back(struct gate *g, bool full); /* stops or goes on reading */
void gate_keep_ahead(struct gate *g);           /* ahead to `in`; sets broken */
int gate_keep_said(struct gate *g);             /* said to `out`; -ENOMEM sets broken too */
/* Appends to the responses of the fast path, by copying, or by reference to bytes that stay until `done` is called. 0, or -ENOMEM:
 * then `done` is not called. */
int gate_say(struct gate *g, const void *p, size_t n) WARN_UNUSED;
int gate_say_by_reference(struct gate *g, const void *p, size_t n, void (*done)(const void *p, size_t n, void *arg),
	void *arg) WARN_UNUSED;
void gate_send_said(struct gate *g); /* to the socket, what it does not take to `out`; sets broken */

#endif
