/* SPDX-License-Identifier: MIT */
#include "proxy/process/relay.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"

#define WHAT_MAX 65536
#define DISK_WAIT_MS 60000
#define LAST_WAIT_MS 1000
#define TICK_MS 100
#define KEPT_MAX 10000

/* Words of relay_word, and these; a purge's is followed by what is purged, a key's by the key. Both ends are of one machine. */
enum { WORD_PURGE = 'P', WORD_FORGET = 'F', WORD_ASK = 'B', WORD_HEARD = 'b' };
struct head {
	char word;
	struct purge_code purge;
	unsigned char zero[5];
	uint64_t user;
};
_Static_assert(sizeof(struct head) == 16, "as it is sent");

struct told {
	struct link link;
	size_t n;
	char bytes[];
};

struct asker {
	struct link link;
	void (*fn)(void *arg);
	void *arg;
};

struct relay {
	struct event_base *base;
	/* main's */
	struct cache *cache;
	void (*on_word)(void *arg, enum relay_word word);
	void *arg;
	struct event *readable, *tick;
	struct link kept; /* told */
	unsigned kept_n;
	bool has_dropped;   /* one that could not be kept */
	struct link askers; /* to be called once the other process has heard all */
	char *bytes;        /* room for one message */
	/* atomic: a purge looks here before it takes the lock */
	_Atomic bool is_open, both_serve;
	pthread_mutex_t mu;
	/* guarded by mu */
	int fd;
	struct link waiting; /* told, to be said when there is room again */
	unsigned waiting_n;
	size_t waiting_bytes;
	bool has_lost;
	unsigned asks_owed; /* that found no room, or what was lost before them not made up for yet */
};

/* ---- Saying ---- */

