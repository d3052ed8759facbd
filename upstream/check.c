/* SPDX-License-Identifier: MIT */
/* Active health checks. Every loop's timer looks whether one is due; the shared state gives each to one of them, so that
 * an origin is asked once an interval however many workers there are, and a worker that hangs or ends leaves no gap. */
#include <stdio.h>

#include "base/log.h"
#include "upstream/internal.h"

enum { BODY_MAX = 65536, LOOKS_PER_INTERVAL = 4, LOOK_MIN_MS = 5 };

static void finish(struct origin *o, bool is_ok)
{
	struct upstream *u = o->u;

	o->check = NULL;
	event_del(&o->check_timer);
	u->stats->health_failures += !is_ok;
	if (!health_checked(o->state, u->options, is_ok))
		return;
	if (is_ok)
		log_info("upstream %.*s: %.*s is up again", SLICE_ARG(u->options->name), SLICE_ARG(o->text));
	else
		log_warn("upstream %.*s: %.*s is down: its health checks fail", SLICE_ARG(u->options->name),
			SLICE_ARG(o->text));
}

static bool on_head(void *arg, int status, struct http_fields *fields, int64_t content_length)
{
	struct origin *o = arg;

	(void)fields;
	(void)content_length;
	o->check_status = status;
	return true;
}

static enum fetch_write on_body(void *arg, const void *p, size_t n)
{
	struct origin *o = arg;

	(void)p;
	o->check_bytes += n;
	return o->check_bytes > BODY_MAX ? FETCH_WRITE_CANCEL : FETCH_WRITE_TAKEN;
}

/* A body that was too long to wait for is cut by ourselves: its head was what counted. */
static void on_end(void *arg, enum fetch_result result, const char *detail)
{
	struct origin *o = arg;
	bool is_answered = o->check_status > 0 && (result == FETCH_OK || result == FETCH_CANCELLED);
	char why[64];

	(void)detail;
	if (is_answered && o->check_status >= 400 && o->check) {
		o->check->cause = FETCH_CAUSE_UNAVAILABLE; /* RFC 9209 2.3.3 */
		snprintf(why, sizeof(why), "the health check was answered with %d", o->check_status);
		report_attempt(o->check, why);
	}
	finish(o, is_answered && o->check_status < 400);
}

static void on_time_is_up(evutil_socket_t fd, short what, void *arg)
{
	struct origin *o = arg;

	(void)fd;
	(void)what;
	if (o->check) {
		o->check->cause = result_cause(o->check, FETCH_TIMEOUT, CURLE_OPERATION_TIMEDOUT);
		report_attempt(o->check, "the health check took too long");
	}
	fetch_cancel(&o->check);
	finish(o, false);
	todo_settle(o->u->l);
}

static void begin(struct origin *o)
{
	static const struct fetch_handler handler = {NULL, on_head, on_body, on_end};
	const struct upstream_options *options = o->u->options;
	struct timeval tv = {options->health_timeout_ms / 1000, options->health_timeout_ms % 1000 * 1000};
	struct fetch_request r = {
		.method = HTTP_GET,
		.method_token = SLICE_LIT("GET"),
		.target = options->health_path,
	};

	if (o->check) /* the last one is not over: health_timeout is longer than health_interval */
		return;
	o->check_status = 0;
	o->check_bytes = 0;
	o->u->stats->health_checks++;
	if (fetch_start_check(o, &r, &handler, o, &o->check) < 0 || event_add(&o->check_timer, &tv) < 0)
		log_debug("upstream %.*s: no health check for want of memory", SLICE_ARG(options->name));
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *u = arg;
	int64_t now_ms = clock_mono_us() / 1000;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < u->origins_n; i++)
		if (health_claim_check(u->origins[i].state, u->options, now_ms))
			begin(&u->origins[i]);
}

int check_start(struct upstream *u)
{
	int64_t ms = u->options->health_interval_ms / LOOKS_PER_INTERVAL;
	struct timeval tv;

	if (u->options->health_path.n == 0)
		return 0;
	if (ms < LOOK_MIN_MS)
		ms = LOOK_MIN_MS;
	tv = (struct timeval){ms / 1000, ms % 1000 * 1000};
	for (unsigned i = 0; i < u->origins_n; i++)
		event_assign(&u->origins[i].check_timer, u->l->base, -1, 0, on_time_is_up, &u->origins[i]);
	event_assign(&u->checks, u->l->base, -1, EV_PERSIST, on_due, u);
	if (event_add(&u->checks, &tv) < 0)
		return -ENOMEM;
	event_active(&u->checks, EV_TIMEOUT, 0);
	return 0;
}

void check_stop(struct upstream *u)
{
	if (!event_initialized(&u->checks))
		return;
	event_del(&u->checks);
	for (unsigned i = 0; i < u->origins_n; i++) {
		event_del(&u->origins[i].check_timer);
		fetch_cancel(&u->origins[i].check);
	}
}
