/* SPDX-License-Identifier: MIT */
/* What the admin side's files share. Thread: main. */
#ifndef PROXY_ADMIN_ADMIN_INTERNAL_H
#define PROXY_ADMIN_ADMIN_INTERNAL_H

#include <jansson.h>

#include "base/list.h"
#include "http/message.h"
#include "proxy/admin/admin.h"
#include "proxy/admin/collect.h"
#include "proxy/front/front.h"
#include "proxy/request/admin_url.h"
#include "proxy/transaction/service.h"
#include "proxy/transaction/worker.h"

#define ADMIN_NAMES_MAX 4096
#define ADMIN_PARAMETERS_MAX (ADMIN_NAMES_MAX + 16) /* what else a call says */
#define ADMIN_CALLS_MAX 64                          /* under way at once */
#define ADMIN_ENTRIES_MAX 10000                     /* of one page */

struct admin_call;

struct admin_parameter {
	struct slice name, value; /* decoded; in the call's text */
	struct slice other;       /* where a '+' is meant otherwise than `value` takes it, else as `value` */
};

struct admin {
	struct admin_options o;
	struct service *service;
	struct front *front;
	struct event *next_call;
	struct warm *warm;
	struct link waiting; /* calls, for their turn of the loop */
	void (*begin)(struct admin_call *c);
	struct gate_options gate_options;
	struct gate_stats gate_stats;
	unsigned calls; /* under way */
	uint64_t refused;
};

/* What a parameter's value is. A URL's is decoded by its name: admin_call.c. */
enum admin_value { VALUE_TEXT, VALUE_URL, VALUE_FLAG /* 0 or 1 */, VALUE_NUMBER, VALUE_WORDS };

struct admin_rule {
	const char *name;
	enum admin_value value;
	unsigned low, high; /* of a number */
	const char *words;  /* with | between */
	bool is_required, is_repeated;
	const char *help;
};

struct admin_endpoint {
	const char *path;
	enum http_method method; /* GET answers HEAD too */
	void (*run)(struct admin_call *c);
	const struct admin_rule *rules; /* the parameters that it knows */
	unsigned rules_n;
	const char *summary;
};

/* What a call does in more than one turn of main's loop, so that others get theirs between. */
struct admin_work {
	/* The next step: answers the call, or ends with admin_wait_turn. */
	void (*go_on)(struct admin_call *c);
	void (*free)(struct admin_work *w);
};

/* One request to the admin side. Freed by the function that answers it. */
struct admin_call {
	struct link link;        /* of those that wait for their turn */
	struct admin_work *work; /* owned; NULL: it begins */
	struct admin *admin;
	struct service *service;
	struct transport *transport;
	const struct http_request *http;
	const char *allow; /* of a 405: its field line */
	struct buf text;
	struct admin_parameter *parameters; /* owned */
	unsigned parameters_n;
	bool is_gone; /* the client left before the response */
};

/* Why not, with *status, or NULL. A web page in the operator's browser must not reach the loopback listener, by a name of its
 * own or across sites. */
const char *admin_refusal(const struct config_admin *a, const struct http_request *r, int *status);

/* ---- One call (admin_call.c) ---- */

/* Of query and form. Why they can't be read, or NULL. */
const char *admin_read_parameters(struct admin_call *c) WARN_UNUSED;
/* admin_check.c: why these are not what the endpoint takes, in `why` or elsewhere; or NULL. After that each value is what its rule says. */
#define ADMIN_WHY_MAX 160
const char *admin_check_parameters(
	const struct admin_call *c, const struct admin_endpoint *e, char why[ADMIN_WHY_MAX]) WARN_UNUSED;
/* openapi.c: the OpenAPI document of these, for json_decref; NULL where there is no memory. */
json_t *admin_openapi(const struct admin_endpoint *endpoints, unsigned n);
/* Of one that is VALUE_FLAG: is it 1? */
bool admin_flag(const struct admin_call *c, const char *name);
/* NULL-valued slice when it is not there. A '+' is a blank, but in a URL, which has none. */
bool admin_parameter(const struct admin_call *c, const char *name, struct slice *value);
/* NULL when it is not there. */
const struct admin_parameter *admin_parameter_find(const struct admin_call *c, const char *name);

/* All answer the call and free it; json is taken over. */
void admin_answer(struct admin_call *c, int status, json_t *json);
void admin_answer_text(struct admin_call *c, const char *content_type, struct slice text);
void admin_problem(struct admin_call *c, int status, const char *detail);
/* With text that was made step by step, whose bytes are taken; 503 where its `err` says that something is missing. */
void admin_answer_made(struct admin_call *c, const char *content_type, struct buf *text);
/* RFC 9457, for members of its own and then admin_answer. */
json_t *admin_problem_new(int status, const char *detail);

/* Of a call that nobody waits for any more; its work goes with it. */
void admin_call_free(struct admin_call *c);
/* It begins, or its work goes on, in another turn, behind the calls that wait. Frees a call that nobody waits for any more. */
void admin_wait_turn(struct admin_call *c);
int admin_turns_init(
	struct admin *a, struct event_base *base) WARN_UNUSED; /* 0 or -ENOMEM; admin_turns_fini is due either way */
void admin_turns_fini(struct admin *a);
/* Where there is no call. `more`: further field lines, each with its CRLF. All of it, or 503 where there is no memory for it. */
void admin_respond(struct transport *t, int status, const char *more, const char *content_type, struct slice body);

/* Calls `done` with the workers' counters, from main's loop; it takes them, and answers the call. */
void admin_collect(struct admin_call *c, void (*done)(void *arg, struct collected *sum));

/* What several endpoints say alike. */
const char *admin_source_name(enum policy_source s);
void admin_url_problem(struct admin_call *c, int err, const char *why);
/* What `what` names: true and *l, for admin_url_fini; else the call has been answered. */
bool admin_find_location(struct admin_call *c, struct slice what, bool is_prefix, struct admin_url *l) WARN_UNUSED;
/* The same of the parameter `url`, or `path`. */
bool admin_take_url(struct admin_call *c, struct slice *url, struct admin_url *l) WARN_UNUSED;
/* Is the text in that array? */
bool admin_is_told(const json_t *list, struct slice s);
/* A path names no host: those whose clients another route serves. Empty where the path says it all. */
json_t *admin_other_hosts(const struct admin_call *c, const struct admin_url *l);
/* `hosts` is taken. */
void admin_tell_hosts(json_t *j, json_t *hosts);
/* "Not cached: " why, and which key of which line would change it: a sentence for people, or two. */
json_t *admin_summary_of(const struct config *c, const struct config_route *r, enum policy_store why);
/* All of a route's rules, by their keys: durations in seconds (null: off) with _s behind; lists of names only where they are not the default. */
json_t *admin_json_of_rules(const struct cache_rules *r);
void admin_add_entry(const struct cache_entry_info *e, void *arg); /* to a JSON array */

/* The endpoints. */
void admin_purge(struct admin_call *c);
void admin_purges(struct admin_call *c);
void admin_warm(struct admin_call *c);
void admin_warmups(struct admin_call *c);
void admin_refresh(struct admin_call *c);
void admin_entries(struct admin_call *c);
void admin_explain(struct admin_call *c);
void admin_reload(struct admin_call *c);
void admin_stats(struct admin_call *c);
void admin_metrics(struct admin_call *c);

#endif
