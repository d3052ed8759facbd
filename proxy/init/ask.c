/* SPDX-License-Identifier: MIT */
#include "proxy/init/ask.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "http/syntax.h"

struct ask {
	struct ask_options o;
	CURL *curl;
	struct curl_slist *fields;
	unsigned calls;
	char error[CURL_ERROR_SIZE];
};

/* ---- One call ---- */

static size_t on_head(char *p, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;

	if (n * size > 5 && memcmp(p, "HTTP/", 5) == 0)
		buf_reset(&a->head); /* what came before was a 1xx */
	return buf_add(&a->head, p, n * size) ? 0 : n * size;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	size_t room = a->body.max - a->body.n;

	a->is_cut = n * size > room;
	if (buf_add(&a->body, p, a->is_cut ? room : n * size))
		return 0;
	return a->is_cut ? 0 : n * size;
}

/* The lines of the head but for the first. */
static int read_fields(struct answer *a)
{
	struct slice rest = buf_slice(&a->head), line, name, value;
	int rc = 0;

	(void)slice_cut(rest, '\n', &line, &rest);
	while (rc == 0 && rest.n > 0) {
		(void)slice_cut(rest, '\n', &line, &rest);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (slice_cut(line, ':', &name, &value))
			rc = http_fields_add(&a->fields, name, slice_trim(value));
	}
	return rc == -ENOBUFS ? 0 : rc;
}

static void set_up(struct ask *a, const char *url, bool with_fields, struct answer *out)
{
	CURL *c = a->curl;

	curl_easy_reset(c);
	a->error[0] = '\0';
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)a->o.connect_timeout_ms);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)a->o.timeout_ms);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "memoproxy/" MEMOPROXY_VERSION);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, a->o.tls_verify ? 1L : 0L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, a->o.tls_verify ? 2L : 0L);
	if (a->o.plain_http2)
		curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	if (a->o.tls_ca && a->o.tls_ca[0])
		curl_easy_setopt(c, CURLOPT_CAINFO, a->o.tls_ca);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, with_fields ? a->fields : NULL);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, out);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, a->error);
}

static int send_call(struct ask *a, const char *url, const struct slice *form, bool with_fields, struct answer *out)
{
	long status = 0;
	CURLcode rc;

	answer_fini(out);
	answer_init(out);
	if (a->o.body_max)
		buf_init(&out->body, a->o.body_max);
	if (a->calls == a->o.calls_max)
		return -EDQUOT;
	a->calls++;
	set_up(a, url, with_fields, out);
	if (form) {
		curl_easy_setopt(a->curl, CURLOPT_POSTFIELDS, form->n ? form->p : "");
		curl_easy_setopt(a->curl, CURLOPT_POSTFIELDSIZE, (long)form->n);
	}
	out->asked = clock_now();
	rc = curl_easy_perform(a->curl);
	out->received = clock_now();
	out->time_ms = out->received.mono_ms - out->asked.mono_ms;
	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	out->status = (int)status;
	if (out->head.err == -ENOMEM || out->body.err == -ENOMEM)
		return -ENOMEM;
	if (rc != CURLE_OK && !out->is_cut) {
		snprintf(out->why, sizeof(out->why), "%s", a->error[0] ? a->error : curl_easy_strerror(rc));
		return rc == CURLE_OUT_OF_MEMORY ? -ENOMEM : -ECONNREFUSED;
	}
	return read_fields(out);
}

int ask_get(struct ask *a, const char *url, bool with_fields, struct answer *out)
{
	return send_call(a, url, NULL, with_fields, out);
}

int ask_post(struct ask *a, const char *url, struct slice form, bool with_fields, struct answer *out)
{
	return send_call(a, url, &form, with_fields, out);
}

unsigned ask_calls(const struct ask *a)
{
	return a->calls;
}

/* ---- Life ---- */

void answer_init(struct answer *a)
{
	memset(a, 0, sizeof(*a));
	http_fields_init(&a->fields);
	buf_init(&a->head, ASK_HEAD_MAX);
	buf_init(&a->body, ASK_BODY_MAX);
}

void answer_fini(struct answer *a)
{
	http_fields_fini(&a->fields);
	buf_fini(&a->head);
	buf_fini(&a->body);
}

static bool is_field(const char *line)
{
	struct slice name, value;

	if (strpbrk(line, "\r\n") || !slice_cut(slice_of(line), ':', &name, &value) || slice_trim(value).n == 0)
		return false;
	return http_is_token(name);
}

static int add_field(struct ask *a, const char *line)
{
	struct curl_slist *more;

	if (!is_field(line))
		return -EINVAL;
	more = curl_slist_append(a->fields, line);
	if (!more)
		return -ENOMEM;
	a->fields = more;
	return 0;
}

int ask_new(const struct ask_options *o, struct ask **out)
{
	struct ask *a = mem_zalloc(sizeof(*a));
	int rc = 0;

	*out = NULL;
	if (!a || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		mem_free(a);
		return -ENOMEM;
	}
	a->o = *o;
	a->curl = curl_easy_init();
	if (!a->curl)
		rc = -ENOMEM;
	for (unsigned i = 0; i < o->fields_n && rc == 0; i++)
		rc = add_field(a, o->fields[i]);
	if (rc)
		ask_free(&a);
	*out = a;
	return rc;
}

void ask_free(struct ask **a)
{
	if (!*a)
		return;
	curl_slist_free_all((*a)->fields);
	curl_easy_cleanup((*a)->curl);
	curl_global_cleanup();
	mem_free(*a);
	*a = NULL;
}
