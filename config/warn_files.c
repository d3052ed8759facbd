/* SPDX-License-Identifier: MIT */
/* Files and folders that the configuration names, or stands in: may others of the machine get at what they hold, and may we? */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/build.h"

/* Reading by a group may be intended (ssl-cert on Debian); writing hardly ever is. What is not there is passed over. */
static void look_at_mode(struct build *b, const struct ini_entry *e, const char *path)
{
	struct stat st;
	bool reads, writes;

	if (stat(path, &st) != 0)
		return;
	reads = st.st_mode & S_IROTH;
	writes = st.st_mode & (S_IWGRP | S_IWOTH);
	if (reads || writes)
		report_warning(b->report, e->line, "%.*s: %s: other users can %s it (its mode is %03o)",
			SLICE_ARG(e->key), path,
			reads && writes ? "read and change"
			: reads         ? "read"
					: "change",
			(unsigned)st.st_mode & 0777);
}

static const struct ini_entry *entry_of(const struct build *b, const char *kind, const char *key)
{
	return ini_find(ini_section_of(b->sections, kind, SLICE_LIT("")), key);
}

static bool has_tls(const struct config_proxy *p)
{
	for (unsigned i = 0; i < p->listen.n; i++)
		if (p->listen.v[i].tls)
			return true;
	return false;
}

static void warn_of_privacy(struct build *b)
{
	const struct config *c = b->config;
	const struct ini_entry *key = entry_of(b, "proxy", "tls_key"), *debug = entry_of(b, "proxy", "debug_header"),
			       *token = entry_of(b, "admin", "token"), *token_file = entry_of(b, "admin", "token_file"),
			       *disk = entry_of(b, "disk", "path");

	if (key && has_tls(&c->proxy))
		look_at_mode(b, key, c->proxy.tls_key.p);
	if (token_file && c->admin.token_file.n > 0)
		look_at_mode(b, token_file, c->admin.token_file.p);
	if (token && token->value.n > 0 && !token->is_expanded)
		look_at_mode(b, token, report_file_of(b->report, token->line));
	if (debug && debug->value.n > 0 && !debug->is_expanded)
		look_at_mode(b, debug, report_file_of(b->report, debug->line));
	if (disk && c->disk.path.n > 0)
		look_at_mode(b, disk, c->disk.path.p);
}

/* ---- What a start would find by itself ---- */

/* The folder that the file is in, in `out`. */
static const char *folder_of(struct slice path, char out[PATH_MAX])
{
	const char *slash = memrchr(path.p, '/', path.n);
	size_t n = slash ? (size_t)(slash - path.p) : 0;

	if (n >= PATH_MAX)
		return "";
	memcpy(out, path.p, n);
	out[n] = '\0';
	return !slash ? "." : n == 0 ? "/" : out;
}

static void look_at_folder(struct build *b, const struct ini_entry *e, const char *folder)
{
	struct stat st;

	if (stat(folder, &st) != 0)
		report_warning(b->report, e->line, "%.*s: the folder %s has to be there: %s", SLICE_ARG(e->key),
			report_shown(slice_of(folder)).z, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		report_warning(b->report, e->line, "%.*s: %s is not a folder", SLICE_ARG(e->key),
			report_shown(slice_of(folder)).z);
	else if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
		report_warning(b->report, e->line, "%.*s: this user can't write into the folder %s", SLICE_ARG(e->key),
			report_shown(slice_of(folder)).z);
}

/* A log that is there is appended to. */
static void look_at_log(struct build *b, const struct ini_entry *e, struct slice path)
{
	char folder[PATH_MAX];
	struct stat st;

	if (access(path.p, F_OK) != 0)
		look_at_folder(b, e, folder_of(path, folder));
	else if (stat(path.p, &st) == 0 && S_ISDIR(st.st_mode))
		report_warning(b->report, e->line, "access_log: %s is a folder", report_shown(path).z);
	else if (faccessat(AT_FDCWD, path.p, W_OK, AT_EACCESS) != 0)
		report_warning(b->report, e->line, "access_log: this user can't write to %s", report_shown(path).z);
}

/* The tier's folder is made where it is missing; that in which it lies is not. */
static void look_at_disk(struct build *b, const struct ini_entry *e, struct slice path)
{
	char folder[PATH_MAX];

	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	look_at_folder(b, e, access(path.p, F_OK) == 0 ? path.p : folder_of(path, folder));
}

static void look_at_list(struct build *b, const struct ini_entry *e, struct slice path)
{
	struct stat st;

	if (stat(path.p, &st) != 0 || faccessat(AT_FDCWD, path.p, R_OK, AT_EACCESS) != 0)
		report_warning(b->report, e->line, "file: %s: %s", report_shown(path).z, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		report_warning(b->report, e->line, "file: %s is not a file", report_shown(path).z);
}

static void warn_of_folders(struct build *b)
{
	const struct config *c = b->config;
	const struct ini_entry *log = entry_of(b, "proxy", "access_log"), *disk = entry_of(b, "disk", "path");
	const struct ini_entry *warm = entry_of(b, "warm", "file");

	if (log && c->proxy.access_log.n > 0 && !slice_equal(c->proxy.access_log, SLICE_LIT("-")))
		look_at_log(b, log, c->proxy.access_log);
	if (disk && c->disk.path.n > 0)
		look_at_disk(b, disk, c->disk.path);
	if (warm && c->warm.file.n > 0)
		look_at_list(b, warm, c->warm.file);
}

void warn_of_files(struct build *b)
{
	warn_of_privacy(b);
	if (b->is_check)
		warn_of_folders(b);
}
