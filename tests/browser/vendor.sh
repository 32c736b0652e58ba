#!/bin/sh
# Copies stomp.js and sockjs-client from their npm packages, pinned in package-lock.json, to the demo page; with --check,
# fails if a copy is not the package's.
set -eu
cd "$(dirname "$0")"
modules=node_modules
demo=../../src/http/demo

if [ ! -d "$modules/@stomp/stompjs" ] || [ ! -d "$modules/sockjs-client" ]; then
    npm ci --ignore-scripts --silent
fi
made=$(mktemp)
trap 'rm -f "$made"' EXIT

version() {
    node -p "require('./$modules/$1/package.json').version"
}

# Of $made.
copied() {
    if [ "$1" = --check ]; then
        cmp "$made" "$demo/$2"
    else
        cat "$made" > "$demo/$2"
    fi
}

{
    echo "/*! @stomp/stompjs $(version @stomp/stompjs), Apache-2.0, https://github.com/stomp-js/stompjs */"
    cat "$modules/@stomp/stompjs/bundles/stomp.umd.min.js"
} > "$made"
copied "${1:-}" stomp.js

{
    echo "/*! sockjs-client $(version sockjs-client), https://github.com/sockjs/sockjs-client"
    echo
    cat "$modules/sockjs-client/LICENSE"
    echo "*/"
    grep -v '^//# sourceMappingURL=' "$modules/sockjs-client/dist/sockjs.min.js"
} > "$made"
copied "${1:-}" sockjs.js
