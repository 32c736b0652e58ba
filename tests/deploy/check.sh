#!/usr/bin/env bash
# Has docker-compose.yml and the files of deploy/ read by those that they are for, and runs the tests of the alerts.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Debian keeps HAProxy where only root looks.
PATH=$PATH:/usr/sbin

fail() {
    printf 'tests/deploy/check.sh: %s\n' "$1" >&2
    exit 1
}

# The lines that only the first of two sorted files has.
only_in_first() {
    comm -23 "$1" "$2" | paste -sd ' '
}

haproxy -c -f deploy/haproxy.cfg
docker-compose config --quiet
promtool check config deploy/prometheus.yml
promtool test rules tests/deploy/alerts_test.yml

missing=$(only_in_first \
    <(sed -n 's/^ *- alert: //p' deploy/alerts.yml | sort) \
    <(grep -o 'alertname="[^"]*' tests/deploy/alerts_test.yml | cut -d '"' -f 2 | sort -u))
[ -z "$missing" ] || fail "no test in tests/deploy/alerts_test.yml for $missing"

missing=$(only_in_first \
    <(grep -o 'stompgate_[a-z_]*' deploy/alerts.yml | sed 's/_bucket$//' | sort -u) \
    <(grep -o '^| `[a-z_]*' docs/METRICS.md | cut -c 4- | sort -u))
[ -z "$missing" ] || fail "deploy/alerts.yml uses metrics that docs/METRICS.md does not have: $missing"
