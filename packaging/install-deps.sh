#!/bin/bash
# Installs the Debian packages that are missing, and only those: install-deps.sh [-n] build|test|bench...
# -n prints what would be installed. No service that comes with a package is started or left enabled.
set -euo pipefail

build="gcc make pkg-config libevent-dev libcurl4-openssl-dev libnghttp2-dev uthash-dev libxxhash-dev libinih-dev libjansson-dev
	zlib1g-dev libbrotli-dev libzstd-dev libssl-dev"
test="libcmocka-dev python3 python3-pytest python3-pytest-xdist nginx-light curl openssl clang clang-tidy clang-format libclang-rt-14-dev"
bench="wrk varnish haproxy"
services="nginx varnish varnishncsa haproxy"

dry=0
if [ "${1:-}" = -n ]; then
	dry=1
	shift
fi

# A virtual package, or another package that provides this one, shows only in what is provided; ask by real name.
missing() {
	local installed name
	installed=" $(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null | sed -n 's/^.i  *//p' | tr '\n' ' ')"
	for name in "$@"; do
		case "$installed" in *" $name "*) ;; *) echo "$name" ;; esac
	done
}

wanted=""
for set in "$@"; do
	case $set in
	build) wanted+=" $build" ;;
	test)
		wanted+=" $test"
		command -v node >/dev/null || wanted+=" nodejs"
		command -v npm >/dev/null || wanted+=" npm"
		;;
	bench) wanted+=" $bench" ;;
	*) echo "install-deps: unknown set '$set'" >&2 && exit 2 ;;
	esac
done

if ! command -v dpkg-query >/dev/null; then
	echo "install-deps: not a Debian system; going on in the hope that these are there:$wanted" >&2
	exit 0
fi
# shellcheck disable=SC2086 # the lists are words
list=$(missing $wanted | tr '\n' ' ')
[ -n "$list" ] || exit 0
if [ $dry = 1 ]; then
	echo "$list"
	exit 0
fi

if [ "$(id -u)" != 0 ]; then
	if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
		exec sudo "$0" "$@"
	fi
	echo "These Debian packages are missing and installing them takes root: apt-get install $list" >&2
	exit 1
fi

echo "install-deps: installing $list"
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
# shellcheck disable=SC2086
apt-get -y -qq install --no-install-recommends $list </dev/null

# Ours to use, not to run at the next boot; services that were here before keep their setting.
for service in $services; do
	case " $list " in
	*" $service "* | *" $service-light "* | *" ${service%ncsa} "*)
		! command -v systemctl >/dev/null || systemctl --quiet disable "$service" >/dev/null 2>&1 || true
		;;
	esac
done
