/* SPDX-License-Identifier: MIT */
/* Whether a fetch may go, when, and to which origin; and what its end says of the origin and the upstream. */
#include "base/log.h"
#include "upstream/internal.h"

static int64_t mono_ms(void)
{
	return clock_mono_us() / 1000;
}

/* ---- Whether ---- */

/* libcurl's resolver threads can't be ended: they wait for DNS, for up to half a minute. So many may be left behind
 * within the window; beyond that fetches are withheld. */
#define LOOKUPS_GIVEN_UP_MAX 64
#define LOOKUPS_WINDOW_MS 10000
/* A younger fetch may not have begun its lookup at all. */
#define LOOKUP_BEGUN_US 100000

void dispatch_record_lookup(struct fetch *f)
{
	struct upstream *u = f->u;
	curl_off_t looked_up_us = 0;
	int64_t now_us = clock_mono_us();

	/* Fetches that wait for the connection of another one, or for a handshake, don't count. */
	if (!f->is_looking_up || f->prepared > 0 || now_us - f->begun_us < LOOKUP_BEGUN_US ||
		curl_easy_getinfo(f->easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up_us) != CURLE_OK || looked_up_us > 0)
		return;
	if (now_us / 1000 - u->lookups_from_ms >= LOOKUPS_WINDOW_MS) {
		u->lookups_from_ms = now_us / 1000;
		u->lookups_given_up = 0;
	}
	u->lookups_given_up++;
}

static bool has_silent_names(const struct upstream *u, int64_t now_ms)
{
	return u->lookups_given_up >= LOOKUPS_GIVEN_UP_MAX && now_ms - u->lookups_from_ms < LOOKUPS_WINDOW_MS;
}

static bool is_withheld(const struct upstream *u, int64_t now_ms)
{
	return has_silent_names(u, now_ms) || quota_is_blocked(&u->state->quota, u->options, now_ms) ||
	       breaker_is_open(&u->state->breaker, u->options, now_ms);
}

void dispatch_leave_place(struct fetch *f)
{
	if (f->has_place)
		places_give(&f->u->state->places);
	f->has_place = false;
}

static void withhold(struct fetch *f, const char *detail)
{
	dispatch_leave_place(f);
	f->state = FETCH_REJECTING;
	link_append(&f->u->withheld, &f->link);
	result_judge(f, FETCH_WITHHELD, FETCH_CAUSE_UNAVAILABLE, detail);
	todo_post(f, TODO_WITHHOLD);
}

static bool is_admitted(struct fetch *f, int64_t now_ms)
{
	struct upstream *u = f->u;

	if (quota_is_blocked(&u->state->quota, u->options, now_ms)) {
		withhold(f, "the upstream asked for a pause");
		return false;
	}
	if (has_silent_names(u, now_ms)) {
		withhold(f, "DNS does not answer");
		return false;
	}
	switch (breaker_admit(&u->state->breaker, u->options, now_ms)) {
	case BREAKER_OPEN:
		withhold(f, "the breaker is open");
		return false;
	case BREAKER_PROBE:
		f->is_probe = true;
		break;
	case BREAKER_CLOSED:
		break;
	}
	return true;
}

/* ---- Where to ---- */

static bool choose(struct fetch *f, int64_t now_ms)
{
	struct balance_request r = {.hash = f->hash, .tried = f->tried, .may_probe = f->is_safe, .now_ms = now_ms};
	int i = balance_choose(f->u->state, f->u->options, &r, &f->is_trial);

	if (i >= 0)
		f->o = &f->u->origins[i];
	return i >= 0;
}

static void enter_origin(struct fetch *f)
{
	f->has_entered = true;
	atomic_fetch_add_explicit(&f->o->state->active, 1, memory_order_relaxed);
}

void dispatch_leave_origin(struct fetch *f)
{
	if (f->has_entered)
		atomic_fetch_sub_explicit(&f->o->state->active, 1, memory_order_relaxed);
	f->has_entered = false;
}

/* libcurl can't be given a transfer from inside its own callbacks. */
void dispatch_begin(struct fetch *f)
{
	struct upstream *u = f->u;
	int64_t now_ms = mono_ms();

	if (!f->is_check && !is_admitted(f, now_ms))
		return;
	if (!f->is_check && !f->has_place) { /* it was to be withheld when it came */
		places_force(&u->state->places);
		f->has_place = true;
	}
	CHECK(f->is_check || choose(f, now_ms));
	enter_origin(f);
	link_append(&u->running, &f->link);
	u->stats->active++;
	f->state = FETCH_RUNNING;
	f->begun_us = clock_mono_us();
	if (f->l->in_curl)
		todo_post(f, TODO_BEGIN);
	else
		f->l->steps->attempt(f);
}

