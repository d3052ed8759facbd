/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

static int real_stderr, captured;

static int capture(void **state)
{
	(void)state;
	captured = memfd_create("stderr", MFD_CLOEXEC);
	real_stderr = dup(STDERR_FILENO);
	log_set_level(LOG_LEVEL_INFO);
	return captured >= 0 && dup2(captured, STDERR_FILENO) >= 0 ? 0 : -1;
}

static int release(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(captured);
	return 0;
}

/* All that was written since the capture began. */
static const char *written(void)
{
	static char text[8192];
	ssize_t n = pread(captured, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void assert_written_matches(const char *pattern)
{
	regex_t re;
	int rc;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	rc = regexec(&re, written(), 0, NULL, 0);
	regfree(&re);
	if (rc)
		print_error("wrote: %s\n", written());
	assert_int_equal(rc, 0);
}

static void line_has_time_level_and_text(void **state)
{
	(void)state;
	log_warn("listen on %s:%d", "[::1]", 80);
	assert_written_matches("^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z warn listen on \\[::1\\]:80\n$");
}

static void lines_above_the_level_are_left_out(void **state)
{
	(void)state;
	log_debug("no");
	log_set_level(LOG_LEVEL_WARN);
	log_info("no");
	assert_string_equal(written(), "");
	log_error("yes");
	assert_written_matches(" error yes\n$");
	assert_true(log_enabled(LOG_LEVEL_WARN));
	assert_false(log_enabled(LOG_LEVEL_INFO));
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("also");
	assert_written_matches(" debug also\n$");
}

static void control_bytes_can_not_forge_a_line(void **state)
{
	(void)state;
	log_info("path %s", "/a\r\n2026 error \x1b[2J\x7f");
	assert_written_matches("Z info path /a\\?\\?2026 error \\?\\[2J\\?\n$");
}

static void long_line_is_cut_and_still_ends_in_a_newline(void **state)
{
	char text[5000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	assert_int_equal(strlen(written()), 2048);
	assert_written_matches("xxx\n$");
}

static void errno_survives_a_line(void **state)
{
	(void)state;
	errno = ENOSPC;
	log_info("x");
	assert_int_equal(errno, ENOSPC);
}

static void limited_site_counts_what_it_leaves_out(void **state)
{
	struct log_limit limit = {0};

	(void)state;
	assert_true(log_allowed(&limit));
	log_info("first");
	assert_false(log_allowed(&limit));
	assert_false(log_allowed(&limit));
	assert_int_equal(limit.suppressed, 2);
	assert_in_range(limit.next_ms - clock_now().mono_ms, 1, 1000);
	limit.next_ms = clock_now().mono_ms; /* as if the second had passed */
	assert_true(log_allowed(&limit));
	log_info("second");
	log_info("third");
	assert_int_equal(limit.suppressed, 0);
	assert_written_matches("info first\n.*info \\(2 like this left out\\) second\n.*info third\n$");
}

static void a_field_is_told_by_its_name(void **state)
{
	const struct log_field fields[] = {
		{"error", SLICE_LIT("dns_error")}, {"origin", SLICE_LIT("")}, {"id", SLICE_LIT("a \"b\"\n")}};

	(void)state;
	log_event(LOG_LEVEL_WARN, fields, 3, "upstream %s", "api");
	assert_written_matches("Z warn upstream api error=dns_error id=\"a \\\\\"b\\\\\"\\?\"\n$");
}

static void a_long_message_leaves_room_for_the_fields(void **state)
{
	const struct log_field fields[] = {{"error", SLICE_LIT("dns_error")}, {"id", SLICE_LIT("7")}};
	char text[5000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_event(LOG_LEVEL_WARN, fields, 2, "%s", text);
	assert_written_matches("xxx error=dns_error id=7\n$");
	assert_in_range(strlen(written()), 1000, 2048);
}

static int json(void **state)
{
	log_set_format(LOG_JSON);
	return capture(state);
}

static int text_again(void **state)
{
	log_set_format(LOG_TEXT);
	return release(state);
}

static void a_line_of_json_is_an_object(void **state)
{
	const struct log_field fields[] = {{"error", SLICE_LIT("dns_error")}, {"id", SLICE_LIT("")}};
	struct log_limit limit = {.suppressed = 2};

	(void)state;
	assert_true(log_allowed(&limit));
	log_event(LOG_LEVEL_ERROR, fields, 2, "a \"quote\", \\, a byte %c, a character %s, a line\n", 0xff, "\xc3\xa9");
	assert_written_matches(
		"^\\{\"time\":\"20[0-9T:.-]+Z\",\"level\":\"error\","
		"\"message\":\"a \\\\\"quote\\\\\", \\\\\\\\, a byte \\?, a character \xc3\xa9, a line\\?\","
		"\"left_out\":2,\"error\":\"dns_error\"\\}\n$");
}

/* However long what came from outside is, and however many of its bytes need escaping. */
static void a_line_of_json_is_whole_however_long(void **state)
{
	char text[5000];
	const struct log_field fields[] = {{"id", {text, 3000}}, {"error", SLICE_LIT("x")}};

	(void)state;
	memset(text, '"', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_event(LOG_LEVEL_WARN, fields, 2, "%s", text);
	assert_in_range(strlen(written()), 1500, 2048);
	assert_written_matches("^\\{\"time\":\"[^\"]*\",\"level\":\"warn\",\"message\":\"(\\\\\")*\",\"id\":\"(\\\\\")*"
			       "\"(,\"error\":\"x\")?\\}\n$");
}

static void a_trace_is_written_at_any_level(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	log_trace(NULL, 0, "route %s", "users");
	assert_written_matches("Z debug route users\n$");
}

/* As systemd sets it: the device and inode of what it has made standard error. */
static void name_stream(int fd, int off)
{
	char text[64];
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino + (unsigned)off);
	setenv("JOURNAL_STREAM", text, 1);
	log_init();
}

static void the_journal_gets_priorities_and_no_time(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_DEBUG);
	name_stream(captured, 0);
	log_error("e");
	log_warn("w");
	log_info("i");
	log_debug("d");
	log_set_format(LOG_JSON);
	log_warn("j");
	log_set_format(LOG_TEXT);
	assert_string_equal(written(), "<3>e\n<4>w\n<6>i\n<7>d\n<4>{\"level\":\"warn\",\"message\":\"j\"}\n");
}

/* What systemd set for a process whose standard error goes elsewhere by now. */
static void who_writes_elsewhere_says_the_time(void **state)
{
	(void)state;
	name_stream(captured, 1);
	log_warn("w");
	setenv("JOURNAL_STREAM", "nonsense", 1);
	log_init();
	log_warn("w");
	assert_written_matches("^20[0-9T:.-]+Z warn w\n20[0-9T:.-]+Z warn w\n$");
	unsetenv("JOURNAL_STREAM");
	log_init();
}

static void failed_check_says_where_and_aborts(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		CHECK(1 + 1 == 3);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_written_matches("test_log\\.c:[0-9]+: CHECK failed: 1 \\+ 1 == 3\n");
}

static void clock_runs_forward_and_knows_the_year(void **state)
{
	struct now a = clock_now();
	int64_t us = clock_mono_us();
	struct now b = clock_now();

	(void)state;
	assert_true(a.mono_ms <= us / 1000);
	assert_true(us / 1000 <= b.mono_ms);
	assert_true(a.wall_ms > 1600000000000); /* milliseconds: 2020 is past */
	assert_true(a.wall_ms < 16000000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(line_has_time_level_and_text, capture, release),
		cmocka_unit_test_setup_teardown(lines_above_the_level_are_left_out, capture, release),
		cmocka_unit_test_setup_teardown(control_bytes_can_not_forge_a_line, capture, release),
		cmocka_unit_test_setup_teardown(long_line_is_cut_and_still_ends_in_a_newline, capture, release),
		cmocka_unit_test_setup_teardown(errno_survives_a_line, capture, release),
		cmocka_unit_test_setup_teardown(limited_site_counts_what_it_leaves_out, capture, release),
		cmocka_unit_test_setup_teardown(a_field_is_told_by_its_name, capture, release),
		cmocka_unit_test_setup_teardown(a_long_message_leaves_room_for_the_fields, capture, release),
		cmocka_unit_test_setup_teardown(a_line_of_json_is_an_object, json, text_again),
		cmocka_unit_test_setup_teardown(a_line_of_json_is_whole_however_long, json, text_again),
		cmocka_unit_test_setup_teardown(a_trace_is_written_at_any_level, capture, release),
		cmocka_unit_test_setup_teardown(the_journal_gets_priorities_and_no_time, capture, release),
		cmocka_unit_test_setup_teardown(who_writes_elsewhere_says_the_time, capture, release),
		cmocka_unit_test_setup_teardown(failed_check_says_where_and_aborts, capture, release),
		cmocka_unit_test(clock_runs_forward_and_knows_the_year),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
