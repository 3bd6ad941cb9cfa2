#!/bin/sh
# Railway chooses the port, and calls the service by its public name or by its own for health checks.
set -eu
: "${SHIMMY_API_KEY:?set it in the service's variables: the service is public}"
mkdir -p "$HOME/.config/shimmy"
hosts='"healthcheck.railway.app"'
[ -z "${RAILWAY_PUBLIC_DOMAIN:-}" ] || hosts="$hosts, \"$RAILWAY_PUBLIC_DOMAIN\""
[ -z "${RAILWAY_PRIVATE_DOMAIN:-}" ] || hosts="$hosts, \"$RAILWAY_PRIVATE_DOMAIN\""
echo "allowed_hosts = [$hosts]" > "$HOME/.config/shimmy/config.toml"
exec shimmy serve --bind "0.0.0.0:${PORT:-11435}"
