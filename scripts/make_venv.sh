#!/bin/sh
# Makes a virtual environment and installs exactly what requirements/dev.txt pins, with its hashes,
# and then this project itself. Usage: make_venv.sh FOLDER; PYTHON names the interpreter to use,
# SETUP_EVERY the seconds between two lines that say how far it is (10).
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
        found=$("${PYTHON:-python3}" --version 2>/dev/null) || found=none
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

# Says how far pip is. It finds all packages first and installs them then, without a word for each.
progress() {
    if grep -q '^Successfully installed ' "$said"; then
        echo "all packages installed, now this project"
    elif grep -q '^Installing collected packages' "$said"; then
        # pip has a folder of its own there, as each package that is installed; setuptools has more
        # of them below.
        folders=$(find "$venv/lib" -mindepth 3 -maxdepth 3 -type d -name '*.dist-info' \
            ! -name 'pip-*' 2>/dev/null | wc -l)
        echo "$((folders)) of $packages packages installed"
    else
        echo "$(grep -c '^Collecting ' "$said" || true) of $packages packages found"
    fi
}

# Says it every so many seconds, until this script ends in whatever way.
tell() {
    seconds=0
    # Without our output: a sleep that is left over keeps no pipe open.
    while sleep "$every" >/dev/null 2>&1 && kill -0 "$$" 2>/dev/null; do
        seconds=$((seconds + every))
        echo "setup: $(progress), $seconds s"
    done
}

every=${SETUP_EVERY:-10}
requirements=requirements/dev.txt
packages=$(grep -c '^[a-zA-Z0-9][^ ]*==' "$requirements")
said=$venv/setup.log
echo "setup: installing the $packages packages of $requirements (some minutes, the first time)"
: >"$said"
tell &
teller=$!
trap 'kill "$teller" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if ! pip install --require-hashes -r "$requirements" >"$said" 2>&1 \
    || ! pip install --no-deps --no-build-isolation --editable . >>"$said" 2>&1; then
    tail -n 20 "$said" >&2
    echo "setup: pip has failed; $said has all that it said" >&2
    exit 1
fi
