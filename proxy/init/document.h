/* SPDX-License-Identifier: MIT */
/* A document as JSON: JSON itself, or YAML, of which every scalar is a string here.
 * Thread: any. Bounds: DOCUMENT_NODES_MAX values, DOCUMENT_DEPTH_MAX deep; aliases of YAML are the value itself, not a copy. */
#ifndef PROXY_INIT_DOCUMENT_H
#define PROXY_INIT_DOCUMENT_H

#include <jansson.h>

#include "base/slice.h"

enum { DOCUMENT_NODES_MAX = 1000000, DOCUMENT_DEPTH_MAX = 100 };

/* NULL when it is neither. To be released with json_decref. */
json_t *document_read(struct slice text);
/* The same of JSON alone. */
json_t *document_read_json(struct slice text);

#endif
