#!/bin/sh
# What cargo runs in place of rustc for this workspace's crates while the fuzz targets are built (RUSTC_WORKSPACE_WRAPPER): those
# that read what comes from outside get coverage, by which libFuzzer sees what input leads to. Crates of others are built
# without, as they are for everything else, so that nothing of them is compiled for this alone.
set -eu
before=
for argument in "$@"; do
    if [ "$before" = --crate-name ]; then
        case $argument in
        ahoy_protocol | ahoy_rtp | ahoy_server | ahoy_transport)
            exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                -Cllvm-args=-sanitizer-coverage-trace-compares
            ;;
        esac
        break
    fi
    before=$argument
done
exec "$@"
