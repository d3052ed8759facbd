/* SPDX-License-Identifier: MIT */
/* What is read at start before anything is served: FORMAT, checkpoints, journals, and which segments there are. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/disk/store_internal.h"

int disk_format_read(const void *p, size_t n, struct disk_format *out)
{
	if (n != sizeof(*out))
		return -EBADMSG;
	memcpy(out, p, sizeof(*out));
	if (out->magic != FORMAT_MAGIC || out->sum != XXH3_64bits(p, offsetof(struct disk_format, sum)))
		return -EBADMSG;
	return out->major == FORMAT_MAJOR ? 0 : -EPROTO;
}

/* ---- Names ---- */

struct listing {
	struct id_list *list;
	bool (*read_name)(const char *name, uint64_t *id);
};

static bool note_id(const char *name, void *arg)
{
	const struct listing *l = arg;
	struct id_list *out = l->list;
	uint64_t id;

	if (!l->read_name(name, &id))
		return true;
	if (out->n == out->cap) {
		size_t cap = out->cap ? 2 * out->cap : 64;
		uint64_t *v = mem_realloc(out->v, cap * sizeof(*v));

		if (!v) {
			out->err = -ENOMEM;
			return false;
		}
		out->v = v;
		out->cap = cap;
	}
	out->v[out->n++] = id;
	return true;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int disk_list(const struct disk_io *io, int dir, bool (*read_name)(const char *name, uint64_t *id), struct id_list *out)
{
	struct listing l = {out, read_name};
	int err;

	*out = (struct id_list){0};
	err = io->list(io, dir, note_id, &l);
	if (!err)
		err = out->err;
	if (err) {
		mem_free(out->v);
		*out = (struct id_list){0};
	} else if (out->n > 1) {
		qsort(out->v, out->n, sizeof(*out->v), by_value);
	}
	return err;
}

/* ---- Checkpoints ---- */

/* Anything but a file that is not there or not valid keeps the store from opening: what can't be read now may be whole. */
static int load_checkpoint(const struct disk_io *io, int dir, const char *name, uint64_t store, struct checkpoint *out)
{
	void *p = NULL;
	size_t n = 0;
	int err = io_load(io, dir, name, CHECKPOINT_BYTES_MAX, &p, &n);

	*out = (struct checkpoint){0};
	if (!err)
		err = checkpoint_read(p, n, store, out);
	mem_free(p);
	return err == -ENOENT || err == -EFBIG || err == -ENODATA ? -EBADMSG : err;
}

int disk_best_checkpoint(const struct disk_io *io, int dir, uint64_t store, struct checkpoint *out)
{
	struct checkpoint b;
	int err_a = load_checkpoint(io, dir, "ckpt.A", store, out);
	int err_b = load_checkpoint(io, dir, "ckpt.B", store, &b);

	if ((err_a && err_a != -EBADMSG) || (err_b && err_b != -EBADMSG)) {
		checkpoint_fini(out);
		checkpoint_fini(&b);
		return err_a && err_a != -EBADMSG ? err_a : err_b;
	}
	if (!err_b && (err_a || b.h.number > out->h.number)) {
		checkpoint_fini(out);
		*out = b;
		return 0;
	}
	checkpoint_fini(&b);
	return err_a ? -ENOENT : 0;
}

/* ---- Journals ---- */

static int load_journal(const struct disk_io *io, int dir, uint64_t store, uint64_t number,
	void (*each)(const struct journal_entry *e, void *arg), void *arg, enum journal_end *end)
{
	struct journal_header h;
	char name[JOURNAL_NAME_MAX];
	void *p = NULL;
	size_t n = 0;
	int err;

	journal_name(number, name);
	err = io_load(io, dir, name, JOURNAL_BYTES_MAX, &p, &n);
	if (err == -ENOENT || err == -EFBIG || err == -ENODATA)
		return -EBADMSG;
	if (!err)
		err = journal_read_header(p, n, store, number, &h);
	if (!err)
		*end = journal_scan(p, n, &h, each, arg);
	mem_free(p);
	return err;
}

int disk_replay(const struct disk_io *io, int dir, uint64_t store, uint64_t first,
	void (*each)(const struct journal_entry *e, void *arg), void *arg, uint64_t *last)
{
	enum journal_end end = JOURNAL_CONTINUES;
	struct id_list ids;
	int err = disk_list(io, dir, journal_name_read, &ids);

	if (err)
		return err;
	*last = ids.n > 0 ? ids.v[ids.n - 1] : first;
	mem_free(ids.v);
	/* A journal after one that does not say "next" was begun, but nothing was written to it. */
	for (uint64_t number = first; !err && end == JOURNAL_CONTINUES; number++)
		err = load_journal(io, dir, store, number, each, arg, &end);
	if (!err && end == JOURNAL_DAMAGED)
		err = -EBADMSG;
	return err;
}
