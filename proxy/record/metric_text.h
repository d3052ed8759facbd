/* SPDX-License-Identifier: MIT */
/* The Prometheus text format 0.0.4, piece by piece: the two lines above a metric, its samples' names, labels and values.
 * Thread: one at a time. Borrows: the buffer, whose `err` says if something is missing. */
#ifndef PROXY_RECORD_METRIC_TEXT_H
#define PROXY_RECORD_METRIC_TEXT_H

#include "base/buf.h"
#include "base/slice.h"
#include "upstream/latency.h"

struct metric {
	const char *group, *name; /* memoproxy_GROUP_NAME, a counter's with _total; without a group: as it is */
	const char *type, *help;  /* without a full stop */
};

void metric_add_head(struct buf *b, const struct metric *m);
void metric_add_name(struct buf *b, const struct metric *m);
/* name="value", escaped. */
void metric_add_label(struct buf *b, const char *name, struct slice value);
/* What ends a line. */
void metric_add_count(struct buf *b, uint64_t n);
void metric_add_number(struct buf *b, double n);
void metric_add_seconds(struct buf *b, uint64_t us);
/* All samples of a histogram that has one label. */
void metric_add_histogram(
	struct buf *b, const struct metric *m, const char *label, struct slice value, const struct latency *l);

#endif
