/* SPDX-License-Identifier: MIT */
#include "proxy/process/privacy.h"

#include <stdio.h>
#include <sys/stat.h>

#define SENTENCE_MAX 4352

/* Reading by a group may be intended (ssl-cert on Debian); writing hardly ever is. */
static void look_at(const char *path, const char *what, void (*say)(const char *sentence))
{
	char sentence[SENTENCE_MAX];
	struct stat st;
	bool reads, writes;

	if (stat(path, &st) != 0)
		return;
	reads = st.st_mode & S_IROTH;
	writes = st.st_mode & (S_IWGRP | S_IWOTH);
	if (!reads && !writes)
		return;
	snprintf(sentence, sizeof(sentence), "%s: %s: other users can %s it (its mode is %03o)", what, path,
		reads && writes ? "read and change"
		: reads         ? "read"
				: "change",
		(unsigned)st.st_mode & 0777);
	say(sentence);
}

static bool has_tls(const struct config_proxy *p)
{
	for (unsigned i = 0; i < p->listen.n; i++)
		if (p->listen.v[i].tls)
			return true;
	return false;
}

void privacy_look(const struct config *c, const char *config_path, void (*say)(const char *sentence))
{
	if (has_tls(&c->proxy))
		look_at(c->proxy.tls_key.p, "tls_key", say);
	if (c->admin.token_file.n)
		look_at(c->admin.token_file.p, "token_file", say);
	else if (c->admin.token.n)
		look_at(config_path, "the token in the configuration", say);
	if (c->disk.path.n)
		look_at(c->disk.path.p, "[disk] path", say);
}
