#!/usr/bin/env bash
# What a fresh machine needs: checks it, installs what it can, and says how to get the rest. Silent when all is there.
# With --tests, what the tests need besides.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
missing=()
debian=()

at_least() { # version, oldest
    [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]
}

python=""
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [[ -z $python ]]; then
    missing+=("Python 3.11 or newer")
    debian+=(python3 python3-venv)
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=("Python's venv module")
    debian+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
fi

command -v cc >/dev/null || { missing+=("a C compiler"); debian+=(gcc libc6-dev); }

if ! command -v cargo >/dev/null; then
    missing+=("Rust $oldest_rust or newer (https://rustup.rs installs it)")
elif ! at_least "$(rustc --version | cut -d ' ' -f 2)" "$oldest_rust"; then
    missing+=("Rust $oldest_rust or newer: \`rustup update stable\` (this is $(rustc --version))")
fi

for component in rustfmt clippy; do
    if command -v cargo >/dev/null && ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
        missing+=("$component: \`rustup component add $component\`")
    fi
done

if [[ ${1:-} == --tests && ${BROWSER:-} != none ]] && ! command -v "${BROWSER:-chromium}" >/dev/null; then
    missing+=("Chromium, for the tests (BROWSER=path names another; \`make test BROWSER=none\` goes without)")
    debian+=(chromium)
fi

if ((${#debian[@]})) && [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null && [[ -z ${SECOND_TRY:-} ]]; then
    echo "Installing Debian packages: ${debian[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${debian[@]}" >/dev/null
    SECOND_TRY=1 exec "$0" "$@"
fi

if ((${#missing[@]})); then
    echo "This machine lacks:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    ((${#debian[@]} == 0)) || echo "On Debian or Ubuntu: sudo apt-get install ${debian[*]}" >&2
    exit 1
fi

installed=.venv/installed
if [[ ! -e $installed || infra/requirements.txt -nt $installed ]]; then
    echo "Installing Python packages into .venv (half a minute, once)"
    "$python" -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r infra/requirements.txt
    touch $installed
fi
