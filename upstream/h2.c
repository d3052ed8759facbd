/* SPDX-License-Identifier: MIT */
/* Where an HTTP/2 response ends. libcurl takes RST_STREAM with NO_ERROR for the end of a response and tells nobody whether
 * END_STREAM came before it (RFC 9113 8.1), nor, when a connection winds up, whether all that had come was handed over. A
 * response without Content-Length that the origin gave up would look whole.
 *
 * nghttp2 tells libcurl of every frame, through a callback that libcurl registers by the function defined here: the
 * dynamic linker finds the program's before libnghttp2's. So each frame passes by us on its way to libcurl. */
#include <dlfcn.h>
#include <nghttp2/nghttp2.h>

#include "upstream/internal.h"

typedef void (*register_function)(nghttp2_session_callbacks *, nghttp2_on_frame_recv_callback);

static const char name[] = "nghttp2_session_callbacks_set_on_frame_recv_callback";

static _Atomic nghttp2_on_frame_recv_callback libcurls; /* one function of libcurl's for all of its sessions */

/* ISO C has no cast for it, POSIX promises that the bits are the same. */
static register_function find(void *where)
{
	void *symbol = dlsym(where, name);
	register_function f;

	memcpy(&f, &symbol, sizeof(f));
	return f;
}

static void see_frame(nghttp2_session *session, const nghttp2_frame *frame)
{
	CURL *easy = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct fetch *f = NULL;

	if (!easy || curl_easy_getinfo(easy, CURLINFO_PRIVATE, &f) != CURLE_OK || !f || f->magic != FETCH_MAGIC)
		return; /* the stream of a fetch that was given up */
	origin_response_on_frame(f, frame->hd.type == NGHTTP2_DATA ? frame->hd.length - frame->data.padlen : 0,
		frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	if (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)
		see_frame(session, frame);
	return atomic_load(&libcurls)(session, frame, arg);
}

/* Any thread. */
void nghttp2_session_callbacks_set_on_frame_recv_callback(
	nghttp2_session_callbacks *callbacks, nghttp2_on_frame_recv_callback callback)
{
	register_function theirs = find(RTLD_NEXT);

	CHECK(theirs);
	atomic_store(&libcurls, callback);
	theirs(callbacks, on_frame);
}

bool h2_sees_frames(void)
{
	return find(RTLD_DEFAULT) == nghttp2_session_callbacks_set_on_frame_recv_callback;
}
