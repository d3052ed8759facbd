/* SPDX-License-Identifier: MIT */
#include "tier_rig.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static void open_disk(struct tiers *t)
{
	char error[DISK_ERROR_MAX];

	t->o.scopes = cache_scopes(t->g.c);
	if (disk_open(&t->o, &t->disk, error) != 0)
		fail_msg("%s", error);
	cache_set_tier(t->g.c, t->disk);
	while (!rig_stats(&t->g).tier.is_ready)
		usleep(100);
}

void tiers_begin(struct tiers *t)
{
	memset(t, 0, sizeof(*t));
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(t->path, sizeof(t->path), "%s/tiers-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(t->path));
	t->o = (struct disk_options){.path = t->path, .size = 8 << 20, .clock_id = 77};
	rig_begin(&t->g);
	open_disk(t);
}

void tiers_restart(struct tiers *t)
{
	rig_end(&t->g);
	rig_start(&t->g);
	open_disk(t);
}

void tiers_end(struct tiers *t)
{
	const struct dirent *e;
	DIR *d;

	rig_end(&t->g);
	d = opendir(t->path);
	assert_non_null(d);
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	assert_int_equal(rmdir(t->path), 0);
}

void tiers_written(struct tiers *t)
{
	while (rig_stats(&t->g).tier.queue > 0)
		usleep(100);
}

struct disk_stats tiers_disk_stats(struct tiers *t)
{
	struct disk_stats s;

	disk_stats(t->disk, &s);
	return s;
}

static void wait_at(struct tiers *t, struct ask *a)
{
	struct waiter w;

	waiter_join(&w, a, 0);
	while (waiter_look(&w).phase == FLIGHT_WAITING) {
		struct pollfd p = {.fd = t->g.mailboxes[0].event_fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 20000), 1);
		rig_deliver(&t->g);
	}
	flight_leave(&w.w);
	rig_deliver(&t->g);
}

enum cache_verdict tiers_look_up(struct tiers *t, struct ask *a)
{
	enum cache_verdict v = ask_lookup(&t->g, a);

	for (; v == CACHE_DISK; v = ask_lookup(&t->g, a)) {
		a->r.skip_disk = a->out.leads_read;
		wait_at(t, a);
	}
	return v;
}

void tiers_store(struct tiers *t, const char *target, const char *request_fields, const char *fields, const char *body)
{
	struct ask a;

	ask_init(&t->g, &a, target, request_fields);
	assert_int_equal(tiers_look_up(t, &a), CACHE_LEAD);
	assert_int_equal(rig_answer(&t->g, a.out.flight, 200, fields, (int64_t)strlen(body), NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, body, strlen(body)), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, t->g.now);
	ask_fini(&a);
	tiers_written(t);
}

enum cache_verdict tiers_verdict(struct tiers *t, const char *target, const char *fields, bool *from_disk)
{
	enum cache_verdict v;
	struct ask a;

	ask_init(&t->g, &a, target, fields);
	v = tiers_look_up(t, &a);
	if (from_disk)
		*from_disk = a.out.from_disk;
	if (a.out.flight && v != CACHE_JOIN)
		flight_abandon(a.out.flight);
	ask_fini(&a);
	return v;
}

void tiers_disk_has(struct tiers *t, const char *target, const char *fields, const char *body)
{
	struct ask a;

	ask_init(&t->g, &a, target, fields);
	assert_int_equal(tiers_look_up(t, &a), CACHE_HIT);
	rig_body_is(a.out.object, body);
	assert_true(a.out.from_disk || a.r.skip_disk);
	ask_fini(&a);
}
