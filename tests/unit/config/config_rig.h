/* SPDX-License-Identifier: MIT */
/* Configurations from text, for the tests of config/. */
#ifndef TESTS_CONFIG_RIG_H
#define TESTS_CONFIG_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"

/* Parsed from text; fails the test and shows the errors when it has any. */
struct config *config_of(const char *text);
/* Expects it to be taken; returns all warnings, valid until the next call. */
const char *warnings_of(const char *text);
/* Expects it to be refused with -EINVAL; returns all error lines, valid until the next call. */
const char *errors_of(struct slice text);

#endif
