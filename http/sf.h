/* SPDX-License-Identifier: MIT */
/* Structured fields (RFC 9651): dictionaries, lists and items, read in place.
 * Thread: any. Borrows: the value; keys, texts and parameters point into it. Owns: nothing. Bounds: none but the input's
 * length; nothing recurses.
 * A field that does not parse as a whole counts as absent, so ask sf_dict_valid or sf_list_valid before acting on the
 * first members. Several lines are one value: http_fields_join. */
#ifndef HTTP_SF_H
#define HTTP_SF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/slice.h"

enum sf_type {
	SF_INTEGER,
	SF_DECIMAL,
	SF_STRING,
	SF_TOKEN,
	SF_BYTES,
	SF_BOOLEAN,
	SF_DATE,
	SF_DISPLAY_STRING,
	SF_INNER_LIST,
};

struct sf_item {
	enum sf_type type;
	int64_t integer; /* of INTEGER and DATE (seconds); of DECIMAL the thousandths */
	bool boolean;    /* of BOOLEAN */
	struct slice
		text; /* INTEGER, DECIMAL, DATE: the number; STRING, DISPLAY_STRING: between the quotes, still escaped;
			     * TOKEN: itself; BYTES: the base64; INNER_LIST: between the parentheses */
	struct slice params; /* for sf_param_next */
};

struct sf_parser {
	/* private */
	struct slice rest;
	bool is_first;
};

void sf_parser_init(struct sf_parser *parser, struct slice value);
/* 1: the next member; 0: the end; -EINVAL: the rest does not parse. Of a repeated key the last counts (RFC 9651 3.2). */
int sf_dict_next(struct sf_parser *parser, struct slice *key, struct sf_item *value) WARN_UNUSED;
int sf_list_next(struct sf_parser *parser, struct sf_item *member) WARN_UNUSED;
/* The parameters of an item: init the parser with its params. */
int sf_param_next(struct sf_parser *parser, struct slice *key, struct sf_item *value) WARN_UNUSED;

/* An empty dictionary or list is valid: it is as good as absent. */
bool sf_dict_valid(struct slice value);
bool sf_list_valid(struct slice value);

/* Appends it unescaped. Returns out's error. */
int sf_string_unescape(const struct sf_item *item, struct buf *out) WARN_UNUSED;

#endif
