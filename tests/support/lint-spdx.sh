#!/bin/bash
# SPDX-License-Identifier: MIT
# Every source, script and Makefile says its licence in its first line (after "#!"): lint-spdx.sh, or with --fix adds what is missing.
# The files are those that git knows, or would add.
set -euo pipefail
fix=${1:-}
breaches=0
while read -r file; do
	[ -e "$file" ] || continue
	case $file in
	*.c | *.h | *.def) line='/* SPDX-License-Identifier: MIT */' ;;
	*.js | *.mjs) line='// SPDX-License-Identifier: MIT' ;;
	*.lua) line='-- SPDX-License-Identifier: MIT' ;;
	Makefile | *.sh | *.py | *.toml | .ci/run) line='# SPDX-License-Identifier: MIT' ;;
	*) continue ;;
	esac
	at=1 first=""
	{
		IFS= read -r first || true
		[[ $first != '#!'* ]] || { at=2 && IFS= read -r first; }
	} <"$file"
	[ "$first" != "$line" ] || continue
	if [ "$fix" = --fix ]; then
		[ -s "$file" ] && sed -i "${at}i\\$line" "$file" || echo "$line" >"$file"
	else
		echo "$file:$at: no \"$line\" (make format adds it)"
		breaches=1
	fi
done < <(git ls-files --cached --others --exclude-standard)
exit $breaches
