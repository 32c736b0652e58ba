#!/bin/sh
# Runs a private RabbitMQ for the tests: own node name, data, logs, cookie and ports, all on loopback.
#
#   tests/rabbitmq.sh start DIR PORT   starts it, waits until it accepts connections, prints its URL
#   tests/rabbitmq.sh stop DIR         stops it and the epmd that it started
#   DIR/rabbitmqctl ARGS...            asks it something, while it runs
#
# PORT is for AMQP; the five ports after it are for Erlang (epmd, distribution, rabbitmqctl).
set -eu

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 64
}

find_bin() {
    # The wrappers in /usr/sbin change to another user, who could not write to DIR.
    for bin in /usr/lib/rabbitmq/bin /opt/homebrew/sbin /usr/local/sbin; do
        if [ -x "$bin/rabbitmq-server" ]; then
            echo "$bin"
            return
        fi
    done
    echo "RabbitMQ is missing: apt-get install rabbitmq-server" >&2
    exit 69
}

write_environment() {
    cat >"$dir/environment" <<END
export HOME="$dir"
export ERL_EPMD_ADDRESS=127.0.0.1
export ERL_EPMD_PORT=$((port + 1))
export RABBITMQ_NODENAME=stompgate-$port@localhost
export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
export RABBITMQ_NODE_PORT=$port
export RABBITMQ_DIST_PORT=$((port + 2))
export RABBITMQ_CTL_DIST_PORT_MIN=$((port + 3))
export RABBITMQ_CTL_DIST_PORT_MAX=$((port + 5))
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +S 2:2"
export RABBITMQ_CTL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
export RABBITMQ_CONF_ENV_FILE="$dir/no-such-file"
export RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf"
export RABBITMQ_ADVANCED_CONFIG_FILE="$dir/no-such-file"
export RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins"
export RABBITMQ_MNESIA_BASE="$dir/data"
export RABBITMQ_LOG_BASE="$dir/log"
export RABBITMQ_PID_FILE="$dir/node.pid"
END
    echo '[].' >"$dir/enabled_plugins"
    # A relative limit would depend on what else the machine does.
    printf 'disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 1GB\n' >"$dir/rabbitmq.conf"
    cat >"$dir/rabbitmqctl" <<END
#!/bin/sh
# shellcheck source=/dev/null
. "$dir/environment"
exec "$bin/rabbitmqctl" --quiet "\$@"
END
    chmod +x "$dir/rabbitmqctl"
}

start() {
    bin=$(find_bin)
    mkdir -p "$1/data" "$1/log"
    dir=$(cd "$1" && pwd)
    port=$2
    if [ -e "$dir/server.pid" ]; then
        echo "$dir is in use: tests/rabbitmq.sh stop $dir" >&2
        exit 73
    fi
    write_environment
    # shellcheck source=/dev/null
    . "$dir/environment"
    setsid "$bin/rabbitmq-server" </dev/null >"$dir/log/stdout" 2>&1 &
    echo $! >"$dir/server.pid"
    if ! "$dir/rabbitmqctl" wait --timeout 60 "$dir/node.pid" >"$dir/log/startup" 2>&1 ||
        ! "$dir/rabbitmqctl" await_startup --timeout 60 >>"$dir/log/startup" 2>&1; then
        cat "$dir/log/startup" "$dir/log/stdout" >&2
        stop "$dir"
        exit 70
    fi
    echo "amqp://guest:guest@127.0.0.1:$port/%2f"
}

stop() {
    dir=$(cd "$1" && pwd)
    [ -e "$dir/server.pid" ] || return 0
    # shellcheck source=/dev/null
    . "$dir/environment"
    # The shell of rabbitmq-server, which replaces itself with the node, and the node's own word for it.
    for file in "$dir/node.pid" "$dir/server.pid"; do
        pid=$(cat "$file" 2>/dev/null) || continue
        end "$pid"
    done
    # Refuses while a node is registered, which would be somebody else's: the port is ours.
    epmd -port "$ERL_EPMD_PORT" -kill >/dev/null 2>&1 || true
    rm -rf "$dir/server.pid" "$dir/node.pid" "$dir/data"
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
    stop) [ $# -eq 2 ] || usage; stop "$2" ;;
    *) usage ;;
esac
