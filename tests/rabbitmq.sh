#!/bin/sh
# Runs a private RabbitMQ for the tests: own node name, data, logs, cookie and ports, all on loopback.
#
#   tests/rabbitmq.sh start DIR PORT   starts it, waits until it accepts connections, prints its URL
#   tests/rabbitmq.sh restart DIR      starts it again on its data after a signal has ended it, and does not wait
#   tests/rabbitmq.sh stop DIR         stops it and the epmd that it started, and removes its data
#   DIR/rabbitmqctl ARGS...            asks it something, while it runs
#   DIR/node.pid                       the process to send signals to
#
# PORT is for AMQP, the five ports after it are for Erlang (epmd, distribution, rabbitmqctl). Of plugins, management is
# at PORT+6, Web STOMP at PORT+7, STOMP at PORT+8 and Prometheus at PORT+9.
#
# STOMPGATE_RABBITMQ_PLUGINS  what to enable, with commas between (nothing)
# STOMPGATE_RABBITMQ_CONF     a file whose lines go to the end of rabbitmq.conf (none)
# STOMPGATE_RABBITMQ_ROOT     the root of another Debian, whose RabbitMQ runs instead of this machine's (none)
# STOMPGATE_RABBITMQ_ADDRESS  where it listens for AMQP (127.0.0.1)
# STOMPGATE_RABBITMQ_PEER     the DIR of a node that runs, to make a cluster with (none)
set -eu

usage() {
    sed -n '2,17s/^# \{0,1\}//p' "$0" >&2
    exit 64
}

find_bin() {
    # The wrappers in /usr/sbin change to another user, who could not write to DIR.
    for bin in /usr/lib/rabbitmq/bin /opt/homebrew/sbin /usr/local/sbin; do
        if [ -x "$root$bin/rabbitmq-server" ]; then
            echo "$bin"
            return
        fi
    done
    echo "RabbitMQ is missing${root:+ in $root}: apt-get install rabbitmq-server" >&2
    exit 69
}

# The node's own view of DIR is $home.
write_environment() {
    cat >"$dir/environment" <<END
export HOME="$home"
export ERL_CRASH_DUMP="$home/erl_crash.dump"
export ERL_INETRC="$home/inetrc"
export ERL_EPMD_ADDRESS=127.0.0.1
export ERL_EPMD_PORT=$(port_of_epmd)
export RABBITMQ_NODENAME=stompgate-$port@localhost
export RABBITMQ_NODE_IP_ADDRESS=$address
export RABBITMQ_NODE_PORT=$port
export RABBITMQ_DIST_PORT=$((port + 2))
export RABBITMQ_CTL_DIST_PORT_MIN=$((port + 3))
export RABBITMQ_CTL_DIST_PORT_MAX=$((port + 5))
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +S 2:2"
export RABBITMQ_CTL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
export RABBITMQ_CONF_ENV_FILE="$home/no-such-file"
export RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf"
export RABBITMQ_ADVANCED_CONFIG_FILE="$home/no-such-file"
export RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins"
export RABBITMQ_MNESIA_BASE="$home/data"
export RABBITMQ_LOG_BASE="$home/log"
export RABBITMQ_PID_FILE="$home/node.pid"
END
    echo "[${STOMPGATE_RABBITMQ_PLUGINS-}]." >"$dir/enabled_plugins"
    # RabbitMQ looks up the name of its host for each connection. Where that is in no hosts file, a resolver that does
    # not answer would take it five seconds.
    printf '{lookup, [file]}.\n{host, {127,0,0,1}, ["%s"]}.\n' "$(uname -n)" >"$dir/inetrc"
    # A relative limit would depend on what else the machine does.
    cat - ${STOMPGATE_RABBITMQ_CONF:+"$STOMPGATE_RABBITMQ_CONF"} >"$dir/rabbitmq.conf" <<END
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 1GB
management.tcp.ip = 127.0.0.1
management.tcp.port = $((port + 6))
web_stomp.tcp.ip = 127.0.0.1
web_stomp.tcp.port = $((port + 7))
stomp.listeners.tcp.1 = 127.0.0.1:$((port + 8))
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = $((port + 9))
END
    if [ -n "$peer" ]; then join_peer; fi
    write_programs
}

# The nodes of one cluster are registered at one epmd.
port_of_epmd() {
    if [ -n "$peer" ]; then value_of ERL_EPMD_PORT "$peer"; else echo $((port + 1)); fi
}

value_of() {
    sed -n "s/^export $1=//p" "$2/environment"
}

