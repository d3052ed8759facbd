/* SPDX-License-Identifier: MIT */
/* Warm-up: URLs that an operator lists are fetched where they are missing, a few a second, one list after the other.
 * Thread: main; the fetches are refreshes on the workers. Owns: the lists. Bounds: WARM_LISTS lists, of which WARM_WAITING at most are not
 * through; WARM_TEXT bytes and WARM_URLS URLs each; WARM_AT_ONCE fetches at once, [warm] rate new ones a second. */
#ifndef PROXY_ADMIN_WARM_H
#define PROXY_ADMIN_WARM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

struct event_base;
struct service;
struct warm;

#define WARM_LISTS 16
#define WARM_WAITING 8
#define WARM_TEXT (8u << 20)
#define WARM_URLS 100000
#define WARM_AT_ONCE 16

/* In the disk tier's directory: what the run before had most use of, for [warm] top. */
#define WARM_TOP_FILE "warm"

/* The first list's id comes after `first`: lists of a process that took over are not taken for those of the one before. 0 or -ENOMEM. */
int warm_new(struct service *s, struct event_base *base, uint64_t first, struct warm **out) WARN_UNUSED;
/* Nothing new is fetched; before the event base goes. NULL is harmless. */
void warm_stop(struct warm *w);
/* After the last fetch has told its result. */
void warm_free(struct warm **w);

/* Lines: a path or an absolute URL each; empty ones and those that begin with # are passed over. The text is copied. `from` says who asks.
 * 0 with *id; -EINVAL: there is no URL; -EMSGSIZE: too many, or too long; -EBUSY: too many lists wait; -ENOMEM. */
int warm_add(struct warm *w, struct slice lines, const char *from, uint64_t *id) WARN_UNUSED;
/* The same of a file, of which the first `most` lines count; 0: all. Also the negative errno of reading it. */
int warm_add_file(struct warm *w, const char *path, unsigned most, const char *from, uint64_t *id) WARN_UNUSED;
/* The next of the lines that says something, from *at on; false: there is none. */
bool warm_next_line(const char *text, size_t n, size_t *at, struct slice *line);
/* How many of the lines are no URL of this proxy, and why the first is none. Those are fetched by nobody, and count as failed. */
#define WARM_WHY_MAX 400
unsigned warm_check(const struct warm *w, struct slice lines, char first[WARM_WHY_MAX]);
/* What is under way goes on. False: there is no such list, or it is through. */
bool warm_cancel(struct warm *w, uint64_t id);
/* All lists, the newest first. */
json_t *warm_json(const struct warm *w);

#endif
