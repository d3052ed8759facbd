/* SPDX-License-Identifier: MIT */
/* A region is its header and blocks one after the other to its end. A block is a word, which says how long it and the one before
 * it are, and what was asked for; in a free one there is a link. Lengths are in units of 16 bytes; the word lies before an address
 * that is a multiple of 16. */
#include "base/heap.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

#define UNIT 16
#define REGION_UNITS ((uint32_t)(HEAP_REGION / UNIT))
#define MIN_UNITS 2   /* the word and a link */
#define SPLIT_UNITS 4 /* a rest that is smaller stays with its block */
#define PAGE ((size_t)4096)
#define BACK_UNITS (2 * PAGE / UNIT + 1) /* has a whole page behind its link, wherever it begins */

/* n and spare do not change while the block is taken, so whoever has it may read them without the lock; for that the others are apart. */
struct block_word {
	uint32_t n : 24;    /* of this block; 0: the region's end; LARGE: malloc's, see large_head */
	uint32_t spare : 8; /* of them, those that nobody asked for */
	uint32_t : 0;
	uint32_t before : 20; /* of the block before it; 0: it is the first */
	uint32_t is_free : 1;
	uint32_t is_absent : 1; /* the pages wholly inside went back */
};
_Static_assert(sizeof(struct block_word) == 8, "the payload is aligned to a unit");

#define LARGE ((1u << 24) - 1)

struct large_head {
	size_t bytes;
	struct block_word word;
};

struct heap_region {
	struct link link;
	struct heap_pool *pool;
	uint32_t used; /* units in blocks that were taken */
	_Atomic bool is_leaving;
};

#define FIRST_OFFSET ((sizeof(struct heap_region) + sizeof(struct block_word) + UNIT - 1) / UNIT * UNIT)

static struct block_word *word_of(const void *p)
{
	return (struct block_word *)((uintptr_t)p - sizeof(struct block_word));
}

static void *payload(struct block_word *w)
{
	return w + 1;
}

static struct block_word *after(struct block_word *w)
{
	return (struct block_word *)((uintptr_t)w + (size_t)w->n * UNIT);
}

static struct block_word *before(struct block_word *w)
{
	return (struct block_word *)((uintptr_t)w - (size_t)w->before * UNIT);
}

static struct heap_region *region_of(const void *p)
{
	return (struct heap_region *)((uintptr_t)p & ~(uintptr_t)(HEAP_REGION - 1));
}

static struct block_word *first_of(struct heap_region *r)
{
	return (struct block_word *)((uintptr_t)r + FIRST_OFFSET - sizeof(struct block_word));
}

/* ---- Sizes ---- */

static uint32_t units_of(size_t n)
{
	size_t units = (n + sizeof(struct block_word) + UNIT - 1) / UNIT;

	return units < MIN_UNITS ? MIN_UNITS : (uint32_t)units;
}

size_t heap_size_at_most(size_t n)
{
	return n <= HEAP_SMALL_MAX ? (size_t)(units_of(n) + SPLIT_UNITS) * UNIT : n + 2 * PAGE + 64;
}

size_t heap_size(const void *p)
{
	const struct block_word *w;

	if (!p)
		return 0;
	w = word_of(p);
	return w->n == LARGE ? CONTAINER_OF((void *)(uintptr_t)w, struct large_head, word)->bytes : (size_t)w->n * UNIT;
}

size_t heap_room(const void *p)
{
	const struct block_word *w = word_of(p);

	return (size_t)(w->n - w->spare) * UNIT - sizeof(*w);
}

/* ---- Lists of free blocks, by size ---- */

static void class_of(uint32_t n, unsigned *class, unsigned *step)
{
	*class = 31 - (unsigned)__builtin_clz(n);
	*step = *class >= 3 ? n >> (*class - 3) & (HEAP_STEPS - 1) : (n << (3 - *class)) & (HEAP_STEPS - 1);
}

