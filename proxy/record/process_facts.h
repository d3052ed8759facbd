/* SPDX-License-Identifier: MIT */
/* What the kernel says of this process, for /metrics and /stats.
 * Thread: main. Owns: while it counts descriptors, a directory. Bounds: so many of its entries are read in one go. */
#ifndef PROXY_RECORD_PROCESS_FACTS_H
#define PROXY_RECORD_PROCESS_FACTS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

enum { PROCESS_FILES_STEP = 1000 };

struct process_facts {
	double cpu_s;                          /* user and system, of all threads, of those that have ended, too */
	int64_t virtual_bytes, resident_bytes; /* -1: not known */
	int64_t open_files, max_files;         /* the same; descriptors, and as many as there may be */
	DIR *files;                            /* private: they are being counted */
};

/* Reads all but the open descriptors, where the kernel does not know their number (before Linux 6.2) or is not asked for it. */
void process_facts_init(struct process_facts *f, bool asks_kernel);
void process_facts_fini(struct process_facts *f);
/* Counts these a step further. False: that was all. */
bool process_facts_go_on(struct process_facts *f);

#endif
