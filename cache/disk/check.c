/* SPDX-License-Identifier: MIT */
/* memoproxy disk-check: reads everything as a start and all reads after it would, and changes nothing. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"
#include "cache/disk/store_internal.h"

struct check {
	FILE *out;
	const char *path;
	const struct disk_io *io;
	int dir;
	uint64_t store;
	uint64_t segments, bad_segments, open_segments, records, bad_records, bytes, entries;
};

static void count_entry(const struct journal_entry *e, void *arg)
{
	struct check *c = arg;

	(void)e;
	c->entries++;
}

static int check_state(struct check *c)
{
	struct checkpoint best;
	uint64_t last = 0;
	int err = disk_best_checkpoint(c->io, c->dir, c->store, &best);

	if (err) {
		fprintf(c->out, "checkpoint: %s\n", err == -ENOENT ? "none is valid" : strerror(-err));
		return -EBADMSG;
	}
	fprintf(c->out, "checkpoint %llu: run %llu, %llu rules, %llu forgotten keys\n",
		(unsigned long long)best.h.number, (unsigned long long)best.h.runs, (unsigned long long)best.h.rules_n,
		(unsigned long long)best.h.forgets_n);
	err = disk_replay(c->io, c->dir, c->store, best.h.first_journal, count_entry, c, &last);
	if (err)
		fprintf(c->out, "journal: %s\n", err == -EBADMSG ? "damaged" : strerror(-err));
	else
		fprintf(c->out, "journal: %llu entries\n", (unsigned long long)c->entries);
	checkpoint_fini(&best);
	return err ? -EBADMSG : 0;
}

static int check_secret(const struct check *c)
{
	unsigned char secret[SECRET_BYTES];
	int err = secret_load(c->io, c->dir, c->store, secret);

	explicit_bzero(secret, sizeof(secret));
	if (err)
		fprintf(c->out, "secret: %s\n",
			err == -EBADMSG ? "not valid: nothing here would be used"
			: err == -EPERM ? "others may read or write it"
					: strerror(-err));
	return err ? -EBADMSG : 0;
}

static bool record_is_right(const struct check *c, int fd, const struct segment_header *s, const struct footer_entry *e)
{
	size_t n = (size_t)e->n8 * 8;
	char *p = mem_alloc(n);
	struct record_header h;
	struct record_meta m;
	bool right = p && io_read_all(c->io, fd, p, n, (uint64_t)e->off8 * 8) == 0 &&
		     record_read_header(p, s->generation, n, &h) == 0 && record_total(&h) == n && h.lsn == e->lsn &&
		     h.key_lo == e->key_lo && h.key_hi == e->key_hi && record_read_meta(&h, p + sizeof(h), &m) == 0;

	if (right)
		right = record_body_is_right(&h, p + sizeof(h) + record_meta_n(&h));
	if (right) {
		struct hash128 hash = hash128_of(m.key.p, m.key.n);

		right = hash.lo == h.key_lo && hash.hi == h.key_hi;
	}
	mem_free(p);
	return right;
}

static int read_footer(const struct check *c, int fd, const struct segment_header *h, struct segment_trailer *t,
	struct footer_entry **entries)
{
	char bytes[sizeof(*t)];
	uint64_t at = h->size - sizeof(bytes), n;
	int err = io_read_all(c->io, fd, bytes, sizeof(bytes), at);

	*entries = NULL;
	if (!err)
		err = segment_read_trailer(bytes, h->generation, h->size, t);
	if (err)
		return err;
	n = t->entries * sizeof(**entries);
	*entries = mem_alloc(n);
	err = *entries ? io_read_all(c->io, fd, *entries, n, at - n) : -ENOMEM;
	if (!err && !footer_is_right(t, *entries))
		err = -EBADMSG;
	if (err) {
		mem_free(*entries);
		*entries = NULL;
	}
	return err;
}

static int check_records(struct check *c, int fd, const struct segment_header *h, const char *name)
{
	struct footer_entry *entries = NULL;
	struct segment_trailer t;
	int err = read_footer(c, fd, h, &t, &entries);

	if (err) {
		c->open_segments++;
		err = disk_scan_segment(c->io, fd, h->generation, h->size, &entries, &t);
	}
	for (uint64_t i = 0; !err && i < t.entries; i++) {
		c->records++;
		if (footer_entry_fits(&entries[i], t.end) && record_is_right(c, fd, h, &entries[i]))
			continue;
		c->bad_records++;
		fprintf(c->out, "%s: the record at %llu is not valid\n", name, (unsigned long long)entries[i].off8 * 8);
	}
	mem_free(entries);
	return err;
}

/* A file of a large response that was being written when its process ended: a start removes it. */
static bool is_unfinished(const char bytes[sizeof(struct segment_header)])
{
	static const char zeros[sizeof(struct segment_header)];

	return memcmp(bytes, zeros, sizeof(zeros)) == 0;
}

