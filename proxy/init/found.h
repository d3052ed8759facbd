/* SPDX-License-Identifier: MIT */
/* The routes that init has found, and what it knows of each.
 * Thread: one at a time. Owns: texts, in its arena. Bounds: FOUND_MAX routes. */
#ifndef PROXY_INIT_FOUND_H
#define PROXY_INIT_FOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/slice.h"
#include "config/routing/pattern.h"

enum { FOUND_MAX = 60 };

enum credential_need {
	CREDENTIAL_NOT_ASKED, /* no credential was given to try with */
	CREDENTIAL_MISSING,   /* 401 or 403, as it was asked */
	CREDENTIAL_NEEDED,    /* without it 401 or 403 */
	CREDENTIAL_CHANGES,   /* without it another response */
	CREDENTIAL_SAME,      /* without it the same */
};

/* What two equal calls brought. */
struct study {
	int status;    /* 0: no response */
	char why[256]; /* then */
	char type[80]; /* media type */
	size_t bytes;  /* of the body */
	bool is_cut;   /* there is more */
	int64_t time_ms;
	const char *not_stored; /* policy's word, or NULL: it could be stored */
	bool is_private, is_no_store;
	int64_t lifetime_ms; /* by the API's own word or by Last-Modified; 0: none */
	bool is_explicit;    /* the API says itself how long, be it not at all */
	bool is_guess;       /* a tenth of the time since Last-Modified */
	char says[300];      /* the fields that say so */
	bool status_differs, body_differs;
	char places[500]; /* of JSON that differ; empty: the bytes */
	char fields[200]; /* that differ */
	char vary[200];
	char cookies[100]; /* names of Set-Cookie */
	char scheme[40];   /* of WWW-Authenticate */
	enum credential_need need;
};

struct route {
	struct slice pattern, example; /* the latter a path with its query, or empty */
	const struct pattern *compiled;
	bool is_template; /* a document has the pattern, not only paths of it */
	bool is_visited;  /* what it leads to was looked at */
	bool has_methods; /* it is known whether it writes */
	bool writes, has_security;
	struct slice summary;
	struct study study;
};

struct found {
	struct arena *arena;
	struct route v[FOUND_MAX];
	unsigned n;
	unsigned left_out;
};

int found_init(struct found *f) WARN_UNUSED;
void found_fini(struct found *f);

/* A path, with its query or without: the route that has it, which may be new. NULL: it is no path, or there is no room or memory. */
struct route *found_path(struct found *f, struct slice path);
/* One of what the list at that path has, whatever its identity looks like. The same. */
struct route *found_item(struct found *f, struct slice list, struct slice id);
/* A template of a document. The same. */
struct route *found_template(struct found *f, struct slice text);
/* Gives a template an example out of that of a shorter one: /users/7 is one of /users/{id}, so /users/7/posts is one of
 * /users/{id}/posts. How many were given. */
unsigned found_derive(struct found *f);
/* In the order in which they have to stand in the file. */
void found_sort(struct found *f);

#endif
