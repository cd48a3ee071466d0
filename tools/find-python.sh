#!/bin/sh
# find-python.sh [--explain] [PYTHON]
#
# Print the first Python that is new enough and can make virtual environments, of those usual on
# PATH or of the one named; nothing if there is none. With --explain say what was found, and what
# to do. A name on PATH proves nothing (version managers leave dead ones), so each is run.
try='import sys
if sys.version_info < (3, 11):
    sys.exit("is " + sys.version.split()[0] + ", 3.11 or newer is needed")
try:
    import ensurepip, venv
except ImportError as error:
    sys.exit("has no module " + str(error.name) + "; install the package python3-venv, or "
             + "python%d.%d-venv" % sys.version_info[:2])'

explain=
if [ "${1:-}" = --explain ]; then
    explain=yes
    shift
    echo "error: no Python 3.11 or newer was found that can make a virtual environment"
fi
for name in ${1:-python3 python3.13 python3.12 python3.11 python3.14}; do
    path=$(command -v "$name") || continue
    if why=$("$path" -c "$try" 2>&1); then
        [ -n "$explain" ] || { echo "$path"; exit 0; }
    elif [ -n "$explain" ]; then
        echo "  $path: $(echo "$why" | sed 1q)"
    fi
done
[ -z "$explain" ] || echo "install one, or name it: make PYTHON=/path/to/python3 ..."
