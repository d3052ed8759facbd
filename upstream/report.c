/* SPDX-License-Identifier: MIT */
/* Who is told of a failure: /stats, by its origin, and the log. */
#include <stdio.h>

#include "base/log.h"
#include "upstream/internal.h"

static void spell_address(const struct fetch *f, char to[FETCH_ADDRESS_MAX])
{
	bool is_v6 = strchr(f->address_ip, ':') != NULL;

	if (f->address_ip[0])
		snprintf(to, FETCH_ADDRESS_MAX, is_v6 ? "[%s]:%d" : "%s:%d", f->address_ip, f->address_port);
	else
		to[0] = '\0';
}

void report_step(const struct fetch *f, const char *step)
{
	char address[FETCH_ADDRESS_MAX];

	if (!f->is_traced)
		return;
	spell_address(f, address);
	log_trace(
		(const struct log_field[]){
			{"origin", f->o ? f->o->text : (struct slice){"", 0}},
			{"address", slice_of(address)},
			{"id", slice_of(f->id)},
		},
		3, "trace: upstream %.*s: %s", SLICE_ARG(f->u->options->name), step);
}

void report_attempt(struct fetch *f, const char *detail)
{
	struct upstream_state *s = f->u->state;
	struct upstream_error e = {.wall_ms = clock_now().wall_ms, .cause = f->cause};

	snprintf(e.detail, sizeof(e.detail), "%s", detail);
	snprintf(e.id, sizeof(e.id), "%s", f->id);
	spell_address(f, e.address);
	pthread_mutex_lock(&s->errors_mu);
	f->o->state->last_error = e;
	pthread_mutex_unlock(&s->errors_mu);
}

void report_failure(const struct fetch *f, enum fetch_result result, const char *detail)
{
	const char *cause = fetch_cause_name(f->cause);
	char address[FETCH_ADDRESS_MAX];

	spell_address(f, address);
	if (!log_allowed(&f->u->state->limits[f->cause]))
		return;
	log_event(LOG_LEVEL_WARN,
		(const struct log_field[]){
			{"error", slice_of(cause ? cause : "")},
			{"origin", f->o ? f->o->text : (struct slice){"", 0}},
			{"address", slice_of(address)},
			{"id", slice_of(f->id)},
		},
		4, "upstream %.*s: %s: %s", SLICE_ARG(f->u->options->name), fetch_result_name(result), detail);
}
