#!/bin/sh
# Copies stomp.js from its npm package, pinned in package-lock.json, to the demo page; with --check, fails if the copy is
# not the package's.
set -eu
cd "$(dirname "$0")"
package=node_modules/@stomp/stompjs
copy=../../src/http/demo/stomp.js

[ -d "$package" ] || npm ci --ignore-scripts --silent
made=$(mktemp)
trap 'rm -f "$made"' EXIT
version=$(node -p "require('./$package/package.json').version")
{
    echo "/*! @stomp/stompjs $version, Apache-2.0, https://github.com/stomp-js/stompjs */"
    cat "$package/bundles/stomp.umd.min.js"
} > "$made"

if [ "${1:-}" = --check ]; then
    cmp "$made" "$copy"
else
    cat "$made" > "$copy"
fi
