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

bool post_mail(struct mailbox *mb, struct mail *mail)
{
	bool was_empty;

	if (atomic_exchange_explicit(&mail->queued, true, memory_order_acq_rel))
		return false;
	mail->next = NULL;
	pthread_mutex_lock(&mb->mu);
	was_empty = mb->head == NULL;
	*mb->tail = mail;
	mb->tail = &mail->next;
	/* Under the lock: the owner can take the letter only after the wake-up is written, so a letter that makes the
	 * owner end its mailbox does not leave a poster writing to a closed descriptor. */
	if (was_empty)
		wake_owner(mb);
	pthread_mutex_unlock(&mb->mu);
	return true;
}

static struct mail *take_all(struct mailbox *mb)
{
	struct mail *head;

	pthread_mutex_lock(&mb->mu);
	head = mb->head;
	mb->head = NULL;
	mb->tail = &mb->head;
	pthread_mutex_unlock(&mb->mu);
	return head;
}

void mailbox_deliver(struct mailbox *mb)
{
	uint64_t count;
	ssize_t rc;

	/* Drained before the queue is detached: a letter posted between the two leaves the eventfd readable, which costs
	 * an idle turn; the other order would lose its wake-up. */
	do
		rc = read(mb->event_fd, &count, sizeof(count));
	while (rc < 0 && errno == EINTR);
	CHECK(rc == (ssize_t)sizeof(count) || errno == EAGAIN);

	for (struct mail *mail = take_all(mb), *next; mail; mail = next) {
		next = mail->next; /* on_mail may post the letter again or free it */
		/* Exchange, not store: its acquire side pairs with the release of a post that found the letter queued. */
		atomic_exchange_explicit(&mail->queued, false, memory_order_acq_rel);
		mail->on_mail(mail);
	}
}
