/* SPDX-License-Identifier: MIT */
/* How fast the disk tier is by itself: puts, verified gets, absent keys, a start over N objects. Figures, no pass marks.
 *     disk_bench DIRECTORY [OBJECTS [BODY_BYTES]]
 * It links base, http, cache/policy, cache/disk and cache/disk/log. The directory must be empty or a store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/disk/store.h"

struct item {
	struct tier_source s;
	char key[48];
};

static char body[1 << 20];
static const char head[] =
	"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n"
	"Date: Sat, 01 Jan 2022 00:00:00 GMT\r\nETag: \"0123456789abcdef\"\r\nVia: 1.1 memoproxy\r\n";

static struct slice body_at(const struct tier_source *s, uint64_t offset)
{
	return (struct slice){body + offset, s->body_n - offset};
}

static void on_release(struct tier_source *s)
{
	mem_free(CONTAINER_OF(s, struct item, s));
}

static size_t make_key(char *p, unsigned long i)
{
	return (size_t)snprintf(p, 48, "Ghttp://origin.example/api/item/%lu", i) + 1;
}

static void put(struct tier *d, struct invalidation_table *invalidation, unsigned long i, size_t body_n)
{
	struct item *it = mem_zalloc(sizeof(*it));
	struct now now = clock_now();

	CHECK(it);
	it->s = (struct tier_source){.key = {it->key, make_key(it->key, i)},
		.head = {head, sizeof(head) - 1},
		.vary_names = {"", 0},
		.vary_values = {"", 0},
		.status = 200,
		.epoch = invalidation_now(invalidation),
		.body_n = body_n,
		.body_at = body_at,
		.on_release = on_release,
		.freshness = {
			.lifetime_ms = 3600000, .received_mono_ms = now.mono_ms, .received_wall_ms = now.wall_ms}};
	it->s.hash = hash128_of(it->key, it->s.key.n);
	it->s.url = (struct slice){it->key + 1, it->s.key.n - 2};
	while (disk_put(d, &it->s) == -ENOBUFS)
		sched_yield();
}

static bool get(struct tier *d, unsigned long i)
{
	char key[48];
	struct tier_lookup l = {.now = clock_now()};
	bool hit;

	l.key = (struct slice){key, make_key(key, i)};
	l.hash = hash128_of(l.key.p, l.key.n);
	hit = disk_get(d, &l) == TIER_HIT;
	disk_object_free(d, &l.object);
	return hit;
}

static double since_s(int64_t us)
{
	return (double)(clock_mono_us() - us) / 1e6;
}

static void say_gets(struct tier *d, const char *what, unsigned long first, unsigned long n)
{
	int64_t t = clock_mono_us();
	unsigned long hits = 0;

	for (unsigned long i = 0; i < n; i++)
		hits += get(d, first + i * 7919 % n);
	printf("%s: %.0f/s, %lu hits of %lu\n", what, (double)n / since_s(t), hits, n);
}

int main(int argc, char **argv)
{
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;
	size_t body_n = argc > 3 ? strtoul(argv[3], NULL, 10) : 1024;
	char error[DISK_ERROR_MAX];
	struct disk_options o = {
		.path = argc > 1 ? argv[1] : ".", .size = (n * (body_n + 700)) + (1ull << 30), .queue_max = 65536};
	struct disk_stats s;
	struct tier *d;
	int64_t t;

	CHECK(body_n <= sizeof(body));
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)(i * 2654435761u >> 13);
	for (unsigned round = 0; round < 2; round++) {
		CHECK(invalidation_table_new(1000, &o.invalidation) == 0);
		t = clock_mono_us();
		if (disk_open(&o, &d, error) != 0) {
			fprintf(stderr, "%s\n", error);
			return 1;
		}
		printf("open: %.3f s\n", since_s(t));
		disk_wait_ready(d);
		disk_stats(d, &s);
		printf("ready: %.3f s with %llu objects, index %.1f bytes an object\n", since_s(t),
			(unsigned long long)s.objects, (double)s.index_bytes / (double)(s.objects ? s.objects : 1));
		if (round == 0) {
			t = clock_mono_us();
			for (unsigned long i = 0; i < n; i++)
				put(d, o.invalidation, i, body_n);
			disk_flush(d);
			disk_stats(d, &s);
			printf("puts: %.0f/s, %.0f bytes of disk an object, %llu refused and tried again\n",
				(double)n / since_s(t), (double)s.bytes / (double)n,
				(unsigned long long)s.dropped_queue);
		}
		say_gets(d, "gets", 0, n);
		say_gets(d, "absent", n, n);
		t = clock_mono_us();
		disk_close(&d);
		printf("close: %.3f s\n", since_s(t));
		invalidation_table_free(&o.invalidation);
	}
	return 0;
}
