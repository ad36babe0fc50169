//! The filters of traffic control, for kernels without tcx: what of route netlink they need.
//!
//! On each side of an interface there is at most one filter of ours, known by its priority and its number, and another one that
//! stands in for it while it comes before those of others again. Its program is
//! replaced in one step: the kernel puts the new entry into the list in the place of the old one, so that each packet meets
//! one of both. aya adds such filters, too; it does not tell which program one runs, and removes them when it is dropped.

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// A side of an interface, as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// What comes in from it.
    In,
    /// What goes out to it.
    Out,
}

/// Before all others. Of the filters of one priority the newest comes first (Linux, `cls_bpf_change`), and one that lets
/// a packet pass ends the list: see [`is_first`].
const PRIORITY: u32 = 1;
/// The number of our filter: the letters `vrdt`.
pub(crate) const NUMBER: u32 = u32::from_be_bytes(*b"vrdt");
/// The number of the one that stands in for it while it comes before others again.
const STAND_IN: u32 = u32::from_be_bytes(*b"vrds");

/// `TC_H_CLSACT` (Linux, `include/uapi/linux/pkt_sched.h`), and below it `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS`.
const CLSACT: u32 = 0xFFFF_FFF1;
const CLSACT_IN: u32 = 0xFFFF_FFF2;
const CLSACT_OUT: u32 = 0xFFFF_FFF3;
/// The number that the kernel wants for it.
const CLSACT_NUMBER: u32 = 0xFFFF_0000;

/// `enum` of attributes (Linux, `include/uapi/linux/rtnetlink.h` and `pkt_cls.h`).
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
const CHAIN: u16 = 11;
const BPF_FD: u16 = 6;
const BPF_NAME: u16 = 7;
const BPF_FLAGS: u16 = 8;
const BPF_ID: u16 = 11;
/// What the program returns is what becomes of the packet.
const BPF_DIRECT: u32 = 1;

/// `struct nlmsghdr`, `struct tcmsg` and `struct nlattr`.
const HEADER: usize = 16;
const TC: usize = 20;
const ATTRIBUTE: usize = 4;

/// What a request is about.
#[derive(Clone, Copy, Debug)]
struct About {
    interface: u32,
    number: u32,
    parent: u32,
    info: u32,
}

impl About {
    fn filter(interface: u32, side: Side) -> Self {
        Self {
            interface,
            number: NUMBER,
            parent: match side {
                Side::In => CLSACT_IN,
                Side::Out => CLSACT_OUT,
            },
            // Packets of all protocols, in the order of the network.
            info: PRIORITY << 16 | u32::from((libc::ETH_P_ALL as u16).to_be()),
        }
    }
}

