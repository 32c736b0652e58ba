#!/usr/bin/env bash
# The tests that need a RabbitMQ, on version 4: that of Debian 13 in a root of its own. `make test-rabbitmq4` runs it.
# What is deprecated in it is refused, so that versions without it do as well.
#
# STOMPGATE_RABBITMQ4_ROOT  where that Debian is; made if it is not there (/var/tmp/stompgate-rabbitmq4)
set -euo pipefail
cd "$(dirname "$0")/.."
# Debian keeps debootstrap where only root looks.
PATH=$PATH:/usr/sbin

root=${STOMPGATE_RABBITMQ4_ROOT:-/var/tmp/stompgate-rabbitmq4}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

make_root() {
    command -v debootstrap >/dev/null || as_root apt-get install --yes --quiet=2 debootstrap
    echo "Making a Debian 13 with RabbitMQ in $root"
    # An unfinished one must not be taken for one that is there.
    as_root rm -rf "$root.unfinished"
    # What it mounts is gone with it, also when it is interrupted.
    as_root unshare --mount \
        debootstrap --variant=minbase --include=rabbitmq-server trixie "$root.unfinished" >"$1" 2>&1 || {
        tail -n 20 "$1" >&2
        return 1
    }
    as_root mv "$root.unfinished" "$root"
}

if [ ! -x "$root/usr/lib/rabbitmq/bin/rabbitmq-server" ]; then
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    make_root "$log"
fi
STOMPGATE_RABBITMQ_ROOT=$root STOMPGATE_RABBITMQ_CONF=tests/rabbitmq4.conf tests/all.sh broker
