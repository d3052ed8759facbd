/* SPDX-License-Identifier: MIT */
#include "base/mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *mb)
{
	int err;

	mb->head = NULL;
	mb->tail = &mb->head;
	mb->steps_left = 0;
	mb->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mb->event_fd < 0)
		return -errno;
	err = pthread_mutex_init(&mb->mu, NULL);
	if (err)
		close(mb->event_fd);
	return -err;
}

void mailbox_fini(struct mailbox *mb)
{
	pthread_mutex_destroy(&mb->mu);
	close(mb->event_fd);
	mb->event_fd = -1;
}

/* A full counter (EAGAIN) is readable as well, so nothing is lost by it; other errors are ours. */
static void wake_owner(struct mailbox *mb)
{
	const uint64_t one = 1;
	ssize_t rc;

	do
		rc = write(mb->event_fd, &one, sizeof(one));
	while (rc < 0 && errno == EINTR);
	CHECK(rc == (ssize_t)sizeof(one) || errno == EAGAIN);
}

bool post_message(struct mailbox *mb, struct message *message)
{
	bool was_empty;

	if (atomic_exchange_explicit(&message->queued, true, memory_order_acq_rel))
		return false;
	message->next = NULL;
	pthread_mutex_lock(&mb->mu);
	was_empty = mb->head == NULL;
	*mb->tail = message;
	mb->tail = &message->next;
	/* Under the lock: the owner can take the message only after the wake-up is written, so a message that makes the
	 * owner end its mailbox does not leave a poster writing to a closed descriptor. */
	if (was_empty)
		wake_owner(mb);
	pthread_mutex_unlock(&mb->mu);
	return true;
}

static struct message *take_all(struct mailbox *mb, struct message ***tail)
{
	struct message *head;

	pthread_mutex_lock(&mb->mu);
	head = mb->head;
	*tail = mb->tail;
	mb->head = NULL;
	mb->tail = &mb->head;
	pthread_mutex_unlock(&mb->mu);
	return head;
}

/* Before what was posted meanwhile, whose poster has written to the eventfd if there is any. Is anything queued now? */
static bool put_back(struct mailbox *mb, struct message *head, struct message **tail)
{
	bool any;

	pthread_mutex_lock(&mb->mu);
	if (head) {
		*tail = mb->head;
		if (!mb->head) {
			mb->tail = tail;
			wake_owner(mb);
		}
		mb->head = head;
	}
	any = mb->head != NULL;
	pthread_mutex_unlock(&mb->mu);
	return any;
}

bool mailbox_takes_step(struct mailbox *mb)
{
	if (mb->steps_left == 0)
		return false;
	mb->steps_left--;
	return true;
}

bool mailbox_deliver(struct mailbox *mb)
{
	struct message *message, **tail;
	uint64_t count;
	ssize_t rc;

	/* Drained before the queue is detached: a message posted between the two leaves the eventfd readable, which costs
	 * an idle turn; the other order would lose its wake-up. */
	do
		rc = read(mb->event_fd, &count, sizeof(count));
	while (rc < 0 && errno == EINTR);
	CHECK(rc == (ssize_t)sizeof(count) || errno == EAGAIN);

	mb->steps_left = MAILBOX_STEPS;
	message = take_all(mb, &tail);
	while (message && mailbox_takes_step(mb)) {
		struct message *next = message->next; /* on_message may post the message again or free it */

		/* Exchange, not store: its acquire side pairs with the release of a post that found the message queued. */
		atomic_exchange_explicit(&message->queued, false, memory_order_acq_rel);
		message->on_message(message);
		message = next;
	}
	return put_back(mb, message, tail);
}
