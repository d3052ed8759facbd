/* SPDX-License-Identifier: MIT */
#include "proxy/control/tell.h"

#include <string.h>

#include "proxy/control/print.h"

static double number(const json_t *j, const char *name)
{
	return json_number_value(json_object_get(j, name));
}

static const char *text(const json_t *j, const char *name)
{
	const char *s = json_string_value(json_object_get(j, name));

	return s ? s : "";
}

static bool is_true(const json_t *j, const char *name)
{
	return json_is_true(json_object_get(j, name));
}

static const char *plural(double n)
{
	return n == 1 ? "" : "s";
}

/* A line for each, `before` first. */
static void tell_list(const json_t *list, const char *before, FILE *to)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		fputs(before, to);
		print_value(to, json_array_get(list, i));
		putc('\n', to);
	}
}

void tell_problem(const json_t *j, const char *who, FILE *to)
{
	const json_t *detail = json_object_get(j, "detail");

	fprintf(to, "%s: ", who);
	print_value(to, detail ? detail : json_object_get(j, "title"));
	putc('\n', to);
	tell_list(json_object_get(j, "errors"), "  ", to);
}

/* ---- purge ---- */

/* "2 responses in memory", and how sure that is. */
static void tell_met(const json_t *memory, FILE *to)
{
	double met = number(memory, "met");
	const char *count = text(memory, "count");

	if (strcmp(count, "sampled") == 0)
		fprintf(to, "%.0f of %.0f responses in memory that were looked at, of %.0f", met,
			number(memory, "looked_at"), number(memory, "of"));
	else
		fprintf(to, "%s%.0f response%s in memory", strcmp(count, "at least") == 0 && met > 0 ? "at least " : "",
			met, plural(met));
}

void tell_purge(const json_t *j, FILE *to)
{
	const json_t *memory = json_object_get(j, "memory"), *names = json_object_get(j, "names");
	const char *kind = text(j, "purged");
	bool is_dry = !*kind;

	if (is_dry)
		kind = text(j, "would_purge");
	fputs(is_dry ? "Would purge " : "Purged ", to);
	print_text(to, kind);
	if (names)
		fprintf(to, ", %.0f names", json_number_value(names));
	if (*text(j, kind)) {
		putc(' ', to);
		print_text(to, text(j, kind));
	}
	if (*text(j, "also")) {
		fputs(" and ", to);
		print_text(to, text(j, "also"));
	}
	fputs(is_true(j, "soft") ? ", softly" : "", to);
	if (json_object_get(j, "spread_s"))
		fprintf(to, ", each URL at a time of its own within %.10g s",
			json_number_value(json_object_get(j, "spread_s")));
	if (memory) {
		fputs(": ", to);
		tell_met(memory, to);
		fputs(is_true(j, "disk") ? ", and on disk" : "", to);
	}
	fputs(".\n", to);
	if (*text(j, "note")) {
		fputs("Note: ", to);
		print_text(to, text(j, "note"));
		fputs(".\n", to);
	}
}

/* ---- refresh ---- */

static void tell_hosts(const json_t *j, FILE *to)
{
	const json_t *hosts = json_object_get(j, "hosts");

	if (json_array_size(hosts) == 0)
		return;
	fputs("A path names no host; other routes serve it for these (http://HOST/path):\n", to);
	tell_list(hosts, "  ", to);
}

void tell_refresh(const json_t *j, FILE *to)
{
	const char *source = text(j, "source");
	double left_s = number(j, "lifetime_s") - number(j, "age_s");

	if (is_true(j, "stored")) {
		fprintf(to, "Fetched and stored: status %.0f, fresh for %s (", number(j, "status"),
			print_seconds(left_s > 0 ? left_s : 0).z);
		print_text(to, source);
		fputs(").\n", to);
	} else {
		fputs(json_object_get(j, "status") ? "Fetched, not stored. " : "Not fetched. ", to);
		print_text(to, text(j, "summary"));
		putc('\n', to);
	}
	tell_hosts(j, to);
}

