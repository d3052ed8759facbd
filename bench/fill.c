/* SPDX-License-Identifier: MIT */
/* Records for the disk tier without anybody's having asked for them: copies of one that memoproxy wrote itself, each for another URL.
 *
 *     fill DIRECTORY SIZE_BYTES FIRST N
 *
 * The directory is that of a store that no process uses, in which the first record of some segment has a URL that ends with ten
 * digits; the copies' digits are FIRST to FIRST + N - 1. They are written by the tier itself (cache/disk), as fast as it takes them.
 * prints: seconds, and bytes of the tier's files. Bounds: QUEUED_MAX that wait; RECORD_MAX bytes of the record that is copied. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "cache/disk/log/record.h"
#include "cache/disk/log/segment.h"
#include "cache/disk/store.h"

enum { RECORD_MAX = 65536, DIGITS = 10, QUEUED_MAX = 8192 };

static _Atomic unsigned long released_n;

/* A whole record, as it lies in the file. */
struct original {
	char bytes[RECORD_MAX];
	struct record_header header;
	struct record_meta meta;
	struct slice body;
};

struct copy {
	struct tier_source source;
	const struct original *original;
	char key[];
};

static void give_up(const char *what)
{
	fprintf(stderr, "fill: %s\n", what);
	exit(1);
}

static bool read_original(const char *path, struct original *o)
{
	struct segment_header segment;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	if (pread(fd, &segment, sizeof(segment), 0) != (ssize_t)sizeof(segment))
		give_up(path);
	n = pread(fd, o->bytes, sizeof(o->bytes), sizeof(segment));
	close(fd);
	if (n < (ssize_t)sizeof(o->header) ||
		record_read_header(o->bytes, segment.generation, (uint64_t)n, &o->header) != 0)
		return false;
	o->body = (struct slice){o->bytes + sizeof(o->header) + record_meta_n(&o->header), o->header.body_n};
	return record_read_meta(&o->header, o->bytes + sizeof(o->header), &o->meta) == 0 && o->meta.url.n > DIGITS;
}

static void find_original(const char *directory, struct original *o)
{
	DIR *d = opendir(directory);
	char path[4096];
	bool found = false;

	if (!d)
		give_up(directory);
	for (const struct dirent *e; !found && (e = readdir(d)) != NULL;) {
		snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
		found = strncmp(e->d_name, "seg-", 4) == 0 && read_original(path, o);
	}
	closedir(d);
	if (!found)
		give_up("no record to copy");
}

static struct slice body_at(const struct tier_source *s, uint64_t offset)
{
	const struct original *o = CONTAINER_OF(s, const struct copy, source)->original;

	return slice_from(o->body, offset);
}

static void on_release(struct tier_source *s)
{
	mem_free(CONTAINER_OF(s, struct copy, source));
	atomic_fetch_add(&released_n, 1);
}

static struct copy *copy_new(const struct original *o, unsigned long number, uint64_t epoch)
{
	const struct record_header *h = &o->header;
	struct copy *c = mem_zalloc(sizeof(*c) + h->key_n);
	char digits[32];
	struct now now = clock_now();

	CHECK(c);
	c->original = o;
	memcpy(c->key, o->meta.key.p, h->key_n);
	snprintf(digits, sizeof(digits), "%010lu", number);
	memcpy(c->key + h->url_off + h->url_n - DIGITS, digits, DIGITS);
	c->source = (struct tier_source){.key = {c->key, h->key_n},
		.hash = hash128_of(c->key, h->key_n),
		.url = {c->key + h->url_off, h->url_n},
		.user = h->user,
		.vary_names = o->meta.names,
		.vary_values = o->meta.values,
		.head = o->meta.head,
		.status = h->status,
		.epoch = epoch,
		.body_n = h->body_n,
		.body_at = body_at,
		.on_release = on_release};
	/* Of now: what is written is as fresh as if it had just come. */
	record_freshness(h, h->clock_id, now, &c->source.freshness);
	c->source.freshness.received_mono_ms = now.mono_ms;
	c->source.freshness.received_wall_ms = now.wall_ms;
	return c;
}

/* Never more than the queue takes: a put that is refused for that makes the tier forget older ones, perhaps of other keys. */
static void put_all(struct tier *d, struct invalidation_table *invalidation, const struct original *o,
	unsigned long first, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		struct copy *c = copy_new(o, first + i, invalidation_now(invalidation));

		while (i - atomic_load(&released_n) >= QUEUED_MAX)
			sched_yield();
		if (disk_put(d, &c->source) != 0)
			give_up("a record was refused");
	}
	disk_flush(d);
}

int main(int argc, char **argv)
{
	static struct original original;
	char error[DISK_ERROR_MAX];
	struct disk_options o = {.queue_max = 2 * QUEUED_MAX, .queue_bytes = 2ull * QUEUED_MAX * RECORD_MAX};
	struct disk_stats stats;
	struct tier *d;
	int64_t began_us;

	if (argc != 5) {
		fprintf(stderr, "fill DIRECTORY SIZE_BYTES FIRST N\n");
		return 2;
	}
	o.path = argv[1];
	o.size = strtoull(argv[2], NULL, 10);
	find_original(o.path, &original);
	CHECK(invalidation_table_new(1000, &o.invalidation) == 0);
	if (disk_open(&o, &d, error) != 0)
		give_up(error);
	disk_wait_ready(d);
	began_us = clock_mono_us();
	put_all(d, o.invalidation, &original, strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
	disk_stats(d, &stats);
	printf("%.3f %llu\n", (double)(clock_mono_us() - began_us) / 1e6, (unsigned long long)stats.bytes);
	disk_close(&d);
	invalidation_table_free(&o.invalidation);
	return 0;
}
