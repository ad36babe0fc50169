#!/usr/bin/env bash
# Records what real programs say to each other: `tests/record/record.sh DIR` writes DIR/real-ethernet.pcap (one end) and
# DIR/real-any.pcap (every interface of a router). Three network namespaces stand for two pods of `testdata/shop` and the
# node between them. Needs root, iproute2, tcpdump, python3, curl and ping; removes the namespaces at the end.
set -euo pipefail
folder=$(realpath "$1")
here=verdict-$$
web=$here-web api=$here-api node=$here-node
work=$(mktemp -d)
started=()

clean() {
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for one in "$web" "$api" "$node"; do ip netns del "$one" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean EXIT

inside() { ip netns exec "$@"; }

for one in "$web" "$api" "$node"; do
    ip netns add "$one"
    inside "$one" ip link set lo up
done
# pod NAMESPACE ADDRESS GATEWAY ADDRESS6 GATEWAY6 INTERFACE
pod() {
    ip link add "$6" netns "$node" type veth peer name eth0 netns "$1"
    inside "$1" ip address add "$2/24" dev eth0
    inside "$1" ip -6 address add "$4/64" dev eth0 nodad
    inside "$1" ip link set eth0 up
    inside "$node" ip address add "$3/24" dev "$6"
    inside "$node" ip -6 address add "$5/64" dev "$6" nodad
    inside "$node" ip link set "$6" up
    inside "$1" ip route add default via "$3"
    inside "$1" ip -6 route add default via "$5"
}
pod "$web" 10.244.1.10 10.244.1.1 2001:db8:244:1::10 2001:db8:244:1::1 web
pod "$api" 10.244.2.20 10.244.2.1 2001:db8:244:2::20 2001:db8:244:2::1 api
inside "$node" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

echo 'hello' > "$work/hello"
(cd "$work" && exec ip netns exec "$api" python3 -m http.server --bind :: 8080 >/dev/null 2>&1) &
started+=($!)
sleep 2
inside "$api" tcpdump -q -U -i eth0 -w "$work/real-ethernet.pcap" 2>/dev/null &
started+=($!)
inside "$node" tcpdump -q -U -i any -w "$work/real-any.pcap" 2>/dev/null &
started+=($!)
sleep 2

inside "$web" curl -s -o /dev/null http://10.244.2.20:8080/hello
inside "$web" curl -s -o /dev/null 'http://[2001:db8:244:2::20]:8080/hello'
# Nobody listens: refused.
inside "$web" curl -s -o /dev/null http://10.244.2.20:81/ || true
inside "$web" ping -q -c 2 -i 0.2 10.244.2.20 >/dev/null
inside "$web" ping -q -c 1 2001:db8:244:2::20 >/dev/null
# In fragments.
inside "$web" ping -q -c 1 -s 4000 10.244.2.20 >/dev/null
# A datagram to a port without a socket: an error comes back.
inside "$web" python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("10.244.2.20", 9999))'
sleep 2
for process in "${started[@]:1}"; do kill -INT "$process" 2>/dev/null || true; done
sleep 1
cp "$work"/real-*.pcap "$folder/"
