# Functions of scripts/bootstrap.

wheels=.cache/wheelhouse
app_lock=app/requirements-cpu.txt
dev_lock=requirements-dev.txt
torch_index=https://download.pytorch.org/whl/cpu

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Install the Debian packages that are missing.
install_packages() {
  missing=$(for package in "$@"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done)
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || fail "needs apt-get to install" $missing
  [ "$(id -u)" = 0 ] || fail "needs root to install" $missing
  say "Debian packages:" $missing
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# Print the Python that hosts have as well: the wheels are for it.
find_python() {
  for python in /usr/bin/python3 python3.11 python3; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  fail "needs Python 3.11, the one of Debian 12, for which the packages are locked"
}

# Make .venv from the two lock files; again whenever one of them changes.
make_environment() {
  local locks
  locks=$(cat "$app_lock" "$dev_lock" | sha256sum)
  [ "$(cat .venv/.complete 2>/dev/null)" != "$locks" ] || return 0
  say "virtual environment .venv (two minutes)"
  rm -rf .venv
  "$1" -m venv .venv
  fetch_wheels
  install_locked --no-index --find-links "$wheels" --requirement "$app_lock"
  install_locked --requirement "$dev_lock"
  printf '%s\n' "$locks" >.venv/.complete
}

install_locked() {
  .venv/bin/pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes "$@"
}

# Download what the hosts install, once for all of them.
fetch_wheels() {
  local lock
  lock=$(sha256sum <"$app_lock")
  [ "$(cat "$wheels/.complete" 2>/dev/null)" != "$lock" ] || return 0
  say "wheels of the application (300 MB)"
  mkdir -p "$wheels"
  # PyTorch's CPU build is not on PyPI: from the places that pip knows already, else from PyTorch's own index.
  sed -n '/^torch==/,/[^\\]$/p' "$app_lock" >"$wheels/torch.txt"
  download --no-index --requirement "$wheels/torch.txt" 2>/dev/null \
    || download --index-url "$torch_index" --requirement "$wheels/torch.txt"
  download --find-links "$wheels" --requirement "$app_lock"
  printf '%s\n' "$lock" >"$wheels/.complete"
}

download() {
  .venv/bin/pip download --quiet --quiet --disable-pip-version-check --no-deps --require-hashes --dest "$wheels" "$@"
}
