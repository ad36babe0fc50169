//! Packets as they are on the wire: what no socket of a kernel sends or shows.

use super::cage::within;
use super::world::Pod;
use rustix::fd::OwnedFd;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, ipproto,
    recv, sendto, socket_with,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::thread;
use std::time::{Duration, Instant};
use verdict_tests::packets;

/// Everything that passes the interface of a pod.
pub(crate) struct Wire(OwnedFd);

/// A packet of IP without options or extension headers.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    fn of(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(14..)?;
        let body = |at: usize| packet.get(at..).map(<[u8]>::to_vec);
        match frame.get(12..14)? {
            [0x08, 0x00] => Some(Self {
                src: Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?).into(),
                dst: Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?).into(),
                protocol: *packet.get(9)?,
                body: body(usize::from(packet.first()? & 15) * 4)?,
            }),
            [0x86, 0xDD] => Some(Self {
                src: Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?).into(),
                dst: Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?).into(),
                protocol: *packet.get(6)?,
                body: body(40)?,
            }),
            _ => None,
        }
    }

    /// The ports that its transport begins with: source, destination.
    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        let port = |at: usize| Some(u16::from_be_bytes(*self.body.get(at..)?.first_chunk()?));
        Some((port(0)?, port(2)?))
    }
}

impl Wire {
    /// Listens in a pod.
    pub(crate) fn listen(pod: Pod) -> Self {
        within(pod.name, || {
            let all = u32::from((libc::ETH_P_ALL as u16).to_be());
            let all = Protocol::from_raw(NonZeroU32::new(all).unwrap());
            let flags = SocketFlags::CLOEXEC;
            Self(socket_with(AddressFamily::PACKET, SocketType::RAW, flags, Some(all)).unwrap())
        })
    }

    /// The first packet that is wanted, if one comes soon enough.
    pub(crate) fn hear(
        &self,
        patience: Duration,
        wanted: impl Fn(&Heard) -> bool,
    ) -> Option<Heard> {
        let end = Instant::now() + patience;
        let mut frame = vec![0; 1 << 16];
        loop {
            let left = end.checked_duration_since(Instant::now())?;
            let left = left.max(Duration::from_millis(1));
            set_socket_timeout(&self.0, Timeout::Recv, Some(left)).unwrap();
            let Ok((many, _)) = recv(&self.0, &mut *frame, RecvFlags::empty()) else {
                continue;
            };
            if let Some(heard) = Heard::of(&frame[..many]).filter(&wanted) {
                return Some(heard);
            }
        }
    }
}

/// Sends a packet from a pod, as [`packets::build`] reads it, that may not be taken apart on its way.
pub(crate) fn send(from: Pod, to: IpAddr, text: &str) {
    let mut packet = packets::build(text).split_off(14);
    let family = if to.is_ipv4() {
        packet[6] |= 0x40;
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    within(from.name, || {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::RAW, flags, Some(ipproto::RAW)).unwrap();
        let to = SocketAddrAny::from(SocketAddr::from((to, 0)));
        // Where a packet is dropped on its way out, the sender may be told.
        let _ = sendto(&socket, &packet, SendFlags::empty(), &to);
    });
}

/// The word for the family of an address.
pub(crate) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ipv4" } else { "ipv6" }
}

/// The number of SCTP, and of chunks that ask for an association and grant it.
const SCTP: u8 = 132;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;

/// Whether an association that a pod asks for is granted.
pub(crate) fn associate(from: Pod, own: u16, to: IpAddr, port: u16, patience: Duration) -> bool {
    let wire = Wire::listen(from);
    let family = family(to);
    let [v4, v6] = from.addresses();
    let src = if to.is_ipv4() { v4 } else { v6 };
    let asked = format!("{family} {src} > {to} sctp {own} > {port} chunk {INIT}");
    let end = Instant::now() + patience;
    // A wire that is listened to loses packets where machines are busy: it is asked again, as SCTP does.
    while Instant::now() < end {
        send(from, to, &asked);
        let granted = wire.hear(patience / 5, |heard| {
            let ends = (heard.src, heard.dst) == (to, src) && heard.ports() == Some((port, own));
            heard.protocol == SCTP && ends && heard.body.get(12) == Some(&INIT_ACK)
        });
        if granted.is_some() {
            return true;
        }
    }
    false
}

/// Grants associations at some ports of a pod until the test ends.
pub(crate) fn grant(pod: Pod, ports: &'static [u16]) {
    let wire = Wire::listen(pod);
    thread::spawn(move || {
        loop {
            let asked = wire.hear(Duration::from_secs(60), |heard| {
                let is_own = pod.addresses().contains(&heard.dst);
                heard.protocol == SCTP && is_own && heard.body.get(12) == Some(&INIT)
            });
            let Some(Heard { src, dst, body, .. }) = asked else {
                continue;
            };
            let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
            let (their, own) = (port(0), port(2));
            if ports.contains(&own) {
                let family = family(src);
                send(
                    pod,
                    src,
                    &format!("{family} {dst} > {src} sctp {own} > {their} chunk {INIT_ACK}"),
                );
            }
        }
    });
}
