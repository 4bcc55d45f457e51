# shellcheck shell=bash disable=SC2154
# The PostgreSQL of a stack. Part of scripts/stack, which sets the variables used here.

# Sets postgres_bin to the folder of the newest PostgreSQL on this machine that is new enough.
find_postgres() {
    local folder version best=15
    postgres_bin=
    for folder in "$(dirname "$(command -v postgres || echo /)")" \
        "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
        [[ -x $folder/postgres && -x $folder/initdb ]] || continue
        [[ $("$folder/postgres" --version) =~ [0-9]+(\.[0-9]+)? ]] || continue
        version=${BASH_REMATCH[0]}
        ! at_least "$best" "$version" || best=$version postgres_bin=$folder
    done
    [[ -n $postgres_bin ]] && command -v psql >/dev/null
}

# postgres_psql DATABASE ARGUMENT…: the caller's PG… variables would lead elsewhere.
postgres_psql() (
    database=$1
    shift
    unset "${!PG@}"
    export PGPASSWORD=$postgres_password PGCONNECT_TIMEOUT=5
    exec psql -h 127.0.0.1 -p "$(<"$dir/postgres.port")" -U longshore -d "$database" "$@"
)

# Asks with the password: another server that got our port would refuse it. One whose connections
# are all in use says so, and is up.
postgres_answers() {
    local answer
    [[ -s $dir/postgres.port && -e $dir/postgres/complete ]] || return 1
    answer=$(postgres_psql longshore -XAtc 'SELECT 1' 2>&1) || true
    [[ $answer == 1 || $answer == *'too many clients'* || $answer == *'connection slots'* ]]
}

# Starts it with the data and port it had, if any; with another port if that one is taken.
postgres_start() {
    local data=$dir/postgres/data log=$dir/postgres.log port=$dir/postgres.port
    postgres_stop
    postgres_make_data || return 1
    for _ in 1 2 3 4 5; do
        choose_ports "$port" 1
        postgres_configure "$(<"$port")" postgres
        # No process of ours is left that these could stand for; their pid may be a stranger's by now.
        rm -f "$data/postmaster.pid" "$dir"/postgres/socket/.s.*
        if as postgres "${clean[@]}" "$postgres_bin/pg_ctl" start -w -t 300 -s -D "$data" \
            >>"$log" 2>&1 </dev/null; then
            postgres_make_database && return
            break
        fi
        postgres_stop
        taken "$port" || break
        say "port $(<"$port") is taken; trying another for PostgreSQL"
    done
    say "PostgreSQL does not start"
    show_end "$log"
    return 1
}

# Data that an interrupted first start left behind lack the mark `complete`, and are made anew.
postgres_make_data() {
    local folder=$dir/postgres log=$dir/postgres.log
    : >>"$log"
    [[ ! -e $folder/complete ]] || return 0
    rm -rf "$folder" "$dir/postgres.port"
    own_folder postgres "$folder" "$folder/socket"
    as postgres bash -c 'cat >postgres/password' <<<"$postgres_password"
    # Only initdb's own files are not synced; the server syncs as it does anywhere.
    if ! as postgres "${clean[@]}" "$postgres_bin/initdb" -D "$folder/data" -U longshore \
        -A scram-sha-256 --pwfile="$folder/password" -E UTF8 --locale=C.UTF-8 --no-sync \
        >>"$log" 2>&1 </dev/null; then
        say "PostgreSQL cannot make its data folder"
        show_end "$log"
        return 1
    fi
    rm -f "$folder/password"
    echo "include 'longshore.conf'" >>"$folder/data/postgresql.conf"
}

# fsync, synchronous_commit and wal_level keep their defaults: what is measured here has to hold
# elsewhere. A socket's path is limited to 107 bytes; where ours is longer, TCP has to do.
# postgres_configure PORT FOLDER
postgres_configure() {
    local socket=$dir/$2/socket
    ((${#socket} + 16 <= 107)) || socket=
    as postgres bash -c "cat >$2/data/longshore.conf" <<END
listen_addresses = '127.0.0.1'
port = $1
unix_socket_directories = '$socket'
cluster_name = 'longshore-$name-$2'
max_connections = 300
shared_buffers = 256MB
max_wal_size = 4GB
log_line_prefix = '%m [%p] %q%a '
END
}

postgres_make_database() {
    [[ ! -e $dir/postgres/complete ]] || return 0
    postgres_psql postgres -qXc 'CREATE DATABASE longshore' >>"$dir/postgres.log" 2>&1 &&
        : >"$dir/postgres/complete"
}

# At once, without a checkpoint.
postgres_stop() { end postgres postgres/data QUIT 10; }

# A replica that streams, on a port of its own. It is cut off, paused and promoted by SQL.
standby_start() {
    local folder=$dir/standby log=$dir/standby.log port=$dir/standby.port
    standby_stop
    own_folder postgres "$folder" "$folder/socket"
    if ! as postgres "${clean[@]}" "PGPASSWORD=$postgres_password" "$postgres_bin/pg_basebackup" -h 127.0.0.1 \
        -p "$(<"$dir/postgres.port")" -U longshore -D "$folder/data" -c fast -X stream -R --no-sync \
        >>"$log" 2>&1 </dev/null; then
        say "PostgreSQL cannot be copied"
        show_end "$log"
        return 1
    fi
    for _ in 1 2 3 4 5; do
        choose_ports "$port" 1
        postgres_configure "$(<"$port")" standby
        if as postgres "${clean[@]}" "$postgres_bin/pg_ctl" start -w -t 300 -s -D "$folder/data" \
            >>"$log" 2>&1 </dev/null; then
            echo "postgres://longshore:$postgres_password@127.0.0.1:$(<"$port")/longshore"
            return
        fi
        end postgres standby/data QUIT 10
        taken "$port" || break
    done
    say "the standby does not start"
    show_end "$log"
    return 1
}

standby_stop() {
    [[ -e $dir/standby ]] || return 0
    end postgres standby/data QUIT 10
    rm -rf "$dir/standby" "$dir/standby.port"
}

postgres_status() {
    local state='does not run' code=1
    if postgres_answers; then
        code=0
        state="runs, pid $(head -n 1 "$dir/postgres/data/postmaster.pid"), port $(<"$dir/postgres.port")"
    fi
    printf '%-11s %s\n' PostgreSQL "$state" '' "log $dir/postgres.log"
    return "$code"
}
