/* SPDX-License-Identifier: MIT */
/* The syntax of proxy.ini: what is taken, what is refused, and with which line. */
#include "config/ini.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "tests/unit/config/config_rig.h"

struct ini {
	struct arena *arena;
	struct buf errors;
	struct report report;
	struct ini_section *sections;
};

static void read_ini(struct ini *i, struct slice text)
{
	i->arena = arena_new();
	assert_non_null(i->arena);
	buf_init(&i->errors, 65536);
	i->report = (struct report){.file = "t", .out = &i->errors};
	assert_int_equal(ini_read(text, i->arena, &i->report, &i->sections), 0);
	report_end(&i->report);
	assert_int_equal(buf_add_char(&i->errors, '\0'), 0);
}

static void drop_ini(struct ini *i)
{
	buf_fini(&i->errors);
	arena_free(&i->arena);
}

/* What was read, in a form to compare with: "kind,name:line key=value:line ..." */
static void show(const struct ini *i, struct buf *out)
{
	for (const struct ini_section *s = i->sections; s; s = s->next) {
		buf_addf(out, "%.*s,%.*s:%u ", SLICE_ARG(s->kind), SLICE_ARG(s->name), s->line);
		for (const struct ini_entry *e = s->entries; e; e = e->next)
			buf_addf(out, "%.*s=%.*s:%u ", SLICE_ARG(e->key), SLICE_ARG(e->value), e->line);
	}
	buf_add_char(out, '\0');
}

static void good_texts_are_read_as_the_table_says(void **state)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"", ""},
		{"\n\n# c\n; c\n  # c", ""},
		{"[a]", "a,:1 "},
		{"[a]\n[b c]\n", "a,:1 b,c:2 "},
		{"[ a ]\n\t[ b \t c ] \n", "a,:1 b,c:2 "},
		{"[a]\nk = v\n", "a,:1 k=v:2 "},
		{"[a]\nk=v", "a,:1 k=v:2 "},
		{"[a]\n  k  =  v w  \n", "a,:1 k=v w:2 "},
		{"[a]\nk =\nl = \n", "a,:1 k=:2 l=:3 "},
		{"[a]\r\nk = v\r\nl = w\r\n", "a,:1 k=v:2 l=w:3 "},
		{"\xEF\xBB\xBF[a]\nk = v\n", "a,:1 k=v:2 "},
		{"[a]\nk = a=b\n", "a,:1 k=a=b:2 "},
		{"[a]\nk = /x#y;z\n", "a,:1 k=/x#y;z:2 "},
		{"[a]\nk = #x\n", "a,:1 k=#x:2 "},
		{"[a]\nk = [b]\n", "a,:1 k=[b]:2 "},
		{"[a x]\nk = v\n[a y]\nk = v\n", "a,x:1 k=v:2 a,y:3 k=v:4 "},
		{"[a]\nk = \xC3\xA4\n", "a,:1 k=\xC3\xA4:2 "},
		{"[route a-b_c.D]\n", "route,a-b_c.D:1 "},
	};

	(void)state;
	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		struct buf shown;
		struct ini i;

		buf_init(&shown, 1000);
		read_ini(&i, slice_of(cases[n].text));
		show(&i, &shown);
		if (i.report.errors > 0 || strcmp(shown.p, cases[n].shown) != 0)
			fail_msg("\"%s\" is \"%s\"\n%s", cases[n].text, shown.p, i.errors.p);
		buf_fini(&shown);
		drop_ini(&i);
	}
}

#define TEXT(z)                    \
	{                          \
		(z), sizeof(z) - 1 \
	}

static void bad_texts_are_refused_with_their_line(void **state)
{
	static const struct {
		struct slice text;
		const char *error;
	} cases[] = {
		{TEXT("k = v\n"), "t:1: k stands before the first [section]\n"},
		{TEXT("[a]\nword\n"), "t:2: neither \"[section]\" nor"},
		{TEXT("[a]\n= v\n"), "t:2: a key is"},
		{TEXT("[a]\nk l = v\n"), "t:2: a key is"},
		{TEXT("[a]\nk-l = v\n"), "t:2: a key is"},
		{TEXT("[a\n"), "t:1: a section's line ends"},
		{TEXT("["), "t:1: a section's line ends"},
		{TEXT("[]\n"), "t:1: a section's name"},
		{TEXT("[a b c]\n"), "t:1: a section's name"},
		{TEXT("[a/b]\n"), "t:1: a section's name"},
		{TEXT("[a] # c\n"), "t:1: a section's line ends"},
		{TEXT("[a]\n\n[a]\n"), "t:3: [a] again: it began at line 1\n"},
		{TEXT("[a b]\n[a  b]\n"), "t:2: [a  b] again: it began at line 1\n"},
		{TEXT("[a]\nk = 1\nl = 1\nk = 1\n"), "t:4: k again: it was set at line 2\n"},
		{TEXT("[a]\nk = v # c\n"), "t:2: k: a comment needs a line of its own\n"},
		{TEXT("[a]\nk = v\t; c\n"), "t:2: k: a comment needs a line of its own\n"},
		{TEXT("[a]\nk = \"v\"\n"), "t:2: k: values are not quoted\n"},
		{TEXT("[a]\nk = a\0b\n"), "t:2: a control character\n"},
		{TEXT("[a]\0\n"), "t:1: a control character\n"},
		{TEXT("[a]\nk = a\rb\n"), "t:2: a control character\n"},
		{TEXT("[a]\nk = a\x7F\n"), "t:2: a control character\n"},
		{TEXT("# \x01\n"), "t:1: a control character\n"},
	};

	(void)state;
	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		struct ini i;

		read_ini(&i, cases[n].text);
		if (i.report.errors != 1 || strncmp(i.errors.p, cases[n].error, strlen(cases[n].error)) != 0)
			fail_msg("%s: %u errors:\n%s", cases[n].text.p, i.report.errors, i.errors.p);
		drop_ini(&i);
	}
}

