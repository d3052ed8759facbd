/* SPDX-License-Identifier: MIT */
/* The description of this API: what the table of endpoints asks for, and what openapi.json says of their answers. */
#include "proxy/admin/admin_internal.h"

/* openapi.json, as it is. */
__asm__(".pushsection .rodata\n"
	"openapi_text:\n\t.incbin \"proxy/admin/openapi.json\"\n"
	"openapi_text_end:\n\t.byte 0\n"
	".popsection\n");
extern const char openapi_text[], openapi_text_end[];

/* ---- One parameter ---- */

static json_t *words_of(const char *words)
{
	json_t *list = json_array();
	struct slice rest = slice_of(words), one;

	while (rest.n > 0) {
		(void)slice_cut(rest, '|', &one, &rest);
		json_array_append_new(list, json_stringn(one.p, one.n));
	}
	return list;
}

static json_t *schema_of_value(const struct admin_rule *r)
{
	switch (r->value) {
	case VALUE_FLAG:
		return json_pack("{s:s, s:[s, s]}", "type", "string", "enum", "0", "1");
	case VALUE_NUMBER:
		return json_pack("{s:s, s:i, s:i}", "type", "integer", "minimum", (int)r->low, "maximum", (int)r->high);
	case VALUE_WORDS:
		return json_pack("{s:s, s:o}", "type", "string", "enum", words_of(r->words));
	case VALUE_TEXT:
	case VALUE_URL:
		break;
	}
	return json_pack("{s:s}", "type", "string");
}

static json_t *schema_of(const struct admin_rule *r)
{
	json_t *one = schema_of_value(r);

	return r->is_repeated ? json_pack("{s:s, s:o}", "type", "array", "items", one) : one;
}

static json_t *parameters_of(const struct admin_endpoint *e)
{
	json_t *list = json_array();

	/* Those of a POST may stand in a form instead, so none is required in the query. */
	for (unsigned i = 0; i < e->rules_n; i++)
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", e->rules[i].name, "in", "query", "description",
				e->rules[i].help, "required", e->rules[i].is_required && e->method == HTTP_GET,
				"schema", schema_of(&e->rules[i])));
	return list;
}

static json_t *form_of(const struct admin_endpoint *e)
{
	json_t *properties = json_object();

	for (unsigned i = 0; i < e->rules_n; i++)
		json_object_set_new(properties, e->rules[i].name, schema_of(&e->rules[i]));
	return json_pack("{s:s, s:{s:{s:{s:s, s:o, s:b}}}}", "description",
		"The parameters, in place of the query or beside it; each stands in one of them", "content",
		"application/x-www-form-urlencoded", "schema", "type", "object", "properties", properties,
		"additionalProperties", 0);
}

/* ---- One endpoint ---- */

static json_t *operation_of(const struct admin_endpoint *e, const json_t *responses)
{
	json_t *all = responses ? json_deep_copy(responses) : json_object();
	json_t *o = json_pack("{s:s, s:s, s:o}", "operationId", e->path + 1, "summary", e->summary, "responses", all);

	json_object_set_new(all, "default", json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
	if (e->rules_n == 0)
		return o;
	json_object_set_new(o, "parameters", parameters_of(e));
	if (e->method == HTTP_POST)
		json_object_set_new(o, "requestBody", form_of(e));
	return o;
}

json_t *admin_openapi(const struct admin_endpoint *endpoints, unsigned n)
{
	json_t *document = json_loadb(openapi_text, (size_t)(openapi_text_end - openapi_text), 0, NULL);
	json_t *responses = json_object_get(document, "x-responses"), *paths = json_object();

	for (unsigned i = 0; document && i < n; i++)
		json_object_set_new(paths, endpoints[i].path,
			json_pack("{s:o}", endpoints[i].method == HTTP_GET ? "get" : "post",
				operation_of(&endpoints[i], json_object_get(responses, endpoints[i].path))));
	json_object_set_new(document, "paths", paths);
	json_object_del(document, "x-responses");
	json_object_set_new(json_object_get(document, "info"), "version", json_string(MEMOPROXY_VERSION));
	return document;
}
