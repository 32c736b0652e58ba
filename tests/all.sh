#!/usr/bin/env bash
# Every test there is, as `make test` runs them: each phase under its name, then a summary. Fails if a phase failed.
#
#   tests/all.sh            all of them
#   tests/all.sh broker     without those to which it is all the same which RabbitMQ there is
#   tests/all.sh spring     only those with Spring
#
# The crate is compiled once: the feature `test-rabbitmq` only adds tests, and the binary that cargo builds for the
# integration tests is the one that the clients talk to.
set -euo pipefail
cd "$(dirname "$0")/.."

scope=${1:-all}
work=$(mktemp -d)
summary=()
failed=0
# Until the last phase has run, also when a signal ends the script.
unfinished=1

finish() {
    if [ -d "$work/rabbitmq" ]; then
        tests/rabbitmq.sh stop "$work/rabbitmq" || failed=1
    fi
    for broker in activemq artemis; do
        [ ! -d "$work/$broker" ] || tests/brokers.sh stop "$work/$broker" || failed=1
    done
    if [ -f "$work/cargo.log" ]; then
        printf '\n== cargo test, closing lines\n'
        grep -E '^ +(Running|Doc-tests) |^test result:' "$work/cargo.log" || true
        printf '\n== What became of messages\n'
        grep -oh 'faults: .*' "$work"/*.log | cut -d ' ' -f 2- || true
    fi
    stop_nodes_of_faults
    printf '\n== Summary\n'
    printf '%s\n' "${summary[@]}"
    rm -rf "$work"
    if ((unfinished || failed)); then
        echo "The tests FAILED"
        exit 1
    fi
    echo "All tests passed"
}
trap finish EXIT

# Those whose test was interrupted; folders are named by port and process.
stop_nodes_of_faults() {
    local dir
    for dir in "${CARGO_TARGET_DIR:-target}"/tmp/rabbitmq-*-*; do
        [ ! -d "$dir" ] || [ -d "/proc/${dir##*-}" ] || tests/rabbitmq.sh stop "$dir" || failed=1
    done
}

# phase NAME COMMAND...: a failure is noted, and the next phase still runs.
phase() {
    local name=$1 start=$SECONDS verdict=ok
    shift
    printf '\n== %s\n' "$name"
    "$@" || verdict=FAILED
    summary+=("$(printf '%-28s %-6s %4d s' "$name" "$verdict" $((SECONDS - start)))")
    if [ "$verdict" = FAILED ]; then
        failed=1
        return 1
    fi
}

is_free() {
    ! (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The first of ten ports in a row: one for AMQP, five for Erlang, four for plugins.
free_ports() {
    local first port
    for first in {25760..25850..10}; do
        for ((port = first; port < first + 10; port++)); do
            is_free "$port" || continue 2
        done
        echo "$first"
        return
    done
    echo "No ten free ports in a row between 25760 and 25859" >&2
    return 1
}

start_rabbitmq() {
    local port
    port=$(free_ports) || return
    # Its own STOMP and Web STOMP are what the gateway is compared with, and what Spring is in front of.
    STOMPGATE_TEST_AMQP_URL=$(STOMPGATE_RABBITMQ_PLUGINS=rabbitmq_stomp,rabbitmq_web_stomp \
        tests/rabbitmq.sh start "$work/rabbitmq" "$port") || return
    export STOMPGATE_TEST_AMQP_URL STOMPGATE_TEST_RABBITMQCTL=$work/rabbitmq/rabbitmqctl
    export STOMPGATE_TEST_WEB_STOMP=ws://127.0.0.1:$((port + 7))/ws
    export STOMPGATE_TEST_STOMP=127.0.0.1:$((port + 8)) STOMPGATE_TEST_STOMP_RABBITMQ=127.0.0.1:$((port + 8))
    echo "RabbitMQ $("$STOMPGATE_TEST_RABBITMQCTL" version)"
}

# ActiveMQ Classic and Artemis, on ports that are free now.
start_brokers() {
    local port
    port=$(free_ports) || return
    STOMPGATE_TEST_STOMP_ACTIVEMQ=$(tests/brokers.sh start activemq "$work/activemq" "$port") || return
    STOMPGATE_TEST_STOMP_ARTEMIS=$(tests/brokers.sh start artemis "$work/artemis" $((port + 1))) || return
    export STOMPGATE_TEST_STOMP_ACTIVEMQ STOMPGATE_TEST_STOMP_ARTEMIS
}

cargo_test() {
    cargo test --locked --no-fail-fast --features test-rabbitmq 2>&1 | tee "$work/cargo.log"
}

cut_in_namespace() {
    tests/namespace.sh 2>&1 | tee "$work/namespace.log"
}

# from_outside BROKER COMMAND...: with what the suites need that start the gateway as a process.
from_outside() {
    STOMPGATE_BIN=$(realpath "${CARGO_TARGET_DIR:-target}/debug/stompgate") \
        CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome) \
        BROKER=$1 \
        STOMPGATE__BROKER__AMQP__URL=$STOMPGATE_TEST_AMQP_URL \
        "${@:2}"
}

spring() {
    phase "Spring, embedded broker" from_outside memory tests/spring/run.sh client || true
    phase "Spring, RabbitMQ" from_outside amqp tests/spring/run.sh client || true
    phase "Beside a Spring application" from_outside amqp tests/spring/run.sh beside || true
}

phase "Setup" tests/setup.sh
if [ "$scope" = spring ]; then
    phase "Build" cargo build --locked
    phase "Start of RabbitMQ" start_rabbitmq
    spring
    unfinished=0
    exit
fi
if [ "$scope" = all ]; then
    phase "Deployment files" tests/deploy/check.sh || true
fi
phase "Build" cargo test --locked --no-run --features test-rabbitmq
phase "Start of RabbitMQ" start_rabbitmq
phase "Start of STOMP brokers" start_brokers
phase "cargo test" cargo_test || true
phase "Network cut in a namespace" cut_in_namespace || true
if [ "$scope" = all ]; then
    phase "Clients, embedded broker" from_outside memory tests/clients/run.sh || true
    spring
fi
phase "Clients, RabbitMQ" from_outside amqp tests/clients/run.sh || true
phase "Beside RabbitMQ's Web STOMP" from_outside amqp tests/clients/run.sh plugin || true
phase "Two gateways, one balancer" from_outside amqp tests/deploy/run.sh || true
unfinished=0
