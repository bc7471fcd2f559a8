//! Whole nodes in one process under virtual time and seeded faults.
//!
//! The hubs of several shards run as they do in the server; sockets, rings and the clock are
//! virtual. After every step the invariants are checked: readers get bit-exact frames in order,
//! ICY framing is exact, FLV is whole tags from a keyframe on, an address of HLS has one content
//! for ever, who waits is told, seats add up, nobody is starved; at the end nothing is left behind.
//! The same seed gives the same run, byte for byte.
//!
//! Reading order: [`world`] (the node and what happens to it), `invariants` (what must hold),
//! [`peer`] (a virtual listener that checks what it gets), [`origin`] (a virtual source), [`film`]
//! and [`film_ear`] (the same with pictures), `watching` and `player` (players of HLS),
//! [`playlist`] and [`shelf`] (what they check), `seating` (listeners that come and go), `relay`
//! (sources that come when they are wanted), `intro` (what comes before them), `settings` (what an
//! operator chose), [`dice`] (the seeded choices).

pub mod dice;
pub mod film;
pub mod film_ear;
mod intro;
mod invariants;
pub mod origin;
pub mod peer;
mod player;
pub mod playlist;
mod relay;
mod seating;
mod settings;
pub mod shelf;
mod watching;
pub mod world;

pub use world::{Report, Violation, World};

/// Steps of one run unless said otherwise: about a minute of virtual time.
pub const STEPS_DEFAULT: u32 = 2_000;

/// Runs `seed` for `steps` steps.
///
/// # Errors
/// The first [`Violation`].
pub fn run(seed: u64, steps: u32) -> Result<Report, Violation> {
    World::new(seed).run(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_run() {
        for seed in [1, 7, 42] {
            let (one, two) = (run(seed, 500), run(seed, 500));
            assert_eq!(one, two);
            assert_ne!(one, run(seed + 1_000, 500));
        }
    }

    #[test]
    fn fifty_seeds_hold() {
        let runs: Vec<Result<Report, Violation>> = (1..=50).map(|seed| run(seed, 600)).collect();
        let found: Vec<&Violation> = runs.iter().filter_map(|run| run.as_ref().err()).collect();
        assert_eq!(found, Vec::<&Violation>::new());
        let intros: u64 = runs.iter().flatten().map(|report| report.intros).sum();
        assert!(intros > 100, "{intros} listeners heard an intro");
        let sum = |of: fn(&Report) -> u64| runs.iter().flatten().map(of).sum::<u64>();
        let (answers, waits) = (sum(|report| report.answers), sum(|report| report.waits));
        let (units, deltas) = (sum(|report| report.units), sum(|report| report.deltas));
        let seen = format!("{answers} answers, {waits} waits, {deltas} deltas, {units} units");
        assert!(answers > 4_000 && waits > 1_000, "{seen}");
        assert!(deltas > 50 && units > 10_000, "{seen}");
    }
}
