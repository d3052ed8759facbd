#!/bin/bash
# SPDX-License-Identifier: MIT
# What memoproxy is built and tested with: is it there, and which Debian packages have what is not?
#   install-deps.sh SET...      as root installs what is missing; else names the command that does, and fails
#   install-deps.sh -n SET...   prints the packages that would be installed
#   install-deps.sh -c SET...   one sentence, and exit status 1, when something is missing; installs nothing
# A SET is build, unit, system, lint, fuzz, bench or packaging. What counts is what the compiler, pkg-config, the PATH and Python find, not
# what the package manager has installed: a library may come from anywhere. No service that comes with a package is started or left enabled.
set -uo pipefail
CC=${CC:-gcc}
case $CC in *clang*) compiler=clang ;; *) compiler=gcc ;; esac
PYTHON=${PYTHON:-/usr/bin/python3}
services="nginx varnish varnishncsa haproxy prometheus"

# One a line: the set, how it is looked for, its name, and the Debian package that has it.
needs="
build command make make
build command ${CC%% *} $compiler
build command pkg-config pkg-config
build header stdio.h libc6-dev
build pc libevent libevent-dev
build pc libevent_pthreads libevent-dev
build pc libcurl libcurl4-openssl-dev
build pc libnghttp2 libnghttp2-dev
build header uthash.h uthash-dev
build pc libxxhash libxxhash-dev
build pc jansson libjansson-dev
build pc yaml-0.1 libyaml-dev
build pc expat libexpat1-dev
build pc zlib zlib1g-dev
build pc libbrotlienc libbrotli-dev
build pc libzstd libzstd-dev
build pc openssl libssl-dev
unit header cmocka.h libcmocka-dev
system command python3 python3
system python pytest python3-pytest
system python xdist python3-pytest-xdist
system python yaml python3-yaml
system python jsonschema python3-jsonschema
system command zsh zsh
system command fish fish
system command nginx nginx-light
system command curl curl
system command openssl openssl
system command node nodejs
system command npm npm
system command promtool prometheus
lint python jsonschema python3-jsonschema
lint command clang clang
lint command clang-tidy clang-tidy
lint command clang-format clang-format
fuzz command clang clang
fuzz runtime libclang_rt.fuzzer libclang-rt-dev
bench command wrk wrk
bench command varnishd varnish
bench command haproxy haproxy
packaging command git git
packaging command g++ build-essential
packaging command dh debhelper
packaging command dpkg-buildpackage dpkg-dev
packaging command lintian lintian
packaging command debootstrap debootstrap
"
# Servers are in sbin, which is not in everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin

is_found() { # <how> <name>
	case $1 in
	command) command -v "$2" ;;
	pc) pkg-config --exists "$2" ;;
	header) echo "#include <$2>" | $CC -E - ;;
	python) "$PYTHON" -c "import $2" ;;
	runtime) compgen -G "$(clang -print-runtime-dir)/$2*" ;;
	esac >/dev/null 2>&1
}

mode=install
case "${1:-}" in
-n) mode=print && shift ;;
-c) mode=check && shift ;;
esac
for set in "$@"; do
	case $set in
	build | unit | system | lint | fuzz | bench | packaging) ;;
	*) echo "install-deps: unknown set '$set'" >&2 && exit 2 ;;
	esac
done

missing="" packages=""
while read -r set how name package; do
	case " $* " in *" $set "*) ;; *) continue ;; esac
	! is_found "$how" "$name" || continue
	case ", $missing, " in *", $name, "*) ;; *) missing+="${missing:+, }$name" ;; esac
	case " $packages " in *" $package "*) ;; *) packages+="${packages:+ }$package" ;; esac
done <<<"$needs"
[ -n "$missing" ] || exit 0

[ "$mode" != print ] || { echo "$packages" && exit 0; }

sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo "
if ! command -v apt-get >/dev/null; then
	advice="; these are the packages' names on Debian, other systems have them under similar ones: $packages"
else
	advice="; install them with: ${sudo}apt-get install $packages"
	# shellcheck disable=SC2086 # the list is words
	[ "$(dpkg-query -W -f '${db:Status-Abbrev}\n' $packages 2>/dev/null | grep -c '^.i')" != "$(wc -w <<<"$packages")" ] ||
		advice+=" (installed here already: look at PKG_CONFIG_PATH, PKG_CONFIG_LIBDIR, CC and PATH)"
fi
if [ "$mode" = check ] || [ -n "$sudo" ] || ! command -v apt-get >/dev/null; then
	echo "memoproxy needs these, and they were not found: $missing$advice" >&2
	exit 1
fi

echo "memoproxy needs these, and they were not found: $missing. Installing them now, as root: apt-get install $packages"
policy=/usr/sbin/policy-rc.d
cleanup() { [ -z "${policy_is_ours:-}" ] || rm -f $policy; }
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e $policy ]; then
	policy_is_ours=1
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update </dev/null || echo "install-deps: apt-get update failed; trying with the lists at hand" >&2
# shellcheck disable=SC2086 # the list is words
apt-get -y -qq install --no-install-recommends $packages </dev/null || exit

# Ours to use, not to run at the next boot; services that were here before keep their setting.
for service in $services; do
	case " $packages " in
	*" $service "* | *" $service-light "* | *" ${service%ncsa} "*)
		! command -v systemctl >/dev/null || systemctl --quiet disable "$service" >/dev/null 2>&1 || true
		;;
	esac
done
