/* SPDX-License-Identifier: MIT */
/* The syntax of proxy.ini: what is taken, what is refused, and with which line. */
#include "config/ini/ini.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct ini {
	struct arena *arena;
	struct buf errors;
	struct report report;
	struct ini *ini;
	struct ini_section *sections;
};

static void read_ini(struct ini *i, struct slice text)
{
	i->arena = arena_new();
	assert_non_null(i->arena);
	buf_init(&i->errors, 65536);
	i->report = (struct report){.file = "t", .out = &i->errors};
	i->ini = ini_new(i->arena, &i->report);
	assert_non_null(i->ini);
	assert_int_equal(ini_read_text(i->ini, text, "t"), 0);
	i->sections = ini_sections(i->ini);
	report_end(&i->report);
	assert_int_equal(buf_add_char(&i->errors, '\0'), 0);
}

static void drop_ini(struct ini *i)
{
	ini_free(&i->ini);
	report_fini(&i->report);
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
	for (unsigned n = 0; n < REPORT_ERRORS_MAX + 5; n++)
		buf_add_str(&text, "x\n");
	read_ini(&i, buf_slice(&text));
	for (const char *c = i.errors.p; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, REPORT_ERRORS_MAX + 1);
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
	buf_init(&text, 2 * INI_BYTES_MAX);
	for (unsigned n = 0; n <= INI_SECTIONS_MAX; n++)
		buf_addf(&text, "[a %u]\n", n);
	expect_one_error(&text, "t:10201: more than 10200 sections\n");
	buf_add_str(&text, "[a]\n");
	for (unsigned n = 0; n <= INI_KEYS_MAX + 3; n++)
		buf_addf(&text, "k%u=\n", n);
	expect_one_error(&text, "t:202: more than 200 keys in a section\n");
	while (text.n <= INI_BYTES_MAX)
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

/* ---- Several sources, files, the environment ---- */

static void what_comes_later_replaces_what_came_before(void **state)
{
	struct buf shown;
	struct ini i;

	(void)state;
	buf_init(&shown, 1000);
	read_ini(&i, SLICE_LIT("[a]\nk = 1\nl = 1\n"));
	buf_reset(&i.errors);
	assert_int_equal(ini_read_text(i.ini, SLICE_LIT("[b]\nm = 1\n[a]\nl = 2\n"), "u"), 0);
	assert_int_equal(ini_read_option(i.ini, "--o", "a", "k", " 3 "), 0);
	assert_int_equal(ini_read_option(i.ini, "--p", "c", "n", "4"), 0);
	assert_int_equal(ini_read_option(i.ini, "--q", "a", "k", "4\n5"), 0);
	i.sections = ini_sections(i.ini);
	show(&i, &shown);
	assert_string_equal(shown.p, "a,:6 k=3:8 l=2:7 b,:4 m=1:5 c,:9 n=4:9 ");
	assert_int_equal(ini_read_text(i.ini, SLICE_LIT("[a]\nk = 5\nk = 6\n"), "v"), 0);
	assert_int_equal(buf_add_char(&i.errors, '\0'), 0);
	assert_string_equal(i.errors.p, "--q: a control character\nv:3: k again: it was set at line 2\n");
	report_at(&i.report, 7, "x");
	report_at(&i.report, 8, "y");
	assert_non_null(strstr(i.errors.p, "u:4: x\n"));
	assert_non_null(strstr(i.errors.p, "--o: y\n"));
	buf_fini(&shown);
	drop_ini(&i);
}

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

static void remove_all(const char *folder, const char *const *names, unsigned n)
{
	char path[200];

	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		assert_int_equal(remove(path), 0);
	}
	assert_int_equal(remove(folder), 0);
}

