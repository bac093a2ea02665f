//! From the least to the most; nothing overflows.

/// A size or a cost between two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub min: u64,
    pub max: u64,
}

impl Range {
    /// Of which nothing is known.
    pub const UNKNOWN: Range = Range {
        min: 0,
        max: u64::MAX,
    };

    pub const fn exactly(value: u64) -> Range {
        Range {
            min: value,
            max: value,
        }
    }

    pub fn plus(self, other: Range) -> Range {
        Range {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    pub fn times(self, other: Range) -> Range {
        Range {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    /// Multiplied by a factor and rounded up.
    pub fn scaled(self, factor: f64) -> Range {
        Range {
            min: scaled(self.min, factor),
            max: scaled(self.max, factor),
        }
    }

    /// What covers both.
    pub fn union(self, other: Range) -> Range {
        Range {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
fn scaled(value: u64, factor: f64) -> u64 {
    // The cast saturates.
    (value as f64 * factor).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overflows() {
        let most = Range::UNKNOWN;
        assert_eq!(most.plus(Range::exactly(1)).max, u64::MAX);
        assert_eq!(most.times(Range::exactly(3)).max, u64::MAX);
        assert_eq!(most.scaled(2.0).max, u64::MAX);
        assert_eq!(Range::exactly(11).scaled(0.1), Range::exactly(2));
    }
}
