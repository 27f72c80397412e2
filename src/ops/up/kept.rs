//! What a market keeps from its birth, whatever it is told later: its goods and prices, and its consistency mode.

use crate::cli::MarketFlags;
use crate::config;
use crate::model::report::Report;

/// A line for each that a market which was there before keeps otherwise than it is told now.
pub(super) fn otherwise(told: &MarketFlags, kept: &Report) -> Vec<String> {
    other_stock(told, kept).into_iter().chain(other_mode(told, kept)).collect()
}

fn other_stock(told: &MarketFlags, kept: &Report) -> Option<String> {
    let wanted = config::stock(&told.config_dir).ok()?;
    let wanted = wanted.into_iter().map(|good| (good.name, good.unit_price));
    let file = told.config_dir.join("stock.json");
    (!wanted.eq(kept.goods.iter().cloned())).then(|| {
        format!(
            "up        this market keeps its own goods and prices; {} has others, which --fresh would take",
            file.display()
        )
    })
}

fn other_mode(told: &MarketFlags, kept: &Report) -> Option<String> {
    let (wanted, mode) = (told.consistency?.name(), &kept.consistency);
    (wanted != mode)
        .then(|| format!("up        this market is {mode} until that is changed: bazaar mode {wanted}"))
}
