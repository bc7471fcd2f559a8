//! What the headers of pictures have in common.

use super::HeaderFault;

/// The size of pictures as shown, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Width.
    pub width: u16,
    /// Height.
    pub height: u16,
}

impl Picture {
    /// A coded size less what is cropped.
    ///
    /// # Errors
    /// Where nothing is left or a side is longer than 65,535.
    pub fn cropped(coded: (u64, u64), cropped: (u64, u64)) -> Result<Self, HeaderFault> {
        let side = |coded: u64, cropped: u64| {
            let shown = coded.checked_sub(cropped).filter(|shown| *shown > 0);
            shown
                .and_then(|shown| u16::try_from(shown).ok())
                .ok_or(HeaderFault::Invalid("size of pictures"))
        };
        Ok(Picture {
            width: side(coded.0, cropped.0)?,
            height: side(coded.1, cropped.1)?,
        })
    }
}

/// A clock of headers: `units` ticks of `scale` a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Ticks of one step.
    pub units: u32,
    /// Ticks of one second.
    pub scale: u32,
}

/// The highest frame rate that is believed, in pictures of 1,000 seconds.
const FRAME_RATE_MILLIHZ_MAX: u64 = 1_000_000;

/// Pictures in 1,000 seconds where a picture takes `steps` of the clock; 0 where the clock says
/// nothing that could be.
pub fn frame_rate_millihz(timing: Timing, steps: u32) -> u32 {
    let ticks = u64::from(timing.units) * u64::from(steps);
    if ticks == 0 {
        return 0;
    }
    let rate = (u64::from(timing.scale) * 1_000 + ticks / 2) / ticks;
    if rate > FRAME_RATE_MILLIHZ_MAX {
        return 0;
    }
    rate as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_rounded_and_believed_within_reason() {
        let rate = |units, scale, steps| frame_rate_millihz(Timing { units, scale }, steps);
        assert_eq!(rate(1_001, 60_000, 2), 29_970);
        assert_eq!(rate(1, 50, 2), 25_000);
        assert_eq!(rate(1, 25, 1), 25_000);
        assert_eq!((rate(0, 25, 1), rate(1, u32::MAX, 1)), (0, 0));
    }

    #[test]
    fn a_size_must_leave_something() {
        let size = |coded, cropped| Picture::cropped(coded, cropped).ok();
        let full = Picture {
            width: 1_920,
            height: 1_080,
        };
        assert_eq!(size((1_920, 1_088), (0, 8)), Some(full));
        assert_eq!(size((16, 16), (16, 0)), None);
        assert_eq!(size((16, 16), (0, 17)), None);
        assert_eq!(size((65_536, 16), (0, 0)), None);
    }
}
