/* SPDX-License-Identifier: MIT */
#include "proxy/connection/tls.h"

#include <errno.h>
#include <event2/buffer.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { RECORD_MAX = 16 * 1024 }; /* plaintext of a record: RFC 8446 5.1 */

struct tls {
	BIO_METHOD *method; /* set once */
	pthread_mutex_t mu;
	/* guarded by mu */
	SSL_CTX *context; /* connections hold references of their own */
};

struct tls_stream {
	SSL *ssl;
	struct evbuffer *from, *to;
};

/* ---- A BIO over two evbuffers ---- */

static int on_bio_read(BIO *bio, char *to, int n)
{
	struct tls_stream *s = BIO_get_data(bio);
	int got = evbuffer_remove(s->from, to, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (got > 0)
		return got;
	BIO_set_retry_read(bio);
	return -1;
}

static int on_bio_write(BIO *bio, const char *from, int n)
{
	struct tls_stream *s = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	return evbuffer_add(s->to, from, (size_t)n) == 0 ? n : -1;
}

static long on_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *make_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "evbuffers");

	if (!m)
		return NULL;
	BIO_meth_set_read(m, on_bio_read);
	BIO_meth_set_write(m, on_bio_write);
	BIO_meth_set_ctrl(m, on_bio_ctrl);
	return m;
}

/* ---- The certificate and the settings ---- */

/* The newest of OpenSSL's errors, in its words. */
static const char *library_says(char *text, size_t n)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(e);

	if (ERR_SYSTEM_ERROR(e))
		return strerror((int)ERR_GET_REASON(e));
	if (reason)
		return reason;
	ERR_error_string_n(e, text, n);
	return text;
}

static int fails(char *why, const char *path, const char *what, int err)
{
	char text[128];

	if (what)
		snprintf(why, TLS_WHY_MAX, "%s: %s", path, what);
	else
		snprintf(why, TLS_WHY_MAX, "%s: %s", path, library_says(text, sizeof(text)));
	ERR_clear_error();
	return err;
}

/* The first of the client's protocols that we speak; a client that offers others only can't be served (RFC 7301 3.2). */
static int on_alpn(
	SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1\x08http/1.0";
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_n, ours, sizeof(ours) - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* A key behind a passphrase would make OpenSSL ask the terminal. */
static int on_passphrase(char *to, int n, int writing, void *arg)
{
	(void)to;
	(void)n;
	(void)writing;
	(void)arg;
	return -1;
}

static bool set_up(SSL_CTX *c)
{
	static const unsigned char session_context[] = "memoproxy";

	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
				       SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(
		c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF); /* tickets need no memory here */
	SSL_CTX_set_alpn_select_cb(c, on_alpn, NULL);
	SSL_CTX_set_default_passwd_cb(c, on_passphrase);
	/* Of TLS 1.2 what is as good as all of 1.3: what is recorded stays secret though the key is lost later, and nothing can
	 * be changed on the way unnoticed. */
	return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
	       SSL_CTX_set_session_id_context(c, session_context, sizeof(session_context) - 1) == 1;
}

static int load_files(SSL_CTX *c, const char *certificate, const char *key, char *why)
{
	if (access(certificate, R_OK) != 0)
		return fails(why, certificate, strerror(errno), -errno);
	if (access(key, R_OK) != 0)
		return fails(why, key, strerror(errno), -errno);
	if (SSL_CTX_use_certificate_chain_file(c, certificate) != 1)
		return fails(why, certificate, NULL, -EINVAL);
	if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(c) != 1)
		return fails(why, key, NULL, -EINVAL);
	return 0;
}

static int make_context(const char *certificate, const char *key, SSL_CTX **out, char *why)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	int err;

	ERR_clear_error();
	if (!c || !set_up(c))
		err = fails(why, "TLS", "out of memory", -ENOMEM);
	else
		err = load_files(c, certificate, key, why);
	if (err) {
		SSL_CTX_free(c);
		return err;
	}
	*out = c;
	return 0;
}

int tls_new(const char *certificate, const char *key, struct tls **out, char why[TLS_WHY_MAX])
{
	struct tls *t = mem_zalloc(sizeof(*t));
	int err;

	*out = NULL;
	if (!t)
		return fails(why, "TLS", "out of memory", -ENOMEM);
	pthread_mutex_init(&t->mu, NULL);
	t->method = make_method();
	err = t->method ? make_context(certificate, key, &t->context, why)
			: fails(why, "TLS", "out of memory", -ENOMEM);
	if (err)
		tls_free(&t);
	*out = t;
	return err;
}

