/* SPDX-License-Identifier: MIT */
/* A doubly linked list without allocation: the link is embedded in what it links, and the head is a link of its own.
 * Thread: one at a time. Owns: nothing. A link is in one list, or alone. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
	struct link *prev, *next;
};

/* Alone; also the head of an empty list. */
static inline void link_init(struct link *l)
{
	l->prev = l;
	l->next = l;
}

static inline void link_append(struct link *head, struct link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void link_prepend(struct link *head, struct link *l)
{
	link_append(head->next, l);
}

/* Harmless when it is alone. */
static inline void link_remove(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	link_init(l);
}

/* All of another list at the end of this one, at once; that one is empty then. */
static inline void link_splice(struct link *head, struct link *from)
{
	if (from->next == from)
		return;
	from->next->prev = head->prev;
	head->prev->next = from->next;
	from->prev->next = head;
	head->prev = from->prev;
	link_init(from);
}

/* The first, now alone; NULL when the list is empty. */
static inline struct link *link_take_first(struct link *head)
{
	struct link *l = head->next;

	if (l == head)
		return NULL;
	link_remove(l);
	return l;
}

static inline bool link_is_empty(const struct link *head)
{
	return head->next == head;
}

#endif
