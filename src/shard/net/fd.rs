//! The one place that turns the runtime's raw descriptors into borrowed and owned ones.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use monoio::net::TcpStream;

/// The descriptor of `stream`, for system calls that the runtime has no face for.
#[expect(
    unsafe_code,
    reason = "the runtime's stream gives out its descriptor as a number only"
)]
pub(super) fn borrow(stream: &TcpStream) -> BorrowedFd<'_> {
    // SAFETY: `stream` owns the descriptor and closes it when it is dropped at the earliest, and
    // the borrow cannot outlive `stream`.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}

/// Takes the descriptor out of `stream`, deregistered from the runtime.
///
/// No operation of `stream` may be in flight: the runtime panics otherwise.
#[expect(
    unsafe_code,
    reason = "the runtime's stream gives out its descriptor as a number only"
)]
pub(super) fn take(stream: TcpStream) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives up the ownership of an open descriptor without closing it, so
    // that it has no owner but the returned one.
    unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) }
}
