//! The one place that turns the runtime's raw descriptors into borrowed and owned ones, and that
//! sets what no safe crate sets.

use std::io;
use std::net::UdpSocket;
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

/// One instruction of a classic BPF program.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Instruction(libc::sock_filter);

impl Instruction {
    /// Takes the byte `at` of the packet.
    pub(super) const fn load_byte(at: u32) -> Self {
        Self::of(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, at)
    }

    /// Skips `count` instructions where none of the bits `mask` is set.
    pub(super) const fn skip_unless_set(mask: u32, count: u8) -> Self {
        Self::of(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, count, mask)
    }

    /// Skips `count` instructions.
    pub(super) const fn skip(count: u32) -> Self {
        Self::of(libc::BPF_JMP | libc::BPF_JA, 0, count)
    }

    /// The rest of a division by `divisor`.
    pub(super) const fn modulo(divisor: u32) -> Self {
        Self::of(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, divisor)
    }

    /// Ends with what was worked out.
    pub(super) const fn answer() -> Self {
        Self::of(libc::BPF_RET | libc::BPF_A, 0, 0)
    }

    const fn of(code: u32, jump_unless: u8, k: u32) -> Self {
        Instruction(libc::sock_filter {
            code: code as u16,
            jt: 0,
            jf: jump_unless,
            k,
        })
    }
}

/// Has `program` choose which of the sockets that share the port of `socket` gets a packet.
///
/// # Errors
/// The kernel does not take the program.
#[expect(unsafe_code, reason = "no safe crate sets SO_ATTACH_REUSEPORT_CBPF")]
pub(super) fn steer(socket: &UdpSocket, program: &[Instruction]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the option takes a `sock_fprog`, whose `filter` points to `len` instructions
    // (`Instruction` has the layout of `sock_filter`) that live until the call ends; the kernel
    // copies them and writes nothing.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
