/* SPDX-License-Identifier: MIT */
#include "proxy/process/server.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/disk/store.h"
#include "proxy/record/access_log.h"
#include "proxy/record/purge_log.h"
#include "proxy/request/limits.h"
#include "proxy/connection/admission.h"
#include "proxy/admin/admin.h"
#include "proxy/demo/demo.h"
#include "proxy/process/drain.h"
#include "proxy/process/last_run.h"
#include "proxy/process/notify.h"
#include "proxy/request/hops.h"
#include "proxy/request/origins.h"
#include "proxy/process/relay.h"
#include "proxy/process/reload.h"
#include "proxy/process/takeover.h"
#include "proxy/connection/tls.h"
#include "proxy/process/upgrade.h"

#define ERRORS_MAX (64 * 1024)
#define FLIGHTS_MAX 100000
#define MARKERS_MAX 100000
#define VARIANTS_MAX 64
#define INVALIDATION_RULES_MAX (1 << 20)
#define DISK_QUEUE_BYTES ((uint64_t)64 << 20)
#define DEMO_DELAY_MS 300

static int complain(const char *what, int err)
{
	fprintf(stderr, "memoproxy: %s: %s\n", what, strerror(-err));
	return 1;
}

static void log_lines(enum log_level level, const char *before, struct slice text)
{
	while (text.n) {
		struct slice line;

		(void)slice_cut(text, '\n', &line, &text);
		log_line(level, "%s%.*s", before, SLICE_ARG(line));
	}
}

/* However it was asked for: later, somebody looks for when it changed. */
static int reload(void *arg, struct buf *errors, struct buf *later)
{
	int err = server_reload(arg, errors, later);

	if (err) {
		log_lines(LOG_LEVEL_ERROR, "reload: the old configuration stays in force: ", buf_slice(errors));
	} else {
		log_lines(LOG_LEVEL_WARN, "reload: ", buf_slice(errors));
		log_info("reload: the new configuration is in force");
	}
	log_lines(LOG_LEVEL_WARN, "reload: counts from the next start on only: ", buf_slice(later));
	return err;
}

static void on_hup(evutil_socket_t sig, short what, void *arg)
{
	struct buf errors, later;

	(void)what;
	(void)sig;
	buf_init(&errors, ERRORS_MAX);
	buf_init(&later, ERRORS_MAX);
	(void)reload(arg, &errors, &later);
	buf_fini(&errors);
	buf_fini(&later);
}

static void on_usr1(evutil_socket_t sig, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	(void)sig;
	if (s->service.access_log)
		access_log_reopen(s->service.access_log);
}

static void on_mailbox_event(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	mailbox_deliver(&s->service.mailbox);
}

/* ---- Start ---- */

