/* SPDX-License-Identifier: MIT */
/* The exchange's insides, for the files exchange*.c alone. Thread: the exchange's worker. */
#ifndef PROXY_TRANSACTION_EXCHANGE_INTERNAL_H
#define PROXY_TRANSACTION_EXCHANGE_INTERNAL_H

#include "cache/body_reader.h"
#include "proxy/front/transport.h"
#include "proxy/transaction/fill.h"
#include "proxy/transaction/worker.h"

#define EXCHANGE_MAGIC 0x58434847u
#define EXCHANGE_DETAIL_MAX 192

struct exchange {
	unsigned magic;
	struct worker *worker;
	struct worker_list link;
	struct transport *transport;
	const struct http_request *client; /* as the client sent it: for its connection and the framing of replies */
	struct target target;              /* and target.sent for everything else */

	struct flight *flight;       /* joined or led; NULL otherwise */
	struct flight_waiter waiter; /* in `flight` while is_waiting */
	bool is_waiting;
	bool is_reading;       /* it waits for the disk tier */
	struct fill *fill;     /* whose private answer is ours; NULL otherwise */
	struct object *object; /* that answers; referenced */

	struct body_reader *reader; /* of its body, where that is on disk; else NULL */
	unsigned part;              /* of the reply's parts, the one that is being sent from there */
	uint64_t part_sent;         /* of its bytes */
	bool part_begun;            /* its head is out */

	struct reply reply;
	struct reply_note note;
	char detail[EXCHANGE_DETAIL_MAX]; /* of note, where it is of this request */
	enum answer_kind kind;
	bool has_begun;        /* the final head is out */
	bool is_stream_paused; /* the fill waits for room */
	uint64_t sent;         /* of the body's wanted part */
	uint64_t skip;         /* where that part starts in the object */
	unsigned disk_waits;   /* for reads of the disk tier; at DISK_WAITS_MAX lookups pass it by */
	bool whole_comes;      /* for others, while this one fetches a part for itself */
	bool goes_for_part;    /* the whole was not to be shared: it has turned to its own Range */
	unsigned retries;      /* lookups again after FLIGHT_RETRY */
	int64_t start_us, upstream_us;
	struct now now; /* of the last event that woke it */
};

static inline struct exchange *exchange_of(void *arg)
{
	struct exchange *x = arg;

	CHECK(x->magic == EXCHANGE_MAGIC);
	return x;
}

/* Leaves its flight, if it waits at one. */
void exchange_stop_waiting(struct exchange *x);
/* Is it a GET with a Range, whatever that says? */
bool exchange_asks_for_part(const struct exchange *x);
/* For Cache-Status; NULL: nothing. */
const char *exchange_why_not(struct exchange *x, enum policy_store why);
/* exchange_private.c: what a fill tells of an answer that is not the flight's. */
extern const struct fill_client exchange_private;

/* Sends r's head and what is there of its body; goes on by itself as room and bytes come. The exchange may be gone when
 * any of these returns: the caller returns at once. */
void exchange_send(struct exchange *x);
/* More bytes of the object, or room at the client. */
void exchange_pump(struct exchange *x);
/* ---- Bodies on disk (exchange_large.c) ---- */
/* Does the reply that x->object gives need bytes from disk? Then this sends it, once its first block is verified: until then
 * it can still be fetched anew, which exchange_decide_again does. */
bool exchange_is_large(const struct exchange *x);
void exchange_begin_large(struct exchange *x);
void exchange_pump_large(struct exchange *x);
void exchange_decide_again(struct exchange *x);
/* Of exchange_reply.c: n bytes of the body were added; they go out now. */
void exchange_flush(struct exchange *x, uint64_t n);
void exchange_await_room(struct exchange *x);

/* A streamed body's next bytes. */
enum fetch_write exchange_stream(struct exchange *x, const void *p, size_t n);
void exchange_finish(struct exchange *x);
/* The answer can't be completed: aborts what has begun, else answers with a problem. */
void exchange_break(struct exchange *x, int status, const char *detail);
void exchange_problem(struct exchange *x, int status, const char *detail, int retry_after_s);

/* Of a private answer whose head is here: what may serve others goes into the cache too. True when it does, so far. */
bool exchange_keep(struct exchange *x, int status, const struct http_fields *fields, int64_t content_length);
/* What target_find is told of it. */
struct asked exchange_asked(const struct exchange *x);

/* Counters and the access log. The answer has been handed over: frees the exchange, and notes it when the client has all of
 * it, or has left. */
void exchange_part(struct exchange *x);
/* The reply was cut by us; the client left before it was handed over. */
void exchange_note_now(struct exchange *x);
void exchange_note_gone(struct exchange *x);

/* Frees the exchange: detaches from fill and flight. The response is not its business any more. */
void exchange_free(struct exchange *x);

#endif
