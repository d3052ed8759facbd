/* SPDX-License-Identifier: MIT */
/* The transaction's insides, for the files transaction*.c alone. Thread: the transaction's worker. */
#ifndef PROXY_TRANSACTION_TRANSACTION_INTERNAL_H
#define PROXY_TRANSACTION_TRANSACTION_INTERNAL_H

#include "cache/body_reader.h"
#include "proxy/front/transport.h"
#include "proxy/transaction/failure.h"
#include "proxy/transaction/fetch_job.h"
#include "proxy/transaction/trace.h"
#include "proxy/transaction/worker.h"

#define TRANSACTION_MAGIC 0x58434847u
#define TRANSACTION_DETAIL_MAX 192

struct transaction {
	unsigned magic;
	struct worker *worker;
	struct link link;
	struct transport *transport;
	const struct http_request *client; /* as the client sent it: for its connection and the framing of responses */
	struct target target;              /* and target.sent for everything else */

	struct flight *flight;       /* joined or led; NULL otherwise */
	struct flight_waiter waiter; /* in `flight` while is_waiting */
	bool is_waiting;
	struct link range;          /* in the worker's ranges or ranges_alone, or in no list */
	int64_t range_since_ms;     /* when it came to wait there */
	bool is_reading;            /* it waits for the lower tier */
	struct fetch_job *job;      /* whose private response is ours; NULL otherwise */
	struct transaction **purge; /* where the purge that it waits for keeps it; NULL otherwise */
	struct object *object;      /* that answers; referenced */

	struct body_reader *reader; /* of its body, where that is in the lower tier; else NULL */
	unsigned part;              /* of the response's parts, the one that is being sent from there */
	uint64_t part_sent;         /* of its bytes */
	bool part_begun;            /* its head is out */

	struct response response;
	struct cache_status cache_status;
	char detail[TRANSACTION_DETAIL_MAX]; /* cache_status.detail points here where it is of this request alone */
	enum policy_store why;               /* it passes, or has no response of the origin */
	enum response_kind kind;
	bool is_traced;        /* its decisions are told in the log: trace.h */
	bool has_begun;        /* the final head is out */
	bool is_stream_paused; /* the fetch job waits for room */
	uint64_t sent;         /* of the body's wanted part */
	uint64_t skip;         /* where that part starts in the object */
	unsigned lower_waits;  /* for reads of the lower tier; at LOWER_WAITS_MAX lookups pass it by */
	bool whole_comes;      /* for others, while this one fetches a part for itself */
	bool goes_for_part;    /* the whole was not to be shared: it has turned to its own Range */
	bool is_overdue;   /* it fetches its own part beside the whole that it waits for: what comes first answers */
	bool met_failure;  /* of a fetch that it waited for, and of another's request */
	uint64_t met_form; /* of that request */
	unsigned retries;  /* lookups again after FLIGHT_RETRY */
	const char *error; /* of a problem or what was cut: for the log; NULL: there was none */
	uint64_t id;       /* 0: none is drawn yet */
	char id_text[17];
	int64_t start_us, upstream_us;
	struct now now; /* of the last event that woke it */
};

static inline struct transaction *transaction_of(void *arg)
{
	struct transaction *x = arg;

	CHECK(x->magic == TRANSACTION_MAGIC);
	return x;
}

/* Each of these files calls only those after it in this list: who has begun a request is never called back from below.
 * Where a function may free the transaction, as it says, the caller returns at once. */

/* ---- transaction_decide.c: the cache's verdict, and what follows from it; may free the transaction ---- */

/* Asks the cache. no_join: it does not wait for another's fetch. */
void transaction_decide(struct transaction *x, bool no_join);
/* On what has been asked already; takes over the references in `found`. */
void transaction_act(struct transaction *x, struct cache_result found);

/* ---- transaction_purge.c: PURGE; may free the transaction ---- */

/* False: it is none, or one for the origin; else it is answered, now or once the purge is durable. */
bool transaction_purge(struct transaction *x);

/* ---- transaction_private.c: a response of its own fetch job that is for this client alone ---- */

extern const struct fetch_job_client transaction_private;

/* ---- transaction_keep.c: what such a response leaves in the cache ---- */

/* Of a RESPONSE_PASS the head is here: what may serve others is stored too (POLICY_STORE: it is, so far), and what it says about the
 * stored one heard. */
enum policy_store transaction_keep(
	struct transaction *x, int status, struct http_fields *fields, int64_t content_length);
/* None came; from on_end, while the fetch job is there. */
void transaction_tell_failure(struct transaction *x, enum fetch_result result);

/* ---- transaction_response.c: sending; may free the transaction, but for transaction_stream ---- */

/* Sends the response's head and what is there of its body; goes on by itself as room and bytes come. */
void transaction_send(struct transaction *x);
/* There may be more bytes, or room at the client. */
void transaction_pump(struct transaction *x);
/* A streamed body's next bytes, and its end. */
enum fetch_write transaction_stream(struct transaction *x, const void *p, size_t n);
void transaction_finish(struct transaction *x);
/* x->response, which is to be sent. 0, -ENOMEM or -ENOBUFS. */
int transaction_make_problem(struct transaction *x, struct failure why) WARN_UNUSED;
/* Nothing has been sent yet: a problem is. Something has: the response is cut. */
void transaction_problem(struct transaction *x, struct failure why);
void transaction_abort(struct transaction *x, unsigned cause); /* an enum fetch_cause, 0 where it is not known */

/* ---- transaction_lower.c: bodies in the lower tier, one verified block after the other ---- */

/* Does the response that x->object gives need bytes from the lower tier? */
bool transaction_needs_lower(const struct transaction *x);
/* Is the first block at hand? As body_reader_at. */
int transaction_first_block(const struct transaction *x) WARN_UNUSED;
enum pump {
	PUMP_ALL_SENT,
	PUMP_NO_ROOM, /* at the client */
	PUMP_WAITS,   /* for bytes, whose coming wakes it */
	PUMP_BROKEN,  /* no more will come */
};
enum pump transaction_pump_lower(struct transaction *x) WARN_UNUSED;

/* ---- transaction_log.c: counters and the access log ---- */

/* The response has been handed over: frees the transaction, and notes it when the client has all of it, or has left. */
void transaction_leave(struct transaction *x);
/* Its client's X-Request-ID, or one of ours: in answers, in the log, the same in all. Valid as long as the transaction is. */
struct slice transaction_id(struct transaction *x);
/* The response was cut by us; or the client left before it was handed over. */
void transaction_note(struct transaction *x, bool is_gone);

/* ---- transaction_state.c: how one is made and freed, and what all ask of it ---- */

/* NULL: no memory. */
struct transaction *transaction_new(struct worker *w, struct transport *t) WARN_UNUSED;
/* Detaches from fetch job and flight. The response is not its business any more. */
void transaction_free(struct transaction *x);
/* Leaves its flight, if it waits at one. */
void transaction_stop_waiting(struct transaction *x);
/* An overdue range does not wait for the whole any more, only for its own fetch. */
void transaction_go_on_alone(struct transaction *x);
/* Is it a GET with a Range, whatever that says? */
bool transaction_asks_for_part(const struct transaction *x);
/* Why what it was answered is not stored, for Cache-Status; NULL: it is. */
const char *transaction_why_not(struct transaction *x, enum policy_store why);
/* n bytes of the body were added; they go out now. */
void transaction_flush(struct transaction *x, uint64_t n);

#endif
