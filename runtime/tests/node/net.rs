//! Two nodes and their pods, as network namespaces that are joined by veth and routes.

use super::cage::{on, sh, within};
use super::wire::grant;
use super::world::{NODES, PODS, Pod};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// What servers listen on, by TCP, UDP and SCTP.
pub(crate) static PORTS: [u16; 5] = [80, 5432, 8080, 9000, 9100];

/// How long an answer may take before a packet counts as lost. Nothing is lost here but by a verdict.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);

/// Makes nodes and pods.
pub(crate) fn build() {
    let namespaces = NODES.map(|(node, ..)| node).into_iter();
    for namespace in namespaces.chain(PODS.map(|pod| pod.name)) {
        sh(&format!(
            "ip netns add {namespace}; ip -n {namespace} link set lo up"
        ));
        within(namespace, || {
            // Addresses are usable at once.
            write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
            write("/proc/sys/net/ipv6/conf/all/accept_dad", "0");
        });
    }
    sh("ip link add uplink netns n1 type veth peer name uplink netns n2");
    for (index, (node, address, ..)) in (1..).zip(NODES) {
        let (_, next, v4, v6) = NODES[2 - index];
        let next6 = format!("fd00:7::{}", 3 - index);
        sh(&format!(
            "ip -n {node} addr add {address}/24 dev uplink
             ip -n {node} addr add fd00:7::{index}/64 dev uplink nodad
             ip -n {node} link set uplink up
             ip -n {node} route add {v4} via {next}
             ip -n {node} route add {v6} via {next6}"
        ));
        within(node, || {
            write("/proc/sys/net/ipv4/ip_forward", "1");
            write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
        });
    }
    for pod in PODS {
        add_pod(pod);
    }
}

fn add_pod(pod: Pod) {
    let Pod {
        name, node, v4, v6, ..
    } = pod;
    let veth = pod.veth();
    sh(&format!(
        "ip link add {veth} netns {node} type veth peer name eth0 netns {name}
         ip -n {node} addr add 169.254.1.1/32 dev {veth}
         ip -n {node} addr add fe80::1/64 dev {veth} nodad
         ip -n {node} link set {veth} up
         ip -n {node} route add {v4}/32 dev {veth}
         ip -n {node} route add {v6}/128 dev {veth}
         ip -n {name} addr add {v4}/32 dev eth0
         ip -n {name} addr add {v6}/128 dev eth0 nodad
         ip -n {name} link set eth0 up
         ip -n {name} route add 169.254.1.1 dev eth0 scope link
         ip -n {name} route add default via 169.254.1.1 dev eth0
         ip -n {name} route add default via fe80::1 dev eth0"
    ));
}

fn write(path: &str, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// Attaches every pod by a hook, by its address once something is loaded, by its interface else.
pub(crate) fn attach_all(loaded: bool, hook: &str) {
    for pod in PODS {
        let (veth, path) = (pod.veth(), pod.path());
        if loaded {
            on(pod.node, &["attach", "--address", pod.v4, "--hook", hook]).must(0);
        } else {
            let what = ["attach", "--interface", &veth, "--pod", &path];
            on(pod.node, &[&what[..], &["--hook", hook]].concat()).must(1);
        }
    }
}

/// Starts an echo server in every pod, at every port, which goes on until the test ends.
pub(crate) fn serve() {
    for pod in PODS {
        grant(pod, &PORTS);
        for port in PORTS {
            let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            let (tcp, udp) = within(pod.name, || {
                (
                    TcpListener::bind(any).unwrap(),
                    UdpSocket::bind(any).unwrap(),
                )
            });
            thread::spawn(move || {
                for stream in tcp.incoming().flatten() {
                    thread::spawn(move || echo(stream));
                }
            });
            thread::spawn(move || {
                let mut bytes = [0; 8192];
                loop {
                    match udp.recv_from(&mut bytes) {
                        Ok((many, from)) => drop(udp.send_to(&bytes[..many], from)),
                        // An ICMP error about an earlier answer.
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    }
}

pub(crate) fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(many @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..many]).is_err() {
            return;
        }
    }
}

/// A connection from a pod, on which a byte came back.
pub(crate) fn connect(from: Pod, to: IpAddr, port: u16, patience: Duration) -> Option<TcpStream> {
    within(from.name, || {
        let mut stream = TcpStream::connect_timeout(&(to, port).into(), patience).ok()?;
        stream.set_read_timeout(Some(patience)).unwrap();
        stream.set_nodelay(true).unwrap();
        exchange(&mut stream, b"?").then_some(stream)
    })
}

/// Whether what is sent on a connection comes back.
pub(crate) fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    let mut back = vec![0; bytes.len()];
    stream.write_all(bytes).is_ok() && stream.read_exact(&mut back).is_ok() && back == bytes
}

/// Whether datagrams of a size come back. Those that do not fit a packet travel in parts.
pub(crate) fn datagram(from: Pod, to: IpAddr, port: u16, size: usize, patience: Duration) -> bool {
    within(from.name, || {
        let any: IpAddr = match to {
            IpAddr::V4(_) => [0, 0, 0, 0].into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.connect((to, port)).unwrap();
        let bytes = vec![7; size];
        let mut back = vec![0; size + 1];
        socket.send(&bytes).is_ok() && matches!(socket.recv(&mut back), Ok(many) if many == size)
    })
}

/// Whether an echo request is answered.
pub(crate) fn ping(from: Pod, to: IpAddr, patience: Duration) -> bool {
    within(from.name, || {
        let status = Command::new("ping")
            .args(["-n", "-c", "1", "-W"])
            .args([patience.as_secs().to_string(), to.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    })
}

/// Whether a pod reaches another by both families, where nothing is enforced.
pub(crate) fn reaches(from: Pod, to: Pod) -> bool {
    to.addresses()
        .into_iter()
        .all(|address| connect(from, address, 80, PATIENCE).is_some())
}
