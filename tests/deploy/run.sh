#!/bin/sh
# The load balancer of docker-compose.yml: in front of stand-ins, and of two gateways with the chat page in Chromium.
#
# STOMPGATE_BIN  the gateway (target/debug/stompgate)
# BROKER         "amqp": two gateways need a broker that they share. STOMPGATE__BROKER__AMQP__URL says where it is
# CHROMIUM       the browser (/usr/bin/chromium)
# HAPROXY        the load balancer (haproxy)
set -eu
cd "$(dirname "$0")"

(cd ../browser && npm ci --ignore-scripts --silent)
node --test --test-reporter=spec