/// The kernel's number of the program that our filter runs; `None` where there is none of ours.
///
/// # Errors
/// `ENODEV` where there is no such interface in this network namespace.
pub(crate) fn filter(interface: u32, side: Side) -> io::Result<Option<u32>> {
    let request = request(libc::RTM_GETTFILTER, 0, About::filter(interface, side));
    match exchange(&with_text(request, KIND, "bpf")) {
        Ok(answers) => Ok(answers.first().and_then(|answer| program(answer))),
        Err(error) => match error.raw_os_error() {
            // No such filter; no place for any.
            Some(libc::ENOENT | libc::EINVAL) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Whether our filter is there, is the first that a packet meets, and the only one of ours.
pub(crate) fn is_first(interface: u32, side: Side) -> io::Result<bool> {
    let mut request = request(
        libc::RTM_GETTFILTER,
        libc::NLM_F_DUMP,
        About::filter(interface, side),
    );
    // Packets start at chain 0, and none has a higher priority than ours.
    attribute(&mut request, CHAIN, &0_u32.to_ne_bytes());
    let told = exchange(&request)?;
    let mut numbers = told.iter().filter_map(|body| number(body));
    Ok(numbers.next() == Some(NUMBER) && !numbers.any(|number| number == STAND_IN))
}

/// Makes our filter run a program, whether it is there yet or not. Where it is, it stays where it stands.
pub(crate) fn set_filter(
    interface: u32,
    side: Side,
    program: BorrowedFd<'_>,
    name: &str,
) -> io::Result<()> {
    set(About::filter(interface, side), program, name)
}

/// Makes our filter run a program, and come before all others. A stand-in judges meanwhile: no packet is let pass by others.
pub(crate) fn raise_filter(
    interface: u32,
    side: Side,
    program: BorrowedFd<'_>,
    name: &str,
) -> io::Result<()> {
    let own = About::filter(interface, side);
    let stand_in = About {
        number: STAND_IN,
        ..own
    };
    // Where it is there already, a command was killed.
    set(stand_in, program, name)?;
    remove(own)?;
    set(own, program, name)?;
    remove(stand_in)
}

fn set(about: About, program: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let request = request(libc::RTM_NEWTFILTER, libc::NLM_F_CREATE, about);
    let mut options = Vec::new();
    attribute(&mut options, BPF_FD, &program.as_raw_fd().to_ne_bytes());
    attribute(&mut options, BPF_NAME, &text(name));
    attribute(&mut options, BPF_FLAGS, &BPF_DIRECT.to_ne_bytes());
    let mut request = with_text(request, KIND, "bpf");
    attribute(&mut request, OPTIONS, &options);
    exchange(&request).map(drop)
}

/// Removes our filter, where it is there.
pub(crate) fn remove_filter(interface: u32, side: Side) -> io::Result<()> {
    let own = About::filter(interface, side);
    remove(own)?;
    remove(About {
        number: STAND_IN,
        ..own
    })
}

fn remove(about: About) -> io::Result<()> {
    let request = request(libc::RTM_DELTFILTER, 0, about);
    match exchange(&with_text(request, KIND, "bpf")) {
        Err(error)
            if !matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::EINVAL | libc::ENODEV)
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Gives an interface the place for filters on both sides, where it has none.
pub(crate) fn add_clsact(interface: u32) -> io::Result<()> {
    let about = About {
        interface,
        number: CLSACT_NUMBER,
        parent: CLSACT,
        info: 0,
    };
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let request = request(libc::RTM_NEWQDISC, flags, about);
    match exchange(&with_text(request, KIND, "clsact")) {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
        _ => Ok(()),
    }
}

/// A request without attributes. Its length is filled in when it is sent.
fn request(kind: u16, flags: libc::c_int, about: About) -> Vec<u8> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags;
    let mut request = Vec::new();
    request.extend([0; 4]);
    request.extend(kind.to_ne_bytes());
    request.extend((flags as u16).to_ne_bytes());
    // Number of the request, and of who asks: there is one request for each socket.
    request.extend([0; 8]);
    request.extend([0; 4]);
    for word in [about.interface, about.number, about.parent, about.info] {
        request.extend(word.to_ne_bytes());
    }
    request
}

fn attribute(request: &mut Vec<u8>, kind: u16, bytes: &[u8]) {
    // All of them are short.
    let length = u16::try_from(ATTRIBUTE + bytes.len()).unwrap_or(u16::MAX);
    request.extend(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(bytes);
    request.resize(request.len().next_multiple_of(4), 0);
}

fn with_text(mut request: Vec<u8>, kind: u16, words: &str) -> Vec<u8> {
    attribute(&mut request, kind, &text(words));
    request
}

fn text(words: &str) -> Vec<u8> {
    let mut bytes = words.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Sends a request. What is told before the kernel says that it is done, without headers.
fn exchange(request: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    // The protocol of number 0 is `NETLINK_ROUTE`.
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut request = request.to_vec();
    let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
    if let Some(place) = request.first_chunk_mut() {
        *place = length.to_ne_bytes();
    }
    send(&socket, &request, SendFlags::empty())?;
    let mut told = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (many, _) = recv(&socket, &mut *buffer, RecvFlags::empty())?;
        let mut rest = buffer.get(..many).unwrap_or_default();
        while let Some((kind, body, more)) = message(rest) {
            rest = more;
            let kind = libc::c_int::from(kind);
            if !matches!(kind, libc::NLMSG_ERROR | libc::NLMSG_DONE) {
                told.push(body.to_vec());
                continue;
            }
            // Either has a code, which is 0 where it went well.
            let code = body.first_chunk().copied().unwrap_or_default();
            return match i32::from_ne_bytes(code) {
                0 => Ok(told),
                code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
            };
        }
    }
}

/// The first of some messages: its kind, its body, and those behind it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEADER..length)?;
    let more = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, more))
}

/// The number of a filter; `None` where it is told of a priority as a whole.
fn number(body: &[u8]) -> Option<u32> {
    let number = u32::from_ne_bytes(*body.get(8..)?.first_chunk()?);
    Some(number).filter(|number| *number != 0)
}

/// The program of a filter.
fn program(body: &[u8]) -> Option<u32> {
    let options = find(body.get(TC..)?, OPTIONS)?;
    let id = find(options, BPF_ID)?;
    Some(u32::from_ne_bytes(*id.first_chunk()?))
}

/// The attribute of a kind among some.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    /// That there are attributes in it, and the order of its bytes.
    const FLAGS: u16 = 0xC000;
    loop {
        let length = u16::from_ne_bytes(*attributes.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?);
        let bytes = attributes.get(ATTRIBUTE..length)?;
        if kind & !FLAGS == wanted {
            return Some(bytes);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_filter_is_found_among_its_attributes() {
        let mut options = Vec::new();
        attribute(&mut options, BPF_NAME, &text("ingress"));
        attribute(&mut options, BPF_ID, &7_u32.to_ne_bytes());
        let mut body = vec![0; TC];
        attribute(&mut body, KIND, &text("bpf"));
        attribute(&mut body, OPTIONS | 1 << 15, &options);
        assert_eq!(program(&body), Some(7));
        assert_eq!(number(&body), None);
        body[8..12].copy_from_slice(&NUMBER.to_ne_bytes());
        assert_eq!(number(&body), Some(NUMBER));
        assert_eq!(program(&body[..TC + 8]), None);
        assert_eq!(program(&[]), None);
    }

    #[test]
    fn messages_are_taken_apart_and_cut_ones_are_none() {
        let about = About::filter(3, Side::Out);
        let mut one = request(libc::RTM_GETTFILTER, 0, about);
        one[0] = 36;
        let two = [one.clone(), one.clone()].concat();
        let (kind, body, more) = message(&two).unwrap();
        assert_eq!((kind, body.len()), (libc::RTM_GETTFILTER, TC));
        assert_eq!(more, one);
        assert!(message(&one[..35]).is_none());
        assert!(message(&one[..3]).is_none());
    }
}
