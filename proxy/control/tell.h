/* SPDX-License-Identifier: MIT */
/* What the admin side answered, as sentences and tables for people. All of it is text from elsewhere: bytes that a terminal would obey
 * are shown as '?'.
 * Thread: main. */
#ifndef PROXY_CONTROL_TELL_H
#define PROXY_CONTROL_TELL_H

#include <jansson.h>
#include <stdio.h>

void tell_purge(const json_t *j, FILE *to);
void tell_refresh(const json_t *j, FILE *to);
void tell_explain(const json_t *j, FILE *to);
void tell_entries(const json_t *j, FILE *to);
void tell_stats(const json_t *j, FILE *to);
void tell_reload(const json_t *j, FILE *to);
void tell_check(const json_t *j, FILE *to);
/* A problem (RFC 9457), `who` first. */
void tell_problem(const json_t *j, const char *who, FILE *to);

#endif
