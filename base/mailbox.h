/* SPDX-License-Identifier: MIT */
/* The one cross-thread queue: messages go in from any thread, one owner takes them out.
 * Thread: post_message from any; the rest only from the owner. Owns: nothing but its eventfd; messages are embedded in what
 * they are about and belong to the poster until taken. Bounds: a message is queued at most once, so the queue holds no
 * more messages than there are objects that own one. */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/check.h"

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
};

int mailbox_init(struct mailbox *mb) WARN_UNUSED;
void mailbox_fini(struct mailbox *mb);
/* True when it was queued now, false when it was queued already (the pending delivery will see what the caller wrote
 * before this call: queued is read and set with acquire-release order). */
bool post_message(struct mailbox *mb, struct message *message);
/* Owner: drains the eventfd, detaches the queue under the lock and runs each message's on_message outside it, in order. */
void mailbox_deliver(struct mailbox *mb);

#endif
