/* SPDX-License-Identifier: MIT */
/* A fetch's life: queued, running (one attempt or several), ended. Each change of state happens here. */
#include "upstream/fetch.h"

#include <errno.h>
#include <stdio.h>

#include "upstream/internal.h"

/* ---- Ending ---- */

static void count(struct fetch *f, enum fetch_result result)
{
	struct upstream_stats *s = f->u->stats;
	int64_t now_us = clock_mono_us();

	if (f->is_check)
		return;
	result_count(s, result);
	s->time_us += now_us - f->started_us;
	if (result == FETCH_OK)
		latency_add(&s->whole, now_us - f->begun_us);
	dispatch_record_outcome(f, result);
}

/* Takes it out of every list but leaves it readable, for on_end. */
static void detach(struct fetch *f)
{
	struct upstream *u = f->u;

	connection_leave(f);
	dispatch_leave_origin(f);
	todo_unpost(f);
	deadline_stop(f);
	link_remove(&f->link);
	if (f->state == FETCH_QUEUED) {
		u->queued--;
		u->stats->queued--;
	} else if (f->state == FETCH_RUNNING) {
		u->stats->active--;
	}
	f->state = FETCH_UNUSED;
	dispatch_leave_place(f);
	dispatch_run_queue(u);
}

static void finish(struct fetch *f, enum fetch_result result, const char *detail)
{
	count(f, result);
	if (result != FETCH_OK && result != FETCH_CANCELLED && !f->is_check)
		report_failure(f, result, detail);
	detach(f);
	f->handler.on_end(f->arg, result, detail ? detail : "");
	upstream_release_fetch(f);
}

/* ---- Attempts ---- */

static void reset_attempt(struct fetch *f)
{
	origin_response_reset(f);
	f->met_stale = false;
	f->prepared = 0;
	f->is_looking_up = false;
	f->opened_n = 0;
	f->sock_fd = -1;
	f->sock_serial = 0;
	f->is_paused = false;
	f->discards = false;
	f->has_verdict = false;
	f->cause = FETCH_CAUSE_NONE;
	f->address_ip[0] = '\0';
	f->error[0] = '\0';
}

static void attempt(struct fetch *f)
{
	reset_attempt(f);
	report_step(f, "asks");
	if (origin_apply(f) < 0 || request_apply(f) < 0 || curl_multi_add_handle(f->l->multi, f->easy) != CURLM_OK) {
		todo_post(f, TODO_FAIL);
		return;
	}
	f->in_multi = true;
	deadline_set(f, f->u->options->connect_timeout_ms);
}

/* A connection that ended, or could not be had, before the first byte; time-outs are not worth waiting for twice. */
static bool is_worth_another_try(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_FAIL_REWIND:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return true;
	default:
		return false;
	}
}

/* It came to no connection. Of other results before the request is sent (too large, not to be written) the request may be the cause. */
static bool is_of_connecting(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_INTERFACE_FAILED:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_OPERATION_TIMEDOUT:
		return true;
	default:
		return false;
	}
}

/* What no connection was found for may go to another origin whatever its method is and whatever was wrong (time-out, name,
 * certificate); the same origin is asked once more only where that may help. */
static bool has_other_way(struct fetch *f, CURLcode code)
{
	bool has_no_connection = f->prepared == 0 && code != CURLE_OUT_OF_MEMORY;
	bool may_repeat = f->is_safe && is_worth_another_try(code);

	return dispatch_move_on(f, has_no_connection || may_repeat) || may_repeat;
}

/* A stale pooled connection was found out before anything was sent: any method may go again, and it is no retry. */
static bool may_try_again(struct fetch *f, CURLcode code)
{
	if (f->has_verdict || (f->todo & TODO_DROP))
		return false;
	if (f->met_stale)
		return true;
	if (f->retries_left == 0 || f->response.any_byte || !has_other_way(f, code))
		return false;
	f->retries_left--;
	f->u->stats->retries++;
	return true;
}

/* libcurl's text does not always say what the system said. */
static const char *with_errno(struct fetch *f, const char *detail)
{
	long os_errno = 0;

	if (curl_easy_getinfo(f->easy, CURLINFO_OS_ERRNO, &os_errno) != CURLE_OK || os_errno == 0)
		return detail;
	snprintf(f->why, sizeof(f->why), "%.160s: %s", detail, strerror((int)os_errno));
	return f->why;
}

/* What the attempt has come to, whether or not there will be another one. */
static enum fetch_result result_of_attempt(struct fetch *f, CURLcode code, const char **detail)
{
	enum fetch_result result = f->verdict;