void dispatch_take(struct fetch *f)
{
	struct upstream *u = f->u;

	/* If it is to be withheld, it would wait in the queue only to be refused. */
	if (f->has_place || is_withheld(u, mono_ms())) {
		dispatch_begin(f);
		return;
	}
	f->state = FETCH_QUEUED;
	link_append(&u->queue, &f->link);
	u->queued++;
	u->stats->queued++;
	deadline_set(f, u->options->queue_timeout_ms);
	dispatch_run_queue(u); /* and have the loop told when there is a place */
}

static void begin_first(struct upstream *u)
{
	struct fetch *f = fetch_take_first(&u->queue);

	u->queued--;
	u->stats->queued--;
	f->has_place = true;
	dispatch_begin(f);
}

void dispatch_run_queue(struct upstream *u)
{
	while (u->queued > 0 && places_take_or_wait(&u->state->places, &u->waiter))
		begin_first(u);
}

void dispatch_on_place(struct message *m)
{
	struct upstream *u = CONTAINER_OF(m, struct upstream, waiter.message);

	for (unsigned n = places_collect(&u->state->places, &u->waiter); n > 0; n--)
		if (u->queued > 0)
			begin_first(u);
		else
			places_give(&u->state->places);
	dispatch_run_queue(u);
	todo_settle(u->l);
}

/* ---- How it ended ---- */

enum outcome { OUTCOME_NONE, OUTCOME_GOOD, OUTCOME_BAD };

static enum outcome outcome_of(const struct fetch *f, enum fetch_result result)
{
	bool is_5xx = f->head.status >= 502 && f->head.status <= 504;

	switch (result) {
	case FETCH_CANCELLED: /* by us: the head counts, if it had come */
		if (f->response.phase != ORIGIN_RESPONSE_BODY)
			return OUTCOME_NONE;
		return is_5xx && f->u->options->fail_on_5xx ? OUTCOME_BAD : OUTCOME_GOOD;
	case FETCH_OK:
		return is_5xx && f->u->options->fail_on_5xx ? OUTCOME_BAD : OUTCOME_GOOD;
	case FETCH_REFUSED:
	case FETCH_TIMEOUT:
	case FETCH_BROKEN:
	case FETCH_BAD_RESPONSE:
		return OUTCOME_BAD;
	default:
		return OUTCOME_NONE;
	}
}

static void record_for_origin(struct fetch *f, enum outcome outcome, int64_t now_ms)
{
	struct origin_state *o = f->o->state;
	const struct upstream *u = f->u;

	if (f->told_to_wait)
		return;
	switch (outcome) {
	case OUTCOME_GOOD:
		if (f->is_trial)
			log_info("upstream %.*s: %.*s answers again", SLICE_ARG(u->options->name),
				SLICE_ARG(f->o->text));
		health_ok(o);
		break;
	case OUTCOME_BAD:
		if (!health_failed(o, u->options, now_ms) || u->origins_n == 1)
			break;
		f->u->stats->left_out++;
		log_warn("upstream %.*s: %.*s is left out after %u failures in a row", SLICE_ARG(u->options->name),
			SLICE_ARG(f->o->text), u->options->max_fails);
		break;
	case OUTCOME_NONE:
		if (f->is_trial)
			health_forget_try(o, now_ms);
	}
	f->is_trial = false;
}

static bool is_slow(const struct fetch *f)
{
	int64_t slow_us = f->u->options->breaker_slow_ms * 1000;
	int64_t end_us = f->first_byte_us ? f->first_byte_us : clock_mono_us();

	return slow_us > 0 && end_us - f->begun_us > slow_us;
}

static void record_for_breaker(struct fetch *f, enum outcome outcome, int64_t now_ms)
{
	struct upstream *u = f->u;
	bool failed = outcome == OUTCOME_BAD || is_slow(f);

	if (outcome == OUTCOME_NONE) {
		if (f->is_probe)
			breaker_forget_probe(&u->state->breaker, now_ms);
	} else if (breaker_note(&u->state->breaker, u->options, failed, f->is_probe, now_ms)) {
		u->stats->breaker_opened++;
		log_warn("upstream %.*s: the breaker opens", SLICE_ARG(u->options->name));
	} else if (f->is_probe && !failed) {
		log_info("upstream %.*s: the breaker closes", SLICE_ARG(u->options->name));
	}
	f->is_probe = false;
}

void dispatch_record_outcome(struct fetch *f, enum fetch_result result)
{
	enum outcome outcome = outcome_of(f, result);
	int64_t now_ms = mono_ms();

	if (f->is_check || !f->o)
		return;
	record_for_origin(f, outcome, now_ms);
	record_for_breaker(f, outcome, now_ms);
}

