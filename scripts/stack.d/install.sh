# shellcheck shell=bash
# Finds PostgreSQL and RabbitMQ on this machine, and installs what is missing. Part of scripts/stack.

find_or_install() {
    local missing=()
    find_postgres || missing+=(postgresql)
    find_rabbitmq || missing+=(rabbitmq-server)
    # Of this stack's tests, some put a pooler before Postgres.
    [[ $name != test || -x /usr/sbin/pgbouncer ]] || missing+=(pgbouncer)
    ((${#missing[@]})) || return 0
    install_packages "${missing[@]}"
    find_postgres || die 2 "found no PostgreSQL 15 or newer with psql, and apt has none"
    find_rabbitmq || die 2 "found no RabbitMQ 3.10 or newer with its management plugin, and apt has none"
}

# at_least WANTED VERSION
at_least() { printf '%s\n' "$1" "$2" | sort -VC; }

install_packages() {
    local sudo=() log
    command -v apt-get >/dev/null || die 2 "missing: $*. Install PostgreSQL 15 or newer" \
        "and RabbitMQ 3.10 or newer, then run this again"
    if ((EUID)); then
        sudo=(sudo -n)
        sudo -n true 2>/dev/null ||
            die 2 "servers are missing; install them and run this again: sudo apt-get install $*"
    fi
    say "installing with apt: $*"
    log=$(mktemp)
    if ! "${sudo[@]}" bash -s -- "$@" <<<"$installer" >"$log" 2>&1; then
        show_end "$log" "what apt said"
        rm -f "$log"
        die 2 "apt failed; install them and run this again: sudo apt-get install $*"
    fi
    rm -f "$log"
}

# Runs as root. The packages' own services are not started: policy-rc.d says no to that, and goes
# away afterwards. One that somebody else put there is their decision and stays.
# shellcheck disable=SC2016  # expanded by the shell that runs it
installer='
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]] || grep -q scripts/stack $policy; then
    trap "rm -f $policy" EXIT
    trap "exit 1" INT TERM HUP
    printf "#!/bin/sh\n# Of scripts/stack, while it installs.\nexit 101\n" >$policy
    chmod 755 $policy
fi
try() {
    local packages=("$@") newest
    # The plain name may stand for an older version than the newest one on offer.
    newest=$(apt-cache search --names-only "^postgresql-[0-9]+$" | cut -d" " -f1 | sort -V | tail -n 1)
    [[ -z $newest ]] || packages=("${packages[@]/#postgresql/$newest}")
    apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "${packages[@]}" </dev/null
}
try "$@" && exit
# Package lists are missing or old; or another apt is at work on them.
for pause in 5 10 20 0; do
    apt-get -q update && break
    sleep $pause
done
try "$@"
'