# A node that has no data yet joins the one that it finds. Both know each other by the cookie.
join_peer() {
    cat >>"$dir/rabbitmq.conf" <<END
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = stompgate-$port@localhost
cluster_formation.classic_config.nodes.2 = $(value_of RABBITMQ_NODENAME "$peer")
END
    cp -p "$peer/.erlang.cookie" "$dir/.erlang.cookie"
}

# DIR/run COMMAND...: becomes the command, where the node is. Another root sees DIR as /mnt, in a mount namespace of the
# command's own, so that nothing is left to unmount.
write_programs() {
    enter=
    if [ -n "$root" ]; then
        map=
        [ "$(id -u)" -eq 0 ] || map=--map-root-user
        enter="unshare --mount $map sh -c 'mount --bind \"$dir\" \"$root/mnt\" && mount --rbind /proc \"$root/proc\" &&
    exec chroot \"$root\" \"\$@\"' sh"
    fi
    cat >"$dir/run" <<END
#!/bin/sh
# shellcheck source=/dev/null
. "$dir/environment"
exec $enter "\$@"
END
    cat >"$dir/rabbitmqctl" <<END
#!/bin/sh
exec "$dir/run" "$bin/rabbitmqctl" --quiet "\$@"
END
    cat >"$dir/rabbitmq-server" <<END
#!/bin/sh
exec "$dir/run" "$bin/rabbitmq-server"
END
    chmod +x "$dir/run" "$dir/rabbitmqctl" "$dir/rabbitmq-server"
}

start() {
    root=${STOMPGATE_RABBITMQ_ROOT:+$(realpath "$STOMPGATE_RABBITMQ_ROOT")}
    bin=$(find_bin)
    mkdir -p "$1/data" "$1/log"
    dir=$(cd "$1" && pwd)
    home=$dir
    [ -z "$root" ] || home=/mnt
    port=$2
    address=${STOMPGATE_RABBITMQ_ADDRESS:-127.0.0.1}
    peer=${STOMPGATE_RABBITMQ_PEER-}
    if [ -e "$dir/server.pid" ]; then
        echo "$dir is in use: tests/rabbitmq.sh stop $dir" >&2
        exit 73
    fi
    write_environment
    launch
    if ! "$dir/rabbitmqctl" wait --timeout 60 "$home/node.pid" >"$dir/log/startup" 2>&1 ||
        ! "$dir/rabbitmqctl" await_startup --timeout 60 >>"$dir/log/startup" 2>&1; then
        cat "$dir/log/startup" "$dir/log/stdout" >&2
        stop "$dir"
        exit 70
    fi
    echo "amqp://guest:guest@$address:$port/%2f"
}

launch() {
    setsid "$dir/rabbitmq-server" </dev/null >>"$dir/log/stdout" 2>&1 &
    echo $! >"$dir/server.pid"
}

restart() {
    dir=$(cd "$1" && pwd)
    # The node has ended, its shell perhaps not yet.
    end "$(cat "$dir/server.pid")"
    launch
}

stop() {
    dir=$(cd "$1" && pwd)
    [ -e "$dir/server.pid" ] || return 0
    # The shell of rabbitmq-server, which replaces itself with the node, and the node's own word for it.
    for file in "$dir/node.pid" "$dir/server.pid"; do
        pid=$(cat "$file" 2>/dev/null) || continue
        if is_ours "$pid"; then end "$pid"; fi
    done
    # Refuses while a node is registered, which would be somebody else's: the port is ours.
    "$dir/run" epmd -kill >/dev/null 2>&1 || true
    rm -rf "$dir/server.pid" "$dir/node.pid" "$dir/data"
}

# The node may have ended long ago, and its number be another process's.
is_ours() {
    [ -r "/proc/$1/environ" ] || return 0
    name=RABBITMQ_NODENAME=$(value_of RABBITMQ_NODENAME "$dir")
    { tr '\0' '\n' <"/proc/$1/environ"; } 2>/dev/null | grep -qxF "$name"
}

end() {
    kill "$1" 2>/dev/null || return 0
    waited=0
    # Also over when only its parent has not asked for its exit code yet.
    while kill -0 "$1" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$1/status"; do
        if [ "$waited" -ge 100 ]; then
            kill -KILL "$1" 2>/dev/null || true
        fi
        waited=$((waited + 1))
        sleep 0.1
    done
}

case "${1-}" in
    start) [ $# -eq 3 ] || usage; start "$2" "$3" ;;
    restart) [ $# -eq 2 ] || usage; restart "$2" ;;
    stop) [ $# -eq 2 ] || usage; stop "$2" ;;
    *) usage ;;
esac
