#!/bin/sh
# Runs the suites of real clients: stomp.js in Node, stomp.py (with pika at the other end, on RabbitMQ), and the demo page in
# Chromium. Installs what they need into directories that git ignores. Takes the names of suites, or runs all:
# run.sh [node] [python] [browser]. One more has to be asked for: plugin, the same dialogues with the gateway and with
# RabbitMQ's Web STOMP.
#
# STOMPGATE_BIN       the gateway (target/debug/stompgate)
# STOMPGATE_TEST_URL  a gateway that runs already, for node and python
# BROKER              broker.kind; with "amqp", STOMPGATE__BROKER__AMQP__URL says where
# CHROMIUM            the browser (/usr/bin/chromium)
# STOMPGATE_TEST_WEB_STOMP  for plugin: the URL of Web STOMP, of the broker that the gateway is in front of
set -eu
cd "$(dirname "$0")"

node_suite() {
    (cd node && npm ci --ignore-scripts --silent)
    (cd node && node ../with-gateway.mjs npm test --silent)
}

python_suite() {
    venv=python/.venv
    if ! cmp -s python/requirements.txt "$venv/installed.txt"; then
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r python/requirements.txt
        cp python/requirements.txt "$venv/installed.txt"
    fi
    (cd python && node ../with-gateway.mjs .venv/bin/python3 -m unittest -v)
}

browser_suite() {
    (cd ../browser && npm ci --ignore-scripts --silent && npm test --silent)
}

# As docs/MIGRATING-FROM-WEB-STOMP.md configures a gateway in the plugin's place.
plugin_suite() {
    (cd node && npm ci --ignore-scripts --silent)
    (cd plugin && STOMPGATE__STOMP__CLOSE_ON_ERROR=false STOMPGATE__SESSION__ACK_SCOPE=session \
        STOMPGATE__BROKER__AMQP__IDENTITY=client node ../with-gateway.mjs node --test --test-reporter=spec)
}

[ $# -gt 0 ] || set -- node python browser
failed=
for suite in "$@"; do
    echo "== $suite"
    "${suite}_suite" || failed="$failed $suite"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
