#!/bin/sh
# Runs in the old pod before it gets SIGTERM. From here on /health/ready says that it drains.
set -eu
touch /tmp/draining
echo "pre-stop: draining ${HOSTNAME:-this pod}"