	*detail = f->verdict_detail;
	if (f->has_verdict)
		return result;
	if (f->prepared > 1 && code == CURLE_ABORTED_BY_CALLBACK)
		code = CURLE_SEND_ERROR; /* we forbade libcurl to send it once more */
	result = origin_response_result(f, code, detail);
	if (code == CURLE_COULDNT_CONNECT)
		*detail = with_errno(f, *detail);
	f->cause = result_cause(f, result, code);
	return result;
}

static bool is_failure(enum fetch_result result)
{
	return result == FETCH_REFUSED || result == FETCH_TIMEOUT || result == FETCH_BROKEN ||
	       result == FETCH_BAD_RESPONSE;
}

static void on_done(struct fetch *f, CURLcode code)
{
	const char *detail;
	enum fetch_result result;

	f->was_sent = f->was_sent || !is_of_connecting(code);
	if (code == CURLE_COULDNT_RESOLVE_HOST)
		f->is_looking_up = false; /* there was an answer, if only that there is no such name */
	connection_leave(f);
	if (code != CURLE_OK && !f->met_stale && !f->response.any_byte && !(f->todo & TODO_DROP))
		origin_forget_name(f->o);
	result = result_of_attempt(f, code, &detail);
	if (is_failure(result) && !f->met_stale && !(f->todo & TODO_DROP))
		report_attempt(f, detail);
	report_step(f, f->met_stale ? "met a connection that had ended" : *detail ? detail : "has the whole response");
	if (may_try_again(f, code)) {
		f->fresh = true;
		attempt(f);
		return;
	}
	if (f->todo & TODO_DROP)
		return; /* do_todo frees it */
	if (result == FETCH_OK)
		connection_check_excess(f);
	finish(f, result, detail);
}

/* Its time is up. */
static void note_silence(struct fetch *f, const char *detail)
{
	f->cause = result_cause(f, FETCH_TIMEOUT, CURLE_OPERATION_TIMEDOUT);
	report_attempt(f, detail);
}

