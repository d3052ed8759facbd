/* SPDX-License-Identifier: MIT */
/* What a hit costs. Times are printed, not judged; what is asserted does not depend on the machine. */
#include "rig.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

#define KEYS 200
#ifdef __SANITIZE_THREAD__
#define HITS 100000 /* a count, not a time, is asserted */
#else
#define HITS 1000000
#endif

static struct rig rig;
static struct ask asks[2][KEYS];

struct hitter {
	unsigned id, hits;
	int64_t us;
};

static void *hit(void *arg)
{
	struct hitter *h = arg;
	int64_t start = clock_mono_us();
	struct cache_result out;

	for (unsigned i = 0; i < HITS; i++) {
		cache_lookup(rig.c, &asks[h->id][(i * 7u) % KEYS].r, rig.now, &out);
		h->hits += out.verdict == CACHE_HIT;
		object_unref(&out.object);
	}
	h->us = clock_mono_us() - start;
	return NULL;
}

static void begin(void)
{
	static char body[1025];
	char target[64];

	memset(body, 'b', 1024);
	rig_options(&rig);
	rig.o.memory_bytes = 64 << 20;
	rig.o.shards = 64;
	rig_start(&rig);
	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(target, sizeof(target), "GET /api/v1/users/%u", i);
		rig_store(&rig, target, NULL, "Cache-Control: max-age=60\r\n", body);
		ask_init(&rig, &asks[0][i], target, NULL);
		ask_init(&rig, &asks[1][i], target, NULL);
	}
}

static void end(void)
{
	for (unsigned i = 0; i < KEYS; i++) {
		ask_fini(&asks[0][i]);
		ask_fini(&asks[1][i]);
	}
	rig_end(&rig);
}

static void a_hit_allocates_nothing(void **state)
{
	struct hitter h = {0};
	unsigned long before;

	(void)state;
	begin();
	hit(&h);
	assert_int_equal(h.hits, HITS);
	print_message("1 thread: %lld ns a hit\n", (long long)(h.us * 1000 / HITS));
	before = mem_alloc_count();
	hit(&h);
	assert_int_equal(mem_alloc_count(), before);
	end();
}

static void two_threads_hit_at_once(void **state)
{
	struct hitter h[2] = {{.id = 0}, {.id = 1}};
	pthread_t threads[2];

	(void)state;
	begin();
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hit, &h[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(h[i].hits, HITS);
		print_message("2 threads: %lld ns a hit\n", (long long)(h[i].us * 1000 / HITS));
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hit_allocates_nothing),
		cmocka_unit_test(two_threads_hit_at_once),
	};

	return cmocka_run_group_tests_name("cache cost", tests, NULL, NULL);
}