static void begin_file(struct ini *i, const char *folder, char path[200])
{
	read_ini(i, SLICE_LIT(""));
	buf_reset(&i->errors);
	i->report.lines_n = 0;
	snprintf(path, 200, "%s/main.ini", folder);
	assert_int_equal(ini_read_file(i->ini, path), 0);
	i->sections = ini_sections(i->ini);
	assert_int_equal(buf_add_char(&i->errors, '\0'), 0);
}

static void files_are_read_where_they_are_named(void **state)
{
	static const char *const names[] = {"main.ini", "sub/b.ini", "sub/a.ini", "sub/c.txt", "sub"};
	char folder[] = "/tmp/test_ini[1]_XXXXXX", path[200], expected[600];
	struct buf shown;
	struct ini i;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sub", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	write_file(folder, "main.ini", "[x]\nk = 1\ninclude = sub/*.ini\nm = 3\ninclude = none/*.ini\nk = 4\n");
	write_file(folder, "sub/a.ini", "l = 2\n[y]\nk = 1\n");
	write_file(folder, "sub/b.ini", "k = 9\n[y]\n[z]\ninclude = c.txt\ninclude = d.txt\ninclude = .\n");
	write_file(folder, "sub/c.txt", "n = 1\nwrong\n");
	begin_file(&i, folder, path);
	buf_init(&shown, 1000);
	show(&i, &shown);
	assert_string_equal(shown.p, "x,:1 k=1:2 l=2:4 m=3:15 y,:5 k=1:6 z,:9 n=1:11 ");
	snprintf(expected, sizeof(expected),
		"%s/sub/b.ini:1: k again: it was set at %s/main.ini:2\n"
		"%s/sub/b.ini:2: [y] again: it began at %s/sub/a.ini:2\n"
		"%s/sub/c.txt:2: neither",
		folder, folder, folder, folder, folder);
	assert_int_equal(strncmp(i.errors.p, expected, strlen(expected)), 0);
	snprintf(expected, sizeof(expected),
		"%s/sub/b.ini:5: include: %s/sub/d.txt: No such file or directory\n"
		"%s/sub/b.ini:6: include: %s/sub/.: not a file\n"
		"%s/main.ini:5: warning: include: no file is called none/*.ini\n"
		"%s/main.ini:6: k again: it was set at line 2\n",
		folder, folder, folder, folder, folder, folder);
	assert_string_equal(strstr(strchr(strstr(i.errors.p, "neither"), '\n'), "\n") + 1, expected);
	buf_fini(&shown);
	drop_ini(&i);
	remove_all(folder, names, ARRAY_LEN(names));
}

static void includes_have_bounds(void **state)
{
	static const char *const names[] = {"main.ini"};
	char folder[] = "/tmp/test_ini_XXXXXX", path[200];
	struct ini i;

	(void)state;
	assert_non_null(mkdtemp(folder));
	write_file(folder, "main.ini", "include = main.ini\n");
	begin_file(&i, folder, path);
	assert_int_equal(i.report.errors, 1);
	assert_non_null(strstr(i.errors.p, "main.ini:1: include: more than 8 files deep: does one include itself?\n"));
	drop_ini(&i);
	write_file(folder, "main.ini", "include = many*\n");
	for (unsigned n = 0; n <= INI_FILES_MAX; n++) {
		snprintf(path, sizeof(path), "many%u", n);
		write_file(folder, path, "");
	}
	begin_file(&i, folder, path);
	assert_non_null(strstr(i.errors.p, "main.ini:1: include: more than 1000 files\n"));
	drop_ini(&i);
	for (unsigned n = 0; n <= INI_FILES_MAX; n++) {
		snprintf(path, sizeof(path), "%s/many%u", folder, n);
		assert_int_equal(remove(path), 0);
	}
	remove_all(folder, names, ARRAY_LEN(names));
}

static void values_have_what_the_environment_has(void **state)
{
	static const struct {
		const char *value, *shown, *error;
	} cases[] = {
		{"${T_SET}", "a b", NULL},
		{"x${T_SET}y${T_SET}", "xa bya b", NULL},
		{"${T_EMPTY}", "", NULL},
		{"${T_EMPTY:-e}", "e", NULL},
		{"${T_UNSET:-}", "", NULL},
		{"${T_UNSET:-a:-b$}c", "a:-b$c", NULL},
		{"${T_SPACES}", "s", NULL},
		{"$T_SET $ $$ {T_SET}", "$T_SET $ $$ {T_SET}", NULL},
		{"$${T_SET}", "${T_SET}", NULL},
		{"$$${T_SET}", "$${T_SET}", NULL},
		{"${T_UNSET}", NULL, "k: ${T_UNSET} is not set"},
		{"${T_SET", NULL, "k: ${ without }"},
		{"${}", NULL, "k: ${}: a variable's name"},
		{"${1}", NULL, "k: ${1}: a variable's name"},
		{"${T_SET-x}", NULL, "k: ${T_SET-x}: a variable's name"},
		{"${T_LINES}", NULL, "k: ${T_LINES} has a control character"},
	};

	(void)state;
	setenv("T_SET", "a b", 1);
	setenv("T_EMPTY", "", 1);
	setenv("T_SPACES", " s ", 1);
	setenv("T_LINES", "a\n[b]", 1);
	unsetenv("T_UNSET");
	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		char text[200];
		struct ini i;

		snprintf(text, sizeof(text), "# ${T_UNSET}\n[a]\nk = %s\n", cases[n].value);
		read_ini(&i, slice_of(text));
		if (cases[n].error) {
			assert_int_equal(i.report.errors, 1);
			assert_non_null(strstr(i.errors.p, "t:3: "));
			if (!strstr(i.errors.p, cases[n].error))
				fail_msg("%s: %s", cases[n].value, i.errors.p);
		} else {
			assert_int_equal(i.report.errors, 0);
			if (!slice_equal(i.sections->entries->value, slice_of(cases[n].shown)))
				fail_msg("%s: %.*s", cases[n].value, SLICE_ARG(i.sections->entries->value));
		}
		drop_ini(&i);
	}
}

static void no_memory_at_any_allocation_is_said(void **state)
{
	static const char *const names[] = {"main.ini", "b.ini"};
	char folder[] = "/tmp/test_ini_XXXXXX", path[200];
	int rc = -ENOMEM;

	(void)state;
	assert_non_null(mkdtemp(folder));
	write_file(folder, "main.ini", "[a]\nk = ${T_UNSET:-1}\ninclude = b.ini\n");
	write_file(folder, "b.ini", "[b]\nl = 1\n[c]\ninclude = [no]thing\n");
	snprintf(path, sizeof(path), "%s/main.ini", folder);
	for (unsigned long n = 1; rc != 0; n++) {
		struct buf errors;
		struct report report = {.file = "t", .out = &errors};
		struct arena *arena = arena_new();
		struct ini *ini;

		assert_non_null(arena);
		buf_init(&errors, 1000);
		mem_fail_at(n, 0);
		ini = ini_new(arena, &report);
		rc = ini ? ini_read_file(ini, path) : -ENOMEM;
		if (rc == 0)
			rc = ini_read_option(ini, "--o", "d", "k", "v");
		mem_fail_at(0, 0);
		assert_true(rc == 0 || rc == -ENOMEM || errors.err == -ENOMEM);
		assert_in_range(n, 1, 100);
		ini_free(&ini);
		report_fini(&report);
		buf_fini(&errors);
		arena_free(&arena);
	}
	remove_all(folder, names, ARRAY_LEN(names));
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
		cmocka_unit_test(what_comes_later_replaces_what_came_before),
		cmocka_unit_test(files_are_read_where_they_are_named),
		cmocka_unit_test(includes_have_bounds),
		cmocka_unit_test(values_have_what_the_environment_has),
		cmocka_unit_test(no_memory_at_any_allocation_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
