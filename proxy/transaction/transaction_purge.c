/* SPDX-License-Identifier: MIT */
/* PURGE, as users of Varnish and Fastly send it: of the URL that is asked for, or where the request names tags, of those. Only where the
 * listener obeys it; there it never goes upstream, so what counts is the request as it came. */
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "proxy/record/purge_log.h"
#include "proxy/request/purge_list.h"
#include "proxy/transaction/service.h"
#include "proxy/transaction/transaction_internal.h"

/* The purges, while they wait for the device. */
struct transaction_purge {
	struct transaction *x; /* NULL: its client has left */
	struct cache *cache;
	bool has_tags, soft;
	unsigned names;
	uint64_t sequence;
	struct tier_purging wait;
};

static const char not_noted[] = "the purge could not be noted";

/* ---- The answer ---- */

static void answer_purged(struct transaction *x, const struct transaction_purge *p)
{
	struct response *r = &x->response;
	struct http_fields fields = {0};
	char text[128];
	int n = snprintf(text, sizeof(text), "{\"purged\":\"%s\",\"names\":%u,\"soft\":%s,\"sequence\":%llu}\n",
		p->has_tags ? "tag" : "url", p->names, p->soft ? "true" : "false", (unsigned long long)p->sequence);
	int err = http_fields_add(&fields, SLICE_LIT("Content-Type"), SLICE_LIT("application/json"));

	x->kind = RESPONSE_PASS;
	x->cache_status.detail = policy_reason(POLICY_NOT_METHOD)->token;
	if (!err)
		err = http_fields_add(&fields, SLICE_LIT("Cache-Control"), SLICE_LIT("no-store"));
	if (!err)
		err = response_from_fields(r, x->client, 200, &fields, n, clock_now(), &x->cache_status);
	if (!err)
		err = buf_add(&r->text, text, (size_t)n);
	http_fields_fini(&fields);
	if (err) {
		transaction_problem(x, failure_no_memory());
		return;
	}
	r->body = RESPONSE_BYTES;
	r->bytes = buf_slice(&r->text);
	transaction_send(x);
}

/* Frees the purges. */
static void end_purge(struct transaction_purge *p, int err)
{
	struct transaction *x = p->x;

	if (x)
		x->purge = NULL;
	if (x && err)
		transaction_problem(x, failure_of(503, not_noted));
	else if (x)
		answer_purged(x, p);
	mem_free(p);
}

static void on_purged(struct message *m)
{
	struct transaction_purge *p = CONTAINER_OF(m, struct transaction_purge, wait.message);

	cache_purge_end(p->cache);
	end_purge(p, p->wait.err);
}

/* ---- What is purged ---- */

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

static int add_tags_of(struct purge_list *l, struct slice value, bool soft)
{
	size_t at = 0;
	int err = 0;

	while (!err) {
		size_t begin;

		while (at < value.n && is_separator(value.p[at]))
			at++;
		begin = at;
		while (at < value.n && !is_separator(value.p[at]))
			at++;
		if (at == begin)
			break;
		err = purge_list_add(
			l, &(struct purge){.kind = PURGE_TAG, .soft = soft, .what = {value.p + begin, at - begin}});
	}
	return err;
}

static int add_tags(struct purge_list *l, const struct http_fields *fields, bool soft)
{
	static const char *const names[] = {"xkey", "xkey-purge", "Surrogate-Key", "Cache-Tag"};
	const struct http_field *f;
	int err = 0;

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		for (uint32_t k = 0; !err && (f = http_fields_find_next(fields, slice_of(names[i]), &k));)
			err = add_tags_of(l, f->value, soft);
	return err;
}