static unsigned count_workers(const struct config *c)
{
	long n = c->proxy.workers ? (long)c->proxy.workers : sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

/* Needs the number of workers, which is in the configuration. */
static int make_snapshot(struct server *s, struct config *config)
{
	struct origins_workers workers = {s->service.mailboxes, 0, &s->service.is_ended};
	struct origins *origins;
	int err;

	workers.n = s->service.workers_n = count_workers(config);
	err = origins_new(&workers, config, &origins);
	if (err) {
		config_unref(&config);
		return err;
	}
	s->started_with = config_ref(config);
	return snapshot_new(config, origins, &s->service.secret, &s->service.snapshot);
}

static int load_config(struct server *s)
{
	struct config *config;
	struct buf errors;
	int err;

	buf_init(&errors, ERRORS_MAX);
	err = config_load(s->source, &config, &errors);
	fprintf(stderr, "%.*s", SLICE_ARG(buf_slice(&errors)));
	if (!err)
		err = make_snapshot(s, config);
	if (err && errors.n == 0)
		complain("can't load the configuration", err);
	buf_fini(&errors);
	return err;
}

/* Responses on their way to the disk take room in memory: no more than an eighth of it. Where responses outlive the process, so does
 * what users' identities are hashed with. */
static int open_disk(struct server *s)
{
	const struct config *c = s->service.snapshot->config;
	struct disk_options options = {
		.path = c->disk.path.p,
		.size = c->disk.size_bytes,
		.max_object = c->disk.max_object_bytes,
		.threads = c->disk.threads,
		.queue_bytes =
			c->cache.memory_bytes / 8 < DISK_QUEUE_BYTES ? c->cache.memory_bytes / 8 : DISK_QUEUE_BYTES,
		.admit_second_hit = c->disk.admit == CONFIG_ADMIT_SECOND_HIT,
		.invalidation = cache_invalidation(s->service.cache),
	};
	char error[DISK_ERROR_MAX];
	struct tier *disk;
	int err;

	if (c->disk.path.n == 0)
		return key_secret_draw(&s->service.secret);
	err = relay_ask_for_disk(s->relay);
	if (err)
		return complain("disk: the process before this one does not give it up", err);
	err = disk_open(&options, &disk, error);
	if (err) {
		fprintf(stderr, "memoproxy: %s\n", error);
		return err;
	}
	cache_set_tier(s->service.cache, disk);
	memcpy(s->service.secret.bytes, disk->secret, sizeof(s->service.secret.bytes));
	return 0;
}

static int make_relay(struct server *s)
{
	int err = relay_new(s->base, &s->relay);

	if (!err && s->inherited.relay_fd >= 0) {
		err = relay_open(s->relay, s->inherited.relay_fd);
		s->inherited.relay_fd = -1;
		relay_both_serve(s->relay);
	}
	return err;
}

static int make_cache(struct server *s)
{
	const struct config_cache *c = &s->service.snapshot->config->cache;
	enum config_via via = s->service.snapshot->config->proxy.via;
	struct cache_options options = {
		.memory_bytes = c->memory_bytes,
		.max_object_bytes = c->max_object_bytes,
		.shards = cache_shards(c->memory_bytes),
		.coalesce = c->coalesce,
		.failure_memory_ms = c->failure_memory_ms,
		.pass_memory_ms = c->pass_memory_ms,
		.max_waiters = c->max_waiters,
		.max_flights = FLIGHTS_MAX,
		.max_markers = MARKERS_MAX,
		.max_variants = VARIANTS_MAX,
		.max_invalidation_rules = INVALIDATION_RULES_MAX,
		.on_purge = relay_purge,
		.on_purge_arg = s->relay,
		.on_met = purge_log_met,
		.on_forget = relay_forget,
		.on_forget_arg = s->relay,
		.mailboxes = s->service.mailboxes,
		.workers = s->service.workers_n,
	};
	int err = purge_log_new(&s->service.purge_log);

	if (err)
		return err;
	options.on_met_arg = s->service.purge_log;
	hops_set_via(
		via == CONFIG_VIA_ON || via == CONFIG_VIA_REQUEST, via == CONFIG_VIA_ON || via == CONFIG_VIA_RESPONSE);
	options.via = hops_via_of_responses();
	for (unsigned i = 0; i < s->service.workers_n; i++) {
		err = mailbox_init(&s->service.workers[i].mailbox);
		if (err)
			return err;
		s->service.mailboxes[i] = &s->service.workers[i].mailbox;
	}
	return cache_new(&options, &s->service.cache);
}

static int make_workers(struct server *s)
{
	for (unsigned i = 0; i < s->service.workers_n; i++) {
		struct worker_options options = {
			.index = i,
			.service = &s->service,
			.access_log = s->service.access_log,
			.snapshot = s->service.snapshot,
		};
		int err = 0;

		s->service.workers[i].drained_message.on_message = drain_on_worker_drained;
		err = worker_init(&s->service.workers[i], &options);
		if (err)
			return err;
	}
	return 0;
}

/* Signals that came together have no order: a stop goes first, or an upgrade would begin that outlives it. */
enum { STOP_PRIORITY, OTHER_PRIORITY /* libevent's default, of two */, PRIORITIES };

static int make_events(struct server *s)
{
	static const struct {
		int sig, priority;
		event_callback_fn fn;
	} signals[] = {{SIGTERM, STOP_PRIORITY, drain_on_stop_signal}, {SIGINT, STOP_PRIORITY, drain_on_stop_signal},
		{SIGUSR1, OTHER_PRIORITY, on_usr1}, {SIGUSR2, OTHER_PRIORITY, takeover_on_usr2},
		{SIGHUP, OTHER_PRIORITY, on_hup}};

	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
		s->signal_events[i] = evsignal_new(s->base, signals[i].sig, signals[i].fn, s);
		if (!s->signal_events[i] || event_priority_set(s->signal_events[i], signals[i].priority) ||
			event_add(s->signal_events[i], NULL))
			return -ENOMEM;
	}
	s->mailbox_event = event_new(s->base, s->service.mailbox.event_fd, EV_READ | EV_PERSIST, on_mailbox_event, s);
	s->grace_event = event_new(s->base, -1, 0, drain_on_grace_over, s);
	s->end_event = event_new(s->base, -1, EV_PERSIST, drain_on_end_tick, s);
	if (!s->mailbox_event || !s->grace_event || !s->end_event || event_add(s->mailbox_event, NULL))
		return -ENOMEM;
	return 0;
}