static void keys_of_a_broken_section_are_not_taken_for_the_one_before(void **state)
{
	struct buf shown;
	struct ini i;

	(void)state;
	buf_init(&shown, 1000);
	read_ini(&i, SLICE_LIT("[a]\nk = 1\n[a]\nl = 1\n[b!]\nm = 1\n[c]\nn = 1\n"));
	show(&i, &shown);
	assert_string_equal(shown.p, "a,:1 k=1:2 c,:7 n=1:8 ");
	assert_int_equal(i.report.errors, 2);
	buf_fini(&shown);
	drop_ini(&i);
}

static void errors_past_the_bound_are_counted(void **state)
{
	struct buf text;
	struct ini i;
	unsigned lines = 0;

	(void)state;
	buf_init(&text, 10000);
	for (unsigned n = 0; n < CONFIG_ERRORS_MAX + 5; n++)
		buf_add_str(&text, "x\n");
	read_ini(&i, buf_slice(&text));
	for (const char *c = i.errors.p; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, CONFIG_ERRORS_MAX + 1);
	assert_non_null(strstr(i.errors.p, "t: and 5 more\n"));
	drop_ini(&i);
	buf_fini(&text);
}

/* The file is read in passes (its syntax, each section, what holds between them), but an editor goes down its lines. */
static void mistakes_are_told_in_the_order_of_the_lines(void **state)
{
	struct buf out;
	struct report r = {.file = "t", .out = &out};

	(void)state;
	buf_init(&out, 10000);
	buf_add_str(&out, "before\n");
	report_at(&r, 7, "seven");
	report_at(&r, 3, "three");
	report_warning(&r, 5, "five");
	report_at(&r, 0, "the file");
	report_at(&r, 5, "five again");
	report_at(&r, 9, "nine");
	report_end(&r);
	buf_add_char(&out, '\0');
	assert_string_equal(
		out.p, "before\nt: the file\nt:3: three\nt:5: warning: five\nt:5: five again\nt:7: seven\nt:9: nine\n");
	buf_fini(&out);
}

static void expect_one_error(struct buf *text, const char *error)
{
	struct ini i;

	assert_int_equal(text->err, 0);
	read_ini(&i, buf_slice(text));
	assert_int_equal(i.report.errors, 1);
	if (!strstr(i.errors.p, error))
		fail_msg("%s", i.errors.p);
	drop_ini(&i);
	buf_fini(text);
}

static void every_bound_is_kept_and_said(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 2 * CONFIG_FILE_MAX);
	for (unsigned n = 0; n <= INI_SECTIONS_MAX; n++)
		buf_addf(&text, "[a %u]\n", n);
	expect_one_error(&text, "t:10201: more than 10200 sections\n");
	buf_add_str(&text, "[a]\n");
	for (unsigned n = 0; n <= INI_KEYS_MAX + 3; n++)
		buf_addf(&text, "k%u=\n", n);
	expect_one_error(&text, "t:202: more than 200 keys in a section\n");
	while (text.n <= CONFIG_FILE_MAX)
		buf_add_char(&text, '\n');
	expect_one_error(&text, "t: larger than 8388608 bytes\n");
	buf_addf(&text, "[%065d]\n", 0);
	expect_one_error(&text, "t:1: a section's name");
}

static void long_values_come_whole(void **state)
{
	struct buf text;
	struct ini i;

	(void)state;
	buf_init(&text, 200000);
	buf_add_str(&text, "[a]\nk = ");
	for (unsigned n = 0; n < 100000; n++)
		buf_add_char(&text, 'v');
	read_ini(&i, buf_slice(&text));
	assert_int_equal(i.report.errors, 0);
	assert_int_equal(i.sections->entries->value.n, 100000);
	drop_ini(&i);
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_texts_are_read_as_the_table_says),
		cmocka_unit_test(bad_texts_are_refused_with_their_line),
		cmocka_unit_test(keys_of_a_broken_section_are_not_taken_for_the_one_before),
		cmocka_unit_test(errors_past_the_bound_are_counted),
		cmocka_unit_test(mistakes_are_told_in_the_order_of_the_lines),
		cmocka_unit_test(every_bound_is_kept_and_said),
		cmocka_unit_test(long_values_come_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
