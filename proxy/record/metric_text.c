/* SPDX-License-Identifier: MIT */
#include "proxy/record/metric_text.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

void metric_add_name(struct buf *b, const struct metric *m)
{
	if (m->group)
		buf_addf(b, "memoproxy_%s_", m->group);
	buf_add_str(b, m->name);
	if (m->group && strcmp(m->type, "counter") == 0)
		buf_add_str(b, "_total");
}

void metric_add_head(struct buf *b, const struct metric *m)
{
	buf_add_str(b, "# HELP ");
	metric_add_name(b, m);
	buf_addf(b, " %s.\n# TYPE ", m->help);
	metric_add_name(b, m);
	buf_addf(b, " %s\n", m->type);
}

void metric_add_label(struct buf *b, const char *name, struct slice value)
{
	buf_addf(b, "%s=\"", name);
	while (value.n > 0) {
		struct slice c = utf8_take(&value); /* the format is UTF-8 */

		if (*c.p == '\\' || *c.p == '"')
			buf_add_char(b, '\\');
		if (*c.p == '\n')
			buf_add_str(b, "\\n");
		else
			buf_add_slice(b, c);
	}
	buf_add_char(b, '"');
}

void metric_add_count(struct buf *b, uint64_t n)
{
	buf_addf(b, " %llu\n", (unsigned long long)n);
}

void metric_add_number(struct buf *b, double n)
{
	buf_addf(b, " %.17g\n", n);
}

void metric_add_seconds(struct buf *b, uint64_t us)
{
	buf_addf(b, " %llu.%06u\n", (unsigned long long)(us / 1000000), (unsigned)(us % 1000000));
}

/* Of the label that all of a histogram's samples have. */
struct histogram {
	const struct metric *m;
	const char *label;
	struct slice value;
};

static void add_member(struct buf *b, const struct histogram *h, const char *member)
{
	metric_add_name(b, h->m);
	buf_addf(b, "_%s{", member);
	metric_add_label(b, h->label, h->value);
}

static void add_bucket(struct buf *b, const struct histogram *h, const char *bound, uint64_t n)
{
	add_member(b, h, "bucket");
	buf_addf(b, ",le=\"%s\"}", bound);
	metric_add_count(b, n);
}

void metric_add_histogram(
	struct buf *b, const struct metric *m, const char *label, struct slice value, const struct latency *l)
{
	const struct histogram h = {m, label, value};
	uint64_t below = 0;
	char bound[32];

	for (unsigned i = 0; i < LATENCY_BOUNDS; i++) {
		below += l->buckets[i];
		snprintf(bound, sizeof(bound), "%.9g", (double)latency_bounds_us[i] / 1e6);
		add_bucket(b, &h, bound, below);
	}
	add_bucket(b, &h, "+Inf", latency_count(l));
	add_member(b, &h, "sum");
	buf_add_char(b, '}');
	metric_add_seconds(b, l->sum_us);
	add_member(b, &h, "count");
	buf_add_char(b, '}');
	metric_add_count(b, latency_count(l));
}
