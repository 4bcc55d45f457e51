# shellcheck shell=bash disable=SC2154
# Accounts, processes and ports. Part of scripts/stack, which sets the variables used here.

# The account that a server runs as: ours; but if we are root, one that can do little.
account() {
    if ((EUID)); then id -un; elif id "$1" >/dev/null 2>&1; then echo "$1"; else echo nobody; fi
}

# as SERVER COMMAND…: runs COMMAND under that server's account and in the stack's folder, since
# the folder we were called in may be closed to it. Without files that we or our caller hold open:
# a server would keep locks taken and pipes from ending.
as() (
    user=$(account "$1")
    shift
    cd "$dir" || exit
    for fd in /proc/"$BASHPID"/fd/*; do
        fd=${fd##*/}
        ((fd <= 2)) || eval "exec $fd>&-"
    done
    ((EUID == 0)) || exec "$@"
    exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups "$@"
)

# The environment of servers holds nothing of the caller's: PG…, RABBITMQ_… and ERL_… variables
# would change what we start.
# shellcheck disable=SC2034  # used by the other files
clean=(env -i "PATH=$PATH" LANG=C.UTF-8)

# own_folder SERVER FOLDER…: makes folders that only this server's account can open.
own_folder() {
    local user
    user=$(account "$1")
    shift
    mkdir -p "$@"
    ((EUID)) || chown "$user:$(id -g "$user")" "$@"
}

# pids SERVER FOLDER: the processes that work in FOLDER. Unlike a pid file this is never stale and
# never names a stranger's process. Asked under the server's account, because root in a container
# may not look at the processes of others.
pids() {
    local process folder
    while read -r process folder; do
        [[ "$folder " == "$dir/$2 "* ]] || continue
        process=${process#/proc/} process=${process%/cwd}
        # Somebody's shell may stand in the data folder.
        [[ $1 != postgres || $(cat "/proc/$process/comm" 2>/dev/null) == postgres ]] || continue
        echo "$process"
    done < <(as "$1" find /proc/[0-9]*/cwd -maxdepth 0 -printf '%p %l\n' 2>/dev/null)
}

# end SERVER FOLDER SIGNAL SECONDS: ends the processes in FOLDER, by force after SECONDS.
end() {
    local deadline=$((SECONDS + $4)) signal=$3 found
    while found=$(pids "$1" "$2") && [[ -n $found ]]; do
        ((SECONDS < deadline)) || signal=KILL
        # shellcheck disable=SC2086  # a word for each pid
        [[ -z $signal ]] || kill -s "$signal" $found 2>/dev/null || true
        signal=
        sleep 0.1
    done
}

# choose_ports FILE COUNT: keeps the ports in FILE if they can still be had, or writes others, from
# below the range that outgoing connections are given. Whether a server really gets them shows when
# it binds them: who loses that race finds them taken and tries again with others.
choose_ports() {
    local ports=()
    [[ ! -s $1 ]] || taken "$1" || return 0
    while ((${#ports[@]} < $2)); do
        ports+=($((12000 + RANDOM % 20000)))
    done
    echo "${ports[*]}" >"$1"
    ! taken "$1" || choose_ports "$@"
}

# Whether somebody listens on one of the ports in FILE.
taken() {
    local port ports
    read -ra ports <"$1"
    for port in "${ports[@]}"; do
        ! listens "$port" || return 0
    done
    return 1
}
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# show_end FILE [TITLE]
show_end() {
    say "the end of ${2:-$1}:"
    tail -n 40 -- "$1" | cut -c -400 | sed 's/^/    /' >&2
}
