# What the checks in environments of their own have in common; sourced, never run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ENVIRONMENTS=${ENVIRONMENTS:-.venvs}
PYTHON=${PYTHON:-python3}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

say() { printf '\n== %s\n' "$*"; }

# made NAME INPUTS...: whether the environment NAME was made from these very files and words.
made() { [ "$(cat "$ENVIRONMENTS/$1/.made" 2>/dev/null)" = "$(stamp "${@:2}")" ]; }

stamp() {
  for input in "$@"; do if [ -f "$input" ]; then cat "$input"; else echo "$input"; fi; done | sha256sum | cut -d' ' -f1
}

# fresh NAME INTERPRETER: an empty environment.
fresh() {
  rm -rf "${ENVIRONMENTS:?}/$1"
  "$2" -m venv "$ENVIRONMENTS/$1"
}

# ready NAME INPUTS...: what was made, and from what.
ready() { stamp "${@:2}" >"$ENVIRONMENTS/$1/.made"; }

pip_in() { "$ENVIRONMENTS/$1/bin/python" -m pip --disable-pip-version-check "${@:2}"; }

# The one wheel, built from the checkout.
build_wheel() {
  rm -rf dist
  "$PYTHON" -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .
  ls dist/*.whl
}
