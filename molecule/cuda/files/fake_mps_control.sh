#!/bin/sh
# Stands in for nvidia-cuda-mps-control: a daemon in the foreground (-f), or a command for it on standard input.
case "${1:-}" in
  -f)
    trap 'rm -f /run/fake-mps.pid; exit 0' TERM
    echo $$ >/run/fake-mps.pid
    while :; do sleep 1 & wait $!; done
    ;;
  *)
    read -r command
    [ "$command" = quit ] || exit 1
    kill "$(cat /run/fake-mps.pid)"
    ;;
esac
