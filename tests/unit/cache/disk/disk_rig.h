/* SPDX-License-Identifier: MIT */
/* A directory, a disk tier over it, responses whose every byte is known, and file I/O that fails when it is told to. */
#ifndef TESTS_DISK_RIG_H
#define TESTS_DISK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "cache/disk/store.h"

struct faulty_io {
	struct disk_io io;
	_Atomic long calls;      /* so far, of all that can fail */
	_Atomic long fail_at;    /* this call fails (1 is the first); 0: none */
	_Atomic bool fail_after; /* and all after it */
	_Atomic int error;       /* positive errno; 0: a short count instead, where there is one */
	_Atomic long
		bytes_left; /* after so many bytes written the process "dies": nothing has any effect any more; -1: never */
	_Atomic bool is_dead;
	_Atomic long reads;    /* of any kind */
	pthread_mutex_t *hold; /* NULL; or writes wait for it: a device that hangs */
};

struct rig {
	char path[64];
	struct faulty_io io;
	struct disk_options o;
	struct invalidation_table *invalidation;
	struct tier *d;
	char error[DISK_ERROR_MAX];
};

void drig_init(struct rig *r);
void drig_fini(struct rig *r);    /* closes and removes all */
int drig_try_open(struct rig *r); /* with a new invalidation table, as a new process has */
void drig_open(struct rig *r);    /* and waits until it is ready */
/* Until the reclaimer has made all the room that is wanted now, and at the next start: what was hit is in memory only, so what
 * the next start reclaims may be what this one kept. */
void drig_wait_room(struct rig *r);
void drig_close(struct rig *r);
void drig_reopen(struct rig *r);
void drig_heal(struct rig *r); /* no more faults */
/* Bytes of all files in the directory whose names begin so. */
uint64_t drig_bytes(const struct rig *r, const char *prefix);
unsigned drig_files(const struct rig *r, const char *prefix);
/* The first file (in the order of names) that begins so; false when there is none. */
bool drig_file(const struct rig *r, const char *prefix, char *path, size_t n);

struct response {
	const char *url;
	unsigned version;
	size_t body_n;
	const char *names, *values; /* of Vary; NULL: none */
	const char *tag;            /* NULL: none */
	int64_t lifetime_ms;        /* 0: an hour */
	int64_t stale_ms;           /* of stale-if-error, beyond that */
	bool refresh;
	bool is_new_head; /* another head for the same body */
};
int drig_put(struct rig *r, const struct response *a);    /* what disk_put says; does not wait */
void drig_store(struct rig *r, const struct response *a); /* accepted, and written */
/* The same in pieces of `feed` bytes; its length said before, or not; whole or cut off at the end. What disk_stream_begin says. */
int drig_stream(struct rig *r, const struct response *a, bool is_known, size_t feed, bool is_whole);
/* Begun and not fed: for tests that do that themselves. The response's body is in *body until it is released. */
int drig_stream_begin(
	struct rig *r, const struct response *a, bool is_known, struct tier_stream **st, const char **body);
extern _Atomic unsigned drig_rooms; /* how often there was room again */
/* The version found for this URL (and values of Vary), every byte compared; -1: a miss. */
extern _Thread_local uint64_t drig_epoch, drig_lsn; /* of what this thread found last */
int drig_find(struct rig *r, const char *url);
int drig_find_variant(struct rig *r, const char *url, const char *values, bool *soft);
/* As drig_find, through a mailbox. */
int drig_find_by_message(struct rig *r, const char *url);
bool drig_has_new_head(struct rig *r, const char *url);
uint64_t drig_purge(struct rig *r, enum purge_kind kind, const char *what, bool soft);
struct disk_stats drig_stats(struct rig *r);
struct hash128 drig_hash(const char *url);
void drig_forget(struct tier *t, struct hash128 hash); /* all that there is of it now */

#endif