static int open_access_log(struct server *s)
{
	const struct config_proxy *p = &s->service.snapshot->config->proxy;
	int err;

	if (p->access_log.n == 0)
		return 0;
	err = access_log_open(p->access_log, p->access_log_format, &s->service.access_log);
	if (err)
		fprintf(stderr, "memoproxy: can't open the access log %.*s: %s\n", SLICE_ARG(p->access_log),
			strerror(-err));
	return err;
}

/* What all workers' listeners share. */
static int make_front(struct server *s)
{
	const struct config_proxy *p = &s->service.snapshot->config->proxy;
	char why[TLS_WHY_MAX];
	bool tls = false;

	if (admission_new(p->max_connections, p->max_connections_per_address, &s->service.admission))
		return complain("can't count connections", -ENOMEM);
	if (bodies_new(p->body_memory_bytes, p->max_body_bytes, &s->service.bodies))
		return complain("can't count request bodies", -ENOMEM);
	if (limits_new(&s->service.limits))
		return complain("can't count clients' requests", -ENOMEM);
	for (unsigned i = 0; i < p->listen.n; i++)
		tls = tls || p->listen.v[i].tls;
	if (!tls || !tls_new(p->tls_certificate.p, p->tls_key.p, &s->service.tls, why))
		return 0;
	fprintf(stderr, "memoproxy: TLS: %s\n", why);
	return 1;
}

/* The demonstration's origin takes the place that [upstream] url names: plain http on this machine. */
static int start_demo(struct server *s)
{
	struct slice authority = s->service.snapshot->config->upstreams[0].url.authority;
	char host[64];
	char *colon;
	int err;

	if (authority.n >= sizeof(host))
		return complain("--demo needs an [upstream] url such as http://127.0.0.1:8082", -EINVAL);
	memcpy(host, authority.p, authority.n);
	host[authority.n] = '\0';
	colon = strrchr(host, ':');
	if (!colon)
		return complain("--demo needs a port in the [upstream] url", -EINVAL);
	*colon = '\0';
	err = demo_start(host, (uint16_t)atoi(colon + 1), DEMO_DELAY_MS, &s->demo);
	if (err == -EADDRNOTAVAIL) {
		fprintf(stderr,
			"memoproxy: --demo serves at [upstream] url, which must be an address of this machine: %s is "
			"none\n",
			host);
		return err;
	}
	if (err) {
		fprintf(stderr,
			"memoproxy: --demo serves at [upstream] url, which must be a free address of this machine; "
			"%s:%s: "
			"%s\n",
			host, colon + 1, strerror(-err));
		return err;
	}
	return 0;
}

/* Every descriptor that the hard limit grants: a connection takes one. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Large blocks go back to the system when they are freed: without a fixed threshold one large body would raise it for
 * good, and what it took would stay. */
static void set_up_allocator(unsigned workers)
{
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
	mallopt(M_ARENA_MAX, (int)workers + 1);
}

static int reload_try(void *arg, struct buf *errors, struct buf *differs, struct buf *later)
{
	return server_reload_try(arg, errors, differs, later);
}

