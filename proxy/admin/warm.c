/* SPDX-License-Identifier: MIT */
#include "proxy/admin/warm.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "config/ini/file.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/json_text.h"
#include "proxy/connection/peer.h"
#include "proxy/transaction/refresh.h"
#include "proxy/transaction/service.h"

#define TICK_MS 50
#define PAUSE_MS 1000
/* An upstream that gives no response at all may not have started yet: for so long since its last response it is asked again, with
 * pauses that grow to the second figure. */
#define PATIENCE_MS (10 * 60 * 1000)
#define SILENT_PAUSE_MAX_MS 15000
/* An API that answers others is not waited for: so often a URL is tried whose fetches bring nothing. */
#define TRIES_MAX 4
/* So many wait to be tried again before no further URLs of a list are begun. */
#define AGAIN_MAX 256
#define SHOWN_MAX 160

struct list {
	uint64_t id; /* 0: none */
	char from[PEER_TEXT_MAX];
	char *text; /* NULL: through */
	size_t n, at;
	bool is_cancelled, is_asked_for /* in a call */;
	int64_t began_ms, ended_ms; /* monotonic; 0: not yet */
	unsigned total, under_way;
	/* how they ended */
	unsigned fetched, there, not_stored, failed;
	char first_failed[SHOWN_MAX]; /* or its beginning */
	bool has_answers;
};

struct warm_fetch {
	struct link link; /* among those to be tried again */
	struct warm *warm;
	struct list *list;
	unsigned tries;   /* that brought nothing, where the API answers */
	uint64_t answers; /* there had been at the last try */
	size_t n;
	char url[];
};

struct warm {
	struct service *service;
	struct event *tick; /* pending while there is something to do */
	struct link again;  /* warm_fetch: their upstream was to be spared, or silent */
	unsigned again_n;
	int64_t paused_ms; /* until then they wait */
	uint64_t answers;  /* that came of fetches */
	int64_t silent_ms; /* since when no response has come at all; 0: one has */
	int64_t silent_pause_ms;
	int64_t ticked_ms;   /* when the last tick was */
	int64_t tokens_1000; /* thousandths of a fetch that may begin */
	uint64_t lists_n;    /* the last one's id; list `id` is at id % WARM_LISTS, WARM_LISTS > WARM_WAITING */
	uint64_t first;      /* the id before the first one's */
	unsigned under_way;
	bool is_ready; /* the lower tier has been read in */
	bool is_stopped;
	struct list lists[WARM_LISTS];
};

/* ---- A list ---- */

bool warm_next_line(const char *text, size_t n, size_t *at, struct slice *line)
{
	while (*at < n) {
		const char *end = memchr(text + *at, '\n', n - *at);
		size_t length = end ? (size_t)(end - text) - *at : n - *at;

		*line = (struct slice){text + *at, length};
		*at += length + (end != NULL);
		if (line->n > 0 && line->p[line->n - 1] == '\r')
			line->n--;
		*line = slice_trim(*line);
		if (line->n > 0 && line->p[0] != '#')
			return true;
	}
	return false;
}

static bool is_through(const struct list *l)
{
	return !l->text && l->under_way == 0;
}

static void settle(struct list *l)
{
	if (is_through(l) && l->ended_ms == 0)
		l->ended_ms = clock_now().mono_ms;
}

/* Nothing more of it is begun. */
static void end_text(struct list *l)
{
	mem_free(l->text);
	l->text = NULL;
	settle(l);
}

/* What a URL begins with, without what may be a password before its host, and with whole characters (RFC 3629 3) at its end. */
static void show_url(struct slice url, char out[SHOWN_MAX])
{
	const char *authority = memmem(url.p, url.n, "//", 2), *path, *at = NULL;
	struct slice begin = {url.p, 0};

	if (authority) {
		begin.n = (size_t)(authority + 2 - url.p);
		path = memchr(authority + 2, '/', url.n - begin.n);
		at = memrchr(authority + 2, '@', (path ? (size_t)(path - url.p) : url.n) - begin.n);
	}
	if (!at)
		begin.n = 0;
	else
		url = slice_from(url, (size_t)(at - url.p));
	if (begin.n > SHOWN_MAX / 2)
		begin.n = 0;
	url = utf8_beginning(url, SHOWN_MAX - 4 - begin.n);
	snprintf(out, SHOWN_MAX, "%.*s%s%.*s", SLICE_ARG(begin), at ? "..." : "", SLICE_ARG(url));
}

static void note_failed(struct list *l, struct slice url)
{
	if (l->failed++ == 0)
		show_url(url, l->first_failed);
}

