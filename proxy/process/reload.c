/* SPDX-License-Identifier: MIT */
#include "proxy/process/reload.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "config/diff.h"
#include "proxy/record/access_log.h"
#include "proxy/admin/admin.h"
#include "proxy/connection/admission.h"
#include "proxy/process/notify.h"
#include "proxy/request/origins.h"
#include "proxy/process/server.h"
#include "proxy/connection/tls.h"

/* ---- What can't change while it runs ---- */

static bool needs_restart(const char *section, const char *key)
{
	static const char *const keys[][2] = {
		{"[proxy]", "listen"},
		{"[proxy]", "workers"},
		{"[proxy]", "via"},
		{"[admin]", "listen"},
		{"[cache]", "memory"},
		{"[cache]", "max_object"},
		{"[cache]", "coalesce"},
		{"[cache]", "max_waiters"},
		{"[cache]", "failure_memory"},
		{"[cache]", "pass_memory"},
		{"[warm]", "file"},
		{"[warm]", "top"},
	};

	if (strcmp(section, "[disk]") == 0)
		return true;
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(section, keys[i][0]) == 0 && strcmp(key, keys[i][1]) == 0)
			return true;
	return false;
}

static void on_difference(void *arg, const char *section, const char *key)
{
	if (needs_restart(section, key))
		buf_addf(arg, "%s %s\n", section, key);
}

/* ---- The parts of a new configuration ---- */

/* Opened before anything changes: a path that can't be written to is a mistake like any other. */
static int move_access_log(struct server *s, const struct config_proxy *p, struct buf *errors)
{
	const struct config_proxy *before = &s->service.snapshot->config->proxy;
	int err = 0;

	if (slice_equal(before->access_log, p->access_log) && before->access_log_format == p->access_log_format)
		return 0;
	if (s->service.access_log)
		err = access_log_configure(s->service.access_log, p->access_log, p->access_log_format);
	else if (p->access_log.n)
		err = access_log_open(p->access_log, p->access_log_format, &s->service.access_log);
	if (err)
		buf_addf(errors, "%s: access_log: %.*s: %s\n", config_source_name(s->source), SLICE_ARG(p->access_log),
			strerror(-err));
	return err;
}

static int make_origins(struct server *s, struct config *config, struct origins **out)
{
	const struct origins_workers workers = {s->service.mailboxes, s->service.workers_n, &s->service.is_ended};

	if (!config_same_upstreams(s->service.snapshot->config, config))
		return origins_new(&workers, config, out);
	*out = origins_ref(s->service.snapshot->origins);
	return 0;
}

/* The files may hold a new certificate although the configuration is the old one. *out NULL: there is no TLS. */
static int load_tls(struct server *s, const struct config_proxy *p, struct tls **out, struct buf *errors)
{
	char why[TLS_WHY_MAX];
	int err;

	*out = NULL;
	if (!s->service.tls || p->tls_certificate.n == 0 || p->tls_key.n == 0)
		return 0;
	err = tls_new(p->tls_certificate.p, p->tls_key.p, out, why);
	if (err)
		buf_addf(errors, "%s: TLS: %s\n", config_source_name(s->source), why);
	return err;
}

/* Takes the caller's reference to `config`. */
static int make_snapshot(struct server *s, struct config *config, struct snapshot **out)
{
	struct origins *origins;
	int err = make_origins(s, config, &origins);

	if (err) {
		config_unref(&config);
		return err;
	}
	err = snapshot_new(config, origins, &s->service.secret, out);
	if (!err)
		snapshot_inherit(*out, s->service.snapshot);
	return err;
}

/* ---- Publishing ---- */

static int make_updates(struct server *s, struct snapshot *next, struct worker_update **updates)
{
	for (unsigned i = 0; i < s->service.workers_n; i++) {
		updates[i] = worker_update_new(next);
		if (updates[i])
			continue;
		while (i--)
			worker_update_free(&updates[i]);
		return -ENOMEM;
	}
	return 0;
}

/* All of it or, with an error, nothing. Takes the caller's reference to `next`. */
static int publish(struct server *s, struct snapshot *next, struct buf *errors)
{
	struct worker_update *updates[WORKERS_MAX] = {0};
	const struct config_proxy *p = &next->config->proxy;
	struct snapshot *before = s->service.snapshot;
	struct tls *tls = NULL;
	int err = make_updates(s, next, updates);

	if (err)
		buf_addf(errors, "%s: no memory to load it\n", config_source_name(s->source));
	else if ((err = load_tls(s, p, &tls, errors)) || (err = move_access_log(s, p, errors)))
		for (unsigned i = 0; i < s->service.workers_n; i++)
			worker_update_free(&updates[i]);
	if (err) {
		tls_free(&tls);
		snapshot_unref(&next);
		return err;
	}
	s->service.snapshot = next;
	if (tls)
		tls_replace(s->service.tls, &tls);
	bodies_set_bounds(s->service.bodies, p->body_memory_bytes, p->max_body_bytes);
	admission_set_bounds(s->service.admission, p->max_connections, p->max_connections_per_address);
	for (unsigned i = 0; i < s->service.workers_n; i++)
		post_worker_update(&s->service.workers[i], updates[i], s->service.access_log);
	log_set_level(next->config->proxy.log_level);
	log_set_format(next->config->proxy.log_format);
	admin_reconfigure(s->admin);
	snapshot_unref(&before);
	return 0;
}

static void add_difference(void *arg, const char *section, const char *key)
{
	if (!needs_restart(section, key))
		buf_addf(arg, "%s%s%s\n", section, *key ? " " : "", key);
}

int server_reload_try(struct server *s, struct buf *errors, struct buf *differs, struct buf *later)
{
	struct config *config;
	int err = config_load(s->source, &config, errors);

	if (err)
		return err;
	config_diff(s->service.snapshot->config, config, add_difference, differs);
	config_diff(s->started_with, config, on_difference, later);
	config_unref(&config);
	return 0;
}

static void drop_front(struct buf *b, size_t n)
{
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

static int load(struct server *s, struct buf *errors, struct buf *later)
{
	struct snapshot *next;
	struct config *config;
	int err = config_load(s->source, &config, errors);
	size_t warned = errors->n;

	if (err)
		return err;
	config_diff(s->started_with, config, on_difference, later);
	err = make_snapshot(s, config, &next);
	if (err)
		buf_addf(errors, "%s: no memory to load it\n", config_source_name(s->source));
	else
		err = publish(s, next, errors);
	if (err && warned > 0)
		drop_front(errors, warned); /* it is not loaded because of what comes behind its warnings */
	return err;
}

int server_reload(struct server *s, struct buf *errors, struct buf *later)
{
	int err;

	notify_reloading();
	err = load(s, errors, later);
	notify_state("READY=1");
	if (err) {
		s->service.reloads_failed++;
		buf_reset(later); /* nothing counts, now or later */
	} else {
		s->service.reloads++;
	}
	return err;
}
