/* SPDX-License-Identifier: MIT */
/* What a fetch comes to: its name, its counter, its cause, and what is decided of it before libcurl is done. */
#include <errno.h>

#include "upstream/internal.h"

const char *fetch_result_name(enum fetch_result r)
{
	static const char *const names[] = {
		[FETCH_OK] = "ok",
		[FETCH_REFUSED] = "refused",
		[FETCH_TIMEOUT] = "timeout",
		[FETCH_BROKEN] = "broken",
		[FETCH_BAD_RESPONSE] = "bad answer",
		[FETCH_BUSY] = "busy",
		[FETCH_CANCELLED] = "cancelled",
		[FETCH_NO_MEMORY] = "no memory",
		[FETCH_WITHHELD] = "withheld",
	};
	return (unsigned)r < ARRAY_LEN(names) ? names[r] : "unknown";
}

void result_count(struct upstream_stats *s, enum fetch_result result)
{
	switch (result) {
	case FETCH_OK:
		s->ok++;
		break;
	case FETCH_REFUSED:
		s->refused++;
		break;
	case FETCH_TIMEOUT:
		s->timeouts++;
		break;
	case FETCH_BROKEN:
		s->broken++;
		break;
	case FETCH_BAD_RESPONSE:
		s->bad_answers++;
		break;
	case FETCH_BUSY:
		s->busy++;
		break;
	case FETCH_CANCELLED:
		s->cancelled++;
		break;
	case FETCH_WITHHELD:
		s->withheld++;
		break;
	case FETCH_NO_MEMORY:
		break;
	}
}

void result_judge(struct fetch *f, enum fetch_result verdict, enum fetch_cause cause, const char *detail)
{
	if (f->has_verdict)
		return;
	f->has_verdict = true;
	f->verdict = verdict;
	f->cause = cause;
	f->verdict_detail = detail;
}

/* ---- Causes ---- */

const char *fetch_cause_name(unsigned cause)
{
	static const char *const names[] = {
#define CAUSE(name, type) [FETCH_CAUSE_##name] = type,
#include "upstream/causes.def"
	};
	return cause < ARRAY_LEN(names) ? names[cause] : NULL;
}

/* The last of the addresses that were tried. */
static enum fetch_cause cause_of_connecting(const struct fetch *f)
{
	long os_errno = 0;

	(void)curl_easy_getinfo(f->easy, CURLINFO_OS_ERRNO, &os_errno);
	switch (os_errno) {
	case ENETUNREACH:
	case EHOSTUNREACH:
		return FETCH_CAUSE_UNROUTABLE;
	case ETIMEDOUT:
		return FETCH_CAUSE_CONNECT_TIMEOUT;
	default:
		return FETCH_CAUSE_REFUSED;
	}
}

/* libcurl does not say by a number that the other side ended the handshake; OpenSSL's text has the word. */
static enum fetch_cause cause_of_handshake(const struct fetch *f)
{
	return strstr(f->error, " alert ") ? FETCH_CAUSE_TLS_ALERT : FETCH_CAUSE_TLS_PROTOCOL;
}

/* Of what was no verdict: the connection, and what came over it. */
static enum fetch_cause cause_of_code(const struct fetch *f, CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return FETCH_CAUSE_DNS_ERROR;
	case CURLE_COULDNT_CONNECT:
		return cause_of_connecting(f);
	case CURLE_PEER_FAILED_VERIFICATION:
		return FETCH_CAUSE_TLS_CERTIFICATE;
	case CURLE_SSL_CACERT_BADFILE:
		return FETCH_CAUSE_CONFIGURATION;
	case CURLE_SSL_CONNECT_ERROR:
		return cause_of_handshake(f);
	case CURLE_OK: /* that is, the connection ended as it may, and something is missing */
	case CURLE_PARTIAL_FILE:
		return f->response.any_byte ? FETCH_CAUSE_INCOMPLETE : FETCH_CAUSE_TERMINATED;
	default:
		return FETCH_CAUSE_TERMINATED;
	}
}

/* Has libcurl begun to look a name up, and not found it yet? */
static bool is_resolving(const struct fetch *f)
{
	curl_off_t us = 0;

	return f->is_looking_up && curl_easy_getinfo(f->easy, CURLINFO_NAMELOOKUP_TIME_T, &us) == CURLE_OK && us == 0;
}

static enum fetch_cause cause_of_waiting(const struct fetch *f)
{
	if (f->prepared == 0)
		return is_resolving(f) ? FETCH_CAUSE_DNS_TIMEOUT : FETCH_CAUSE_CONNECT_TIMEOUT;
	return f->response.phase == ORIGIN_RESPONSE_STATUS ? FETCH_CAUSE_RESPONSE_TIMEOUT : FETCH_CAUSE_READ_TIMEOUT;
}

enum fetch_cause result_cause(const struct fetch *f, enum fetch_result result, CURLcode code)
{
	switch (result) {
	case FETCH_TIMEOUT:
		return cause_of_waiting(f);
	case FETCH_BAD_RESPONSE:
		return code == CURLE_OUT_OF_MEMORY ? FETCH_CAUSE_HEAD_SIZE : FETCH_CAUSE_PROTOCOL;
	case FETCH_NO_MEMORY:
		return FETCH_CAUSE_INTERNAL;
	case FETCH_REFUSED:
	case FETCH_BROKEN:
		return cause_of_code(f, code);
	default:
		return FETCH_CAUSE_NONE;
	}
}
