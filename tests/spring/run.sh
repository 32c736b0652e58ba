#!/bin/sh
# Spring beside stompgate, with Java 17 and Maven:
#
#   run.sh client  Spring's WebSocketStompClient and SockJsClient with the gateway
#   run.sh beside  the same frames to an application with Spring's relay and to the gateway, and what each answers
#
# STOMPGATE_BIN         the gateway (target/debug/stompgate)
# BROKER                broker.kind; with "amqp", STOMPGATE__BROKER__AMQP__URL says where
# STOMPGATE_TEST_STOMP  for beside: host:port of RabbitMQ's STOMP plugin, of the broker that the gateway is in front of
set -eu
cd "$(dirname "$0")"
export STOMPGATE_BIN="${STOMPGATE_BIN:-$(realpath ../../target/debug/stompgate)}"

# What the gateway does not have yet. As soon as it has, this fails, or stompgate.client.NotYetTest does.
later=""

# Names that are excluded: of each feature the tests that use it, or the one that it is not there.
excluded=
for feature in sockjs user app; do
    case " $later " in
        *" $feature "*) excluded="$excluded,$feature" ;;
        *) excluded="$excluded,no-$feature" ;;
    esac
done
[ -z "$later" ] || echo "Not there yet: $later"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

with_gateway() {
    # Users are those who have been checked.
    export STOMPGATE__AUTH__USERS=ann:ann,joe:joe,team/a:team/a,guest:guest
    with_handlers
    MAVEN_OPTS=-Xmx256m node ../clients/with-gateway.mjs mvn --batch-mode --no-transfer-progress test "$@"
}

with_handlers() {
    STOMPGATE_TEST_HANDLERS_PORT=$(node --input-type=module \
        -e "import { freePort } from '../clients/gateway.mjs'; console.log(await freePort())")
    sed "s/HANDLERS_PORT/$STOMPGATE_TEST_HANDLERS_PORT/" gateway.toml >"$work/gateway.toml"
    export STOMPGATE_TEST_HANDLERS_PORT
    case " $later " in
        *" app "*)
            ! "$STOMPGATE_BIN" check-config --config "$work/gateway.toml" >"$work/faults" 2>&1 || {
                echo "run.sh: the gateway has app.routes, so take app out of what is left for later" >&2
                exit 1
            }
            ;;
        *) export STOMPGATE_CONFIG="$work/gateway.toml" ;;
    esac
}

case "${1-}" in
    client) with_gateway "-DexcludedGroups=beside$excluded" ;;
    beside) with_gateway -Dgroups=beside "-DexcludedGroups=${excluded#,}" ;;
    *)
        sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
        exit 64
        ;;
esac
