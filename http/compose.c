/* SPDX-License-Identifier: MIT */
#include "http/compose.h"

#include "http/message.h"

int http_status_line_append(struct buf *out, int status)
{
	CHECK(status >= 100 && status <= 999);
	buf_add_str(out, "HTTP/1.1 ");
	buf_add_u64(out, (unsigned long long)status);
	buf_add_char(out, ' ');
	buf_add_str(out, http_reason(status));
	return buf_add_str(out, "\r\n");
}

static bool is_one_line(struct slice s)
{
	return s.n == 0 || (!memchr(s.p, '\r', s.n) && !memchr(s.p, '\n', s.n));
}

int http_field_append(struct buf *out, struct slice name, struct slice value)
{
	CHECK(is_one_line(name) && is_one_line(value));
	buf_add_slice(out, name);
	buf_add_str(out, ": ");
	buf_add_slice(out, value);
	return buf_add_str(out, "\r\n");
}
