//! What the ends of a connection must prove, as an image has it.
//!
//! The layout has no word of its own for authentication: a packet that may pass only where the ends have proved who they are
//! goes by way of something, as one that is redirected does. So its code is [`Action::Redirect`], and the upper byte of the
//! number of the listener says what is to be proved; the lower byte is the number of the proxy's listener, or 0 where there
//! is no proxy. Numbers of listeners are below 256, so that no other code has that byte. What cannot prove anything drops
//! the packet, as it does where it has no proxy: that is what [`verdict_abi`]'s datapath does.

use crate::hir::Auth;
use verdict_abi::{Action, Code};

/// The number of the listener that says so.
pub(super) fn listener(auth: Auth, proxy: u16) -> u16 {
    let number = match auth {
        Auth::Disabled => 0,
        Auth::Required => 1,
        Auth::AlwaysFails => 2,
    };
    number << 8 | proxy & 0xFF
}

/// What a code says that the ends must prove.
#[must_use]
pub fn auth(code: Code) -> Option<Auth> {
    match (code.action, code.listener >> 8) {
        (Action::Redirect, 1) => Some(Auth::Required),
        (Action::Redirect, 2) => Some(Auth::AlwaysFails),
        (Action::Deny | Action::Audit | Action::Allow | Action::Redirect, _) => None,
    }
}

/// The number of the listener of the proxy by way of which a code lets pass; none where it does without one.
#[must_use]
pub fn proxy(code: Code) -> Option<u16> {
    let listener = match auth(code) {
        Some(_) => code.listener & 0xFF,
        None => code.listener,
    };
    let goes = code.action == Action::Redirect && (listener > 0 || auth(code).is_none());
    goes.then_some(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back() {
        for demanded in [Auth::Required, Auth::AlwaysFails] {
            for listener in [0, 1, 101, 255] {
                let code = Code {
                    action: Action::Redirect,
                    depends: false,
                    listener: super::listener(demanded, listener),
                    origin: 0,
                };
                assert_eq!(auth(code), Some(demanded));
                assert_eq!(proxy(code), (listener > 0).then_some(listener));
            }
        }
        let plain = Code {
            action: Action::Redirect,
            depends: false,
            listener: 101,
            origin: 0,
        };
        assert_eq!((auth(plain), proxy(plain)), (None, Some(101)));
    }
}
