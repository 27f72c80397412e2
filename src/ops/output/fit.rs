//! Tables that fit a terminal: which columns are shown, and how wide texts are where they are displayed.

use std::io::{self, IsTerminal as _};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::Column;

/// Columns of a terminal that does not tell.
const WIDTH: usize = 80;
/// Lines of such a terminal.
const HEIGHT: usize = 24;
/// Blanks between two columns.
const GAP: usize = 2;

/// A column by its key, with the cells that it usually takes.
pub(crate) type Ranked = (&'static str, usize);

/// How a table is to fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit {
    /// Cells of a line.
    pub width: usize,
    /// The columns that matter most, the first one most of all; the others follow in their order.
    pub ranks: &'static [Ranked],
}

/// Columns and lines of the terminal that stdout is; none if it is none.
pub(crate) fn terminal() -> Option<(usize, usize)> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok();
    let told = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    Some(told.filter(|(columns, lines)| *columns > 1 && *lines > 1).unwrap_or((WIDTH, HEIGHT)))
}

impl Fit {
    /// Which columns of these widths are shown: each in its rank's turn, if there is room for it.
    pub(super) fn choose(&self, columns: &[Column], widths: &[usize]) -> Vec<bool> {
        let rank = |at: &usize| self.ranks.iter().position(|(key, _)| *key == columns[*at].key);
        let mut by_rank: Vec<usize> = (0..columns.len()).collect();
        by_rank.sort_by_key(|at| (rank(at).unwrap_or(usize::MAX), *at));
        let (mut left, mut shown) = (self.width + GAP, vec![false; columns.len()]);
        for at in by_rank {
            let needs = widths[at] + GAP;
            if needs <= left {
                (left, shown[at]) = (left - needs, true);
            }
        }
        shown
    }

    /// The cells that a column usually takes.
    pub(super) fn usual(&self, column: Column) -> usize {
        let known = self.ranks.iter().find(|(key, _)| *key == column.key);
        known.map_or(column.key.len(), |(_, cells)| (*cells).max(column.key.len()))
    }
}

/// Cells that a text takes where it is displayed.
pub(crate) fn displayed(text: &str) -> usize {
    text.width()
}

/// The text, as far as it goes into so many cells.
pub(crate) fn clipped(text: &str, cells: usize) -> String {
    if displayed(text) <= cells {
        return text.to_owned();
    }
    let mut left = cells.saturating_sub(1);
    let fits = text.chars().take_while(|c| {
        let needs = c.width().unwrap_or(0);
        let fits = needs <= left;
        left = left.saturating_sub(needs);
        fits
    });
    fits.chain(['…']).collect()
}

/// The text with blanks up to so many cells, behind it or, of a number, before it.
pub(crate) fn padded(text: &str, cells: usize, to_the_right: bool) -> String {
    let blanks = " ".repeat(cells.saturating_sub(displayed(text)));
    if to_the_right { format!("{blanks}{text}") } else { format!("{text}{blanks}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::output::Show;

    #[test]
    fn widths_are_of_what_is_displayed() {
        assert_eq!((displayed("käse"), displayed("米")), (4, 2));
        assert_eq!(padded("米", 4, true), "  米");
        assert_eq!([clipped("fish", 4), clipped("fishes", 4), clipped("米米米", 4)], ["fish", "fis…", "米…"]);
    }

    #[test]
    fn what_matters_least_is_left_out_first() {
        let columns = ["a", "b", "c", "d"].map(|key| Column { key, show: Show::Text });
        let fit = |width| Fit { width, ranks: &[("c", 5), ("a", 5), ("b", 9)] };
        let widths = [5, 9, 5, 3];
        assert_eq!(fit(12).choose(&columns, &widths), [true, false, true, false]);
        assert_eq!(fit(17).choose(&columns, &widths), [true, false, true, true], "what still fits is shown");
        assert_eq!(fit(28).choose(&columns, &widths), [true; 4]);
        assert_eq!((fit(12).usual(columns[1]), fit(12).usual(columns[3])), (9, 1));
    }
}
