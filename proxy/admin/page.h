/* SPDX-License-Identifier: MIT */
/* A text of the counters (/metrics, /stats) that is made row by row, PAGE_ROWS in a turn of the loop, of counters that were gathered before
 * the first row, however long it takes. Only the state of origins and what the lower tier counts are of their row's turn.
 * Thread: main. Owns: the counters and the text. Bounds: PAGE_MAX. */
#ifndef PROXY_ADMIN_PAGE_H
#define PROXY_ADMIN_PAGE_H

#include "proxy/admin/admin_internal.h"
#include "proxy/admin/counters.h"
#include "proxy/admin/json_text.h"
#include "proxy/record/process_facts.h"

#define PAGE_ROWS 32
#define PAGE_SUMS 500       /* routes of a worker that are added up in a turn */
#define PAGE_MAX (32 << 20) /* CONFIG_ROUTES_MAX routes with long names fit */

struct page {
	struct admin_work work;
	const struct page_kind *kind;
	struct admin_call *call;
	struct collected *sum;
	struct counted counted;
	struct process_facts process;
	struct buf text;
	struct json_text json; /* into `text`, for those who want it */
	unsigned part, row;    /* the next */
};

struct page_part {
	void (*add)(struct page *p, unsigned row);
	unsigned (*rows)(const struct page *p); /* NULL: one */
};

struct page_kind {
	const char *content_type;
	const struct page_part *parts;
	unsigned parts_n;
};

/* Answers the call. */
void page_start(struct admin_call *c, const struct page_kind *kind);

#endif
