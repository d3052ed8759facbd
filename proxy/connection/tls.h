/* SPDX-License-Identifier: MIT */
/* TLS for client connections: 1.2 and 1.3, ALPN http/1.1, no renegotiation, no compression, session tickets.
 * A stream is OpenSSL between two evbuffers: it touches no socket, so that whoever owns the socket keeps the time-outs,
 * the bounds and what comes before the handshake (PROXY protocol).
 * Thread: struct tls: any, reload included. A stream: that of its connection. Owns: certificate, key, the session.
 * Borrows: the stream's evbuffers. Bounds: a read decrypts what `from` holds; a write stops at its limit. */
#ifndef PROXY_CONNECTION_TLS_H
#define PROXY_CONNECTION_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

struct evbuffer;
struct tls;
struct tls_stream;

enum { TLS_WHY_MAX = 512 };

/* PEM files: the certificate with its chain, and its private key. 0; or -ENOMEM, -EINVAL, -ENOENT and the like with a
 * sentence in `why` that names the file at fault. */
int tls_new(const char *certificate, const char *key, struct tls **out, char why[TLS_WHY_MAX]) WARN_UNUSED;
/* New connections of `t` use what `by` was made from, which is taken; those that are open go on with what they have. */
void tls_replace(struct tls *t, struct tls **by);
void tls_free(struct tls **t); /* after all of its streams */
/* When the first of the certificates that new connections are sent ends to be valid: seconds since 1970. */
int64_t tls_expiry_s(struct tls *t);

enum tls_progress {
	TLS_OK,     /* handshake: it is done; read: everything is decrypted, more may come */
	TLS_MORE,   /* handshake: bytes of the client are needed */
	TLS_ENDED,  /* the client said that it sends no more */
	TLS_FAILED, /* the connection is to be closed; an alert may be in `to` */
};

/* Ciphertext is taken from `from` and appended to `to`. */
int tls_stream_new(struct tls *t, struct evbuffer *from, struct evbuffer *to, struct tls_stream **out) WARN_UNUSED;
void tls_stream_free(struct tls_stream **s);

enum tls_progress tls_stream_handshake(struct tls_stream *s) WARN_UNUSED;
enum tls_progress tls_stream_read(struct tls_stream *s, struct evbuffer *plain) WARN_UNUSED;
/* Takes from `plain` until it is empty or `to` holds `limit` bytes. 0 or -EIO. */
int tls_stream_write(struct tls_stream *s, struct evbuffer *plain, size_t limit) WARN_UNUSED;
/* The close_notify that tells the client that nothing was cut off. */
void tls_stream_close(struct tls_stream *s);

#endif
