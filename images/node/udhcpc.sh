#!/bin/sh
# What udhcpc calls with what it learnt. The initramfs and PID 1 share it.
# The lease is kept in /run/lease so that PID 1's client can ask for the same address without taking it down first.
exec >/dev/console
case $1 in
deconfig)
  # udhcpc says this when it starts too; only a lease that it held and lost takes the address away.
  [ -e /run/lease.held ] || exit 0
  rm -f /run/lease.held
  echo "muster: lease lost, address removed from $interface"
  ip addr flush dev "$interface"
  ;;
bound | renew)
  : >/run/lease.held
  case $(cat /run/lease 2>/dev/null) in
  "$ip/$mask") ;;
  *)
    ip addr flush dev "$interface"
    # The remote shell listens on the node's own address only: PID 1 starts it again on the new one.
    [ -e /run/ssh/pid ] && kill "$(cat /run/ssh/pid)"
    ;;
  esac
  echo "$ip/$mask" >/run/lease
  ip addr replace "$ip/$mask" broadcast + dev "$interface"
  for gateway in $router; do
    ip route replace default via "$gateway" dev "$interface"
    break
  done
  ;;
nak) echo "muster: DHCP server refused our address: $message" ;;
esac
