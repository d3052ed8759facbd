/* SPDX-License-Identifier: MIT */
/* Coalescing: one fetch for all who ask the same at once. The flight owns the response as it arrives; waiters on any worker
 * stream from it; the client that caused it may leave.
 * Thread: leader functions only on the worker that leads; waiter functions on the waiter's worker.
 * Bounds: waiters, and flights, in the whole cache (max_waiters, max_flights); each has a counter. */
#ifndef CACHE_FLIGHT_H
#define CACHE_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "cache/memory/object.h"

struct flight;

enum flight_phase {
	FLIGHT_WAITING,  /* nothing yet */
	FLIGHT_RESPONSE, /* `object` answers: its body may still be growing; new bytes and the end are announced too */
	FLIGHT_RELEASED, /* the response can't be shared: fetch for yourself, now, in parallel */
	FLIGHT_RETRY, /* the response was for another variant, or it was purged, or the leader timed out: look up again */
	FLIGHT_STALE,  /* the fetch failed and `object` (stale) may stand in */
	FLIGHT_FAILED, /* the fetch failed: `status` is 502, 503 or 504 */
};

/* Embedded in whoever waits. */
struct flight_waiter {
	void (*on_progress)(struct flight_waiter
			*w); /* set by the caller: on its own worker's thread, when something has changed; it may
	                                                  leave the flight or free itself */
	bool met_failure; /* set by the caller: it has waited for a fetch before which failed for another: see flight_view */
	uint64_t met_form; /* and of whose form that was */
	bool wants_part; /* set by the caller: a Range, for which nobody would fetch or pass on what is larger than max_object */
	/* private */
	struct flight *flight;
	unsigned worker;
	struct flight_waiter *prev, *next; /* in the order in which they came */
	uint64_t place;                    /* among all that ever waited there */
	const struct http_fields *request;
	_Atomic uint64_t offset;
	uint64_t joined_seq; /* of purges, when it began to wait */
	bool begun, mismatched;
	unsigned stores_seen;
};

enum flight_storing {
	FLIGHT_UNSETTLED,  /* it has not ended, or is not in the lower tier yet: on_progress will come */
	FLIGHT_STORED,     /* it was stored */
	FLIGHT_NOT_STORED, /* see the verdict; POLICY_STORE: there was no room, or something newer came before it */
};

struct flight_view {
	enum flight_phase phase;
	struct object *object; /* borrowed until flight_leave; take a reference to keep it */
	int status; /* of the upstream's response (304: `object` was confirmed), of STALE 0 where none came; of FAILED: 502, 503, 504 */
	int failure; /* of STALE: 502, 503 or 504, which it stands in for; of RETRY: the error of another's request; 0: it is not for one */
	unsigned cause;         /* of STALE and FAILED: as flight_note_cause had it; 0: not said */
	uint64_t form;          /* with `failure` of RETRY: of that request */
	struct slice own_lines; /* of RESPONSE: field lines that are for this waiter alone; valid until it leaves */
	enum policy_store
		verdict; /* of RESPONSE and RELEASED: POLICY_STORE, or why it will not be stored, as far as is known */
	enum flight_storing storing;
	bool has_head; /* of WAITING and RESPONSE: the origin has begun to answer, though what has come may be held back */
	bool looks_again; /* of WAITING, once each time: another fetch of the key was stored, and may be what is waited for */
};

struct flight *flight_ref(struct flight *f);
void flight_unref(struct flight **f);

/* ---- Waiters ---- */
/* on_progress comes from the event loop, never from inside this call; look right after joining too. `request` is the
 * waiter's own, borrowed until flight_leave: flight_look says RETRY when the response's Vary tells the two apart. NULL only
 * where the waiter takes whatever comes (a forced refresh that wants no more than the status). */
void flight_wait(struct flight *f, unsigned worker, const struct http_fields *request, struct flight_waiter *w);
void flight_leave(struct flight_waiter *w); /* also when it never waited */
void flight_look(const struct flight_waiter *w, struct flight_view *out);
/* The RESPONSE that was seen last has not come far enough to be used: whether it suits the waiter is asked anew the next time. */
void flight_put_off(struct flight_waiter *w);
/* The waiter has passed on all bytes before `offset` (needed where a body outgrew max_object and is windowed). */
void flight_advance(struct flight_waiter *w, uint64_t offset);

/* ---- The leader's side: what the fetch does with its response ---- */
enum flight_fate {
	FLIGHT_STORES, /* go on with flight_body and flight_end */
	FLIGHT_REVALIDATED, /* the 304 (or an error that stale-if-error covers) is dealt with: drop the rest, the flight has ended */
	FLIGHT_PRIVATE, /* not for sharing: waiters are released; stream it to the one client that led, or cancel */
};

struct flight_response {
	int status;
	struct http_fields *fields; /* hop-by-hop dropped already */
	int64_t content_length;     /* -1: not known */
	struct now request_time, now;
	unsigned stretch; /* as in policy_exchange */
};

/* `why` gets what policy said when it is PRIVATE. */
enum flight_fate flight_response(struct flight *f, const struct flight_response *a, enum policy_store *why);
enum flight_body {
	FLIGHT_BODY_OK,
	FLIGHT_BODY_PAUSE,
	FLIGHT_BODY_NOBODY /* nobody reads and nothing will be stored: cancel */
};
/* After PAUSE (only past max_object) the leader waits for on_resume; the bytes were taken. */
enum flight_body flight_body(struct flight *f, const void *p, size_t n);
/* complete: the transfer ended well and its length was right. Else what has streamed is aborted and nothing is stored. */
void flight_end(struct flight *f, bool complete, struct now now);
/* Before one of the next three, or an end that is not complete: a number above 0 of the leader's own, which is told to those who hear of
 * the failure, in the flight or while it is remembered. */
void flight_note_cause(struct flight *f, unsigned cause);
/* No usable response came: status 502, 503 or 504. Remembered for failure_memory_ms, or stale-if-error stands in. */
void flight_fail(struct flight *f, int status, struct now now);
/* The same, where the request can't be the cause, as nothing of it was sent: it goes for whoever asks. */
void flight_fail_for_all(struct flight *f, int status, struct now now);
/* The leader gives up without a verdict (shutting down): waiters look up again. */
void flight_abandon(struct flight *f);
/* Called on the leader's worker when a paused body may go on. */
void flight_on_resume(struct flight *f, void (*on_resume)(void *arg), void *arg);

/* What the leader's request needs to be conditional: the stored object's validators, or NULL. */
const struct object *flight_stored(const struct flight *f);
/* Or what its request needs to ask for the rest only: the bytes from *from on, if *validator (empty: none) is still that
 * of the whole. False: all is asked for. */
bool flight_tail(const struct flight *f, uint64_t *from, struct slice *validator);

#endif
