/* SPDX-License-Identifier: MIT */
/* The messages between two processes while one takes over from the other: words of one byte, every purge that either of
 * them makes, and every key of which it has something newer, or nothing any more, so that both forget alike.
 * Thread: main; relay_purge and relay_forget any. Owns: its end of a socket pair.
 * Bounds: what the socket holds, and RELAY_WAITING_MAX messages or RELAY_WAITING_BYTES behind it. Messages that find all that full
 * are made up for by a purge of everything. */
#ifndef PROXY_PROCESS_RELAY_H
#define PROXY_PROCESS_RELAY_H

#include "base/check.h"
#include "cache/cache.h"

#define RELAY_WAITING_MAX 20000
#define RELAY_WAITING_BYTES (16u << 20)

struct event_base;
struct relay;

enum relay_word {
	RELAY_END = 0,     /* the other process has gone, or closed its end */
	RELAY_READY = 'R', /* new to old: it serves */
	RELAY_WANTS_DISK = 'D',
	RELAY_HAS_DISK = 'd', /* old to new: the directory is free */
};

/* Without anybody at the other end yet. */
int relay_new(struct event_base *base, struct relay **out) WARN_UNUSED;
void relay_free(struct relay **r);
/* on_word comes from the loop, or from relay_look, for what the other process says, RELAY_END last. */
void relay_set(struct relay *r, struct cache *cache, void (*on_word)(void *arg, enum relay_word word), void *arg);
/* Takes the end that leads to the other process. */
int relay_open(struct relay *r, int fd) WARN_UNUSED;
bool relay_is_open(const struct relay *r);
void relay_say(struct relay *r, enum relay_word word);
/* Blocks until the other process has given its directory up, or has gone. Purges that come meanwhile are kept until
 * relay_look. 0 or -ETIMEDOUT. */
int relay_ask_for_disk(struct relay *r) WARN_UNUSED;
/* What has come by now, before the loop finds it: the cache can take purges from here on. */
void relay_look(struct relay *r);
/* `fn` is called from the loop, or at once, when the other process has heard all that was said up to now, or has gone. */
void relay_when_heard(struct relay *r, void (*fn)(void *arg), void *arg);
/* Calls every such `fn` now; for the stop. */
void relay_release(struct relay *r);
/* From now on both processes serve clients, so the other one may have stored keys that this one never had. */
void relay_both_serve(struct relay *r);
/* struct cache_options.on_purge and on_forget, with the relay as arg. Of a key of which there was nothing older here the other process
 * is told while both serve; before, that would only undo what it will find on disk. */
void relay_forget(void *arg, struct slice key, uint64_t user, bool had_older);
void relay_purge(void *arg, const struct purge *p);

#endif
