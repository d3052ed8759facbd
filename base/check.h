/* SPDX-License-Identifier: MIT */
/* Assertions about our own code, never about bytes from a network, a disk or a file. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>
#include <stdint.h>

/* Prints the expression and aborts; stays on in release builds. */
#define CHECK(expr) ((expr) ? (void)0 : check_failed(#expr, __FILE__, __LINE__))
__attribute__((noreturn, cold)) void check_failed(const char *expr, const char *file, int line);

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define WARN_UNUSED __attribute__((warn_unused_result))

#endif
