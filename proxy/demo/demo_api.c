/* SPDX-License-Identifier: MIT */
#include "proxy/demo/demo_api.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/mem.h"
#include "http/uri.h"
#include "proxy/demo/demo_data.h"

#define METHODS_READ "GET, HEAD, OPTIONS"
#define METHODS_LIST "GET, HEAD, POST, OPTIONS"
#define METHODS_ITEM "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"

enum { SEGMENTS_MAX = 3, FLAKY_EVERY = 3 };

struct demo_api {
	struct demo_data *data;
	uint64_t calls, flaky_calls;
};

/* A path that was understood: /kind, /kind/id or /parent/parent_id/kind. */
struct resource {
	enum demo_kind kind;
	json_int_t id;        /* 0: the list */
	json_int_t parent_id; /* 0: of all parents */
	bool is_nested;       /* the parent is in the path */
};

/* ---- Responses ---- */

void demo_response_init(struct demo_response *a)
{
	*a = (struct demo_response){0};
	buf_init(&a->body, DEMO_RESPONSE_MAX);
}

void demo_response_fini(struct demo_response *a)
{
	buf_fini(&a->body);
}

static int add_bytes(const char *p, size_t n, void *arg)
{
	return buf_add(arg, p, n);
}

/* Takes the reference to j, which may be NULL after a failed allocation. */
static void answer_json(struct demo_response *a, int status, json_t *j)
{
	int bad = !j || json_dump_callback(j, add_bytes, &a->body, JSON_INDENT(2) | JSON_ENCODE_ANY);

	json_decref(j);
	buf_add_char(&a->body, '\n');
	a->status = status;
	if (bad || a->body.err) {
		buf_reset(&a->body);
		a->status = 503;
	}
}

static void answer_problem(struct demo_response *a, int status, const char *detail)
{
	answer_json(a, status, json_pack("{sssiss}", "title", http_reason(status), "status", status, "detail", detail));
}

static void answer_errno(struct demo_response *a, int err)
{
	if (err == -ENOENT)
		answer_problem(a, 404, "there is nothing with this id");
	else if (err == -ENOSPC)
		answer_problem(a, 507, "there are enough of these; delete some first");
	else
		answer_problem(a, 503, "out of memory");
}

/* True when the method was OPTIONS or none of those that are allowed, and that is the response. */
static bool is_answered_by_allow(struct demo_response *a, enum http_method m, unsigned methods, const char *allow)
{
	if (m != HTTP_OPTIONS && (methods & 1u << m))
		return false;
	a->allow = allow;
	a->status = 204;
	if (m != HTTP_OPTIONS)
		answer_problem(a, 405, "the Allow field says which methods there are");
	return true;
}

#define READ_METHODS (1u << HTTP_GET | 1u << HTTP_HEAD)
#define LIST_METHODS (READ_METHODS | 1u << HTTP_POST)
#define ITEM_METHODS (READ_METHODS | 1u << HTTP_PUT | 1u << HTTP_PATCH | 1u << HTTP_DELETE)

/* ---- Paths and queries ---- */

static bool query_value(struct slice query, const char *name, struct slice *value)
{
	struct uri_param p;
	bool at_end = false;

	while (uri_query_next(&query, &at_end, &p))
		if (slice_equal(p.name, slice_of(name))) {
			*value = p.value;
			return true;
		}
	return false;
}

static bool id_from(struct slice s, json_int_t *id)
{
	unsigned long long v;

	if (!slice_to_u64(s, INT64_MAX, &v) || v == 0)
		return false;
	*id = (json_int_t)v;
	return true;
}

static bool kind_from(struct slice s, enum demo_kind *kind)
{
	for (unsigned k = 0; k < DEMO_KINDS; k++)
		if (slice_equal(s, slice_of(demo_schema((enum demo_kind)k)->plural))) {
			*kind = (enum demo_kind)k;
			return true;
		}
	return false;
}

/* The segments between slashes, at most SEGMENTS_MAX; 0 when there are more. */
static unsigned split(struct slice path, struct slice seg[SEGMENTS_MAX])
{
	unsigned n = 0;

	while (path.n && path.p[0] == '/') {
		const char *end = memchr(path.p + 1, '/', path.n - 1);
		size_t len = end ? (size_t)(end - path.p) : path.n;

		if (n == SEGMENTS_MAX)
			return 0;
		seg[n++] = (struct slice){path.p + 1, len - 1};
		path = slice_from(path, len);
	}
	return n;
}

