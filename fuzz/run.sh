#!/usr/bin/env bash
# `make fuzz`: lets libFuzzer look for inputs on which a parser breaks a rule of tests/parsers, one target after another.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${SECONDS_EACH:-30}
targets=(${TARGETS:-verifier event generate message video mp4})
version=0.13.2
export PATH="$PWD/.local/cargo/bin:$PATH"

if [[ $(cargo fuzz --version 2>/dev/null) != "cargo-fuzz $version" ]]; then
    echo "Installing cargo-fuzz $version into .local/cargo (a minute, once)"
    cargo install cargo-fuzz --version $version --locked --root .local/cargo --quiet
fi
command -v c++ >/dev/null || { echo "libFuzzer is C++: on Debian or Ubuntu, sudo apt-get install g++" >&2; exit 1; }

# Coverage needs no nightly compiler, the address sanitizer would; there is no unsafe code here for it to watch.
options=(--fuzz-dir fuzz --sanitizer none --release)

echo "Building ${targets[*]} with coverage (a first build takes some minutes)"
for target in "${targets[@]}"; do
    cargo fuzz build "${options[@]}" "$target" 2>&1 | sed -n '/^\(error\|warning\)/,$p'
done

# Those found inputs that reach most beyond the ones written by hand, at most forty: libFuzzer writes them in that order.
keep() { # target, folder of what was found
    local corpus=fuzz/corpus/$1 new
    new=$(mktemp -d)
    cp "$corpus"/{taken,refused}-* "$new"
    cargo fuzz run "${options[@]}" "$1" "$new" "$corpus" "$2" -- -set_cover_merge=1 -max_len=2048
    find "$corpus" -type f ! -name 'taken-*' ! -name 'refused-*' -delete
    find "$new" -type f ! -name 'taken-*' ! -name 'refused-*' -printf '%T@ %p\n' | sort -n | sed -n '1,40p' | cut -d ' ' -f 2 |
        xargs -r mv -t "$corpus"
    rm -r "$new"
}

found=0
for target in "${targets[@]}"; do
    echo "$target: $seconds s"
    work=.local/fuzz/$target log=.local/fuzz/$target.log
    mkdir -p "$work"
    limits=(-max_len=2048 -timeout=10 -rss_limit_mb=1024 -dict=fuzz/words.dict -print_final_stats=1 -verbosity=1)
    if cargo fuzz run "${options[@]}" "$target" "$work" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" "${limits[@]}" >"$log" 2>&1; then
        outcome="nothing found"
    else
        outcome="FOUND SOMETHING"
        found=1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    echo "  $outcome in ${executions:-few} executions, ${edges:-few} edges seen; $log"
    if [[ $outcome != nothing* ]]; then
        sed -n '/panicked at/,/^stack backtrace\|^$/{/^stack backtrace/d;s/^/  | /p}' "$log" | head -n 12
        echo "  Copy the input to fuzz/corpus/$target/taken-NAME or refused-NAME, and \`cargo test --workspace --test corpus\` shows it again:"
        sed -n 's/.*Test unit written to \(.*\)/    \1/p' "$log"
    elif [[ -n ${KEEP:-} ]]; then
        keep "$target" "$work" >>"$log" 2>&1
        echo "  fuzz/corpus/$target now holds $(ls "fuzz/corpus/$target" | wc -l) inputs"
    fi
done
exit $found
