/* SPDX-License-Identifier: MIT */
/* The commands that look and change nothing: -t, check, disk-check.
 * Thread: main. */
#ifndef PROXY_PROCESS_CHECK_H
#define PROXY_PROCESS_CHECK_H

#include "base/args.h"
#include "config/config.h"

extern const struct word check_word, disk_check_word;

/* Names what is wrong and what looks like a mistake on standard error, the result on `to`. `connect`: also which origins do not answer.
 * The exit status: 1 for a mistake, with `strict` 3 for a warning. */
int check_config(const struct config_source *source, bool strict, bool connect, FILE *to);

#endif
