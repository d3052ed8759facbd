/* SPDX-License-Identifier: MIT */
/* A value as dictionary, list and item: iterating agrees with validating, parts are parsed as the whole was, strings survive
 * being written and read. */
#include "base/check.h"
#include "http/sf.h"

static void check_string(const struct sf_item *item)
{
	struct buf plain, written;
	struct sf_item again;
	buf_init(&plain, 1 << 20);
	buf_init(&written, 1 << 20);
	CHECK(sf_string_unescape(item, &plain) == 0);
	CHECK(sf_string_equal(item, buf_slice(&plain)));
	CHECK(sf_add_string(&written, buf_slice(&plain)) == 0);
	CHECK(sf_item_parse(buf_slice(&written), &again) && slice_equal(again.text, item->text));
	buf_fini(&plain);
	buf_fini(&written);
}

static void check_item(const struct sf_item *item)
{
	struct sf_parser parser;
	struct slice key;
	struct sf_item value;
	int rc;
	if (item->type == SF_STRING)
		check_string(item);
	if (item->type == SF_TOKEN)
		CHECK(sf_is_token(item->text));
	sf_parser_init(&parser, item->params);
	while ((rc = sf_param_next(&parser, &key, &value)) == 1)
		CHECK(sf_is_key(key) && value.type != SF_INNER_LIST);
	CHECK(rc == 0);
	if (item->type != SF_INNER_LIST)
		return;
	sf_parser_init(&parser, item->text);
	while ((rc = sf_inner_next(&parser, &value)) == 1)
		CHECK(value.type != SF_INNER_LIST);
	CHECK(rc == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice value = {(const char *)data, size}, key;
	struct sf_parser parser;
	struct sf_item item;
	int rc;
	sf_parser_init(&parser, value);
	while ((rc = sf_dict_next(&parser, &key, &item)) == 1) {
		CHECK(sf_is_key(key));
		check_item(&item);
	}
	CHECK((rc == 0) == sf_dict_valid(value));
	sf_parser_init(&parser, value);
	while ((rc = sf_list_next(&parser, &item)) == 1)
		check_item(&item);
	CHECK((rc == 0) == sf_list_valid(value));
	if (sf_item_parse(value, &item)) {
		check_item(&item);
		CHECK(sf_list_valid(value));
	}
	return 0;
}
