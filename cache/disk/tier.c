/* SPDX-License-Identifier: MIT */
/* The disk as a tier. */
#include "cache/disk/store_internal.h"

static void stats(struct tier *t, struct tier_stats *out)
{
	struct disk_stats all;

	disk_stats(t, &all);
	*out = (struct tier_stats){
		.objects = all.objects,
		.queue = all.queue,
		.is_ready = all.is_ready,
		.segments_read = all.recovered_segments,
		.segments = all.recovery_segments,
	};
}

/* A line of disk_stats.def makes its row here. */
static void counts(struct tier *t, void (*each)(void *arg, const struct tier_count *n), void *arg)
{
	struct disk_stats all;

	disk_stats(t, &all);
#define ROW(member, is_gauge, help) each(arg, &(struct tier_count){#member, all.member, is_gauge, help});
#define COUNTER(member, help) ROW(member, false, help)
#define GAUGE(member, help) ROW(member, true, help)
#define STAT(where, kind, name, help) kind(name, help)
#include "cache/disk/disk_stats.def"
}

static const struct tier_ops operations = {
	.may_have = disk_may_have,
	.holds = disk_holds,
	.is_newest = disk_is_newest,
	.get = disk_get,
	.object_free = disk_object_free,
	.body_is_there = disk_body_is_there,
	.body_lose = disk_body_lose,
	.body_ref = disk_body_ref,
	.body_unref = disk_body_unref,
	.read = disk_body_read,
	.put = disk_put,
	.refresh = disk_refresh,
	.drop_put = disk_drop_put,
	.retire = disk_retire,
	.forget_before = disk_forget_before,
	.stream_begin = disk_stream_begin,
	.stream_write = disk_stream_write,
	.stream_end = disk_stream_end,
	.purge = disk_purge,
	.purge_note = disk_purge_note,
	.purge_wait = disk_purge_wait,
	.oldest_epoch = disk_oldest_epoch,
	.list = disk_browse,
	.stats = stats,
	.counts = counts,
	.hand_over = disk_hand_over,
	.disown = disk_disown,
	.close = disk_close,
};

int disk_open(const struct disk_options *o, struct tier **out, char error[DISK_ERROR_MAX])
{
	struct disk *d;
	int err = disk_start(o, &d, error);

	*out = NULL;
	if (err)
		return err;
	d->tier = (struct tier){&operations, "disk", d->o.max_object, d->secret};
	*out = &d->tier;
	return 0;
}
