/* SPDX-License-Identifier: MIT */
/* HTTPS and HTTP/2, against an nginx that this program starts: on a socket that listens already, so nobody waits for it
 * (which nginx can do with a master process only). */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"

static const char config[] =
	"daemon off; error_log error.log; pid nginx.pid; worker_processes 1;\n"
	"events { worker_connections 256; }\n"
	"http { access_log access.log; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; "
	"uwsgi_temp_path u;\n"
	" scgi_temp_path s; client_max_body_size 8m; http2_max_concurrent_streams 128;\n"
	" ssl_session_cache shared:s:1m; ssl_certificate cert.pem; ssl_certificate_key key.pem;\n"
	" server { listen 127.0.0.1:%d ssl http2; root .; keepalive_requests 50;\n"
	"  location /proto { return 200 $server_protocol; }\n"
	"  location /conn { return 200 $connection; }\n"
	"  location /target { return 200 $request_uri; } }\n"
	" server { listen 127.0.0.1:%d ssl; root .; location /proto { return 200 $server_protocol; }\n"
	"  location /resumed { return 200 $ssl_session_reused; } } }\n";

static struct nginx {
	char dir[64], ca[80];
	int h2_port, h1_port;
	pid_t pid;
} nginx;

struct world {
	struct rig rig;
	struct seen seen;
};

