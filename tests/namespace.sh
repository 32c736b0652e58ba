#!/usr/bin/env bash
# The network between the gateway and RabbitMQ is cut as a network is: packets vanish, and both ends keep their sockets.
#
#   tests/namespace.sh         runs that test in a network namespace of its own, in which RabbitMQ has another one
#
# All that is set up for it is gone with its last process. Needs no root where users may have namespaces.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1-}" != inside ]; then
    map=()
    [ "$(id -u)" -eq 0 ] || map=(--map-root-user)
    exec unshare --net --mount "${map[@]}" "$0" inside
fi

# ip keeps names of namespaces below /run.
mount -t tmpfs tmpfs /run
ip link set lo up
ip netns add rabbitmq
ip link add gateway type veth peer name broker netns rabbitmq
ip address add 192.0.2.1/30 dev gateway
ip link set gateway up
for device in lo broker; do
    ip -n rabbitmq link set "$device" up
done
ip -n rabbitmq address add 192.0.2.2/30 dev broker
STOMPGATE_TEST_NAMESPACE=rabbitmq cargo test --locked --offline --features test-rabbitmq --test faults \
    network:: -- --nocapture
