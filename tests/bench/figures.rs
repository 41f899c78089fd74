//! Figures over many values and many rounds.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

/// The value below which `part` (0 to 1) of all lie, between its neighbours in proportion; NaN of none.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = part.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * at.fract()
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The arithmetic mean; NaN of none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Ours by theirs, over rounds that followed each other: the median of the rounds' ratios, with the least and the largest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    median: f64,
    min: f64,
    max: f64,
    rounds: usize,
}

impl Ratio {
    /// Of the rounds' figures in their order. `None`: nothing was measured on one side, or it was nothing on theirs in some
    /// round, which no ratio tells.
    pub(crate) fn of(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        (!ratios.is_empty() && ratios.iter().all(|ratio| ratio.is_finite())).then(|| Self {
            median: median(&ratios),
            min: quantile(&ratios, 0.0),
            max: quantile(&ratios, 1.0),
            rounds: ratios.len(),
        })
    }

    /// For the JSON file.
    pub(crate) fn to_json(self) -> Value {
        let Self { median, min, max, rounds } = self;
        json!({ "median": rounded(median), "min": rounded(min), "max": rounded(max), "rounds": rounds })
    }
}

impl Display for Ratio {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { median, min, max, rounds } = self;
        // One round has no spread, which is not the same as none to be seen.
        if *rounds == 1 { write!(f, "{median:.2}") } else { write!(f, "{median:.2} ({min:.2}–{max:.2})") }
    }
}

/// As a cell of a table: a dash where there is none.
pub(crate) fn cell(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| ratio.to_string())
}

/// As a cell of a table, with so many digits after the point: a dash where nothing was measured.
pub(crate) fn number(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "–".to_owned() }
}

/// To three digits after the point, which is more than any of this is good for; null of what is no number.
pub(crate) fn rounded(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert!((quantile(&[4.0, 1.0, 2.0, 3.0], 0.5) - 2.5).abs() < 1e-9);
        assert!((quantile(&[10.0, 20.0], 0.95) - 19.5).abs() < 1e-9);
        assert!((quantile(&[7.0], 0.95) - 7.0).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_ratio_pairs_the_rounds() {
        let ratio = Ratio::of(&[50.0, 90.0, 30.0], &[100.0, 100.0, 100.0]).unwrap();
        assert_eq!(ratio.to_string(), "0.50 (0.30–0.90)");
        assert!(Ratio::of(&[50.0], &[]).is_none());
        assert!(Ratio::of(&[50.0, 0.0], &[100.0, 0.0]).is_none());
        assert_eq!(Ratio::of(&[50.0], &[100.0]).unwrap().to_string(), "0.50");
    }
}
