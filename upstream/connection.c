/* SPDX-License-Identifier: MIT */
/* A fetch and its connection: which socket its request is about to use, whether it may, and leaving it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <openssl/ssl.h>

#include "upstream/internal.h"

/* For reports. */
static void note_address(struct fetch *f, const struct sockaddr *a)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)a;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)a;
	const void *ip = a->sa_family == AF_INET ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr;

	if (!inet_ntop(a->sa_family, ip, f->address_ip, sizeof(f->address_ip)))
		f->address_ip[0] = '\0';
	f->address_port = ntohs(a->sa_family == AF_INET ? v4->sin_port : v6->sin6_port);
}

curl_socket_t connection_on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct fetch *f = arg;
	int fd;

	CHECK(f->magic == FETCH_MAGIC);
	fd = purpose == CURLSOCKTYPE_IPCXN ? sock_open(f, address) : -EINVAL;
	note_address(f, &address->addr);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

int connection_on_close(void *arg, curl_socket_t fd)
{
	return sock_close(arg, fd);
}

static SSL *tls_of(const struct fetch *f)
{
	struct curl_tlssessioninfo *info = NULL;

	if (!f->o->is_https || curl_easy_getinfo(f->easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || !info)
		return NULL;
	return info->backend == CURLSSLBACKEND_OPENSSL ? info->internals : NULL;
}

int connection_on_progress(void *arg, curl_off_t down_max, curl_off_t down, curl_off_t up_max, curl_off_t up)
{
	struct fetch *f = arg;
	SSL *tls = tls_of(f);

	(void)down_max;
	(void)down;
	(void)up_max;
	(void)up;
	if (tls && (SSL_get_shutdown(tls) & SSL_RECEIVED_SHUTDOWN))
		f->response.has_tls_end = true;
	return 0;
}

static bool speaks_h2(const struct fetch *f, SSL *tls)
{
	const unsigned char *name = NULL;
	unsigned n = 0;

	if (!f->o->is_https)
		return f->u->options->http_version ==
		       UPSTREAM_HTTP_2; /* prior knowledge: nothing else is spoken there */
	if (tls)
		SSL_get0_alpn_selected(tls, &name, &n);
	return n == 2 && memcmp(name, "h2", 2) == 0;
}

/* Bytes that wait on a pooled HTTP/1 connection would be read as the response to the next request (RFC 9112 9.2). TLS may
 * hold them in its own buffer, where the socket doesn't show them. A socket that we can't tell is not trusted. */
static bool is_stale(const struct sock *s, const SSL *tls)
{
	return !s || s->stale || (tls && SSL_has_pending(tls)) || sock_has_unread(s);
}

/* libcurl sends a request again on its own when the pooled connection turns out dead: only as often as our rule allows. */
static bool may_send_again(struct fetch *f)
{
	if (!f->is_safe || f->retries_left == 0 || f->response.any_byte)
		return false;
	f->retries_left--;
	f->u->stats->retries++;
	return true;
}

static void on_connected(struct fetch *f)
{
	if (f->reused)
		f->u->stats->connections_reused++;
	else
		f->u->stats->connections_opened++;
	if (f->o->is_https && !f->is_h2)
		f->o->knows_http1 = true;
	deadline_set(f, f->u->options->first_byte_timeout_ms);
}

int connection_on_request(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
	struct fetch *f = arg;
	struct sock_address address = {local_ip, peer_ip, local_port, peer_port};
	SSL *tls = tls_of(f);
	struct sock *s;

	CHECK(f->magic == FETCH_MAGIC);
	if ((f->todo & TODO_DROP) || (f->prepared++ > 0 && !may_send_again(f)))
		return CURL_PREREQFUNC_ABORT;
	f->was_sent = true;
	f->address_port = peer_port;
	memccpy(f->address_ip, peer_ip, '\0', sizeof(f->address_ip) - 1);
	s = sock_identify(f, &address);
	f->reused = f->opened_n == 0;
	f->opened_n = 0;
	f->is_h2 = speaks_h2(f, tls);
	f->sock_fd = s ? s->fd : -1;
	f->sock_serial = s ? s->serial : 0;
	if (f->reused && !f->is_h2 && is_stale(s, tls)) {
		f->met_stale = true;
		f->u->stats->stale_connections++;
		return CURL_PREREQFUNC_ABORT;
	}
	/* It is shared: only when nothing else runs on it does libcurl close it at this request's end. */
	if (f->is_h2 && s && s->stale)
		curl_easy_setopt(f->easy, CURLOPT_FORBID_REUSE, 1L);
	if (s)
		s->in_use = true;
	on_connected(f);
	report_step(f, f->reused ? "sends over a kept connection" : "sends over a new connection");
	return CURL_PREREQFUNC_OK;
}

struct sock *connection_sock(const struct fetch *f)
{
	struct sock *s = sock_get(f->l, f->sock_fd);

	return s && s->serial == f->sock_serial ? s : NULL;
}

/* libcurl throws away, and does not mind, what comes in one read with the head of a response that has no content, or
 * behind the last chunk. The rest of such a message may still be on its way, so the connection is not used again. */
void connection_check_excess(struct fetch *f)
{
	struct sock *s = connection_sock(f);

	if (!s || f->is_h2 || f->o->is_https)
		return;
	s->wire_bytes += f->response.wire_bytes;
	if (f->response.is_bodiless && sock_has_excess(s))
		s->stale = true;
}

/* ---- Leaving ---- */

/* What libcurl holds back for a paused stream it neither frees nor forgets while other streams use the connection: the
 * handle's next response would begin with it. Going on makes libcurl hand it out, to nobody. */
static void drop_held_back(struct fetch *f)
{
	f->discards = true;
	f->l->in_curl = true;
	curl_easy_pause(f->easy, CURLPAUSE_CONT);
	f->l->in_curl = false;
	f->is_paused = false;
}

void connection_leave(struct fetch *f)
{
	struct sock *s;

	if (f->in_multi && f->is_paused)
		drop_held_back(f);
	if (f->in_multi) {
		dispatch_record_lookup(f);
		curl_multi_remove_handle(f->l->multi, f->easy);
	}
	f->in_multi = false;
	s = connection_sock(f);
	if (s)
		s->in_use = false;
}
