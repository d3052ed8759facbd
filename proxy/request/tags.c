/* SPDX-License-Identifier: MIT */
#include "proxy/request/tags.h"

#include "http/etag.h"

static struct slice coding_name(unsigned coding)
{
	return coding < CACHE_CODINGS ? cache_coding_name((enum cache_coding)coding) : SLICE_LIT("identity");
}

/* Without the coding's name and the quote after it. CACHE_CODINGS + 1: it has none; CACHE_CODINGS: "identity". */
static struct slice cut_coding(struct slice tag, unsigned *coding)
{
	for (*coding = 0; *coding <= CACHE_CODINGS; ++*coding) {
		struct slice name = coding_name(*coding);

		/* At least the quotes and the dash are there besides it. */
		if (tag.n >= name.n + 3 && tag.p[tag.n - 1] == '"' && tag.p[tag.n - name.n - 2] == '-' &&
			memcmp(tag.p + tag.n - name.n - 1, name.p, name.n) == 0)
			return (struct slice){tag.p, tag.n - name.n - 2};
	}
	return tag;
}

bool tags_looks_coded(struct slice tag)
{
	unsigned coding;

	(void)cut_coding(tag, &coding);
	return coding <= CACHE_CODINGS;
}

bool tags_is_coded(struct slice tag)
{
	unsigned coding;

	(void)cut_coding(tag, &coding);
	return coding < CACHE_CODINGS;
}

/* What has no closing quote stays. */
struct slice tags_for_client(struct buf *text, struct slice tag, enum cache_coding coding)
{
	size_t from = text->n;

	if (tag.n < 2 || tag.p[tag.n - 1] != '"' || (coding == CACHE_IDENTITY && !tags_looks_coded(tag)))
		return tag;
	buf_add(text, tag.p, tag.n - 1);
	buf_add_char(text, '-');
	buf_add_slice(text, coding_name(coding));
	buf_add_char(text, '"');
	return slice_from(buf_slice(text), from);
}

int tags_add_own(struct buf *out, struct slice tag)
{
	unsigned coding;
	struct slice own = cut_coding(tag, &coding);

	buf_add_slice(out, own);
	if (coding <= CACHE_CODINGS)
		buf_add_char(out, '"');
	return out->err;
}

/* ---- Conditions ---- */

bool tags_are_in(enum http_field_id id)
{
	return id == HF_IF_MATCH || id == HF_IF_NONE_MATCH || id == HF_IF_RANGE;
}

bool tags_is_made(struct slice tag, const struct cache_rules *rules)
{
	unsigned coding = CACHE_CODINGS + 1;
	struct slice own;

	/* Made weak on its way, as by an nginx that compresses. */
	if (slice_starts_with(tag, SLICE_LIT("W/")))
		tag = slice_from(tag, 2);
	own = rules->compress ? cut_coding(tag, &coding) : tag;

	if (coding > CACHE_CODINGS && own.n > 0)
		own.n--; /* its quote */
	return rules->etag == CACHE_ETAG_AUTO && object_tag_is_made(own);
}

bool tags_cannot_be_judged(const struct http_request *request, const struct cache_rules *rules)
{
	bool reads = request->method == HTTP_GET || request->method == HTTP_HEAD;
	bool is_made_none = false, is_made_match = false, others_match = false;
	struct slice rest, tag;

	if (rules->etag != CACHE_ETAG_AUTO)
		return false;
	for (uint32_t i = 0; i < request->fields.n; i++) {
		const struct http_field *f = &request->fields.v[i];

		if (f->id != HF_IF_MATCH && f->id != HF_IF_NONE_MATCH)
			continue;
		for (rest = f->value; etag_list_next(&rest, &tag);) {
			bool made = tags_is_made(tag, rules);

			if (f->id == HF_IF_NONE_MATCH) {
				is_made_none |= made;
			} else {
				is_made_match |= made;
				others_match |= !made;
			}
		}
	}
	return (is_made_match && !others_match) || (is_made_none && !reads);
}

int tags_add_condition(struct buf *out, const struct http_field *f, const struct cache_rules *rules)
{
	struct slice rest = f->value, tag;
	size_t from = out->n;

	if (f->id == HF_IF_RANGE) /* one tag, or a date */
		return rules->compress ? tags_add_own(out, f->value) : buf_add_slice(out, f->value);
	while (etag_list_next(&rest, &tag)) {
		if (f->id == HF_IF_MATCH && tags_is_made(tag, rules))
			continue;
		if (out->n > from)
			buf_add_str(out, ", ");
		if (!rules->compress)
			buf_add_slice(out, tag);
		else if (tags_add_own(out, tag) != 0)
			return out->err;
	}
	return out->err;
}
