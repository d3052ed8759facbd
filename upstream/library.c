/* SPDX-License-Identifier: MIT */
#include <curl/curl.h>

#include "upstream/fetch.h"

const char *upstream_library(void)
{
	return curl_version();
}
