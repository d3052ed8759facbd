/* SPDX-License-Identifier: MIT */
#include "proxy/process/takeover.h"

#include <event2/event.h>

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "proxy/admin/admin.h"
#include "proxy/process/last_run.h"
#include "proxy/process/notify.h"
#include "proxy/process/upgrade.h"
#include "proxy/transaction/worker.h"

/* Purges made here meanwhile are not in the directory, so nothing in it may be served by the next process. */
static void give_disk_up(struct server *s)
{
	int err = s->gave_disk ? cache_disown_tier(s->service.cache) : 0;

	if (s->gave_disk)
		log_error("upgrade: this process goes on without a disk tier, which starts empty with the next one");
	if (err)
		log_error("upgrade: can't give the disk tier's directory up: %s", strerror(-err));
}

void takeover_set_grace(struct server *s)
{
	int64_t ms = s->service.snapshot->config->proxy.shutdown_grace_ms;
	struct timeval grace = {ms / 1000, ms % 1000 * 1000};

	event_add(s->grace_event, &grace);
}

static void on_upgraded(void *arg, pid_t pid)
{
	struct server *s = arg;

	upgrade_free(&s->upgrade);
	if (pid == 0) {
		log_error("upgrade: the new process ended before it was ready; this one goes on");
		give_disk_up(s);
		return;
	}
	log_info("upgrade: process %ld has taken over; finishing what runs", (long)pid);
	notify_main_pid((long)pid);
	relay_both_serve(s->relay);
	s->is_retiring = true;
	s->service.state = SERVICE_DRAINING;
	admin_drain(s->admin);
	for (unsigned i = 0; i < s->service.workers_n; i++)
		post_worker_retire(&s->service.workers[i]);
	takeover_set_grace(s);
}

/* From the process that this one takes over from, or that takes over. */
void takeover_on_word(void *arg, enum relay_word word)
{
	struct server *s = arg;

	if (word == RELAY_WANTS_DISK) {
		last_run_keep(s->service.cache, s->started_with);
		s->gave_disk = cache_tier_name(s->service.cache) != NULL;
		cache_hand_over_tier(s->service.cache);
		relay_say(s->relay, RELAY_HAS_DISK);
	} else if (s->upgrade) {
		upgrade_on_word(s->upgrade, word);
	}
}

void takeover_on_usr2(evutil_socket_t sig, short what, void *arg)
{
	struct server *s = arg;
	struct upgrade_options o = {s->base, s->argv, s->sockets, s->sockets_n, s->relay, on_upgraded, s};
	int err;

	(void)what;
	(void)sig;
	relay_look(s->relay);
	if (relay_is_open(s->relay) && !s->upgrade && !s->is_retiring) {
		log_warn("upgrade: not now: the process before this one has not ended yet");
		return;
	}
	if (s->upgrade || s->is_retiring || s->is_draining) {
		log_warn("upgrade: not now: one is under way, or this process is stopping");
		return;
	}
	err = upgrade_begin(&o, &s->upgrade);
	if (err)
		log_error("upgrade: can't start the new process: %s", strerror(-err));
	else
		log_info("upgrade: starting the new process");
}

void takeover_cancel(struct server *s)
{
	relay_look(s->relay); /* it may have said that it serves; then it goes on */
	if (!s->upgrade)
		return;
	log_info("upgrade: given up, as this process is to stop");
	upgrade_cancel(s->upgrade);
	upgrade_free(&s->upgrade);
	give_disk_up(s);
}
