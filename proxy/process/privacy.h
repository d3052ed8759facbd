/* SPDX-License-Identifier: MIT */
/* Files that hold secrets or clients' responses, and that other users of the machine can get at.
 * Thread: main. Owns: nothing. */
#ifndef PROXY_PROCESS_PRIVACY_H
#define PROXY_PROCESS_PRIVACY_H

#include "config/config.h"

/* Calls `say` with a sentence for each: the key of a TLS listener, the admin's token_file, the configuration itself where a
 * token stands in it, the disk tier's directory. Files that do not exist are passed over. */
void privacy_look(const struct config *c, const char *config_path, void (*say)(const char *sentence));

#endif