static void check_segment(struct check *c, uint64_t id)
{
	char name[SEGMENT_NAME_MAX], bytes[sizeof(struct segment_header)];
	struct segment_header h;
	uint64_t size = 0;
	int fd, err;

	segment_name(id, name);
	c->segments++;
	fd = c->io->open(c->io, c->dir, name, O_RDONLY);
	err = fd < 0 ? fd : c->io->size(c->io, fd, &size);
	if (!err && size == 0) { /* it could not be removed */
		(void)c->io->close(c->io, fd);
		return;
	}
	if (!err && size < sizeof(h) + sizeof(struct segment_trailer))
		err = -EBADMSG;
	if (!err)
		err = io_read_all(c->io, fd, bytes, sizeof(bytes), 0);
	if (!err && is_unfinished(bytes)) {
		fprintf(c->out, "%s: was not finished\n", name);
	} else {
		if (!err)
			err = segment_read_header(bytes, c->store, size, &h);
		if (!err && h.id != id)
			err = -EBADMSG;
		if (!err)
			err = check_records(c, fd, &h, name);
	}
	c->bytes += size;
	if (err) {
		c->bad_segments++;
		fprintf(c->out, "%s: %s\n", name, err == -EBADMSG ? "not a segment of this store" : strerror(-err));
	}
	if (fd >= 0)
		(void)c->io->close(c->io, fd);
}

static int check_all(struct check *c)
{
	struct disk_format f;
	struct id_list ids;
	void *p = NULL;
	size_t n = 0;
	int err = io_load(c->io, c->dir, "FORMAT", 4096, &p, &n), state;

	if (!err)
		err = disk_format_read(p, n, &f);
	mem_free(p);
	if (err == -ENOENT)
		fprintf(c->out, "%s: no disk tier's directory (it has no FORMAT)\n", c->path);
	else if (err)
		fprintf(c->out, "FORMAT: %s\n", err == -EPROTO ? "of another version" : strerror(-err));
	if (err)
		return err;
	c->store = f.store;
	state = check_secret(c);
	if (check_state(c) != 0)
		state = -EBADMSG;
	err = disk_list(c->io, c->dir, segment_name_read, &ids);
	for (size_t i = 0; !err && i < ids.n; i++)
		check_segment(c, ids.v[i]);
	mem_free(ids.v);
	if (err) {
		fprintf(c->out, "%s: %s\n", c->path, strerror(-err));
		return err;
	}
	fprintf(c->out, "%llu segments, %llu bytes: %llu not valid, %llu without a footer\n",
		(unsigned long long)c->segments, (unsigned long long)c->bytes, (unsigned long long)c->bad_segments,
		(unsigned long long)c->open_segments);
	fprintf(c->out, "%llu records: %llu not valid\n", (unsigned long long)c->records,
		(unsigned long long)c->bad_records);
	return state || c->bad_segments || c->bad_records ? -EBADMSG : 0;
}

int disk_check(const char *path, FILE *out)
{
	struct check c = {.out = out, .path = path, .io = &disk_io_real};
	int err;

	c.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c.dir < 0) {
		err = -errno;
		fprintf(out, "%s: %s\n", path, strerror(-err));
		return err;
	}
	if (flock(c.dir, LOCK_SH | LOCK_NB) != 0) {
		fprintf(out, "%s is in use by another process\n", path);
		err = -EBUSY;
	} else {
		err = check_all(&c);
	}
	close(c.dir);
	return err;
}
