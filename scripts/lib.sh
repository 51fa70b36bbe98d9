# Functions of scripts/bootstrap.

wheels=.cache/wheelhouse
app_lock=app/requirements-cpu.txt
dev_lock=requirements-dev.txt
torch_index=https://download.pytorch.org/whl/cpu

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Without the internet: everything from a bundle, of which BUNDLE is the folder that it was unpacked to.
use_bundle() {
  [ -n "${BUNDLE:-}" ] || return 0
  [ -f "$BUNDLE/SHA256SUMS" ] || fail "BUNDLE is $BUNDLE, but there is no $BUNDLE/SHA256SUMS: name the folder of an unpacked bundle"
  lock=$(sha256sum <"$app_lock")
  [ "$(cat "$wheels/.complete" 2>/dev/null)" != "$lock" ] || return 0
  say "verifying the bundle"
  (cd "$BUNDLE" && grep -E '  (debian|wheels|control)[.]tar$' SHA256SUMS | sha256sum --check --strict --quiet) \
    || fail "the bundle in $BUNDLE is damaged: unpack it anew"
  mkdir -p "$wheels"
  tar --extract --file "$BUNDLE/control.tar" --directory "$wheels" --strip-components 1
  tar --extract --file "$BUNDLE/wheels.tar" --directory "$wheels" --strip-components 1 --files-from "$wheels/shared"
  printf '%s\n' "$lock" >"$wheels/.complete"
}

# Have apt install from the bundle alone.
use_bundled_packages() {
  [ -n "${BUNDLE:-}" ] || return 0
  local folder=$PWD/.cache/bundle-packages
  mkdir -p "$folder/lists/partial"
  tar --extract --file "$BUNDLE/debian.tar" --directory "$folder"
  echo "deb [trusted=yes] file:$folder/debian ./" >"$folder/sources.list"
  apt_options="-o Dir::Etc::SourceList=$folder/sources.list -o Dir::Etc::SourceParts=- -o Dir::State::Lists=$folder/lists"
}

# Install the Debian packages that are missing.
install_packages() {
  missing=$(for package in "$@"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done)
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || fail "needs apt-get to install" $missing
  [ "$(id -u)" = 0 ] || fail "needs root to install" $missing
  say "Debian packages:" $missing
  use_bundled_packages
  apt-get ${apt_options:-} update -qq
  DEBIAN_FRONTEND=noninteractive apt-get ${apt_options:-} install -y -qq --no-install-recommends $missing >/dev/null
}

# Unpack Debian packages below .cache/debian instead of installing them: the tests want their programs, and nobody
# wants the services that these packages start.
unpack_packages() {
  local place=.cache/debian package file
  for package in "$@"; do
    [ ! -e "$place/$package.complete" ] || continue
    command -v apt-get >/dev/null || fail "needs apt-get to download $package"
    say "programs of the Debian package $package"
    rm -rf "$place/$package.new"
    mkdir -p "$place/$package.new"
    [ "$(id -u)" != 0 ] || apt-get update -qq
    (cd "$place/$package.new" && apt-get -o APT::Sandbox::User= download -qq "$package")
    for file in "$place/$package.new"/*.deb; do dpkg-deb --extract "$file" "$place"; done
    rm -rf "$place/$package.new"
    touch "$place/$package.complete"
  done
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
  install_locked ${BUNDLE:+--no-index --find-links "$wheels"} --requirement "$dev_lock"
  printf '%s\n' "$locks" >.venv/.complete
}

# Make the environments of the clients which need other versions than .venv has, one for each lock file.
make_client_environments() {
  local lock place sum
  for lock in tests/clients/environments/*.txt; do
    place=.cache/clients/$(basename "$lock" .txt)
    sum=$(sha256sum <"$lock")
    [ "$(cat "$place/.complete" 2>/dev/null)" != "$sum" ] || continue
    say "environment of the client $(basename "$place")"
    rm -rf "$place"
    "$1" -m venv "$place"
    "$place/bin/pip" install --quiet --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes \
      --requirement "$lock"
    printf '%s\n' "$sum" >"$place/.complete"
  done
}

# The same on Node, from the package*.json of a folder.
make_node_environment() {
  local source=$1 place=$2 sum
  sum=$(cat "$source"/package*.json | sha256sum)
  [ "$(cat "$place/.complete" 2>/dev/null)" != "$sum" ] || return 0
  say "Node's packages for $source"
  rm -rf "$place"
  mkdir -p "$place"
  cp "$source"/package*.json "$place"
  (cd "$place" && npm ci --ignore-scripts --no-audit --no-fund --silent)
  printf '%s\n' "$sum" >"$place/.complete"
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
