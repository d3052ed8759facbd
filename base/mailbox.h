/* SPDX-License-Identifier: MIT */
/* The one cross-thread queue: letters go in from any thread, one owner takes them out.
 * Thread: post_mail from any; the rest only from the owner. Owns: nothing but its eventfd; letters are embedded in what
 * they are about and belong to the poster until taken. Bounds: a letter is queued at most once, so the queue holds no
 * more letters than there are objects that own one. */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/check.h"

struct mail;
typedef void mail_fn(struct mail *mail);

struct mail {
	mail_fn *on_mail;    /* set once: runs on the owner's thread, which may post the letter again or free it */
	struct mail *next;   /* guarded by the mailbox's mu */
	_Atomic bool queued; /* cleared before on_mail runs, so that a post during on_mail is not lost */
};

struct mailbox {
	pthread_mutex_t mu;
	struct mail *head, **tail; /* guarded by mu */
	int event_fd;              /* set once; readable when mail waits; written only when the queue was empty */
};

int mailbox_init(struct mailbox *mb) WARN_UNUSED;
void mailbox_fini(struct mailbox *mb);
/* True when it was queued now, false when it was queued already (the pending delivery will see what the caller wrote
 * before this call: queued is read and set with acquire-release order). */
bool post_mail(struct mailbox *mb, struct mail *mail);
/* Owner: drains the eventfd, detaches the queue under the lock and runs each letter's on_mail outside it, in order. */
void mailbox_deliver(struct mailbox *mb);

#endif
