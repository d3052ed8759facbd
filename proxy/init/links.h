/* SPDX-License-Identifier: MIT */
/* URLs that a document names.
 * Thread: any. Bounds: LINKS_MAX of one document, SITEMAP_MAX of a sitemap. */
#ifndef PROXY_INIT_LINKS_H
#define PROXY_INIT_LINKS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/slice.h"

enum { LINKS_MAX = 200, SITEMAP_MAX = 50000 };

/* With each reference, absolute or relative to the document. */
typedef void links_each(void *arg, struct slice reference);

/* Strings that are URLs; and strings that are paths, where a member is called href, url, self and the like. `any_path`: all that are
 * paths, and members' names that are. */
void links_in_json(const json_t *document, bool any_path, links_each *each, void *arg);
/* href="..." */
void links_in_html(struct slice text, links_each *each, void *arg);
/* The <loc> of a sitemap (sitemaps.org), of which up to SITEMAP_MAX count. False: it is none, or its XML breaks off. *is_index: they are
 * of further sitemaps. */
bool links_in_sitemap(struct slice text, bool *is_index, links_each *each, void *arg);
/* The identity of the first member of a collection, that is a list of objects or an object with one list of such; empty: there is
 * none. It lives as long as the document, or in `digits`. */
struct slice links_first_id(const json_t *document, char digits[24]);

#endif
