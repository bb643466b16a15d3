#!/bin/sh
# Writes requirements/*.txt from requirements/*.in: versions and hashes for every platform, and no
# addresses. More arguments go to uv, such as --upgrade or --upgrade-package NAME.
set -eu

if ! command -v uv >/dev/null 2>&1; then
    echo "lock: needs uv (pip install uv); only to change versions, never to install" >&2
    exit 1
fi
cd requirements
for name in runtime miner opencl dev; do
    uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
        --custom-compile-command "make lock" "$@" "$name.in" -o "$name.txt"
done
