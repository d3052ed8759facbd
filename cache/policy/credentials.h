/* SPDX-License-Identifier: MIT */
/* What a request bears by which its origin may tell whom it answers, and which the key does not hold.
 * Thread: any; no state. Borrows: the names that it gives back are the request's. */
#ifndef CACHE_POLICY_CREDENTIALS_H
#define CACHE_POLICY_CREDENTIALS_H

#include "cache/policy/rules.h"
#include "http/fields.h"

/* Authorization, Cookie, and the fields that the route's `credentials` names. What is in the key (key_headers, key_cookies,
 * user_from where the scope is the user) tells requests apart already, and what `shared_credentials` names does not matter:
 * neither counts. Of a Cookie each cookie counts for itself. */
struct credentials {
	bool has_authorization; /* RFC 9111 3.5 speaks of this one alone */
	bool has_other;
	struct slice field;  /* of the first other one: as the request spells it */
	struct slice cookie; /* the cookie's name, where field is Cookie and it has one */
};
/* Fills rules->no_credential, once `credentials` is set: it spares most fields of most requests the comparison. */
void credentials_note_absent(struct cache_rules *rules);
struct credentials credentials_of(const struct cache_rules *rules, const struct http_fields *request);

static inline bool credentials_are_any(const struct credentials *c)
{
	return c->has_authorization || c->has_other;
}
/* Is there one for whose bearer only that is which the origin says is for all? */
static inline bool credentials_bind(const struct cache_rules *rules, const struct credentials *c)
{
	return c->has_other || (c->has_authorization && !(cache_overrides(rules) & CACHE_OVERRIDE_AUTHORIZATION));
}

/* The next "name=value" of a Cookie field's value, trimmed. Start with *rest = the value; false at the end. */
bool cookie_next(struct slice *rest, struct slice *pair);
/* A pair without '=' is a name without a value to some readers (and a value without a name to others). */
struct slice cookie_name(struct slice pair);
/* Does the route call it one that does not matter (`shared_credentials`), and is it written so that all read it alike? */
bool cookie_is_shared(const struct cache_rules *rules, struct slice pair);

#endif
