/* The whole program: configuration, cache, workers, admin side, from start to stop.
 * Thread: main. Owns: everything. Order of start: snapshot, mailboxes, cache, access log, sockets, workers, admin, threads;
 * of stop: the reverse. */
#ifndef PROXY_PROCESS_SERVER_H
#define PROXY_PROCESS_SERVER_H

#include <stdbool.h>

#include "proxy/process/inherit.h"
#include "proxy/transaction/worker.h"

#define WORKERS_MAX 64

struct admin;
struct admission;
struct bodies;
struct demo;
struct tls;
struct upgrade;

struct server {
	/* set once */
	const char *config_path;
	struct event_base *base;     /* main's own loop: signals, admin, the drain's deadline */
	struct config *started_with; /* what a reload can't change is compared with */
	struct snapshot *snapshot;   /* current */
	struct cache *cache;
	struct access_log *access_log;
	struct admission *admission;
	struct bodies *bodies;
	struct tls *tls;        /* NULL: no listener has it */
	struct mailbox mailbox; /* main's */
	struct mailbox *mailboxes[WORKERS_MAX];
	struct worker *workers;
	unsigned workers_n;
	char *const *argv;
	struct inherited inherited;
	struct relay *relay;
	int *sockets; /* all that listen, clients' and operators', until the drain closes them: what an upgrade passes on */
	unsigned sockets_n;
	struct admin *admin;
	struct demo *demo;
	int64_t started_mono_ms;
	/* main's own */
	struct event *signal_events[6], *mail_event, *grace_event, *end_event;
	struct upgrade *upgrade; /* under way; or NULL */
	bool gave_disk;          /* to a new process */
	bool is_ready;           /* serving, not draining */
	uint64_t reloads, reloads_failed, admin_refused;
	bool is_retiring; /* a new process has taken over: no new connections, those that are open may wait for their next request */
	bool is_draining;
	bool is_ended; /* the workers' threads have been joined */
};

/* 0, or 1 after one clear sentence on standard error. */
int server_run(const char *config_path, bool demo, char *const *argv);
/* The drain, or what comes before it, ends after shutdown_grace from now. Main. */
void server_set_grace(struct server *s);
/* Warns in the log of files that others can get at. */
void server_look_at_privacy(const struct server *s);
/* One more socket listens; an upgrade passes it on. */
int server_note_socket(struct server *s, int fd) WARN_UNUSED;
/* Each worker's, for every `listen` of [proxy]. 0, or negative errno after a sentence on standard error. */
int server_open_listeners(struct server *s) WARN_UNUSED;

#endif
