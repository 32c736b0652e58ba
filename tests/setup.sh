#!/usr/bin/env bash
# Installs what the tests need and this machine lacks; silent when nothing is missing.
#
# Works on Debian 12 and its descendants, as root or with sudo. Elsewhere it says what to install by hand.
set -euo pipefail

# Debian keeps rabbitmq-server and haproxy where only root looks.
PATH=$PATH:/usr/sbin

has() {
    case $1 in
        cc) command -v cc ;;
        rabbitmq) command -v rabbitmq-server ;;
        node) command -v npm && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' ;;
        java) command -v mvn && javac --release 17 --version ;;
        chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
        venv) python3 -c 'import ensurepip, venv' ;;
        haproxy | ip | promtool | docker-compose) command -v "$1" ;;
    esac >/dev/null 2>&1
}

packages_of() {
    case $1 in
        cc) echo gcc libc6-dev ;;
        rabbitmq) echo rabbitmq-server ;;
        node) echo nodejs npm ;;
        java) echo openjdk-17-jdk-headless maven ;;
        chromium) echo chromium ;;
        ip) echo iproute2 ;;
        venv) echo python3 python3-venv ;;
        promtool) echo prometheus ;;
        haproxy | docker-compose) echo "$1" ;;
    esac
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# The tests start what they need themselves; the packages' services would only take ports.
stop_service() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now --quiet "$1"
    fi
}

missing=()
packages=()
for need in cc rabbitmq node java chromium venv haproxy ip promtool docker-compose; do
    if ! has "$need"; then
        missing+=("$need")
        read -ra its_packages <<<"$(packages_of "$need")"
        packages+=("${its_packages[@]}")
    fi
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "tests/setup.sh: no apt-get here; install what Debian calls: ${packages[*]}" >&2
    exit 1
fi
echo "Installing ${packages[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
    as_root apt-get update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${packages[@]}"
} >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    exit 1
}

for need in "${missing[@]}"; do
    if ! has "$need"; then
        echo "tests/setup.sh: $(packages_of "$need") did not bring what the tests need" \
            "(node: version 18 or later, java: 17 or later)" >&2
        exit 1
    fi
    case $need in
        rabbitmq) stop_service rabbitmq-server ;;
        haproxy) stop_service haproxy ;;
        promtool) stop_service prometheus ;;
    esac
done
