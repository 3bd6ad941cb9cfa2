#!/bin/sh
# A machine without a key does not start: the service is public.
set -eu
: "${SHIMMY_API_KEY:?set it with fly secrets set: the service is public}"
exec shimmy serve
