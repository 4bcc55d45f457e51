# shellcheck shell=bash
# Images for a machine that can pull none: the same servers and tools, in the same versions, from Debian's
# packages. Part of scripts/image-test.

# Names carry what this script is, so that no image of an earlier one is taken for today's.
standing_in=longshore-stand-in
recipe=$(sha256sum "${BASH_SOURCE[0]}" | cut -c 1-12)

remove_earlier_stand_ins() {
    docker image ls --format '{{.Repository}}:{{.Tag}}' | grep "^$standing_in/" | grep -v -- "-$recipe\$" |
        xargs -r docker rmi -f >/dev/null 2>&1 || true
}

# real_or_stand_in IMAGE: prints the name of the image to use: IMAGE itself, if it is there or can be pulled.
real_or_stand_in() {
    local image=$1 stand_in
    if docker image inspect "$image" >/dev/null 2>&1 || timeout 300 docker pull -q "$image" >/dev/null 2>&1; then
        echo "$image"
        return
    fi
    stand_in=$standing_in/$image-$recipe
    docker image inspect "$stand_in" >/dev/null 2>&1 || build_stand_in "$image" "$stand_in"
    say "$image cannot be pulled; Debian's packages stand in for it"
    echo "$stand_in"
}

# build_stand_in IMAGE TAG: which suite has the version that IMAGE names.
build_stand_in() {
    local image=$1 tag=$2
    say "building what stands in for $image"
    case $image in
    debian:*-slim) build_base "$(suite_in "$image")" && docker tag "$(base_of "$(suite_in "$image")")" "$tag" ;;
    rust:1-*) build_rust "$(suite_in "$image")" "$tag" ;;
    postgres:17*) build_postgres trixie 17 "$tag" ;;
    postgres:18*) build_postgres sid 18 "$tag" ;;
    rabbitmq:4-*) build_rabbitmq trixie 4. "$tag" ;;
    *) die 1 "$image cannot be pulled, and nothing is known that could stand in for it" ;;
    esac
}

# suite_in IMAGE: the Debian suite in an image's tag, as in rust:1-bookworm or debian:bookworm-slim.
suite_in() { sed -E 's/.*[:-](bookworm|trixie)(-.*)?$/\1/' <<<"$1"; }
base_of() { echo "$standing_in/base:$1-$recipe"; }

