/* SPDX-License-Identifier: MIT */
/* `memoproxy init URL [PATH...]`: asks an API a few paths and writes a proxy.ini of what it says.
 * Thread: main; it blocks. Bounds: INIT_CALLS_MAX calls. */
#ifndef PROXY_INIT_INIT_H
#define PROXY_INIT_INIT_H

enum { INIT_CALLS_MAX = 400, INIT_FIELDS_MAX = 16 };

/* argv[0] is "init". The exit status, after a sentence on standard error where it is not 0. */
int init_run(int argc, char **argv);

#endif
