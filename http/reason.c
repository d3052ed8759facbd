/* SPDX-License-Identifier: MIT */
#include "http/message.h"

/* RFC 9110 15 and the registry. */
static const char *const reasons[600] = {
	[100] = "Continue",
	[101] = "Switching Protocols",
	[102] = "Processing",
	[103] = "Early Hints",
	[200] = "OK",
	[201] = "Created",
	[202] = "Accepted",
	[203] = "Non-Authoritative Information",
	[204] = "No Content",
	[205] = "Reset Content",
	[206] = "Partial Content",
	[207] = "Multi-Status",
	[208] = "Already Reported",
	[226] = "IM Used",
	[300] = "Multiple Choices",
	[301] = "Moved Permanently",
	[302] = "Found",
	[303] = "See Other",
	[304] = "Not Modified",
	[305] = "Use Proxy",
	[307] = "Temporary Redirect",
	[308] = "Permanent Redirect",
	[400] = "Bad Request",
	[401] = "Unauthorized",
	[402] = "Payment Required",
	[403] = "Forbidden",
	[404] = "Not Found",
	[405] = "Method Not Allowed",
	[406] = "Not Acceptable",
	[407] = "Proxy Authentication Required",
	[408] = "Request Timeout",
	[409] = "Conflict",
	[410] = "Gone",
	[411] = "Length Required",
	[412] = "Precondition Failed",
	[413] = "Content Too Large",
	[414] = "URI Too Long",
	[415] = "Unsupported Media Type",
	[416] = "Range Not Satisfiable",
	[417] = "Expectation Failed",
	[421] = "Misdirected Request",
	[422] = "Unprocessable Content",
	[423] = "Locked",
	[424] = "Failed Dependency",
	[425] = "Too Early",
	[426] = "Upgrade Required",
	[428] = "Precondition Required",
	[429] = "Too Many Requests",
	[431] = "Request Header Fields Too Large",
	[451] = "Unavailable For Legal Reasons",
	[500] = "Internal Server Error",
	[501] = "Not Implemented",
	[502] = "Bad Gateway",
	[503] = "Service Unavailable",
	[504] = "Gateway Timeout",
	[505] = "HTTP Version Not Supported",
	[506] = "Variant Also Negotiates",
	[507] = "Insufficient Storage",
	[508] = "Loop Detected",
	[510] = "Not Extended",
	[511] = "Network Authentication Required",
};

/* X(status): those that have a place of their own. 499 is nginx's: the client left first. */
/* clang-format off */
#define STATUSES(X) \
	X(200) X(201) X(202) X(204) X(206) \
	X(301) X(302) X(303) X(304) X(307) X(308) \
	X(400) X(401) X(403) X(404) X(405) X(406) X(408) X(409) X(410) X(412) X(413) X(414) X(415) X(416) \
	X(421) X(422) X(429) X(431) X(499) \
	X(500) X(501) X(502) X(503) X(504)
/* clang-format on */

#define PLACE(status) SLOT_##status,
enum { SLOT_OTHER, SLOT_2XX, SLOT_3XX, SLOT_4XX, SLOT_5XX, STATUSES(PLACE) SLOTS };
_Static_assert(SLOTS == HTTP_STATUS_SLOTS, "message.h says how many there are");

unsigned http_status_slot(int status)
{
#define SLOT(status) [status] = SLOT_##status,
	static const uint8_t slots[600] = {STATUSES(SLOT)};

	if (status < 200 || status >= (int)ARRAY_LEN(slots))
		return SLOT_OTHER;
	return slots[status] ? slots[status] : SLOT_2XX + (unsigned)(status / 100 - 2);
}

const char *http_status_slot_name(unsigned slot)
{
#define NAME(status) [SLOT_##status] = #status,
	static const char *const names[] = {"other", "2xx", "3xx", "4xx", "5xx", STATUSES(NAME)};

	return slot < SLOTS ? names[slot] : "";
}

const char *http_reason(int status)
{
	if (status < 0 || status >= (int)ARRAY_LEN(reasons) || !reasons[status])
		return "";
	return reasons[status];
}
