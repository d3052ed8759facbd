/* SPDX-License-Identifier: MIT */
/* A value as dictionary and list: iterating agrees with validating, parts are parsed as the whole was. */
#include "base/check.h"
#include "http/sf.h"

static void check_string(const struct sf_item *item)
{
	struct buf plain;
	buf_init(&plain, 1 << 20);
	CHECK(sf_string_unescape(item, &plain) == 0 && plain.n <= item->text.n);
	buf_fini(&plain);
}

static void check_item(const struct sf_item *item)
{
	struct sf_parser parser;
	struct slice key;
	struct sf_item value;
	int rc;
	if (item->type == SF_STRING)
		check_string(item);
	sf_parser_init(&parser, item->params);
	while ((rc = sf_param_next(&parser, &key, &value)) == 1)
		CHECK(key.n > 0 && value.type != SF_INNER_LIST);
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
		CHECK(key.n > 0);
		check_item(&item);
	}
	CHECK((rc == 0) == sf_dict_valid(value));
	sf_parser_init(&parser, value);
	while ((rc = sf_list_next(&parser, &item)) == 1)
		check_item(&item);
	CHECK((rc == 0) == sf_list_valid(value));
	return 0;
}