static size_t pages_inside(struct block_word *w, uintptr_t *first)
{
	uintptr_t from = ((uintptr_t)payload(w) + sizeof(struct link) + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	uintptr_t to = (uintptr_t)after(w) & ~(uintptr_t)(PAGE - 1);

	*first = from;
	return to > from ? to - from : 0;
}

static void list_add(struct heap_pool *p, struct block_word *w)
{
	unsigned class, step;
	struct link *l = payload(w);

	class_of(w->n, &class, &step);
	if (w->is_absent)
		link_append(&p->free[class][step], l);
	else
		link_append(p->free[class][step].next, l); /* in front: what is there is taken first */
	p->classes |= 1u << class;
	p->steps[class] |= (uint8_t)(1u << step);
}

static void list_remove(struct heap_pool *p, struct block_word *w)
{
	unsigned class, step;

	class_of(w->n, &class, &step);
	link_remove(payload(w));
	if (!link_is_empty(&p->free[class][step]))
		return;
	p->steps[class] &= (uint8_t) ~(1u << step);
	if (p->steps[class] == 0)
		p->classes &= ~(1u << class);
}

/* The first of a list in which all are large enough. */
static struct block_word *find(struct heap_pool *p, uint32_t n)
{
	unsigned class, step, steps;
	uint32_t classes;

	class_of(n, &class, &step);
	/* Of n's own list some may be too small; the first may do. */
	if (p->steps[class] & 1u << step) {
		struct block_word *w = word_of(p->free[class][step].next);

		if (w->n >= n)
			return w;
	}
	steps = step + 1 < HEAP_STEPS ? p->steps[class] & ~0u << (step + 1) : 0;
	if (!steps) {
		classes = p->classes & ~0u << (class + 1);
		if (!classes)
			return NULL;
		class = (unsigned)__builtin_ctz(classes);
		steps = p->steps[class];
	}
	return word_of(p->free[class][__builtin_ctz(steps)].next);
}

/* ---- Regions ---- */

static void absent_add(struct heap *h, struct block_word *w, bool more)
{
	uintptr_t first;
	size_t n = pages_inside(w, &first);

	if (more)
		atomic_fetch_add_explicit(&h->absent, n, memory_order_relaxed);
	else
		atomic_fetch_sub_explicit(&h->absent, n, memory_order_relaxed);
}

/* Addresses for many regions at once: each by itself would be a mapping, of which a process may have 65,530. They take no memory
 * before they are written to. */
#define RESERVE (64 * HEAP_REGION)

static int reserve(struct heap *h)
{
	char *p = mmap(NULL, RESERVE + HEAP_REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at;

	if (p == MAP_FAILED)
		return -ENOMEM;
	at = (char *)(((uintptr_t)p + HEAP_REGION - 1) & ~(uintptr_t)(HEAP_REGION - 1));
	if (at > p)
		munmap(p, (size_t)(at - p));
	if (at < p + HEAP_REGION)
		munmap(at + RESERVE, (size_t)(p + HEAP_REGION - at));
	/* Or the kernel would fill up what was given back. */
	(void)madvise(at, RESERVE, MADV_NOHUGEPAGE);
	h->reserved = at;
	h->reserved_end = at + RESERVE;
	return 0;
}

static struct heap_region *region_map(struct heap *h)
{
	struct heap_region *r = NULL;

	pthread_mutex_lock(&h->mu);
	if (h->reserved < h->reserved_end || reserve(h) == 0) {
		r = (struct heap_region *)h->reserved;
		h->reserved += HEAP_REGION;
	}
	pthread_mutex_unlock(&h->mu);
	return r;
}

static int add_region(struct heap *h, struct heap_pool *p)
{
	struct heap_region *r = mem_fails() ? NULL : region_map(h);
	struct block_word *w, *end;

	if (!r)
		return -ENOMEM;
	r->pool = p;
	link_append(&p->regions, &r->link);
	w = first_of(r);
	w->n = REGION_UNITS - (uint32_t)(FIRST_OFFSET / UNIT);
	w->is_free = true;
	w->is_absent = true;
	end = after(w);
	end->n = 0;
	end->before = w->n;
	list_add(p, w);
	atomic_fetch_add_explicit(&h->regions, 1, memory_order_relaxed);
	absent_add(h, w, true);
	return 0;
}

int heap_init(struct heap *h, size_t small_max)
{
	int err;

	memset(h, 0, sizeof(*h));
	err = -pthread_mutex_init(&h->mu, NULL);
	h->small_max = small_max;
	for (unsigned i = 0; i < HEAP_POOLS; i++) {
		struct heap_pool *p = &h->pools[i];

		link_init(&p->regions);
		link_init(&p->leaving);
		for (unsigned k = 0; k < HEAP_CLASSES * HEAP_STEPS; k++)
			link_init(&p->free[k / HEAP_STEPS][k % HEAP_STEPS]);
		err = err ? err : -pthread_mutex_init(&p->mu, NULL);
	}
	return err;
}

void heap_fini(struct heap *h)
{
	for (unsigned i = 0; i < HEAP_POOLS; i++) {
		while (heap_return(h, i))
			;
		for (struct link *l = h->pools[i].regions.next, *next; l != &h->pools[i].regions; l = next) {
			struct heap_region *r = CONTAINER_OF(l, struct heap_region, link);

			next = l->next;
			if (r->used == 0)
				munmap(r, HEAP_REGION);
		}
		pthread_mutex_destroy(&h->pools[i].mu);
	}
	if (h->reserved < h->reserved_end)
		munmap(h->reserved, (size_t)(h->reserved_end - h->reserved));
	pthread_mutex_destroy(&h->mu);
}

/* ---- Taking and giving ---- */

static void *take_large(size_t n)
{
	struct large_head *head = n < SIZE_MAX / 2 ? mem_alloc(sizeof(*head) + n) : NULL;

	if (!head)
		return NULL;
	head->bytes = mem_size(head);
	head->word = (struct block_word){.n = LARGE};
	return head + 1;
}

static void use(struct heap *h, struct heap_region *r, uint32_t n, bool more)
{
	r->used += more ? n : -n;
	if (more)
		atomic_fetch_add_explicit(&h->used, (uint64_t)n * UNIT, memory_order_relaxed);
	else
		atomic_fetch_sub_explicit(&h->used, (uint64_t)n * UNIT, memory_order_relaxed);
	if (!more && r->is_leaving)
		atomic_fetch_sub_explicit(&h->leaving_used, (uint64_t)n * UNIT, memory_order_relaxed);
}

static void split(struct heap *h, struct heap_pool *p, struct block_word *w, uint32_t n)
{
	struct block_word *rest = (struct block_word *)((uintptr_t)w + (size_t)n * UNIT);

	if (w->n - n < SPLIT_UNITS)
		return;
	*rest = (struct block_word){.n = w->n - n, .before = n, .is_free = true, .is_absent = w->is_absent};
	w->n = n;
	after(rest)->before = rest->n;
	list_add(p, rest);
	if (rest->is_absent)
		absent_add(h, rest, true);
}

static void *take_from(struct heap *h, struct heap_pool *p, uint32_t n)
{
	struct block_word *w = find(p, n);

	if (!w && add_region(h, p) == 0)
		w = find(p, n);
	if (!w)
		return NULL;
	list_remove(p, w);
	if (w->is_absent)
		absent_add(h, w, false);
	split(h, p, w, n);
	w->spare = (w->n - n) & 0xff;
	w->is_free = false;
	w->is_absent = false;
	use(h, region_of(w), w->n, true);
	return payload(w);
}

void *heap_take(struct heap *h, unsigned pool, size_t n)
{
	struct heap_pool *p = &h->pools[pool % HEAP_POOLS];
	void *taken;

	if (n > h->small_max)
		return take_large(n);
	if (mem_fails())
		return NULL;
	pthread_mutex_lock(&p->mu);
	taken = take_from(h, p, units_of(n));
	pthread_mutex_unlock(&p->mu);
	return taken;
}

static void unlist(struct heap *h, struct heap_region *r, struct block_word *w)
{
	if (!r->is_leaving)
		list_remove(r->pool, w);
	if (w->is_absent)
		absent_add(h, w, false);
}

/* Makes it one with the free ones beside it. */
static struct block_word *join(struct heap *h, struct heap_region *r, struct block_word *w)
{
	struct block_word *next = after(w), *prev = w->before ? before(w) : NULL;

	if (next->n && next->is_free) {
		unlist(h, r, next);
		w->n += next->n;
	}
	if (prev && prev->is_free) {
		unlist(h, r, prev);
		prev->n += w->n;
		w = prev;
	}
	w->is_free = true;
	w->is_absent = false;
	after(w)->before = w->n;
	return w;
}

static size_t give_pages_back(struct heap *h, struct block_word *w)
{
	uintptr_t first;
	size_t n = pages_inside(w, &first);

	if (n > 0 && madvise((void *)first, n, MADV_DONTNEED) != 0)
		return 0;
	w->is_absent = true;
	absent_add(h, w, true);
	return n;
}

/* It has been emptied: as new. */
static void end_leaving(struct heap *h, struct heap_region *r)
{
	struct block_word *w = first_of(r);

	r->is_leaving = false;
	atomic_fetch_sub_explicit(&h->leaving, 1, memory_order_relaxed);
	(void)give_pages_back(h, w);
	list_add(r->pool, w);
	link_remove(&r->link);
	link_append(&r->pool->regions, &r->link);
}

void heap_give(struct heap *h, void *p)
{
	struct block_word *w = word_of(p);
	struct heap_region *r;

	if (w->n == LARGE) {
		mem_free(CONTAINER_OF(w, struct large_head, word));
		return;
	}
	r = region_of(w);
	pthread_mutex_lock(&r->pool->mu);
	use(h, r, w->n, false);
	w = join(h, r, w);
	if (!r->is_leaving)
		list_add(r->pool, w);
	else if (r->used == 0)
		end_leaving(h, r);
	pthread_mutex_unlock(&r->pool->mu);
}

/* ---- Giving back to the system ---- */

uint64_t heap_resident(const struct heap *h)
{
	uint64_t mapped = atomic_load_explicit(&h->regions, memory_order_relaxed) * HEAP_REGION;
	uint64_t absent = atomic_load_explicit(&h->absent, memory_order_relaxed);

	return mapped > absent ? mapped - absent : 0;
}

/* The largest of those that are worth it: in each list they are in front. */
static struct block_word *largest_present(struct heap_pool *p)
{
	unsigned least, step;

	class_of(BACK_UNITS, &least, &step);
	for (unsigned class = HEAP_CLASSES; class -- > least;)
		for (unsigned s = HEAP_STEPS; s-- > 0 && p->steps[class];) {
			struct link *l = p->free[class][s].next;

			if (l != &p->free[class][s] && !word_of(l)->is_absent)
				return word_of(l);
		}
	return NULL;
}

size_t heap_give_back(struct heap *h, unsigned pool)
{
	struct heap_pool *p = &h->pools[pool % HEAP_POOLS];
	struct block_word *w;
	size_t n = 0;

	pthread_mutex_lock(&p->mu);
	w = largest_present(p);
	if (w) {
		list_remove(p, w);
		n = give_pages_back(h, w);
		list_add(p, w);
	}
	pthread_mutex_unlock(&p->mu);
	return n;
}

/* ---- Emptying ---- */

static void list_all(struct heap_region *r, bool in)
{
	for (struct block_word *w = first_of(r); w->n; w = after(w)) {
		if (w->is_free && in)
			list_add(r->pool, w);
		else if (w->is_free)
			list_remove(r->pool, w);
	}
}

static void leave(struct heap *h, struct heap_region *r)
{
	list_all(r, false);
	r->is_leaving = true;
	link_remove(&r->link);
	link_append(&r->pool->leaving, &r->link);
	atomic_fetch_add_explicit(&h->leaving, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->leaving_used, (uint64_t)r->used * UNIT, memory_order_relaxed);
}

unsigned heap_leave(struct heap *h, unsigned pool, unsigned max)
{
	struct heap_pool *p = &h->pools[pool % HEAP_POOLS];
	unsigned n = 0;

	pthread_mutex_lock(&p->mu);
	for (; max > 0 && !link_is_empty(&p->regions); max--) {
		struct heap_region *r = CONTAINER_OF(p->regions.next, struct heap_region, link);

		if (r->used > 0 && r->used < REGION_UNITS / HEAP_FULL_OF * HEAP_FULL) {
			leave(h, r);
			n++;
			break;
		}
		link_remove(&r->link);
		link_append(&p->regions, &r->link);
	}
	pthread_mutex_unlock(&p->mu);
	return n;
}

bool heap_return(struct heap *h, unsigned pool)
{
	struct heap_pool *p = &h->pools[pool % HEAP_POOLS];
	bool any;

	pthread_mutex_lock(&p->mu);
	any = !link_is_empty(&p->leaving);
	if (any) {
		struct heap_region *r = CONTAINER_OF(p->leaving.next, struct heap_region, link);

		list_all(r, true);
		r->is_leaving = false;
		atomic_fetch_sub_explicit(&h->leaving, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&h->leaving_used, (uint64_t)r->used * UNIT, memory_order_relaxed);
		link_remove(&r->link);
		link_append(&p->regions, &r->link);
	}
	pthread_mutex_unlock(&p->mu);
	return any;
}

bool heap_is_leaving(const struct heap *h, const void *p)
{
	return atomic_load_explicit(&h->leaving, memory_order_relaxed) > 0 && p && word_of(p)->n != LARGE &&
	       atomic_load_explicit(&region_of(p)->is_leaving, memory_order_relaxed);
}