bool dispatch_move_on(struct fetch *f, bool may)
{
	int64_t now_ms = mono_ms();

	if (f->is_check || f->u->origins_n == 1 || !may)
		return false;
	record_for_origin(f, OUTCOME_BAD, now_ms);
	dispatch_leave_origin(f);
	f->tried |= 1U << (f->o - f->u->origins);
	if (!choose(f, now_ms)) {
		enter_origin(f);
		return false;
	}
	enter_origin(f);
	f->u->stats->failovers++;
	return true;
}

/* A 503 of one of several origins is about that origin; what else asks for a pause is about the upstream. */
void dispatch_record_head(struct fetch *f, int status, const struct http_fields *fields)
{
	struct upstream *u = f->u;
	struct quota_told told;
	struct now now;

	if (f->is_check)
		return;
	u->stats->codes[http_status_slot(status)]++;
	latency_add(&u->stats->first_byte, f->first_byte_us - f->begun_us);
	if (!u->options->quota_guard)
		return;
	now = clock_now();
	quota_read(status, fields, now.wall_ms / 1000, &told);
	if (told.retry_after_s > 0) {
		u->stats->rate_limited++;
		log_info("upstream %.*s: a pause of %lld s is asked for", SLICE_ARG(u->options->name),
			(long long)told.retry_after_s);
	}
	if (told.retry_after_s > 0 && status == 503 && u->origins_n > 1) {
		f->told_to_wait = true;
		health_leave_out(f->o->state, now.mono_ms + told.retry_after_s * 1000);
		told.retry_after_s = -1;
	}
	quota_note(&u->state->quota, u->options, &told, now.mono_ms);
}

/* ---- For callers ---- */

static const struct upstream *upstream_at(const struct upstream_loop *l, unsigned i)
{
	return l && i < l->upstreams_n ? &l->upstreams[i] : NULL;
}

bool upstream_is_spared(const struct upstream_loop *l, unsigned upstream)
{
	const struct upstream *u = upstream_at(l, upstream);
	int64_t now_ms;

	if (!u || !u->options->quota_guard)
		return false;
	now_ms = mono_ms();
	return quota_is_low(&u->state->quota, u->options, now_ms) ||
	       quota_is_blocked(&u->state->quota, u->options, now_ms);
}

unsigned upstream_stretch(const struct upstream_loop *l, unsigned upstream)
{
	const struct upstream *u = upstream_at(l, upstream);

	if (!u || !u->options->quota_guard || !quota_is_low(&u->state->quota, u->options, mono_ms()))
		return 1;
	return u->options->quota_stretch > 1 ? u->options->quota_stretch : 1;
}

unsigned upstream_retry_after_s(const struct upstream_loop *l, unsigned upstream)
{
	const struct upstream *u = upstream_at(l, upstream);
	int64_t now_ms = mono_ms(), until_ms = 0;

	if (!u)
		return 0;
	if (quota_is_blocked(&u->state->quota, u->options, now_ms))
		until_ms = atomic_load(&u->state->quota.blocked_until_ms);
	if (breaker_is_open(&u->state->breaker, u->options, now_ms) &&
		atomic_load(&u->state->breaker.open_until_ms) > until_ms)
		until_ms = atomic_load(&u->state->breaker.open_until_ms);
	return until_ms > now_ms ? (unsigned)((until_ms - now_ms + 999) / 1000) : 0;
}

bool upstream_health(const struct upstream_options *o, struct upstream_health *out)
{
	struct upstream_state *s;
	int64_t now_ms = mono_ms();

	*out = (struct upstream_health){.quota_remaining = -1, .quota_limit = -1};
	if (upstream_state_get(o, &s))
		return false;
	out->is_breaker_open = breaker_is_open(&s->breaker, o, now_ms);
	out->is_spared = quota_is_low(&s->quota, o, now_ms) || quota_is_blocked(&s->quota, o, now_ms);
	if (quota_is_blocked(&s->quota, o, now_ms))
		out->paused_ms = atomic_load(&s->quota.blocked_until_ms) - now_ms;
	out->quota_remaining = atomic_load(&s->quota.remaining);
	out->quota_limit = atomic_load(&s->quota.limit);
	out->origins_n = s->origins_n;
	pthread_mutex_lock(&s->errors_mu);
	for (unsigned i = 0; i < s->origins_n; i++)
		out->origins[i].last_error = s->origins[i].last_error;
	pthread_mutex_unlock(&s->errors_mu);
	for (unsigned i = 0; i < s->origins_n; i++) {
		out->origins[i].is_out = s->origins_n > 1 && atomic_load(&s->origins[i].out_until_ms) != 0;
		out->origins[i].is_down = o->health_path.n > 0 && atomic_load(&s->origins[i].is_down);
		out->origins[i].failures = atomic_load(&s->origins[i].failures);
		out->origins[i].active = atomic_load(&s->origins[i].active);
	}
	upstream_state_unref(&s);
	return true;
}
