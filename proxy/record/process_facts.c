/* SPDX-License-Identifier: MIT */
#include "proxy/record/process_facts.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES "/proc/self/fd"

static double cpu_seconds(void)
{
	struct timespec t = {0, 0};

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_memory(struct process_facts *f)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	long long all, resident;

	f->virtual_bytes = f->resident_bytes = -1;
	if (!statm)
		return;
	if (fscanf(statm, "%lld %lld", &all, &resident) == 2) {
		f->virtual_bytes = all * sysconf(_SC_PAGESIZE);
		f->resident_bytes = resident * sysconf(_SC_PAGESIZE);
	}
	(void)fclose(statm);
}

/* -1: unbounded, or not known. */
static int64_t max_files(void)
{
	struct rlimit r;

	return getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur != RLIM_INFINITY ? (int64_t)r.rlim_cur : -1;
}

void process_facts_init(struct process_facts *f, bool asks_kernel)
{
	struct stat files;

	*f = (struct process_facts){.cpu_s = cpu_seconds(), .max_files = max_files()};
	read_memory(f);
	if (asks_kernel && stat(FILES, &files) == 0 && files.st_size > 0) {
		f->open_files = files.st_size;
		return;
	}
	f->files = opendir(FILES);
	f->open_files = -1; /* the directory's own is not one of the program's */
}

void process_facts_fini(struct process_facts *f)
{
	if (f->files)
		(void)closedir(f->files);
	f->files = NULL;
}

bool process_facts_go_on(struct process_facts *f)
{
	if (!f->files)
		return false;
	for (unsigned i = 0; i < PROCESS_FILES_STEP; i++) {
		const struct dirent *e = readdir(f->files);

		if (!e) {
			process_facts_fini(f);
			return false;
		}
		f->open_files += e->d_name[0] != '.';
	}
	return true;
}
