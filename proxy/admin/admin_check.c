/* SPDX-License-Identifier: MIT */
/* A call's parameters, by the rules of its endpoint. */
#include <stdio.h>

#include "http/syntax.h"
#include "proxy/admin/admin_internal.h"

static const struct admin_rule *rule_of(const struct admin_endpoint *e, struct slice name)
{
	for (unsigned i = 0; i < e->rules_n; i++)
		if (slice_equal(name, slice_of(e->rules[i].name)))
			return &e->rules[i];
	return NULL;
}

/* Most often it is a part of the query of an url that was not encoded. */
static const char *refuse_name(const struct admin_endpoint *e, struct slice name, char why[ADMIN_WHY_MAX])
{
	bool has_url = false;

	for (unsigned i = 0; i < e->rules_n; i++)
		has_url = has_url || e->rules[i].value == VALUE_URL;
	snprintf(why, ADMIN_WHY_MAX, "there is no parameter %.*s%s",
		(int)(http_is_token(name) && name.n < 64 ? name.n : 0), name.p,
		has_url ? "; an & inside a URL is written %26" : "");
	return why;
}

static bool is_given_before(const struct admin_call *c, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (slice_equal(c->parameters[k].name, c->parameters[i].name))
			return true;
	return false;
}

static bool is_word(const char *words, struct slice value)
{
	struct slice rest = slice_of(words), one;

	while (rest.n > 0) {
		(void)slice_cut(rest, '|', &one, &rest);
		if (slice_equal(one, value))
			return true;
	}
	return false;
}

static bool is_number(const struct admin_rule *r, struct slice value)
{
	unsigned long long n;

	return slice_to_u64(value, (unsigned long long)r->high + 1, &n) && n >= r->low && n <= r->high;
}

/* "tier is memory or disk" */
static const char *say_words(const struct admin_rule *r, char why[ADMIN_WHY_MAX])
{
	struct slice rest = slice_of(r->words), one;
	size_t n = (size_t)snprintf(why, ADMIN_WHY_MAX, "%s is", r->name);

	for (unsigned i = 0; rest.n > 0 && n < ADMIN_WHY_MAX; i++) {
		(void)slice_cut(rest, '|', &one, &rest);
		n += (size_t)snprintf(why + n, ADMIN_WHY_MAX - n, "%s %.*s", i ? " or" : "", SLICE_ARG(one));
	}
	return why;
}

static const char *check_value(const struct admin_rule *r, struct slice value, char why[ADMIN_WHY_MAX])
{
	switch (r->value) {
	case VALUE_TEXT:
	case VALUE_URL:
		return NULL;
	case VALUE_FLAG:
		if (is_word("0|1", value))
			return NULL;
		snprintf(why, ADMIN_WHY_MAX, "%s is 0 or 1", r->name);
		return why;
	case VALUE_NUMBER:
		if (is_number(r, value))
			return NULL;
		snprintf(why, ADMIN_WHY_MAX, "%s is a number from %u to %u", r->name, r->low, r->high);
		return why;
	case VALUE_WORDS:
		return is_word(r->words, value) ? NULL : say_words(r, why);
	}
	return NULL;
}

const char *admin_check_parameters(const struct admin_call *c, const struct admin_endpoint *e, char why[ADMIN_WHY_MAX])
{
	unsigned names = 0;

	for (unsigned i = 0; i < c->parameters_n; i++) {
		const struct admin_parameter *p = &c->parameters[i];
		const struct admin_rule *r = rule_of(e, p->name);

		if (!r)
			return refuse_name(e, p->name, why);
		if (!r->is_repeated && is_given_before(c, i))
			return "a parameter is given twice";
		names += r->is_repeated;
		if (check_value(r, p->value, why))
			return why;
	}
	if (names > ADMIN_NAMES_MAX) {
		snprintf(why, ADMIN_WHY_MAX, "more than %d names", ADMIN_NAMES_MAX);
		return why;
	}
	for (unsigned i = 0; i < e->rules_n; i++) {
		if (!e->rules[i].is_required || admin_parameter_find(c, e->rules[i].name))
			continue;
		snprintf(why, ADMIN_WHY_MAX, "%s is missing", e->rules[i].name);
		return why;
	}
	return NULL;
}

bool admin_flag(const struct admin_call *c, const char *name)
{
	struct slice v;

	return admin_parameter(c, name, &v) && slice_equal(v, SLICE_LIT("1"));
}