/* ---- Its URLs ---- */

static void wake(struct warm *w)
{
	static const struct timeval tick = {0, TICK_MS * 1000};

	if (!w->is_stopped && !event_pending(w->tick, EV_TIMEOUT, NULL))
		(void)event_add(w->tick, &tick);
}

static void leave(struct warm_fetch *f)
{
	f->list->under_way--;
	settle(f->list);
	mem_free(f);
}

/* What was to be spared is asked again, unless nobody wants it any more. */
static void put_off(struct warm_fetch *f, int64_t pause_ms)
{
	struct warm *w = f->warm;
	int64_t until_ms = clock_now().mono_ms + pause_ms;

	if (f->list->is_cancelled || w->is_stopped) {
		leave(f);
		return;
	}
	if (w->paused_ms < until_ms)
		w->paused_ms = until_ms;
	link_append(&w->again, &f->link);
	w->again_n++;
}

static uint64_t oldest(const struct warm *w)
{
	return w->lists_n - w->first > WARM_LISTS ? w->lists_n - WARM_LISTS + 1 : w->first + 1;
}

/* The oldest list that is not through. */
static struct list *current(struct warm *w)
{
	for (uint64_t id = oldest(w); id <= w->lists_n; id++)
		if (w->lists[id % WARM_LISTS].text)
			return &w->lists[id % WARM_LISTS];
	return NULL;
}

/* It is this URL that brings nothing: so often others were answered between two tries of it, or there were no others to see by. */
static bool is_alone(struct warm *w, struct warm_fetch *f)
{
	f->tries += w->answers != f->answers || (f->list->has_answers && !current(w));
	f->answers = w->answers;
	return f->tries >= TRIES_MAX;
}

/* Fetches that began before the pause end in it: they are no reason for a longer one. */
static bool is_to_be_awaited(struct warm *w, struct warm_fetch *f, const struct refresh_result *r)
{
	int64_t now_ms = clock_now().mono_ms;

	if (r->upstream_status != 0) {
		w->answers++;
		f->list->has_answers = true;
		w->silent_ms = 0;
	}
	if (r->upstream_status != 0 || r->status < 500 || is_alone(w, f))
		return false;
	if (w->silent_ms == 0) {
		w->silent_ms = now_ms;
		w->silent_pause_ms = PAUSE_MS;
	} else if (now_ms >= w->paused_ms) {
		w->silent_pause_ms =
			2 * w->silent_pause_ms < SILENT_PAUSE_MAX_MS ? 2 * w->silent_pause_ms : SILENT_PAUSE_MAX_MS;
	}
	return now_ms - w->silent_ms < PATIENCE_MS;
}

static void go_on(struct warm *w);

static void on_fetched(void *arg, const struct refresh_result *r)
{
	struct warm_fetch *f = arg;
	struct warm *w = f->warm;

	w->under_way--;
	/* One is paid for: none was asked, or one by each scheme. */
	w->tokens_1000 += 1000 - 1000 * (int64_t)r->calls;
	if (r->is_spared || is_to_be_awaited(w, f, r)) {
		put_off(f, r->is_spared ? PAUSE_MS : w->silent_pause_ms);
		go_on(w);
		return;
	}
	if (r->was_there)
		f->list->there++;
	else if (r->stored)
		f->list->fetched++;
	else if (r->why != POLICY_STORE)
		f->list->not_stored++;
	else
		note_failed(f->list, (struct slice){f->url, f->n});
	leave(f);
	go_on(w);
}

static void start(struct warm_fetch *f)
{
	struct warm *w = f->warm;

	if (refresh_start_missing(w->service, (struct slice){f->url, f->n}, on_fetched, f)) {
		note_failed(f->list, (struct slice){f->url, f->n});
		leave(f);
		return;
	}
	w->under_way++;
}

/* Else `text` says why. */
static bool is_url(const struct service *s, struct slice url, char text[WARM_WHY_MAX])
{
	struct admin_url l;
	const char *why = "";
	char shown[SHOWN_MAX];
	int err;

	admin_url_init(&l);
	err = admin_url_find(&l, s->snapshot, url, false, &why);
	if (!err)
		err = admin_url_check_served(&l, &why);
	if (err) {
		show_url(url, shown);
		snprintf(text, WARM_WHY_MAX, "%s: %s", shown, err == -EINVAL ? why : "it is too long");
	}
	admin_url_fini(&l);
	return !err;
}