static bool resource_from(struct slice path, struct resource *at)
{
	struct slice seg[SEGMENTS_MAX];
	unsigned n = split(path, seg);
	enum demo_kind first;

	*at = (struct resource){0};
	if (n == 0 || !kind_from(seg[0], &first))
		return false;
	at->kind = first;
	if (n == 1)
		return true;
	if (n == 2)
		return id_from(seg[1], &at->id);
	at->is_nested = true;
	return id_from(seg[1], &at->parent_id) && kind_from(seg[2], &at->kind) &&
	       demo_schema(at->kind)->parent == (int)first;
}

/* ---- Users, posts, comments ---- */

/* Tags to purge by: of the item and its kind, of the kind alone for a list, and of the parent that the path or the item
 * names. */
static void put_tags(struct demo_response *a, const struct resource *at, json_int_t id, json_int_t parent_id)
{
	const struct demo_schema *s = demo_schema(at->kind);
	char *to = a->cache_tag;
	size_t size = sizeof(a->cache_tag), n = 0;

	if (id)
		n += (size_t)snprintf(to, size, "%s-%lld, ", s->singular, (long long)id);
	n += (size_t)snprintf(to + n, size - n, "%s", s->plural);
	if (parent_id)
		snprintf(to + n, size - n, ", %s-%lld", demo_schema((enum demo_kind)s->parent)->singular,
			(long long)parent_id);
}

static void answer_item(
	struct demo_api *api, const struct resource *at, json_int_t id, int status, struct demo_response *a)
{
	const struct demo_schema *s = demo_schema(at->kind);
	json_t *item = demo_find(api->data, at->kind, id);

	if (!item) {
		answer_errno(a, -ENOENT);
		return;
	}
	put_tags(a, at, id, s->parent_field ? json_integer_value(json_object_get(item, s->parent_field)) : 0);
	answer_json(a, status, item);
}

/* Lists of one parent say themselves how long they are fresh, as /time does; on all else the proxy's routes decide. */
static void read_list(struct demo_api *api, const struct resource *at, struct slice query, struct demo_response *a)
{
	const struct demo_schema *s = demo_schema(at->kind);
	json_int_t parent_id = at->parent_id;
	struct slice wanted;

	if (!at->is_nested && s->parent_field && query_value(query, s->parent_field, &wanted) &&
		!id_from(wanted, &parent_id)) {
		answer_problem(a, 400, "an id is a number from 1 on");
		return;
	}
	if (at->is_nested)
		a->cache_control = "max-age=15";
	put_tags(a, at, 0, parent_id);
	answer_json(a, 200, demo_list(api->data, at->kind, parent_id));
}

static void create(struct demo_api *api, const struct resource *at, json_t *body, struct demo_response *a)
{
	json_int_t id;
	int err;

	err = demo_insert(api->data, at->kind, body, &id);
	if (err) {
		answer_errno(a, err);
		return;
	}
	snprintf(a->location, sizeof(a->location), "/%s/%lld", demo_schema(at->kind)->plural, (long long)id);
	answer_item(api, at, id, 201, a);
}

static void change(
	struct demo_api *api, const struct resource *at, json_t *body, enum http_method method, struct demo_response *a)
{
	int err = demo_replace(api->data, at->kind, at->id, body, method == HTTP_PATCH);

	if (err)
		answer_errno(a, err);
	else
		answer_item(api, at, at->id, 200, a);
}

/* POST, PUT and PATCH. */
static void write_with_body(
	struct demo_api *api, const struct resource *at, const struct demo_call *call, struct demo_response *a)
{
	const struct demo_schema *s = demo_schema(at->kind);
	json_t *body = json_loadb(call->body.p ? call->body.p : "", call->body.n, JSON_REJECT_DUPLICATES, NULL);
	const char *fault;

	if (body && at->is_nested && json_is_object(body))
		json_object_set_new(body, s->parent_field, json_integer(at->parent_id));
	fault = body ? demo_check(api->data, at->kind, body, call->method != HTTP_PATCH) : "the body is not JSON";
	if (fault)
		answer_problem(a, body ? 422 : 400, fault);
	else if (call->method == HTTP_POST)
		create(api, at, body, a);
	else
		change(api, at, body, call->method, a);
	json_decref(body);
}

static void answer_resource(
	struct demo_api *api, const struct resource *at, const struct demo_call *call, struct demo_response *a)
{
	json_t *parent;

	if (is_answered_by_allow(
		    a, call->method, at->id ? ITEM_METHODS : LIST_METHODS, at->id ? METHODS_ITEM : METHODS_LIST))
		return;
	if (at->is_nested) {
		parent = demo_find(api->data, (enum demo_kind)demo_schema(at->kind)->parent, at->parent_id);
		if (!parent) {
			answer_errno(a, -ENOENT);
			return;
		}
		json_decref(parent);
	}
	if (call->method == HTTP_DELETE) {
		int err = demo_remove(api->data, at->kind, at->id);

		a->status = 204;
		if (err)
			answer_errno(a, err);
	} else if (!http_method_is_safe(call->method)) {
		write_with_body(api, at, call, a);
	} else if (at->id) {
		answer_item(api, at, at->id, 200, a);
	} else {
		read_list(api, at, call->query, a);
	}
}