static int listen_on(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static void write_files(void)
{
	char path[128], command[512];
	FILE *f;

	snprintf(nginx.dir, sizeof(nginx.dir), "/tmp/memoproxy-tls-XXXXXX");
	assert_non_null(mkdtemp(nginx.dir));
	assert_int_equal(chmod(nginx.dir, 0755), 0);
	snprintf(nginx.ca, sizeof(nginx.ca), "%s/cert.pem", nginx.dir);
	snprintf(command, sizeof(command),
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
		"-addext subjectAltName=IP:127.0.0.1 -keyout %s/key.pem -out %s/cert.pem 2>/dev/null",
		nginx.dir, nginx.dir);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/nginx.conf", nginx.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, config, nginx.h2_port, nginx.h1_port);
	fclose(f);
	snprintf(path, sizeof(path), "%s/big", nginx.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	for (unsigned i = 0; i < 1 << 20; i++)
		fputc('a' + (int)(i % 26), f);
	fclose(f);
}

static int start_nginx(void **state)
{
	int h2 = listen_on(&nginx.h2_port), h1 = listen_on(&nginx.h1_port);
	char inherited[32], conf[128];

	(void)state;
	write_files();
	snprintf(inherited, sizeof(inherited), "%d;%d;", h2, h1);
	snprintf(conf, sizeof(conf), "%s/nginx.conf", nginx.dir);
	nginx.pid = fork();
	if (nginx.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		setenv("NGINX", inherited, 1);
		execlp("nginx", "nginx", "-p", nginx.dir, "-c", conf, "-e", "error.log", (char *)NULL);
		_exit(127);
	}
	close(h2);
	close(h1);
	return nginx.pid > 0 ? 0 : -1;
}

static int stop_nginx(void **state)
{
	char command[128];

	(void)state;
	kill(nginx.pid, SIGTERM);
	waitpid(nginx.pid, NULL, 0);
	snprintf(command, sizeof(command), "rm -rf %s", nginx.dir);
	return system(command);
}

static void open_world(struct world *w, bool h2, enum upstream_http version)
{
	rig_defaults(&w->rig, 0);
	snprintf(w->rig.url, sizeof(w->rig.url), "https://127.0.0.1:%d", h2 ? nginx.h2_port : nginx.h1_port);
	w->rig.upstream.url = slice_of(w->rig.url);
	w->rig.upstream.tls_ca = slice_of(nginx.ca);
	w->rig.upstream.http_version = version;
	w->rig.upstream.max_connections = 32;
	rig_open(&w->rig);
	seen_init(&w->seen, &w->rig);
}

static void close_world(struct world *w)
{
	seen_fini(&w->seen);
	rig_close(&w->rig);
}

static void fetch_again(struct world *w, const char *method, const char *target)
{
	rig_fetch_again(&w->seen, method, target);
	if (w->seen.result != FETCH_OK)
		fail_msg("%s: %s", fetch_result_name(w->seen.result), w->seen.detail);
}

static void the_version_is_negotiated(void **state)
{
	static const struct {
		bool h2;
		enum upstream_http version;
		const char *spoken;
	} cases[] = {
		{true, UPSTREAM_HTTP_AUTO, "HTTP/2.0"},
		{true, UPSTREAM_HTTP_1_1, "HTTP/1.1"},
		{true, UPSTREAM_HTTP_2, "HTTP/2.0"},
		{false, UPSTREAM_HTTP_AUTO, "HTTP/1.1"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w;

		open_world(&w, cases[i].h2, cases[i].version);
		for (unsigned k = 0; k < 3; k++) {
			fetch_again(&w, "GET", "/proto");
			assert_true(seen_body_is(&w.seen, cases[i].spoken));
			assert_true(w.seen.framed);
			assert_int_equal(w.seen.reused, k > 0);
		}
		fetch_again(&w, "HEAD", "/proto");
		fetch_again(&w, "GET", "/proto");
		assert_true(w.seen.reused);
		assert_int_equal(rig_stats(&w.rig).stale_connections, 0);
		close_world(&w);
	}
}

static void h2_targets_pass_byte_for_byte(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, true, UPSTREAM_HTTP_AUTO);
	fetch_again(&w, "GET", "/target/../target/%7e|{[\"?a=%2f&&");
	assert_true(seen_body_is(&w.seen, "/target/../target/%7e|{[\"?a=%2f&&"));
	close_world(&w);
}

static void requests_share_an_h2_connection(void **state)
{
	struct world w;
	struct seen many[20];
	struct fetch_request q = rig_request("GET", "/conn");

	(void)state;
	open_world(&w, true, UPSTREAM_HTTP_AUTO);
	for (unsigned i = 0; i < ARRAY_LEN(many); i++) {
		seen_init(&many[i], &w.rig);
		assert_int_equal(rig_start(&many[i], &q), 0);
	}
	for (unsigned i = 0; i < ARRAY_LEN(many); i++) {
		rig_wait(&many[i]);
		assert_int_equal(many[i].result, FETCH_OK);
		assert_true(slice_equal(buf_slice(&many[i].body), buf_slice(&many[0].body)));
	}
	assert_int_equal(rig_stats(&w.rig).connections_opened, 1);
	for (unsigned i = 0; i < ARRAY_LEN(many); i++)
		seen_fini(&many[i]);
	close_world(&w);
}

/* nginx ends a connection after 50 requests, HTTP/2 by GOAWAY. */
static void connections_that_the_origin_retires_are_replaced(void **state)
{
	struct world w;

	(void)state;
	for (unsigned h2 = 0; h2 < 2; h2++) {
		open_world(&w, true, h2 ? UPSTREAM_HTTP_AUTO : UPSTREAM_HTTP_1_1);
		for (unsigned i = 0; i < 120; i++)
			fetch_again(&w, "GET", "/proto");
		assert_true(rig_stats(&w.rig).connections_opened >= 3);
		close_world(&w);
	}
}

static void h2_bodies_pause_and_go_on(void **state)
{
	struct world w;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct fetch_request q = rig_request("GET", "/big");
		unsigned pauses = 0;

		open_world(&w, i % 2, UPSTREAM_HTTP_AUTO);
		w.seen.pause_each = 2;
		w.seen.resume_at_once = i > 1;
		assert_int_equal(rig_start(&w.seen, &q), 0);
		while (w.seen.ends == 0) {
			event_base_loop(w.rig.base, EVLOOP_ONCE);
			if (w.seen.fetch && !w.seen.resume_at_once && w.seen.pauses > pauses) {
				pauses = w.seen.pauses;
				fetch_resume(w.seen.fetch);
			}
		}
		assert_int_equal(w.seen.result, FETCH_OK);
		assert_int_equal(w.seen.body.n, 1 << 20);
		for (unsigned k = 0; k < 1 << 20; k++) {
			if (w.seen.body.p[k] != (char)('a' + k % 26))
				fail_msg("byte %u is wrong", k);
		}
		close_world(&w);
	}
}

static void a_response_may_come_before_the_body_was_read(void **state)
{
	size_t n = 2 << 20;
	char *body = calloc(1, n);

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct fetch_request q = rig_request("POST", "/proto");
		struct world w;

		open_world(&w, i, UPSTREAM_HTTP_AUTO);
		q.has_body = true;
		q.body = (struct slice){body, n};
		assert_int_equal(rig_start(&w.seen, &q), 0);
		rig_wait(&w.seen);
		if (w.seen.result != FETCH_OK)
			fail_msg("%u: %s: %s, status %d, body %zu", i, fetch_result_name(w.seen.result), w.seen.detail,
				w.seen.status, w.seen.body.n);
		assert_true(seen_body_is(&w.seen, i ? "HTTP/2.0" : "HTTP/1.1"));
		close_world(&w);
	}
	free(body);
}