/* ---- entries ---- */

static const char *where_of(const json_t *e)
{
	bool is_memory = strcmp(text(e, "tier"), "memory") == 0;

	return is_memory && is_true(e, "disk") ? "both" : is_memory ? "memory" : "disk";
}

static void tell_entry(const json_t *e, FILE *to)
{
	const json_t *hits = json_object_get(e, "hits");
	char hits_text[24] = "-";

	if (hits)
		snprintf(hits_text, sizeof(hits_text), "%.0f", json_number_value(hits));
	fprintf(to, "%6s %6s %6.0f %6s %7s  %-6s  ", print_seconds(number(e, "age_s")).z,
		print_seconds(number(e, "ttl_s")).z, number(e, "status"), print_bytes(number(e, "body_bytes")).z,
		hits_text, where_of(e));
	print_text(to, text(e, "url"));
	fputs(is_true(e, "answers") ? "  (answers)" : "", to);
	fputs(is_true(e, "soft_purged") ? "  (purged softly)" : "", to);
	if (*text(e, "vary")) {
		fputs("  (vary: ", to);
		print_text(to, text(e, "vary"));
		putc(')', to);
	}
	if (*text(e, "user")) {
		fputs("  (user ", to);
		print_text(to, text(e, "user"));
		putc(')', to);
	}
	putc('\n', to);
}

static void tell_list_of_entries(const json_t *list, FILE *to)
{
	if (json_array_size(list) > 0)
		print_heading(to, "   AGE    TTL STATUS   SIZE    HITS  WHERE   URL");
	for (size_t i = 0; i < json_array_size(list); i++)
		tell_entry(json_array_get(list, i), to);
}

void tell_entries(const json_t *j, FILE *to)
{
	const json_t *list = json_object_get(j, "entries");

	tell_list_of_entries(list, to);
	if (json_array_size(list) == 0)
		fputs("Nothing of that is stored.\n", to);
	if (*text(j, "next")) {
		fputs("There may be more: --after ", to);
		print_text(to, text(j, "next"));
		putc('\n', to);
	}
}

/* ---- explain ---- */

void tell_explain(const json_t *j, FILE *to)
{
	static const char *const names[] = {
		"url", "scheme", "method", "route", "upstream", "tier", "reason", "credential", "key"};

	print_text(to, text(j, "summary"));
	fputs("\n\n", to);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		print_line(to, 10, names[i], json_object_get(j, names[i]));
	if (json_array_size(json_object_get(j, "memory")) > 0)
		putc('\n', to);
	tell_list_of_entries(json_object_get(j, "memory"), to);
	tell_hosts(j, to);
}

/* ---- reload, check ---- */

void tell_reload(const json_t *j, FILE *to)
{
	double routes = number(j, "routes"), upstreams = number(j, "upstreams");
	const json_t *later = json_object_get(j, "needs_restart");

	fprintf(to, "Reloaded: %.0f route%s, %.0f upstream%s.\n", routes, plural(routes), upstreams, plural(upstreams));
	if (json_array_size(later) > 0)
		fputs("These count from the next start on:\n", to);
	tell_list(later, "  ", to);
	tell_list(json_object_get(j, "warnings"), "", to);
}

void tell_check(const json_t *j, FILE *to)
{
	const json_t *differs = json_object_get(j, "differs"), *later = json_object_get(j, "needs_restart");

	if (!json_object_get(j, "file")) {
		fputs("The running proxy reads no file: it was started with --to or --demo.\n", to);
		return;
	}
	fputs("The running proxy goes by ", to);
	print_text(to, text(j, "file"));
	fputs(is_true(j, "in_force") ? " as it is.\n" : ", but not as the file is now.\n", to);
	if (json_array_size(differs) > 0)
		fputs("A reload would change:\n", to);
	tell_list(differs, "  ", to);
	if (json_array_size(later) > 0)
		fputs("A restart, or an upgrade (USR2), is needed for:\n", to);
	tell_list(later, "  ", to);
}
