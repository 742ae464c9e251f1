#!/bin/sh
# Installs the peers into bench/peers/node_modules, where the benchmarks look for them.
set -eu
cd "$(dirname "$0")"
exec npm install --no-audit --no-fund --no-package-lock --ignore-scripts
