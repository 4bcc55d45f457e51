# shellcheck shell=bash
# Finds a Docker engine and Compose, or starts an engine of its own. Part of scripts/image-test.

engine_pid_file=''

# not_run REASON: one line, and an exit code that nobody takes for a pass.
not_run() { die 77 "NOT RUN: no Docker engine can be started here: $*"; }

start_engine() {
    if ! docker info >/dev/null 2>&1; then
        install_engine
        run_engine
    fi
    if docker compose version >/dev/null 2>&1; then
        compose_program=(docker compose)
    elif command -v docker-compose >/dev/null; then
        compose_program=(docker-compose)
    else
        not_run "neither \`docker compose\` nor \`docker-compose\` is installed"
    fi
}

install_engine() {
    local missing=()
    command -v dockerd >/dev/null || missing+=(docker.io)
    docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || missing+=(docker-compose)
    ((EUID == 0)) || not_run "none answers, and only root can start one"
    ((${#missing[@]})) || return 0
    install_with_apt "${missing[@]}"
}

# install_with_apt PACKAGE…: without starting the packages' own services.
install_with_apt() {
    command -v apt-get >/dev/null || not_run "missing: $*"
    say "installing with apt: $*"
    apt-get -q update >"$run/apt.log" 2>&1 || true
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 install "$@" >>"$run/apt.log" 2>&1 </dev/null ||
        not_run "apt cannot install $*: $(tail -n 1 "$run/apt.log")"
}

# An engine with a socket and data of its own, which goes away with this run; what it has built stays.
run_engine() {
    export DOCKER_HOST=unix://$home/docker.sock
    engine_pid_file=$home/dockerd.pid
    setsid dockerd --data-root "$home/data" --exec-root "$home/exec" --pidfile "$engine_pid_file" \
        -H "$DOCKER_HOST" >"$home/dockerd.log" 2>&1 </dev/null &
    local _
    for _ in {1..60}; do
        docker info >/dev/null 2>&1 && return
        kill -0 $! 2>/dev/null || break
        sleep 0.5
    done
    not_run "$(tail -n 1 "$home/dockerd.log")"
}

stop_engine() {
    [[ -n $engine_pid_file && -e $engine_pid_file ]] || return 0
    pkill -F "$engine_pid_file" || true
    local _
    for _ in {1..60}; do
        [[ -e $engine_pid_file ]] || return 0
        sleep 0.5
    done
}