# build_base SUITE: Debian's minimal system, with this machine's package source and certificates.
build_base() {
    local suite=$1 root mirror
    docker image inspect "$(base_of "$suite")" >/dev/null 2>&1 && return
    command -v debootstrap >/dev/null || install_with_apt debootstrap
    mirror=$(grep -hm 1 '^URIs' /etc/apt/sources.list.d/debian.sources 2>/dev/null | cut -d ' ' -f 2)
    mirror=${mirror:-$(awk '$1 == "deb" { print $2; exit }' /etc/apt/sources.list 2>/dev/null)}
    root=$(mktemp -d "$run/root-XXXXXX")
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" \
        "$(debootstrap_script "$suite")" >"$run/debootstrap.log" 2>&1 ||
        die 1 "debootstrap of $suite failed: $(tail -n 1 "$run/debootstrap.log")"
    cp -a /etc/ssl/certs/. "$root/etc/ssl/certs/"
    cp -a /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
    grep -lE '^ *Acquire' /etc/apt/apt.conf.d/* 2>/dev/null | xargs -r cp -t "$root/etc/apt/apt.conf.d/"
    # No service of a package is to start while it is installed.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    tar -C "$root" -c . | docker import - "$(base_of "$suite")" >/dev/null
    rm -rf "$root"
}

# An older debootstrap does not know the names of later suites; all of them are set up as sid is.
debootstrap_script() {
    local scripts=/usr/share/debootstrap/scripts
    [[ -e $scripts/$1 ]] && echo "$scripts/$1" || echo "$scripts/sid"
}

# build_image TAG FOLDER
build_image() {
    DOCKER_BUILDKIT=0 docker build -q --network host -t "$1" "$2" >"$run/build.log" 2>&1 ||
        die 1 "cannot build $1: $(tail -n 3 "$run/build.log")"
}

apt='apt-get -q update >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install'

# This machine's toolchain, because no other can be had.
build_rust() {
    local suite=$1 tag=$2 context=$run/rust sysroot
    build_base "$suite"
    sysroot=$(rustc --print sysroot)
    mkdir -p "$context/cargo" "$context/toolchain"
    cp -a "$sysroot/bin" "$sysroot/lib" "$context/toolchain/"
    [[ ! -f ${CARGO_HOME:-$HOME/.cargo}/config.toml ]] || cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$context/cargo/"
    cat >"$context/Dockerfile" <<END
FROM $(base_of "$suite")
RUN $apt gcc libc6-dev >/dev/null
COPY toolchain /usr/local
COPY cargo /usr/local/cargo
ENV CARGO_HOME=/usr/local/cargo
END
    build_image "$tag" "$context"
    rm -rf "$context"
}

# build_postgres SUITE MAJOR TAG: with what the official image makes of POSTGRES_USER, _PASSWORD and _DB.
build_postgres() {
    local suite=$1 major=$2 tag=$3 context=$run/postgres
    build_base "$suite"
    mkdir -p "$context"
    cat >"$context/docker-entrypoint.sh" <<'END'
#!/bin/bash
set -eu
data=${PGDATA:-/var/lib/postgresql/data}
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
mkdir -p "$data"
chown postgres "$data" /var/run/postgresql
chmod 700 "$data"
if [[ ! -s $data/PG_VERSION ]]; then
    password=$(as_postgres mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
    as_postgres initdb -D "$data" -U "$POSTGRES_USER" --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 \
        --pwfile="$password" >/dev/null
    rm "$password"
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    as_postgres pg_ctl -D "$data" -o "-c listen_addresses=''" -w start >/dev/null
    as_postgres createdb -U "$POSTGRES_USER" -h /var/run/postgresql "${POSTGRES_DB:-$POSTGRES_USER}" ||
        as_postgres psql -U "$POSTGRES_USER" -d "${POSTGRES_DB:-$POSTGRES_USER}" -c 'SELECT'
    as_postgres pg_ctl -D "$data" -w stop >/dev/null
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups postgres -D "$data" -c listen_addresses='*'
END
    chmod 755 "$context/docker-entrypoint.sh"
    cat >"$context/Dockerfile" <<END
FROM $(base_of "$suite")
RUN $apt postgresql-$major >/dev/null && ln -s /usr/lib/postgresql/$major/bin/* /usr/local/bin/
COPY docker-entrypoint.sh /usr/local/bin/
ENTRYPOINT ["docker-entrypoint.sh"]
END
    build_image "$tag" "$context"
}

# build_rabbitmq SUITE VERSION TAG: VERSION is how the server's version must begin.
build_rabbitmq() {
    local suite=$1 version=$2 tag=$3 context=$run/rabbitmq
    build_base "$suite"
    mkdir -p "$context"
    # The server takes user and password from its configuration, as the official image makes it of the environment.
    cat >"$context/docker-entrypoint.sh" <<'END'
#!/bin/sh
set -eu
printf 'default_user = %s\ndefault_pass = %s\nloopback_users = none\nlisteners.tcp.default = 5672\nlog.console = true\n' \
    "$RABBITMQ_DEFAULT_USER" "$RABBITMQ_DEFAULT_PASS" >/etc/rabbitmq/rabbitmq.conf
chown -R rabbitmq: /var/lib/rabbitmq /etc/rabbitmq
exec setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups rabbitmq-server
END
    chmod 755 "$context/docker-entrypoint.sh"
    cat >"$context/Dockerfile" <<END
FROM $(base_of "$suite")
RUN $apt rabbitmq-server >/dev/null && rabbitmq-plugins enable --offline rabbitmq_management >/dev/null \
    && dpkg-query -W -f '\${Version}' rabbitmq-server | grep -q '^$version'
ENV HOME=/var/lib/rabbitmq LANG=C.UTF-8
COPY docker-entrypoint.sh /usr/local/bin/
ENTRYPOINT ["docker-entrypoint.sh"]
END
    build_image "$tag" "$context"
}