void tls_replace(struct tls *t, struct tls **by)
{
	SSL_CTX *old;

	pthread_mutex_lock(&t->mu);
	old = t->context;
	t->context = (*by)->context;
	pthread_mutex_unlock(&t->mu);
	(*by)->context = old;
	tls_free(by);
}

static int64_t end_of(const X509 *certificate)
{
	struct tm tm;

	/* OpenSSL has parsed it, so it is a time. */
	return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int64_t tls_expiry_s(struct tls *t)
{
	STACK_OF(X509) *chain = NULL;
	int64_t first;

	pthread_mutex_lock(&t->mu);
	first = end_of(SSL_CTX_get0_certificate(t->context));
	SSL_CTX_get0_chain_certs(t->context, &chain);
	for (int i = 0; i < sk_X509_num(chain); i++) {
		int64_t end = end_of(sk_X509_value(chain, i));

		first = end < first ? end : first;
	}
	pthread_mutex_unlock(&t->mu);
	return first;
}

void tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	SSL_CTX_free(t->context);
	BIO_meth_free(t->method);
	pthread_mutex_destroy(&t->mu);
	mem_free(t);
}

/* ---- A connection ---- */

static bool attach(struct tls_stream *s, BIO_METHOD *method)
{
	BIO *bio = BIO_new(method);

	if (!bio)
		return false;
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio); /* takes it */
	SSL_set_accept_state(s->ssl);
	return true;
}

int tls_stream_new(struct tls *t, struct evbuffer *from, struct evbuffer *to, struct tls_stream **out)
{
	struct tls_stream *s = mem_zalloc(sizeof(*s));

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->from = from;
	s->to = to;
	pthread_mutex_lock(&t->mu);
	s->ssl = SSL_new(t->context);
	pthread_mutex_unlock(&t->mu);
	if (!s->ssl || !attach(s, t->method)) {
		ERR_clear_error();
		tls_stream_free(&s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

void tls_stream_free(struct tls_stream **sp)
{
	struct tls_stream *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	SSL_free(s->ssl);
	mem_free(s);
}

/* What OpenSSL's return value means; its error queue belongs to the thread and is left empty. */
static enum tls_progress meaning(const struct tls_stream *s, int result)
{
	int e = SSL_get_error(s->ssl, result);

	ERR_clear_error();
	return e == SSL_ERROR_WANT_READ ? TLS_MORE : e == SSL_ERROR_ZERO_RETURN ? TLS_ENDED : TLS_FAILED;
}

enum tls_progress tls_stream_handshake(struct tls_stream *s)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(s->ssl);
	if (result == 1)
		return TLS_OK;
	return meaning(s, result) == TLS_MORE ? TLS_MORE : TLS_FAILED;
}

enum tls_progress tls_stream_read(struct tls_stream *s, struct evbuffer *plain)
{
	char record[RECORD_MAX];
	enum tls_progress p;
	int n;

	ERR_clear_error();
	while ((n = SSL_read(s->ssl, record, sizeof(record))) > 0)
		if (evbuffer_add(plain, record, (size_t)n) != 0)
			return TLS_FAILED;
	p = meaning(s, n);
	return p == TLS_MORE ? TLS_OK : p;
}

/* The next record's plaintext: what lies together if that is worth a record, else moved together. */
static const void *next_record(struct evbuffer *plain, size_t *n)
{
	size_t all = evbuffer_get_length(plain), together = evbuffer_get_contiguous_space(plain);

	if (all > RECORD_MAX)
		all = RECORD_MAX;
	*n = together < RECORD_MAX / 4 ? all : together < all ? together : all;
	return evbuffer_pullup(plain, (ev_ssize_t)*n);
}

int tls_stream_write(struct tls_stream *s, struct evbuffer *plain, size_t limit)
{
	ERR_clear_error();
	while (evbuffer_get_length(plain) > 0 && evbuffer_get_length(s->to) < limit) {
		size_t n;
		const void *p = next_record(plain, &n);
		int wrote = p ? SSL_write(s->ssl, p, (int)n) : -1;

		if (wrote <= 0) {
			ERR_clear_error();
			return -EIO;
		}
		evbuffer_drain(plain, (size_t)wrote);
	}
	return 0;
}

void tls_stream_close(struct tls_stream *s)
{
	ERR_clear_error();
	(void)SSL_shutdown(s->ssl); /* the client's own close_notify is not waited for */
	ERR_clear_error();
}
