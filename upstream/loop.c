/* SPDX-License-Identifier: MIT */
/* libcurl's multi interface on a libevent base. libcurl is entered from three events only (a socket, its timer, our kick). */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/uri.h"
#include "upstream/internal.h"

enum { STREAMS_MAX = 100 };

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	short wanted = 0;

	(void)easy;
	(void)unused;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		wanted |= EV_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		wanted |= EV_WRITE;
	return sock_want(arg, fd, wanted) < 0 ? -1 : 0;
}

static int on_set_timer(CURLM *multi, long ms, void *arg)
{
	struct upstream_loop *l = arg;
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	(void)multi;
	if (ms < 0)
		event_del(&l->timer);
	else if (ms == 0)
		event_active(&l->timer, EV_TIMEOUT, 0);
	else if (event_add(&l->timer, &tv) < 0)
		return -1;
	return 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct upstream_loop *l = arg;
	int running;

	(void)fd;
	(void)what;
	l->in_curl = true;
	curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	l->in_curl = false;
	todo_settle(l);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	todo_settle(arg);
}

static void init_libcurl(void)
{
	CHECK(h2_sees_frames());
	CHECK(curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free, realloc, strdup, mem_library_calloc) == CURLE_OK);
}

/* Of all upstreams that have an origin there, each with one more for its check. */
static unsigned long connections_to(const struct upstream_loop *l, struct slice url)
{
	unsigned long sum = 0;

	for (unsigned i = 0; i < l->upstreams_n; i++) {
		const struct upstream *u = &l->upstreams[i];
		bool has_it = false;

		for (unsigned k = 0; k < u->origins_n; k++)
			has_it |= uri_same_origin(u->origins[k].text, url);
		if (has_it)
			sum += u->options->max_connections + (u->options->health_path.n > 0);
	}
	return sum;
}

/* Two upstreams with one URL share libcurl's pool for that host, so its bound must be their sum. */
static long host_connections_max(const struct upstream_loop *l)
{
	unsigned long most = 1;

	for (unsigned i = 0; i < l->upstreams_n; i++) {
		const struct upstream *u = &l->upstreams[i];

		for (unsigned k = 0; k < u->origins_n; k++) {
			unsigned long sum = connections_to(l, u->origins[k].text);

			most = sum > most ? sum : most;
		}
	}
	return (long)most;
}

static int set_up_multi(struct upstream_loop *l)
{
	long most = host_connections_max(l), all = 0;
	int bad = 0;

	for (unsigned i = 0; i < l->upstreams_n; i++)
		all += (long)l->upstreams[i].share;
	bad |= curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	bad |= curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	bad |= curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
	bad |= curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
	bad |= curl_multi_setopt(l->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	bad |= curl_multi_setopt(l->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)STREAMS_MAX);
	bad |= curl_multi_setopt(l->multi, CURLMOPT_MAX_HOST_CONNECTIONS, most);
	bad |= curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, all);
	return bad ? -ENOMEM : 0;
}

static void on_message(evutil_socket_t fd, short what, void *arg)
{
	struct upstream_loop *l = arg;

	(void)fd;
	(void)what;
	(void)mailbox_deliver(&l->mailbox);
}

static int open_mailbox(struct upstream_loop *l)
{
	int rc = mailbox_init(&l->mailbox);

	if (rc < 0)
		return rc;
	l->mail = event_new(l->base, l->mailbox.event_fd, EV_READ | EV_PERSIST, on_message, l);
	if (l->mail && event_add(l->mail, NULL) == 0)
		return 0;
	if (l->mail)
		event_free(l->mail);
	l->mail = NULL;
	mailbox_fini(&l->mailbox);
	return -ENOMEM;
}

static void close_mailbox(struct upstream_loop *l)
{
	if (!l->mail)
		return;
	event_free(l->mail);
	mailbox_fini(&l->mailbox);
}

static int set_up(struct upstream_loop *l, const struct upstream_loop_options *o)
{
	int err = open_mailbox(l);

	for (unsigned i = 0; i < o->upstreams_n && err == 0; i++) {
		int rc = upstream_init(&l->upstreams[i], l, &o->upstreams[i], o->loops, o->before);

		l->upstreams_n = i + 1;
		if (rc < 0)
			return rc;
	}
	if (err < 0)
		return err;
	l->multi = curl_multi_init();
	l->tls_sessions = curl_share_init();
	if (!l->multi || !l->tls_sessions ||
		curl_share_setopt(l->tls_sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK)
		return -ENOMEM;
	return set_up_multi(l);
}

static int start_checks(struct upstream_loop *l)
{
	int rc = 0;

	for (unsigned i = 0; i < l->upstreams_n && rc == 0; i++)
		rc = check_start(&l->upstreams[i]);
	return rc;
}

int upstream_loop_new(const struct upstream_loop_options *o, struct upstream_loop **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct upstream_loop *l = mem_zalloc(sizeof(*l));
	int rc;

	*out = NULL;
	if (!l)
		return -ENOMEM;
	pthread_once(&once, init_libcurl);
	l->base = o->base;
	l->steps = &fetch_steps;
	l->max_head_bytes = o->max_head_bytes;
	link_init(&l->todo);
	event_assign(&l->timer, l->base, -1, 0, on_timer, l);
	event_assign(&l->kick, l->base, -1, 0, on_kick, l);
	l->upstreams = mem_zalloc((o->upstreams_n ? o->upstreams_n : 1) * sizeof(*l->upstreams));
	rc = l->upstreams ? set_up(l, o) : -ENOMEM;
	if (rc == 0)
		rc = start_checks(l);
	if (rc < 0)
		upstream_loop_free(&l);
	*out = l;
	return rc;
}

/* Easy handles before the multi handle, which then closes the pooled connections, which need the table of sockets. */
void upstream_loop_free(struct upstream_loop **lp)
{
	struct upstream_loop *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	CHECK(!l->in_curl);
	for (unsigned i = 0; i < l->upstreams_n; i++)
		check_stop(&l->upstreams[i]);
	for (unsigned i = 0; i < l->upstreams_n; i++)
		upstream_fini(&l->upstreams[i]);
	close_mailbox(l);
	if (l->multi)
		curl_multi_cleanup(l->multi);
	if (l->tls_sessions)
		curl_share_cleanup(l->tls_sessions);
	sock_free_all(l);
	event_del(&l->timer);
	event_del(&l->kick);
	mem_free(l->upstreams);
	mem_free(l);
}

void upstream_loop_renew(struct upstream_loop *l)
{
	for (unsigned i = 0; i < l->upstreams_n; i++)
		for (unsigned k = 0; k < l->upstreams[i].origins_n; k++)
			origin_forget_name(&l->upstreams[i].origins[k]);
	sock_retire_all(l);
}

void upstream_stats(const struct upstream_loop *l, unsigned upstream, struct upstream_stats *out)
{
	*out = (struct upstream_stats){0};
	if (upstream >= l->upstreams_n)
		return;
	*out = *l->upstreams[upstream].stats;
}
