/* SPDX-License-Identifier: MIT */
/* What must not happen while libcurl is on the stack waits here until it is off. */
#include "upstream/internal.h"

void todo_post(struct fetch *f, unsigned todo)
{
	struct upstream_loop *l = f->l;

	if (f->todo == 0)
		link_append(&l->todo, &f->todo_link);
	f->todo |= todo;
	event_active(&l->kick, EV_TIMEOUT, 0);
}

void todo_unpost(struct fetch *f)
{
	if (f->todo != 0)
		link_remove(&f->todo_link);
	f->todo = 0;
}

static bool take_message(struct upstream_loop *l)
{
	int left;
	struct fetch *f = NULL;
	CURLMsg *m = curl_multi_info_read(l->multi, &left);

	if (!m)
		return false;
	if (m->msg == CURLMSG_DONE) {
		CURLcode code = m->data.result;

		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &f);
		CHECK(f && f->magic == FETCH_MAGIC);
		l->steps->done(f, code);
	}
	return true;
}

/* Ends what has ended and does what had to wait. Callbacks run from here may ask for more, which is then done too. */
void todo_settle(struct upstream_loop *l)
{
	struct link *first;

	if (l->in_curl)
		return;
	do {
		while (take_message(l))
			;
		first = l->todo.next;
		if (first != &l->todo)
			l->steps->todo(CONTAINER_OF(first, struct fetch, todo_link));
	} while (first != &l->todo);
}
