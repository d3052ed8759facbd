/* SPDX-License-Identifier: MIT */
#include "cache/policy/policy.h"

static const struct {
	const char *token, *key, *what, *remedy;
} reasons[] = {
	[POLICY_STORE] = {"stored", "", "", ""},
#define REASON(NAME, token, key, what, remedy) [POLICY_NOT_##NAME] = {token, key, what, remedy},
#include "cache/policy/reasons.def"
#undef REASON
};

const char *policy_store_name(enum policy_store s)
{
	CHECK((unsigned)s < ARRAY_LEN(reasons));
	return reasons[s].token;
}

const char *policy_store_what(enum policy_store s)
{
	CHECK((unsigned)s < ARRAY_LEN(reasons));
	return reasons[s].what;
}

const char *policy_store_remedy(enum policy_store s)
{
	CHECK((unsigned)s < ARRAY_LEN(reasons));
	return reasons[s].remedy;
}

const char *policy_store_key(enum policy_store s)
{
	CHECK((unsigned)s < ARRAY_LEN(reasons));
	return reasons[s].key;
}
