# shellcheck shell=bash disable=SC2154
# The RabbitMQ of a stack. Part of scripts/stack, which sets the variables used here.

# Sets rabbitmq_sbin to the real scripts of the newest RabbitMQ that is new enough. The commands in
# a distribution's PATH are wrappers that work on the system's own server.
find_rabbitmq() {
    local script folder version best=3.10 plugins
    rabbitmq_sbin=
    for script in "$(command -v rabbitmq-server || true)" \
        {/usr/lib/rabbitmq/lib/rabbitmq_server-*,/opt/rabbitmq,/opt/rabbitmq_server-*}/sbin/rabbitmq-server; do
        folder=$(dirname "$(readlink -f "$script")")
        [[ -x $folder/rabbitmq-server && -d $folder/../plugins ]] || continue
        plugins=$(ls "$folder/../plugins")
        version=$(sed -nE 's/^rabbit-([0-9.]*[0-9]).*/\1/p' <<<"$plugins" | head -n 1)
        [[ -n $version && $plugins == *rabbitmq_management-* ]] || continue
        ! at_least "$best" "$version" || best=$version rabbitmq_sbin=$folder
    done
    [[ -n $rabbitmq_sbin ]] && find_epmd
}

find_epmd() {
    local erl
    erl=$(readlink -f "$(command -v erl)") || return 1
    for epmd in "$(command -v epmd || true)" "${erl%/*}/epmd" "${erl%/bin/erl}"/erts-*/bin/epmd; do
        [[ ! -x $epmd ]] || return 0
    done
    return 1
}

# Asks the management interface whether the AMQP port is served: shows that both are up, and that
# they are ours. By hand, so that no curl is needed.
rabbitmq_answers() {
    local amqp management status
    [[ -s $dir/rabbitmq.ports ]] || return 1
    read -r amqp management _ <"$dir/rabbitmq.ports"
    listens "$amqp" && listens "$management" || return 1
    status=$(
        exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$management"
        printf 'GET /api/health/checks/port-listener/%s HTTP/1.0\r\nAuthorization: Basic %s\r\n\r\n' \
            "$amqp" "$(printf 'longshore:%s' "$rabbitmq_password" | base64 -w 0)" >&3
        read -r -t 5 _ status _ <&3
        echo "$status"
    ) || true
    [[ $status == 200 ]]
}

# Starts it with the data and ports it had, if any; with other ports if one of them is taken.
rabbitmq_start() {
    local log=$dir/rabbitmq.log ports=$dir/rabbitmq.ports
    rabbitmq_stop
    rabbitmq_make_folder
    for _ in 1 2 3 4 5; do
        choose_ports "$ports" 4
        if rabbitmq_launch && rabbitmq_wait; then
            : >"$dir/rabbitmq/complete"
            return 0
        fi
        rabbitmq_stop
        taken "$ports" || break
        say "one of the ports $(<"$ports") is taken; trying others for RabbitMQ"
    done
    say "RabbitMQ does not start"
    show_end "$log"
    return 1
}

# Data that an interrupted first start left behind lack the mark `complete`, and are made anew.
rabbitmq_make_folder() {
    local folder=$dir/rabbitmq
    : >>"$dir/rabbitmq.log"
    [[ ! -e $folder/complete ]] || return 0
    rm -rf "$folder" "$dir/rabbitmq.ports"
    own_folder rabbitmq "$folder" "$folder/run" "$folder/epmd"
    as rabbitmq bash -c 'umask 377 && cat >rabbitmq/.erlang.cookie' <<<"$cookie"
    as rabbitmq bash -c 'cat >rabbitmq/plugins' <<<'[rabbitmq_management].'
}

# The default user is made on the first boot, in the place of guest.
rabbitmq_configure() {
    as rabbitmq bash -c 'cat >rabbitmq/rabbitmq.conf' <<END
listeners.tcp.1 = 127.0.0.1:$1
management.tcp.ip = 127.0.0.1
management.tcp.port = $2
default_vhost = /
default_user = longshore
default_pass = $rabbitmq_password
default_user_tags.administrator = true
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = info
log.file = false
END
}

