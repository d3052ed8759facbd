/* SPDX-License-Identifier: MIT */
#include "cache/policy/policy.h"

static const struct policy_reason reasons[] = {
	[POLICY_STORE] = {"stored", "", "", ""},
#define REASON(NAME, token, key, what, remedy) [POLICY_NOT_##NAME] = {token, key, what, remedy},
#include "cache/policy/reasons.def"
#undef REASON
};

const struct policy_reason *policy_reason(enum policy_store s)
{
	CHECK((unsigned)s < ARRAY_LEN(reasons));
	return &reasons[s];
}