static const char *what_was_not_had(const struct fetch *f)
{
	curl_off_t connected_us = 0;

	if (f->cause == FETCH_CAUSE_DNS_TIMEOUT)
		return "the name was not resolved in time";
	(void)curl_easy_getinfo(f->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
	return f->o->is_https && connected_us > 0 ? "no TLS handshake in time" : "no connection in time";
}

/* Waiting once more for the same origin would be no use. */
static void no_connection(struct fetch *f)
{
	const char *detail;

	f->cause = result_cause(f, FETCH_TIMEOUT, CURLE_OPERATION_TIMEDOUT);
	detail = what_was_not_had(f);
	report_attempt(f, detail);
	connection_leave(f);
	origin_forget_name(f->o);
	if (f->retries_left == 0 || !dispatch_move_on(f, true)) {
		finish(f, FETCH_TIMEOUT, detail);
		return;
	}
	f->retries_left--;
	f->u->stats->retries++;
	attempt(f);
}

static void no_response(struct fetch *f)
{
	note_silence(f, "no first byte in time");
	origin_forget_name(f->o);
	finish(f, FETCH_TIMEOUT, "no first byte in time");
}

static void stalled(struct fetch *f)
{
	note_silence(f, "the answer stalled");
	finish(f, FETCH_TIMEOUT, "the answer stalled");
}

static void end_as(struct fetch *f, enum fetch_result result, enum fetch_cause cause, const char *detail)
{
	f->cause = cause;
	finish(f, result, detail);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fetch *f = arg;
	struct upstream_loop *l = f->l;

	(void)fd;
	(void)what;
	CHECK(f->magic == FETCH_MAGIC);
	if (!deadline_has_passed(f))
		return;
	if (f->state == FETCH_QUEUED)
		end_as(f, FETCH_BUSY, FETCH_CAUSE_LIMIT, "waited too long for a connection");
	else if (f->prepared == 0)
		no_connection(f);
	else if (f->response.phase == ORIGIN_RESPONSE_STATUS)
		no_response(f);
	else
		stalled(f);
	todo_settle(l);
}

/* ---- What had to wait until libcurl was off the stack ---- */

/* libcurl offers again what it holds; a refusal is this call's result and does not end the transfer by itself. */
static void resume(struct fetch *f)
{
	struct upstream_loop *l = f->l;
	CURLcode code;

	if (!f->in_multi || !f->is_paused)
		return;
	f->is_paused = false;
	deadline_set(f, f->u->options->stall_timeout_ms);
	l->in_curl = true;
	code = curl_easy_pause(f->easy, CURLPAUSE_CONT);
	l->in_curl = false;
	if (code != CURLE_OK)
		on_done(f, code);
}

static void do_todo(struct fetch *f)
{
	unsigned todo = f->todo;

	if (todo & TODO_DROP) {
		detach(f);
		upstream_release_fetch(f);
		return;
	}
	todo_unpost(f);
	if (todo & TODO_FAIL)
		end_as(f, FETCH_NO_MEMORY, FETCH_CAUSE_INTERNAL, "out of memory");
	else if (todo & TODO_WITHHOLD)
		finish(f, f->verdict, f->verdict_detail);
	else if (todo & TODO_BEGIN)
		attempt(f);
	else if (todo & TODO_COMPLETE)
		finish(f, FETCH_OK, "");
	else if (todo & TODO_RESUME)
		resume(f);
}

const struct fetch_steps fetch_steps = {attempt, on_done, do_todo, on_timer};

/* ---- For callers ---- */

static void reset(struct fetch *f, const struct fetch_handler *h, void *arg)
{
	f->handler = *h;
	f->arg = arg;
	f->o = NULL;
	f->tried = 0;
	f->is_check = false;
	f->is_trial = false;
	f->is_probe = false;
	f->told_to_wait = false;
	f->has_place = false;
	f->retries_left = f->u->options->retries;
	f->fresh = false;
	f->reused = false;
	f->is_h2 = false;
	f->started_us = clock_mono_us();
	f->begun_us = 0;
	f->first_byte_us = 0;
	f->was_sent = false;
	reset_attempt(f);
}

static void take_id(struct fetch *f, struct slice id)
{
	size_t n = id.n < FETCH_ID_MAX ? id.n : FETCH_ID_MAX;

	memcpy(f->id, n ? id.p : "", n);
	f->id[n] = '\0';
}

static int make(
	struct upstream *u, const struct fetch_request *r, const struct fetch_handler *h, void *arg, struct fetch **out)
{
	struct fetch *f = upstream_take_fetch(u);
	int rc;

	if (!f)
		return -ENOMEM;
	rc = request_copy(f, r);
	if (rc < 0) {
		upstream_release_fetch(f);
		return rc;
	}
	f->hash = r->hash;
	take_id(f, r->id);
	f->is_traced = r->is_traced;
	reset(f, h, arg);
	*out = f;
	return 0;
}

int fetch_start(struct upstream_loop *l, const struct fetch_request *r, const struct fetch_handler *h, void *arg,
	struct fetch **out)
{
	struct upstream *u = r->upstream < l->upstreams_n ? &l->upstreams[r->upstream] : NULL;
	bool has_place;
	int rc;

	*out = NULL;
	if (!u)
		return -EINVAL;
	/* Those that came before it go first. */
	has_place = u->queued == 0 && places_take(&u->state->places);
	if (!has_place && u->queued >= u->options->queue_max) {
		u->stats->busy++;
		return -EBUSY;
	}
	rc = make(u, r, h, arg, out);
	if (rc < 0) {
		if (has_place)
			places_give(&u->state->places);
		return rc;
	}
	(*out)->has_place = has_place;
	u->stats->started++;
	dispatch_take(*out);
	return 0;
}

int fetch_start_check(
	struct origin *o, const struct fetch_request *r, const struct fetch_handler *h, void *arg, struct fetch **out)
{
	int rc;

	*out = NULL;
	rc = make(o->u, r, h, arg, out);
	if (rc < 0)
		return rc;
	(*out)->is_check = true;
	(*out)->retries_left = 0;
	(*out)->o = o;
	dispatch_begin(*out);
	return 0;
}

enum fetch_cause fetch_cause_of(const struct fetch *f)
{
	return f->cause;
}

bool fetch_was_sent(const struct fetch *f)
{
	return f->was_sent;
}

void fetch_resume(struct fetch *f)
{
	CHECK(f->magic == FETCH_MAGIC);
	if (f->state == FETCH_RUNNING)
		todo_post(f, TODO_RESUME);
}

void fetch_cancel(struct fetch **fp)
{
	struct fetch *f = *fp;

	*fp = NULL;
	if (!f)
		return;
	CHECK(f->magic == FETCH_MAGIC && f->state != FETCH_UNUSED);
	count(f, FETCH_CANCELLED);
	if (f->l->in_curl && f->in_multi) {
		todo_post(f, TODO_DROP);
		return;
	}
	detach(f);
	upstream_release_fetch(f);
}
