/* SPDX-License-Identifier: MIT */
/* The commands that speak with the running proxy's admin side: purge, refresh, explain, entries, stats, warm, reload, and the last part of
 * check. It is found by the file that it serves: [admin] of it alone is read, so a mistake in a route keeps nobody from purging.
 * Thread: main; it blocks. Bounds: CONTROL_BODY_MAX bytes of an answer, CONTROL_FORM_MAX of what is asked, CONTROL_TIMEOUT_MS. */
#ifndef PROXY_CONTROL_CONTROL_H
#define PROXY_CONTROL_CONTROL_H

#include <stdbool.h>

#include "base/args.h"

enum {
	CONTROL_BODY_MAX = 256 << 20, /* as large as the admin side lets /entries grow */
	CONTROL_FORM_MAX = 64 << 10,  /* as much as it takes */
	CONTROL_TIMEOUT_MS = 600000,  /* a refresh takes as long as its upstream */
	CONTROL_CONNECT_MS = 5000,
};

/* How a command ends. */
enum control_status {
	CONTROL_DONE = 0,
	CONTROL_REFUSED = 1,       /* the proxy said why, or what it said can't be used */
	CONTROL_USAGE = ARGS_EXIT, /* the command line, a parameter, or [admin] of the file */
	CONTROL_DIFFERS = 3,       /* check: all is well, but the proxy goes by something else */
	CONTROL_UNREACHABLE = 4,   /* no proxy answers there */
};

/* Options that all of them have, and where they stand in each table. */
enum { CONTROL_FILE, CONTROL_ADMIN, CONTROL_JSON, CONTROL_HELP, CONTROL_OWN };
#define CONTROL_ARGS                                                                                             \
	{"config", 'c', "FILE",                                                                                  \
		"the file that the proxy serves, for its address and token (default: ./proxy.ini, or "           \
		"else /etc/memoproxy/proxy.ini)"},                                                               \
		{"admin", '\0', "ADDRESS:PORT", "where its admin side listens, in place of what the file says"}, \
		{"json", '\0', NULL, "what the admin side answers, as it is"},                                   \
	{                                                                                                        \
		"help", 'h', NULL, "this"                                                                        \
	}

extern const struct word control_words[];
extern const unsigned control_words_n;

struct control_order {
	const char *file, *admin; /* NULL: as it is found; as the file says */
	bool json;
};

/* One of the options above. */
void control_take(struct control_order *o, int option, const char *value);
/* Does the running proxy go by its file, and by this one, where it is not NULL? The exit status. */
int control_check(const struct control_order *o, const char *file);

#endif
