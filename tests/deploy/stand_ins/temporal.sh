#!/usr/bin/env bash
# The development server, whose parts find one another at 127.0.0.1 only: there on ports that are free, here on its own.
set -euo pipefail
read -r frontend metrics < <(python3 -c '
import socket
bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in bound))')
socat "TCP-LISTEN:7233,bind=$LISTEN,fork,reuseaddr" "TCP:127.0.0.1:$frontend" &
socat "TCP-LISTEN:9090,bind=$LISTEN,fork,reuseaddr" "TCP:127.0.0.1:$metrics" &
exec temporal server start-dev --ip 127.0.0.1 --port "$frontend" --metrics-port "$metrics" --namespace default \
    --headless --log-level warn
