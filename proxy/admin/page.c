/* SPDX-License-Identifier: MIT */
#include "proxy/admin/page.h"

#include "base/mem.h"

static void free_page(struct admin_work *w)
{
	struct page *p = CONTAINER_OF(w, struct page, work);

	collected_free(&p->sum);
	process_facts_fini(&p->process);
	buf_fini(&p->text);
	mem_free(p);
}

/* False: that was all. */
static bool add_row(struct page *p)
{
	const struct page_part *part = &p->kind->parts[p->part];

	if (p->part == p->kind->parts_n)
		return false;
	if (p->row < (part->rows ? part->rows(p) : 1)) {
		part->add(p, p->row++);
	} else {
		p->part++;
		p->row = 0;
	}
	return true;
}

static void go_on(struct admin_call *c)
{
	struct page *p = CONTAINER_OF(c->work, struct page, work);

	if (collected_add_routes(p->sum, PAGE_SUMS) || process_facts_go_on(&p->process)) {
		admin_wait_turn(c);
		return;
	}
	for (unsigned i = 0; i < PAGE_ROWS; i++) {
		if (!add_row(p)) {
			admin_answer_made(c, p->kind->content_type, &p->text);
			return;
		}
	}
	admin_wait_turn(c);
}

static void on_collected(void *arg, struct collected *sum)
{
	struct admin_call *c = arg;
	struct page *p = CONTAINER_OF(c->work, struct page, work);

	p->sum = sum;
	counted_init(&p->counted, c->service, sum);
	admin_wait_turn(c);
}

void page_start(struct admin_call *c, const struct page_kind *kind)
{
	struct page *p = mem_zalloc(sizeof(*p));

	if (!p) {
		admin_problem(c, 503, "out of memory");
		return;
	}
	p->work = (struct admin_work){go_on, free_page};
	p->kind = kind;
	p->call = c;
	process_facts_init(&p->process, true);
	buf_init(&p->text, PAGE_MAX);
	c->work = &p->work;
	admin_collect(c, on_collected);
}
