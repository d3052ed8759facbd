/* SPDX-License-Identifier: MIT */
#include "tests/unit/config/config_rig.h"

#include <errno.h>

enum { ERRORS_MAX = 65536 };

struct config *config_of(const char *text)
{
	struct config *c;
	struct buf errors;
	int rc;

	buf_init(&errors, ERRORS_MAX);
	rc = config_parse(slice_of(text), "t", &c, &errors);
	if (rc)
		fail_msg("%d\n%.*s\nof\n%s", rc, SLICE_ARG(buf_slice(&errors)), text);
	buf_fini(&errors);
	return c;
}

const char *warnings_of(const char *text)
{
	static char shown[ERRORS_MAX];
	struct config *c;
	struct buf warnings;

	buf_init(&warnings, ERRORS_MAX - 1);
	assert_int_equal(config_parse(slice_of(text), "t", &c, &warnings), 0);
	config_unref(&c);
	if (warnings.n > 0)
		memcpy(shown, warnings.p, warnings.n);
	shown[warnings.n] = '\0';
	buf_fini(&warnings);
	return shown;
}

const char *errors_of(struct slice text)
{
	static char shown[ERRORS_MAX];
	struct config *c;
	struct buf errors;
	int rc;

	buf_init(&errors, ERRORS_MAX - 1);
	rc = config_parse(text, "t", &c, &errors);
	if (rc != -EINVAL)
		fail_msg("%d, not refused:\n%.*s", rc, SLICE_ARG(text));
	assert_null(c);
	assert_int_equal(errors.err, 0);
	memcpy(shown, errors.p, errors.n);
	shown[errors.n] = '\0';
	buf_fini(&errors);
	return shown;
}