static void cancelling_a_stream_leaves_the_others(void **state)
{
	struct world w;
	struct seen other;
	struct fetch_request q = rig_request("GET", "/big");

	(void)state;
	open_world(&w, true, UPSTREAM_HTTP_AUTO);
	seen_init(&other, &w.rig);
	w.seen.pause_each = 1;
	assert_int_equal(rig_start(&w.seen, &q), 0);
	assert_int_equal(rig_start(&other, &q), 0);
	while (w.seen.pauses == 0)
		event_base_loop(w.rig.base, EVLOOP_ONCE);
	fetch_cancel(&w.seen.fetch);
	rig_wait(&other);
	assert_int_equal(other.result, FETCH_OK);
	assert_int_equal(other.body.n, 1 << 20);
	assert_int_equal(rig_stats(&w.rig).connections_opened, 1);
	seen_fini(&other);
	for (unsigned i = 0; i < 3; i++) { /* nothing of it comes with later responses of that handle */
		fetch_again(&w, "GET", "/proto");
		assert_true(seen_body_is(&w.seen, "HTTP/2.0"));
	}
	close_world(&w);
}

static void an_unknown_certificate_is_refused(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, true, UPSTREAM_HTTP_AUTO);
	rig_close(&w.rig);
	w.rig.upstream.tls_ca.n = 0;
	rig_open(&w.rig);
	rig_fetch(&w.seen, "GET", "/proto");
	assert_int_equal(w.seen.result, FETCH_REFUSED);
	rig_close(&w.rig);
	w.rig.upstream.tls_verify = false;
	rig_open(&w.rig);
	fetch_again(&w, "GET", "/proto");
	close_world(&w);
}

static void tls_sessions_are_resumed(void **state)
{
	struct world w;
	struct fetch_request q = rig_request("POST", "/resumed");

	(void)state;
	open_world(&w, false, UPSTREAM_HTTP_AUTO);
	fetch_again(&w, "GET", "/proto");
	seen_fini(&w.seen);
	seen_init(&w.seen, &w.rig);
	assert_int_equal(rig_start(&w.seen, &q), 0);
	rig_wait(&w.seen);
	assert_true(seen_body_is(&w.seen, "r"));
	close_world(&w);
}

/* ---- A TLS origin that misbehaves on purpose ---- */

#define HEAD_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

struct tls_origin {
	int listen_fd, port;
	unsigned accepted; /* read after the thread has ended */
	pthread_t thread;
};

/* "/stray": the body's record has bytes of no response behind it. "/cut": ends by closing TCP alone,
 * "/close" by closing TLS too. */
static void serve_tls(SSL *tls)
{
	char request[2048];
	int n;

	while ((n = SSL_read(tls, request, sizeof(request) - 1)) > 0) {
		request[n] = '\0';
		if (strstr(request, "/cut")) {
			SSL_write(tls, "HTTP/1.0 200 OK\r\n\r\nhalf", 23);
			return;
		}
		if (strstr(request, "/close")) {
			SSL_write(tls, "HTTP/1.0 200 OK\r\n\r\nall", 22);
			SSL_shutdown(tls);
			return;
		}
		SSL_write(tls, HEAD_2, sizeof(HEAD_2) - 1);
		if (strstr(request, "/stray"))
			SSL_write(tls, "ok" HEAD_2 "no", sizeof("ok" HEAD_2 "no") - 1);
		else
			SSL_write(tls, "ok", 2);
	}
}