static int start_admin(struct server *s)
{
	struct admin_options o = {.service = &s->service,
		.base = s->base,
		.owner = s,
		.reload = reload,
		.reload_try = reload_try,
		.first_list = relay_is_open(s->relay) ? (uint64_t)(s->service.started_wall_ms / 1000) : 0,
		.file = s->source->path};
	int *fds, err;

	o.fds_n = s->service.snapshot->config->admin.listen.n;
	fds = mem_zalloc((o.fds_n + 1) * sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	o.fds = fds;
	err = server_open_admin(s, fds);
	if (!err && o.fds_n)
		err = admin_start(&o, &s->admin);
	mem_free(fds);
	return err;
}

static void when_heard(const struct service *service, void (*fn)(void *arg), void *arg)
{
	relay_when_heard(CONTAINER_OF(service, struct server, service)->relay, fn, arg);
}

/* 0, or 1 after a sentence on standard error. */
static int server_init(struct server *s)
{
	const struct now now = clock_now();
	bool takes_over;
	int err;

	upgrade_note_path();
	raise_descriptor_limit();
	if (inherited_init(&s->inherited) || load_config(s))
		return 1;
	log_set_level(s->service.snapshot->config->proxy.log_level);
	log_set_format(s->service.snapshot->config->proxy.log_format);
	s->service.started_mono_ms = now.mono_ms;
	s->service.started_wall_ms = now.wall_ms;
	s->base = event_base_new();
	if (!s->base || event_base_priority_init(s->base, PRIORITIES) || mailbox_init(&s->service.mailbox))
		return complain("can't make an event loop", -ENOMEM);
	set_up_allocator(s->service.workers_n);
	s->service.workers = mem_zalloc(s->service.workers_n * sizeof(*s->service.workers));
	if (!s->service.workers)
		return complain("can't make workers", -ENOMEM);
	err = make_relay(s);
	if (!err)
		err = make_cache(s);
	if (err)
		return complain("can't make the cache", err);
	relay_set(s->relay, s->service.cache, takeover_on_word, s);
	/* Last, when nothing else can fail: the other process gives its disk tier up for good. */
	takes_over = relay_is_open(s->relay);
	if ((!takes_over && open_disk(s)) || open_access_log(s) || make_front(s) || server_open_listeners(s) ||
		(s->source->demo && start_demo(s)))
		return 1;
	err = make_workers(s);
	if (err)
		return complain("can't make workers", err);
	err = make_events(s);
	if (err)
		return complain("can't make events", err);
	err = start_admin(s); /* a listener that fails is told there */
	if (err == -ENOMEM)
		return complain("can't make the admin side", err);
	if (err || inherited_check(&s->inherited) || (takes_over && open_disk(s)))
		return 1;
	relay_look(s->relay); /* purges that came meanwhile, before any client is served */
	if (s->admin)
		admin_warm_at_start(s->admin); /* the process before this one may have written the list just now */
	return 0;
}

static void deliver_all(struct mailbox *mb)
{
	while (mailbox_deliver(mb))
		continue;
}

/* Messages that were posted to a stopped loop still hold references: deliver them before anything is freed. */
static void deliver_last_messages(struct server *s)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	/* A message may cause others, and the end of a read always does. */
	for (unsigned left = 3; left > 0; left--) {
		bool reads = s->service.cache && cache_tier_reads(s->service.cache) > 0;

		for (unsigned i = 0; i < s->service.workers_n; i++)
			if (s->service.mailboxes[i])
				deliver_all(s->service.mailboxes[i]);
		deliver_all(&s->service.mailbox);
		if (reads) {
			left = 4;
			nanosleep(&moment, NULL); /* the device is at work */
		}
	}
	deliver_all(&s->service.mailbox);
}

/* A signal that comes from now on finds nobody to act on it. Left to its default it would end a process that has stopped in good order as
 * if it had been killed, so it waits until the process is gone. */
static void free_signal_events(struct server *s)
{
	sigset_t handled;

	sigemptyset(&handled);
	for (unsigned i = 0; i < ARRAY_LEN(s->signal_events); i++)
		if (s->signal_events[i])
			sigaddset(&handled, event_get_signal(s->signal_events[i]));
	pthread_sigmask(SIG_BLOCK, &handled, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(s->signal_events); i++)
		if (s->signal_events[i])
			event_free(s->signal_events[i]);
}

