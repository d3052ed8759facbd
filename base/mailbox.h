/* SPDX-License-Identifier: MIT */
/* The one cross-thread queue: messages go in from any thread, one owner takes them out.
 * Thread: post_message from any; the rest only from the owner. Owns: nothing but its eventfd; messages are embedded in what
 * they are about and belong to the poster until taken. Bounds: a message is queued at most once, so the queue holds no
 * more messages than there are objects that own one. A delivery takes MAILBOX_STEPS steps at most, then the owner's loop gets
 * its turn: what else is ready waits for so much, however many messages came at once. */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/check.h"

#define MAILBOX_STEPS 32

struct message;
typedef void message_fn(struct message *message);

struct message {
	message_fn *on_message; /* set once: runs on the owner's thread, which may post the message again or free it */
	struct message *next;   /* guarded by the mailbox's mu */
	_Atomic bool queued;    /* cleared before on_message runs, so that a post during on_message is not lost */
};

struct mailbox {
	pthread_mutex_t mu;
	struct message *head, **tail; /* guarded by mu */
	int event_fd;                 /* set once; readable when message waits; written only when the queue was empty */
	unsigned steps_left;          /* owner: of the delivery that runs */
};

int mailbox_init(struct mailbox *mb) WARN_UNUSED;
void mailbox_fini(struct mailbox *mb);
/* True when it was queued now, false when it was queued already (the pending delivery will see what the caller wrote
 * before this call: queued is read and set with acquire-release order). */
bool post_message(struct mailbox *mb, struct message *message);
/* Owner: drains the eventfd, detaches the queue under the lock and runs each message's on_message outside it, in order, a step
 * each. True: messages are queued, as there were no steps for them or they were posted meanwhile, and the eventfd is readable. */
bool mailbox_deliver(struct mailbox *mb);
/* Owner, within on_message: takes a step for another piece of work in this delivery. False: there is none left; to go on in the
 * next one, the message is posted again. */
bool mailbox_takes_step(struct mailbox *mb) WARN_UNUSED;

#endif
