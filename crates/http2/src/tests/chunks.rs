//! However the octets are cut, the same comes out; and any octets do no harm.

use proptest::prelude::*;

use super::{Wire, reader};
use crate::config::Config;
use crate::frame::kind;

/// A connection of valid and strange frames.
fn connection(steps: &[(u8, u8, u16)]) -> Vec<u8> {
    let mut wire = Wire::client();
    for (step, (what, stream, size)) in steps.iter().enumerate() {
        let id = u32::from(*stream % 16) * 2 + 1;
        let body = vec![*what; usize::from(*size % 9000)];
        let last = u8::from(size % 5 == 0);
        match what % 12 {
            0..=3 => {
                let value = format!("v{}", size % 7);
                wire.request(step as u32 * 2 + 1, last == 1, &[("x-a", &value)])
            }
            4..=6 => wire.frame(kind::DATA, last, id, &body),
            7 => wire.reset(id),
            8 => wire.frame(kind::PING, 0, 0, &[*stream; 8]),
            9 => wire.frame(kind::WINDOW_UPDATE, 0, 0, &u32::from(*size).to_be_bytes()),
            10 => wire.frame(*stream, last, id, &body[..body.len().min(64)]),
            _ => {
                let block = wire.block("GET", &[("x-b", "c")]);
                let half = block.len() / 2;
                let id = step as u32 * 2 + 1;
                wire.frame(kind::HEADERS, last, id, &block[..half]);
                wire.frame(kind::CONTINUATION, 4, id, &block[half..])
            }
        };
    }
    wire.octets
}

/// Everything that a reader came to, as text.
fn outcome(octets: &[u8], cuts: &[usize]) -> String {
    let mut conn = reader(Config::default());
    let mut rest = octets;
    let mut end = Ok(());
    for cut in cuts.iter().cycle() {
        let (part, tail) = rest.split_at((*cut).min(rest.len()));
        end = conn.feed(part);
        rest = tail;
        if rest.is_empty() || end.is_err() {
            break;
        }
    }
    let mut state = conn.shared.lock();
    format!("{end:?} {:?}", state.describe())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_chunks_give_the_same(
        steps in proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u16>()), 1..40),
        cuts in proptest::collection::vec(1usize..3000, 1..8),
    ) {
        let octets = connection(&steps);
        let whole = outcome(&octets, &[octets.len()]);
        prop_assert_eq!(outcome(&octets, &cuts), whole.clone());
        prop_assert_eq!(outcome(&octets, &[1 + octets.len() / 500]), whole);
    }

    #[test]
    fn arbitrary_octets_do_no_harm(
        octets in proptest::collection::vec(any::<u8>(), 0..2000),
        steps in proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u16>()), 0..10),
    ) {
        let mut input = connection(&steps);
        input.extend(octets);
        let mut conn = reader(Config::default());
        let _ = conn.feed(&input);
        let state = conn.shared.lock();
        prop_assert!(state.out.len() < 64 * 1024);
        prop_assert!(state.existing() <= 500);
    }

    #[test]
    fn flipped_octets_do_no_harm(
        steps in proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u16>()), 1..30),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..10),
    ) {
        let mut input = connection(&steps);
        for (place, value) in flips {
            let place = place.index(input.len());
            input[place] = value;
        }
        let _ = reader(Config::default()).feed(&input);
    }
}