/* A reload may have taken its upstream away. */
static void start_again(struct warm_fetch *f)
{
	struct slice url = {f->url, f->n};
	char why[WARM_WHY_MAX];

	if (is_url(f->warm->service, url, why)) {
		start(f);
	} else {
		note_failed(f->list, url);
		leave(f);
	}
}

static void begin(struct warm *w, struct list *l, struct slice url)
{
	char why[WARM_WHY_MAX] = "";
	struct warm_fetch *f = is_url(w->service, url, why) ? mem_alloc(sizeof(*f) + url.n) : NULL;

	if (!f) {
		/* Who lists them in a call is told there. */
		if (l->failed == 0 && !l->is_asked_for)
			log_warn("warm: %s", *why ? why : "out of memory");
		note_failed(l, url);
		return;
	}
	*f = (struct warm_fetch){.warm = w, .list = l, .answers = w->answers, .n = url.n};
	link_init(&f->link);
	memcpy(f->url, url.p, url.n);
	l->under_way++;
	start(f);
}

/* One more fetch; false: there is nothing to begin. What waits for a silent upstream holds up no other's URLs. */
static bool step(struct warm *w, int64_t now_ms)
{
	struct link *first = now_ms >= w->paused_ms ? link_take_first(&w->again) : NULL;
	struct list *l = first || w->again_n >= AGAIN_MAX ? NULL : current(w);
	struct slice line;

	if (first) {
		w->again_n--;
		start_again(CONTAINER_OF(first, struct warm_fetch, link));
		return true;
	}
	if (!l)
		return false;
	if (l->began_ms == 0) {
		l->began_ms = now_ms;
		/* Who is asked anew is waited for anew. */
		if (w->again_n == 0)
			w->silent_ms = 0;
	}
	if (warm_next_line(l->text, l->n, &l->at, &line))
		begin(w, l, line);
	else
		end_text(l);
	return true;
}

/* Before that nobody knows what it has. */
static bool is_tier_ready(struct warm *w)
{
	struct cache_stats stats;

	cache_stats(w->service->cache, &stats);
	w->is_ready = !stats.has_tier || stats.tier.is_ready;
	return w->is_ready;
}

/* Until the rate, or how many may be under way, or the lists say no. */
static void go_on(struct warm *w)
{
	int64_t now_ms = clock_now().mono_ms;

	while (!w->is_stopped && w->is_ready && w->tokens_1000 >= 1000 && w->under_way < WARM_AT_ONCE &&
		step(w, now_ms))
		w->tokens_1000 -= 1000;
	if (w->again_n > 0 || current(w))
		wake(w);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct warm *w = arg;
	int64_t now_ms = clock_now().mono_ms, rate = w->service->snapshot->config->warm.rate;
	int64_t since = now_ms - w->ticked_ms;

	(void)fd;
	(void)what;
	if (!w->is_ready && !is_tier_ready(w)) {
		wake(w);
		return;
	}
	w->ticked_ms = now_ms;
	w->tokens_1000 += rate * (since < 1000 ? since : 1000);
	/* No more at once than a tenth of a second's. */
	if (w->tokens_1000 > rate * 100 && w->tokens_1000 > 1000)
		w->tokens_1000 = rate * 100 > 1000 ? rate * 100 : 1000;
	go_on(w);
}

/* ---- What is asked for ---- */

static unsigned count_lines(struct slice lines)
{
	size_t at = 0;
	struct slice line;
	unsigned n = 0;

	while (n <= WARM_URLS && warm_next_line(lines.p, lines.n, &at, &line))
		n++;
	return n;
}

static unsigned unfinished(const struct warm *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < WARM_LISTS; i++)
		n += w->lists[i].id != 0 && !is_through(&w->lists[i]);
	return n;
}

static int add(struct warm *w, struct slice lines, const char *from, bool is_asked_for, uint64_t *id)
{
	unsigned total = lines.n <= WARM_TEXT ? count_lines(lines) : WARM_URLS + 1;
	uint64_t next = w->lists_n + 1;
	struct list *l;
	char *text;

	if (total == 0)
		return -EINVAL;
	if (total > WARM_URLS)
		return -EMSGSIZE;
	if (unfinished(w) >= WARM_WAITING || w->is_stopped)
		return -EBUSY;
	/* The ids of those that take long are passed over. */
	while (w->lists[next % WARM_LISTS].id != 0 && !is_through(&w->lists[next % WARM_LISTS]))
		next++;
	l = &w->lists[next % WARM_LISTS];
	text = mem_strndup(lines.p, lines.n);
	if (!text)
		return -ENOMEM;
	w->lists_n = next;
	*l = (struct list){.id = next, .text = text, .n = lines.n, .total = total};
	snprintf(l->from, sizeof(l->from), "%s", from);
	l->is_asked_for = is_asked_for;
	*id = l->id;
	wake(w);
	return 0;
}