static int send_locked(struct relay *r, const struct head *h, struct slice what)
{
	struct iovec v[2] = {{(void *)(uintptr_t)h, sizeof(*h)}, {(void *)(uintptr_t)what.p, what.n}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = what.n > 0 ? 2 : 1};
	ssize_t n;

	do
		n = sendmsg(r->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static struct told *told_new(const struct head *h, struct slice what)
{
	struct told *t = mem_alloc(sizeof(*t) + sizeof(*h) + what.n);

	if (!t)
		return NULL;
	t->n = sizeof(*h) + what.n;
	memcpy(t->bytes, h, sizeof(*h));
	if (what.n > 0)
		memcpy(t->bytes + sizeof(*h), what.p, what.n);
	return t;
}

static int wait_locked(struct relay *r, const struct head *h, struct slice what)
{
	struct told *t = r->waiting_n < RELAY_WAITING_MAX && r->waiting_bytes + what.n <= RELAY_WAITING_BYTES
				 ? told_new(h, what)
				 : NULL;

	if (!t)
		return -ENOBUFS;
	link_append(&r->waiting, &t->link);
	r->waiting_n++;
	r->waiting_bytes += t->n;
	return 0;
}

/* In the order in which things are said. */
static int say_locked(struct relay *r, const struct head *h, struct slice what)
{
	int err = link_is_empty(&r->waiting) ? send_locked(r, h, what) : -EAGAIN;

	return err == -EAGAIN ? wait_locked(r, h, what) : err;
}

static void say_waiting_locked(struct relay *r)
{
	while (r->fd >= 0 && !link_is_empty(&r->waiting)) {
		struct told *t = CONTAINER_OF(r->waiting.next, struct told, link);
		struct head h;

		memcpy(&h, t->bytes, sizeof(h));
		if (send_locked(r, &h, (struct slice){t->bytes + sizeof(h), t->n - sizeof(h)}) == -EAGAIN)
			return;
		link_remove(&t->link);
		r->waiting_n--;
		r->waiting_bytes -= t->n;
		mem_free(t);
	}
}

/* False: not now. What was said before it has to be heard before it. */
static bool ask_locked(struct relay *r)
{
	const struct head ask = {.word = WORD_ASK};

	return r->fd >= 0 && !r->has_lost && say_locked(r, &ask, (struct slice){NULL, 0}) == 0;
}

/* Purges more than was asked for, when the purge that was asked for could not be told. */
static void make_up_locked(struct relay *r)
{
	const struct head all = {.word = WORD_PURGE, .purge = purge_encode(&(struct purge){.kind = PURGE_ALL}).code};

	say_waiting_locked(r);
	if (r->has_lost && r->fd >= 0 && link_is_empty(&r->waiting) &&
		send_locked(r, &all, (struct slice){NULL, 0}) == 0)
		r->has_lost = false;
	while (r->asks_owed > 0 && ask_locked(r))
		r->asks_owed--;
}

static void tell(struct relay *r, const struct head *h, struct slice what)
{
	int err;

	if (!atomic_load(&r->is_open))
		return;
	pthread_mutex_lock(&r->mu);
	if (r->fd >= 0 && !r->has_lost) {
		err = what.n > WHAT_MAX ? -EMSGSIZE : say_locked(r, h, what);
		r->has_lost = err && err != -EPIPE && err != -ECONNRESET;
	}
	pthread_mutex_unlock(&r->mu);
}

void relay_purge(void *arg, const struct purge *p)
{
	struct purge_coded coded = purge_encode(p);

	tell(arg, &(struct head){.word = WORD_PURGE, .purge = coded.code, .user = coded.number}, coded.what);
}

void relay_both_serve(struct relay *r)
{
	atomic_store(&r->both_serve, true);
}

void relay_forget(void *arg, struct slice key, uint64_t user, bool had_older)
{
	struct relay *r = arg;

	if (!had_older && !atomic_load(&r->both_serve))
		return;
	tell(arg, &(struct head){.word = WORD_FORGET, .user = user}, key);
}

void relay_say(struct relay *r, enum relay_word word)
{
	const struct head h = {.word = (char)word};
	int err = 0;

	pthread_mutex_lock(&r->mu);
	if (r->fd >= 0)
		err = say_locked(r, &h, (struct slice){NULL, 0});
	pthread_mutex_unlock(&r->mu);
	if (err)
		log_warn("upgrade: can't reach the other process: %s", strerror(-err));
}

/* False: nobody waits. */
static bool call_next(struct relay *r)
{
	struct link *first = link_take_first(&r->askers);
	struct asker *a = first ? CONTAINER_OF(first, struct asker, link) : NULL;

	if (!a)
		return false;
	a->fn(a->arg);
	mem_free(a);
	return true;
}

void relay_release(struct relay *r)
{
	while (call_next(r))
		;
}

void relay_when_heard(struct relay *r, void (*fn)(void *arg), void *arg)
{
	struct asker *a = relay_is_open(r) ? mem_zalloc(sizeof(*a)) : NULL;

	if (!a) {
		fn(arg);
		return;
	}
	*a = (struct asker){.fn = fn, .arg = arg};
	link_append(&r->askers, &a->link);
	pthread_mutex_lock(&r->mu);
	r->asks_owed += !ask_locked(r);
	pthread_mutex_unlock(&r->mu);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct relay *r = arg;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&r->mu);
	make_up_locked(r);
	pthread_mutex_unlock(&r->mu);
}

/* ---- Hearing ---- */

static void free_told(struct link *all)
{
	struct link *first;

	while ((first = link_take_first(all)))
		mem_free(CONTAINER_OF(first, struct told, link));
}

static void close_end(struct relay *r)
{
	struct link gone;

	link_init(&gone);
	if (r->readable)
		event_free(r->readable);
	if (r->tick)
		event_free(r->tick);
	r->readable = r->tick = NULL;
	atomic_store(&r->is_open, false);
	atomic_store(&r->both_serve, false);
	pthread_mutex_lock(&r->mu);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	r->has_lost = false;
	r->asks_owed = 0;
	link_splice(&gone, &r->waiting);
	r->waiting_n = 0;
	r->waiting_bytes = 0;
	pthread_mutex_unlock(&r->mu);
	free_told(&gone);
	relay_release(r);
}

/* Purges and keys, in the order in which they came. */
static bool is_for_cache(const char *bytes)
{
	return bytes[0] == WORD_PURGE || bytes[0] == WORD_FORGET || bytes[0] == WORD_ASK;
}

static void do_as_told(struct relay *r, const char *bytes, size_t n)
{
	struct slice what = {bytes + sizeof(struct head), n - sizeof(struct head)};
	struct purge p;
	struct head h;

	memcpy(&h, bytes, sizeof(h));
	if (h.word == WORD_ASK)
		relay_say(r, (enum relay_word)WORD_HEARD);
	else if (h.word == WORD_FORGET)
		cache_forget_as_told(r->cache, what, h.user);
	else if (purge_decode(h.purge, h.user, what, &p))
		cache_purge_as_told(r->cache, &p);
}

/* RELAY_END when there is no more; false: nothing has come yet. */
static bool hear(struct relay *r, size_t *n)
{
	unsigned resets = 0;
	ssize_t got;

	/* The other end closed without having read all of our messages: recv reports that first, then returns what it had sent. */
	do
		got = recv(r->fd, r->bytes, sizeof(struct head) + WHAT_MAX, MSG_DONTWAIT);
	while (got < 0 && (errno == EINTR || (errno == ECONNRESET && resets++ == 0)));
	if (got < 0 && errno == EAGAIN)
		return false;
	*n = got < (ssize_t)sizeof(struct head) ? 0 : (size_t)got;
	return true;
}

static void take_kept(struct relay *r)
{
	for (const struct link *l = r->kept.next; l != &r->kept; l = l->next) {
		const struct told *t = CONTAINER_OF(l, struct told, link);

		do_as_told(r, t->bytes, t->n);
	}
	free_told(&r->kept);
	r->kept_n = 0;
	if (r->has_dropped)
		cache_purge_as_told(r->cache, &(struct purge){.kind = PURGE_ALL});
	r->has_dropped = false;
}

void relay_look(struct relay *r)
{
	size_t n;

	take_kept(r);
	while (r->fd >= 0 && hear(r, &n)) {
		if (n == 0)
			close_end(r);
		if (n > 0 && is_for_cache(r->bytes))
			do_as_told(r, r->bytes, n);
		else if (n > 0 && r->bytes[0] == WORD_HEARD)
			call_next(r);
		else if (r->on_word)
			r->on_word(r->arg, n > 0 ? (enum relay_word)(unsigned char)r->bytes[0] : RELAY_END);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	relay_look(arg);
}

/* ---- The directory ---- */

static void keep(struct relay *r, size_t n)
{
	struct told *t = r->kept_n < KEPT_MAX ? mem_alloc(sizeof(*t) + n) : NULL;

	if (!t) {
		r->has_dropped = true; /* everything is purged for it, later */
		return;
	}
	r->kept_n++;
	t->n = n;
	memcpy(t->bytes, r->bytes, n);
	link_append(&r->kept, &t->link);
}

int relay_ask_for_disk(struct relay *r)
{
	struct pollfd p = {.fd = r->fd, .events = POLLIN};
	size_t n;

	if (r->fd < 0)
		return 0;
	relay_say(r, RELAY_WANTS_DISK);
	for (;;) {
		int ready = poll(&p, 1, DISK_WAIT_MS);

		if (ready == 0)
			return -ETIMEDOUT;
		if (ready < 0 || !hear(r, &n))
			continue;
		if (n == 0) {
			close_end(r);
			return 0;
		}
		if (r->bytes[0] == RELAY_HAS_DISK)
			return 0;
		if (is_for_cache(r->bytes))
			keep(r, n);
	}
}

/* ---- Life ---- */

int relay_new(struct event_base *base, struct relay **out)
{
	struct relay *r = mem_zalloc(sizeof(*r));

	*out = NULL;
	if (!r)
		return -ENOMEM;
	r->base = base;
	r->fd = -1;
	link_init(&r->kept);
	link_init(&r->waiting);
	link_init(&r->askers);
	r->bytes = mem_alloc(sizeof(struct head) + WHAT_MAX);
	if (!r->bytes) {
		mem_free(r);
		return -ENOMEM;
	}
	pthread_mutex_init(&r->mu, NULL);
	*out = r;
	return 0;
}

void relay_free(struct relay **relay)
{
	struct relay *r = *relay;
	struct pollfd p;

	*relay = NULL;
	if (!r)
		return;
	pthread_mutex_lock(&r->mu);
	p = (struct pollfd){.fd = r->fd, .events = POLLOUT};
	while ((r->has_lost || !link_is_empty(&r->waiting)) && poll(&p, 1, LAST_WAIT_MS) == 1 &&
		!(p.revents & (POLLHUP | POLLERR)))
		make_up_locked(r);
	pthread_mutex_unlock(&r->mu);
	close_end(r);
	free_told(&r->kept);
	pthread_mutex_destroy(&r->mu);
	mem_free(r->bytes);
	mem_free(r);
}

void relay_set(struct relay *r, struct cache *cache, void (*on_word)(void *arg, enum relay_word word), void *arg)
{
	r->cache = cache;
	r->on_word = on_word;
	r->arg = arg;
}

int relay_open(struct relay *r, int fd)
{
	const struct timeval tick = {0, TICK_MS * 1000};

	CHECK(r->fd < 0);
	pthread_mutex_lock(&r->mu);
	r->fd = fd;
	pthread_mutex_unlock(&r->mu);
	r->readable = event_new(r->base, fd, EV_READ | EV_PERSIST, on_readable, r);
	r->tick = event_new(r->base, -1, EV_PERSIST, on_tick, r);
	if (!r->readable || !r->tick || event_add(r->readable, NULL) || event_add(r->tick, &tick)) {
		close_end(r);
		return -ENOMEM;
	}
	atomic_store(&r->is_open, true);
	return 0;
}

bool relay_is_open(const struct relay *r)
{
	return atomic_load(&r->is_open);
}
