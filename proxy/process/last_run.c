/* SPDX-License-Identifier: MIT */
#include "proxy/process/last_run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "config/config.h"
#include "config/ini/file.h"
#include "proxy/admin/warm.h"

struct seen {
	UT_hash_handle hh;
	char url[];
};

struct keeping {
	FILE *to;
	unsigned n, max;
	size_t bytes;
	struct seen *seen;
	int err; /* of writing: a negative errno */
};

/* False: it is in the list already, or there is no memory. */
static bool is_new(struct keeping *k, struct slice url)
{
	bool hash_ok = true;
	struct seen *s;

	HASH_FIND(hh, k->seen, url.p, url.n, s);
	if (s)
		return false;
	s = mem_alloc(sizeof(*s) + url.n);
	if (!s)
		return false;
	memcpy(s->url, url.p, url.n);
	HASH_ADD_KEYPTR(hh, k->seen, s->url, url.n, s);
	if (!hash_ok)
		mem_free(s);
	return hash_ok;
}

static void free_seen(struct keeping *k)
{
	struct seen *s, *next;

	HASH_ITER (hh, k->seen, s, next) {
		HASH_DEL(k->seen, s);
		mem_free(s);
	}
}

static void keep(struct keeping *k, struct slice url)
{
	if (k->n == k->max || k->bytes + url.n + 1 > WARM_TEXT || !is_new(k, url))
		return;
	if (fprintf(k->to, "%.*s\n", SLICE_ARG(url)) < 0 && !k->err)
		k->err = -errno;
	k->bytes += url.n + 1;
	k->n++;
}

static void keep_ranked(void *arg, const struct cache_ranked *r)
{
	keep(arg, r->url);
}

static void keep_earlier(struct keeping *k, const char *path)
{
	struct slice line;
	struct buf text;
	size_t at = 0;

	buf_init(&text, WARM_TEXT);
	if (file_read_regular(path, &text) == 0)
		while (k->n < k->max && warm_next_line(text.p, text.n, &at, &line))
			keep(k, line);
	buf_fini(&text);
}

static int write_list(struct cache *c, unsigned top, const char *path, FILE *to)
{
	struct keeping k = {.to = to, .max = top};
	int err;

	k.bytes =
		(size_t)fprintf(to, "# What spared the API the most time, the first line most: for the next start.\n");
	err = cache_top(c, top, keep_ranked, &k);
	keep_earlier(&k, path);
	free_seen(&k);
	return err ? err : k.err;
}

/* Nothing else that lies there is written to, or waited for. */
static int replace_list(struct cache *c, unsigned top, const char *path, const char *new_path)
{
	int fd, err;
	FILE *to;

	(void)unlink(new_path);
	fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	to = fdopen(fd, "w");
	if (!to) {
		close(fd);
		return -ENOMEM;
	}
	err = write_list(c, top, path, to);
	if (fclose(to) != 0 && !err)
		err = -errno;
	if (!err && rename(new_path, path) != 0)
		err = -errno;
	if (err)
		(void)unlink(new_path);
	return err;
}

void last_run_keep(struct cache *c, const struct config *config)
{
	char path[PATH_MAX], new_path[PATH_MAX];
	int err = -ENAMETOOLONG;

	if (config->warm.top == 0 || config->disk.path.n == 0 || !cache_tier_name(c))
		return;
	(void)snprintf(path, sizeof(path), "%.*s/" WARM_TOP_FILE, SLICE_ARG(config->disk.path));
	if (snprintf(new_path, sizeof(new_path), "%s.new", path) < PATH_MAX)
		err = replace_list(c, config->warm.top, path, new_path);
	if (err)
		log_warn("warm: the list of what to warm up at the next start can't be kept: %s", strerror(-err));
}
