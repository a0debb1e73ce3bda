# Sourced by the other scripts here: the checkout's own virtual environment.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv="$top/.venv"

say() { printf '%s\n' "$*" >&2; }
fail() { say "${0##*/}: $*"; exit 1; }

find_python() {
    local name
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$name"
            return
        fi
    done
    fail "no Python 3.11 or newer found; install one, or name it: PYTHON=/path/to/python $0"
}

# get_uv PYTHON: print the path of uv, which installs in a third of pip's time. Fails where none can be installed.
get_uv() {
    local own="$venv/uv/bin/uv"
    if command -v uv; then
        return
    fi
    [ -x "$own" ] || "$1" -m pip install --quiet --disable-pip-version-check --no-compile \
        --target "$venv/uv" uv >/dev/null 2>&1
    "$own" --version >/dev/null 2>&1 && printf '%s\n' "$own"
}

# ensure_pip PYTHON: .venv has pip.
ensure_pip() {
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    "$1" -m venv "$venv" || fail "can't make a virtual environment (is the venv module there?)"
    # That of Python 3.11 takes twice as long to choose among versions.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade pip || true
}

# ensure_venv EXTRA [quickly]: .venv exists and holds the project with that extra. Quick when nothing
# changed. "quickly" is without compiling modules, of which most are never imported, and by uv if it
# can be had.
ensure_venv() {
    local extra=$1 how=${2:-} python stamp want log uv=""
    local wanted=(--quiet --editable "$top[$extra]")
    stamp="$venv/.installed-$extra"
    want=$(cksum < "$top/pyproject.toml")
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
        return
    fi
    python=$(find_python) || exit 1
    if ! "$venv/bin/python" -c '' 2>/dev/null; then
        say "making $venv with $("$python" --version)"
        rm -rf "$venv"
        "$python" -m venv --without-pip "$venv" ||
            fail "can't make a virtual environment (is the venv module there?)"
    fi
    say "installing caterva2[$extra]"
    log=$(mktemp)
    if ! { [ "$how" = quickly ] && uv=$(get_uv "$python") &&
        "$uv" pip install --python "$venv/bin/python" pip "${wanted[@]}" >"$log" 2>&1; }; then
        ensure_pip "$python"
        if ! "$venv/bin/python" -m pip install --disable-pip-version-check \
            ${how:+--no-compile} "${wanted[@]}" >"$log" 2>&1; then
            tail -n 5 "$log" >&2
            rm -f "$log"
            fail "the installation failed (is there a network?)"
        fi
    fi
    rm -f "$log"
    printf '%s\n' "$want" > "$stamp"
}
