/* SPDX-License-Identifier: MIT */
/* The transaction's insides, for the files transaction*.c alone. Thread: the transaction's worker. */
#ifndef PROXY_TRANSACTION_TRANSACTION_INTERNAL_H
#define PROXY_TRANSACTION_TRANSACTION_INTERNAL_H

#include "cache/body_reader.h"
#include "proxy/front/transport.h"
#include "proxy/transaction/failure.h"
#include "proxy/transaction/fetch_job.h"
#include "proxy/transaction/worker.h"

#define TRANSACTION_MAGIC 0x58434847u
#define TRANSACTION_DETAIL_MAX 192

struct transaction {
	unsigned magic;
	struct worker *worker;
	struct link link;
	struct transport *transport;
	const struct http_request *client; /* as the client sent it: for its connection and the framing of replies */
	struct target target;              /* and target.sent for everything else */

	struct flight *flight;       /* joined or led; NULL otherwise */
	struct flight_waiter waiter; /* in `flight` while is_waiting */
	bool is_waiting;
	bool is_reading;       /* it waits for the disk tier */
	struct fetch_job *job; /* whose private answer is ours; NULL otherwise */
	struct object *object; /* that answers; referenced */

	struct body_reader *reader; /* of its body, where that is on disk; else NULL */
	unsigned part;              /* of the reply's parts, the one that is being sent from there */
	uint64_t part_sent;         /* of its bytes */
	bool part_begun;            /* its head is out */

	struct reply reply;
	struct cache_status cache_status;
	char detail[TRANSACTION_DETAIL_MAX]; /* of note, where it is of this request */
	enum answer_kind kind;
	bool has_begun;        /* the final head is out */
	bool is_stream_paused; /* the fetch job waits for room */
	uint64_t sent;         /* of the body's wanted part */
	uint64_t skip;         /* where that part starts in the object */
	unsigned disk_waits;   /* for reads of the disk tier; at DISK_WAITS_MAX lookups pass it by */
	bool whole_comes;      /* for others, while this one fetches a part for itself */
	bool goes_for_part;    /* the whole was not to be shared: it has turned to its own Range */
	bool met_failure;      /* of a fetch that it waited for, and of another's request */
	unsigned retries;      /* lookups again after FLIGHT_RETRY */
	int64_t start_us, upstream_us;
	struct now now; /* of the last event that woke it */
};

static inline struct transaction *transaction_of(void *arg)
{
	struct transaction *x = arg;

	CHECK(x->magic == TRANSACTION_MAGIC);
	return x;
}

/* Leaves its flight, if it waits at one. */
void transaction_stop_waiting(struct transaction *x);
/* Is it a GET with a Range, whatever that says? */
bool transaction_asks_for_part(const struct transaction *x);
/* For Cache-Status; NULL: nothing. */
const char *transaction_why_not(struct transaction *x, enum policy_store why);
/* transaction_private.c: what a fetch job tells of an answer that is not the flight's. */
extern const struct fetch_job_client transaction_private;

/* Sends r's head and what is there of its body; goes on by itself as room and bytes come. The transaction may be gone when
 * any of these returns: the caller returns at once. */
void transaction_send(struct transaction *x);
/* More bytes of the object, or room at the client. */
void transaction_pump(struct transaction *x);
/* ---- Bodies on disk (transaction_large.c) ---- */
/* Does the reply that x->object gives need bytes from disk? Then this sends it, once its first block is verified: until then
 * it can still be fetched anew, which transaction_decide_again does. */
bool transaction_is_large(const struct transaction *x);
void transaction_begin_large(struct transaction *x);
void transaction_pump_large(struct transaction *x);
void transaction_decide_again(struct transaction *x);
/* Of transaction_reply.c: n bytes of the body were added; they go out now. */
void transaction_flush(struct transaction *x, uint64_t n);
void transaction_await_room(struct transaction *x);

/* A streamed body's next bytes. */
enum fetch_write transaction_stream(struct transaction *x, const void *p, size_t n);
void transaction_finish(struct transaction *x);
/* The answer can't be completed: aborts what has begun, else answers with a problem. */
void transaction_break(struct transaction *x, struct failure why);
void transaction_problem(struct transaction *x, struct failure why);

/* Of a private answer whose head is here: what may serve others goes into the cache too. True when it does, so far. */
bool transaction_keep(struct transaction *x, int status, const struct http_fields *fields, int64_t content_length);
/* What target_find is told of it. */
struct asked transaction_asked(const struct transaction *x);

/* Counters and the access log. The answer has been handed over: frees the transaction, and notes it when the client has all of
 * it, or has left. */
void transaction_leave(struct transaction *x);
/* The reply was cut by us; the client left before it was handed over. */
void transaction_note_now(struct transaction *x);
void transaction_note_gone(struct transaction *x);

/* Frees the transaction: detaches from fetch job and flight. The response is not its business any more. */
void transaction_free(struct transaction *x);

#endif
