/* SPDX-License-Identifier: MIT */
/* Printing for people.
 * Thread: main. */
#ifndef PROXY_CONTROL_PRINT_H
#define PROXY_CONTROL_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Control characters, those of Unicode too, as '?': a URL may hold what moves a terminal's cursor. */
void print_text(FILE *to, const char *text);
/* A headline, bold where `to` is a terminal that can be told so, and NO_COLOR is not set (no-color.org). */
void print_heading(FILE *to, const char *text);
/* A string as it is, a number, true or false; anything else as JSON. */
void print_value(FILE *to, const json_t *j);
/* `name` padded to `width`, then the value. Nothing where j is NULL. */
void print_line(FILE *to, int width, const char *name, const json_t *j);

/* "12 s", "3 h": what a column has room for. */
struct print_short {
	char z[24];
};
struct print_short print_seconds(double s);
struct print_short print_bytes(double n); /* "111", "1.5K", as the file writes sizes */

#endif
