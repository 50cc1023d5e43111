# Shared by the scripts beside it: a virtual environment and Debian packages, made only where absent.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
PYTHON=${PYTHON:-python3}

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# packages NAME…: install the Debian packages of these names that are not there yet.
packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >/dev/null
}

# environment EXTRA: make .venv with Tiffin in it, editable; EXTRA is "" or "[dev]".
environment() {
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "Tiffin needs Python 3.11 or newer; $PYTHON is older (set PYTHON to choose another)"
  if [[ ! -x .venv/bin/python ]]; then
    "$PYTHON" -c 'import ensurepip' 2>/dev/null || packages python3-venv
    say "creating .venv"
    "$PYTHON" -m venv .venv
  fi
  say "installing Tiffin${1:-} into .venv"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${1:-}"
}