# Sets `environment`: what a server or rabbitmqctl needs to be, or to reach, this stack's node.
rabbitmq_set_environment() {
    local folder=$dir/rabbitmq distribution epmd_port
    read -r _ _ distribution epmd_port <"$dir/rabbitmq.ports"
    environment=(
        "HOME=$folder" ERL_EPMD_ADDRESS=127.0.0.1 "ERL_EPMD_PORT=$epmd_port"
        "ERL_AFLAGS=-kernel inet_dist_use_interface {127,0,0,1}"
        # On localhost, since the machine's own name need not resolve.
        "RABBITMQ_NODENAME=longshore-$name@localhost" "RABBITMQ_DIST_PORT=$distribution"
        "RABBITMQ_MNESIA_BASE=$folder/data" "RABBITMQ_LOG_BASE=$folder" RABBITMQ_LOGS=-
        "RABBITMQ_GENERATED_CONFIG_DIR=$folder/generated" "RABBITMQ_PID_FILE=$folder/pid"
        "RABBITMQ_CONFIG_FILE=$folder/rabbitmq.conf" "RABBITMQ_CONFIG_FILES=$folder/none"
        "RABBITMQ_ADVANCED_CONFIG_FILE=$folder/none" RABBITMQ_CONF_ENV_FILE=/dev/null
        "RABBITMQ_ENABLED_PLUGINS_FILE=$folder/plugins"
        ERL_CRASH_DUMP_SECONDS=0
        # The server takes the place of its start script instead of running under it.
        detached=1
    )
}

rabbitmq_launch() {
    local amqp management epmd_port environment
    read -r amqp management _ epmd_port <"$dir/rabbitmq.ports"
    rabbitmq_configure "$amqp" "$management"
    rabbitmq_set_environment
    # Erlang's name server is started by us and not by Erlang, so that it is surely ours to end.
    rabbitmq_spawn epmd "$epmd" -port "$epmd_port" -address 127.0.0.1
    until listens "$epmd_port"; do
        [[ -n $(pids rabbitmq rabbitmq/epmd) ]] || return 1
        sleep 0.05
    done
    rabbitmq_spawn run "$rabbitmq_sbin/rabbitmq-server"
}

# rabbitmq_spawn FOLDER COMMAND…: in a session of its own, so that Ctrl-C does not reach it.
rabbitmq_spawn() {
    local folder=$dir/rabbitmq/$1
    shift
    # shellcheck disable=SC2016  # expanded by the shell that runs it
    as rabbitmq "${clean[@]}" "${environment[@]}" bash -c 'cd "$0" && exec setsid --fork "$@"' \
        "$folder" "$@" >>"$dir/rabbitmq.log" 2>&1 </dev/null
}

rabbitmq_wait() {
    local deadline=$((SECONDS + 120))
    until rabbitmq_answers; do
        [[ -n $(pids rabbitmq rabbitmq/run) ]] && ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# rabbitmq_ctl ARGUMENT…: under the server's account, whose folder holds the cookie; and in a folder whose
# parent that account can list, because Erlang does.
rabbitmq_ctl() {
    local environment
    rabbitmq_set_environment
    # shellcheck disable=SC2016  # expanded by the shell that runs it
    as rabbitmq "${clean[@]}" "${environment[@]}" bash -c 'cd "$0" && exec "$@"' \
        "$dir/rabbitmq/data" "$rabbitmq_sbin/rabbitmqctl" "$@"
}

# By force: an orderly stop takes its time.
rabbitmq_stop() {
    end rabbitmq rabbitmq/run KILL 0
    end rabbitmq rabbitmq/epmd KILL 0
}

rabbitmq_status() {
    local state='does not run' code=1 amqp management distribution epmd_port
    if rabbitmq_answers; then
        code=0
        read -r amqp management distribution epmd_port <"$dir/rabbitmq.ports"
        state="runs, pid $(<"$dir/rabbitmq/pid"), port $amqp, management $management,"
        state+=" Erlang $distribution and $epmd_port"
    fi
    printf '%-11s %s\n' RabbitMQ "$state" '' "log $dir/rabbitmq.log"
    return "$code"
}