static void server_fini(struct server *s)
{
	if (!s->service.workers)
		s->service.workers_n = 0;
	for (unsigned i = 0; i < s->service.workers_n; i++)
		worker_join(&s->service.workers[i]);
	s->service.is_ended = true;
	for (unsigned i = 0; i < s->service.workers_n; i++)
		worker_drop_requests(&s->service.workers[i]);
	if (s->service.mailbox.event_fd > 0)
		deliver_last_messages(s);
	if (s->relay)
		relay_release(s->relay);
	admin_stop(s->admin);
	for (unsigned i = 0; i < s->service.workers_n; i++)
		worker_close_front(&s->service.workers[i]);
	for (unsigned i = 0; i < s->service.workers_n; i++)
		worker_drop_snapshot(&s->service.workers[i]);
	snapshot_unref(
		&s->service
			 .snapshot); /* the last of it: the connections to the upstreams go, before their event bases */
	for (unsigned i = 0; i < s->service.workers_n; i++)
		worker_fini(&s->service.workers[i]);
	tls_free(&s->service.tls);
	admission_free(&s->service.admission);
	bodies_free(&s->service.bodies);
	limits_free(&s->service.limits);
	demo_stop(&s->demo);
	if (s->service.cache && !s->gave_disk)
		last_run_keep(s->service.cache, s->started_with);
	cache_end(&s->service.cache);
	purge_log_free(&s->service.purge_log);
	relay_free(&s->relay);
	access_log_close(&s->service.access_log);
	free_signal_events(s);
	if (s->mailbox_event)
		event_free(s->mailbox_event);
	if (s->grace_event)
		event_free(s->grace_event);
	if (s->end_event)
		event_free(s->end_event);
	if (s->base)
		event_base_free(s->base);
	admin_free(&s->admin);
	for (unsigned i = 0; i < s->service.workers_n; i++)
		if (s->service.mailboxes[i])
			mailbox_fini(s->service.mailboxes[i]);
	mailbox_fini(&s->service.mailbox);
	upgrade_free(&s->upgrade);
	inherited_fini(&s->inherited);
	mem_free(s->sockets);
	mem_free(s->service.workers);
	config_unref(&s->started_with);
}

static void say_demo(struct slice at, const struct config_addresses *admin)
{
	printf("memoproxy serves a slow demonstration API. Try, in another terminal:\n"
	       "  curl -i http://%.*s/users/1     # asks the API: 300 ms\n"
	       "  curl -i http://%.*s/users/1     # from memory: Cache-Status says hit\n",
		SLICE_ARG(at), SLICE_ARG(at));
	if (admin->n)
		printf("  curl -X POST 'http://%.*s/purge?prefix=/users'\n", SLICE_ARG(admin->v[0].text));
}

/* Without a file, who started it is new here, or in a hurry. */
static void say_hello(const struct server *s)
{
	const struct config *c = s->service.snapshot->config;
	const struct config_addresses *listen = &c->proxy.listen;

	if (s->source->demo)
		say_demo(listen->v[0].text, &c->admin.listen);
	else if (!s->source->path)
		printf("memoproxy serves %.*s at http://%.*s; what became of a request is in the Cache-Status of its "
		       "response\n",
			SLICE_ARG(c->upstreams[0].url.whole), SLICE_ARG(listen->v[0].text));
	if (!s->source->demo && !s->source->path && c->routes[c->routes_n - 1].rules.ttl_ms < 0)
		puts("responses live as long as the API's own fields say; --ttl 30s is for those that say nothing");
	fflush(stdout);
}

int server_run(const struct config_source *source, char *const *argv)
{
	struct server s = {.service.when_heard = when_heard, .source = source, .argv = argv};
	int result = server_init(&s);

	for (unsigned i = 0; result == 0 && i < s.service.workers_n; i++)
		if (worker_start(&s.service.workers[i]))
			result = complain("can't start a worker", -EAGAIN);
	if (result == 0) {
		s.service.state = SERVICE_READY;
		log_info("ready");
		notify_state("READY=1");
		relay_say(s.relay, RELAY_READY);
		say_hello(&s);
		event_base_dispatch(s.base);
	}
	for (unsigned i = 0; s.service.workers && i < s.service.workers_n; i++)
		if (s.service.workers[i].is_running)
			post_worker_stop(&s.service.workers[i]);
	server_fini(&s);
	return result;
}
