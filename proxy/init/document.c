/* SPDX-License-Identifier: MIT */
#include "proxy/init/document.h"

#include <yaml.h>

struct yaml {
	yaml_parser_t parser;
	json_t *anchors; /* by name, of values that are complete */
	unsigned nodes, depth;
};

static json_t *read_value(struct yaml *y, yaml_event_t *event);

static bool next(struct yaml *y, yaml_event_t *event)
{
	return ++y->nodes <= DOCUMENT_NODES_MAX && yaml_parser_parse(&y->parser, event);
}

static json_t *read_next(struct yaml *y)
{
	yaml_event_t event;
	json_t *value;

	if (!next(y, &event))
		return NULL;
	value = read_value(y, &event);
	yaml_event_delete(&event);
	return value;
}

static json_t *read_list(struct yaml *y)
{
	json_t *list = json_array();
	yaml_event_t event;

	while (list && next(y, &event)) {
		bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
		json_t *value = is_end ? NULL : read_value(y, &event);

		yaml_event_delete(&event);
		if (is_end)
			return list;
		if (!value || json_array_append_new(list, value))
			break;
	}
	json_decref(list);
	return NULL;
}

/* A key that is no scalar is none. */
static json_t *read_map(struct yaml *y)
{
	json_t *map = json_object();
	yaml_event_t event;

	while (map && next(y, &event)) {
		bool is_end = event.type == YAML_MAPPING_END_EVENT;
		json_t *key = is_end ? NULL : read_value(y, &event), *value = key ? read_next(y) : NULL;
		bool is_good = value && json_is_string(key) && !json_object_set(map, json_string_value(key), value);

		yaml_event_delete(&event);
		json_decref(key);
		json_decref(value);
		if (is_end)
			return map;
		if (!is_good)
			break;
	}
	json_decref(map);
	return NULL;
}

static json_t *keep(struct yaml *y, const yaml_char_t *anchor, json_t *value)
{
	if (value && anchor)
		(void)json_object_set(y->anchors, (const char *)anchor, value);
	return value;
}

static json_t *read_value(struct yaml *y, yaml_event_t *event)
{
	json_t *value = NULL;

	if (y->depth == DOCUMENT_DEPTH_MAX)
		return NULL;
	y->depth++;
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		value = json_stringn((const char *)event->data.scalar.value, event->data.scalar.length);
		value = keep(y, event->data.scalar.anchor, value);
		break;
	case YAML_SEQUENCE_START_EVENT:
		value = keep(y, event->data.sequence_start.anchor, read_list(y));
		break;
	case YAML_MAPPING_START_EVENT:
		value = keep(y, event->data.mapping_start.anchor, read_map(y));
		break;
	case YAML_ALIAS_EVENT:
		value = json_incref(json_object_get(y->anchors, (const char *)event->data.alias.anchor));
		break;
	default:
		break;
	}
	y->depth--;
	return value;
}

static json_t *read_yaml(struct slice text)
{
	struct yaml y = {.anchors = json_object()};
	json_t *root = NULL;
	yaml_event_t event;

	if (!y.anchors || !yaml_parser_initialize(&y.parser)) {
		json_decref(y.anchors);
		return NULL;
	}
	yaml_parser_set_input_string(&y.parser, (const unsigned char *)text.p, text.n);
	while (!root && next(&y, &event)) {
		bool is_before = event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT;

		if (!is_before)
			root = read_value(&y, &event);
		yaml_event_delete(&event);
		if (!is_before)
			break;
	}
	yaml_parser_delete(&y.parser);
	json_decref(y.anchors);
	return root;
}

json_t *document_read_json(struct slice text)
{
	return json_loadb(text.p, text.n, JSON_DECODE_ANY, NULL);
}

json_t *document_read(struct slice text)
{
	json_t *value = document_read_json(text);

	return value ? value : read_yaml(text);
}