static void *run_tls_origin(void *arg)
{
	struct tls_origin *o = arg;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char key[128];
	int fd;

	snprintf(key, sizeof(key), "%s/key.pem", nginx.dir);
	CHECK(SSL_CTX_use_certificate_file(ctx, nginx.ca, SSL_FILETYPE_PEM) == 1);
	CHECK(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1);
	while ((fd = accept(o->listen_fd, NULL, NULL)) >= 0) {
		SSL *tls = SSL_new(ctx);

		o->accepted++;
		SSL_set_fd(tls, fd);
		if (SSL_accept(tls) == 1)
			serve_tls(tls);
		SSL_free(tls);
		close(fd);
	}
	SSL_CTX_free(ctx);
	return NULL;
}

static void open_tls_world(struct world *w, struct tls_origin *o)
{
	o->accepted = 0;
	o->listen_fd = listen_on(&o->port);
	assert_int_equal(pthread_create(&o->thread, NULL, run_tls_origin, o), 0);
	rig_defaults(&w->rig, 0);
	snprintf(w->rig.url, sizeof(w->rig.url), "https://127.0.0.1:%d", o->port);
	w->rig.upstream.url = slice_of(w->rig.url);
	w->rig.upstream.tls_ca = slice_of(nginx.ca);
	w->rig.upstream.max_connections = 1; /* the origin serves one connection at a time */
	w->rig.upstream.retries = 0;
	rig_open(&w->rig);
	seen_init(&w->seen, &w->rig);
}

static void close_tls_world(struct world *w, struct tls_origin *o)
{
	close_world(w);
	shutdown(o->listen_fd, SHUT_RDWR);
	pthread_join(o->thread, NULL);
	close(o->listen_fd);
}

static void stray_bytes_inside_tls_are_never_a_response(void **state)
{
	struct tls_origin o;
	struct world w;

	(void)state;
	open_tls_world(&w, &o);
	fetch_again(&w, "GET", "/good");
	fetch_again(&w, "GET", "/stray");
	assert_true(w.seen.reused);
	fetch_again(&w, "GET", "/good");
	assert_true(seen_body_is(&w.seen, "ok"));
	assert_int_equal(rig_stats(&w.rig).stale_connections, 1);
	close_tls_world(&w, &o);
	assert_int_equal(o.accepted, 2);
}

static void a_tls_connection_cut_off_does_not_end_a_body(void **state)
{
	struct tls_origin o;
	struct world w;

	(void)state;
	open_tls_world(&w, &o);
	rig_fetch(&w.seen, "GET", "/cut");
	assert_int_equal(w.seen.result, FETCH_BROKEN);
	assert_int_equal(w.seen.status, 200);
	fetch_again(&w, "GET", "/close");
	assert_true(seen_body_is(&w.seen, "all"));
	assert_false(w.seen.framed);
	fetch_again(&w, "GET", "/good");
	close_tls_world(&w, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_version_is_negotiated),
		cmocka_unit_test(h2_targets_pass_byte_for_byte),
		cmocka_unit_test(requests_share_an_h2_connection),
		cmocka_unit_test(connections_that_the_origin_retires_are_replaced),
		cmocka_unit_test(h2_bodies_pause_and_go_on),
		cmocka_unit_test(a_response_may_come_before_the_body_was_read),
		cmocka_unit_test(cancelling_a_stream_leaves_the_others),
		cmocka_unit_test(an_unknown_certificate_is_refused),
		cmocka_unit_test(tls_sessions_are_resumed),
		cmocka_unit_test(stray_bytes_inside_tls_are_never_a_response),
		cmocka_unit_test(a_tls_connection_cut_off_does_not_end_a_body),
	};
	return cmocka_run_group_tests(tests, start_nginx, stop_nginx);
}
