#!/bin/sh
# Makes a virtual environment and installs exactly what requirements/dev.txt pins, with its hashes,
# and then this project itself. Usage: make_venv.sh FOLDER; PYTHON names the interpreter to use.
set -eu

venv=$1
wanted="Python 3.11 or newer"
is_new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

find_python() {
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if command -v "$name" >/dev/null 2>&1 && "$name" -c "$is_new_enough" 2>/dev/null; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

works() {
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "$is_new_enough" 2>/dev/null \
        && "$venv/bin/python" -m pip --version >/dev/null 2>&1
}

if ! works; then
    if ! python=$(find_python); then
        found=$("${PYTHON:-python3}" --version 2>&1 || echo "none")
        echo "setup: $wanted is needed on PATH, found: $found" >&2
        echo "setup: name another one with: make setup PYTHON=/path/to/python" >&2
        exit 1
    fi
    echo "setup: making $venv with $("$python" --version)"
    rm -rf "$venv"
    if ! "$python" -m venv "$venv"; then
        rm -rf "$venv"
        echo "setup: $python cannot make virtual environments (on Debian: install python3-venv)" >&2
        exit 1
    fi
fi

pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"
}

echo "setup: installing requirements/dev.txt"
pip install --quiet --require-hashes -r requirements/dev.txt
pip install --quiet --no-deps --no-build-isolation --editable .