int warm_add(struct warm *w, struct slice lines, const char *from, uint64_t *id)
{
	return add(w, lines, from, true, id);
}

/* Of lines those up to and with the `most`th that says something. */
static struct slice first_lines(struct slice lines, unsigned most)
{
	struct slice line;
	size_t at = 0;

	for (unsigned n = 0; n < most && warm_next_line(lines.p, lines.n, &at, &line); n++)
		;
	return (struct slice){lines.p, at};
}

int warm_add_file(struct warm *w, const char *path, unsigned most, const char *from, uint64_t *id)
{
	struct buf text;
	int err;

	buf_init(&text, WARM_TEXT);
	err = file_read_regular(path, &text);
	if (!err)
		err = add(w, most > 0 ? first_lines(buf_slice(&text), most) : buf_slice(&text), from, false, id);
	buf_fini(&text);
	return err == -ENOBUFS ? -EMSGSIZE : err;
}

unsigned warm_check(const struct warm *w, struct slice lines, char first[WARM_WHY_MAX])
{
	char why[WARM_WHY_MAX];
	struct slice line;
	unsigned n = 0;
	size_t at = 0;

	while (warm_next_line(lines.p, lines.n, &at, &line))
		if (!is_url(w->service, line, n > 0 ? why : first))
			n++;
	return n;
}

bool warm_cancel(struct warm *w, uint64_t id)
{
	struct list *l = &w->lists[id % WARM_LISTS];

	if (id == 0 || l->id != id || is_through(l))
		return false;
	l->is_cancelled = true;
	end_text(l);
	for (struct link *at = w->again.next, *next; at != &w->again; at = next) {
		struct warm_fetch *f = CONTAINER_OF(at, struct warm_fetch, link);

		next = at->next;
		if (f->list != l)
			continue;
		link_remove(&f->link);
		w->again_n--;
		leave(f);
	}
	return true;
}

static const char *state_of(const struct list *l)
{
	return !is_through(l)    ? l->began_ms == 0 && l->text ? "waits" : "runs"
	       : l->is_cancelled ? "cancelled"
				 : "through";
}

static json_t *json_of(const struct list *l, int64_t now_ms)
{
	int64_t until = l->ended_ms ? l->ended_ms : now_ms;
	json_t *j = json_pack("{s:I, s:s, s:i, s:i, s:i, s:i, s:i, s:f}", "id", (json_int_t)l->id, "state", state_of(l),
		"urls", (int)l->total, "fetched", (int)l->fetched, "there", (int)l->there, "not_stored",
		(int)l->not_stored, "failed", (int)l->failed, "seconds",
		l->began_ms ? (double)(until - l->began_ms) / 1000 : 0.0);

	if (l->from[0])
		json_object_set_new(j, "from", json_string(l->from));
	if (l->failed > 0)
		json_object_set_new(j, "first_failed", json_text_of(slice_of(l->first_failed)));
	return j;
}

json_t *warm_json(const struct warm *w)
{
	int64_t now_ms = clock_now().mono_ms;
	json_t *v = json_array();

	for (uint64_t id = w->lists_n; id >= oldest(w); id--)
		json_array_append_new(v, json_of(&w->lists[id % WARM_LISTS], now_ms));
	return json_pack("{s:o}", "lists", v);
}

/* ---- Life ---- */

int warm_new(struct service *s, struct event_base *base, uint64_t first, struct warm **out)
{
	struct warm *w = mem_zalloc(sizeof(*w));

	*out = NULL;
	if (!w)
		return -ENOMEM;
	w->service = s;
	w->lists_n = w->first = first;
	w->ticked_ms = clock_now().mono_ms;
	link_init(&w->again);
	w->tick = event_new(base, -1, 0, on_tick, w);
	if (!w->tick) {
		mem_free(w);
		return -ENOMEM;
	}
	*out = w;
	return 0;
}

void warm_stop(struct warm *w)
{
	if (!w || w->is_stopped)
		return;
	w->is_stopped = true;
	event_free(w->tick);
	w->tick = NULL;
	for (unsigned i = 0; i < WARM_LISTS; i++)
		(void)warm_cancel(w, w->lists[i].id);
}

void warm_free(struct warm **wp)
{
	struct warm *w = *wp;

	*wp = NULL;
	if (!w)
		return;
	warm_stop(w);
	CHECK(w->under_way == 0);
	mem_free(w);
}