static int add_url(struct purge_list *l, const struct transaction *x, bool soft)
{
	const struct http_request *r = x->transport->request;
	struct buf path_query;
	int err;

	buf_init(&path_query, CACHE_KEY_MAX);
	buf_add_slice(&path_query, r->path);
	if (r->has_query) {
		buf_add_char(&path_query, '?');
		buf_add_slice(&path_query, r->query);
	}
	err = path_query.err;
	if (!err)
		err = purge_list_add_asked(l, x->target.snapshot,
			x->transport->is_tls ? SLICE_LIT("https") : SLICE_LIT("http"), r->host, buf_slice(&path_query),
			&(struct purge){.kind = PURGE_URL, .soft = soft});
	buf_fini(&path_query);
	return err;
}

static int note(struct transaction_purge *p, const struct transaction *x, const struct purge_list *l)
{
	struct purge_log *log = x->worker->service->purge_log;
	uint64_t id = purge_log_begin(log, &l->v[0], p->names, true, x->transport->peer, cache_sequence(p->cache));
	int err = cache_purge_note(p->cache, l->v, l->n, &p->sequence, &p->wait);

	purge_log_end(log, id, p->sequence);
	return err;
}

static int make_purges(struct transaction_purge *p, const struct transaction *x)
{
	const struct http_field *soft =
		http_fields_find(&x->transport->request->fields, SLICE_LIT("Fastly-Soft-Purge"));
	struct purge_list l;
	int err;

	purge_list_init(&l);
	p->soft = soft && slice_equal(soft->value, SLICE_LIT("1"));
	err = add_tags(&l, &x->transport->request->fields, p->soft);
	p->has_tags = l.n > 0;
	p->names = p->has_tags ? l.n : 1;
	if (!err && !p->has_tags)
		err = add_url(&l, x, p->soft);
	if (!err)
		err = note(p, x, &l);
	purge_list_fini(&l);
	return err;
}

/* An address says who asks only where nobody passes on what others ask. */
static bool was_passed_on(const struct http_fields *fields)
{
	return http_fields_find(fields, SLICE_LIT("Via")) || http_fields_find(fields, SLICE_LIT("Forwarded")) ||
	       http_fields_find(fields, SLICE_LIT("X-Forwarded-For")) ||
	       http_fields_find(fields, SLICE_LIT("X-Forwarded-Host")) ||
	       http_fields_find(fields, SLICE_LIT("X-Forwarded-Proto")) ||
	       http_fields_find(fields, SLICE_LIT("X-Real-IP")) || http_fields_find(fields, SLICE_LIT("CDN-Loop"));
}

static void purge(struct transaction *x)
{
	struct transaction_purge *p = mem_zalloc(sizeof(*p));
	int err;

	if (!p) {
		transaction_problem(x, failure_no_memory());
		return;
	}
	p->x = x;
	p->cache = x->worker->cache;
	p->wait.reply_to = &x->worker->mailbox;
	p->wait.message.on_message = on_purged;
	err = make_purges(p, x);
	if (err == -EINVAL || err == -ENOBUFS) {
		mem_free(p);
		transaction_problem(x, failure_of(400, "nothing that is stored could be named so"));
		return;
	}
	if (!err)
		err = cache_purge_wait(p->cache, &p->wait);
	if (err == -EINPROGRESS)
		x->purge = &p->x;
	else
		end_purge(p, err);
}

bool transaction_purge(struct transaction *x)
{
	struct transport *t = x->transport;
	enum transport_purge how = PURGE_IS_PASSED_ON;

	if (x->client->method == HTTP_OTHER && slice_equal(x->client->method_token, SLICE_LIT("PURGE")))
		how = t->ops->purges(t);
	if (how == PURGE_IS_PASSED_ON)
		return false;
	if (how == PURGE_IS_REFUSED) {
		snprintf(x->detail, sizeof(x->detail), "%s is not in purge_from", *t->peer ? t->peer : "this address");
		transaction_problem(x, failure_of(403, x->detail));
	} else if (was_passed_on(&x->transport->request->fields)) {
		transaction_problem(x, failure_of(403, "a PURGE that another proxy has passed on is not obeyed"));
	} else if (http_fields_are_of_page(&t->request->fields)) {
		transaction_problem(x, failure_of(403, "a PURGE from a web page is not obeyed"));
	} else {
		purge(x);
	}
	return true;
}