/* ---- The other endpoints ---- */

static void answer_index(struct demo_api *api, const struct demo_call *call, int64_t wall_ms, struct demo_response *a)
{
	(void)api;
	(void)call;
	(void)wall_ms;
	answer_json(a, 200,
		json_pack("{s{ss ss ss ss ss ss ss ss ss}}", "endpoints", "/users",
			"GET, POST; /users/{id}: GET, PUT, PATCH, DELETE", "/users/{id}/posts",
			"GET, POST; tells caches max-age=15", "/posts",
			"GET, POST; /posts/{id}: GET, PUT, PATCH, DELETE", "/posts?userId={id}",
			"GET: the posts of one user", "/posts/{id}/comments", "GET, POST; tells caches max-age=15",
			"/comments", "GET, POST; /comments/{id}: GET, PUT, PATCH, DELETE; /comments?postId={id}",
			"/time", "GET: when the API answered and its calls so far; tells caches max-age=10",
			"/slow?ms=2000", "GET: answers after so long, 60000 at most", "/flaky",
			"GET: every third call is a 500"));
}

static void answer_time(struct demo_api *api, const struct demo_call *call, int64_t wall_ms, struct demo_response *a)
{
	time_t second = (time_t)(wall_ms / 1000);
	char text[40] = "", whole[48];
	struct tm tm;

	(void)call;
	if (gmtime_r(&second, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	a->cache_control = "max-age=10"; /* so that it stands still behind the proxy whatever the routes say */
	snprintf(whole, sizeof(whole), "%s.%03dZ", text, (int)(wall_ms % 1000));
	answer_json(a, 200, json_pack("{sssI}", "time", whole, "calls", (json_int_t)api->calls));
}

static void answer_slow(struct demo_api *api, const struct demo_call *call, int64_t wall_ms, struct demo_response *a)
{
	(void)api;
	(void)wall_ms;
	answer_json(a, 200, json_pack("{sI}", "waited_ms", (json_int_t)demo_api_delay_ms(call, 0)));
}

static void answer_flaky(struct demo_api *api, const struct demo_call *call, int64_t wall_ms, struct demo_response *a)
{
	(void)call;
	(void)wall_ms;
	if (++api->flaky_calls % FLAKY_EVERY == 0)
		answer_problem(a, 500, "every third call fails here");
	else
		answer_json(a, 200, json_pack("{sI}", "flaky_calls", (json_int_t)api->flaky_calls));
}

static const struct {
	const char *path;
	void (*answer)(struct demo_api *, const struct demo_call *, int64_t, struct demo_response *);
} endpoints[] = {
	{"/", answer_index},
	{"/time", answer_time},
	{"/slow", answer_slow},
	{"/flaky", answer_flaky},
};

/* ---- Public ---- */

int64_t demo_api_delay_ms(const struct demo_call *call, int64_t usual_ms)
{
	unsigned long long ms;
	struct slice value;

	if (!slice_equal(call->path, SLICE_LIT("/slow")) || !query_value(call->query, "ms", &value) ||
		!slice_to_u64(value, DEMO_SLOW_MAX_MS, &ms))
		return usual_ms;
	return (int64_t)ms;
}

void demo_api_answer(struct demo_api *api, const struct demo_call *call, int64_t wall_ms, struct demo_response *a)
{
	struct resource at;

	api->calls++;
	if (resource_from(call->path, &at)) {
		answer_resource(api, &at, call, a);
		return;
	}
	for (unsigned i = 0; i < ARRAY_LEN(endpoints); i++) {
		if (!slice_equal(call->path, slice_of(endpoints[i].path)))
			continue;
		if (!is_answered_by_allow(a, call->method, READ_METHODS, METHODS_READ))
			endpoints[i].answer(api, call, wall_ms, a);
		return;
	}
	answer_problem(a, 404, "GET / lists what there is");
}

int demo_api_new(struct demo_api **out)
{
	struct demo_api *api = mem_zalloc(sizeof(*api));
	int rc = api ? demo_data_new(&api->data) : -ENOMEM;

	if (rc) {
		mem_free(api);
		api = NULL;
	}
	*out = api;
	return rc;
}

void demo_api_free(struct demo_api **ap)
{
	if (!*ap)
		return;
	demo_data_free(&(*ap)->data);
	mem_free(*ap);
	*ap = NULL;
}
